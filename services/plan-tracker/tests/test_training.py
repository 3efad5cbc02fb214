"""Training sessions, who was there, and consultations, by the deciders alone."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.event import Event
from contracts.plan import ConsultationHeld, TrainingAttended, TrainingSessionCancelled, TrainingSessionScheduled
from eventkit.decider import Refused
from plan_tracker.domain.consultations import Hold, consultations
from plan_tracker.domain.training import Cancel, RecordAttendance, Schedule, Sessions, last_day, training

MONDAY, FRIDAY = date(2015, 8, 24), date(2015, 8, 28)
SCHEDULE = Schedule("s-1", MONDAY, "face-to-face", frozenset({"anna", "boris"}))

Command = Schedule | Cancel | RecordAttendance
sessions = st.sampled_from(["s-1", "s-2"])
days = st.sampled_from([MONDAY, FRIDAY])
people = st.sampled_from(["anna", "boris", "vera"])
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Schedule, sessions, days, st.sampled_from(["remote", "face-to-face"]), st.frozensets(people)),
    st.builds(Cancel, sessions),
    st.builds(RecordAttendance, sessions, st.lists(people, min_size=1).map(tuple), days),
)


def after(*commands: Command) -> Sessions:
    state = training.initial
    for command in commands:
        state = training.fold(training.decide(command, state), state)
    return state


def refusal(command: Command, state: Sessions) -> str:
    with pytest.raises(Refused) as refused:
        training.decide(command, state)
    return refused.value.code


@given(st.lists(commands, max_size=8), commands)
def test_saying_anything_twice_records_it_once(before: list[Command], command: Command) -> None:
    def carried_out(state: Sessions, command: Command) -> tuple[Sessions, list[Event] | None]:
        try:
            events = list(training.decide(command, state))
        except Refused:
            return state, None
        return training.fold(events, state), events

    state = training.initial
    for one in before:
        if not isinstance(one, Schedule) or one.session not in state:  # ids are new
            state, _ = carried_out(state, one)
    state, first = carried_out(state, command)
    _, second = carried_out(state, command)
    assert second == (None if first is None else [])


def test_a_session_is_scheduled_for_those_who_are_named() -> None:
    assert training.decide(SCHEDULE, training.initial) == [
        TrainingSessionScheduled(session="s-1", day=MONDAY, form="face-to-face", people=("anna", "boris"))
    ]
    assert refusal(Schedule("s-1", MONDAY, "remote", frozenset()), training.initial) == "training.nobody-named"


def test_the_same_day_with_other_people_or_in_another_form_is_another_session() -> None:
    for other in (Schedule("s-2", MONDAY, "remote", SCHEDULE.people), Schedule("s-2", MONDAY, "face-to-face", frozenset({"anna"}))):
        assert len(training.decide(other, after(SCHEDULE))) == 1


def test_the_schedule_ends_with_the_last_session_that_is_not_cancelled() -> None:
    later = Schedule("s-2", FRIDAY, "remote", frozenset({"anna"}))
    assert last_day(after()) is None
    assert last_day(after(later, SCHEDULE)) == FRIDAY
    assert last_day(after(SCHEDULE, later, Cancel("s-2"))) == MONDAY
    assert last_day(after(SCHEDULE, Cancel("s-1"))) is None


def test_a_cancelled_session_can_be_scheduled_again_as_a_new_one() -> None:
    state = after(SCHEDULE, Cancel("s-1"))
    assert training.decide(Cancel("s-1"), state) == []
    assert len(training.decide(Schedule("s-2", SCHEDULE.day, SCHEDULE.form, SCHEDULE.people), state)) == 1


def test_attendance_is_recorded_of_each_person_once() -> None:
    assert training.decide(RecordAttendance("s-1", ("anna", "anna"), MONDAY), after(SCHEDULE)) == [
        TrainingAttended(session="s-1", form="face-to-face", person="anna")
    ]
    state = after(SCHEDULE, RecordAttendance("s-1", ("anna",), MONDAY))
    assert training.decide(RecordAttendance("s-1", ("anna", "boris"), FRIDAY), state) == [
        TrainingAttended(session="s-1", form="face-to-face", person="boris")
    ]


def test_attendance_that_cannot_be_is_refused() -> None:
    there = ("anna",)
    assert refusal(RecordAttendance("s-9", there, MONDAY), after(SCHEDULE)) == "training.unknown"
    assert refusal(RecordAttendance("s-1", there, date(2015, 8, 23)), after(SCHEDULE)) == "training.not-yet"
    assert refusal(RecordAttendance("s-1", ("vera",), MONDAY), after(SCHEDULE)) == "training.not-named"
    assert refusal(RecordAttendance("s-1", there, MONDAY), after(SCHEDULE, Cancel("s-1"))) == "training.cancelled"


def test_a_session_that_somebody_attended_cannot_be_cancelled() -> None:
    assert refusal(Cancel("s-1"), after(SCHEDULE, RecordAttendance("s-1", ("anna",), MONDAY))) == "training.held"
    assert refusal(Cancel("s-9"), after(SCHEDULE)) == "training.unknown"
    assert training.decide(Cancel("s-1"), after(SCHEDULE)) == [TrainingSessionCancelled(session="s-1")]


def test_a_consultation_is_held_for_each_of_its_classes_and_recorded_once() -> None:
    hold = Hold(MONDAY, frozenset({"1b", "1a"}), 17)
    events = consultations.decide(hold, consultations.initial)
    assert events == [ConsultationHeld(consultation=hold.consultation, class_id=class_id, attendees=17) for class_id in ("1a", "1b")]
    held = consultations.fold(events)
    assert consultations.decide(hold, held) == []
    for other in (Hold(FRIDAY, hold.classes, 17), Hold(MONDAY, frozenset({"1a"}), 17), Hold(MONDAY, hold.classes, 16)):
        assert len(consultations.decide(other, held)) == len(other.classes)
