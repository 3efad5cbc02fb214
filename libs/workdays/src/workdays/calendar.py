"""A calendar of working days, as a value: made from an explicit table, known by the table's digest, and total.

The table says, for each of its years, which dates depart from the bare week: the days off that the week would work, and the working days
that the week would rest. Nothing is read from whatever library version is installed, so a calendar whose table stands in an event counts
the same for ever. Outside the table's years the bare week counts and the answer is provisional: a deadline far away is then a little
wrong and says so, instead of taking its school's board down.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import MAXYEAR, MINYEAR, date
from functools import cached_property
from hashlib import sha256
from typing import Literal, cast

Week = Literal[5, 6]
"""Working days of a bare week: Monday to Friday, or Monday to Saturday."""

CountFrom = Literal["next_day", "same_day"]
"""Where a term begins: on the day after its event (ГК РФ ст. 191), or on the day of the event itself (ТК РФ ст. 14)."""


class CalendarMalformed(ValueError):
    """The table is no calendar; the text says which entry is wrong. Nothing was made of it."""

    code = "calendar.malformed"


@dataclass(frozen=True)
class Calendar:
    """The working days of a run of whole years. Two calendars are equal when their tables are.

    A date tells its answer in O(log n): the working days stand in one sorted array of day ordinals.
    """

    week: Week
    first_year: int
    last_year: int
    last_decreed_year: int
    """The last year whose transferred days off the government has published; what lies beyond it can still change."""
    off: tuple[date, ...]
    """Days off that the bare week would work, ascending."""
    work: tuple[date, ...]
    """Working days that the bare week would rest, ascending."""

    def __post_init__(self) -> None:
        if self.week not in (5, 6):
            raise CalendarMalformed(f"a week has 5 or 6 working days, not {self.week!r}: set `week` to 5 or 6")
        if not MINYEAR <= self.first_year <= self.last_year <= MAXYEAR:
            raise CalendarMalformed(f"there are no years {self.first_year} to {self.last_year}: give the table one year at least")
        for name, days, the_week_works in (("off", self.off, True), ("work", self.work, False)):
            if list(days) != sorted(set(days)):
                raise CalendarMalformed(f"the dates under `{name}` must ascend and stand there once each")
            for day in days:
                if not self.first_year <= day.year <= self.last_year:
                    raise CalendarMalformed(f"{day} under `{name}` lies outside the years {self.first_year} to {self.last_year}")
                # Otherwise one calendar could be written in several ways and would have several digests.
                if self._week_works(day) is not the_week_works:
                    raise CalendarMalformed(f"{day} under `{name}` is what the {self.week}-day week does anyway: leave it out")

    # The table: what an event pins.

    @classmethod
    def from_table(cls, table: Mapping[str, object]) -> "Calendar":
        """The calendar that `table()` described, from an event's payload alone.

        Raises CalendarMalformed if the table cannot be read, or is not written exactly as `table()` writes it: a calendar has one table,
        so it has one digest.
        """
        try:
            years = cast("Mapping[str, Mapping[str, list[str]]]", table["years"])
            calendar = cls(
                week=cast("Week", table["week"]),
                first_year=min(map(int, years)),
                last_year=max(map(int, years)),
                last_decreed_year=cast("int", table["last_decreed_year"]),
                off=tuple(date.fromisoformat(day) for year in sorted(years) for day in years[year]["off"]),
                work=tuple(date.fromisoformat(day) for year in sorted(years) for day in years[year]["work"]),
            )
        except CalendarMalformed:
            raise
        except KeyError as missing:
            raise CalendarMalformed(
                f"{missing} is missing: give `week`, `last_decreed_year`, `years` and, a year, `off` and `work`"
            ) from None
        except (AttributeError, TypeError, ValueError) as wrong:
            raise CalendarMalformed(f"the table cannot be read: {wrong}") from None
        if calendar.table() != table:
            raise CalendarMalformed(
                "a year is left out, or a date stands under another year than its own: write the table as `table()` does"
            )
        return calendar

    def table(self) -> dict[str, object]:
        """All that this calendar is, ready for JSON:
        `{"week": 5, "last_decreed_year": 2027, "years": {"2016": {"off": ["2016-01-01", …], "work": ["2016-02-20"]}, …}}`."""
        return {
            "week": self.week,
            "last_decreed_year": self.last_decreed_year,
            "years": {
                str(year): {
                    "off": [day.isoformat() for day in self.off if day.year == year],
                    "work": [day.isoformat() for day in self.work if day.year == year],
                }
                for year in range(self.first_year, self.last_year + 1)
            },
        }

    @cached_property
    def digest(self) -> str:
        """sha256 over the table as canonical JSON (keys sorted, no spaces), in hex: the calendar's version."""
        return sha256(json.dumps(self.table(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    # What a region or a school does otherwise than decreed.

    def overridden(self, off: Iterable[date], work: Iterable[date]) -> "Calendar":
        """This calendar with some more days off and some more working days laid over it: another table, with a digest of its own.

        A day that is what it was said to be anyway changes nothing, so only what makes a difference makes another digest. A day named both
        ways is off: nobody is late for having rested. Days outside the table's years change nothing either: there the bare week counts, and
        every answer is provisional.
        """
        rested = {day for day in off if self.first_year <= day.year <= self.last_year}
        worked = {day for day in work if self.first_year <= day.year <= self.last_year} - rested
        return replace(
            self,
            off=tuple(sorted({*self.off, *filter(self._week_works, rested)} - worked)),
            work=tuple(sorted({*self.work, *(day for day in worked if not self._week_works(day))} - rested)),
        )

    # Counting.

    def is_workday(self, day: date) -> bool:
        """Whether `day` is worked."""
        return self._through(day) > self._before(day)

    def add(self, day: date, n: int, count_from: CountFrom = "next_day") -> date:
        """The day a term of `n` working days ends that an event on `day` starts.

        `next_day`: the day of the event is day 0 and is not counted (ГК РФ ст. 191). `same_day`: it is counted, if it is worked.
        A term of no days ends on `day` itself. Raises ValueError for a negative `n`: `subtract` counts backwards.
        """
        if n < 0:
            raise ValueError(f"a term has no {n} days; `subtract` counts backwards")
        if n == 0:
            return day
        return self._workday((self._through(day) if count_from == "next_day" else self._before(day)) + n)

    def subtract(self, day: date, n: int) -> date:
        """The `n`-th working day before `day`, which is not counted itself; `day` for no days. Raises ValueError for a negative `n`."""
        if n < 0:
            raise ValueError(f"cannot go back {n} days; `add` counts forwards")
        if n == 0:
            return day
        return self._workday(self._before(day) - n + 1)

    def between(self, a: date, b: date) -> int:
        """How many working days lie after `a` up to and with `b`: 1 from a Friday to the next Monday, negative when `b` is earlier."""
        return self._through(b) - self._through(a)

    def roll_forward(self, day: date) -> date:
        """Where a deadline set for the date `day` falls: on it, or on the next working day if it is a day off (ГК РФ ст. 193)."""
        return self._workday(self._before(day) + 1)

    def is_provisional(self, day: date) -> bool:
        """Whether a deadline on `day` can still move: its year has no decree yet, or is not in the table."""
        return not self.first_year <= day.year <= min(self.last_year, self.last_decreed_year)

    # Every working day has a number. Those of the table's years count from 1, as they stand in the array; before and after, the bare week
    # goes on with the numbers. All counting is adding to a number and looking up the day that bears it.

    @cached_property
    def _days(self) -> list[int]:
        """The ordinals of the table's working days, ascending."""
        off, work = set(self.off), set(self.work)
        days = map(date.fromordinal, range(self._first, self._last + 1))
        return [day.toordinal() for day in days if (self._week_works(day) and day not in off) or day in work]

    @cached_property
    def _first(self) -> int:
        return date(self.first_year, 1, 1).toordinal()

    @cached_property
    def _last(self) -> int:
        return date(self.last_year, 12, 31).toordinal()

    def _through(self, day: date) -> int:
        """The number of the last working day up to and with `day`."""
        ordinal = day.toordinal()
        if ordinal < self._first:
            return self._weeks_through(ordinal) - self._weeks_through(self._first - 1)
        if ordinal > self._last:
            return len(self._days) + self._weeks_through(ordinal) - self._weeks_through(self._last)
        return bisect_right(self._days, ordinal)

    def _before(self, day: date) -> int:
        """The number of the last working day before `day`."""
        ordinal = day.toordinal()
        if self._first <= ordinal <= self._last:
            return bisect_left(self._days, ordinal)
        return self._through(day) - self._week_works(day)

    def _workday(self, number: int) -> date:
        if number < 1:
            return self._week_workday(self._weeks_through(self._first - 1) + number)
        if number > len(self._days):
            return self._week_workday(self._weeks_through(self._last) + number - len(self._days))
        return date.fromordinal(self._days[number - 1])

    # The bare week. Ordinal 1 is a Monday, so whole weeks and a remainder give the count without looking at a single day.

    def _week_works(self, day: date) -> bool:
        return day.weekday() < self.week

    def _weeks_through(self, ordinal: int) -> int:
        weeks, rest = divmod(ordinal, 7)
        return weeks * self.week + min(rest, self.week)

    def _week_workday(self, number: int) -> date:
        weeks, rest = divmod(number - 1, self.week)
        return date.fromordinal(weeks * 7 + rest + 1)
