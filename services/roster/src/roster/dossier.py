"""A person's dossier: what roster's vault and tables hold, and what the other services say that they hold (152-ФЗ ст. 14)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import Connection, select

from contracts import operations
from contracts.call import Role
from contracts.event import SERVICES
from contracts.operations import HeldRecord
from contracts.roster import DOSSIER, JOURNAL, Dossier, DossierRecord, Journal, JournalQuery, PersonName, PersonQuery
from eventkit.answering import Caller
from eventkit.calls import CallFailed
from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.event import rfc3339
from eventkit.service import Service
from roster import journal
from roster.book import Books
from roster.domain.ages import COMING_OF_AGE, age_on
from roster.journal import journal_table
from roster.tables import person_table, require_school
from roster.vault import vault_table

_READINGS = 500


def register(service: Service, books: Books) -> None:
    """Makes roster answer for what is held on a person, and for who has read it."""

    @service.query(JOURNAL)
    async def read_journal(request: JournalQuery, caller: Caller) -> Journal:
        def read(connection: Connection) -> Journal:
            require_school(connection, request.school)
            found = journal.read(connection, request)
            if not found.readings and request.before is None:
                _require_known(connection, request.school, request.person)
            return found

        return await service.read(read)

    @service.query(DOSSIER)
    async def dossier(request: PersonQuery, caller: Caller) -> Dossier:
        at = rfc3339(service.clock.now())

        def read_and_note(connection: Connection) -> Dossier:
            school = require_school(connection, request.school)
            _require_known(connection, request.school, request.person)
            kept_here = (vault_table.c.person == request.person) & (vault_table.c.school == request.school)
            rows = connection.execute(select(vault_table).where(kept_here)).all()
            journal.note(connection, DOSSIER, caller, request.school, [request.person], at)
            readings = journal.read(connection, JournalQuery(school=request.school, person=request.person, limit=_READINGS)).readings
            opened = list(books.opened(rows))
            if not opened:
                return Dossier(person=request.person, kind=None, details=None, records=(), readings=readings)
            [(row, kept)] = opened
            if caller.actor.role is Role.GUARDIAN and caller.actor.scope != request.person:
                _check_minor(kept, local_day(service.clock.now(), school.timezone))
            shown = PersonName.model_validate({field: value for field, value in kept.items() if field in PersonName.model_fields})
            others = {field: value for field, value in kept.items() if field not in PersonName.model_fields}
            return Dossier(person=request.person, kind=row.kind, details=shown, other_details=others, records=(), readings=readings)

        own = await service.write(read_and_note)
        held = dict(zip(SERVICES, await asyncio.gather(*(_held(service, owner, request) for owner in SERVICES)), strict=True))
        records = (
            DossierRecord(service=owner, what=record.what, fields=record.fields) for owner, found in held.items() for record in found or ()
        )
        unheard = tuple(owner for owner, found in held.items() if found is None)
        return own.model_copy(update={"records": tuple(records), "unheard": unheard})


async def _held(service: Service, owner: str, request: PersonQuery) -> tuple[HeldRecord, ...] | None:
    """What a service holds on a person; None where it does not answer."""
    if owner == service.name:
        return await service.read(lambda connection: service.held(connection, request.school, request.person))
    question = operations.HeldQuery(school=request.school, person=request.person)
    try:
        # As roster itself, whoever asks: it has held that against the asker's scope.
        return (await service.calls.call(operations.HELD[owner], question)).reply.records
    except CallFailed:
        return None


def _check_minor(kept: Mapping[str, Any], today: date) -> None:
    """A guardian is told of a child: from 18 on nobody represents a pupil. Raises Refused `access.other-person`, and nothing was read."""
    born_on = kept.get("birth_date")
    if born_on is not None and age_on(date.fromisoformat(born_on), today) >= COMING_OF_AGE:
        raise Refused("access.other-person", "This pupil is 18 and asks alone.", "The pupil signs in, or asks the school's office.")


def _require_known(connection: Connection, school: str, person: str) -> None:
    """Raises Refused `person.unknown` for whom there is no trace in this school, not even that somebody has read of them."""
    entered = select(person_table.c.person).where(person_table.c.person == person, person_table.c.school == school)
    noted = select(journal_table.c.person).where(journal_table.c.person == person, journal_table.c.school == school)
    if connection.execute(entered).first() is None and connection.execute(noted.limit(1)).first() is None:
        raise Refused("person.unknown", f"There is no person {person} in {school}.")
