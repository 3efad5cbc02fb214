"""Facts that need hardly a rule but that they are said once: a person's details changed, an import was completed, a row of it compared, and
the whole rolled back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from contracts.event import Event
from contracts.roster import ImportReviewSettled, ImportRolledBack, PersonDetailsChanged, RosterImportCompleted
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


@dataclass(frozen=True, slots=True)
class RollBack:
    """What became of the people and classes of an import that never should have been."""

    rolled_back: ImportRolledBack


ImportState = Literal["begun", "completed", "rolled-back"]


def _of_import(command: Complete | RollBack, state: ImportState) -> Sequence[Event]:
    """An import that failed on its way was never completed, and is rolled back as far as it came."""
    match command:
        case Complete(completed):
            return [completed] if state == "begun" else []
        case RollBack(rolled_back):
            return [] if state == "rolled-back" else [rolled_back]


def _has_become(state: ImportState, event: Event) -> ImportState:
    match event:
        case RosterImportCompleted():
            return "completed"
        case ImportRolledBack():
            return "rolled-back"
        case _:
            return state


IMPORT: Decider[Complete | RollBack, ImportState] = Decider("import", "begun", _of_import, _has_become)


@dataclass(frozen=True, slots=True)
class Settle:
    """Whose a row is that an import had put aside."""

    settled: ImportReviewSettled


def _of_review(command: Settle, state: bool) -> Sequence[Event]:
    return [] if state else [command.settled]


def _is_settled(state: bool, event: Event) -> bool:
    return state or isinstance(event, ImportReviewSettled)


REVIEW: Decider[Settle, bool] = Decider("review", False, _of_review, _is_settled)
