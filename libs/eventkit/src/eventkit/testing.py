"""The kit in which deciders are tested: given these events, when this command, then those events, nothing, or a refusal.

    given(CLASS, declared).when(CreateClass(class_id="7a")).then(created)
    given(CLASS, declared, created).when(CreateClass(class_id="7a")).then_nothing_happens()
    given(CLASS).when(CreateClass(class_id="7a")).then_refused("class.unknown")

Nothing is stored and nothing waits: it is the decider alone, folded over the events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from contracts.event import Event
from eventkit.clock import DEFAULT_ZONE, ManualClock
from eventkit.decider import Decider, Refused

C = TypeVar("C")


def given(decider: Decider[C, Any], *events: Event) -> Given[C]:
    """A stream on which these events have happened."""
    return Given(decider, events)


@dataclass(frozen=True)
class Given(Generic[C]):
    decider: Decider[C, Any]
    events: tuple[Event, ...]

    def when(self, command: C) -> Decided:
        """What the decider says to a command, in the state after the given events."""
        try:
            return Decided(list(self.decider.decide(command, self.decider.fold(self.events))), None)
        except Refused as refused:
            return Decided([], refused)


@dataclass(frozen=True)
class Decided:
    """The events that followed, or the refusal. Each `then` raises AssertionError where it was otherwise, and says how it was."""

    events: Sequence[Event]
    refused: Refused | None

    def then(self, *expected: Event) -> None:
        """Exactly these events follow, in this order."""
        if self.refused is not None:
            raise AssertionError(f"expected {_shown(expected)}, but it was refused: {self.refused}") from self.refused
        if list(self.events) != list(expected):
            raise AssertionError(f"expected {_shown(expected)}, but what followed was {_shown(self.events)}")

    def then_nothing_happens(self) -> None:
        """It holds already: no event follows, and nobody is refused."""
        self.then()

    def then_refused(self, code: str) -> None:
        """The command is refused with this code."""
        if self.refused is None:
            raise AssertionError(f"expected the refusal {code}, but what followed was {_shown(self.events)}")
        if self.refused.code != code:
            raise AssertionError(f"expected the refusal {code}, but it was {self.refused}") from self.refused


def still_clock(text: str) -> ManualClock:
    """A clock that stands at an ISO date or time: in Moscow where it names no offset, at midnight where it names no time."""
    moment = datetime.fromisoformat(text)
    return ManualClock(moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(DEFAULT_ZONE)))


def _shown(events: Sequence[Event]) -> str:
    if not events:
        return "nothing"
    return "".join(f"\n    {event.type} {event.model_dump_json()}" for event in events) + "\n"
