"""What a reader could not take in: it is listed and shown, tried again, or skipped, which is recorded.

Each service records the skips of its own readers, so whoever builds their rows anew leaves out the same events.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from contracts.call import Call, Reply, Request, command, query
from contracts.event import SERVICES, Event, Identifier, Sha256, Value, event

Source = Literal["roster", "consent", "identity", "plan", "notifier"]
LogPosition = Annotated[int, Field(ge=1)]


class SkipReason(StrEnum):
    """Why a reader goes on without an event."""

    UNREADABLE = "unreadable"
    FORGED = "forged"
    IMPOSSIBLE = "impossible"
    RECORDED_ANEW = "recorded-anew"


class EventSkip(Event):
    """A reader of this service goes on without an event: the one at a position of a log, with these bytes and no others."""

    reader: Identifier
    source: Source
    position: LogPosition
    sha256: Sha256
    reason: SkipReason


def _skip_event(service: str) -> type[EventSkip]:
    @event(f"{service}.event-skipped.v1")
    class EventSkipped(EventSkip):
        __doc__ = EventSkip.__doc__

    return EventSkipped


SKIP_EVENTS = {service: _skip_event(service) for service in SERVICES}
"""By service: what it records of an event that one of its readers skips."""


class ParkedPlace(Value):
    """Where something is parked: whose reader, which log, which position."""

    reader: Identifier
    source: Source
    position: LogPosition


class ParkedQuery(Request):
    """What the service's readers have parked, `limit` at a time, by reader, source and position; `after` is the last place shown."""

    school: str | None = None
    after: ParkedPlace | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 1000


class ParkedEvent(Value):
    reader: str
    source: str
    school: str
    position: int
    type: str
    reason: str
    waiting: bool = Field(description="True where it queues behind an earlier event of its school")


class Parked(Reply):
    events: tuple[ParkedEvent, ...]
    more: bool = False


class ShowParked(Request):
    """One parked event, as its reader has it."""

    reader: Identifier
    source: Source
    position: LogPosition


class ParkedShown(Reply):
    """A parked event: its bytes (base64), and how many events of its school wait behind it."""

    event: ParkedEvent
    bytes: str
    sha256: Sha256
    behind: int


class RetryParked(Request):
    reader: Identifier | None = None
    source: str | None = None
    school: str | None = None


class Retried(Reply):
    applied: int
    left: int


class SkipParked(Request):
    """Has a reader go on without the event that it could not take in. What waited behind that is tried next."""

    reader: Identifier
    source: Source
    position: LogPosition
    reason: SkipReason


class Skipped(Reply):
    school: str
    sha256: Sha256


PARKED: dict[str, Call[ParkedQuery, Parked]] = {}
SHOW_PARKED: dict[str, Call[ShowParked, ParkedShown]] = {}
RETRY_PARKED: dict[str, Call[RetryParked, Retried]] = {}
SKIP_PARKED: dict[str, Call[SkipParked, Skipped]] = {}
for _service in SERVICES:
    PARKED[_service] = query(f"{_service}.parked", ParkedQuery, Parked, (), "Events that the service's readers have parked")
    SHOW_PARKED[_service] = query(f"{_service}.show-parked", ShowParked, ParkedShown, (), "One parked event, as its reader has it")
    RETRY_PARKED[_service] = query(f"{_service}.retry-parked", RetryParked, Retried, (), "Tries parked events again, in order")
    SKIP_PARKED[_service] = command(
        f"{_service}.skip-parked", SkipParked, Skipped, (), "Has a reader go on without an event that it parked"
    )
