"""How far a school is with its plan: what it adopted, and the timeline of each step. From here states and baseline deadlines are read.

A `Progress` never changes and knows no person, so it may be kept, compared with a later one, and read at any day.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, NamedTuple

from contracts.plan import AnchorReading, CountFrom, DeadlineState, State
from plan_tracker.domain.days import NEVER, Days, since
from plan_tracker.domain.deadlines import Reckoning, deadline_state
from plan_tracker.domain.plan import Plan
from plan_tracker.domain.timeline import Periods, Timeline
from workdays import Calendar


@dataclass(frozen=True)
class Adoption:
    """What a school adopted, and on which day, as it stands from the day `since` on: its dates may have been counted anew."""

    day: date
    plan: Plan
    revision: int
    start: date
    anchor: AnchorReading
    calendar: Calendar
    baseline: Mapping[int, date | None]
    count_from: CountFrom = "next_day"
    scheduled: date | None = None
    extended: Mapping[int, date] = field(default_factory=dict[int, date])
    since: date = date.min

    @property
    def reckoning(self) -> Reckoning:
        """What its due dates are counted from, and how."""
        return Reckoning(self.plan, self.start, self.calendar, self.anchor, self.count_from, self.scheduled, self.extended)


class StepStanding(NamedTuple):
    """One step on one day: what a region adds up."""

    state: State
    done: int
    total: int
    deadline: DeadlineState


@dataclass(frozen=True)
class Progress:
    """One school's steps by number. A step is done on a day if it holds at that day's end (DESIGN 2.5)."""

    adoption: Adoption
    timelines: Mapping[int, Timeline | Periods]
    waived: Mapping[int, Days] = field(default_factory=dict[int, Days])
    """On which days the school need not do a step."""
    before: "Progress | None" = None
    """The same by what held before `adoption.since`: other dates, or an earlier revision of the plan."""

    def on(self, day: date) -> "Progress":
        """The progress by what held on a day: a later change of the dates changes no earlier board."""
        return self if self.before is None or self.adoption.since <= day else self.before.on(day)

    def standing(self, n: int, day: date) -> StepStanding:
        done, total = self.timelines[n].at(day.toordinal())
        return StepStanding(self.state(n, day), done, total, self.deadline(n, self.adoption.baseline.get(n), day))

    def state(self, n: int, day: date) -> State:
        timeline, ordinal = self.timelines[n], day.toordinal()
        if timeline.is_done(ordinal):
            return "done"
        if self._waived_since(n, ordinal) is not None:
            return "waived"
        if timeline.first_completed(ordinal) is not None:
            return "reopened"
        return "in_progress" if timeline.begun(ordinal) else "not_started"

    def deadline(self, n: int, due: date | None, day: date) -> DeadlineState:
        """How a step stands on a day against a date, its baseline or its live one."""
        adoption = self.adoption
        return deadline_state(due, self.first_completed(n, day), day, adoption.day, adoption.calendar, adoption.plan.options.due_soon_wd)

    def first_completed(self, n: int, day: date) -> date | None:
        """When a step was first done, as seen on a day. One that is waived is done on the waiver's day (DOMAIN 2)."""
        found = (self.timelines[n].first_completed(day.toordinal()), self._waived_since(n, day.toordinal()))
        return from_ordinal(min((one for one in found if one is not None), default=None))

    def completed(self, n: int, day: date) -> date | None:
        """Since when a step is done, or waived; None where it is neither."""
        done = self.timelines[n].completed(day.toordinal())
        return from_ordinal(self._waived_since(n, day.toordinal()) if done is None else done)

    def term_began(self, day: date) -> dict[int, date]:
        """From when the terms of the steps after run, by the step that was first done: never from before the plan's start."""
        first = {n: self.first_completed(n, day) for n in self.timelines}
        return {n: max(one, self.adoption.start) for n, one in first.items() if one is not None}

    def changes(self, n: int, day: date) -> list[tuple[int, Literal["completed", "reopened", "waived", "waiver-revoked"]]]:
        """Every completion and reopening of a step up to a day, and every waiver and its end, in the order of days."""
        until = day.toordinal()
        found: list[tuple[int, Literal["completed", "reopened", "waived", "waiver-revoked"]]] = [*self.timelines[n].changes(until)]
        for k, at in enumerate(self.waived.get(n, NEVER)):
            if at <= until:
                found.append((at, "waiver-revoked" if k % 2 else "waived"))
        return sorted(found, key=lambda one: one[0])

    def is_over(self, n: int, day: date) -> bool:
        """Whether a step is done or waived, and nothing waits for it."""
        return self.completed(n, day) is not None

    def blocked_by(self, n: int, day: date) -> tuple[int, ...]:
        """The step's anchors that are neither done nor waived."""
        return tuple(one for one in self.adoption.plan.step(n).predecessors if not self.is_over(one, day))

    def _waived_since(self, n: int, day: int) -> int | None:
        return since(self.waived.get(n, NEVER), day)


def from_ordinal(day: int | None) -> date | None:
    return None if day is None else date.fromordinal(day)
