"""Calendars that are pinned, and days that a region or a school works otherwise, by the deciders alone."""

from collections.abc import Set as AbstractSet
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.plan import CalendarOverridden, CalendarPinned
from eventkit.decider import Refused
from plan_tracker.domain.calendars import Override, Overrides, calendar_overrides, pinned_calendar, table_of
from workdays import russian_calendar

CALENDAR = russian_calendar(range(2014, 2021), 5)
THURSDAY, SATURDAY = date(2015, 11, 5), date(2015, 11, 7)

days = st.frozensets(st.dates(date(2015, 11, 1), date(2015, 11, 14)), max_size=5)


def override(off: AbstractSet[date] = frozenset(), work: AbstractSet[date] = frozenset()) -> Override:
    return Override(frozenset(off), frozenset(work))


def test_a_calendar_is_pinned_once() -> None:
    table = table_of(CALENDAR)
    events = pinned_calendar.decide(table, pinned_calendar.initial)
    assert events == [CalendarPinned(calendar=table)]
    assert pinned_calendar.fold(events) == table
    assert pinned_calendar.decide(table, pinned_calendar.fold(events)) == []


def test_days_are_overridden_once() -> None:
    events = calendar_overrides.decide(override({THURSDAY}, {SATURDAY}), Overrides())
    assert events == [CalendarOverridden(off=(THURSDAY,), work=(SATURDAY,))]
    state = calendar_overrides.fold(events)
    assert calendar_overrides.decide(override({THURSDAY}), state) == []
    assert state.over(CALENDAR) == CALENDAR.overridden({THURSDAY}, {SATURDAY})


def test_the_latest_word_on_a_day_counts() -> None:
    first = calendar_overrides.decide(override({THURSDAY, SATURDAY}), Overrides())
    state = calendar_overrides.fold(first)
    back = calendar_overrides.decide(override(work={THURSDAY}), state)
    state = calendar_overrides.fold(back, state)
    assert state == Overrides(frozenset({SATURDAY}), frozenset({THURSDAY}))
    assert state.over(CALENDAR) == CALENDAR


@pytest.mark.parametrize(("days", "code"), [(override(), "calendar.no-days"), (override({THURSDAY}, {THURSDAY}), "calendar.contradictory")])
def test_what_says_nothing_or_two_things_is_refused(days: Override, code: str) -> None:
    with pytest.raises(Refused) as refused:
        calendar_overrides.decide(days, Overrides())
    assert refused.value.code == code


@given(st.lists(st.builds(Override, days, days), max_size=6))
def test_no_day_is_overridden_both_ways_and_saying_it_twice_records_it_once(said: list[Override]) -> None:
    state = Overrides()
    for command in said:
        try:
            state = calendar_overrides.fold(calendar_overrides.decide(command, state), state)
        except Refused:
            continue
        assert calendar_overrides.decide(command, state) == []
        assert not state.off & state.work
        assert command.off <= state.off
        assert command.work <= state.work
