"""What identity holds on a person, for the dossier: the account and its login, its password and links, attempts to sign in, active days.

Of codes, links and passwords it says that there is one, never the digest that is kept of it. A sign-in at ЕСИА that has begun
names nobody: who it is about is known only once it has ended, and then it is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, select

from contracts.identity import PasswordSet
from contracts.operations import HeldRecord
from eventkit import log
from eventkit.erasure import is_forgotten
from eventkit.event import rfc3339, standing
from eventkit.secrets import Secrets
from eventkit.service import Holding
from identity.activity import activity_table
from identity.attempts import attempt_table
from identity.attempts import key as attempt_key
from identity.credentials import credential_table
from identity.domain.account import ACCOUNTS
from identity.links import link_table, link_to_mail_table
from identity.passwords import password_table


def account(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    history = [one for one in standing(log.history(connection, ACCOUNTS.stream(person))) if one.school == school]
    if history and not is_forgotten(connection, person):  # then there is none: its login and all else are destroyed
        found = ACCOUNTS.fold(recorded.event() for recorded in history)
        yield HeldRecord(what="account", fields={"account": found.account or None, "state": found.state})
    kept = credential_table.c
    for row in connection.execute(select(kept.login, kept.credential).where(kept.school == school, kept.person == person)):
        yield HeldRecord(what="credential", fields={"login": row.login, "credential": row.credential})


def password(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    """That there is one, and since which day: the one of its last choice."""
    kept = select(password_table.c.person).join(credential_table, credential_table.c.person == password_table.c.person)
    if connection.execute(kept.where(password_table.c.person == person, credential_table.c.school == school)).first() is not None:
        history = standing(log.history(connection, ACCOUNTS.stream(person)))
        chosen = [one.happenedon for one in history if isinstance(one.event(), PasswordSet)]
        yield HeldRecord(what="password", fields={"since": chosen[-1] if chosen else None})


def mailed_links(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    for what, table in (("link", link_table), ("link-to-mail", link_to_mail_table)):
        mine = select(table.c.credential, table.c.until_s).where(table.c.school == school, table.c.person == person)
        for row in connection.execute(mine.order_by(table.c.credential)):
            yield HeldRecord(what=what, fields={"credential": row.credential, "until": rfc3339(datetime.fromtimestamp(row.until_s, UTC))})


def attempts_of(secrets: Secrets) -> Holding:
    """The last day's attempts with the person's login, by whomever: they are counted under a keyed digest of it."""

    def attempts(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
        kept = credential_table.c
        for login in connection.execute(select(kept.login).where(kept.school == school, kept.person == person)).scalars():
            counted = select(attempt_table).where(attempt_table.c.login == attempt_key(secrets, login))
            for row in connection.execute(counted):
                fields = {"login": login, "attempts": row.attempts, "not_before": row.not_before, "last_at": row.at}
                yield HeldRecord(what="sign-in-attempts", fields=fields)

    return attempts


def active_days(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    active = activity_table.c
    for row in connection.execute(select(active.day).where(active.school == school, active.person == person).order_by(active.day)):
        yield HeldRecord(what="active-day", fields={"day": row.day.isoformat()})
