"""Who was active on which day: distinct person-days, without content or duration, kept for 14 days and never made events.

They are told by whoever runs the portal and are counted once a week (DOMAIN 7). What is lost here is not told again.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

from sqlalchemy import Column, Connection, Date, MetaData, Table, Text, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from eventkit.erasure import without_forgotten
from identity.domain.rating import DAYS_NEEDED, Groups, Register, Standing, groups
from identity.projections import Rows, account_table, class_table, guardianship_table, people_of, pupil_table, staff_table

KEPT_DAYS = DAYS_NEEDED
"""So many days before today; at a midnight they are the days of the week that has ended, and of the one before."""

metadata = MetaData()

activity_table = Table(
    "activity",
    metadata,
    Column("school", Text, primary_key=True),
    Column("day", Date, primary_key=True, index=True),
    Column("person", Text, primary_key=True),
)


def note(connection: Connection, school: str, day: date, people: Collection[str]) -> int:
    """Notes that people were active on a day, once however often it is said. Answers how many of them the school knows."""
    here = without_forgotten(connection, people)
    known = [person for person, found in people_of(_rows(connection), school, here).items() if found.kind is not None]
    if known:
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        rows = [{"school": school, "day": day, "person": person} for person in known]
        connection.execute(insert(activity_table).on_conflict_do_nothing(), rows)
    return len(known)


def forget(connection: Connection, today: date) -> date | None:
    """Removes what is older than it may get. Answers the first day of which anything is left."""
    connection.execute(delete(activity_table).where(activity_table.c.day < today - timedelta(days=KEPT_DAYS)))
    return first_day(connection)


def first_day(connection: Connection) -> date | None:
    return connection.execute(select(func.min(activity_table.c.day))).scalar()


def groups_of(connection: Connection, school: str, week_ends: date) -> Groups:
    """A school's people by what they could have done and did in a week, as the school is known now."""
    rows = _rows(connection)
    pupil, staff, guardianship = pupil_table.c, staff_table.c, guardianship_table.c
    ids = (
        select(staff.person.label("person"))
        .where(staff.school == school)
        .union(select(pupil.person).where(pupil.school == school), select(guardianship.guardian).where(guardianship.school == school))
    )
    first = week_ends - timedelta(days=DAYS_NEEDED - 1)
    in_week = activity_table.c.day.between(first, week_ends)
    days: dict[str, set[date]] = {}
    for row in rows(select(activity_table).where(activity_table.c.school == school, in_week)):
        days.setdefault(row.person, set()).add(row.day)
    accounts = rows(select(account_table).where(account_table.c.school == school))
    return groups(
        Register(
            people=people_of(rows, school, [row.person for row in rows(ids)]),
            grades={row.class_id: row.grade for row in rows(select(class_table).where(class_table.c.school == school))},
            accounts={row.person: Standing(row.state == "activated", row.received_on) for row in accounts},
            days=days,
        ),
        week_ends,
    )


def _rows(connection: Connection) -> Rows:
    return lambda statement: connection.execute(statement).all()
