"""The services' databases, opened so that nothing can be changed: for auditors and for doctor, also while the instance runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from vekha.failures import Failure
from vekha.folder import DataFolder

_BUSY_TIMEOUT_S = 30


class Unreadable(Failure):
    """The database file is missing or damaged."""


@contextmanager
def reading(folder: DataFolder, service: str) -> Generator[Connection]:
    """One consistent view of a service's database. Raises Unreadable, also for damage that is met later on."""
    path = folder.database(service)
    if not path.exists():
        raise Unreadable("database.missing", f"{path} is not there.", "Put it back from a backup.")

    def connect() -> sqlite3.Connection:
        address = f"file:{quote(str(path.absolute()))}?mode=ro"
        return sqlite3.connect(address, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction] -- SQLAlchemy calls it
        connection.exec_driver_sql("BEGIN")

    try:
        with engine.begin() as connection:
            yield connection
    except (DatabaseError, sqlite3.DatabaseError) as error:
        reason = error.orig if isinstance(error, DatabaseError) else error
        raise Unreadable("database.unreadable", f"{path} cannot be read: {reason}.", "Put it back from a backup.") from error
    finally:
        engine.dispose()
