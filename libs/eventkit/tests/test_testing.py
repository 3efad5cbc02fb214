"""The testing kit: it passes what is so, and says how it was where it is otherwise."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from contracts.event import Event
from contracts.roster import ClassClosed, ClassCreated
from eventkit.decider import Decider, Refused
from eventkit.testing import given, still_clock

CREATED = ClassCreated(class_id="7a", shift=1)
CLOSED = ClassClosed(class_id="7a")


def decide(command: str, state: str) -> Sequence[Event]:
    match command, state:
        case "create", "":
            return [CREATED]
        case "close", "created":
            return (CLOSED,)
        case ("create", "created") | ("close", "closed"):
            return []
        case "renew", _:
            return [CLOSED, CREATED]
        case _:
            raise Refused("class.unknown", "There is no such class. Create it first.")


CLASS = Decider[str, str]("class", "", decide, lambda _, event: "created" if isinstance(event, ClassCreated) else "closed")


def test_what_follows_is_found_to_follow() -> None:
    given(CLASS).when("create").then(CREATED)
    given(CLASS, CREATED).when("close").then(CLOSED)
    given(CLASS, CREATED).when("renew").then(CLOSED, CREATED)


def test_what_holds_already_is_found_to_change_nothing() -> None:
    given(CLASS, CREATED).when("create").then_nothing_happens()
    given(CLASS, CREATED, CLOSED).when("close").then_nothing_happens()


def test_a_refusal_is_known_by_its_code() -> None:
    given(CLASS).when("close").then_refused("class.unknown")


def test_other_events_than_expected_are_shown() -> None:
    with pytest.raises(AssertionError, match=r"(?s)expected.*roster\.class-closed\.v1.*but what followed was.*roster\.class-created\.v1"):
        given(CLASS).when("create").then(CLOSED)


def test_another_order_than_expected_is_another_outcome() -> None:
    with pytest.raises(AssertionError):
        given(CLASS, CREATED).when("renew").then(CREATED, CLOSED)


def test_events_where_none_should_follow_are_shown() -> None:
    with pytest.raises(AssertionError, match=r"(?s)expected nothing, but what followed was.*\"shift\":1"):
        given(CLASS).when("create").then_nothing_happens()


def test_a_refusal_is_neither_an_event_nor_nothing() -> None:
    with pytest.raises(AssertionError, match=r"but it was refused: class\.unknown: There is no such class"):
        given(CLASS).when("close").then(CLOSED)
    with pytest.raises(AssertionError, match=r"expected nothing, but it was refused"):
        given(CLASS).when("close").then_nothing_happens()


def test_an_expected_refusal_that_does_not_come_or_has_another_code_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"expected the refusal class\.closed, but what followed was nothing"):
        given(CLASS, CREATED).when("create").then_refused("class.closed")
    with pytest.raises(AssertionError, match=r"expected the refusal class\.closed, but it was class\.unknown"):
        given(CLASS).when("close").then_refused("class.closed")


def test_an_error_of_the_decider_is_no_refusal() -> None:
    broken = Decider[str, str]("class", "", lambda command, _: [CREATED][int(command) :], lambda state, _: state)
    with pytest.raises(ValueError, match="invalid literal"):
        given(broken).when("close").then_nothing_happens()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2015-08-17", datetime(2015, 8, 16, 21, tzinfo=UTC)),
        ("2015-08-17 09:00", datetime(2015, 8, 17, 6, tzinfo=UTC)),
        ("2015-08-17T09:00:00Z", datetime(2015, 8, 17, 9, tzinfo=UTC)),
        ("2015-08-17T09:00:00+05:00", datetime(2015, 8, 17, 4, tzinfo=UTC)),
    ],
)
def test_a_still_clock_stands_where_it_was_put(text: str, moment: datetime) -> None:
    clock = still_clock(text)
    assert (clock.now(), clock.now(), clock.kind) == (moment, moment, "manual")
