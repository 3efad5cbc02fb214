"""For projections whose rows hold the newest state: what a batch of events leaves of each row, written at once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, insert


class Changes:
    """The last word of a batch on each row, by primary key, written with two statements a table however long the batch is."""

    def __init__(self) -> None:
        self._rows: dict[Table, dict[tuple[Any, ...], dict[str, Any] | None]] = {}

    def put(self, table: Table, **row: Any) -> None:
        """The row is this from now on."""
        self._rows.setdefault(table, {})[_key(table, row)] = row

    def drop(self, table: Table, **key: Any) -> None:
        """There is no such row from now on."""
        self._rows.setdefault(table, {})[_key(table, key)] = None

    def write(self, connection: Connection) -> None:
        for table, rows in self._rows.items():
            this = [column == bindparam(f"the_{column.name}") for column in table.primary_key.columns]
            names = [f"the_{column.name}" for column in table.primary_key.columns]
            connection.execute(delete(table).where(*this), [dict(zip(names, key, strict=True)) for key in rows])
            if kept := [row for row in rows.values() if row is not None]:
                connection.execute(insert(table), kept)


def _key(table: Table, row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in table.primary_key.columns)
