"""Deciding without recording: what a command would decide is told, and nothing of it stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import Connection, Executable
from sqlalchemy.engine import Row

from contracts.event import Event
from eventkit import log
from eventkit.decider import Decider
from eventkit.event import Recorded, standing

C = TypeVar("C")
S = TypeVar("S")


class Deciding(Protocol):
    """What of a command's transaction whoever decides needs."""

    @property
    def now(self) -> datetime: ...

    def begin(self, decider: Decider[Any, Any], identifier: str) -> None: ...

    def state(self, decider: Decider[Any, S], identifier: str) -> S: ...

    def decide(self, decider: Decider[C, S], identifier: str, command: C, *, school: str, happened_on: date) -> Sequence[Event]: ...

    def told(self, decider: Decider[Any, Any], identifier: str) -> list[Recorded]: ...

    def rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]: ...


class Rehearsal:
    """Looks like a transaction to whoever decides (`store.Transaction`), on a view of the database in which nothing is written."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self.now = now
        self._connection = connection
        self._states: dict[str, Any] = {}

    def begin(self, decider: Decider[Any, Any], identifier: str) -> None:
        self._states[decider.stream(identifier)] = decider.fold(())

    def state(self, decider: Decider[Any, S], identifier: str) -> S:
        stream = decider.stream(identifier)
        if stream not in self._states:
            self._states[stream] = decider.fold(recorded.event() for recorded in self.told(decider, identifier))
        return cast("S", self._states[stream])

    def decide(self, decider: Decider[C, S], identifier: str, command: C, *, school: str, happened_on: date) -> Sequence[Event]:
        """Decides on what was decided before in this rehearsal. Raises Refused where the decider does."""
        state = self.state(decider, identifier)
        events = decider.decide(command, state)
        for event in events:
            state = decider.evolve(state, event)
        self._states[decider.stream(identifier)] = state
        return events

    def told(self, decider: Decider[Any, Any], identifier: str) -> list[Recorded]:
        """The events of a stream that stand, as they are recorded: what was decided in this rehearsal is not."""
        return standing(log.history(self._connection, decider.stream(identifier)))

    def rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        return self._connection.execute(statement, parameters).all()
