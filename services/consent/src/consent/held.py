"""What consent holds on a person, for the dossier: every decision on the person's data."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from consent.domain import CONSENTS, Consents
from contracts.operations import HeldRecord
from eventkit import log


def decisions(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    history = [one for one in log.history(connection, CONSENTS.stream(person)) if one.school == school]
    consents: Consents = CONSENTS.fold(recorded.event() for recorded in history)
    for one in consents:
        ends = None if one.valid_until is None else one.valid_until.isoformat()
        fields = {"consent_id": one.decided.consent_id, "state": one.state, "decided_on": one.decided_on.isoformat(), "valid_until": ends}
        yield HeldRecord(what="decision", fields={**fields, "class_id": one.decided.seat.class_id if one.decided.seat else None})
