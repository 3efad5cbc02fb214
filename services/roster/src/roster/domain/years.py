"""Academic years: which one follows which, and that every class of one was rolled over into the next (step 15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.event import Event
from contracts.roster import AcademicYearRolledOver
from eventkit.decider import Decider, Refused


def first_year(academic_year: str, code: str = "year.malformed") -> int:
    """The calendar year in which an academic year begins. Raises Refused with `code` where its two years do not follow each other."""
    begins, ends = (int(year) for year in academic_year.split("/"))
    if ends != begins + 1:
        raise Refused(code, f"{academic_year} is no academic year: name two years that follow each other.")
    return begins


@dataclass(frozen=True, slots=True)
class RollOverYear:
    """`open_classes` of `from_year` are left, and `pupils` are in classes of it still, though those are closed."""

    from_year: str
    to_year: str
    open_classes: int
    pupils: int


def decide(command: RollOverYear, rolled_over: bool) -> Sequence[Event]:
    if first_year(command.to_year) != first_year(command.from_year) + 1:
        raise Refused("year.not-next", f"{command.to_year} does not follow {command.from_year}. Name the year after it.")
    if rolled_over:
        return []
    if command.open_classes:
        raise Refused(
            "year.classes-open",
            f"Classes of {command.from_year} that are open still: {command.open_classes}.",
            "Roll each of them over (roster.roll-over-class); close a leaving class when its pupils have left (roster.close-class).",
        )
    if command.pupils:
        raise Refused(
            "year.pupils-remain",
            f"Pupils who are in closed classes of {command.from_year} still: {command.pupils}.",
            "Roll those classes over (roster.roll-over-class), or record who has left the school (roster.pupil-left).",
        )
    return [AcademicYearRolledOver(from_year=command.from_year, to_year=command.to_year)]


def evolve(rolled_over: bool, event: Event) -> bool:
    return rolled_over or isinstance(event, AcademicYearRolledOver)


YEAR: Decider[RollOverYear, bool] = Decider("year", False, decide, evolve)
