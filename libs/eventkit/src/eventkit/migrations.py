"""The history of a database's tables: numbered revisions, each a file of the package whose tables they are (alembic runs them).

The database says at which revision it is, and the least revision that a program must know to live with it. A program lives with a newer
database as long as no revision has taken away what it uses; it never lives with an older one, because whoever brings a program brings the
tables before it (docs/decisions/migrations.md).
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Inspector, StaticPool, create_engine, inspect, text

VERSION_TABLE = "alembic_version"

_DIGITS = 4
_LOCK_TIMEOUT = "3s"  # behind whoever waits for a table's lock, everybody else waits for that table


_ALONE = threading.Lock()
"""What a revision calls `op` is one for the whole process."""


@dataclass(frozen=True)
class Migrations:
    """The revisions of one database, in a folder of a package. `schema` is where its tables lie, if they have one of their own."""

    package: str
    folder: str = "migrations"
    schema: str | None = None

    @property
    def path(self) -> Path:
        found = importlib.util.find_spec(self.package)
        if found is None or found.origin is None:
            raise ValueError(f"there is no package {self.package}")
        return Path(found.origin).parent / self.folder

    @property
    def head(self) -> int:
        """The last revision that this program knows."""
        return max((int(path.name[:_DIGITS]) for path in self.path.glob("[0-9]*_*.py")), default=0)

    def current(self, connection: Connection) -> int:
        """The revision at which a database is; 0 where it has none."""
        schema = self._schema(connection)
        if not inspect(connection).has_table(VERSION_TABLE, schema=schema):
            return 0
        table = VERSION_TABLE if schema is None else f"{schema}.{VERSION_TABLE}"
        found = connection.execute(text(f"SELECT version_num FROM {table}")).scalar()  # noqa: S608 -- both names are ours
        return 0 if found is None else int(found)

    def upgrade(self, connection: Connection) -> list[int]:
        """Brings a database to the last revision, in the caller's transaction; answers which revisions that took.

        One that is newer stays as it is.
        """
        before = self.current(connection)
        if before >= self.head:
            return []
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
        # Only who has something to migrate waits for it to be imported.
        from alembic import command
        from alembic.config import Config

        config = Config(attributes={"connection": connection, "schema": self._schema(connection)})
        config.set_main_option("script_location", _escaped(Path(__file__).with_name("alembic")))
        config.set_main_option("version_locations", _escaped(self.path))
        config.set_main_option("path_separator", "newline")
        with _ALONE:
            command.upgrade(config, "head")
        return list(range(before + 1, self.head + 1))

    def lacking(self, connection: Connection) -> list[str]:
        """What a SQLite database at the last revision lacks of what the revisions make: tables, columns and indexes, in words."""
        made = create_engine("sqlite://", poolclass=StaticPool)
        try:
            with made.begin() as scratch:
                self.upgrade(scratch)
                return sorted(_lacking(inspect(scratch), inspect(connection)))
        finally:
            made.dispose()

    def _schema(self, connection: Connection) -> str | None:
        return None if connection.dialect.name == "sqlite" else self.schema  # a file has no schemas


def _lacking(made: Inspector, found: Inspector) -> Iterator[str]:
    there = set(found.get_table_names())
    for table in made.get_table_names():
        if table not in there:
            yield f"table {table}"
            continue
        columns = {column["name"] for column in found.get_columns(table)}
        yield from (f"column {table}.{column['name']}" for column in made.get_columns(table) if column["name"] not in columns)
        # Rows that were built anew have indexes of other names.
        indexes = {(index["unique"], *index["column_names"]) for index in found.get_indexes(table)}
        yield from (
            f"index {index['name']}" for index in made.get_indexes(table) if (index["unique"], *index["column_names"]) not in indexes
        )


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")


def numbered(revision: int) -> str:
    """A revision as its file is called."""
    return f"{revision:0{_DIGITS}}"
