"""Who is in the schools, and what they decided about their data: what the gates before a code ask. It follows roster and consent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Executable, MetaData, Row, Table, Text, bindparam, delete, insert, select

from contracts.roster import Position
from eventkit.decider import Refused
from eventkit.event import Recorded
from identity.domain import Person

metadata = MetaData()

Rows = Callable[[Executable], Sequence[Row[Any]]]
"""Reads rows: inside a command `Transaction.rows`, elsewhere over a connection."""

school_table = Table(
    "school",
    metadata,
    Column("school", Text, primary_key=True),
    Column("municipality", Text, nullable=False, index=True),
    Column("timezone", Text, nullable=False),
)

class_table = Table("class", metadata, Column("class_id", Text, primary_key=True), Column("school", Text, nullable=False))

staff_table = Table(
    "staff",
    metadata,
    Column("school", Text, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("position", Text, nullable=False),
)

coordinator_table = Table(
    "coordinator", metadata, Column("school", Text, primary_key=True), Column("person", Text, primary_key=True)
)

pupil_table = Table(
    "pupil",
    metadata,
    Column("school", Text, primary_key=True),
    Column("person", Text, primary_key=True),
    Column("legal_basis", Boolean, nullable=False),
)

pupil_class_table = Table(
    "pupil_class",
    metadata,
    Column("school", Text, primary_key=True),
    Column("pupil", Text, primary_key=True),
    Column("class_id", Text, nullable=False),
)

no_guardian_table = Table("no_guardian", metadata, Column("school", Text, primary_key=True), Column("pupil", Text, primary_key=True))

guardianship_table = Table(
    "guardianship",
    metadata,
    Column("school", Text, primary_key=True),
    Column("pupil", Text, primary_key=True),
    Column("guardian", Text, primary_key=True, index=True),
    Column("legal_basis", Boolean, nullable=False),
)

consent_table = Table(
    "consent",
    metadata,
    Column("school", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("consent_id", Text, nullable=False),
)


class People:
    """The projection of schools, classes, people and their consents. Each event has the last word on one row or two."""

    name = "people"
    sources = ("roster", "consent")
    tables = metadata

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        changes = _Changes()
        for event in events:
            type_name, fact = event.facts()
            here = event.school
            match type_name:
                case "roster.school-opened.v1":
                    changes.put(school_table, school=here, municipality=fact["municipality"], timezone=fact["timezone"])
                case "roster.class-declared.v1":
                    changes.put(class_table, class_id=fact["class_id"], school=here)
                case "roster.class-closed.v1":
                    changes.drop(class_table, class_id=fact["class_id"])
                case "roster.staff-hired.v1":
                    changes.put(staff_table, school=here, person=fact["person"], position=fact["position"])
                case "roster.staff-dismissed.v1":
                    changes.drop(staff_table, school=here, person=fact["person"])
                    changes.drop(coordinator_table, school=here, person=fact["person"])
                case "roster.coordinator-appointed.v1":
                    changes.put(coordinator_table, school=here, person=fact["person"])
                case "roster.coordinator-relieved.v1":
                    changes.drop(coordinator_table, school=here, person=fact["person"])
                case "roster.pupil-enrolled.v1":
                    changes.put(pupil_table, school=here, person=fact["person"], legal_basis=fact["legal_basis"] is not None)
                    changes.put(pupil_class_table, school=here, pupil=fact["person"], class_id=fact["seat"]["class_id"])
                case "roster.pupil-assigned-to-class.v1":
                    changes.put(pupil_class_table, school=here, pupil=fact["pupil"], class_id=fact["class_id"])
                case "roster.pupil-left.v1":
                    changes.drop(pupil_table, school=here, person=fact["person"])
                case "roster.guardian-linked.v1":
                    link = {"school": here, "pupil": fact["pupil"], "guardian": fact["guardian"]}
                    changes.put(guardianship_table, **link, legal_basis=fact["legal_basis"] is not None)
                case "roster.guardian-unlinked.v1":
                    changes.drop(guardianship_table, school=here, pupil=fact["pupil"], guardian=fact["guardian"])
                case "roster.guardian-absence-recorded.v1":
                    changes.put(no_guardian_table, school=here, pupil=fact["pupil"])
                case "consent.consent-granted.v1" | "consent.consent-refused.v1" | "consent.consent-withdrawn.v1":
                    state = type_name.removeprefix("consent.consent-").removesuffix(".v1")
                    changes.put(consent_table, school=here, subject=fact["subject"], state=state, consent_id=fact["consent_id"])
                case _:
                    pass
        changes.write(connection)


def timezone(rows: Rows, school: str) -> str:
    """The time zone of a school. Raises Refused `school.unknown`."""
    found = rows(select(school_table.c.timezone).where(school_table.c.school == school))
    if not found:
        raise Refused("school.unknown", f"There is no school {school}.")
    return found[0].timezone


def people_of(rows: Rows, school: str, people: Collection[str]) -> dict[str, Person]:
    """What is known of each of these people, in six readings however many they are; of a stranger, that there is nothing."""
    staff, coordinator, pupil, guardianship = staff_table.c, coordinator_table.c, pupil_table.c, guardianship_table.c
    pupil_class, no_guardian, consent = pupil_class_table.c, no_guardian_table.c, consent_table.c
    positions = {
        row.person: Position(row.position) for row in rows(select(staff_table).where(staff.school == school, staff.person.in_(people)))
    }
    coordinators = {
        row.person for row in rows(select(coordinator_table).where(coordinator.school == school, coordinator.person.in_(people)))
    }
    consents = {
        row.subject: row.state for row in rows(select(consent_table).where(consent.school == school, consent.subject.in_(people)))
    }
    pupils = {
        row.person: row
        for row in rows(
            select(pupil.person, pupil.legal_basis, pupil_class.class_id, no_guardian.pupil.is_not(None).label("no_guardian"))
            .join(pupil_class_table, (pupil_class.school == pupil.school) & (pupil_class.pupil == pupil.person))
            .outerjoin(no_guardian_table, (no_guardian.school == pupil.school) & (no_guardian.pupil == pupil.person))
            .where(pupil.school == school, pupil.person.in_(people))
        )
    }
    # A guardian whose children have all left is none any more.
    links = (
        select(guardianship_table, pupil_class.class_id)
        .join(pupil_table, (pupil.school == guardianship.school) & (pupil.person == guardianship.pupil))
        .join(pupil_class_table, (pupil_class.school == pupil.school) & (pupil_class.pupil == pupil.person))
        .where(guardianship.school == school)
    )
    guardians: dict[str, set[str]] = defaultdict(set)
    for row in rows(links.where(guardianship.pupil.in_(people))):
        guardians[row.pupil].add(row.guardian)
    children: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in rows(links.where(guardianship.guardian.in_(people))):
        children[row.guardian].append(row)
    return {
        person: Person(
            position=positions.get(person),
            coordinator=person in coordinators,
            pupil=person in pupils,
            guardian=person in children,
            classes=frozenset(
                [pupils[person].class_id] * (person in pupils) + [child.class_id for child in children.get(person, ())]
            ),
            guardians=frozenset(guardians.get(person, ())),
            no_guardian_recorded=person in pupils and pupils[person].no_guardian,
            legal_basis=(person in pupils and pupils[person].legal_basis) or any(child.legal_basis for child in children.get(person, ())),
            consent=consents.get(person),
        )
        for person in people
    }


class _Changes:
    """The last word of a batch on each row, written with two statements a table however long the batch is."""

    def __init__(self) -> None:
        self._rows: dict[Table, dict[tuple[str, ...], dict[str, Any] | None]] = {}

    def put(self, table: Table, **row: Any) -> None:
        self._rows.setdefault(table, {})[_key(table, row)] = row

    def drop(self, table: Table, **key: Any) -> None:
        self._rows.setdefault(table, {})[_key(table, key)] = None

    def write(self, connection: Connection) -> None:
        for table, rows in self._rows.items():
            this = [column == bindparam(f"the_{column.name}") for column in table.primary_key.columns]
            names = [f"the_{column.name}" for column in table.primary_key.columns]
            connection.execute(delete(table).where(*this), [dict(zip(names, key, strict=True)) for key in rows])
            if kept := [row for row in rows.values() if row is not None]:
                connection.execute(insert(table), kept)


def _key(table: Table, row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(row[column.name] for column in table.primary_key.columns)
