"""Workplaces for teachers, and how many of them are connected to the internet (step 5). Whether they are enough, the director attests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.event import Event
from contracts.roster import WorkplacesDeclared
from eventkit.decider import Decider, Refused


@dataclass(frozen=True, slots=True)
class DeclareWorkplaces:
    online: int
    total: int


def decide(command: DeclareWorkplaces, declared: WorkplacesDeclared | None) -> Sequence[Event]:
    if command.online > command.total:
        raise Refused(
            "workplaces.too-many-online",
            f"{command.online} workplaces cannot be online where there are {command.total}. `total` counts all, those online too.",
        )
    event = WorkplacesDeclared(online=command.online, total=command.total)
    return [] if event == declared else [event]


def evolve(declared: WorkplacesDeclared | None, event: Event) -> WorkplacesDeclared | None:
    return event if isinstance(event, WorkplacesDeclared) else declared


WORKPLACES: Decider[DeclareWorkplaces, WorkplacesDeclared | None] = Decider(
    "workplaces", None, decide, evolve, rests_on=lambda later, earlier: False
)
