"""Rows are inserted many at a time, and found many at a time, on either engine, whatever their number."""

from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Boolean, Column, Date, Insert, Integer, LargeBinary, MetaData, Table, Text, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from eventkit.among import among
from eventkit.database import Database
from eventkit.rows import Inserting, inserting

metadata = MetaData()

thing_table = Table(
    "thing",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("is_whole", Boolean),
    Column("on", Date),
    Column("sealed", LargeBinary),
)

COUNTS = (1, 2, 31, 32, 33, 200)


def things(count: int) -> list[dict[str, object]]:
    one = {"is_whole": True, "on": date(2015, 9, 1), "sealed": b"\x00\xff"}
    return [{"number": number, "name": f"вещь {number}", **one, "is_whole": number % 3 == 0 or None} for number in range(count)]


@pytest.fixture
def tables(database: Database) -> Database:
    with database.writing() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    return database


@pytest.mark.parametrize("count", COUNTS)
def test_rows_are_read_back_as_they_were_inserted(tables: Database, count: int) -> None:
    with tables.writing() as connection:
        inserting(thing_table).rows(connection, things(count))
        found = connection.execute(select(thing_table).order_by(thing_table.c.number)).mappings().all()
    assert [dict(row) for row in found] == things(count)


def test_a_column_that_no_row_names_is_empty(tables: Database) -> None:
    with tables.writing() as connection:
        inserting(thing_table).rows(connection, [{"name": str(number), "number": number} for number in range(40)])
        inserting(thing_table).rows(connection, [{"name": str(whole), "number": 1, "is_whole": whole} for whole in (False, True)])
        found = connection.execute(select(thing_table.c.is_whole, thing_table.c.sealed)).all()
    assert sorted((row.is_whole for row in found), key=str) == [False, *[None] * 40, True]
    assert {row.sealed for row in found} == {None}


def test_a_row_that_is_there_already_is_an_error_that_quotes_no_value(tables: Database) -> None:
    with tables.writing() as connection:
        inserting(thing_table).rows(connection, [{"name": "тайна", "number": 1}])
    others = [{"name": str(number), "number": 1} for number in range(100)]
    with pytest.raises(IntegrityError) as raised, tables.writing() as connection:
        inserting(thing_table).rows(connection, [*others, {"name": "тайна", "number": 1}])
    assert "тайна" not in str(raised.value).replace(str(raised.value.orig), "")
    with tables.reading() as connection:
        assert connection.execute(select(thing_table.c.name)).scalars().all() == ["тайна"]


def test_what_a_statement_says_of_rows_that_are_there_holds_for_many_rows(tables: Database) -> None:
    dialect = sqlite if tables.is_sqlite else postgresql
    insert = dialect.insert(thing_table)
    put: Insert = insert.on_conflict_do_update(index_elements=[thing_table.c.name], set_={"number": insert.excluded.number})
    with tables.writing() as connection:
        Inserting(put).rows(connection, [{"name": str(number), "number": 1} for number in range(50)])
        Inserting(put).rows(connection, [{"name": str(number), "number": 2} for number in range(40, 80)])
        found = connection.execute(select(thing_table.c.name, thing_table.c.number)).all()
    assert {int(row.name): row.number for row in found} == {number: 2 if number >= 40 else 1 for number in range(80)}


@pytest.mark.parametrize("count", [0, *COUNTS])
def test_rows_are_found_among_any_number_of_values(tables: Database, count: int) -> None:
    with tables.writing() as connection:
        inserting(thing_table).rows(connection, things(100))
        wanted = range(50, 50 + count)
        by_name = connection.execute(select(thing_table.c.number).where(among(thing_table.c.name, (f"вещь {one}" for one in wanted))))
        by_number = connection.execute(select(thing_table.c.number).where(among(thing_table.c.number, wanted), thing_table.c.number > 60))
        assert sorted(by_name.scalars()) == [*range(50, min(100, 50 + count))]
        assert sorted(by_number.scalars()) == [*range(61, min(100, 50 + count))]
        quotes = 'it\'s "quoted" \\ and\n'
        inserting(thing_table).rows(connection, [{"name": quotes, "number": 1000}])
        assert connection.execute(select(thing_table.c.number).where(among(thing_table.c.name, [quotes]))).scalars().all() == [1000]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux tells which files a process has open")
def test_what_sqlite_keeps_of_rows_that_a_statement_changes_is_in_no_file(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/roster.db", "roster", metadata)
    database.create()
    with database.writing() as connection:
        inserting(thing_table).rows(connection, things(5000))
        connection.execute(update(thing_table).values(number=thing_table.c.number + 1, name=thing_table.c.name + "."))
        opened = {target for entry in Path("/proc/self/fd").iterdir() if (target := _target(entry)) is not None}
    assert not {target for target in opened if "etilqs" in target}


def _target(entry: Path) -> str | None:
    try:
        return str(entry.readlink())
    except FileNotFoundError:  # the folder itself was open
        return None
