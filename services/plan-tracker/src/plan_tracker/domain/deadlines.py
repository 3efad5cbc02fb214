"""When each step is due, on two clocks, and how it stands against its date. Pure arithmetic over the plan and a pinned calendar.

The *baseline* is computed from the due dates of the steps before, once, when the plan is adopted: the ministry's charts. The *live* date
moves with what really happened: it is computed from their first completions and drives the reminders.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import Literal, NamedTuple

from plan_tracker.domain.plan import (
    Anchor,
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


class Due(NamedTuple):
    """When a step is due and what that was computed from: the day on which its term began, and at whose end."""

    day: date | None
    rule: str
    anchor: Anchor | None = None
    anchor_day: date | None = None
    working_days: int | None = None


def baseline(plan: Plan, start: date, calendar: Calendar, anchor: RelativeAnchor = "after_predecessors") -> dict[int, date | None]:
    """The due date of every step of a plan that starts on `start`; None where there is none, or none yet.

    A step's term begins on the latest due date of its anchors. A schedule that the ministry has not published (step 1) and what recurs
    (step 20) have no date.
    """
    return _days(baseline_with_reasons(plan, start, calendar, anchor))


def baseline_with_reasons(plan: Plan, start: date, calendar: Calendar, anchor: RelativeAnchor) -> dict[int, Due]:
    """As `baseline`, with what each date was computed from."""
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

    dues = live_with_reasons(plan, start, calendar, anchor, today=today, first_completed=first_completed, received_last=received_last)
    return _days(dues)


def live_with_reasons(
    plan: Plan,
    start: date,
    calendar: Calendar,
    anchor: RelativeAnchor,
    *,
    today: date,
    first_completed: Mapping[int, date],
    received_last: Mapping[int, date],
) -> dict[int, Due]:
    """As `live`, with what each date was computed from."""

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


def skipped(calendar: Calendar, after: date, due: date) -> Iterator[tuple[date, str]]:
    """The days after one day and up to another that a term does not count, and why."""
    off = set(calendar.off)
    for n in range(1, (due - after).days + 1):
        day = after + timedelta(days=n)
        if not calendar.is_workday(day):
            yield day, "public holiday or transferred day off" if day in off else "weekend"


def _days(dues: Mapping[int, Due]) -> dict[int, date | None]:
    return {n: due.day for n, due in dues.items()}


def _dues(
    plan: Plan,
    start: date,
    calendar: Calendar,
    anchor: RelativeAnchor,
    anchor_day: Callable[[int, date | None], date | None],
    received_last: Mapping[int, date],
) -> dict[int, Due]:
    dues: dict[int, Due] = {}

    def latest_anchor(step: Step) -> tuple[Anchor | None, date | None]:
        latest: tuple[Anchor | None, date | None] = None, None
        for one in step.anchors:
            day = start if one == "start" else anchor_day(one, dues[one].day)
            if day is None:
                return None, None
            if latest[1] is None or day > latest[1]:
                latest = one, day
        return latest

    def after(one: Anchor | None, day: date | None, n: int) -> Due:
        if day is None:
            return Due(None, f"{_working_days(n)} after {_named(*step.anchors)}: not known yet", working_days=n)
        return Due(calendar.add(day, n, plan.count_from), f"{_working_days(n)} after {_named(one or 'start')}", one, day, n)

    for step in plan.in_order:
        match step.deadline:
            case FixedDate(date=day):
                due = Due(calendar.roll_forward(day), "a fixed date, on the next working day if it is a day off", anchor_day=day)
            case WorkdaysAfterAnchor(n=n, stated=stated):
                due = after("start", start, n) if anchor == "plan_start" and not stated else after(*latest_anchor(step), n)
            case WorkdaysAfterOwnReceipt(n=n):
                if received := received_last.get(step.n):
                    day = calendar.add(received, n, plan.count_from)
                    due = Due(day, f"{_working_days(n)} after each person's own receipt, of which this is the latest", None, received, n)
                else:
                    due = after(*latest_anchor(step), n)
            case MergedWith(step=other):
                due = dues[other]._replace(rule=f"as step {other}, into whose cell this one was merged: {dues[other].rule}")
            case MinistrySchedule():
                due = Due(None, "as the ministry's schedule says, which is not known yet")
            case Recurring(every=period):
                due = Due(None, f"every {period}, again and again")
        dues[step.n] = due
    return {step.n: dues[step.n] for step in plan.steps}


def _working_days(n: int) -> str:
    return "1 working day" if n == 1 else f"{n} working days"


def _named(*anchors: Anchor) -> str:
    return " and ".join("the plan's start" if one == "start" else f"step {one}" for one in anchors)
