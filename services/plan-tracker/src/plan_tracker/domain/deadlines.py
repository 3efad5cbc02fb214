"""When each step is due, on two clocks, and how it stands against its date. Pure arithmetic over the plan and a pinned calendar.

The *baseline* is computed from the due dates of the steps before, once, when the plan is adopted: the ministry's charts. The *live* date
moves with what really happened: it is computed from their first completions and drives the reminders.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
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
from workdays import Calendar, CountFrom

RelativeAnchor = Literal["after_predecessors", "plan_start"]
"""From when terms run whose beginning the source does not state: from the steps before, or all from the plan's start."""

DeadlineState = Literal["none", "on_track", "due_soon", "due_today", "overdue", "done_on_time", "done_late", "overdue_at_adoption"]


@dataclass(frozen=True)
class Reckoning:
    """What a school's due dates are counted from, and how."""

    plan: Plan
    start: date
    calendar: Calendar
    anchor: RelativeAnchor = "after_predecessors"
    count_from: CountFrom = "next_day"
    scheduled: date | None = None
    """The day that the ministry's schedule says."""
    extended: Mapping[int, date] = field(default_factory=dict[int, date])
    """Until when the school has for a step at least. For a blank that is to be asked about, the answer."""


class Due(NamedTuple):
    """When a step is due and what that was computed from: the day on which its term began, and at whose end."""

    day: date | None
    rule: str
    anchor: Anchor | None = None
    anchor_day: date | None = None
    working_days: int | None = None


def baseline(reckoning: Reckoning) -> dict[int, date | None]:
    """The due date of every step of a plan; None where there is none, or none yet.

    A step's term begins on the latest due date of its anchors. A schedule that the ministry has not published (step 1) and what recurs
    (step 20) have no date.
    """
    return _days(baseline_with_reasons(reckoning))


def baseline_with_reasons(reckoning: Reckoning) -> dict[int, Due]:
    """As `baseline`, with what each date was computed from."""
    return _dues(reckoning, anchor_day=lambda _, due: due, received_last={})


def live(
    reckoning: Reckoning, *, today: date, first_completed: Mapping[int, date], received_last: Mapping[int, date]
) -> dict[int, date | None]:
    """The due date of every step as things stand on `today`; None where there is none, or none yet.

    `first_completed` holds the day on which a step was first done or waived, also if it has reopened since: the dates that it set in motion
    stay. An unfinished step counts as finished on its own live date, and once that has passed, today. `received_last` holds, for a step
    whose term runs from each person's own receipt, the day of the latest receipt: the step is due on the latest of those persons' dates.
    """
    return _days(live_with_reasons(reckoning, today=today, first_completed=first_completed, received_last=received_last))


def live_with_reasons(
    reckoning: Reckoning, *, today: date, first_completed: Mapping[int, date], received_last: Mapping[int, date]
) -> dict[int, Due]:
    """As `live`, with what each date was computed from."""

    def anchor_day(n: int, due: date | None) -> date | None:
        if n in first_completed:
            return first_completed[n]
        return due and max(due, today)

    return _dues(reckoning, anchor_day, received_last)


def own_due(reckoning: Reckoning, n: int, received_on: date) -> date:
    """When a person who received on `received_on` what step `n` is about must have acted (step 19: have activated the account).

    Raises ValueError if that step's term does not run from each person's own receipt.
    """
    deadline = reckoning.plan.step(n).deadline
    if not isinstance(deadline, WorkdaysAfterOwnReceipt):
        raise ValueError(f"step {n} has one date for all")
    return reckoning.calendar.add(received_on, deadline.n, reckoning.count_from)


def deadline_state(
    due: date | None, first_completed_on: date | None, today: date, adopted_on: date, calendar: Calendar, due_soon_wd: int
) -> DeadlineState:
    """How a step stands on `today` against its date, `due`. So many working days before that it is due soon.

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
    return "due_soon" if calendar.between(today, due) <= due_soon_wd else "on_track"


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


def _dues(reckoning: Reckoning, anchor_day: Callable[[int, date | None], date | None], received_last: Mapping[int, date]) -> dict[int, Due]:
    plan, calendar, count_from = reckoning.plan, reckoning.calendar, reckoning.count_from
    dues: dict[int, Due] = {}

    def latest_anchor(step: Step) -> tuple[Anchor | None, date | None]:
        latest: tuple[Anchor | None, date | None] = None, None
        for one in step.anchors:
            day = reckoning.start if one == "start" else anchor_day(one, dues[one].day)
            if day is None:
                if one != "start" and has_blank_date(plan, plan.step(one)):
                    continue  # a row that has no date holds up nothing, until it is done
                return None, None
            if latest[1] is None or day > latest[1]:
                latest = one, day
        return latest

    def after(step: Step, one: Anchor | None, day: date | None, n: int) -> Due:
        if day is None:
            return Due(None, f"{_working_days(n)} after {_named(*step.anchors)}: not known yet", working_days=n)
        return Due(calendar.add(day, n, count_from), f"{_working_days(n)} after {_named(one or 'start')}", one, day, n)

    def computed(step: Step) -> Due:
        match step.deadline:
            case FixedDate(date=day):
                return Due(calendar.roll_forward(day), "a fixed date, on the next working day if it is a day off", anchor_day=day)
            case WorkdaysAfterAnchor(n=n, stated=stated):
                counted_from_start = reckoning.anchor == "plan_start" and not stated
                return after(step, "start", reckoning.start, n) if counted_from_start else after(step, *latest_anchor(step), n)
            case WorkdaysAfterOwnReceipt(n=n):
                received = received_last.get(step.n)
                if received is None:
                    return after(step, *latest_anchor(step), n)
                day = calendar.add(received, n, count_from)
                return Due(day, f"{_working_days(n)} after each person's own receipt, of which this is the latest", None, received, n)
            case MergedWith(step=other):
                match plan.options.blanks:
                    case "merge_up":
                        return dues[other]._replace(rule=f"as step {other}, into whose cell this one was merged: {dues[other].rule}")
                    case "none":
                        return Due(None, "the cell is blank, which is read as no date of its own")
                    case "ask":
                        return Due(None, "the cell is blank: the school has to say a date, which is recorded as an extension")
            case MinistrySchedule():
                if reckoning.scheduled is None:
                    return Due(None, "as the ministry's schedule says, which is not known yet")
                return Due(reckoning.scheduled, "the day of the last session of the ministry's schedule")
            case Recurring(every=period):
                return Due(None, f"every {period}, again and again")

    for step in plan.in_order:
        dues[step.n] = _extended(computed(step), reckoning.extended.get(step.n), calendar)
    return {step.n: dues[step.n] for step in plan.steps}


def has_blank_date(plan: Plan, step: Step) -> bool:
    """Whether the step's cell is blank and the plan reads that as no date of its own, or as one that the school says."""
    return isinstance(step.deadline, MergedWith) and plan.options.blanks != "merge_up"


def _extended(due: Due, until: date | None, calendar: Calendar) -> Due:
    """A date with its extension, which moves it back and never forward."""
    if until is None:
        return due
    day = calendar.roll_forward(until)
    if due.day is None:
        return Due(day, "the date that was said for this step, on the next working day if it is a day off", anchor_day=until)
    if day <= due.day:
        return due
    return Due(day, f"extended to {until}; without that on {due.day}, {due.rule}")


def _working_days(n: int) -> str:
    return "1 working day" if n == 1 else f"{n} working days"


def _named(*anchors: Anchor) -> str:
    return " and ".join("the plan's start" if one == "start" else f"step {one}" for one in anchors)
