"""What the plan tracker holds on a person, for the dossier: the documents of facts that are kept under the person's id."""

from collections.abc import Iterator

from sqlalchemy import Connection, select

from contracts.operations import HeldRecord
from plan_tracker.projections import fact_table


def documents(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    fact = fact_table.c
    kept = select(fact.source, fact.kind, fact.position).where(fact.school == school, fact.subject == person)
    for row in connection.execute(kept.order_by(fact.source, fact.kind)):
        yield HeldRecord(what="facts", fields={"source": row.source, "kind": row.kind, "through": row.position})
