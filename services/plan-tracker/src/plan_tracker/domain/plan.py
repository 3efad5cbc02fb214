"""The plan as data: its steps, who answers for each, when it is due and what measures it.

A plan is a YAML file of `plan_tracker/plans`; the one of order 39/2 explains its fields at its head. `load_plan` checks a file before
anything is computed from it, and says in which line it is wrong: another order is another file and not a line of code.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Final, Literal, NoReturn

import yaml
from pydantic import ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from contracts.event import Identifier
from contracts.plan import AnchorReading, CountFrom, Reminders, Responsible, Week
from contracts.roster import Position
from plan_tracker import plans

MEASURES: Final = frozenset(
    {
        "attested",  # no events prove it: an authorised role has to say so
        "training-attended",  # step 1
        "access-received",  # step 2
        "data-verified",  # step 3
        "active-coordinator",  # step 4
        "workplaces",  # step 5
        "school-order",  # step 6
        "coordinators-trained",  # step 7
        "staff-decided",  # step 8
        "periods-defined",  # step 9
        "bells-defined",  # step 10
        "lists-filled",  # step 11
        "classes-created",  # step 12
        "families-decided",  # step 13
        "families-entered",  # step 14
        "pupils-assigned",  # step 15
        "timetables-published",  # step 16
        "consultations-held",  # step 17
        "credentials-out",  # step 18
        "accounts-activated",  # step 19
        "data-checked",  # step 20
        "activity-rated",  # step 21
    }
)
"""The names by which a plan may ask for a way to derive from events that a step is done."""

ALL_POINTS: Final = 100
"""Of an activity rating."""

OF_PERIODS: Final = frozenset({"attested", "data-checked"})
"""The measures that can be asked for again in every period."""

ATTESTED: Final = frozenset({"attested", "workplaces"})
"""The measures that need somebody responsible to say something."""

Anchor = PositiveInt | Literal["start"]
"""What begins a term: a step that is done, or the day the plan starts."""

Blanks = Literal["merge_up", "none", "ask"]
"""How a blank deadline cell is read: as merged with the row above, as no date at all, or as a date that the school will say."""

_only_these_fields = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_only_these_fields)
class FixedDate:
    """Due on `date`, or on the next working day if that is a day off (ГК РФ ст. 193)."""

    kind: Literal["fixed_date"]
    date: date


@dataclass(frozen=True, config=_only_these_fields)
class WorkdaysAfterAnchor:
    """Due `n` working days after the latest of the step's anchors.

    `stated`: the source itself says from when, so the term keeps its anchor when all others are counted from the plan's start.
    """

    kind: Literal["wd_after_anchor"]
    n: PositiveInt
    stated: bool = False


@dataclass(frozen=True, config=_only_these_fields)
class WorkdaysAfterOwnReceipt:
    """Due, for each person, `n` working days after what that person received; for the step as a whole, after its anchor."""

    kind: Literal["wd_after_own_receipt"]
    n: PositiveInt


@dataclass(frozen=True, config=_only_these_fields)
class MergedWith:
    """Due when `step` is: a blank cell of the source, into which that step's cell was merged."""

    kind: Literal["merged_with"]
    step: PositiveInt


@dataclass(frozen=True, config=_only_these_fields)
class MinistrySchedule:
    """Due when the ministry's schedule says, which is unknown until it is published."""

    kind: Literal["ministry_schedule"]


@dataclass(frozen=True, config=_only_these_fields)
class Recurring:
    """Never due and never done: checked anew every period."""

    kind: Literal["recurring"]
    every: Literal["week"]
    first_after: PositiveInt | None = None
    """The step after whose first completion the first period begins; None for the plan's start."""


Deadline = FixedDate | WorkdaysAfterAnchor | WorkdaysAfterOwnReceipt | MergedWith | MinistrySchedule | Recurring


@dataclass(frozen=True, config=_only_these_fields)
class Step:
    """One row of the plan."""

    n: PositiveInt
    title_ru: str
    title_en: str
    responsible: tuple[Responsible, ...]
    deadline_ru: str
    """The source's own words; empty for a blank cell."""
    deadline: Annotated[Deadline, Field(discriminator="kind")]
    measure: str
    anchors: tuple[Anchor, ...] = ()
    reminders: Reminders = "default"
    """Which of the profiles of reminders the step has: whom its dates concern, and when they are told (DOMAIN 6)."""
    informed_by: tuple[PositiveInt, ...] = ()
    """Steps that one better does first. They warn, they move no date and refuse nothing."""
    required_positions: tuple[Position, ...] = ()
    """Of training: who must attend a session even if nobody named them for one."""
    required_lists: tuple[Identifier, ...] = ()
    """The reference lists that must be filled."""
    threshold: PositiveInt | None = None
    """What the measure's number must reach, in that measure's unit; None for all that it counts."""

    @property
    def goal(self) -> int:
        """What the measure's number must reach: the threshold, by default one of what there need not be more of, or all points."""
        return self.threshold or (ALL_POINTS if self.measure == "activity-rated" else 1)

    @property
    def predecessors(self) -> tuple[int, ...]:
        """The anchors that are steps: this step is blocked by those that are not done."""
        return tuple(anchor for anchor in self.anchors if anchor != "start")


@dataclass(frozen=True, config=_only_these_fields)
class Order:
    """The order whose annex the plan is."""

    number: str
    date: date


@dataclass(frozen=True, config=_only_these_fields)
class Options:
    """What a region decides about a plan. Week, count and anchor are what a school gets that adopts the plan without saying otherwise."""

    week: Week = 5
    count_from: CountFrom = "next_day"
    relative_anchor: AnchorReading = "after_predecessors"
    blanks: Blanks = "merge_up"
    withdrawal_reopens: bool = False
    """Whether a withdrawn consent undoes what was decided; else it only ends it (DOMAIN 3)."""
    grace_wd: PositiveInt = 10
    """A newcomer's own term in the step that hands credentials out, from the own entry."""
    due_soon_wd: PositiveInt = 3
    """So many working days before its date a step is due soon."""


@dataclass(frozen=True, config=_only_these_fields)
class Plan:
    """A plan and its revision. A school that adopted a revision keeps it until it adopts a newer one."""

    name: str
    revision: PositiveInt
    title_ru: str
    title_en: str
    order: Order
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    options: Options = Options()

    def step(self, n: int) -> Step:
        """The step with the number `n`. Raises KeyError if the plan has none."""
        return self.steps_by_number[n]

    @cached_property
    def in_order(self) -> tuple[Step, ...]:
        """The steps, each after those that its date is computed from."""
        edges = {step.n: _computed_from(step) for step in self.steps}
        return tuple(self.steps_by_number[n] for n in TopologicalSorter(edges).static_order())

    @cached_property
    def steps_by_number(self) -> dict[int, Step]:
        return {step.n: step for step in self.steps}


def _computed_from(step: Step) -> tuple[int, ...]:
    match step.deadline:
        case MergedWith(step=other):
            return (*step.predecessors, other)
        case Recurring(first_after=int() as other):
            return (*step.predecessors, other)
        case _:
            return step.predecessors


class PlanInvalid(ValueError):
    """A plan's file cannot be used; the text names file, line and what to mend. `code` is one of
    plan.unknown, plan.unknown-revision, plan.malformed, plan.duplicate-step, plan.unknown-measure, plan.missing-predecessor, plan.cycle."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@cache
def load_plan(name: str, revision: int | None = None) -> Plan:
    """The plan `name` of this service, checked: its newest revision, or an earlier one. Raises PlanInvalid."""
    # A name comes with a call: only one that is listed may become a file's path.
    if name not in plans.names():
        raise PlanInvalid("plan.unknown", f"there is no plan {name!r}: choose one of {', '.join(plans.names())}")
    if revision is None:
        return read_plan(name, plans.text(name))
    newest = load_plan(name)
    if revision == newest.revision:
        return newest
    if revision not in plans.earlier_revisions(name):
        text = f"there is no revision {revision} of {name}, of which the newest is {newest.revision}: run a program that carries it"
        raise PlanInvalid("plan.unknown-revision", text)
    file = plans.file(name, revision)
    earlier = read_plan(name, plans.text(name, revision), file=file)
    if earlier.revision != revision:
        raise PlanInvalid("plan.malformed", f"{file}:1: this is revision {earlier.revision}: name the file after its revision")
    return earlier


def read_plan(name: str, text: str, *, file: str | None = None) -> Plan:
    """The plan that `text` describes, the content of `file` (by default `<name>.yaml`). Raises PlanInvalid."""
    file = file or plans.file(name)
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as wrong:
        line = wrong.problem_mark.line + 1 if wrong.problem_mark else 1
        raise PlanInvalid("plan.malformed", f"{file}:{line}: this is no YAML: {wrong.problem}") from None
    try:
        fields = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as wrong:  # a day that is in no calendar, say: YAML tells nothing of where it stands
        line = next(_unreadable_lines(root), 1)
        raise PlanInvalid("plan.malformed", f"{file}:{line}: this cannot be read: {wrong}") from None

    def refuse(code: str, path: Iterable[str | int], text: str) -> NoReturn:
        raise PlanInvalid(code, f"{file}:{_line(root, path)}: {text}")

    if (twice := _named_twice(root)) is not None:
        raise PlanInvalid("plan.malformed", f"{file}:{twice.start_mark.line + 1}: {twice.value!r} stands there twice: drop one of the two")
    if not isinstance(fields, dict):
        refuse("plan.malformed", (), "a plan has fields: see the head of mo-2015-school-portal.yaml")
    try:
        plan = _plans.validate_python({**fields, "name": name})
    except ValidationError as wrong:
        first = wrong.errors()[0]
        refuse("plan.malformed", first["loc"], f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    _check(plan, refuse)
    return plan


def _check(plan: Plan, refuse: Callable[[str, Iterable[str | int], str], NoReturn]) -> None:
    numbers = [step.n for step in plan.steps]
    for i, step in enumerate(plan.steps):
        if step.n in numbers[:i]:
            refuse("plan.duplicate-step", ("steps", i, "n"), f"step {step.n} stands there twice: give each its own number")
        if step.measure not in MEASURES:
            text = f"step {step.n} has an unknown measure {step.measure!r}: choose one of {', '.join(sorted(MEASURES))}"
            refuse("plan.unknown-measure", ("steps", i, "measure"), text)
        for field, named in (("anchors", step.predecessors), ("deadline", _computed_from(step)), ("informed_by", step.informed_by)):
            for n in named:
                if n not in numbers:
                    text = f"step {step.n} names step {n}, which is not there: add that step or name another"
                    refuse("plan.missing-predecessor", ("steps", i, field), text)
        if isinstance(step.deadline, WorkdaysAfterAnchor | WorkdaysAfterOwnReceipt) and not step.anchors:
            text = f"step {step.n} counts from an anchor and has none: name steps, or `start`"
            refuse("plan.malformed", ("steps", i, "deadline"), text)
        if (misfit := _misfit(step)) is not None:
            field, text = misfit
            refuse("plan.malformed", ("steps", i, field), f"step {step.n} {text}")
    try:
        _ = plan.in_order
    except CycleError as wrong:
        circle: list[int] = wrong.args[1]
        text = f"steps wait for each other in a circle, {' → '.join(map(str, circle))}: drop one of these anchors"
        refuse("plan.cycle", ("steps", numbers.index(circle[0]), "anchors"), text)


def _misfit(step: Step) -> tuple[str, str] | None:
    """The field in which a step asks for what cannot be measured so, and why."""
    recurs = isinstance(step.deadline, Recurring)
    if recurs and step.measure not in OF_PERIODS:
        return "measure", f"recurs, so it is measured by one of {', '.join(sorted(OF_PERIODS))}"
    if step.measure == "data-checked" and not recurs:
        return "deadline", "is checked period by period: give it a recurring deadline"
    if step.measure == "lists-filled" and not step.required_lists:
        return "measure", "asks for reference lists and names none: add `required_lists`"
    if isinstance(step.deadline, WorkdaysAfterOwnReceipt) and step.measure != "accounts-activated":
        return "deadline", "runs from each person's own receipt, which only accounts-activated counts"
    return None


_plans: Final = TypeAdapter(Plan)


def _unreadable_lines(root: yaml.Node | None) -> Iterator[int]:
    """The lines of values that have the form of a date and are none."""
    match root:
        case yaml.ScalarNode(value=str() as value):
            try:
                yaml.safe_load(value)
            except (ValueError, yaml.YAMLError):
                yield root.start_mark.line + 1
        case yaml.MappingNode(value=fields):
            for _, field in fields:
                yield from _unreadable_lines(field)
        case yaml.SequenceNode(value=items):
            for item in items:
                yield from _unreadable_lines(item)
        case _:
            pass


def _named_twice(node: yaml.Node | None) -> yaml.ScalarNode | None:
    """The first field that a mapping names a second time, of which YAML itself keeps the last and says nothing."""
    match node:
        case yaml.MappingNode(value=fields):
            seen = set[str]()
            for field, value in fields:
                if field.value in seen:
                    return field
                seen.add(field.value)
                if (found := _named_twice(value)) is not None:
                    return found
        case yaml.SequenceNode(value=items):
            return next((found for item in items if (found := _named_twice(item)) is not None), None)
        case _:
            pass
    return None


def _line(node: yaml.Node | None, path: Iterable[str | int]) -> int:
    """The line of the field at `path`, or of what would hold it if it is not there."""
    for key in path:
        match node, key:
            case yaml.MappingNode(value=fields), _:
                node = next((value for field, value in fields if field.value == key), node)
            case yaml.SequenceNode(value=items), int() if key < len(items):
                node = items[key]
            case _:
                break
    return node.start_mark.line + 1 if node else 1
