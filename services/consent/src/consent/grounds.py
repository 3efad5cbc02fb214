"""On what each person's data are held, and whose erasure is scheduled: what decides whether somebody is to be forgotten.

It follows roster, and consent's own stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Date, MetaData, Row, Table, Text, or_, select

from consent.projections import Rows, person_table
from contracts.erasure import HeldOn
from contracts.roster import Position
from eventkit.changes import Changes
from eventkit.event import Recorded

metadata = MetaData()

presence_table = Table(
    "presence",
    metadata,
    Column("person", Text, primary_key=True),
    Column("legal_basis", Boolean, nullable=False),
)
"""Staff who work here, and pupils."""

tie_table = Table(
    "tie",
    metadata,
    Column("guardian", Text, primary_key=True),
    Column("pupil", Text, primary_key=True, index=True),
    Column("legal_basis", Boolean, nullable=False),
)
"""Guardians of pupils, also of those who have left."""

office_table = Table("office", metadata, Column("person", Text, primary_key=True), Column("office", Text, primary_key=True))
"""Directors and coordinators: they need neither consent nor another basis (step 2)."""

standing_table = Table(
    "standing",
    metadata,
    Column("consent_id", Text, primary_key=True),
    Column("subject", Text, nullable=False, index=True),
)
"""The granted consents that stand."""

erasure_table = Table(
    "erasure",
    metadata,
    Column("person", Text, primary_key=True),
    Column("school", Text, nullable=False),
    Column("erasure", Text, nullable=False),
    Column("due_on", Date, nullable=False, index=True),
)
"""The erasures that are scheduled."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Whether somebody was ever entered in a school, is here, and on what the data are held."""

    entered: bool
    here: bool
    held_on: HeldOn | None

    @property
    def holds(self) -> HeldOn | None:
        """The ground, of somebody who is here: who has left is not needed any more."""
        return self.held_on if self.here else None


class Grounds:
    """The projection of all of it. Each event has the last word on one row or two."""

    name = "grounds"
    sources = ("roster", "consent")
    tables = metadata

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        changes = Changes()
        for event in events:
            type_name, fact = event.facts()
            if event.service == "roster":
                _of_roster(changes, event, type_name, fact)
            else:
                _of_consent(changes, event, type_name.rpartition(".v")[0], fact)
        changes.write(connection)


def _of_roster(changes: Changes, event: Recorded, type_name: str, fact: dict[str, Any]) -> None:
    match type_name:
        case "roster.staff-hired.v1":
            changes.put(presence_table, person=fact["person"], legal_basis=False)
            if fact["position"] == Position.DIRECTOR:
                changes.put(office_table, person=fact["person"], office="director")
        case "roster.staff-dismissed.v1":
            changes.drop(presence_table, person=fact["person"])
            for office in ("director", "coordinator"):
                changes.drop(office_table, person=fact["person"], office=office)
        case "roster.coordinator-appointed.v1":
            changes.put(office_table, person=fact["person"], office="coordinator")
        case "roster.coordinator-relieved.v1":
            changes.drop(office_table, person=fact["person"], office="coordinator")
        case "roster.entry-annulled.v1" if fact["event_type"] == "roster.coordinator-appointed.v1":
            changes.drop(office_table, person=_person_of(event), office="coordinator")
        case "roster.entry-annulled.v1" if fact["event_type"] == "roster.coordinator-relieved.v1":
            changes.put(office_table, person=_person_of(event), office="coordinator")
        case "roster.pupil-enrolled.v1":
            changes.put(presence_table, person=fact["person"], legal_basis=fact["legal_basis"] is not None)
        case "roster.pupil-left.v1":
            changes.drop(presence_table, person=fact["person"])
        case "roster.guardian-linked.v1":
            changes.put(tie_table, guardian=fact["guardian"], pupil=fact["pupil"], legal_basis=fact["legal_basis"] is not None)
        case "roster.guardian-unlinked.v1":
            changes.drop(tie_table, guardian=fact["guardian"], pupil=fact["pupil"])
        case _:
            pass


def _of_consent(changes: Changes, event: Recorded, name: str, fact: dict[str, Any]) -> None:
    match name:
        case "consent.consent-granted" | "consent.consent-refused":
            if fact["supersedes"] is not None:
                changes.drop(standing_table, consent_id=fact["supersedes"])
            if name == "consent.consent-granted":
                changes.put(standing_table, consent_id=fact["consent_id"], subject=fact["subject"])
        case "consent.consent-withdrawn" | "consent.consent-expired" | "consent.consent-invalidated":
            changes.drop(standing_table, consent_id=fact["consent_id"])
        case "consent.erasure-scheduled":
            due_on = date.fromisoformat(fact["due_on"])
            changes.put(erasure_table, person=fact["subject"], school=event.school, erasure=fact["erasure"], due_on=due_on)
        case "consent.erasure-cancelled" | "consent.erasure-ordered":
            changes.drop(erasure_table, person=fact["subject"])
        case _:
            pass


def _person_of(event: Recorded) -> str:
    """Whose stream it is: `staff-school-7.p-1`."""
    return event.stream.partition("-")[2].rpartition(".")[2]


def ground_of(rows: Rows, school: str, person: str) -> Ground:
    entered = rows(select(person_table.c.kind).where(person_table.c.school == school, person_table.c.person == person))
    present = rows(select(presence_table.c.legal_basis).where(presence_table.c.person == person))
    children = rows(
        select(tie_table.c.legal_basis)
        .join(presence_table, presence_table.c.person == tie_table.c.pupil)
        .where(tie_table.c.guardian == person)
    )
    if rows(select(standing_table.c.consent_id).where(standing_table.c.subject == person).limit(1)):
        held_on = HeldOn.CONSENT
    elif any(row.legal_basis for row in (*present, *children)):
        held_on = HeldOn.LEGAL_BASIS
    elif rows(select(office_table.c.office).where(office_table.c.person == person).limit(1)):
        held_on = HeldOn.OFFICE
    else:
        held_on = None
    return Ground(entered=bool(entered), here=bool(present or children), held_on=held_on)


def guardians_of(rows: Rows, pupil: str) -> list[str]:
    """Whoever is or was linked with a pupil and has not been unlinked."""
    return [row.guardian for row in rows(select(tie_table.c.guardian).where(tie_table.c.pupil == pupil).order_by(tie_table.c.guardian))]


def due_by(rows: Rows, day: date) -> Sequence[Row[Any]]:
    """The scheduled erasures that are due on a day or before it, the longest due first."""
    return rows(select(erasure_table).where(erasure_table.c.due_on <= day).order_by(erasure_table.c.due_on, erasure_table.c.person))


def next_due(rows: Rows, day: date) -> Row[Any] | None:
    """The first scheduled erasure that is due after a day."""
    return next(iter(rows(select(erasure_table).where(erasure_table.c.due_on > day).order_by(erasure_table.c.due_on).limit(1))), None)


def held_again(rows: Rows) -> Sequence[Row[Any]]:
    """The scheduled erasures of people who are here and may be held on something: a consent, another legal basis, an office."""
    one, here, tie = erasure_table.c, presence_table.c, tie_table.c
    child = tie_table.join(presence_table, here.person == tie.pupil)
    as_parent = select(tie.guardian).select_from(child).where(tie.guardian == one.person)
    as_oneself = select(here.person).where(here.person == one.person)
    grounds = (
        select(standing_table.c.subject).where(standing_table.c.subject == one.person),
        select(office_table.c.person).where(office_table.c.person == one.person),
        as_oneself.where(here.legal_basis),
        as_parent.where(tie.legal_basis),
    )
    is_here = or_(as_oneself.exists(), as_parent.exists())
    return rows(select(erasure_table).where(is_here, or_(*(ground.exists() for ground in grounds))).order_by(one.person))
