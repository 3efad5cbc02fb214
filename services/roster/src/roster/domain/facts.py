"""Two facts that need no rule but that they are said once: a person's details changed, an import was completed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.event import Event
from contracts.roster import PersonDetailsChanged, RosterImportCompleted
from eventkit.decider import Decider


@dataclass(frozen=True, slots=True)
class Change:
    """`fields` are the names of the details that differ; the details themselves are the vault's."""

    person: str
    fields: tuple[str, ...]


def _change(command: Change, state: None) -> Sequence[Event]:
    return [PersonDetailsChanged(person=command.person, fields=command.fields)] if command.fields else []


def _as_before(state: None, event: Event) -> None:
    return state


DETAILS: Decider[Change, None] = Decider("details", None, _change, _as_before)


@dataclass(frozen=True, slots=True)
class Complete:
    """The rows of an import by what became of them."""

    completed: RosterImportCompleted


def _complete(command: Complete, done: bool) -> Sequence[Event]:
    return [] if done else [command.completed]


def _done(done: bool, event: Event) -> bool:
    return done or isinstance(event, RosterImportCompleted)


IMPORT: Decider[Complete, bool] = Decider("import", False, _complete, _done)
