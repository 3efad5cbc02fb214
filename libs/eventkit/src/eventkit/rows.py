"""Many rows into a table at once.

SQLite's driver lets other threads run at every step of a statement, and waits for its turn behind each of them: a statement of one row
each costs more waiting than work. So on SQLite a statement takes many rows. PostgreSQL's driver sends all of them together by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Boolean, Connection, Dialect, Insert, LargeBinary, Table, insert

_ROWS_A_STATEMENT = 32
"""A prepared statement is kept for each connection, and grows with its rows."""

T = TypeVar("T")

_AS_THEY_ARE = (Boolean, LargeBinary)
"""SQLite's driver takes their values without any help."""


class Inserting:
    """Inserts rows into one table, as a statement says. It is made once, and all rows that it is given at a time name the same columns."""

    def __init__(self, statement: Insert) -> None:
        self._statement = statement
        self._made: dict[tuple[str, ...], _Text] = {}

    def rows(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Raises what SQLAlchemy raises."""
        if connection.dialect.name != "sqlite" or len(rows) < 2:
            connection.execute(self._statement, rows)
            return
        names = tuple(rows[0])
        text = self._made.get(names)
        if text is None:
            text = self._made[names] = _text(self._statement, names, connection.dialect)
        text.statement.run(connection, text.values(rows))


@cache
def inserting(table: Table) -> Inserting:
    """Inserts rows as they are: raises IntegrityError where one is there."""
    return Inserting(insert(table))


class ManyRows(NamedTuple):
    """A statement for SQLite that inserts rows: what stands before its first row, one row, and what stands behind the last."""

    before: str
    row: str
    after: str = ""

    def run(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        for some in together(rows):
            connection.exec_driver_sql(self.of(len(some)), tuple(chain.from_iterable(some)))

    def of(self, count: int) -> str:
        """The statement for so many rows."""
        return _of(self, count)


@cache
def _of(statement: ManyRows, count: int) -> str:
    return statement.before + ", ".join([statement.row] * count) + statement.after


def values_of(columns: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """From a row to its values in these columns."""
    if len(columns) > 1:
        return itemgetter(*columns)
    (only,) = columns
    return lambda row: (row[only],)


def placeholders(columns: int) -> str:
    return f"({', '.join('?' * columns)})"


def together(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """The rows as they go into statements: few sizes, so that a connection has few statements to keep."""
    first = 0
    for size in (_ROWS_A_STATEMENT, _ROWS_A_STATEMENT // 4, 1):
        while len(rows) - first >= size:
            yield rows[first : first + size]
            first += size


class _Text(NamedTuple):
    """A statement as text and how a row gives its parameters; `processed` are those that the driver does not take as they are."""

    statement: ManyRows
    of_row: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    processed: Sequence[tuple[int, Callable[[Any], Any]]]

    def values(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Sequence[Any]]:
        values = [*map(self.of_row, rows)]
        if not self.processed:
            return values
        changed = [*map(list, values)]
        for number, process in self.processed:
            for row in changed:
                row[number] = process(row[number])
        return changed


def _text(statement: Insert, names: Sequence[str], dialect: Dialect) -> _Text:
    compiled: Any = statement.compile(dialect=dialect, column_keys=list(names))
    columns: tuple[str, ...] = tuple(compiled.positiontup)
    row = placeholders(len(columns))
    before, values, after = str(compiled).partition(f"VALUES {row}")
    if not values:
        raise ValueError(f"this is no insertion of plain values: {compiled}")
    processed: list[tuple[int, Callable[[Any], Any]]] = []
    for number, column in enumerate(columns):
        type_ = statement.table.columns[column].type
        process = type_.dialect_impl(dialect).bind_processor(dialect)
        if process is not None and not isinstance(type_, _AS_THEY_ARE):
            processed.append((number, process))
    return _Text(ManyRows(f"{before}VALUES ", row, after), values_of(columns), processed)
