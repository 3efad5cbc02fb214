"""What a school year needs, by call on a real bus: each call, each of its refusals, and which acts ask for a new look at a class's data."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from contracts import roster
from contracts.call import Call, Role
from contracts.event import Event
from contracts.roster import IssueKind, LegalBasis, NoGuardianReason, PersonName, Position, Relation
from eventkit.calls import CallFailed
from eventkit.database import sqlite_url
from eventkit.decider import Refused
from eventkit.event import decode
from eventkit.harness import BEGUN, System, administrator, director, running
from eventkit.service import Service
from eventkit.tokens import Actor
from roster.app import build

DAY = date(2015, 8, 17)
LAW = LegalBasis(code="law", reference="273-FZ")
DIRECTOR, ADMINISTRATOR = director("school-7"), administrator("school-7")
SERVICES = {"roster": build, "consent": Service}

QUARTERS = [
    {"begins": "2015-09-01", "ends": "2015-11-08"},
    {"begins": "2015-11-09", "ends": "2016-01-10"},
    {"begins": "2016-01-11", "ends": "2016-03-31"},
    {"begins": "2016-04-01", "ends": "2016-05-31"},
]
BELLS = [{"begins": "08:30", "ends": "09:15"}, {"begins": "09:25", "ends": "10:10"}]
LISTS = {
    "subjects": ["Алгебра", "Русский язык"],
    "positions": ["учитель"],
    "rooms": ["201"],
    "group-types": ["иностранный язык"],
}
LESSONS = [{"weekday": 1, "number": 2, "subject": "Русский язык", "room": "201"}, {"weekday": 1, "number": 1, "subject": "Алгебра"}]


@dataclass
class Office:
    """The office of school-7, with school-8 on the same instance."""

    system: System

    async def act(self, call: Call[Any, Any], as_: Actor | None = None, /, **body: Any) -> Any:
        return await self.system.call(call, call.request.model_validate({"school": "school-7", **body}), as_=as_)

    async def refusal(self, call: Call[Any, Any], as_: Actor | None = None, /, **body: Any) -> str:
        with pytest.raises(Refused) as refused:
            await self.act(call, as_, **body)
        return refused.value.code

    async def created(self, letter: str = "А", grade: int = 5, academic_year: str = "2015/2016", school: str = "school-7") -> str:
        declaring = {"grade": grade, "letter": letter, "academic_year": academic_year, "school": school}
        class_id = (await self.act(roster.DECLARE_CLASS, **declaring)).class_id
        await self.act(roster.CREATE_CLASS, class_id=class_id, school=school)
        return class_id

    async def enrolled(self, class_id: str, name: str = "Мария", *, assigned: bool = True) -> str:
        details = PersonName(last_name="Ёлкина", first_name=name)
        body = {"details": details, "class_id": class_id, "enrolled_on": DAY, "legal_basis": LAW, "external_id": f"У-{name}"}
        person = (await self.act(roster.ENROL_PUPIL, **body)).person
        if assigned:
            await self.act(roster.ASSIGN_PUPIL, pupil=person, class_id=class_id)
        return person

    async def ready(self) -> None:
        """Everything that a timetable needs but a class (steps 9 to 11)."""
        await self.act(roster.DEFINE_PERIODS, grades=[5], academic_year="2015/2016", periods=QUARTERS)
        await self.act(roster.DEFINE_BELLS, shift=1, lessons=BELLS)
        for name, entries in LISTS.items():
            await self.act(roster.FILL_LIST, list=name, entries=entries)

    async def card(self, class_id: str) -> roster.ClassCard:
        return next(card for card in (await self.act(roster.CLASSES)).classes if card.class_id == class_id)

    async def revision(self, class_id: str) -> int:
        return (await self.card(class_id)).revision

    async def events(self, kind: type[Event]) -> list[Any]:
        recorded = [decode(data) for _, _, data in await self.system.instance.services["roster"].store.read(BEGUN, 10_000)]
        return [event for one in recorded if isinstance(event := one.event(), kind)]


async def opened(system: System) -> Office:
    office = Office(system)
    for school in ("school-7", "school-8"):
        await office.act(roster.OPEN_SCHOOL, school=school, name=f"Школа {school}", municipality="dubna")
    return office


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with running(tmp_path, SERVICES) as system:
        yield await opened(system)


def canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


# -- who may -------------------------------------------------------------------------------------------------------------------------------

BODIES: Mapping[Call[Any, Any], dict[str, Any]] = {
    roster.DECLARE_WORKPLACES: {"online": 1, "total": 2},
    roster.DEFINE_PERIODS: {"grades": [5], "academic_year": "2015/2016", "periods": QUARTERS},
    roster.DEFINE_BELLS: {"shift": 1, "lessons": BELLS},
    roster.DELETE_BELLS: {"shift": 1},
    roster.FILL_LIST: {"list": "rooms", "entries": ["201"]},
    roster.CLEAR_LIST: {"list": "rooms"},
    roster.PUBLISH_TIMETABLE: {"class_id": "c-1", "valid_from": "2015-09-01", "lessons": LESSONS},
    roster.WITHDRAW_TIMETABLE: {"class_id": "c-1"},
    roster.ROLL_OVER_CLASS: {"class_id": "c-1", "to_class_id": "c-2"},
    roster.ROLL_OVER_YEAR: {"from_year": "2014/2015", "to_year": "2015/2016"},
    roster.VERIFY_DATA: {},
    roster.OPEN_ISSUE: {"class_id": "c-1", "kind": "wrong", "blocking": True},
    roster.RESOLVE_ISSUE: {"issue": "i-1"},
    roster.REFERENCE_LIST: {"list": "rooms"},
    roster.TIMETABLE: {"class_id": "c-1"},
    roster.ISSUES: {},
}


async def test_each_call_is_for_an_open_school_for_the_own_one_and_not_for_a_pupil(office: Office):
    for call, body in BODIES.items():
        own = DIRECTOR if Role.DIRECTOR in call.allowed else ADMINISTRATOR
        assert await office.refusal(call, school="school-9", **body) == "school.unknown", call.name
        assert await office.refusal(call, own, school="school-8", **body) == "access.other-school", call.name
        assert await office.refusal(call, Actor(Role.PUPIL, "p-1", "school-7"), **body) == "access.role", call.name
    assert await office.events(roster.RosterDataVerified) == []


# -- workplaces (step 5) -------------------------------------------------------------------------------------------------------------------


async def test_the_director_declares_the_workplaces(office: Office):
    for _ in range(2):
        await office.act(roster.DECLARE_WORKPLACES, DIRECTOR, online=38, total=42)
    assert await office.events(roster.WorkplacesDeclared) == [roster.WorkplacesDeclared(online=38, total=42)]
    assert await office.refusal(roster.DECLARE_WORKPLACES, DIRECTOR, online=43, total=42) == "workplaces.too-many-online"
    assert await office.refusal(roster.DECLARE_WORKPLACES, ADMINISTRATOR, online=38, total=42) == "access.role"


# -- periods, bells and lists (steps 9 to 11) ----------------------------------------------------------------------------------------------


async def test_periods_are_defined_for_each_parallel_that_is_named(office: Office):
    body = {"academic_year": "2015/2016", "periods": QUARTERS}
    await office.act(roster.DEFINE_PERIODS, ADMINISTRATOR, grades=[5, 6, 5], **body)
    await office.act(roster.DEFINE_PERIODS, ADMINISTRATOR, grades=[6, 7], **body)
    assert [event.grade for event in await office.events(roster.ReportingPeriodsDefined)] == [5, 6, 7]
    streams = [decode(data).stream for _, _, data in await office.system.instance.services["roster"].store.read(BEGUN, 100)]
    assert streams[-1] == "parallel-school-7.2015-2016-7"


@pytest.mark.parametrize(
    ("year", "quarters", "code"),
    [
        ("2015/2016", [0, 0], "periods.overlap"),
        ("2015/2016", [0, 2, 3], "periods.gap"),
        ("2015/2016", [1, 2, 3], "periods.year-not-covered"),
        ("2015/2016", [0, 1, 2], "periods.year-not-covered"),
        ("2016/2017", [0, 1, 2, 3], "periods.year-not-covered"),
        ("2015/2018", [0, 1, 2, 3], "periods.year-malformed"),
    ],
)
async def test_periods_that_do_not_fit_are_defined_for_no_parallel(office: Office, year: str, quarters: list[int], code: str):
    body = {"grades": [5, 6], "academic_year": year, "periods": [QUARTERS[number] for number in quarters]}
    assert await office.refusal(roster.DEFINE_PERIODS, **body) == code
    assert await office.events(roster.ReportingPeriodsDefined) == []


async def test_periods_that_end_before_they_begin_are_refused(office: Office):
    body = {"grades": [5], "academic_year": "2015/2016", "periods": [{"begins": "2016-05-31", "ends": "2015-09-01"}]}
    assert await office.refusal(roster.DEFINE_PERIODS, **body) == "periods.reversed"


async def test_bells_are_a_shifts(office: Office):
    await office.act(roster.DEFINE_BELLS, ADMINISTRATOR, shift=1, lessons=BELLS)
    await office.act(roster.DEFINE_BELLS, ADMINISTRATOR, shift=2, lessons=BELLS[:1])
    for _ in range(2):
        await office.act(roster.DELETE_BELLS, ADMINISTRATOR, shift=2)
    assert [(event.shift, len(event.lessons)) for event in await office.events(roster.BellScheduleDefined)] == [(1, 2), (2, 1)]
    assert [event.shift for event in await office.events(roster.BellScheduleDeleted)] == [2]
    assert await office.refusal(roster.DELETE_BELLS, shift=3) == "bells.missing"
    assert await office.refusal(roster.DEFINE_BELLS, shift=1, lessons=BELLS[::-1]) == "bells.overlap"
    assert await office.refusal(roster.DEFINE_BELLS, shift=1, lessons=[{"begins": "09:15", "ends": "08:30"}]) == "bells.reversed"


async def test_a_lists_entries_are_answered_with_the_digest_that_the_event_holds(office: Office):
    entries = ["  Алгебра ", "Русский язык", "И\u0306од"]  # spaces around, and й as two signs
    kept = ("Алгебра", "Русский язык", "Йод")
    await office.act(roster.FILL_LIST, ADMINISTRATOR, list="subjects", entries=entries)
    await office.act(roster.FILL_LIST, ADMINISTRATOR, list="subjects", entries=kept)
    (event,) = await office.events(roster.ReferenceListFilled)
    assert (event.list, event.entries, event.sha256) == ("subjects", 3, sha256(canonical(kept).encode()).hexdigest())
    for who in (None, DIRECTOR, ADMINISTRATOR, Actor(Role.CLASS_TEACHER, "c-1", "school-7")):
        answer = await office.act(roster.REFERENCE_LIST, who, list="subjects")
        assert (answer.entries, answer.sha256) == (kept, event.sha256)


async def test_a_cleared_list_and_one_that_never_was_have_no_entries(office: Office):
    await office.act(roster.FILL_LIST, list="rooms", entries=["201"])
    for _ in range(2):
        await office.act(roster.CLEAR_LIST, list="rooms")
    assert len(await office.events(roster.ReferenceListCleared)) == 1
    for name in ("rooms", "subjects"):
        answer = await office.act(roster.REFERENCE_LIST, list=name)
        assert (answer.entries, answer.sha256) == ((), None)
    assert await office.refusal(roster.CLEAR_LIST, list="subjects") == "list.never-filled"
    await office.act(roster.FILL_LIST, list="rooms", entries=["201", "202"])
    assert (await office.act(roster.REFERENCE_LIST, list="rooms")).entries == ("201", "202")


async def test_a_schools_lists_are_its_own(office: Office):
    await office.act(roster.FILL_LIST, list="rooms", entries=["201"])
    assert (await office.act(roster.REFERENCE_LIST, school="school-8", list="rooms")).entries == ()


async def test_an_entry_is_given_once_and_is_one_line_of_text(office: Office):
    assert await office.refusal(roster.FILL_LIST, list="rooms", entries=["201", " 201"]) == "list.entry-repeated"
    raw = office.system.instance.calls(office.system.instance.operator_token())
    for entries in ([], [""], [" "], ["а\nб"], ["я" * 201], [str(number) for number in range(1001)]):
        body = json.dumps({"school": "school-7", "list": "rooms", "entries": entries}).encode()
        with pytest.raises(CallFailed) as failed:
            await raw.call_raw("roster.fill-list", body, command=True)
        assert failed.value.code == "body.invalid"
    await office.act(roster.FILL_LIST, list="rooms", entries=[f"{number}".rjust(200, "я") for number in range(1000)])
    assert len((await office.act(roster.REFERENCE_LIST, list="rooms")).entries) == 1000


# -- timetables (step 16) ------------------------------------------------------------------------------------------------------------------


def publishing(class_id: str, **changes: Any) -> dict[str, Any]:
    return {"class_id": class_id, "valid_from": "2015-09-01", "lessons": LESSONS, **changes}


async def test_a_timetable_is_answered_with_the_digest_that_the_event_holds(office: Office):
    await office.ready()
    class_id = await office.created()
    await office.act(roster.PUBLISH_TIMETABLE, ADMINISTRATOR, **publishing(class_id))
    await office.act(roster.PUBLISH_TIMETABLE, ADMINISTRATOR, **publishing(class_id, lessons=LESSONS[::-1]))
    (event,) = await office.events(roster.TimetablePublished)
    kept = [{"room": None, **LESSONS[1]}, LESSONS[0]]
    assert (event.class_id, event.lessons, event.sha256) == (class_id, 2, sha256(canonical(kept).encode()).hexdigest())
    answer = await office.act(roster.TIMETABLE, Actor(Role.CLASS_TEACHER, class_id, "school-7"), class_id=class_id)
    assert [lesson.model_dump() for lesson in answer.lessons] == kept
    assert (answer.valid_from, answer.sha256) == (date(2015, 9, 1), event.sha256)


async def test_a_later_timetable_leaves_the_one_before_it_until_its_first_day(office: Office):
    await office.ready()
    class_id = await office.created()
    await office.act(roster.PUBLISH_TIMETABLE, **publishing(class_id))
    await office.act(roster.PUBLISH_TIMETABLE, **publishing(class_id, valid_from="2016-01-11", lessons=LESSONS[:1]))

    async def lessons(on: str | None) -> int:
        return len((await office.act(roster.TIMETABLE, class_id=class_id, on=on)).lessons)

    assert [await lessons(on) for on in ("2015-08-31", "2015-09-01", "2016-01-10", "2016-01-11", None)] == [0, 2, 2, 1, 1]
    for _ in range(2):
        await office.act(roster.WITHDRAW_TIMETABLE, class_id=class_id)
    assert await lessons(None) == await lessons("2015-09-01") == 0
    assert len(await office.events(roster.TimetableWithdrawn)) == 1
    await office.act(roster.PUBLISH_TIMETABLE, **publishing(class_id))
    assert await lessons(None) == 2


async def test_gate_9_to_12_refuses_a_timetable_until_periods_bells_lists_and_the_class_are_there(office: Office):
    declaring = {"grade": 5, "letter": "А", "academic_year": "2015/2016"}
    class_id = (await office.act(roster.DECLARE_CLASS, **declaring)).class_id
    body = publishing(class_id)
    assert await office.refusal(roster.PUBLISH_TIMETABLE, **body) == "class.not-created"
    await office.act(roster.CREATE_CLASS, class_id=class_id, shift=2)
    assert await office.refusal(roster.PUBLISH_TIMETABLE, **body) == "periods.missing"
    await office.act(roster.DEFINE_PERIODS, grades=[6], academic_year="2015/2016", periods=QUARTERS)
    assert await office.refusal(roster.PUBLISH_TIMETABLE, **body) == "periods.missing"
    await office.act(roster.DEFINE_PERIODS, grades=[5], academic_year="2015/2016", periods=QUARTERS)
    assert await office.refusal(roster.PUBLISH_TIMETABLE, **body) == "bells.missing"
    await office.act(roster.DEFINE_BELLS, shift=1, lessons=BELLS)
    assert await office.refusal(roster.PUBLISH_TIMETABLE, **body) == "bells.missing"
    await office.act(roster.DEFINE_BELLS, shift=2, lessons=BELLS)
    for name, entries in LISTS.items():
        assert await office.refusal(roster.PUBLISH_TIMETABLE, **body) == "lists.missing"
        await office.act(roster.FILL_LIST, list=name, entries=entries)
    await office.act(roster.PUBLISH_TIMETABLE, **body)
    await office.act(roster.CLEAR_LIST, list="positions")
    assert await office.refusal(roster.PUBLISH_TIMETABLE, **publishing(class_id, lessons=LESSONS[:1])) == "lists.missing"
    await office.act(roster.CLOSE_CLASS, class_id=class_id)
    assert await office.refusal(roster.PUBLISH_TIMETABLE, **body) == "class.closed"
    assert len(await office.events(roster.TimetablePublished)) == 1


@pytest.mark.parametrize(
    ("lesson", "code"),
    [
        ({"weekday": 2, "number": 1, "subject": "Алхимия"}, "timetable.subject-unknown"),
        ({"weekday": 2, "number": 1, "subject": "Алгебра", "room": "666"}, "timetable.room-unknown"),
        ({"weekday": 2, "number": 3, "subject": "Алгебра"}, "timetable.beyond-bells"),
        ({"weekday": 1, "number": 1, "subject": "Русский язык"}, "timetable.slot-taken"),
    ],
)
async def test_a_lesson_that_does_not_fit_is_refused(office: Office, lesson: dict[str, Any], code: str):
    await office.ready()
    class_id = await office.created()
    assert await office.refusal(roster.PUBLISH_TIMETABLE, **publishing(class_id, lessons=[*LESSONS, lesson])) == code
    assert await office.events(roster.TimetablePublished) == []


async def test_a_timetable_of_another_schools_class_or_of_another_year_is_refused(office: Office):
    await office.ready()
    class_id, elsewhere = await office.created(), await office.created(school="school-8")
    assert await office.refusal(roster.PUBLISH_TIMETABLE, **publishing(elsewhere)) == "class.not-declared"
    assert await office.refusal(roster.TIMETABLE, class_id=elsewhere) == "class.not-declared"
    assert await office.refusal(roster.WITHDRAW_TIMETABLE, class_id=class_id) == "timetable.missing"
    assert await office.refusal(roster.PUBLISH_TIMETABLE, **publishing(class_id, valid_from="2016-09-01")) == "timetable.after-year"


# -- the roll-over (step 15) ---------------------------------------------------------------------------------------------------------------


async def test_a_class_is_rolled_over_in_the_order_of_its_list(office: Office):
    old, new = await office.created(), await office.created("А", 6, "2016/2017")
    first, second, third = [await office.enrolled(old, name) for name in ("Анна", "Вера", "Зоя")]
    gone = await office.enrolled(old, "Ия")
    listed = await office.enrolled(old, "Ева", assigned=False)
    guest = await office.enrolled(await office.created("Б"), "Яна", assigned=False)
    newcomer = await office.enrolled(new, "Нина")
    await office.act(roster.PUPIL_LEFT, pupil=gone)
    for _ in range(2):
        await office.act(roster.ROLL_OVER_CLASS, ADMINISTRATOR, class_id=old, to_class_id=new)
    moved = await office.events(roster.PupilMoved)
    assert [(event.pupil, event.seat.class_id, event.seat.number) for event in moved] == [
        (first, new, 2), (second, new, 3), (third, new, 4), (listed, new, 5)
    ]  # fmt: skip
    assert [event.pupil for event in await office.events(roster.PupilAssignedToClass) if event.class_id == new] == [
        newcomer, first, second, third, listed
    ]  # fmt: skip
    assert [event.class_id for event in await office.events(roster.ClassClosed)] == [old]
    assert set((await office.act(roster.PEOPLE, kind="pupil", class_id=new)).people) == {newcomer, first, second, third, listed}
    assert guest in (await office.act(roster.PEOPLE, kind="pupil")).people


async def test_who_was_assigned_to_another_class_goes_on_from_there(office: Office):
    listed_in, assigned_to = await office.created("А"), await office.created("Б")
    new = await office.created("А", 6, "2016/2017")
    pupil = await office.enrolled(listed_in)
    await office.act(roster.ASSIGN_PUPIL, pupil=pupil, class_id=assigned_to)
    await office.act(roster.ROLL_OVER_CLASS, class_id=listed_in, to_class_id=new)
    assert await office.events(roster.PupilMoved) == []
    await office.act(roster.ROLL_OVER_CLASS, class_id=assigned_to, to_class_id=new)
    assert [event.pupil for event in await office.events(roster.PupilMoved)] == [pupil]


async def test_pupils_are_rolled_over_to_a_created_class_of_the_next_year_in_their_school(office: Office):
    old = await office.created()
    pupil = await office.enrolled(old)
    body = {"grade": 6, "letter": "А", "academic_year": "2016/2017"}
    declared = (await office.act(roster.DECLARE_CLASS, **body)).class_id
    targets = {
        declared: "class.not-created",
        await office.created("Б"): "class.not-next-year",
        await office.created("А", 4, "2014/2015"): "class.not-next-year",
        old: "class.not-next-year",
        await office.created("Я", 7, "2016/2017"): "class.grade-not-next",
        await office.created("Ю", 4, "2016/2017"): "class.grade-not-next",
        await office.created("А", 6, "2016/2017", school="school-8"): "class.not-declared",
    }
    for target, code in targets.items():
        assert await office.refusal(roster.ROLL_OVER_CLASS, class_id=old, to_class_id=target) == code
    closed = await office.created("В", 6, "2016/2017")
    await office.act(roster.CLOSE_CLASS, class_id=closed)
    assert await office.refusal(roster.ROLL_OVER_CLASS, class_id=old, to_class_id=closed) == "class.closed"
    assert await office.refusal(roster.ROLL_OVER_CLASS, class_id="c-nowhere", to_class_id=declared) == "class.not-declared"
    assert (await office.act(roster.PEOPLE, kind="pupil", class_id=old)).people == (pupil,)
    assert await office.events(roster.PupilMoved) == []
    assert [event.class_id for event in await office.events(roster.ClassClosed)] == [closed]


async def test_a_class_is_rolled_over_to_one_class(office: Office):
    old, new, other = await office.created(), await office.created("А", 6, "2016/2017"), await office.created("Б", 6, "2016/2017")
    pupil = await office.enrolled(old)
    await office.act(roster.ROLL_OVER_CLASS, class_id=old, to_class_id=new)
    assert await office.refusal(roster.ROLL_OVER_CLASS, class_id=old, to_class_id=other) == "class.rolled-over"
    await office.act(roster.ROLL_OVER_CLASS, class_id=old, to_class_id=new)
    assert (await office.act(roster.PEOPLE, kind="pupil", class_id=new)).people == (pupil,)
    assert [event.rolled_over_to for event in await office.events(roster.ClassClosed)] == [new]


async def test_an_empty_class_is_not_rolled_over_to_a_class_that_there_is_not(office: Office):
    old = await office.created()
    assert await office.refusal(roster.ROLL_OVER_CLASS, class_id=old, to_class_id="c-nowhere") == "class.not-declared"


async def test_a_year_is_rolled_over_when_its_classes_are_and_who_left_has_left(office: Office):
    fifth, eleventh = await office.created(), await office.created("А", 11)
    sixth = await office.created("А", 6, "2016/2017")
    await office.enrolled(fifth, "Анна")
    leaver = await office.enrolled(eleventh, "Вера")
    body = {"from_year": "2015/2016", "to_year": "2016/2017"}
    assert await office.refusal(roster.ROLL_OVER_YEAR, ADMINISTRATOR, **body) == "year.classes-open"
    await office.act(roster.ROLL_OVER_CLASS, class_id=fifth, to_class_id=sixth)
    assert await office.refusal(roster.ROLL_OVER_YEAR, ADMINISTRATOR, **body) == "year.classes-open"
    await office.act(roster.CLOSE_CLASS, class_id=eleventh)
    assert await office.refusal(roster.ROLL_OVER_YEAR, ADMINISTRATOR, **body) == "year.pupils-remain"
    await office.act(roster.PUPIL_LEFT, pupil=leaver)
    assert await office.refusal(roster.ROLL_OVER_YEAR, **{**body, "to_year": "2017/2018"}) == "year.not-next"
    assert await office.refusal(roster.ROLL_OVER_YEAR, **{**body, "to_year": "2016/2018"}) == "year.malformed"
    for _ in range(2):
        await office.act(roster.ROLL_OVER_YEAR, ADMINISTRATOR, **body)
    assert await office.events(roster.AcademicYearRolledOver) == [roster.AcademicYearRolledOver.model_validate(body)]


# -- checks of the data (steps 3 and 20) ---------------------------------------------------------------------------------------------------


async def test_a_class_is_signed_off_as_it_was_looked_at(office: Office):
    class_id = await office.created()
    seen = await office.revision(class_id)
    await office.enrolled(class_id)
    assert await office.refusal(roster.VERIFY_DATA, DIRECTOR, class_id=class_id, revision=seen) == "class.changed-since"
    seen = await office.revision(class_id)
    for who in (DIRECTOR, ADMINISTRATOR):
        await office.act(roster.VERIFY_DATA, who, class_id=class_id, revision=seen)
    assert await office.events(roster.RosterDataVerified) == [roster.RosterDataVerified(class_id=class_id, revision=seen)]
    assert await office.revision(class_id) == seen


async def test_a_sign_off_lapses_on_the_day_of_the_first_change_after_it(office: Office):
    class_id, other = await office.created("А"), await office.created("Б")
    pupil = await office.enrolled(class_id)
    for one in (class_id, other):
        await office.act(roster.VERIFY_DATA, class_id=one, revision=await office.revision(one))
    seen = await office.revision(class_id)
    assert await office.events(roster.VerificationLapsed) == []
    await office.system.until("2015-08-20T12:00:00+03:00")
    await office.act(roster.RECORD_NO_GUARDIAN, pupil=pupil, reason=NoGuardianReason.REFUSED, happened_on=date(2015, 8, 19))
    await office.act(roster.DECLARE_HEADCOUNT, class_id=class_id, pupils=25)
    assert await office.events(roster.VerificationLapsed) == [roster.VerificationLapsed(class_id=class_id, revision=seen + 1)]
    recorded = [decode(data) for _, _, data in await office.system.instance.services["roster"].store.read(BEGUN, 1000)]
    assert [one.happenedon for one in recorded if one.type == "roster.verification-lapsed.v1"] == ["2015-08-19"]
    await office.act(roster.VERIFY_DATA, class_id=class_id, revision=seen + 2)
    await office.act(roster.ASSIGN_PUPIL, pupil=pupil, class_id=other)
    lapsed = [event.class_id for event in await office.events(roster.VerificationLapsed)]
    assert sorted(lapsed) == sorted([class_id, class_id, other])


async def test_a_class_that_is_closed_lapses_no_more(office: Office):
    class_id = await office.created()
    await office.act(roster.VERIFY_DATA, class_id=class_id, revision=await office.revision(class_id))
    await office.act(roster.CLOSE_CLASS, class_id=class_id)
    assert await office.events(roster.VerificationLapsed) == []


async def test_a_blocking_issue_stands_against_a_sign_off_until_it_is_resolved(office: Office):
    class_id = await office.created()
    checking = {"class_id": class_id, "revision": await office.revision(class_id)}
    opening = {"class_id": class_id, "kind": IssueKind.WRONG, "blocking": True}
    issue = (await office.act(roster.OPEN_ISSUE, DIRECTOR, **opening)).issue
    assert (await office.act(roster.OPEN_ISSUE, ADMINISTRATOR, **opening)).issue == issue
    other = (await office.act(roster.OPEN_ISSUE, **{**opening, "blocking": False})).issue
    assert await office.refusal(roster.VERIFY_DATA, **checking) == "issue.blocking-open"
    cards = (await office.act(roster.ISSUES, class_id=class_id)).issues
    assert {(card.issue, card.kind, card.blocking, card.opened_on, card.resolved_on) for card in cards} == {
        (issue, IssueKind.WRONG, True, DAY, None),
        (other, IssueKind.WRONG, False, DAY, None),
    }
    for _ in range(2):
        await office.act(roster.RESOLVE_ISSUE, ADMINISTRATOR, issue=issue)
    await office.act(roster.VERIFY_DATA, **checking)
    assert [event.issue for event in await office.events(roster.DataIssueResolved)] == [issue]
    assert [card.issue for card in (await office.act(roster.ISSUES)).issues] == [other]
    assert {(card.issue, card.resolved_on) for card in (await office.act(roster.ISSUES, resolved=True)).issues} == {
        (issue, DAY),
        (other, None),
    }


async def test_classes_and_issues_of_another_school_are_unknown(office: Office):
    elsewhere = await office.created(school="school-8")
    opening = {"class_id": elsewhere, "kind": IssueKind.MISSING, "blocking": True}
    issue = (await office.act(roster.OPEN_ISSUE, school="school-8", **opening)).issue
    assert await office.refusal(roster.OPEN_ISSUE, **opening) == "class.not-declared"
    assert await office.refusal(roster.VERIFY_DATA, class_id=elsewhere, revision=2) == "class.not-declared"
    assert await office.refusal(roster.ISSUES, class_id=elsewhere) == "class.not-declared"
    assert await office.refusal(roster.RESOLVE_ISSUE, issue=issue) == "issue.unknown"
    assert (await office.act(roster.ISSUES)).issues == ()


async def test_a_closed_class_is_not_signed_off(office: Office):
    class_id = await office.created()
    await office.act(roster.CLOSE_CLASS, class_id=class_id)
    assert await office.refusal(roster.VERIFY_DATA, class_id=class_id, revision=3) == "class.closed"


async def test_a_schools_check_is_recorded_once_a_day(office: Office):
    await office.act(roster.VERIFY_DATA, DIRECTOR)
    await office.act(roster.VERIFY_DATA, ADMINISTRATOR)
    await office.system.until("2015-08-21T16:00:00+03:00")
    for _ in range(2):
        await office.act(roster.VERIFY_DATA)
    await office.act(roster.VERIFY_DATA, happened_on=DAY)
    await office.act(roster.VERIFY_DATA, happened_on=date(2015, 8, 18))
    assert await office.events(roster.RosterDataVerified) == [roster.RosterDataVerified(class_id=None, revision=None)] * 3


async def test_a_class_is_named_with_the_revision_that_was_looked_at(office: Office):
    raw = office.system.instance.calls(office.system.instance.operator_token())
    for half in ({"class_id": "c-1"}, {"revision": 4}):
        with pytest.raises(CallFailed) as failed:
            await raw.call_raw("roster.verify-data", json.dumps({"school": "school-7", **half}).encode(), command=True)
        assert failed.value.code == "body.invalid"


async def test_whatever_changes_a_classs_data_raises_its_revision_once_and_that_of_no_other(office: Office):
    await office.ready()
    class_id, other = await office.created("А"), await office.created("Б")
    teacher = (
        await office.act(roster.HIRE_STAFF, details=PersonName(last_name="К", first_name="О"), position=Position.TEACHER, hired_on=DAY)
    ).person
    pupil = await office.enrolled(class_id, assigned=False)
    mother = PersonName(last_name="Ёлкина", first_name="Жанна")
    linking = {"pupil": pupil, "relation": Relation.MOTHER, "legal_basis": LAW, "external_id": "Р-1"}
    guardian = (await office.act(roster.LINK_GUARDIAN, details=mother, **linking)).person
    details = PersonName(last_name="Ёлкина", first_name="Мария")
    enrolling = {"class_id": class_id, "enrolled_on": DAY, "legal_basis": LAW, "external_id": "У-Мария"}
    changing: list[tuple[Call[Any, Any], dict[str, Any]]] = [
        (roster.DECLARE_HEADCOUNT, {"class_id": class_id, "pupils": 25}),
        (roster.ASSIGN_CLASS_TEACHER, {"class_id": class_id, "person": teacher}),
        (roster.ENROL_PUPIL, {"details": PersonName(last_name="Новик", first_name="Имя"), **enrolling, "external_id": "У-2"}),
        (roster.ENROL_PUPIL, {"details": details.model_copy(update={"patronymic": "Петровна"}), **enrolling}),
        (roster.LINK_GUARDIAN, {"details": mother.model_copy(update={"phone": "+70001234567"}), **linking}),
        (roster.UNLINK_GUARDIAN, {"pupil": pupil, "guardian": guardian}),
        (roster.RECORD_NO_GUARDIAN, {"pupil": pupil, "reason": NoGuardianReason.REFUSED}),
        (roster.ASSIGN_PUPIL, {"pupil": pupil, "class_id": class_id}),
        (roster.PUBLISH_TIMETABLE, publishing(class_id)),
        (roster.WITHDRAW_TIMETABLE, {"class_id": class_id}),
    ]
    untouched = await office.revision(other)
    for call, body in changing:
        before = await office.revision(class_id)
        await office.act(call, **body)
        assert await office.revision(class_id) == before + 1, (call.name, body)
        await office.act(call, **body)
        assert await office.revision(class_id) == before + 1, (call.name, "said twice")
        assert await office.revision(other) == untouched, call.name

    before = await office.revision(class_id)
    await office.act(roster.LINK_GUARDIAN, **linking)  # not linked any more, so it is news
    await office.act(roster.ASSIGN_PUPIL, pupil=pupil, class_id=other)
    assert (await office.revision(class_id), await office.revision(other)) == (before + 2, untouched + 1)
    await office.act(roster.LINK_GUARDIAN, details=mother.model_copy(update={"phone": "+70007654321"}), **linking)
    await office.act(roster.PUPIL_LEFT, pupil=pupil)
    assert (await office.revision(class_id), await office.revision(other)) == (before + 2, untouched + 3)


async def test_a_guardian_of_children_in_two_classes_touches_both(office: Office):
    first, second = await office.created("А"), await office.created("Б")
    linking = {"relation": Relation.MOTHER, "legal_basis": LAW, "external_id": "Р-1"}
    mother = PersonName(last_name="Ёлкина", first_name="Жанна")
    for class_id, name in ((first, "Анна"), (second, "Вера")):
        pupil = await office.enrolled(class_id, name)
        await office.act(roster.LINK_GUARDIAN, details=mother, pupil=pupil, **linking)
    before = await office.revision(first), await office.revision(second)
    await office.act(roster.LINK_GUARDIAN, details=mother.model_copy(update={"email": "zh@family.example"}), pupil=pupil, **linking)
    assert (await office.revision(first), await office.revision(second)) == (before[0] + 1, before[1] + 1)


async def test_a_roll_over_touches_the_class_that_is_left_and_the_class_that_is_joined(office: Office):
    old, new = await office.created(), await office.created("А", 6, "2016/2017")
    await office.enrolled(old)
    before = await office.revision(new)
    await office.act(roster.ROLL_OVER_CLASS, class_id=old, to_class_id=new)
    assert await office.revision(new) == before + 1


async def test_a_class_card_shows_the_shift_once_there_is_one(office: Office):
    declaring = {"grade": 5, "letter": "А", "academic_year": "2015/2016"}
    class_id = (await office.act(roster.DECLARE_CLASS, **declaring)).class_id
    card = await office.card(class_id)
    assert (card.shift, card.created, card.revision) == (None, False, 1)
    await office.act(roster.CREATE_CLASS, class_id=class_id, shift=2)
    card = await office.card(class_id)
    assert (card.shift, card.created, card.revision) == (2, True, 2)


# -- the database --------------------------------------------------------------------------------------------------------------------------


async def test_a_school_year_is_the_same_on_postgresql_and_after_a_restart(tmp_path: Path, fresh_postgres: str):
    def database_url(service: str) -> str | URL:
        return fresh_postgres if service == "roster" else sqlite_url(tmp_path / "db" / f"{service}.db")

    async with running(tmp_path, SERVICES, database_url=database_url) as system:
        office = await opened(system)
        await office.ready()
        class_id, new = await office.created(), await office.created("А", 6, "2016/2017")
        pupil = await office.enrolled(class_id)
        await office.act(roster.PUBLISH_TIMETABLE, **publishing(class_id))
        issue = (await office.act(roster.OPEN_ISSUE, class_id=class_id, kind=IssueKind.WRONG, blocking=True)).issue
        checking = {"class_id": class_id, "revision": await office.revision(class_id)}
        assert await office.refusal(roster.VERIFY_DATA, **checking) == "issue.blocking-open"
    async with running(tmp_path, SERVICES, database_url=database_url) as system:
        office = Office(system)
        await office.act(roster.RESOLVE_ISSUE, issue=issue)
        await office.act(roster.VERIFY_DATA, **checking)
        assert len((await office.act(roster.TIMETABLE, class_id=class_id)).lessons) == 2
        assert (await office.act(roster.REFERENCE_LIST, list="subjects")).entries == tuple(LISTS["subjects"])
        await office.act(roster.ROLL_OVER_CLASS, class_id=class_id, to_class_id=new)
        await office.act(roster.ROLL_OVER_YEAR, from_year="2015/2016", to_year="2016/2017")
        assert (await office.act(roster.PEOPLE, kind="pupil", class_id=new)).people == (pupil,)
