"""What those who write to people are told: how far was announced, what will be, what steps are called, and whose own dates are near."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest
from icalendar import Calendar, Component

from contracts import plan, roster
from contracts.event import Event
from contracts.identity import AccountActivated, Channel, CredentialsHandedOver, CredentialsIssued
from contracts.operations import Nothing
from contracts.roster import LegalBasis, Position, Relation, Seat, SeatHolder
from eventkit.decider import Decider, Refused
from eventkit.event import Origin
from eventkit.harness import System, running
from eventkit.service import Service
from eventkit.store import Transaction
from plan_tracker.app import build

SCHOOL = "school-7"
MONDAY = date(2015, 8, 17)
BUILDS = {"roster": Service, "consent": Service, "identity": Service, "plan": build, "notifier": Service}
LAW = LegalBasis(code="law", reference="273-FZ")


def aug(day: int) -> date:
    return date(2015, 8, day)


def sep(day: int) -> date:
    return date(2015, 9, day)


def _say(event: Event, state: None) -> Sequence[Event]:
    return [event]


SAYING: Decider[Event, None] = Decider("saying", None, _say, lambda state, event: None)


async def say(system: System, service: str, *events: Event, on: date = MONDAY) -> None:
    def work(tx: Transaction) -> None:
        for event in events:
            tx.decide(SAYING, f"{service}-{SCHOOL}", event, school=SCHOOL, happened_on=on)

    await system.instance.services[service].store.carry_out(work, Origin("operator", "told", "told"))
    await system.settled()


@asynccontextmanager
async def town(folder: Path) -> AsyncGenerator[System]:
    async with running(folder, BUILDS) as system:
        opened = roster.SchoolOpened(school=SCHOOL, municipality="m-1", timezone="Europe/Moscow")
        await say(system, "roster", opened, roster.StaffHired(person="d", position=Position.DIRECTOR, hired_on=MONDAY))
        await system.call(plan.ADOPT_PLAN, plan.AdoptPlan(school=SCHOOL, start=MONDAY))
        await system.settled()
        yield system


def received(person: str) -> tuple[Event, Event]:
    """A code that was made and handed over on paper."""
    issued = CredentialsIssued(person=person, account=f"a-{person}", credential=f"c-{person}", replaces=None, expires_on=sep(30))
    return issued, CredentialsHandedOver(person=person, credential=f"c-{person}", channel=Channel.PAPER, receiver=person)


async def people_due(system: System, day: date) -> plan.PeopleDue:
    return await system.call(plan.PEOPLE_DUE, plan.PeopleDueQuery(school=SCHOOL, day=day))


async def test_the_tracker_says_through_which_day_it_has_announced(tmp_path: Path) -> None:
    async with town(tmp_path) as system:
        assert (await system.call(plan.ANNOUNCED, Nothing())).through is None
        await system.until("2015-08-19T09:00:00+03:00")
        announced = await system.call(plan.ANNOUNCED, Nothing())
        assert announced.through == aug(18)
        assert announced.position == await system.instance.services["plan"].store.head()


async def test_the_steps_of_a_school_are_those_of_the_plan_that_it_adopted(tmp_path: Path) -> None:
    async with town(tmp_path) as system:
        steps = await system.call(plan.STEPS, plan.StepsQuery(school=SCHOOL))
        assert (steps.plan, steps.revision, len(steps.steps)) == ("mo-2015-school-portal", 1, 21)
        assert steps.steps[3].title_en == "Appoint the system coordinators"
        with pytest.raises(Refused) as refused:
            await system.call(plan.STEPS, plan.StepsQuery(school="school-9"))
        assert refused.value.code == "plan.not-adopted"


async def test_the_notices_ahead_are_those_of_the_days_after_today_as_if_nothing_more_were_done(tmp_path: Path) -> None:
    async with town(tmp_path) as system:
        ahead = await system.call(plan.NOTICES_AHEAD, plan.NoticesAheadQuery(school=SCHOOL, days=7))
        assert [(one.day, one.step, one.working_days) for one in ahead.approaching] == [
            (aug(18), 2, 5),
            (aug(18), 4, 0),
            (aug(18), 6, 0),
            (aug(24), 2, 1),
        ]
        assert [(one.day, one.step, one.working_days) for one in ahead.overdue] == [
            (aug(19), 4, 1),
            (aug(19), 6, 1),
            (aug(21), 4, 3),
            (aug(21), 6, 3),
        ]


async def test_a_person_is_due_three_working_days_before_the_own_date_and_on_it_and_then_counted(tmp_path: Path) -> None:
    async with town(tmp_path) as system:
        assert (await system.call(plan.OWN_DATES, Nothing())).schools == ()
        await say(system, "identity", *received("d"))
        assert (await system.call(plan.OWN_DATES, Nothing())).schools == (SCHOOL,)
        told: dict[date, int | tuple[str | None, int, int]] = {}
        for n in range(30):
            found = await people_due(system, MONDAY + timedelta(days=n))
            assert {(one.person, one.due) for one in found.near} <= {("d", aug(31))}
            told |= {MONDAY + timedelta(days=n): -one.working_days for one in found.near}
            told |= {MONDAY + timedelta(days=n): (one.class_id, one.working_days, one.people) for one in found.overdue}
        assert told == {aug(26): -3, aug(31): 0, sep(1): (None, 1, 1), sep(7): (None, 5, 1)}


async def test_who_has_activated_is_due_no_more_and_families_are_counted_by_their_classes(tmp_path: Path) -> None:
    async with town(tmp_path) as system:
        for class_id, letter, pupil in (("7a", "А", "p-1"), ("7b", "Б", "p-2")):
            await say(
                system,
                "roster",
                roster.ClassDeclared(class_id=class_id, grade=7, letter=letter, academic_year="2015/2016"),
                roster.ClassCreated(class_id=class_id, shift=1),
                roster.PupilEnrolled(
                    person=pupil,
                    seat=Seat(class_id=class_id, number=1, holder=SeatHolder.PUPIL),
                    consent_id=None,
                    legal_basis=LAW,
                    enrolled_on=MONDAY,
                ),
                roster.PupilAssignedToClass(pupil=pupil, class_id=class_id),
                roster.GuardianLinked(
                    pupil=pupil, guardian="g", relation=Relation.MOTHER, legal_representative=True, consent_id=None, legal_basis=LAW
                ),
            )
        for person in ("d", "p-1", "p-2", "g"):
            await say(system, "identity", *received(person))
        await say(system, "identity", AccountActivated(person="p-2", account="a-p-2", method="temporary-password"))
        assert [one.person for one in (await people_due(system, aug(26))).near] == ["d", "g", "p-1"]
        late = (await people_due(system, sep(1))).overdue
        assert [(one.class_id, one.people) for one in late] == [(None, 1), ("7a", 2), ("7b", 1)]


async def feed_of(system: System) -> tuple[str, dict[str, Component]]:
    """A school's feed as it is, and its events by uid."""
    feed = await system.call(plan.CALENDAR_FEED, plan.CalendarFeedQuery(school=SCHOOL))
    assert feed.content_type == "text/calendar; charset=utf-8"
    return feed.content, {str(event["uid"]): event for event in Calendar.from_ical(feed.content).events}


async def test_a_calendar_feed_has_a_day_for_each_step_with_a_date_and_knows_it_again_when_it_moves(tmp_path: Path) -> None:
    async with town(tmp_path) as system:
        _, before = await feed_of(system)
        assert set(before) == {f"{SCHOOL}.1.{n}@vekha" for n in range(1, 22) if n not in (1, 20)}
        fourth, seventh = before[f"{SCHOOL}.1.4@vekha"], before[f"{SCHOOL}.1.7@vekha"]
        assert (fourth.decoded("dtstart"), fourth.decoded("dtend")) == (aug(18), aug(19))
        assert seventh.decoded("dtstart") == aug(19)
        await system.until("2015-08-20T09:00:00+03:00")
        await say(system, "roster", roster.CoordinatorAppointed(person="d"), on=aug(20))
        _, after = await feed_of(system)
        assert set(after) == set(before)
        assert after[f"{SCHOOL}.1.7@vekha"].decoded("dtstart") == aug(21)
        assert "Выполнен 20.08.2015." in str(after[f"{SCHOOL}.1.4@vekha"]["description"])


async def test_a_calendar_feed_calls_a_waived_step_waived_and_is_the_same_calendar_each_time(tmp_path: Path) -> None:
    async with town(tmp_path) as system:
        await system.call(plan.WAIVE_STEP, plan.WaiveStep(school=SCHOOL, step=5, reason=plan.ExceptionReason.QUARANTINE))
        await system.settled()
        content, events = await feed_of(system)
        assert "Waived" in str(events[f"{SCHOOL}.1.5@vekha"]["description"])
        assert "Done" not in str(events[f"{SCHOOL}.1.5@vekha"]["description"])
        assert content == (await feed_of(system))[0]
        why = await system.call(plan.EXPLAIN, plan.ExplainRequest(school=SCHOOL, step=5))
        assert [(entry.day, entry.change) for entry in why.timeline] == [(aug(17), "waived")]
        assert ([event.type for event in why.events], why.missing_total) == (["plan.step-waived.v1"], 0)


async def test_a_calendar_feed_keeps_to_the_lines_of_its_standard(tmp_path: Path) -> None:
    async with town(tmp_path) as system:
        content, events = await feed_of(system)
        lines = content.encode().split(b"\r\n")
        assert (lines[0], lines[-2], lines[-1]) == (b"BEGIN:VCALENDAR", b"END:VCALENDAR", b"")
        assert b"VERSION:2.0" in lines
        assert max(len(line) for line in lines) <= 75
        assert "\n" not in content.replace("\r\n", "")
        assert all({"UID", "DTSTAMP", "DTSTART", "SUMMARY"} <= set(event) for event in events.values())


async def test_a_school_without_a_plan_has_no_calendar_feed(tmp_path: Path) -> None:
    async with running(tmp_path, BUILDS) as system:
        await say(system, "roster", roster.SchoolOpened(school=SCHOOL, municipality="m-1", timezone="Europe/Moscow"))
        with pytest.raises(Refused) as refused:
            await feed_of(system)
        assert refused.value.code == "plan.not-adopted"
