"""Imports: small files on a real bus with the real consent service, what becomes of each row, and jobs that are cut off."""

import asyncio
import base64
import io
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import URL

from consent.app import build as build_consent
from contracts import consent, roster
from contracts.roster import LegalBasis, SeatHolder
from eventkit.calls import CallFailed
from eventkit.database import sqlite_url
from eventkit.decider import Refused
from eventkit.harness import running
from eventkit.service import Service, Settings
from roster.app import build
from roster.files import read_roster
from roster.importing.uploads import upload_table
from roster.testing import Cells, School, child, codes, csv_of, klass, member, open_school, outcome, parent, seat, zip_of

BUILDS = {"roster": build, "consent": build_consent}
LAW = LegalBasis(code="law", reference="273-FZ")
SAMPLES = Path(__file__).parents[1] / "samples"


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


# -- a whole school ------------------------------------------------------------------------------------------------------------------------

SCHOOL = {
    "classes": [klass(pupils="3"), klass("Б", pupils="3", **{"ID классного руководителя": "17"})],
    "staff": [
        member("17", **{"Согласие №": "П-1", "Дата": "14.08.2015"}),
        member("18", "Смирнова", **{"Классное руководство": "5А", "Роль": "Администратор"}),
    ],
    "pupils": [
        {**child(1), **parent(1), **parent(2, "Р-2", "М-2", "Сергей", **{"Степень родства": "отец"})},
        {**child(2), **parent(1)},
        {**child(3), "Класс": "5 «Б»"},
    ],
}


async def test_a_school_is_entered_with_its_classes_its_staff_and_its_families(school: School):
    status = await school.imported(zip_of(**SCHOOL))
    assert (outcome(status), status.total_rows, status.done_rows) == ((7, 0, 0, 0, 0), 7, 7)
    assert ["guardian.none" in warning for warning in status.warnings] == [True]
    assert await school.names("staff") == ["Кузнецова Ольга", "Смирнова Ольга"]
    assert len(await school.people("pupil")) == 3
    assert await school.names("guardian") == ["Иванова Жанна", "Иванова Сергей"]
    cards = (await school.call(roster.CLASSES)).classes
    assert [(card.letter, card.created, card.headcount, card.teacher is None) for card in cards] == [
        ("А", True, 3, False),
        ("Б", True, 3, False),
    ]
    assert {card.teacher for card in cards} == await school.people("staff")
    first, second = cards
    assert [event.seat for event in await school.events(roster.PupilEnrolled)] == [
        seat(first.class_id, 1),
        seat(first.class_id, 2),
        seat(second.class_id, 1),
    ]
    assert [event.class_id for event in await school.events(roster.PupilAssignedToClass)] == [first.class_id] * 2 + [second.class_id]
    assert await school.events(roster.CoordinatorAppointed) == []
    assert await school.events(roster.RosterImportCompleted) == [
        roster.RosterImportCompleted(import_id=status.job, created=7, updated=0, unchanged=0, review=0, rejected=0)
    ]


async def test_people_are_entered_under_the_ids_of_their_consents(school: School):
    await school.imported(zip_of(**SCHOOL))
    granted = {event.consent_id: event for event in await school.events(consent.ConsentGranted, "consent")}
    for enrolled in await school.events(roster.PupilEnrolled):
        assert granted[enrolled.consent_id].subject == enrolled.person
        assert granted[enrolled.consent_id].seat == enrolled.seat
    for linked in await school.events(roster.GuardianLinked):
        assert granted[linked.consent_id].subject == linked.guardian
    kinds = sorted(event.subject_kind for event in granted.values())
    assert kinds == ["guardian", "guardian", "pupil", "pupil", "pupil", "staff"]


async def test_the_same_file_again_changes_nothing(school: School):
    await school.imported(zip_of(**SCHOOL))
    before, decided = len(await school.recorded()), len(await school.recorded("consent"))
    status = await school.imported(zip_of(**SCHOOL))
    assert outcome(status) == (0, 0, 7, 0, 0)
    assert [recorded.type for recorded in (await school.recorded())[before:]] == ["roster.import-completed.v1"]
    assert len(await school.recorded("consent")) == decided


async def test_a_preview_tells_what_an_import_would_do_and_does_nothing(school: School):
    before = len(await school.recorded())
    preview = await school.begin(zip_of(**SCHOOL), dry_run=True)
    assert (preview.state, outcome(preview)) == ("done", (7, 0, 0, 0, 0))
    assert len(await school.recorded()) == before
    assert await school.recorded("consent") == []


def _with_co_signature(settings: Settings) -> Service:
    return build_consent(replace(settings, co_signature_age=14))


async def test_a_preview_tells_what_consent_would_refuse_as_the_import_tells_it(tmp_path: Path):
    async with running(tmp_path, {**BUILDS, "consent": _with_co_signature}) as system:
        school = School(system)
        await open_school(school)
        await school.imported(zip_of(classes=[klass(pupils="9")], pupils=[{**child(1), **parent(1)}]))
        taken = child(1)["Согласие №"]
        rows = [
            child(2),
            {**child(3), "Дата рождения": "01.02.2000"},
            {**child(4), "Дата согласия": "01.10.1999"},
            {**child(5), "Согласие №": taken},
            {**child(6), **parent(1, "Р-9", "Другая", "Пелагея", **{"Согласие №": parent(1)["Родитель 1: Согласие №"]})},
        ]
        decided = len(await school.recorded("consent"))
        preview = await school.begin(csv_of(rows), dry_run=True)
        assert codes(preview) == [
            (3, "Согласие №", "consent.co-signature-missing"),
            (4, "Дата согласия", "template.unknown"),
            (5, "Согласие №", "person.other-name"),
            (6, "Родитель 1: Согласие №", "person.other-name"),
        ]
        assert len(await school.recorded("consent")) == decided
        status = await school.imported(csv_of(rows))
        assert codes(status) == codes(preview)
        assert (status.created, status.rejected_rows) == (preview.created, preview.rejected_rows) == (1, 4)


async def test_one_upload_can_be_previewed_and_then_imported(school: School):
    upload = await school.upload(zip_of(**SCHOOL))
    preview = await school.call(roster.IMPORT, upload=upload, dry_run=True)
    begun = await school.call(roster.IMPORT, upload=upload)
    assert outcome(await school.ended(begun.job)) == outcome(preview)
    assert await school.refusal(roster.IMPORT, upload=upload, dry_run=True, happened_on="2015-08-16") == "upload.unknown"


async def test_the_same_request_finds_the_job_that_it_began(school: School):
    upload = await school.upload(zip_of(**SCHOOL))
    first = await school.call(roster.IMPORT, upload=upload)
    assert (await school.call(roster.IMPORT, upload=upload)).job == first.job
    ended = await school.ended(first.job)
    assert await school.call(roster.IMPORT, upload=upload) == ended
    assert len(await school.events(roster.RosterImportCompleted)) == 1


async def test_a_file_that_is_sent_again_under_the_same_id_is_imported_again(school: School):
    first = await school.imported(zip_of(**SCHOOL), upload="u-same")
    again = await school.imported(zip_of(**SCHOOL), upload="u-same")
    assert (outcome(first), outcome(again)) == ((7, 0, 0, 0, 0), (0, 0, 7, 0, 0))


async def test_a_preview_is_made_anew_each_time(school: School):
    upload = await school.upload(csv_of([klass()]))
    assert outcome(await school.call(roster.IMPORT, upload=upload, dry_run=True)) == (1, 0, 0, 0, 0)
    class_id = (await school.call(roster.DECLARE_CLASS, grade=5, letter="А", academic_year="2015/2016")).class_id
    await school.call(roster.CREATE_CLASS, class_id=class_id)
    assert outcome(await school.call(roster.IMPORT, upload=upload, dry_run=True)) == (0, 1, 0, 0, 0)


# -- changes -------------------------------------------------------------------------------------------------------------------------------


async def test_changed_details_are_merged_and_a_blank_cell_leaves_the_value(with_class: School):
    await with_class.imported(csv_of([{**child(1, **{"E-mail": "old@family.example", "Отчество": "Ильич"}), **parent(1)}]))
    changed = {**child(1, **{"E-mail": "new@family.example", "Отчество": ""}), **parent(1, Телефон="+7 000 123-45-67")}
    assert outcome(await with_class.imported(csv_of([changed]))) == (0, 1, 0, 0, 0)
    (pupil,), (guardian,) = await with_class.people("pupil"), await with_class.people("guardian")
    assert await with_class.events(roster.PersonDetailsChanged) == [
        roster.PersonDetailsChanged(person=pupil, fields=("email",)),
        roster.PersonDetailsChanged(person=guardian, fields=("phone",)),
    ]
    details = (await with_class.call(roster.PERSON, person=pupil)).details
    assert (details.email, details.patronymic) == ("new@family.example", "Ильич")


async def test_an_import_that_changes_a_classs_data_asks_for_a_new_look_at_them(with_class: School):
    rows = [{**child(1), **parent(1)}, {**child(2), **parent(1)}]

    async def revision() -> int:
        return (await with_class.call(roster.CLASSES)).classes[0].revision

    before = await revision()
    await with_class.imported(csv_of(rows))
    assert await revision() > before
    class_id, checked = await with_class.class_id(), await revision()
    await with_class.call(roster.VERIFY_DATA, class_id=class_id, revision=checked)
    await with_class.imported(csv_of(rows))
    assert await revision() == checked
    await with_class.imported(csv_of([{**row, **parent(1, Телефон="+7 000 123-45-67")} for row in rows]))
    assert await revision() == checked + 1  # once for all rows of a command
    assert await with_class.events(roster.VerificationLapsed) == [roster.VerificationLapsed(class_id=class_id, revision=checked + 1)]
    assert await with_class.refusal(roster.VERIFY_DATA, class_id=class_id, revision=checked) == "class.changed-since"


async def test_a_row_that_names_another_class_moves_the_pupil(with_class: School):
    await with_class.imported(zip_of(classes=[klass("Б")], pupils=[child(1)]))
    assert outcome(await with_class.imported(csv_of([{**child(1), "Класс": "5Б"}]))) == (0, 1, 0, 0, 0)
    moves = [event.class_id for event in await with_class.events(roster.PupilAssignedToClass)]
    assert moves == [await with_class.class_id("А"), await with_class.class_id("Б")]


async def test_a_new_headcount_updates_the_class_and_a_shift_stays(with_class: School):
    assert outcome(await with_class.imported(csv_of([klass(pupils="26")]))) == (0, 1, 0, 0, 0)
    status = await with_class.imported(csv_of([klass(pupils="26", Смена="2")]))
    assert codes(status) == [(2, "Смена", "class.other-shift")]


async def test_a_new_consent_number_of_who_is_entered_is_a_new_decision(with_class: School):
    await with_class.imported(csv_of([child(1)]))
    assert outcome(await with_class.imported(csv_of([child(1, consent_number="С-1 бис")]))) == (0, 1, 0, 0, 0)
    first, second = await with_class.events(consent.ConsentGranted, "consent")
    assert (second.supersedes, second.subject) == (first.consent_id, first.subject)


async def test_a_teacher_who_comes_later_gets_the_class_with_the_next_import(school: School):
    classes = [klass(**{"ID классного руководителя": "17"})]
    status = await school.imported(csv_of(classes))
    assert status.created == 1
    assert "staff.unknown" in status.warnings[0]
    await school.imported(csv_of([member("17")]))
    assert outcome(await school.imported(csv_of(classes))) == (0, 1, 0, 0, 0)
    (card,) = (await school.call(roster.CLASSES)).classes
    assert {card.teacher} == await school.people("staff")
    assert outcome(await school.imported(csv_of(classes))) == (0, 0, 1, 0, 0)


# -- a class without its school year -------------------------------------------------------------------------------------------------------

NEXT_YEAR = {"Учебный год": "2016/2017"}


async def class_of(school: School, number: int) -> str:
    """The school year of the class that the child of this number was assigned to last."""
    years = {card.class_id: card.academic_year for card in (await school.call(roster.CLASSES)).classes}
    pupils = {(await school.call(roster.PERSON, person=one)).details.first_name: one for one in await school.people("pupil")}
    assigned = [event for event in await school.events(roster.PupilAssignedToClass) if event.pupil == pupils[child(number)["Имя"]]]
    return years[assigned[-1].class_id]


@pytest.mark.parametrize("day", ["2015-09-02", "2016-05-20", "2016-08-20"])
async def test_the_same_file_again_changes_nothing_while_next_years_classes_are_open(school: School, day: str):
    content = zip_of(staff=SCHOOL["staff"], pupils=SCHOOL["pupils"])
    await school.imported(zip_of(**SCHOOL))
    await school.imported(csv_of([klass(**NEXT_YEAR), klass("Б", **NEXT_YEAR)]))
    await school.system.until(f"{day}T10:00:00+03:00")
    for dry_run in (True, False):
        status = await school.ended((await school.begin(content, dry_run=dry_run)).job)
        assert (outcome(status), status.warnings) == ((0, 0, 5, 0, 0), ())
    assert {await class_of(school, number) for number in (1, 2, 3)} == {"2015/2016"}
    assert {card.teacher is None for card in (await school.call(roster.CLASSES, academic_year="2016/2017")).classes} == {True}


@pytest.mark.parametrize(("day", "year"), [("2016-05-20", "2015/2016"), ("2016-06-30", "2015/2016"), ("2016-07-01", "2016/2017")])
async def test_a_newcomer_goes_to_this_school_years_class_and_that_it_was_assumed_is_told(with_class: School, day: str, year: str):
    await with_class.imported(csv_of([klass(**NEXT_YEAR)]))
    await with_class.system.until(f"{day}T10:00:00+03:00")
    rows = [{**child(number), **parent(1)} for number in (1, 2)]
    status = await with_class.imported(csv_of(rows))
    assert outcome(status) == (2, 0, 0, 0, 0)
    assert ["as in 2 rows" in warning and "(class.year-assumed)" in warning for warning in status.warnings] == [True]
    assert await class_of(with_class, 1) == year
    again = await with_class.imported(csv_of(rows))
    assert (outcome(again), again.warnings) == ((0, 0, 2, 0, 0), ())


async def test_a_newcomer_goes_to_the_coming_years_class_where_it_alone_is_there(school: School):
    await school.imported(csv_of([{**klass(), **NEXT_YEAR}, klass("Б")]))
    status = await school.imported(csv_of([{**child(1), **parent(1)}]))
    assert (outcome(status), status.warnings) == ((1, 0, 0, 0, 0), ())
    assert await class_of(school, 1) == "2016/2017"


async def test_a_newcomer_goes_to_the_class_that_the_same_file_brings(with_class: School):
    pupils = [{**child(1), **parent(1)}]
    status = await with_class.imported(zip_of(classes=[klass(**NEXT_YEAR)], pupils=pupils))
    assert (outcome(status), status.warnings) == ((2, 0, 0, 0, 0), ())
    assert await class_of(with_class, 1) == "2016/2017"


async def test_a_pupil_who_waits_on_the_list_of_next_years_class_is_assigned_to_that_one(with_class: School):
    await with_class.imported(csv_of([klass(**NEXT_YEAR)]))
    cards = (await with_class.call(roster.CLASSES, academic_year="2016/2017")).classes
    details = {"last_name": "Иванов", "first_name": child(1)["Имя"], "birth_date": "2005-03-01"}
    body = {"class_id": cards[0].class_id, "enrolled_on": "2012-09-01", "legal_basis": LAW, "external_id": "У-1"}
    await with_class.call(roster.ENROL_PUPIL, details=details, **body)
    assert outcome(await with_class.imported(csv_of([{**child(1), **parent(1)}]))) == (0, 1, 0, 0, 0)
    assert await class_of(with_class, 1) == "2016/2017"


async def test_a_new_class_teacher_gets_this_school_years_class(with_class: School):
    await with_class.imported(csv_of([klass(**NEXT_YEAR)]))
    await with_class.imported(csv_of([member(**{"Классное руководство": "5А"})]))
    cards = (await with_class.call(roster.CLASSES)).classes
    assert {card.academic_year: card.teacher is not None for card in cards} == {"2015/2016": True, "2016/2017": False}


# -- who is who ----------------------------------------------------------------------------------------------------------------------------


async def test_teachers_whose_classes_are_not_declared_are_entered_and_told_of_in_one_line(school: School):
    status = await school.imported(csv_of([member(number, **{"Классное руководство": "1А"}) for number in "12"]))
    assert outcome(status) == (2, 0, 0, 0, 0)
    assert len(status.warnings) == 1
    assert "as in 2 rows, which are entered without it" in status.warnings[0]


async def test_a_guardian_of_two_children_is_one_person_even_with_a_paper_for_each(with_class: School):
    rows = [{**child(1), **parent(1)}, {**child(2), **parent(1, consent_number="М-2")}]
    assert outcome(await with_class.imported(csv_of(rows))) == (2, 0, 0, 0, 0)
    assert len(await with_class.people("guardian")) == 1
    first, second = await with_class.events(roster.GuardianLinked)
    assert (first.guardian, first.consent_id) == (second.guardian, second.consent_id)
    assert outcome(await with_class.imported(csv_of(rows))) == (0, 0, 2, 0, 0)


EMAIL = {"E-mail": "zh@family.example"}


@pytest.mark.parametrize(
    ("other", "is_told"),
    [
        (parent(1, "", "М-2", **EMAIL), True),
        (parent(2, "", "М-2", Отчество="Ильинична", **{"E-mail": "ZH@family.example"}), True),
        (parent(1, "Р-1", "М-2", **EMAIL), True),
        (parent(1, "", "М-1", **EMAIL), False),
        (parent(1, "", "М-2", **{"E-mail": "other@family.example"}), False),
        (parent(1, "", "М-2", "Яна", **EMAIL), False),
        (parent(1, "", "М-2"), False),
    ],
)
async def test_a_parent_without_an_id_who_may_be_a_siblings_parent_is_told_of(with_class: School, other: Cells, is_told: bool):
    rows = [{**child(1), **parent(1, "", **EMAIL)}, {**child(2), **other}]
    preview = await with_class.begin(csv_of(rows), dry_run=True)
    status = await with_class.imported(csv_of(rows))
    assert preview.warnings == status.warnings
    assert ["(guardian.alike)" in warning for warning in status.warnings] == [True] * is_told
    again = await with_class.imported(csv_of(rows))
    assert (outcome(again), again.warnings) == ((0, 0, 2, 0, 0), ())


async def test_how_many_rows_have_such_parents_is_told_in_one_line(with_class: School):
    rows = [{**child(number), **parent(1, "", f"М-{number}", **EMAIL)} for number in (1, 2, 3)]
    (warning,) = (await with_class.imported(csv_of(rows))).warnings
    assert "as in 3 rows" in warning
    assert len(await with_class.people("guardian")) == 3


async def test_a_parent_without_an_id_is_one_with_the_entered_one_under_the_id_that_is_told(with_class: School):
    await with_class.imported(csv_of([{**child(1), **parent(1, "", **EMAIL)}]))
    (entered,) = await with_class.people("guardian")
    sibling = {**child(2), **parent(1, "", "М-2", **EMAIL)}
    (warning,) = (await with_class.begin(csv_of([sibling]), dry_run=True)).warnings
    assert f"write the ID {entered}" in warning
    status = await with_class.imported(csv_of([{**sibling, "Родитель 1: ID": entered}]))
    assert (outcome(status), status.warnings) == ((1, 0, 0, 0, 0), ())
    assert await with_class.people("guardian") == {entered}


async def test_a_consent_in_one_childs_row_holds_for_the_guardian_in_the_others(with_class: School):
    rows = [{**child(1), **parent(1, consent_number="")}, {**child(2), **parent(1)}, {**child(3), **parent(1, consent_number="")}]
    assert outcome(await with_class.imported(csv_of(rows))) == (3, 0, 0, 0, 0)
    assert len(await with_class.events(roster.GuardianLinked)) == 3
    assert len(await with_class.people("guardian")) == 1
    assert outcome(await with_class.imported(csv_of(rows))) == (0, 0, 3, 0, 0)


async def test_a_guardian_who_was_unlinked_by_hand_is_not_linked_again(with_class: School):
    row = {**child(1), **parent(1)}
    await with_class.imported(csv_of([row]))
    (pupil,), (guardian,) = await with_class.people("pupil"), await with_class.people("guardian")
    await with_class.call(roster.UNLINK_GUARDIAN, pupil=pupil, guardian=guardian)
    status = await with_class.imported(csv_of([row]))
    assert outcome(status) == (0, 0, 1, 0, 0)
    assert "guardian.unlinked" in status.warnings[0]
    assert await with_class.people("guardian") == set()


async def test_a_guardian_without_an_id_is_known_by_the_name_beside_the_child(with_class: School):
    row = {**child(1), **parent(1, identifier="")}
    await with_class.imported(csv_of([row]))
    assert outcome(await with_class.imported(csv_of([row]))) == (0, 0, 1, 0, 0)
    assert len(await with_class.people("guardian")) == 1


async def test_the_same_name_and_birth_date_under_another_id_goes_to_review(with_class: School):
    await with_class.imported(csv_of([child(1, "Ёлкин", "Пётр")]))
    status = await with_class.imported(csv_of([child(2, "Елкин", "Петр")]))
    assert outcome(status) == (0, 0, 0, 1, 0)
    assert "row 2: a pupil of this name and birth date is entered under another ID" in status.warnings[0]
    assert len(await with_class.people("pupil")) == 1


async def test_two_of_the_same_name_and_birth_date_in_one_file_are_not_both_entered(with_class: School):
    rows = [child(1, "Ёлкин", "Пётр"), child(2, "Ёлкин", "Пётр"), child(3, "Ёлкин", "Павел")]
    first = await with_class.imported(csv_of(rows))
    assert outcome(first) == (2, 0, 0, 1, 0)
    assert "row 3: a pupil of this name and birth date stands under another ID in school.csv, row 2" in first.warnings[0]
    assert outcome(await with_class.imported(csv_of(rows))) == (0, 0, 2, 1, 0)


async def test_who_has_left_goes_to_review(with_class: School):
    await with_class.imported(zip_of(staff=[member()], pupils=[child(1)]))
    (pupil,), (person,) = await with_class.people("pupil"), await with_class.people("staff")
    await with_class.call(roster.PUPIL_LEFT, pupil=pupil)
    await with_class.system.call(roster.DISMISS_STAFF, roster.StaffAct(school="school-7", person=person))
    assert outcome(await with_class.imported(zip_of(staff=[member()], pupils=[child(1)]))) == (0, 0, 0, 2, 0)


async def test_an_id_that_is_used_again_does_not_turn_one_child_into_another(with_class: School):
    olga = {**child(1, "Первая", "Ольга"), **parent(1)}
    await with_class.imported(csv_of([olga]))
    (pupil,), recorded = await with_class.people("pupil"), len(await with_class.recorded("consent"))
    petr = child(1, "Третий", "Пётр", "С-9", **{"Дата рождения": "05.05.2008"})
    for status in (await with_class.imported(csv_of([petr]), dry_run=True), await with_class.imported(csv_of([petr]))):
        assert outcome(status) == (0, 0, 0, 0, 1)
        assert codes(status) == [(2, "ID", "external-id.other-person")]
        assert pupil in status.rejected[0].hint
    assert await with_class.names("pupil") == ["Первая Ольга"]
    assert len(await with_class.recorded("consent")) == recorded
    # Who has left has an ID, too, that is free for nobody else.
    await with_class.call(roster.PUPIL_LEFT, pupil=pupil)
    assert codes(await with_class.imported(csv_of([petr]))) == [(2, "ID", "external-id.other-person")]


@pytest.mark.parametrize("changed", [{"Фамилия": "Вторая", "Имя": "Олеся"}, {"Дата рождения": "05.05.2008"}])
async def test_a_name_or_a_birth_date_alone_is_corrected_under_the_id(with_class: School, changed: Cells):
    row = child(1, "Артёмова", "Ольга")
    await with_class.imported(csv_of([row]))
    assert outcome(await with_class.imported(csv_of([{**row, **changed}]))) == (0, 1, 0, 0, 0)
    both = {"Фамилия": "Вторая", "Имя": "Олеся", "Дата рождения": "05.05.2008"}
    assert outcome(await with_class.imported(csv_of([{**row, **both}]))) == (0, 1, 0, 0, 0)


async def test_a_name_with_ё_is_no_other_one_where_the_birth_date_is_corrected(with_class: School):
    await with_class.imported(csv_of([child(1, "Артёмова", "Ольга")]))
    corrected = child(1, "Артемова", "Ольга", **{"Дата рождения": "05.05.2008"})
    assert outcome(await with_class.imported(csv_of([corrected]))) == (0, 1, 0, 0, 0)


async def test_a_members_number_with_other_names_is_somebody_elses_and_with_another_last_name_a_marriage(school: School):
    await school.imported(csv_of([member("17")]))
    assert outcome(await school.imported(csv_of([member("17", "Смирнова")]))) == (0, 1, 0, 0, 0)
    status = await school.imported(csv_of([member("17", "Попов", Имя="Сергей")]))
    assert (outcome(status), codes(status)) == ((0, 0, 0, 0, 1), [(2, "Табельный №", "external-id.other-person")])
    assert await school.names("staff") == ["Смирнова Ольга"]


async def test_a_guardians_id_with_other_names_is_somebody_elses_and_the_child_is_entered_without(with_class: School):
    await with_class.imported(csv_of([{**child(1), **parent(1)}]))
    other = {**child(2), **parent(1, first_name="Сергей", consent_number="М-2", Фамилия="Попов")}
    status = await with_class.imported(csv_of([other]))
    assert (outcome(status), codes(status)) == ((0, 0, 0, 0, 1), [(2, "Родитель 1: ID", "guardian.id-reused")])
    assert (await with_class.names("guardian"), len(await with_class.people("pupil"))) == (["Иванова Жанна"], 2)
    married = {**child(1), **parent(1, Фамилия="Попова")}
    assert outcome(await with_class.imported(csv_of([married]))) == (0, 1, 0, 0, 0)


# -- seats and decisions taken before ------------------------------------------------------------------------------------------------------


async def test_a_row_takes_the_seat_that_holds_its_consent_number(with_class: School):
    class_id = await with_class.class_id()
    subject = await with_class.decide(seat(class_id, 9), "С-1")
    mother = await with_class.decide(seat(class_id, 9, SeatHolder.GUARDIAN_1), "М-1")
    await with_class.imported(csv_of([{**child(1), **parent(1)}]))
    (enrolled,) = await with_class.events(roster.PupilEnrolled)
    assert (enrolled.person, enrolled.seat) == (subject, seat(class_id, 9))
    assert await with_class.people("guardian") == {mother}
    assert len(await with_class.events(consent.ConsentGranted, "consent")) == 2


async def test_rows_follow_the_classes_list_and_pass_over_the_seats_of_those_who_refused(with_class: School):
    class_id = await with_class.class_id()
    await with_class.decide(seat(class_id, 2), "О-2", granted=False)
    father = await with_class.decide(seat(class_id, 3, SeatHolder.GUARDIAN_2), "О-3", granted=False)
    rows = [child(1), {**child(2), **parent(1)}, child(3)]
    await with_class.imported(csv_of(rows))
    assert [event.seat.number for event in await with_class.events(roster.PupilEnrolled)] == [1, 3, 4]
    refused = await with_class.events(consent.ConsentRefused, "consent")
    assert father in {event.subject for event in refused}
    assert all(event.supersedes is None for event in await with_class.events(consent.ConsentGranted, "consent"))


async def test_numbers_known_before_do_not_push_a_new_one_beyond_the_headcount(school: School):
    await school.imported(csv_of([klass(pupils="4")]))
    await school.system.settled()
    class_id = await school.class_id()
    for number in (1, 2, 4):
        await school.decide(seat(class_id, number), f"С-{number}")
    await school.imported(csv_of([child(1), child(2), child(4), child(7)]))
    assert [event.seat.number for event in await school.events(roster.PupilEnrolled)] == [1, 2, 4, 3]


async def test_more_pupils_than_declared_are_entered_beyond_the_headcount(school: School):
    await school.imported(zip_of(classes=[klass(pupils="1")], pupils=[child(1), child(2)]))
    assert [event.seat.number for event in await school.events(roster.PupilEnrolled)] == [1, 2]


async def test_a_number_whose_consent_was_withdrawn_enters_nobody(with_class: School):
    class_id = await with_class.class_id()
    await with_class.decide(seat(class_id, 1), "С-1")
    (granted,) = await with_class.events(consent.ConsentGranted, "consent")
    await with_class.call(consent.WITHDRAW, consent_id=granted.consent_id)
    status = await with_class.imported(csv_of([child(1), child(2)]))
    assert (outcome(status), codes(status)) == ((1, 0, 0, 0, 1), [(2, "Согласие №", "consent.missing")])


async def test_a_consent_that_is_older_than_its_withdrawal_is_refused_at_its_date_and_a_preview_says_so(with_class: School):
    await with_class.imported(csv_of([child(1)]))
    (granted,) = await with_class.events(consent.ConsentGranted, "consent")
    await with_class.call(consent.WITHDRAW, consent_id=granted.consent_id)
    older = csv_of([{**child(1, consent_number="С-9"), "Дата согласия": "10.08.2015"}])
    for status in (await with_class.begin(older, dry_run=True), await with_class.imported(older)):
        assert codes(status) == [(2, "Дата согласия", "consent.outdated")]
    assert len(await with_class.events(consent.ConsentGranted, "consent")) == 1


# -- rejected rows -------------------------------------------------------------------------------------------------------------------------


async def test_a_row_without_a_consent_needs_another_legal_basis(with_class: School):
    rows = [{**child(1, consent_number=""), **parent(1, consent_number="")}]
    status = await with_class.imported(csv_of(rows))
    assert (outcome(status), codes(status)) == ((0, 0, 0, 0, 1), [(2, "Согласие №", "consent.missing")])
    assert outcome(await with_class.imported(csv_of(rows), legal_basis=LAW)) == (1, 0, 0, 0, 0)
    (enrolled,), (linked,) = await with_class.events(roster.PupilEnrolled), await with_class.events(roster.GuardianLinked)
    assert (enrolled.consent_id, enrolled.legal_basis, linked.legal_basis) == (None, LAW, LAW)


async def test_pupils_without_any_guardian_are_told_of_where_they_are_entered_but_those_of_age(with_class: School):
    grown = {**child(3), "Дата рождения": "17.08.1997"}
    rows = [child(1), {**child(2), **parent(1)}, grown, {**child(4), "Дата рождения": "18.08.1997"}]
    status = await with_class.imported(csv_of(rows))
    (warning,) = status.warnings
    assert warning.startswith("school.csv, row 2: a pupil without any guardian, as in 2 rows")
    assert all(told in warning for told in ("roster.link-guardian", "roster.record-no-guardian", "guardian.none"))
    assert (await with_class.imported(csv_of(rows))).warnings == ()


async def test_a_guardian_without_a_consent_keeps_no_child_out(with_class: School):
    status = await with_class.imported(csv_of([{**child(1), **parent(1), **parent(2, "Р-2", "", "Сергей")}]))
    assert (outcome(status), codes(status)) == ((0, 0, 0, 0, 1), [(2, "Родитель 2: Согласие №", "consent.missing")])
    (warning,) = status.warnings
    assert warning.startswith("school.csv, row 2: of a row that counts as rejected the pupil is entered all the same")
    assert await with_class.names("guardian") == ["Иванова Жанна"]
    assert len(await with_class.people("pupil")) == 1
    again = await with_class.imported(csv_of([{**child(1), **parent(1), **parent(2, "Р-2", "", "Сергей")}]))
    assert (outcome(again), again.warnings) == ((0, 0, 0, 0, 1), ())


async def test_what_was_sent_is_imported_for_its_sender_alone_who_gets_the_rejected_rows_back(with_class: School):
    system, bad = with_class.system, {**child(2), "Дата рождения": "31.02.2005"}
    upload = await with_class.upload(csv_of([child(1), bad]), "5А.csv")
    begun = await system.call(roster.IMPORT, roster.ImportRoster(school="school-7", upload=upload))
    assert begun.state == "running"
    ended = await with_class.ended(begun.job)
    assert (ended.state, ended.error_code) == ("failed", "upload.not-own")
    own = await with_class.ended((await with_class.call(roster.IMPORT, upload=upload)).job)
    told = await system.call(roster.IMPORT_STATUS, roster.ImportJob(school="school-7", job=own.job))
    assert (own.rejected_file is None, told.rejected_file) == (False, None)
    assert told == own.model_copy(update={"rejected_file": None})


async def test_rejected_rows_come_back_and_can_be_imported_once_they_are_corrected(with_class: School):
    bad = {**child(2), "Дата рождения": "31.02.2005"}
    status = await with_class.imported(csv_of([child(1), bad]), "5А.csv")
    assert outcome(status) == (1, 0, 0, 0, 1)
    assert status.rejected_file is not None
    returned = base64.b64decode(status.rejected_file)
    assert [finding.row for finding in read_roster(returned, "rejected.csv").errors] == [2]
    corrected = returned.decode("utf-8-sig").replace("31.02.2005", "28.02.2005").encode()
    assert outcome(await with_class.imported(corrected)) == (1, 0, 0, 0, 0)


async def test_a_thousand_wrong_rows_come_back_too_though_not_all_of_their_cells_are_listed(with_class: School):
    bad = [{**child(number), "Фамилия": "", "Дата рождения": "31.02.2005"} for number in range(2, 1002)]
    status = await with_class.imported(csv_of([*bad, child(1)]), "5А.csv")
    assert (outcome(status), len(status.rejected)) == ((1, 0, 0, 0, 1000), 200)
    assert not any("too many" in warning for warning in status.warnings)
    returned = base64.b64decode(status.rejected_file or "")
    assert len({finding.row for finding in read_roster(returned, "rejected.zip").errors}) == 1000


@pytest.mark.parametrize(
    ("row", "column", "code"),
    [
        ({**child(1), "Класс": "9Я"}, "Класс", "class.not-declared"),
        ({**child(1), "Класс": "5Б"}, "Класс", "class.not-created"),
        ({**child(1), "Дата согласия": "18.08.2015"}, "Дата согласия", "date.in-future"),
        ({**child(1), "Дата рождения": "01.03.2029", "Дата зачисления": "01.09.2035"}, "Дата рождения", "date.in-future"),
        ({**child(1), "Дата рождения": "01.03.1908"}, "Дата рождения", "age.out-of-range"),
        ({**child(1), "Дата зачисления": "01.09.2035"}, "Дата зачисления", "date.far-in-future"),
    ],
)
async def test_a_row_that_cannot_be_entered_says_which_cell_is_wrong(with_class: School, row: Cells, column: str, code: str):
    await with_class.call(roster.DECLARE_CLASS, grade=5, letter="Б", academic_year="2015/2016")
    preview = await with_class.begin(csv_of([row]), dry_run=True)
    status = await with_class.imported(csv_of([row]))
    assert codes(status) == codes(preview) == [(2, column, code)]
    assert await with_class.people("pupil") == set()


async def test_a_row_of_a_closed_class_says_that_it_was_closed(with_class: School):
    await with_class.call(roster.CLOSE_CLASS, class_id=await with_class.class_id())
    status = await with_class.imported(csv_of([child(1), {**child(2), "Класс": "5Б"}]))
    assert codes(status) == [(2, "Класс", "class.closed"), (3, "Класс", "class.not-declared")]
    await with_class.imported(csv_of([klass()]))
    assert outcome(await with_class.imported(csv_of([child(1)]))) == (1, 0, 0, 0, 0)  # there is a 5А again


@pytest.mark.parametrize(
    ("born_on", "is_entered"),
    [("02.09.2007", False), ("01.09.2007", True), ("02.09.1940", True), ("01.09.1940", False), ("29.02.2008", False)],
)
async def test_a_pupil_is_four_to_seventy_years_old_on_the_day_of_enrolment(with_class: School, born_on: str, is_entered: bool):
    status = await with_class.imported(csv_of([{**child(1), "Дата рождения": born_on, "Дата зачисления": "01.09.2011"}]))
    assert codes(status) == ([] if is_entered else [(2, "Дата рождения", "age.out-of-range")])


async def test_an_age_that_somebody_has_answered_for_is_no_matter_of_a_file_that_repeats_it(with_class: School):
    details = {"last_name": "Иванов", "first_name": "Петра", "birth_date": "2009-03-01"}
    enrolment = {"class_id": await with_class.class_id(), "enrolled_on": "2012-09-01", "external_id": "У-1", "legal_basis": LAW}
    await with_class.call(roster.ENROL_PUPIL, details=details, **enrolment)
    await with_class.call(roster.ASSIGN_PUPIL, pupil=next(iter(await with_class.people("pupil"))), class_id=enrolment["class_id"])
    row = child(1, first_name="Петра", consent_number="", **{"Дата рождения": "01.03.2009", "Дата зачисления": "01.09.2012"})
    assert outcome(await with_class.imported(csv_of([row]))) == (0, 0, 1, 0, 0)


async def test_who_was_corrected_by_hand_is_no_other_person_to_a_file_that_is_behind(with_class: School):
    row = child(1, "Первая", "Ольга")
    await with_class.imported(csv_of([row]))
    (pupil,) = await with_class.people("pupil")
    corrected = {"last_name": "Первая", "first_name": "Ольга", "birth_date": "2005-03-02"}
    enrolment = {"class_id": await with_class.class_id(), "enrolled_on": "2012-09-01", "external_id": "У-1", "legal_basis": LAW}
    await with_class.call(roster.ENROL_PUPIL, details=corrected, **enrolment)
    status = await with_class.imported(csv_of([{**row, "Фамилия": "Вторая", "Имя": "Олеся"}]))
    assert (outcome(status), codes(status), status.conflict) == ((0, 1, 0, 0, 0), [], 1)
    assert await with_class.names("pupil") == ["Вторая Олеся"]
    assert await with_class.people("pupil") == {pupil}


async def test_who_begins_next_year_is_entered_and_who_would_begin_much_later_is_not(with_class: School):
    next_year = [{**child(1), "Дата зачисления": "17.08.2016"}, {**child(2), "Дата зачисления": "01.09.2016"}]
    status = await with_class.imported(csv_of(next_year))
    assert (outcome(status), codes(status)) == ((1, 0, 0, 0, 1), [(3, "Дата зачисления", "date.far-in-future")])
    status = await with_class.imported(csv_of([member("17"), member("18", "Смирнова", **{"Дата приёма": "01.09.2035"})]))
    assert (outcome(status), codes(status)) == ((1, 0, 0, 0, 1), [(3, "Дата приёма", "date.far-in-future")])


async def test_a_day_that_was_entered_by_hand_is_not_said_to_be_too_late_by_a_file_that_repeats_it(with_class: School):
    details = {"last_name": "Иванов", "first_name": "Петра", "birth_date": "2005-03-01"}
    enrolment = {"class_id": await with_class.class_id(), "enrolled_on": "2017-09-01", "external_id": "У-1", "legal_basis": LAW}
    await with_class.call(roster.ENROL_PUPIL, details=details, **enrolment)
    await with_class.call(roster.ASSIGN_PUPIL, pupil=next(iter(await with_class.people("pupil"))), class_id=enrolment["class_id"])
    row = child(1, first_name="Петра", consent_number="", **{"Дата зачисления": "01.09.2017"})
    assert outcome(await with_class.imported(csv_of([row]))) == (0, 0, 1, 0, 0)
    assert outcome(await with_class.imported(csv_of([{**row, "Дата зачисления": "02.09.2017"}]))) == (0, 0, 0, 0, 1)


async def test_a_consent_number_that_stands_for_another_decision_is_told_of(with_class: School):
    await with_class.decide(seat(await with_class.class_id(), 9), "С-1", granted=False)
    status = await with_class.imported(csv_of([child(1), child(2)]))
    assert (outcome(status), codes(status)) == ((1, 0, 0, 0, 1), [(2, "Согласие №", "consent.number-taken")])


async def test_every_row_has_one_outcome(with_class: School):
    await with_class.imported(csv_of([child(1), child(2)]))
    rows = [
        child(1),
        {**child(2), "E-mail": "new@family.example"},
        child(3),
        child(9, first_name="Петра"),  # the name of the first
        child(4, consent_number=""),
        {**child(5), **parent(1, consent_number="")},
        {**child(6), "Фамилия": ""},
    ]
    status = await with_class.imported(csv_of(rows))
    assert (outcome(status), status.total_rows) == ((1, 1, 1, 1, 3), 7)


# -- uploads and jobs ----------------------------------------------------------------------------------------------------------------------


async def test_parts_come_in_any_order_and_more_than_once(school: School):
    content = zip_of(**SCHOOL)
    half = len(content) // 2
    pieces = {1: content[:half], 2: content[half:]}
    missing: list[tuple[int, ...]] = []
    for number in (2, 2, 1):
        body = {"upload": "u-x", "part": number, "parts": 2, "file_name": "a.zip", "content": base64.b64encode(pieces[number]).decode()}
        if number == 1:
            assert await school.refusal(roster.IMPORT, upload="u-x") == "upload.incomplete"
        missing.append((await school.call(roster.UPLOAD, **body)).missing)
    assert missing == [(1,), (1,), ()]
    assert outcome(await school.ended((await school.call(roster.IMPORT, upload="u-x")).job)) == (7, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"content": "это не base64"}, "upload.malformed"),
        ({"part": 3}, "upload.malformed"),
        ({"parts": 3}, "upload.other-parts"),
        ({"content": base64.b64encode(bytes(256 * 1024 + 1)).decode()}, "upload.part-too-large"),
    ],
)
async def test_a_part_that_makes_no_sense_is_refused(school: School, change: dict[str, Any], code: str):
    body = {"upload": "u-x", "part": 1, "parts": 2, "file_name": "a.csv", "content": ""}
    await school.call(roster.UPLOAD, **body)
    assert await school.refusal(roster.UPLOAD, **{**body, **change}) == code


async def parts_kept(school: School) -> int:
    wanted = select(func.count()).select_from(upload_table)
    return await school.system.instance.services["roster"].read(lambda connection: connection.execute(wanted).scalar_one())


async def test_parts_that_are_more_than_a_file_may_have_are_refused_at_once_and_none_is_kept(
    school: School, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("roster.files.limits.FILE_BYTES", 1000)
    body = {"upload": "u-x", "parts": 3, "file_name": "a.csv", "content": base64.b64encode(bytes(500)).decode()}
    for part in (1, 2, 2, 1):
        await school.call(roster.UPLOAD, part=part, **body)
    assert await parts_kept(school) == 2
    with pytest.raises(Refused, match=r"file\.too-large: It is larger than") as refused:
        await school.call(roster.UPLOAD, part=3, **{**body, "content": base64.b64encode(b"1").decode()})
    assert refused.value.hint == "Split it into several files."
    assert await parts_kept(school) == 0


async def test_what_was_previewed_can_be_imported_within_an_hour_and_is_gone_then(school: School):
    uploads = [await school.upload(csv_of([klass(letter)])) for letter in "АБ"]
    for upload in uploads:
        assert (await school.call(roster.IMPORT, upload=upload, dry_run=True)).created == 1
    await school.system.until("2015-08-17T09:59:00+03:00")
    assert (await school.ended((await school.call(roster.IMPORT, upload=uploads[0])).job)).created == 1
    assert await parts_kept(school) == 1
    await school.system.until("2015-08-17T10:01:00+03:00")
    assert await parts_kept(school) == 0
    assert await school.refusal(roster.IMPORT, upload=uploads[1]) == "upload.unknown"
    assert await school.refusal(roster.IMPORT, upload=uploads[1], dry_run=True) == "upload.unknown"


async def test_what_an_import_under_way_reads_stays_whatever_becomes_of_a_preview_of_it(school: School, monkeypatch: pytest.MonkeyPatch):
    begun = asyncio.Semaphore(0)

    async def never_ends(_run: object) -> None:
        begun.release()
        await asyncio.sleep(3600)

    previewed, refused = await school.upload(csv_of([klass()])), await school.upload(b"PK\x03\x04 cut off")
    await school.call(roster.IMPORT, upload=previewed, dry_run=True)
    with monkeypatch.context() as patched:
        patched.setattr("roster.importing.jobs.Run.carry_out", never_ends)
        for upload in (previewed, refused):
            assert (await school.call(roster.IMPORT, upload=upload)).state == "running"
            await begun.acquire()
    assert (await school.call(roster.IMPORT, upload=previewed, dry_run=True, happened_on="2015-08-16")).state == "done"
    assert (await school.call(roster.IMPORT, upload=refused, dry_run=True)).state == "failed"
    await school.system.until("2015-08-17T12:00:00+03:00")
    assert await parts_kept(school) == 2


async def test_a_whole_list_whose_missing_are_still_to_be_confirmed_stays_an_hour(with_class: School):
    await with_class.imported(csv_of([child(1), child(2)]))
    upload = await with_class.upload(csv_of([child(1)]))
    refused = await with_class.ended((await with_class.call(roster.IMPORT, upload=upload, full_list=True)).job)
    assert refused.error_code == "list.too-many-missing"
    confirmed = await with_class.call(roster.IMPORT, upload=upload, full_list=True, missing=1)
    assert (await with_class.ended(confirmed.job)).leaving == 1


async def test_uploads_and_jobs_expire_on_the_instances_clock(school: School):
    upload = await school.upload(zip_of(**SCHOOL))
    preview = await school.call(roster.IMPORT, upload=upload, dry_run=True)
    await school.system.until("2015-09-16T08:00:00+03:00")
    assert (await school.call(roster.IMPORT_STATUS, job=preview.job)).state == "done"
    await school.system.until("2015-09-16T10:00:00+03:00")
    assert await school.refusal(roster.IMPORT_STATUS, job=preview.job) == "import.unknown"
    assert await school.refusal(roster.IMPORT, upload=upload) == "upload.unknown"


async def test_a_job_is_its_own_schools(school: School):
    await school.system.call(roster.OPEN_SCHOOL, roster.OpenSchool(school="school-8", name="Школа № 8", municipality="dubna"))
    job = (await school.imported(csv_of([klass()]))).job
    with pytest.raises(Refused) as refused:
        await school.system.call(roster.IMPORT_STATUS, roster.ImportJob(school="school-8", job=job))
    assert refused.value.code == "import.unknown"


async def test_a_file_that_cannot_be_read_fails_the_job_and_is_gone_at_once(school: School):
    upload = await school.upload(b"PK\x03\x04 cut off")
    before = len(await school.recorded())
    for _ in range(2):
        status = await school.ended((await school.call(roster.IMPORT, upload=upload)).job)
        assert (status.state, status.error_code, status.file_name) == ("failed", "file.unreadable", "school.csv")
        assert await parts_kept(school) == 0
    assert await school.refusal(roster.IMPORT, upload=upload, legal_basis=LAW) == "upload.unknown"
    assert len(await school.recorded()) == before


async def test_of_several_files_the_one_that_cannot_be_read_is_named(school: School):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("classes.csv", csv_of([{"Параллель": "1", "Литера": "А", "Учебный год": "2015/2016", "Заявлено учеников": "20"}]))
        archive.writestr("staff.csv", b"\0\1")
    status = await school.ended((await school.begin(content.getvalue(), "school.zip")).job)
    assert (status.state, status.error_code) == ("failed", "file.unreadable")
    assert (status.error_text or "").startswith("staff.csv: It is neither")


async def test_how_a_file_was_understood_is_told(with_class: School):
    status = await with_class.imported(csv_of([child(1)]).decode("utf-8-sig").encode("cp1251"))
    assert [(table.kind, table.encoding, table.rows) for table in status.tables] == [("pupils", "cp1251", 1)]


async def test_while_roster_records_nothing_an_import_is_refused_and_one_under_way_says_so(school: School, monkeypatch: pytest.MonkeyPatch):
    rows = csv_of([{"Параллель": "1", "Литера": "А", "Учебный год": "2015/2016", "Заявлено учеников": "20"}])
    upload = await school.upload(rows)
    store = school.system.instance.services["roster"].store
    store.quarantine = "the log and its stream contradict each other"
    for call, body in (
        (roster.UPLOAD, {"upload": "u-new", "part": 1, "parts": 1, "file_name": "x.csv", "content": ""}),
        (roster.IMPORT, {"upload": upload}),
        (roster.IMPORT, {"upload": upload, "dry_run": True}),
    ):
        with pytest.raises(CallFailed) as failed:
            await school.call(call, **body)
        assert failed.value.code == "service.quarantined"
    store.quarantine = None
    ended = await school.ended((await school.call(roster.IMPORT, upload=upload)).job)

    async def never_ends(_run: object) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr("roster.importing.jobs.Run.carry_out", never_ends)
    under_way = await school.begin(rows)
    assert under_way.state == "running"
    store.quarantine = "again"
    assert (await school.call(roster.IMPORT_STATUS, job=ended.job)).state == "done"
    with pytest.raises(CallFailed) as failed:
        await school.call(roster.IMPORT_STATUS, job=under_way.job)
    assert failed.value.code == "service.quarantined"


async def test_nothing_of_a_file_stands_in_the_database_in_clear(with_class: School, tmp_path: Path):
    rows = [{**child(1), **parent(1)}, child(2, consent_number="", Отчество="Аристархович")]
    status = await with_class.imported(csv_of(rows), "Список Ивановых.csv")
    assert status.rejected_rows == 1
    files = b"".join(path.read_bytes() for path in (tmp_path / "db").glob("*.db*"))
    assert status.job.encode() in files
    for text in ("Иванов", "Пётр", "Жанна", "01.03.2005", "2005-03-01", "У-1", "Р-1", "С-1", "М-1", "Аристархович", "Список"):
        assert text.encode() not in files, text


# -- OneRoster -----------------------------------------------------------------------------------------------------------------------------


def export(version: str = "1.1", **changed: tuple[str, str]) -> bytes:
    """The sample export, with a text replaced in the files that are named."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted((SAMPLES / f"oneroster-{version}").glob("*.csv")):
            archive.writestr(path.name, path.read_text("utf-8").replace(*changed.get(path.stem, ("", ""))))
    return content.getvalue()


@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_a_oneroster_export_is_entered_with_a_legal_basis_and_the_same_again_changes_nothing(school: School, version: str):
    preview = await school.begin(export(version), "export.zip", legal_basis=LAW, dry_run=True)
    assert outcome(preview) == (32, 0, 0, 0, 0)
    assert await school.people("pupil") == set()
    status = await school.imported(export(version), "export.zip", legal_basis=LAW)
    assert (outcome(status), status.total_rows, status.done_rows, status.warnings) == ((32, 0, 0, 0, 0), 32, 32, ())
    assert [(table.file, table.kind, table.rows) for table in status.tables] == [
        ("classes.csv", "classes", 2),
        ("users.csv", "staff", 6),
        ("users.csv", "pupils", 24),
        ("users.csv", "guardians", 47),
    ]
    assert [len(await school.people(kind)) for kind in ("staff", "pupil", "guardian")] == [6, 24, 47]
    cards = (await school.call(roster.CLASSES)).classes
    assert [(card.grade, card.letter, card.academic_year, card.headcount, card.teacher is not None) for card in cards] == [
        (5, "А", "2015/2016", 12, True),
        (5, "Б", "2015/2016", 12, True),
    ]
    assert [event.legal_basis for event in await school.events(roster.PupilEnrolled)] == [LAW] * 24
    before = len(await school.recorded())
    again = await school.imported(export(version), "export.zip", legal_basis=LAW)
    assert outcome(again) == (0, 0, 32, 0, 0)
    assert len(await school.recorded()) == before + 1  # that the import was completed


async def test_a_oneroster_export_without_a_legal_basis_enters_classes_and_staff_alone(school: School):
    status = await school.imported(export(), "export.zip")
    assert outcome(status) == (8, 0, 0, 0, 24)
    assert {(cell.file, cell.column, cell.code) for cell in status.rejected} == {("users.csv", None, "consent.missing")}
    back = base64.b64decode(status.rejected_file or "")
    assert outcome(await school.imported(back, "rejected.zip", legal_basis=LAW)) == (24, 0, 2, 0, 0)
    assert len(await school.people("guardian")) == 47


async def test_rejected_rows_of_an_export_are_entered_once_they_are_corrected(school: School):
    wrong = export(users=("Белоусова,Викторовна", ",Викторовна"))
    status = await school.imported(wrong, "export.zip", legal_basis=LAW)
    assert (outcome(status), codes(status)) == ((31, 0, 0, 0, 1), [(8, "familyName", "cell.blank")])
    back = io.BytesIO(base64.b64decode(status.rejected_file or ""))
    corrected = io.BytesIO()
    with zipfile.ZipFile(back) as archive, zipfile.ZipFile(corrected, "w") as mended:
        for name in archive.namelist():
            mended.writestr(name, archive.read(name).decode().replace(",Викторовна", "Белоусова,Викторовна"))
    again = await school.imported(corrected.getvalue(), "export-rejected.zip", legal_basis=LAW)
    assert (again.created, again.rejected_rows, len(await school.people("pupil"))) == (1, 0, 24)
    assert [card.headcount for card in (await school.call(roster.CLASSES)).classes] == [12, 12]


async def test_an_export_leaves_seats_that_were_declared_and_positions_that_were_entered(school: School):
    await school.imported(csv_of([klass(pupils="25")]))
    teacher = csv_of([member("115", "Селезнёв", Имя="Николай", Отчество="Валерьевич")])
    await school.imported(teacher)
    status = await school.imported(export(), "export.zip", legal_basis=LAW)
    assert (status.created, status.rejected_rows, status.warnings) == (30, 0, ())
    assert [card.headcount for card in (await school.call(roster.CLASSES)).classes] == [25, 12]
    assert outcome(await school.imported(teacher)) == (0, 0, 1, 0, 0)


async def test_pupils_of_an_export_go_to_the_class_of_their_own_year(school: School):
    await school.imported(csv_of([{**klass(), "Учебный год": "2016/2017"}]))
    await school.imported(export(), "export.zip", legal_basis=LAW)
    cards = {card.class_id: card.academic_year for card in (await school.call(roster.CLASSES)).classes}
    assert {cards[event.class_id] for event in await school.events(roster.PupilAssignedToClass)} == {"2015/2016"}


async def test_a_oneroster_export_of_changes_alone_is_refused(school: School):
    status = await school.ended((await school.begin(export(manifest=("file.users,bulk", "file.users,delta")), "export.zip")).job)
    assert (status.state, status.error_code) == ("failed", "file.oneroster-delta")


async def test_nothing_of_an_export_stands_in_the_database_in_clear(school: School, tmp_path: Path):
    status = await school.imported(export(users=("Белоусова,Викторовна", ",Викторовна")), "Выгрузка.zip", legal_basis=LAW)
    files = b"".join(path.read_bytes() for path in (tmp_path / "db").glob("*.db*"))
    assert status.job.encode() in files
    for text in ("Селезнёв", "Викторовна", "2004-03-17", "У0262", "seleznev115", "Выгрузка"):
        assert text.encode() not in files, text


# -- jobs that are cut off -----------------------------------------------------------------------------------------------------------------

MANY = zip_of(
    classes=[klass(pupils="60")],
    pupils=[{**child(number), **parent(1, f"Р-{number}", f"М-{number}", f"Жанна{'а' * number}")} for number in range(1, 61)],
)


@pytest.mark.parametrize("part", ["classes-0", "pupils-0", "pupils-50", "complete"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_job_that_is_cut_off_is_taken_up_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, when: str):
    reached = asyncio.Event()
    carry_out = Service.carry_out

    async def stuck(self: Service, *arguments: Any, **named: Any) -> Any:
        if named["part"] != part:
            return await carry_out(self, *arguments, **named)
        if when == "after":
            await carry_out(self, *arguments, **named)
        reached.set()
        return await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(Service, "carry_out", stuck)
        patched.setattr("roster.importing.run.ROWS_PER_COMMAND", 50)  # as it was begun, so it goes on
        async with running(tmp_path, BUILDS) as system:
            school = School(system)
            await open_school(school)
            job = (await school.begin(MANY)).job
            await reached.wait()
    async with running(tmp_path, BUILDS) as system:
        school = School(system)
        status = await school.ended(job)
        assert (outcome(status), status.done_rows) == ((61, 0, 0, 0, 0), 61)
        assert len(await school.events(roster.PupilEnrolled)) == len(await school.people("pupil")) == 60
        assert len(await school.events(roster.GuardianLinked)) == len(await school.people("guardian")) == 60
        assert len(await school.events(consent.ConsentGranted, "consent")) == 120
        assert len(await school.events(roster.RosterImportCompleted)) == 1
        assert sorted(event.seat.number for event in await school.events(roster.PupilEnrolled)) == list(range(1, 61))


async def test_who_follows_an_import_is_answered_as_it_ends_and_at_once_where_too_many_are(school: School, monkeypatch: pytest.MonkeyPatch):
    go_on = asyncio.Event()
    carry_out = Service.carry_out

    async def held(self: Service, *arguments: Any, **named: Any) -> Any:
        await go_on.wait()
        return await carry_out(self, *arguments, **named)

    monkeypatch.setattr(Service, "carry_out", held)
    job = (await school.begin(csv_of([klass()]))).job
    with monkeypatch.context() as patched:
        patched.setattr("roster.importing.jobs._MOST_WAIT", 0)
        assert (await school.call(roster.IMPORT_STATUS, job=job, wait_s=2)).state == "running"
    ended = asyncio.create_task(school.call(roster.IMPORT_STATUS, job=job, wait_s=2))
    await asyncio.sleep(0.2)  # long enough for an answer that does not wait
    assert not ended.done()
    go_on.set()
    assert (await ended).state == "done"


async def test_an_import_waits_for_consent_to_come_back(tmp_path: Path):
    async with running(tmp_path, {"roster": build}) as system:
        school = School(system)
        await open_school(school)
        await school.imported(csv_of([klass()]))
        job = (await school.begin(csv_of([child(1)]))).job
        await asyncio.sleep(0.1)  # long enough to have asked in vain
        assert (await school.call(roster.IMPORT_STATUS, job=job)).state == "running"
    async with running(tmp_path, BUILDS) as system:
        assert outcome(await School(system).ended(job)) == (1, 0, 0, 0, 0)


async def test_an_import_is_the_same_on_postgresql(tmp_path: Path, fresh_postgres: str):
    def database_url(service: str) -> str | URL:
        return fresh_postgres if service == "roster" else sqlite_url(tmp_path / "db" / f"{service}.db")

    async with running(tmp_path, BUILDS, database_url=database_url) as system:
        school = School(system)
        await open_school(school)
        assert outcome(await school.imported(zip_of(**SCHOOL))) == (7, 0, 0, 0, 0)
        assert outcome(await school.imported(zip_of(**SCHOOL))) == (0, 0, 7, 0, 0)
        await school.system.until("2015-09-17T10:00:00+03:00")
        assert len(await school.people("guardian")) == 2


async def test_the_sample_school_is_entered_whole(tmp_path: Path):
    async with running(tmp_path, BUILDS, now="2015-09-01T09:00:00+03:00") as system:
        school = School(system)
        await open_school(school)
        created: list[int] = []
        for name in ("school-classes.xlsx", "school-staff.xlsx", "school-pupils.xlsx", "school-pupils-late.xlsx"):
            status = await school.imported((SAMPLES / name).read_bytes(), name)
            assert status.rejected_rows == status.review == 0
            created.append(status.created)
        again = await school.imported((SAMPLES / "school-pupils.xlsx").read_bytes(), "school-pupils.xlsx")
        assert (created, outcome(again)) == ([25, 60, 603, 10], (0, 0, 603, 0, 0))
        card = await school.call(roster.SCHOOL)
        assert (card.staff, card.classes, card.pupils, card.guardians) == (60, 25, 613, 1079)
        assert all(klass.teacher is not None for klass in (await school.call(roster.CLASSES)).classes)
