"""Credentials whose digests were lost with the end of the database (DESIGN 2.3): they open nothing, and are revoked with that reason.

Of a credential that is taken back from the bus a row is kept under a new login, without a digest. When the service may append again it
revokes it: by then it is in nobody's hands, and another one is issued.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from contracts.identity import CredentialsIssued, RevocationReason
from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.event import Recorded
from eventkit.service import Service
from eventkit.store import Transaction
from identity.codes import new_login
from identity.credentials import credential_table
from identity.domain.account import ACCOUNTS, Revoke

_LOST = ""  # no code has this digest
_REVOKED = "revoked"  # nor this one


def follow(connection: Connection, recorded: Recorded) -> None:
    """Keeps the place of a credential that was issued."""
    event = recorded.event()
    if not isinstance(event, CredentialsIssued):
        return
    table = credential_table
    values = {"credential": event.credential, "digest": _LOST}
    if connection.execute(update(table).where(table.c.person == event.person).values(**values)).rowcount == 0:
        logins = set(connection.execute(select(table.c.login)).scalars())
        login = next(login for login in iter(new_login, None) if login not in logins)
        connection.execute(insert(table).values(person=event.person, school=recorded.school, login=login, **values))


@dataclass(frozen=True, slots=True)
class _Lost:
    person: str
    school: str
    credential: str


class RevokeLost:
    """Revokes what lost its digest. It is done once the service may append, and again at the next start where it was cut off."""

    def __init__(self, service: Service) -> None:
        self._service = service
        service.restores(follow)
        service.at_start(self._revoke)

    async def _revoke(self) -> None:
        for row in await self._service.read(_lost):
            await self._service.carry_out(self._service.as_itself(row.credential), lambda tx, row=row: _revoke(tx, row), part="digest-lost")


def _lost(connection: Connection) -> list[_Lost]:
    found = connection.execute(select(credential_table).where(credential_table.c.digest == _LOST))
    return [_Lost(row.person, row.school, row.credential) for row in found]


def _revoke(tx: Transaction, lost: _Lost) -> None:
    today = local_day(tx.now)
    with suppress(Refused):  # it was used or blocked before: nothing is in anybody's hands
        tx.decide(ACCOUNTS, lost.person, Revoke(RevocationReason.DIGEST_LOST, today), school=lost.school, happened_on=today)
    tx.write(update(credential_table).where(credential_table.c.credential == lost.credential).values(digest=_REVOKED))
