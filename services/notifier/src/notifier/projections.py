"""What notifier must know of the schools: which there are, and who directs and coordinates each. It follows roster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from sqlalchemy import Column, Connection, Executable, MetaData, Row, Table, Text, delete, insert, select

from contracts.roster import Position
from eventkit.decider import Refused
from eventkit.event import Recorded

metadata = MetaData()

Rows = Callable[[Executable], Sequence[Row[Any]]]
"""Reads rows: inside a command `Transaction.rows`, elsewhere over a connection."""

Office = Literal["director", "coordinator"]

school_table = Table("school", metadata, Column("school", Text, primary_key=True), Column("timezone", Text, nullable=False))

officer_table = Table(
    "officer",
    metadata,
    Column("school", Text, primary_key=True),
    Column("office", Text, primary_key=True),
    Column("person", Text, primary_key=True),
)


class Officers:
    """The projection of schools, their directors and their coordinators."""

    name = "officers"
    sources = ("roster",)
    tables = metadata

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        for event in events:
            type_name, fact = event.facts()
            match type_name:
                case "roster.school-opened.v1":
                    connection.execute(delete(school_table).where(school_table.c.school == fact["school"]))
                    connection.execute(insert(school_table).values(school=fact["school"], timezone=fact["timezone"]))
                case "roster.staff-hired.v1" if fact["position"] == Position.DIRECTOR:
                    _enter(connection, event.school, "director", fact["person"])
                case "roster.coordinator-appointed.v1":
                    _enter(connection, event.school, "coordinator", fact["person"])
                case "roster.coordinator-relieved.v1":
                    _leave(connection, event.school, ("coordinator",), fact["person"])
                case "roster.entry-annulled.v1" if fact["event_type"] == "roster.coordinator-appointed.v1":
                    _leave(connection, event.school, ("coordinator",), _person_of(event))
                case "roster.entry-annulled.v1" if fact["event_type"] == "roster.coordinator-relieved.v1":
                    _enter(connection, event.school, "coordinator", _person_of(event))
                case "roster.staff-dismissed.v1":
                    _leave(connection, event.school, ("director", "coordinator"), fact["person"])
                case _:
                    pass


def _person_of(event: Recorded) -> str:
    """Whose stream it is: `staff-school-7.p-1`."""
    return event.stream.rpartition(".")[2]


def _enter(connection: Connection, school: str, office: Office, person: str) -> None:
    _leave(connection, school, (office,), person)
    connection.execute(insert(officer_table).values(school=school, office=office, person=person))


def _leave(connection: Connection, school: str, offices: Sequence[Office], person: str) -> None:
    table = officer_table
    connection.execute(delete(table).where(table.c.school == school, table.c.office.in_(offices), table.c.person == person))


def timezone(rows: Rows, school: str) -> str:
    """The time zone of a school. Raises Refused `school.unknown`."""
    found = rows(select(school_table.c.timezone).where(school_table.c.school == school))
    if not found:
        raise Refused("school.unknown", f"There is no school {school}.")
    return found[0].timezone


def officers(rows: Rows, school: str) -> dict[Office, list[str]]:
    """Who holds which office in a school today, by id; a school may have nobody yet, or two for a while."""
    found = rows(
        select(officer_table.c.office, officer_table.c.person).where(officer_table.c.school == school).order_by(officer_table.c.person)
    )
    result: dict[Office, list[str]] = {"director": [], "coordinator": []}
    for row in found:
        result[row.office].append(row.person)
    return result
