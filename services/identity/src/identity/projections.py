"""Who is in the schools, what they decided about their data, and how far their accounts are: what the gates before a code ask, and
what an activity rating counts. It follows roster, consent, and identity's own stream."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
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
    update,
)

from contracts.roster import Position
from eventkit.changes import Changes
from eventkit.decider import Refused
from eventkit.event import Recorded
from eventkit.projection import wanting
from identity.domain.gates import Person, is_of_class

metadata = MetaData()

Rows = Callable[[Executable], Sequence[Row[Any]]]
"""Reads rows: inside a command `Transaction.rows`, elsewhere over a connection."""

school_table = Table(
    "school",
    metadata,
    Column("school", Text, primary_key=True),
    Column("municipality", Text, nullable=False, index=True),
    Column("timezone", Text, nullable=False),
)

class_table = Table(
    "class",
    metadata,
    Column("class_id", Text, primary_key=True),
    Column("school", Text, nullable=False),
    Column("grade", Integer, nullable=False),
)

staff_table = Table(
    "staff",
    metadata,
    Column("school", Text, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("position", Text, nullable=False),
)

class_teacher_table = Table(
    "class_teacher",
    metadata,
    Column("class_id", Text, primary_key=True),
    Column("school", Text, nullable=False),
    Column("person", Text, nullable=False, index=True),
)

coordinator_table = Table("coordinator", metadata, Column("school", Text, primary_key=True), Column("person", Text, primary_key=True))

pupil_table = Table(
    "pupil",
    metadata,
    Column("school", Text, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("legal_basis", Boolean, nullable=False),
)

pupil_class_table = Table(
    "pupil_class",
    metadata,
    Column("school", Text, primary_key=True),
    Column("pupil", Text, primary_key=True),
    Column("class_id", Text, nullable=False),
)

no_guardian_table = Table("no_guardian", metadata, Column("school", Text, primary_key=True), Column("pupil", Text, primary_key=True))

guardianship_table = Table(
    "guardianship",
    metadata,
    Column("school", Text, primary_key=True),
    Column("pupil", Text, primary_key=True),
    Column("guardian", Text, primary_key=True, index=True),
    Column("legal_basis", Boolean, nullable=False),
)

teacher_history_table = Table(
    "teacher_history",
    metadata,
    Column("class_id", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("person", Text, nullable=False),
)
class_history_table = Table(
    "class_history",
    metadata,
    Column("school", Text, primary_key=True),
    Column("pupil", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("class_id", Text),
    Column("annulled", Boolean, nullable=False),
)
guardian_history_table = Table(
    "guardian_history",
    metadata,
    Column("school", Text, primary_key=True),
    Column("pupil", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("guardian", Text, nullable=False),
    Column("legal_basis", Boolean),
    Column("annulled", Boolean, nullable=False),
)
"""What was said of class teachers, of pupils' classes and guardians, and at which of roster's positions: where one turns out never to have
been true, the newest of the others holds. Without a class the pupil is assigned to none, without a legal basis (said or not) the two are
unlinked."""

consent_table = Table(
    "consent",
    metadata,
    Column("school", Text, primary_key=True),
    Column("consent_id", Text, primary_key=True),
    Column("subject", Text, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
)
"""Every decision, by what has become of it, and the position of the event that said so."""

account_table = Table(
    "account",
    metadata,
    Column("school", Text, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("received_on", Date),
)
"""How far each account is; `received_on` is when a code was handed over that has not been used yet."""


_FOLLOWED: Final = frozenset(
    {
        "roster.school-opened",
        "roster.class-declared",
        "roster.class-closed",
        "roster.class-teacher-assigned",
        "roster.staff-hired",
        "roster.staff-dismissed",
        "roster.coordinator-appointed",
        "roster.coordinator-relieved",
        "roster.entry-annulled",
        "identity.entry-annulled",
        "roster.pupil-enrolled",
        "roster.pupil-assigned-to-class",
        "roster.pupil-left",
        "roster.guardian-linked",
        "roster.guardian-unlinked",
        "roster.guardian-absence-recorded",
        "consent.consent-granted",
        "consent.consent-refused",
        "consent.consent-withdrawn",
        "consent.consent-expired",
        "consent.consent-invalidated",
        "identity.credentials-issued",
        "identity.credentials-handed-over",
        "identity.credentials-dispatched",
        "identity.credentials-revoked",
        "identity.account-activated",
        "identity.account-blocked",
    }
)


class People:
    """The projection of schools, classes, people, their consents and accounts. Each event has the last word on one row or two."""

    name = "people"
    sources = ("roster", "consent", "identity")
    tables = metadata
    wants = staticmethod(wanting(_FOLLOWED))

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        changes = Changes()
        for event in events:
            type_name, fact = event.facts()
            here = event.school
            match type_name:
                case "roster.school-opened.v1":
                    changes.put(school_table, school=here, municipality=fact["municipality"], timezone=fact["timezone"])
                case "roster.class-declared.v1":
                    changes.put(class_table, class_id=fact["class_id"], school=here, grade=fact["grade"])
                case "roster.class-closed.v1":
                    changes.drop(class_table, class_id=fact["class_id"])
                    changes.drop(class_teacher_table, class_id=fact["class_id"])
                case "roster.class-teacher-assigned.v1":
                    changes.put(class_teacher_table, class_id=fact["class_id"], school=here, person=fact["person"])
                    changes.put(teacher_history_table, class_id=fact["class_id"], position=event.position, person=fact["person"])
                case "roster.staff-hired.v1":
                    changes.put(staff_table, school=here, person=fact["person"], position=fact["position"])
                case "roster.staff-dismissed.v1":
                    changes.drop(staff_table, school=here, person=fact["person"])
                    changes.drop(coordinator_table, school=here, person=fact["person"])
                case "roster.coordinator-appointed.v1":
                    changes.put(coordinator_table, school=here, person=fact["person"])
                case "roster.coordinator-relieved.v1":
                    changes.drop(coordinator_table, school=here, person=fact["person"])
                case "roster.entry-annulled.v1" if fact["event_type"] == "roster.coordinator-appointed.v1":
                    changes.drop(coordinator_table, school=here, person=_person_of(event))
                case "roster.entry-annulled.v1" if fact["event_type"] == "roster.coordinator-relieved.v1":
                    changes.put(coordinator_table, school=here, person=_person_of(event))
                case "roster.entry-annulled.v1":
                    changes.write(connection)
                    changes = Changes()
                    _annul(connection, event, fact)
                case "identity.entry-annulled.v1":  # of a hand-over, on which nothing rested
                    changes.put(account_table, school=here, person=_person_of(event), state="issued", received_on=None)
                case "roster.pupil-enrolled.v1":
                    changes.put(pupil_table, school=here, person=fact["person"], legal_basis=fact["legal_basis"] is not None)
                    changes.drop(pupil_class_table, school=here, pupil=fact["person"])  # a seat on a list is no assignment yet
                    _say_class(changes, event, fact["person"], None)
                case "roster.pupil-assigned-to-class.v1":
                    changes.put(pupil_class_table, school=here, pupil=fact["pupil"], class_id=fact["class_id"])
                    _say_class(changes, event, fact["pupil"], fact["class_id"])
                case "roster.pupil-left.v1":
                    changes.drop(pupil_table, school=here, person=fact["person"])
                case "roster.guardian-linked.v1":
                    link = {"school": here, "pupil": fact["pupil"], "guardian": fact["guardian"]}
                    changes.put(guardianship_table, **link, legal_basis=fact["legal_basis"] is not None)
                    _say_link(changes, event, fact, legal_basis=fact["legal_basis"] is not None)
                case "roster.guardian-unlinked.v1":
                    changes.drop(guardianship_table, school=here, pupil=fact["pupil"], guardian=fact["guardian"])
                    _say_link(changes, event, fact, legal_basis=None)
                case "roster.guardian-absence-recorded.v1":
                    changes.put(no_guardian_table, school=here, pupil=fact["pupil"])
                case _ if type_name in _DECISIONS:
                    decision = {"school": here, "subject": fact["subject"], "position": event.position}
                    changes.put(consent_table, **decision, consent_id=fact["consent_id"], state=_DECISIONS[type_name])
                    if fact.get("supersedes") is not None:
                        changes.put(consent_table, **decision, consent_id=fact["supersedes"], state="superseded")
                case _ if type_name in _ACCOUNTS:
                    state = _ACCOUNTS[type_name]
                    received_on = date.fromisoformat(event.happenedon) if state == "handed-over" else None
                    changes.put(account_table, school=here, person=fact["person"], state=state, received_on=received_on)
                case _:
                    pass
        changes.write(connection)


_DECISIONS = {
    "consent.consent-granted.v2": "granted",
    "consent.consent-refused.v1": "refused",
    "consent.consent-withdrawn.v1": "withdrawn",
    "consent.consent-expired.v1": "expired",
    "consent.consent-invalidated.v1": "invalidated",
}
_STANDING = ("granted", "refused")

_ACCOUNTS = {
    "identity.credentials-issued.v1": "issued",
    "identity.credentials-handed-over.v1": "handed-over",
    "identity.credentials-dispatched.v1": "handed-over",
    "identity.credentials-revoked.v1": "provisioned",
    "identity.account-activated.v1": "activated",
    "identity.account-blocked.v1": "blocked",
}


def _say_class(changes: Changes, event: Recorded, pupil: str, class_id: str | None) -> None:
    here = {"school": event.school, "pupil": pupil, "position": event.position}
    changes.put(class_history_table, **here, class_id=class_id, annulled=False)


def _say_link(changes: Changes, event: Recorded, fact: Mapping[str, Any], *, legal_basis: bool | None) -> None:
    here = {"school": event.school, "pupil": fact["pupil"], "position": event.position}
    changes.put(guardian_history_table, **here, guardian=fact["guardian"], legal_basis=legal_basis, annulled=False)


def _annul(connection: Connection, event: Recorded, fact: Mapping[str, Any]) -> None:
    """What roster's record said at a position never was true."""
    here, subject = event.school, _person_of(event)
    match fact["event_type"]:
        case "roster.class-declared.v1":
            connection.execute(delete(class_table).where(class_table.c.class_id == subject))
        case "roster.class-teacher-assigned.v1":
            _take_class_from_teacher(connection, here, subject, fact["position"])
        case "roster.staff-hired.v1":
            staff = staff_table.c
            connection.execute(delete(staff_table).where(staff.school == here, staff.person == subject))
        case "roster.pupil-enrolled.v1":
            pupil = pupil_table.c
            connection.execute(delete(pupil_table).where(pupil.school == here, pupil.person == subject))
            _unassign(connection, here, subject, fact["position"])
        case "roster.pupil-assigned-to-class.v1":
            _unassign(connection, here, subject, fact["position"])
        case "roster.guardian-linked.v1":
            _unlink(connection, here, subject, fact["position"])
        case _:
            pass


def _take_class_from_teacher(connection: Connection, school: str, class_id: str, position: int) -> None:
    said = teacher_history_table.c
    connection.execute(delete(teacher_history_table).where(said.class_id == class_id, said.position == position))
    connection.execute(delete(class_teacher_table).where(class_teacher_table.c.class_id == class_id))
    newest = select(said.person).where(said.class_id == class_id).order_by(said.position.desc()).limit(1)
    if (person := connection.execute(newest).scalar()) is not None:
        connection.execute(insert(class_teacher_table).values(class_id=class_id, school=school, person=person))


def _unassign(connection: Connection, school: str, pupil: str, position: int) -> None:
    said, current = class_history_table.c, pupil_class_table.c
    of_pupil = (said.school == school) & (said.pupil == pupil)
    connection.execute(update(class_history_table).where(of_pupil, said.position == position).values(annulled=True))
    connection.execute(delete(pupil_class_table).where(current.school == school, current.pupil == pupil))
    newest = select(said.class_id).where(of_pupil, said.annulled.is_(False)).order_by(said.position.desc()).limit(1)
    if (class_id := connection.execute(newest).scalar()) is not None:
        connection.execute(insert(pupil_class_table).values(school=school, pupil=pupil, class_id=class_id))


def _unlink(connection: Connection, school: str, pupil: str, position: int) -> None:
    said, current = guardian_history_table.c, guardianship_table.c
    of_pupil = (said.school == school) & (said.pupil == pupil)
    connection.execute(update(guardian_history_table).where(of_pupil, said.position == position).values(annulled=True))
    guardian = connection.execute(select(said.guardian).where(of_pupil, said.position == position)).scalar()
    pair = {"school": school, "pupil": pupil, "guardian": guardian}
    connection.execute(delete(guardianship_table).where(current.school == school, current.pupil == pupil, current.guardian == guardian))
    of_pair = select(said.legal_basis).where(of_pupil, said.guardian == guardian, said.annulled.is_(False))
    if (legal_basis := connection.execute(of_pair.order_by(said.position.desc()).limit(1)).scalar()) is not None:
        connection.execute(insert(guardianship_table).values(**pair, legal_basis=legal_basis))


def entered_somebody(event: Recorded) -> bool:
    """Whether what an annulment of roster's annuls had entered somebody."""
    return event.facts()[1]["event_type"] in ("roster.staff-hired.v1", "roster.pupil-enrolled.v1", "roster.guardian-linked.v1")


def annulled_person(rows: Rows, event: Recorded) -> str | None:
    """Whom an annulled entry of roster had entered; None where it had entered nobody."""
    _, fact = event.facts()
    match fact["event_type"]:
        case "roster.staff-hired.v1" | "roster.pupil-enrolled.v1":
            return _person_of(event)
        case "roster.guardian-linked.v1":
            said = guardian_history_table.c
            here = (said.school == event.school) & (said.pupil == _person_of(event)) & (said.position == fact["position"])
            return next((row.guardian for row in rows(select(said.guardian).where(here))), None)
        case _:
            return None


def _person_of(event: Recorded) -> str:
    """Whose stream it is: `staff-school-7.p-1`, `account-p-1`."""
    return event.stream.partition("-")[2].rpartition(".")[2]


def timezone(rows: Rows, school: str) -> str:
    """The time zone of a school. Raises Refused `school.unknown`."""
    found = rows(select(school_table.c.timezone).where(school_table.c.school == school))
    if not found:
        raise Refused("school.unknown", f"There is no school {school}.")
    return found[0].timezone


def people_of(rows: Rows, school: str, people: Collection[str]) -> dict[str, Person]:
    """What is known of each of these people, in six readings however many they are; of a stranger, that there is nothing."""
    found = {person: Person() for person in people}
    staff, coordinator, consent = staff_table.c, coordinator_table.c, consent_table.c
    for row in rows(select(staff_table).where(staff.school == school, staff.person.in_(people))):
        found[row.person].position = Position(row.position)
    for row in rows(select(coordinator_table).where(coordinator.school == school, coordinator.person.in_(people))):
        found[row.person].coordinator = True
    decided = select(consent_table).where(consent.school == school, consent.subject.in_(people), consent.state != "superseded")
    for row in rows(decided.order_by(consent.position)):
        # What stands counts, whatever is heard afterwards of a decision before it.
        if row.state in _STANDING or found[row.subject].consent not in _STANDING:
            found[row.subject].consent = row.state
    for row in rows(_PUPILS.where(pupil_table.c.school == school, pupil_table.c.person.in_(people))):
        pupil = found[row.person]
        pupil.pupil, pupil.no_guardian_recorded, pupil.legal_basis = True, row.no_guardian, row.legal_basis
        pupil.classes |= _assigned(row)
    links = _LINKS.where(guardianship_table.c.school == school)
    for row in rows(links.where(guardianship_table.c.pupil.in_(people))):
        found[row.pupil].guardians.add(row.guardian)
    for row in rows(links.where(guardianship_table.c.guardian.in_(people))):
        guardian = found[row.guardian]
        guardian.guardian, guardian.legal_basis = True, guardian.legal_basis or row.legal_basis
        guardian.classes |= _assigned(row)
    return found


def teaches(rows: Rows, school: str, class_id: str, person: str) -> bool:
    """Whether a member of a school's staff is the teacher of a class now."""
    teacher, staff = class_teacher_table.c, staff_table.c
    employed = (staff.school == teacher.school) & (staff.person == teacher.person)
    found = select(teacher.person).join(staff_table, employed)
    return bool(rows(found.where(teacher.class_id == class_id, teacher.school == school, teacher.person == person)))


def people_of_class(rows: Rows, school: str, class_id: str, people: Collection[str]) -> set[str]:
    """Those of the people who are a class's pupils or their guardians."""
    return {one for one, known in people_of(rows, school, people).items() if is_of_class(known, class_id)}


def _assigned(row: Row[Any]) -> set[str]:
    return set() if row.class_id is None else {row.class_id}


_CLASS = (pupil_class_table.c.school == pupil_table.c.school) & (pupil_class_table.c.pupil == pupil_table.c.person)
_NO_GUARDIAN = (no_guardian_table.c.school == pupil_table.c.school) & (no_guardian_table.c.pupil == pupil_table.c.person)
_CHILD = (pupil_table.c.school == guardianship_table.c.school) & (pupil_table.c.person == guardianship_table.c.pupil)

_PUPILS = (
    select(pupil_table, pupil_class_table.c.class_id, no_guardian_table.c.pupil.is_not(None).label("no_guardian"))
    .outerjoin(pupil_class_table, _CLASS)
    .outerjoin(no_guardian_table, _NO_GUARDIAN)
)
_LINKS = select(guardianship_table, pupil_class_table.c.class_id).join(pupil_table, _CHILD).outerjoin(pupil_class_table, _CLASS)
"""Of children who are at the school: a guardian whose children have all left is none any more."""
