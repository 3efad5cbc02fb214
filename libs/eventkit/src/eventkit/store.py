"""Carrying out commands: the append queue (DESIGN 2.2) and the transaction that a command sees.

Commands of one process that arrive together, up to 64, share one transaction. Each decides on what the earlier ones of
the batch left; a refusal does not abort the others. Nothing is answered before the commit. A command that wrote to the
service's own tables before it failed cannot be taken out of its batch, so the batch is rolled back and each of its
commands carried out alone.

A batch is tried first on what is remembered here: the head, and the states of streams. That holds exactly if the head can
still be moved from there, which one statement finds out and does. Whatever else comes of it, a lost race, a refusal, nothing
to record, an error, is only believed when a second attempt has found the same under the head's lock.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.engine import Row as SqlRow
from sqlalchemy.exc import DBAPIError, IntegrityError

from contracts.event import EVENTS, Annulment, AnnulmentReason, Event
from eventkit import log
from eventkit.clock import Clock
from eventkit.database import Database
from eventkit.decider import Decider, Refused
from eventkit.event import Draft, Origin, Recorded, decode, rfc3339, standing
from eventkit.faults import reach
from eventkit.rows import inserting
from eventkit.telemetry import happened, is_heard

_MAX_BATCH = 64
_CACHED_STREAMS = 20_000
_OF_THIS_BATCH = -1  # a position that is known once the batch is committed

C = TypeVar("C")
S = TypeVar("S")
R = TypeVar("R")


class Conflict(Exception):
    """Something that must be unique among the service's own tables is taken: somebody else was first."""


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

    def __init__(self, unit: _Unit, before: Callable[[str], _Cached | None], origin: Origin, now: datetime, session: _Session) -> None:
        self._unit = unit
        self._before = before
        self._session = session
        self.origin = origin
        self.now = now

    def begin(self, decider: Decider[Any, Any], identifier: str) -> None:
        """Begins a stream under an id that was made just now: there is nothing of it to read."""
        self._unit.streams[decider.stream(identifier)] = _Cached(0, decider.fold(()))

    def state(self, decider: Decider[Any, S], identifier: str) -> S:
        """A stream's state: its whole history folded."""
        return cast("S", self._stream(decider, decider.stream(identifier)).state)

    def decide(self, decider: Decider[C, S], identifier: str, command: C, *, school: str, happened_on: date) -> Sequence[Event]:
        """Decides a command on a stream and appends what follows from it. Raises Refused where the decider does, and ValueError
        where it yields an event that is not this service's own."""
        stream = decider.stream(identifier)
        cached = self._stream(decider, stream)
        events = decider.decide(command, cast("S", cached.state))
        self._check_own(events)
        state, version = cached.state, cached.version
        for event in events:
            version += 1
            state = decider.evolve(cast("S", state), event)
            self._unit.drafts.append(Draft(event, stream, version, school, happened_on, self.origin))
        if events:
            self._unit.streams[stream] = _Cached(version, state)
        return events

    def annul(
        self, decider: Decider[Any, Any], identifier: str, event_id: str, annulment: type[Annulment], reason: AnnulmentReason
    ) -> Recorded | None:
        """Records that an event of a stream never was true, on that event's own day; answers it, None where that was recorded before.

        An event on which a later one rests cannot be annulled alone. Raises Refused `entry.unknown`, `entry.is-annulment` or
        `entry.rested-on`, Conflict where the stream has just been written to, and
        ValueError where the annulment is another service's.
        """
        stream = decider.stream(identifier)
        history = log.history(self._session.connection(), stream)
        if not history or self._stream(decider, stream).version != history[-1].version:
            raise Conflict(f"{stream} has just been written to")
        told = standing(history)
        found = next((recorded for recorded in history if recorded.id == event_id), None)
        if found is None:
            raise Refused("entry.unknown", f"There is no event {event_id} in {stream}.", "`vekha events` shows which there are.")
        if issubclass(EVENTS[found.type], Annulment):
            raise Refused("entry.is-annulment", "An annulment is final. If it was wrong, record the fact anew.")
        if found not in told:
            return None
        later = [recorded for recorded in told if recorded.version > found.version]
        resting = next((one for one in reversed(later) if decider.rests_on(one.event(), found.event())), None)
        if resting is not None:
            text = f"{resting.type} at {resting.position} rests on it: annul that one first, or undo both by other acts."
            raise Refused("entry.rested-on", text)
        event = annulment(event=found.id, position=found.position, event_type=found.type, reason=reason)
        self._check_own([event])
        version = history[-1].version + 1
        day = date.fromisoformat(found.happenedon)
        self._unit.drafts.append(Draft(event, stream, version, found.school, day, self.origin))
        self._unit.streams[stream] = _Cached(version, decider.fold(recorded.event() for recorded in told if recorded is not found))
        return found

    def told(self, decider: Decider[Any, Any], identifier: str) -> list[Recorded]:
        """The events of a stream that stand, as they are recorded: those of this very command are not yet."""
        return standing(log.history(self._session.connection(), decider.stream(identifier)))

    def take_back(
        self,
        decider: Decider[Any, Any],
        identifier: str,
        wrong: Callable[[Recorded], bool],
        annulment: type[Annulment],
        reason: AnnulmentReason,
    ) -> list[Recorded]:
        """Annuls together all events of a stream that stand and are `wrong`, the newest first, and answers them in that order.

        Raises Refused `entry.rested-on` where one that is not wrong rests on one of them; then none is annulled. Raises Conflict where the
        stream has just been written to, and ValueError where the annulment is another service's.
        """
        stream = decider.stream(identifier)
        history = log.history(self._session.connection(), stream)
        if history and self._stream(decider, stream).version != history[-1].version:
            raise Conflict(f"{stream} has just been written to")
        told = standing(history)
        taken = [recorded for recorded in reversed(told) if wrong(recorded)]
        if (resting := first_resting(decider, told, wrong)) is not None:
            raise Refused("entry.rested-on", f"{resting.type} at {resting.position} rests on it: undo that one first.")
        if not taken:
            return []
        version = history[-1].version
        for recorded in taken:
            version += 1
            event = annulment(event=recorded.id, position=recorded.position, event_type=recorded.type, reason=reason)
            self._check_own([event])
            day = date.fromisoformat(recorded.happenedon)
            self._unit.drafts.append(Draft(event, stream, version, recorded.school, day, self.origin))
        left = [recorded.event() for recorded in told if not wrong(recorded)]
        self._unit.streams[stream] = _Cached(version, decider.fold(left))
        return taken

    def entry(self, position: int) -> Recorded | None:
        """The event at a position of this service's log."""
        rows = log.read(self._session.connection(), position - 1, 1)
        return decode(rows[0][2]) if rows and rows[0][0] == position else None

    def rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[SqlRow[Any]]:
        """Reads the service's own tables."""
        return self._session.connection().execute(statement, parameters).all()

    def write(self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None) -> int:
        """Writes the service's own tables, in the transaction of the events; answers how many rows it met."""
        self._session.lock()
        self._unit.wrote = True
        # Without the option SQLAlchemy does not count what an INSERT met.
        result: Any = self._session.connection().execute(statement, parameters, execution_options={"preserve_rowcount": True})
        return int(result.rowcount)

    def insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes new rows into one of the service's own tables, as `write` does."""
        self._session.lock()
        self._unit.wrote = True
        inserting(table).rows(self._session.connection(), rows)

    def _check_own(self, events: Sequence[Event]) -> None:
        for event in events:
            if not event.type.startswith(self._session.own_types):  # no relay could publish it, nor anything recorded after it
                raise ValueError(f"{event.type} cannot be recorded here: its type does not begin with {self._session.own_types}")

    def _stream(self, decider: Decider[Any, Any], stream: str) -> _Cached:
        cached = self._unit.streams.get(stream) or self._before(stream)
        if cached is None:
            events = log.history(self._session.connection(), stream)
            cached = _Cached(events[-1].version if events else 0, decider.fold(recorded.event() for recorded in standing(events)))
        self._unit.streams[stream] = cached
        return cached


def first_resting(decider: Decider[Any, Any], told: Sequence[Recorded], wrong: Callable[[Recorded], bool]) -> Recorded | None:
    """Of a stream's standing events one that is not wrong and rests on an earlier one that is; None where those can be annulled."""
    gone: list[Event] = []
    for recorded in told:
        if wrong(recorded):
            gone.append(recorded.event())
        elif gone:
            later = recorded.event()
            if any(decider.rests_on(later, earlier) for earlier in gone):
                return recorded
    return None


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
        self._stopping = False
        self.on_append: Callable[[float], None] | None = None
        """Is told how many seconds each commit took, from the queue's thread."""

    def start(self) -> None:
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"{self.database.service}-append", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Carries out what is queued, then stops."""
        self._stopping = True
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    async def carry_out(self, work: Callable[[Transaction], R], origin: Origin, key: CommandKey | None = None) -> Carried[R]:
        """Carries out a command and answers once it is committed. `work` may be called more than once.

        Raises Refused, Conflict, Quarantined, or whatever `work` raised; then nothing of it is recorded. Should the database
        fail in the middle of the commit, a command with a key is still recorded once, one without may be recorded twice.
        """
        if self._stopping:
            raise RuntimeError("this store has been stopped")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Carried[R]] = loop.create_future()
        self._jobs.put(_Job(work, origin, key, future, loop))
        return await future

    async def carried_out(self, key: CommandKey) -> Carried[Any] | None:
        """The outcome of a command that is in the record already, else None. Raises Refused `command.reused`."""

        def read() -> log.CommandRow | None:
            with self.database.reading() as connection:
                return log.commands(connection, [key.command_id]).get(key.command_id)

        row = await asyncio.to_thread(read)
        return None if row is None else _known_outcome(key, row)

    async def head(self) -> int:
        """The last committed position, 0 for an empty log."""
        return (await asyncio.to_thread(self.read_head)).position

    @property
    def remembered_head(self) -> log.Head | None:
        """Where the log ended after what was committed here last; None where that is not known for sure."""
        return self._head

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
        since_ns, since = time.time_ns(), time.perf_counter()
        try:
            outcomes = self._attempt(jobs)
        except BaseException as error:  # noqa: BLE001 -- whatever went wrong becomes the answer of whoever asked, and this thread goes on
            self._forget()
            if len(jobs) > 1:
                for job in jobs:
                    self._carry_out([job])
                return
            # What the database says of a value that is taken may quote it, so it is not passed on.
            outcomes = [(jobs[0], Conflict("a value that must be unique is taken") if isinstance(error, IntegrityError) else error)]
        recorded = any(isinstance(outcome, Carried) and not outcome.before for _, outcome in outcomes)
        if recorded and self.on_append is not None:
            self.on_append(time.perf_counter() - since)
        if is_heard():
            self._tell_of(outcomes, since_ns)
        _answer(outcomes, committed=self._committed if recorded else None)

    def _tell_of(self, outcomes: Sequence[tuple[_Job, Carried[Any] | BaseException]], since_ns: int) -> None:
        for job, outcome in outcomes:
            if isinstance(outcome, Carried) and not outcome.before:
                service, parent = self.database.service, job.origin.traceparent
                happened("record", since_ns=since_ns, parent=parent, service=service, position=outcome.position)

    def _attempt(self, jobs: Sequence[_Job]) -> list[tuple[_Job, Carried[Any] | BaseException]]:
        if not self.database.is_sqlite:  # there the lock costs nothing, and everything begins with it
            with suppress(Exception):  # whatever it is, the second attempt meets it again if it is real
                return self._batch(jobs, locked=False)
        return self._batch(jobs, locked=True)

    def _batch(self, jobs: Sequence[_Job], *, locked: bool) -> list[tuple[_Job, Carried[Any] | BaseException]]:
        with _Session(self.database) as session:
            base = session.lock() if locked else session.start_at(self._head)
            if base != self._head:
                self._forget()  # another process has appended: what is remembered of streams is outdated as well
            known = _carried_out_before(jobs, session)
            batch = _Unit()
            outcomes = [(job, self._one(job, batch, session, known)) for job in jobs]
            new = base
            if batch.drafts or batch.commands:
                rows, new = log.stamped(batch.drafts, base, service=self.database.service, now=rfc3339(self.clock.now()))
                commands = [log.CommandRow(key.command_id, key.digest, new.position, reply) for key, reply in batch.commands]
                session.append(rows, commands, base, new)
            elif not locked:
                raise log.HeadMoved("perhaps: nothing was appended, which would have told")
        reach("log.after-commit")
        self._head = new
        self._keep(batch)
        return [(job, _at(outcome, new.position)) for job, outcome in outcomes]

    def _one(self, job: _Job, batch: _Unit, session: _Session, known: dict[str, log.CommandRow]) -> Carried[Any] | BaseException:
        """One command of a batch. A refusal is its outcome, and nothing that it had decided stays."""
        if job.key is not None and (row := known.get(job.key.command_id)) is not None:
            try:
                return _known_outcome(job.key, row)
            except Refused as refused:
                return refused
        unit = _Unit()

        def before(stream: str) -> _Cached | None:
            return batch.streams.get(stream) or self._streams.get(stream)

        try:
            reply = job.work(Transaction(unit, before, job.origin, self.clock.now(), session))
        except (log.HeadMoved, DBAPIError):
            raise  # after an error of the database, its transaction may be good for nothing
        except Exception as error:
            if unit.wrote:
                raise
            return error
        if job.key is not None and (unit.wrote or unit.drafts):
            text = job.key.dump(reply)
            unit.commands.append((job.key, text))
            known[job.key.command_id] = log.CommandRow(job.key.command_id, job.key.digest, _OF_THIS_BATCH, text)
        batch.take(unit)
        return Carried(reply, _OF_THIS_BATCH)

    def _keep(self, unit: _Unit) -> None:
        for stream, cached in unit.streams.items():
            self._streams[stream] = cached
            self._streams.move_to_end(stream)
        while len(self._streams) > _CACHED_STREAMS:
            self._streams.popitem(last=False)

    def _forget(self) -> None:
        self._head = None
        self._streams.clear()


def _carried_out_before(jobs: Sequence[_Job], session: _Session) -> dict[str, log.CommandRow]:
    """Those of the batch's commands that are in the record already. A lone one is not asked about before the lock: appending it tells."""
    if len(jobs) == 1 and not session.locked:
        return {}
    return log.commands(session.connection(), [job.key.command_id for job in jobs if job.key is not None])


def _known_outcome(key: CommandKey, row: log.CommandRow) -> Carried[Any]:
    if row.digest != key.digest:
        if row.digest == log.ANSWER_LOST:
            text = "This command was carried out before the record was taken back from the bus. Its answer was lost: look at what there is."
            raise Refused("command.answer-lost", text, "`vekha events` shows what it has recorded.")
        raise Refused("command.reused", "This command id was used for another command. Use a new id for a new command.")
    return Carried(key.load(row.reply), row.last_position, before=True)


def _at(outcome: Carried[Any] | BaseException, position: int) -> Carried[Any] | BaseException:
    if isinstance(outcome, Carried) and outcome.position == _OF_THIS_BATCH:
        return Carried(outcome.reply, position, outcome.before)
    return outcome


class _Session:
    """A batch's way to the database. Until it takes the lock, each of its statements is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self.own_types = f"{database.service}."
        self._database = database
        self._base: log.Head | None = None
        self._locked_at: log.Head | None = None
        self._connection: Connection | None = None
        self._stack = ExitStack()

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def connection(self) -> Connection:
        if self._connection is None:
            self._connection = self._stack.enter_context(self._database.unbegun())
        return self._connection

    def start_at(self, remembered: log.Head | None) -> log.Head:
        """The head at which the batch begins: as it is remembered, else as it stands."""
        self._base = remembered or log.head(self.connection())
        return self._base

    def lock(self) -> log.Head:
        """Begins the transaction that alone may append, and answers where. The service's own tables are written under this lock, too:
        two writers that both took it first cannot end up waiting for each other. Raises HeadMoved where the batch began elsewhere."""
        if self._locked_at is None:
            self._stack.enter_context(self._database.transaction_on(self.connection()))
            self._locked_at = log.head(self.connection(), lock=True)
            if self._base not in (None, self._locked_at):
                raise log.HeadMoved
        return self._locked_at

    @property
    def locked(self) -> bool:
        return self._locked_at is not None

    def append(self, rows: Sequence[log.Row], commands: Sequence[log.CommandRow], base: log.Head, new: log.Head) -> None:
        if not self.locked:
            reach("log.before-commit")
        log.write(self.connection(), rows, commands, base, new)
        if self.locked:
            reach("log.before-commit")


def _answer(outcomes: Sequence[tuple[_Job, Carried[Any] | BaseException]], *, committed: Callable[[], None] | None = None) -> None:
    """Tells every caller its outcome, in the caller's own loop. A loop that was closed has nobody left in it who waits."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Job, Carried[Any] | BaseException]]] = {}
    for job, outcome in outcomes:
        by_loop.setdefault(job.loop, []).append((job, outcome))
    for loop, answers in by_loop.items():
        with suppress(RuntimeError):  # it was closed
            loop.call_soon_threadsafe(_resolve, answers, committed)
            committed = None


def _resolve(answers: Sequence[tuple[_Job, Carried[Any] | BaseException]], committed: Callable[[], None] | None) -> None:
    if committed is not None:
        committed()  # before the answers: the relay is on its way when the caller hears of the commit
    for job, outcome in answers:
        if job.future.done():  # the caller has gone; what is committed stays committed
            continue
        if isinstance(outcome, Carried):
            job.future.set_result(outcome)
        elif isinstance(outcome, StopIteration):  # no future takes one: a coroutine could not tell it from its own end
            error = RuntimeError("a command raised StopIteration")
            error.__cause__ = outcome
            job.future.set_exception(error)
        else:
            job.future.set_exception(outcome)
