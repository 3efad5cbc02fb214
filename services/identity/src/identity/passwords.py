"""The hashes of the passwords that people chose. They are no fold: what is lost here is chosen anew with another code.

A password belongs to the credential under which it was chosen: once another code is issued, it opens nothing any more.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy import Column, MetaData, Table, Text, delete, insert, select

from eventkit.decider import Refused
from eventkit.store import Transaction
from identity.domain.account import ACCOUNTS, Account, SetPassword
from identity.domain.password import check_password, meant_password
from identity.hashing import Hashing
from identity.projections import Rows

metadata = MetaData()

password_table = Table(
    "password",
    metadata,
    Column("person", Text, primary_key=True),
    Column("credential", Text, nullable=False),
    Column("hash", Text, nullable=False),
)


async def chosen(hashing: Hashing, password: str | None, *, needed: bool, unlike: tuple[str, ...] = ()) -> str | None:
    """The hash of the password that somebody chooses together with activating an account, None for none.

    It is made before the transaction, which it would hold up. Raises Refused where it is none to choose, or where one is needed.
    """
    if password is None:
        if needed:
            raise Refused("password.missing", "An account is activated together with a password of its owner's own. Choose one.")
        return None
    meant = meant_password(password)
    check_password(meant, unlike=unlike)
    return await hashing.hash(meant)


def keep(tx: Transaction, person: str, encoded: str, *, school: str, today: date) -> None:
    """Keeps the hash of the password that the owner of an activated account has chosen. Raises Refused as the account's decider does."""
    tx.decide(ACCOUNTS, person, SetPassword(), school=school, happened_on=today)
    credential = tx.state(ACCOUNTS, person).credential
    tx.write(delete(password_table).where(password_table.c.person == person))
    tx.write(insert(password_table), {"person": person, "credential": credential, "hash": encoded})


def hash_of(rows: Rows, person: str, account: Account) -> str | None:
    """The hash of the password with which an account can be signed in to, if there is one now. It reads the table in any case."""
    found = rows(select(password_table).where(password_table.c.person == person))
    usable = account.state == "activated" and any(row.credential == account.credential for row in found)
    return found[0].hash if usable else None
