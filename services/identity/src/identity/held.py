"""What identity holds on a person, for the dossier: the account, its login, and the days on which the person was active.

Of codes it says that there is one, never the digest that is kept of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, select

from contracts.operations import HeldRecord
from eventkit import log
from eventkit.event import standing
from identity.activity import activity_table
from identity.credentials import credential_table
from identity.domain.account import ACCOUNTS


def account(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    history = [one for one in standing(log.history(connection, ACCOUNTS.stream(person))) if one.school == school]
    if history:
        found = ACCOUNTS.fold(recorded.event() for recorded in history)
        yield HeldRecord(what="account", fields={"account": found.account or None, "state": found.state})
    kept = credential_table.c
    for row in connection.execute(select(kept.login, kept.credential).where(kept.school == school, kept.person == person)):
        yield HeldRecord(what="credential", fields={"login": row.login, "credential": row.credential})


def active_days(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    active = activity_table.c
    for row in connection.execute(select(active.day).where(active.school == school, active.person == person).order_by(active.day)):
        yield HeldRecord(what="active-day", fields={"day": row.day.isoformat()})
