"""A school's roster as it is entered, read whole: for a file of it, and for changes that are laid over it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, select

from contracts.consent import SubjectKind
from contracts.roster import Position, Relation
from eventkit.service import happened_on
from roster.book import EXTERNAL_ID, Books
from roster.domain.years import first_year
from roster.files import ClassLabel, Exported, ExportedClass, ExportedGuardian, ExportedMember, ExportedPupil, Kinship, Role
from roster.tables import class_table, guardianship_table, person_table, require_school
from roster.vault import Details, Sealed, vault_table

_ROLES: Mapping[str, Role] = {
    Position.DIRECTOR: "director",
    Position.ADMINISTRATOR: "administrator",
    Position.TEACHER: "teacher",
    Position.OTHER: "other",
}
_KINSHIPS: Mapping[str, Kinship] = {
    Relation.MOTHER: "mother",
    Relation.FATHER: "father",
    Relation.GRANDPARENT: "grandparent",
    Relation.GUARDIAN: "guardian",
    Relation.OTHER: "other",
}


@dataclass(frozen=True, slots=True)
class Entered:
    """A school's roster. `people` are those whose details were opened, `left_out` tells what is not in it."""

    roster: Exported
    people: Sequence[str]
    left_out: tuple[str, ...]
    today: date


def read_entered(connection: Connection, books: Books, school: str, now: datetime) -> Entered:
    """A school's roster, from one look at the database. Whoever shows it to somebody journals that."""
    return _Reading(connection, books, school, now).read()


class _Reading:
    """Reads one school's roster in one look."""

    def __init__(self, connection: Connection, books: Books, school: str, now: datetime) -> None:
        self._connection = connection
        self._books = books
        self._school = require_school(connection, school)
        self._today = happened_on(None, now, self._school.timezone)
        self._people: list[str] = []
        self._sealed: dict[str, Sealed] = {}

    def read(self) -> Entered:
        kept = vault_table.c
        rows = self._rows(select(vault_table).where(kept.school == self._school.school))
        keys = self._books.keys.of([row.person for row in rows])
        self._sealed = {row.person: Sealed(keys[row.person], row.sealed) for row in rows if row.person in keys}
        classes, uncreated = self._classes()
        staff = tuple(
            ExportedMember(**self._person(row.person), role=_ROLES.get(row.position or "", "other"), hired_on=_day(row.since))
            for row in self._active(SubjectKind.STAFF)
        )
        pupils, unassigned = self._pupils({one.class_id: number for number, one in enumerate(classes)})
        left_out = counted(uncreated, "classes that are not created yet (step 12)", "a class that is not created yet (step 12)")
        left_out += counted(unassigned, "pupils who are in no class yet (step 15)", "a pupil who is in no class yet (step 15)")
        exported = Exported(self._school.school, self._school.name, classes, staff, pupils)
        return Entered(exported, tuple(dict.fromkeys(self._people)), left_out, self._today)

    def _rows(self, statement: Any) -> Sequence[Any]:
        return self._connection.execute(statement).all()

    def _classes(self) -> tuple[tuple[ExportedClass, ...], int]:
        one = class_table.c
        wanted = select(class_table).where(one.school == self._school.school, one.closed.is_(False))
        rows = self._rows(wanted.order_by(one.academic_year, one.grade, one.letter))
        created = tuple(
            ExportedClass(
                class_id=row.class_id,
                label=ClassLabel(row.grade, row.letter),
                school_year=first_year(row.academic_year, "class.year-malformed"),
                shift=row.shift,
                declared_pupils=row.headcount or 0,
                teacher=row.teacher,
            )
            for row in rows
            if row.shift is not None
        )
        return created, len(rows) - len(created)

    def _active(self, kind: SubjectKind) -> Iterable[Any]:
        """The people of a kind of whom the vault holds anything."""
        of = person_table.c
        wanted = select(person_table).where(of.school == self._school.school, of.kind == kind, of.active)
        return [row for row in self._rows(wanted.order_by(of.listed_in, of.seat_number, of.person)) if row.person in self._sealed]

    def _pupils(self, classes: Mapping[str, int]) -> tuple[tuple[ExportedPupil, ...], int]:
        active = list(self._active(SubjectKind.PUPIL))
        assigned = sorted((row for row in active if row.class_id in classes), key=lambda row: classes[row.class_id])
        guardians = self._guardians()
        pupils = tuple(
            ExportedPupil(
                **self._person(row.person),
                class_id=row.class_id,
                enrolled_on=_day(row.since),
                guardians=tuple(
                    ExportedGuardian(
                        **self._person(link.guardian),
                        kinship=_KINSHIPS.get(link.relation, "other"),
                        legal_representative=link.legal_representative,
                    )
                    for link in guardians.get(row.person, ())
                ),
            )
            for row in assigned
        )
        return pupils, len(active) - len(pupils)

    def _guardians(self) -> Mapping[str, Sequence[Any]]:
        """The links of each pupil, legal representatives first, as a file has room for two."""
        link = guardianship_table.c
        wanted = select(guardianship_table).where(link.school == self._school.school, link.linked)
        found: dict[str, list[Any]] = {}
        for row in self._rows(wanted.order_by(link.pupil, link.legal_representative.desc(), link.guardian)):
            if row.guardian in self._sealed:
                found.setdefault(row.pupil, []).append(row)
        return found

    def _person(self, person: str) -> dict[str, Any]:
        details: Details = self._books.vault.open(person, self._sealed[person])
        self._people.append(person)
        return {"person": person, "external_id": details.get(EXTERNAL_ID, person), "details": details}


def _day(iso: str | None) -> date | None:
    return None if iso is None else date.fromisoformat(iso)


def counted(count: int, several: str, one: str) -> tuple[str, ...]:
    """What is told of so many; nothing of none."""
    return (f"{count} {several}" if count > 1 else one,) if count else ()
