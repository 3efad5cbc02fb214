"""Many rows into a table at once.

SQLite's driver lets other threads run at every step of a statement, and waits for its turn behind each of them: a statement of one row
each costs more waiting than work. So on SQLite a statement takes many rows. PostgreSQL's driver sends all of them together by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Dialect, Insert, Table, insert

_ROWS_A_STATEMENT = 32
"""A prepared statement is kept for each connection, and grows with its rows."""

T = TypeVar("T")


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


def row_of(columns: int) -> str:
    return f"({', '.join('?' * columns)})"


def together(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """The rows as they go into statements: few sizes, so that a connection has few statements to keep."""
    first = 0
    for size in (_ROWS_A_STATEMENT, _ROWS_A_STATEMENT // 4, 1):
        while len(rows) - first >= size:
            yield rows[first : first + size]
            first += size


class _Text(NamedTuple):
    """A statement as text and the columns in the order of its parameters; `processed` are those whose values the driver takes otherwise."""

    statement: ManyRows
    columns: tuple[str, ...]
    processed: Sequence[tuple[int, Callable[[Any], Any]]]

    def values(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Sequence[Any]]:
        columns = self.columns
        values = [[row[column] for column in columns] for row in rows]
        for number, process in self.processed:
            for row in values:
                row[number] = process(row[number])
        return values


def _text(statement: Insert, names: Sequence[str], dialect: Dialect) -> _Text:
    compiled: Any = statement.compile(dialect=dialect, column_keys=list(names))
    columns: tuple[str, ...] = tuple(compiled.positiontup)
    row = row_of(len(columns))
    before, values, after = str(compiled).partition(f"VALUES {row}")
    if not values:
        raise ValueError(f"this is no insertion of plain values: {compiled}")
    types = [statement.table.columns[column].type.dialect_impl(dialect) for column in columns]
    processors = [(number, type_.bind_processor(dialect)) for number, type_ in enumerate(types)]
    return _Text(ManyRows(f"{before}VALUES ", row, after), columns, [(number, one) for number, one in processors if one is not None])
