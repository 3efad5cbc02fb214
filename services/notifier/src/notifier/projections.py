"""What notifier knows of the schools: where they are, who holds which office, what the plan announced, and what was told of it already.

It follows roster, the plan's announcements and its own log, so all of it can be made again from the record, and a copy that was made again
knows as well what has been told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Date,
    Executable,
    Index,
    Integer,
    MetaData,
    Row,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from contracts.notifier import Notice, NoticeKind
from contracts.roster import Position
from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.event import Recorded, moment
from eventkit.projection import wanting
from notifier.domain.telling import KEPT, Announcement, Office

metadata = MetaData()

Rows = Callable[[Executable], Sequence[Row[Any]]]
"""Reads rows: inside a command `Transaction.rows`, elsewhere over a connection."""

school_table = Table(
    "school",
    metadata,
    Column("school", Text, primary_key=True),
    Column("municipality", Text, nullable=False),
    Column("timezone", Text, nullable=False),
)

officer_table = Table(
    "officer",
    metadata,
    Column("since", BigInteger, primary_key=True, autoincrement=False),  # roster's position of the event that appointed the person
    Column("until", BigInteger),  # and of the one that ended it
    Column("school", Text, nullable=False),
    Column("office", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("class_id", Text),  # a class teacher's
)
Index("officer_school", officer_table.c.school)

announcement_table = Table(
    "announcement",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("event", Text, nullable=False),
    Column("school", Text, nullable=False),
    Column("recorded_on", Date, nullable=False),
    Column("kind", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("day", Date, nullable=False),
    Column("due", Date),
    Column("working_days", Integer),
    Column("reminders", Text, nullable=False),
    Column("responsible", Text, nullable=False),  # a JSON list
    Column("corrects", Text),
)
Index("announcement_school", announcement_table.c.school, announcement_table.c.position)
Index("announcement_recorded_on", announcement_table.c.recorded_on)

adopted_table = Table(
    "adopted",
    metadata,
    Column("school", Text, primary_key=True),
    Column("plan", Text, nullable=False),
)
"""The plan that each school follows."""

told_table = Table(
    "told",
    metadata,
    Column("group", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("day", Date, nullable=False),
)
"""By school, or by manager (`municipality-digest:CODE`, `ministry-digest:ministry`): the plan's position up to which it was told, and the
last day on which it was."""

_KINDS: Final[Mapping[str, NoticeKind]] = {
    "plan.deadline-approaching.v2": "deadline-approaching",
    "plan.step-became-overdue.v2": "step-overdue",
    "plan.step-completed.v1": "step-completed",
    "plan.step-reopened.v1": "step-reopened",
}
_CORRECTED: Final[Mapping[str, NoticeKind]] = {"step-completed": "completion-corrected", "step-reopened": "reopening-corrected"}

_FOLLOWED: Final = frozenset(
    {
        "roster.school-opened",
        "roster.staff-hired",
        "roster.staff-dismissed",
        "roster.coordinator-appointed",
        "roster.coordinator-relieved",
        "roster.class-teacher-assigned",
        "roster.class-closed",
        "roster.entry-annulled",
        "plan.plan-adopted",
        "plan.deadline-approaching",
        "plan.step-became-overdue",
        "plan.step-completed",
        "plan.step-reopened",
        "plan.announcement-corrected",
        "notifier.message-queued",
    }
)


class Schools:
    """The projection of all of it."""

    name = "schools"
    sources = ("roster", "plan", "notifier")
    tables = metadata
    wants = staticmethod(wanting(_FOLLOWED))

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        for event in events:
            match event.service:
                case "roster":
                    _of_roster(connection, event)
                case "plan":
                    _of_plan(connection, event)
                case _:
                    _of_ourselves(connection, event)
        if any(event.service == "plan" and self.wants(event.type) for event in events):
            _forget_announcements(connection)


def _of_roster(connection: Connection, event: Recorded) -> None:
    type_name, fact = event.facts()
    match type_name:
        case "roster.school-opened.v1":
            connection.execute(delete(school_table).where(school_table.c.school == fact["school"]))
            row = {name: fact[name] for name in ("school", "municipality", "timezone")}
            connection.execute(insert(school_table).values(row))
        case "roster.staff-hired.v1" if fact["position"] == Position.DIRECTOR:
            _enter(connection, event, "director", fact["person"])
        case "roster.coordinator-appointed.v1":
            _enter(connection, event, "coordinator", fact["person"])
        case "roster.class-teacher-assigned.v1":
            _leave(connection, event, officer_table.c.class_id == fact["class_id"])
            _enter(connection, event, "class_teacher", fact["person"], fact["class_id"])
        case "roster.class-closed.v1":
            _leave(connection, event, officer_table.c.class_id == fact["class_id"])
        case "roster.coordinator-relieved.v1":
            _leave(connection, event, officer_table.c.person == fact["person"], officer_table.c.office == "coordinator")
        case "roster.staff-dismissed.v1":
            _leave(connection, event, officer_table.c.person == fact["person"])
        case "roster.entry-annulled.v1":
            # Whatever that event began or ended never was.
            table = officer_table
            connection.execute(delete(table).where(table.c.since == fact["position"]))
            connection.execute(update(table).where(table.c.until == fact["position"]).values(until=None))
        case _:
            pass


def _enter(connection: Connection, event: Recorded, office: Office, person: str, class_id: str | None = None) -> None:
    row = {"since": event.position, "school": event.school, "office": office, "person": person, "class_id": class_id}
    connection.execute(insert(officer_table).values(row))


def _leave(connection: Connection, event: Recorded, *which: Any) -> None:
    table = officer_table
    connection.execute(update(table).where(table.c.school == event.school, table.c.until.is_(None), *which).values(until=event.position))


def _of_plan(connection: Connection, event: Recorded) -> None:
    type_name, fact = event.facts()
    if type_name.startswith("plan.plan-adopted."):
        connection.execute(delete(adopted_table).where(adopted_table.c.school == event.school))
        connection.execute(insert(adopted_table).values(school=event.school, plan=fact["plan"]))
        return
    if type_name == "plan.announcement-corrected.v1":
        kind = _CORRECTED[fact["kind"]]
    elif type_name in _KINDS:
        kind = _KINDS[type_name]
    else:
        return
    due = fact.get("due")
    connection.execute(
        insert(announcement_table).values(
            position=event.position,
            event=event.id,
            school=event.school,
            recorded_on=local_day(moment(event.recordedat)),
            kind=kind,
            step=fact["step"],
            day=date.fromisoformat(fact["day"]),
            due=due and date.fromisoformat(due),
            working_days=fact.get("working_days"),
            reminders=fact.get("reminders", "default"),
            responsible=json.dumps(fact.get("responsible", [])),
            corrects=fact.get("corrects"),
        )
    )


def _forget_announcements(connection: Connection) -> None:
    """Deletes what is over: by the newest announcement, so that in every rebuild the same are left."""
    recorded_on = announcement_table.c.recorded_on
    newest = connection.execute(select(func.max(recorded_on))).scalar()
    if newest is not None:
        connection.execute(delete(announcement_table).where(recorded_on < newest - KEPT))


def _of_ourselves(connection: Connection, event: Recorded) -> None:
    type_name, fact = event.facts()
    if type_name != "notifier.message-queued.v2" or fact["day"] is None:
        return
    table, template = told_table, fact["template"]
    group = event.school if template == "daily" else manager(template, fact["recipient"])
    day = date.fromisoformat(fact["day"])
    before = connection.execute(select(table).where(table.c.group == group)).one_or_none()
    if before is None:
        connection.execute(insert(table).values(group=group, position=fact["read_to"], day=day))
    else:
        position = max(before.position, fact["read_to"])
        connection.execute(update(table).where(table.c.group == group).values(position=position, day=max(before.day, day)))


def manager(template: str, recipient: str) -> str:
    """The group of a manager in `told`."""
    return f"{template}:{recipient}"


# ---- Reading it -------------------------------------------------------------------------------------------------------


def place(rows: Rows, school: str) -> Row[Any]:
    """A school's row. Raises Refused `school.unknown`."""
    found = rows(select(school_table).where(school_table.c.school == school))
    if not found:
        raise Refused("school.unknown", f"There is no school {school}.", "roster.open-school opens one.")
    return found[0]


def officers(rows: Rows, school: str) -> dict[Office, list[str]]:
    """Who holds which office in a school today, by id; a school may have nobody yet, or two for a while."""
    table = officer_table
    found = rows(
        select(table.c.office, table.c.person).where(table.c.school == school, table.c.until.is_(None)).order_by(table.c.person).distinct()
    )
    result: dict[Office, list[str]] = {"director": [], "coordinator": [], "class_teacher": []}
    for row in found:
        result[row.office].append(row.person)
    return result


def class_teachers(rows: Rows, school: str) -> dict[str, list[str]]:
    """The class teacher of each class, by its id."""
    table = officer_table
    found = rows(
        select(table.c.class_id, table.c.person).where(
            table.c.school == school, table.c.office == "class_teacher", table.c.until.is_(None), table.c.class_id.is_not(None)
        )
    )
    result: dict[str, list[str]] = {}
    for row in found:
        result.setdefault(row.class_id, []).append(row.person)
    return result


def announced(found: Iterable[Row[Any]]) -> list[Announcement]:
    """The announcements of rows."""
    return [
        Announcement(
            Notice(kind=row.kind, step=row.step, day=row.day, due=row.due, working_days=row.working_days, cause=row.event),
            row.reminders,
            tuple(json.loads(row.responsible)),
            row.corrects,
        )
        for row in found
    ]
