"""The calendars that deadlines are counted on: tables that are pinned once, and the days that a region or a school works otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from contracts.event import Event
from contracts.plan import CalendarOverridden, CalendarPinned, CalendarTable
from eventkit.decider import Decider, Refused
from workdays import Calendar

# ---- Tables, each under its digest ------------------------------------------------------------------------------------


def table_of(calendar: Calendar) -> CalendarTable:
    return CalendarTable(digest=calendar.digest, table=calendar.table())


def _pin(calendar: CalendarTable, pinned: CalendarTable | None) -> Sequence[Event]:
    return [] if pinned else [CalendarPinned(calendar=calendar)]


def _pinned(state: CalendarTable | None, event: Event) -> CalendarTable | None:
    return event.calendar if isinstance(event, CalendarPinned) else state


pinned_calendar: Decider[CalendarTable, CalendarTable | None] = Decider("calendar", None, _pin, _pinned)
"""One calendar table: a stream of its own, so it is pinned once however many schools count on it."""


# ---- Days that are worked otherwise than decreed ----------------------------------------------------------------------


@dataclass(frozen=True)
class Override:
    """More days off and more working days than decreed."""

    off: frozenset[date]
    work: frozenset[date]


@dataclass(frozen=True)
class Overrides:
    """All days of a region or a school that were overridden, the latest word on each."""

    off: frozenset[date] = frozenset()
    work: frozenset[date] = frozenset()

    def over(self, calendar: Calendar) -> Calendar:
        """A calendar with these days laid over it."""
        return calendar.overridden(self.off, self.work)


def _override(command: Override, state: Overrides) -> Sequence[Event]:
    if both := command.off & command.work:
        raise Refused("calendar.contradictory", f"{min(both)} cannot be a day off and a working day: name it once.")
    if not command.off | command.work:
        raise Refused("calendar.no-days", "No day is named: say which days are off, or worked.")
    if command.off <= state.off and command.work <= state.work:
        return []
    return [CalendarOverridden(off=tuple(sorted(command.off)), work=tuple(sorted(command.work)))]


def _overridden(state: Overrides, event: Event) -> Overrides:
    if not isinstance(event, CalendarOverridden):
        return state
    off, work = frozenset(event.off), frozenset(event.work)
    return Overrides((state.off - work) | off, (state.work - off) | work)


calendar_overrides: Decider[Override, Overrides] = Decider("calendar-overrides", Overrides(), _override, _overridden)
"""The days of one school, under its id, or of the region, under the id that stands for no school."""
