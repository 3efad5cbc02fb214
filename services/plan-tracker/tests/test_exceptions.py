"""Waivers, extensions, another calendar and another revision on the board of a school whose plan starts on Monday 17.08.2015.

Each changes the board from its own day on and no earlier one.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.event import NO_SCHOOL, Event
from contracts.plan import (
    BaselineCause,
    BaselineRevised,
    CalendarPinned,
    DeadlineExtended,
    ExceptionReason,
    StepRow,
    StepWaived,
    WaiverRevoked,
)
from contracts.roster import CoordinatorAppointed, Position, StaffDismissed, StaffHired
from eventkit.decider import Refused
from plan_tracker import plans
from plan_tracker.domain.adoption import AdoptRevision, Basis, Command, Extend, Recount, RevokeWaiver, SchoolPlan, Waive, school_plan
from plan_tracker.domain.announcements import Announced, changes, corrections, said
from plan_tracker.domain.board import SchoolBoard
from plan_tracker.domain.calendars import table_of
from plan_tracker.domain.plan import load_plan
from plan_tracker.testing import Logs, documents_of
from workdays import Calendar, russian_calendar

SCHOOL = "school-1"
START = date(2015, 8, 17)
FIVE = russian_calendar(range(2014, 2021), 5)
DAY_OFF = FIVE.overridden([date(2015, 8, 24)], [])
REASON = ExceptionReason.QUARANTINE


def aug(day: int) -> date:
    return date(2015, 8, day)


def sep(day: int) -> date:
    return date(2015, 9, day)


class School:
    """A school with a plan. `decided` carries out what an authority decides on a day, `happened` records what happens."""

    def __init__(self) -> None:
        self.logs = Logs()
        self.logs.adopt(SCHOOL, START)
        self.logs.record(NO_SCHOOL, START, CalendarPinned(calendar=table_of(DAY_OFF)))
        self._decider = school_plan()
        adopted = self.logs.events["plan"][1].event()
        self.plan: SchoolPlan = self._decider.fold([adopted])

    def decided(self, day: date, *commands: Command) -> list[Event]:
        """The events that follow from commands; a refused one records nothing."""
        recorded: list[Event] = []
        for command in commands:
            try:
                events = self._decider.decide(command, self.plan)
            except Refused:
                continue
            self.plan = self._decider.fold(events, self.plan)
            self.happened(day, *events)
            recorded += events
        return recorded

    def happened(self, day: date, *events: Event) -> None:
        self.logs.record(SCHOOL, day, *events)

    def board(self) -> SchoolBoard:
        board = SchoolBoard(SCHOOL)
        board.replace(documents_of(SCHOOL, self.logs.all()))
        return board

    def step(self, n: int, day: date) -> StepRow:
        return next(row for row in self.board().rows(day) if row.step == n)

    def states(self, n: int, *days: date) -> list[str]:
        return [self.step(n, day).state for day in days]

    def dues(self, n: int, *days: date) -> list[date | None]:
        return [self.step(n, day).due for day in days]


@pytest.fixture
def school() -> School:
    return School()


def extend(step: int, due: date, calendar: Calendar = FIVE) -> Extend:
    return Extend(step, due, REASON, by_school=False, basis=Basis(calendar, None))


# Waivers.


def test_a_waived_step_is_waived_from_its_day_on_until_the_waiver_is_revoked(school: School) -> None:
    school.decided(aug(19), Waive(17, REASON))
    school.decided(aug(21), RevokeWaiver(17))
    assert school.states(17, aug(18), aug(19), aug(20), aug(21)) == ["not_started", "waived", "waived", "not_started"]
    assert [school.step(17, day).deadline for day in (aug(20), aug(21), aug(27))] == ["done_on_time", "due_soon", "overdue"]
    assert [school.step(17, day).first_completed_on for day in (aug(20), aug(21))] == [aug(19), None]


def test_a_step_waived_after_its_date_was_done_late(school: School) -> None:
    school.decided(sep(1), Waive(17, REASON))
    assert [school.step(17, day).deadline for day in (aug(31), sep(1))] == ["overdue", "done_late"]


def test_the_terms_of_the_steps_after_a_waived_one_run_from_the_waiver_s_day(school: School) -> None:
    school.decided(aug(18), Waive(4, REASON))
    assert (school.step(7, aug(18)).blocked_by, school.step(7, aug(20)).due_live) == ((), aug(19))
    school.decided(aug(26), Waive(13, REASON))
    assert school.step(14, aug(26)).due_live == aug(27)
    assert school.step(14, aug(26)).due == aug(24)
    school.decided(aug(27), RevokeWaiver(13))
    assert school.step(14, aug(26)).due_live == aug(27)  # what was seen that day
    assert school.step(14, aug(27)).blocked_by == (13,)
    assert school.step(14, aug(27)).due_live == sep(1)  # step 7 today, then 9, 13 and 14, a working day each


def test_who_does_a_waived_step_all_the_same_has_done_it(school: School) -> None:
    school.decided(aug(18), Waive(4, REASON))
    school.happened(aug(19), StaffHired(person="anna", position=Position.TEACHER, hired_on=START), CoordinatorAppointed(person="anna"))
    school.happened(aug(24), StaffDismissed(person="anna"))
    assert school.states(4, aug(18), aug(19), aug(24)) == ["waived", "done", "waived"]
    row = school.step(4, aug(24))
    assert (row.first_completed_on, row.completed_on, row.deadline) == (aug(18), aug(18), "done_on_time")


def test_a_step_reopened_and_waived_is_waived_and_keeps_its_first_completion(school: School) -> None:
    school.happened(aug(17), StaffHired(person="anna", position=Position.TEACHER, hired_on=START), CoordinatorAppointed(person="anna"))
    school.happened(aug(20), StaffDismissed(person="anna"))
    school.decided(aug(21), Waive(4, REASON))
    assert school.states(4, aug(17), aug(20), aug(21)) == ["done", "reopened", "waived"]
    row = school.step(4, aug(21))
    assert (row.first_completed_on, row.completed_on) == (aug(17), aug(21))


def test_a_waiver_revoked_on_its_own_day_was_never_seen(school: School) -> None:
    school.decided(aug(19), Waive(17, REASON), RevokeWaiver(17))
    assert school.states(17, aug(19), aug(20)) == ["not_started", "not_started"]


# Extensions, the ministry's schedule, another calendar.


def test_an_extension_counts_from_the_day_on_which_it_was_given(school: School) -> None:
    school.decided(aug(25), extend(14, aug(28)))
    assert school.dues(14, aug(24), aug(25)) == [aug(24), aug(28)]
    assert school.dues(15, aug(24), aug(25)) == [aug(25), aug(31)]
    assert [school.step(14, day).deadline for day in (aug(24), aug(25), aug(31))] == ["due_today", "due_soon", "overdue"]
    assert [school.step(16, day).due for day in (aug(24), aug(25))] == [aug(25), aug(31)]


def test_an_extension_is_the_least_of_a_live_date(school: School) -> None:
    school.decided(aug(18), Waive(7, REASON))
    assert school.step(9, aug(18)).due_live == aug(19)
    school.decided(aug(19), extend(9, aug(31)))
    assert [school.step(9, day).due_live for day in (aug(18), aug(19))] == [aug(19), aug(31)]
    assert school.step(10, aug(19)).due_live == aug(31)


def test_the_ministry_s_schedule_is_step_1_s_date_from_the_day_on_which_it_is_known(school: School) -> None:
    school.decided(aug(20), Recount(BaselineCause.MINISTRY_SCHEDULE, Basis(FIVE, sep(3))))
    school.decided(aug(27), Recount(BaselineCause.MINISTRY_SCHEDULE, Basis(FIVE, sep(10))))
    assert school.dues(1, aug(19), aug(20), aug(26), aug(27)) == [None, sep(3), sep(3), sep(10)]
    assert [school.step(1, day).due_live for day in (aug(19), aug(20), aug(27))] == [None, sep(3), sep(10)]
    assert [school.step(1, day).deadline for day in (aug(19), aug(20), sep(8), sep(11))] == ["none", "on_track", "due_soon", "overdue"]


def test_another_calendar_moves_dates_from_the_day_on_which_it_is_recorded(school: School) -> None:
    (revised,) = school.decided(aug(21), Recount(BaselineCause.CALENDAR, Basis(DAY_OFF, None)))
    assert isinstance(revised, BaselineRevised)
    assert school.dues(14, aug(20), aug(21)) == [aug(24), aug(25)]
    progress = school.board().progress()
    assert progress is not None
    assert [progress.on(day).adoption.calendar for day in (aug(20), aug(21))] == [FIVE, DAY_OFF]


def test_dates_counted_anew_twice_on_one_day_are_those_of_the_day_s_end(school: School) -> None:
    school.decided(aug(20), extend(14, aug(27)), extend(14, aug(28)))
    assert school.dues(14, aug(19), aug(20)) == [aug(24), aug(28)]


days = st.integers(0, 30).map(lambda n: START + timedelta(days=n))
decisions: st.SearchStrategy[Command] = st.one_of(
    st.builds(Waive, st.integers(1, 21), st.just(REASON)),
    st.builds(RevokeWaiver, st.integers(1, 21)),
    st.builds(extend, st.integers(1, 21), days, st.sampled_from([FIVE, DAY_OFF])),
    st.builds(Recount, st.just(BaselineCause.CALENDAR), st.builds(Basis, st.sampled_from([FIVE, DAY_OFF]), st.none() | days)),
)


@given(st.lists(st.tuples(days, decisions), max_size=12), days)
def test_a_board_of_the_past_knows_nothing_that_was_decided_after_it(decided: list[tuple[date, Command]], day: date) -> None:
    decided = sorted(decided, key=lambda one: one[0])
    everything, until = School(), School()
    for on, command in decided:
        everything.decided(on, command)
        if on <= day:
            until.decided(on, command)
    assert everything.board().rows(day) == until.board().rows(day)
    assert {str(row.step): row.due for row in everything.board().rows(date(2015, 10, 1))} == everything.plan.baseline


# Another revision.


@pytest.fixture
def revised_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The plan in a second revision: step 17 has three days."""
    text = plans.text("mo-2015-school-portal")
    before, after = text.split("  - n: 17\n")
    newest = f"{before}  - n: 17\n{after.replace('{kind: wd_after_anchor, n: 1}', '{kind: wd_after_anchor, n: 3}', 1)}"
    (tmp_path / "mo-2015-school-portal.r1.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "mo-2015-school-portal.yaml").write_text(newest.replace("revision: 1", "revision: 2", 1), encoding="utf-8")
    monkeypatch.setattr(plans, "_folder", lambda: tmp_path)
    load_plan.cache_clear()
    yield
    load_plan.cache_clear()


def test_a_running_plan_goes_on_with_its_revision_and_adopts_the_newest_on_a_day(school: School, revised_plan: None) -> None:
    school.happened(aug(18), StaffHired(person="anna", position=Position.TEACHER, hired_on=START), CoordinatorAppointed(person="anna"))
    assert school.dues(17, aug(19)) == [aug(26)]
    school.decided(aug(20), AdoptRevision(Basis(FIVE, None)))
    assert school.dues(17, aug(19), aug(20)) == [aug(26), aug(28)]
    progress = school.board().progress()
    assert progress is not None
    assert [progress.on(day).adoption.plan.revision for day in (aug(19), aug(20))] == [1, 2]
    assert [progress.on(day).adoption.revision for day in (aug(19), aug(20))] == [1, 2]


def test_what_was_announced_under_an_earlier_revision_still_holds(school: School, revised_plan: None) -> None:
    school.happened(aug(18), StaffHired(person="anna", position=Position.TEACHER, hired_on=START), CoordinatorAppointed(person="anna"))
    before = school.board().progress()
    assert before is not None
    told = Announced({said(event): f"e-{event.step}" for event in changes(before, aug(20))})
    school.decided(aug(20), AdoptRevision(Basis(FIVE, None)))
    school.happened(aug(21), StaffDismissed(person="anna"))
    after = school.board().progress()
    assert after is not None
    assert corrections(after, told, aug(25)) == []
    assert [(event.step, event.revision, event.day) for event in changes(after, aug(25))] == [(4, 1, aug(18)), (4, 2, aug(21))]


def test_a_history_in_which_only_the_exceptions_are_known_makes_no_board() -> None:
    logs = Logs()
    logs.record(
        SCHOOL,
        START,
        StepWaived(step=4, reason=REASON),
        WaiverRevoked(step=4),
        DeadlineExtended(step=4, due=START, reason=REASON),
        BaselineRevised(cause=BaselineCause.EXTENSION, revision=1, calendar=FIVE.digest, baseline={"4": START}),
    )
    board = SchoolBoard(SCHOOL)
    board.replace(documents_of(SCHOOL, logs.all()))
    assert board.progress() is None


def test_a_plan_that_counts_from_the_same_day_lives_by_it() -> None:
    logs = Logs()
    logs.adopt(SCHOOL, START, count_from="same_day")
    board = SchoolBoard(SCHOOL)
    board.replace(documents_of(SCHOOL, logs.all()))
    rows = {row.step: row for row in board.rows(START)}
    assert [rows[n].due for n in (4, 8, 18, 19)] == [START, aug(21), aug(28), sep(10)]
    assert [rows[n].due_live for n in (4, 8, 18, 19)] == [START, aug(21), aug(28), sep(10)]
