"""On what each person's data are held, and whose erasure is scheduled: what decides whether somebody is to be forgotten.

It follows roster, and consent's own stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    Index,
    MetaData,
    Row,
    Table,
    Text,
    and_,
    delete,
    insert,
    or_,
    select,
    update,
)

from consent.projections import Rows
from contracts.erasure import HeldOn
from contracts.roster import Position
from eventkit.changes import Changes
from eventkit.event import Recorded
from eventkit.projection import wanting

metadata = MetaData()

presence_table = Table(
    "presence",
    metadata,
    Column("person", Text, primary_key=True),
    Column("legal_basis", Boolean, nullable=False),
    Column("director", Boolean, nullable=False),
)
"""Staff who work here, and pupils. A director needs neither consent nor another basis, nor does a coordinator (step 2)."""

coordinator_table = Table("coordinator", metadata, Column("person", Text, primary_key=True))

tie_table = Table(
    "tie",
    metadata,
    Column("guardian", Text, primary_key=True),
    Column("pupil", Text, primary_key=True, index=True),
    Column("legal_basis", Boolean, nullable=False),
)
"""Guardians of pupils, also of those who have left."""


def _history(of: Table, *columns: Column[Any]) -> Table:
    """What was said of one of these, and at which of roster's positions: where it turns out never to have been true, the newest of the
    others holds. `holds` is false of who has left, was erased, relieved or unlinked."""
    key = [column.name for column in of.primary_key.columns]
    history = Table(
        f"{of.name}_history",
        metadata,
        Column("position", BigInteger, primary_key=True, autoincrement=False),
        Column("school", Text, nullable=False),
        *columns,
        Column("holds", Boolean, nullable=False),
        Column("annulled", Boolean, nullable=False),
    )
    Index(f"{history.name}_of_one", *(history.c[name] for name in key))
    return history


presence_history_table = _history(
    presence_table,
    Column("person", Text, nullable=False),
    Column("legal_basis", Boolean, nullable=False),
    Column("director", Boolean, nullable=False),
)
coordinator_history_table = _history(coordinator_table, Column("person", Text, nullable=False))
tie_history_table = _history(
    tie_table,
    Column("guardian", Text, nullable=False),
    Column("pupil", Text, nullable=False),
    Column("legal_basis", Boolean, nullable=False),
)

_HISTORIES = {presence_table: presence_history_table, coordinator_table: coordinator_history_table, tie_table: tie_history_table}

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
    """Whether somebody is known as one who was entered in a school, and ever truly was; is here; and on what the data are held."""

    known: bool
    entered: bool
    here: bool
    held_on: HeldOn | None

    @property
    def holds(self) -> HeldOn | None:
        """The ground, of somebody who is here: who has left is not needed any more. Who was entered by mistake is as before it."""
        return self.held_on if self.here or not self.entered else None


_FOLLOWED: Final = frozenset(
    {
        "roster.entry-annulled",
        "roster.staff-hired",
        "roster.staff-dismissed",
        "roster.coordinator-appointed",
        "roster.coordinator-relieved",
        "roster.pupil-enrolled",
        "roster.pupil-left",
        "roster.guardian-linked",
        "roster.guardian-unlinked",
        "roster.personal-data-erased",
        "consent.consent-granted",
        "consent.consent-refused",
        "consent.consent-withdrawn",
        "consent.consent-expired",
        "consent.consent-invalidated",
        "consent.erasure-scheduled",
        "consent.erasure-cancelled",
        "consent.erasure-ordered",
    }
)


class Grounds:
    """The projection of all of it."""

    name = "grounds"
    sources = ("roster", "consent")
    tables = metadata
    wants = staticmethod(wanting(_FOLLOWED))

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        changes = Changes()
        for event in events:
            type_name, fact = event.facts()
            if type_name == "roster.entry-annulled.v1":
                changes.write(connection)
                changes = Changes()
                _annul(connection, fact["position"])
            elif event.service == "roster":
                _of_roster(changes, event, type_name, fact)
            else:
                _of_consent(changes, event, type_name.rpartition(".v")[0], fact)
        changes.write(connection)


def _of_roster(changes: Changes, event: Recorded, type_name: str, fact: dict[str, Any]) -> None:
    match type_name:
        case "roster.staff-hired.v1":
            director = fact["position"] == Position.DIRECTOR
            _say(changes, event, presence_table, holds=True, person=fact["person"], legal_basis=False, director=director)
        case "roster.staff-dismissed.v1":
            _say(changes, event, presence_table, holds=False, person=fact["person"], legal_basis=False, director=False)
            _say(changes, event, coordinator_table, holds=False, person=fact["person"])
        case "roster.coordinator-appointed.v1" | "roster.coordinator-relieved.v1":
            _say(changes, event, coordinator_table, holds=type_name == "roster.coordinator-appointed.v1", person=fact["person"])
        case "roster.pupil-enrolled.v1":
            legal_basis = fact["legal_basis"] is not None
            _say(changes, event, presence_table, holds=True, person=fact["person"], legal_basis=legal_basis, director=False)
        case "roster.pupil-left.v1" | "roster.personal-data-erased.v1":
            # Who was erased may still come to school, but holds no guardian here: nobody is linked with that id any more.
            _say(changes, event, presence_table, holds=False, person=fact["person"], legal_basis=False, director=False)
        case "roster.guardian-linked.v1":
            legal_basis = fact["legal_basis"] is not None
            _say(changes, event, tie_table, holds=True, guardian=fact["guardian"], pupil=fact["pupil"], legal_basis=legal_basis)
        case "roster.guardian-unlinked.v1":
            _say(changes, event, tie_table, holds=False, guardian=fact["guardian"], pupil=fact["pupil"], legal_basis=False)
        case _:
            pass


def _say(changes: Changes, event: Recorded, table: Table, *, holds: bool, **row: Any) -> None:
    changes.put(_HISTORIES[table], position=event.position, school=event.school, **row, holds=holds, annulled=False)
    if holds:
        changes.put(table, **row)
    else:
        changes.drop(table, **{column.name: row[column.name] for column in table.primary_key.columns})


def _annul(connection: Connection, position: int) -> None:
    """What roster said at a position never was true."""
    for table, history in _HISTORIES.items():
        said = history.c
        wrong = connection.execute(update(history).where(said.position == position).values(annulled=True).returning(history)).mappings()
        for row in wrong.all():
            one = {column.name: row[column.name] for column in table.primary_key.columns}
            connection.execute(delete(table).where(*(table.c[name] == value for name, value in one.items())))
            of_one = and_(said.annulled.is_(False), *(said[name] == value for name, value in one.items()))
            newest = connection.execute(select(history).where(of_one).order_by(said.position.desc()).limit(1)).mappings().first()
            if newest is not None and newest["holds"]:
                connection.execute(insert(table).values({column.name: newest[column.name] for column in table.columns}))


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


def ground_of(rows: Rows, school: str, person: str) -> Ground:
    as_oneself, as_parent = presence_history_table.c, tie_history_table.c
    told = [
        *rows(select(as_oneself.annulled).where(as_oneself.school == school, as_oneself.person == person, as_oneself.holds)),
        *rows(select(as_parent.annulled).where(as_parent.school == school, as_parent.guardian == person, as_parent.holds)),
    ]
    present = rows(select(presence_table.c.legal_basis, presence_table.c.director).where(presence_table.c.person == person))
    children = rows(
        select(tie_table.c.legal_basis)
        .join(presence_table, presence_table.c.person == tie_table.c.pupil)
        .where(tie_table.c.guardian == person)
    )
    coordinates = rows(select(coordinator_table.c.person).where(coordinator_table.c.person == person))
    if rows(select(standing_table.c.consent_id).where(standing_table.c.subject == person).limit(1)):
        held_on = HeldOn.CONSENT
    elif any(row.legal_basis for row in (*present, *children)):
        held_on = HeldOn.LEGAL_BASIS
    elif coordinates or any(row.director for row in present):
        held_on = HeldOn.OFFICE
    else:
        held_on = None
    return Ground(known=bool(told), entered=not all(row.annulled for row in told), here=bool(present or children), held_on=held_on)


def entered_by(rows: Rows, position: int) -> list[str]:
    """Whom an entry of roster's that never was true had entered or given an office, and whose children."""
    presence, office, tie = presence_history_table.c, coordinator_history_table.c, tie_history_table.c
    here = rows(select(presence.person).where(presence.position == position, presence.holds))
    offices = rows(select(office.person).where(office.position == position, office.holds))
    ties = rows(select(tie.guardian).where(tie.position == position, tie.holds))
    guardians = [guardian for row in here for guardian in guardians_of(rows, row.person)]
    return [*(row.person for row in (*here, *offices)), *guardians, *(row.guardian for row in ties)]


def guardians_of(rows: Rows, pupil: str) -> list[str]:
    """Whoever is or was linked with a pupil and has not been unlinked."""
    return [row.guardian for row in rows(select(tie_table.c.guardian).where(tie_table.c.pupil == pupil).order_by(tie_table.c.guardian))]


def is_scheduled(rows: Rows, person: str, by: date) -> bool:
    """Whether a person's erasure is scheduled for a day, or an earlier one."""
    this = (erasure_table.c.person == person) & (erasure_table.c.due_on <= by)
    return bool(rows(select(erasure_table.c.person).where(this)))


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
        select(coordinator_table.c.person).where(coordinator_table.c.person == one.person),
        as_oneself.where(or_(here.legal_basis, here.director)),
        as_parent.where(tie.legal_basis),
    )
    is_here = or_(as_oneself.exists(), as_parent.exists())
    return rows(select(erasure_table).where(is_here, or_(*(ground.exists() for ground in grounds))).order_by(one.person))
