"""Announcements on a real bus, under a clock that is moved: day by day, once, and corrected where a fact arrives late."""

import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import ClassVar

import pytest

from contracts import EVENTS, plan, roster
from contracts.event import Event
from contracts.parking import RETRY_PARKED, RetryParked
from eventkit.decider import Decider
from eventkit.event import Origin, Recorded, decode
from eventkit.harness import BEGUN, START, System, running
from eventkit.instance import Build
from eventkit.service import Service
from eventkit.store import Transaction
from plan_tracker import policies
from plan_tracker.app import build

SCHOOL = "school-7"
MONDAY = date(2015, 8, 17)


def aug(day: int) -> date:
    return date(2015, 8, day)


OTHERS: Mapping[str, Build] = {"roster": Service, "consent": Service, "identity": Service, "notifier": Service}
BUILDS: Mapping[str, Build] = {**OTHERS, "plan": build}

ORDER = plan.ImplementationOrderRegistered(order="o-1", evidence_sha256=None)
APPOINTED = roster.CoordinatorAppointed(person="p-1")
RELIEVED = roster.CoordinatorRelieved(person="p-1")


def _say(event: Event, state: None) -> Sequence[Event]:
    return [event]


SAYING: Decider[Event, None] = Decider("saying", None, _say, lambda state, event: None)

Line = tuple[str, str, int, date]
"""What was announced: on which day it was recorded, its kind, step and day."""


@dataclass
class Town:
    """One school that opened, hired two people and adopted the plan."""

    system: System

    @property
    def tracker(self) -> Service:
        return self.system.instance.services["plan"]

    async def say(self, service: str, event: Event, *, on: date) -> None:
        def work(tx: Transaction) -> None:
            tx.decide(SAYING, uuid.uuid4().hex, event, school=SCHOOL, happened_on=on)

        await self.system.instance.services[service].store.carry_out(work, Origin("operator", "told", "told"))
        await self.system.settled()

    async def found(self, on: date = MONDAY) -> None:
        await self.say("roster", roster.SchoolOpened(school=SCHOOL, municipality="m-1", timezone="Europe/Moscow"), on=on)
        for person in ("p-1", "p-2"):
            await self.say("roster", roster.StaffHired(person=person, position=roster.Position.TEACHER, hired_on=on), on=on)
        await self.system.call(plan.ADOPT_PLAN, plan.AdoptPlan(school=SCHOOL, start=MONDAY))

    async def until(self, day: date, time: str = "09:00") -> None:
        await self.system.until(f"{day}T{time}:00+03:00")

    async def recorded(self) -> list[Recorded]:
        events = [decode(data) for _, _, data in await self.tracker.store.read(BEGUN, 1000)]
        return [event for event in events if event.stream == f"announcements-{SCHOOL}"]

    async def announced(self, *kinds: str) -> list[Line]:
        """The announcements of these kinds in order, or all of them."""
        lines: list[Line] = []
        for event in await self.recorded():
            kind = event.type.split(".")[1]
            if not kinds or kind in kinds:
                data = event.facts()[1]
                at = datetime.fromisoformat(event.recordedat).astimezone(datetime.fromisoformat(START).tzinfo)
                lines.append((f"{at:%d.%m %H:%M}", kind, data["step"], date.fromisoformat(data["day"])))
        return lines


@asynccontextmanager
async def town(folder: Path, builds: Mapping[str, Build] = BUILDS, *, now: str = START) -> AsyncGenerator[Town]:
    fresh = not (folder / "secrets").exists()
    async with running(folder, builds, now=now) as system:
        here = Town(system)
        if fresh:
            await here.found()
        yield here


async def test_a_completion_is_announced_at_the_midnight_that_ends_its_day_and_once(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.say("roster", APPOINTED, on=MONDAY)
        await here.until(MONDAY, "23:59")
        assert await here.announced() == []
        await here.until(aug(19))
        assert await here.announced("step-completed", "step-reopened") == [("18.08 00:00", "step-completed", 4, MONDAY)]


async def test_a_week_is_announced_day_by_day(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.say("roster", APPOINTED, on=MONDAY)
        await here.until(aug(24))
        assert await here.announced() == [
            ("18.08 00:00", "step-completed", 4, aug(17)),
            ("18.08 00:00", "deadline-approaching", 2, aug(18)),
            ("18.08 00:00", "deadline-approaching", 6, aug(18)),
            ("18.08 00:00", "deadline-approaching", 7, aug(18)),
            ("19.08 00:00", "step-became-overdue", 6, aug(19)),
            ("19.08 00:00", "step-became-overdue", 7, aug(19)),
            ("21.08 00:00", "step-became-overdue", 6, aug(21)),
            ("21.08 00:00", "step-became-overdue", 7, aug(21)),
            ("24.08 00:00", "deadline-approaching", 2, aug(24)),
        ]
        on_bus = [recorded.position for recorded in await here.recorded()]
        assert on_bus == [*range(4, 13)]


async def test_what_was_done_and_undone_within_a_day_is_no_news(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.say("roster", APPOINTED, on=MONDAY)
        await here.say("roster", RELIEVED, on=MONDAY)
        await here.until(aug(18))
        assert await here.announced("step-completed", "step-reopened") == []


async def test_a_reopening_is_announced_and_so_is_the_next_completion(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.say("roster", APPOINTED, on=MONDAY)
        await here.until(aug(18))
        await here.say("roster", RELIEVED, on=aug(18))
        await here.until(aug(19))
        await here.say("roster", APPOINTED, on=aug(19))
        await here.until(aug(20))
        assert await here.announced("step-completed", "step-reopened") == [
            ("18.08 00:00", "step-completed", 4, aug(17)),
            ("19.08 00:00", "step-reopened", 4, aug(18)),
            ("20.08 00:00", "step-completed", 4, aug(19)),
        ]


async def test_a_late_fact_with_an_earlier_day_corrects_what_was_announced(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.until(aug(19))
        await here.say("plan", ORDER, on=aug(19))
        await here.until(aug(20))
        await here.say("plan", plan.ImplementationOrderRegistered(order="o-0", evidence_sha256=None), on=aug(18))
        await here.until(aug(21))
        kinds = ("step-completed", "step-reopened", "announcement-corrected")
        assert await here.announced(*kinds) == [
            ("20.08 00:00", "step-completed", 6, aug(19)),
            ("21.08 00:00", "announcement-corrected", 6, aug(19)),
            ("21.08 00:00", "step-completed", 6, aug(18)),
        ]
        by_kind = {event.type.split(".")[1]: event for event in reversed(await here.recorded())}
        wrong, correction = by_kind["step-completed"], by_kind["announcement-corrected"]
        assert correction.facts()[1] == {"corrects": wrong.id, "step": 6, "revision": 1, "kind": "step-completed", "day": "2015-08-19"}
        await here.until(aug(24))
        assert len(await here.announced(*kinds)) == 3


async def test_what_was_corrected_and_turns_out_true_is_announced_again(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.until(aug(19))
        await here.say("roster", APPOINTED, on=aug(19))
        await here.until(aug(20))
        await here.say("roster", RELIEVED, on=aug(19))  # after all, not even for a day
        await here.until(aug(21))
        await here.say("roster", roster.CoordinatorAppointed(person="p-2"), on=aug(19))
        await here.until(aug(22))
        assert await here.announced("step-completed", "announcement-corrected") == [
            ("20.08 00:00", "step-completed", 4, aug(19)),
            ("21.08 00:00", "announcement-corrected", 4, aug(19)),
            ("22.08 00:00", "step-completed", 4, aug(19)),
        ]


async def test_a_restart_repeats_nothing_and_leaves_nothing_out(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.say("roster", APPOINTED, on=MONDAY)
        await here.until(aug(18))
        before = await here.announced()
    async with town(tmp_path, now="2015-08-18T09:00:00+03:00") as here:
        await here.until(aug(20))
        after = await here.announced()
        assert after[: len(before)] == before
        assert len(set(after)) == len(after)
        assert {line[0] for line in after} == {"18.08 00:00", "19.08 00:00"}


async def test_a_day_that_was_announced_and_not_noted_down_is_not_announced_again(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.say("roster", APPOINTED, on=MONDAY)
        await here.until(aug(20))
        once = await here.announced()
        table = policies.announced_table
        await here.tracker.write(lambda connection: connection.execute(table.update().values(through=date(2015, 8, 16))).rowcount)
    async with town(tmp_path, now="2015-08-20T09:00:00+03:00") as here:
        await here.until(aug(20), "10:00")
        assert await here.announced() == once


async def test_days_that_were_slept_through_are_made_up_for_without_reminders_of_what_is_past(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.until(MONDAY, "10:00")
        await here.say("roster", APPOINTED, on=MONDAY)
    async with town(tmp_path, now="2015-08-21T09:00:00+03:00") as here:
        await here.until(aug(21), "10:00")
        assert await here.announced() == [
            ("21.08 09:00", "step-completed", 4, aug(17)),
            ("21.08 09:00", "step-became-overdue", 6, aug(19)),
            ("21.08 09:00", "step-became-overdue", 7, aug(19)),
            ("21.08 09:00", "step-became-overdue", 6, aug(21)),
            ("21.08 09:00", "step-became-overdue", 7, aug(21)),
        ]


async def test_an_owner_that_is_silent_holds_the_day_until_it_answers(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.say("roster", APPOINTED, on=MONDAY)
    without_consent = {name: one for name, one in BUILDS.items() if name != "consent"}
    async with town(tmp_path, without_consent) as here:
        await here.until(aug(18), "01:00")
        assert await here.announced() == []
    async with town(tmp_path, now="2015-08-18T01:00:00+03:00") as here:
        await here.until(aug(18), "01:01")
        assert [line[:3] for line in await here.announced("step-completed")] == [("18.08 01:00", "step-completed", 4)]


async def test_a_silent_owner_holds_no_day_after_which_we_have_read_an_event_of_it(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.until(MONDAY, "10:00")
    without_roster = {name: one for name, one in BUILDS.items() if name != "roster"}
    async with town(tmp_path, now="2015-08-18T00:30:00+03:00") as here:
        await here.say("roster", APPOINTED, on=MONDAY)
    async with town(tmp_path, without_roster, now="2015-08-19T01:00:00+03:00") as here:
        await here.until(aug(19), "02:00")
        assert [line[1:] for line in await here.announced()] == [("step-completed", 4, aug(17))]  # of the day that was read to its end


async def test_steps_that_were_overdue_when_the_plan_was_adopted_are_announced_to_nobody(tmp_path: Path) -> None:
    async with running(tmp_path, BUILDS, now="2015-09-07T09:00:00+03:00") as system:
        here = Town(system)
        await here.found(date(2015, 9, 7))
        await here.until(date(2015, 9, 17))
        assert {line[2] for line in await here.announced()} == {3, 5, 21}


async def test_a_quarantined_tracker_announces_nothing(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.say("roster", APPOINTED, on=MONDAY)
        here.tracker.store.quarantine = "record and stream contradict each other"
        await here.until(aug(19))
        assert await here.announced() == []


class Newer(Event):
    """An event of a version of roster that is newer than this tracker."""

    type: ClassVar[str] = "roster.newer.v1"


async def test_a_school_with_a_parked_event_waits_and_is_made_up_for_when_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town(tmp_path) as here:
        await here.say("roster", Newer(), on=MONDAY)
        await here.say("roster", APPOINTED, on=MONDAY)
        await here.until(aug(19))
        assert await here.announced() == []
        monkeypatch.setitem(EVENTS, Newer.type, Newer)
        assert (await here.system.call(RETRY_PARKED["plan"], RetryParked())).left == 0
    async with town(tmp_path, now="2015-08-19T09:00:00+03:00") as here:
        await here.until(aug(20))
        assert await here.announced("step-completed", "step-became-overdue") == [
            ("20.08 00:00", "step-completed", 4, aug(17)),
            ("20.08 00:00", "step-became-overdue", 6, aug(19)),
            ("20.08 00:00", "step-became-overdue", 7, aug(19)),
        ]
