"""The services' databases, opened so that nothing can be changed: for auditors and for doctor, also while the instance runs.

Those of services apart are schemas of one database on a server, where an auditor has a role of its own (`deployment.provisioning`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import Connection, Integer, LargeBinary, Table, Text, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from contracts.event import SERVICES
from eventkit import log, projection
from eventkit.alone import DATABASE_PASSWORD
from eventkit.database import encrypted
from eventkit.log import head_table, log_table
from eventkit.projection import LastRead, checkpoint_table
from eventkit.seals import seal_table
from vekha.failures import Exit, Failure
from vekha.folder import DataFolder, not_permitted
from vekha.migrations import MIGRATIONS

_BUSY_TIMEOUT_S = 30
_CHOKED = (TypeError, ValueError, LookupError, AttributeError, OverflowError, MemoryError)
_TYPES = {Text: "text", LargeBinary: "blob", Integer: "integer"}
_FROM_A_BACKUP = "Put it back from a backup."
_DERIVE = "Stop the instance. What is derived from the logs is derived anew after: vekha doctor --repair"

AUDITOR = "auditor"
"""The role on a database server that reads what this program reads, and nothing else."""


class Unreadable(Failure):
    """The database file is missing or damaged; `position` is that of its log where the damage stands, if that can be told."""

    position: int | None = None


class ReadersDamaged(Unreadable):
    """The log may be whole: it is what was derived from others that cannot be gone on with."""


@contextmanager
def reading(folder: DataFolder, service: str) -> Generator[Connection]:
    """One consistent view of a service's database.

    Raises Unreadable, also for damage that is met later on; and Failure `data.not-readable`, `database.unreachable`, `database.newer` or
    `database.mixed-up` for one that may be sound.
    """
    with _reading_file(folder, service) if folder.database_server is None else _reading_schema(folder, service) as connection:
        yield connection


@contextmanager
def _reading_schema(folder: DataFolder, service: str) -> Generator[Connection]:
    server = make_url(folder.database_server or "")
    name = f"{service}'s schema at {server.render_as_string()}"
    try:
        password = (folder.secrets_folder / DATABASE_PASSWORD).read_text().strip()
    except FileNotFoundError:
        text = f"{folder.secrets_folder / DATABASE_PASSWORD} is missing."
        raise Failure("secret.missing", text, "`vekha deploy accounts` makes it; then bring the containers up.") from None
    except OSError as error:
        raise not_permitted(folder.secrets_folder / DATABASE_PASSWORD, error, "read") from error
    engine = create_engine(
        encrypted(server.set(drivername="postgresql+psycopg", username=AUDITOR, password=password), folder.secrets_folder),
        isolation_level="REPEATABLE READ",
        poolclass=NullPool,
        connect_args={"options": f"-c search_path={service} -c default_transaction_read_only=on -c timezone=UTC"},
        hide_parameters=True,
    )
    try:
        with engine.begin() as connection:
            _check(name, service, connection)
            yield connection
    except DatabaseError as error:
        if not error.connection_invalidated and error.statement is None:
            text = f"The database at {server.render_as_string()} does not let us in: {str(error.orig).strip()}"
            raise Failure("database.unreachable", text, "Is the address right, and is it up?", exit_code=Exit.UNREACHABLE) from error
        raise Unreadable("database.unreadable", f"{name} cannot be read: {str(error.orig).strip()}", _FROM_A_BACKUP) from error
    finally:
        engine.dispose()


@contextmanager
def _reading_file(folder: DataFolder, service: str) -> Generator[Connection]:
    path = folder.database(service)
    try:
        path.open("rb").close()
    except FileNotFoundError:
        raise Unreadable("database.missing", f"{path} is not there.", _FROM_A_BACKUP) from None
    except OSError as error:
        raise not_permitted(path, error, "read") from error
    # SQLite writes a file beside the database even to read it. Who may not needs none, as long as nobody can be writing.
    alone = not os.access(path.parent, os.W_OK, effective_ids=True) and not folder.is_held and not _has_more(path)

    def connect() -> sqlite3.Connection:
        address = f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' if alone else ''}"
        return sqlite3.connect(address, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction] -- SQLAlchemy calls it
        connection.exec_driver_sql("BEGIN")

    try:
        with engine.begin() as connection:
            if (odd := _odd_value(connection, (head_table,))) is not None:
                raise odd.unreadable(path)
            try:
                _check(str(path), service, connection)
                yield connection
            except _CHOKED as error:
                if (odd := _odd_value(connection, (log_table, seal_table, checkpoint_table))) is None:
                    raise
                raise odd.unreadable(path) from error
    except (DatabaseError, sqlite3.DatabaseError) as error:
        reason = error.orig if isinstance(error, DatabaseError) else error
        raise Unreadable("database.unreadable", f"{path} cannot be read: {reason}.", _FROM_A_BACKUP) from error
    finally:
        engine.dispose()


class _Odd(NamedTuple):
    table: str
    position: int | None

    def unreadable(self, path: Path) -> Unreadable:
        text = f"{path} holds something of another type than it should in its table {self.table}."
        unreadable = Unreadable("database.unreadable", text, _FROM_A_BACKUP)
        unreadable.position = self.position
        return unreadable


def _odd_value(connection: Connection, tables: Sequence[Table]) -> _Odd | None:
    """Where a value stands that is not of its column's type: SQLite lets anybody write one, and whoever reads it chokes on it."""
    there = inspect(connection).get_table_names()
    for table in tables:
        if table.name not in there:
            continue
        types = [(column.name, next(name for kind, name in _TYPES.items() if isinstance(column.type, kind))) for column in table.columns]
        place = "position" if table in (log_table, seal_table) else "NULL"
        wrong = " OR ".join(f"typeof({name}) <> '{type_name}'" for name, type_name in types)
        statement = f"SELECT {place} FROM {table.name} WHERE {wrong} ORDER BY 1 LIMIT 1"  # noqa: S608 -- all of it is ours
        if (found := connection.exec_driver_sql(statement).first()) is not None:
            return _Odd(table.name, found[0] if isinstance(found[0], int) else None)
    return None


def check_databases(folder: DataFolder, *, of_readers: bool = True) -> None:
    """Raises Failure where a database is not as an instance needs it to start, with or without readers; nothing is changed by looking."""
    for service in SERVICES:
        try:
            with reading(folder, service) as connection:
                if of_readers:
                    check_readers(folder, service, connection)
        except ReadersDamaged:
            raise
        except Unreadable as unreadable:
            unreadable.hint = f"{_FROM_A_BACKUP} If there is none, this record cannot go on: begin a new one in another folder with --data."
            raise
    if not folder.keys.exists():
        # An empty one in its place would make everybody's details unreadable without a word.
        raise Failure("keys.missing", f"{folder.keys} is not there.", "Put it back from where the keys' backups are kept.")


def check_readers(folder: DataFolder, service: str, connection: Connection) -> None:
    """Raises ReadersDamaged where a reader's checkpoint does not say what it has read: it would read all of it again, or nothing."""
    try:
        if projection.is_created(connection):
            projection.last_read(connection)
    except projection.CheckpointDamaged as damaged:
        text = f"{folder.database(service)} does not say what its reader {damaged} has read: its checkpoint is damaged."
        raise ReadersDamaged("checkpoint.damaged", text, _DERIVE) from damaged


def last_reads(folder: DataFolder) -> list[LastRead]:
    """What the readers of all services have read last of each log, as far as databases can be read. To be asked before the logs' heads."""
    reads: list[LastRead] = []
    for service in SERVICES:
        with suppress(Unreadable, projection.CheckpointDamaged), reading(folder, service) as connection:
            if projection.is_created(connection):
                reads += [replace(read, reader=f"{service}-{read.reader}") for read in projection.last_read(connection)]
    return reads


def unrecognized(connection: Connection, service: str, reads: Sequence[LastRead]) -> Iterator[LastRead]:
    """Those reads of a service that its log does not hold."""
    for read in reads:
        if read.source == service:
            found = log.read(connection, read.position - 1, 1)
            if not found or projection.sha256(found[0][2]) != read.sha256:
                yield read


def _check(name: str, service: str, connection: Connection) -> None:
    found = log.about(connection)
    if found.schema_version > (known := MIGRATIONS[service].head):
        text = f"{name} has schema {found.schema_version}, and this program knows {known}."
        raise Failure("database.newer", text, "Start the newer program that wrote it.")
    if found.service != service:
        raise Failure("database.mixed-up", f"{name} holds the log of {found.service}.", f"Put the database of {service} there.")


def _has_more(path: Path) -> bool:
    """Whether what was committed last may stand in a file beside the database."""
    beside = path.with_name(f"{path.name}-wal")
    return beside.exists() and beside.stat().st_size > 0
