"""What follows in consent's own tables from an event that is taken back from the bus (DESIGN 2.3). The digests of papers' numbers are lost:
a paper that is brought again is found by its seat."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from consent.registry import consent_table, seat_table
from contracts.consent import ConsentGranted, ConsentRefused
from eventkit.event import Recorded


def follow(connection: Connection, recorded: Recorded) -> None:
    """Writes rows as the command did that recorded the event."""
    event = recorded.event()
    if not isinstance(event, (ConsentGranted, ConsentRefused)):
        return
    granted = isinstance(event, ConsentGranted)
    row = {"consent_id": event.consent_id, "school": recorded.school, "subject": event.subject, "kind": event.subject_kind}
    connection.execute(insert(consent_table).values(**row, granted=granted))
    if event.seat is not None:
        place = {"class_id": event.seat.class_id, "number": event.seat.number, "holder": event.seat.holder}
        taken = select(seat_table.c.subject).where(*(seat_table.c[name] == value for name, value in place.items()))
        if connection.execute(taken).first() is None:
            connection.execute(insert(seat_table).values(**place, subject=event.subject))
