"""The rows of one table as one command sees them: each read once, changed in memory, written together at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Executable, Table, bindparam, delete, select, update

from eventkit.among import among
from eventkit.rows import values_of
from eventkit.store import Transaction

Row = dict[str, Any]
Rows: TypeAlias = Callable[[Executable], Sequence[Any]]
"""Reads rows: from a command's transaction, or from a view that is only looked at."""


class Sheet:
    """Rows by primary key. They are read by the key's first column, all that share its value together."""

    def __init__(self, rows: Rows, table: Table) -> None:
        self._read = rows
        self._table = table
        self._columns = [column.name for column in table.columns]
        self._empty: Row = dict.fromkeys(self._columns)
        self._key = [column.name for column in table.primary_key.columns]
        self._key_of = values_of(self._key)
        self._rows: dict[str, dict[tuple[Any, ...], Row]] = {}
        self._stored: set[tuple[Any, ...]] = set()
        self._changed: dict[tuple[Any, ...], None] = {}
        self._dropped: dict[tuple[Any, ...], None] = {}

    def expect(self, firsts: Iterable[str]) -> None:
        """Reads the rows of these first values at once, so that asking for them costs nothing later."""
        missing = [first for first in dict.fromkeys(firsts) if first not in self._rows]
        if not missing:
            return
        for first in missing:
            self._rows[first] = {}
        for found in self._read(select(self._table).where(among(self._table.c[self._key[0]], missing))):
            row = dict(zip(self._columns, found, strict=True))
            key = self._key_of(row)
            self._rows[key[0]][key] = row
            self._stored.add(key)

    def expect_new(self, first: str) -> None:
        """Announces a first value that nobody can have written yet: there is nothing to read."""
        self._rows.setdefault(first, {})

    def all(self, first: str) -> Sequence[Mapping[str, Any]]:
        """The rows whose key begins with this value."""
        if first not in self._rows:
            self.expect((first,))
        return list(self._rows[first].values())

    def get(self, *key: Any) -> Mapping[str, Any] | None:
        rows = self._rows.get(key[0])
        if rows is None:
            self.expect((key[0],))
            rows = self._rows[key[0]]
        return rows.get(key)

    def put(self, **values: Any) -> None:
        """Changes these columns of a row, or makes it; what is not named stays as it is, and empty in a new row."""
        key = self._key_of(values)
        before = self.get(*key)
        self._rows[key[0]][key] = {**(self._empty if before is None else before), **values}
        self._changed[key] = None

    def drop(self, *key: Any) -> None:
        """There is no such row from now on."""
        if self.get(*key) is None:
            return
        del self._rows[key[0]][key]
        self._changed.pop(key, None)
        if key in self._stored:
            self._dropped[key] = None

    def write(self, tx: Transaction) -> None:
        """Writes what was put or dropped since, with one statement each for the rows gone, the new ones and the changed ones."""
        this = [column == bindparam(f"the_{column.name}") for column in self._table.primary_key.columns]
        names = [f"the_{name}" for name in self._key]
        if self._dropped:
            tx.write(delete(self._table).where(*this), [dict(zip(names, key, strict=True)) for key in self._dropped])
            self._stored -= self._dropped.keys()
            self._dropped.clear()
        rows = [(key, self._rows[key[0]][key]) for key in self._changed]
        if new := [row for key, row in rows if key not in self._stored]:
            tx.insert(self._table, new)
        if changed := [{**row, **{f"the_{name}": row[name] for name in self._key}} for key, row in rows if key in self._stored]:
            tx.write(update(self._table).where(*this), changed)
        self._stored |= self._changed.keys()
        self._changed.clear()
