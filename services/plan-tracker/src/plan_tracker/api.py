"""The commands of the plan tracker: what a school, and those above it, decide about its plan."""

import uuid
from datetime import date

from contracts.event import NO_SCHOOL
from contracts.plan import (
    ADOPT_PLAN,
    ATTEST_STEP,
    REGISTER_ORDER,
    REVOKE_ORDER,
    AdoptPlan,
    AttestStep,
    CalendarTable,
    OrderRegistered,
    PlanAdoptedReply,
    RegisterOrder,
    RevokeOrder,
)
from contracts.roster import Done
from eventkit.answering import Caller
from eventkit.decider import Refused
from eventkit.service import Service, happened_on
from eventkit.store import Transaction
from plan_tracker.domain.adoption import Adopt, Attest, in_force, pinned_calendar, same_plan, school_plan
from plan_tracker.domain.adoption import RegisterOrder as Register
from plan_tracker.domain.adoption import RevokeOrder as Revoke
from plan_tracker.domain.deadlines import baseline, years_to_pin
from plan_tracker.domain.plan import PlanInvalid, load_plan
from plan_tracker.projections import opening, time_zone
from workdays import russian_calendar

_MOST_YEARS_AWAY = 10  # a start further away is a slip of the pen


def register(service: Service) -> None:
    """Makes a service carry out the plan's commands."""
    plans = school_plan()

    @service.command(ADOPT_PLAN)
    def adopt(request: AdoptPlan, transaction: Transaction, caller: Caller) -> PlanAdoptedReply:
        today = _day_of_act(request.school, None, transaction)
        adopted = transaction.state(plans, request.school).adopted
        if adopted is None or not same_plan(adopted, request.plan, request.start, request.week, request.anchor):
            transaction.decide(plans, request.school, _counted(request, transaction, today), school=request.school, happened_on=today)
            adopted = transaction.state(plans, request.school).adopted
            assert adopted is not None  # noqa: S101 -- it was decided on the line before
        return PlanAdoptedReply(plan=adopted.plan, revision=adopted.revision, calendar=adopted.calendar, baseline=adopted.baseline)

    @service.command(ATTEST_STEP)
    def attest(request: AttestStep, transaction: Transaction, caller: Caller) -> Done:
        day = _day_of_act(request.school, request.happened_on, transaction)
        command = Attest(request.step, request.evidence_sha256)
        transaction.decide(plans, request.school, command, school=request.school, happened_on=day)
        return Done()

    @service.command(REGISTER_ORDER)
    def register_order(request: RegisterOrder, transaction: Transaction, caller: Caller) -> OrderRegistered:
        day = _day_of_act(request.school, request.happened_on, transaction)
        command = Register(uuid.uuid4().hex, request.evidence_sha256)
        transaction.decide(plans, request.school, command, school=request.school, happened_on=day)
        order = in_force(transaction.state(plans, request.school), request.evidence_sha256)
        return OrderRegistered(order=order or command.order)

    @service.command(REVOKE_ORDER)
    def revoke_order(request: RevokeOrder, transaction: Transaction, caller: Caller) -> Done:
        day = _day_of_act(request.school, request.happened_on, transaction)
        transaction.decide(plans, request.school, Revoke(request.order), school=request.school, happened_on=day)
        return Done()


def _day_of_act(school: str, asked: date | None, transaction: Transaction) -> date:
    return happened_on(asked, transaction.now, time_zone(school, transaction.rows(opening(school))))


def _counted(request: AdoptPlan, transaction: Transaction, today: date) -> Adopt:
    """The adoption with its dates, on a calendar that is pinned from then on."""
    if abs(request.start.year - today.year) > _MOST_YEARS_AWAY:
        raise Refused("plan.start-too-far", f"A plan starts within {_MOST_YEARS_AWAY} years of today, not on {request.start}.")
    try:
        plan = load_plan(request.plan)
    except PlanInvalid as invalid:
        raise Refused(invalid.code, str(invalid)) from invalid
    calendar = russian_calendar(years_to_pin(plan, request.start, today), request.week)
    table = CalendarTable(digest=calendar.digest, table=calendar.table())
    transaction.decide(pinned_calendar, calendar.digest, table, school=NO_SCHOOL, happened_on=today)
    dues = baseline(plan, request.start, calendar, request.anchor)
    return Adopt(
        plan=plan.name,
        revision=plan.revision,
        start=request.start,
        week=request.week,
        anchor=request.anchor,
        count_from=plan.count_from,
        calendar=calendar.digest,
        baseline={str(n): due for n, due in dues.items()},
    )
