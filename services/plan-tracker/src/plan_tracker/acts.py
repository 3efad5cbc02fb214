"""What is done about a school's plan, one function an act: each decides, and answers what its caller cannot know."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import date

from contracts.call import AnnulEntry, Role
from contracts.event import NO_SCHOOL
from contracts.plan import (
    AdoptPlan,
    AdoptRevision,
    AttestStep,
    BaselineCause,
    BaselineReply,
    CancelTraining,
    ConsultationHeld,
    ConsultationRecorded,
    EntryAnnulled,
    ExtendDeadline,
    HoldConsultation,
    ImplementationOrderRegistered,
    ImplementationOrderRevoked,
    OrderRegistered,
    OverrideCalendar,
    PlanAdoptedReply,
    RecordAttendance,
    Recount,
    RegisterOrder,
    RevokeOrder,
    RevokeWaiver,
    ScheduleTraining,
    StepAttested,
    TrainingAttended,
    TrainingScheduled,
    WaiveStep,
)
from contracts.roster import Done
from eventkit.annulment import Annulling
from eventkit.answering import Caller
from eventkit.clock import DEFAULT_ZONE
from eventkit.decider import Refused
from eventkit.service import happened_on
from eventkit.store import Transaction
from plan_tracker.domain import adoption, documents, training
from plan_tracker.domain.adoption import Basis, SchoolPlan, in_force, not_adopted, same_plan, school_plan
from plan_tracker.domain.calendars import Override, calendar_overrides, pinned_calendar, table_of
from plan_tracker.domain.consultations import Hold, consultations
from plan_tracker.domain.days import holds
from plan_tracker.domain.deadlines import Reckoning, baseline, years_to_pin
from plan_tracker.domain.measures import workplaces
from plan_tracker.domain.plan import PlanInvalid, Recurring, load_plan
from plan_tracker.domain.training import last_day, scheduled_as
from plan_tracker.projections import facts_by_subject, of_source, opening, time_zone
from workdays import Calendar, Week, russian_calendar

_MOST_YEARS_AWAY = 10  # a date further away is a slip of the pen

_plans = school_plan()


# ---- What a school decides --------------------------------------------------------------------------------------------


def adopt(request: AdoptPlan, transaction: Transaction, caller: Caller) -> PlanAdoptedReply:
    school = request.school
    today = _today(school, transaction)
    command = _counted(request, transaction, today)
    adopted = transaction.state(_plans, school).adopted
    if adopted is None or not same_plan(adopted, command):
        transaction.decide(_plans, school, command, school=school, happened_on=today)
        adopted = transaction.state(_plans, school).adopted
        assert adopted is not None  # noqa: S101 -- it was decided on the line before
    return PlanAdoptedReply(plan=adopted.plan, revision=adopted.revision, calendar=adopted.calendar, baseline=adopted.baseline)


def _counted(request: AdoptPlan, transaction: Transaction, today: date) -> adoption.Adopt:
    """The adoption with its dates, by what the request says and the plan's options where it says nothing."""
    _check_not_too_far(request.start, today, "plan.start-too-far", "A plan starts")
    try:
        plan = load_plan(request.plan)
    except PlanInvalid as invalid:
        raise Refused(invalid.code, str(invalid)) from invalid
    school, options = request.school, plan.options
    week, anchor = request.week or options.week, request.anchor or options.relative_anchor
    calendar = _calendar(years_to_pin(plan, request.start, today), week, school, transaction)
    if transaction.state(_plans, school).adopted is None:
        _pin(calendar, transaction, today)
    scheduled = last_day(transaction.state(training.training, school))
    reckoning = Reckoning(plan, request.start, calendar, anchor, request.count_from or options.count_from, scheduled)
    return adoption.Adopt(
        plan=plan.name,
        revision=plan.revision,
        start=request.start,
        week=week,
        anchor=anchor,
        count_from=reckoning.count_from,
        calendar=calendar.digest,
        baseline={str(n): due for n, due in baseline(reckoning).items()},
    )


def adopt_revision(request: AdoptRevision, transaction: Transaction, caller: Caller) -> BaselineReply:
    school, today = request.school, _today(request.school, transaction)
    return _count_anew(adoption.AdoptRevision(_basis(school, transaction)), school, transaction, today)


def attest(request: AttestStep, transaction: Transaction, caller: Caller) -> Done:
    day = _day_of_act(request.school, request.happened_on, transaction)
    again = _is_to_be_attested_again(request.school, request.step, day, transaction)
    command = adoption.Attest(request.step, request.evidence_sha256, again)
    transaction.decide(_plans, request.school, command, school=request.school, happened_on=day)
    return Done()


def _is_to_be_attested_again(school: str, n: int, day: date, transaction: Transaction) -> bool:
    """Whether what was attested counts no longer: workplaces that are fewer by now (step 5), or another day of what recurs."""
    plan = facts_by_subject(transaction.rows(of_source(school, "plan", "school"))).get("", ())
    attested = [fact[0] for fact in plan if fact[2] == "step-attested" and fact[3] == n]
    state = transaction.state(_plans, school)
    step = None if state.adopted is None else load_plan(state.adopted.plan, state.revision).steps_by_number.get(n)
    if step is None or not attested:
        return False
    if isinstance(step.deadline, Recurring):
        return day.toordinal() not in attested
    declared = facts_by_subject(transaction.rows(of_source(school, "roster", "workplaces"))).get("", ())
    standing = workplaces([(fact[0], fact[3]) for fact in declared], attested)
    return step.measure == "workplaces" and bool(declared) and not holds(standing.satisfied, day.toordinal())


def register_order(request: RegisterOrder, transaction: Transaction, caller: Caller) -> OrderRegistered:
    day = _day_of_act(request.school, request.happened_on, transaction)
    command = adoption.RegisterOrder(uuid.uuid4().hex, request.evidence_sha256)
    transaction.decide(_plans, request.school, command, school=request.school, happened_on=day)
    order = in_force(transaction.state(_plans, request.school), request.evidence_sha256)
    return OrderRegistered(order=order or command.order)


def revoke_order(request: RevokeOrder, transaction: Transaction, caller: Caller) -> Done:
    day = _day_of_act(request.school, request.happened_on, transaction)
    transaction.decide(_plans, request.school, adoption.RevokeOrder(request.order), school=request.school, happened_on=day)
    return Done()


# ---- What an authority decides: it holds from the day on which it is recorded -----------------------------------------


def waive(request: WaiveStep, transaction: Transaction, caller: Caller) -> Done:
    today = _today(request.school, transaction)
    transaction.decide(_plans, request.school, adoption.Waive(request.step, request.reason), school=request.school, happened_on=today)
    return Done()


def revoke_waiver(request: RevokeWaiver, transaction: Transaction, caller: Caller) -> Done:
    today = _today(request.school, transaction)
    transaction.decide(_plans, request.school, adoption.RevokeWaiver(request.step), school=request.school, happened_on=today)
    return Done()


def extend(request: ExtendDeadline, transaction: Transaction, caller: Caller) -> BaselineReply:
    school, today = request.school, _today(request.school, transaction)
    _check_not_too_far(request.due, today, "deadline.too-far", "A step is due")
    by_school = caller.actor.role is Role.DIRECTOR
    command = adoption.Extend(request.step, request.due, request.reason, by_school, _basis(school, transaction))
    return _count_anew(command, school, transaction, today)


def override_calendar(request: OverrideCalendar, transaction: Transaction, caller: Caller) -> Done:
    school = request.school
    if school is None and caller.actor.role is not Role.OPERATOR and caller.actor.role is not Role.MINISTRY:
        raise Refused("access.region", "The ministry speaks for the region: name your school.")
    today = happened_on(None, transaction.now, DEFAULT_ZONE) if school is None else _today(school, transaction)
    for day in (*request.off, *request.work):
        _check_not_too_far(day, today, "calendar.too-far", "A calendar is overridden")
    command = Override(frozenset(request.off), frozenset(request.work))
    owner = school or NO_SCHOOL
    if transaction.decide(calendar_overrides, owner, command, school=owner, happened_on=today) and school is not None:
        plan = transaction.state(_plans, school)
        if plan.adopted is not None:
            calendar = _pinned(plan, transaction).overridden(command.off, command.work)
            _recount(calendar, school, transaction, today)
    return Done()


def recount(request: Recount, transaction: Transaction, caller: Caller) -> BaselineReply:
    school, today = request.school, _today(request.school, transaction)
    plan = transaction.state(_plans, school)
    if plan.adopted is None:
        raise not_adopted()
    pinned = _pinned(plan, transaction)
    return _recount(_calendar(range(pinned.first_year, pinned.last_year + 1), pinned.week, school, transaction), school, transaction, today)


# ---- Training and consultations ---------------------------------------------------------------------------------------


def schedule_training(request: ScheduleTraining, transaction: Transaction, caller: Caller) -> TrainingScheduled:
    school, people = request.school, frozenset(request.people)
    today = _today(school, transaction)
    _check_not_too_far(request.day, today, "training.too-far", "A session is held")
    command = training.Schedule(uuid.uuid4().hex, request.day, request.form, people)
    if not scheduled_as(transaction.state(training.training, school), request.day, request.form, people):
        staff = facts_by_subject(transaction.rows(of_source(school, "roster", "staff")))
        employed = [person for person, facts in staff.items() if holds(documents.staff(facts).active, today.toordinal())]
        _check_known(people, employed, "person.unknown", "Not on the staff of this school")
    transaction.decide(training.training, school, command, school=school, happened_on=today)
    _follow_schedule(school, transaction, today)
    session = scheduled_as(transaction.state(training.training, school), request.day, request.form, people)
    return TrainingScheduled(session=session or command.session)


def cancel_training(request: CancelTraining, transaction: Transaction, caller: Caller) -> Done:
    school, today = request.school, _today(request.school, transaction)
    transaction.decide(training.training, school, training.Cancel(request.session), school=school, happened_on=today)
    _follow_schedule(school, transaction, today)
    return Done()


def record_attendance(request: RecordAttendance, transaction: Transaction, caller: Caller) -> Done:
    school, today = request.school, _today(request.school, transaction)
    session = transaction.state(training.training, school).get(request.session)
    command = training.RecordAttendance(request.session, request.people, today)
    # They were there on the session's day. Where that is still to come, the decider refuses.
    day = today if session is None else min(session.day, today)
    transaction.decide(training.training, school, command, school=school, happened_on=day)
    return Done()


def hold_consultation(request: HoldConsultation, transaction: Transaction, caller: Caller) -> ConsultationRecorded:
    school = request.school
    day, today = _day_of_act(school, request.happened_on, transaction), _today(school, transaction).toordinal()
    command = Hold(day, frozenset(request.classes), request.attendees)
    if command.consultation not in transaction.state(consultations, school):
        found = facts_by_subject(transaction.rows(of_source(school, "roster", "class")))
        classes = {name: documents.school_class(facts) for name, facts in found.items()}
        existing = [name for name, one in classes.items() if holds(one.declared, today) or holds(one.open, today)]
        _check_known(request.classes, existing, "class.unknown", "No classes of this school, or closed")
    transaction.decide(consultations, school, command, school=school, happened_on=day)
    return ConsultationRecorded(consultation=command.consultation)


# ---- What never was true ----------------------------------------------------------------------------------------------

_annulling = Annulling(
    EntryAnnulled,
    {
        StepAttested: _plans,
        ImplementationOrderRegistered: _plans,
        ImplementationOrderRevoked: _plans,
        TrainingAttended: training.training,
        ConsultationHeld: consultations,
    },
)


def annul(request: AnnulEntry, transaction: Transaction, caller: Caller) -> Done:
    _today(request.school, transaction)  # refuses an unknown school
    _annulling.carry_out(request, transaction)
    return Done()


# ---- Counting ---------------------------------------------------------------------------------------------------------


def _calendar(years: range, week: Week, school: str, transaction: Transaction) -> Calendar:
    """The calendar as it is decreed, with the region's own days and then the school's laid over it."""
    calendar = russian_calendar(years, week)
    for owner in (NO_SCHOOL, school):
        calendar = transaction.state(calendar_overrides, owner).over(calendar)
    return calendar


def _pin(calendar: Calendar, transaction: Transaction, today: date) -> None:
    transaction.decide(pinned_calendar, calendar.digest, table_of(calendar), school=NO_SCHOOL, happened_on=today)


def _pinned(plan: SchoolPlan, transaction: Transaction) -> Calendar:
    """The calendar that a running plan is counted on."""
    table = transaction.state(pinned_calendar, plan.calendar)
    if table is None:
        raise Refused("calendar.not-pinned", "The calendar of this school's plan is not in the record.", "`vekha audit verify` says more.")
    return Calendar.from_table(table.table)


def _basis(school: str, transaction: Transaction) -> Basis:
    plan = transaction.state(_plans, school)
    if plan.adopted is None:
        raise not_adopted()
    return Basis(_pinned(plan, transaction), last_day(transaction.state(training.training, school)))


def _recount(calendar: Calendar, school: str, transaction: Transaction, today: date) -> BaselineReply:
    basis = Basis(calendar, last_day(transaction.state(training.training, school)))
    _pin(calendar, transaction, today)
    return _count_anew(adoption.Recount(BaselineCause.CALENDAR, basis), school, transaction, today)


def _follow_schedule(school: str, transaction: Transaction, today: date) -> None:
    """The ministry's schedule is a deadline of the running plan; one that is adopted later starts with it."""
    if transaction.state(_plans, school).adopted is not None:
        _count_anew(adoption.Recount(BaselineCause.MINISTRY_SCHEDULE, _basis(school, transaction)), school, transaction, today)


def _count_anew(
    command: adoption.Extend | adoption.Recount | adoption.AdoptRevision, school: str, transaction: Transaction, today: date
) -> BaselineReply:
    before = transaction.state(_plans, school).baseline
    transaction.decide(_plans, school, command, school=school, happened_on=today)
    plan = transaction.state(_plans, school)
    changed = {n: due for n, due in plan.baseline.items() if n not in before or before[n] != due}
    return BaselineReply(revision=plan.revision, calendar=plan.calendar, changed=changed)


# ---- Of whom and when -------------------------------------------------------------------------------------------------


def _day_of_act(school: str, asked: date | None, transaction: Transaction) -> date:
    return happened_on(asked, transaction.now, time_zone(school, transaction.rows(opening(school))))


def _today(school: str, transaction: Transaction) -> date:
    return happened_on(None, transaction.now, time_zone(school, transaction.rows(opening(school))))


def _check_not_too_far(day: date, today: date, code: str, what: str) -> None:
    if abs(day.year - today.year) > _MOST_YEARS_AWAY:
        raise Refused(code, f"{what} within {_MOST_YEARS_AWAY} years of today, not on {day}.")


def _check_known(named: Collection[str], known: Collection[str], code: str, text: str) -> None:
    if unknown := sorted(set(named) - set(known)):
        raise Refused(code, f"{text}: {', '.join(unknown)}. Roster may still have to tell it: name others, or wait a moment.")
