"""Rebuilding the plan tracker's board from the bus, and reading the bus alone, beside FastStream's own batch subscriber and the
`eventsourcing` library.

Some hundred invented schools stand in five real logs; the relay carries them to a real nats-server, and from there the real projection
reads them into an empty database. Each rebuild must end in the same digest, or it was not worth measuring. What else runs on the machine
makes it slower and leaves our processor time as it is, so both are told.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client

from bench.folding import BATCH, fold_with_eventsourcing, fold_with_faststream, read_with_faststream
from bench.measuring import Figure, Scale, side_by_side
from bench.schools import opened_logs, write_logs
from contracts.event import SERVICES
from eventkit import jetstream
from eventkit.broker import EmbeddedBroker
from eventkit.clock import RealClock
from eventkit.database import Database, sqlite_url
from eventkit.following import Durables, Following
from eventkit.jetstream import BusMessage, BusReader
from eventkit.projection import Checkpointed, LastRead, delivered, parked_schools
from eventkit.provision import provision
from eventkit.relay import Quarantine, Relay
from eventkit.runner import ProjectionRunner
from eventkit.store import Store
from eventkit.testing_servers import make_broker, new_database, running_postgres
from plan_tracker.projections import BoardProjection, digest

OURS, DECODED, PEER = "BusReader", "BusReader, decoded", "FastStream"
BOARD, LIBRARY = "BoardProjection", "eventsourcing"
EVENTS, QUICK_EVENTS = 1_000_000, 10_000
LIBRARY_EVENTS = 20_000  # it takes them one by one
TO_REACH = 40_000.0  # a second: a million in 25 s
READ_STREAM = "IDENTITY"  # the longest one
TIMEOUT_S = 300.0
_DURABLES = Durables.of("plan", processes=1)


def figures(scale: Scale) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="vekha-bench-") as scratch, asyncio.Runner() as runner:
        folder = Path(scratch)
        heads = write_logs(folder, QUICK_EVENTS if scale.quick else EVENTS)
        with _running_broker(folder) as broker, running_postgres() as postgres:
            bus = runner.run(_connected(broker))
            try:
                bench = _Bench(runner, broker, bus, heads)
                return [
                    bench.relay(folder),
                    *bench.rebuild("PostgreSQL, SQLAlchemy and psycopg", lambda: new_database(postgres), scale, TO_REACH),
                    *bench.rebuild("SQLite (WAL, FULL), SQLAlchemy and sqlite3", _new_file, scale, None),
                    bench.beside(folder, lambda: new_database(postgres), scale),
                    bench.reading(scale),
                ]
            finally:
                runner.run(jetstream.disconnect(bus))


@dataclass
class _Bench:
    """All that is measured on one broker; `heads` is where the five logs end."""

    runner: asyncio.Runner
    broker: EmbeddedBroker
    bus: Client
    heads: Mapping[str, int]
    found: str | None = None
    """The digest that the first rebuild ended in."""

    @property
    def events(self) -> int:
        return sum(self.heads.values())

    def relay(self, folder: Path) -> Figure:
        """Fills the bus streams, once: they cannot be emptied for another round."""
        took_s = self._timed(lambda: _relay_all(self.bus, folder, self.heads))
        engine = "SQLite to nats-server, nats-py"
        return Figure(f"relay of five logs to the bus, {self.events:,} events", engine, "events/s", {"Relay": [self.events / took_s]})

    def rebuild(
        self, engine: str, empty: Callable[[], contextlib.AbstractContextManager[str]], scale: Scale, to_reach: float | None
    ) -> list[Figure]:
        processor: list[float] = []

        def once() -> float:
            with empty() as url:
                took_s, worked_s = self._rebuilt(url)
            processor.append(self.events / worked_s)
            return self.events / took_s

        runs = side_by_side(scale.rounds, {BOARD: once})
        return [
            Figure(f"rebuild of the board from the bus, {self.events:,} events", engine, "events/s", runs, to_reach),
            Figure("the same, by our processor time", engine, "events/s", {BOARD: processor}),
        ]

    def beside(self, folder: Path, empty: Callable[[], contextlib.AbstractContextManager[str]], scale: Scale) -> Figure:
        """The same fold of the same events, carried by others."""
        logs = opened_logs(folder)

        def ours() -> float:
            with empty() as url:
                return self.events / self._rebuilt(url)[0]

        def faststream() -> float:
            with empty() as url:
                return self.runner.run(fold_with_faststream(self.broker, self.bus, url, logs))

        def library() -> float:
            with empty() as url:
                return fold_with_eventsourcing(url, logs, scale.count(LIBRARY_EVENTS))

        runs = side_by_side(scale.rounds, {BOARD: ours, PEER: faststream, LIBRARY: library})
        for log in logs.values():
            log.close()
        return Figure("the same fold of the same events, beside others", "PostgreSQL, psycopg", "events/s", runs)

    def reading(self, scale: Scale) -> Figure:
        # Full batches: with one that is not, FastStream waits for its time-out.
        count = self.heads[READ_STREAM.lower()] // BATCH * BATCH
        sides: dict[str, Callable[[], Awaitable[None]]] = {
            OURS: lambda: _read(self.bus, count, len),
            PEER: lambda: read_with_faststream(self.broker, self.bus, READ_STREAM, count),
            DECODED: lambda: _read(self.bus, count, _decoded),
        }
        runs = side_by_side(scale.rounds, {name: lambda side=side: count / self._timed(side) for name, side in sides.items()})
        return Figure(f"reading one bus stream, {count:,} events", "nats-server, nats-py", "events/s", runs, to_reach=3.0)

    def _rebuilt(self, url: str) -> tuple[float, float]:
        """How many seconds a rebuild took, and for how many of them we worked."""
        database = Database(url, "plan")
        Checkpointed(database, BoardProjection()).create()
        before_s = time.process_time()
        took_s = self._timed(lambda: _follow(self.bus, database, self.heads))
        worked_s = time.process_time() - before_s
        with database.reading() as connection:
            found, parked = digest(connection), parked_schools(connection, BoardProjection.name)
        database.close()
        self.found = self.found or found
        if parked or found != self.found:
            raise RuntimeError(f"this rebuild is not like the others: {len(parked)} schools are parked")
        return took_s, worked_s

    def _timed(self, work: Callable[[], Awaitable[None]]) -> float:
        """How many seconds it took."""

        async def limited() -> None:
            async with asyncio.timeout(TIMEOUT_S):
                await work()

        started = time.perf_counter()
        self.runner.run(limited())
        return time.perf_counter() - started


# The bus


@contextlib.contextmanager
def _running_broker(folder: Path) -> Generator[EmbeddedBroker]:
    broker = make_broker(folder)
    asyncio.run(broker.start())
    try:
        yield broker
    finally:
        asyncio.run(broker.stop())


async def _connected(broker: EmbeddedBroker) -> Client:
    bus = await jetstream.connect(broker.url, broker.credential, name="bench")
    theirs = [(service.upper(), "faststream") for service in SERVICES]
    await provision(bus, durables=[*_DURABLES.on(SERVICES), *theirs, (READ_STREAM, "ours")])
    return bus


async def _relay_all(bus: Client, folder: Path, heads: Mapping[str, int]) -> None:
    logs = opened_logs(folder)
    relays = [Relay(service, service.upper(), Store(log, RealClock()), bus, _contradicted) for service, log in logs.items()]
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    await asyncio.gather(*(relay.published(heads[relay.service]) for relay in relays))
    await _cancelled(tasks)
    for log in logs.values():
        log.close()


async def _contradicted(quarantine: Quarantine) -> None:
    raise RuntimeError(quarantine.text)


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# The readers


async def _follow(bus: Client, database: Database, heads: Mapping[str, int]) -> None:
    reader = ProjectionRunner(Following(bus, _DURABLES, _no_owner), database, BoardProjection(), _known)
    following = asyncio.create_task(reader.run())
    reached = await reader.reach(heads, TIMEOUT_S)
    await _cancelled([following])
    if not reached:
        raise TimeoutError("the projection did not reach the heads")


async def _no_owner(source: str, after: int, limit: int) -> Sequence[BusMessage]:
    raise RuntimeError(f"a gap in {source} after {after}")


async def _known(read: LastRead) -> bool:
    return True  # the streams were written by this bench, and nobody replaces them


async def _read(bus: Client, count: int, take: Callable[[Sequence[BusMessage]], int]) -> None:
    taken = 0
    async with contextlib.aclosing(BusReader(bus, READ_STREAM, "ours").batches(0)) as batches:
        async for batch in batches:
            taken += take(batch)
            if taken >= count:
                return


def _decoded(batch: Sequence[BusMessage]) -> int:
    return sum(delivered(READ_STREAM.lower(), message).event is not None for message in batch)


@contextlib.contextmanager
def _new_file() -> Generator[str]:
    with tempfile.TemporaryDirectory(prefix="vekha-bench-") as folder:
        yield str(sqlite_url(Path(folder) / "plan.db"))
