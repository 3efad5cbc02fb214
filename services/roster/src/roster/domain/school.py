"""A school: opened once, with the municipality it belongs to and the time zone in which its days begin and end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.event import Event
from contracts.roster import SchoolOpened
from eventkit.decider import Decider, Refused


@dataclass(frozen=True, slots=True)
class School:
    """`municipality` and `timezone` are None until the school is opened."""

    municipality: str | None = None
    timezone: str | None = None


@dataclass(frozen=True, slots=True)
class Open:
    school: str
    municipality: str
    timezone: str


def decide(command: Open, state: School) -> Sequence[Event]:
    if state == School():
        return [SchoolOpened(school=command.school, municipality=command.municipality, timezone=command.timezone)]
    if (command.municipality, command.timezone) != (state.municipality, state.timezone):
        raise Refused(
            "school.exists", f"{command.school} is open already, in {state.municipality} and {state.timezone}. Choose another id."
        )
    return []


def evolve(state: School, event: Event) -> School:
    match event:
        case SchoolOpened():
            return School(event.municipality, event.timezone)
        case _:
            return state


SCHOOL = Decider("school", School(), decide, evolve)
