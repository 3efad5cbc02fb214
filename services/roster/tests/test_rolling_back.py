"""Rolling an import back: nothing of it stays, what it changed is as before, and whom something else rests on is left whole."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from consent.app import build as build_consent
from contracts import consent, roster
from contracts.event import Event
from contracts.roster import LegalBasis, RollBackStatus, SeatHolder
from eventkit.database import sqlite_url
from eventkit.harness import running
from eventkit.service import Service
from eventkit.testing import given
from roster.app import build
from roster.domain.facts import IMPORT, Complete, RollBack
from roster.importing.rolling_back import rollback_table
from roster.importing.traces import trace_table
from roster.tables import class_table, external_id_table, guardianship_table, likeness_table, number_table, person_table, seat_table
from roster.testing import School, child, csv_of, klass, member, open_school, outcome, parent, seat, zip_of
from roster.vault import vault_table

BUILDS = {"roster": build, "consent": build_consent}
LAW = LegalBasis(code="law", reference="273-FZ")

FAMILIES = [{**child(1), **parent(1), **parent(2, "Р-2", "М-2", "Сергей")}, {**child(2), **parent(1)}, child(3)]
WHOLE = {
    "classes": [klass(pupils="3", **{"ID классного руководителя": "17"})],
    "staff": [member("17", **{"Согласие №": "П-1", "Дата": "14.08.2015"}), member("18", "Смирнова")],
    "pupils": FAMILIES,
}
COMPLETED = roster.RosterImportCompleted(import_id="i-1", created=1, updated=0, unchanged=0, review=0, rejected=0)
ROLLED_BACK = roster.ImportRolledBack(import_id="i-1", pupils=1, guardians=0, staff=0, classes=0, put_back=0, left=0, decisions=1)


@pytest.fixture
async def school(tmp_path: Path) -> AsyncIterator[School]:
    async with running(tmp_path, BUILDS) as system:
        school = School(system)
        await open_school(school)
        yield school


@pytest.fixture
async def with_class(school: School) -> School:
    """The school with class 5А of 25 pupils."""
    await school.imported(csv_of([klass()]))
    await school.system.settled()
    return school


def gone(status: RollBackStatus) -> tuple[int, int, int, int, int, int]:
    return (status.pupils, status.guardians, status.staff, status.classes, status.put_back, status.decisions)


def left(status: RollBackStatus) -> list[tuple[str, str]]:
    return sorted((one.kind, one.code) for one in status.left)


async def rows(school: School, *tables: Any) -> list[Any]:
    service = school.system.instance.services["roster"]
    return [row for table in tables for row in await service.read(lambda connection, table=table: connection.execute(select(table)).all())]


async def standing(school: School, kind: type[Event]) -> list[Any]:
    """The events of a kind that were not annulled."""
    annulled = {event.event for event in await school.events(roster.EntryAnnulled)}
    return [recorded.event() for recorded in await school.recorded() if recorded.type == kind.type and recorded.id not in annulled]


# -- the decider ---------------------------------------------------------------------------------------------------------------------------


def test_an_import_is_rolled_back_once():
    given(IMPORT, COMPLETED).when(RollBack(ROLLED_BACK)).then(ROLLED_BACK)
    given(IMPORT, COMPLETED, ROLLED_BACK).when(RollBack(ROLLED_BACK)).then_nothing_happens()


def test_an_import_that_failed_on_its_way_is_rolled_back_too_and_completed_no_more():
    given(IMPORT).when(RollBack(ROLLED_BACK)).then(ROLLED_BACK)
    given(IMPORT, ROLLED_BACK).when(Complete(COMPLETED)).then_nothing_happens()


# -- nothing of it stays -------------------------------------------------------------------------------------------------------------------


async def test_a_whole_school_that_was_imported_is_gone_and_so_are_its_decisions(school: School):
    job = (await school.imported(zip_of(**WHOLE))).job
    status = await school.rolled_back(job)
    assert (gone(status), status.left, status.state) == ((3, 2, 2, 1, 0, 6), (), "done")
    assert (status.done, status.total) == (8, 8)
    tables = vault_table, person_table, class_table, external_id_table, guardianship_table, likeness_table, number_table, seat_table
    assert await rows(school, *tables) == []
    for kind in (roster.PupilEnrolled, roster.GuardianLinked, roster.PupilAssignedToClass, roster.StaffHired, roster.ClassDeclared):
        assert await standing(school, kind) == [], kind
    invalidated = await school.events(consent.ConsentInvalidated, "consent")
    assert [event.reason for event in invalidated] == ["recorded-by-mistake"] * 6
    told = await school.events(roster.ImportRolledBack)
    assert [(event.import_id, event.pupils, event.left, event.decisions) for event in told] == [(job, 3, 0, 6)]


async def test_the_keys_of_whom_an_import_had_entered_are_destroyed(school: School, tmp_path: Path):
    job = (await school.imported(zip_of(**WHOLE))).job
    with closing(sqlite3.connect(next(tmp_path.rglob("keys/roster.db")))) as keys:
        assert keys.execute("SELECT count(*) FROM person_key").fetchone() == (7,)
        await school.rolled_back(job)
        assert keys.execute("SELECT count(*) FROM person_key").fetchone() == (0,)


async def test_an_annulment_stands_on_the_day_of_what_it_annuls(school: School):
    job = (await school.imported(zip_of(**WHOLE))).job
    await school.system.until("2015-08-28T10:00:00+03:00")
    await school.rolled_back(job)
    recorded = await school.recorded()
    days = {one.id: one.happenedon for one in recorded}
    annulments = [one for one in recorded if one.type == roster.EntryAnnulled.type]
    assert annulments
    assert all(one.happenedon == days[one.facts()[1]["event"]] for one in annulments)
    assert next(one for one in recorded if one.type == roster.ImportRolledBack.type).happenedon == "2015-08-28"


async def test_the_right_file_can_be_imported_afterwards_as_if_nothing_had_been(school: School):
    first = await school.imported(zip_of(**WHOLE))
    wrong = await school.people("pupil")
    await school.rolled_back(first.job)
    again = await school.imported(zip_of(**WHOLE))
    assert outcome(again) == outcome(first)
    card = await school.call(roster.SCHOOL)
    assert (card.staff, card.classes, card.pupils, card.guardians) == (2, 1, 3, 2)
    assert wrong.isdisjoint(await school.people("pupil"))
    assert sorted(event.seat.number for event in await standing(school, roster.PupilEnrolled)) == [1, 2, 3]
    assert outcome(await school.imported(zip_of(**WHOLE))) == (0, 0, 6, 0, 0)


async def test_saying_it_twice_is_saying_it_once(school: School):
    job = (await school.imported(zip_of(**WHOLE))).job
    first = await school.rolled_back(job)
    await school.system.settled()
    before = {service: len(await school.recorded(service)) for service in ("roster", "consent")}
    assert await school.rolled_back(job) == first
    assert {service: len(await school.recorded(service)) for service in ("roster", "consent")} == before


async def test_what_a_legal_basis_entered_is_gone_without_any_decision(with_class: School):
    job = (await with_class.imported(csv_of([child(1, consent_number="")]), legal_basis=LAW)).job
    assert gone(await with_class.rolled_back(job)) == (1, 0, 0, 0, 0, 0)
    assert await with_class.people("pupil") == set()


async def test_of_a_row_that_was_rejected_in_part_what_was_entered_is_gone(with_class: School):
    await with_class.imported(csv_of([child(1)]))
    rows = [{**child(4), **parent(1)}, {**child(2), **parent(1, "Р-2", "С-1")}]  # the second guardian's paper is the first pupil's
    job = (await with_class.imported(csv_of(rows))).job
    status = await with_class.rolled_back(job)
    assert gone(status) == (2, 1, 0, 0, 0, 3)


# -- what it changed is as before ----------------------------------------------------------------------------------------------------------


async def test_whom_it_only_changed_gets_the_earlier_values_back(with_class: School):
    await with_class.imported(csv_of([{**child(1), **parent(1, **{"E-mail": "one@example.org"})}]))
    names = await with_class.names("pupil")
    job = (await with_class.imported(csv_of([{**child(1, "Сидоров"), **parent(1, **{"E-mail": "two@example.org"})}]))).job
    assert await with_class.names("pupil") != names
    assert gone(await with_class.rolled_back(job)) == (0, 0, 0, 0, 2, 0)
    assert await with_class.names("pupil") == names
    guardian = (await with_class.people("guardian")).pop()
    assert (await with_class.call(roster.PERSON, person=guardian)).details.email == "one@example.org"
    assert await standing(with_class, roster.PersonDetailsChanged) == []
    assert outcome(await with_class.imported(csv_of([{**child(1), **parent(1, **{"E-mail": "one@example.org"})}]))) == (0, 0, 1, 0, 0)


async def test_a_pupil_whom_it_moved_and_gave_a_guardian_is_back_in_the_class_without_that_guardian(school: School):
    await school.imported(csv_of([klass(), klass("Б")]))
    await school.imported(csv_of([{**child(1), **parent(1)}]))
    moved = {**child(1), "Класс": "5Б", **parent(1, **{"Степень родства": "бабушка"}), **parent(2, "Р-2", "М-2", "Сергей")}
    job = (await school.imported(csv_of([moved]))).job
    assert gone(await school.rolled_back(job)) == (0, 1, 0, 0, 1, 1)
    people = {row.person: row for row in await rows(school, person_table)}
    (pupil,) = await school.people("pupil")
    assert people[pupil].class_id == await school.class_id("А")
    links = [(row.relation, row.linked) for row in await rows(school, guardianship_table)]
    assert links == [("mother", True)]


async def test_a_class_that_was_there_gets_its_headcount_and_teacher_back(school: School):
    await school.imported(zip_of(classes=[klass(pupils="25")], staff=[member("17")]))
    job = (await school.imported(csv_of([klass(pupils="7", **{"ID классного руководителя": "17"})]))).job
    assert gone(await school.rolled_back(job)) == (0, 0, 0, 0, 1, 0)
    (card,) = (await school.call(roster.CLASSES)).classes
    assert (card.headcount, card.teacher, card.created) == (25, None, True)


async def test_only_what_the_import_itself_recorded_is_invalidated(with_class: School):
    await with_class.decide(seat(await with_class.class_id(), 1), "С-1")
    job = (await with_class.imported(csv_of([child(1), child(2)]))).job
    assert gone(await with_class.rolled_back(job))[-1] == 1
    await with_class.system.settled()
    states = [card.state for card in (await with_class.call(consent.STATUS, subject=await _subject(with_class, 0))).consents]
    assert states == ["granted"]
    again = await with_class.imported(csv_of([child(1), child(2)]))
    assert outcome(again) == (2, 0, 0, 0, 0)
    assert await _subject(with_class, 0) in await with_class.people("pupil")


async def _subject(school: School, nth: int) -> str:
    return (await school.events(consent.ConsentGranted, "consent"))[nth].subject


# -- what something else rests on ----------------------------------------------------------------------------------------------------------


async def test_a_pupil_who_was_moved_since_is_left_whole_with_guardian_decisions_and_class(school: School):
    job = (await school.imported(zip_of(classes=[klass(pupils="3"), klass("Б", pupils="3")], pupils=FAMILIES))).job
    (moved,) = [event.person for event in await school.events(roster.PupilEnrolled) if event.seat.number == 3]
    await school.call(roster.ASSIGN_PUPIL, pupil=moved, class_id=await school.class_id("Б"))
    status = await school.rolled_back(job)
    assert (gone(status)[:4], left(status)) == (
        (2, 2, 0, 0),
        [("class", "class.has-pupils"), ("class", "class.has-pupils"), ("pupil", "pupil.acted-on-since")],
    )
    assert await school.people("pupil") == {moved}
    assert [event.person for event in await standing(school, roster.PupilEnrolled)] == [moved]
    assert [card.state for card in (await school.call(consent.STATUS, subject=moved)).consents] == ["granted"]
    assert all(one.text.endswith(".") for one in status.left)


async def test_a_guardian_who_is_also_linked_by_hand_stays_that_childs(with_class: School):
    await with_class.imported(csv_of([child(1)]))
    (other,) = await with_class.people("pupil")
    job = (await with_class.imported(csv_of([{**child(2), **parent(1)}]))).job
    (guardian,) = await with_class.people("guardian")
    await with_class.call(roster.LINK_GUARDIAN, pupil=other, guardian=guardian, relation="mother")
    status = await with_class.rolled_back(job)
    assert (gone(status), left(status)) == ((1, 0, 0, 0, 0, 1), [("guardian", "guardian.linked")])
    assert (await with_class.people("pupil"), await with_class.people("guardian")) == ({other}, {guardian})
    assert [card.state for card in (await with_class.call(consent.STATUS, subject=guardian)).consents] == ["granted"]


async def test_who_was_changed_by_a_later_import_keeps_that_and_once_that_is_taken_back_too_everything_is_as_before(with_class: School):
    await with_class.imported(csv_of([child(1)]))
    before = await with_class.names("pupil")
    second = (await with_class.imported(csv_of([child(1, "Сидоров")]))).job
    third = (await with_class.imported(csv_of([child(1, "Петров")]))).job
    status = await with_class.rolled_back(second)
    assert (gone(status), left(status)) == ((0, 0, 0, 0, 0, 0), [("pupil", "person.edited-since")])
    assert (await with_class.names("pupil"))[0].startswith("Петров")
    await with_class.rolled_back(third)
    assert (await with_class.names("pupil"))[0].startswith("Сидоров")
    assert before[0].startswith("Иванов")


async def test_a_family_whose_guardian_was_edited_since_is_left_whole(with_class: School):
    job = (await with_class.imported(csv_of([{**child(1), **parent(1, **{"E-mail": "one@example.org"})}]))).job
    (pupil,), (guardian,) = await with_class.people("pupil"), await with_class.people("guardian")
    details = {"last_name": "Иванова", "first_name": "Жанна", "email": "two@example.org"}
    await with_class.call(roster.LINK_GUARDIAN, pupil=pupil, details=details, relation="mother", external_id="Р-1")
    status = await with_class.rolled_back(job)
    assert left(status) == [("guardian", "guardian.linked"), ("pupil", "guardian.edited-since")]
    assert (await with_class.people("pupil"), await with_class.people("guardian")) == ({pupil}, {guardian})


async def test_on_the_seat_of_a_child_who_is_gone_the_next_child_has_a_guardian_of_its_own(with_class: School):
    job = (await with_class.imported(csv_of([{**child(1), **parent(1)}, {**child(2), **parent(1)}]))).job
    (stays,) = [event.person for event in await with_class.events(roster.PupilEnrolled) if event.seat.number == 1]
    (guardian,) = await with_class.people("guardian")
    await with_class.imported(csv_of([{**child(1, **{"E-mail": "one@example.org"}), **parent(1)}]))
    status = await with_class.rolled_back(job)
    assert (gone(status), left(status)) == ((1, 0, 0, 0, 0, 1), [("guardian", "guardian.linked"), ("pupil", "person.edited-since")])
    other = {**child(3, "Сидоров"), **parent(1, "Р-3", "М-3", "Вера")}
    assert outcome(await with_class.imported(csv_of([other]))) == (1, 0, 0, 0, 0)
    (enrolled,) = [event for event in await standing(with_class, roster.PupilEnrolled) if event.person != stays]
    assert enrolled.seat.number == 2
    (link,) = [event for event in await with_class.events(roster.GuardianLinked) if event.pupil == enrolled.person]
    assert link.guardian != guardian
    for person in (guardian, link.guardian):
        assert [card.state for card in (await with_class.call(consent.STATUS, subject=person)).consents] == ["granted"]
    again = await with_class.decide(seat(await with_class.class_id(), 4, SeatHolder.GUARDIAN_1), "М-1")
    assert again == guardian  # her paper is still hers


async def test_a_pupil_whom_it_entered_and_somebody_corrected_by_hand_is_left(with_class: School):
    job = (await with_class.imported(csv_of([child(1)]))).job
    (pupil,) = await with_class.people("pupil")
    (enrolled,) = await with_class.events(roster.PupilEnrolled)
    details = {"last_name": "Иванов", "first_name": "Пётра", "email": "two@example.org"}
    body = {"consent_id": enrolled.consent_id, "class_id": enrolled.seat.class_id, "enrolled_on": "2012-09-01"}
    assert (await with_class.call(roster.ENROL_PUPIL, details=details, **body)).person == pupil
    assert left(await with_class.rolled_back(job)) == [("pupil", "person.edited-since")]
    assert (await with_class.call(roster.PERSON, person=pupil)).details.email == "two@example.org"


async def test_a_coordinator_and_the_teacher_of_a_class_that_stays_are_left(school: School):
    job = (await school.imported(zip_of(**WHOLE))).job
    staff = {event.person: event for event in await school.events(roster.StaffHired)}
    (card,) = (await school.call(roster.CLASSES)).classes
    (other,) = set(staff) - {card.teacher}
    await school.system.call(roster.APPOINT_COORDINATOR, roster.StaffAct(school="school-7", person=other))
    await school.call(roster.OPEN_ISSUE, class_id=card.class_id, kind="wrong", blocking=False)
    status = await school.rolled_back(job)
    assert left(status) == [("class", "class.has-issues"), ("staff", "staff.acted-on-since"), ("staff", "staff.teaches")]
    assert await school.people("staff") == set(staff)


async def test_a_class_on_whose_seats_a_family_has_decided_is_left(school: School):
    job = (await school.imported(csv_of([klass()]))).job
    await school.system.settled()
    await school.decide(seat(await school.class_id(), 1, SeatHolder.GUARDIAN_1), "М-1")
    assert left(await school.rolled_back(job)) == [("class", "class.has-decisions")]


async def test_another_imports_people_and_decisions_are_not_touched(with_class: School):
    row = {**child(1), **parent(1)}
    job = (await with_class.imported(csv_of([row]), legal_basis=LAW)).job
    (guardian,) = await with_class.people("guardian")
    other = (await with_class.imported(csv_of([child(2)]))).job
    decision = (await with_class.events(consent.ConsentGranted, "consent"))[-1]
    first = await with_class.rolled_back(job)
    assert (gone(first), left(first)) == ((1, 1, 0, 0, 0, 2), [])
    assert guardian not in await with_class.people("guardian")
    assert [card.state for card in (await with_class.call(consent.STATUS, consent_id=decision.consent_id)).consents] == ["granted"]
    assert gone(await with_class.rolled_back(other)) == (1, 0, 0, 0, 0, 1)


# -- what cannot be ------------------------------------------------------------------------------------------------------------------------


async def test_an_import_that_is_unknown_another_schools_or_a_preview_is_refused(school: School):
    await school.system.call(roster.OPEN_SCHOOL, roster.OpenSchool(school="school-8", name="Школа № 8", municipality="dubna"))
    job = (await school.imported(zip_of(**WHOLE))).job
    preview = (await school.imported(zip_of(**WHOLE), dry_run=True)).job
    assert await school.refusal(roster.ROLL_BACK_IMPORT, import_id="i-0") == "import.unknown"
    assert await school.refusal(roster.ROLL_BACK_IMPORT, import_id=preview) == "import.preview"
    code = ""
    try:
        await school.system.call(roster.ROLL_BACK_IMPORT, roster.RollBackImport(school="school-8", import_id=job))
    except Exception as refused:  # noqa: BLE001 -- whatever it is, its code is looked at
        code = getattr(refused, "code", "")
    assert code == "import.unknown"


async def test_once_what_it_changed_is_no_longer_kept_an_import_stays(school: School):
    job = (await school.imported(zip_of(**WHOLE))).job
    await school.system.until("2015-09-28T10:00:00+03:00")
    assert await school.refusal(roster.ROLL_BACK_IMPORT, import_id=job) == "import.expired"
    assert await rows(school, trace_table, rollback_table) == []
    assert len(await school.people("pupil")) == 3


async def test_the_imports_of_a_school_are_listed_the_newest_first(school: School):
    first = (await school.imported(csv_of([klass()]))).job
    await school.imported(csv_of([klass()]), dry_run=True)
    second = (await school.imported(csv_of([child(1)]), "5А.csv")).job
    await school.imported(csv_of([child(1)]), "5А.csv")
    failed = (await school.ended((await school.begin(b"\n", "пустой.csv")).job)).job
    await school.rolled_back(second)
    cards = (await school.call(roster.IMPORTS)).imports
    assert [(card.import_id, card.state, card.file_name, card.created, card.unchanged, card.error_code) for card in cards] == [
        (failed, "failed", "пустой.csv", 0, 0, "file.empty"),
        (cards[1].import_id, "done", "5А.csv", 0, 1, None),
        (second, "rolled-back", "5А.csv", 1, 0, None),
        (first, "done", "school.csv", 1, 0, None),
    ]
    assert cards[0].error_text is not None


async def test_what_somebody_was_before_stands_nowhere_in_clear(with_class: School, tmp_path: Path):
    await with_class.imported(csv_of([child(1)]))
    await with_class.imported(csv_of([child(1, "Селезнёв")]))
    files = b"".join(path.read_bytes() for path in (tmp_path / "db").glob("roster.db*"))
    assert all(name.encode() not in files for name in ("Иванов", "Селезнёв"))
    assert any(row.before is not None for row in await rows(with_class, trace_table))


# -- cut off -------------------------------------------------------------------------------------------------------------------------------

MANY = zip_of(
    classes=[klass(pupils="60")],
    pupils=[{**child(number), **parent(1, f"Р-{number}", f"М-{number}", f"Жанна{'а' * number}")} for number in range(1, 61)],
)


@pytest.mark.parametrize("nth", [1, 2, 4, 5, 6])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_roll_back_that_is_cut_off_is_taken_up_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int, when: str
):
    """Two commands for the pupils, two for the guardians, one for the class, and one for the end."""
    reached, carry_out, parts = asyncio.Event(), Service.carry_out, list[str]()

    async def stuck(self: Service, *arguments: Any, **named: Any) -> Any:
        parts.append(named["part"])
        if len(parts) != nth:
            return await carry_out(self, *arguments, **named)
        if when == "after":
            await carry_out(self, *arguments, **named)
        reached.set()
        return await asyncio.Event().wait()

    async with running(tmp_path, BUILDS) as system:
        school = School(system)
        await open_school(school)
        job = (await school.imported(MANY)).job
        with monkeypatch.context() as patched:
            patched.setattr(Service, "carry_out", stuck)
            await school.call(roster.ROLL_BACK_IMPORT, import_id=job)
            await reached.wait()
    async with running(tmp_path, BUILDS) as system:
        school = School(system)
        status = await school.rolled_back(job)
        assert (gone(status), status.left_total) == ((60, 60, 0, 1, 0, 120), 0)
        annulled = [event.event for event in await school.events(roster.EntryAnnulled)]
        assert len(annulled) == len(set(annulled)) == 60 * 3 + 3
        assert len(await school.events(consent.ConsentInvalidated, "consent")) == 120
        assert len(await school.events(roster.ImportRolledBack)) == 1
        assert await rows(school, vault_table, person_table) == []


async def test_a_roll_back_is_the_same_on_postgresql(tmp_path: Path, fresh_postgres: str):
    def database_url(service: str) -> str | URL:
        return fresh_postgres if service == "roster" else sqlite_url(tmp_path / "db" / f"{service}.db")

    async with running(tmp_path, BUILDS, database_url=database_url) as system:
        school = School(system)
        await open_school(school)
        first = await school.imported(zip_of(**WHOLE))
        assert gone(await school.rolled_back(first.job)) == (3, 2, 2, 1, 0, 6)
        assert outcome(await school.imported(zip_of(**WHOLE))) == outcome(first)
