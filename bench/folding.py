"""What rebuilding the board is measured beside: the same events and the same fold, carried by others.

FastStream's batch subscriber hands over bytes from the same bus streams, and each batch is folded in a transaction; it keeps no
checkpoint. The `eventsourcing` library reads the same events from its own recorder on PostgreSQL and folds them one by one, each in one
transaction with its position, as its projections do. Both are handed our bytes as they are, without what they would decode. Each has to
end in the rows that the fold itself ends in.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
from eventsourcing.application import Application
from eventsourcing.persistence import Mapper, StoredEvent, Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from faststream.security import SASLPlaintext
from nats.aio.client import Client
from sqlalchemy.engine import make_url

from eventkit import log
from eventkit.broker import EmbeddedBroker
from eventkit.database import Database
from eventkit.event import Recorded, decode
from eventkit.jetstream import JetStream
from plan_tracker.domain.facts import fold
from plan_tracker.projections import BoardProjection, digest

BATCH = 500  # with which FastStream was fastest
_DURABLE = "faststream"
_READ_AT_A_TIME = 1000
_TIMEOUT_S = 600.0

Take = Callable[[str, list[bytes]], Awaitable[None]]
"""Is handed a batch and the bus stream that it is from."""


class Differs(RuntimeError):
    """A peer has folded the same events into other rows."""


# FastStream


@asynccontextmanager
async def faststream(broker: EmbeddedBroker, bus: Client, streams: Sequence[str], take: Take) -> AsyncGenerator[None]:
    """Reads bus streams at its fastest: it acknowledges nothing, and hands over bytes instead of decoding them."""

    async def verbatim(message: NatsMessage) -> object:
        return message.body

    def taking(stream: str) -> Callable[[list[bytes]], Awaitable[None]]:
        async def handler(batch: list[bytes]) -> None:
            await take(stream, batch)

        return handler

    security = SASLPlaintext(username=broker.credential.user, password=broker.credential.password.get_secret_value(), use_ssl=False)
    peer = NatsBroker(broker.url, security=security, logger=None)
    for stream in streams:
        await JetStream(bus).ask(f"CONSUMER.RESET.{stream}.{_DURABLE}", {"seq": 1})
        subscriber = peer.subscriber(
            f"evt.{stream.lower()}.>",
            stream=JStream(name=stream, declare=False),
            durable=_DURABLE,
            pull_sub=PullSub(batch_size=BATCH, timeout=1.0, batch=True),
            ack_policy=AckPolicy.MANUAL,
            decoder=verbatim,
        )
        subscriber(taking(stream))
    await peer.start()
    try:
        yield
    finally:
        await peer.stop()


async def read_with_faststream(broker: EmbeddedBroker, bus: Client, stream: str, count: int) -> None:
    taken, done = 0, asyncio.Event()

    async def take(stream: str, batch: list[bytes]) -> None:
        nonlocal taken
        taken += len(batch)
        if taken >= count:
            done.set()

    async with faststream(broker, bus, [stream], take):
        await done.wait()


async def fold_with_faststream(broker: EmbeddedBroker, bus: Client, url: str, logs: Mapping[str, Database]) -> float:
    """How many events a second. Only full batches are read: for one that is not, it would wait."""
    counts = {service: log_head(database) // BATCH * BATCH for service, database in logs.items()}
    left = {service.upper(): count for service, count in counts.items() if count}
    database, board, done = _emptied(url), BoardProjection(), asyncio.Event()

    def write(events: Sequence[Recorded]) -> None:
        with database.deriving() as connection:
            board.apply(connection, events)

    async def take(stream: str, batch: list[bytes]) -> None:
        batch = batch[: left[stream]]
        left[stream] -= len(batch)
        if batch:
            await asyncio.to_thread(write, [decode(data) for data in batch])
        if not any(left.values()):
            done.set()

    started = time.perf_counter()
    async with faststream(broker, bus, list(left), take):
        await done.wait()
        took_s = time.perf_counter() - started
    _compare(database, logs, counts)
    return sum(counts.values()) / took_s


# The eventsourcing library


_ADD = b"""
    INSERT INTO fact (school, source, kind, subject, position, doc) VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (school, source, kind, subject) DO UPDATE SET doc = fact.doc || excluded.doc, position = excluded.position
"""


class _Verbatim(Mapper[uuid.UUID]):
    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        return stored_event.state


class _Events(Application[uuid.UUID]):
    """The application whose events are ours."""

    def construct_mapper(self) -> Mapper[uuid.UUID]:
        return _Verbatim(self.construct_transcoder())


class _Facts(PostgresTrackingRecorder):
    """The view: our table of facts, and its own of positions."""

    def add(self, row: tuple[object, ...] | None, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            if row is not None:
                cursor.execute(_ADD, row, prepare=True)
            self._insert_tracking(cursor, tracking)


class _Board(Projection[_Facts]):
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # pyright: ignore[reportIncompatibleVariableOverride] - it is no dispatcher here
        self.view.add(_row(decode(cast("bytes", domain_event))), tracking)


def fold_with_eventsourcing(url: str, logs: Mapping[str, Database], most: int) -> float:
    """How many events a second, of the first ones of each log."""
    counts = {service: min(log_head(database), most // len(logs)) for service, database in logs.items()}
    database = _emptied(url)
    environment = _environment(url)
    with _Events(env=environment) as application:
        for run in _runs(logs, counts):
            application.recorder.insert_events(
                [StoredEvent(uuid.uuid5(uuid.NAMESPACE_URL, one.stream), one.version, one.type, data) for one, data in run]
            )
    total = sum(counts.values())
    started = time.perf_counter()
    with ProjectionRunner(application_class=_Events, projection_class=_Board, view_class=_Facts, env=environment) as runner:
        runner.wait(total, timeout=_TIMEOUT_S)
        took_s = time.perf_counter() - started
    _compare(database, logs, counts)
    return total / took_s


def _environment(url: str) -> dict[str, str]:
    address = make_url(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(address.database),
        "POSTGRES_HOST": str(address.host),
        "POSTGRES_PORT": str(address.port),
        "POSTGRES_USER": str(address.username),
        "POSTGRES_PASSWORD": "",
    }


def _row(event: Recorded) -> tuple[object, ...] | None:
    """The row that an event adds to; None where it adds nothing."""
    folded = fold(event)
    if folded is None:
        return None
    key, fact = folded
    return (event.school, *key, event.position, msgspec.json.encode(fact).decode() + "\n")


# What is compared


def log_head(database: Database) -> int:
    with database.reading() as connection:
        return log.head(connection).position


def _emptied(url: str) -> Database:
    """The database, with the tables of the board."""
    database = Database(url, "plan", BoardProjection.tables)
    database.create()
    return database


def _runs(logs: Mapping[str, Database], counts: Mapping[str, int]) -> Iterator[list[tuple[Recorded, bytes]]]:
    """The first so many events of each log."""
    for service, database in logs.items():
        after = 0
        while after < counts[service]:
            with database.reading() as connection:
                rows = log.read(connection, after, min(_READ_AT_A_TIME, counts[service] - after))
            yield [(decode(data), data) for _, _, data in rows]
            after = rows[-1][0]


def _compare(database: Database, logs: Mapping[str, Database], counts: Mapping[str, int]) -> None:
    """Raises Differs where the rows are not those of the fold. Closes the database."""
    with database.reading() as connection:
        found = digest(connection)
    with database.writing() as connection:
        for table in BoardProjection.tables.sorted_tables:
            connection.execute(table.delete())
        for run in _runs(logs, counts):
            BoardProjection().apply(connection, [event for event, _ in run])
        expected = digest(connection)
    database.close()
    if found != expected:
        raise Differs(f"the rows of {sum(counts.values()):,} events are not those that the fold ends in")
