"""When steps are due: the golden dates, dates counted by hand across holidays, and what happens when life differs from the plan."""

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan_tracker.domain.deadlines import (
    DeadlineState,
    Reckoning,
    RelativeAnchor,
    baseline,
    baseline_with_reasons,
    deadline_state,
    live,
    own_due,
    years_to_pin,
)
from plan_tracker.domain.plan import Blanks, Plan, load_plan
from workdays import Calendar, CountFrom, russian_calendar

PLAN = load_plan("mo-2015-school-portal")
GOLDEN = json.loads(Path(__file__).with_name("golden-2015-08-17.json").read_text(encoding="utf-8"))
START = date(2015, 8, 17)
FIVE = russian_calendar(range(2014, 2030), 5)
SIX = russian_calendar(range(2014, 2030), 6)

calendars = st.sampled_from([FIVE, SIX])
anchors = st.sampled_from(["after_predecessors", "plan_start"])
starts = st.dates(date(2014, 6, 1), date(2027, 12, 31))


def due(calendar: Calendar, start: date, *steps: int, anchor: RelativeAnchor = "after_predecessors") -> list[str]:
    """The baseline of `steps`, day and month."""
    dues = baseline(Reckoning(PLAN, start, calendar, anchor))
    return [f"{day:%d.%m}" if (day := dues[n]) else "none" for n in steps]


def live_due(
    today: date,
    *,
    done: dict[int, date] | None = None,
    received_last: dict[int, date] | None = None,
    calendar: Calendar = FIVE,
    anchor: RelativeAnchor = "after_predecessors",
) -> dict[int, date | None]:
    return live(Reckoning(PLAN, START, calendar, anchor), today=today, first_completed=done or {}, received_last=received_last or {})


# Baseline.


@pytest.mark.parametrize(("week", "calendar"), [("5d", FIVE), ("6d", SIX)])
def test_the_plan_of_17_august_2015_has_the_golden_dates(week: str, calendar: Calendar) -> None:
    dues = baseline(Reckoning(PLAN, date.fromisoformat(GOLDEN["start"]), calendar))
    golden: dict[str, Any] = GOLDEN[f"after_predecessors/{week}"]
    assert {str(n): day and day.isoformat() for n, day in dues.items()} == golden


#                4        6        7        8        9        13       14       15       17       18       19
CHAIN = (4, 6, 7, 8, 9, 13, 14, 15, 17, 18, 19)
BY_HAND = [
    # Unity Day, Wednesday 4 November, inside.
    (FIVE, date(2015, 10, 30), "02.11 02.11 03.11 10.11 05.11 06.11 09.11 10.11 11.11 23.11 07.12"),
    (SIX, date(2015, 10, 30), "31.10 31.10 02.11 07.11 03.11 05.11 06.11 07.11 09.11 18.11 30.11"),
    # The New Year holidays, 1–10 January (five days) and 1–8 and 10 January (six days).
    (FIVE, date(2015, 12, 28), "29.12 29.12 30.12 13.01 31.12 11.01 12.01 13.01 14.01 26.01 09.02"),
    (SIX, date(2015, 12, 28), "29.12 29.12 30.12 12.01 31.12 09.01 11.01 12.01 13.01 22.01 03.02"),
    # A Saturday that is worked, 20 February, the Monday off in its place, and Monday 7 March.
    (FIVE, date(2016, 2, 18), "19.02 19.02 20.02 29.02 24.02 25.02 26.02 29.02 01.03 15.03 29.03"),
    # A start on a day off.
    (FIVE, date(2015, 8, 22), "24.08 24.08 25.08 31.08 26.08 27.08 28.08 31.08 01.09 11.09 25.09"),
    # A start on a Sunday is a start on the Saturday before it: the first day that counts is Monday the 24th.
    (FIVE, date(2015, 8, 23), "24.08 24.08 25.08 31.08 26.08 27.08 28.08 31.08 01.09 11.09 25.09"),
    (SIX, date(2015, 8, 23), "24.08 24.08 25.08 29.08 26.08 27.08 28.08 29.08 31.08 09.09 21.09"),
    # Saturday 30 April 2016, before 1 to 3 May off; Monday the 9th is off, too.
    (FIVE, date(2016, 4, 30), "04.05 04.05 05.05 12.05 06.05 10.05 11.05 12.05 13.05 25.05 08.06"),
    (SIX, date(2016, 4, 30), "04.05 04.05 05.05 11.05 06.05 07.05 10.05 11.05 12.05 21.05 02.06"),
]


@pytest.mark.parametrize(("calendar", "start", "dates"), BY_HAND)
def test_holiday_crossing_starts_have_the_dates_counted_by_hand(calendar: Calendar, start: date, dates: str) -> None:
    assert due(calendar, start, *CHAIN) == dates.split()


# The same, counted from the day itself, and from the plan's start.
BY_HAND_OTHERWISE: list[tuple[Calendar, date, RelativeAnchor, CountFrom, str]] = [
    # Ten days of step 18 from 28 December: 28 to 31, 11 to 15 and 18 January.
    (FIVE, date(2015, 12, 28), "after_predecessors", "same_day", "28.12 28.12 28.12 11.01 28.12 28.12 28.12 28.12 28.12 18.01 29.01"),
    # A Saturday that only a six-day week works: it counts itself there, and elsewhere the term begins on 4 May.
    (FIVE, date(2016, 4, 30), "after_predecessors", "same_day", "04.05 04.05 04.05 11.05 04.05 04.05 04.05 04.05 04.05 18.05 31.05"),
    (SIX, date(2016, 4, 30), "after_predecessors", "same_day", "30.04 30.04 30.04 07.05 30.04 30.04 30.04 30.04 30.04 14.05 25.05"),
    # Every term but those of 18 and 19 from the start: 29 December, five days to 12 January; ten from step 14 to 20 January.
    (FIVE, date(2015, 12, 28), "plan_start", "next_day", "29.12 29.12 29.12 12.01 29.12 29.12 29.12 29.12 29.12 20.01 03.02"),
    (SIX, date(2015, 12, 28), "plan_start", "next_day", "29.12 29.12 29.12 11.01 29.12 29.12 29.12 29.12 29.12 18.01 29.01"),
    (FIVE, date(2015, 8, 23), "plan_start", "same_day", "24.08 24.08 24.08 28.08 24.08 24.08 24.08 24.08 24.08 04.09 17.09"),
]


@pytest.mark.parametrize(("calendar", "start", "anchor", "count_from", "dates"), BY_HAND_OTHERWISE)
def test_other_ways_of_counting_have_the_dates_counted_by_hand(
    calendar: Calendar, start: date, anchor: RelativeAnchor, count_from: CountFrom, dates: str
) -> None:
    dues = baseline(Reckoning(PLAN, start, calendar, anchor, count_from))
    assert [f"{dues[n]:%d.%m}" for n in CHAIN] == dates.split()


@pytest.mark.parametrize(
    ("calendar", "dates"),
    [
        (FIVE, "18.08 18.08 18.08 24.08 18.08 18.08 18.08 18.08 18.08 01.09 15.09"),
        (SIX, "18.08 18.08 18.08 22.08 18.08 18.08 18.08 18.08 18.08 29.08 10.09"),
    ],
)
def test_counted_from_the_plan_s_start_only_steps_18_and_19_wait_for_others(calendar: Calendar, dates: str) -> None:
    assert due(calendar, START, *CHAIN, anchor="plan_start") == dates.split()
    assert due(calendar, START, 10, 11, 12, 16, anchor="plan_start") == ["18.08"] * 4


def test_a_plan_that_counts_from_the_same_day_is_a_day_earlier_at_every_term() -> None:
    dues = baseline(Reckoning(PLAN, START, FIVE, count_from="same_day"))
    # The start is a Monday: every one-day term ends on the day it begins; ten days end on Friday the 28th, ten more on 10 September.
    assert [dues[n] for n in (4, 7, 13, 17)] == [START] * 4
    assert dues[8] == date(2015, 8, 21)
    assert dues[18] == date(2015, 8, 28)
    assert dues[19] == date(2015, 9, 10)


def test_a_fixed_date_on_a_day_off_moves_to_the_next_working_day() -> None:
    calendar = Calendar.from_table(
        {"week": 5, "last_decreed_year": 2015, "years": {"2015": {"off": ["2015-08-25", "2015-09-15", "2015-09-16"], "work": []}}}
    )
    assert due(calendar, START, 2, 3, 5, 21) == ["26.08", "17.09", "17.09", "17.09"]


def test_a_fixed_date_does_not_move_with_the_start() -> None:
    assert due(FIVE, date(2026, 1, 12), 2, 3, 5, 21) == ["25.08", "15.09", "15.09", "15.09"]


def test_the_ministry_s_schedule_and_what_recurs_have_no_date() -> None:
    assert due(FIVE, START, 1, 20) == ["none", "none"]


@given(starts, calendars, anchors)
def test_the_blank_rows_are_due_with_the_rows_they_were_merged_with(start: date, calendar: Calendar, anchor: RelativeAnchor) -> None:
    dues = baseline(Reckoning(PLAN, start, calendar, anchor))
    assert dues[10] == dues[11] == dues[12] == dues[9]
    assert dues[16] == dues[15]


@given(starts, calendars, anchors)
def test_all_21_rows_stand_in_the_baseline_and_every_date_is_a_working_day(start: date, calendar: Calendar, anchor: RelativeAnchor) -> None:
    dues = baseline(Reckoning(PLAN, start, calendar, anchor))
    assert list(dues) == list(range(1, 22))
    assert all(calendar.is_workday(day) for day in dues.values() if day)


@given(starts, calendars)
def test_the_longest_way_to_step_19_takes_25_working_days(start: date, calendar: Calendar) -> None:
    dues = baseline(Reckoning(PLAN, start, calendar))
    assert dues[19] == calendar.add(start, 25)


@given(starts, st.integers(0, 60), calendars, anchors)
def test_who_starts_later_is_never_due_earlier(start: date, later: int, calendar: Calendar, anchor: RelativeAnchor) -> None:
    first = baseline(Reckoning(PLAN, start, calendar, anchor))
    second = baseline(Reckoning(PLAN, start + timedelta(days=later), calendar, anchor))
    assert all(a <= b for n in first if (a := first[n]) and (b := second[n]))


# Live.


def test_before_anything_happens_the_live_dates_are_the_baseline() -> None:
    assert live_due(START) == baseline(Reckoning(PLAN, START, FIVE))


def test_a_step_done_early_moves_the_steps_behind_it_forward() -> None:
    # Friday the 21st was planned for step 13.
    dues = live_due(date(2015, 8, 19), done={4: START, 7: date(2015, 8, 18), 13: date(2015, 8, 19)})
    assert dues[9] == date(2015, 8, 19)
    assert dues[14] == date(2015, 8, 20)
    assert dues[18] == date(2015, 9, 3)


def test_a_step_done_late_moves_the_steps_behind_it_back() -> None:
    dues = live_due(date(2015, 8, 31), done={14: date(2015, 8, 28)})
    assert dues[15] == dues[16] == date(2015, 8, 31)
    assert dues[18] == date(2015, 9, 11)


def test_an_unfinished_overdue_step_counts_as_finishing_today() -> None:
    # Steps 4 and 6 were due on the 18th; nothing is done on Wednesday the 26th.
    dues = live_due(date(2015, 8, 26))
    assert dues[4] == date(2015, 8, 18)
    assert dues[7] == date(2015, 8, 27)
    assert dues[8] == date(2015, 9, 2)
    assert dues[9] == date(2015, 8, 28)
    assert dues[13] == date(2015, 8, 31)


def test_an_unfinished_step_that_is_not_overdue_counts_as_finishing_on_its_date() -> None:
    dues = live_due(date(2015, 8, 18), done={4: date(2015, 8, 18)})
    assert dues[7] == date(2015, 8, 19)
    assert dues[9] == date(2015, 8, 20)


def test_the_latest_of_several_anchors_counts() -> None:
    done = {4: date(2015, 8, 17), 6: date(2015, 8, 21)}
    assert live_due(date(2015, 8, 21), done=done)[8] == date(2015, 8, 28)
    done = {9: date(2015, 8, 20), 10: date(2015, 8, 20), 11: date(2015, 8, 27), 12: date(2015, 8, 20)}
    assert live_due(date(2015, 8, 27), done=done)[13] == date(2015, 8, 28)


def test_a_step_finished_on_a_day_off_starts_the_next_term_on_the_working_day_after() -> None:
    assert live_due(date(2015, 8, 23), done={14: date(2015, 8, 22)})[15] == date(2015, 8, 24)


def test_fixed_dates_do_not_live() -> None:
    dues = live_due(date(2015, 12, 1))
    assert [dues[n] for n in (2, 3, 5, 21)] == [date(2015, 8, 25)] + [date(2015, 9, 15)] * 3


def test_step_19_is_due_ten_days_after_step_18_as_long_as_nobody_received() -> None:
    assert live_due(date(2015, 8, 31), done={14: date(2015, 8, 28)})[19] == date(2015, 9, 25)
    assert live_due(date(2015, 9, 8), done={14: date(2015, 8, 28), 18: date(2015, 9, 8)})[19] == date(2015, 9, 22)


def test_step_19_is_due_on_the_latest_own_date_once_somebody_received() -> None:
    dues = live_due(date(2015, 9, 1), done={14: date(2015, 8, 28)}, received_last={19: date(2015, 9, 1)})
    assert dues[19] == own_due(Reckoning(PLAN, START, FIVE), 19, date(2015, 9, 1)) == date(2015, 9, 15)


def test_only_receipts_start_a_person_s_own_term() -> None:
    with pytest.raises(ValueError, match="one date for all"):
        own_due(Reckoning(PLAN, START, FIVE), 18, START)


def test_counted_from_the_plan_s_start_only_the_stated_terms_live() -> None:
    dues = live_due(date(2015, 8, 31), done={4: date(2015, 8, 28), 14: date(2015, 8, 28)}, anchor="plan_start")
    assert dues[7] == date(2015, 8, 18)
    assert dues[8] == date(2015, 8, 24)
    assert dues[18] == date(2015, 9, 11)


@given(starts, calendars, anchors)
def test_a_school_that_finishes_every_step_on_its_date_lives_its_baseline(start: date, calendar: Calendar, anchor: RelativeAnchor) -> None:
    dues = baseline(Reckoning(PLAN, start, calendar, anchor))
    done = {n: day for n, day in dues.items() if day}
    today = max(done.values())
    assert live(Reckoning(PLAN, start, calendar, anchor), today=today, first_completed=done, received_last={}) == dues


@given(calendars, anchors, st.dictionaries(st.integers(1, 21), st.dates(START, date(2016, 3, 1))), st.integers(0, 200), st.integers(0, 60))
def test_waiting_never_brings_a_live_date_nearer(
    calendar: Calendar, anchor: RelativeAnchor, done: dict[int, date], days: int, more: int
) -> None:
    first = live_due(START + timedelta(days=days), done=done, calendar=calendar, anchor=anchor)
    second = live_due(START + timedelta(days=days + more), done=done, calendar=calendar, anchor=anchor)
    assert all(a <= b for n in first if (a := first[n]) and (b := second[n]))


def test_what_follows_a_step_without_a_date_has_none_until_that_step_is_done() -> None:
    step_7 = replace(PLAN.step(7), anchors=(1,))
    plan = replace(PLAN, steps=tuple(step_7 if step.n == 7 else step for step in PLAN.steps))
    assert baseline(Reckoning(plan, START, FIVE))[7] is None
    assert live(Reckoning(plan, START, FIVE), today=START, first_completed={}, received_last={})[14] is None
    done = {1: date(2015, 8, 20)}
    assert live(Reckoning(plan, START, FIVE), today=START, first_completed=done, received_last={})[7] == date(2015, 8, 21)


# The ministry's schedule, extensions, and blanks.


def test_step_1_is_due_on_the_day_of_the_ministry_s_last_session_even_if_that_is_a_day_off() -> None:
    saturday = date(2015, 9, 5)
    assert baseline(Reckoning(PLAN, START, FIVE, scheduled=saturday)) == {**baseline(Reckoning(PLAN, START, FIVE)), 1: saturday}
    scheduled = Reckoning(PLAN, START, FIVE, scheduled=saturday)
    assert live(scheduled, today=date(2015, 9, 30), first_completed={}, received_last={})[1] == saturday


def test_an_extension_moves_a_step_and_what_depends_on_its_date() -> None:
    before, extended = baseline(Reckoning(PLAN, START, FIVE)), Reckoning(PLAN, START, FIVE, extended={13: date(2015, 8, 26)})
    moved = {13: date(2015, 8, 26), 14: date(2015, 8, 27), 15: date(2015, 8, 28), 16: date(2015, 8, 28), 17: date(2015, 8, 31)}
    assert baseline(extended) == {**before, **moved, 18: date(2015, 9, 10), 19: date(2015, 9, 24)}
    assert baseline_with_reasons(extended)[13].rule == "extended to 2015-08-26; without that on 2015-08-21, 1 working day after step 9"


def test_an_extension_moves_the_rows_that_are_merged_with_the_step() -> None:
    dues = baseline(Reckoning(PLAN, START, FIVE, extended={9: date(2015, 8, 28)}))
    assert [dues[n] for n in (9, 10, 11, 12)] == [date(2015, 8, 28)] * 4


def test_an_extension_to_a_day_off_runs_to_the_next_working_day() -> None:
    assert baseline(Reckoning(PLAN, START, FIVE, extended={9: date(2015, 8, 29)}))[9] == date(2015, 8, 31)


def test_an_extension_never_brings_a_date_nearer() -> None:
    late = {7: date(2015, 8, 31)}
    reckoning = Reckoning(PLAN, START, FIVE, extended={9: date(2015, 8, 27)})
    assert live(reckoning, today=date(2015, 8, 31), first_completed=late, received_last={})[9] == date(2015, 9, 1)
    early = {7: date(2015, 8, 18)}
    assert live(reckoning, today=date(2015, 8, 18), first_completed=early, received_last={})[9] == date(2015, 8, 27)


@given(starts, calendars, anchors, st.integers(1, 21), st.integers(0, 90))
def test_an_extension_moves_no_date_forward(start: date, calendar: Calendar, anchor: RelativeAnchor, step: int, days: int) -> None:
    before = baseline(Reckoning(PLAN, start, calendar, anchor))
    after = baseline(Reckoning(PLAN, start, calendar, anchor, extended={step: start + timedelta(days=days)}))
    assert all(a <= b for n in before if (a := before[n]) and (b := after[n]))


def blanks(reading: Blanks) -> Plan:
    return replace(PLAN, options=replace(PLAN.options, blanks=reading))


@pytest.mark.parametrize("reading", ["none", "ask"])
def test_a_blank_that_is_not_merged_has_no_date_and_holds_nothing_up(reading: Blanks) -> None:
    dues = baseline(Reckoning(blanks(reading), START, FIVE))
    assert [dues[n] for n in (10, 11, 12, 16)] == [None] * 4
    assert {n: day for n, day in dues.items() if day} == {
        n: day for n, day in baseline(Reckoning(PLAN, START, FIVE)).items() if day and n not in (10, 11, 12, 16)
    }


def test_a_blank_says_how_it_is_read() -> None:
    rules = {reading: baseline_with_reasons(Reckoning(blanks(reading), START, FIVE))[16].rule for reading in get_args(Blanks)}
    assert rules == {
        "merge_up": "as step 15, into whose cell this one was merged: 1 working day after step 14",
        "none": "the cell is blank, which is read as no date of its own",
        "ask": "the cell is blank: the school has to say a date, which is recorded as an extension",
    }


def test_a_blank_that_is_asked_about_has_the_date_that_is_said_and_the_steps_after_it_wait_for_it() -> None:
    reckoning = Reckoning(blanks("ask"), START, FIVE, extended={11: date(2015, 8, 27)})
    dues = baseline(reckoning)
    assert [dues[n] for n in (10, 11, 12, 13)] == [None, date(2015, 8, 27), None, date(2015, 8, 28)]
    assert "the school has to say" in baseline_with_reasons(reckoning)[10].rule


def test_a_blank_that_was_done_late_counts_though_it_has_no_date() -> None:
    done = {9: date(2015, 8, 20), 12: date(2015, 8, 26)}
    dues = live(Reckoning(blanks("none"), START, FIVE), today=date(2015, 8, 26), first_completed=done, received_last={})
    assert dues[13] == date(2015, 8, 27)


# How a step stands.


@pytest.mark.parametrize(
    ("due_on", "first_completed_on", "today", "state"),
    [
        (None, None, date(2015, 8, 20), "none"),
        (None, date(2015, 8, 20), date(2015, 8, 20), "none"),
        (date(2015, 8, 26), None, date(2015, 8, 20), "on_track"),  # Wednesday, four working days ahead of Thursday
        (date(2015, 8, 25), None, date(2015, 8, 20), "due_soon"),  # three
        (date(2015, 8, 24), None, date(2015, 8, 22), "due_soon"),  # Monday, seen from Saturday
        (date(2015, 8, 20), None, date(2015, 8, 20), "due_today"),
        (date(2015, 8, 20), None, date(2015, 8, 21), "overdue"),
        (date(2015, 8, 17), None, date(2015, 8, 17), "due_today"),
        (date(2015, 8, 14), None, date(2015, 8, 17), "overdue_at_adoption"),
        (date(2015, 8, 14), None, date(2015, 10, 1), "overdue_at_adoption"),
        (date(2015, 8, 20), date(2015, 8, 20), date(2015, 8, 20), "done_on_time"),
        (date(2015, 8, 20), date(2015, 8, 18), date(2015, 12, 1), "done_on_time"),
        (date(2015, 8, 20), date(2015, 8, 21), date(2015, 8, 21), "done_late"),
        (date(2015, 8, 14), date(2015, 8, 14), date(2015, 8, 17), "done_on_time"),
        (date(2015, 8, 14), date(2015, 8, 18), date(2015, 8, 18), "done_late"),
    ],
)
def test_a_step_stands_against_its_date(due_on: date | None, first_completed_on: date | None, today: date, state: DeadlineState) -> None:
    assert deadline_state(due_on, first_completed_on, today, START, FIVE, 3) == state


def test_due_soon_counts_the_working_days_of_the_calendar() -> None:
    # From Friday 30 October, with Unity Day between: 5 November is the third working day of five, and the fourth of six.
    assert deadline_state(date(2015, 11, 5), None, date(2015, 10, 30), START, FIVE, 3) == "due_soon"
    assert deadline_state(date(2015, 11, 5), None, date(2015, 10, 30), START, SIX, 3) == "on_track"


# The years to pin.


@pytest.mark.parametrize(("start", "adopted_on"), [(START, START), (START, date(2026, 3, 1)), (date(2026, 1, 12), date(2026, 1, 12))])
def test_the_pinned_years_hold_the_fixed_dates_the_start_and_the_adoption(start: date, adopted_on: date) -> None:
    years = years_to_pin(PLAN, start, adopted_on)
    calendar = russian_calendar(years, 5)
    assert years.start == 2014
    assert years.stop > max(start.year, adopted_on.year) + 5
    assert not any(calendar.is_provisional(day) for day in baseline(Reckoning(PLAN, start, calendar)).values() if day)
