"""Whom a command at the school is for: people by their ids, the staff, a class with its guardians, or everybody, lot by lot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from contracts.roster import CLASSES, PEOPLE, ClassesQuery, PeopleQuery
from vekha.client import Client
from vekha.failures import Failure


@dataclass(frozen=True)
class Lot:
    """People who belong together. `name` would be a file's, where there are several."""

    name: str
    people: Sequence[str]
    class_id: str | None = None


def parts(people: Sequence[str], at_a_time: int) -> Iterator[tuple[str, ...]]:
    """The people, each once, so many to a call."""
    people = [*dict.fromkeys(people)]
    return (tuple(people[start : start + at_a_time]) for start in range(0, len(people), at_a_time))


async def lots_of(client: Client, school: str, class_id: str | None, as_: str | None, *, staff: bool) -> list[Lot]:
    """The people of one class, or of the staff; without either, everybody, each in one lot alone."""

    async def people(kind: Literal["staff", "pupil", "guardian"], of: str | None = None) -> tuple[str, ...]:
        query = PeopleQuery(school=school, kind=kind, class_id=of)
        return (await client.ask(PEOPLE, query, as_=as_, up_to_date=True)).reply.people

    lots: list[Lot] = []
    if class_id is None:
        lots.append(Lot("staff", await people("staff")))
    seen: set[str] = set()  # a guardian of children in two classes has one account: the first class's lot counts
    if not staff:
        known = (await client.ask(CLASSES, ClassesQuery(school=school), as_=as_, up_to_date=True)).reply.classes
        chosen = [one for one in known if class_id in (None, one.class_id)]
        if not chosen and class_id is not None:
            text = f"There is no class {class_id} in this school."
            raise Failure("class.not-declared", text, "Look at its id: vekha call roster.classes")
        for one in chosen:
            found = [*await people("pupil", one.class_id), *await people("guardian", one.class_id)]
            name = f"{one.academic_year.replace('/', '-')}-{one.grade}{one.letter}"
            lots.append(Lot(name, [person for person in found if person not in seen], one.class_id))
            seen |= {*found}
    return lots
