"""Projections: rows that follow the logs of several services, with one fenced checkpoint for all of them (DESIGN 2.4).

Rows and checkpoint change in one transaction. An event at or below the checkpoint is skipped; a gap is filled by asking
the log's owner. Nothing is ever negatively acknowledged: an event that a projection cannot take in is parked with its
reason in the same transaction, later events of the same source and school queue behind it, and all others flow. An
event of no school that fails halts its source.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import structlog
from nats.aio.client import Client
from opentelemetry.trace import SpanKind
from sqlalchemy import BigInteger, Boolean, Column, Connection, LargeBinary, MetaData, Table, Text, delete, func, insert, select, update

from contracts.event import NO_SCHOOL
from eventkit.database import Database
from eventkit.event import Recorded, decode
from eventkit.faults import reach
from eventkit.jetstream import BusMessage, BusReader, StreamGap
from eventkit.telemetry import span, trouble

metadata = MetaData()

checkpoint_table = Table(
    "checkpoint",
    metadata,
    Column("name", Text, primary_key=True),
    Column("positions", Text, nullable=False),
)

parked_table = Table(
    "parked",
    metadata,
    Column("reader", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("school", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("waiting", Boolean, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
)

_TRACED_BATCH = 32  # a catch-up is not traced event by event
_QUEUED_BATCHES = 4  # per source, so that a slow database holds the readers back instead of filling the memory

_log = structlog.get_logger(__name__)


class Projection(Protocol):
    """Rows derived from events. `apply` gets a batch, each source in its order, and is a pure function of rows and events."""

    @property
    def name(self) -> str: ...

    @property
    def sources(self) -> tuple[str, ...]: ...

    @property
    def tables(self) -> MetaData: ...

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None: ...


@dataclass(frozen=True, slots=True)
class Delivered:
    """An event as it was delivered, decoded or not."""

    source: str
    position: int
    school: str
    data: bytes
    event: Recorded | None
    trouble: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.source, self.school


def delivered(source: str, message: BusMessage) -> Delivered:
    """A message of a bus stream. Its school stands in the subject, so even one that cannot be decoded has a key."""
    position, subject, data = message
    school = subject.split(".", 3)[2]
    try:
        event = decode(data)
    except msgspec.MsgspecError as error:
        return Delivered(source, position, school, data, None, f"undecodable: {error}")
    if event.position != position or event.school != school:
        return Delivered(source, position, school, data, None, "misplaced: position or school is not what its bytes say")
    return Delivered(source, position, school, data, event)


class Fenced(RuntimeError):
    """Somebody else moved this projection's checkpoint: what was read before has to be read again from there."""


def positions(connection: Connection, name: str) -> dict[str, int]:
    """A projection's positions by source, read in the caller's transaction; empty before its first event."""
    found = connection.execute(select(checkpoint_table.c.positions).where(checkpoint_table.c.name == name)).scalar()
    return {} if found is None else json.loads(found)


def parked_schools(connection: Connection, name: str) -> dict[str, dict[str, list[int]]]:
    """The parked positions by school and source; the school `_` stands for all of them."""
    found = connection.execute(
        select(parked_table.c.school, parked_table.c.source, parked_table.c.position)
        .where(parked_table.c.reader == name)
        .order_by(parked_table.c.position)
    )
    result: dict[str, dict[str, list[int]]] = {}
    for row in found:
        result.setdefault(row.school, {}).setdefault(row.source, []).append(row.position)
    return result


class Checkpointed:
    """Applies deliveries to a projection's tables, exactly once each, parking what fails. Works in the caller's thread."""

    def __init__(self, database: Database, projection: Projection) -> None:
        self.projection = projection
        self._database = database
        self.positions: dict[str, int] = {}
        self.halted: frozenset[str] = frozenset()
        self._parked: set[tuple[str, str]] = set()

    def create(self) -> None:
        """Makes the tables and the checkpoint where they are missing, and takes up the positions."""
        with self._database.writing() as connection:
            metadata.create_all(connection)
            self.projection.tables.create_all(connection)
            if connection.execute(select(checkpoint_table).where(checkpoint_table.c.name == self.projection.name)).first() is None:
                start = _text(dict.fromkeys(self.projection.sources, 0))
                connection.execute(insert(checkpoint_table).values(name=self.projection.name, positions=start))
        self.reload()

    def reload(self) -> None:
        """Takes up positions and parked keys from the database."""
        with self._database.reading() as connection:
            self.positions = positions(connection, self.projection.name)
            parked = parked_schools(connection, self.projection.name)
        self._parked = {(source, school) for school, sources in parked.items() for source in sources}
        self.halted = frozenset(source for source, school in self._parked if school == NO_SCHOOL)

    def apply(self, deliveries: Sequence[Delivered]) -> None:
        """Takes in a batch. Raises Fenced where the checkpoint is not ours any more; then nothing of it is applied.

        Deliveries at or below the checkpoint are skipped; a jump is the reader's to explain, so it is an error here.
        """
        new = dict(self.positions)
        fresh: list[Delivered] = []
        for one in deliveries:
            if one.source in self.halted or one.position <= new[one.source]:
                continue
            if one.position != new[one.source] + 1:
                raise ValueError(f"{one.source} jumped from {new[one.source]} to {one.position}")
            new[one.source] = one.position
            fresh.append(one)
        if not fresh:
            return
        parked, halted = set(self._parked), set(self.halted)
        with self._database.writing() as connection:
            for one in self._take_in(connection, fresh, parked):
                if one.school == NO_SCHOOL:
                    # The source stands still before this event until somebody mends it.
                    halted.add(one.source)
                    new[one.source] = one.position - 1
            reach("projection.before-checkpoint")
            moved = connection.execute(
                update(checkpoint_table)
                .where(checkpoint_table.c.name == self.projection.name, checkpoint_table.c.positions == _text(self.positions))
                .values(positions=_text(new))
            )
            if moved.rowcount != 1:
                raise Fenced(self.projection.name)
        reach("projection.after-checkpoint")
        self.positions, self._parked, self.halted = new, parked, frozenset(halted)

    def retry(self, source: str | None = None, school: str | None = None) -> tuple[int, int]:
        """Tries parked events again, each key in order up to its first failure. Answers how many were applied and how many are left."""
        table = parked_table
        chosen = table.c.reader == self.projection.name
        if source is not None:
            chosen &= table.c.source == source
        if school is not None:
            chosen &= table.c.school == school
        applied = 0
        with self._database.writing() as connection:
            stuck: set[tuple[str, str]] = set()
            for row in connection.execute(select(table).where(chosen).order_by(table.c.source, table.c.position)).all():
                if (row.source, row.school) in stuck:
                    continue
                this = (table.c.reader == row.reader) & (table.c.source == row.source) & (table.c.position == row.position)
                one = delivered(row.source, (row.position, f"evt.{row.source}.{row.school}.{row.type}", bytes(row.bytes)))
                if row.school != NO_SCHOOL and (reason := self._refuses(connection, [one])):
                    stuck.add(one.key)
                    connection.execute(update(table).where(this).values(reason=reason, waiting=False))
                    continue
                # A halted source reads its event again from the bus; there it is applied, or parks once more.
                connection.execute(delete(table).where(this))
                applied += 1
            left = connection.execute(select(func.count()).select_from(table).where(chosen)).scalar_one()
        self.reload()
        return applied, left

    def _take_in(self, connection: Connection, fresh: Sequence[Delivered], parked: set[tuple[str, str]]) -> Iterable[Delivered]:
        """Applies what can be applied and parks the rest; answers those events of no school that failed."""
        if not any(one.key in parked for one in fresh) and self._refuses(connection, fresh) is None:
            return
        # Something in the batch fails, or queues behind what failed: one by one, so that only that is parked.
        halted: set[str] = set()
        for one in fresh:
            if one.source in halted:
                continue
            waiting = one.key in parked
            reason = "waits for an earlier event of its school" if waiting else self._refuses(connection, [one])
            if reason is None:
                continue
            parked.add(one.key)
            connection.execute(
                insert(parked_table).values(
                    reader=self.projection.name,
                    source=one.source,
                    position=one.position,
                    school=one.school,
                    type=one.event.type.split(".", 1)[1] if one.event else "undecodable",
                    reason=reason,
                    waiting=waiting,
                    bytes=one.data,
                )
            )
            _log.warning("event.parked", reader=self.projection.name, source=one.source, position=one.position, waiting=waiting)
            if one.school == NO_SCHOOL:
                halted.add(one.source)
                yield one

    def _refuses(self, connection: Connection, ones: Sequence[Delivered]) -> str | None:
        """Applies events in a savepoint; answers why that failed, None where it did not."""
        undecoded = next((one.trouble for one in ones if one.event is None), None)
        if undecoded is not None:
            return undecoded
        try:
            with connection.begin_nested():
                self.projection.apply(connection, [one.event for one in ones if one.event is not None])
        except Exception as error:  # noqa: BLE001 -- whatever it was, it is the reason for which the event is parked
            # The type alone: a message may quote what it choked on.
            return f"{type(error).__name__} in {self.projection.name}"
        return None


Owner = Callable[[str, int, int], Awaitable[Sequence[BusMessage]]]
"""Asks a service for a run of its own log: source, after, limit."""


class ProjectionRunner:
    """Keeps one projection at the heads of its sources: one pipelined reader a source, one writer for all."""

    def __init__(self, nc: Client, database: Database, projection: Projection, durable: str, owner: Owner) -> None:
        self.projection = projection
        self.checkpointed = Checkpointed(database, projection)
        self._nc = nc
        self._durable = durable
        self._owner = owner
        self._arrived: asyncio.Queue[tuple[str, list[BusMessage]]] = asyncio.Queue(_QUEUED_BATCHES * len(projection.sources))
        self._moved = asyncio.Condition()
        self.on_moved: Callable[[], None] = lambda: None
        self._restart = asyncio.Event()

    @property
    def positions(self) -> Mapping[str, int]:
        return self.checkpointed.positions

    async def run(self) -> None:
        """Reads until cancelled. Starts again from the checkpoint whenever something went wrong underneath."""
        await asyncio.to_thread(self.checkpointed.create)
        pause_s = 0.0
        while True:
            self._restart.clear()
            readers = [asyncio.create_task(self._read(source)) for source in self.projection.sources]
            try:
                await self._write_until_restart(readers)
                pause_s = 0.0
            except Exception as error:  # noqa: BLE001 -- a reader that died in silence would look like a quiet bus
                _log.warning("projection.starts-again", reader=self.projection.name, **trouble(error))
                pause_s = min(1.0, pause_s * 2 or 0.05)
            finally:
                for task in readers:
                    task.cancel()
                await asyncio.gather(*readers, return_exceptions=True)
            while not self._arrived.empty():
                self._arrived.get_nowait()
            await asyncio.sleep(pause_s)
            with contextlib.suppress(Exception):  # a database that is away is found out by the next batch
                await asyncio.to_thread(self.checkpointed.reload)

    async def reach(self, wanted: Mapping[str, int], timeout_s: float) -> bool:
        """Waits until the wanted positions, of the sources it has, are applied. False where that takes too long."""
        mine = {source: position for source, position in wanted.items() if source in self.projection.sources}

        def reached() -> bool:
            return all(self.positions.get(source, 0) >= position for source, position in mine.items())

        if reached():
            return True
        try:
            async with asyncio.timeout(timeout_s), self._moved:
                await self._moved.wait_for(reached)
        except TimeoutError:
            return False
        return True

    async def retry(self, source: str | None, school: str | None) -> tuple[int, int]:
        result = await asyncio.to_thread(self.checkpointed.retry, source, school)
        self._restart.set()
        return result

    async def _write_until_restart(self, readers: Sequence[asyncio.Task[None]]) -> None:
        restart = asyncio.create_task(self._restart.wait())
        try:
            while True:
                arrival = asyncio.create_task(self._arrived.get())
                done, _ = await asyncio.wait([arrival, restart, *readers], return_when=asyncio.FIRST_COMPLETED)
                if restart in done:
                    arrival.cancel()
                    return
                for task in done:
                    if task is not arrival:
                        arrival.cancel()
                        task.result()  # a reader ends only by an exception
                if arrival in done:
                    batches = [arrival.result()]
                    while not self._arrived.empty():
                        batches.append(self._arrived.get_nowait())
                    await asyncio.to_thread(self._apply, batches)
                    self.on_moved()
                    async with self._moved:
                        self._moved.notify_all()
        finally:
            restart.cancel()

    def _apply(self, batches: Sequence[tuple[str, list[BusMessage]]]) -> None:
        deliveries = [delivered(source, message) for source, batch in batches for message in batch]
        with contextlib.ExitStack() as spans:
            if len(deliveries) <= _TRACED_BATCH:
                for one in deliveries:
                    if one.event is not None and one.event.traceparent is not None:
                        name = f"project {self.projection.name}"
                        spans.enter_context(
                            span(name, kind=SpanKind.CONSUMER, parent=one.event.traceparent, source=one.source, position=one.position)
                        )
            self.checkpointed.apply(deliveries)

    async def _read(self, source: str) -> None:
        if source in self.checkpointed.halted:
            await asyncio.Event().wait()  # for ever: a retry starts all readers again
        after = self.positions[source]
        reader = BusReader(self._nc, source.upper(), self._durable)
        while True:
            try:
                async with contextlib.aclosing(_from(reader, after)) as batches:
                    async for batch in batches:
                        await self._arrived.put((source, batch))
                        after = batch[-1][0]
            except StreamGap as gap:
                _log.error("bus-stream.gap", source=source, first=gap.first, last=gap.last, reader=self.projection.name)
                while after < gap.last:
                    run = await self._owner(source, after, gap.last - after)
                    await self._arrived.put((source, list(run)))
                    after = run[-1][0]


def _from(reader: BusReader, after: int) -> AsyncGenerator[list[BusMessage]]:
    return reader.batches(after)


def _text(by_source: Mapping[str, int]) -> str:
    return json.dumps(dict(by_source), sort_keys=True, separators=(",", ":"))
