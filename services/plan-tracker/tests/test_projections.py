"""The board's rows on real databases: live and rebuilt, parked and mended, and the boards that are kept between looks."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

import pytest
from sqlalchemy import delete, select

from contracts import EVENTS, SERVICES
from contracts.consent import ConsentWithdrawn, SubjectKind
from contracts.plan import StepCompleted, StepRow
from contracts.roster import (
    ClassCreated,
    ClassDeclared,
    CoordinatorAppointed,
    PersonDetailsChanged,
    Position,
    SchoolOpened,
    StaffDismissed,
    StaffHired,
)
from eventkit.database import Database
from eventkit.event import Recorded, encode
from eventkit.projection import Checkpointed, Delivered, checkpoint_table, delivered
from plan_tracker import boards as boards_module
from plan_tracker.boards import Boards
from plan_tracker.domain.board import SchoolBoard
from plan_tracker.domain.facts import Key
from plan_tracker.projections import BoardProjection, digest, documents, fact_table, reach_table
from plan_tracker.testing import Logs, documents_of

START = date(2015, 8, 17)
LATER = START + timedelta(days=30)


def hired(person: str) -> StaffHired:
    return StaffHired(person=person, position=Position.TEACHER, hired_on=START)


def some_logs(schools: Sequence[str] = ("school-1", "school-2")) -> Logs:
    logs = Logs()
    for school in schools:
        logs.record(school, START, SchoolOpened(school=school, municipality=f"m-{school[-1]}", timezone="Europe/Moscow"))
        logs.adopt(school, START)
        for n in range(5):
            logs.record(school, START + timedelta(days=n), hired(f"{school}-{n}"), CoordinatorAppointed(person=f"{school}-{n % 2}"))
        logs.record(school, START, ClassDeclared(class_id=f"{school}-1a", grade=1, letter="А", academic_year="2015/2016"))
        withdrawn = ConsentWithdrawn(consent_id="c", subject=f"{school}-1", subject_kind=SubjectKind.STAFF)
        logs.record(school, START, withdrawn, StepCompleted(step=4, revision=1, day=START))
    return logs


def deliveries(events: Iterable[Recorded]) -> list[Delivered]:
    return [delivered(event.service, (event.position, event.subject, encode(event))) for event in events]


def projected(database: Database) -> Checkpointed:
    checkpointed = Checkpointed(database, BoardProjection())
    checkpointed.create()
    return checkpointed


def digest_of(database: Database) -> str:
    with database.reading() as connection:
        return digest(connection)


def rows_of(boards: Boards, database: Database, school: str, day: date = LATER) -> tuple[Mapping[str, int], Sequence[StepRow]]:
    with database.reading() as connection, boards.look(connection) as look:
        return look.at, look.board(school).rows(day)


def rows_from_scratch(logs: Logs, school: str, day: date = LATER) -> object:
    board = SchoolBoard(school)
    board.replace(documents_of(school, logs.all()))
    return {source: len(log) for source, log in logs.events.items()}, board.rows(day)


def test_batches_of_any_size_and_any_interleaving_end_in_the_same_rows(database: Database) -> None:
    events = some_logs().all()
    checkpointed = projected(database)
    checkpointed.apply(deliveries(events))
    at_once = digest_of(database)
    with database.writing() as connection:
        for table in (fact_table, reach_table, checkpoint_table):
            connection.execute(delete(table))
    checkpointed = projected(database)
    by_source = {source: [event for event in events if event.service == source] for source in ("plan", "roster", "consent")}
    for n in range(0, 40, 3):
        for log in by_source.values():
            checkpointed.apply(deliveries(log[n : n + 3]))
    assert digest_of(database) == at_once


def test_the_rows_are_the_documents_that_folding_in_memory_makes(database: Database) -> None:
    logs = some_logs()
    projected(database).apply(deliveries(logs.all()))
    with database.reading() as connection:
        found = {
            key: facts for source in ("roster", "consent", "plan") for key, facts in documents(connection, "school-1", source, 0).items()
        }
        found |= documents(connection, "_", "plan", 0)
    assert {key: list(facts) for key, facts in found.items()} == {
        key: list(facts) for key, facts in documents_of("school-1", logs.all()).items()
    }


def test_only_documents_with_facts_after_a_position_are_read_again_and_then_whole(database: Database) -> None:
    logs = some_logs(["school-1"])
    checkpointed = projected(database)
    checkpointed.apply(deliveries(logs.all()))
    logs.record("school-1", START, StaffDismissed(person="school-1-3"))
    checkpointed.apply(deliveries(logs.events["roster"][-1:]))
    with database.reading() as connection:
        changed = documents(connection, "school-1", "roster", len(logs.events["roster"]) - 1)
    assert {key: [fact[2] for fact in facts] for key, facts in changed.items()} == {
        Key("roster", "staff", "school-1-3"): ["staff-dismissed", "staff-hired"]
    }


def test_a_board_kept_between_looks_is_the_one_made_from_scratch(database: Database) -> None:
    logs, boards, checkpointed = some_logs(), Boards(), projected(database)
    checkpointed.apply(deliveries(logs.all()))
    assert rows_of(boards, database, "school-1") == rows_from_scratch(logs, "school-1")
    logs.record("school-1", LATER, ClassCreated(class_id="school-1-1a", shift=1), StaffDismissed(person="school-1-0"))
    logs.record("school-2", LATER, hired("somebody"))
    checkpointed.apply(deliveries(logs.events["roster"][-3:]))
    assert rows_of(boards, database, "school-1") == rows_from_scratch(logs, "school-1")
    assert rows_of(boards, database, "school-1") == rows_from_scratch(logs, "school-1")
    assert rows_of(boards, database, "school-2") == rows_from_scratch(logs, "school-2")


def test_a_look_is_at_the_positions_that_its_rows_are_known_to_follow_where_the_checkpoint_lags(database: Database) -> None:
    logs, checkpointed = some_logs(), projected(database)
    checkpointed.apply(deliveries(logs.all()))
    read = checkpointed.positions
    boards = Boards(lambda: {**read, "consent": read["consent"] + 7, "roster": read["roster"] - 1})
    at, rows = rows_of(boards, database, "school-1")
    assert at == {**dict.fromkeys(SERVICES, 0), **read, "consent": read["consent"] + 7}
    assert rows == rows_of(Boards(), database, "school-1")[1]


def test_no_more_boards_are_kept_than_there_is_room_for(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards_module, "_KEPT", 1)
    logs, boards = some_logs(), Boards()
    projected(database).apply(deliveries(logs.all()))
    for school in ("school-1", "school-2", "school-1"):
        assert rows_of(boards, database, school) == rows_from_scratch(logs, school)
    assert list(boards.kept) == ["school-1"]


def test_outlines_follow_what_happens_in_each_school(database: Database) -> None:
    logs, boards, checkpointed = some_logs(), Boards(), projected(database)
    checkpointed.apply(deliveries(logs.all()))

    def step_12() -> dict[str, tuple[str, str]]:
        with database.reading() as connection, boards.look(connection) as look:
            return {school: (outline.municipality, outline.on(LATER)[11].state) for school, outline in look.outlines().items()}

    assert step_12() == {"school-1": ("m-1", "not_started"), "school-2": ("m-2", "not_started")}
    logs.record("school-2", START, ClassCreated(class_id="school-2-1a", shift=1))
    checkpointed.apply(deliveries(logs.events["roster"][-1:]))
    assert step_12() == {"school-1": ("m-1", "not_started"), "school-2": ("m-2", "done")}


def test_a_database_put_back_from_an_older_copy_is_believed(database: Database) -> None:
    logs, boards = some_logs(), Boards()
    projected(database).apply(deliveries(logs.all()))
    rows_of(boards, database, "school-1")
    with database.writing() as connection:
        for table in (fact_table, reach_table, checkpoint_table):
            connection.execute(delete(table))
    older = some_logs(["school-1"])
    projected(database).apply(deliveries(older.all()))
    assert rows_of(boards, database, "school-1") == rows_from_scratch(older, "school-1")


def test_a_board_as_known_leaves_out_what_was_recorded_later(database: Database) -> None:
    logs, boards, checkpointed = some_logs(["school-1"]), Boards(), projected(database)
    then = rows_from_scratch(logs, "school-1")
    known = {source: len(log) for source, log in logs.events.items()}
    logs.record("school-1", START, ClassCreated(class_id="school-1-1a", shift=1))
    checkpointed.apply(deliveries(logs.all()))
    with database.reading() as connection, boards.look(connection) as look:
        assert (known, look.board_as_known("school-1", known).rows(LATER)) == then
        assert look.board("school-1").rows(LATER)[11].state == "done"


def test_an_event_that_cannot_be_folded_parks_its_school_and_no_other_until_it_is_mended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs, checkpointed, boards = some_logs(), projected(database), Boards()
    checkpointed.apply(deliveries(logs.all()))
    logs.record("school-1", START, PersonDetailsChanged(person="somebody", fields=("phone",)))
    logs.record("school-1", START, hired("waiting"))
    logs.record("school-2", START, hired("somebody"))
    first = logs.events["roster"][-3].position
    with monkeypatch.context() as older_program:
        older_program.delitem(EVENTS, PersonDetailsChanged.type)
        checkpointed.apply(deliveries(logs.events["roster"][-3:]))
    with database.reading() as connection, boards.look(connection) as look:
        assert look.parked("school-1") == {"roster": (first, first + 1)}
        assert look.parked("school-2") == {}
        assert [total_of_step_8(look.board(school)) for school in ("school-1", "school-2")] == [5, 6]
        assert [outline.on(LATER)[7].total for outline in look.outlines().values()] == [5, 6]
        assert look.at["roster"] == first + 2
    assert checkpointed.retry() == (2, 0)
    with database.reading() as connection, boards.look(connection) as look:
        assert look.parked("school-1") == {}
        assert total_of_step_8(look.board("school-1")) == 6
        assert [outline.on(LATER)[7].total for outline in look.outlines().values()] == [6, 6]


def total_of_step_8(board: SchoolBoard) -> int | None:
    return board.rows(LATER)[7].total


def test_two_looks_take_turns_so_that_no_board_is_newer_than_its_positions(database: Database) -> None:
    logs, boards, checkpointed = some_logs(["school-1"]), Boards(), projected(database)
    checkpointed.apply(deliveries(logs.all()))
    with database.reading() as connection, boards.look(connection) as look:
        before = look.board("school-1").rows(LATER)
        logs.record("school-1", START, ClassCreated(class_id="school-1-1a", shift=1))
        checkpointed.apply(deliveries(logs.events["roster"][-1:]))
        assert look.board("school-1").rows(LATER) == before
        assert look.at["roster"] == len(logs.events["roster"]) - 1
    assert rows_of(boards, database, "school-1") == rows_from_scratch(logs, "school-1")


def test_the_lines_of_a_document_stand_in_the_order_of_the_log_and_are_read_in_the_order_of_days(database: Database) -> None:
    logs = Logs()
    logs.record("school-1", LATER, hired("anna"))
    logs.record("school-1", START, CoordinatorAppointed(person="anna"))
    projected(database).apply(deliveries(logs.all()))
    with database.reading() as connection:
        doc = connection.execute(select(fact_table.c.doc)).scalar_one()
        (facts,) = documents(connection, "school-1", "roster", 0).values()
    assert [line.split(",")[1] for line in doc.splitlines()] == ["1", "2"]
    assert [fact[1] for fact in facts] == [2, 1]
