"""Exports: a school's roster as a file that an import reads and finds nothing to change in (docs/decisions/export.md).

A file is made in one look at the database, which also journals who read whom, and is fetched in parts: it is sealed for that reader and
expires.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from datetime import datetime, timedelta

from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, Table, Text, insert, select

from contracts import roster as calls
from eventkit.answering import Caller
from eventkit.decider import Refused
from eventkit.erasure import without_forgotten
from eventkit.event import rfc3339
from eventkit.service import Service
from roster import journal
from roster.book import Books, new_id
from roster.entered import Entered, counted, read_entered
from roster.files import (
    WrittenFile,
    write_roster,
)
from roster.importing.expiry import Expiry
from roster.tables import require_school
from roster.vault import Box, Damaged

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

_TEMPLATE_GUARDIANS = 2


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

        def read_and_journal(connection: Connection) -> Entered:
            found = read_entered(connection, self._books, request.school, now)
            journal.note(connection, calls.EXPORT, caller, request.school, found.people, rfc3339(now))
            return found

        found = await self._service.write(read_and_journal)
        file = await asyncio.to_thread(write_roster, found.roster, request.format, found.today)
        export = new_id("x")

        def keep(connection: Connection) -> int:
            if len(without_forgotten(connection, found.people)) < len(found.people):
                raise Refused("export.outdated", "Somebody's data were destroyed while the file was made. Export again.")
            return self._keep(connection, request.school, journal.reader(caller.origin), export, file, now)

        parts = await self._service.write(keep)
        self._expiry.expects(now + LIFETIME)
        roster = found.roster
        guardians = {guardian.person: len(pupil.guardians) for pupil in roster.pupils for guardian in pupil.guardians}
        left_out = found.left_out
        if not request.format.startswith("oneroster"):
            more = sum(max(0, len(pupil.guardians) - _TEMPLATE_GUARDIANS) for pupil in roster.pupils)
            left_out += counted(
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

    def _keep(self, connection: Connection, school: str, reader: str, export: str, file: WrittenFile, now: datetime) -> int:
        pieces = [file.content[first : first + PART_BYTES] for first in range(0, len(file.content), PART_BYTES)]
        rows = [
            {
                "school": school,
                "export": export,
                "part": number,
                "content": self._box.seal(piece, _context(school, reader, export, number)),
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
            try:
                return self._box.open(row.content, _context(request.school, journal.reader(caller.origin), request.export, request.part))
            except Damaged:
                text = f"{request.export} was made for somebody else, who stands in the journal as its reader. Export the roster yourself."
                raise Refused("export.not-own", text) from None

        return calls.ExportedPart(content=base64.b64encode(await self._service.read(read)).decode())


def _context(school: str, reader: str, export: str, part: int) -> str:
    return f"export/{school}/{reader}/{export}/{part}"
