"""Russia's working days: the small cases of the plan's reading, which were worked out by hand, and what a decree changes."""

from datetime import date, timedelta

import pytest

from workdays import Calendar, Week, russian_calendar

FIVE = russian_calendar(range(2014, 2030), 5)
SIX = russian_calendar(range(2014, 2030), 6)


@pytest.mark.parametrize(
    ("start", "n", "five", "six"),
    [
        (date(2015, 10, 30), 3, date(2015, 11, 5), date(2015, 11, 3)),  # Unity Day, and a Saturday more
        (date(2015, 12, 30), 5, date(2016, 1, 14), date(2016, 1, 13)),  # the New Year holidays end with a Friday
        (date(2016, 2, 19), 1, date(2016, 2, 20), date(2016, 2, 20)),  # a working Saturday
        (date(2016, 2, 19), 2, date(2016, 2, 24), date(2016, 2, 24)),  # the Monday that it was worked for, and the holiday itself
        (date(2016, 4, 29), 2, date(2016, 5, 5), date(2016, 5, 4)),  # two transferred days off after a working Saturday of six days
        (date(2025, 10, 31), 1, date(2025, 11, 1), date(2025, 11, 1)),  # a working Saturday
        (date(2025, 12, 30), 1, date(2026, 1, 12), date(2026, 1, 10)),  # 31 December and 9 January are transferred days off
    ],
)
def test_terms_across_holidays_end_where_the_hand_counted(start: date, n: int, five: date, six: date) -> None:
    assert FIVE.add(start, n) == five
    assert SIX.add(start, n) == six


@pytest.mark.parametrize("calendar", [FIVE, SIX])
def test_a_date_set_on_a_holiday_moves_to_the_next_working_day(calendar: Calendar) -> None:
    assert calendar.roll_forward(date(2015, 11, 4)) == date(2015, 11, 5)
    assert calendar.roll_forward(date(2015, 9, 15)) == date(2015, 9, 15)


def test_a_date_set_on_a_saturday_stays_in_a_six_day_week_alone() -> None:
    assert FIVE.roll_forward(date(2015, 8, 22)) == date(2015, 8, 24)
    assert SIX.roll_forward(date(2015, 8, 22)) == date(2015, 8, 22)


@pytest.mark.parametrize(("year", "workdays"), [(2015, 247), (2016, 247), (2018, 247), (2023, 247), (2024, 248), (2025, 247), (2026, 247)])
def test_a_five_day_year_has_the_workdays_of_the_official_calendar(year: int, workdays: int) -> None:
    assert FIVE.between(date(year - 1, 12, 31), date(year, 12, 31)) == workdays


def test_a_holiday_on_a_saturday_is_off_in_a_six_day_week() -> None:
    assert not SIX.is_workday(date(2015, 5, 9))


@pytest.mark.parametrize("week", [5, 6])
def test_the_two_weeks_differ_by_saturdays_alone(week: Week) -> None:
    for day in (date(2014, 1, 1) + timedelta(days=i) for i in range(365 * 16)):
        if FIVE.is_workday(day) != SIX.is_workday(day):
            assert day.weekday() == 5


def test_a_deadline_beyond_the_last_decreed_year_is_provisional() -> None:
    assert not FIVE.is_provisional(date(2027, 12, 31))
    assert FIVE.is_provisional(date(2028, 1, 10))
    # The bare holidays are known all the same.
    assert FIVE.add(date(2027, 12, 30), 1) == date(2028, 1, 10)


def test_a_table_of_past_years_keeps_its_digest_when_a_later_year_is_decreed() -> None:
    assert russian_calendar([2015, 2016], 5).last_decreed_year == 2016


def test_years_are_filled_between_the_first_and_the_last() -> None:
    assert russian_calendar([2018, 2015], 5) == russian_calendar(range(2015, 2019), 5)
