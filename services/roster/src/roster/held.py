"""What roster's tables hold on a person, for the dossier; what the vault holds, the dossier tells itself."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, or_, select

from contracts.operations import HeldRecord
from roster.importing.job import job_table
from roster.importing.reviews import review_table
from roster.importing.traces import trace_table
from roster.tables import class_table, external_id_table, guardianship_table, likeness_table, person_table, seat_table
from roster.vault import vault_table


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


def classes(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    """The classes whose teacher the person is."""
    own = class_table.c
    mine = select(own.class_id, own.closed).where(own.school == school, own.teacher == person).order_by(own.class_id)
    for row in connection.execute(mine):
        yield HeldRecord(what="class-teacher", fields={"class_id": row.class_id, "closed": row.closed})


def seats(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    """The numbers on lists that are the person's for ever."""
    entered = select(person_table.c.person).where(person_table.c.person == person, person_table.c.school == school)
    mine = select(seat_table).where(seat_table.c.person.in_(entered)).order_by(seat_table.c.class_id, seat_table.c.number)
    for row in connection.execute(mine):
        yield HeldRecord(what="seat", fields={"class_id": row.class_id, "number": row.number})


def details(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    """That there are details, and digests by which the same person is found in another file; never a digest itself."""
    kept = select(vault_table.c.person).where(vault_table.c.person == person, vault_table.c.school == school)
    if connection.execute(kept).first() is None:
        return
    counts = {
        name: len(connection.execute(select(table.c.digest).where(table.c.person == person)).all())
        for name, table in (("external_ids", external_id_table), ("likenesses", likeness_table))
    }
    yield HeldRecord(what="details", fields={"sealed": True, **counts})


def imports(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    """The imports that have touched the person and can still be rolled back, and whether details from before stand sealed there."""
    trace, job = trace_table.c, job_table.c
    mine = select(trace_table).join(job_table, trace.job == job.job).where(job.school == school, trace.subject == person)
    for row in connection.execute(mine.order_by(job.number)):
        fields = {"import": row.job, "entered": row.entered, "earlier_details": row.before is not None}
        yield HeldRecord(what="import-trace", fields=fields | {"outcome": row.outcome, "until": row.expires_at})


def reviews(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    """The rows of imports that somebody has said are the person's. Of one that is open nobody knows yet whose it is."""
    review = review_table.c
    mine = select(review_table).where(review.school == school, review.person == person)
    for row in connection.execute(mine.order_by(review.job, review.number)):
        fields = {"import": row.job, "settled_as": row.settled_as, "state": row.state, "until": row.expires_at}
        yield HeldRecord(what="import-review", fields=fields)
