"""Answers made of boards: a school's rows, the region's sums, and why a step stands where it stands.

A municipality and the ministry see states and counts, and no count of people from which fewer than five could be told apart (DESIGN 3). The
region that they see is the sum of the rows that they see, so that no number can be had by subtraction. It is of one plan: the same number
is another step in another one.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from itertools import islice
from typing import Any, get_args

from contracts import SERVICES
from contracts.call import Role
from contracts.plan import (
    Board,
    CountingEvent,
    Difference,
    DueReason,
    Explanation,
    RegionRow,
    SkippedDay,
    State,
    StepChanges,
    StepRow,
    TimelineEntry,
    Vector,
)
from eventkit.decider import Refused
from eventkit.tokens import Actor
from plan_tracker.boards import Look, Outline
from plan_tracker.domain.adoption import step_of
from plan_tracker.domain.board import SchoolBoard
from plan_tracker.domain.deadlines import Due, baseline_with_reasons, skipped
from plan_tracker.domain.evidence import evidence, founded_on
from plan_tracker.domain.facts import type_of
from plan_tracker.domain.measures import OF_PEOPLE, RULES, sentence
from plan_tracker.domain.progress import Progress

_LISTED = 100  # of missing people and of events; the totals stand beside them
_PAGE = 50  # schools
_SMALL_GROUP = 5
_MONITORS = (Role.MUNICIPALITY, Role.MINISTRY)
_SEE_PEOPLE = (Role.OPERATOR, Role.DIRECTOR, Role.ADMINISTRATOR)


def school_board(look: Look, school: str, day: date, actor: Actor, known: Mapping[str, int] | None = None) -> Board:
    """A school's rows at the end of a day, from all that is known or from what was known at some positions."""
    board = _board(look, school, known)
    progress = _adopted(board, day)
    rows = board.rows(day)
    parked = look.parked(school)
    return Board(
        school=school,
        plan=progress.adoption.plan.name,
        revision=progress.adoption.revision,
        rules=RULES,
        as_of=day,
        at=_at(look, known),
        calendar=progress.adoption.calendar.digest,
        incomplete=bool(parked),
        parked=parked or None,
        steps=tuple(_without_small_groups(progress, row) for row in rows) if actor.role in _MONITORS else rows,
    )


def region_board(
    look: Look, day: date, actor: Actor, known: Mapping[str, int] | None, *, plan: str | None = None, page_after: str | None = None
) -> Board:
    """The sums over the schools that follow a plan, or a municipality's; with `page_after` also the boards of the next schools after it.

    Without `plan` it is the plan that most schools follow; of several, the first by name.
    """
    every = {
        school: outline
        for school, outline in (look.outlines() if known is None else look.outlines_as_known(known)).items()
        if outline.progress.adoption.day <= day and (actor.role is not Role.MUNICIPALITY or outline.municipality == actor.scope)
    }
    followed = Counter(outline.progress.adoption.plan.name for outline in every.values())
    chosen = plan or min(followed, key=lambda name: (-followed[name], name), default=None)
    outlines = {school: outline for school, outline in every.items() if outline.progress.adoption.plan.name == chosen}
    others = {name: followed[name] for name in sorted(followed) if name != chosen}
    page = None
    if page_after is not None:
        page = tuple(school_board(look, school, day, actor, known) for school in islice((s for s in outlines if s > page_after), _PAGE))
    return Board(
        plan=chosen,
        rules=RULES,
        as_of=day,
        at=_at(look, known),
        schools=len(outlines),
        incomplete=sum(bool(look.parked(school)) for school in outlines),
        other_plans=others or None,
        steps=_sums(outlines, day, for_monitors=actor.role in _MONITORS),
        by_school=page,
    )


def explanation(look: Look, school: str, n: int, day: date, actor: Actor, known: Mapping[str, int] | None = None) -> Explanation:
    """Why a step of a school stands where it stands at the end of a day.

    Who sees no people is told neither who is missing nor which events count, where a step counts people; a class teacher neither.
    """
    board = _board(look, school, known)
    progress = _adopted(board, day)
    adoption = progress.adoption
    step = step_of(adoption.plan, n)
    row = next(row for row in board.rows(day) if row.step == n)
    if actor.role in _MONITORS:
        row = _without_small_groups(progress, row)
    missing = board.missing(n, day)
    missing_total = 0 if row.suppressed else len(missing)
    events = evidence(step, look.documents(school, known), day)
    if step.measure in OF_PEOPLE and actor.role not in _SEE_PEOPLE:
        missing, events = [], []
    if row.state == "waived":
        missing, missing_total = [], 0  # nothing is waited for
    rule = sentence(
        step.measure,
        threshold=step.goal,
        positions=step.required_positions,
        withdrawal_reopens=adoption.plan.options.withdrawal_reopens,
    )
    frozen = baseline_with_reasons(adoption.reckoning)[n]
    return Explanation(
        school=school,
        plan=adoption.plan.name,
        revision=adoption.revision,
        rules=RULES,
        calendar=adoption.calendar.digest,
        incomplete=bool(look.parked(school)),
        step=n,
        title_ru=step.title_ru,
        title_en=step.title_en,
        deadline_ru=step.deadline_ru,
        rule=rule.en,
        rule_ru=rule.ru,
        row=row,
        as_of=day,
        at=_at(look, known),
        granted=None if row.suppressed or actor.role in _MONITORS else board.granted(n, day),
        warnings=tuple(before for before in step.informed_by if not progress.is_over(before, day)),
        missing=tuple(missing[:_LISTED]),
        missing_total=missing_total,
        events=tuple(
            CountingEvent(
                service=one.key.source,
                position=one.fact[1],
                type=type_of(one.key, one.fact),
                happened_on=date.fromordinal(one.fact[0]),
                annulled=one.annulled,
            )
            for one in events[-_LISTED:]
        ),
        events_total=len(events),
        annulled_total=sum(one.annulled for one in events),
        baseline=_reason(progress, frozen._replace(day=adoption.baseline.get(n))),
        live=_reason(progress, board.live(day)[n]),
        timeline=tuple(TimelineEntry(day=date.fromordinal(at), change=change) for at, change in progress.changes(n, day)),
    )


def resting_on(look: Look, school: str, n: int, day: date, known: Mapping[str, int]) -> list[tuple[str, int]]:
    """Source and position of every event that an explanation rests on, in order: those that move the step's measure, and those that say
    by which plan and calendar it counts. Where its term runs from another step, that one has an explanation of its own.
    """
    adoption, documents = _adopted(_board(look, school, known), day).adoption, look.documents(school, known)
    found = evidence(step_of(adoption.plan, n), documents, day) + founded_on(documents, adoption.calendar.digest, day)
    return sorted({(one.key.source, one.fact[1]) for one in found}, key=lambda place: (SERVICES.index(place[0]), place[1]))


def difference(before: Board, after: Board) -> Difference:
    """What two boards of the same scope differ in, step by step and field by field."""
    rows = {row.step: row for row in before.steps}
    later = {row.step: row for row in after.steps}
    steps: list[StepChanges] = []
    for n in sorted({*rows, *later}):
        old, new = (_fields(found.get(n)) for found in (rows, later))
        changes = {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}
        if changes:
            steps.append(StepChanges(step=n, changes=changes))
    return Difference(school=before.school, plan=after.plan, before=_vector(before), after=_vector(after), steps=tuple(steps))


def _fields(row: StepRow | RegionRow | None) -> dict[str, Any]:
    return {} if row is None else row.model_dump(mode="json", exclude={"step"})


def _vector(board: Board) -> Vector:
    return Vector(as_of=board.as_of, at=board.at, rules=board.rules, revision=board.revision, calendar=board.calendar)


def _at(look: Look, known: Mapping[str, int] | None) -> dict[str, int]:
    return look.at if known is None else {source: known.get(source, 0) for source in SERVICES}


def _board(look: Look, school: str, known: Mapping[str, int] | None) -> SchoolBoard:
    """The board of a school. Raises Refused `plan.not-adopted` where it was not known by then that it has a plan."""
    board = look.board(school) if known is None else look.board_as_known(school, known)
    if known is not None and board.progress() is None and look.board(school).progress() is not None:
        raise Refused("plan.not-adopted", f"It was not known by then that school {school} has adopted a plan.")
    return board


def _adopted(board: SchoolBoard, day: date) -> Progress:
    progress = board.progress()
    if progress is None or progress.adoption.day > day:
        when = "" if progress is None else f" by {day}: it did on {progress.adoption.day}"
        raise Refused("plan.not-adopted", f"School {board.school} has not adopted a plan{when}.", "`vekha plan adopt` starts one.")
    return progress.on(day)


def _without_small_groups(progress: Progress, row: StepRow) -> StepRow:
    if row.done is None or row.total is None or progress.adoption.plan.step(row.step).measure not in OF_PEOPLE:
        return row
    if _is_small(row.done, row.total):
        return row.model_copy(update={"done": None, "total": None, "late": None, "suppressed": True})
    if row.late is not None and row.late > 0 and _is_small(row.late, row.total - row.done):
        return row.model_copy(update={"late": None, "suppressed": True})
    return row


def _is_small(group: int, of: int) -> bool:
    """Whether a group, or what it leaves, is so small that people could be told from it."""
    return 0 < group < _SMALL_GROUP or 0 < of - group < _SMALL_GROUP


def _sums(outlines: Mapping[str, Outline], day: date, *, for_monitors: bool) -> tuple[RegionRow, ...]:
    states = defaultdict[int, Counter[str]](Counter)
    sums = defaultdict[int, list[int]](lambda: [0, 0, 0, 0])
    for outline in outlines.values():
        for step, standing in zip(outline.progress.on(day).adoption.plan.steps, outline.on(day), strict=True):
            states[step.n][standing.state] += 1
            total = sums[step.n]
            total[2] += standing.deadline == "overdue"
            if for_monitors and step.measure in OF_PEOPLE and _is_small(standing.done, standing.total):
                total[3] += 1
                continue
            total[0] += standing.done
            total[1] += standing.total
    return tuple(
        RegionRow(
            step=n,
            states={state: states[n][state] for state in get_args(State) if states[n][state]},
            done=sums[n][0],
            total=sums[n][1],
            overdue=sums[n][2],
            suppressed=sums[n][3],
        )
        for n in sorted(sums)
    )


def _reason(progress: Progress, due: Due) -> DueReason:
    calendar, days = progress.adoption.calendar, []
    if due.day is not None and due.anchor_day is not None:
        after = due.anchor_day if due.working_days is not None else due.anchor_day - timedelta(days=1)
        days = [SkippedDay(day=day, why=why) for day, why in skipped(calendar, after, due.day)]
    return DueReason(
        due=due.day,
        rule=due.rule,
        anchor_step=None if due.anchor == "start" else due.anchor,
        anchor_day=due.anchor_day,
        working_days=due.working_days,
        calendar=calendar.digest if due.day is not None else None,
        provisional=due.day is not None and calendar.is_provisional(due.day),
        skipped=tuple(days),
    )
