"""How far a school is with its plan: what it adopted, and the timeline of each step. From here states and baseline deadlines are read.

A `Progress` never changes and knows no person, so it may be kept, compared with a later one, and read at any day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from contracts.plan import AnchorReading, DeadlineState, State
from plan_tracker.domain.deadlines import deadline_state
from plan_tracker.domain.plan import Plan
from plan_tracker.domain.timeline import Periods, Timeline
from workdays import Calendar


@dataclass(frozen=True)
class Adoption:
    """What a school adopted, and on which day."""

    day: date
    plan: Plan
    revision: int
    start: date
    anchor: AnchorReading
    calendar: Calendar
    baseline: Mapping[int, date | None]


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

    def standing(self, n: int, day: date) -> StepStanding:
        done, total = self.timelines[n].at(day.toordinal())
        return StepStanding(self.state(n, day), done, total, self.deadline(n, self.adoption.baseline.get(n), day))

    def state(self, n: int, day: date) -> State:
        timeline, ordinal = self.timelines[n], day.toordinal()
        if timeline.is_done(ordinal):
            return "done"
        if timeline.first_completed(ordinal) is not None:
            return "reopened"
        return "in_progress" if timeline.begun(ordinal) else "not_started"

    def deadline(self, n: int, due: date | None, day: date) -> DeadlineState:
        """How a step stands on a day against a date, its baseline or its live one."""
        return deadline_state(due, self.first_completed(n, day), day, self.adoption.day, self.adoption.calendar)

    def first_completed(self, n: int, day: date) -> date | None:
        """When a step was first done, as seen on a day."""
        return from_ordinal(self.timelines[n].first_completed(day.toordinal()))

    def completed(self, n: int, day: date) -> date | None:
        """Since when a step is done; None where it is not."""
        return from_ordinal(self.timelines[n].completed(day.toordinal()))

    def term_began(self, day: date) -> dict[int, date]:
        """From when the terms of the steps after run, by the step that was first done: never from before the plan's start."""
        first = {n: self.first_completed(n, day) for n in self.timelines}
        return {n: max(one, self.adoption.start) for n, one in first.items() if one is not None}

    def is_over(self, n: int, day: date) -> bool:
        """Whether a step is done, and nothing waits for it."""
        return self.timelines[n].is_done(day.toordinal())

    def blocked_by(self, n: int, day: date) -> tuple[int, ...]:
        """The step's anchors that are not done."""
        return tuple(one for one in self.adoption.plan.step(n).predecessors if not self.timelines[one].is_done(day.toordinal()))


def from_ordinal(day: int | None) -> date | None:
    return None if day is None else date.fromordinal(day)
