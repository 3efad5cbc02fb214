"""Deciders: a command and a state give events, a state and an event give a state. Pure, with time and ids in the command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from contracts.event import Event

C = TypeVar("C")
S = TypeVar("S")


class Refused(Exception):
    """The domain says no: `code` is `noun.reason` for machines, `text` tells people what to do, `hint` how."""

    def __init__(self, code: str, text: str, hint: str | None = None) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.hint = hint


@dataclass(frozen=True)
class Decider(Generic[C, S]):
    """One kind of stream. `name` stands before the id in the stream's name: `pupil-<id>`.

    `decide` raises Refused where the rules say no and yields nothing where what is asked for holds already. `rests_on` says whether a later
    event was decided on an earlier one of the same stream, which then cannot be annulled alone.
    """

    name: str
    initial: S
    decide: Callable[[C, S], Sequence[Event]]
    evolve: Callable[[S, Event], S]
    rests_on: Callable[[Event, Event], bool] = lambda later, earlier: True

    def fold(self, events: Iterable[Event], state: S | None = None) -> S:
        """The state after these events, from the initial one or from a later one."""
        result = self.initial if state is None else state
        for event in events:
            result = self.evolve(result, event)
        return result

    def stream(self, identifier: str) -> str:
        return f"{self.name}-{identifier}"
