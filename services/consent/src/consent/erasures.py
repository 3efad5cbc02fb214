"""A person's erasure: scheduled when the ground for holding the data has gone, cancelled if there is another by then, ordered, answered by
every holder, completed (152-ФЗ ст. 20 и 21, DOMAIN 3). Pure, like the rest of the domain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from contracts.erasure import (
    DataCategory,
    ErasureAnswered,
    ErasureCancelled,
    ErasureCompleted,
    ErasureGround,
    ErasureOrdered,
    ErasureScheduled,
    HeldOn,
    ServiceName,
)
from contracts.event import SERVICES, Event
from eventkit.decider import Decider

WITHDRAWN_TERM_DAYS = 30
"""152-ФЗ ст. 21 ч. 5: within thirty days of the day on which the withdrawal was received."""

UNLAWFUL_TERM_DAYS = 10
"""152-ФЗ ст. 21 ч. 3: ten working days where the processing never was lawful; ten calendar days are never later."""


@dataclass(frozen=True, slots=True)
class Schedule:
    erasure: str
    subject: str
    ground: ErasureGround
    due_on: date


@dataclass(frozen=True, slots=True)
class Cancel:
    holds: HeldOn


@dataclass(frozen=True, slots=True)
class Fall:
    """The day of a scheduled erasure has come, and there is no ground."""

    on: date


@dataclass(frozen=True, slots=True)
class Order:
    """Somebody orders it at once. `erasure` is its id, where none is scheduled."""

    erasure: str
    subject: str
    ground: ErasureGround
    reference: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A holder's record of what it destroyed."""

    erasure: str
    service: ServiceName
    event: str
    position: int
    sha256: str
    destroyed: tuple[DataCategory, ...]


Command = Schedule | Cancel | Fall | Order | Answer


@dataclass(frozen=True, slots=True)
class Erasure:
    """How far a person's erasure is."""

    state: Literal["none", "scheduled", "cancelled", "ordered", "completed"] = "none"
    erasure: str = ""
    subject: str = ""
    ground: ErasureGround | None = None
    reference: str | None = None
    due_on: date = date.max
    answered: tuple[ErasureAnswered, ...] = ()

    @property
    def is_under_way(self) -> bool:
        """Whether the data are being destroyed, or have been."""
        return self.state in ("ordered", "completed")


def term_days(ground: ErasureGround, left_term_days: int) -> int:
    """How many calendar days after the ground has gone the data are destroyed."""
    match ground:
        case ErasureGround.LEFT:
            return left_term_days
        case ErasureGround.INVALIDATED | ErasureGround.UNLAWFUL:
            return UNLAWFUL_TERM_DAYS
        case _:
            return WITHDRAWN_TERM_DAYS


def due_on(ground: ErasureGround, lost_on: date, left_term_days: int) -> date:
    """The day on which the data are destroyed: the last one of the term."""
    return lost_on + timedelta(days=term_days(ground, left_term_days))


def decide(command: Command, state: Erasure) -> Sequence[Event]:
    match command:
        case Schedule():
            if state.is_under_way or (state.state == "scheduled" and state.due_on <= command.due_on):
                return []
            erasure = state.erasure if state.state == "scheduled" else command.erasure
            return [ErasureScheduled(erasure=erasure, subject=command.subject, ground=command.ground, due_on=command.due_on)]
        case Cancel():
            if state.state != "scheduled":
                return []
            return [ErasureCancelled(erasure=state.erasure, subject=state.subject, holds=command.holds)]
        case Fall():
            if state.state != "scheduled" or state.ground is None or command.on < state.due_on:
                return []
            return [ErasureOrdered(erasure=state.erasure, subject=state.subject, ground=state.ground, reference=None)]
        case Order():
            if state.is_under_way:
                return []
            erasure = state.erasure if state.state == "scheduled" else command.erasure
            return [ErasureOrdered(erasure=erasure, subject=command.subject, ground=command.ground, reference=command.reference)]
        case Answer():
            return _answer(command, state)


def _answer(command: Answer, state: Erasure) -> Sequence[Event]:
    if state.state != "ordered" or state.erasure != command.erasure or command.service in [one.service for one in state.answered]:
        return []
    answered = ErasureAnswered(
        erasure=state.erasure,
        subject=state.subject,
        service=command.service,
        event=command.event,
        position=command.position,
        sha256=command.sha256,
        destroyed=command.destroyed,
    )
    if len(state.answered) + 1 < len(SERVICES):
        return [answered]
    return [answered, ErasureCompleted(erasure=state.erasure, subject=state.subject)]


def evolve(state: Erasure, event: Event) -> Erasure:
    match event:
        case ErasureScheduled():
            return Erasure("scheduled", event.erasure, event.subject, event.ground, None, event.due_on)
        case ErasureCancelled():
            return replace(state, state="cancelled")
        case ErasureOrdered():
            return replace(
                state, state="ordered", erasure=event.erasure, subject=event.subject, ground=event.ground, reference=event.reference
            )
        case ErasureAnswered():
            return replace(state, answered=(*state.answered, event))
        case ErasureCompleted():
            return replace(state, state="completed")
        case _:
            raise TypeError(f"{event.type} is no event of an erasure")


ERASURES: Decider[Command, Erasure] = Decider("erasure", Erasure(), decide, evolve)
"""The erasure of one person; a stream's id is the person's."""
