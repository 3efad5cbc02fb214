"""In what a person may act: as roster has told it (DESIGN 3)."""

from __future__ import annotations

from sqlalchemy import select

from contracts.call import Role
from contracts.consent import SubjectKind
from contracts.roster import Position
from identity.projections import Rows, class_teacher_table, people_of


def roles_of(rows: Rows, school: str, person: str) -> tuple[str, ...]:
    """Roles with their scopes, such as `director:school-7`, the widest first; none for whoever is not at the school any more.

    A member of staff who is a parent here as well may act as both.
    """
    known = people_of(rows, school, [person])[person]
    teacher = class_teacher_table.c
    classes = rows(select(teacher.class_id).where(teacher.school == school, teacher.person == person).order_by(teacher.class_id))
    roles: list[str] = []
    if known.kind is SubjectKind.STAFF:
        if known.position is Position.DIRECTOR:
            roles.append(f"{Role.DIRECTOR}:{school}")
        if known.coordinator:
            roles.append(f"{Role.ADMINISTRATOR}:{school}")
        roles += [f"{Role.CLASS_TEACHER}:{row.class_id}" for row in classes]
        roles.append(f"{Role.STAFF}:{person}")
    if known.pupil:
        roles.append(f"{Role.PUPIL}:{person}")
    if known.guardian:
        roles.append(f"{Role.GUARDIAN}:{person}")
    return tuple(roles)


def own_role(roles: tuple[str, ...], person: str) -> str:
    """The role in which a person is nobody but that person: who had signed in, whatever role is chosen."""
    return next(role for role in roles if role.endswith(f":{person}"))
