"""Schools that never were, of plausible behaviour, played day by day through the same calls as everybody makes.

What a school does on which day is laid out from the seed when it is made. Ids, codes and revisions are learned as its acts are carried out,
and only from answers: it knows what its director and administrator would. Whoever plays it moves the clock from day to day, so an act finds
everything read that was recorded on the days before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from random import Random
from typing import Any, Protocol, TypeVar

from contracts import consent, identity, plan, roster
from contracts.call import Call, Reply, Request
from contracts.consent import Decision, SubjectKind
from contracts.roster import PersonName, Position, Relation, Seat, SeatHolder
from eventkit.calls import Answer

START = date(2015, 8, 17)
"""The Monday on which the first schools adopt their plan."""

_YEAR = "2015/2016"
_AT_ONCE = 8  # schools
_SATURDAY = 5
_LISTS = {
    "subjects": ["Русский язык", "Математика"],
    "positions": ["Директор", "Учитель"],
    "rooms": ["Кабинет 1"],
    "group-types": ["Класс"],
}
_LESSONS = [{"weekday": day, "number": 1, "subject": _LISTS["subjects"][day % 2]} for day in range(1, 6)]

P = TypeVar("P", bound=Reply)
Q = TypeVar("Q", bound=Request)


class Behaviour(StrEnum):
    """How a school works through its plan."""

    FAST = "fast"
    """Everything on its day."""
    SLOW = "slow"
    """Some days later with every step."""
    STUCK = "stuck"
    """At one step it stops, and nothing comes after it."""
    CHAOTIC = "chaotic"
    """Things are done, undone and done again, and learned late."""


class Ask(Protocol):
    """Makes a call in a role (`director:school-7`), or as the operator; if wanted, of a service that has read all that is recorded."""

    async def __call__(self, call: Call[Q, P], request: Q, *, as_: str | None = None, up_to_date: bool = False) -> Answer[P]: ...


@dataclass
class Pupil:
    class_id: str
    number: int
    consent_id: str = ""
    guardian_consent_id: str = ""
    person: str = ""
    guardian: str = ""


@dataclass
class SchoolClass:
    grade: int
    pupils: int
    class_id: str = ""


Act = Callable[["School"], Awaitable[None]]


@dataclass
class School:
    """One school, and what its people know of it."""

    name: str
    behaviour: Behaviour
    start: date
    random: Random
    ask: Ask
    acts: dict[date, list[Act]] = field(default_factory=dict[date, list[Act]])
    classes: list[SchoolClass] = field(default_factory=list[SchoolClass])
    staff: list[str] = field(default_factory=list[str])
    undecided: list[str] = field(default_factory=list[str])
    pupils: list[Pupil] = field(default_factory=list[Pupil])
    codes: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    order: str = ""
    session: str = ""
    today: date = date.min

    def __post_init__(self) -> None:
        self.classes = [SchoolClass(grade, self.random.randint(3, 6)) for grade in self.random.sample(range(1, 12), 2)]
        for day, act in _laid_out(self):
            self.acts.setdefault(day, []).append(act)

    async def as_director(self, call: Call[Q, P], **body: Any) -> P:
        return await self._in_role("director", call, body)

    async def as_administrator(self, call: Call[Q, P], **body: Any) -> P:
        return await self._in_role("administrator", call, body)

    async def _in_role(self, role: str, call: Call[Q, P], body: dict[str, Any]) -> P:
        request = call.request.model_validate({"school": self.name, **body})
        return (await self.ask(call, request, as_=f"{role}:{self.name}", up_to_date=True)).reply

    async def decide(self, decisions: Iterable[Decision]) -> list[consent.DecisionOutcome]:
        given = tuple(decisions)
        if not given:
            return []
        return list((await self.as_administrator(consent.RECORD_DECISIONS, decisions=given)).outcomes)

    async def hand_out(self, people: Iterable[str]) -> None:
        """Issues codes to those who may have one and have none, and hands them over."""
        wanted = tuple(people)
        if not wanted:
            return
        issued = (await self.as_administrator(identity.ISSUE_CREDENTIALS, people=wanted)).credentials
        got = {one.person: (one.login, one.code) for one in issued if one.login and one.code}
        if got:
            self.codes |= got
            await self.as_administrator(identity.HAND_OVER, people=tuple(got))

    async def activate(self, people: Iterable[str]) -> None:
        for person in list(people):
            if person in self.codes:
                login, code = self.codes.pop(person)
                await self.ask(identity.ACTIVATE, identity.Activate(login=login, code=code))

    @property
    def families(self) -> list[str]:
        return [person for pupil in self.pupils for person in (pupil.person, pupil.guardian) if person]


class Simulation:
    """Some schools, their behaviours in turn. The same seed makes the same schools, with the same days."""

    def __init__(self, ask: Ask, schools: int, *, seed: int = 0, start: date = START) -> None:
        behaviours = list(Behaviour)
        self.schools: list[School] = []
        for n in range(schools):
            random = Random(f"{seed}/{n}")  # noqa: S311 -- repeatable, not unguessable
            begins = start + timedelta(7 * (n // 8 % 3))  # eight schools a week, as a region would
            self.schools.append(School(f"school-sim-{n + 1}", behaviours[n % len(behaviours)], begins, random, ask))
        self._played_through = start - timedelta(1)

    @property
    def last_day(self) -> date:
        return max((day for school in self.schools for day in school.acts), default=self._played_through)

    def days_before(self, day: date) -> list[date]:
        """The days before one on which something is still to be done: each of them is to be played for itself."""
        return sorted({on for school in self.schools for on in school.acts if self._played_through < on < day})

    async def play_through(self, day: date) -> int:
        """Carries out what is still to be done up to a day, which the clock must have reached. How many acts there were."""
        turns = asyncio.Semaphore(_AT_ONCE)
        since, self._played_through = self._played_through, max(day, self._played_through)

        async def live(school: School) -> int:
            due = [(on, act) for on in sorted(school.acts) if since < on <= day for act in school.acts[on]]
            async with turns:
                for school.today, act in due:
                    await act(school)
            return len(due)

        return sum(await asyncio.gather(*(live(school) for school in self.schools)))


# ---- which day has which acts ------------------------------------------------------------------------------------------------


def _laid_out(school: School) -> Iterator[tuple[date, Act]]:
    random, late = school.random, 0
    may_stop = (_staff_decides, _families_decide, _enters, _assigns, _hands_out)
    stuck_at = random.choice(may_stop) if school.behaviour is Behaviour.STUCK else None
    for planned, act in _PLANNED:
        if act is stuck_at:
            return
        if school.behaviour is Behaviour.SLOW:
            late += random.randint(0, 2)
        elif school.behaviour is not Behaviour.FAST:
            late += random.random() < 0.2
        yield _working(school.start + timedelta(planned + late)), act
    if school.behaviour is Behaviour.CHAOTIC:
        day = school.start + timedelta(_PLANNED[-1][0] + late)
        for happens, mends in random.sample(_MISHAPS, len(_MISHAPS)):
            day = _working(day + timedelta(random.randint(1, 3)))
            yield day, happens
            day = _working(day + timedelta(random.randint(1, 4)))
            yield day, mends


def _working(day: date) -> date:
    return day + timedelta(max(0, 7 - day.weekday()) if day.weekday() >= _SATURDAY else 0)


# ---- what is done ------------------------------------------------------------------------------------------------------------


async def _opens(school: School) -> None:
    request = roster.OpenSchool(school=school.name, name=f"Школа {school.name}", municipality=school.random.choice(("mytishchi", "klin")))
    await school.ask(roster.OPEN_SCHOOL, request)
    await school.as_director(plan.ADOPT_PLAN, start=school.start)


async def _hires(school: School) -> None:
    positions = [Position.DIRECTOR, Position.ADMINISTRATOR, *[Position.TEACHER] * 4]
    for n, position in enumerate(positions):
        await _hire(school, n, position)


async def _hire(school: School, n: int, position: Position) -> str:
    details = PersonName(last_name="Выдуманный", first_name=f"Сотрудник {n}", email=f"staff-{n}@{school.name}.example")
    hired = await school.as_administrator(
        roster.HIRE_STAFF, details=details, position=position, hired_on=date(2010, 9, 1), external_id=f"S-{n}"
    )
    school.staff.append(hired.person)
    school.undecided.append(hired.person)
    return hired.person


async def _appoints(school: School) -> None:
    await school.as_director(roster.APPOINT_COORDINATOR, person=school.staff[1])
    school.order = (await school.as_director(plan.REGISTER_ORDER)).order


async def _schedules_training(school: School) -> None:
    people = tuple(school.staff[1:3])
    scheduled = await school.as_director(plan.SCHEDULE_TRAINING, day=school.today, form="face-to-face", people=people)
    school.session = scheduled.session


async def _attends(school: School) -> None:
    await school.as_administrator(plan.RECORD_ATTENDANCE, session=school.session, people=tuple(school.staff[1:3]))


async def _staff_decides(school: School) -> None:
    decisions = [
        Decision(granted=school.random.random() < 0.9, person=person, subject_kind=SubjectKind.STAFF) for person in school.undecided
    ]
    school.undecided.clear()
    await school.decide(decisions)


async def _sets_up(school: School) -> None:
    """Steps 9 to 12."""
    periods = [{"begins": "2015-09-01", "ends": "2015-12-31"}, {"begins": "2016-01-01", "ends": "2016-05-31"}]
    grades = tuple(one.grade for one in school.classes)
    await school.as_administrator(roster.DEFINE_PERIODS, grades=grades, academic_year=_YEAR, periods=periods)
    await school.as_administrator(roster.DEFINE_BELLS, shift=1, lessons=[{"begins": "08:30", "ends": "09:15"}])
    for name, entries in _LISTS.items():
        await school.as_administrator(roster.FILL_LIST, list=name, entries=entries)
    for one in school.classes:
        await _declare(school, one)
        await school.as_administrator(roster.CREATE_CLASS, class_id=one.class_id)


async def _declare(school: School, one: SchoolClass) -> None:
    declared = await school.as_director(roster.DECLARE_CLASS, grade=one.grade, letter="А", academic_year=_YEAR)
    one.class_id = declared.class_id
    await school.as_director(roster.DECLARE_HEADCOUNT, class_id=one.class_id, pupils=one.pupils)


async def _families_decide(school: School) -> None:
    for one in school.classes:
        for number in range(1, one.pupils + 1):
            school.pupils.append(Pupil(one.class_id, number))
    await _family_decisions(school, school.pupils)


async def _family_decisions(school: School, pupils: list[Pupil]) -> None:
    def decision(pupil: Pupil, holder: SeatHolder, kind: SubjectKind) -> Decision:
        seat = Seat(class_id=pupil.class_id, number=pupil.number, holder=holder)
        return Decision(granted=school.random.random() < 0.95, seat=seat, subject_kind=kind)

    decisions = [
        one
        for pupil in pupils
        for one in (
            decision(pupil, SeatHolder.PUPIL, SubjectKind.PUPIL),
            decision(pupil, SeatHolder.GUARDIAN_1, SubjectKind.GUARDIAN),
        )
    ]
    outcomes = await school.decide(decisions)
    for n, pupil in enumerate(pupils):
        own, guardians = decisions[2 * n : 2 * n + 2]
        pupil.consent_id = (outcomes[2 * n].consent_id or "") if own.granted else ""
        pupil.guardian_consent_id = (outcomes[2 * n + 1].consent_id or "") if guardians.granted else ""


async def _enters(school: School) -> None:
    """Step 14: who granted is entered, with a guardian where that one granted, too."""
    for pupil in school.pupils:
        if not pupil.consent_id or pupil.person:
            continue
        details = PersonName(last_name="Выдуманный", first_name=f"Ученик {pupil.number}", birth_date=date(2005, 1, pupil.number))
        entered = await school.as_administrator(
            roster.ENROL_PUPIL,
            details=details,
            class_id=pupil.class_id,
            consent_id=pupil.consent_id,
            enrolled_on=date(2015, 9, 1),
        )
        pupil.person = entered.person
        if pupil.guardian_consent_id:
            linked = await school.as_administrator(
                roster.LINK_GUARDIAN,
                pupil=pupil.person,
                details=PersonName(last_name="Выдуманный", first_name=f"Родитель {pupil.number}"),
                relation=Relation.MOTHER,
                consent_id=pupil.guardian_consent_id,
            )
            pupil.guardian = linked.person
        else:
            await school.as_administrator(roster.RECORD_NO_GUARDIAN, pupil=pupil.person, reason="refused")


async def _assigns(school: School) -> None:
    for pupil in school.pupils:
        if pupil.person:
            await school.as_administrator(roster.ASSIGN_PUPIL, pupil=pupil.person, class_id=pupil.class_id)


async def _publishes(school: School) -> None:
    for one in school.classes:
        await school.as_administrator(roster.PUBLISH_TIMETABLE, class_id=one.class_id, valid_from=date(2015, 9, 1), lessons=_LESSONS)


async def _consults(school: School) -> None:
    classes = tuple(one.class_id for one in school.classes)
    await school.as_administrator(plan.HOLD_CONSULTATION, classes=classes, attendees=school.random.randint(3, 12))


async def _gives_access(school: School) -> None:
    await school.hand_out(school.staff[:2])
    await school.activate(school.staff[:2])


async def _hands_out(school: School) -> None:
    people = [*school.staff, *school.families]
    await school.hand_out(people[: len(people) // 2])


async def _hands_out_the_rest(school: School) -> None:
    await school.hand_out([*school.staff, *school.families])


async def _activates(school: School) -> None:
    await school.activate([person for person in school.codes if school.random.random() < 0.6])


async def _activates_the_rest(school: School) -> None:
    await school.activate(list(school.codes))


async def _declares_workplaces(school: School) -> None:
    await school.as_director(roster.DECLARE_WORKPLACES, online=8, total=10)
    await school.as_director(plan.ATTEST_STEP, step=5)


async def _checks_the_week(school: School) -> None:
    await school.as_administrator(roster.VERIFY_DATA)


async def _signs_off(school: School) -> None:
    for card in (await school.as_director(roster.CLASSES)).classes:
        await school.as_director(roster.VERIFY_DATA, class_id=card.class_id, revision=card.revision)


_PLANNED: tuple[tuple[int, Act], ...] = (
    (0, _opens),
    (1, _hires),
    (1, _appoints),
    (1, _schedules_training),
    (2, _attends),
    (3, _sets_up),
    (4, _staff_decides),
    (4, _families_decide),
    (7, _enters),
    (8, _assigns),
    (8, _gives_access),
    (8, _publishes),
    (9, _consults),
    (10, _hands_out),
    (11, _checks_the_week),
    (16, _hands_out_the_rest),
    (17, _activates),
    (18, _checks_the_week),
    (21, _declares_workplaces),
    (22, _activates_the_rest),
    (25, _checks_the_week),
    (28, _signs_off),
)
"""By days after the start. Whoever keeps these is in time with every step."""


# ---- what goes wrong, and how it is mended ---------------------------------------------------------------------------------


async def _coordinator_is_relieved(school: School) -> None:
    await school.as_director(roster.RELIEVE_COORDINATOR, person=school.staff[1])


async def _another_is_appointed(school: School) -> None:
    await school.as_director(roster.APPOINT_COORDINATOR, person=school.staff[2])


async def _order_is_revoked(school: School) -> None:
    await school.as_director(plan.REVOKE_ORDER, order=school.order)


async def _order_is_issued_again(school: School) -> None:
    school.order = (await school.as_director(plan.REGISTER_ORDER, evidence_sha256="1" * 64)).order


async def _teacher_arrives(school: School) -> None:
    await _hire(school, len(school.staff), Position.TEACHER)


async def _teacher_leaves(school: School) -> None:
    await school.as_director(roster.DISMISS_STAFF, person=school.staff[-1])


async def _class_is_forgotten(school: School) -> None:
    """Somebody finds out that there was another class all the time."""
    one = SchoolClass(next(grade for grade in range(1, 12) if grade not in [known.grade for known in school.classes]), 2)
    declared = await school.as_director(
        roster.DECLARE_CLASS, grade=one.grade, letter="А", academic_year=_YEAR, happened_on=school.start + timedelta(3)
    )
    one.class_id = declared.class_id
    school.classes.append(one)


async def _class_is_closed(school: School) -> None:
    await school.as_administrator(roster.CLOSE_CLASS, class_id=school.classes.pop().class_id)


async def _family_withdraws(school: School) -> None:
    granted = next((pupil for pupil in school.pupils if pupil.person), None)
    if granted is not None:
        await school.as_administrator(consent.WITHDRAW, consent_id=granted.consent_id)


async def _workplaces_break(school: School) -> None:
    await school.as_director(roster.DECLARE_WORKPLACES, online=5, total=10)


async def _workplaces_are_mended(school: School) -> None:
    await school.as_director(roster.DECLARE_WORKPLACES, online=9, total=10)


async def _a_list_is_cleared(school: School) -> None:
    await school.as_administrator(roster.CLEAR_LIST, list="rooms")


async def _the_list_is_filled(school: School) -> None:
    await school.as_administrator(roster.FILL_LIST, list="rooms", entries=_LISTS["rooms"])


_MISHAPS: tuple[tuple[Act, Act], ...] = (
    (_coordinator_is_relieved, _another_is_appointed),
    (_order_is_revoked, _order_is_issued_again),
    (_teacher_arrives, _teacher_leaves),
    (_class_is_forgotten, _class_is_closed),
    (_family_withdraws, _signs_off),
    (_workplaces_break, _workplaces_are_mended),
    (_a_list_is_cleared, _the_list_is_filled),
)
