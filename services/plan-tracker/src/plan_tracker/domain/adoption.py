"""What a school decides about its plan, and what is decided about it: to adopt it, to waive a step, to give more time, to count anew.

Whether a step is done is nobody's decision: the measures say so. Acts of an authority hold from the day on which they are recorded, so no
board of an earlier day changes. Whatever makes due dates be counted anew records in the same breath which of them changed, and why.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from contracts.event import Event
from contracts.plan import (
    AnchorReading,
    BaselineCause,
    BaselineRevised,
    CountFrom,
    DeadlineExtended,
    ExceptionReason,
    ImplementationOrderRegistered,
    ImplementationOrderRevoked,
    PlanAdopted,
    StepAttested,
    StepWaived,
    WaiverRevoked,
    Week,
)
from eventkit.decider import Decider, Refused
from plan_tracker.domain.deadlines import Reckoning, baseline, has_blank_date
from plan_tracker.domain.plan import ATTESTED, Plan, Step, load_plan
from workdays import Calendar


@dataclass(frozen=True)
class Adopt:
    """Starts a plan. `calendar` is the digest of the pinned table that `baseline` was counted on."""

    plan: str
    revision: int
    start: date
    week: Week
    anchor: AnchorReading
    count_from: CountFrom
    calendar: str
    baseline: dict[str, date | None]


@dataclass(frozen=True)
class Attest:
    """`again`: what was attested has changed since, so that it counts no longer."""

    step: int
    evidence_sha256: str | None
    again: bool = False


@dataclass(frozen=True)
class RegisterOrder:
    """`order` is a new id, taken if the order is new."""

    order: str
    evidence_sha256: str | None


@dataclass(frozen=True)
class RevokeOrder:
    order: str


@dataclass(frozen=True)
class Basis:
    """What due dates are counted by when a command makes them be counted anew: a pinned calendar, and the ministry's schedule."""

    calendar: Calendar
    scheduled: date | None


@dataclass(frozen=True)
class Waive:
    step: int
    reason: ExceptionReason


@dataclass(frozen=True)
class RevokeWaiver:
    step: int


@dataclass(frozen=True)
class Extend:
    """`by_school`: said by the school itself, which may only answer for a blank cell."""

    step: int
    due: date
    reason: ExceptionReason
    by_school: bool
    basis: Basis


@dataclass(frozen=True)
class Recount:
    """Count the due dates anew because what they are counted by has changed."""

    cause: BaselineCause
    basis: Basis


@dataclass(frozen=True)
class AdoptRevision:
    """Go on with the newest revision of the plan."""

    basis: Basis


Command = Adopt | Attest | RegisterOrder | RevokeOrder | Waive | RevokeWaiver | Extend | Recount | AdoptRevision


@dataclass(frozen=True)
class SchoolPlan:
    """What a school has decided so far, and what was decided about its plan. Revision, calendar and baseline are the newest."""

    adopted: PlanAdopted | None = None
    revision: int = 0
    calendar: str = ""
    baseline: dict[str, date | None] = field(default_factory=dict[str, date | None])
    extended: dict[int, date] = field(default_factory=dict[int, date])
    waivers: dict[int, ExceptionReason | None] = field(default_factory=dict[int, ExceptionReason | None])
    """By step; None where the waiver was revoked."""
    attested: frozenset[int] = frozenset()
    orders: dict[str, ImplementationOrderRegistered] = field(default_factory=dict[str, ImplementationOrderRegistered])
    """Those in force."""
    revoked: frozenset[str] = frozenset()


LoadPlan = Callable[[str, int | None], Plan]


def school_plan(load: LoadPlan = load_plan) -> Decider[Command, SchoolPlan]:
    """The decider of one school's plan. The plans that there are come from `load`: the newest revision, or a certain one."""

    def decide(command: Command, state: SchoolPlan) -> Sequence[Event]:
        match command:
            case Adopt():
                return _adopt(command, state)
            case RegisterOrder(order, evidence):
                if in_force(state, evidence):
                    return []
                return [ImplementationOrderRegistered(order=order, evidence_sha256=evidence)]
            case RevokeOrder(order):
                if order in state.revoked:
                    return []
                if order not in state.orders:
                    raise Refused("order.unknown", f"This school has no order {order}.", "Registering an order answers with its id.")
                return [ImplementationOrderRevoked(order=order)]
            case _:
                return _of_running_plan(command, state, load)

    return Decider("plan", SchoolPlan(), decide, _evolve, _rests_on)


def _adopt(command: Adopt, state: SchoolPlan) -> Sequence[Event]:
    if state.adopted is not None:
        if same_plan(state.adopted, command):
            return []
        text = f"This school has adopted {state.adopted.plan}, from {state.adopted.start} on, and works through one plan at a time."
        raise Refused("plan.already-adopted", text)
    return [
        PlanAdopted(
            plan=command.plan,
            revision=command.revision,
            start=command.start,
            week=command.week,
            anchor=command.anchor,
            count_from=command.count_from,
            calendar=command.calendar,
            baseline=command.baseline,
        )
    ]


def _of_running_plan(
    command: Attest | Waive | RevokeWaiver | Extend | Recount | AdoptRevision, state: SchoolPlan, load: LoadPlan
) -> Sequence[Event]:
    if state.adopted is None:
        raise not_adopted()
    adopted, plan = state.adopted, load(state.adopted.plan, state.revision)
    match command:
        case Attest(n):
            return _attest(command, step_of(plan, n), state)
        case Waive(n, reason):
            standing = state.waivers.get(step_of(plan, n).n)
            if standing is not None and standing is not reason:
                text = f"Step {n} is waived already, as {standing}. Revoke that waiver to waive it for another reason."
                raise Refused("step.waived", text)
            return [] if standing else [StepWaived(step=n, reason=reason)]
        case RevokeWaiver(n):
            if n not in state.waivers:
                raise Refused("waiver.unknown", f"Step {n} is not waived, so there is nothing to revoke.")
            return [WaiverRevoked(step=n)] if state.waivers[n] else []
        case Extend(n, due, reason):
            if state.extended.get(n) == due:
                return []
            _check_extension(command, plan, step_of(plan, n), adopted, state.baseline.get(str(n)))
            extended = replace(state, extended={**state.extended, n: due})
            return [
                DeadlineExtended(step=n, due=due, reason=reason),
                *_counted_anew(BaselineCause.EXTENSION, extended, adopted, plan, command.basis),
            ]
        case Recount(cause, basis):
            return _counted_anew(cause, state, adopted, plan, basis)
        case AdoptRevision(basis):
            newest = load(adopted.plan, None)
            if newest.revision <= state.revision:
                return []
            return _counted_anew(BaselineCause.PLAN_REVISION, state, adopted, newest, basis)


def _attest(command: Attest, step: Step, state: SchoolPlan) -> Sequence[Event]:
    if step.measure not in ATTESTED:
        text = f"Step {command.step} is derived from what happened, so nobody can say that it is done."
        raise Refused("step.derived", text, f"`vekha plan explain --step {command.step}` says what is missing.")
    if command.step in state.attested and not command.again:
        return []
    return [StepAttested(step=command.step, evidence_sha256=command.evidence_sha256)]


def _check_extension(command: Extend, plan: Plan, step: Step, adopted: PlanAdopted, due: date | None) -> None:
    """Refuses what is no extension: a date leads beyond the one that the step has. A blank that is asked about has none to begin with."""
    to_be_said = due is None and has_blank_date(plan, step) and plan.options.blanks == "ask"
    if command.by_school and not to_be_said:
        text = f"A school cannot give itself more time for step {step.n}: ask the municipality or the ministry."
        raise Refused("extension.not-yours", text)
    if due is None and not to_be_said:
        text = f"Step {step.n} has no date that could be moved."
        raise Refused("deadline.none", text, f"`vekha plan explain --step {step.n}` says why.")
    if command.due < adopted.start:
        raise Refused("deadline.before-start", f"The plan starts on {adopted.start}: nothing can be due on {command.due}.")
    if due is not None and command.basis.calendar.roll_forward(command.due) <= due:
        raise Refused("deadline.not-later", f"Step {step.n} is due on {due} as it is: an extension leads beyond that day.")


def _counted_anew(cause: BaselineCause, state: SchoolPlan, adopted: PlanAdopted, plan: Plan, basis: Basis) -> Sequence[Event]:
    """The due dates as they are counted now, where they or what they are counted by has changed."""
    reckoning = Reckoning(plan, adopted.start, basis.calendar, adopted.anchor, adopted.count_from, basis.scheduled, state.extended)
    dues = {str(n): due for n, due in baseline(reckoning).items()}
    changed = {n: due for n, due in dues.items() if n not in state.baseline or state.baseline[n] != due}
    if not changed and (plan.revision, basis.calendar.digest) == (state.revision, state.calendar):
        return []
    return [BaselineRevised(cause=cause, revision=plan.revision, calendar=basis.calendar.digest, baseline=changed)]


def step_of(plan: Plan, n: int) -> Step:
    """Raises Refused `step.unknown`, with the numbers that there are."""
    try:
        return plan.step(n)
    except KeyError:
        raise Refused("step.unknown", f"The plan has no step {n}: it has {', '.join(str(step.n) for step in plan.steps)}.") from None


def _evolve(state: SchoolPlan, event: Event) -> SchoolPlan:
    match event:
        case PlanAdopted():
            return replace(state, adopted=event, revision=event.revision, calendar=event.calendar, baseline=event.baseline)
        case BaselineRevised():
            baseline = {**state.baseline, **event.baseline}
            return replace(state, revision=event.revision, calendar=event.calendar, baseline=baseline)
        case DeadlineExtended():
            return replace(state, extended={**state.extended, event.step: event.due})
        case StepWaived():
            return replace(state, waivers={**state.waivers, event.step: event.reason})
        case WaiverRevoked():
            return replace(state, waivers={**state.waivers, event.step: None})
        case StepAttested():
            return replace(state, attested=state.attested | {event.step})
        case ImplementationOrderRegistered():
            return replace(state, orders={**state.orders, event.order: event})
        case ImplementationOrderRevoked():
            rest = {order: one for order, one in state.orders.items() if order != event.order}
            return replace(state, orders=rest, revoked=state.revoked | {event.order})
        case _:
            return state  # announcements change nothing


def _rests_on(later: Event, earlier: Event) -> bool:
    """An attestation or a registered order bears nothing but its own revocation; all else bears whatever came after it."""
    match earlier:
        case StepAttested():
            return False
        case ImplementationOrderRegistered(order=order) | ImplementationOrderRevoked(order=order):
            return isinstance(later, ImplementationOrderRegistered | ImplementationOrderRevoked) and later.order == order
        case _:
            return True


def same_plan(adopted: PlanAdopted, command: Adopt) -> bool:
    """Whether adopting this would be saying the same thing twice. The calendar may have been decreed further in the meantime."""
    return (adopted.plan, adopted.start, adopted.week, adopted.anchor, adopted.count_from) == (
        command.plan,
        command.start,
        command.week,
        command.anchor,
        command.count_from,
    )


def in_force(state: SchoolPlan, evidence_sha256: str | None) -> str | None:
    """The order in force with this evidence, if there is one."""
    return next((order for order, one in state.orders.items() if one.evidence_sha256 == evidence_sha256), None)


def not_adopted() -> Refused:
    return Refused("plan.not-adopted", "This school has not adopted a plan.", "`vekha plan adopt` starts one.")
