"""What consent holds on a person, for the dossier: the forms handed out to the person, and every decision on the person's data.

A receipt is made of a decision whenever it is asked for, and kept nowhere. A form handed out for a seat names nobody.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, select

from consent.domain import CONSENTS, Consents
from consent.registry import consent_table, seat_table
from consent.requests import REQUESTS
from contracts.consent import ConsentRequested
from contracts.operations import HeldRecord
from eventkit import log


def decisions(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    history = [one for one in log.history(connection, CONSENTS.stream(person)) if one.school == school]
    consents: Consents = CONSENTS.fold(recorded.event() for recorded in history)
    for one in consents:
        ends = None if one.valid_until is None else one.valid_until.isoformat()
        fields = {"consent_id": one.decided.consent_id, "state": one.state, "decided_on": one.decided_on.isoformat(), "valid_until": ends}
        yield HeldRecord(what="decision", fields={**fields, "class_id": one.decided.seat.class_id if one.decided.seat else None})


def forms(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    for recorded in log.history(connection, REQUESTS.stream(person)):
        said = recorded.event()
        if recorded.school == school and isinstance(said, ConsentRequested):
            version: dict[str, str | int | bool | None] = {"template": said.template, "template_version": said.template_version}
            yield HeldRecord(what="form", fields=version | {"requested_on": said.requested_on.isoformat()})


def registered(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    """Which consents and seats are the person's, as this service finds them again."""
    consent, seat = consent_table.c, seat_table.c
    mine = select(consent.consent_id, consent.kind).where(consent.school == school, consent.subject == person)
    for row in connection.execute(mine.order_by(consent.consent_id)):
        yield HeldRecord(what="consent", fields={"consent_id": row.consent_id, "kind": row.kind})
    seats = select(seat.class_id, seat.number, seat.holder).where(
        seat.subject.in_(select(consent.subject).where(consent.school == school, consent.subject == person))
    )
    for row in connection.execute(seats.order_by(seat.class_id, seat.number, seat.holder)):
        yield HeldRecord(what="seat", fields={"class_id": row.class_id, "number": row.number, "holder": row.holder})
