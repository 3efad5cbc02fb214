"""Makes the rows of our template of a OneRoster export, so that one import plan serves both.

What is wrong is said under OneRoster's own file, row and column. A user is a pupil, a member of staff or a guardian; a guardian is part of
the pupils' rows, as in the template. How each column is read stands in docs/decisions/oneroster.md.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from roster.files.findings import COMING_YEAR, FileRefused, Finding, Place
from roster.files.repeats import Repeats
from roster.files.results import Detected, RosterFile
from roster.files.rows import ClassRow, GuardianRow, PupilRow, StaffRow
from roster.files.words import KINSHIPS, folded, says_nothing

from .bundle import OTHER_COMMAS, Bundle, Record
from .classes import TOO_LONG, Classes, Mapped, Sessions, day_of, day_text, map_classes
from .columns import KINSHIP
from .known import ExportId, Known
from .merging import NOWHERE, Merged, merge
from .orgs import school_org
from .people import GONE, OFFICES, ROLES_TOLD, SEXES, STAFF, STUDENT, Person, kinship, person_of, truth
from .titles import TITLES

Row = TypeVar("Row", bound=BaseModel)

_PATRONYMIC = re.compile(r" \w+(?:вич|вна|чна|ьич|кызы|оглы)$", re.IGNORECASE)
_OF_ORGS = ("orgSourcedIds", "primaryOrgSourcedId")
_MOST_GUARDIANS = 2
_TOLD_ROWS = 20


class _Enrolment(NamedTuple):
    record: Record
    mapped: Mapped
    begins: date | None


def read_bundle(bundle: Bundle, school: str, today: date, known: Known) -> RosterFile:
    """Reads the part of an export that is one school's, as it is on a day. Raises `FileRefused`.

    Changes only (delta) are laid over what is entered; then the rows of those are given of whom they speak.
    """
    if bundle.is_delta:
        merged = merge(bundle, known, school, today)
        # What was confirmed is this school in the merged files already.
        reading = _Reading(merged, school, today, replace(known, confirmed=None))
        return replace(reading.result(), departures=tuple(merged.departures))
    return _Reading(bundle, school, today, known).result()


class _Reading:
    def __init__(self, bundle: Bundle | Merged, school: str, today: date, known: Known) -> None:
        self._bundle = bundle
        self._school = school
        self._today = today
        self._errors: list[Finding] = []
        self._warnings = bundle.warnings
        self._repeats = Repeats()
        self._counted: dict[str, tuple[list[Place], str]] = {}
        orgs, sessions = bundle.records("orgs"), bundle.records("academicSessions")
        self._org = school_org(orgs, bundle.file("orgs"), school, known)
        self._sessions = Sessions(sessions)
        for record in orgs:
            self._tell_of_status(record, "org.to-be-deleted")
        for record in sessions:
            self._tell_of_status(record, "session.to-be-deleted")
        self._users: dict[str, Record] = {}
        self._students: dict[str, list[_Enrolment]] = {}
        self._teachers: dict[str, list[tuple[Record, date | None]]] = {}
        self._enrolled: set[str] = set()
        self._told: set[str] = set()  # users of whom an error says why they are not entered
        self._had_a_role: set[str] = set()
        self._left: set[str] = set()  # users of whom an enrollment has ended, or is of another school year
        self._hired: dict[str, date] = {}
        self._guardian_rows: dict[str, dict[str, object] | None] = {}

    def result(self) -> RosterFile:
        self._read_users()
        records = self._bundle.records("classes")
        for record in records:
            self._tell_of_status(record, "class.to-be-deleted")
        classes = map_classes(records, self._org, self._sessions, self._today)
        self._errors += classes.errors
        if classes.elsewhere is not None:
            hint = "no class of the file names this school in schoolSourcedId; they were passed over"
            self._count(classes.elsewhere.place, "class.elsewhere", hint)
        for record in classes.unlike:
            self._count(record.place, "class.not-homeroom", "titled like a class, but no homeroom, as others are; it was passed over")
        for record in classes.joined:
            hint = "a row of the same class and year stands above; both were read as one class, as programs write one for each term"
            self._count(record.place, "class.several-rows", hint)
        for record in classes.untitled:
            self._count(record.place, "class.title-unread", "not titled like a class, as others are: a group for lessons, passed over")
        if classes.over is not None:
            record, year, ended = classes.over
            hint = f"the newest school year of the file is {year}/{year + 1}, which ended on {ended:%d.%m.%Y}: is this the right export?"
            self._count(record.place, "year.over", hint)
        for record, is_coming in classes.other_years:
            hint = "a class of another school year than the one that is read; it was passed over, with the pupils who are in no other"
            self._count(record.place, COMING_YEAR if is_coming else "class.other-year", hint)
        self._read_enrolments(classes)
        people = self._people()
        self._demographics = self._read_demographics(people)
        chosen = {user: self._chosen(user) for user in self._students if user in people and people[user].is_pupil}
        for user, enrolments in self._students.items():
            if user in people and user not in chosen:
                hint = "enrolled as student, and by the role no student of this school; the enrollment was passed over"
                for enrolment in enrolments:
                    self._count(enrolment.record.place, "enrollment.not-a-pupil", hint)
        class_rows = self._classes(classes, people, chosen)
        kept = {row.place for row in class_rows}
        staff = [self._member(user, person.staff) for user, person in people.items() if person.staff]
        pupils = self._pupils(people, chosen, classes, kept)
        counts = {
            "classes": ("classes", classes.rows),
            "staff": ("users", len(staff)),
            "pupils": ("users", sum(person.is_pupil for person in people.values())),
            "guardians": ("users", len(self._guardian_rows)),
        }
        if isinstance(self._bundle, Merged):
            return self._changed(staff, pupils, class_rows, classes)
        if not any(rows for _, rows in counts.values()):
            text = "It holds no class and no person of this school."
            raise FileRefused("file.empty", text, "Export classes, users and enrollments too.", file=self._bundle.name)
        return RosterFile(
            pupils=tuple(pupils),
            staff=tuple(row for row in staff if row is not None),
            classes=tuple(class_rows),
            errors=tuple(self._errors),
            warnings=(*self._warnings, *self._counted_warnings()),
            detected=tuple(self._detected(kind, source, rows) for kind, (source, rows) in counts.items() if rows),
            format="oneroster",
            export_ids=tuple(self._export_ids(class_rows, classes)),
        )

    def _changed(
        self, staff: Sequence[StaffRow | None], pupils: Sequence[PupilRow], class_rows: Sequence[ClassRow], classes: Classes
    ) -> RosterFile:
        """The rows that the changes speak of; the others are as they were."""
        changed_staff = tuple(row for row in staff if row is not None and row.place.file)
        changed_pupils = tuple(row for row in pupils if row.place.file)
        changed_classes = tuple(row for row in class_rows if row.place.file)
        in_classes = {error.row for error in self._errors if error.file == self._bundle.file("classes")}
        of_people = {(error.file, error.row) for error in self._errors if error.file != self._bundle.file("classes")}
        counts = {
            "classes": ("classes", len(changed_classes) + len(in_classes)),
            "staff": ("users", len(changed_staff)),
            "pupils": ("users", len(changed_pupils) + len(of_people)),
        }
        return RosterFile(
            pupils=changed_pupils,
            staff=changed_staff,
            classes=changed_classes,
            errors=tuple(self._errors),
            warnings=(*self._warnings, *self._counted_warnings()),
            detected=tuple(self._detected(kind, source, rows) for kind, (source, rows) in counts.items() if rows),
            format="oneroster",
            export_ids=tuple(self._export_ids(class_rows, classes)),
        )

    def _export_ids(self, class_rows: Sequence[ClassRow], classes: Classes) -> Iterable[ExportId]:
        """What later changes may refer to."""
        kept = {row.place: row for row in class_rows}
        if self._org != self._school:  # our own files call the school by our ID, which tells nothing of what its own program calls it
            yield ExportId("org", self._org, self._school)
        for session, year in self._sessions.years.items():
            yield ExportId("session", session, str(year))
        for key, mapped in classes.mapped.items():
            row = kept.get(mapped.record.place)
            if row is not None:
                yield ExportId("class", key, f"{row.school_year}/{row.school_year + 1}/{row.grade}/{row.letter}")

    def _detected(self, kind: Any, source: str, rows: int) -> Detected:
        encoding, delimiter = self._bundle.detected[source]
        return Detected(self._bundle.file(source), None, kind, encoding, delimiter, rows)

    # -- the files -------------------------------------------------------------------------------------------------------------------------

    def _read_users(self) -> None:
        for record in self._bundle.records("users"):
            user = record["sourcedId"]
            self._tell_of_status(record, "user.to-be-deleted")
            if record.is_too_long:
                self._error(record.place, None, "row.too-long", TOO_LONG)
                self._told.add(user)
            elif not user:
                self._error(record.place, "sourcedId", "cell.blank", "this column must be filled in every row")
            elif (first := self._users.setdefault(user, record)) is not record:
                if (joined := _in_both_orgs(first, record)) is not None:
                    self._users[user] = joined
                else:
                    self._error(record.place, "sourcedId", "row.duplicate", f"one row for each id; row {first.place.row} has it")

    def _read_enrolments(self, classes: Classes) -> None:
        without_class: list[Record] = []
        for record in self._bundle.records("enrollments"):
            key, user, role = record["classSourcedId"], record["userSourcedId"], record["role"].casefold()
            self._tell_of_status(record, "enrollment.to-be-deleted")
            if record.is_too_long:
                self._error(record.place, None, "row.too-long", TOO_LONG)
                self._told.add(user)
                continue
            if key in classes.passed_over or record["schoolSourcedId"] not in ("", self._org):
                if key in classes.elsewhen:
                    self._left.add(user)
                if key in classes.mapped:
                    hint = "the class is this school's, and the enrollment names another one in schoolSourcedId; it was passed over"
                    self._count(record.place, "enrollment.elsewhere", hint)
                continue
            if (days := self._days(record, user)) is None:
                continue
            begins, ends = days
            if ends is not None and ends < self._today:
                self._count(record.place, "enrollment.ended", "the enrollment has ended; it was passed over")
                self._left.add(user)
                continue
            if key not in classes.mapped and key not in classes.rejected:
                without_class.append(record)
                continue
            if user not in self._users:
                if user not in self._told:
                    self._error(record.place, "userSourcedId", "enrollment.user-unknown", "the id of a person in users.csv")
                continue
            self._enrolled.add(user)
            if role == STUDENT:
                if key in classes.mapped:
                    self._students.setdefault(user, []).append(_Enrolment(record, classes.mapped[key], begins))
                elif user not in self._students:
                    self._students[user] = []
            elif role == "teacher":
                self._teachers.setdefault(key, []).append((record, begins))
                self._was_there(user, begins)
            else:
                self._count(record.place, "enrollment.role-unread", "a role other than student and teacher; it was passed over")
        for record in without_class:
            self._without_class(record)

    def _without_class(self, record: Record) -> None:
        """Keeps out only a pupil who is in no class that is there: programs leave groups for lessons out of classes.csv alone."""
        user = record["userSourcedId"]
        if record["role"].casefold() == STUDENT and not self._students.get(user):
            self._error(record.place, "classSourcedId", "enrollment.class-unknown", "the id of a class in classes.csv")
            self._told.add(user)
        else:
            self._count(record.place, "enrollment.class-unknown", "the class is not in classes.csv; the enrollment was passed over")

    def _tell_of_status(self, record: Record, code: str) -> None:
        """In a whole file the status means nothing, yet who wrote it may have meant something (docs/decisions/oneroster.md)."""
        if isinstance(self._bundle, Bundle) and record["status"].casefold() in GONE:
            hint = "the status says that the row is to be deleted, which means nothing in a file that is bulk: it was read like any other."
            self._count(record.place, code, f"{hint} Leave the row out, give the enrollment an endDate, or set enabledUser to false")

    def _days(self, record: Record, user: str) -> tuple[date | None, date | None] | None:
        """The first and the last day of an enrollment or a role; None if one cannot be read, which is said."""
        days: list[date | None] = []
        for column in ("beginDate", "endDate"):
            try:
                days.append(day_of(record[column]))
            except ValidationError as error:
                wrong = error.errors(include_url=False, include_input=False)[0]
                self._error(record.place, column, wrong["type"], wrong["msg"])
                self._told.add(user)
        return (days[0], days[1]) if len(days) == 2 else None

    def _was_there(self, user: str, day: date | None) -> None:
        if day is not None:
            self._hired[user] = min(day, self._hired.get(user, day))

    def _people(self) -> Mapping[str, Person]:
        """Who the users are, those of other schools and those who are nobody here left out."""
        here, anywhere, primary = self._roles()
        people: dict[str, Person] = {}
        for user, record in self._users.items():
            enabled = truth(record["enabledUser"])
            if enabled is False:
                self._count(record.place, "user.disabled", "enabledUser is false: the person was passed over")
                self._told.add(user)
                continue
            if enabled is None and record["enabledUser"]:
                self._count(record.place, "user.enabled-unknown", "enabledUser is neither true nor false; the person was read as enabled")
            person = person_of(here.get(user, ()), anywhere.get(user, ()), primary.get(user, ()))
            if person.unknown:
                self._count(record.place, "role.unknown", f"a role that is not read here; it was passed over. Read are {ROLES_TOLD}")
            if person.is_pupil and person.staff:
                column = None if "roles" in self._bundle.files else "role"
                self._error(record.place, column, "role.conflicting", "a pupil or a member of staff, not both at once")
                self._told.add(user)
                continue
            if not anywhere.get(user) and user not in self._had_a_role:
                self._count(record.place, "role.missing", "the person has no role and was passed over")
            elif anywhere.get(user) and not here.get(user) and not person.guardian:
                self._count(record.place, "user.elsewhere", "the person belongs to another org than this school and was passed over")
            if not person.is_nobody:
                people[user] = person
        return people

    def _roles_in(self, record: Record) -> list[str]:
        """The roles in a cell, without case and signs. The standard has one in each; programs that know of several list them."""
        roles = [role for part in record.listed("role") for one in OTHER_COMMAS.split(part) if (role := folded(one))]
        if len(roles) > 1:
            hint = "several roles in one cell, where OneRoster has one, and in 1.2 a row in roles.csv for each: all of them were read"
            self._count(record.place, "role.several", hint)
        return roles

    def _roles(self) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[str, list[str]]]:
        """The roles of each user in this school, in any org, and those primary in this school; in 1.2 they have a file of their own."""
        here: dict[str, list[str]] = {}
        anywhere: dict[str, list[str]] = {}
        primary: dict[str, list[str]] = {}
        if "roles" not in self._bundle.files:
            for user, record in self._users.items():
                if roles := self._roles_in(record):
                    anywhere[user] = roles
                    orgs = record.listed("orgSourcedIds") or record.listed("primaryOrgSourcedId") or [self._org]
                    if any(self._org in (one, *map(str.strip, OTHER_COMMAS.split(one))) for one in orgs):
                        here[user] = roles
            return self._with_enrolled(here, anywhere), anywhere, primary
        for record in self._bundle.records("roles"):
            self._tell_of_status(record, "role.to-be-deleted")
            user, roles = record["userSourcedId"], self._roles_in(record)
            if record.is_too_long:
                self._error(record.place, None, "row.too-long", TOO_LONG)
            elif user not in self._users:
                if user not in self._told:
                    self._error(record.place, "userSourcedId", "role.user-unknown", "the id of a person in users.csv")
            elif not roles:
                self._error(record.place, "role", "cell.blank", "this column must be filled in every row")
            else:
                if (days := self._days(record, user)) is None:
                    continue
                begins, ends = days
                if ends is not None and ends < self._today:
                    self._count(record.place, "role.ended", "the role has ended; it was passed over")
                    self._had_a_role.add(user)
                    continue
                anywhere.setdefault(user, []).extend(roles)
                org = record["orgSourcedId"] or self._users[user]["primaryOrgSourcedId"] or self._org
                if org == self._org:
                    here.setdefault(user, []).extend(roles)
                    if record["roleType"].casefold() == "primary":
                        primary.setdefault(user, []).extend(roles)
                if (org == self._org or user in self._enrolled) and any(role in STAFF for role in roles):
                    self._was_there(user, begins)
        return self._with_enrolled(here, anywhere), anywhere, primary

    def _with_enrolled(self, here: dict[str, list[str]], anywhere: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """Adds whoever is enrolled here and has no role in this school: as what they are elsewhere, but for an office there."""
        for user, roles in anywhere.items():
            if user in here or user not in self._enrolled:
                continue
            if any(role in OFFICES for role in roles):
                hint = "enrolled in this school, with an office in another org alone: the person was read as a teacher"
                self._count(self._users[user].place, "role.office-elsewhere", hint)
            here[user] = ["teacher" if role in OFFICES else role for role in roles]
        return here

    def _read_demographics(self, people: Mapping[str, Person]) -> Mapping[str, Record]:
        found: dict[str, Record] = {}
        for record in self._bundle.records("demographics"):
            user = record["userSourcedId"] or record["sourcedId"]
            self._tell_of_status(record, "demographics.to-be-deleted")
            if user not in self._users and user not in self._told:
                hint = "the row names nobody in users.csv by sourcedId or userSourcedId; it was passed over"
                self._count(record.place, "demographics.user-unknown", hint)
            if user in people:
                if record.is_too_long:
                    self._error(record.place, None, "row.too-long", TOO_LONG)
                    self._told.add(user)
                elif (first := found.setdefault(user, record)) is not record and _details(first) != _details(record):
                    self._error(record.place, "sourcedId", "row.duplicate", f"one row for each id; row {first.place.row} has it")
                    self._told.add(user)  # nobody knows which of the two birthdays is the right one
        return found

    # -- classes and staff -----------------------------------------------------------------------------------------------------------------

    def _classes(self, classes: Classes, people: Mapping[str, Person], chosen: Mapping[str, _Enrolment | None]) -> list[ClassRow]:
        seats: dict[str, int] = {}
        for enrolment in chosen.values():
            if enrolment is not None:
                key = enrolment.mapped.record["sourcedId"]
                seats[key] = seats.get(key, 0) + 1
        rows: list[ClassRow] = []
        for mapped in classes.single():
            record = mapped.record
            values: dict[str, object] = {
                "place": record.place,
                "grade": str(mapped.label.grade),
                "letter": mapped.label.letter,
                "school_year": str(mapped.year),
                "declared_pupils": str(seats.get(record["sourcedId"], 0)),
                "class_teacher_id": self._class_teacher(mapped, classes, people),
            }
            row = self._validated(ClassRow, values, "classes", record.place, {})
            if row is not None and self._is_single(row, "classes"):
                rows.append(row)
        return rows

    def _class_teacher(self, mapped: Mapped, classes: Classes, people: Mapping[str, Person]) -> str | None:
        """The primary teacher; of a homeroom that says nothing of primary teachers, the only one."""
        record, ids = mapped.record, [key for key, one in classes.mapped.items() if one is mapped]
        enrolled = [one for key in ids for one in self._teachers.get(key, ())]
        # Who will teach the class next is not its teacher yet.
        since = min((begins or date.min for _, begins in enrolled), default=date.min)
        teaching = [record for record, begins in enrolled if begins is None or begins <= max(self._today, since)]
        teachers = [one for one in teaching if one["userSourcedId"] in people and people[one["userSourcedId"]].staff]
        primary = [one for one in teachers if truth(one["primary"])]
        if len({one["userSourcedId"] for one in primary}) > 1:
            if len({one["classSourcedId"] for one in primary}) > 1:
                hint = "several rows are one class by title and year, and their primary teachers differ: no class teacher was read"
                self._count(record.place, "class-teacher.several", hint)
                return None
            self._error(primary[1].place, "primary", "enrollment.primary-repeated", "one primary teacher of each class")
        if primary:
            return primary[0]["userSourcedId"]
        is_only = len({one["userSourcedId"] for one in teachers}) == 1 and not any(one["primary"] for one in teachers)
        return teachers[0]["userSourcedId"] if is_only and record["classType"].casefold() == "homeroom" else None

    def _member(self, user: str, role: str | None) -> StaffRow | None:
        record = self._users[user]
        word, position = STAFF[role or ""]
        hired_on = min(self._hired.get(user, self._today), self._today)
        values = {**self._named(record), "position": position, "role": word, "hired_on": hired_on, "place": record.place}
        row = self._validated(StaffRow, values | self._reached(record), "staff", record.place, {})
        return row if row is not None and self._is_single(row, "staff") else None

    # -- families --------------------------------------------------------------------------------------------------------------------------

    def _chosen(self, user: str) -> _Enrolment | None:
        """The class of a pupil with several: the one that began last, and before any has, the one that begins next.

        Two that begin on one day are an error.
        """
        enrolments = sorted(self._students[user], key=lambda one: (one.begins or date.min, -(one.record.place.row)))
        if not enrolments:
            return None
        begun = [one for one in enrolments if one.begins is None or one.begins <= self._today]
        last = begun[-1] if begun else [one for one in enrolments if one.begins == enrolments[0].begins][-1]
        for other in enrolments:
            if other.begins is not None and other.begins > max(self._today, last.begins or date.min) and other.mapped is not last.mapped:
                hint = "the enrollment in another class begins later; it was passed over: import it again from that day on"
                self._count(other.record.place, "enrollment.begins-later", hint)
            if other.begins == last.begins and other.mapped is not last.mapped:
                hint = "one class of a pupil at a time: end the enrollment in the other, or leave it out"
                self._error(other.record.place, "classSourcedId", "enrollment.ambiguous", hint)
                self._told.add(user)
        # Of a class in which a program enrols for each term, the first one tells since when.
        same = [one.begins for one in enrolments if one.mapped is last.mapped and one.begins is not None]
        return last._replace(begins=min(same, default=None))

    def _pupils(
        self, people: Mapping[str, Person], chosen: Mapping[str, _Enrolment | None], classes: Classes, kept: set[Place]
    ) -> list[PupilRow]:
        pupils = [user for user, person in people.items() if person.is_pupil]
        agents = self._agents(people, pupils)
        rows: list[PupilRow] = []
        for user in pupils:
            enrolment = chosen.get(user)
            if user in self._told:
                continue
            place = self._users[user].place
            if enrolment is None:
                hint = "an enrollment as student in a class that is read: a homeroom, if there are any, of the year that is read"
                if user in self._left:
                    continue
                if user in chosen:
                    self._error(place, "sourcedId", "enrollment.class-rejected", "correct the row of the pupil's class in classes.csv")
                else:
                    self._error(place, "sourcedId", "enrollment.missing", hint)
            elif enrolment.mapped.record.place not in kept:
                self._error(place, "sourcedId", "enrollment.class-rejected", "correct the row of the pupil's class in classes.csv")
            elif (row := self._pupil(user, enrolment, agents.get(user, []), people)) is not None:
                rows.append(row)
        entered = {agent for user in pupils for agent in agents.get(user, [])}
        for user, person in people.items():
            if person.guardian and not person.staff and not person.is_pupil and user not in entered:
                hint = "no pupil of this school names the guardian in agentSourcedIds; the guardian was passed over"
                self._count(self._users[user].place, "guardian.without-pupil", hint)
        return rows

    def _pupil(self, user: str, enrolment: _Enrolment, agents: list[str], people: Mapping[str, Person]) -> PupilRow | None:
        record, demographics = self._users[user], self._demographics.get(user)
        born_on = day_text(demographics["birthDate"]) if demographics is not None else ""
        if demographics is None or not born_on:
            hint = "a row for each pupil in demographics.csv, with birthDate"
            place = record.place if demographics is None else demographics.place
            self._error(place, "sourcedId" if demographics is None else "birthDate", "birth-date.missing", hint)
            return None
        mapped = enrolment.mapped
        values: dict[str, object] = {
            **self._named(record),
            "place": record.place,
            "born_on": born_on,
            "class_label": str(mapped.label),
            "class_year": mapped.year,
            "enrolled_on": enrolment.begins or self._sessions.begins(mapped.year),
            "email": _said(record["email"]) or None,
            "guardians": tuple({**row, "number": number} for number, row in enumerate(self._guardians(record, agents, people), 1)),
        }
        if (sex := self._sex(user)) is not None:
            values["sex"] = sex
        places = {"born_on": demographics.place, "enrolled_on": enrolment.record.place}
        row = self._validated(PupilRow, values, "pupils", record.place, places)
        return row if row is not None and self._is_single(row, "pupils") else None

    def _sex(self, user: str) -> str | None:
        demographics = self._demographics.get(user)
        if demographics is None or not (word := folded(demographics["sex"])):
            return None
        if word not in SEXES:
            self._count(demographics.place, "sex.unknown", "neither male nor female; the sex was left blank")
        return SEXES.get(word)

    def _agents(self, people: Mapping[str, Person], pupils: Iterable[str]) -> Mapping[str, list[str]]:
        """Each pupil's guardians: those whom the pupil's row names, and those whose rows name the pupil."""
        agents: dict[str, list[str]] = {}
        for user in pupils:
            record = self._users[user]
            for agent in self._agents_in(record):
                if agent not in self._users:
                    self._count(record.place, "guardian.unknown", "agentSourcedIds names somebody who is not in users.csv; passed over")
                elif agent not in people or not people[agent].guardian:
                    self._count(record.place, "guardian.other-role", "agentSourcedIds names somebody who is no guardian; passed over")
                elif agent not in agents.setdefault(user, []):
                    agents[user].append(agent)
        wanted = {user for user, person in people.items() if person.is_pupil}
        for agent, person in people.items():
            if person.guardian:
                for user in self._agents_in(self._users[agent]):
                    if user in wanted and agent not in agents.setdefault(user, []):
                        agents[user].append(agent)
        return agents

    def _agents_in(self, record: Record) -> list[str]:
        """The ids in the list; where one is nobody's, signs that programs write instead of commas part it, too."""
        ids = [(one,) if one in self._users else OTHER_COMMAS.split(one) for one in record.listed("agentSourcedIds")]
        return [one.strip() for part in ids for one in part if one.strip()]

    def _guardians(self, pupil: Record, agents: list[str], people: Mapping[str, Person]) -> list[dict[str, object]]:
        """The good rows of a pupil's guardians, relatives last; a row has room for two."""
        ordered = sorted(agents, key=lambda agent: people[agent].guardian == "relative")
        rows = [row for agent in ordered if (row := self._guardian(agent, people[agent])) is not None]
        if len(rows) > _MOST_GUARDIANS:
            hint = "a pupil has more than two guardians; the first two were read: link the others with roster.link-guardian"
            self._count(pupil.place, "guardian.too-many", hint)
        return rows[:_MOST_GUARDIANS]

    def _guardian(self, user: str, person: Person) -> dict[str, object] | None:
        """A guardian's row, read once however many children there are; None if it is wrong."""
        if user not in self._guardian_rows:
            record, sex = self._users[user], self._sex(user)
            told = folded(record[KINSHIP])
            if person.guardian == "parent" and sex is None and told not in KINSHIPS:
                hint = "the parent's sex is not in demographics.csv; neither mother nor father, but another representative was entered"
                self._count(record.place, "kinship.unknown", hint)
            words = dict(zip(("kinship", "legal_representative"), kinship(person.guardian or "", sex), strict=True))
            if told in KINSHIPS:
                words["kinship"] = told
            values: dict[str, object] = {**self._named(record), **self._reached(record), **words}
            row = self._validated(GuardianRow, {**values, "number": 1}, "pupils", record.place, {})
            self._guardian_rows[user] = None if row is None else values
        return self._guardian_rows[user]

    # -- what rows have in common ----------------------------------------------------------------------------------------------------------

    def _named(self, record: Record) -> dict[str, object]:
        cells = {
            "external_id": record["sourcedId"],
            "last_name": record["familyName"],
            "first_name": record["givenName"],
            "patronymic": _said(record["middleName"]),
        }
        if not record["middleName"] and _PATRONYMIC.search(record["givenName"]):
            hint = "givenName seems to hold a patronymic too, which belongs into middleName; both were read as the first name"
            self._count(record.place, "patronymic.in-first-name", hint)
        return {field: cell for field, cell in cells.items() if cell}

    def _reached(self, record: Record) -> dict[str, object]:
        cells = {"email": _said(record["email"]), "phone": _said(record["phone"]) or _said(record["sms"])}
        return {field: cell for field, cell in cells.items() if cell}

    def _validated(self, row: type[Row], values: dict[str, object], kind: str, place: Place, places: Mapping[str, Place]) -> Row | None:
        try:
            return row.model_validate({field: value for field, value in values.items() if value is not None})
        except ValidationError as error:
            for wrong in error.errors(include_url=False, include_input=False):
                field = str(wrong.get("ctx", {}).get("field") or (wrong["loc"][-1] if wrong["loc"] else ""))
                if wrong["type"] == "date.order":  # a program knows when an enrollment begins, a birthday was typed
                    field = "born_on"
                is_blank = wrong["type"] == "missing"
                code, hint = ("cell.blank", "this column must be filled in every row") if is_blank else (wrong["type"], wrong["msg"])
                self._error(places.get(field, place), TITLES.get((kind, field)), code, hint)
            return None

    def _is_single(self, row: PupilRow | StaffRow | ClassRow, kind: str) -> bool:
        repeats = list(self._repeats.of_row(row))
        for repeat in repeats:
            self._error(row.place, TITLES.get((kind, repeat.field)), repeat.code, repeat.hint)
        return not repeats

    def _error(self, place: Place, column: str | None, code: str, hint: str) -> None:
        if place != NOWHERE:
            self._errors.append(Finding(place.file, place.sheet, place.row, column, code, hint))

    def _count(self, place: Place, code: str, hint: str) -> None:
        if place == NOWHERE:
            return
        self._counted.setdefault(code, ([], hint))[0].append(place)

    def _counted_warnings(self) -> Iterable[Finding]:
        for code, (found, hint) in self._counted.items():
            places = list(dict.fromkeys(found))
            rows = ", ".join(str(place.row) for place in places[:_TOLD_ROWS]) + (", …" if len(places) > _TOLD_ROWS else "")
            more = f"; it is so in {len(places)} rows: {rows}" if len(places) > 1 else ""
            yield Finding(places[0].file, None, places[0].row, None, code, hint + more)


def _said(cell: str) -> str:
    return "" if says_nothing(cell) else cell


def _details(demographics: Record) -> tuple[str, str]:
    return demographics["birthDate"], demographics["sex"]


def _in_both_orgs(first: Record, second: Record) -> Record | None:
    """One row of a person of whom a program writes a row for each org; None where the rows differ in more than that, or in nothing."""
    orgs = [[org for column in _OF_ORGS for org in record.listed(column)] for record in (first, second)]
    rest = [{column: cell for column, cell in record.cells.items() if column not in (*_OF_ORGS, "status")} for record in (first, second)]
    if rest[0] != rest[1] or set(orgs[1]) <= set(orgs[0]):
        return None
    return Record(first.place, {**first.cells, "orgSourcedIds": ",".join(dict.fromkeys([*orgs[0], *orgs[1]]))}, is_too_long=False)
