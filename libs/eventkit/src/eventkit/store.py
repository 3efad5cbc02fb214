"""Carrying out commands: the append queue (DESIGN 2.2) and the transaction that a command sees.

Commands of one process that arrive together, up to 64, share one transaction. Each decides on what the earlier ones of
the batch left; a refusal does not abort the others. Nothing is answered before the commit. A command that wrote to the
service's own tables before it failed cannot be taken out of its batch, so the batch is rolled back and each of its
commands carried out alone.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Generic, TypeVar, cast

import structlog
from sqlalchemy import Connection, Executable
from sqlalchemy.engine import Row as SqlRow
from sqlalchemy.exc import IntegrityError

from contracts.event import Event
from eventkit import log
from eventkit.clock import Clock
from eventkit.database import Database
from eventkit.decider import Decider, Refused
from eventkit.event import Draft, Origin, rfc3339
from eventkit.faults import reach

_MAX_BATCH = 64
_MAX_ATTEMPTS = 8  # how often a batch that lost the race for the head is tried again
_CACHED_STREAMS = 20_000

C = TypeVar("C")
S = TypeVar("S")
R = TypeVar("R")

_log = structlog.get_logger(__name__)


class Conflict(Exception):
    """Somebody else appended to the same stream or took the same unique name first; sent again the command may succeed."""


class Quarantined(Exception):
    """The service's record and its bus stream contradict each other: it answers reads and refuses appends."""


@dataclass(frozen=True, slots=True)
class Carried(Generic[R]):
    """A command's outcome: its reply and the last position of the log that it knew of. `before`: it had been carried out already."""

    reply: R
    position: int
    before: bool = False


@dataclass(frozen=True, slots=True)
class CommandKey:
    """What makes a command itself: its id, the keyed digest of its body, and how its reply is kept as text and read again."""

    command_id: str
    digest: str
    dump: Callable[[Any], str]
    load: Callable[[str], Any]


@dataclass(slots=True)
class _Job:
    work: Callable[[Transaction], Any]
    origin: Origin
    key: CommandKey | None
    future: asyncio.Future[Carried[Any]]
    loop: asyncio.AbstractEventLoop


@dataclass(slots=True)
class _Cached:
    version: int
    state: Any


@dataclass(slots=True)
class _Unit:
    """What one command, or the batch so far, has decided: events and commands to write, and the streams as they will be."""

    drafts: list[Draft] = field(default_factory=list[Draft])
    commands: list[tuple[CommandKey, str]] = field(default_factory=list[tuple[CommandKey, str]])
    streams: dict[str, _Cached] = field(default_factory=dict[str, _Cached])
    wrote: bool = False

    def take(self, other: _Unit) -> None:
        self.drafts += other.drafts
        self.commands += other.commands
        self.streams |= other.streams


class Transaction:
    """What one command sees: the time, the histories, and the service's own tables, all as of the commit it will be part of."""

    def __init__(
        self, unit: _Unit, before: Callable[[str], _Cached | None], origin: Origin, now: datetime, connect: Callable[[], Connection]
    ) -> None:
        self._unit = unit
        self._before = before
        self._connect = connect
        self.origin = origin
        self.now = now

    def state(self, decider: Decider[Any, S], identifier: str) -> S:
        """A stream's state: its whole history folded."""
        return cast("S", self._stream(decider, decider.stream(identifier)).state)

    def decide(self, decider: Decider[C, S], identifier: str, command: C, *, school: str, happened_on: date) -> Sequence[Event]:
        """Decides a command on a stream and appends what follows from it. Raises Refused where the decider does."""
        stream = decider.stream(identifier)
        cached = self._stream(decider, stream)
        events = decider.decide(command, cast("S", cached.state))
        state, version = cached.state, cached.version
        for event in events:
            version += 1
            state = decider.evolve(cast("S", state), event)
            self._unit.drafts.append(Draft(event, stream, version, school, happened_on, self.origin))
        if events:
            self._unit.streams[stream] = _Cached(version, state)
        return events

    def rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[SqlRow[Any]]:
        """Reads the service's own tables."""
        return self._connect().execute(statement, parameters).all()

    def write(self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None) -> int:
        """Writes the service's own tables, in the transaction of the events; answers how many rows it met."""
        self._unit.wrote = True
        result: Any = self._connect().execute(statement, parameters)
        return int(result.rowcount)

    def _stream(self, decider: Decider[Any, Any], stream: str) -> _Cached:
        cached = self._unit.streams.get(stream) or self._before(stream)
        if cached is None:
            events = log.history(self._connect(), stream)
            cached = _Cached(events[-1].version if events else 0, decider.fold(recorded.event() for recorded in events))
        self._unit.streams[stream] = cached
        return cached


class Store:
    """One service's record and the queue in front of it. Commands are carried out in one thread of their own."""

    def __init__(self, database: Database, clock: Clock, *, committed: Callable[[], None] | None = None) -> None:
        self.database = database
        self.clock = clock
        self.quarantine: str | None = None
        self._committed = committed
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._streams: OrderedDict[str, _Cached] = OrderedDict()
        self._head: log.Head | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"{self.database.service}-append", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Carries out what is queued, then stops."""
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    async def carry_out(self, work: Callable[[Transaction], R], origin: Origin, key: CommandKey | None = None) -> Carried[R]:
        """Carries out a command and answers once it is committed.

        Raises Refused, Conflict, Quarantined, or whatever `work` raised; then nothing of it is recorded.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Carried[R]] = loop.create_future()
        self._jobs.put(_Job(work, origin, key, future, loop))
        return await future

    async def head(self) -> int:
        """The last committed position, 0 for an empty log."""
        return (await asyncio.to_thread(self.read_head)).position

    def read_head(self) -> log.Head:
        with self.database.reading() as connection:
            return log.head(connection)

    async def read(self, after: int, limit: int) -> Sequence[tuple[int, str, bytes]]:
        """Position, bus subject and bytes of the committed events after a position."""

        def read() -> Sequence[tuple[int, str, bytes]]:
            with self.database.reading() as connection:
                return log.read(connection, after, limit)

        return await asyncio.to_thread(read)

    # ---- the queue's thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            jobs, stopping = [first], False
            while len(jobs) < _MAX_BATCH:
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    stopping = True
                    break
                jobs.append(job)
            self._carry_out(jobs)
            if stopping:
                return

    def _carry_out(self, jobs: Sequence[_Job]) -> None:
        if self.quarantine is not None:
            _answer([(job, Quarantined(self.quarantine)) for job in jobs])
            return
        try:
            outcomes = self._attempt(jobs)
        except Exception as error:  # noqa: BLE001 -- whatever went wrong becomes the answer of whoever asked
            self._forget()
            if len(jobs) > 1:
                for job in jobs:
                    self._carry_out([job])
                return
            outcomes = [(jobs[0], Conflict(str(error.orig)) if isinstance(error, IntegrityError) else error)]
        if any(isinstance(outcome, Carried) and not outcome.before for _, outcome in outcomes) and self._committed is not None:
            # Before the answers, in the same loop: the relay is on its way when the caller hears of the commit.
            jobs[0].loop.call_soon_threadsafe(self._committed)
        _answer(outcomes)

    def _attempt(self, jobs: Sequence[_Job]) -> list[tuple[_Job, Carried[Any] | BaseException]]:
        for attempt in range(_MAX_ATTEMPTS):
            try:
                return self._batch(jobs)
            except log.HeadMoved:
                self._forget()
            except IntegrityError:
                # Another process may have carried out the very same command; the second look finds it. A name that is
                # taken stays taken.
                if attempt > 0 or len(jobs) > 1:
                    raise
                self._forget()
        raise Conflict("other writers kept moving the head of the log; send the command again")

    def _batch(self, jobs: Sequence[_Job]) -> list[tuple[_Job, Carried[Any] | BaseException]]:
        if self._head is None:
            self._head = self.read_head()
        base, batch, session = self._head, _Unit(), _Session(self.database)
        outcomes: list[tuple[_Job, Carried[Any] | BaseException]] = []
        new = base
        try:
            if self.database.is_sqlite:
                session.connect()  # the write lock first: what is read below stays true until the commit
            known = _known(jobs, session)
            outcomes = [(job, self._one(job, batch, session, known)) for job in jobs]
            if batch.drafts or batch.commands:
                rows, new = log.stamped(batch.drafts, base, service=self.database.service, now=rfc3339(self.clock.now()))
                commands = [log.CommandRow(key.command_id, key.digest, new.position, reply) for key, reply in batch.commands]
                session.write(rows, commands, base, new)
            elif log.head(session.connect()) != base:
                raise log.HeadMoved  # refusals and empty decisions, too, are answers about the newest state
            reach("log.before-commit")
            session.commit()
            reach("log.after-commit")
        except BaseException:
            session.rollback()
            raise
        self._head = new
        self._keep(batch)
        return [(job, replace(out, position=new.position) if isinstance(out, Carried) and not out.before else out) for job, out in outcomes]

    def _one(self, job: _Job, batch: _Unit, session: _Session, known: dict[str, log.CommandRow]) -> Carried[Any] | BaseException:
        """One command of a batch. A refusal is its outcome, and nothing that it had decided stays."""
        if job.key is not None and (row := known.get(job.key.command_id)) is not None:
            if row.digest != job.key.digest:
                return Refused("command.reused", "This command id was used for another command. Use a new id for a new command.")
            return Carried(job.key.load(row.reply), row.last_position, before=True)
        unit = _Unit()

        def before(stream: str) -> _Cached | None:
            return batch.streams.get(stream) or self._streams.get(stream)

        try:
            reply = job.work(Transaction(unit, before, job.origin, self.clock.now(), session.connect))
        except Exception as error:
            if unit.wrote:
                raise
            return error
        if job.key is not None and (unit.wrote or unit.drafts):
            text = job.key.dump(reply)
            unit.commands.append((job.key, text))
            known[job.key.command_id] = log.CommandRow(job.key.command_id, job.key.digest, 0, text)
        batch.take(unit)
        return Carried(reply, 0)

    def _keep(self, unit: _Unit) -> None:
        for stream, cached in unit.streams.items():
            self._streams[stream] = cached
            self._streams.move_to_end(stream)
        while len(self._streams) > _CACHED_STREAMS:
            self._streams.popitem(last=False)

    def _forget(self) -> None:
        self._head = None
        self._streams.clear()


def _known(jobs: Sequence[_Job], session: _Session) -> dict[str, log.CommandRow]:
    command_ids = [job.key.command_id for job in jobs if job.key is not None]
    return log.commands(session.connect(), command_ids) if command_ids else {}


class _Session:
    """The connection of one batch, opened when something is read or written, so that a lone append is one statement."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._context: Any = None
        self._connection: Connection | None = None

    def connect(self) -> Connection:
        if self._connection is None:
            self._context = self._database.writing()
            self._connection = cast("Connection", self._context.__enter__())
        return self._connection

    def write(self, rows: Sequence[log.Row], commands: Sequence[log.CommandRow], base: log.Head, new: log.Head) -> None:
        if self._connection is not None:
            log.write(self._connection, rows, commands, base, new)
        else:
            with self._database.single_statement() as connection:
                log.write(connection, rows, commands, base, new)

    def commit(self) -> None:
        if self._context is not None:
            context, self._context, self._connection = self._context, None, None
            context.__exit__(None, None, None)

    def rollback(self) -> None:
        if self._context is not None:
            context, self._context, self._connection = self._context, None, None
            error = _RolledBack()
            try:
                context.__exit__(_RolledBack, error, None)
            except _RolledBack:
                return


class _RolledBack(Exception):
    pass


def _answer(outcomes: Sequence[tuple[_Job, Carried[Any] | BaseException]]) -> None:
    def resolve() -> None:
        for job, outcome in outcomes:
            if job.future.done():  # the caller has gone; what is committed stays committed
                continue
            if isinstance(outcome, Carried):
                job.future.set_result(outcome)
            else:
                job.future.set_exception(outcome)

    outcomes[0][0].loop.call_soon_threadsafe(resolve)
