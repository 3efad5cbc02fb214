"""The days of acts on an account, in the school's time: none lies before what it follows, and what nobody answers for is of today."""

from __future__ import annotations

from datetime import date, datetime

from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.service import happened_on
from eventkit.store import Transaction
from identity.domain.account import ACCOUNTS
from identity.projections import timezone


def done_now(named: date | None, now: datetime, zone: str) -> date:
    """Today, for what is done by who shows a code and no token: whoever records an earlier day answers for it with a name.

    Raises Refused `date.in-past` or `date.in-future` where another day is named.
    """
    today = local_day(now, zone)
    if happened_on(named, now, zone) < today:
        raise Refused("date.in-past", f"{named} is over: this is done now, and it is {today}.", "Leave the day out.")
    return today


def since(named: date | None, tx: Transaction, school: str, person: str) -> date:
    """The first day that may be named for what becomes of a person's newest code or link: that of what became of it last. Where no day is
    named it is today, which nothing recorded lies after."""
    if named is None:
        return date.min
    credential = tx.state(ACCOUNTS, person).credential
    told = (one.happenedon for one in tx.told(ACCOUNTS, person) if one.facts()[1].get("credential") == credential)
    last = max(told, default=None)
    # What is not told yet was issued a moment ago, beside this very command.
    return local_day(tx.now, timezone(tx.rows, school)) if last is None else date.fromisoformat(last)
