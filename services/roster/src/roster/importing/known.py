"""What a OneRoster export is read beside: which ids earlier ones have told, whose they were, and the school as it is entered."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from eventkit.secrets import Secrets
from roster.book import Books, Digests
from roster.entered import read_entered
from roster.files import Known
from roster.tables import export_id_table, require_school, school_table


def known_of(
    connection: Connection, books: Books, secrets: Secrets, school: str, confirmed: str | None, *, roster_at: datetime | None
) -> Known:
    """What is known of a school, in one look; its roster is read where a time is given. Raises Refused `school.unknown`."""
    name = require_school(connection, school).name
    pages = books.read(lambda query: connection.execute(query).all(), school)
    others = connection.execute(select(school_table.c.school).where(school_table.c.school != school)).scalars().all()
    ids = export_id_table.c
    # Files that are written here name the school by our ID: that is nothing that another program has told.
    ours = Digests(secrets, school).export_id("org", school)
    orgs = select(ids.digest).where(ids.school == school, ids.stands_for == school, ids.digest != ours)
    return Known(
        stands_for=pages.export_ids(),
        had_an_export=pages.had_an_export(),
        has_an_org=connection.execute(orgs.limit(1)).first() is not None,
        other_schools=frozenset(others),
        name=name,
        confirmed=confirmed,
        roster=None if roster_at is None else read_entered(connection, books, school, roster_at).roster,
    )
