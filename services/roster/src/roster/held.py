"""What roster's tables hold on a person, for the dossier; what the vault holds, the dossier tells itself."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, or_, select

from contracts.operations import HeldRecord
from roster.tables import guardianship_table, person_table


def place(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    found = select(person_table).where(person_table.c.person == person, person_table.c.school == school)
    for row in connection.execute(found):
        fields = {"kind": row.kind, "active": row.active, "class_id": row.class_id, "listed_in": row.listed_in, "seat": row.seat_number}
        yield HeldRecord(what="place", fields=fields)


def links(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    link = guardianship_table.c
    mine = select(guardianship_table).where(link.school == school, or_(link.pupil == person, link.guardian == person))
    for row in connection.execute(mine.order_by(link.pupil, link.guardian)):
        fields = {"pupil": row.pupil, "guardian": row.guardian, "relation": row.relation, "linked": row.linked}
        yield HeldRecord(what="guardianship", fields=fields | {"legal_representative": row.legal_representative})
