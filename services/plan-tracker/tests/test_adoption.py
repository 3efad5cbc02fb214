"""What a school decides about its plan, by the decider alone."""

from collections.abc import Sequence
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.event import Event
from contracts.plan import CalendarPinned, CalendarTable, ImplementationOrderRegistered, PlanAdopted, StepAttested
from eventkit.decider import Refused
from plan_tracker.domain.adoption import Adopt, Attest, RegisterOrder, RevokeOrder, SchoolPlan, pinned_calendar, school_plan

PLANS = school_plan()
CALENDAR = "0" * 64
ADOPT = Adopt(
    "mo-2015-school-portal", 1, date(2015, 8, 17), 5, "after_predecessors", "next_day", CALENDAR, {"1": None, "4": date(2015, 8, 18)}
)

Command = Adopt | Attest | RegisterOrder | RevokeOrder
digests = st.sampled_from([None, "1" * 64])
orders = st.sampled_from(["o-1", "o-2"])
commands: st.SearchStrategy[Command] = st.one_of(
    st.just(ADOPT),
    st.builds(Attest, st.integers(1, 22), digests),
    st.builds(RegisterOrder, orders, digests),
    st.builds(RevokeOrder, orders),
)


def carried_out(state: SchoolPlan, command: Command) -> tuple[SchoolPlan, Sequence[Event] | None]:
    """The state after a command, and its events; None where it was refused."""
    try:
        events = PLANS.decide(command, state)
    except Refused:
        return state, None
    return PLANS.fold(events, state), events


def test_adopting_records_what_was_counted() -> None:
    (adopted,) = PLANS.decide(ADOPT, PLANS.initial)
    assert isinstance(adopted, PlanAdopted)
    assert (adopted.revision, adopted.baseline, adopted.calendar) == (1, ADOPT.baseline, CALENDAR)


@given(st.lists(commands, max_size=12), commands)
def test_saying_anything_twice_records_it_once(before: list[Command], command: Command) -> None:
    state = PLANS.initial
    for one in before:
        state, _ = carried_out(state, one)
    state, first = carried_out(state, command)
    _, second = carried_out(state, command)
    assert second == (None if first is None else [])


def test_an_order_with_other_evidence_is_another_order() -> None:
    state, _ = carried_out(PLANS.initial, RegisterOrder("o-1", None))
    assert PLANS.decide(RegisterOrder("o-2", "1" * 64), state) == [ImplementationOrderRegistered(order="o-2", evidence_sha256="1" * 64)]


def test_a_step_is_attested_with_its_evidence() -> None:
    state, _ = carried_out(PLANS.initial, ADOPT)
    assert PLANS.decide(Attest(5, "1" * 64), state) == [StepAttested(step=5, evidence_sha256="1" * 64)]


@pytest.mark.parametrize("step", [step for step in range(1, 22) if step != 5])
def test_a_step_that_is_derived_cannot_be_attested(step: int) -> None:
    state, _ = carried_out(PLANS.initial, ADOPT)
    with pytest.raises(Refused, match=r"step\.derived"):
        PLANS.decide(Attest(step, None), state)


def test_a_calendar_is_pinned_once() -> None:
    table = CalendarTable(digest=CALENDAR, table={"week": 5})
    events = pinned_calendar.decide(table, pinned_calendar.initial)
    assert events == [CalendarPinned(calendar=table)]
    assert pinned_calendar.decide(table, pinned_calendar.fold(events)) == []
