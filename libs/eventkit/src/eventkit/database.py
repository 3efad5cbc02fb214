"""One service's database, SQLite or PostgreSQL, with the settings under which a commit is a promise.

SQLite runs in WAL mode with `synchronous=FULL`, and every writing transaction begins IMMEDIATE, one at a time in this
process, so that writers queue here instead of failing there. PostgreSQL keeps its defaults; nothing turns
`synchronous_commit` off. What a projection derives from the logs is no promise: on SQLite its commits do not wait for
the disk.

What is deleted is gone from the file: SQLite writes zeros over it, and `scrub` empties its write-ahead log. What it keeps for the time of a
statement stays in memory: it would be a file outside of the folder. PostgreSQL leaves that to VACUUM and to how long its archives are kept.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, func, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateSchema

from eventkit import log, seals
from eventkit.migrations import Migrations
from eventkit.secrets import AUTHORITY

_BUSY_TIMEOUT_S = 30
_SCRUB_TIMEOUT_MS = 2_000
_IDLE_IN_TRANSACTION_TIMEOUT_MS = 30_000
_TRANSACTION_TIMEOUT_MS = 60_000
"""How long a writing transaction may last on PostgreSQL. A process that is frozen, or cut off, in the middle of a statement for many
rows is not idle to the server, which would wait for the rest of it for ever, with the head's lock in the hands of the one that is gone."""

_PATIENCE = {  # with a server that says nothing: without these a machine that has lost its power is waited for for hours
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 15,  # seconds, as the next
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
_APPLICATION = f"vekha-{token_hex(8)}"
"""What this process calls itself on all its connections."""

_WAL_PAUSE_S = 0.01
_CREATION_LOCK = int.from_bytes(b"vekha")  # any number will do that nobody else locks in a database of ours


class StillRead(RuntimeError):
    """The write-ahead log cannot be emptied now."""


class SchemaUnfit(RuntimeError):
    """A database's tables are not such as this program can live with, and it may not make them so. `code` says how, the text what to do."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class Database:
    """Opens a service's database and makes its tables. `tables` are the service's own, beside the log's.

    Where the tables have a history, that is how they are made; without one they are made as this program has them.
    """

    def __init__(self, url: str | URL, service: str, *tables: MetaData, migrations: Migrations | None = None) -> None:
        self.url = make_url(url)
        self.service = service
        self.tables: tuple[MetaData, ...] = (log.metadata, seals.metadata, *tables)
        self.migrations = migrations
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._write_lock = threading.RLock()
        self._reading = _engine(self.url, begin="BEGIN")
        self._writing = _engine(self.url, begin="BEGIN IMMEDIATE")
        self._beginning_nothing = _engine(self.url, begin=None)
        self._deriving = _engine(self.url, begin="BEGIN IMMEDIATE", synchronous="NORMAL") if self.is_sqlite else self._writing
        self._kept: Connection | None = None

    def create(self) -> None:
        """Makes what tables are missing, whoever else is about to, and brings all to the last revision.

        Raises log.NewerSchema where the database is newer than this program.
        """
        with self.making() as connection:
            if inspect(connection).has_table(log.head_table.name) and log.has_begun(connection):
                log.check(connection, self.service, self._known)
            self._make(connection)
            log.begin(connection, self.service)

    @contextmanager
    def making(self) -> Generator[Connection]:
        """As `writing_at_length`, while nobody else makes anything."""
        with self.writing_at_length() as connection:
            if not self.is_sqlite:  # there whoever writes is alone; here two would both find a table missing, and one fail to make it
                connection.execute(select(func.pg_advisory_xact_lock(_CREATION_LOCK)))
            yield connection

    def check(self) -> None:
        """Raises SchemaUnfit where the tables, which somebody else makes, are not such as this program can live with."""
        if self.migrations is None:
            raise ValueError(f"the tables of {self.service} have no history")
        with self.reading() as connection:
            current, known = self.migrations.current(connection), self._known
            if current < known:
                text = f"The tables of {self.service} are at revision {current}, and this program needs {known}."
                raise SchemaUnfit("schema.older", f"{text} Bring them up to date: vekha deploy provision.")
            if (least := log.about(connection).schema_version) > known:
                text = f"The tables of {self.service} are for programs that know revision {least}, and this one knows {known}."
                raise SchemaUnfit("schema.newer", f"{text} Start the newer program.")

    @property
    def _known(self) -> int:
        return log.FIRST_REVISION if self.migrations is None else self.migrations.head

    def _make(self, connection: Connection) -> None:
        if self.migrations is not None:
            self.migrations.upgrade(connection)
            return
        for tables in self.tables:
            tables.create_all(connection)

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """One consistent view of the database."""
        with self._reading.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """One transaction: committed at the end of the block, rolled back if it raises."""
        with self._write_lock if self.is_sqlite else nullcontext(), self._writing.begin() as connection:
            yield connection

    @contextmanager
    def writing_at_length(self) -> Generator[Connection]:
        """As `writing`, for what takes as long as it takes."""
        with self.writing() as connection:
            if not self.is_sqlite:
                connection.execute(text("SET LOCAL transaction_timeout = 0"))
            yield connection

    @contextmanager
    def deriving(self) -> Generator[Connection]:
        """As `writing`, for rows that can be derived again, together with the checkpoint from which they are.

        On SQLite the commit outlives this process; when the power fails it may be lost, but never without all later commits of the
        file, and whatever `writing` or an append commits after it makes it last.
        """
        with self._write_lock if self.is_sqlite else nullcontext(), self._deriving.begin() as connection:
            yield connection

    @contextmanager
    def unbegun(self) -> Generator[Connection]:
        """A connection on which each statement is a transaction of its own, until `transaction_on` begins one.

        It is kept for the next time: a lone append would feel it if one had to be taken from the pool.
        """
        connection, self._kept = self._kept or self._beginning_nothing.connect(), None
        try:
            yield connection
        finally:
            if connection.invalidated or getattr(connection.connection.driver_connection, "closed", False):
                connection.close()  # the server is gone, or has cut us off
            else:
                self._kept = connection

    @contextmanager
    def transaction_on(self, unbegun: Connection) -> Generator[None]:
        """Makes one transaction of what follows: committed at the end of the block, rolled back if it raises."""
        driver: Any = unbegun.connection.driver_connection
        with self._write_lock if self.is_sqlite else nullcontext():
            driver.execute("BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN ISOLATION LEVEL READ COMMITTED")
            try:
                yield
                driver.commit()
            except BaseException:
                driver.rollback()  # after a commit that failed, too: the connection is kept
                raise

    def is_shared(self, connection: Connection) -> bool:
        """Whether another process is connected as this service. A SQLite file is one process's alone, which holds its folder."""
        if self.is_sqlite:
            return False
        others = text(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename = current_user AND application_name <> :ours"
        )
        return connection.execute(others, {"ours": _APPLICATION}).scalar_one() > 0

    def scrub(self) -> None:
        """Leaves nothing in the file of what was deleted before. Raises StillRead while somebody reads an older state of it."""
        if not self.is_sqlite:
            return
        with self._write_lock, self._beginning_nothing.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={_SCRUB_TIMEOUT_MS}")
            try:
                is_busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_S * 1000}")
        if is_busy:
            raise StillRead(f"{self.service}'s database is being read: what was deleted is still in its write-ahead log")

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
        self._reading.dispose()
        self._writing.dispose()
        self._beginning_nothing.dispose()
        self._deriving.dispose()


class Apart(Database):
    """A service's tables that backups keep apart from all others, and for a short time: keys without which a backup tells nothing.

    They are the tables of one schema: on PostgreSQL a schema of the service's database, on SQLite a file in a folder of that name,
    beside the folder of the databases.
    """

    def __init__(self, beside: str | URL, service: str, schema: str, tables: MetaData, migrations: Migrations) -> None:
        url = make_url(beside)
        self._schema = schema
        if url.get_backend_name() == "sqlite":
            path = Path(url.database or "")
            folder = (path.parent.parent if path.parent.name == "db" else path.parent) / schema
            folder.mkdir(mode=0o700, exist_ok=True)
            url = sqlite_url(folder / path.name)
        super().__init__(url, service, migrations=migrations)
        self.tables = (tables,)
        if self.is_sqlite:  # a file has no schemas
            flat: dict[str | None, str | None] = {schema: None}
            self._reading = self._reading.execution_options(schema_translate_map=flat)
            self._writing = self._writing.execution_options(schema_translate_map=flat)

    def create(self) -> None:
        with self.making() as connection:
            if not self.is_sqlite and not inspect(connection).has_schema(self._schema):  # who may not make one may ask
                connection.execute(CreateSchema(self._schema))
            self._make(connection)


def sqlite_url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path))


def encrypted(url: URL, secrets: Path) -> URL:
    """An address on a server, which has to show a certificate where the folder of secrets says who issues them."""
    authority = secrets / AUTHORITY
    if not authority.is_file():
        return url
    return url.update_query_dict({"sslmode": "verify-full", "sslrootcert": str(authority)})


_ISOLATION = {"BEGIN": "REPEATABLE READ", "BEGIN IMMEDIATE": "READ COMMITTED", None: "AUTOCOMMIT"}


def _engine(url: URL, *, begin: Literal["BEGIN", "BEGIN IMMEDIATE"] | None, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> Engine:
    # An error names the statement it met, never the parameters: those may be personal data.
    if url.get_backend_name() != "sqlite":
        options = f"-c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_TIMEOUT_MS} -c timezone=UTC"
        if begin != "BEGIN":
            options = f"{options} -c transaction_timeout={_TRANSACTION_TIMEOUT_MS}"
        arguments: dict[str, Any] = {"options": options, "application_name": _APPLICATION, **_PATIENCE}
        connecting: dict[str, Any] = {"isolation_level": _ISOLATION[begin], "connect_args": arguments}
        return create_engine(url, pool_size=8, max_overflow=24, pool_pre_ping=True, hide_parameters=True, **connecting)
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:  # pyright: ignore[reportUnusedFunction] -- SQLAlchemy calls it
        # The driver must not begin transactions by itself: it would begin them deferred, and a deferred one that comes
        # to write may find that it cannot.
        driver: Any = connection
        driver.isolation_level = None
        cursor = driver.cursor()
        _begin_wal(cursor)
        for pragma in (f"synchronous={synchronous}", "foreign_keys=ON", "secure_delete=ON", "temp_store=MEMORY"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction] -- SQLAlchemy calls it
        if begin is not None:
            driver: Any = connection.connection.driver_connection
            try:
                driver.execute(begin)  # asked of the driver itself, as it is said more often than anything else
            except sqlite3.OperationalError as error:
                raise OperationalError(begin, None, error) from error

    return engine


def _begin_wal(cursor: sqlite3.Cursor) -> None:
    """Has a file written ahead from its first connection on. SQLite does not wait by itself while another process does the same."""
    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_WAL_PAUSE_S)
        else:
            return
