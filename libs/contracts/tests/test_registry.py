"""The registry of events: names are taken once, and old versions are lifted to the newest by integer steps."""

from typing import Any

import pytest
from pydantic import ValidationError

from contracts import EVENTS
from contracts import event as events
from contracts.event import Event, UnknownEvent, event, newest, parse, subject_of, upcast


@pytest.fixture(autouse=True)
def registry_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(events, "EVENTS", dict(EVENTS))
    monkeypatch.setattr(events, "_UPCASTS", {})


def three_versions_of_a_bell() -> None:
    """v1 counts minutes since midnight, v2 splits them, v3 says how long the bell rings."""

    @event("roster.bell-rung.v1")
    class BellRungV1(Event):  # pyright: ignore[reportUnusedClass] -- the registry holds it
        minute_of_day: int

    @event("roster.bell-rung.v2")
    class BellRungV2(Event):  # pyright: ignore[reportUnusedClass] -- the registry holds it
        hour: int
        minute: int

    @event("roster.bell-rung.v3")
    class BellRung(Event):  # pyright: ignore[reportUnusedClass] -- the registry holds it
        hour: int
        minute: int
        seconds: int

    @upcast("roster.bell-rung.v1", "roster.bell-rung.v2")
    def split_the_minutes(data: dict[str, Any]) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction] -- the registry holds it
        return {"hour": data["minute_of_day"] // 60, "minute": data["minute_of_day"] % 60}

    @upcast("roster.bell-rung.v2", "roster.bell-rung.v3")
    def ring_for_five_seconds(data: dict[str, Any]) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction] -- the registry holds it
        return data | {"seconds": 5}


@pytest.mark.parametrize(
    "name",
    [
        "roster.pupil-enrolled",
        "roster.pupil-enrolled.v0",
        "roster.pupil-enrolled.v01",
        "roster.pupil-enrolled.1",
        "roster.PupilEnrolled.v1",
        "roster.pupil_enrolled.v1",
        "roster.pupil--enrolled.v1",
        "roster.pupil.enrolled.v1",
        "roster.-enrolled.v1",
        "library.book-lent.v1",
        "pupil-enrolled.v1",
        "roster.pupil-enrolled.v1\n",
        "",
    ],
)
def test_a_name_that_is_no_event_type_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match="is no event type"):
        event(name)


def test_a_name_is_taken_once() -> None:
    three_versions_of_a_bell()
    with pytest.raises(ValueError, match=r"roster\.bell-rung\.v2 is declared twice"):
        three_versions_of_a_bell_again()


def three_versions_of_a_bell_again() -> None:
    @event("roster.bell-rung.v2")
    class Another(Event):  # pyright: ignore[reportUnusedClass] -- it is refused
        pass


def test_upcasts_chain_from_any_version_to_the_newest() -> None:
    three_versions_of_a_bell()
    newest_data = {"hour": 8, "minute": 30, "seconds": 5}
    assert newest("roster.bell-rung.v1", {"minute_of_day": 510}) == ("roster.bell-rung.v3", newest_data)
    assert newest("roster.bell-rung.v2", {"hour": 8, "minute": 30}) == ("roster.bell-rung.v3", newest_data)
    assert newest("roster.bell-rung.v3", newest_data) == ("roster.bell-rung.v3", newest_data)


def test_an_old_event_is_parsed_as_the_newest_version() -> None:
    three_versions_of_a_bell()
    assert parse("roster.bell-rung.v1", {"minute_of_day": 510}) == parse("roster.bell-rung.v3", {"hour": 8, "minute": 30, "seconds": 5})


def test_an_upcast_leaves_the_data_it_was_given_as_they_were() -> None:
    three_versions_of_a_bell()
    data = {"hour": 8, "minute": 30}
    newest("roster.bell-rung.v2", data)
    assert data == {"hour": 8, "minute": 30}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("roster.bell-rung.v1", "roster.bell-rung.v3"),
        ("roster.bell-rung.v2", "roster.bell-rung.v1"),
        ("roster.bell-rung.v1", "roster.bell-rung.v1"),
        ("roster.bell-rung.v1", "roster.bell-broken.v2"),
        ("roster.bell-rung.v1", "consent.bell-rung.v2"),
        ("roster.bell-rung.v1", "bell-rung"),
    ],
)
def test_an_upcast_leads_to_the_next_version_of_the_same_event_and_nowhere_else(old: str, new: str) -> None:
    with pytest.raises(ValueError, match="from one version to the next"):
        upcast(old, new)


def test_an_upcast_is_declared_once() -> None:
    three_versions_of_a_bell()
    with pytest.raises(ValueError, match="declared twice"):
        upcast("roster.bell-rung.v1", "roster.bell-rung.v2")(dict)


def test_an_event_of_a_newer_program_is_named_as_unknown() -> None:
    with pytest.raises(UnknownEvent, match=r"roster\.bell-rung\.v9"):
        parse("roster.bell-rung.v9", {})


@pytest.mark.parametrize("data", [{}, {"hour": 8, "minute": 30, "seconds": 5, "who": "x"}, {"hour": "eight", "minute": 30, "seconds": 5}])
def test_data_that_do_not_fit_are_an_error_and_never_half_an_event(data: dict[str, Any]) -> None:
    three_versions_of_a_bell()
    with pytest.raises(ValidationError):
        parse("roster.bell-rung.v3", data)


def test_the_subject_names_the_service_once_and_the_school() -> None:
    assert subject_of("roster.pupil-enrolled.v1", "school-7") == "evt.roster.school-7.pupil-enrolled.v1"
