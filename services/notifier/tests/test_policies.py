"""Whom an announcement concerns."""

import pytest

from contracts.notifier import Template
from notifier.policies import recipients
from notifier.projections import Office

NOBODY: dict[Office, list[str]] = {"director": [], "coordinator": []}
DIRECTOR_ALONE: dict[Office, list[str]] = {"director": ["d"], "coordinator": []}
TWO_COORDINATORS: dict[Office, list[str]] = {"director": ["d"], "coordinator": ["a", "b"]}
DIRECTOR_WHO_COORDINATES: dict[Office, list[str]] = {"director": ["d"], "coordinator": ["d"]}


@pytest.mark.parametrize(
    ("template", "step", "told"),
    [
        ("deadline-approaching", 4, ["d"]),
        ("deadline-approaching", 18, ["a", "b"]),
        ("step-overdue", 4, ["d"]),
        ("step-overdue", 18, ["a", "b", "d"]),
        ("step-completed", 18, ["d"]),
        ("step-reopened", 18, ["d"]),
    ],
)
def test_the_responsible_are_told_of_a_date_and_the_director_too_once_it_has_passed(template: Template, step: int, told: list[str]) -> None:
    assert recipients(template, step, TWO_COORDINATORS) == told


@pytest.mark.parametrize("holders", [DIRECTOR_ALONE, DIRECTOR_WHO_COORDINATES])
@pytest.mark.parametrize("template", ["deadline-approaching", "step-overdue"])
def test_who_answers_for_everything_is_told_once(template: Template, holders: dict[Office, list[str]]) -> None:
    assert recipients(template, 18, holders) == ["d"]


def test_a_school_without_officers_has_nobody_to_tell() -> None:
    assert recipients("step-overdue", 18, NOBODY) == []
