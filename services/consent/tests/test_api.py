"""Decisions recorded by call, on a real bus: for seats and for people, alone and in lists, within what the caller may do."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from consent import templates
from consent.app import build
from contracts import consent
from contracts.call import Role
from contracts.consent import (
    AgeBand,
    ConsentGranted,
    Decision,
    InvalidationReason,
    RecordDecision,
    RecordDecisions,
    StatusQuery,
    SubjectKind,
    Withdraw,
)
from contracts.event import Event
from contracts.roster import (
    ClassDeclared,
    GuardianLinked,
    Position,
    PupilAssignedToClass,
    PupilEnrolled,
    Relation,
    SchoolOpened,
    Seat,
    SeatHolder,
    StaffHired,
)
from eventkit.database import sqlite_url
from eventkit.decider import Decider, Refused
from eventkit.event import Origin, Recorded, decode
from eventkit.harness import BEGUN, System, administrator, director, running
from eventkit.service import Service, Settings
from eventkit.store import Transaction
from eventkit.tokens import Actor

DAY = date(2015, 8, 17)
ADMINISTRATOR = administrator("school-7")
TEACHER_OF_5A = Actor(Role.CLASS_TEACHER, "5a", "school-7")


def _say(event: Event, state: None) -> Sequence[Event]:
    return [event]


SAYING: Decider[Event, None] = Decider("saying", None, _say, lambda state, event: None)


@dataclass
class Town:
    """Two schools on one instance: school-7 with classes 5a and 5b and the teacher p-teacher, and school-8 with class 9x."""

    system: System

    async def roster_says(self, *events: Event, school: str = "school-7") -> None:
        def work(tx: Transaction) -> None:
            for event in events:
                tx.decide(SAYING, school, event, school=school, happened_on=DAY)

        await self.system.instance.services["roster"].store.carry_out(work, Origin("operator", "told", "told"))
        await self.system.settled()

    async def recorded(self) -> list[Recorded]:
        """All that consent has recorded."""
        return [decode(data) for _, _, data in await self.system.instance.services["consent"].store.read(BEGUN, 1000)]


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with running(tmp_path, {"roster": Service, "consent": build}) as system:
        town = Town(system)
        await fill(town)
        yield town


async def fill(town: Town) -> None:
    for school in ("school-7", "school-8"):
        await town.roster_says(SchoolOpened(school=school, municipality="m-1", timezone="Europe/Moscow"), school=school)
    await town.roster_says(
        ClassDeclared(class_id="5a", grade=5, letter="А", academic_year="2015/2016"),
        ClassDeclared(class_id="5b", grade=5, letter="Б", academic_year="2015/2016"),
        StaffHired(person="p-teacher", position=Position.TEACHER, hired_on=DAY),
    )
    await town.roster_says(ClassDeclared(class_id="9x", grade=9, letter="А", academic_year="2015/2016"), school="school-8")


def seat(number: int, holder: SeatHolder = SeatHolder.PUPIL, class_id: str = "5a") -> Seat:
    return Seat(class_id=class_id, number=number, holder=holder)


def pupil(place: int, *, granted: bool = True, class_id: str = "5a", **more: Any) -> Decision:
    return Decision(granted=granted, seat=seat(place, class_id=class_id), subject_kind=SubjectKind.PUPIL, **more)


def guardian(place: int, *, class_id: str = "5a", **more: Any) -> Decision:
    return Decision(granted=True, seat=seat(place, SeatHolder.GUARDIAN_1, class_id), subject_kind=SubjectKind.GUARDIAN, **more)


def staff(person: str, *, granted: bool = True, **more: Any) -> Decision:
    return Decision(granted=granted, person=person, subject_kind=SubjectKind.STAFF, **more)


async def record(
    town: Town, decision: Decision, *, school: str = "school-7", as_: Actor = ADMINISTRATOR, happened_on: date | None = None
) -> consent.DecisionRecorded:
    request = RecordDecision(school=school, decision=decision, happened_on=happened_on)
    return await town.system.call(consent.RECORD_DECISION, request, as_=as_)


async def refusal(town: Town, decision: Decision, *, school: str = "school-7", as_: Actor | None = None) -> str:
    with pytest.raises(Refused) as refused:
        await record(town, decision, school=school, as_=as_ or administrator(school))
    return refused.value.code


async def states(town: Town, subject: str) -> list[str]:
    status = await town.system.call(consent.STATUS, StatusQuery(school="school-7", subject=subject), as_=ADMINISTRATOR)
    return [card.state for card in status.consents]


# Seats and people.


async def test_a_decision_for_a_seat_makes_the_person_known_by_a_random_id(town: Town):
    recorded = await record(town, pupil(1))
    assert recorded.subject.startswith("p-")
    assert len(recorded.subject) == len("p-") + 20
    assert (recorded.state, recorded.recorded_before) == ("granted", False)
    [event] = await town.recorded()
    assert event.type == "consent.consent-granted.v2"
    assert event.facts()[1]["subject"] == recorded.subject


async def test_a_new_decision_for_a_seat_is_about_the_same_subject(town: Town):
    first = await record(town, pupil(1, granted=False))
    second = await record(town, pupil(1))
    assert second.subject == first.subject
    assert await states(town, first.subject) == ["superseded", "granted"]


async def test_the_same_decision_for_a_seat_said_twice_is_recorded_once(town: Town):
    first = await record(town, pupil(1))
    again = await record(town, pupil(1))
    assert again == first.model_copy(update={"recorded_before": True})
    assert len(await town.recorded()) == 1


async def test_a_pupil_and_the_guardians_of_one_seat_are_different_people(town: Town):
    father = Decision(granted=True, seat=seat(1, SeatHolder.GUARDIAN_2), subject_kind=SubjectKind.GUARDIAN)
    subjects = {(await record(town, decision)).subject for decision in (pupil(1), guardian(1), father)}
    assert len(subjects) == 3


async def test_a_member_of_staff_decides_under_the_own_id(town: Town):
    assert (await record(town, staff("p-teacher"))).subject == "p-teacher"


async def test_whoever_was_entered_without_a_consent_decides_under_the_own_id(town: Town):
    await town.roster_says(*entered("p-child", "p-mother"))
    mother = Decision(granted=True, person="p-mother", subject_kind=SubjectKind.GUARDIAN)
    child = Decision(granted=True, person="p-child", subject_kind=SubjectKind.PUPIL)
    assert [(await record(town, decision)).subject for decision in (mother, child)] == ["p-mother", "p-child"]


async def test_somebody_known_by_a_seat_alone_can_decide_again_by_id(town: Town):
    first = await record(town, pupil(1))
    again = Decision(granted=False, person=first.subject, subject_kind=SubjectKind.PUPIL)
    assert (await record(town, again)).subject == first.subject
    assert await states(town, first.subject) == ["superseded", "refused"]


async def test_what_does_not_exist_is_refused_and_nothing_is_recorded(town: Town):
    assert await refusal(town, pupil(1), school="school-9") == "school.unknown"
    assert await refusal(town, pupil(1, class_id="5z")) == "class.unknown"
    assert await refusal(town, pupil(1, class_id="9x")) == "class.unknown"  # another school's
    assert await refusal(town, staff("p-nobody")) == "person.unknown"
    assert await refusal(town, staff("p-teacher"), school="school-8") == "person.unknown"
    assert await town.recorded() == []


async def test_a_decision_says_whose_it_is(town: Town):
    nobody = Decision(granted=True, subject_kind=SubjectKind.PUPIL)
    both = Decision(granted=True, seat=seat(1), person="p-teacher", subject_kind=SubjectKind.PUPIL)
    guardian_on_a_pupils_seat = Decision(granted=True, seat=seat(1), subject_kind=SubjectKind.GUARDIAN)
    codes = [await refusal(town, decision) for decision in (nobody, both, guardian_on_a_pupils_seat)]
    assert codes == ["decision.subject-unclear", "decision.subject-unclear", "seat.other-kind"]


# What was signed, and by whom.

FRIEND = GuardianLinked(
    pupil="p-child", guardian="p-friend", relation=Relation.OTHER, legal_representative=False, consent_id=None, legal_basis=None
)


async def granted_facts(town: Town) -> list[dict[str, Any]]:
    return [event.facts()[1] for event in await town.recorded() if event.type == ConsentGranted.type]


async def test_a_consent_holds_the_template_that_was_in_force_with_the_digest_of_its_text(town: Town):
    await record(town, pupil(1))
    await record(town, pupil(2, age_band=AgeBand.ADULT))
    await record(town, guardian(1))
    await record(town, staff("p-teacher", template="portal-staff", template_version=1))
    signed = [fact["terms"] for fact in await granted_facts(town)]
    assert [terms["template"] for terms in signed] == ["portal-child", "portal-pupil", "portal-guardian", "portal-staff"]
    for terms in signed:
        content = templates.content(terms["template"], terms["template_version"])
        assert terms["template_sha256"] == hashlib.sha256(content).hexdigest()


async def test_a_template_that_there_is_not_is_refused_and_nothing_is_recorded(town: Town):
    assert await refusal(town, pupil(1, template="portal-nobody")) == "template.unknown"
    assert await refusal(town, pupil(1, template_version=2)) == "template.unknown"
    assert await refusal(town, pupil(1, template="portal-staff")) == "template.other-signer"
    assert await refusal(town, pupil(1, decided_on=date(2007, 1, 26))) == "template.unknown"
    assert await town.recorded() == []


async def test_a_linked_legal_representative_signs_for_a_pupil(town: Town):
    await town.roster_says(*entered("p-child", "p-mother"))
    await record(town, Decision(granted=True, person="p-child", subject_kind=SubjectKind.PUPIL, grantor="p-mother"))
    assert [fact["grantor"] for fact in await granted_facts(town)] == ["p-mother"]


async def test_who_sits_beside_a_pupil_signs_before_anybody_has_a_name(town: Town):
    mother = (await record(town, guardian(1))).subject
    child = (await record(town, pupil(1, grantor=mother))).subject
    assert [fact["grantor"] for fact in await granted_facts(town)] == [mother, mother]
    again = Decision(granted=False, person=child, subject_kind=SubjectKind.PUPIL, grantor=mother)
    assert (await record(town, again)).subject == child
    assert await refusal(town, pupil(2, grantor=mother)) == "consent.wrong-grantor"


async def test_nobody_else_signs_for_a_pupil_unless_a_document_says_so(town: Town):
    await town.roster_says(*entered("p-child", "p-mother"), FRIEND)
    for grantor in ("p-friend", "p-teacher", "p-nobody"):
        decision = Decision(granted=True, person="p-child", subject_kind=SubjectKind.PUPIL, grantor=grantor)
        assert await refusal(town, decision) == "consent.wrong-grantor"
    await record(town, decision.model_copy(update={"authority": "OPEKA-2015/118"}))
    assert [(fact["grantor"], fact["authority"]) for fact in await granted_facts(town)] == [("p-nobody", "OPEKA-2015/118")]


async def test_where_pupils_have_to_sign_too_a_consent_without_their_signature_is_refused(tmp_path: Path):
    def signing(settings: Settings) -> Service:
        return build(replace(settings, co_signature_age=14))

    async with running(tmp_path, {"roster": Service, "consent": signing}) as system:
        town = Town(system)
        await fill(town)
        assert await refusal(town, pupil(1, age_band=AgeBand.FROM_14_TO_17)) == "consent.co-signature-missing"
        signed = await record(town, pupil(1, age_band=AgeBand.FROM_14_TO_17, co_signed=True))
        assert [fact["co_signer"] for fact in await granted_facts(town)] == [signed.subject]


# Days.


async def test_a_decision_happened_when_it_was_signed_else_on_the_acts_day_else_today(town: Town):
    await record(town, pupil(1, decided_on=date(2015, 8, 10)), happened_on=date(2015, 8, 15))
    await record(town, pupil(2), happened_on=date(2015, 8, 15))
    await record(town, pupil(3))
    assert [event.happenedon for event in await town.recorded()] == ["2015-08-10", "2015-08-15", "2015-08-17"]
    assert [event.facts()[1]["signed_on"] for event in await town.recorded()] == ["2015-08-10", "2015-08-15", "2015-08-17"]


async def test_an_older_paper_does_not_bring_back_what_was_taken_back(town: Town):
    first = await record(town, pupil(1, number="1", decided_on=date(2015, 8, 3)))
    withdrawal = Withdraw(school="school-7", consent_id=first.consent_id, happened_on=date(2015, 8, 14))
    await town.system.call(consent.WITHDRAW, withdrawal, as_=ADMINISTRATOR)
    older = pupil(1, number="2", decided_on=date(2015, 8, 10))
    with pytest.raises(Refused, match="a withdrawal on 2015-08-14") as refused:
        await record(town, older)
    assert refused.value.code == "consent.outdated"
    for decisions in ((older,), (older.model_copy(update={"seat": None, "person": first.subject}),)):
        recording = RecordDecisions(school="school-7", decisions=decisions)
        listed = await town.system.call(consent.RECORD_DECISIONS, recording, as_=ADMINISTRATOR)
        judging = consent.JudgeDecisions(school="school-7", decisions=decisions)
        judged = await town.system.call(consent.JUDGE_DECISIONS, judging, as_=ADMINISTRATOR)
        assert [one.code for one in (*listed.outcomes, *judged.outcomes)] == ["consent.outdated"] * 2
    assert (await record(town, pupil(1, number="1", decided_on=date(2015, 8, 3)))).recorded_before
    assert await states(town, first.subject) == ["withdrawn"]
    await record(town, pupil(1, number="3", decided_on=date(2015, 8, 14)))
    assert await states(town, first.subject) == ["withdrawn", "granted"]


async def test_an_older_paper_does_not_bring_back_what_was_refused_since(town: Town):
    refusing = await record(town, pupil(1, granted=False, decided_on=date(2015, 8, 14)))
    assert await refusal(town, pupil(1, number="2", decided_on=date(2015, 8, 10))) == "consent.outdated"
    await invalidate(town, refusing.consent_id)
    await record(town, pupil(1, number="2", decided_on=date(2015, 8, 10)))
    assert await states(town, refusing.subject) == ["invalidated", "granted"]


async def test_nothing_was_signed_tomorrow(town: Town):
    assert await refusal(town, pupil(1, decided_on=date(2015, 8, 18))) == "date.in-future"


# Numbers.


async def test_the_same_number_again_is_the_same_consent(town: Town):
    first = await record(town, pupil(1, number="12/7", decided_on=date(2015, 8, 10)))
    again = await record(town, pupil(1, number=" 12/7 "))
    assert again == first.model_copy(update={"recorded_before": True})
    assert len(await town.recorded()) == 1


async def test_a_siblings_guardian_is_known_by_the_number_on_both_seats(town: Town):
    first = await record(town, guardian(1, number="12/7"))
    again = await record(town, guardian(4, class_id="5b", number="12/7"))
    assert (again.consent_id, again.subject, again.recorded_before) == (first.consent_id, first.subject, True)
    assert len(await town.recorded()) == 1
    later = Decision(granted=False, seat=seat(4, SeatHolder.GUARDIAN_1, "5b"), subject_kind=SubjectKind.GUARDIAN)
    assert (await record(town, later)).subject == first.subject


async def test_a_known_number_names_its_own_subject_whoever_is_named_with_it(town: Town):
    await town.roster_says(*entered("p-child", "p-mother"))
    first = await record(town, guardian(1, number="12/7"))
    mother = Decision(granted=True, person="p-mother", subject_kind=SubjectKind.GUARDIAN, number="12/7")
    assert (await record(town, mother)).subject == first.subject


async def test_a_number_counts_in_its_own_school(town: Town):
    here = await record(town, pupil(1, number="12/7"))
    there = await record(town, pupil(1, class_id="9x", number="12/7"), school="school-8", as_=administrator("school-8"))
    assert there.subject != here.subject
    assert there.recorded_before is False


async def test_a_number_given_later_belongs_to_the_decision_that_stands(town: Town):
    first = await record(town, pupil(1))
    numbered = await record(town, pupil(1, number="12/7"))
    assert (numbered.consent_id, numbered.recorded_before) == (first.consent_id, True)
    assert await refusal(town, pupil(2, number="12/7")) == "consent.number-taken"


async def test_a_pupils_number_is_not_another_pupils_who_stays_undecided(town: Town):
    await town.roster_says(*entered("p-child", "p-mother"))
    first = await record(town, pupil(1, number="12/7"))
    child = Decision(granted=True, person="p-child", subject_kind=SubjectKind.PUPIL, number="12/7")
    for other in (pupil(2, number="12/7"), pupil(1, class_id="5b", number="12/7"), child):
        assert await refusal(town, other) == "consent.number-taken"
    assert len(await town.recorded()) == 1
    second = await record(town, pupil(2, number="12/8"))
    assert (second.recorded_before, second.subject == first.subject) == (False, False)
    named = Decision(granted=True, person=first.subject, subject_kind=SubjectKind.PUPIL, number="12/7")
    assert await record(town, named) == first.model_copy(update={"recorded_before": True})


async def test_in_a_services_list_a_number_is_answered_with_the_decision_that_it_has_whatever_seat_is_named(town: Town):
    first = await record(town, pupil(1, number="12/7"))
    request = RecordDecisions(school="school-7", decisions=(pupil(2, number="12/7"),))
    for importing in (Actor(Role.SERVICE, "roster"), Actor(Role.SERVICE, "roster", on_behalf_of="administrator:school-7")):
        [outcome] = (await town.system.call(consent.RECORD_DECISIONS, request, as_=importing)).outcomes
        assert (outcome.code, outcome.subject, outcome.recorded_before) == (None, first.subject, True)


async def test_in_a_list_nobody_learns_by_a_number_whose_it_is(town: Town):
    await record(town, pupil(1, class_id="5b", number="12/7"))
    request = RecordDecisions(school="school-7", decisions=(pupil(1, number="12/7"), pupil(1, number="12/8")))
    for actor in (TEACHER_OF_5A, ADMINISTRATOR):
        taken, own = (await town.system.call(consent.RECORD_DECISIONS, request, as_=actor)).outcomes
        assert (taken.code, taken.consent_id, taken.subject, taken.recorded_before) == ("consent.number-taken", None, None, False)
        assert own.code is None


async def test_one_number_is_not_two_different_papers(town: Town):
    await record(town, pupil(1, number="12/7"))
    assert await refusal(town, guardian(1, number="12/7")) == "consent.number-taken"
    assert await refusal(town, pupil(1, granted=False, number="12/7")) == "consent.number-taken"
    assert await refusal(town, staff("p-teacher", number="12/7")) == "consent.number-taken"


async def test_a_number_stands_nowhere_in_clear(town: Town, tmp_path: Path):
    number = "СОГЛ-4711-КАНАРЕЙКА"  # longer than what hashes and ports hold by chance
    await record(town, pupil(1, number=number))
    await town.system.settled()
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for part in ("4711-КАНАРЕЙКА", "КАНАРЕЙКА"):
        assert part.encode() not in stored


# Lists.


async def test_each_decision_of_a_list_is_recorded_or_refused_for_itself(town: Town):
    decisions = (
        pupil(1, number="1"),
        pupil(2, class_id="5z"),
        guardian(1, number="2"),
        guardian(3, number="2"),
        pupil(1, number="1"),
        pupil(4, decided_on=date(2015, 8, 18)),
        pupil(5, granted=False),
    )
    request = RecordDecisions(school="school-7", decisions=decisions)
    reply = await town.system.call(consent.RECORD_DECISIONS, request, as_=ADMINISTRATOR)
    assert [(outcome.code, outcome.recorded_before) for outcome in reply.outcomes] == [
        (None, False),
        ("class.unknown", False),
        (None, False),
        (None, True),
        (None, True),
        ("date.in-future", False),
        (None, False),
    ]
    assert reply.outcomes[3].subject == reply.outcomes[2].subject
    assert reply.outcomes[4].consent_id == reply.outcomes[0].consent_id
    events = await town.recorded()
    assert [event.type.split(".")[1] for event in events] == ["consent-granted", "consent-granted", "consent-refused"]
    assert len({event.commandid for event in events}) == 1


async def test_a_list_sent_twice_is_recorded_once(town: Town):
    request = RecordDecisions(school="school-7", decisions=tuple(pupil(place, number=f"n-{place}") for place in range(1, 60)))
    first = await town.system.call(consent.RECORD_DECISIONS, request, as_=ADMINISTRATOR)
    again = await town.system.call(consent.RECORD_DECISIONS, request, as_=ADMINISTRATOR)
    assert [one.subject for one in again.outcomes] == [one.subject for one in first.outcomes]
    assert all(one.recorded_before for one in again.outcomes)
    assert len(await town.recorded()) == 59


async def test_a_later_decision_of_a_list_is_about_the_subject_of_an_earlier_one(town: Town):
    request = RecordDecisions(school="school-7", decisions=(pupil(1), pupil(1, granted=False)))
    reply = await town.system.call(consent.RECORD_DECISIONS, request, as_=ADMINISTRATOR)
    assert reply.outcomes[0].subject == reply.outcomes[1].subject
    assert await states(town, reply.outcomes[0].subject or "") == ["superseded", "refused"]


# The class teacher.


def entered(child: str, mother: str, class_id: str = "5a") -> tuple[Event, ...]:
    pupil_enrolled = PupilEnrolled(
        person=child, seat=seat(9, class_id=class_id), consent_id=None, legal_basis=None, enrolled_on=date(2015, 8, 17)
    )
    linked = GuardianLinked(
        pupil=child, guardian=mother, relation=Relation.MOTHER, legal_representative=True, consent_id=None, legal_basis=None
    )
    return pupil_enrolled, linked


async def test_a_class_teacher_records_the_decisions_of_the_own_class(town: Town):
    await town.roster_says(*entered("p-child", "p-mother"))
    by_seat = await record(town, pupil(1), as_=TEACHER_OF_5A)
    mother = Decision(granted=True, person="p-mother", subject_kind=SubjectKind.GUARDIAN)
    child = Decision(granted=True, person="p-child", subject_kind=SubjectKind.PUPIL)
    seated = Decision(granted=False, person=by_seat.subject, subject_kind=SubjectKind.PUPIL)
    subjects = [(await record(town, decision, as_=TEACHER_OF_5A)).subject for decision in (mother, child, seated)]
    assert subjects == ["p-mother", "p-child", by_seat.subject]


async def test_a_class_teacher_records_nobody_elses(town: Town):
    await town.roster_says(*entered("p-child", "p-mother", "5b"))
    others = [
        pupil(1, class_id="5b"),
        staff("p-teacher"),
        Decision(granted=True, person="p-mother", subject_kind=SubjectKind.GUARDIAN),
        Decision(granted=True, person="p-child", subject_kind=SubjectKind.PUPIL),
    ]
    assert {await refusal(town, decision, as_=TEACHER_OF_5A) for decision in others} == {"access.other-class"}


async def test_a_class_teacher_follows_a_pupil_who_changes_classes(town: Town):
    await town.roster_says(*entered("p-child", "p-mother", "5b"), PupilAssignedToClass(pupil="p-child", class_id="5a"))
    child = Decision(granted=True, person="p-child", subject_kind=SubjectKind.PUPIL)
    assert (await record(town, child, as_=TEACHER_OF_5A)).subject == "p-child"


# Withdrawing.


async def test_a_consent_is_withdrawn_and_stays_so(town: Town):
    recorded = await record(town, pupil(1))
    for _ in range(2):
        request = Withdraw(school="school-7", consent_id=recorded.consent_id)
        withdrawn = await town.system.call(consent.WITHDRAW, request, as_=ADMINISTRATOR)
        assert withdrawn.subject == recorded.subject
    assert await states(town, recorded.subject) == ["withdrawn"]
    assert [event.type.split(".")[1] for event in await town.recorded()] == ["consent-granted", "consent-withdrawn"]


async def test_people_withdraw_their_own_consent_and_nobody_elses(town: Town):
    recorded = await record(town, staff("p-teacher"))
    request = Withdraw(school="school-7", consent_id=recorded.consent_id)
    for other in (Actor(Role.STAFF, "p-other", "school-7"), Actor(Role.GUARDIAN, "p-mother", "school-7")):
        with pytest.raises(Refused) as refused:
            await town.system.call(consent.WITHDRAW, request, as_=other)
        assert refused.value.code == "access.other-person"
    await town.system.call(consent.WITHDRAW, request, as_=Actor(Role.STAFF, "p-teacher", "school-7"))
    assert await states(town, "p-teacher") == ["withdrawn"]


async def test_a_guardian_takes_back_what_was_said_for_the_own_child_and_for_nobody_elses(town: Town):
    await town.roster_says(*entered("p-child", "p-mother"), *entered("p-other", "p-stranger"))
    child = await record(town, Decision(granted=True, person="p-child", subject_kind=SubjectKind.PUPIL))
    withdrawal = Withdraw(school="school-7", consent_id=child.consent_id)
    for role, person in ((Role.GUARDIAN, "p-stranger"), (Role.PUPIL, "p-mother"), (Role.GUARDIAN, "p-teacher")):
        with pytest.raises(Refused, match=r"access\.other-person"):
            await town.system.call(consent.WITHDRAW, withdrawal, as_=Actor(role, person, "school-7"))
    await town.system.call(consent.WITHDRAW, withdrawal, as_=Actor(Role.GUARDIAN, "p-mother", "school-7"))
    assert await states(town, "p-child") == ["withdrawn"]


async def test_what_an_adult_pupil_has_said_only_the_pupil_takes_back(town: Town):
    await town.roster_says(*entered("p-child", "p-mother"))
    own = await record(town, Decision(granted=True, person="p-child", subject_kind=SubjectKind.PUPIL, age=18))
    withdrawal = Withdraw(school="school-7", consent_id=own.consent_id)
    with pytest.raises(Refused, match=r"consent\.not-represented"):
        await town.system.call(consent.WITHDRAW, withdrawal, as_=Actor(Role.GUARDIAN, "p-mother", "school-7"))
    await town.system.call(consent.WITHDRAW, withdrawal, as_=Actor(Role.PUPIL, "p-child", "school-7"))
    assert await states(town, "p-child") == ["withdrawn"]


@pytest.mark.parametrize("signed", [{}, {"age": 8}, {"age": 15}, {"age": 15, "co_signed": True}])
async def test_what_a_representative_has_said_no_pupil_takes_back(town: Town, signed: dict[str, Any]):
    await town.roster_says(*entered("p-child", "p-mother"))
    child = await record(town, Decision(granted=True, person="p-child", subject_kind=SubjectKind.PUPIL, **signed))
    withdrawal = Withdraw(school="school-7", consent_id=child.consent_id)
    with pytest.raises(Refused, match=r"consent\.not-represented"):
        await town.system.call(consent.WITHDRAW, withdrawal, as_=Actor(Role.PUPIL, "p-child", "school-7"))
    assert await states(town, "p-child") == ["granted"]


async def test_who_is_linked_but_no_legal_representative_takes_nothing_back(town: Town):
    await town.roster_says(*entered("p-child", "p-mother"), FRIEND)
    child = await record(town, Decision(granted=True, person="p-child", subject_kind=SubjectKind.PUPIL))
    withdrawal = Withdraw(school="school-7", consent_id=child.consent_id)
    with pytest.raises(Refused, match=r"access\.other-person"):
        await town.system.call(consent.WITHDRAW, withdrawal, as_=Actor(Role.GUARDIAN, "p-friend", "school-7"))
    assert await states(town, "p-child") == ["granted"]


async def test_only_a_consent_of_the_school_can_be_withdrawn(town: Town):
    elsewhere = await record(town, pupil(1, class_id="9x"), school="school-8", as_=administrator("school-8"))
    for consent_id in ("c-nothing", elsewhere.consent_id):
        with pytest.raises(Refused) as refused:
            await town.system.call(consent.WITHDRAW, Withdraw(school="school-7", consent_id=consent_id), as_=ADMINISTRATOR)
        assert refused.value.code == "consent.unknown"


# The end of a consent's time.


async def test_a_consent_expires_at_the_midnight_after_its_last_day_and_once(town: Town):
    recorded = await record(town, pupil(1, valid_until=date(2015, 8, 31)))
    await record(town, pupil(2, valid_until=date(2015, 9, 30)))
    await record(town, pupil(3))
    await town.system.until("2015-08-31T23:59:59+03:00")
    assert await states(town, recorded.subject) == ["granted"]
    await town.system.until("2015-09-01T00:00:00+03:00")
    assert await states(town, recorded.subject) == ["expired"]
    await town.system.until("2015-09-05T12:00:00+03:00")
    [event] = (await town.recorded())[3:]
    assert (event.type, event.actor, event.happenedon, event.school) == (
        "consent.consent-expired.v1",
        "service:consent",
        "2015-09-01",
        "school-7",
    )
    assert event.facts()[1]["consent_id"] == recorded.consent_id
    assert event.recordedat == "2015-08-31T21:00:00.000000Z"


async def test_days_passed_at_a_stroke_end_each_consent_on_its_own_day(town: Town):
    await record(town, pupil(1, valid_until=date(2015, 10, 31)))
    await record(town, pupil(2, valid_until=date(2015, 8, 31)))
    await record(town, pupil(3, class_id="9x", valid_until=date(2015, 9, 30)), school="school-8", as_=administrator("school-8"))
    await town.system.until("2016-01-11T09:00:00+03:00")
    ended = [(event.happenedon, event.school, event.recordedat[:10]) for event in (await town.recorded())[3:]]
    assert ended == [
        ("2015-09-01", "school-7", "2015-08-31"),
        ("2015-10-01", "school-8", "2015-09-30"),
        ("2015-11-01", "school-7", "2015-10-31"),
    ]


async def test_a_consent_heard_of_after_its_last_day_expires_at_the_next_stop_on_the_day_on_which_it_did(town: Town):
    late = pupil(1, decided_on=date(2015, 6, 1), valid_until=date(2015, 7, 31))
    recorded = await record(town, late)
    await town.system.until("2015-08-17T09:00:01+03:00")
    assert await states(town, recorded.subject) == ["expired"]
    assert (await town.recorded())[-1].happenedon == "2015-08-01"


async def test_what_was_superseded_withdrawn_or_invalidated_does_not_expire(town: Town):
    ending = date(2015, 8, 31)
    signed = date(2015, 8, 16)
    first, second, third = [await record(town, pupil(place, decided_on=signed, valid_until=ending)) for place in (1, 2, 3)]
    await record(town, pupil(1))
    await town.system.call(consent.WITHDRAW, Withdraw(school="school-7", consent_id=second.consent_id), as_=ADMINISTRATOR)
    await invalidate(town, third.consent_id)
    await town.system.until("2015-10-01T00:00:00+03:00")
    assert [await states(town, one.subject) for one in (first, second, third)] == [
        ["superseded", "granted"],
        ["withdrawn"],
        ["invalidated"],
    ]


async def test_a_school_in_another_time_zone_has_a_midnight_of_its_own(town: Town):
    await town.roster_says(SchoolOpened(school="school-9", municipality="m-1", timezone="Asia/Vladivostok"), school="school-9")
    await town.roster_says(ClassDeclared(class_id="1v", grade=1, letter="В", academic_year="2015/2016"), school="school-9")
    east = pupil(1, class_id="1v", valid_until=date(2015, 8, 31))
    await record(town, east, school="school-9", as_=administrator("school-9"))
    await record(town, pupil(1, valid_until=date(2015, 8, 31)))
    await town.system.until("2015-09-01T12:00:00+03:00")
    ended = [(event.school, event.happenedon, event.recordedat) for event in (await town.recorded())[2:]]
    assert ended == [
        ("school-9", "2015-09-01", "2015-08-31T14:00:00.000000Z"),
        ("school-7", "2015-09-01", "2015-08-31T21:00:00.000000Z"),
    ]


async def test_what_ended_while_nobody_ran_expires_after_the_restart_and_nothing_twice(tmp_path: Path):
    builds = {"roster": Service, "consent": build}
    async with running(tmp_path, builds) as system:
        town = Town(system)
        await fill(town)
        for place, last_day in ((1, date(2015, 8, 31)), (2, date(2015, 9, 30)), (3, date(2015, 12, 31))):
            await record(town, pupil(place, valid_until=last_day))
        await town.system.until("2015-09-02T12:00:00+03:00")
        assert len(await town.recorded()) == 4
    async with running(tmp_path, builds, now="2015-10-05T12:00:00+03:00") as system:
        town = Town(system)
        await system.until("2015-10-05T12:00:01+03:00")
        assert [event.happenedon for event in (await town.recorded())[3:]] == ["2015-09-01", "2015-10-01"]
    async with running(tmp_path, builds, now="2015-10-06T12:00:00+03:00") as system:
        await system.until("2015-10-07T12:00:00+03:00")
        assert len(await Town(system).recorded()) == 5


# Decisions that never were valid.


async def invalidate(
    town: Town, consent_id: str, *, reason: InvalidationReason = InvalidationReason.NOT_AUTHORISED, as_: Actor = ADMINISTRATOR
) -> consent.Invalidated:
    request = consent.Invalidate(school="school-7", consent_id=consent_id, reason=reason)
    return await town.system.call(consent.INVALIDATE, request, as_=as_)


async def test_a_decision_is_invalidated_as_of_its_own_day_and_once(town: Town):
    recorded = await record(town, pupil(1, decided_on=date(2015, 8, 3)))
    for actor in (ADMINISTRATOR, director("school-7")):
        assert (await invalidate(town, recorded.consent_id, as_=actor)).subject == recorded.subject
    [_, event] = await town.recorded()
    assert (event.type, event.happenedon) == ("consent.consent-invalidated.v1", "2015-08-03")
    assert event.facts()[1]["reason"] == "not-authorised"
    assert await states(town, recorded.subject) == ["invalidated"]


async def test_a_refusal_that_somebody_else_signed_is_invalidated_too(town: Town):
    recorded = await record(town, pupil(1, granted=False, decided_on=date(2015, 8, 3)))
    await invalidate(town, recorded.consent_id, reason=InvalidationReason.WRONG_PERSON)
    assert (await town.recorded())[-1].happenedon == "2015-08-03"
    assert await states(town, recorded.subject) == ["invalidated"]


async def test_after_an_invalidation_the_seat_is_decided_anew_for_the_same_subject(town: Town):
    first = await record(town, pupil(1))
    await invalidate(town, first.consent_id)
    again = await record(town, pupil(1))
    assert (again.subject, again.recorded_before) == (first.subject, False)
    assert again.consent_id != first.consent_id
    assert await states(town, first.subject) == ["invalidated", "granted"]


async def test_after_an_invalidation_the_same_number_is_a_new_decision(town: Town):
    first = await record(town, guardian(1, number="12/7"))
    await invalidate(town, first.consent_id)
    same_seat = await record(town, guardian(1, number="12/7"))
    assert (same_seat.subject, same_seat.recorded_before) == (first.subject, False)
    await invalidate(town, same_seat.consent_id, reason=InvalidationReason.WRONG_PERSON)
    other_seat = await record(town, guardian(2, number="12/7"))
    assert other_seat.subject != first.subject
    assert (await record(town, guardian(2, number="12/7"))).recorded_before is True
    await invalidate(town, first.consent_id)  # said again, it frees no number that somebody else has taken
    assert (await record(town, guardian(2, number="12/7"))).recorded_before is True


async def test_after_an_invalidation_the_same_number_may_stand_for_a_refusal(town: Town):
    first = await record(town, pupil(1, number="12/7"))
    await invalidate(town, first.consent_id)
    refusing = await record(town, pupil(1, granted=False, number="12/7"))
    assert (refusing.state, refusing.recorded_before) == ("refused", False)


@pytest.mark.parametrize("is_pupil_first", [True, False], ids=["the pupil first", "the guardian first"])
async def test_with_the_seat_of_a_pupil_recorded_by_mistake_those_of_all_guardians_beside_it_are_free(town: Town, is_pupil_first: bool):
    mother = await record(town, guardian(1, number="2", decided_on=date(2015, 8, 16)))
    wrong = await record(town, pupil(2, number="3"))
    assert (await record(town, guardian(2, number="2"))).subject == mother.subject  # a brother's seat
    beside = Decision(granted=True, seat=seat(2, SeatHolder.GUARDIAN_2), subject_kind=SubjectKind.GUARDIAN, number="4")
    father = await record(town, beside)
    mistakes = [wrong.consent_id, father.consent_id]
    for consent_id in mistakes if is_pupil_first else mistakes[::-1]:
        request = consent.InvalidateDecisions(school="school-7", consent_ids=(consent_id,), reason=InvalidationReason.RECORDED_BY_MISTAKE)
        await town.system.call(consent.INVALIDATE_DECISIONS, request, as_=Actor(Role.SERVICE, "roster"))
    others = [await record(town, one) for one in (pupil(2, number="5"), guardian(2, number="6"), beside)]
    assert {one.subject for one in others}.isdisjoint({mother.subject, wrong.subject, father.subject})
    assert await states(town, mother.subject) == ["granted"]
    later = await record(town, guardian(1))
    assert later.subject == mother.subject  # her own seat is hers, and so is her number
    assert (await record(town, guardian(3, number="2"))).subject == mother.subject


async def test_only_a_decision_of_the_school_can_be_invalidated_and_only_by_its_office(town: Town):
    elsewhere = await record(town, pupil(1, class_id="9x"), school="school-8", as_=administrator("school-8"))
    here = await record(town, pupil(1))
    for consent_id in ("c-nothing", elsewhere.consent_id):
        with pytest.raises(Refused) as refused:
            await invalidate(town, consent_id)
        assert refused.value.code == "consent.unknown"
    for other in (TEACHER_OF_5A, Actor(Role.GUARDIAN, here.subject, "school-7")):
        with pytest.raises(Refused) as refused:
            await invalidate(town, here.consent_id, as_=other)
        assert refused.value.code == "access.role"
    assert len(await town.recorded()) == 2


# The other engine.


async def test_the_whole_way_is_the_same_on_postgresql(tmp_path: Path, fresh_postgres: str):
    def database_url(service: str) -> str | URL:
        return fresh_postgres if service == "consent" else sqlite_url(tmp_path / "db" / f"{service}.db")

    async with running(tmp_path, {"roster": Service, "consent": build}, database_url=database_url) as system:
        town = Town(system)
        await fill(town)
        await town.roster_says(*entered("p-child", "p-mother"))
        decisions = (pupil(1, number="1"), guardian(1, number="2"), guardian(3, number="2"), staff("p-teacher"), pupil(1, number="1"))
        request = RecordDecisions(school="school-7", decisions=decisions)
        reply = await system.call(consent.RECORD_DECISIONS, request, as_=ADMINISTRATOR)
        assert [outcome.recorded_before for outcome in reply.outcomes] == [False, False, True, False, True]
        again = await record(town, pupil(1, granted=False), as_=TEACHER_OF_5A)
        assert again.subject == reply.outcomes[0].subject
        mother = Decision(granted=True, person="p-mother", subject_kind=SubjectKind.GUARDIAN)
        assert (await record(town, mother, as_=TEACHER_OF_5A)).subject == "p-mother"
        withdrawal = Withdraw(school="school-7", consent_id=reply.outcomes[3].consent_id or "")
        assert (await system.call(consent.WITHDRAW, withdrawal, as_=ADMINISTRATOR)).subject == "p-teacher"
        assert await states(town, again.subject) == ["superseded", "refused"]
        ending = await record(town, pupil(2, valid_until=date(2015, 8, 31), number="3"))
        forged = await record(town, pupil(4, number="4"))
        await invalidate(town, forged.consent_id)
        assert (await record(town, pupil(4, number="4"))).recorded_before is False
        await system.until("2015-09-02T00:00:00+03:00")
        assert await states(town, ending.subject) == ["expired"]
        assert (await town.recorded())[-1].happenedon == "2015-09-01"


# Status.


async def test_the_status_of_one_consent_is_that_consents_alone(town: Town):
    first = await record(town, pupil(1, granted=False))
    second = await record(town, pupil(1))
    status = await town.system.call(consent.STATUS, StatusQuery(school="school-7", consent_id=first.consent_id), as_=ADMINISTRATOR)
    [card] = status.consents
    assert (card.consent_id, card.state, card.seat, card.decided_on) == (first.consent_id, "superseded", seat(1), date(2015, 8, 17))
    assert card.valid_until is None
    assert second.consent_id != first.consent_id


async def test_the_status_of_a_stranger_or_of_another_schools_subject_is_refused(town: Town):
    elsewhere = await record(town, pupil(1, class_id="9x"), school="school-8", as_=administrator("school-8"))
    for subject in ("p-nobody", elsewhere.subject):
        with pytest.raises(Refused) as refused:
            await states(town, subject)
        assert refused.value.code == "person.unknown"
    with pytest.raises(Refused) as refused:
        await town.system.call(consent.STATUS, StatusQuery(school="school-7", consent_id=elsewhere.consent_id), as_=ADMINISTRATOR)
    assert refused.value.code == "consent.unknown"


async def test_the_status_of_whoever_was_entered_without_a_decision_is_empty(town: Town):
    await town.roster_says(*entered("p-child", "p-mother"))
    assert (await states(town, "p-child"), await states(town, "p-mother")) == ([], [])


async def test_a_status_is_asked_for_a_subject_or_a_consent(town: Town):
    for query in (StatusQuery(school="school-7"), StatusQuery(school="school-7", subject="p-1", consent_id="c-1")):
        with pytest.raises(Refused) as refused:
            await town.system.call(consent.STATUS, query, as_=ADMINISTRATOR)
        assert refused.value.code == "status.subject-unclear"
