"""The calendar as a value, its counting on small weeks, and the laws that counting obeys."""

import json
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workdays import Calendar, CalendarMalformed, CountFrom, Week, russian_calendar

FIVE = russian_calendar(range(2014, 2031), 5)
SIX = russian_calendar(range(2014, 2031), 6)

calendars = st.sampled_from([FIVE, SIX])
# Beyond the table at both ends too: counting is total.
days = st.dates(date(2010, 1, 1), date(2036, 12, 31))
terms = st.integers(0, 400)
counts = st.sampled_from(cast("list[CountFrom]", ["next_day", "same_day"]))


def table(**changes: object) -> dict[str, Any]:
    years = {"2015": {"off": ["2015-11-04"], "work": []}, "2016": {"off": ["2016-02-22"], "work": ["2016-02-20"]}}
    return {"week": 5, "last_decreed_year": 2016, "years": years} | changes


# The value.


@given(calendars)
def test_a_calendar_is_rebuilt_from_its_table_as_json_alone(calendar: Calendar) -> None:
    again = Calendar.from_table(json.loads(json.dumps(calendar.table())))
    assert again == calendar
    assert again.digest == calendar.digest


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    shuffled = dict(reversed(table().items()))
    assert Calendar.from_table(shuffled).digest == Calendar.from_table(table()).digest


def test_another_day_off_is_another_digest() -> None:
    years = {"2015": {"off": ["2015-11-05"], "work": []}, "2016": table()["years"]["2016"]}
    assert Calendar.from_table(table(years=years)).digest != Calendar.from_table(table()).digest


def test_the_digest_is_sha256_over_canonical_json() -> None:
    canonical = (
        '{"last_decreed_year":2016,"week":5,"years":{"2015":{"off":["2015-11-04"],"work":[]},'
        '"2016":{"off":["2016-02-22"],"work":["2016-02-20"]}}}'
    )
    assert Calendar.from_table(table()).digest == sha256(canonical.encode()).hexdigest()


def test_a_table_holds_only_what_departs_from_the_bare_week() -> None:
    assert Calendar.from_table(table()).table() == table()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (table(week=7), "5 or 6"),
        (table(years={}), "cannot be read"),
        ({"week": 5, "years": table()["years"]}, "'last_decreed_year' is missing"),
        (table(years={"2015": {"off": []}}), "'work' is missing"),
        (table(years={"2015": {"off": [], "work": []}, "2017": {"off": [], "work": []}}), "a year is left out"),
        (table(years={"2015": {"off": ["2015-11-04"], "work": []}, "2016": {"off": ["2015-11-05"], "work": []}}), "under another year"),
        (table(years={"2015": {"off": ["2016-11-04"], "work": []}}), "outside the years"),
        (table(years={"2015": {"off": ["2015-11-07"], "work": []}}), "2015-11-07 under `off`"),
        (table(years={"2015": {"off": [], "work": ["2015-11-04"]}}), "2015-11-04 under `work`"),
        (table(years={"2015": {"off": ["2015-11-05", "2015-11-04"], "work": []}}), "must ascend"),
        (table(years={"2015": {"off": ["4 November"], "work": []}}), "4 November"),
        (table(years=["2015"]), "cannot be read"),
    ],
)
def test_a_table_that_is_no_calendar_is_refused_with_a_reason(broken: dict[str, Any], said: str) -> None:
    with pytest.raises(CalendarMalformed, match=said):
        Calendar.from_table(broken)


def test_beyond_its_table_a_calendar_counts_by_the_bare_week_and_says_so() -> None:
    calendar = Calendar.from_table(table())
    # 30.12.2016 is a Friday; what would be holidays in January 2017 stand in no table.
    assert calendar.add(date(2016, 12, 30), 6) == date(2017, 1, 9)
    assert calendar.subtract(date(2015, 1, 2), 3) == date(2014, 12, 30)
    # 22 weekdays of December 2014 after the 1st; 261 of 2015 without one; 261 of 2016, one moved; 22 of January 2017.
    assert calendar.between(date(2014, 12, 1), date(2017, 1, 31)) == 22 + 260 + 261 + 22
    assert calendar.is_provisional(date(2017, 1, 9))
    assert calendar.is_provisional(date(2014, 12, 30))
    assert not calendar.is_provisional(date(2016, 12, 31))


def test_a_day_after_the_last_decree_is_provisional_though_the_table_has_it() -> None:
    calendar = Calendar.from_table(table(last_decreed_year=2015))
    assert not calendar.is_provisional(date(2015, 12, 31))
    assert calendar.is_provisional(date(2016, 1, 1))


# What a region or a school does otherwise than decreed.

nearby = st.sets(st.dates(date(2015, 1, 1), date(2016, 12, 31)) | st.dates(date(2012, 1, 1), date(2033, 1, 1)), max_size=12)


def test_a_day_off_that_a_school_takes_is_not_counted_and_a_saturday_that_it_works_is() -> None:
    school = FIVE.overridden(off=[date(2015, 11, 5)], work=[date(2015, 11, 7)])
    # From Monday 2 November: the 3rd, not the 4th and the 5th, the 6th, and Saturday the 7th.
    assert school.add(date(2015, 11, 2), 3) == date(2015, 11, 7)
    assert school.roll_forward(date(2015, 11, 4)) == date(2015, 11, 6)
    assert school.digest != FIVE.digest
    assert Calendar.from_table(school.table()) == school


def test_a_school_may_work_on_a_holiday_and_rest_on_a_decreed_working_saturday() -> None:
    school = FIVE.overridden(off=[date(2016, 2, 20)], work=[date(2015, 11, 4)])
    assert school.is_workday(date(2015, 11, 4))
    assert not school.is_workday(date(2016, 2, 20))
    assert school.overridden(off=[date(2015, 11, 4)], work=[date(2016, 2, 20)]) == FIVE


@pytest.mark.parametrize(
    ("off", "work"),
    [
        ([], []),
        ([date(2015, 11, 4)], []),  # a public holiday
        ([date(2015, 11, 7)], []),  # a Saturday of a five-day week
        ([], [date(2016, 2, 20)]),  # a Saturday that is worked by decree
        ([], [date(2015, 11, 5)]),  # a Thursday
        ([date(2013, 3, 4)], [date(2031, 3, 8)]),  # years that the table does not have
    ],
)
def test_a_day_that_is_so_anyway_changes_nothing(off: list[date], work: list[date]) -> None:
    assert FIVE.overridden(off, work) == FIVE
    assert FIVE.overridden(off, work).digest == FIVE.digest


def test_a_day_named_both_ways_is_off() -> None:
    both = [date(2015, 11, 5), date(2015, 11, 7)]
    school = FIVE.overridden(off=both, work=both)
    assert [school.is_workday(day) for day in both] == [False, False]


def test_an_override_says_nothing_of_decrees() -> None:
    school = FIVE.overridden(off=[date(2029, 3, 5)], work=[])
    assert school.is_provisional(date(2029, 3, 6))
    assert school.last_decreed_year == FIVE.last_decreed_year


@given(calendars, nearby, nearby, days)
def test_laid_over_a_calendar_the_days_named_are_as_named_and_all_others_as_before(
    calendar: Calendar, off: set[date], work: set[date], other: date
) -> None:
    laid_over = calendar.overridden(off, work)
    for day in off | work | {other}:
        if not 2014 <= day.year <= 2030 or day not in off | work:
            assert laid_over.is_workday(day) == calendar.is_workday(day)
        else:
            assert laid_over.is_workday(day) == (day not in off)


@given(calendars, nearby, nearby)
def test_laying_days_over_twice_is_laying_them_over_once(calendar: Calendar, off: set[date], work: set[date]) -> None:
    once = calendar.overridden(off, work)
    assert once.overridden(off, work) == once
    assert once.overridden(set[date](), set[date]()) == once
    assert Calendar.from_table(json.loads(json.dumps(once.table()))) == once


@given(calendars, nearby, days, terms)
def test_more_days_off_never_bring_a_term_s_end_nearer(calendar: Calendar, off: set[date], day: date, n: int) -> None:
    assert calendar.overridden(off, []).add(day, n) >= calendar.add(day, n)
    assert calendar.overridden([], off).add(day, n) <= calendar.add(day, n)


# Counting, on the week from Friday 30 October to Friday 6 November 2015; Wednesday the 4th is off.


def test_the_day_of_the_event_is_not_counted() -> None:
    assert FIVE.add(date(2015, 11, 2), 1) == date(2015, 11, 3)


def test_counting_from_the_same_day_counts_the_day_of_the_event() -> None:
    assert FIVE.add(date(2015, 11, 2), 1, "same_day") == date(2015, 11, 2)
    assert FIVE.add(date(2015, 11, 2), 3, "same_day") == date(2015, 11, 5)


def test_counting_from_the_same_day_cannot_count_a_day_off() -> None:
    assert FIVE.add(date(2015, 11, 4), 1, "same_day") == date(2015, 11, 5)


def test_an_event_on_a_day_off_starts_its_term_all_the_same() -> None:
    assert FIVE.add(date(2015, 11, 4), 1) == date(2015, 11, 5)
    assert FIVE.add(date(2015, 10, 31), 1) == date(2015, 11, 2)


def test_counting_backwards_does_not_count_the_day_it_starts_from() -> None:
    assert FIVE.subtract(date(2015, 11, 5), 1) == date(2015, 11, 3)
    assert FIVE.subtract(date(2015, 11, 5), 3) == date(2015, 10, 30)
    assert SIX.subtract(date(2015, 11, 5), 3) == date(2015, 10, 31)


def test_no_days_lead_to_the_day_itself() -> None:
    assert FIVE.add(date(2015, 11, 4), 0) == date(2015, 11, 4)
    assert FIVE.subtract(date(2015, 11, 4), 0) == date(2015, 11, 4)


def test_between_counts_the_last_day_and_not_the_first() -> None:
    assert FIVE.between(date(2015, 10, 30), date(2015, 11, 5)) == 3
    assert FIVE.between(date(2015, 11, 5), date(2015, 10, 30)) == -3
    assert FIVE.between(date(2015, 11, 3), date(2015, 11, 4)) == 0


def test_a_negative_term_is_refused() -> None:
    with pytest.raises(ValueError, match="counts backwards"):
        FIVE.add(date(2015, 11, 2), -1)
    with pytest.raises(ValueError, match="counts forwards"):
        FIVE.subtract(date(2015, 11, 2), -1)


# Laws.


@given(calendars, days, terms)
def test_the_days_between_a_day_and_its_term_are_the_term(calendar: Calendar, day: date, n: int) -> None:
    assert calendar.between(day, calendar.add(day, n)) == n


@given(calendars, days, st.integers(1, 400), counts)
def test_a_term_ends_on_a_workday(calendar: Calendar, day: date, n: int, count_from: CountFrom) -> None:
    assert calendar.is_workday(calendar.add(day, n, count_from))
    assert calendar.is_workday(calendar.subtract(day, n))


@given(calendars, days, terms)
def test_subtracting_undoes_adding_on_workdays(calendar: Calendar, day: date, n: int) -> None:
    day = calendar.roll_forward(day)
    assert calendar.subtract(calendar.add(day, n), n) == day
    assert calendar.add(calendar.subtract(day, n), n) == day


@given(calendars, days, terms, terms)
def test_two_terms_in_a_row_are_one_term(calendar: Calendar, day: date, n: int, m: int) -> None:
    assert calendar.add(calendar.add(day, n), m) == calendar.add(day, n + m)


@given(calendars, days, days, st.integers(1, 400), counts)
def test_who_starts_later_never_ends_earlier(calendar: Calendar, a: date, b: date, n: int, count_from: CountFrom) -> None:
    a, b = sorted((a, b))
    assert calendar.add(a, n, count_from) <= calendar.add(b, n, count_from)
    assert calendar.subtract(a, n) <= calendar.subtract(b, n)
    assert calendar.roll_forward(a) <= calendar.roll_forward(b)


@given(calendars, days, st.integers(1, 400), counts)
def test_a_longer_term_ends_later(calendar: Calendar, day: date, n: int, count_from: CountFrom) -> None:
    assert calendar.add(day, n, count_from) < calendar.add(day, n + 1, count_from)


@given(calendars, days, st.integers(1, 400))
def test_counting_from_the_same_day_is_counting_from_the_day_before(calendar: Calendar, day: date, n: int) -> None:
    assert calendar.add(day, n, "same_day") == calendar.add(day - timedelta(days=1), n)


@given(calendars, days, days, days)
def test_between_adds_up_along_the_way(calendar: Calendar, a: date, b: date, c: date) -> None:
    assert calendar.between(a, b) + calendar.between(b, c) == calendar.between(a, c)
    assert calendar.between(b, a) == -calendar.between(a, b)


@given(calendars, days, st.integers(0, 60))
def test_counting_agrees_with_walking_from_day_to_day(calendar: Calendar, day: date, span: int) -> None:
    walked = [day + timedelta(days=i) for i in range(1, span + 1)]
    assert calendar.between(day, day + timedelta(days=span)) == sum(map(calendar.is_workday, walked))


@given(calendars, days)
def test_rolling_forward_stops_at_the_first_workday(calendar: Calendar, day: date) -> None:
    rolled = calendar.roll_forward(day)
    assert rolled >= day
    assert calendar.is_workday(rolled)
    assert not any(calendar.is_workday(day + timedelta(days=i)) for i in range((rolled - day).days))


@given(days, terms)
def test_a_six_day_week_works_on_every_day_that_a_five_day_week_works(day: date, n: int) -> None:
    assert SIX.is_workday(day) or not FIVE.is_workday(day)
    assert SIX.add(day, n) <= FIVE.add(day, n)


@given(st.sampled_from(cast("list[Week]", [5, 6])), days, terms)
def test_more_years_in_the_table_change_nothing_within_the_fewer(week: Week, day: date, n: int) -> None:
    fewer, more = russian_calendar(range(2014, 2019), week), russian_calendar(range(2014, 2031), week)
    if day.year >= 2014 and fewer.add(day, n).year <= 2018:
        assert fewer.add(day, n) == more.add(day, n)
