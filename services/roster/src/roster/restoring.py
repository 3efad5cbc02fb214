"""What follows in roster's own tables from an event that is taken back from the bus, as far as the event tells (DESIGN 2.3).

Names, entries and lessons were in the lost part of the database alone. Who has no details any more is entered again under the same id; a
school bears its id as its name, a list and a timetable are filled again.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from contracts import roster
from contracts.consent import SubjectKind
from contracts.event import Event
from eventkit import log
from eventkit.event import Recorded, standing
from roster.revisions import OF_CLASS, class_of_pupil
from roster.tables import class_table, guardianship_table, issue_table, person_table, school_table, seat_table
from roster.vault import vault_table


def follow(connection: Connection, recorded: Recorded) -> None:
    """Writes rows as the command did that recorded the event."""
    event, school = recorded.event(), recorded.school
    match event:
        case roster.SchoolOpened():
            of = {"municipality": event.municipality, "timezone": event.timezone}
            _put(connection, school_table, {"school": event.school}, name=event.school, **of)
        case roster.StaffHired():
            _enter(connection, event.person, school, SubjectKind.STAFF, position=event.position, since=event.hired_on.isoformat())
        case roster.StaffDismissed() | roster.PupilLeft():
            _put(connection, person_table, {"person": event.person}, active=False)
        case roster.ClassDeclared():
            named: dict[str, Any] = {"grade": event.grade, "letter": event.letter, "academic_year": event.academic_year}
            _put(connection, class_table, {"class_id": event.class_id}, school=school, closed=False, revision=0, **named)
        case roster.ClassCreated():
            _put(connection, class_table, {"class_id": event.class_id}, shift=event.shift)
        case roster.ClassHeadcountDeclared():
            _put(connection, class_table, {"class_id": event.class_id}, headcount=event.pupils)
        case roster.ClassTeacherAssigned():
            _put(connection, class_table, {"class_id": event.class_id}, teacher=event.person)
        case roster.ClassClosed():
            _put(connection, class_table, {"class_id": event.class_id}, closed=True)
        case roster.PupilEnrolled():
            _enter(connection, event.person, school, SubjectKind.PUPIL, since=event.enrolled_on.isoformat())
            _sit(connection, event.person, event.seat)
        case roster.PupilMoved():
            _sit(connection, event.pupil, event.seat)
        case roster.PupilAssignedToClass():
            _put(connection, person_table, {"person": event.pupil}, class_id=event.class_id)
        case roster.GuardianLinked():
            _enter(connection, event.guardian, school, SubjectKind.GUARDIAN)
            link = {"pupil": event.pupil, "guardian": event.guardian}
            told = {"relation": event.relation, "legal_representative": event.legal_representative}
            _put(connection, guardianship_table, link, school=school, linked=True, **told)
        case roster.GuardianUnlinked():
            _put(connection, guardianship_table, {"pupil": event.pupil, "guardian": event.guardian}, linked=False)
        case roster.DataIssueOpened():
            opened = {"kind": event.kind, "blocking": event.blocking, "opened_on": recorded.happenedon}
            _put(connection, issue_table, {"issue": event.issue}, school=school, class_id=event.class_id, **opened)
        case roster.DataIssueResolved():
            _put(connection, issue_table, {"issue": event.issue}, resolved_on=recorded.happenedon)
        case roster.EntryAnnulled():
            _take_out(connection, recorded, event.event)
        case _:
            pass
    for class_id in _touched(connection, event):
        connection.execute(update(class_table).where(class_table.c.class_id == class_id).values(revision=class_table.c.revision + 1))


def without_data(connection: Connection) -> list[tuple[str, str, str]]:
    """Who is entered and not erased, and of whom the vault holds nothing: school, kind and id. They are to be entered again."""
    known = select(vault_table.c.person)
    lost = select(person_table.c.school, person_table.c.kind, person_table.c.person).where(
        person_table.c.active, ~person_table.c.erased, person_table.c.person.not_in(known)
    )
    return [(row.school, row.kind, row.person) for row in connection.execute(lost.order_by(*lost.selected_columns))]


def _touched(connection: Connection, event: Event) -> set[str]:
    """Whose revision the event has raised, at least."""
    if isinstance(event, roster.PupilEnrolled | roster.PupilMoved):
        return {event.seat.class_id}
    if isinstance(event, roster.GuardianLinked | roster.GuardianUnlinked | roster.GuardianAbsenceRecorded):
        found = connection.execute(select(class_of_pupil()).where(person_table.c.person == event.pupil)).scalar()
        return {found} if found else set()
    return {event.class_id} if isinstance(event, (*OF_CLASS, roster.PupilAssignedToClass)) else set()


def _enter(connection: Connection, person: str, school: str, kind: SubjectKind, **values: Any) -> None:
    _put(connection, person_table, {"person": person}, school=school, kind=kind, active=True, erased=False, **values)


def _sit(connection: Connection, person: str, seat: roster.Seat) -> None:
    _put(connection, person_table, {"person": person}, listed_in=seat.class_id, seat_number=seat.number)
    _put(connection, seat_table, {"class_id": seat.class_id, "number": seat.number}, person=person)


def _take_out(connection: Connection, annulment: Recorded, event_id: str) -> None:
    """Puts the rows right that had followed from what never was true."""
    history = log.history(connection, annulment.stream)
    annulled = next(one for one in history if one.id == event_id).event()
    match annulled:
        case roster.StaffHired() | roster.PupilEnrolled():
            for table in (person_table, seat_table):
                connection.execute(delete(table).where(table.c.person == annulled.person))
        case roster.ClassDeclared():
            connection.execute(delete(class_table).where(class_table.c.class_id == annulled.class_id))
        case roster.ClassHeadcountDeclared():
            left = [one.event() for one in standing(history) if one.type == roster.ClassHeadcountDeclared.type]
            headcount = left[-1].pupils if left and isinstance(left[-1], roster.ClassHeadcountDeclared) else None
            _put(connection, class_table, {"class_id": annulled.class_id}, headcount=headcount)
        case roster.GuardianLinked():
            link = guardianship_table.c
            connection.execute(delete(guardianship_table).where(link.pupil == annulled.pupil, link.guardian == annulled.guardian))
            if connection.execute(select(link.pupil).where(link.guardian == annulled.guardian)).first() is None:
                connection.execute(delete(person_table).where(person_table.c.person == annulled.guardian))
        case _:
            pass


def _put(connection: Connection, table: Table, key: dict[str, Any], **values: Any) -> None:
    """Changes a row, or makes it where it is missing."""
    this = [table.c[name] == value for name, value in key.items()]
    if connection.execute(update(table).where(*this).values(**values)).rowcount == 0:
        connection.execute(insert(table).values(**key, **values))
