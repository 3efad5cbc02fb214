"""The calls of the plan tracker: what a school decides about its plan, and the board with its reasons."""

import uuid
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from contracts.event import NO_SCHOOL
from contracts.plan import (
    ADOPT_PLAN,
    ATTEST_STEP,
    EXPLAIN,
    REGISTER_ORDER,
    REVOKE_ORDER,
    STATUS,
    AdoptPlan,
    AttestStep,
    Board,
    CalendarTable,
    ExplainRequest,
    Explanation,
    OrderRegistered,
    PlanAdoptedReply,
    RegisterOrder,
    RevokeOrder,
    StatusRequest,
)
from contracts.roster import Done
from eventkit.answering import Caller
from eventkit.clock import DEFAULT_ZONE, local_day
from eventkit.decider import Refused
from eventkit.event import rfc3339
from eventkit.service import Service, happened_on
from eventkit.store import Transaction
from plan_tracker.answers import explanation, region_board, school_board
from plan_tracker.boards import Boards
from plan_tracker.domain.adoption import Adopt, Attest, in_force, pinned_calendar, same_plan, school_plan
from plan_tracker.domain.adoption import RegisterOrder as Register
from plan_tracker.domain.adoption import RevokeOrder as Revoke
from plan_tracker.domain.deadlines import baseline, years_to_pin
from plan_tracker.domain.plan import PlanInvalid, load_plan
from plan_tracker.known import positions_known_at
from plan_tracker.projections import opening, time_zone
from workdays import russian_calendar

_MOST_YEARS_AWAY = 10  # a start further away is a slip of the pen


def register(service: Service, boards: Boards) -> None:
    """Makes a service answer the plan's calls."""
    _register_commands(service)
    _register_queries(service, boards)


def _register_commands(service: Service) -> None:
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


def _register_queries(service: Service, boards: Boards) -> None:
    @service.query(STATUS)
    async def status(request: StatusRequest, caller: Caller) -> Board:
        school, now = request.school, service.clock.now()
        if caller.actor.school is not None and school is None:
            raise Refused("access.other-school", f"This token is for school {caller.actor.school}: name it.")
        zone = DEFAULT_ZONE
        if school is not None:
            zone = time_zone(school, await service.read(lambda connection: connection.execute(opening(school)).all()))
        known = None
        if request.known_at is not None:
            now = _moment(request.known_at, zone, now)
            known = await positions_known_at(service, rfc3339(now))
        day = _as_of(request.as_of, local_day(now, zone))

        def answer(connection: Connection) -> Board:
            with boards.look(connection) as look:
                if school is not None:
                    return school_board(look, school, day, caller.actor, known)
                return region_board(look, day, caller.actor, known, page_after=(request.after_school or "") if request.by_school else None)

        return await service.read(answer)

    @service.query(EXPLAIN)
    async def explain(request: ExplainRequest, caller: Caller) -> Explanation:
        school = request.school
        zone = time_zone(school, await service.read(lambda connection: connection.execute(opening(school)).all()))
        day = _as_of(request.as_of, local_day(service.clock.now(), zone))

        def answer(connection: Connection) -> Explanation:
            with boards.look(connection) as look:
                return explanation(look, school, request.step, day)

        return await service.read(answer)


def _as_of(asked: date | None, today: date) -> date:
    if asked is not None and asked > today:
        raise Refused("as-of.in-future", f"{asked} has not come yet: the board is known up to {today}.")
    return asked or today


def _moment(text: str, zone: str, now: datetime) -> datetime:
    """A moment from RFC 3339; without an offset, in the school's time."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Refused("known-at.unreadable", f"{text!r} is no time: write RFC 3339, e.g. 2015-09-01T12:00:00+03:00.") from None
    found = found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(zone))
    if found > now:
        raise Refused("known-at.in-future", f"{text} has not come yet.")
    return found
