"""Exports: a school's roster as a file that an import reads and finds nothing to change in (docs/decisions/export.md).

A file is made in one look at the database, which also journals who read whom, and is fetched in parts: it is sealed and expires.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, Table, Text, insert, select

from contracts import roster as calls
from contracts.consent import SubjectKind
from contracts.roster import Position, Relation
from eventkit.answering import Caller
from eventkit.decider import Refused
from eventkit.event import rfc3339
from eventkit.service import Service, happened_on
from roster.book import EXTERNAL_ID, Books, new_id
from roster.domain.years import first_year
from roster.files import (
    ClassLabel,
    Exported,
    ExportedClass,
    ExportedGuardian,
    ExportedMember,
    ExportedPupil,
    Kinship,
    Role,
    WrittenFile,
    write_roster,
)
from roster.importing.expiry import Expiry
from roster.tables import class_table, guardianship_table, person_table, require_school
from roster.vault import Box, Details, Sealed, journal_table, vault_table

LIFETIME = timedelta(hours=1)
PART_BYTES = 256 * 1024

metadata = MetaData()

export_table = Table(
    "export_part",
    metadata,
    Column("school", Text, primary_key=True),
    Column("export", Text, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("expires_at", Text, nullable=False, index=True),
)

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
_TEMPLATE_GUARDIANS = 2


@dataclass(frozen=True, slots=True)
class _Read:
    """What one look at the database came to. `people` are those whose details were opened."""

    roster: Exported
    people: Sequence[str]
    left_out: tuple[str, ...]
    today: date


class Exports:
    """Makes files and gives their parts."""

    def __init__(self, service: Service, books: Books) -> None:
        self._service = service
        self._books = books
        self._box = Box(service.secrets.key("exports"))
        self._expiry = Expiry(service, (export_table,))

    def register(self) -> None:
        self._service.query(calls.EXPORT)(self._export)
        self._service.query(calls.EXPORT_PART)(self._part)
        self._service.timer(self._expiry)

    async def _export(self, request: calls.ExportRoster, caller: Caller) -> calls.RosterExport:
        now = self._service.clock.now()

        def read_and_journal(connection: Connection) -> _Read:
            found = _Reading(connection, self._books, request.school, now).read()
            reading = {"reader": caller.origin.actor, "principal": caller.origin.principal, "at": rfc3339(now)}
            if found.people:
                connection.execute(insert(journal_table), [{"person": person, **reading} for person in found.people])
            return found

        found = await self._service.write(read_and_journal)
        file = await asyncio.to_thread(write_roster, found.roster, request.format, found.today)
        export = new_id("x")
        parts = await self._service.write(lambda connection: self._keep(connection, request.school, export, file, now))
        self._expiry.expects(now + LIFETIME)
        roster = found.roster
        guardians = {guardian.person: len(pupil.guardians) for pupil in roster.pupils for guardian in pupil.guardians}
        left_out = found.left_out
        if not request.format.startswith("oneroster"):
            more = sum(max(0, len(pupil.guardians) - _TEMPLATE_GUARDIANS) for pupil in roster.pupils)
            left_out += _counted(
                more,
                "guardians of whom the template has no columns, a third or fourth",
                "a third guardian, of whom the template has no columns",
            )
        return calls.RosterExport(
            export=export,
            file_name=file.name,
            parts=parts,
            sha256=hashlib.sha256(file.content).hexdigest(),
            classes=len(roster.classes),
            staff=len(roster.staff),
            pupils=len(roster.pupils),
            guardians=len(guardians),
            left_out=left_out,
        )

    def _keep(self, connection: Connection, school: str, export: str, file: WrittenFile, now: datetime) -> int:
        pieces = [file.content[first : first + PART_BYTES] for first in range(0, len(file.content), PART_BYTES)]
        rows = [
            {
                "school": school,
                "export": export,
                "part": number,
                "content": self._box.seal(piece, _context(school, export, number)),
                "expires_at": rfc3339(now + LIFETIME),
            }
            for number, piece in enumerate(pieces, 1)
        ]
        connection.execute(insert(export_table), rows)
        return len(rows)

    async def _part(self, request: calls.ExportPart, caller: Caller) -> calls.ExportedPart:
        def read(connection: Connection) -> bytes:
            require_school(connection, request.school)
            kept = export_table.c
            here = (kept.school == request.school) & (kept.export == request.export) & (kept.part == request.part)
            row = connection.execute(select(kept.content).where(here)).first()
            if row is None:
                text = f"There is no part {request.part} of {request.export}. Files are kept for an hour: export again."
                raise Refused("export.unknown", text)
            return self._box.open(row.content, _context(request.school, request.export, request.part))

        return calls.ExportedPart(content=base64.b64encode(await self._service.read(read)).decode())


def _context(school: str, export: str, part: int) -> str:
    return f"export/{school}/{export}/{part}"


class _Reading:
    """Reads one school's roster in one look."""

    def __init__(self, connection: Connection, books: Books, school: str, now: datetime) -> None:
        self._connection = connection
        self._books = books
        self._school = require_school(connection, school)
        self._today = happened_on(None, now, self._school.timezone)
        self._people: list[str] = []
        self._sealed: dict[str, Any] = {}

    def read(self) -> _Read:
        kept = vault_table.c
        self._sealed = {row.person: row for row in self._rows(select(vault_table).where(kept.school == self._school.school))}
        classes, uncreated = self._classes()
        staff = tuple(
            ExportedMember(**self._person(row.person), role=_ROLES.get(row.position or "", "other"), hired_on=_day(row.since))
            for row in self._active(SubjectKind.STAFF)
        )
        pupils, unassigned = self._pupils({one.class_id: number for number, one in enumerate(classes)})
        left_out = _counted(uncreated, "classes that are not created yet (step 12)", "a class that is not created yet (step 12)")
        left_out += _counted(unassigned, "pupils who are in no class yet (step 15)", "a pupil who is in no class yet (step 15)")
        exported = Exported(self._school.school, self._school.name, classes, staff, pupils)
        return _Read(exported, tuple(dict.fromkeys(self._people)), left_out, self._today)

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
        row = self._sealed[person]
        details: Details = self._books.vault.open(person, Sealed(row.key, row.sealed))
        self._people.append(person)
        return {"person": person, "external_id": details.get(EXTERNAL_ID, person), "details": details}


def _day(iso: str | None) -> date | None:
    return None if iso is None else date.fromisoformat(iso)


def _counted(count: int, several: str, one: str) -> tuple[str, ...]:
    return (f"{count} {several}" if count > 1 else one,) if count else ()
