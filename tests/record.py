"""What an instance holds, read from outside: its logs, its bus streams, and its projections beside their rebuilds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from nats.aio.client import Client as Nats
from sqlalchemy import Connection, select

from contracts import SERVICES
from eventkit import log
from eventkit.database import Database, sqlite_url
from eventkit.event import Recorded, decode
from eventkit.jetstream import BusMessage, JetStream
from eventkit.projection import Checkpointed, Place, Projection, delivered, positions
from vekha import bus
from vekha.client import Target
from vekha.folder import DataFolder
from vekha.records import reading
from vekha.replay import PROJECTIONS

__all__ = ["PROJECTIONS"]

Messages = dict[str, list[BusMessage]]
"""Position, subject and bytes of everything that each service has recorded, in order."""

Rows = dict[str, list[tuple[Any, ...]]]
"""Every row of a projection's tables and its checkpoint, in an order that no insertion has a say in."""

_BATCH = 500


class Databases(Protocol):
    """The databases of services that run apart from each other."""

    def reading(self, service: str) -> AbstractContextManager[Connection]:
        """One consistent view of a service's database."""
        ...


Where = Path | Databases
"""Where an instance keeps its record: a data folder, or databases of services apart."""


def opened(where: Where, service: str) -> AbstractContextManager[Connection]:
    """One consistent view of a service's database."""
    return reading(DataFolder(where), service) if isinstance(where, Path) else where.reading(service)


def logs(where: Where) -> Messages:
    found: Messages = {}
    for service in SERVICES:
        with opened(where, service) as connection:
            found[service] = log.read(connection, 0, log.head(connection).position)
    return found


def events(messages: Sequence[BusMessage]) -> list[Recorded]:
    return [decode(data) for _, _, data in messages]


async def streams(nc: Nats) -> Messages:
    """What the bus streams of a running instance hold."""
    api = JetStream(nc)
    found: Messages = {service: [] for service in SERVICES}
    for service, messages in found.items():
        async for batch in api.read_range(service.upper(), 1, await api.last_sequence(service.upper())):
            messages += batch
    return found


def differing(these: Messages, those: Messages) -> dict[str, list[int]]:
    """The positions, by service, that not both hold, or hold differently: a million bytes beside each other tell nobody anything."""
    both = {service: set(these[service]) ^ set(those[service]) for service in these.keys() | those.keys()}
    return {service: sorted({position for position, _, _ in messages}) for service, messages in both.items() if messages}


async def stored_streams(data: Path) -> Messages:
    """What the bus streams of a stopped instance hold."""
    async with bus.opened(Target(DataFolder(data))) as opened:
        assert opened.nc is not None
        return await streams(opened.nc)


def projected(where: Where, service: str, projection: Projection) -> Rows:
    """What a service's projection holds of the logs."""
    with opened(where, service) as connection:
        return rows(connection, projection)


def reached(data: Path, service: str, reader: str) -> dict[str, int]:
    """How far a reader has come, by source."""
    with reading(DataFolder(data), service) as connection:
        return positions(connection, reader)


def rebuilt(projection: Projection, messages: Messages, scratch: Path, skips: Collection[Place] = ()) -> Rows:
    """What a projection makes of the logs from the beginning, one source after another, without what is skipped."""
    database = Database(sqlite_url(scratch), "plan")
    try:
        checkpointed = Checkpointed(database, projection, lambda connection: skips)
        checkpointed.create()
        for source in projection.sources:
            deliveries = [delivered(source, message) for message in messages[source]]
            for first in range(0, len(deliveries), _BATCH):
                checkpointed.apply(deliveries[first : first + _BATCH])
        with database.reading() as connection:
            return rows(connection, projection)
    finally:
        database.close()


def rows(connection: Connection, projection: Projection) -> Rows:
    found: Rows = {"checkpoint": sorted(positions(connection, projection.name).items())}
    for table in projection.tables.sorted_tables:
        found[table.name] = sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
    return found
