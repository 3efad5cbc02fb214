"""What consent must know of the schools: which there are, their classes, and who is in them; and which consents end when.

It follows roster and, for the ends, consent itself: the clock asks for them (DOMAIN 3).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    CompoundSelect,
    Connection,
    Date,
    Executable,
    Integer,
    MetaData,
    Row,
    Table,
    Text,
    delete,
    insert,
    select,
)

from contracts.consent import SubjectKind
from eventkit.changes import Changes
from eventkit.decider import Refused
from eventkit.event import Recorded
from eventkit.projection import wanting

metadata = MetaData()

Rows = Callable[[Executable], Sequence[Row[Any]]]
"""Reads rows: inside a command `Transaction.rows`, elsewhere over a connection."""

school_table = Table("school", metadata, Column("school", Text, primary_key=True), Column("timezone", Text, nullable=False))

class_table = Table("class", metadata, Column("class_id", Text, primary_key=True), Column("school", Text, nullable=False))

teacher_table = Table("teacher", metadata, Column("class_id", Text, primary_key=True), Column("person", Text, nullable=False))

dismissed_table = Table("dismissed", metadata, Column("school", Text, primary_key=True), Column("person", Text, primary_key=True))
"""Who has left the staff: a decision on such a person may still be recorded, by such a person none."""

person_table = Table(
    "person",
    metadata,
    Column("school", Text, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
)
"""Everybody who was ever entered: a decision on somebody's data may still be recorded after they have left."""

pupil_class_table = Table("pupil_class", metadata, Column("pupil", Text, primary_key=True), Column("class_id", Text, nullable=False))

headcount_table = Table(
    "headcount",
    metadata,
    Column("class_id", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("pupils", Integer, nullable=False),
)
"""Each headcount that was declared; the one at roster's last position holds."""

guardianship_table = Table(
    "guardianship",
    metadata,
    Column("guardian", Text, primary_key=True),
    Column("pupil", Text, primary_key=True),
    Column("legal_representative", Boolean, nullable=False),
)

class_history_table = Table(
    "class_history",
    metadata,
    Column("pupil", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("class_id", Text),
)
guardian_history_table = Table(
    "guardian_history",
    metadata,
    Column("pupil", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("guardian", Text, nullable=False, index=True),
    Column("legal_representative", Boolean),
)
"""What was said of pupils' classes and guardians, and at which of roster's positions: where one turns out never to have been true, the
newest of the others holds. Who has left is in no class; whether a guardian represents is not said of who was unlinked."""

end_table = Table(
    "end",
    metadata,
    Column("consent_id", Text, primary_key=True),
    Column("school", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("valid_until", Date, nullable=False, index=True),
)
"""The consents that stand and have a last day."""


_FOLLOWED: Final = frozenset(
    {
        "roster.school-opened",
        "roster.class-declared",
        "roster.class-headcount-declared",
        "roster.class-closed",
        "roster.class-teacher-assigned",
        "roster.staff-dismissed",
        "roster.staff-hired",
        "roster.pupil-enrolled",
        "roster.pupil-assigned-to-class",
        "roster.pupil-left",
        "roster.guardian-linked",
        "roster.guardian-unlinked",
        "roster.entry-annulled",
        "consent.consent-granted",
        "consent.consent-refused",
        "consent.consent-withdrawn",
        "consent.consent-expired",
        "consent.consent-invalidated",
    }
)


class People:
    """The projection of schools, classes, people, and the ends of consents."""

    name = "people"
    sources = ("roster", "consent")
    tables = metadata
    wants = staticmethod(wanting(_FOLLOWED))

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        changes = Changes()
        for event in events:
            type_name, fact = event.facts()
            match type_name:
                case "roster.school-opened.v1":
                    changes.put(school_table, school=fact["school"], timezone=fact["timezone"])
                case "roster.class-declared.v1":
                    changes.put(class_table, class_id=fact["class_id"], school=event.school)
                case "roster.class-headcount-declared.v1":
                    changes.put(headcount_table, class_id=fact["class_id"], position=event.position, pupils=fact["pupils"])
                case "roster.class-closed.v1":
                    changes.drop(class_table, class_id=fact["class_id"])
                    changes.drop(teacher_table, class_id=fact["class_id"])
                case "roster.class-teacher-assigned.v1":
                    changes.put(teacher_table, class_id=fact["class_id"], person=fact["person"])
                case "roster.staff-dismissed.v1":
                    changes.put(dismissed_table, school=event.school, person=fact["person"])
                case "roster.staff-hired.v1":
                    changes.put(person_table, school=event.school, person=fact["person"], kind=SubjectKind.STAFF)
                    changes.drop(dismissed_table, school=event.school, person=fact["person"])
                case "roster.pupil-enrolled.v1":
                    changes.put(person_table, school=event.school, person=fact["person"], kind=SubjectKind.PUPIL)
                    _assign(changes, event, fact["person"], fact["seat"]["class_id"])
                case "roster.pupil-assigned-to-class.v1":
                    _assign(changes, event, fact["pupil"], fact["class_id"])
                case "roster.pupil-left.v1":
                    changes.drop(pupil_class_table, pupil=fact["person"])
                    changes.put(class_history_table, pupil=fact["person"], position=event.position, class_id=None)
                case "roster.guardian-linked.v1":
                    changes.put(person_table, school=event.school, person=fact["guardian"], kind=SubjectKind.GUARDIAN)
                    link = {"guardian": fact["guardian"], "pupil": fact["pupil"]}
                    changes.put(guardianship_table, **link, legal_representative=fact["legal_representative"])
                    _say_link(changes, event, fact, fact["legal_representative"])
                case "roster.guardian-unlinked.v1":
                    changes.drop(guardianship_table, guardian=fact["guardian"], pupil=fact["pupil"])
                    _say_link(changes, event, fact, None)
                case "roster.entry-annulled.v1":
                    changes.write(connection)
                    changes = Changes()
                    _annul(connection, event, fact)
                case "consent.consent-granted.v2" | "consent.consent-refused.v1":
                    if fact["supersedes"] is not None:
                        changes.drop(end_table, consent_id=fact["supersedes"])
                    if (last := fact.get("valid_until")) is not None:
                        end = {"subject": fact["subject"], "valid_until": date.fromisoformat(last)}
                        changes.put(end_table, consent_id=fact["consent_id"], school=event.school, **end)
                case "consent.consent-withdrawn.v1" | "consent.consent-expired.v1" | "consent.consent-invalidated.v1":
                    changes.drop(end_table, consent_id=fact["consent_id"])
                case _:
                    pass
        changes.write(connection)


def _assign(changes: Changes, event: Recorded, pupil: str, class_id: str) -> None:
    changes.put(pupil_class_table, pupil=pupil, class_id=class_id)
    changes.put(class_history_table, pupil=pupil, position=event.position, class_id=class_id)


def _say_link(changes: Changes, event: Recorded, fact: Mapping[str, Any], legal_representative: bool | None) -> None:
    link = {"pupil": fact["pupil"], "position": event.position, "guardian": fact["guardian"]}
    changes.put(guardian_history_table, **link, legal_representative=legal_representative)


def _annul(connection: Connection, event: Recorded, fact: Mapping[str, Any]) -> None:
    """What the record said at a position never was true."""
    subject, person = event.stream.partition("-")[2].rpartition(".")[2], person_table.c
    match fact["event_type"]:
        case "roster.class-declared.v1":
            connection.execute(delete(class_table).where(class_table.c.class_id == subject))
        case "roster.class-headcount-declared.v1":
            said = headcount_table.c
            connection.execute(delete(headcount_table).where(said.class_id == subject, said.position == fact["position"]))
        case "roster.staff-hired.v1":
            connection.execute(delete(person_table).where(person.person == subject, person.kind == SubjectKind.STAFF))
        case "roster.pupil-enrolled.v1":
            connection.execute(delete(person_table).where(person.person == subject, person.kind == SubjectKind.PUPIL))
            _unassign(connection, subject, fact["position"])
        case "roster.pupil-assigned-to-class.v1":
            _unassign(connection, subject, fact["position"])
        case "roster.guardian-linked.v1":
            _unlink(connection, subject, fact["position"])
        case _:
            pass


def _unassign(connection: Connection, pupil: str, position: int) -> None:
    assigned = class_history_table.c
    connection.execute(delete(class_history_table).where(assigned.pupil == pupil, assigned.position == position))
    connection.execute(delete(pupil_class_table).where(pupil_class_table.c.pupil == pupil))
    newest = select(assigned.class_id).where(assigned.pupil == pupil).order_by(assigned.position.desc()).limit(1)
    if (class_id := connection.execute(newest).scalar()) is not None:
        connection.execute(insert(pupil_class_table).values(pupil=pupil, class_id=class_id))


def _unlink(connection: Connection, pupil: str, position: int) -> None:
    link, pair = guardian_history_table.c, guardianship_table.c
    guardian = connection.execute(select(link.guardian).where(link.pupil == pupil, link.position == position)).scalar()
    connection.execute(delete(guardian_history_table).where(link.pupil == pupil, link.position == position))
    connection.execute(delete(guardianship_table).where(pair.pupil == pupil, pair.guardian == guardian))
    of_pair = select(link.legal_representative).where(link.pupil == pupil, link.guardian == guardian)
    if (represents := connection.execute(of_pair.order_by(link.position.desc()).limit(1)).scalar()) is not None:
        connection.execute(insert(guardianship_table).values(pupil=pupil, guardian=guardian, legal_representative=represents))
    ever_linked = select(link.pupil).where(link.guardian == guardian, link.legal_representative.is_not(None))
    if connection.execute(ever_linked.limit(1)).first() is None:
        person = person_table.c
        connection.execute(delete(person_table).where(person.person == guardian, person.kind == SubjectKind.GUARDIAN))


def timezone(rows: Rows, school: str) -> str:
    """The time zone of a school. Raises Refused `school.unknown`."""
    found = rows(select(school_table.c.timezone).where(school_table.c.school == school))
    if not found:
        raise Refused("school.unknown", f"There is no school {school}.")
    return found[0].timezone


def timezones(rows: Rows) -> Sequence[str]:
    """The time zones in which there are schools."""
    return [row.timezone for row in rows(select(school_table.c.timezone).distinct().order_by(school_table.c.timezone))]


def ended_before(rows: Rows, day: date, timezone: str) -> Sequence[Row[Any]]:
    """The consents whose last day came before a day, in the schools of a time zone, the longest ended first."""
    ended = (end_table.c.valid_until < day) & (school_table.c.timezone == timezone)
    return rows(select(end_table).join(school_table, _SCHOOL).where(ended).order_by(end_table.c.valid_until, end_table.c.consent_id))


def next_end(rows: Rows, day: date, timezone: str) -> date | None:
    """The first last day that is no earlier than a day, in the schools of a time zone."""
    to_come = (end_table.c.valid_until >= day) & (school_table.c.timezone == timezone)
    # Not min(): over a join PostgreSQL would read every end that is still to come, and this is asked whenever something was read.
    first = select(end_table.c.valid_until).join(school_table, _SCHOOL).where(to_come).order_by(end_table.c.valid_until).limit(1)
    return next((row.valid_until for row in rows(first)), None)


def entered_in_class(class_id: str, people: Collection[str]) -> CompoundSelect[Any]:
    """Selects those of the people who are the class's pupils or their guardians, as `person`."""
    pupils = select(pupil_class_table.c.pupil.label("person")).where(
        pupil_class_table.c.class_id == class_id, pupil_class_table.c.pupil.in_(people)
    )
    guardians = (
        select(guardianship_table.c.guardian.label("person"))
        .join(pupil_class_table, pupil_class_table.c.pupil == guardianship_table.c.pupil)
        .where(pupil_class_table.c.class_id == class_id, guardianship_table.c.guardian.in_(people))
    )
    return pupils.union(guardians)


def teaches(rows: Rows, school: str, class_id: str, person: str) -> bool:
    """Whether a member of a school's staff is the teacher of a class now."""
    left = select(dismissed_table.c.person).where(dismissed_table.c.school == school)
    of_class = (teacher_table.c.class_id == class_id) & (teacher_table.c.person == person)
    return bool(rows(select(teacher_table).where(of_class, teacher_table.c.person.not_in(left))))


def children(rows: Rows, school: str, guardian: str, people: Collection[str]) -> set[str]:
    """Those of the people whom a guardian represents at a school, as they are linked now."""
    link = guardianship_table.c
    linked = select(link.pupil).join(person_table, (person_table.c.person == link.pupil) & (person_table.c.school == school))
    return {row.pupil for row in rows(linked.where(link.guardian == guardian, link.legal_representative, link.pupil.in_(people)))}


_SCHOOL = end_table.c.school == school_table.c.school
