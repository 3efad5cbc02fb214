"""A member of staff: enters on employment, may be appointed a coordinator (step 4), and leaves by dismissal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from contracts.event import Event
from contracts.roster import CoordinatorAppointed, CoordinatorRelieved, Position, StaffDismissed, StaffHired
from eventkit.decider import Decider, Refused


@dataclass(frozen=True, slots=True)
class Staff:
    """`position` is None until the first employment; who was dismissed keeps it and is not `active`."""

    position: Position | None = None
    active: bool = False
    coordinator: bool = False


@dataclass(frozen=True, slots=True)
class Hire:
    person: str
    position: Position
    hired_on: date


@dataclass(frozen=True, slots=True)
class Dismiss:
    person: str


@dataclass(frozen=True, slots=True)
class Appoint:
    """Make a coordinator: «Координатор» and «Администратор системы» are one role (DOMAIN 1)."""

    person: str


@dataclass(frozen=True, slots=True)
class Relieve:
    person: str


Command = Hire | Dismiss | Appoint | Relieve


def decide(command: Command, state: Staff) -> Sequence[Event]:
    match command:
        case Hire():
            return [] if state.active else [StaffHired(person=command.person, position=command.position, hired_on=command.hired_on)]
        case Dismiss():
            if state.position is None:
                raise _unknown(command.person)
            return [StaffDismissed(person=command.person)] if state.active else []
        case Appoint():
            require_active(command.person, state)
            return [] if state.coordinator else [CoordinatorAppointed(person=command.person)]
        case Relieve():
            if state.position is None:
                raise _unknown(command.person)
            return [CoordinatorRelieved(person=command.person)] if state.coordinator else []


def require_active(person: str, state: Staff) -> None:
    """Raises Refused `staff.unknown` or `staff.dismissed`: only who works here is appointed or given a class."""
    if state.position is None:
        raise _unknown(person)
    if not state.active:
        raise Refused("staff.dismissed", f"{person} has been dismissed. Hire the person again first (roster.hire-staff).")


def _unknown(person: str) -> Refused:
    return Refused("staff.unknown", f"There is no member of staff {person} in this school. Enter the person first (roster.hire-staff).")


def evolve(state: Staff, event: Event) -> Staff:
    match event:
        case StaffHired():
            return Staff(event.position, active=True)
        case StaffDismissed():
            return Staff(state.position)
        case CoordinatorAppointed():
            return replace(state, coordinator=True)
        case CoordinatorRelieved():
            return replace(state, coordinator=False)
        case _:
            return state


def _rests_on(later: Event, earlier: Event) -> bool:
    """An appointment and its end bear each other, and employment bears both. An end bears whatever came after it, too: without it, who was
    dismissed since would hold the office on."""
    return not isinstance(earlier, CoordinatorAppointed) or isinstance(later, CoordinatorAppointed | CoordinatorRelieved)


STAFF = Decider("staff", Staff(), decide, evolve, _rests_on)
