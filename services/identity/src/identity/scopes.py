"""From `role:scope`, such as `director:school-7`, to the actor that it names, if there is such a one (DESIGN 3)."""

from __future__ import annotations

from sqlalchemy import Column, select

from contracts.call import Role
from eventkit.decider import Refused
from eventkit.tokens import Actor
from identity.projections import Rows, class_table, guardianship_table, pupil_table, school_table, staff_table

_ROLES = "director:SCHOOL, administrator:SCHOOL, class_teacher:CLASS, staff, pupil and guardian:PERSON, municipality:CODE, and ministry"

_SCOPES: dict[str, tuple[str, Column[str], Column[str]]] = {
    Role.DIRECTOR: ("school", school_table.c.school, school_table.c.school),
    Role.ADMINISTRATOR: ("school", school_table.c.school, school_table.c.school),
    Role.CLASS_TEACHER: ("class", class_table.c.class_id, class_table.c.school),
    Role.STAFF: ("person", staff_table.c.person, staff_table.c.school),
    Role.PUPIL: ("person", pupil_table.c.person, pupil_table.c.school),
    Role.GUARDIAN: ("person", guardianship_table.c.guardian, guardianship_table.c.school),
    Role.MUNICIPALITY: ("municipality", school_table.c.municipality, school_table.c.school),
}
"""For each role that has a scope: what that is, where it stands, and the school that it lies in."""


def actor(rows: Rows, acting_as: str, *, principal: str | None) -> Actor:
    """The actor with its school. Raises Refused where there is no such role, or nobody of that scope."""
    role, _, scope = acting_as.partition(":")
    if role == Role.MINISTRY and not scope:
        return Actor(Role.MINISTRY, principal=principal)
    if role not in _SCOPES or not scope:
        raise Refused("role.unknown", f"Nobody can act as {acting_as}. There are {_ROLES}.")
    what, place, school = _SCOPES[role]
    found = rows(select(school.label("school")).where(place == scope).order_by(school).limit(1))
    if not found:
        raise Refused(f"{what}.unknown", f"There is no {role if what == 'person' else what} {scope}.")
    return Actor(Role(role), scope, None if role == Role.MUNICIPALITY else found[0].school, principal)
