"""Rows that an import has put aside: they wait, sealed, until an administrator says whose they are; then they are entered as its others."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import literal, select, update

from consent.app import build as build_consent
from contracts import consent, roster
from contracts.roster import LegalBasis, ReviewCard, ReviewReason, ReviewStatus, SettledAs
from eventkit.harness import running
from roster.app import build
from roster.book import LIKENESS
from roster.files import Departure, Place, PupilRow, StaffRow
from roster.files.words import KINSHIPS, ROLES, SEXES
from roster.importing.putting_aside import as_json, from_json
from roster.importing.reviews import review_table
from roster.tables import likeness_table
from roster.testing import School, child, csv_of, klass, member, open_school, outcome, parent, zip_of
from roster.vault import vault_table

BUILDS = {"roster": build, "consent": build_consent}
LAW = LegalBasis(code="law", reference="273-FZ")

FIRST, TWIN = child(1, "Ёлкин", "Пётр"), child(2, "Елкин", "Петр", **{"E-mail": "petr@example.org"})


@pytest.fixture
async def school(tmp_path: Path) -> AsyncIterator[School]:
    async with running(tmp_path, BUILDS) as system:
        school = School(system)
        await open_school(school)
        await school.imported(zip_of(classes=[klass()], pupils=[FIRST]))
        yield school


async def waiting(school: School, **more: Any) -> list[ReviewCard]:
    return list((await school.call(roster.REVIEWS, **more)).reviews)


async def settled(school: School, card: ReviewCard, settled_as: str, person: str | None = None) -> ReviewStatus:
    return await school.call(roster.SETTLE_REVIEW, review=card.review, settled_as=settled_as, person=person)


async def kept(school: School) -> list[Any]:
    service = school.system.instance.services["roster"]
    return list(await service.read(lambda connection: connection.execute(select(review_table)).all()))


# -- what waits ----------------------------------------------------------------------------------------------------------------------------


async def test_a_row_that_is_put_aside_waits_with_its_place_and_whom_it_is_near(school: School):
    (first,) = await school.people("pupil")
    status = await school.imported(csv_of([TWIN]), "twins.csv")
    assert status.review == 1
    assert f"row 2: a pupil of this name and birth date is entered under another ID, as {first}" in status.warnings[0]
    (card,) = await waiting(school)
    assert (card.import_id, card.file, card.row, card.external_id) == (status.job, "twins.csv", 2, "У-2")
    assert (card.reason, card.near, card.under_way, card.rejected) == ("alike", (first,), False, ())
    assert await waiting(school, import_id="i-other") == []


async def test_a_pupil_is_near_who_has_no_patronymic_where_the_other_has_one(school: School):
    (first,) = await school.people("pupil")
    status = await school.imported(csv_of([{**TWIN, "Отчество": "Ильич"}]))
    assert outcome(status) == (0, 0, 0, 1, 0)
    (card,) = await waiting(school)
    assert (card.reason, card.near) == ("alike", (first,))
    assert (await settled(school, card, "same", first)).state == "settled"
    assert (await school.call(roster.PERSON, person=first)).details.patronymic == "Ильич"
    assert outcome(await school.imported(csv_of([child(7, "Ёлкин", "Пётр")]))) == (0, 0, 0, 1, 0)
    assert [card.near for card in await waiting(school)] == [(first,)]


async def test_namesakes_with_two_patronymics_are_two_pupils_and_one_without_any_is_near_both(school: School):
    one, other = ({**child(number, "Ким", "Ян"), "Отчество": patronymic} for number, patronymic in ((3, "Ильич"), (4, "Львович")))
    unnamed = {**child(5, "Ким", "Ян"), "Отчество": ""}
    status = await school.imported(csv_of([one, other, unnamed]))
    assert outcome(status) == (2, 0, 0, 1, 0)
    (card,) = await waiting(school)
    assert (card.row, len(card.near)) == (4, 2)


async def test_pupils_whose_likeness_was_made_with_the_patronymic_are_found_after_the_next_start(tmp_path: Path):
    made_otherwise = update(likeness_table).values(digest=literal("0f") + likeness_table.c.person)
    async with running(tmp_path, BUILDS) as system:
        school = School(system)
        await open_school(school)
        await school.imported(zip_of(classes=[klass()], pupils=[FIRST]))
        people = await school.people("pupil")
        await school.imported(csv_of([child(8)]))
        (unreadable,) = await school.people("pupil") - people
        damaged = update(vault_table).where(vault_table.c.person == unreadable).values(sealed=b"damaged")
        for change in (made_otherwise, damaged):
            await system.instance.services["roster"].write(lambda connection, change=change: connection.execute(change))
        assert (await school.imported(csv_of([TWIN]), dry_run=True)).review == 0
    for _ in range(2):
        async with running(tmp_path, BUILDS) as system:
            assert (await School(system).imported(csv_of([TWIN]), dry_run=True)).review == 1
            found = await system.instance.services["roster"].read(lambda connection: connection.execute(select(likeness_table)).all())
            assert {row.person for row in found} == people
            assert [row.digest.startswith(LIKENESS) for row in found] == [True]


async def test_a_preview_keeps_nothing(school: School):
    assert (await school.imported(csv_of([TWIN]), dry_run=True)).review == 1
    assert await kept(school) == []


async def test_the_same_row_of_a_later_import_takes_the_place_of_the_one_that_waits(school: School):
    await school.imported(csv_of([TWIN]))
    later = await school.imported(csv_of([TWIN]))
    assert [card.import_id for card in await waiting(school)] == [later.job]
    assert len(await kept(school)) == 1


async def test_what_is_kept_of_a_row_is_sealed_and_gone_once_it_is_settled(school: School):
    await school.imported(csv_of([TWIN]))
    (row,) = await kept(school)
    assert "лкин".encode() not in row.row
    assert b"petr" not in row.row
    (card,) = await waiting(school)
    await settled(school, card, "leave")
    (row,) = await kept(school)
    assert (row.row, row.rejected, row.state) == (None, None, "settled")


# -- settling ------------------------------------------------------------------------------------------------------------------------------


async def test_a_row_that_is_somebody_new_is_entered_with_its_consent_and_its_guardian(school: School):
    await school.imported(csv_of([{**TWIN, **parent(1)}]))
    (card,) = await waiting(school)
    status = await settled(school, card, "new")
    assert (status.state, status.settled_as, status.rejected) == ("settled", "new", ())
    assert await school.people("pupil") == {card.near[0], status.person}
    assert len(await school.people("guardian")) == 1
    enrolled = [event for event in await school.events(roster.PupilEnrolled) if event.person == status.person]
    assert enrolled[0].consent_id in {event.consent_id for event in await school.events(consent.ConsentGranted, "consent")}
    assert await school.events(roster.ImportReviewSettled) == [
        roster.ImportReviewSettled(import_id=card.import_id, review=card.review, settled_as="new", person=status.person or "")
    ]
    assert await waiting(school) == []
    assert outcome(await school.imported(csv_of([{**TWIN, **parent(1)}]))) == (0, 0, 1, 0, 0)


async def test_a_row_that_is_the_same_pupil_changes_that_pupil_who_is_known_under_both_ids_from_then_on(school: School):
    (first,) = await school.people("pupil")
    await school.imported(csv_of([TWIN]))
    (card,) = await waiting(school)
    status = await settled(school, card, "same", first)
    assert (status.state, status.person, status.rejected) == ("settled", first, ())
    assert await school.people("pupil") == {first}
    assert (await school.call(roster.PERSON, person=first)).details.email == "petr@example.org"
    (changed,) = [event for event in await school.events(roster.PersonDetailsChanged) if "external_id" in event.fields]
    assert changed.person == first
    for row in (FIRST, TWIN):
        assert (await school.imported(csv_of([row]), dry_run=True)).review == 0


async def test_a_row_that_is_left_changes_nothing_and_is_put_aside_again_by_the_next_import(school: School):
    before = len(await school.recorded())
    await school.imported(csv_of([TWIN]))
    (card,) = await waiting(school)
    assert (await settled(school, card, "leave")).state == "settled"
    assert [recorded.type for recorded in (await school.recorded())[before:]] == ["roster.import-completed.v1"]
    assert await waiting(school) == []
    await school.imported(csv_of([TWIN]))
    assert len(await waiting(school)) == 1


async def test_settling_twice_records_nothing_twice_and_otherwise_is_refused(school: School):
    (first,) = await school.people("pupil")
    await school.imported(csv_of([TWIN]))
    (card,) = await waiting(school)
    once = await settled(school, card, "same", first)
    before = len(await school.recorded())
    assert await settled(school, card, "same", first) == once
    assert await school.refusal(roster.SETTLE_REVIEW, review=card.review, settled_as="new") == "review.settled"
    assert await school.refusal(roster.SETTLE_REVIEW, review=card.review, settled_as="leave") == "review.settled"
    assert len(await school.recorded()) == before


async def test_twins_of_one_file_are_settled_against_the_one_who_was_entered(school: School):
    rows = [child(3, "Ким", "Ян"), child(4, "Ким", "Ян")]
    status = await school.imported(csv_of(rows))
    assert outcome(status) == (1, 0, 0, 1, 0)
    (card,) = await waiting(school)
    assert (card.row, card.external_id, len(card.near)) == (3, "У-4", 1)
    await settled(school, card, "new")
    assert outcome(await school.imported(csv_of(rows))) == (0, 0, 2, 0, 0)


async def test_who_has_left_or_was_dismissed_is_back_when_somebody_says_so(school: School):
    await school.imported(zip_of(staff=[member()]))
    (pupil,), (person,) = await school.people("pupil"), await school.people("staff")
    await school.call(roster.PUPIL_LEFT, pupil=pupil)
    await school.system.call(roster.DISMISS_STAFF, roster.StaffAct(school="school-7", person=person))
    await school.imported(zip_of(staff=[member()], pupils=[FIRST]))
    cards = {card.reason: card for card in await waiting(school)}
    assert {reason: card.near for reason, card in cards.items()} == {"left": (pupil,), "dismissed": (person,)}
    assert await school.refusal(roster.SETTLE_REVIEW, review=cards[ReviewReason.LEFT].review, settled_as="new") == "review.id-known"
    assert (await settled(school, cards[ReviewReason.LEFT], "same", pupil)).state == "settled"
    assert (await settled(school, cards[ReviewReason.DISMISSED], "same", person)).state == "settled"
    assert (await school.people("pupil"), await school.people("staff")) == ({pupil}, {person})
    assert outcome(await school.imported(zip_of(staff=[member()], pupils=[FIRST]))) == (0, 0, 2, 0, 0)


async def test_a_row_that_may_not_be_entered_waits_on_with_the_reason_and_is_entered_once_that_is_mended(school: School):
    await school.imported(csv_of([{**TWIN, "Класс": "5Б"}]))
    (card,) = await waiting(school)
    status = await settled(school, card, "new")
    assert (status.state, [cell.code for cell in status.rejected]) == ("open", ["class.not-declared"])
    (card,) = await waiting(school)
    assert [(cell.row, cell.column, cell.code) for cell in card.rejected] == [(2, "Класс", "class.not-declared")]
    await school.imported(csv_of([klass("Б")]))
    assert (await settled(school, card, "new")).state == "settled"


async def test_a_row_without_a_consent_keeps_to_the_gate_and_to_its_imports_legal_basis(school: School):
    row = child(2, "Ёлкин", "Пётр", consent_number="")
    await school.imported(csv_of([row]))
    (card,) = await waiting(school)
    assert [cell.code for cell in (await settled(school, card, "new")).rejected] == ["consent.missing"]
    await school.imported(csv_of([row]), legal_basis=LAW)
    (card,) = await waiting(school)
    assert (await settled(school, card, "new")).state == "settled"


async def test_a_person_who_is_not_near_a_row_of_another_school_and_an_unknown_one_are_refused(school: School):
    await school.imported(csv_of([TWIN, child(5)]))
    other = next(iter(await school.people("pupil") - set((await waiting(school))[0].near)))
    (card,) = await waiting(school)
    assert await school.refusal(roster.SETTLE_REVIEW, review=card.review, settled_as="same", person=other) == "review.not-near"
    assert await school.refusal(roster.SETTLE_REVIEW, review="v-other", settled_as="new") == "review.unknown"
    await school.system.call(roster.OPEN_SCHOOL, roster.OpenSchool(school="school-8", name="Школа № 8", municipality="dubna"))
    with pytest.raises(Exception, match=r"review\.unknown"):
        await school.system.call(roster.SETTLE_REVIEW, roster.SettleReview(school="school-8", review=card.review, settled_as=SettledAs.NEW))


# -- what becomes of them ------------------------------------------------------------------------------------------------------------------


async def test_a_roll_back_takes_back_what_settling_has_entered_and_forgets_what_waits(school: School):
    (first,) = await school.people("pupil")
    third = child(3, "Ёлкин", "Пётр", **{"E-mail": "third@example.org"})
    job = (await school.imported(csv_of([{**TWIN, **parent(1)}, third, child(6, "Ёлкин", "Пётр")]))).job
    cards = {card.external_id: card for card in await waiting(school)}
    entered = (await settled(school, cards["У-2"], "new")).person
    await settled(school, cards["У-3"], "same", first)
    await school.system.settled()
    status = await school.rolled_back(job)
    assert (status.pupils, status.guardians, status.put_back, status.decisions, status.left_total) == (1, 1, 1, 3, 0)
    assert await school.people("pupil") == {first}
    assert (await school.call(roster.PERSON, person=first)).details.email == ""
    assert await school.refusal(roster.PERSON, person=entered) == "person.unknown"
    assert (await waiting(school), await kept(school)) == ([], [])
    assert await school.refusal(roster.SETTLE_REVIEW, review=cards["У-6"].review, settled_as="new") == "review.unknown"
    # Nothing is known of the wrong file's IDs: its rows are compared anew, and the right one's are as before.
    assert outcome(await school.imported(csv_of([FIRST, TWIN, third]))) == (0, 0, 1, 2, 0)


async def test_a_year_is_rolled_over_with_those_who_were_entered_by_settling(school: School):
    await school.imported(csv_of([TWIN]))
    (card,) = await waiting(school)
    entered = (await settled(school, card, "new")).person
    class_id = await school.class_id()
    next_year = await school.call(roster.DECLARE_CLASS, grade=6, letter="А", academic_year="2016/2017")
    await school.call(roster.CREATE_CLASS, class_id=next_year.class_id)
    await school.call(roster.ROLL_OVER_CLASS, class_id=class_id, to_class_id=next_year.class_id)
    moved = {event.pupil for event in await school.events(roster.PupilMoved)}
    assert moved == {card.near[0], entered}
    status = await school.imported(csv_of([{**TWIN, "Класс": "6А"}]))
    assert outcome(status) == (0, 0, 1, 0, 0)


# -- as which rows are kept ----------------------------------------------------------------------------------------------------------------


def test_every_row_is_read_again_as_it_was() -> None:
    place = Place("Школа.zip/Ученики.csv", None, 7)
    for word, sex in zip(sorted(KINSHIPS), [*SEXES, *([None] * len(KINSHIPS))], strict=False):
        guardian = {"number": 1, "last_name": "Ёлкина", "first_name": "Анна", "kinship": word, "legal_representative": "да"}
        values = {"place": place, "external_id": "У-1", "last_name": "Ёлкин", "first_name": "Пётр", "born_on": "01.03.2005", "sex": sex}
        values |= {"class_label": "5А", "class_year": "2015/2016", "enrolled_on": "01.09.2012", "snils": "112-233-445 95"}
        pupil = PupilRow.model_validate({**values, "guardians": [{**guardian, "phone": "8 916 123-45-67"}]})
        assert from_json(as_json(pupil)) == pupil
    for word in ROLES:
        values = {"place": place, "external_id": "17", "last_name": "Ёлкина", "first_name": "Анна", "position": "учитель", "role": word}
        one = StaffRow.model_validate({**values, "hired_on": "01.09.2010", "homeroom": "5А"})
        assert from_json(as_json(one)) == one
    departure = Departure(place, "users", "У-1", None)
    assert from_json(as_json(departure)) == departure


# -- what was changed by hand -------------------------------------------------------------------------------------------------------------


async def changed_by_hand(school: School, email: str) -> str:
    (pupil,) = await school.people("pupil")
    details = {"last_name": "Ёлкин", "first_name": "Пётр", "email": email}
    enrolment = {"class_id": await school.class_id(), "enrolled_on": "2012-09-01", "external_id": "У-1"}
    await school.call(roster.ENROL_PUPIL, details=details, legal_basis=LAW, **enrolment)
    return pupil


async def email_of(school: School, person: str) -> str:
    return (await school.call(roster.PERSON, person=person)).details.email


async def test_what_was_changed_by_hand_stays_and_the_file_enters_the_rest(school: School):
    pupil = await changed_by_hand(school, "hand@example.org")
    row = {**FIRST, "E-mail": "file@example.org"}
    status = await school.imported(csv_of([row]))
    assert (outcome(status), status.conflict) == ((0, 0, 1, 0, 0), 1)
    assert "row 2, column E-mail: was changed by hand, and stays" in status.warnings[0]
    assert "file@" not in status.warnings[0]
    status = await school.imported(csv_of([{**row, "СНИЛС": "112-233-445 95"}]))
    assert (outcome(status), status.conflict) == ((0, 1, 0, 0, 0), 1)
    assert await email_of(school, pupil) == "hand@example.org"
    assert (await school.call(roster.PERSON, person=pupil)).details.snils == "11223344595"


async def test_a_file_that_overrules_wins_and_later_files_then_need_not_say_it_again(school: School):
    pupil = await changed_by_hand(school, "hand@example.org")
    status = await school.imported(csv_of([{**FIRST, "E-mail": "file@example.org"}]), overrule=True)
    assert (outcome(status), status.conflict) == ((0, 1, 0, 0, 0), 0)
    assert await email_of(school, pupil) == "file@example.org"
    again = await school.imported(csv_of([{**FIRST, "E-mail": "newer@example.org"}]))
    assert (outcome(again), again.conflict) == ((0, 1, 0, 0, 0), 0)


async def test_a_file_that_says_what_was_said_by_hand_or_nothing_is_no_conflict(school: School):
    await changed_by_hand(school, "hand@example.org")
    status = await school.imported(csv_of([{**FIRST, "E-mail": "hand@example.org"}]))
    assert (outcome(status), status.conflict) == ((0, 0, 1, 0, 0), 0)
    status = await school.imported(csv_of([FIRST]))
    assert (outcome(status), status.conflict) == ((0, 0, 1, 0, 0), 0)


async def test_who_was_changed_by_hand_may_be_overruled_after_a_roll_back_of_the_overruling_only_again(school: School):
    pupil = await changed_by_hand(school, "hand@example.org")
    job = (await school.imported(csv_of([{**FIRST, "E-mail": "file@example.org"}]), overrule=True)).job
    await school.rolled_back(job)
    assert await email_of(school, pupil) == "hand@example.org"
    assert (await school.imported(csv_of([{**FIRST, "E-mail": "file@example.org"}]))).conflict == 1
