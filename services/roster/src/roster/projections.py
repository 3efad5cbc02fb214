"""What roster must know of consents: for whom there is one, in which state, and on which seat. It follows consent.

The gates of entering ask these rows, and adopting a subject's id and seat starts from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Column, Connection, Index, Integer, MetaData, Table, Text, bindparam, update

from contracts.consent import SubjectKind
from contracts.roster import Seat, SeatHolder
from eventkit.changes import Changes
from eventkit.event import Recorded
from eventkit.projection import wanting
from roster.domain.basis import Consent

metadata = MetaData()

consent_table = Table(
    "consent",
    metadata,
    Column("consent_id", Text, primary_key=True),
    Column("school", Text, nullable=False),
    Column("subject", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("class_id", Text),
    Column("seat_number", Integer),
    Column("seat_holder", Text),
    Column("import_id", Text, index=True),
)
"""`import_id` is that of the import whose consent columns said so; empty for every other decision."""
Index("consent_seat", consent_table.c.class_id, consent_table.c.seat_number)

_END = update(consent_table).where(consent_table.c.consent_id == bindparam("ended")).values(state=bindparam("new_state"))


_FOLLOWED: Final = frozenset(
    {
        "consent.consent-granted",
        "consent.consent-refused",
        "consent.consent-withdrawn",
        "consent.consent-expired",
        "consent.consent-invalidated",
    }
)


class Consents:
    """The projection of the decisions on processing people's data."""

    name = "consents"
    sources = ("consent",)
    tables = metadata
    wants = staticmethod(wanting(_FOLLOWED))

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        decided = Changes()
        ended: dict[str, str] = {}
        for event in events:
            name, fact = event.facts()
            match name:
                case "consent.consent-granted.v2" | "consent.consent-refused.v1":
                    state = "granted" if name == "consent.consent-granted.v2" else "refused"
                    decided.put(consent_table, **_row(event, state, fact))
                    if fact["supersedes"] is not None:
                        ended[fact["supersedes"]] = "superseded"
                case "consent.consent-withdrawn.v1" | "consent.consent-expired.v1" | "consent.consent-invalidated.v1":
                    ended[fact["consent_id"]] = name.removeprefix("consent.consent-").removesuffix(".v1")
                case _:
                    pass
        decided.write(connection)
        if ended:
            connection.execute(_END, [{"ended": consent_id, "new_state": state} for consent_id, state in ended.items()])


def _row(event: Recorded, state: str, fact: Mapping[str, Any]) -> dict[str, Any]:
    seat: Mapping[str, Any] = fact["seat"] or {}
    by_import = event.commandid.startswith("i-")
    return {
        "consent_id": fact["consent_id"],
        "school": event.school,
        "subject": fact["subject"],
        "kind": fact["subject_kind"],
        "state": state,
        "class_id": seat.get("class_id"),
        "seat_number": seat.get("number"),
        "seat_holder": seat.get("holder"),
        "import_id": event.commandid.partition(".")[0] if by_import else None,
    }


def consent_of(row: Any) -> Consent:
    """A row of `consent_table` as the domain's gates take it."""
    consent_id, _, subject, kind, state, class_id, number, holder, _ = row
    seat = None if class_id is None else Seat(class_id=class_id, number=number, holder=SeatHolder(holder))
    return Consent(consent_id, subject, SubjectKind(kind), state, seat)
