"""Growing delays between attempts with one login: to sign in, and to use a code (DOMAIN 5).

Nobody is locked out, and a class that shares an address is not one guesser: what counts is the login as it was typed, whether there is
such a one or not. After five attempts each next one must wait, in the end six minutes: ten guesses an hour.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, Update, delete, update
from sqlalchemy.dialects import postgresql, sqlite

from eventkit.clock import Clock
from eventkit.decider import Refused
from eventkit.event import moment, rfc3339
from eventkit.secrets import Secrets
from identity import codes

FREE = 5
FIRST_DELAY_S = 5
LONGEST_DELAY_S = 360
KEPT = timedelta(days=1)

metadata = MetaData()

attempt_table = Table(
    "attempt",
    metadata,
    Column("login", Text, primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("not_before", Text, nullable=False),
    Column("at", Text, nullable=False, index=True),
)
"""Attempts since the last right one. `login` is a keyed digest: people type all sorts of things into that field."""


def key(secrets: Secrets, typed: str) -> str:
    """Under what attempts with a login are counted, however it is typed."""
    return secrets.mac("attempt", (codes.meant_login(typed) or f"no login: {codes.bare(typed)}").encode())


def begin(connection: Connection, login: str, clock: Clock) -> None:
    """Counts an attempt before it is looked at, so that many at once are no way around. Raises Refused `attempt.too-early`."""
    now = clock.now()
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    at = rfc3339(now)
    connection.execute(delete(attempt_table).where(attempt_table.c.at < rfc3339(now - KEPT)))
    # One statement finds or makes the row and locks it: between two of them another's right password could take it away.
    counted = insert(attempt_table).values(login=login, attempts=0, not_before=at, at=at)
    locked = counted.on_conflict_do_update(index_elements=["login"], set_={"login": login}).returning(attempt_table)
    row = connection.execute(locked).one()
    wait_s = (moment(row.not_before) - now).total_seconds()
    if wait_s > 0:
        raise _too_early(wait_s, moment(row.not_before), clock)
    attempts = row.attempts + 1
    not_before = rfc3339(now + timedelta(seconds=delay_s(attempts)))
    connection.execute(_of(login).values(attempts=attempts, not_before=not_before, at=at))


def give_back(connection: Connection, login: str, now: datetime) -> None:
    """Takes back an attempt that nobody has looked at."""
    connection.execute(_of(login).values(attempts=attempt_table.c.attempts - 1, not_before=rfc3339(now)))


def forget(connection: Connection, login: str) -> None:
    """The right one was shown: what was wrong before does not count any more."""
    connection.execute(delete(attempt_table).where(attempt_table.c.login == login))


def delay_s(attempts: int) -> int:
    """How long the next attempt must wait after so many."""
    return 0 if attempts < FREE else min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(attempts - FREE, 16))


def _of(login: str) -> Update:
    return update(attempt_table).where(attempt_table.c.login == login)


def _too_early(wait_s: float, not_before: datetime, clock: Clock) -> Refused:
    whole_second = not_before.replace(microsecond=0) + timedelta(seconds=1 if not_before.microsecond else 0)
    at = whole_second.strftime("%Y-%m-%dT%H:%M:%SZ")
    hint = f"The clock of this instance is moved by hand: `vekha clock set {at}`." if clock.kind == "manual" else None
    text = f"There were several wrong attempts with this login. Try again in {_in_words(wait_s)}, at {at}."
    return Refused("attempt.too-early", text, hint)


def _in_words(wait_s: float) -> str:
    return f"{ceil(wait_s)} s" if wait_s <= 60 else f"{ceil(wait_s / 60)} min"
