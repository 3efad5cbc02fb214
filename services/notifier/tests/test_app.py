"""Announcements become messages, and messages become mail, on a real bus and to a real mail server."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection

from contracts import plan, roster
from contracts.event import AnnulmentReason, Event
from contracts.notifier import OUTBOX, REPORT_BOUNCE, OutboxQuery, OutboxRow, ReportBounce
from contracts.operations import Nothing
from eventkit.answering import Caller
from eventkit.clock import local_day
from eventkit.decider import Decider, Refused
from eventkit.erasure import Erase
from eventkit.event import Origin, Recorded, decode
from eventkit.harness import BEGUN, START, System, director, running
from eventkit.instance import Build
from eventkit.projection import checkpoint_table
from eventkit.service import Service, Settings
from eventkit.store import Transaction
from eventkit.tasks import ended
from notifier import policies, projections, sender
from notifier.app import build
from notifier.erasing import ERASED
from notifier.outbox import outbox_table
from notifier.sender import MailServer, monitors
from notifier.testing import post_office, sending_to

DAY = date(2015, 8, 17)
TOMORROW = date(2015, 8, 18)
SCHOOL = "school-7"
ADDRESSES = {"p-director": "director@example.org", "p-first": "first@example.org", "p-second": "second@example.org", "p-silent": ""}
NAMES = {SCHOOL: "Школа № 7", "school-8": "Школа № 8"}


def approaching(
    step: int, day: date = TOMORROW, working_days: int = 3, role: plan.Responsible = "administrator"
) -> plan.DeadlineApproaching:
    """A step is near, as it is announced on the night before a day."""
    due = day + timedelta(days=working_days)
    return plan.DeadlineApproaching(
        step=step, revision=1, day=day, due=due, working_days=working_days, reminders="default", responsible=(role,)
    )


def overdue(
    step: int, day: date = TOMORROW, working_days: int = 1, role: plan.Responsible = "administrator", reminders: plan.Reminders = "default"
) -> plan.StepBecameOverdue:
    due = day - timedelta(days=working_days)
    return plan.StepBecameOverdue(
        step=step, revision=1, day=day, due=due, working_days=working_days, reminders=reminders, responsible=(role,)
    )


APPROACHING, OVERDUE = approaching(18), overdue(18)
COMPLETED = plan.StepCompleted(step=6, revision=1, day=DAY)


def _say(event: Event, state: None) -> Sequence[Event]:
    return [event]


SAYING: Decider[Event, None] = Decider("saying", None, _say, lambda state, event: None)


def a_roster(settings: Settings) -> Service:
    """Knows the addresses and names above, and nobody else."""
    service = Service(settings)

    @service.query(roster.PERSON)
    async def person(request: roster.PersonQuery, caller: Caller) -> roster.PersonCard:  # pyright: ignore[reportUnusedFunction] -- the service calls it
        if request.person not in ADDRESSES:
            raise Refused("person.unknown", "There is no such person.")
        details = roster.PersonName(last_name="Смирнова", first_name="Ольга", email=ADDRESSES[request.person])
        return roster.PersonCard(person=request.person, kind="staff", details=details)

    @service.query(roster.SCHOOL)
    async def school(request: roster.SchoolQuery, caller: Caller) -> roster.SchoolCard:  # pyright: ignore[reportUnusedFunction] -- the service calls it
        if request.school not in NAMES:
            raise Refused("school.unknown", "There is no such school.")
        of = {"name": NAMES[request.school], "municipality": "mytishchi", "timezone": "Europe/Moscow"}
        return roster.SchoolCard.model_validate({"school": request.school, **of, "staff": 3, "classes": 1, "pupils": 0, "guardians": 0})

    @service.query(roster.CLASSES)
    async def classes(request: roster.ClassesQuery, caller: Caller) -> roster.Classes:  # pyright: ignore[reportUnusedFunction] -- the service calls it
        named = {"class_id": "7a", "grade": 7, "letter": "А", "academic_year": "2015/2016"}
        card = {**named, "created": True, "shift": 1, "headcount": 25, "teacher": None, "revision": 1}
        return roster.Classes(classes=(roster.ClassCard.model_validate(card),))

    return service


def a_tracker(settings: Settings) -> Service:
    """Has announced all that it was told to say, and knows what two steps are called."""
    service = Service(settings)

    @service.query(plan.ANNOUNCED)
    async def announced(request: Nothing, caller: Caller) -> plan.Announced:  # pyright: ignore[reportUnusedFunction] -- the service calls it
        return plan.Announced(through=local_day(service.clock.now()), position=await service.store.head())

    @service.query(plan.STEPS)
    async def steps(request: plan.StepsQuery, caller: Caller) -> plan.Steps:  # pyright: ignore[reportUnusedFunction] -- the service calls it
        titles = plan.StepTitle(step=18, title_ru="Выдать логины", title_en="Hand out logins")
        return plan.Steps(plan="a-plan", revision=1, steps=(titles,))

    @service.query(plan.OWN_DATES)
    async def own_dates(request: Nothing, caller: Caller) -> plan.SchoolsWithOwnDates:  # pyright: ignore[reportUnusedFunction] -- the service calls it
        return plan.SchoolsWithOwnDates(schools=(SCHOOL,) if PEOPLE_DUE else ())

    @service.query(plan.PEOPLE_DUE)
    async def people_due(request: plan.PeopleDueQuery, caller: Caller) -> plan.PeopleDue:  # pyright: ignore[reportUnusedFunction] -- the service calls it
        return PEOPLE_DUE.get(request.day, policies.NOBODY_DUE)

    return service


PEOPLE_DUE: dict[date, plan.PeopleDue] = {}
"""Whose own dates the tracker knows."""


def builds(notifier: Build = build, tracker: Build = a_tracker) -> dict[str, Build]:
    return {"roster": a_roster, "plan": tracker, "notifier": notifier}


@dataclass
class Town:
    system: System

    async def say(self, service: str, *events: Event, school: str = SCHOOL) -> None:
        def work(tx: Transaction) -> None:
            for event in events:
                tx.decide(SAYING, f"{school}-{uuid.uuid4().hex}", event, school=school, happened_on=DAY)

        await self.system.instance.services[service].store.carry_out(work, Origin("operator", "told", "told"))
        await self.system.settled()

    async def erase(self, person: str) -> None:
        """Notifier's own event, as its reaction to an order records it."""

        def work(tx: Transaction) -> None:
            tx.decide(ERASED, person, Erase(person, f"e-{person}", ()), school=SCHOOL, happened_on=DAY)

        await self.system.instance.services["notifier"].store.carry_out(work, Origin("operator", "told", "told"))

    async def open_school(self, school: str = SCHOOL, timezone: str = "Europe/Moscow") -> None:
        await self.say(
            "roster",
            roster.SchoolOpened(school=school, municipality="mytishchi", timezone=timezone),
            roster.StaffHired(person="p-director", position=roster.Position.DIRECTOR, hired_on=DAY),
            roster.StaffHired(person="p-first", position=roster.Position.TEACHER, hired_on=DAY),
            roster.StaffHired(person="p-second", position=roster.Position.TEACHER, hired_on=DAY),
            school=school,
        )

    async def adopt(self, school: str = SCHOOL, name: str = "portal") -> None:
        adopted = plan.PlanAdopted(
            plan=name, revision=1, start=DAY, week=5, anchor="after_predecessors", count_from="next_day", calendar="0" * 64, baseline={}
        )
        await self.say("plan", adopted, school=school)

    async def announce(self, *events: Event, school: str = SCHOOL) -> None:
        await self.say("plan", *events, school=school)

    async def morning(self, day: date = TOMORROW, time: str = "09:00") -> None:
        await self.system.until(f"{day}T{time}:00+03:00")

    async def tell(self, *events: Event, on: date = TOMORROW) -> None:
        """Announces, and waits for the morning on which it is told."""
        await self.announce(*events)
        await self.morning(on)

    async def outbox(self, school: str | None = SCHOOL) -> list[OutboxRow]:
        """Oldest first; without a school, what managers were told."""
        as_ = None if school is None else director(school)
        return [*reversed((await self.system.call(OUTBOX, OutboxQuery(school=school), as_=as_)).messages)]

    async def told(self) -> list[tuple[str, str, list[tuple[str, int]]]]:
        """Who was told on which day, and what."""
        return [(f"{row.day:%d.%m}", row.recipient, [(one.kind, one.step) for one in row.notices]) for row in await self.outbox()]

    async def states(self) -> list[str]:
        return [row.state for row in await self.outbox()]

    async def become(self, *states: str, school: str | None = SCHOOL) -> list[OutboxRow]:
        """The outbox as soon as its messages are in these states; a test that waits in vain is ended from outside."""
        while True:
            rows = await self.outbox(school)
            if [row.state for row in rows] == list(states):
                return rows
            await asyncio.sleep(0.01)

    async def recorded(self) -> list[Recorded]:
        return [decode(data) for _, _, data in await self.system.instance.services["notifier"].store.read(BEGUN, 1000)]


def text_of(content: bytes) -> str:
    """The plain text of a mail."""
    body = message_from_bytes(content, policy=policy.default).get_body(("plain",))
    assert body is not None
    return body.get_content()


@asynccontextmanager
async def town(folder: Path, notifier: Build = build, tracker: Build = a_tracker, *, on: date | None = None) -> AsyncGenerator[Town]:
    """A school that opened on the first day; `on` is the day of a later start."""
    fresh = not (folder / "secrets").exists()
    now = START if on is None else f"{on}T09:30:00+03:00"
    async with running(folder, builds(notifier, tracker), now=now) as system:
        here = Town(system)
        if fresh:
            await here.open_school()
        await system.until(now)  # what is due at the start
        yield here


# Who is told.


async def test_a_recipient_is_told_once_a_day_at_nine_in_the_morning_all_that_there_is(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"), roster.CoordinatorAppointed(person="p-second"))
        await here.announce(APPROACHING, OVERDUE, overdue(4, role="director"), COMPLETED)
        await here.morning(time="08:59")
        assert await here.told() == []
        await here.morning()
        to_coordinators = [("step-overdue", 18), ("deadline-approaching", 18)]
        assert await here.told() == [
            ("18.08", "p-first", to_coordinators),
            ("18.08", "p-second", to_coordinators),
            ("18.08", "p-director", [("step-overdue", 4), ("step-overdue", 18), ("step-completed", 6)]),
        ]


async def test_the_officers_of_the_day_are_told(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.tell(APPROACHING)
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"), roster.CoordinatorAppointed(person="p-second"))
        await here.tell(approaching(18, date(2015, 8, 19)), on=date(2015, 8, 19))
        await here.say("roster", roster.CoordinatorRelieved(person="p-first"), roster.StaffDismissed(person="p-second"))
        await here.tell(approaching(18, date(2015, 8, 20)), on=date(2015, 8, 20))
        near = [("deadline-approaching", 18)]
        assert await here.told() == [
            ("18.08", "p-director", near),
            ("19.08", "p-first", near),
            ("19.08", "p-second", near),
            ("20.08", "p-director", near),
        ]


async def test_class_teachers_are_told_where_they_answer_for_a_step_until_their_class_has_another_or_is_closed(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.say("roster", roster.ClassTeacherAssigned(class_id="7a", person="p-first"))
        await here.say("roster", roster.ClassTeacherAssigned(class_id="7b", person="p-first"))
        await here.tell(approaching(18, role="class_teacher"))
        await here.say("roster", roster.ClassTeacherAssigned(class_id="7a", person="p-second"), roster.ClassClosed(class_id="7b"))
        await here.tell(approaching(18, date(2015, 8, 19), role="class_teacher"), on=date(2015, 8, 19))
        assert [line[:2] for line in await here.told()] == [("18.08", "p-first"), ("19.08", "p-second")]


async def test_people_are_told_of_their_own_dates_and_an_officer_in_the_same_message_as_all_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = tuple(plan.PersonDue(step=19, person=person, due=TOMORROW, working_days=0) for person in ("p-first", "p-pupil"))
    late = plan.ClassOverdue(step=19, class_id="7a", working_days=1, people=3)
    monkeypatch.setitem(PEOPLE_DUE, TOMORROW, plan.PeopleDue(near=near, overdue=(late,)))
    async with town(tmp_path) as here:
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"))
        await here.say("roster", roster.ClassTeacherAssigned(class_id="7a", person="p-second"))
        await here.tell(APPROACHING)
        await here.morning(date(2015, 8, 20))
        rows = {row.recipient: row for row in await here.outbox()}
        assert set(rows) == {"p-first", "p-second", "p-pupil"}
        coordinator = rows["p-first"]
        assert ([one.step for one in coordinator.notices], len(coordinator.own), len(coordinator.classes)) == ([18], 1, 1)
        assert (rows["p-second"].notices, rows["p-second"].own, [one.people for one in rows["p-second"].classes]) == ((), (), [3])
        assert (rows["p-pupil"].own[0].due, rows["p-pupil"].classes) == (TOMORROW, ())


async def test_whoever_was_erased_is_told_nothing_though_roster_still_says_that_they_hold_an_office(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = tuple(plan.PersonDue(step=19, person=person, due=TOMORROW, working_days=0) for person in ("p-first", "p-pupil"))
    monkeypatch.setitem(PEOPLE_DUE, TOMORROW, plan.PeopleDue(near=near, overdue=()))
    async with town(tmp_path) as here:
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"))
        await here.erase("p-first")
        await here.tell(APPROACHING)
        assert await here.told() == [("18.08", "p-director", [("deadline-approaching", 18)]), ("18.08", "p-pupil", [])]
        await here.erase("p-director")
        await here.tell(approaching(18, date(2015, 8, 19)), on=date(2015, 8, 19))
        assert [row.day for row in await here.outbox()] == [TOMORROW, TOMORROW]


async def test_an_appointment_that_was_annulled_never_was_and_neither_was_a_dismissal(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"), roster.CoordinatorAppointed(person="p-second"))
        await here.say("roster", roster.CoordinatorRelieved(person="p-second"))
        events = [decode(data) for _, _, data in await here.system.instance.services["roster"].store.read(BEGUN, 100)]
        for wrong in (events[-3], events[-1]):
            annulled = roster.EntryAnnulled(event=wrong.id, position=wrong.position, event_type=wrong.type, reason=AnnulmentReason.MISTYPED)
            await here.say("roster", annulled)
        await here.tell(APPROACHING)
        assert [line[1] for line in await here.told()] == ["p-second"]


async def test_a_reminder_of_a_day_that_is_past_is_told_to_nobody_and_what_changed_is_told_late(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.announce(APPROACHING, OVERDUE, COMPLETED)
    async with town(tmp_path, on=date(2015, 8, 20)) as here:
        assert await here.told() == [("20.08", "p-director", [("step-overdue", 18), ("step-completed", 6)])]


async def test_what_nobody_could_be_told_for_a_week_is_told_to_nobody(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.announce(OVERDUE, COMPLETED)
    async with town(tmp_path, on=date(2015, 8, 25)) as here:
        await here.morning(date(2015, 9, 7))
        assert await here.told() == []


async def test_a_completion_that_was_taken_back_before_it_was_told_is_not_told_and_one_that_was_told_is_corrected(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        tracker = here.system.instance.services["plan"]

        async def take_back(completed: plan.StepCompleted) -> None:
            told = decode((await tracker.store.read(await tracker.store.head() - 1, 1))[0][2])
            assert told.event() == completed
            correction = plan.AnnouncementCorrected(corrects=told.id, step=6, revision=1, kind="step-completed", day=completed.day)
            await here.announce(correction)

        await here.announce(COMPLETED)
        await take_back(COMPLETED)
        await here.morning()
        assert await here.told() == []
        await here.announce(COMPLETED)
        await here.morning(date(2015, 8, 19))
        await here.announce(COMPLETED)
        await take_back(COMPLETED)
        told = decode((await tracker.store.read(3, 1))[0][2])
        await here.announce(plan.AnnouncementCorrected(corrects=told.id, step=6, revision=1, kind="step-completed", day=DAY))
        await here.morning(date(2015, 8, 20))
        assert await here.told() == [
            ("19.08", "p-director", [("step-completed", 6)]),
            ("20.08", "p-director", [("completion-corrected", 6)]),
        ]


async def test_a_first_start_tells_nothing_of_what_was_announced_before(tmp_path: Path) -> None:
    async with running(tmp_path, {"plan": a_tracker, "roster": a_roster}) as system:
        here = Town(system)
        await here.open_school()
        await here.announce(APPROACHING, OVERDUE, COMPLETED)
    async with town(tmp_path, on=DAY) as here:
        await here.morning()
        assert await here.told() == []


async def test_messages_wait_until_the_plan_has_announced_the_day(tmp_path: Path) -> None:
    def a_late_tracker(settings: Settings) -> Service:
        service = Service(settings)

        @service.query(plan.ANNOUNCED)
        async def announced(request: Nothing, caller: Caller) -> plan.Announced:  # pyright: ignore[reportUnusedFunction] -- the service calls it
            return plan.Announced(through=through[0], position=await service.store.head())

        @service.query(plan.OWN_DATES)
        async def own_dates(request: Nothing, caller: Caller) -> plan.SchoolsWithOwnDates:  # pyright: ignore[reportUnusedFunction] -- the service calls it
            return plan.SchoolsWithOwnDates(schools=())

        return service

    through: list[date | None] = [None]
    async with town(tmp_path, tracker=a_late_tracker) as here:
        await here.morning(time="09:30")
        await here.announce(APPROACHING)
        through[0] = DAY - timedelta(days=1)
        await here.morning(time="10:00")
        assert await here.told() == []
        through[0] = DAY
        await here.morning(time="11:00")
        assert await here.told() == [("18.08", "p-director", [("deadline-approaching", 18)])]


async def test_messages_wait_until_roster_says_who_holds_which_office(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.announce(APPROACHING)
    without_roster = {name: one for name, one in builds().items() if name != "roster"}
    async with running(tmp_path, without_roster, now="2015-08-18T08:00:00+03:00") as system:
        here = Town(system)
        await here.morning(time="09:30")
        assert await here.told() == []
    async with running(tmp_path, builds(), now="2015-08-18T09:30:00+03:00") as system:
        here = Town(system)
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"))
        await here.morning(time="10:00")
        assert await here.told() == [("18.08", "p-first", [("deadline-approaching", 18)])]


async def test_it_is_nine_in_the_morning_where_the_school_is(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.open_school("school-8", timezone="Asia/Yekaterinburg")
        await here.morning()
        day = date(2015, 8, 19)
        for school in (SCHOOL, "school-8"):
            await here.announce(approaching(18, day), school=school)
        await here.morning(day, "06:59")
        assert await here.outbox("school-8") == []
        await here.morning(day, "07:00")  # two hours behind
        assert [row.recipient for row in await here.outbox("school-8")] == ["p-director"]
        assert await here.outbox() == []
        await here.morning(day)
        assert len(await here.outbox()) == 1


async def test_what_was_written_and_not_noted_down_is_not_written_again(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.tell(APPROACHING, COMPLETED)
        once = await here.recorded()
        assert len(once) == 1
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"))
        await here.announce(OVERDUE)
        table = policies.written_table
        notifier = here.system.instance.services["notifier"]
        await notifier.write(lambda connection: connection.execute(table.update().values(through=DAY)).rowcount)
    async with town(tmp_path, on=TOMORROW) as here:
        assert await here.recorded() == once
        await here.morning(date(2015, 8, 19))
        assert await here.told() == [
            ("18.08", "p-director", [("deadline-approaching", 18), ("step-completed", 6)]),
            ("19.08", "p-first", [("step-overdue", 18)]),
            ("19.08", "p-director", [("step-overdue", 18)]),
        ]


async def test_a_database_whose_own_tables_are_lost_knows_from_the_record_what_was_told(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.adopt()
        await here.tell(APPROACHING, COMPLETED, overdue(4, working_days=3))
        once = await here.recorded()
        assert len(once) == 2
        notifier = here.system.instance.services["notifier"]

        def forget(connection: Connection) -> None:
            for table in (policies.written_table, outbox_table, *projections.metadata.sorted_tables):
                connection.execute(table.delete())
            connection.execute(checkpoint_table.delete())

        await notifier.write(forget)
    async with town(tmp_path, on=TOMORROW) as here:
        await here.morning(date(2015, 8, 31))
        assert await here.recorded() == once


async def test_the_outbox_of_an_unknown_school_is_refused(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        with pytest.raises(Refused) as refused:
            await here.system.call(OUTBOX, OutboxQuery(school="school-9"))
        assert refused.value.code == "school.unknown"


async def test_a_director_sees_the_outbox_of_the_own_school_alone(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        with pytest.raises(Refused) as refused:
            await here.system.call(OUTBOX, OutboxQuery(), as_=director(SCHOOL))
        assert refused.value.code == "access.other-school"


# Managers.


async def test_a_municipality_is_told_daily_of_what_is_three_working_days_overdue_in_how_many_schools(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        for school in ("school-8", "school-9"):
            await here.open_school(school)
        for school, name in ((SCHOOL, "portal"), ("school-8", "meals"), ("school-9", "portal")):
            await here.adopt(school, name)
        await here.announce(overdue(4, working_days=3), school="school-8")
        for school in (SCHOOL, "school-9"):
            await here.announce(overdue(4, working_days=3), overdue(19, working_days=3, reminders="person"), school=school)
        await here.announce(overdue(6, working_days=3), overdue(6, working_days=1))
        await here.morning()
        await here.tell(overdue(7, date(2015, 8, 19), 3), on=date(2015, 8, 19))
        first, second = await here.outbox(None)
        assert (first.recipient, first.template, first.day) == ("mytishchi", "municipality-digest", TOMORROW)
        assert [(one.plan, one.step, one.schools, one.listed) for one in first.overdue] == [
            ("meals", 4, 1, ("school-8",)),
            ("portal", 4, 2, (SCHOOL, "school-9")),
            ("portal", 6, 1, (SCHOOL,)),
        ]
        assert [(one.step, one.schools) for one in second.overdue] == [(7, 1)]
        assert first.notices == ()


async def test_the_ministry_is_told_on_mondays_of_what_was_five_working_days_overdue_in_the_week(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.adopt()
        await here.tell(overdue(4, working_days=5))
        await here.tell(overdue(6, date(2015, 8, 20), 5), on=date(2015, 8, 20))
        await here.morning(date(2015, 8, 23))
        assert await here.outbox(None) == []
        await here.morning(date(2015, 8, 31))
        (digest,) = await here.outbox(None)
        assert (digest.recipient, digest.template, digest.day) == ("ministry", "ministry-digest", date(2015, 8, 24))
        assert [(one.step, one.schools) for one in digest.overdue] == [(4, 1), (6, 1)]


async def test_managers_are_written_to_at_the_addresses_that_the_operator_has_set_and_others_not_at_all(tmp_path: Path) -> None:
    addresses = tmp_path / "monitors"
    addresses.write_text("# who watches\nmunicipality:mytishchi  edu@mytishchi.example\n\n", encoding="utf-8")
    async with post_office() as office, town(tmp_path / "data", sending_to(office.url, addresses)) as here:
        await here.adopt()
        await here.announce(overdue(18, working_days=3), overdue(4, working_days=5))
        await here.morning(date(2015, 8, 24))
        await here.become("accepted", "unaddressed", school=None)
        ((recipients, content),) = office.mails
        assert recipients == ["edu@mytishchi.example"]
        assert "overdue in schools: 1 step" in str(message_from_bytes(content, policy=policy.default)["Subject"])
        assert "1 школа: Школа № 7." in text_of(content)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert b"edu@mytishchi.example" not in stored


@pytest.mark.parametrize(
    "line", ["ministry", "ministry a@b c@d", "municipality a@b", "ministry nobody", "region:1 a@b", "municipality: a@b"]
)
def test_a_file_of_managers_addresses_that_cannot_be_understood_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "monitors"
    file.write_text(f"# first\n{line}\n", encoding="utf-8")
    with pytest.raises(Refused, match="Line 2") as refused:
        monitors(str(file))
    assert refused.value.code == "monitors.malformed"


def test_a_file_of_managers_addresses_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        monitors(str(tmp_path / "monitors"))
    assert refused.value.code == "monitors.unreadable"
    assert monitors(None) == {}


# Sending.


async def test_without_a_mail_server_messages_stay_in_the_outbox_and_go_out_once_there_is_one(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.tell(APPROACHING)
        assert [(row.state, row.attempts) for row in await here.outbox()] == [("queued", 0)]
    async with post_office() as office, town(tmp_path, sending_to(office.url), on=TOMORROW) as here:
        await here.become("accepted")
        assert [recipients for recipients, _ in office.mails] == [["director@example.org"]]


async def test_a_mail_server_that_there_is_after_weeks_gets_nothing_that_is_old(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.tell(APPROACHING)
        day = date(2015, 8, 28)
        await here.morning(date(2015, 8, 27))
        await here.tell(approaching(18, day), on=day)
        assert await here.states() == ["queued", "queued"]
    async with post_office() as office, town(tmp_path, sending_to(office.url), on=date(2015, 8, 31)) as here:
        await here.become("expired", "accepted")
        assert office.asked == 1


async def test_ninety_days_after_its_day_a_message_leaves_the_outbox_and_stays_in_the_record(tmp_path: Path) -> None:
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        await here.tell(APPROACHING)
        (row,) = await here.become("accepted")
        later = date(2015, 8, 19)
        await here.tell(approaching(18, later), on=later)
        await here.become("accepted", "accepted")
        await here.morning(TOMORROW + timedelta(days=90))
        assert await here.states() == ["accepted", "accepted"]
        await here.morning(TOMORROW + timedelta(days=91))
        assert [row.day for row in await here.outbox()] == [later]
        queued = [one.facts()[1]["message"] for one in await here.recorded() if one.type == "notifier.message-queued.v2"]
        assert row.message in queued
        assert len(queued) == 2
        with pytest.raises(Refused, match=r"^message\.unknown.*90 days"):
            await here.system.call(REPORT_BOUNCE, ReportBounce(message=row.message, status=550))


async def test_each_person_gets_a_mail_alone_and_the_outcome_is_recorded(tmp_path: Path) -> None:
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"), roster.CoordinatorAppointed(person="p-second"))
        await here.tell(OVERDUE)
        await here.become("accepted", "accepted", "accepted")
        assert [recipients for recipients, _ in office.mails] == [["first@example.org"], ["second@example.org"], ["director@example.org"]]
        types = [recorded.type for recorded in await here.recorded()]
        assert types == ["notifier.message-queued.v2"] * 3 + ["notifier.message-accepted.v1"] * 3


async def test_a_letter_names_its_school_and_its_classes_as_people_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = plan.ClassOverdue(step=19, class_id="7a", working_days=1, people=3)
    monkeypatch.setitem(PEOPLE_DUE, TOMORROW, plan.PeopleDue(near=(), overdue=(late,)))
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        await here.say("roster", roster.ClassTeacherAssigned(class_id="7a", person="p-second"))
        await here.morning()
        await here.become("accepted", "accepted")  # the director's, where there is no coordinator
        content = next(content for recipients, content in office.mails if recipients == ["second@example.org"])
        text = text_of(content)
        assert text.startswith("Школа № 7, 18 августа 2015 года (вторник)")
        assert "Класс 7А: 3 человека, свой срок прошёл 1 рабочий день назад." in text
        assert "Class 7А: 3 people" in text
        assert SCHOOL not in text


async def test_the_ministrys_digest_names_schools_with_their_municipality_and_one_that_roster_does_not_know_by_its_id(
    tmp_path: Path,
) -> None:
    addresses = tmp_path / "monitors"
    addresses.write_text("ministry edu@region.example\n", encoding="utf-8")
    async with post_office() as office, town(tmp_path / "data", sending_to(office.url, addresses)) as here:
        for school in ("school-8", "school-9"):
            await here.open_school(school)
        for school in (SCHOOL, "school-8", "school-9"):
            await here.adopt(school)
            await here.announce(overdue(4, working_days=5), school=school)
        await here.morning(date(2015, 8, 24))
        await here.become("accepted", school=None)
        ((_, content),) = office.mails
        assert "3 школы: Школа № 7 (mytishchi), Школа № 8 (mytishchi), school-9." in text_of(content)


async def test_a_mailbox_that_does_not_exist_bounces_with_the_servers_answer_and_stops_nobody_else(tmp_path: Path) -> None:
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        office.unknown = {"first@example.org"}
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"))
        await here.tell(OVERDUE)
        await here.become("bounced", "accepted")
        bounced = next(recorded for recorded in await here.recorded() if recorded.type == "notifier.message-bounced.v1")
        assert bounced.facts()[1]["status"] == 550
        assert [recipients for recipients, _ in office.mails] == [["director@example.org"]]


async def test_what_the_server_will_not_have_now_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        office.answers = ["451 Come back later", "452 Still full"]
        await here.tell(APPROACHING)
        assert (await here.become("accepted"))[0].attempts == 3
        assert len(office.mails) == 1


async def test_a_server_that_says_later_for_too_long_has_said_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(sender, "MOST_ATTEMPTS", 2)
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        office.answers = ["451 Come back later"] * 10
        await here.tell(APPROACHING)
        await here.become("bounced")
        assert (await here.recorded())[-1].facts()[1]["status"] == 451
        assert office.asked == 2


async def test_a_mail_server_that_is_away_costs_nothing_but_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(sender, "LONGEST_DELAY_S", 0.02)
    async with post_office() as office:
        port = office.port
    async with town(tmp_path, sending_to(f"smtp://127.0.0.1:{port}")) as here:
        await here.tell(APPROACHING)
        await asyncio.sleep(0.1)
        assert [(row.state, row.attempts) for row in await here.outbox()] == [("queued", 0)]
        async with post_office(port) as office:
            await here.become("accepted")


async def test_a_connection_lost_after_the_text_leaves_the_message_ambiguous_and_it_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    async with post_office() as office:
        async with town(tmp_path, sending_to(office.url)) as here:
            office.aborts = 1  # not "until it is ambiguous": it is so before the text goes out
            await here.tell(APPROACHING)
            await here.become("ambiguous")
            await here.tell(COMPLETED, on=date(2015, 8, 19))
            await here.become("ambiguous", "accepted")
        async with town(tmp_path, sending_to(office.url), on=date(2015, 8, 19)) as here:
            await here.tell(overdue(4), on=date(2015, 8, 20))
            await here.become("ambiguous", "accepted", "accepted")
        assert len(office.mails) == 3
        assert len({content for _, content in office.mails}) == 3


@pytest.mark.parametrize(("slowness_s", "waits_s", "state"), [(0.5, 5.0, "accepted"), (60.0, 0.1, "ambiguous")])
async def test_a_service_that_stops_sends_the_letter_in_its_hands_to_its_end_unless_that_takes_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slowness_s: float, waits_s: float, state: str
) -> None:
    monkeypatch.setattr(sender, "_LAST_LETTER_S", waits_s)
    async with post_office() as office:
        office.slowness_s = slowness_s
        async with town(tmp_path, sending_to(office.url)) as here:
            await here.tell(APPROACHING)
            await here.become("ambiguous")
        async with town(tmp_path) as here:
            await here.become(state)
        assert len(office.mails) == (state == "accepted")


@pytest.mark.parametrize("answers", [[], ["451 later"] * 2], ids=["taken", "taken-later"])
async def test_processes_that_work_off_one_outbox_send_each_mail_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    async with post_office() as office, town(tmp_path) as here:
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"), roster.CoordinatorAppointed(person="p-second"))
        await here.tell(OVERDUE)
        await here.become("queued", "queued", "queued")
        office.answers += answers
        service = here.system.instance.services["notifier"]
        server = sender.MailServer.configured(office.url, None, "vekha@example.org")
        tasks = [asyncio.create_task(sender.Sender(service, server, {}).run()) for _ in range(3)]
        await here.become("accepted", "accepted", "accepted")
        await ended(tasks)
        assert len(office.mails) == len({content for _, content in office.mails}) == 3
        types = [recorded.type for recorded in await here.recorded()]
        assert types == ["notifier.message-queued.v2"] * 3 + ["notifier.message-accepted.v1"] * 3


async def test_nobody_is_written_to_whose_address_roster_does_not_know(tmp_path: Path) -> None:
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        await here.say("roster", roster.CoordinatorAppointed(person="p-silent"), roster.CoordinatorAppointed(person="p-stranger"))
        await here.tell(APPROACHING)
        await here.become("unaddressed", "unaddressed")
        assert office.asked == 0


async def test_with_credentials_nothing_is_sent_over_a_connection_that_is_not_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    async with (
        post_office() as office,
        town(tmp_path, sending_to(f"smtp://vekha@127.0.0.1:{office.port}", password=SecretStr("secret"))) as here,
    ):
        await here.tell(APPROACHING)
        await asyncio.sleep(0.1)
        assert await here.states() == ["queued"]
        assert office.asked == 0


async def test_a_database_put_back_from_an_older_copy_sends_nothing_again(tmp_path: Path) -> None:
    older, database = tmp_path / "older.db", tmp_path / "db" / "notifier.db"
    async with town(tmp_path) as here:
        await here.tell(APPROACHING)
    shutil.copy(database, older)
    async with post_office() as office, town(tmp_path, sending_to(office.url), on=TOMORROW) as here:
        await here.become("accepted")
    for path in database.parent.glob("notifier.db*"):
        path.unlink()
    shutil.copy(older, database)
    async with post_office() as office, town(tmp_path, sending_to(office.url), on=TOMORROW) as here:
        assert await here.states() == ["queued"]
        assert here.system.instance.services["notifier"].store.quarantine is not None
        await asyncio.sleep(0.1)
        assert await here.states() == ["queued"]
        assert office.asked == 0


async def test_nothing_personal_stands_in_events_outbox_or_logs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        office.unknown = {"first@example.org"}
        office.answers = ["451 director@example.org is full"]
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"))
        await here.tell(OVERDUE)
        await here.become("bounced", "accepted")
        assert b"director@example.org" in office.mails[0][1]
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    shown = "".join(capsys.readouterr())
    for personal in ("director@example.org", "first@example.org", "Смирнова"):
        assert personal not in shown
        assert personal.encode() not in stored


async def test_a_row_that_is_older_than_the_record_is_not_sent_again(tmp_path: Path) -> None:
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        await here.tell(APPROACHING)
        await here.become("accepted")
        notifier = here.system.instance.services["notifier"]
        await notifier.write(lambda connection: connection.execute(outbox_table.update().values(state="queued")).rowcount)
        await here.tell(COMPLETED, on=date(2015, 8, 19))
        await here.become("accepted", "accepted")
        assert len(office.mails) == 2


@pytest.mark.parametrize("url", ["secret.org", "http://secret.org", "smtp://u:secret@", "smtp://secret.org:port", "smtp://[secret"])
def test_a_mail_server_that_is_no_address_is_refused_at_the_start_without_saying_it(url: str) -> None:
    with pytest.raises(Refused) as refused:
        MailServer.configured(url, SecretStr("p"), "vekha@example.org")
    assert refused.value.code == "mail.url-invalid"
    assert "secret" not in refused.value.text


def test_a_mail_server_without_an_address_to_send_from_is_refused_at_the_start() -> None:
    with pytest.raises(Refused) as refused:
        MailServer.configured("smtp://mail.example.org", None, None)
    assert refused.value.code == "mail.sender-missing"


def test_a_user_may_hold_any_sign_and_the_password_is_shown_nowhere() -> None:
    server = MailServer.configured("smtp://vekha%40example.org@mail.example.org", SecretStr("p@ss/word"), "vekha@example.org")
    assert (server.host, server.port, server.username) == ("mail.example.org", 587, "vekha@example.org")
    assert server.password is not None
    assert server.password.get_secret_value() == "p@ss/word"
    assert "p@ss" not in f"{server} {server!r}"


def test_a_password_in_the_address_is_refused_and_so_is_a_user_without_one() -> None:
    for url, code in (("smtp://u:secret@mail.example.org", "mail.password-in-url"), ("smtp://u@mail.example.org", "mail.password-missing")):
        with pytest.raises(Refused) as refused:
            MailServer.configured(url, None, "vekha@example.org")
        assert refused.value.code == code
        assert "secret@" not in refused.value.text
