"""Acts in a school by call, on a real bus: who is entered under which id and on which seat, and who may look at whom."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from contracts import roster
from contracts.call import Call, Role
from contracts.consent import (
    AgeBand,
    Capacity,
    ConsentExpired,
    ConsentGranted,
    ConsentInvalidated,
    ConsentRefused,
    ConsentWithdrawn,
    InvalidationReason,
    SubjectKind,
    Terms,
)
from contracts.event import Event
from contracts.roster import LegalBasis, NoGuardianReason, PersonName, Position, Relation, Seat, SeatHolder
from eventkit.database import sqlite_url
from eventkit.decider import Decider, Refused
from eventkit.event import Origin, Recorded, decode
from eventkit.harness import BEGUN, System, administrator, director, running
from eventkit.service import Service
from eventkit.store import Transaction
from eventkit.tokens import Actor
from roster.app import build
from roster.journal import journal_table

DAY = date(2015, 8, 17)
LAW = LegalBasis(code="law", reference="273-FZ")
ADMINISTRATOR = administrator("school-7")

MASHA = PersonName(last_name="Ёлкина", first_name="Мария", patronymic="Петровна", birth_date=date(2004, 2, 29))
PETYA = PersonName(last_name="Ёлкин", first_name="Пётр", birth_date=date(2005, 3, 1))
MOTHER = PersonName(last_name="Ёлкина", first_name="Жанна", email="zhanna@family.example", phone="+70001234567")
TEACHER = PersonName(last_name="Кузнецова", first_name="Ольга", snils="90000000000")


def _say(event: Event, state: None) -> Sequence[Event]:
    return [event]


SAYING: Decider[Event, None] = Decider("saying", None, _say, lambda state, event: None)


@dataclass
class Town:
    """school-7 and school-8 on one instance, where consent says what the test has it say."""

    system: System

    async def consent_says(self, *events: Event, school: str = "school-7") -> None:
        def work(tx: Transaction) -> None:
            for event in events:
                tx.decide(SAYING, school, event, school=school, happened_on=DAY)

        await self.system.instance.services["consent"].store.carry_out(work, Origin("operator", "told", "told"))
        await self.system.settled()

    async def act(self, call: Call[Any, Any], as_: Actor | None = None, /, **body: Any) -> Any:
        return await self.system.call(call, call.request.model_validate({"school": "school-7", **body}), as_=as_)

    async def refusal(self, call: Call[Any, Any], as_: Actor | None = None, /, **body: Any) -> str:
        with pytest.raises(Refused) as refused:
            await self.act(call, as_, **body)
        return refused.value.code

    async def declared(self, letter: str = "А", grade: int = 5, *, school: str = "school-7") -> str:
        reply = await self.act(roster.DECLARE_CLASS, grade=grade, letter=letter, academic_year="2015/2016", school=school)
        return reply.class_id

    async def created(self, letter: str = "А") -> str:
        class_id = await self.declared(letter)
        await self.act(roster.CREATE_CLASS, class_id=class_id)
        return class_id

    async def enrolled(self, class_id: str, details: PersonName = MASHA, **more: Any) -> str:
        more = {"legal_basis": LAW, **more} if "consent_id" not in more else more
        reply = await self.act(roster.ENROL_PUPIL, details=details, class_id=class_id, enrolled_on=DAY, **more)
        return reply.person

    async def linked(self, pupil: str, **more: Any) -> str:
        more = {"details": MOTHER, "legal_basis": LAW, **more}
        reply = await self.act(roster.LINK_GUARDIAN, pupil=pupil, relation=Relation.MOTHER, **more)
        return reply.person

    async def people(self, kind: str, class_id: str | None = None) -> set[str]:
        return set((await self.act(roster.PEOPLE, kind=kind, class_id=class_id)).people)

    async def recorded(self) -> list[Recorded]:
        return [decode(data) for _, _, data in await self.system.instance.services["roster"].store.read(BEGUN, 10_000)]

    async def events(self, kind: type[Event]) -> list[Any]:
        return [event for recorded in await self.recorded() if isinstance(event := recorded.event(), kind)]


async def open_schools(town: Town) -> None:
    for school in ("school-7", "school-8"):
        await town.act(roster.OPEN_SCHOOL, school=school, name=f"Школа {school}", municipality="dubna")


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with running(tmp_path, {"roster": build, "consent": Service}) as system:
        town = Town(system)
        await open_schools(town)
        yield town


def seat(class_id: str, number: int, holder: SeatHolder = SeatHolder.PUPIL) -> Seat:
    return Seat(class_id=class_id, number=number, holder=holder)


def granted(
    consent_id: str, subject: str, at: Seat | None = None, kind: SubjectKind = SubjectKind.PUPIL, supersedes: str | None = None
) -> ConsentGranted:
    return ConsentGranted(
        consent_id=consent_id,
        supersedes=supersedes,
        subject=subject,
        subject_kind=kind,
        seat=at,
        age_band=AgeBand.UNDER_14,
        grantor=None,
        capacity=Capacity.LEGAL_REPRESENTATIVE,
        terms=Terms(),
        form="paper",
        evidence_sha256=None,
        signed_on=DAY,
        valid_from=DAY,
        valid_until=None,
    )


def refused(consent_id: str, subject: str, at: Seat | None = None, supersedes: str | None = None) -> ConsentRefused:
    return ConsentRefused(
        consent_id=consent_id, supersedes=supersedes, subject=subject, subject_kind=SubjectKind.PUPIL, seat=at, decided_on=DAY
    )


INVALIDATED = ConsentInvalidated(consent_id="c-1", subject="p-1", subject_kind=SubjectKind.PUPIL, reason=InvalidationReason.FORGED)


# -- schools and classes -------------------------------------------------------------------------------------------------------------------


async def test_a_school_answers_with_its_counts(town: Town):
    class_id = await town.created()
    await town.act(roster.HIRE_STAFF, details=TEACHER, position=Position.TEACHER, hired_on=DAY)
    pupil = await town.enrolled(class_id)
    await town.linked(pupil)
    card = await town.act(roster.SCHOOL, ADMINISTRATOR)
    assert (card.name, card.municipality, card.timezone) == ("Школа school-7", "dubna", "Europe/Moscow")
    assert (card.staff, card.classes, card.pupils, card.guardians) == (1, 1, 1, 1)


@pytest.mark.parametrize("call", [roster.DECLARE_CLASS, roster.SCHOOL, roster.CLASSES, roster.PEOPLE, roster.PERSON])
async def test_an_unknown_school_is_refused(town: Town, call: Call[Any, Any]):
    bodies: dict[str, dict[str, Any]] = {
        "roster.declare-class": {"grade": 5, "letter": "А", "academic_year": "2015/2016"},
        "roster.people": {"kind": "pupil"},
        "roster.person": {"person": "p-1"},
    }
    assert await town.refusal(call, school="school-9", **bodies.get(call.name, {})) == "school.unknown"


async def test_a_school_is_not_opened_a_second_time_as_another(town: Town):
    await town.act(roster.OPEN_SCHOOL, name="Школа school-7", municipality="dubna")
    assert await town.refusal(roster.OPEN_SCHOOL, name="Гимназия", municipality="dubna") == "school.exists"
    zone = {"name": "Школа", "municipality": "dubna", "timezone": "Europe/Dubna"}
    assert await town.refusal(roster.OPEN_SCHOOL, school="school-9", **zone) == "school.timezone-unknown"


async def test_an_act_that_has_not_happened_yet_is_refused(town: Town):
    body = {"grade": 5, "letter": "А", "academic_year": "2015/2016", "happened_on": "2015-08-18"}
    assert await town.refusal(roster.DECLARE_CLASS, **body) == "date.in-future"


async def test_a_class_has_one_id_however_often_it_is_declared(town: Town):
    class_id = await town.declared("А")
    assert await town.declared("A") == class_id  # the Latin letter that looks the same
    assert await town.declared("Б") != class_id
    assert len(await town.events(roster.ClassDeclared)) == 2


async def test_a_closed_class_makes_room_for_a_new_one(town: Town):
    class_id = await town.declared()
    await town.act(roster.CLOSE_CLASS, class_id=class_id)
    assert await town.declared() != class_id
    assert [card.class_id for card in (await town.act(roster.CLASSES)).classes] != [class_id]


async def test_an_academic_year_is_two_years_that_follow_each_other(town: Town):
    assert await town.refusal(roster.DECLARE_CLASS, grade=5, letter="А", academic_year="2015/2017") == "class.year-malformed"


async def test_a_schools_classes_are_answered_with_what_was_said_of_them(town: Town):
    class_id = await town.created()
    teacher = (await town.act(roster.HIRE_STAFF, details=TEACHER, position=Position.TEACHER, hired_on=DAY)).person
    await town.act(roster.DECLARE_HEADCOUNT, class_id=class_id, pupils=25)
    await town.act(roster.ASSIGN_CLASS_TEACHER, class_id=class_id, person=teacher)
    await town.declared("Б")
    cards = (await town.act(roster.CLASSES, academic_year="2015/2016")).classes
    assert [(card.grade, card.letter, card.created, card.headcount, card.teacher) for card in cards] == [
        (5, "А", True, 25, teacher),
        (5, "Б", False, 0, None),
    ]


async def test_another_schools_class_and_people_are_not_there(town: Town):
    elsewhere = await town.declared(school="school-8")
    teacher = (await town.act(roster.HIRE_STAFF, school="school-8", details=TEACHER, position=Position.TEACHER, hired_on=DAY)).person
    assert await town.refusal(roster.CREATE_CLASS, class_id=elsewhere) == "class.not-declared"
    assert await town.refusal(roster.APPOINT_COORDINATOR, person=teacher) == "staff.unknown"
    assert await town.refusal(roster.PERSON, person=teacher) == "person.unknown"


# -- staff ---------------------------------------------------------------------------------------------------------------------------------


async def test_staff_are_found_again_by_their_external_id(town: Town):
    hiring = {"position": Position.TEACHER, "hired_on": DAY, "external_id": "17"}
    person = (await town.act(roster.HIRE_STAFF, details=TEACHER, **hiring)).person
    assert (await town.act(roster.HIRE_STAFF, details=TEACHER, **hiring)).person == person
    assert await town.events(roster.PersonDetailsChanged) == []
    await town.act(roster.HIRE_STAFF, details=TEACHER.model_copy(update={"phone": "+70007654321"}), **hiring)
    assert await town.events(roster.PersonDetailsChanged) == [roster.PersonDetailsChanged(person=person, fields=("phone",))]
    assert await town.refusal(roster.HIRE_STAFF, details=MOTHER, **hiring) == "person.other-name"


async def test_the_same_external_id_is_another_person_in_another_school(town: Town):
    hiring = {"details": TEACHER, "position": Position.TEACHER, "hired_on": DAY, "external_id": "17"}
    here = (await town.act(roster.HIRE_STAFF, **hiring)).person
    there = (await town.act(roster.HIRE_STAFF, school="school-8", **hiring)).person
    assert here != there


async def test_a_coordinator_is_appointed_and_relieved_by_the_director(town: Town):
    person = (await town.act(roster.HIRE_STAFF, details=TEACHER, position=Position.ADMINISTRATOR, hired_on=DAY)).person
    await town.act(roster.APPOINT_COORDINATOR, director("school-7"), person=person)
    await town.act(roster.RELIEVE_COORDINATOR, director("school-7"), person=person)
    assert len(await town.events(roster.CoordinatorAppointed)) == len(await town.events(roster.CoordinatorRelieved)) == 1
    assert await town.refusal(roster.APPOINT_COORDINATOR, ADMINISTRATOR, person=person) == "access.role"


async def test_who_was_dismissed_is_in_no_list_until_hired_again(town: Town):
    hiring = {"details": TEACHER, "position": Position.TEACHER, "hired_on": DAY, "external_id": "17"}
    person = (await town.act(roster.HIRE_STAFF, **hiring)).person
    await town.act(roster.DISMISS_STAFF, person=person)
    assert await town.people("staff") == set()
    assert (await town.act(roster.HIRE_STAFF, **hiring)).person == person
    assert await town.people("staff") == {person}


# -- entering pupils (step 14) -------------------------------------------------------------------------------------------------------------


async def test_a_pupil_adopts_the_id_and_the_seat_of_the_consent(town: Town):
    class_id = await town.declared()
    await town.consent_says(granted("c-1", "p-seat-7", seat(class_id, 7)))
    assert await town.enrolled(class_id, consent_id="c-1") == "p-seat-7"
    (event,) = await town.events(roster.PupilEnrolled)
    assert (event.seat, event.consent_id, event.legal_basis) == (seat(class_id, 7), "c-1", None)


async def test_a_seat_whose_decision_never_was_valid_is_free_again(town: Town):
    class_id = await town.declared()
    await town.consent_says(
        granted("c-1", "p-1", seat(class_id, 1)), refused("c-2", "p-2", seat(class_id, 2)), INVALIDATED, granted("c-3", "p-3")
    )
    await town.enrolled(class_id, consent_id="c-3")
    assert [event.seat.number for event in await town.events(roster.PupilEnrolled)] == [1]


async def test_a_pupil_without_a_seat_on_the_list_takes_the_next_that_nobody_has_or_has_decided_on(town: Town):
    class_id, other = await town.declared(), await town.declared("Б")
    await town.consent_says(
        granted("c-1", "p-1", seat(class_id, 1)), refused("c-2", "p-2", seat(class_id, 2)), granted("c-3", "p-3", seat(other, 3))
    )
    await town.enrolled(class_id, PETYA)
    await town.enrolled(class_id, consent_id="c-3")
    assert [event.seat.number for event in await town.events(roster.PupilEnrolled)] == [3, 4]


@pytest.mark.parametrize(
    "consent_id",
    ["c-refused", "c-withdrawn", "c-superseded", "c-expired", "c-invalidated", "c-elsewhere", "c-mothers", "c-none"],
)
async def test_nobody_is_entered_without_a_consent_that_holds_in_this_school(town: Town, consent_id: str):
    class_id = await town.declared()
    await town.consent_says(
        refused("c-refused", "p-1"),
        granted("c-withdrawn", "p-2"),
        ConsentWithdrawn(consent_id="c-withdrawn", subject="p-2", subject_kind=SubjectKind.PUPIL),
        granted("c-superseded", "p-3"),
        refused("c-later", "p-3", supersedes="c-superseded"),
        granted("c-mothers", "p-4", kind=SubjectKind.GUARDIAN),
        granted("c-expired", "p-6"),
        ConsentExpired(consent_id="c-expired", subject="p-6", subject_kind=SubjectKind.PUPIL),
        granted("c-invalidated", "p-7"),
        INVALIDATED.model_copy(update={"consent_id": "c-invalidated", "subject": "p-7"}),
    )
    await town.consent_says(granted("c-elsewhere", "p-5"), school="school-8")
    body = {"details": MASHA, "class_id": class_id, "enrolled_on": DAY, "consent_id": consent_id}
    assert await town.refusal(roster.ENROL_PUPIL, **body) == "consent.missing"
    assert await town.people("pupil") == set()


async def test_nobody_is_entered_as_born_on_a_day_that_has_not_come(town: Town):
    class_id = await town.declared()
    unborn = MASHA.model_copy(update={"birth_date": date(2040, 2, 28)})
    assert await town.refusal(roster.ENROL_PUPIL, details=unborn, class_id=class_id, enrolled_on=DAY) == "birth-date.in-future"
    assert await town.people("pupil") == set()


async def test_nobody_is_entered_on_nothing_at_all(town: Town):
    class_id = await town.declared()
    assert await town.refusal(roster.ENROL_PUPIL, details=MASHA, class_id=class_id, enrolled_on=DAY) == "consent.missing"


async def test_a_consent_that_supersedes_another_holds(town: Town):
    class_id = await town.declared()
    await town.consent_says(refused("c-1", "p-1", seat(class_id, 1)), granted("c-2", "p-1", seat(class_id, 1), supersedes="c-1"))
    assert await town.enrolled(class_id, consent_id="c-2") == "p-1"


async def test_a_consent_enters_one_pupil(town: Town):
    class_id = await town.declared()
    await town.consent_says(granted("c-1", "p-1", seat(class_id, 1)))
    assert await town.enrolled(class_id, consent_id="c-1") == await town.enrolled(class_id, consent_id="c-1")
    body = {"details": PETYA, "class_id": class_id, "enrolled_on": DAY, "consent_id": "c-1"}
    assert await town.refusal(roster.ENROL_PUPIL, **body) == "person.other-name"


async def test_an_external_id_is_one_pupils(town: Town):
    class_id = await town.declared()
    await town.enrolled(class_id, external_id="У-1")
    await town.consent_says(granted("c-2", "p-2"))
    body = {"details": PETYA, "class_id": class_id, "enrolled_on": DAY, "consent_id": "c-2", "external_id": "У-1"}
    assert await town.refusal(roster.ENROL_PUPIL, **body) == "external-id.taken"


async def test_who_leaves_takes_the_seat_along(town: Town):
    class_id = await town.declared()
    first = await town.enrolled(class_id)
    await town.act(roster.PUPIL_LEFT, pupil=first)
    await town.enrolled(class_id, PETYA)
    assert [event.seat.number for event in await town.events(roster.PupilEnrolled)] == [1, 2]
    assert first not in await town.people("pupil")


async def test_who_comes_back_takes_the_old_seat(town: Town):
    class_id = await town.declared()
    person = await town.enrolled(class_id, external_id="У-1")
    await town.act(roster.PUPIL_LEFT, pupil=person)
    assert await town.enrolled(class_id, external_id="У-1") == person
    assert [event.seat.number for event in await town.events(roster.PupilEnrolled)] == [1, 1]


async def test_a_full_list_takes_nobody(town: Town):
    class_id = await town.declared()
    await town.consent_says(*(granted(f"c-{number}", f"p-{number}", seat(class_id, number)) for number in range(1, 100)))
    body = {"details": MASHA, "class_id": class_id, "enrolled_on": DAY, "legal_basis": LAW}
    assert await town.refusal(roster.ENROL_PUPIL, **body) == "class.full"


# -- guardians -----------------------------------------------------------------------------------------------------------------------------


async def test_a_guardian_adopts_the_id_of_the_own_consent(town: Town):
    pupil = await town.enrolled(await town.declared())
    await town.consent_says(granted("c-2", "p-mother", kind=SubjectKind.GUARDIAN))
    assert await town.linked(pupil, consent_id="c-2", legal_basis=None) == "p-mother"
    (event,) = await town.events(roster.GuardianLinked)
    assert (event.relation, event.legal_representative, event.consent_id) == (Relation.MOTHER, True, "c-2")


async def test_a_guardian_of_two_children_is_one_person_on_one_consent(town: Town):
    class_id = await town.declared()
    sister, brother = await town.enrolled(class_id), await town.enrolled(class_id, PETYA)
    await town.consent_says(granted("c-2", "p-mother", kind=SubjectKind.GUARDIAN))
    guardian = await town.linked(sister, consent_id="c-2", legal_basis=None, external_id="Р-1")
    assert await town.linked(brother, guardian=guardian, details=None, legal_basis=None) == guardian
    assert await town.linked(brother, legal_basis=None, external_id="Р-1") == guardian
    assert [event.consent_id for event in await town.events(roster.GuardianLinked)] == ["c-2", "c-2"]
    assert await town.people("guardian") == {guardian}


async def test_a_guardian_without_a_basis_is_not_linked(town: Town):
    pupil = await town.enrolled(await town.declared())
    body = {"pupil": pupil, "relation": Relation.MOTHER}
    assert await town.refusal(roster.LINK_GUARDIAN, details=MOTHER, **body) == "consent.missing"
    assert await town.refusal(roster.LINK_GUARDIAN, guardian="p-nobody", legal_basis=LAW, **body) == "guardian.unknown"
    assert await town.refusal(roster.LINK_GUARDIAN, legal_basis=LAW, **body) == "guardian.details-missing"
    assert await town.people("guardian") == set()


async def test_an_unlinked_guardian_leaves_room_for_a_reason(town: Town):
    pupil = await town.enrolled(await town.declared())
    guardian = await town.linked(pupil)
    body = {"pupil": pupil, "reason": NoGuardianReason.REFUSED}
    assert await town.refusal(roster.RECORD_NO_GUARDIAN, **body) == "guardian.linked"
    await town.act(roster.UNLINK_GUARDIAN, pupil=pupil, guardian=guardian)
    await town.act(roster.RECORD_NO_GUARDIAN, **body)
    assert await town.people("guardian") == set()


# -- classes of pupils (step 15) -----------------------------------------------------------------------------------------------------------


async def test_an_entered_pupil_is_assigned_to_a_created_class(town: Town):
    class_id = await town.declared()
    pupil = await town.enrolled(class_id)
    assert await town.refusal(roster.ASSIGN_PUPIL, pupil=pupil, class_id=class_id) == "class.not-created"
    await town.act(roster.CREATE_CLASS, class_id=class_id)
    await town.act(roster.ASSIGN_PUPIL, pupil=pupil, class_id=class_id)
    assert len(await town.events(roster.PupilAssignedToClass)) == 1
    assert await town.refusal(roster.ASSIGN_PUPIL, pupil="p-nobody", class_id=class_id) == "pupil.not-entered"


async def test_people_of_a_class_are_its_pupils_and_their_guardians(town: Town):
    first, second = await town.created("А"), await town.created("Б")
    sister, brother = await town.enrolled(first), await town.enrolled(first, PETYA)
    mother = await town.linked(sister)
    await town.act(roster.ASSIGN_PUPIL, pupil=brother, class_id=second)
    assert (await town.people("pupil", first), await town.people("pupil", second)) == ({sister}, {brother})
    assert (await town.people("guardian", first), await town.people("guardian", second)) == ({mother}, set())


async def test_a_class_teacher_sees_the_own_class_alone(town: Town):
    own, other = await town.declared("А"), await town.declared("Б")
    pupil = await town.enrolled(own)
    teacher = Actor(Role.CLASS_TEACHER, own, "school-7")
    assert (await town.act(roster.PEOPLE, teacher, kind="pupil", class_id=own)).people == (pupil,)
    for body in ({"kind": "pupil", "class_id": other}, {"kind": "pupil"}, {"kind": "staff", "class_id": own}):
        assert await town.refusal(roster.PEOPLE, teacher, **body) == "access.other-class"


# -- the vault -----------------------------------------------------------------------------------------------------------------------------


async def test_details_are_told_and_the_reader_is_journalled(town: Town):
    pupil = await town.enrolled(await town.declared())
    reader = Actor(Role.ADMINISTRATOR, "school-7", "school-7", principal="operator")
    card = await town.act(roster.PERSON, reader, person=pupil)
    assert (card.kind, card.details) == ("pupil", MASHA)
    service = town.system.instance.services["roster"]
    entries = await service.read(lambda connection: connection.execute(select(journal_table)).all())
    assert [(entry.person, entry.reader, entry.principal, entry.at[:10]) for entry in entries] == [
        (pupil, "administrator:school-7", "operator", "2015-08-17")
    ]


async def test_a_dossier_holds_what_roster_holds_and_says_which_services_did_not_answer(town: Town):
    pupil = await town.enrolled(await town.declared())
    mother = await town.linked(pupil)
    told = await town.act(roster.DOSSIER, Actor(Role.GUARDIAN, mother, "school-7"), person=pupil)
    assert (told.kind, told.details) == ("pupil", MASHA)
    assert {(record.service, record.what) for record in told.records} >= {("roster", "place"), ("roster", "guardianship")}
    assert {"identity", "plan", "notifier"} <= set(told.unheard)
    assert [(one.reader, one.call) for one in told.readings] == [(f"guardian:{mother}", "roster.dossier")]
    assert await town.refusal(roster.DOSSIER, Actor(Role.GUARDIAN, "p-stranger", "school-7"), person=pupil) == "access.other-person"
    assert await town.refusal(roster.DOSSIER, Actor(Role.PUPIL, mother, "school-7"), person=pupil) == "access.other-person"
    assert await town.refusal(roster.JOURNAL, administrator("school-8"), person=pupil) == "access.other-school"
    await town.act(roster.UNLINK_GUARDIAN, pupil=pupil, guardian=mother)
    assert await town.refusal(roster.JOURNAL, Actor(Role.GUARDIAN, mother, "school-7"), person=pupil) == "access.other-person"


async def test_a_guardian_who_is_no_legal_representative_reads_neither_the_child_s_dossier_nor_its_journal(town: Town):
    pupil = await town.enrolled(await town.declared())
    grandmother = await town.linked(pupil, legal_representative=False)
    reader = Actor(Role.GUARDIAN, grandmother, "school-7")
    assert await town.refusal(roster.DOSSIER, reader, person=pupil) == "access.other-person"
    assert await town.refusal(roster.JOURNAL, reader, person=pupil) == "access.other-person"
    assert (await town.act(roster.DOSSIER, reader, person=grandmother)).person == grandmother


async def test_a_legal_representative_reads_a_pupil_s_dossier_to_the_last_day_before_the_pupil_is_18(town: Town):
    class_id = await town.declared()
    for born_on, told in ((date(1997, 8, 18), True), (date(1997, 8, 17), False)):
        pupil = await town.enrolled(class_id, details=MASHA.model_copy(update={"birth_date": born_on}))
        mother = Actor(Role.GUARDIAN, await town.linked(pupil), "school-7")
        if told:
            assert (await town.act(roster.DOSSIER, mother, person=pupil)).person == pupil
        else:
            assert await town.refusal(roster.DOSSIER, mother, person=pupil) == "access.other-person"
            assert (await town.act(roster.JOURNAL, person=pupil)).readings == ()


async def test_nobody_else_reads_details(town: Town):
    pupil = await town.enrolled(await town.declared())
    assert await town.refusal(roster.PERSON, Actor(Role.CLASS_TEACHER, "c-1", "school-7"), person=pupil) == "access.role"
    assert await town.refusal(roster.PERSON, administrator("school-8"), person=pupil) == "access.other-school"


async def test_names_of_several_people_are_told_at_once_and_each_reading_is_journalled(town: Town):
    class_id = await town.declared()
    masha, petya = await town.enrolled(class_id), await town.enrolled(class_id, PETYA)
    mother = await town.linked(masha)
    told = await town.act(roster.PERSONS, ADMINISTRATOR, people=(masha, mother, "p-nobody"))
    assert {one.person: (one.kind, one.last_name, one.first_name, one.patronymic) for one in told.persons} == {
        masha: ("pupil", "Ёлкина", "Мария", "Петровна"),
        mother: ("guardian", "Ёлкина", "Жанна", ""),
    }
    assert await readers(town) == {(masha, "administrator:school-7", None), (mother, "administrator:school-7", None)}
    await town.act(roster.PERSONS, director("school-7"), people=("p-nobody",))
    assert petya not in {person for person, _, _ in await readers(town)}


async def test_names_are_told_within_the_reach_of_whoever_is_behind_the_call(town: Town):
    own, other = await town.created("А"), await town.created("Б")
    pupil, moved = await town.enrolled(own), await town.enrolled(own, PETYA)
    await town.act(roster.ASSIGN_PUPIL, pupil=moved, class_id=other)
    mother, others = await town.linked(pupil), await town.linked(moved)
    teacher = (await town.act(roster.HIRE_STAFF, details=TEACHER, position="teacher", hired_on=DAY)).person
    everybody = {pupil, moved, mother, others, teacher}

    async def told_on_behalf_of(actor: str, school: str = "school-7") -> set[str]:
        request = roster.PersonsQuery(school=school, people=tuple(everybody))
        calls = town.system.instance.services["consent"].calls
        answer = await calls.call(roster.PERSONS, request, origin=Origin(actor, "asked", "asked"))
        return {one.person for one in answer.reply.persons}

    assert await told_on_behalf_of(f"class_teacher:{own}") == {pupil, mother}
    assert await told_on_behalf_of(f"class_teacher:{other}") == {moved, others}
    assert await told_on_behalf_of("class_teacher:c-nobodys") == set()
    assert {reader for _, reader, _ in await readers(town)} == {f"class_teacher:{own}", f"class_teacher:{other}"}
    assert {principal for _, _, principal in await readers(town)} == {"service:consent"}
    assert await told_on_behalf_of("administrator:school-7") == everybody
    for actor, school, code in (
        ("administrator:school-7", "school-8", "access.other-school"),
        (f"guardian:{mother}", "school-7", "access.role"),
        ("ministry", "school-7", "access.role"),
    ):
        with pytest.raises(Refused) as refused:
            await told_on_behalf_of(actor, school)
        assert refused.value.code == code
    assert await town.refusal(roster.PERSONS, Actor(Role.CLASS_TEACHER, own, "school-7"), people=(pupil,)) == "access.role"
    assert await town.refusal(roster.PERSONS, administrator("school-8"), people=(pupil,)) == "access.other-school"
    school_8 = roster.PersonsQuery(school="school-8", people=(pupil,))
    assert (await town.system.call(roster.PERSONS, school_8, as_=administrator("school-8"))).persons == ()


async def readers(town: Town) -> set[tuple[str, str, str | None]]:
    service = town.system.instance.services["roster"]
    entries = await service.read(lambda connection: connection.execute(select(journal_table)).all())
    return {(entry.person, entry.reader, entry.principal) for entry in entries}


async def test_nothing_personal_stands_in_the_database_in_clear(town: Town, tmp_path: Path):
    pupil = await town.enrolled(await town.declared(), external_id="УЧЕНИК-0042")
    await town.linked(pupil, external_id="РОДИТЕЛЬ-0043")
    await town.act(roster.HIRE_STAFF, details=TEACHER, position=Position.TEACHER, hired_on=DAY, external_id="ТАБЕЛЬ-0044")
    files = b"".join(path.read_bytes() for path in (tmp_path / "db").glob("roster.db*"))
    assert pupil.encode() in files
    personal = ["Ёлкина", "Мария", "Петровна", "2004-02-29", "Жанна", "zhanna", "0001234567", "Кузнецова", "90000000000"]
    for text in [*personal, "УЧЕНИК-0042", "РОДИТЕЛЬ-0043", "ТАБЕЛЬ-0044"]:
        assert text.encode() not in files


# -- commands ------------------------------------------------------------------------------------------------------------------------------


async def test_a_repeated_command_answers_the_same_and_enters_nobody_again(town: Town):
    class_id = await town.declared()
    request = roster.EnrolPupil(school="school-7", details=MASHA, class_id=class_id, enrolled_on=DAY, legal_basis=LAW)
    first = await town.system.call(roster.ENROL_PUPIL, request, command_id="enrol-1")
    assert await town.system.call(roster.ENROL_PUPIL, request, command_id="enrol-1") == first
    assert await town.people("pupil") == {first.person}


async def test_what_is_refused_leaves_nothing_behind(town: Town):
    class_id = await town.declared()
    before = len(await town.recorded())
    body = {"details": MASHA, "class_id": "c-nowhere", "enrolled_on": DAY, "legal_basis": LAW, "external_id": "У-1"}
    assert await town.refusal(roster.ENROL_PUPIL, **body) == "class.not-declared"
    assert len(await town.recorded()) == before
    await town.enrolled(class_id, PETYA, external_id="У-1")


async def test_a_service_that_is_started_again_knows_what_it_knew(tmp_path: Path):
    async with running(tmp_path, {"roster": build, "consent": Service}) as system:
        town = Town(system)
        await open_schools(town)
        class_id = await town.created()
        pupil = await town.enrolled(class_id, external_id="У-1")
    async with running(tmp_path, {"roster": build, "consent": Service}) as system:
        town = Town(system)
        assert await town.enrolled(class_id, external_id="У-1") == pupil
        await town.act(roster.ASSIGN_PUPIL, pupil=pupil, class_id=class_id)
        assert len(await town.events(roster.PupilEnrolled)) == 1


async def test_the_whole_way_is_the_same_on_postgresql(tmp_path: Path, fresh_postgres: str):
    def database_url(service: str) -> str | URL:
        return fresh_postgres if service == "roster" else sqlite_url(tmp_path / "db" / f"{service}.db")

    async with running(tmp_path, {"roster": build, "consent": Service}, database_url=database_url) as system:
        town = Town(system)
        await open_schools(town)
        class_id = await town.created()
        assert await town.declared() == class_id
        await town.act(roster.DECLARE_HEADCOUNT, class_id=class_id, pupils=25)
        await town.consent_says(granted("c-1", "p-1", seat(class_id, 4)), granted("c-2", "p-2", kind=SubjectKind.GUARDIAN))
        pupil = await town.enrolled(class_id, consent_id="c-1", external_id="У-1")
        mother = await town.linked(pupil, consent_id="c-2", legal_basis=None)
        await town.act(roster.ASSIGN_PUPIL, pupil=pupil, class_id=class_id)
        assert (await town.people("pupil", class_id), await town.people("guardian", class_id)) == ({"p-1"}, {mother})
        await town.act(roster.CLOSE_CLASS, class_id=class_id)
        assert await town.declared() != class_id
        assert (await town.act(roster.PERSON, person=mother)).details == MOTHER
        card = await town.act(roster.SCHOOL)
        assert (card.staff, card.classes, card.pupils, card.guardians) == (0, 1, 1, 1)
