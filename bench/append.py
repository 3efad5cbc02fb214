"""Appending, beside the `eventsourcing` library: one client, 32 clients, and batches of 100, on SQLite and PostgreSQL.

Ours is the whole way of a command: from a coroutine through the append queue, decided, stamped, chained, written with its command id
and the head, committed, and answered. The peer is measured at its fastest: its recorder is handed bytes that are ready, without
deciding or encoding anything, in plain threads; on PostgreSQL through its database functions. Both sync every commit to the disk.
For a lone client the way from a coroutine to a thread and back shows, so the peer is measured with it too.
"""

import asyncio
import tempfile
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg
from eventsourcing.persistence import ApplicationRecorder, InfrastructureFactory, StoredEvent
from sqlalchemy.engine import make_url

from bench.measuring import Figure, Scale, rate, side_by_side
from contracts.event import Event
from contracts.roster import ClassHeadcountDeclared
from eventkit.clock import RealClock
from eventkit.database import Database, sqlite_url
from eventkit.decider import Decider
from eventkit.event import Origin
from eventkit.store import CommandKey, Store, Transaction
from eventkit.testing_servers import new_database, running_postgres

OURS, PEER, FROM_COROUTINE, BARE = "eventkit", "eventsourcing", "eventsourcing called from a coroutine", "a bare one-row commit"
LONE, CLIENTS, BATCH = 3_000, 32, 100
Side = Callable[[str], float]  # takes the URL of an empty database and answers how many events a second went into it
STATE = b"x" * 500  # about what an event of ours takes without its stream, version and type, which the peer stores beside it

COUNTED = Decider[int, int](
    "class", 0, lambda times, n: [ClassHeadcountDeclared(class_id="7a", pupils=(n + i) % 99) for i in range(times)], lambda n, _: n + 1
)


@dataclass(frozen=True)
class Engine:
    """Where both sides write: `empty` makes a database of its own for one run and names it."""

    name: str
    empty: Callable[[ExitStack], str]
    peer: Callable[[str, int], InfrastructureFactory[Any]]


def figures(scale: Scale) -> list[Figure]:
    with running_postgres() as server:
        postgres = Engine(
            f"{_postgres_version(server)}, psycopg", lambda stack: stack.enter_context(new_database(server)), _peer_on_postgres
        )
        sqlite = Engine("SQLite (WAL, FULL), sqlite3", _new_file, _peer_on_sqlite)
        lone = _lone(postgres, scale, to_reach=1.0, others={BARE: lambda url: _bare_commits(url, scale.count(LONE))})
        return [
            *(lone, _many(postgres, scale, to_reach=5.0), _batches(postgres, scale, to_reach=1.5)),
            *(_lone(sqlite, scale), _many(sqlite, scale), _batches(sqlite, scale)),
        ]


def _lone(engine: Engine, scale: Scale, to_reach: float | None = None, others: Mapping[str, Side] = MappingProxyType({})) -> Figure:
    count = scale.count(LONE)
    sides: dict[str, Side] = {
        OURS: lambda url: _ours(url, clients=1, commands=count, events=1),
        PEER: lambda url: _peer(engine, url, clients=1, commands=count, events=1),
        FROM_COROUTINE: lambda url: _peer(engine, url, clients=1, commands=count, events=1, from_coroutine=True),
    }
    return _figure("one client, one event a command", engine, scale, {**sides, **others}, to_reach)


def _many(engine: Engine, scale: Scale, to_reach: float | None = None) -> Figure:
    count = scale.count(19_200)
    sides: dict[str, Side] = {
        OURS: lambda url: _ours(url, clients=CLIENTS, commands=count, events=1),
        PEER: lambda url: _peer(engine, url, clients=CLIENTS, commands=count // 4, events=1),
    }
    return _figure(f"{CLIENTS} clients, one event a command", engine, scale, sides, to_reach)


def _batches(engine: Engine, scale: Scale, to_reach: float | None = None) -> Figure:
    count = scale.count(300)
    sides: dict[str, Side] = {
        OURS: lambda url: _ours(url, clients=1, commands=count, events=BATCH),
        PEER: lambda url: _peer(engine, url, clients=1, commands=count, events=BATCH),
    }
    return _figure(f"one client, {BATCH} events a command", engine, scale, sides, to_reach)


def _figure(what: str, engine: Engine, scale: Scale, sides: Mapping[str, Side], to_reach: float | None) -> Figure:
    def measured(side: Side) -> Callable[[], float]:
        return lambda: _in_an_empty(engine, side)

    runs = side_by_side(scale.rounds, {name: measured(side) for name, side in sides.items()})
    return Figure(f"append, {what}", engine.name, "events/s", runs, to_reach)


def _in_an_empty(engine: Engine, side: Side) -> float:
    with ExitStack() as stack:
        return side(engine.empty(stack))


def _new_file(stack: ExitStack) -> str:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vekha-bench-"))
    return str(sqlite_url(Path(folder) / "log.db"))


# Ours


def _ours(url: str, *, clients: int, commands: int, events: int) -> float:
    database = Database(url, "roster")
    database.create()

    async def client(store: Store, stream: str, count: int) -> None:
        def work(tx: Transaction) -> Sequence[Event]:
            return tx.decide(COUNTED, stream, events, school="school-7", happened_on=date(2015, 8, 17))

        for _ in range(count):
            command_id = uuid.uuid4().hex
            key = CommandKey(command_id, "0" * 64, lambda _: "{}", lambda _: None)
            await store.carry_out(work, Origin("director:school-7", command_id, command_id), key)

    async def clients_on(store: Store, count: int) -> None:
        await asyncio.gather(*(client(store, f"class-{number}", count) for number in range(clients)))

    store = Store(database, RealClock())
    with asyncio.Runner() as runner:
        store.start()
        runner.run(clients_on(store, 10))
        measured = rate(lambda: _run(runner, clients_on(store, commands // clients), commands // clients * clients * events))
        runner.run(store.stop())
    database.close()
    return measured


def _run(runner: asyncio.Runner, work: Coroutine[Any, Any, None], done: int) -> int:
    runner.run(work)
    return done


# The peer


def _peer(engine: Engine, url: str, *, clients: int, commands: int, events: int, from_coroutine: bool = False) -> float:
    with engine.peer(url, clients) as factory, ThreadPoolExecutor(clients) as threads:
        recorder = factory.application_recorder()

        def clients_on(count: int) -> int:
            if from_coroutine:
                asyncio.run(_coroutine(threads, _inserts(recorder, count, events)))
            else:
                for done in [threads.submit(_thread, _inserts(recorder, count, events)) for _ in range(clients)]:
                    done.result()
            return clients * count * events

        clients_on(10)
        return rate(lambda: clients_on(commands // clients))


def _inserts(recorder: ApplicationRecorder, commands: int, events: int) -> Iterator[Callable[[], object]]:
    """What one client has to do, on a stream of its own."""
    stream = uuid.uuid4()
    for first in range(1, commands * events + 1, events):
        stored = [StoredEvent(stream, version, ClassHeadcountDeclared.type, STATE) for version in range(first, first + events)]
        yield lambda stored=stored: recorder.insert_events(stored)


def _thread(inserts: Iterator[Callable[[], object]]) -> None:
    for insert in inserts:
        insert()


async def _coroutine(threads: ThreadPoolExecutor, inserts: Iterator[Callable[[], object]]) -> None:
    for insert in inserts:
        await asyncio.get_running_loop().run_in_executor(threads, insert)


def _peer_on_postgres(url: str, clients: int) -> InfrastructureFactory[Any]:
    address = make_url(url)
    return InfrastructureFactory.construct(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": str(address.database),
            "POSTGRES_HOST": str(address.host),
            "POSTGRES_PORT": str(address.port),
            "POSTGRES_USER": str(address.username),
            "POSTGRES_PASSWORD": "",
            "POSTGRES_POOL_SIZE": str(clients),
            "POSTGRES_ENABLE_DB_FUNCTIONS": "yes",
        }
    )


def _peer_on_sqlite(url: str, clients: int) -> InfrastructureFactory[Any]:
    return InfrastructureFactory.construct(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(make_url(url).database),
            "SQLITE_POOL_SIZE": str(clients),
            "SQLITE_LOCK_TIMEOUT": "60",
        }
    )


# The floor


def _bare_commits(url: str, count: int) -> float:
    """What the disk and the driver allow: one row, no index but its key, in a transaction of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE bare (id bigserial PRIMARY KEY, state bytea)")

        def commits(number: int) -> int:
            for _ in range(number):
                connection.execute("INSERT INTO bare (state) VALUES (%b)", (STATE,), prepare=True)
            return number

        commits(10)
        return rate(lambda: commits(count))


def _postgres_version(url: str) -> str:
    with psycopg.connect(url) as connection:
        number = connection.info.server_version
    return f"PostgreSQL {number // 10_000}.{number % 10_000}"
