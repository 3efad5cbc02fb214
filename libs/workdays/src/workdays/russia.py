"""The calendar of Russia: public holidays and the government's decrees, taken from the library `holidays` once and written into a table."""

from collections.abc import Iterable

import holidays
from holidays.countries.russia import RussiaStaticHolidays

from workdays.calendar import Calendar, Week


def russian_calendar(years: Iterable[int], week: Week) -> Calendar:
    """The working days from the first to the last of `years` for a school that works `week` days a week.

    Off are the public holidays and the days off that the government transferred; a transferred working Saturday is worked. Both weeks keep
    all of them, wherever a day off was taken from: a six-day week differs from a five-day one by its Saturdays alone. That is the reading
    of this product (29.04.2016 + 2 = 04.05.2016 in a six-day week); a region that reads it otherwise pins a table of its own.

    The library is right for 2015–2027 but for the special days of 2020 and 2021, which it lacks. Of later years it knows no decree and
    answers with the bare holidays, so the calendar names the last decreed year. Raises ValueError if there are no years.
    """
    years = list(years)
    first_year, last_year = min(years), max(years)
    russia = holidays.country_holidays("RU", years=range(first_year, last_year + 1))
    return Calendar(
        week=week,
        first_year=first_year,
        last_year=last_year,
        # A decree for a year beyond the table does not change the table: it keeps its digest when the library learns another year.
        last_decreed_year=min(max(RussiaStaticHolidays.special_public_holidays), last_year),
        off=tuple(sorted(day for day in russia if day.weekday() < week)),
        work=tuple(sorted(day for day in russia.weekend_workdays if day.weekday() >= week)),
    )
