"""A reference list (step 11): filled with entries, and cleared. The entries are texts, so an event holds their number and digest alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.event import Event
from contracts.roster import ReferenceListCleared, ReferenceListFilled
from eventkit.decider import Decider, Refused
from roster.domain.digest import canonical, digest


@dataclass(frozen=True, slots=True)
class ReferenceList:
    """`sha256` is None where the list has no entries; `filled` says whether it ever had any."""

    sha256: str | None = None
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Fill:
    list: str
    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Clear:
    list: str


Command = Fill | Clear


def decide(command: Command, state: ReferenceList) -> Sequence[Event]:
    match command:
        case Fill():
            _require_unique(command.entries)
            sha256 = digest(canonical(command.entries))
            if state.sha256 == sha256:
                return []
            return [ReferenceListFilled(list=command.list, entries=len(command.entries), sha256=sha256)]
        case Clear():
            if not state.filled:
                raise Refused("list.never-filled", f"The list {command.list} never had any entries. Look at its name.")
            return [] if state.sha256 is None else [ReferenceListCleared(list=command.list)]


def _require_unique(entries: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for number, entry in enumerate(entries, 1):
        if first.setdefault(entry, number) != number:
            raise Refused("list.entry-repeated", f"Entry {number} is entry {first[entry]} once more. Give each entry once.")


def evolve(state: ReferenceList, event: Event) -> ReferenceList:
    match event:
        case ReferenceListFilled():
            return ReferenceList(event.sha256, filled=True)
        case ReferenceListCleared():
            return ReferenceList(None, filled=True)
        case _:
            return state


LIST = Decider("list", ReferenceList(), decide, evolve)
"""A stream for each list of a school."""
