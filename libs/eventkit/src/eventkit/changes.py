"""For projections whose rows hold the newest state: what a batch of events leaves of each row, written at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Delete, Table, bindparam, delete
from sqlalchemy.dialects import postgresql, sqlite

from eventkit.rows import Inserting, values_of


class Changes:
    """The last word of a batch on each row, by primary key, written with two statements a table however long the batch is."""

    def __init__(self) -> None:
        self._rows: dict[Table, dict[tuple[Any, ...], dict[str, Any] | None]] = {}

    def put(self, table: Table, **row: Any) -> None:
        """The row is this from now on; what is not named is empty."""
        self._rows.setdefault(table, {})[_key_of(table)(row)] = row

    def drop(self, table: Table, **key: Any) -> None:
        """There is no such row from now on."""
        self._rows.setdefault(table, {})[_key_of(table)(key)] = None

    def write(self, connection: Connection) -> None:
        for table, rows in self._rows.items():
            write = _writing(table, connection.dialect.name)
            if gone := [key for key, row in rows.items() if row is None]:
                connection.execute(write.drop, [dict(zip(write.the_key, key, strict=True)) for key in gone])
            if kept := [row for row in rows.values() if row is not None]:
                write.put.rows(connection, kept)


class _Writing(NamedTuple):
    """A table's statements; `the_key` names the parameters by which `drop` finds a row."""

    drop: Delete
    the_key: tuple[str, ...]
    put: Inserting


@cache
def _writing(table: Table, dialect: str) -> _Writing:
    key = table.primary_key.columns
    this = [column == bindparam(f"the_{column.name}") for column in key]
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    others = {column.name: insert.excluded[column.name] for column in table.columns if not column.primary_key}
    put = insert.on_conflict_do_update(index_elements=list(key), set_=others) if others else insert.on_conflict_do_nothing()
    return _Writing(delete(table).where(*this), tuple(f"the_{column.name}" for column in key), Inserting(put))


@cache
def _key_of(table: Table) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    return values_of([column.name for column in table.primary_key.columns])
