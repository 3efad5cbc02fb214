"""Lays the changes of a OneRoster delta over the school as it is entered, so that both are read like a whole export.

What is entered stands at no place of the file; only what a row of the file speaks of is asked for. A row that is `tobedeleted` changes
nothing here, nor does one that sends somebody who is entered to another school, or disables the person: who it speaks of is a `Departure`,
for somebody to decide.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from roster.files.cells import ClassLabel
from roster.files.csvs import Encoding
from roster.files.exported import Exported
from roster.files.findings import FileRefused, Finding, Place
from roster.files.results import Departure

from .bundle import OTHER_COMMAS, Bundle, Record
from .classes import label_of, readable_day
from .columns import FILES, READ
from .known import Known
from .orgs import other_school
from .people import GONE, STUDENT, sort_of, truth
from .writing import rows_of

NOWHERE = Place("", None, 0)
"""Where something stands that is entered and that no row of the file speaks of."""

_ORG_COLUMNS = ("schoolSourcedId", "orgSourcedId", "orgSourcedIds")
_PRIMARY_ORG = "primaryOrgSourcedId"
_KEYS: Mapping[str, tuple[str, ...]] = {"roles": ("userSourcedId", "role"), "enrollments": ("classSourcedId", "userSourcedId", "role")}


@dataclass(slots=True)
class Merged:
    """Looks like a bundle to whoever reads it."""

    name: str
    files: Mapping[str, str]
    warnings: list[Finding]
    detected: Mapping[str, tuple[Encoding | None, str | None]]
    departures: list[Departure]
    _tables: Mapping[str, list[Record]]
    _names: Mapping[str, str] = field(default_factory=dict[str, str])

    def file(self, kind: str) -> str:
        return self._names.get(kind, f"{kind}.csv")

    def records(self, kind: str) -> list[Record]:
        return self._tables.get(kind, [])


def merge(bundle: Bundle, known: Known, school: str, today: date) -> Merged:
    """The school with the changes. Raises FileRefused where nothing is known to lay them over, or they are another school's."""
    if known.roster is None or not known.had_an_export:
        raise _nothing_to_change(bundle)
    return _Merging(bundle, known, known.roster, school, today).merged()


def _nothing_to_change(bundle: Bundle) -> FileRefused:
    delta = ", ".join(f"{kind}.csv" for kind, mode in bundle.modes.items() if mode == "delta")
    return FileRefused(
        "file.oneroster-delta",
        f"It holds changes only (delta): {delta}. Of this school no whole export (bulk) has been imported that they could change.",
        "Export everything (bulk) and import that first; then changes alone can follow.",
        file=bundle.name,
    )


class _Merging:
    def __init__(self, bundle: Bundle, known: Known, roster: Exported, school: str, today: date) -> None:
        self._bundle = bundle
        self._known = known
        self._school = school
        self._today = today
        rows = rows_of(roster, bundle.version, today)
        self._entered = {kind: [_record(kind, cells) for cells in rows[kind]] for kind in READ[bundle.version] if kind in rows}
        self._changes = {kind: [self._own_ids(kind, record) for record in bundle.records(kind)] for kind in READ[bundle.version]}
        self._departures: list[Departure] = []
        self._told: dict[tuple[str, str | None, str], list[Place]] = {}  # by code, column and hint

    def merged(self) -> Merged:
        self._refuse_another_school()
        for kind in self._changes:
            self._tell_of_status(kind)
        for kind in ("users", "classes"):
            self._take_departures(kind)
        self._take_enrollments()
        self._take_roles()
        tables = {kind: self._table(kind) for kind in self._entered}
        self._touch_families(tables["users"])
        warnings = [*self._bundle.warnings, *self._warnings()]
        files = {kind: self._bundle.files.get(kind, "") for kind in tables}
        names = {kind: self._bundle.file(kind) for kind in self._bundle.files}
        detected = {kind: self._bundle.detected.get(kind, (None, None)) for kind in tables}
        return Merged(self._bundle.name, files, warnings, detected, self._departures, tables, names)

    # -- ids ------------------------------------------------------------------------------------------------------------------------------

    def _own_ids(self, kind: str, record: Record) -> Record:
        """The record with the ids that the school's own roster is written with."""
        cells = dict(record.cells)
        for column in (*_ORG_COLUMNS, _PRIMARY_ORG):
            if record[column]:
                cells[column] = ",".join(own for org in record.listed(column) for own in self._own_orgs(org))
        if kind == "orgs":
            cells["sourcedId"] = self._own_org(record["sourcedId"])
        for column in ("classSourcedId", *(["sourcedId"] if kind == "classes" else [])):
            if record[column]:
                cells[column] = self._known.stands_for("class", record[column]) or record[column]
        for column in ("termSourcedIds", "parentSourcedId", *(["sourcedId"] if kind == "academicSessions" else [])):
            if record[column] and kind in ("classes", "academicSessions"):
                cells[column] = ",".join(self._own_session(session) for session in record.listed(column))
        return Record(record.place, cells, record.is_too_long)

    def _own_orgs(self, orgs: str) -> list[str]:
        own = self._own_org(orgs)
        return [own] if own != orgs else [self._own_org(org) for org in map(str.strip, OTHER_COMMAS.split(orgs)) if org]

    def _own_org(self, org: str) -> str:
        return self._school if org == self._known.confirmed else self._known.stands_for("org", org) or org

    def _own_session(self, session: str) -> str:
        year = self._known.stands_for("session", session)
        return session if year is None else f"year-{year}"

    def _refuse_another_school(self) -> None:
        orgs = {record["sourcedId"] for record in self._changes["orgs"] if record["type"].casefold() == "school"}
        for records in self._changes.values():
            orgs |= {org for record in records for column in _ORG_COLUMNS for org in record.listed(column)}
        # Somebody's first school is named where nothing says of which school the file speaks.
        orgs = orgs or {org for record in self._changes["users"] for org in record.listed(_PRIMARY_ORG)}
        if orgs and self._school not in orgs:
            raise other_school(self._bundle.name, are_changes=True) if self._known.has_an_org else _nothing_to_change(self._bundle)

    # -- what is to be deleted ------------------------------------------------------------------------------------------------------------

    def _is_departure(self, kind: str, record: Record) -> bool:
        return self._bundle.modes.get(kind) == "delta" and record["status"].casefold() in GONE

    def _tell_of_status(self, kind: str) -> None:
        if self._bundle.modes.get(kind) == "delta":
            for record in self._changes[kind]:
                if record["status"].casefold() not in ("", "active", *GONE):
                    self._tell(record.place, "status", "status.unknown", "neither active nor tobedeleted; the row was read as active")

    def _take_departures(self, kind: Literal["users", "classes"]) -> None:
        going = self._going() if kind == "users" else set[str]()
        kept: list[Record] = []
        for record in self._changes[kind]:
            if record["sourcedId"] in going or self._is_departure(kind, record):
                self._departures.append(Departure(record.place, kind, record["sourcedId"], None))
            else:
                kept.append(record)
        self._changes[kind] = kept

    def _going(self) -> set[str]:
        """Who is entered and is said to be in other schools than this one, or to use the system no more. Some programs write a row for
        each school."""
        if self._bundle.modes.get("users") != "delta":
            return set()
        told: dict[str, list[Record]] = {record["sourcedId"]: [] for record in self._entered["users"]}
        for record in self._changes["users"]:
            if record["sourcedId"] in told and not self._is_departure("users", record):
                told[record["sourcedId"]].append(record)
        return {user for user, records in told.items() if records and all(map(self._goes, records))}

    def _goes(self, user: Record) -> bool:
        orgs = user.listed("orgSourcedIds")
        return (bool(orgs) and self._school not in orgs) or truth(user["enabledUser"]) is False

    def _take_roles(self) -> None:
        """The role of somebody who is entered, where it is deleted in this school and no other follows here, is a departure."""
        changes = self._changes.get("roles", [])
        kept = [record for record in changes if not self._is_departure("roles", record)]
        follows = {record["userSourcedId"] for record in kept if self._is_here(record)}
        entered = {(record["userSourcedId"], sort_of(record["role"])) for record in self._entered.get("roles", ())}
        deleted = {departure.external_id for departure in self._departures}
        for record in changes:
            user, sort = record["userSourcedId"], sort_of(record["role"])
            goes = self._is_departure("roles", record) and self._is_here(record) and (user, sort) in entered
            if goes and user not in follows and user not in deleted:
                self._departures.append(Departure(record.place, "students" if sort == STUDENT else "users", user, None))
                deleted.add(user)
        if "roles" in self._changes:
            self._changes["roles"] = kept

    def _is_here(self, role: Record) -> bool:
        return role["orgSourcedId"] in ("", self._school)

    def _take_enrollments(self) -> None:
        """Keeps the enrollments that put somebody into a class; one that is deleted or has ended is a departure, unless another follows."""
        classes = {record["sourcedId"] for record in (*self._entered["classes"], *self._changes["classes"])}
        kept: list[Record] = []
        gone: list[Record] = []
        for record in self._changes["enrollments"]:
            if not record["classSourcedId"] or not record["userSourcedId"]:
                hint = "the row names no class or no person: export classSourcedId and userSourcedId with it, even if it is to be deleted"
                self._tell(record.place, "classSourcedId", "enrollment.unnamed", hint)
            elif record["classSourcedId"] not in classes:
                hint = "a class that is neither here nor in the file, as groups for lessons are; passed over"
                self._tell(record.place, "classSourcedId", "enrollment.class-unknown", hint)
            elif self._is_departure("enrollments", record) or self._has_ended(record):
                gone.append(record)
            else:
                kept.append(record)
        self._changes["enrollments"] = kept
        follows = {(record["userSourcedId"], record["role"].casefold()) for record in kept}
        deleted = {departure.external_id for departure in self._departures}
        for record in gone:
            role = record["role"].casefold()
            follow = (record["userSourcedId"], role) if role == STUDENT else None
            if follow not in follows and record["userSourcedId"] not in deleted and role in (STUDENT, "teacher"):
                of = "students" if role == STUDENT else "teachers"
                self._departures.append(Departure(record.place, of, record["userSourcedId"], record["classSourcedId"]))

    def _has_ended(self, record: Record) -> bool:
        ends = readable_day(record["endDate"])
        return ends is not None and ends < self._today

    def _tell(self, place: Place, column: str | None, code: str, hint: str) -> None:
        self._told.setdefault((code, column, hint), []).append(place)

    def _warnings(self) -> Iterable[Finding]:
        for (code, column, hint), places in self._told.items():
            yield Finding(places[0].file, None, places[0].row, column, code, f"{hint}, in {len(places)} rows, this one first")

    # -- what is active -------------------------------------------------------------------------------------------------------------------

    def _table(self, kind: str) -> list[Record]:
        changes = [record for record in self._changes[kind] if not self._is_departure(kind, record)]
        keys = _KEYS.get(kind, ("sourcedId",))
        changed = {_key(record, keys): record for record in changes}
        superseded = self._superseded(kind, changes)
        found: list[Record] = []
        for entered in self._entered[kind]:
            change = changed.get(_key(entered, keys))
            if change is not None:
                if kind == "classes" and change["title"] and _is_renamed(entered, change):
                    hint = "the class is entered under another name, which it keeps; if it is another class, give it an id of its own"
                    self._tell(change.place, "title", "class.renamed", hint)
                found.append(_laid_over(kind, entered, change))
            elif not superseded & {entered["userSourcedId"], _led_class(entered)}:
                found.append(entered)
        known = {_key(entered, keys) for entered in self._entered[kind]}
        found += [record for record in changes if _key(record, keys) not in known]
        return [self._touched(kind, record) for record in found]

    def _superseded(self, kind: str, changes: Iterable[Record]) -> set[str]:
        """Of whom, or of which class, a change says anew who is where, in which role: what is entered gives way, once that has begun."""
        if kind == "roles":
            return {record["userSourcedId"] for record in changes if self._is_here(record)}
        if kind == "enrollments":
            begun = [record for record in changes if (readable_day(record["beginDate"]) or date.min) <= self._today]
            pupils = {record["userSourcedId"] for record in begun if record["role"].casefold() == STUDENT}
            return pupils | {_led_class(record) for record in begun if _led_class(record)}
        return set()

    def _touched(self, kind: str, record: Record) -> Record:
        """A person or a class that stands at no place of the file stands where a row of the file first speaks of it."""
        if record.place != NOWHERE or kind not in ("users", "classes"):
            return record
        place = self._first_places().get((kind, record["sourcedId"]))
        return record if place is None else Record(place, record.cells, record.is_too_long)

    def _first_places(self) -> Mapping[tuple[str, str], Place]:
        places: dict[tuple[str, str], Place] = {}
        for kind in ("enrollments", "demographics", "roles"):
            for record in self._changes.get(kind, ()):
                user = record["userSourcedId"] or record["sourcedId"]
                places.setdefault(("users", user), record.place)
                if kind == "enrollments":
                    places.setdefault(("classes", record["classSourcedId"]), record.place)
        return places

    def _touch_families(self, users: list[Record]) -> None:
        """A pupil's row holds the guardians: it stands where a row speaks of one of them."""
        places = {record["sourcedId"]: record.place for record in users if record.place != NOWHERE}
        named = {pupil: record.place for record in users if record.place != NOWHERE for pupil in record.listed("agentSourcedIds")}
        for index, record in enumerate(users):
            if record.place == NOWHERE:
                of = (places.get(agent) for agent in record.listed("agentSourcedIds"))
                place = next((place for place in of if place is not None), named.get(record["sourcedId"]))
                if place is not None:
                    users[index] = Record(place, record.cells, record.is_too_long)


def _record(kind: str, cells: Mapping[str, str]) -> Record:
    read = FILES[kind].read
    return Record(NOWHERE, {column: cell for column, cell in cells.items() if cell and column in read}, is_too_long=False)


def _key(record: Record, columns: Iterable[str]) -> tuple[str, ...]:
    values = ((column, record[column] or record["userSourcedId"]) for column in columns)
    return tuple(value.casefold() if column == "role" else value for column, value in values)


def _is_renamed(entered: Record, change: Record) -> bool:
    labels = label_of(entered), label_of(change)
    return isinstance(labels[0], ClassLabel) and isinstance(labels[1], ClassLabel) and labels[0] != labels[1]


def _led_class(record: Record) -> str:
    """The class whose primary teacher an enrollment names."""
    leads = record["role"].casefold() == "teacher" and truth(record["primary"]) is True
    return record["classSourcedId"] if leads else ""


def _laid_over(kind: str, entered: Record, change: Record) -> Record:
    """What is entered with the filled cells of a change: a blank one leaves the value. What a class is stays as it is entered."""
    if kind == "classes":
        return Record(change.place, {**change.cells, **entered.cells}, change.is_too_long)
    cells = {**entered.cells, **change.cells}
    if kind == "users" and entered["agentSourcedIds"] and change["agentSourcedIds"]:
        cells["agentSourcedIds"] = ",".join(dict.fromkeys([*change.listed("agentSourcedIds"), *entered.listed("agentSourcedIds")]))
    return Record(change.place, cells, change.is_too_long)
