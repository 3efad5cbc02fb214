"""Revisions of classes' data: raised by whatever changes a class, its pupils or their guardians, so that a check is of what was looked at.

A command raises the revision of each class that it touches once. Which class a person's data belong to follows from the
rows as the command leaves them; the class that a pupil leaves is told at the time. Of a class that had been checked,
it is recorded that the check is no longer one of the data as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Select, func, select, union, update

from contracts import roster
from contracts.event import Event
from eventkit.store import Transaction
from roster.tables import class_table, guardianship_table, person_table

OF_CLASS = (
    roster.ClassDeclared,
    roster.ClassCreated,
    roster.ClassHeadcountDeclared,
    roster.ClassTeacherAssigned,
    roster.ClassClosed,
    roster.TimetablePublished,
    roster.TimetableWithdrawn,
)
_OF_PUPIL = (roster.GuardianLinked, roster.GuardianUnlinked, roster.GuardianAbsenceRecorded)


def class_of_pupil() -> Any:
    """The class that a pupil is assigned to and, until there is one, that on whose list the pupil is."""
    return func.coalesce(person_table.c.class_id, person_table.c.listed_in)


class Touched:
    """The classes whose data one command changes, and the pupils and guardians whose data it changes."""

    def __init__(self) -> None:
        self._classes: set[str] = set()
        self._people: set[str] = set()

    def by(self, event: Event) -> None:
        if isinstance(event, OF_CLASS):
            self._classes.add(event.class_id)
        elif isinstance(event, _OF_PUPIL):
            self._people.add(event.pupil)
        elif isinstance(event, roster.PersonDetailsChanged):
            self._people.add(event.person)
        elif isinstance(event, roster.PupilAssignedToClass):
            self._classes.add(event.class_id)
        elif isinstance(event, (roster.PupilEnrolled, roster.PupilMoved)):
            self._classes.add(event.seat.class_id)

    def by_leaving(self, pupil: Mapping[str, Any] | None) -> None:
        """A pupil is about to leave the class of this row, as it is before."""
        if pupil is not None and (class_id := pupil["class_id"] or pupil["listed_in"]):
            self._classes.add(class_id)

    def raise_revisions(self, tx: Transaction, lapse: Callable[[str, int], object]) -> None:
        """Raises the touched classes' revisions and tells `lapse` the new one of each that is open. The command's rows must be written."""
        one, pupil, link = class_table.c, person_table.c, guardianship_table.c
        touched: list[Select[Any]] = []
        if self._classes:
            touched.append(select(one.class_id).where(one.class_id.in_(self._classes)))
        if self._people:
            childs = select(class_of_pupil()).join_from(guardianship_table, person_table, pupil.person == link.pupil)
            touched.append(select(class_of_pupil()).where(pupil.person.in_(self._people), pupil.active))
            touched.append(childs.where(link.guardian.in_(self._people), link.linked, pupil.active))
        if not touched:
            return
        # A union is looked up in the index of classes; one condition with OR would have PostgreSQL look at the classes of all schools.
        rows = tx.rows(select(one.class_id, one.revision, one.closed).where(one.class_id.in_(union(*touched))).order_by(one.class_id))
        for row in rows:
            if not row.closed:
                lapse(row.class_id, row.revision + 1)
        if rows:
            raising = update(class_table).where(one.class_id.in_([row.class_id for row in rows]))
            tx.write(raising.values(revision=one.revision + 1))
