"""The private tables of each service that name people, found by their columns: one that is added later is among them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, MetaData, Table

from eventkit import log, projection, reaction
from eventkit.broker import Credential
from eventkit.clock import ManualClock
from eventkit.database import sqlite_url
from eventkit.secrets import Secrets
from eventkit.service import Settings
from tests import record

SCHOOL = "x"
"""The school of every row that is filled in."""

_NAMING = {"person", "recipient", "pupil", "guardian", "subject", "teacher", "receiver"}


def settings(folder: Path, name: str) -> Settings:
    """Of a service that is made ready without a bus."""
    secrets = Secrets.make(folder / "secrets")
    return Settings(
        name=name,
        database_url=sqlite_url(folder / f"{name}.db"),
        nats_url="nats://127.0.0.1:1",
        nats_credential=Credential.read(secrets.broker_password_file),
        secrets=secrets,
        clock=ManualClock(datetime(2015, 8, 17, tzinfo=UTC)),
    )


def private(engine: Engine, name: str) -> list[Table]:
    """What is no fold of a log."""
    folds = [one.tables for service, one in record.PROJECTIONS if service == name]
    derived = {table for one in (*folds, log.metadata, projection.metadata, reaction.metadata) for table in one.tables}
    found = MetaData()
    found.reflect(engine)
    return [table for table in found.sorted_tables if table.name not in derived]


def naming_people(engine: Engine, name: str) -> list[Table]:
    return [table for table in private(engine, name) if _NAMING & set(table.c.keys())]


def filled(table: Table, person: str) -> dict[str, Any]:
    """A row of the table that names this person."""
    values: dict[type, Any] = {str: SCHOOL, int: 1, bytes: b"x", bool: True, date: date(2015, 8, 17)}
    return {column.name: person if column.name in _NAMING else values[column.type.python_type] for column in table.c}
