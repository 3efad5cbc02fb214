"""What the tracker tells others of a school's plan: steps completed and reopened, dates that come near, dates that have passed.

Announcements are consequences: no board is computed from them (DESIGN 2.5). What was announced is compared with the timeline as it is known
now, so a fact that arrives late announces what it changes, and corrects what no longer holds. Timed notices are said on their day or not at
all; only that a date has passed is said later, too, and then once.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple

from contracts.event import Event
from contracts.plan import AnnouncementCorrected, DeadlineApproaching, Reminders, StepBecameOverdue, StepCompleted, StepReopened
from eventkit.decider import Decider
from eventkit.event import Recorded
from plan_tracker.domain.deadlines import Due
from plan_tracker.domain.plan import FixedDate, MergedWith, Plan, Step, WorkdaysAfterAnchor, WorkdaysAfterOwnReceipt
from plan_tracker.domain.progress import Adoption, Progress
from plan_tracker.domain.timeline import Periods

Announcement = StepCompleted | StepReopened | DeadlineApproaching | StepBecameOverdue

_DAY = timedelta(days=1)

LEADS_WD: Mapping[Reminders, tuple[int, ...]] = {"default": (3, 1, 0), "one_day": (0,), "director": (5, 1, 0), "person": (3, 1, 0)}
"""So many working days before its date a step is announced to be near, by the profile of its reminders; one of one day at the start of its
term, too (DOMAIN 6)."""

OVERDUE_WD = (1, 3, 5)
"""So many working days after its date a step that is not done is announced to be overdue."""

PERSON_LEADS_WD = (3, 0)
PERSON_OVERDUE_WD = (1, 5)
"""So many working days before and after the own date of a person it is told to the person, or counted for whoever looks after the class."""


class Said(NamedTuple):
    """What makes an announcement the same one: nothing is announced twice."""

    kind: Literal["step-completed", "step-reopened", "deadline-approaching", "step-became-overdue"]
    revision: int
    step: int
    day: date


@dataclass(frozen=True)
class Announced:
    """What was announced in one school, by the id of its event where it still holds, and how often each was corrected."""

    holding: Mapping[Said, str] = field(default_factory=dict[Said, str])
    corrected: Mapping[Said, int] = field(default_factory=dict[Said, int])
    overdue: Collection[tuple[int, date]] = frozenset()
    """The dates of steps that were announced to have passed, by whichever revision of the plan."""

    @classmethod
    def read(cls, history: Iterable[Recorded]) -> "Announced":
        """From the history of the school's announcements."""
        holding: dict[Said, str] = {}
        corrected: dict[Said, int] = {}
        overdue: set[tuple[int, date]] = set()
        for recorded in history:
            event = recorded.event()
            if isinstance(event, AnnouncementCorrected):
                gone = corrects(event)
                holding.pop(gone, None)
                corrected[gone] = corrected.get(gone, 0) + 1
            elif isinstance(event, Announcement):
                holding[said(event)] = recorded.id
                if isinstance(event, StepBecameOverdue):
                    overdue.add((event.step, event.due))
        return cls(holding, corrected, overdue)


def said(event: Announcement) -> Said:
    match event:
        case StepCompleted():
            return Said("step-completed", event.revision, event.step, event.day)
        case StepReopened():
            return Said("step-reopened", event.revision, event.step, event.day)
        case DeadlineApproaching():
            return Said("deadline-approaching", event.revision, event.step, event.day)
        case StepBecameOverdue():
            return Said("step-became-overdue", event.revision, event.step, event.day)


def corrects(event: AnnouncementCorrected) -> Said:
    return Said(event.kind, event.revision, event.step, event.day)


# ---- What there is to say ---------------------------------------------------------------------------------------------


def corrections(progress: Progress, announced: Announced, through: date) -> list[AnnouncementCorrected]:
    """Completions and reopenings up to a day that were announced and, as is known now, did not happen on that day."""
    true = {said(event) for event in changes(progress, through)}
    return [
        AnnouncementCorrected(corrects=event_id, step=one.step, revision=one.revision, kind=one.kind, day=one.day)
        for one, event_id in sorted(announced.holding.items(), key=lambda item: (item[0].day, item[0].step))
        if (one.kind == "step-completed" or one.kind == "step-reopened") and one.day <= through and one not in true
    ]


def changes(progress: Progress, through: date) -> list[StepCompleted | StepReopened]:
    """Every completion and reopening from the plan's adoption through a day, in the order of days."""
    adopted_on = progress.adoption.day
    found: list[StepCompleted | StepReopened] = []
    held: Progress | None = progress
    while held is not None:
        for n, timeline in held.timelines.items():
            for ordinal, change in timeline.changes(through.toordinal()):
                day = date.fromordinal(ordinal)
                if day < adopted_on or progress.on(day) is not held:
                    continue  # what was done before the school had a plan is no news, and each day is told by the revision that held then
                event = StepCompleted if change == "completed" else StepReopened
                found.append(event(step=n, revision=held.adoption.revision, day=day))
        held = held.before
    return sorted(found, key=lambda event: (event.day, event.step))


def notices(progress: Progress, dues: Mapping[int, Due], day: date) -> Iterator[DeadlineApproaching | StepBecameOverdue]:
    """The timed notices of a day, from the state at the end of the day before; `dues` are that day's live dates.

    A step whose term has not begun has nothing to be reminded of, one that was ever done is judged already, and a date that had passed
    when the plan was adopted is listed on the board and announced to nobody (DOMAIN 1). The first notice that a date has passed is there
    on every later day in the same words, so that it can be learned late.
    """
    adoption, yesterday = progress.adoption, day - _DAY
    for step in adoption.plan.steps:
        due, timeline = dues[step.n], progress.timelines[step.n]
        if isinstance(timeline, Periods):
            yield from _notices_of_weeks(adoption, step, timeline, day)
        if due.day is None or due.day < adoption.day or progress.first_completed(step.n, yesterday) is not None:
            continue
        if not _term_runs(progress, step, due, yesterday):
            continue
        if due.day >= day and _is_near(progress, step, due, due.day, day):
            yield DeadlineApproaching(
                step=step.n,
                revision=adoption.revision,
                day=day,
                due=due.day,
                working_days=_left(adoption, day, due.day),
                reminders=step.reminders,
                responsible=step.responsible,
            )
        for after in OVERDUE_WD:
            said_of = adoption.calendar.add(due.day, after)
            if said_of == day or (said_of < day and after == OVERDUE_WD[0]):
                yield StepBecameOverdue(
                    step=step.n,
                    revision=adoption.revision,
                    day=said_of,
                    due=due.day,
                    working_days=after,
                    reminders=step.reminders,
                    responsible=step.responsible,
                )


def _notices_of_weeks(adoption: Adoption, step: Step, weeks: Periods, day: date) -> Iterator[DeadlineApproaching | StepBecameOverdue]:
    """What is done every week is reminded of on the week's last day, while it is not done; that two weeks running were missed is overdue
    once, on the next working day, however many follow."""

    def of_week(end: int, said_of: date, working_days: int) -> dict[str, Any]:
        return {
            "step": step.n,
            "revision": adoption.revision,
            "day": said_of,
            "due": date.fromordinal(end),
            "working_days": working_days,
            "reminders": step.reminders,
            "responsible": step.responsible,
        }

    today = day.toordinal()
    if today in weeks.weeks(today) and today in weeks.missed(today) and day >= adoption.day:
        yield DeadlineApproaching(**of_week(today, day, 0))
    ended, missed = weeks.weeks(today - 1), weeks.missed(today - 1)
    if not ended or date.fromordinal(ended[-1]) < adoption.day:
        return
    said_of = adoption.calendar.add(date.fromordinal(ended[-1]), 1)
    two_running = missed[-2:] == list(ended[-2:]) and len(ended) > 1 and ended[-1] - 14 not in missed
    if two_running and said_of <= day:
        yield StepBecameOverdue(**of_week(ended[-1], said_of, 1))


def unsaid(events: Iterable[Announcement], announced: Announced, today: date) -> Iterator[Announcement]:
    """Of what there is to say, what was not said yet and is not too late to be said.

    A completion or a reopening is news whenever it is learned. A notice belongs to its day, and its moment passes with it: who starts late
    or was away reminds nobody of what is past. Only that a date has passed must not be missed by being away, so it is said on a later day,
    in the words of the first notice, unless it was said of that date before.
    """
    for event in events:
        match event:
            case _ if said(event) in announced.holding:
                continue
            case DeadlineApproaching() if event.day < today:
                continue
            case StepBecameOverdue(working_days=1) if (event.step, event.due) in announced.overdue:
                continue
            case StepBecameOverdue() if event.day < today and event.working_days > OVERDUE_WD[0]:
                continue
            case _:
                yield event


def needs_receipts(progress: Progress, day: date) -> bool:
    """Whether a live date may depend on who received what is handed out, and when: a progress knows no person."""
    return any(
        progress.first_completed(step.n, day) is None and any(progress.timelines[n].at(day.toordinal())[0] for n in step.predecessors)
        for step in own_date_steps(progress.adoption.plan)
    )


def has_own_dates(progress: Progress, day: date) -> bool:
    """Whether somebody may have a date of the own that is still open: not everybody is done, and there is something to have received."""
    today = day.toordinal()
    return any(
        not progress.timelines[step.n].is_done(today) and any(progress.timelines[n].at(today)[0] for n in step.predecessors)
        for step in own_date_steps(progress.adoption.plan)
    )


def own_date_steps(plan: Plan) -> list[Step]:
    """The steps in which each person has a date of the own."""
    return [step for step in plan.steps if isinstance(step.deadline, WorkdaysAfterOwnReceipt)]


def _is_near(progress: Progress, step: Step, due: Due, due_on: date, day: date) -> bool:
    """Whether the step's profile has a reminder on this day: so many working days before, or as its term begins (DOMAIN 6)."""
    adoption = progress.adoption
    if step.reminders == "one_day" and due.anchor_day is not None and day == max(due.anchor_day, adoption.day) + _DAY:
        return True
    leads = LEADS_WD.get(step.reminders, ())
    return any(day == adoption.calendar.subtract(due_on, lead) for lead in leads)


def _left(adoption: Adoption, day: date, due: date) -> int:
    """How many working days are left until a date, 0 on the date itself alone. A date set for a day off counts as one."""
    return adoption.calendar.between(day, due) + (day < due and not adoption.calendar.is_workday(due))


def _term_runs(progress: Progress, step: Step, due: Due, day: date) -> bool:
    """Whether the step's live date waits for no other step any more; until then it moves on from day to day."""
    adoption = progress.adoption
    match step.deadline:
        case MergedWith(step=other):
            return _term_runs(progress, adoption.plan.step(other), due, day)
        case FixedDate():
            return True
        case WorkdaysAfterAnchor(stated=False) if adoption.anchor == "plan_start":
            return True
        case WorkdaysAfterOwnReceipt() if due.anchor is None:
            return True  # somebody has received, and that is what the date was computed from
        case _:
            return all(progress.first_completed(n, day) is not None for n in step.predecessors)


# ---- Saying it --------------------------------------------------------------------------------------------------------


def _decide(command: Announcement | AnnouncementCorrected, state: frozenset[Said]) -> Sequence[Event]:
    if isinstance(command, AnnouncementCorrected):
        return [command] if corrects(command) in state else []
    return [] if said(command) in state else [command]


def _evolve(state: frozenset[Said], event: Event) -> frozenset[Said]:
    match event:
        case AnnouncementCorrected():
            return state - {corrects(event)}
        case StepCompleted() | StepReopened() | DeadlineApproaching() | StepBecameOverdue():
            return state | {said(event)}
        case _:
            return state


announcements: Decider[Announcement | AnnouncementCorrected, frozenset[Said]] = Decider("announcements", frozenset(), _decide, _evolve)
"""One school's announcements: the command is what is to be said, and the events are what was not said yet."""
