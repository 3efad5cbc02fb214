"""The weeks of one invented school in August and September 2015, played through the same calls as everybody makes.

`WEEKS` is the story: when, what happens, and who does it. What the school hands in stands in `services/roster/samples`; what no file can
hold (who refused, who came late) in `plan.json` beside them, what is entered for the school year in `year.json`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

import roster
from contracts import consent, identity, plan
from contracts import roster as school_calls
from contracts.call import Call, Reply, Request
from contracts.consent import Decision, SubjectKind
from contracts.roster import IssueKind, Position, Seat, SeatHolder
from eventkit.clock import local_day
from eventkit.event import decode
from roster.files import ClassLabel, GuardianRow, PupilRow, read_roster
from vekha import importing
from vekha.client import Client
from vekha.events import log_bytes
from vekha.failures import Failure
from vekha.moving import move_clock, time_of
from vekha.simulation import Simulation

SCHOOL = "school-7"
YEAR = 2015
_ACADEMIC_YEAR = f"{YEAR}/{YEAR + 1}"
START = "2015-08-17T09:00:00+03:00"

_DIRECTOR = f"director:{SCHOOL}"
_ADMINISTRATOR = f"administrator:{SCHOOL}"
_LATE_CLASS = ClassLabel(11, "Б")  # its teacher never gets round to handing the codes out
_ACTIVE_CLASSES = (ClassLabel(7, "А"), ClassLabel(8, "Б"))
_WITHDRAWING_CLASS = ClassLabel(5, "А")
_WRONG_CLASS = ClassLabel(3, "В")
_PEOPLE_A_CALL = 200
_CALLS_AT_ONCE = 8

Q = TypeVar("Q", bound=Request)
P = TypeVar("P", bound=Reply)
T = TypeVar("T")


@dataclass
class School:
    """What those who work at the school know while the weeks pass."""

    client: Client
    told: Callable[[str], None]
    class_ids: dict[ClassLabel, str] = field(default_factory=dict[ClassLabel, str])
    headcounts: dict[ClassLabel, int] = field(default_factory=dict[ClassLabel, int])
    sessions: dict[date, tuple[str, Sequence[str]]] = field(default_factory=dict[date, tuple[str, Sequence[str]]])  # of training, by day
    responsible: list[str] = field(default_factory=list[str])  # the director and the coordinators
    codes: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])  # login and code by person, on paper only
    paper: dict[date, list[Decision]] = field(default_factory=dict[date, list[Decision]])  # decisions by the day they were signed

    async def call(self, call: Call[Q, P], request: Q, as_: str | None = _ADMINISTRATOR) -> P:
        return (await self.client.ask(call, request, as_=as_, up_to_date=True, timeout_s=60.0)).reply

    async def hand_in(self, file: str) -> None:
        name, content = importing.read(samples() / file)

        def on_progress(done: int, total: int) -> None:
            self.told(f"{file}: row {done} of {total}")

        status = await importing.hand_in(self.client, SCHOOL, name, content, as_=_ADMINISTRATOR, on_progress=on_progress)
        if status.rejected:
            first = status.rejected[0]
            raise Failure("demo.rejected", f"{file}, row {first.row}: {first.code}: {first.hint}")

    async def attest(self, *steps: int) -> None:
        for step in steps:
            await self.call(plan.ATTEST_STEP, plan.AttestStep(school=SCHOOL, step=step), _DIRECTOR)

    async def enter(self, call: Call[Q, P], as_: str = _ADMINISTRATOR, /, **body: Any) -> P:
        return await self.call(call, call.request.model_validate({"school": SCHOOL, **body}), as_)

    async def class_cards(self) -> Sequence[school_calls.ClassCard]:
        return (await self.call(school_calls.CLASSES, school_calls.ClassesQuery(school=SCHOOL))).classes

    async def record(self, decisions: Iterable[Decision]) -> list[consent.DecisionOutcome]:
        outcomes: list[consent.DecisionOutcome] = []
        for some in _at_most(_PEOPLE_A_CALL, decisions):
            request = consent.RecordDecisions(school=SCHOOL, decisions=tuple(some))
            outcomes += (await self.call(consent.RECORD_DECISIONS, request)).outcomes
        for outcome in outcomes:
            if outcome.code is not None:
                raise Failure(outcome.code, f"The demo's own data do not fit: {outcome.text}")
        return outcomes

    async def people(self, kind: str, class_id: str | None = None) -> Sequence[str]:
        request = school_calls.PeopleQuery.model_validate({"school": SCHOOL, "kind": kind, "class_id": class_id})
        return (await self.call(school_calls.PEOPLE, request)).people

    async def in_order(self, people: Sequence[str]) -> list[str]:
        """Staff or pupils in the order in which they were entered: their ids are random, and differ in each run."""
        found = [decode(data) async for data in log_bytes(self.client, "roster")]
        entered = [
            event.facts()[1]["person"] for event in found if event.type.startswith(("roster.staff-hired.", "roster.pupil-enrolled."))
        ]
        return sorted(people, key=entered.index)

    async def hand_out_codes(self, people: Sequence[str], as_: str = _ADMINISTRATOR) -> None:
        """Issues codes to whoever may have one and has none yet, and hands them over."""
        for some in _at_most(_PEOPLE_A_CALL, people):
            issued = (
                await self.call(identity.ISSUE_CREDENTIALS, identity.IssueCredentials(school=SCHOOL, people=tuple(some)), as_)
            ).credentials
            got = {one.person: (one.login, one.code) for one in issued if one.login and one.code}
            if got:
                self.codes |= got
                await self.call(identity.HAND_OVER, identity.HandOver(school=SCHOOL, people=tuple(got)), as_)

    async def activate(self, people: Iterable[str]) -> None:
        """People sign in with the codes on their slips, several at a time."""
        turns = asyncio.Semaphore(_CALLS_AT_ONCE)

        async def sign_in(login: str, code: str) -> None:
            async with turns:
                await self.call(identity.ACTIVATE, identity.Activate(login=login, code=code), None)

        await asyncio.gather(*(sign_in(*self.codes.pop(person)) for person in people if person in self.codes))


# ---- what happens ---------------------------------------------------------------------------------------------------------


async def _opens(school: School) -> None:
    request = school_calls.OpenSchool(school=SCHOOL, name="МБОУ СОШ № 7", municipality="mytishchi")
    await school.call(school_calls.OPEN_SCHOOL, request, None)
    await school.call(plan.ADOPT_PLAN, plan.AdoptPlan(school=SCHOOL, start=date(YEAR, 8, 17)), _DIRECTOR)


async def _declares_classes(school: School) -> None:
    await school.hand_in("school-classes.xlsx")
    for card in await school.class_cards():
        label = ClassLabel(card.grade, card.letter)
        school.class_ids[label], school.headcounts[label] = card.class_id, card.headcount
    for decision in _paper(school):
        school.paper.setdefault(cast("date", decision.decided_on), []).append(decision)


async def _hires(school: School) -> None:
    await school.hand_in("school-staff.xlsx")


async def _appoints_coordinators(school: School) -> None:
    """The administrators in the staff list become the coordinators (step 4), and the school issues its order (step 6)."""
    for event in [decode(data) async for data in log_bytes(school.client, "roster")]:
        facts = event.facts()[1]
        if event.school != SCHOOL or not event.type.startswith("roster.staff-hired."):
            continue
        if facts["position"] in (Position.DIRECTOR, Position.ADMINISTRATOR):
            school.responsible.append(facts["person"])
        if facts["position"] == Position.ADMINISTRATOR:
            await school.call(school_calls.APPOINT_COORDINATOR, school_calls.StaffAct(school=SCHOOL, person=facts["person"]), _DIRECTOR)
    await school.call(plan.REGISTER_ORDER, plan.RegisterOrder(school=SCHOOL), _DIRECTOR)


async def _gives_access_data(school: School) -> None:
    """The director and the coordinators receive their access data, and use them: they enter everything else (step 2)."""
    await school.hand_out_codes(school.responsible)
    await school.activate(school.responsible)


async def _schedules_training(school: School) -> None:
    """The ministry's schedule for the school: its responsible staff face to face, all others a week later from afar (steps 1 and 7)."""
    staff = await school.people("staff")
    others = [person for person in staff if person not in school.responsible]
    for day, form, people in ((date(YEAR, 8, 19), "face-to-face", school.responsible), (date(YEAR, 8, 26), "remote", others)):
        request = plan.ScheduleTraining.model_validate({"school": SCHOOL, "day": day, "form": form, "people": people})
        school.sessions[day] = (await school.call(plan.SCHEDULE_TRAINING, request, "ministry")).session, people


def _trains(day: date) -> Callable[[School], Awaitable[None]]:
    """Those who are named for the session of a day attend it."""

    async def train(school: School) -> None:
        session, people = school.sessions[day]
        attended = plan.RecordAttendance(school=SCHOOL, session=session, people=tuple(people))
        await school.call(plan.RECORD_ATTENDANCE, attended)

    return train


async def _consults_families(school: School) -> None:
    """One evening for the families of all classes (step 17)."""
    consultation = plan.HoldConsultation(school=SCHOOL, classes=tuple(school.class_ids.values()), attendees=214)
    await school.call(plan.HOLD_CONSULTATION, consultation)


async def _staff_refuse(school: School) -> None:
    """Whoever of the staff has signed nothing has refused."""
    undecided = [
        person
        for person in await school.people("staff")
        if not (await school.call(consent.STATUS, consent.StatusQuery(school=SCHOOL, subject=person))).consents
    ]
    await school.record(Decision(granted=False, person=person, subject_kind=SubjectKind.STAFF) for person in undecided)


async def _collects_decisions(school: School) -> None:
    """What was signed until today is recorded by seat: there is no name in it, since nobody is entered yet."""
    today = local_day(await time_of(school.client))
    for day in sorted(school.paper):
        if day <= today:
            await school.record(school.paper.pop(day))


async def _enters_periods(school: School) -> None:
    """Periods for every parallel, bells for both shifts, and the lists that are required (steps 9 to 11)."""
    known = _known("year.json")
    for parallels in known["periods"]:
        await school.enter(school_calls.DEFINE_PERIODS, academic_year=_ACADEMIC_YEAR, **parallels)
    for shift, lessons in known["bells"].items():
        await school.enter(school_calls.DEFINE_BELLS, shift=int(shift), lessons=lessons)
    for name, entries in known["lists"].items():
        await school.enter(school_calls.FILL_LIST, list=name, entries=entries)


async def _imports_pupils(school: School) -> None:
    await school.hand_in("school-pupils.xlsx")


async def _imports_late_pupils(school: School) -> None:
    await school.hand_in("school-pupils-late.xlsx")


async def _gives_staff_codes(school: School) -> None:
    await school.hand_out_codes(await school.people("staff"))


async def _withdraws(school: School) -> None:
    pupil = (await school.in_order(await school.people("pupil", school.class_ids[_WITHDRAWING_CLASS])))[0]
    cards = (await school.call(consent.STATUS, consent.StatusQuery(school=SCHOOL, subject=pupil))).consents
    granted = next(card for card in cards if card.state == "granted")
    await school.call(consent.WITHDRAW, consent.Withdraw(school=SCHOOL, consent_id=granted.consent_id))


async def _publishes_timetables(school: School) -> None:
    timetables = _known("year.json")["timetables"]
    for label, class_id in school.class_ids.items():
        lessons = timetables[f"{label.grade}{label.letter}"]
        await school.enter(school_calls.PUBLISH_TIMETABLE, class_id=class_id, valid_from=date(YEAR, 9, 1), lessons=lessons)


async def _declares_workplaces(school: School) -> None:
    await school.enter(school_calls.DECLARE_WORKPLACES, _DIRECTOR, **_known("year.json")["workplaces"])
    await school.attest(5)


async def _checks_the_week(school: School) -> None:
    """The administrator looks through what is entered, as every Friday (step 20)."""
    await school.enter(school_calls.VERIFY_DATA)


async def _finds_an_issue(school: School) -> None:
    await _checks_the_week(school)
    class_id = school.class_ids[_WRONG_CLASS]
    await school.enter(school_calls.OPEN_ISSUE, class_id=class_id, kind=IssueKind.WRONG, blocking=True)


async def _signs_off_classes(school: School) -> None:
    """What was wrong is mended, and the director signs off the data of every class as they stand (step 3)."""
    for issue in (await school.enter(school_calls.ISSUES)).issues:
        await school.enter(school_calls.RESOLVE_ISSUE, issue=issue.issue)
    for card in await school.class_cards():
        await school.enter(school_calls.VERIFY_DATA, _DIRECTOR, class_id=card.class_id, revision=card.revision)


async def _activates(school: School) -> None:
    """The pupils and guardians of two classes, and half of the staff, open their accounts (step 19)."""
    staff = await school.in_order(await school.people("staff"))
    await school.activate(staff[: len(staff) // 2])
    for label in _ACTIVE_CLASSES:
        class_id = school.class_ids[label]
        await school.activate([*await school.people("pupil", class_id), *await school.people("guardian", class_id)])


async def _imports_newcomer(school: School) -> None:
    await school.hand_in("school-newcomer.csv")


def _gives_codes(part: int) -> Callable[[School], Awaitable[None]]:
    """A class teacher gives the codes to the own class: some classes a day, and one teacher does not get round to it."""

    async def give(school: School) -> None:
        labels = [label for label in sorted(school.class_ids) if label != _LATE_CLASS]
        for label in labels[part * 4 : part * 4 + 4]:
            class_id = school.class_ids[label]
            school.told(f"codes for {label}")
            people = [*await school.people("pupil", class_id), *await school.people("guardian", class_id)]
            await school.hand_out_codes(people, f"class_teacher:{class_id}")

    return give


@dataclass(frozen=True)
class Act:
    """Something that happens at a local time of the school."""

    at: str
    title: str
    carry_out: Callable[[School], Awaitable[None]]


WEEKS = (
    Act("2015-08-17T09:00", "the school opens and adopts the plan", _opens),
    Act("2015-08-17T15:00", "the classes are declared and created", _declares_classes),
    Act("2015-08-18T09:00", "the staff are entered, with their consents", _hires),
    Act("2015-08-18T11:00", "the director appoints coordinators and signs the order", _appoints_coordinators),
    Act("2015-08-18T12:00", "the ministry schedules the training", _schedules_training),
    Act("2015-08-18T15:00", "two of the staff refuse", _staff_refuse),
    Act("2015-08-18T18:00", "families decide, by seat", _collects_decisions),
    Act("2015-08-19T10:00", "the director and the coordinators receive their access data", _gives_access_data),
    Act("2015-08-19T16:00", "the director and the coordinators are trained", _trains(date(YEAR, 8, 19))),
    Act("2015-08-19T18:00", "families decide, by seat", _collects_decisions),
    Act("2015-08-20T12:00", "periods, bells and lists are entered", _enters_periods),
    Act("2015-08-20T18:00", "families decide, by seat", _collects_decisions),
    Act("2015-08-21T18:00", "families decide, by seat", _collects_decisions),
    Act("2015-08-24T10:00", "the pupils' file is imported", _imports_pupils),
    Act("2015-08-24T18:00", "the last families decide, late", _collects_decisions),
    Act("2015-08-25T11:00", "the late pupils' file is imported", _imports_late_pupils),
    Act("2015-08-26T09:00", "the staff receive their codes", _gives_staff_codes),
    Act("2015-08-26T14:00", "class teachers hand out codes", _gives_codes(0)),
    Act("2015-08-26T16:00", "the others are trained", _trains(date(YEAR, 8, 26))),
    Act("2015-08-26T18:00", "families are shown how it works", _consults_families),
    Act("2015-08-27T10:00", "a family withdraws its consent", _withdraws),
    Act("2015-08-27T14:00", "class teachers hand out codes", _gives_codes(1)),
    Act("2015-08-28T12:00", "the timetables are published, late", _publishes_timetables),
    Act("2015-08-28T14:00", "class teachers hand out codes", _gives_codes(2)),
    Act("2015-08-28T16:00", "the data are checked, as every Friday", _checks_the_week),
    Act("2015-08-31T11:00", "the director declares the workplaces", _declares_workplaces),
    Act("2015-08-31T14:00", "class teachers hand out codes", _gives_codes(3)),
    Act("2015-09-01T10:00", "a newcomer's family decides", _collects_decisions),
    Act("2015-09-01T14:00", "class teachers hand out codes", _gives_codes(4)),
    Act("2015-09-02T10:00", "the newcomer is entered", _imports_newcomer),
    Act("2015-09-02T14:00", "class teachers hand out codes", _gives_codes(5)),
    Act("2015-09-03T18:00", "two classes and half of the staff open their accounts", _activates),
    Act("2015-09-04T16:00", "the data are checked, and something is wrong in one class", _finds_an_issue),
    Act("2015-09-07T11:00", "the director signs off the data of the classes", _signs_off_classes),
)
END = "2015-09-09T09:00"
RED_STEP = 18


async def play(client: Client, told: Callable[[int, str], None], others: Simulation | None = None) -> None:
    """Plays the weeks, and on the same days what `others` do. `told` hears how many acts are over, and what happens now."""
    over = 0
    school = School(client, lambda detail: told(over, f"{WEEKS[over].at[5:10]} {detail}"))
    for over, act in enumerate(WEEKS):
        told(over, f"{act.at[5:10]} {act.title}")
        await _until(client, act.at, others)
        await act.carry_out(school)
    told(len(WEEKS), "and the days pass")
    await _until(client, END, others)


async def _until(client: Client, at: str, others: Simulation | None) -> None:
    """Moves the clock, through every timer on the way; it comes back when all services have taken in what happened before."""
    if others is not None:
        for day in others.days_before(date.fromisoformat(at[:10])):
            await _set_clock(client, f"{day}T08:00")
            await others.play_through(day)
    await _set_clock(client, at)
    if others is not None:
        await others.play_through(date.fromisoformat(at[:10]))


async def _set_clock(client: Client, at: str) -> None:
    await move_clock(client, datetime.fromisoformat(f"{at}:00+03:00"))


# ---- what was signed on paper -----------------------------------------------------------------------------------------------


def samples() -> Path:
    """The sample files, which lie in the repository beside the code that reads them. Raises Failure `demo.no-samples`."""
    found = Path(roster.__file__).resolve().parents[2] / "samples"
    if not (found / "plan.json").is_file():
        raise Failure("demo.no-samples", f"There are no sample files at {found}.", "Run the demo from a clone of the repository.")
    return found


def _known(file: str) -> dict[str, Any]:
    return msgspec.json.decode((samples() / file).read_bytes(), type=dict[str, Any])


def _paper(school: School) -> Iterator[Decision]:
    """All decisions of families, each on the seat of its class's list that the pupil has."""
    known = _known("plan.json")
    refusals: list[dict[str, Any]] = known["refusals"]
    late = [_seat_of(seat) for seat in known["late"]]
    refused = {_seat_of(refusal) for refusal in refusals if refusal["who"] == "pupil"}
    in_time = {
        label: [number for number in range(1, headcount + 1) if (label, number) not in refused and (label, number) not in late]
        for label, headcount in school.headcounts.items()
    }
    yield from _signed(school, "school-pupils.xlsx", in_time)
    yield from _signed(school, "school-pupils-late.xlsx", _by_class(late))
    yield from _signed(school, "school-newcomer.csv", _by_class([_seat_of(known["newcomer"])]))
    for refusal in refusals:
        label, number = _seat_of(refusal)
        holder = SeatHolder(refusal["who"].replace("-", "_"))
        yield Decision(
            granted=False,
            seat=Seat(class_id=school.class_ids[label], number=number, holder=holder),
            subject_kind=SubjectKind.PUPIL if holder is SeatHolder.PUPIL else SubjectKind.GUARDIAN,
            decided_on=date.fromisoformat(refusal["decided_on"]),
        )


def _signed(school: School, file: str, numbers: dict[ClassLabel, list[int]]) -> Iterator[Decision]:
    """The consents of a file's rows; a class's rows stand in the order of its list."""
    left = {label: iter(free) for label, free in numbers.items()}
    for row in read_roster(samples() / file).pupils:
        class_id, number = school.class_ids[row.class_label], next(left[row.class_label])
        yield _granted(row, Seat(class_id=class_id, number=number, holder=SeatHolder.PUPIL))
        for guardian in row.guardians:
            if guardian.consent_number is not None:
                holder = SeatHolder.GUARDIAN_1 if guardian.number == 1 else SeatHolder.GUARDIAN_2
                yield _granted(guardian, Seat(class_id=class_id, number=number, holder=holder))


def _granted(row: PupilRow | GuardianRow, seat: Seat) -> Decision:
    kind = SubjectKind.PUPIL if isinstance(row, PupilRow) else SubjectKind.GUARDIAN
    return Decision(granted=True, seat=seat, subject_kind=kind, number=row.consent_number, decided_on=row.consent_date)


def _seat_of(known: dict[str, Any]) -> tuple[ClassLabel, int]:
    label: str = known["class"]
    return ClassLabel(int(label[:-1]), label[-1]), known["list_number"]


def _by_class(seats: Iterable[tuple[ClassLabel, int]]) -> dict[ClassLabel, list[int]]:
    numbers: defaultdict[ClassLabel, list[int]] = defaultdict(list)
    for label, number in seats:
        numbers[label].append(number)
    return numbers


def _at_most(size: int, items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
