"""What notifier holds on a person, for the dossier: which messages went out when, never their text or address."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, select

from contracts.operations import HeldRecord
from notifier.outbox import outbox_table


def messages(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    mine = select(outbox_table).where(outbox_table.c.school == school, outbox_table.c.recipient == person)
    for row in connection.execute(mine.order_by(outbox_table.c.number)):
        fields = {"message": row.message, "template": row.template, "day": row.day.isoformat(), "state": row.state}
        yield HeldRecord(what="message", fields=fields | {"credential": row.credential})
