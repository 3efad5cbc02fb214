"""What the record says of any day: every projection and every board made anew from the events alone, and held against a running system.

The events come from an archive or from the databases of an instance. They go into a database of their own, which is gone afterwards; nobody
is written to, nothing is recorded, no key is needed.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from pathlib import Path

from sqlalchemy import Connection

import consent.grounds
import consent.projections
import identity.projections
import notifier.projections
import plan_tracker.projections
import roster.projections
from contracts.call import Role
from contracts.event import SERVICES
from contracts.plan import STATUS, Board, StatusRequest
from eventkit import log
from eventkit.clock import local_day, start_of_day
from eventkit.database import Database, sqlite_url
from eventkit.decider import Refused
from eventkit.event import decode, moment, rfc3339
from eventkit.parking import skipped_among
from eventkit.projection import Checkpointed, Place, Projection, Skipped, delivered, is_created, parked_counts, positions
from eventkit.tokens import Actor
from eventkit.versions import digest_of
from plan_tracker.answers import region_board, school_board
from plan_tracker.boards import Boards
from vekha.archive import reading as archives
from vekha.client import Client
from vekha.failures import Exit, Failure
from vekha.folder import DataFolder, moment_of
from vekha.options import positions_in
from vekha.records import reading

PROJECTIONS: Sequence[tuple[str, Projection]] = (
    ("roster", roster.projections.Consents()),
    ("consent", consent.projections.People()),
    ("consent", consent.grounds.Grounds()),
    ("identity", identity.projections.People()),
    ("plan", plan_tracker.projections.BoardProjection()),
    ("notifier", notifier.projections.Schools()),
)
"""All projections that services keep beside the inboxes of their reactions, each with its service."""

_BATCH = 1000
_STATUS_TIMEOUT_S = 30.0

Events = Callable[[str, int], Iterator[tuple[int, bytes]]]
"""Position and bytes of a service's events up to a position, in order."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the events come from: how far each log goes there, up to which time that is all there is, and how it is read."""

    heads: Mapping[str, int]
    until: datetime
    events: Events


@dataclass
class Replayed:
    """What came out: the positions and the day, a digest of each projection's rows, and the boards."""

    at: Mapping[str, int]
    as_of: date
    digests: dict[str, str] = field(default_factory=dict[str, str])
    boards: dict[str, Board] = field(default_factory=dict[str, Board])
    region: Board | None = None


def from_archive(path: Path) -> Source:
    """Raises Failure `archive.unverified` for one that does not verify: what it says is worth nothing."""
    examined = archives.examine(path, None)
    if not examined.ok:
        raise Failure("archive.unverified", f"{path} does not verify.", f"See: vekha audit verify {path}", exit_code=Exit.UNVERIFIED)
    archive = archives.opened(path)
    made = archive.checkpoint()
    if made is None:
        raise AssertionError("an archive without a checkpoint does not verify")

    def events(service: str, end: int) -> Iterator[tuple[int, bytes]]:
        return ((row.position, row.data) for row in takewhile(lambda row: row.position <= end, archive.rows(service)))

    return Source(examined.heads, moment(made.made), events)


@contextmanager
def from_databases(folder: DataFolder) -> Generator[Source]:
    """The logs of an instance, as they stand now."""
    with ExitStack() as opened:
        connections = {service: opened.enter_context(reading(folder, service)) for service in SERVICES}
        heads = {service: log.head(connection).position for service, connection in connections.items()}

        def events(service: str, end: int) -> Iterator[tuple[int, bytes]]:
            after = 0
            while after < end and (run := log.read(connections[service], after, min(_BATCH, end - after))):
                yield from ((position, data) for position, _, data in run)
                after = run[-1][0]

        yield Source(heads, datetime.now(UTC) if folder.database_server is not None else folder.time(), events)


def resolved(source: Source, to: str | None) -> tuple[dict[str, int], date | None]:
    """The positions that a day, a time or positions stand for, and the day.

    Raises Failure `to.unreadable`, `to.in-future` or `to.too-early`.
    """
    if to is None:
        return dict(source.heads), None
    if "=" in to or to.startswith("{"):
        return _positions(source, to), None
    try:
        day = date.fromisoformat(to)
    except ValueError:
        day = None
    try:
        time = (moment_of(to) if day is None else start_of_day(day)).astimezone(UTC)
    except (ValueError, OverflowError):
        hint = "Give a day (2015-09-01), a time (RFC 3339) or positions (roster=812,consent=640)."
        raise Failure("to.unreadable", f"{to!r} is none of these.", hint, exit_code=Exit.USAGE) from None
    if time > source.until:
        text = f"{to} has not come yet: the record is known up to {rfc3339(source.until)}."
        raise Failure("to.in-future", text, "Name an earlier day or time, or leave --to out for all that there is.")
    # Of a day what was recorded before its end, and of a time what was recorded by then.
    last = rfc3339(time if day is None else start_of_day(day + timedelta(days=1)) - timedelta(microseconds=1))
    at = {service: _recorded_by(source, service, last) for service in SERVICES}
    if not any(at.values()):
        raise Failure("to.too-early", "Nothing was recorded by then.", "Name a later day.")
    return at, day


def _positions(source: Source, text: str) -> dict[str, int]:
    try:
        given = positions_in(text)
    except ValueError:
        hint = 'Give them like roster=812,consent=640, or as an answer carries them: {"roster": 812, …}'
        raise Failure("to.unreadable", "These are no positions.", hint, exit_code=Exit.USAGE) from None
    beyond = [f"{service} {source.heads.get(service, 0)}" for service, position in given.items() if position > source.heads.get(service, 0)]
    if beyond:
        text = f"The logs do not go that far: they end at {', '.join(beyond)}."
        raise Failure("to.in-future", text, "Name positions that there are, as an answer carries them.")
    return {service: given.get(service, 0) for service in SERVICES}


def _recorded_by(source: Source, service: str, recorded_at: str) -> int:
    last = 0
    for position, data in source.events(service, source.heads.get(service, 0)):
        if decode(data).recordedat > recorded_at:
            break
        last = position
    return last


def replay(source: Source, at: Mapping[str, int], as_of: date | None, on_event: Callable[[], None]) -> Replayed:
    """Makes everything anew, up to these positions. Without a day it is that of the event that was recorded last.

    Raises Failure `as-of.in-future`, and `to.too-early` where there is nothing.
    """
    if as_of is not None and as_of > (today := local_day(source.until)):
        raise Failure("as-of.in-future", f"{as_of} has not come yet: the record is known up to {today}.", "Name an earlier day.")
    with tempfile.TemporaryDirectory(prefix="vekha-replay-") as scratch:
        replayed = Replayed(at, as_of or _last_day(source, at))
        for service, projection in PROJECTIONS:
            database = Database(sqlite_url(Path(scratch) / f"{service}-{projection.name}.db"), service)
            try:
                skips = skipped_among((data for _, data in source.events(service, at[service])), projection.name)
                checkpointed = Checkpointed(database, projection, _as_recorded(skips))
                checkpointed.create()
                for name in projection.sources:
                    for batch in _batches(source.events(name, at[name])):
                        checkpointed.apply([delivered(name, (position, decode(data).subject, data)) for position, data in batch])
                        for _ in batch:
                            on_event()
                with database.reading() as connection:
                    replayed.digests[f"{service}-{projection.name}"] = digest_of(connection, projection)
                    if service == "plan":
                        _read_boards(connection, replayed)
            finally:
                database.close()
        return replayed


def _as_recorded(skips: Collection[Place]) -> Skipped:
    return lambda connection: skips


def _batches(events: Iterator[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    batch: list[tuple[int, bytes]] = []
    for event in events:
        batch.append(event)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _last_day(source: Source, at: Mapping[str, int]) -> date:
    last = ""
    for service, position in at.items():
        for _, data in source.events(service, position):
            last = max(last, decode(data).recordedat)
    if not last:
        raise Failure("to.too-early", "At these positions there is nothing.", "Name later ones.")
    return local_day(moment(last))


def _read_boards(connection: Connection, replayed: Replayed) -> None:
    with Boards().look(connection) as look:
        for school, outline in look.outlines().items():
            if outline.progress.adoption.day <= replayed.as_of:
                replayed.boards[school] = school_board(look, school, replayed.as_of, Actor(Role.OPERATOR))
        replayed.region = region_board(look, replayed.as_of, Actor(Role.OPERATOR), None)


async def differences(folder: DataFolder, client: Client, replayed: Replayed) -> AsyncGenerator[str]:
    """What a running system holds or answers otherwise, a line each. A projection that has gone on is compared by its boards alone."""
    for service, projection in PROJECTIONS:
        name = f"{service}-{projection.name}"
        with reading(folder, service) as connection:
            if not is_created(connection):
                continue
            there = positions(connection, projection.name)
            if (
                there == {source: replayed.at[source] for source in projection.sources}
                and digest_of(connection, projection) != replayed.digests[name]
            ):
                parked = parked_counts(connection).get(projection.name, 0)
                why = f"it has parked {parked} events (vekha parked list)" if parked else "they were changed, or its program was"
                yield f"projection {name}: its rows are not those that the events make: {why}"
    for school, board in replayed.boards.items():
        request = StatusRequest(school=school, as_of=replayed.as_of, at=dict(replayed.at))
        try:
            shown = (await client.ask(STATUS, request, timeout_s=_STATUS_TIMEOUT_S)).reply
        except (Failure, Refused) as refused:
            yield f"board {school}: it is not answered ({refused.code})"
            continue
        if shown.model_dump_json() == board.model_dump_json():
            continue
        if shown.incomplete:
            yield f"board {school}: it is incomplete, events of the school are parked"
            continue
        steps = [str(row.step) for row, other in zip(board.steps, shown.steps, strict=False) if row != other]
        yield f"board {school}: it differs in {'steps ' + ', '.join(steps) if steps else 'what it was computed from'}"
