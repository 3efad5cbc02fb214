"""A replay of the logs from zero restores every projection, and sends, prints and hashes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import typst
from sqlalchemy import Connection, Table, delete, select

from contracts import operations
from eventkit.database import Database, sqlite_url
from eventkit.projection import Projection, checkpoint_table, parked_table
from eventkit.secrets import Secrets
from identity.hashing import Hashing
from notifier.outbox import outbox_table
from tests import record
from tests.conftest import Lived, boards, instance
from vekha.folder import DataFolder
from vekha.records import reading


def _forget(data: Path, service: str, projection: Projection) -> None:
    """Leaves of a service's projection not a row, nor how far it had read."""
    database = Database(sqlite_url(DataFolder(data).database(service)), service)
    with database.writing() as connection:
        for table in reversed(projection.tables.sorted_tables):
            connection.execute(delete(table))
        connection.execute(delete(checkpoint_table).where(checkpoint_table.c.name == projection.name))
        connection.execute(delete(parked_table).where(parked_table.c.reader == projection.name))
    database.close()


def _rows(data: Path, service: str, table: Table) -> list[tuple[Any, ...]]:
    def found(connection: Connection) -> list[tuple[Any, ...]]:
        return sorted((tuple(row) for row in connection.execute(select(table))), key=repr)

    with reading(DataFolder(data), service) as connection:
        return found(connection)


async def test_a_replay_restores_every_projection_and_does_nothing_else(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = lived.copy(tmp_path / "data")
    shutil.rmtree(data / "bus")  # the streams too come from the logs
    for service, projection in record.PROJECTIONS:
        _forget(data, service, projection)
        assert record.projected(data, service, projection)["checkpoint"] == []
    done: list[str] = []

    def mac(_secrets: Secrets, purpose: str, data: bytes) -> str:
        done.append(f"digested for {purpose}")
        return ""

    async def hash_(_hashing: Hashing, password: str) -> str:
        done.append("hashed")
        return ""

    def typeset(*_: object, **days: object) -> None:
        done.append("printed")

    monkeypatch.setattr(Secrets, "mac", mac)
    monkeypatch.setattr(Hashing, "hash", hash_)
    monkeypatch.setattr(typst.Compiler, "compile", typeset, raising=True)
    async with instance(data) as client:
        await client.ask(operations.ADVANCE_CLOCK, operations.AdvanceClock(), timeout_s=60.0)  # is answered when every reader is at the end
        shown = await boards(client)
    assert done == []
    assert shown == lived.boards
    assert record.logs(data) == record.logs(lived.data)  # no command, no message, nothing said anew
    assert _rows(data, "notifier", outbox_table) == _rows(lived.data, "notifier", outbox_table)
    for service, projection in record.PROJECTIONS:
        restored = record.projected(data, service, projection)
        assert restored == record.projected(lived.data, service, projection), (service, projection.name)
