"""Who belongs to whom, as roster itself knows it: what the scopes of its calls are held against."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from eventkit.access import Rows
from roster.tables import class_table, guardianship_table, person_table


def teaches(rows: Rows, school: str, class_id: str, person: str) -> bool:
    """Whether a member of a school's staff is the teacher of a class now."""
    found = select(class_table.c.teacher).join(person_table, person_table.c.person == class_table.c.teacher)
    of_class = (class_table.c.class_id == class_id) & (class_table.c.school == school) & (class_table.c.teacher == person)
    return bool(rows(found.where(of_class, person_table.c.active, class_table.c.closed.is_(False))))


def children(rows: Rows, school: str, guardian: str, people: Collection[str]) -> set[str]:
    """Those of the people whom a guardian represents at a school, as they are linked now. Whoever is linked as a relative and no more,
    such as a grandmother who fetches the child, is told nothing of it."""
    link = guardianship_table.c
    represented = (link.guardian == guardian) & link.linked & link.legal_representative
    return {row.pupil for row in rows(select(link.pupil).where(link.school == school, represented, link.pupil.in_(people)))}
