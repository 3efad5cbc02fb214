"""What a school decides about its plan: to adopt it, that a step which no event proves is done, and its own order (step 6).

Whether a step is done is nobody's decision: the measures say so. The calendar that deadlines are counted on is a stream of its own, one for
each table, so that it is pinned once however many schools adopt a plan on it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from contracts.event import Event
from contracts.plan import (
    AnchorReading,
    CalendarPinned,
    CalendarTable,
    CountFrom,
    ImplementationOrderRegistered,
    ImplementationOrderRevoked,
    PlanAdopted,
    StepAttested,
    Week,
)
from eventkit.decider import Decider, Refused
from plan_tracker.domain.plan import ATTESTED, Plan, load_plan


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
    step: int
    evidence_sha256: str | None


@dataclass(frozen=True)
class RegisterOrder:
    """`order` is a new id, taken if the order is new."""

    order: str
    evidence_sha256: str | None


@dataclass(frozen=True)
class RevokeOrder:
    order: str


@dataclass(frozen=True)
class SchoolPlan:
    """What a school has decided so far."""

    adopted: PlanAdopted | None = None
    attested: frozenset[int] = frozenset()
    orders: dict[str, ImplementationOrderRegistered] = field(default_factory=dict[str, ImplementationOrderRegistered])
    """Those in force."""
    revoked: frozenset[str] = frozenset()


def school_plan(load: Callable[[str], Plan] = load_plan) -> Decider[Adopt | Attest | RegisterOrder | RevokeOrder, SchoolPlan]:
    """The decider of one school's plan. The plans that there are come from `load`."""

    def decide(command: Adopt | Attest | RegisterOrder | RevokeOrder, state: SchoolPlan) -> Sequence[Event]:
        match command:
            case Adopt():
                return _adopt(command, state)
            case Attest():
                return _attest(command, state)
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

    def _attest(command: Attest, state: SchoolPlan) -> Sequence[Event]:
        if state.adopted is None:
            raise not_adopted()
        plan = load(state.adopted.plan)
        if command.step not in {step.n for step in plan.steps}:
            raise Refused("step.unknown", f"The plan has no step {command.step}: it has {len(plan.steps)}.")
        if plan.step(command.step).measure not in ATTESTED:
            text = f"Step {command.step} is derived from what happened, so nobody can say that it is done."
            raise Refused("step.derived", text, f"`vekha plan explain --step {command.step}` says what is missing.")
        if command.step in state.attested:
            return []
        return [StepAttested(step=command.step, evidence_sha256=command.evidence_sha256)]

    return Decider("plan", SchoolPlan(), decide, _evolve)


def _adopt(command: Adopt, state: SchoolPlan) -> Sequence[Event]:
    if state.adopted is not None:
        if same_plan(state.adopted, command.plan, command.start, command.week, command.anchor):
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


def _evolve(state: SchoolPlan, event: Event) -> SchoolPlan:
    match event:
        case PlanAdopted():
            return replace(state, adopted=event)
        case StepAttested():
            return replace(state, attested=state.attested | {event.step})
        case ImplementationOrderRegistered():
            return replace(state, orders={**state.orders, event.order: event})
        case ImplementationOrderRevoked():
            rest = {order: one for order, one in state.orders.items() if order != event.order}
            return replace(state, orders=rest, revoked=state.revoked | {event.order})
        case _:
            return state  # announcements change nothing


def same_plan(adopted: PlanAdopted, plan: str, start: date, week: Week, anchor: AnchorReading) -> bool:
    """Whether adopting this would be saying the same thing twice. The calendar may have been decreed further in the meantime."""
    return (adopted.plan, adopted.start, adopted.week, adopted.anchor) == (plan, start, week, anchor)


def in_force(state: SchoolPlan, evidence_sha256: str | None) -> str | None:
    """The order in force with this evidence, if there is one."""
    return next((order for order, one in state.orders.items() if one.evidence_sha256 == evidence_sha256), None)


def not_adopted() -> Refused:
    return Refused("plan.not-adopted", "This school has not adopted a plan.", "`vekha plan adopt` starts one.")


def _pin(calendar: CalendarTable, pinned: bool) -> Sequence[Event]:
    return [] if pinned else [CalendarPinned(calendar=calendar)]


pinned_calendar: Decider[CalendarTable, bool] = Decider("calendar", False, _pin, lambda _, __: True)
"""One calendar table, under its digest."""
