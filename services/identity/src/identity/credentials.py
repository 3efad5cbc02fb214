"""Each person's login, which stays, and the keyed digest of the newest code. It is no fold: what is lost here is issued again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Column, MetaData, Table, Text, bindparam, insert, select, update

from eventkit.store import Transaction
from identity import codes
from identity.projections import Rows

metadata = MetaData()

credential_table = Table(
    "credential",
    metadata,
    Column("person", Text, primary_key=True),
    Column("school", Text, nullable=False),
    Column("login", Text, nullable=False, unique=True),
    Column("credential", Text, nullable=False),
    Column("digest", Text, nullable=False),
)

_REPLACE = (
    update(credential_table)
    .where(credential_table.c.person == bindparam("the_person"))
    .values(credential=bindparam("new_credential"), digest=bindparam("new_digest"))
)


@dataclass(frozen=True, slots=True)
class Credential:
    """What is kept of a person's newest code."""

    person: str
    school: str
    login: str
    credential: str
    digest: str


def by_login(rows: Rows, login: str | None) -> Credential | None:
    """Whose login this is. It reads the table whether that can be a login or not."""
    for row in rows(select(credential_table).where(credential_table.c.login == (login or ""))):
        return Credential(row.person, row.school, row.login, row.credential, row.digest)
    return None


def login_of(rows: Rows, person: str) -> str | None:
    """Somebody's login, None where the person was never issued anything."""
    found = rows(select(credential_table.c.login).where(credential_table.c.person == person))
    return found[0].login if found else None


def logins_of(tx: Transaction, people: Collection[str]) -> dict[str, str]:
    """The logins of those of the people who have been issued a code."""
    found = tx.rows(select(credential_table.c.person, credential_table.c.login).where(credential_table.c.person.in_(people)))
    return {row.person: row.login for row in found}


def free_logins(tx: Transaction, count: int) -> set[str]:
    """New logins that nobody has. The unique constraint has the last word where another process is as quick."""
    logins: set[str] = set()
    while len(logins) < count:
        candidates = {codes.new_login() for _ in range(count - len(logins))}
        taken = tx.rows(select(credential_table.c.login).where(credential_table.c.login.in_(candidates)))
        logins |= candidates - {row.login for row in taken}
    return logins


def keep(tx: Transaction, first: Sequence[Credential], replaced: Sequence[Credential]) -> None:
    """Keeps first codes, and newer ones in the place of those that were there."""
    if first:
        tx.write(insert(credential_table), [asdict(one) for one in first])
    if replaced:
        tx.write(_REPLACE, [{"the_person": one.person, "new_credential": one.credential, "new_digest": one.digest} for one in replaced])
