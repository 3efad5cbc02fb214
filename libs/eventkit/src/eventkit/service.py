"""A service: its record, relay, readers and timers, and the calls that it answers. All five are built from this.

A service's `app.build(settings)` makes one of these, registers its handlers and projections, and hands it to whoever
runs it: the one-process launcher, a container's main, or a test. Only the settings differ.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec
import structlog
from nats.aio.client import Client
from pydantic import SecretStr
from sqlalchemy import Connection, MetaData
from sqlalchemy.engine import URL

from contracts import operations
from contracts.call import Call, Reply, Request, Role
from contracts.event import NO_SCHOOL, SERVICES
from eventkit import exchange, jetstream, versions
from eventkit.access import Known
from eventkit.answering import Answering, Caller, call_reply, kept, secret_fields
from eventkit.broker import Credential
from eventkit.bus import CallServer
from eventkit.calls import CallFailed, CallReply, CallRequest, Calls
from eventkit.clock import DEFAULT_ZONE, Clock, local_day
from eventkit.connection import Connection as BusConnection
from eventkit.database import Database, SchemaUnfit
from eventkit.decider import Refused
from eventkit.environment import LEFT_TERM_DAYS, SignOn
from eventkit.event import Origin, decode
from eventkit.figures import Figure
from eventkit.following import Durables, Following
from eventkit.jetstream import BusMessage
from eventkit.keys import KeyRing
from eventkit.migrations import Migrations
from eventkit.operations import Operations
from eventkit.parking import Parking, skipped
from eventkit.postgres import is_away
from eventkit.projection import Checkpointed, LastRead, Projection, Skipped, last_read, sha256
from eventkit.projection import metadata as projection_metadata
from eventkit.reaction import Inbox, Reaction, ReactionWorker
from eventkit.rebuild import Rebuilding
from eventkit.relay import Quarantine, Relay
from eventkit.repair import Follow
from eventkit.runner import ProjectionRunner
from eventkit.sealing import Sealer
from eventkit.seals import Seal
from eventkit.secrets import Secrets
from eventkit.signing import Signing
from eventkit.store import Carried, CommandKey, Quarantined, Store, Transaction
from eventkit.tasks import ended
from eventkit.telemetry import traceparent, trouble
from eventkit.tokens import Actor, Tokens
from eventkit.witness import Heard, Sealed

_TABLES_POLL_S = 1.0
_TIMER_POLL_S = 30.0  # a real clock may be set by hand: a timer looks again at least this often
_COMPARISON_TIMEOUT_S = 20.0  # a disk that stalls is no reason to answer before knowing
_SEALING_TIMEOUT_S = 2.0  # for all that is left
_DATABASE_PAUSE_S = 0.5
_PROCESSES = 2  # of a service that runs apart: in an upgrade, the one that goes and the one that comes
_READERS_TIMEOUT_S = 2.0  # a service that hangs cannot keep the others from appending

Q = TypeVar("Q", bound=Request)
P = TypeVar("P", bound=Reply)
T = TypeVar("T")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Settings:
    """Everything in which one instance of a service differs from another."""

    name: str
    database_url: URL
    nats_url: str
    nats_credential: Credential
    secrets: Secrets
    clock: Clock
    production: bool = False
    migrates: bool = True
    """Whether the service brings its tables up to date itself; otherwise somebody else does, and it has no right to."""
    smtp_url: str | None = None
    smtp_password: SecretStr | None = None
    mail_from: str | None = None
    monitors_file: str | None = None
    activation_page: str | None = None
    co_signature_age: int | None = None
    esia: SignOn | None = None
    left_term_days: int = LEFT_TERM_DAYS


class Timer(Protocol):
    """Something that happens because of the time. `next_due` is when there is next something to do, None for never."""

    def next_due(self, now: datetime) -> datetime | None: ...

    async def handle(self, now: datetime) -> None: ...


CommandHandler = Callable[[Q, Transaction, Caller], P]
QueryHandler = Callable[[Q, Caller], Awaitable[P]]
Commit = Callable[[Callable[[Transaction], P]], Awaitable[Carried[P]]]
Holding = Callable[[Connection, str, str], Iterable[operations.HeldRecord]]
"""What a service holds on a person, by school and id."""
StepsHandler = Callable[[Q, Caller, Commit[P]], Awaitable[P]]


def happened_on(given: date | None, now: datetime, timezone: str = DEFAULT_ZONE) -> date:
    """The day on which an act was true: today in the school where none is given. Raises Refused `date.in-future`."""
    today = local_day(now, timezone)
    if given is not None and given > today:
        raise Refused("date.in-future", f"{given} has not come yet: it is {today}.")
    return given or today


@dataclass
class _Running:
    """What exists only while the service runs."""

    nc: BusConnection
    server: CallServer
    relay: Relay
    sealer: Sealer
    heard: Heard
    following: Following
    tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])


class Service:
    """One of the five. `tables` are the service's own, in its database beside the log; `migrations` is the history of all of them.

    Without a history the tables are made as they are in this program: for a service of which no database is ever kept.
    """

    def __init__(self, settings: Settings, *tables: MetaData, migrations: Migrations | None = None) -> None:
        self.settings = settings
        self.name = settings.name
        self.clock = settings.clock
        self.secrets = settings.secrets
        self.database = Database(
            settings.database_url, settings.name, versions.metadata, projection_metadata, *tables, migrations=migrations
        )
        self.store = Store(self.database, settings.clock, committed=self._committed)
        self.tokens = Tokens(settings.name, settings.secrets.signing_key(settings.name), settings.secrets.public_keys(), settings.clock)
        self._durables = Durables.of(settings.name, processes=_PROCESSES)
        self.timers: list[Timer] = []
        self.runners: list[ProjectionRunner] = []
        self._projections: list[Projection] = []
        self._on_switch: dict[str, Callable[[], None]] = {}
        self.workers: list[ReactionWorker] = []
        self._at_end: list[Callable[[], None]] = []
        self._apart: list[Database] = []
        self._before_answering: list[Callable[[], None]] = []
        self.restorers: list[Follow] = []
        self._at_start: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._at_stop: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self.answering = Answering(settings.name, self.tokens, before=self.caught_up)
        self._running: _Running | None = None
        self._checkpoints: dict[str, Checkpointed] = {}
        self._is_prepared = False
        self.has_started = False
        self.unfit = ""
        """Why the service does not start: what is wrong with its tables, which somebody else makes."""
        self._contradicted: str | None = None  # what the bus stream, or a reader, holds against the log
        self._holdings: list[Holding] = []
        self.figures: list[Figure] = []
        Operations(self)
        Parking(self)
        self.rebuilding = Rebuilding(self, self.ask_owner)
        self._signing = Signing(self)

    # ---- what a service is made of ------------------------------------------------------------------------------------

    def command(self, call: Call[Q, P]) -> Callable[[CommandHandler[Q, P]], CommandHandler[Q, P]]:
        """Registers who carries out a command. The handler runs inside the append queue's transaction."""

        def register(handler: CommandHandler[Q, P]) -> CommandHandler[Q, P]:
            async def carry_out(request: Q, message: CallRequest, caller: Caller) -> CallReply:
                key = None if message.command_id is None else self._key(call, request, caller)
                carried = await self.store.carry_out(_within_reach(caller, lambda tx: handler(request, tx, caller)), caller.origin, key)
                return call_reply(carried.reply, {self.name: carried.position}, caller.command_id)

            self.answering.register(call, carry_out)
            return handler

        return register

    def command_in_steps(self, call: Call[Q, P]) -> Callable[[StepsHandler[Q, P]], StepsHandler[Q, P]]:
        """Registers who carries out a command that asks other services before its one transaction, or makes something of its outcome.

        The handler has to commit once. What it commits is kept; what it answers is told this once. A command that was carried
        out before is answered without it.
        """

        def register(handler: StepsHandler[Q, P]) -> StepsHandler[Q, P]:
            async def carry_out(request: Q, message: CallRequest, caller: Caller) -> CallReply:
                key = None if message.command_id is None else self._key(call, request, caller)
                carried = None if key is None else await self.store.carried_out(key)
                if carried is not None:
                    return call_reply(carried.reply, {self.name: carried.position}, caller.command_id)
                self.require_appending()
                positions: list[int] = []

                async def commit(work: Callable[[Transaction], P]) -> Carried[P]:
                    committed = await self.store.carry_out(_within_reach(caller, work), caller.origin, key)
                    positions.append(committed.position)
                    return committed

                await self._look(caller)  # before anybody else is asked; the transaction looks again
                reply = await handler(request, caller, commit)
                return call_reply(reply, {self.name: positions[0]}, caller.command_id)

            self.answering.register(call, carry_out)
            return handler

        return register

    def query(self, call: Call[Q, P]) -> Callable[[QueryHandler[Q, P]], QueryHandler[Q, P]]:
        """Registers who answers a query."""

        def register(handler: QueryHandler[Q, P]) -> QueryHandler[Q, P]:
            async def ask(request: Q, message: CallRequest, caller: Caller) -> CallReply:
                at = await self._at()  # before it is read: the answer is as of these positions, or later ones
                await self._look(caller)
                reply = await handler(request, caller)
                if caller.reach is not None:
                    caller.reach.check_all_asked()
                return call_reply(reply, at, message.command_id)

            self.answering.register(call, ask)
            return handler

        return register

    def projection(self, projection: Projection, *, on_switch: Callable[[], None] | None = None) -> None:
        """Registers a projection; `on_switch` forgets what is remembered of its rows when a rebuilt version of them becomes live.

        Raises ValueError where another projection or reaction has the name: they would share a checkpoint.
        """
        if projection.name in [other.name for other in self._projections]:
            raise ValueError(f"{self.name} has two readers with the name {projection.name}")
        self._projections.append(projection)
        if projection.tables not in self.database.tables:
            self.database.tables += (projection.tables,)
        if on_switch is not None:
            self._on_switch[projection.name] = on_switch

    @property
    def projections(self) -> list[Projection]:
        """What the service folds of logs; its reactions' inboxes are not among them."""
        return [projection for projection in self._projections if not isinstance(projection, Inbox)]

    @property
    def readers(self) -> list[Projection]:
        """All that reads logs: what the service folds, and its reactions' inboxes."""
        return list(self._projections)

    def reaction(self, reaction: Reaction) -> None:
        self.projection(Inbox(reaction))
        self.workers.append(ReactionWorker(self.database, reaction, lambda: self.store.quarantine is None))

    def timer(self, timer: Timer) -> None:
        self.timers.append(timer)

    def at_start(self, task: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs beside the service, once it may append: to take up again what a crash had cut off."""
        self._at_start.append(task)

    def at_stop(self, task: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs once the last call is answered: to end what the handlers had begun."""
        self._at_stop.append(task)

    def has_apart(self, database: Database) -> None:
        """Has a database beside its own, whose tables are made and looked at whenever its own are."""
        self._apart.append(database)

    def restores(self, follow: Follow) -> None:
        """Writes what follows in the service's own tables from an event that is taken back from the bus, as far as the event tells."""
        self.restorers.append(follow)

    def before_answering(self, task: Callable[[], None]) -> None:
        """Is done to the database whenever it is opened, before anything else happens with it."""
        self._before_answering.append(task)

    def at_end(self, task: Callable[[], None]) -> None:
        """Is done when the service has stopped."""
        self._at_end.append(task)

    @property
    def durables(self) -> list[tuple[str, str]]:
        """The durable consumers, as pairs of bus stream and name, that must be provisioned for a service that runs apart."""
        return self._durables.on(self.sources)

    def knows(self, known: Known) -> None:
        """Says what the service knows of who belongs where: narrow scopes are held against it."""
        self.answering.known = known

    def holds(self, what: Holding) -> None:
        """Says what the service holds on a person, for that person's dossier. Several things are said one by one."""
        self._holdings.append(what)

    def figure(self, *figures: Figure) -> None:
        """Says what Prometheus is told of this service alone."""
        self.figures.extend(figures)

    def held(self, connection: Connection, school: str, person: str) -> tuple[operations.HeldRecord, ...]:
        """All that it said it holds on a person of a school."""
        return tuple(record for what in self._holdings for record in what(connection, school, person))

    # ---- running ------------------------------------------------------------------------------------------------------

    @property
    def databases(self) -> list[Database]:
        """The service's own, and those that it has apart."""
        return [self.database, *self._apart]

    def make_tables(self) -> None:
        """Makes what tables are missing, and brings all to the last revision. Raises log.NewerSchema."""
        for database in self.databases:
            database.create()
        if not self.database.is_sqlite:
            with self.database.making() as connection:
                exchange.install(connection, {one.name: [table.name for table in one.tables.sorted_tables] for one in self.projections})

    def check_tables(self) -> None:
        """Raises SchemaUnfit where the tables are not such as this program can live with."""
        for database in self.databases:
            database.check()

    def ensure_tables(self) -> None:
        """Makes the tables and brings them up to date; where that is somebody else's to do, looks whether it was done.

        Raises log.NewerSchema, or SchemaUnfit.
        """
        if self.settings.migrates:
            self.make_tables()
        else:
            self.check_tables()

    async def wait_for_tables(self) -> None:
        """Waits until the service's tables, which somebody else makes, are such as this program can live with."""
        while True:
            try:
                await asyncio.to_thread(self.check_tables)
            except SchemaUnfit as unfit:
                if self.unfit != (why := str(unfit)):
                    self.unfit = why
                    _log.error("service.waits-for-its-tables", service=self.name, code=unfit.code)
                await asyncio.sleep(_TABLES_POLL_S)
            else:
                self.unfit = ""
                return

    async def prepare(self) -> None:
        """Opens the database and makes what is missing there; nothing runs yet.

        Raises log.NewerSchema, and SchemaUnfit where the tables are somebody else's to make.
        """
        self.answering.check_complete()

        def prepared() -> None:
            self.ensure_tables()
            for projection in self._projections:
                self._checkpoints[projection.name] = checkpointed = Checkpointed(self.database, projection, _skipped_by(projection))
                checkpointed.take_up()
            self._signing.end_rotation()
            for task in self._before_answering:
                task()

        await asyncio.to_thread(prepared)
        self._is_prepared = True

    async def start(self, *, heard: Collection[str] = (), following: Following | None = None) -> None:
        """Opens the bus, compares the log with its stream and with what its readers have read, and answers calls from then on.

        A service that its stream or a reader contradicts must not append even once. So while JetStream cannot be asked, it
        starts and answers reads, but appends only after the first comparison; once that was made, JetStream may be away.
        Services that are down are not waited for: their readers tell when they start. Those `heard` have told already.
        Its readers read together with each other, or with those of all who share a `following`.
        """
        if not self._is_prepared:
            await self.prepare()
        not_yet = f"{self.name} has not been compared with its bus stream yet: JetStream does not answer."
        self.store.quarantine = self._contradicted or not_yet
        self.store.start()
        nc = await jetstream.connect(self.settings.nats_url, self.settings.nats_credential, name=self.name)
        self.calls = Calls(nc, self._signing.token)
        keys = KeyRing(self.tokens, nc, self.secrets.public_keys())
        told = Heard(nc, keys.of_seals, keys.refresh)
        if following is None:
            await told.start(self.sources)
            following = Following(nc, self._durables, self.ask_owner, partial(Sealed, told, self.ask_owner))
        self.answering.learn_keys = keys.refresh
        relay = Relay(self.name, self.name.upper(), self.store, nc, self._quarantined)
        sealer = Sealer(self.store, nc, self._signing.key, self._quarantined)
        server = CallServer(self.settings.nats_url, self.settings.nats_credential, self.name, self.answering.answer)
        running = self._running = _Running(nc, server, relay, sealer, told, following)
        running.tasks.append(asyncio.create_task(relay.run(), name=f"{self.name}-relay"))
        for projection in self._projections:
            runner = ProjectionRunner(following, self.database, projection, self._ask_whether_known, skipped=_skipped_by(projection))
            self.runners.append(runner)
            await runner.take_up()
            running.tasks.append(asyncio.create_task(runner.run(), name=f"{self.name}-{projection.name}"))
        for worker, runner in zip(self.workers, self._inboxes(), strict=True):
            running.tasks.append(asyncio.create_task(worker.run(), name=f"{self.name}-reaction"))
            runner.on_moved = worker.wake
        await self.rebuilding.resume()
        others = [service for service in SERVICES if service not in (self.name, *heard)]
        opening = asyncio.create_task(self._open(relay, others), name=f"{self.name}-open")
        running.tasks.append(opening)
        await asyncio.wait([opening], timeout=_COMPARISON_TIMEOUT_S)
        for task in self._at_start:
            running.tasks.append(asyncio.create_task(self._run_at_start(task, opening), name=f"{self.name}-start"))
        if self.clock.kind == "real":
            running.tasks += [asyncio.create_task(self._run_timer(timer), name=f"{self.name}-timer") for timer in self.timers]
        await keys.refresh()
        running.tasks.append(asyncio.create_task(keys.keep_learning(), name=f"{self.name}-keys"))
        await server.start()
        self.has_started = True
        _log.info("service.started", service=self.name)

    async def stop(self) -> None:
        """Answers the calls under way, then stops everything else. What is committed is published at the next start at the latest."""
        running = self._running
        self.has_started = False
        if running is not None:
            await running.server.stop()
            await self.rebuilding.stop()
            await ended(running.tasks)
        for task in self._at_stop:
            await task()
        await self.store.stop()
        if running is not None:
            await self.seal_all()
            await jetstream.disconnect(running.nc)
        self._running = None
        self.runners.clear()
        self.database.close()
        for task in self._at_end:
            task()

    @property
    def following(self) -> Following:
        """By which its readers read."""
        return self._live().following

    @property
    def relay(self) -> Relay:
        return self._live().relay

    @property
    def nc(self) -> Client:
        """The service's own connection to the bus."""
        return self._live().nc

    @property
    def forbidden_at(self) -> float | None:
        """When the bus last forbade the service something that it needs, by the monotonic clock."""
        running = self._live()
        return max((at for at in (running.nc.forbidden_at, running.server.forbidden_at) if at is not None), default=None)

    # ---- log and readers -----------------------------------------------------------------------------------------------

    async def last_read(self) -> list[LastRead]:
        """What the service's readers have read last of each source."""
        if not self._projections:
            return []
        return [read for read in await self.read(last_read) if read.reader in self._checkpoints]

    async def last_seal(self, source: str) -> Seal | None:
        """The last seal that a service has kept of its log, as the bus tells it; None where it tells none that holds."""
        return await self._live().heard.last_kept(source)

    async def recognizes(self, read: LastRead) -> bool:
        """Whether the log holds what a reader has read of it. If not, the log was replaced, and the service appends nothing more."""
        found = await self.store.read(read.position - 1, 1)
        if found and sha256(found[0][2]) == read.sha256:
            return True
        if self._contradicted is None:
            known = f"{read.reader} has read {self.name} up to {read.position}, and the log of {self.name}"
            if found:
                quarantine = Quarantine("reader-differs", read.position, f"{known} holds another event there: was its database replaced?")
            else:
                head = await self.store.head()
                text = f"{known} ends at {head}: was its database restored from a backup?"
                quarantine = Quarantine("reader-ahead", head + 1, text)
            await self._quarantined(quarantine)
        return False

    async def note(self, read: LastRead, *, known: bool) -> None:
        """Keeps what the owner of a log said of what was read of it, before the service starts."""
        checkpointed = self._checkpoints[read.reader]
        if known == (read.source in checkpointed.unrecognized):
            await asyncio.to_thread(checkpointed.recognize, read.source, known=known)

    def switched(self, projection: str) -> None:
        """Another version of a projection's rows is live."""
        self._on_switch.get(projection, _nothing)()
        _log.info("projection.switched", service=self.name, reader=projection)

    def reader_name(self, reader: str) -> str:
        """A reader's name among those of all services."""
        return f"{self.name}-{reader}"

    # ---- what handlers use --------------------------------------------------------------------------------------------

    async def read(self, function: Callable[[Connection], T]) -> T:
        """Reads the database in a thread, on one consistent view."""

        def run() -> T:
            with self.database.reading() as connection:
                return function(connection)

        return await asyncio.to_thread(run)

    async def write(self, function: Callable[[Connection], T]) -> T:
        """Writes tables that no event speaks of, in a transaction of their own."""

        def run() -> T:
            with self.database.writing() as connection:
                return function(connection)

        return await asyncio.to_thread(run)

    async def carry_out(self, caller: Caller, work: Callable[[Transaction], T], *, part: str) -> T:
        """One command inside a longer job: its id is the caller's and `part`, so doing the job again repeats nothing.

        What `work` returns is kept as JSON and told again: a plain value without anything secret or personal.
        """
        command_id = f"{caller.command_id}.{part}"
        key = CommandKey(command_id, "", lambda reply: msgspec.json.encode(reply).decode(), msgspec.json.decode)
        origin = replace(caller.origin, command_id=command_id, causation_id=caller.command_id)
        return (await self.store.carry_out(work, origin, key)).reply

    async def caught_up(self, wanted: Mapping[str, int], timeout_s: float = 2.0) -> None:
        """Waits for this service's own readers. Raises Refused `reader.not-caught-up`."""
        reached = await asyncio.gather(*(runner.reach(wanted, timeout_s) for runner in self.runners))
        if not all(reached):
            raise Refused("reader.not-caught-up", f"{self.name} has not read that far yet. Ask again in a moment.")

    def reached(self, reader: str) -> Mapping[str, int]:
        """How far the rows of one of its readers follow each log; its checkpoint may lag by what the reader does not want. Empty before the
        start."""
        return next((runner.positions for runner in self.runners if runner.projection.name == reader), dict[str, int]())

    async def head_of(self, source: str) -> int:
        """Where a log ends that this service reads, its own or another's. Raises Refused or CallFailed as its owner's answer does."""
        if source == self.name:
            return await self.store.head()
        return (await self.calls.call(operations.HEAD[source], operations.Nothing())).reply.position

    async def ask_owner(self, source: str, after: int, limit: int) -> Sequence[BusMessage]:
        """A run of a log, its own or another's, as its owner has it (`witness.Owner`)."""
        limit = min(limit, 500)
        if source == self.name:
            return await self.store.read(after, limit)
        request = operations.ReadLog(after=after, limit=limit)
        run = (await self.calls.call(operations.READ_LOG[source], request)).reply
        return [(row.position, *_subject_and_bytes(source, row)) for row in run.rows]

    def require_appending(self) -> None:
        """Raises Quarantined while the service appends nothing: for what is no command itself, and would wait for one."""
        if self.store.quarantine is not None:
            raise Quarantined(self.store.quarantine)

    def as_itself(self, command_id: str, *, because_of: Origin | None = None, causation_id: str | None = None) -> Caller:
        """A caller for what the service does by itself: a timer's act, the consequence of an event."""
        actor = Actor(Role.SERVICE, self.name)
        correlation = because_of.correlation_id if because_of else command_id
        return Caller(actor, command_id, Origin(str(actor), command_id, correlation, causation_id=causation_id, traceparent=traceparent()))

    def next_due(self) -> datetime | None:
        """When the first of the service's timers has something to do; never while it is quarantined."""
        if self.store.quarantine is not None:
            return None
        now = self.clock.now()
        return min((due for timer in self.timers if (due := timer.next_due(now)) is not None), default=None)

    async def run_due_timer(self) -> None:
        """Handles the timer that is due first, if that is now."""
        now = self.clock.now()
        timers = [(due, timer) for timer in self.timers if (due := timer.next_due(now)) is not None and due <= now]
        if timers and self.store.quarantine is None:
            _, first = min(timers, key=lambda pair: pair[0])
            await first.handle(now)

    # ---- inside -------------------------------------------------------------------------------------------------------

    async def _open(self, relay: Relay, others: Sequence[str]) -> None:
        await relay.compared()
        await self._once_database_is_there(lambda: self._begin(others))

    async def _begin(self, others: Sequence[str]) -> None:
        await asyncio.gather(*(self._hear_readers(service) for service in others if service in operations.READERS[self.name]))
        if self._contradicted is None:
            self.store.quarantine = None
            if await self._signing.begin():
                self._live().tasks.append(asyncio.create_task(self._live().sealer.run(), name=f"{self.name}-seals"))

    async def seal_all(self) -> None:
        """Keeps a seal of all that is recorded, if that can be done now, before nothing more is, or not under the same key."""
        if not self._live().sealer.has_begun:
            return
        try:
            async with asyncio.timeout(_SEALING_TIMEOUT_S):
                await self._live().sealer.seal_all()
        except Exception as error:  # noqa: BLE001 -- whatever it was, the next start seals what is left
            _log.info("seal.left", service=self.name, **trouble(error))

    async def _hear_readers(self, service: str) -> None:
        """Has a service that runs tell what its readers have read of this one's log."""
        try:
            health = (await self.calls.call(operations.HEALTH[service], operations.Nothing(), timeout_s=_READERS_TIMEOUT_S)).reply
        except (CallFailed, Refused) as failed:
            _log.info("readers.not-heard", service=self.name, readers_of=service, code=failed.code)
            return
        for reader in health.readers:
            if self.name in reader.digests:
                name = f"{service}-{reader.name}"
                await self.recognizes(LastRead(name, self.name, reader.positions[self.name], reader.digests[self.name]))

    async def _run_at_start(self, task: Callable[[], Coroutine[Any, Any, None]], opening: asyncio.Task[None]) -> None:
        await asyncio.wait([opening])
        if self.store.quarantine is None:
            try:
                await self._once_database_is_there(task)
            except Exception as error:  # noqa: BLE001 -- a job that was not taken up again must not go unnoticed
                _log.error("start.failed", service=self.name, **trouble(error))

    async def _once_database_is_there(self, task: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Does something that may be done twice, and again as long as the database goes away meanwhile."""
        while True:
            try:
                return await task()
            except Exception as error:
                if not is_away(error):
                    raise
                _log.warning("database.away", service=self.name, **trouble(error))
                await asyncio.sleep(_DATABASE_PAUSE_S)

    async def _look(self, caller: Caller) -> None:
        if (reach := caller.reach) is not None and reach.needs_rows:
            await self.read(lambda connection: reach.look(lambda statement: connection.execute(statement).all()))

    def _key(self, call: Call[Any, Any], request: Request, caller: Caller) -> CommandKey:
        # As it was sent, whatever the order of its fields; without passwords, of which no digest may stand anywhere that is quicker to
        # guess than argon2id.
        body = request.model_dump_json(exclude_unset=True, exclude={*secret_fields(type(request))}).encode()
        digest = self.secrets.mac("command", b"\0".join((call.name.encode(), caller.origin.actor.encode(), body)))
        return CommandKey(caller.command_id, digest, kept, partial(call.reply.model_validate_json, extra="ignore"))

    async def _at(self) -> dict[str, int]:
        """How far the service knows each log: its own as it stands, unless a reader of its own follows that too."""
        positions: dict[str, int] = {}
        for runner in self.runners:
            for source, position in runner.positions.items():
                positions[source] = min(position, positions.get(source, position))
        if self.name not in positions:
            positions[self.name] = await self.store.head()
        return positions

    @property
    def sources(self) -> list[str]:
        """The logs that its readers read."""
        return sorted({source for projection in self._projections for source in projection.sources})

    def _inboxes(self) -> list[ProjectionRunner]:
        return [runner for runner in self.runners if isinstance(runner.projection, Inbox)]

    def _committed(self) -> None:
        if self._running is not None:
            self._running.relay.wake()
            self._running.sealer.wake()

    async def _quarantined(self, quarantine: Quarantine) -> None:
        self.store.quarantine = self._contradicted = quarantine.text
        _log.error("service.quarantined", service=self.name, reason=quarantine.reason, position=quarantine.position)

    async def _ask_whether_known(self, read: LastRead) -> bool | None:
        reader = self.reader_name(read.reader)
        if read.source == self.name:
            return await self.recognizes(replace(read, reader=reader))
        request = operations.Recognize(reader=reader, position=read.position, sha256=read.sha256)
        try:
            return (await self.calls.call(operations.RECOGNIZE[read.source], request)).reply.known
        except (CallFailed, Refused):
            return None  # it is asked again, and asks itself when it starts

    async def _run_timer(self, timer: Timer) -> None:
        """Handles one timer whenever it is due by the real clock."""
        while True:
            pause_s = _TIMER_POLL_S
            try:
                now = self.clock.now()
                due = timer.next_due(now) if self.store.quarantine is None else None
                if due is not None and due <= now:
                    await timer.handle(now)
                    pause_s = 0.05
                elif due is not None:
                    pause_s = (due - now).total_seconds()
            except Exception as error:  # noqa: BLE001 -- a timer that failed is due again
                _log.error("timer.failed", service=self.name, **trouble(error))
                pause_s = 1.0
            await asyncio.sleep(min(pause_s, _TIMER_POLL_S))

    def _live(self) -> _Running:
        if self._running is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._running


def _nothing() -> None:
    """Nothing of the rows is remembered."""


def _skipped_by(projection: Projection) -> Skipped:
    return lambda connection: skipped(connection, projection.name)


def _within_reach(caller: Caller, work: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
    """A command's work, held against its caller's scope in the transaction of the act."""
    reach = caller.reach
    if reach is None or not reach.needs_rows:
        return work

    def checked(transaction: Transaction) -> T:
        reach.look(transaction.rows)
        done = work(transaction)
        reach.check_all_asked()
        return done

    return checked


def _subject_and_bytes(source: str, row: operations.LogRow) -> tuple[str, bytes]:
    data = base64.b64decode(row.bytes)
    try:
        return decode(data).subject, data
    except (msgspec.MsgspecError, ValueError):
        return f"evt.{source}.{NO_SCHOOL}.undecodable", data  # whose it was cannot be told, so it halts its source
