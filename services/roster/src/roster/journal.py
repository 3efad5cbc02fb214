"""The journal: who read whose details, when, by which call and on whose behalf (DESIGN 2.7).

An entry is written in the transaction that reads, so nobody has read anything that it does not tell. It holds random ids and outlives what
was read: after an erasure it still says who had seen a person whom nobody can name any more.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, insert, select

from contracts.call import Call
from contracts.roster import Journal, JournalQuery, Reading
from eventkit.answering import Caller
from eventkit.event import Origin

metadata = MetaData()

journal_table = Table(
    "journal",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("school", Text, nullable=False),
    Column("person", Text, nullable=False, index=True),
    Column("reader", Text, nullable=False),
    Column("principal", Text),
    Column("call", Text, nullable=False),
    Column("at", Text, nullable=False),
)


def reader(origin: Origin) -> str:
    """Who reads, as entries name it. What was made for one reader is sealed for that one."""
    return f"{origin.actor} {origin.principal or ''}"


def note(connection: Connection, call: Call[Any, Any], caller: Caller, school: str, people: Collection[str], at: str) -> None:
    """Enters that a caller reads the details of these people."""
    reading = {"school": school, "reader": caller.origin.actor, "principal": caller.origin.principal, "call": call.name, "at": at}
    if people:
        connection.execute(insert(journal_table), [{"person": person, **reading} for person in people])


def read(connection: Connection, request: JournalQuery) -> Journal:
    """A person's entries, newest first."""
    entry = journal_table.c
    wanted = select(journal_table).where(entry.school == request.school, entry.person == request.person)
    if request.before is not None:
        wanted = wanted.where(entry.number < request.before)
    found = connection.execute(wanted.order_by(entry.number.desc()).limit(request.limit))
    return Journal(
        person=request.person,
        readings=tuple(Reading(number=row.number, reader=row.reader, principal=row.principal, call=row.call, at=row.at) for row in found),
    )
