"""When each step is due, on two clocks, and how it stands against its date. Pure arithmetic over the plan and a pinned calendar.

The *baseline* is computed from the due dates of the steps before, once, when the plan is adopted: the ministry's charts. The *live* date
moves with what really happened: it is computed from their first completions and drives the reminders.
"""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Literal

from plan_tracker.domain.plan import (
    FixedDate,
    MergedWith,
    MinistrySchedule,
    Plan,
    Recurring,
    Step,
    WorkdaysAfterAnchor,
    WorkdaysAfterOwnReceipt,
)
from workdays import Calendar

RelativeAnchor = Literal["after_predecessors", "plan_start"]
"""From when terms run whose beginning the source does not state: from the steps before, or all from the plan's start."""

DeadlineState = Literal["none", "on_track", "due_soon", "due_today", "overdue", "done_on_time", "done_late", "overdue_at_adoption"]

DUE_SOON_WD = 3
"""So many working days before its date a step is due soon: the day of the first reminder."""


def baseline(plan: Plan, start: date, calendar: Calendar, anchor: RelativeAnchor = "after_predecessors") -> dict[int, date | None]:
    """The due date of every step of a plan that starts on `start`; None where there is none, or none yet.

    A step's term begins on the latest due date of its anchors. A schedule that the ministry has not published (step 1) and what recurs
    (step 20) have no date.
    """
    return _dues(plan, start, calendar, anchor, anchor_day=lambda _, due: due, received_last={})


def live(
    plan: Plan,
    start: date,
    calendar: Calendar,
    anchor: RelativeAnchor,
    *,
    today: date,
    first_completed: Mapping[int, date],
    received_last: Mapping[int, date],
) -> dict[int, date | None]:
    """The due date of every step as things stand on `today`; None where there is none, or none yet.

    `first_completed` holds the day on which a step was first done or waived, also if it has reopened since: the dates that it set in motion
    stay. An unfinished step counts as finished on its own live date, and once that has passed, today. `received_last` holds, for a step
    whose term runs from each person's own receipt, the day of the latest receipt: the step is due on the latest of those persons' dates.
    """

    def anchor_day(n: int, due: date | None) -> date | None:
        if n in first_completed:
            return first_completed[n]
        return due and max(due, today)

    return _dues(plan, start, calendar, anchor, anchor_day, received_last)


def own_due(plan: Plan, n: int, received_on: date, calendar: Calendar) -> date:
    """When a person who received on `received_on` what step `n` is about must have acted (step 19: have activated the account).

    Raises ValueError if that step's term does not run from each person's own receipt.
    """
    deadline = plan.step(n).deadline
    if not isinstance(deadline, WorkdaysAfterOwnReceipt):
        raise ValueError(f"step {n} has one date for all")
    return calendar.add(received_on, deadline.n, plan.count_from)


def deadline_state(due: date | None, first_completed_on: date | None, today: date, adopted_on: date, calendar: Calendar) -> DeadlineState:
    """How a step stands on `today` against its date, `due`.

    The first completion is judged, and for good: that a step reopened is said by its state, not by its deadline. A date that had passed
    when the plan was adopted is `overdue_at_adoption`: nobody could have met it, so it is listed and starts no reminders.
    """
    if due is None:
        return "none"
    if first_completed_on is not None:
        return "done_on_time" if first_completed_on <= due else "done_late"
    if due < adopted_on:
        return "overdue_at_adoption"
    if due < today:
        return "overdue"
    if due == today:
        return "due_today"
    return "due_soon" if calendar.between(today, due) <= DUE_SOON_WD else "on_track"


def years_to_pin(plan: Plan, start: date, adopted_on: date) -> range:
    """The years that a calendar should hold for a plan that starts on `start`, as it is adopted.

    From the year before the plan's earliest date, for what is counted backwards, to five years after its latest: a school may take long.
    """
    years = {start.year, adopted_on.year, *(step.deadline.date.year for step in plan.steps if isinstance(step.deadline, FixedDate))}
    return range(min(years) - 1, max(years) + 6)


def _dues(
    plan: Plan,
    start: date,
    calendar: Calendar,
    anchor: RelativeAnchor,
    anchor_day: Callable[[int, date | None], date | None],
    received_last: Mapping[int, date],
) -> dict[int, date | None]:
    dues: dict[int, date | None] = {}

    def latest_anchor(step: Step) -> date | None:
        days = [start if one == "start" else anchor_day(one, dues[one]) for one in step.anchors]
        known = [day for day in days if day is not None]
        return max(known) if len(known) == len(days) else None

    def after(day: date | None, n: int) -> date | None:
        return day and calendar.add(day, n, plan.count_from)

    for step in plan.in_order:
        match step.deadline:
            case FixedDate(date=day):
                due = calendar.roll_forward(day)
            case WorkdaysAfterAnchor(n=n, stated=stated):
                due = after(start if anchor == "plan_start" and not stated else latest_anchor(step), n)
            case WorkdaysAfterOwnReceipt(n=n):
                due = after(received_last.get(step.n) or latest_anchor(step), n)
            case MergedWith(step=other):
                due = dues[other]
            case MinistrySchedule() | Recurring():
                due = None
        dues[step.n] = due
    return {step.n: dues[step.n] for step in plan.steps}
