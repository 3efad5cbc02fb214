"""A parallel's reporting periods of an academic year (step 9): without a gap, and over the whole year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from contracts.event import Event
from contracts.roster import Period, ReportingPeriodsDefined
from eventkit.decider import Decider, Refused
from roster.domain.years import first_year

Periods = tuple[Period, ...]

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DefinePeriods:
    grade: int
    academic_year: str
    periods: Periods


def decide(command: DefinePeriods, defined: Periods | None) -> Sequence[Event]:
    year = first_year(command.academic_year, "periods.year-malformed")
    _require_one_after_another(command.periods)
    _require_year_covered(command.periods, year)
    if command.periods == defined:
        return []
    return [ReportingPeriodsDefined(grade=command.grade, academic_year=command.academic_year, periods=command.periods)]


def _require_one_after_another(periods: Periods) -> None:
    for number, period in enumerate(periods, 1):
        if period.ends < period.begins:
            raise Refused("periods.reversed", f"Period {number} ends on {period.ends}, before it begins. Give its first day first.")
    for number, (before, period) in enumerate(pairwise(periods), 2):
        if period.begins <= before.ends:
            raise Refused(
                "periods.overlap",
                f"Period {number} begins on {period.begins}, and the one before it ends on {before.ends}.",
                "List the periods in their order; each begins on the day after the one before has ended.",
            )
        if period.begins > before.ends + _DAY:
            raise Refused(
                "periods.gap",
                f"The days from {before.ends + _DAY} to {period.begins - _DAY} belong to no period.",
                "Holidays belong to the period before them: let it end on the day before the next one begins.",
            )


def _require_year_covered(periods: Periods, year: int) -> None:
    """What covering an academic year means is read in docs/decisions/school-year.md; the order says nothing of it."""
    begins, ends = periods[0].begins, periods[-1].ends
    if not date(year, 8, 1) <= begins <= date(year, 9, 7):
        raise Refused(
            "periods.year-not-covered",
            f"The first period begins on {begins}: let it begin between {date(year, 8, 1)} and {date(year, 9, 7)}.",
        )
    if not date(year + 1, 5, 20) <= ends <= date(year + 1, 8, 31):
        raise Refused(
            "periods.year-not-covered",
            f"The last period ends on {ends}: let it end between {date(year + 1, 5, 20)} and {date(year + 1, 8, 31)}.",
        )


def evolve(defined: Periods | None, event: Event) -> Periods | None:
    return event.periods if isinstance(event, ReportingPeriodsDefined) else defined


PARALLEL: Decider[DefinePeriods, Periods | None] = Decider("parallel", None, decide, evolve, rests_on=lambda later, earlier: False)
"""A stream for each academic year and grade of a school."""


def parallel(academic_year: str, grade: int) -> str:
    """What a parallel's stream is found by, e.g. 2015-2016-5."""
    return f"{academic_year.replace('/', '-')}-{grade}"
