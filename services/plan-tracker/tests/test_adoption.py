"""What a school decides about its plan and what is decided about it, by the decider alone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.event import Event
from contracts.plan import (
    BaselineCause,
    BaselineRevised,
    DeadlineExtended,
    ExceptionReason,
    ImplementationOrderRegistered,
    PlanAdopted,
    StepAttested,
    StepWaived,
    WaiverRevoked,
)
from eventkit.decider import Refused
from plan_tracker.domain.adoption import (
    Adopt,
    AdoptRevision,
    Attest,
    Basis,
    Command,
    Extend,
    Recount,
    RegisterOrder,
    RevokeOrder,
    RevokeWaiver,
    SchoolPlan,
    Waive,
    school_plan,
)
from plan_tracker.domain.deadlines import Reckoning, baseline
from plan_tracker.domain.plan import Options, Plan, load_plan
from workdays import russian_calendar

MONDAY = date(2015, 8, 17)
PLAN = load_plan("mo-2015-school-portal")
CALENDAR = russian_calendar(range(2014, 2021), 5)
BASIS = Basis(CALENDAR, None)
QUARANTINE, FORCE_MAJEURE = ExceptionReason.QUARANTINE, ExceptionReason.FORCE_MAJEURE
PLANS = school_plan()


def adopting(plan: Plan = PLAN) -> Adopt:
    dues = baseline(Reckoning(plan, MONDAY, CALENDAR))
    frozen = {str(n): due for n, due in dues.items()}
    return Adopt(plan.name, plan.revision, MONDAY, 5, "after_predecessors", "next_day", CALENDAR.digest, frozen)


ADOPT = adopting()
ADOPTED = PLANS.fold(PLANS.decide(ADOPT, PLANS.initial))

digests = st.sampled_from([None, "1" * 64])
orders = st.sampled_from(["o-1", "o-2"])
steps = st.integers(1, 22)
reasons = st.sampled_from([QUARANTINE, FORCE_MAJEURE])
dates = st.dates(MONDAY, date(2015, 12, 31))
bases = st.builds(Basis, st.sampled_from([CALENDAR, CALENDAR.overridden([date(2015, 8, 20)], [])]), st.none() | dates)
commands: st.SearchStrategy[Command] = st.one_of(
    st.just(ADOPT),
    st.builds(Attest, steps, digests),
    st.builds(RegisterOrder, orders, digests),
    st.builds(RevokeOrder, orders),
    st.builds(Waive, steps, reasons),
    st.builds(RevokeWaiver, steps),
    st.builds(Extend, steps, dates, reasons, st.booleans(), bases),
    st.builds(Recount, st.sampled_from(BaselineCause), bases),
    st.builds(AdoptRevision, bases),
)


def carried_out(state: SchoolPlan, command: Command) -> tuple[SchoolPlan, Sequence[Event] | None]:
    """The state after a command, and its events; None where it was refused."""
    try:
        events = PLANS.decide(command, state)
    except Refused:
        return state, None
    return PLANS.fold(events, state), events


def given_(*commands: Command) -> SchoolPlan:
    """A school that has adopted its plan, and then carried these out."""
    state = ADOPTED
    for command in commands:
        state = PLANS.fold(PLANS.decide(command, state), state)
    return state


def refusal(command: Command, state: SchoolPlan = ADOPTED) -> str:
    with pytest.raises(Refused) as refused:
        PLANS.decide(command, state)
    return refused.value.code


def extend(step: int, due: date, *, by_school: bool = False) -> Extend:
    return Extend(step, due, QUARANTINE, by_school, BASIS)


@given(st.lists(commands, max_size=12), commands)
def test_saying_anything_twice_records_it_once(before: list[Command], command: Command) -> None:
    state = PLANS.initial
    for one in before:
        state, _ = carried_out(state, one)
    state, first = carried_out(state, command)
    _, second = carried_out(state, command)
    assert second == (None if first is None else [])


@given(st.lists(commands, max_size=12), bases)
def test_after_a_recount_the_baseline_is_what_the_school_s_dates_are_counted_to(before: list[Command], basis: Basis) -> None:
    state = ADOPTED
    for one in before:
        state, _ = carried_out(state, one)
    state, _ = carried_out(state, Recount(BaselineCause.CALENDAR, basis))
    reckoning = Reckoning(PLAN, MONDAY, basis.calendar, scheduled=basis.scheduled, extended=state.extended)
    assert state.baseline == {str(n): due for n, due in baseline(reckoning).items()}
    assert state.calendar == basis.calendar.digest


# Adopting, attesting, the school's own order.


def test_adopting_records_what_was_counted() -> None:
    (adopted,) = PLANS.decide(ADOPT, PLANS.initial)
    assert isinstance(adopted, PlanAdopted)
    assert (adopted.revision, adopted.baseline, adopted.calendar) == (1, ADOPT.baseline, CALENDAR.digest)


@pytest.mark.parametrize(
    "other",
    [replace(ADOPT, week=6), replace(ADOPT, count_from="same_day"), replace(ADOPT, anchor="plan_start"), replace(ADOPT, plan="other")],
)
def test_another_plan_or_another_way_of_counting_is_not_the_same_thing_said_twice(other: Adopt) -> None:
    assert refusal(other) == "plan.already-adopted"


def test_an_order_with_other_evidence_is_another_order() -> None:
    state, _ = carried_out(PLANS.initial, RegisterOrder("o-1", None))
    assert PLANS.decide(RegisterOrder("o-2", "1" * 64), state) == [ImplementationOrderRegistered(order="o-2", evidence_sha256="1" * 64)]


def test_a_step_is_attested_with_its_evidence() -> None:
    assert PLANS.decide(Attest(5, "1" * 64), ADOPTED) == [StepAttested(step=5, evidence_sha256="1" * 64)]


@pytest.mark.parametrize("step", [step for step in range(1, 22) if step != 5])
def test_a_step_that_is_derived_cannot_be_attested(step: int) -> None:
    assert refusal(Attest(step, None)) == "step.derived"


@pytest.mark.parametrize(
    "command",
    [
        Attest(5, None),
        Waive(5, QUARANTINE),
        RevokeWaiver(5),
        extend(5, MONDAY),
        Recount(BaselineCause.CALENDAR, BASIS),
        AdoptRevision(BASIS),
    ],
)
def test_nothing_is_decided_about_a_plan_that_no_school_has_adopted(command: Command) -> None:
    assert refusal(command, PLANS.initial) == "plan.not-adopted"


@pytest.mark.parametrize("command", [Attest(22, None), Waive(22, QUARANTINE), RevokeWaiver(22), extend(22, date(2015, 12, 1))])
def test_nothing_is_decided_about_a_step_that_the_plan_does_not_have(command: Command) -> None:
    assert refusal(command) in ("step.unknown", "waiver.unknown")


# Waivers.


def test_a_step_is_waived_for_a_reason_and_once() -> None:
    assert PLANS.decide(Waive(17, QUARANTINE), ADOPTED) == [StepWaived(step=17, reason=QUARANTINE)]
    assert PLANS.decide(Waive(17, QUARANTINE), given_(Waive(17, QUARANTINE))) == []
    assert refusal(Waive(17, FORCE_MAJEURE), given_(Waive(17, QUARANTINE))) == "step.waived"


def test_a_waiver_is_revoked_once_and_the_step_can_be_waived_again() -> None:
    waived = given_(Waive(17, QUARANTINE))
    assert PLANS.decide(RevokeWaiver(17), waived) == [WaiverRevoked(step=17)]
    revoked = given_(Waive(17, QUARANTINE), RevokeWaiver(17))
    assert PLANS.decide(RevokeWaiver(17), revoked) == []
    assert PLANS.decide(Waive(17, FORCE_MAJEURE), revoked) == [StepWaived(step=17, reason=FORCE_MAJEURE)]
    assert refusal(RevokeWaiver(16), waived) == "waiver.unknown"


# Extensions.


def test_an_extension_records_what_else_it_moves() -> None:
    assert PLANS.decide(extend(15, date(2015, 8, 27)), ADOPTED) == [
        DeadlineExtended(step=15, due=date(2015, 8, 27), reason=QUARANTINE),
        BaselineRevised(
            cause=BaselineCause.EXTENSION,
            revision=1,
            calendar=CALENDAR.digest,
            baseline={"15": date(2015, 8, 27), "16": date(2015, 8, 27), "17": date(2015, 8, 28)},
        ),
    ]


def test_an_extension_leads_beyond_the_date_that_the_step_has() -> None:
    assert refusal(extend(15, date(2015, 8, 25))) == "deadline.not-later"
    assert refusal(extend(15, date(2015, 8, 26)), given_(extend(15, date(2015, 8, 27)))) == "deadline.not-later"
    assert len(PLANS.decide(extend(15, date(2015, 8, 28)), given_(extend(15, date(2015, 8, 27))))) == 2
    assert refusal(extend(15, date(2015, 8, 16))) == "deadline.before-start"


@pytest.mark.parametrize("step", [1, 20])
def test_what_has_no_date_cannot_be_extended(step: int) -> None:
    assert refusal(extend(step, date(2015, 9, 1))) == "deadline.none"


def test_a_school_gives_itself_no_time() -> None:
    assert refusal(extend(15, date(2015, 8, 27), by_school=True)) == "extension.not-yours"


def test_a_school_says_the_date_of_a_blank_that_the_plan_asks_about_and_from_then_on_it_is_a_date_like_others() -> None:
    asking = replace(PLAN, options=Options(blanks="ask"))
    plans = school_plan(lambda name, revision: asking)
    state = plans.fold(plans.decide(adopting(asking), plans.initial))
    said = extend(12, date(2015, 8, 25), by_school=True)
    extended, revised = plans.decide(said, state)
    assert isinstance(revised, BaselineRevised)
    assert revised.baseline["12"] == date(2015, 8, 25)
    assert revised.baseline["13"] == date(2015, 8, 26)
    state = plans.fold([extended, revised], state)
    assert plans.decide(said, state) == []
    for later, by_school, code in ((date(2015, 8, 28), True, "extension.not-yours"), (date(2015, 8, 24), False, "deadline.not-later")):
        with pytest.raises(Refused, match=code):
            plans.decide(extend(12, later, by_school=by_school), state)


def test_a_blank_without_a_date_of_its_own_cannot_be_given_one() -> None:
    without = replace(PLAN, options=Options(blanks="none"))
    plans = school_plan(lambda name, revision: without)
    state = plans.fold(plans.decide(adopting(without), plans.initial))
    with pytest.raises(Refused, match=r"deadline\.none"):
        plans.decide(extend(12, date(2015, 8, 25)), state)


# Counting anew.


def test_the_ministry_s_schedule_enters_the_baseline_and_leaves_it_with_the_last_session() -> None:
    scheduled = Recount(BaselineCause.MINISTRY_SCHEDULE, Basis(CALENDAR, date(2015, 9, 3)))
    (revised,) = PLANS.decide(scheduled, ADOPTED)
    assert revised == BaselineRevised(
        cause=BaselineCause.MINISTRY_SCHEDULE, revision=1, calendar=CALENDAR.digest, baseline={"1": date(2015, 9, 3)}
    )
    (revised,) = PLANS.decide(Recount(BaselineCause.MINISTRY_SCHEDULE, BASIS), given_(scheduled))
    assert isinstance(revised, BaselineRevised)
    assert revised.baseline == {"1": None}


def test_another_calendar_is_recorded_with_the_dates_that_it_moves_even_where_it_moves_none() -> None:
    one_day_off = CALENDAR.overridden([date(2015, 8, 24)], [])
    (revised,) = PLANS.decide(Recount(BaselineCause.CALENDAR, Basis(one_day_off, None)), ADOPTED)
    assert isinstance(revised, BaselineRevised)
    assert revised.calendar == one_day_off.digest
    assert (revised.baseline["14"], revised.baseline["15"], "13" in revised.baseline) == (date(2015, 8, 25), date(2015, 8, 26), False)
    far_away = CALENDAR.overridden([date(2020, 3, 5)], [])
    (revised,) = PLANS.decide(Recount(BaselineCause.CALENDAR, Basis(far_away, None)), ADOPTED)
    assert isinstance(revised, BaselineRevised)
    assert revised.baseline == {}


def test_an_extension_stands_when_the_dates_are_counted_anew() -> None:
    state = given_(extend(15, date(2015, 8, 31)))
    (revised,) = PLANS.decide(Recount(BaselineCause.CALENDAR, Basis(CALENDAR.overridden([date(2015, 8, 24)], []), None)), state)
    assert isinstance(revised, BaselineRevised)
    assert "15" not in revised.baseline


def test_a_running_plan_keeps_its_revision_until_it_adopts_the_newest() -> None:
    last = PLAN.step(17)
    newest = replace(PLAN, revision=2, steps=(*PLAN.steps[:16], replace(last, deadline=replace(last.deadline, n=3)), *PLAN.steps[17:]))
    plans = school_plan(lambda name, revision: PLAN if revision == 1 else newest)
    (recounted,) = plans.decide(Recount(BaselineCause.MINISTRY_SCHEDULE, Basis(CALENDAR, date(2015, 9, 3))), ADOPTED)
    assert isinstance(recounted, BaselineRevised)
    assert (recounted.revision, recounted.baseline) == (1, {"1": date(2015, 9, 3)})
    (adopted,) = plans.decide(AdoptRevision(BASIS), ADOPTED)
    assert adopted == BaselineRevised(
        cause=BaselineCause.PLAN_REVISION, revision=2, calendar=CALENDAR.digest, baseline={"17": date(2015, 8, 28)}
    )
    assert plans.decide(AdoptRevision(BASIS), plans.fold([adopted], ADOPTED)) == []
