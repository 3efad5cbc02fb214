"""Roster's own tables beside the log: who is where, and what may be taken only once. Nothing personal stands in them.

They change in the transaction of the events that they follow. An external id, or a name with a birth date, stands here
as a keyed digest that tells equal from different and nothing else.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, Connection, Index, Integer, MetaData, Table, Text, false, select

from eventkit.decider import Refused

metadata = MetaData()

school_table = Table(
    "school",
    metadata,
    Column("school", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("municipality", Text, nullable=False),
    Column("timezone", Text, nullable=False),
)

class_table = Table(
    "class",
    metadata,
    Column("class_id", Text, primary_key=True),
    Column("school", Text, nullable=False),
    Column("grade", Integer, nullable=False),
    Column("letter", Text, nullable=False),
    Column("academic_year", Text, nullable=False),
    Column("shift", Integer),
    Column("headcount", Integer),
    Column("teacher", Text),
    Column("closed", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
)
"""A class's state for looking up; `shift` is empty until the class is created. `revision` is that of its data (revisions.py)."""

_open = class_table.c.closed == false()
Index(
    "class_by_name",
    class_table.c.school,
    class_table.c.academic_year,
    class_table.c.grade,
    class_table.c.letter,
    unique=True,
    sqlite_where=_open,
    postgresql_where=_open,
)

person_table = Table(
    "person",
    metadata,
    Column("person", Text, primary_key=True),
    Column("school", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("listed_in", Text),
    Column("seat_number", Integer),
    Column("class_id", Text),
    Column("since", Text),
    Column("position", Text),
    Column("erased", Boolean, nullable=False, default=False),
)
"""`active`: works here or is a pupil; a guardian always is, until `erased`. Of a pupil: the seat, and the class assigned to.

`since` (ISO) is the day of hiring or enrolment as it was said last, `position` what a member of staff is employed as.
"""
Index("person_of_school", person_table.c.school, person_table.c.kind)

external_id_table = Table(
    "external_id",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("person", Text, nullable=False, index=True),
)
"""The digest is of school, kind and external id: in a school it stands for one person of a kind."""

export_id_table = Table(
    "export_id",
    metadata,
    Column("school", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("stands_for", Text, nullable=False),
)
"""What the ids in the OneRoster exports of a school stand for: the school, the first year of a school year, or a class's id."""

likeness_table = Table(
    "likeness",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("person", Text, primary_key=True),
)
"""The digest is of school, last and first name and birth date: who has the same may be the same pupil, or a namesake."""

number_table = Table("consent_number", metadata, Column("digest", Text, primary_key=True))
"""The digests of the consent numbers whose decision an import has recorded: they need not be recorded with each import anew."""

seat_table = Table(
    "seat",
    metadata,
    Column("class_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("person", Text, nullable=False),
)
"""A number on a class's list is one pupil's for ever: who leaves takes the seat along."""

guardianship_table = Table(
    "guardianship",
    metadata,
    Column("pupil", Text, primary_key=True),
    Column("guardian", Text, primary_key=True, index=True),
    Column("school", Text, nullable=False, index=True),
    Column("relation", Text, nullable=False),
    Column("legal_representative", Boolean, nullable=False),
    Column("linked", Boolean, nullable=False),
)

reference_list_table = Table(
    "reference_list",
    metadata,
    Column("school", Text, primary_key=True),
    Column("list", Text, primary_key=True),
    Column("entries", Text),
    Column("sha256", Text),
)
"""`entries` is the canonical JSON that `sha256` is of; both are empty once the list is cleared."""

timetable_table = Table(
    "timetable",
    metadata,
    Column("class_id", Text, primary_key=True),
    Column("valid_from", Text, primary_key=True),
    Column("school", Text, nullable=False),
    Column("lessons", Text),
    Column("sha256", Text),
)
"""A class's lessons from a day (ISO) on, as the canonical JSON that `sha256` is of; both are empty once it is withdrawn."""

issue_table = Table(
    "issue",
    metadata,
    Column("issue", Text, primary_key=True),
    Column("school", Text, nullable=False, index=True),
    Column("class_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("blocking", Boolean, nullable=False),
    Column("opened_on", Text, nullable=False),
    Column("resolved_on", Text),
)
"""What is wrong with classes' data; `resolved_on` is empty while the issue is open."""


def require_class(connection: Connection, school: str, class_id: str) -> None:
    """Raises Refused `class.not-declared` for a class that is no class of this school."""
    known = select(class_table.c.class_id).where(class_table.c.class_id == class_id, class_table.c.school == school)
    if connection.execute(known).first() is None:
        raise Refused("class.not-declared", f"There is no class {class_id} in this school. Look at its id (roster.classes).")


def require_school(connection: Connection, school: str) -> Any:
    """The school's row. Raises Refused `school.unknown`."""
    row = connection.execute(select(school_table).where(school_table.c.school == school)).first()
    if row is None:
        raise Refused("school.unknown", f"There is no school {school}.")
    return row
