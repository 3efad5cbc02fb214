"""The record in SQL, on both engines: gapless positions, verbatim bytes, a chain that ten lines can check, no damage that stays hidden."""

import hashlib
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from threading import Barrier
from typing import Any

import psycopg
import pytest
from sqlalchemy import Column, Connection, MetaData, Table, Text, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from contracts.roster import ClassDeclared, ClassHeadcountDeclared
from eventkit import log
from eventkit.database import Database, sqlite_url
from eventkit.event import Draft, Origin
from eventkit.log import CommandRow, Finding, Head, HeadMoved, NewerSchema, Row, head_table, log_table

NINE = "2015-08-17T06:00:00.000000Z"
TEN = "2015-08-17T07:00:00.000000Z"
ELEVEN = "2015-08-17T08:00:00.000000Z"


def headcount(class_id: str = "7a", version: int = 1, pupils: int = 26) -> Draft:
    origin = Origin("director:school-7", f"command-{class_id}-{version}", "correlation")
    event = ClassHeadcountDeclared(class_id=class_id, pupils=pupils)
    return Draft(event, f"class-{class_id}", version, "school-7", date(2015, 8, 17), origin)


def append(database: Database, *drafts: Draft, now: str = TEN) -> tuple[list[Row], Head]:
    with database.writing() as connection:
        base = log.head(connection)
        rows, new = log.stamped(drafts, base, service=database.service, now=now)
        log.write(connection, rows, [], base, new)
    return rows, new


def five_events(database: Database) -> None:
    append(database, headcount("7a", 1), now=NINE)
    append(database, headcount("7b", 1), headcount("7a", 2), now=TEN)
    append(database, headcount("7v", 1), headcount("7b", 2), now=ELEVEN)


def change(database: Database, damage: Callable[[Connection], object]) -> None:
    with database.writing() as connection:
        damage(connection)


def findings(database: Database, up_to: int | None = None) -> list[Finding]:
    with database.reading() as connection:
        return list(log.verify(connection, database.service, up_to=up_to))


def stored_rows(database: Database) -> list[Row]:
    with database.reading() as connection:
        return [Row(**row) for row in connection.execute(select(log_table).order_by(log_table.c.position)).mappings()]


# Appending


def test_an_empty_log_has_a_head_at_position_zero_and_verifies(database: Database) -> None:
    with database.reading() as connection:
        assert log.head(connection).position == 0
        assert log.read(connection, 0, 10) == []
    assert findings(database) == []


def test_a_lone_append_is_at_position_one(database: Database) -> None:
    rows, new = append(database, headcount())
    assert [row.position for row in rows] == [1]
    with database.reading() as connection:
        assert log.head(connection) == new == Head(1, rows[0].hash, TEN)


def test_positions_have_no_gaps_however_the_events_were_batched(database: Database) -> None:
    five_events(database)
    assert [row.position for row in stored_rows(database)] == [1, 2, 3, 4, 5]


def test_what_is_stored_is_what_was_stamped_byte_for_byte(database: Database) -> None:
    declared = ClassDeclared(class_id="7yo", grade=7, letter="Ё", academic_year="2015/2016")
    rows, _ = append(database, headcount("7a"), headcount("7yo")._replace(event=declared))
    assert '"letter":"Ё"'.encode() in rows[1].bytes
    assert stored_rows(database) == rows
    with database.reading() as connection:
        assert log.read(connection, 0, 10) == [
            (1, "evt.roster.school-7.class-headcount-declared.v1", rows[0].bytes),
            (2, "evt.roster.school-7.class-declared.v1", rows[1].bytes),
        ]


def test_a_verifier_of_ten_lines_recomputes_the_chain(database: Database) -> None:
    five_events(database)
    with database.reading() as connection:
        log_id, head = connection.execute(text("SELECT log_id, hash FROM head")).one()
        rows = connection.execute(text("SELECT position, hash, bytes FROM log ORDER BY position")).all()
    chain = hashlib.sha256(f"vekha/roster/{log_id}".encode()).digest()
    for expected, (position, stored_hash, data) in enumerate(rows, start=1):
        chain = hashlib.sha256(chain + bytes(data)).digest()
        assert position == expected == json.loads(data)["position"]
        assert bytes(stored_hash) == chain
    assert bytes(head) == chain


def test_recorded_at_stands_still_while_the_clock_goes_back(database: Database) -> None:
    append(database, headcount("7a"), now=TEN)
    append(database, headcount("7b"), now=NINE)
    append(database, headcount("7v"), now=ELEVEN)
    assert [row.recorded_at for row in stored_rows(database)] == [TEN, TEN, ELEVEN]
    assert findings(database) == []


def test_a_version_of_a_stream_is_taken_once(database: Database) -> None:
    append(database, headcount("7a", 1))
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        append(database, headcount("7b", 1), headcount("7a", 1))
    assert [row.stream for row in stored_rows(database)] == ["class-7a"]
    with database.reading() as connection:
        assert log.head(connection).position == 1


@pytest.mark.parametrize("elsewhere", [{"position": 0}, {"hash": b"\0" * 32}], ids=["position", "hash"])
def test_nothing_is_written_where_the_head_is_elsewhere(database: Database, elsewhere: dict[str, Any]) -> None:
    _, base = append(database, headcount("7a"))
    expected = replace(base, **elsewhere)
    rows, new = log.stamped([headcount("7b")], base, service="roster", now=TEN)
    with pytest.raises(HeadMoved), database.writing() as connection:
        log.write(connection, rows, [CommandRow("c1", "digest", 2, "{}")], expected, new)
    with database.reading() as connection:
        assert log.head(connection) == base
        assert log.commands(connection, ["c1"]) == {}
    assert len(stored_rows(database)) == 1


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_events_and_their_commands_are_written_together(database: Database, count: int) -> None:
    """However many there are: a lone command has a statement of its own."""
    commands = [CommandRow(f"c{n}", f"digest-{n}", count, '{"reply":"ё"}') for n in range(count)]
    with database.writing() as connection:
        base = log.head(connection)
        rows, new = log.stamped([headcount(f"{n}") for n in range(count)], base, service="roster", now=TEN)
        log.write(connection, rows, commands, base, new)
    with database.reading() as connection:
        assert log.commands(connection, [command.command_id for command in commands]) == {c.command_id: c for c in commands}
        assert log.commands(connection, ["another"]) == {}
    assert stored_rows(database) == rows


def test_a_command_may_be_kept_without_an_event(database: Database) -> None:
    with database.writing() as connection:
        base = log.head(connection)
        log.write(connection, [], [CommandRow("c1", "digest", 0, "{}")], base, base)
    with database.reading() as connection:
        assert list(log.commands(connection, ["c1", "c2"])) == ["c1"]
        assert log.head(connection) == base


# Reading


def test_the_history_of_a_stream_is_its_events_in_order(database: Database) -> None:
    append(database, headcount("7a", 1, pupils=20), headcount("7b", 1), headcount("7a", 2, pupils=21))
    append(database, headcount("7a", 3, pupils=22))
    with database.reading() as connection:
        assert [recorded.facts()[1]["pupils"] for recorded in log.history(connection, "class-7a")] == [20, 21, 22]
        assert [recorded.version for recorded in log.history(connection, "class-7a", after=1)] == [2, 3]
        assert log.history(connection, "class-7") == []


def test_a_reader_takes_as_many_as_it_wants_from_where_it_stands(database: Database) -> None:
    five_events(database)
    with database.reading() as connection:
        assert [position for position, _, _ in log.read(connection, after=1, limit=2)] == [2, 3]
        assert [position for position, _, _ in log.read(connection, after=3, limit=100)] == [4, 5]
        assert log.read(connection, after=5, limit=100) == []


@pytest.mark.parametrize(
    ("at", "position"),
    [
        ("2015-08-17T05:59:59.999999Z", 0),
        (NINE, 1),
        ("2015-08-17T06:00:00.000001Z", 1),
        (TEN, 3),
        (ELEVEN, 5),
        ("2030-01-01T00:00:00.000000Z", 5),
    ],
)
def test_what_was_known_at_a_moment_is_the_last_position_recorded_by_then(database: Database, at: str, position: int) -> None:
    five_events(database)
    with database.reading() as connection:
        assert log.position_known_at(connection, at) == position


def test_an_empty_log_knew_nothing_at_any_moment(database: Database) -> None:
    with database.reading() as connection:
        assert log.position_known_at(connection, TEN) == 0


# Opening


def test_a_log_that_is_opened_again_is_the_same_log(database: Database) -> None:
    five_events(database)
    with database.reading() as connection:
        before = log.log_id(connection), log.head(connection)
    again = Database(database.url, "roster")
    again.create()
    with again.reading() as connection:
        assert (log.log_id(connection), log.head(connection)) == before
    again.close()


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_several_processes_that_begin_a_log_at_once_all_find_the_same_one(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str
) -> None:
    url = sqlite_url(tmp_path / "roster.db") if engine == "sqlite" else str(request.getfixturevalue("emptied_postgres"))
    own = MetaData()
    Table("own", own, Column("key", Text, primary_key=True))
    ready = Barrier(6)

    def begin(_: int) -> str:
        database = Database(url, "roster", own)
        ready.wait()
        database.create()
        with database.reading() as connection:
            begun = log.log_id(connection)
        database.close()
        return begun

    with ThreadPoolExecutor(ready.parties) as processes:
        assert len(set(processes.map(begin, range(ready.parties)))) == 1


def test_a_database_of_a_newer_program_is_refused_and_left_alone(database: Database) -> None:
    change(database, lambda connection: connection.execute(update(head_table).values(schema_version=log.FIRST_REVISION + 1)))
    with pytest.raises(NewerSchema, match="has schema 2; this program knows 1"):
        Database(database.url, "roster").create()
    with database.reading() as connection:
        assert connection.execute(select(head_table.c.schema_version)).scalar_one() == log.FIRST_REVISION + 1


def test_the_database_of_another_service_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="the log of roster, not of consent"):
        Database(database.url, "consent").create()


# Verifying


def test_an_untouched_log_verifies(database: Database) -> None:
    five_events(database)
    assert findings(database) == []


@pytest.mark.parametrize("position", [1, 3, 5])
def test_one_changed_byte_is_found_wherever_it_stands(database: Database, position: int) -> None:
    five_events(database)
    original = stored_rows(database)[position - 1].bytes
    places = range(0, len(original), 17)
    for place in places:
        damaged = original[:place] + bytes([original[place] ^ 0x80]) + original[place + 1 :]
        change(
            database, lambda c, damaged=damaged: c.execute(update(log_table).where(log_table.c.position == position).values(bytes=damaged))
        )
        assert {(finding.service, finding.position) for finding in findings(database)} == {("roster", position)}
        assert findings(database)[0].kind == "chain-broken"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("stream", "class-8a"),
        ("version", 7),
        ("type", "roster.class-closed.v1"),
        ("event_id", "another"),
        ("command_id", "another"),
        ("school", "school-8"),
        ("happened_on", "2015-08-18"),
        ("recorded_at", ELEVEN),
    ],
)
def test_a_changed_column_is_found_and_named(database: Database, column: str, value: str | int) -> None:
    five_events(database)
    change(database, lambda connection: connection.execute(update(log_table).where(log_table.c.position == 3).values({column: value})))
    assert findings(database) == [Finding("roster", 3, f"column-differs:{column}")]


def test_every_column_but_the_bytes_is_checked_against_something() -> None:
    checked = {"stream", "version", "type", "event_id", "command_id", "school", "happened_on", "recorded_at"}
    assert {column.name for column in log_table.columns} == checked | {"position", "hash", "bytes"}


def test_a_changed_hash_is_found(database: Database) -> None:
    five_events(database)
    change(database, lambda connection: connection.execute(update(log_table).where(log_table.c.position == 3).values(hash=b"\0" * 32)))
    assert findings(database)[0] == Finding("roster", 3, "chain-broken")


def test_a_rewritten_event_with_a_matching_hash_breaks_the_chain_after_it(database: Database) -> None:
    five_events(database)
    rows = stored_rows(database)
    data = rows[2].bytes.replace(b'"pupils":26', b'"pupils":25')
    forged = hashlib.sha256(rows[1].hash + data).digest()
    change(database, lambda c: c.execute(update(log_table).where(log_table.c.position == 3).values(bytes=data, hash=forged)))
    assert findings(database) == [Finding("roster", 4, "chain-broken")]


def test_a_rewritten_last_event_with_a_matching_hash_is_not_what_the_head_says(database: Database) -> None:
    five_events(database)
    rows = stored_rows(database)
    data = rows[4].bytes.replace(b'"pupils":26', b'"pupils":25')
    forged = hashlib.sha256(rows[3].hash + data).digest()
    change(database, lambda c: c.execute(update(log_table).where(log_table.c.position == 5).values(bytes=data, hash=forged)))
    assert findings(database) == [Finding("roster", 5, "head-differs")]


@pytest.mark.parametrize("position", [1, 3, 5])
def test_a_missing_row_is_found(database: Database, position: int) -> None:
    five_events(database)
    change(database, lambda connection: connection.execute(delete(log_table).where(log_table.c.position == position)))
    assert findings(database)[0] == Finding("roster", position, "missing")


def test_a_row_beyond_the_head_is_found(database: Database) -> None:
    five_events(database)
    with database.reading() as connection:
        base = log.head(connection)
    rows, _ = log.stamped([headcount("8a")], base, service="roster", now=ELEVEN)
    change(
        database, lambda c: c.execute(insert(log_table).values(**{column.name: getattr(rows[0], column.name) for column in log_table.c}))
    )
    assert findings(database) == [Finding("roster", 6, "beyond-head")]


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"position": 4}, [Finding("roster", 5, "beyond-head"), Finding("roster", 4, "head-differs")]),
        ({"position": 6}, [Finding("roster", 6, "missing")]),
        ({"hash": b"\0" * 32}, [Finding("roster", 5, "head-differs")]),
        ({"recorded_at": NINE}, [Finding("roster", 5, "head-differs")]),
        ({"log_id": "another"}, [Finding("roster", 1, "chain-broken")]),
    ],
    ids=["back", "forward", "hash", "recorded_at", "log_id"],
)
def test_a_changed_head_is_found(database: Database, changed: dict[str, Any], found: list[Finding]) -> None:
    five_events(database)
    change(database, lambda connection: connection.execute(update(head_table).values(changed)))
    assert findings(database) == found


@pytest.mark.parametrize("changed", [{"hash": b"\0" * 32}, {"recorded_at": NINE}])
def test_a_changed_head_of_an_empty_log_is_found(database: Database, changed: dict[str, Any]) -> None:
    change(database, lambda connection: connection.execute(update(head_table).values(changed)))
    assert findings(database) == [Finding("roster", 0, "head-differs")]


def test_a_time_that_runs_backwards_is_found_even_in_a_perfect_chain(database: Database) -> None:
    append(database, headcount("7a"), now=TEN)
    with database.writing() as connection:
        base = log.head(connection)
        rows, new = log.stamped([headcount("7b")], replace(base, recorded_at=NINE), service="roster", now=NINE)
        log.write(connection, rows, [], base, replace(new, recorded_at=TEN))
    assert findings(database) == [Finding("roster", 2, "time-runs-backwards")]


def test_several_damages_are_several_findings(database: Database) -> None:
    five_events(database)
    change(database, lambda c: c.execute(update(log_table).where(log_table.c.position == 2).values(school="school-8")))
    change(database, lambda c: c.execute(update(log_table).where(log_table.c.position == 4).values(bytes=b"no envelope")))
    assert findings(database) == [
        Finding("roster", 2, "column-differs:school"),
        Finding("roster", 4, "chain-broken"),
        Finding("roster", 4, "bytes-undecodable"),
    ]


def test_verifying_up_to_a_position_leaves_what_lies_beyond_alone(database: Database) -> None:
    five_events(database)
    change(database, lambda connection: connection.execute(update(log_table).where(log_table.c.position == 4).values(school="school-8")))
    assert findings(database, up_to=3) == []
    assert findings(database, up_to=4) == [Finding("roster", 4, "column-differs:school")]


def test_verifying_a_long_log_reads_it_in_pieces(database: Database) -> None:
    append(database, *(headcount(f"{n}") for n in range(2500)))
    assert findings(database) == []
    change(database, lambda connection: connection.execute(update(log_table).where(log_table.c.position == 2400).values(version=2)))
    assert findings(database) == [Finding("roster", 2400, "column-differs:version")]


# Engines


def test_a_transaction_that_only_reads_cannot_be_surprised_by_an_append(database: Database) -> None:
    append(database, headcount("7a"))
    with database.reading() as connection:
        assert len(log.read(connection, 0, 10)) == 1
        append(database, headcount("7b"))
        assert len(log.read(connection, 0, 10)) == 1
    with database.reading() as connection:
        assert len(log.read(connection, 0, 10)) == 2


def test_a_writing_transaction_is_all_or_nothing(database: Database) -> None:
    def move_the_head_and_stumble(connection: Connection) -> None:
        connection.execute(update(head_table).values(position=9))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change(database, move_the_head_and_stumble)
    with database.reading() as connection:
        assert log.head(connection).position == 0


def test_a_writing_transaction_that_begins_with_an_append_is_all_or_nothing_too(database: Database) -> None:
    with database.reading() as connection:
        base = log.head(connection)
    rows, new = log.stamped([headcount()], base, service="roster", now=TEN)

    def append_and_stumble(connection: Connection) -> None:
        log.write(connection, rows, [CommandRow("c1", "digest", 1, "{}")], base, new)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change(database, append_and_stumble)
    assert stored_rows(database) == []
    with database.reading() as connection:
        assert log.head(connection) == base


def append_on(database: Database, unbegun: Connection, version: int, command_id: str) -> Head:
    base = log.head(unbegun)
    rows, new = log.stamped([headcount("7a", version)], base, service=database.service, now=TEN)
    log.write(unbegun, rows, [CommandRow(command_id, "digest", new.position, "{}")], base, new)
    return new


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_connection_without_a_transaction_appends_in_one_statement_again_and_again_whatever_failed_before(database: Database) -> None:
    def append_and_stumble(connection: Connection) -> None:
        append_on(database, connection, 3, "c3")
        raise ZeroDivisionError

    with database.unbegun() as connection:
        append_on(database, connection, 1, "c1")
        for version, command_id in [(1, "c2"), (2, "c1")]:
            with pytest.raises(psycopg.errors.UniqueViolation, match="already exists"):
                append_on(database, connection, version, command_id)
        with pytest.raises(HeadMoved):
            log.write(connection, [], [], Head(0, b"", TEN), Head(1, b"", TEN))
        append_on(database, connection, 2, "c2")
        with pytest.raises(ZeroDivisionError), database.transaction_on(connection):
            append_and_stumble(connection)  # psycopg rolls back and has the server forget every statement that was prepared
        append_on(database, connection, 3, "c3")
        with database.transaction_on(connection):
            append_on(database, connection, 4, "c4")
        assert append_on(database, connection, 5, "c5").position == 5
    assert [(row.position, row.version) for row in stored_rows(database)] == [(n, n) for n in range(1, 6)]
    assert findings(database) == []


def test_a_commit_is_a_promise(database: Database) -> None:
    """SQLite must sync its log at every commit; PostgreSQL must not have been told to answer before it has."""
    with database.writing() as connection:
        if database.is_sqlite:
            assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2  # FULL
        else:
            assert connection.execute(text("SHOW fsync")).scalar_one() == "on"
            assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"


def test_a_read_only_view_of_a_damaged_row_is_an_error_and_no_guess(database: Database) -> None:
    append(database, headcount("7a"))
    change(database, lambda connection: connection.execute(update(log_table).values(bytes=b"no envelope")))
    with pytest.raises(ValueError, match="JSON"), database.reading() as connection:
        log.history(connection, "class-7a")


def test_an_error_names_the_statement_and_hides_what_was_put_into_it(database: Database) -> None:
    with pytest.raises(DBAPIError, match="nowhere") as raised, database.reading() as connection:
        connection.execute(text("SELECT * FROM nowhere WHERE name = :name"), {"name": "Иванова"})
    assert "Иванова" not in str(raised.value)
