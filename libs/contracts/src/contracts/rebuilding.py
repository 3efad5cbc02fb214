"""The versions of a projection's rows: one is live, another is built beside it, compared, and takes its place when it is told to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.call import Call, Reply, Request, query
from contracts.event import SERVICES, Identifier, Sha256, Value
from contracts.operations import Nothing

VersionState = Literal["live", "building", "same", "differs", "switching", "old"]
VersionNumber = Annotated[int, Field(ge=1)]


class Difference(Value):
    """A row that is not the same in both versions: its key, and the columns that differ on either side; None where there is no such row."""

    table: str
    key: dict[str, str]
    live: dict[str, str] | None
    rebuilt: dict[str, str] | None


class Comparison(Value):
    """Both versions as they stood at the same positions: their canonical digests, how many rows differ, and the first of these."""

    positions: dict[str, int]
    live: Sha256
    rebuilt: Sha256
    differing: int
    differences: tuple[Difference, ...]


class VersionShown(Value):
    """One version: how far it is of what the live one has read, and how fast; `compared` is the last comparison."""

    version: int
    state: VersionState
    positions: dict[str, int]
    done: int
    total: int
    events_per_s: float | None = None
    trouble: str | None = Field(default=None, description="What it waits for, by type alone")
    compared: Comparison | None = None


class ProjectionShown(Value):
    """A reader and its versions, the live one first. A reaction has no other: what it does cannot be done anew."""

    name: str
    kind: Literal["projection", "reaction"]
    versions: tuple[VersionShown, ...]


class Projections(Reply):
    projections: tuple[ProjectionShown, ...]


class RebuildProjection(Request):
    """Begins a new version of a projection's rows. Where one is being built, that one is meant."""

    projection: Identifier


class SwitchProjection(Request):
    """Makes a version live. One that differed is taken only where its digest is given, as the comparison told it."""

    projection: Identifier
    version: VersionNumber
    accept: Sha256 | None = None


class DropProjection(Request):
    """Drops a version that is not live, with its tables."""

    projection: Identifier
    version: VersionNumber


class OfVersion(Reply):
    version: int
    state: VersionState | Literal["dropped"]


PROJECTIONS: dict[str, Call[Nothing, Projections]] = {}
REBUILD_PROJECTION: dict[str, Call[RebuildProjection, OfVersion]] = {}
SWITCH_PROJECTION: dict[str, Call[SwitchProjection, OfVersion]] = {}
DROP_PROJECTION: dict[str, Call[DropProjection, OfVersion]] = {}
for _service in SERVICES:
    PROJECTIONS[_service] = query(
        f"{_service}.projections", Nothing, Projections, (), "The service's readers and the versions of their rows"
    )
    REBUILD_PROJECTION[_service] = query(
        f"{_service}.rebuild-projection", RebuildProjection, OfVersion, (), "Builds a projection's rows anew beside the live ones"
    )
    SWITCH_PROJECTION[_service] = query(
        f"{_service}.switch-projection", SwitchProjection, OfVersion, (), "Makes a version of a projection's rows live"
    )
    DROP_PROJECTION[_service] = query(
        f"{_service}.drop-projection", DropProjection, OfVersion, (), "Drops a version of a projection's rows that is not live"
    )
