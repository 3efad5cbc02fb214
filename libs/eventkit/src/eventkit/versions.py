"""The versions of a projection's rows in one database (DESIGN 2.4): one is live, others lie beside it.

The tables' own names are those of the live version, so whoever reads or writes rows knows of no versions. On PostgreSQL another version
lies in a schema of its own, under the same names, and whoever writes it has that schema first on his path. A SQLite file has no
schemas: there another version's tables have names of their own, and stand under the live ones' inside the transaction that writes
them; nobody else ever sees that. To switch is to exchange the names, in one transaction with both checkpoints.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    and_,
    collate,
    delete,
    func,
    insert,
    select,
    text,
    union,
    update,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.sql import quoted_name

from eventkit import exchange
from eventkit.database import Database
from eventkit.faults import reach
from eventkit.projection import Projection, checkpoint_table, parked_table, positions

metadata = MetaData()

version_table = Table(
    "projection_version",
    metadata,
    Column("projection", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),  # building | same | differs | switching | live | old
    Column("compared", Text),  # JSON
)
"""The versions of each projection; one that was never rebuilt has none here, and its version 1 is live."""

_SHOWN = 20  # differing rows
_SHOWN_CHARACTERS = 200  # of a value
_OLD_VIEWS_TIMEOUT_S = 10.0
_LOCK_TIMEOUT = "300ms"  # less than PostgreSQL waits before it looks for a deadlock and ends somebody else's reading

_Naming = Callable[[str], str]
"""How a table with a name of its own is called at a moment."""

_encode = msgspec.json.Encoder().encode


class Busy(RuntimeError):
    """Somebody reads an older state of the database for too long: try again."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version as it is noted; `compared` is the report of its last comparison."""

    number: int
    state: str
    compared: dict[str, Any] | None = None


class Versioned:
    """A projection whose checkpoint and parked events are those of one version beside the live one."""

    def __init__(self, projection: Projection, number: int) -> None:
        self.name = reader_of(projection.name, number)
        self.sources: tuple[str, ...] = projection.sources
        self.tables = MetaData()  # made by `begin`
        self.apply = projection.apply
        self.wants = projection.wants


def reader_of(projection: str, number: int) -> str:
    """Under which name a version beside the live one keeps its checkpoint."""
    return f"{projection}-v{number}"


class Beside:
    """The database as one version's writer sees it: under the tables' own names stand the rows of that version."""

    def __init__(self, database: Database, projection: Projection, number: int) -> None:
        self.reading = database.reading
        self._database = database
        self._projection = projection
        self._number = number

    @contextmanager
    def writing(self) -> Generator[Connection]:
        with self._database.writing() as connection, self._in_place(connection):
            yield connection

    @contextmanager
    def deriving(self) -> Generator[Connection]:
        with self._database.deriving() as connection, self._in_place(connection):
            yield connection

    @contextmanager
    def _in_place(self, connection: Connection) -> Generator[None]:
        if not self._database.is_sqlite:
            ours = connection.dialect.identifier_preparer.quote(exchange.schema(connection, self._projection.name, self._number))
            path = text("SELECT set_config('search_path', :ours || ', ' || current_setting('search_path'), true)")
            connection.execute(path, {"ours": ours})
            yield
            return
        _rename(connection, self._projection, _plain, _aside)
        _rename(connection, self._projection, _of_version(self._number), _plain)
        yield
        _rename(connection, self._projection, _plain, _of_version(self._number))
        _rename(connection, self._projection, _aside, _plain)


# ---- what versions there are ----------------------------------------------------------------------------------------------


def versions(connection: Connection, projection: str) -> list[Version]:
    """All versions of a projection, by their numbers."""
    table = version_table
    rows = connection.execute(select(table).where(table.c.projection == projection).order_by(table.c.version))
    found = [Version(row.version, row.state, None if row.compared is None else json.loads(row.compared)) for row in rows]
    return found or [Version(1, "live")]


def begin(connection: Connection, projection: Projection) -> int:
    """Makes the tables of a new version, empty, and answers its number."""
    found = versions(connection, projection.name)
    if found == [Version(1, "live")]:
        delete_first = version_table.c.projection == projection.name
        connection.execute(delete(version_table).where(delete_first))
        connection.execute(insert(version_table).values(projection=projection.name, version=1, state="live"))
    number = found[-1].number + 1
    if connection.dialect.name != "sqlite":
        exchange.make(connection, projection.name, number)
    else:
        tables_of(connection, projection, number).create_all(connection)
    connection.execute(insert(version_table).values(projection=projection.name, version=number, state="building"))
    return number


def note(connection: Connection, projection: str, number: int, state: str, compared: Mapping[str, Any] | None = None) -> None:
    """Notes a version's state, and a comparison where there was one."""
    values: dict[str, Any] = {"state": state}
    if compared is not None:
        values["compared"] = json.dumps(compared, ensure_ascii=False)
    ours = (version_table.c.projection == projection) & (version_table.c.version == number)
    connection.execute(update(version_table).where(ours).values(values))


def drop(connection: Connection, projection: Projection, number: int) -> None:
    """Drops a version that is not live, with its checkpoint and what it has parked."""
    if connection.dialect.name != "sqlite":
        exchange.drop(connection, projection.name, number)
    else:
        tables_of(connection, projection, number).drop_all(connection)
    reader = reader_of(projection.name, number)
    connection.execute(delete(checkpoint_table).where(checkpoint_table.c.name == reader))
    connection.execute(delete(parked_table).where(parked_table.c.reader == reader))
    ours = (version_table.c.projection == projection.name) & (version_table.c.version == number)
    connection.execute(delete(version_table).where(ours))


def tables_of(connection: Connection, projection: Projection, number: int) -> MetaData:
    """The tables of a version beside the live one, where they are."""
    copies = MetaData()
    for table in projection.tables.sorted_tables:
        if connection.dialect.name != "sqlite":
            table.to_metadata(copies, schema=exchange.schema(connection, projection.name, number))
            continue
        copy = table.to_metadata(copies, name=_named(table.name, number))
        for index in copy.indexes:
            index.name = quoted_name(_named(str(index.name), number), quote=None)  # in one file no two have the same name
    return copies


# ---- comparing ------------------------------------------------------------------------------------------------------------


def digest(connection: Connection, tables: Sequence[tuple[str, Table]]) -> str:
    """The canonical digest of tables, each with its own name: sha256 over all rows as JSON, in the order of their keys, in hex.

    Texts are ordered byte by byte, so it is the same on every engine.
    """
    result = sha256()
    for name, table in sorted(tables, key=lambda one: one[0]):
        result.update(_encode(f"{name}") + b"\n")
        order = [collate(column, "C") if _is_text_of_postgres(connection, column) else column for column in _key(table)]
        for row in connection.execute(select(table).order_by(*order), execution_options={"yield_per": 2000}):
            result.update(_encode(tuple(row)) + b"\n")
    return result.hexdigest()


def digest_of(connection: Connection, projection: Projection) -> str:
    """The canonical digest of a projection's live rows: what a version with the same rows has as well, whoever made it."""
    return digest(connection, [(table.name, table) for table in projection.tables.sorted_tables])


def compare(connection: Connection, projection: Projection, number: int) -> dict[str, Any]:
    """Compares a version with the live one, row by row where their digests differ.

    Raises ValueError where they stand at other positions.
    """
    reader = reader_of(projection.name, number)
    at = positions(connection, projection.name)
    if positions(connection, reader) != at:
        raise ValueError(f"{reader} does not stand where {projection.name} does")
    theirs = tables_of(connection, projection, number).sorted_tables
    pairs = list(zip(projection.tables.sorted_tables, theirs, strict=True))
    live, rebuilt = (digest(connection, [(pair[0].name, pair[side]) for pair in pairs]) for side in (0, 1))
    differing, differences = _parked_differences(connection, projection, reader, at)
    if live != rebuilt:
        for one, other in pairs:
            more, shown = _differences(connection, one, other)
            differing, differences = differing + more, [*differences, *shown]
    return {"positions": at, "live": live, "rebuilt": rebuilt, "differing": differing, "differences": differences[:_SHOWN]}


def _differences(connection: Connection, live: Table, rebuilt: Table) -> tuple[int, list[dict[str, Any]]]:
    keys = [column.name for column in _key(live)]

    def only_in(one: Table, other: Table) -> Select[Any]:
        alone = select(one).except_(select(other)).subquery()
        return select(*(alone.c[name] for name in keys))

    differing = union(only_in(live, rebuilt), only_in(rebuilt, live)).subquery()
    count = connection.execute(select(func.count()).select_from(differing)).scalar_one()
    shown: list[dict[str, Any]] = []
    for key in connection.execute(select(differing).order_by(*differing.c).limit(_SHOWN)).all():
        before, after = (_row(connection, table, dict(zip(keys, key, strict=True))) for table in (live, rebuilt))
        changed = [column.name for column in live.columns if before.get(column.name) != after.get(column.name)]
        shown.append(
            {
                "table": live.name,
                "key": {name: _shown(value) for name, value in zip(keys, key, strict=True)},
                "live": {name: _shown(before[name]) for name in changed} if before else None,
                "rebuilt": {name: _shown(after[name]) for name in changed} if after else None,
            }
        )
    return count, shown


def _row(connection: Connection, table: Table, key: Mapping[str, object]) -> Mapping[str, object]:
    """The row with a key; empty where there is none."""
    found = connection.execute(select(table).where(and_(*(table.c[name] == value for name, value in key.items()))))
    return dict(found.mappings().first() or {})


def _parked_differences(
    connection: Connection, projection: Projection, reader: str, at: Mapping[str, int]
) -> tuple[int, list[dict[str, Any]]]:
    """What only one of the two has parked; an event before which only the live one could come to stand still is not yet anybody's."""
    table = parked_table

    def parked(name: str) -> set[tuple[str, int]]:
        rows = connection.execute(select(table.c.source, table.c.position).where(table.c.reader == name))
        return {(source, position) for source, position in rows if position <= at[source]}

    live, rebuilt = parked(projection.name), parked(reader)
    shown = [
        {
            "table": table.name,
            "key": {"source": source, "position": str(position)},
            "live": {} if (source, position) in live else None,
            "rebuilt": {} if (source, position) in rebuilt else None,
        }
        for source, position in sorted(live ^ rebuilt)
    ]
    return len(shown), shown


def _key(table: Table) -> list[Column[Any]]:
    return list(table.primary_key.columns) or list(table.columns)


def _is_text_of_postgres(connection: Connection, column: Column[Any]) -> bool:
    return connection.dialect.name == "postgresql" and isinstance(column.type, Text)


def _shown(value: object) -> str:
    shown = _encode(value).decode() if not isinstance(value, str) else value
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"


# ---- switching ------------------------------------------------------------------------------------------------------------


def switch(database: Database, projection: Projection, number: int) -> None:
    """Makes a version live and the live one old, in one transaction. Both stand at the same positions, and nobody moves them meanwhile.

    Raises Busy where somebody goes on reading an older state, and while another process of the service runs: that one would not forget
    what it remembers of the rows.
    """
    if database.is_sqlite:
        _switch(database, projection, number)
        return
    _wait_for_older_views(database)
    try:
        _switch(database, projection, number)
    except OperationalError as error:
        raise Busy("somebody holds a table of the projection") from error


def _switch(database: Database, projection: Projection, number: int) -> None:
    with database.writing() as connection:
        if database.is_shared(connection):
            raise Busy("another process of the service runs")
        live = next(version.number for version in versions(connection, projection.name) if version.state == "live")
        if database.is_sqlite:
            _rename(connection, projection, _plain, _of_version(live))
            _rename(connection, projection, _of_version(number), _plain)
        else:
            connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
            exchange.switch(connection, projection.name, live, number)
        old, new = reader_of(projection.name, live), reader_of(projection.name, number)
        for before, after in ((projection.name, old), (new, projection.name)):
            connection.execute(update(checkpoint_table).where(checkpoint_table.c.name == before).values(name=after))
            connection.execute(update(parked_table).where(parked_table.c.reader == before).values(reader=after))
        note(connection, projection.name, live, "old")
        note(connection, projection.name, number, "live")
        reach("rebuild.before-switch")
    reach("rebuild.after-switch")


def _wait_for_older_views(database: Database) -> None:
    """Waits until nobody reads a state from before now.

    Names are not part of such a view: whoever had read a checkpoint there, and came to the rows only after the switch, would find the
    other version's as it was then.
    """
    with database.writing() as connection:
        now = connection.execute(text("SELECT pg_current_xact_id()::xid::text")).scalar_one()
    older = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND age(backend_xmin) >= age(CAST(:now AS xid)) AND backend_type = 'client backend'"
    )
    deadline = time.monotonic() + _OLD_VIEWS_TIMEOUT_S
    while True:
        with database.writing() as connection:
            if connection.execute(older, {"now": now}).scalar_one() == 0:
                return
        if time.monotonic() > deadline:
            raise Busy("an older state of the database is being read")
        time.sleep(0.02)


# ---- names ----------------------------------------------------------------------------------------------------------------


def _named(name: str, number: int) -> str:
    return f"{name}__v{number}"


def _of_version(number: int) -> _Naming:
    return lambda name: _named(name, number)


def _plain(name: str) -> str:
    return name


def _aside(name: str) -> str:
    return f"{name}__aside"


def _rename(connection: Connection, projection: Projection, before: _Naming, after: _Naming) -> None:
    quote = connection.dialect.identifier_preparer.quote
    for table in projection.tables.sorted_tables:
        connection.execute(text(f"ALTER TABLE {quote(before(table.name))} RENAME TO {quote(after(table.name))}"))
