"""Makes the import plan: looks at each row of a file beside what is known, and decides what it asks for.

Rows match by external id alone. Who has the same name and birth date under another id, a patronymic perhaps left out of
either, goes to review and is never merged (twins!). Who has the id of somebody else is rejected: numbers that begin anew in
each class would turn one child into another. A blank cell leaves the value, a missing row deletes nothing, and a row that
asks for nothing new is `unchanged` (DOMAIN 4). Nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from contracts.consent import SubjectKind
from contracts.roster import ImportedTable, LegalBasis, Position, Relation, ReviewReason
from roster.book import ClassName, Pages, changed_fields, may_be_one, same_name
from roster.domain.ages import age_on
from roster.files import ClassLabel, ClassRow, Departure, Finding, GuardianRow, Place, PupilRow, RosterFile, StaffRow
from roster.files.cells import is_written_alike, school_year_on
from roster.files.rows import Kind
from roster.files.words import ROLES, folded
from roster.importing.departures import settling
from roster.importing.plan import (
    Plan,
    PlannedClass,
    PlannedConsent,
    PlannedExportId,
    PlannedGuardian,
    PlannedPupil,
    PlannedStaff,
    PutAside,
    details_in,
    finding,
    row_of,
)
from roster.importing.putting_aside import as_json
from roster.importing.same_numbers import SameNumbers
from roster.importing.same_parents import SameParents

# What the template says of a job and of kinship is finer than what an event needs to say.
_POSITIONS: Mapping[str, Position] = {
    "director": Position.DIRECTOR,
    "administrator": Position.ADMINISTRATOR,
    "class_teacher": Position.TEACHER,
    "teacher": Position.TEACHER,
}
_RELATIONS: Mapping[str, Relation] = {
    "mother": Relation.MOTHER,
    "father": Relation.FATHER,
    "grandparent": Relation.GRANDPARENT,
    "guardian": Relation.GUARDIAN,
    "trustee": Relation.GUARDIAN,
}
OTHER_PERSON = "external-id.other-person"
_OTHER_ID = "compare the ID; somebody else needs another one, and who is the same with both corrected is imported with one of them first"
_AGES = range(4, 71)  # who is enrolled at another age was written down wrongly, or in the wrong century
_AHEAD = timedelta(days=366)  # enrolments and hirings are entered before the school year, and not before the one after
_NO_BASIS = (
    "consent.missing",
    "the number of a consent, or import with another legal basis for rows without one, like --legal-basis law:273-FZ (gate 13→14)",
)


def plan_import(
    file: RosterFile, pages: Pages, legal_basis: LegalBasis | None, today: date, *, compared: bool = False, overrule: bool = False
) -> Plan:
    """Plans a file against what is known of the school on a day there. Changes nothing.

    `compared`: somebody has said whose the rows are, so none is put aside. `overrule`: what was changed by hand gives way.
    """
    return _Planning(file, pages, legal_basis, today, compared=compared, overrule=overrule).plan()


class _Planning:
    def __init__(
        self, file: RosterFile, pages: Pages, legal_basis: LegalBasis | None, today: date, *, compared: bool, overrule: bool
    ) -> None:
        self._file = file
        self._pages = pages
        self._legal_basis = legal_basis
        self._today = today
        self._compared = compared
        self._overrule = overrule
        self._conflicts: set[Place] = set()
        self._rejected = list(file.errors)
        self._warnings = [_told(warning) for warning in file.warnings]
        self._unchanged: list[Place] = []
        self._without_teacher: list[Place] = []
        self._without_class: list[Place] = []
        self._without_guardian: list[Place] = []
        self._in_part: list[Place] = []
        self._aside: list[PutAside] = []
        self._new_staff = {row.external_id for row in file.staff}
        self._with_teacher: set[ClassName] = {_name(row) for row in file.classes if row.class_teacher_id is not None}
        self._new_classes = {_name(row) for row in file.classes}
        guardians = [guardian for row in file.pupils for guardian in row.guardians]
        self._consenting = {guardian.external_id for guardian in guardians if guardian.external_id and guardian.consent_number}
        self._names = {class_id: name for name, class_id in pages.class_ids().items()}
        self._bearing = self._classes_by_label()
        self._year_assumed: list[Place] = []
        self._seen: dict[str, list[tuple[Place, Mapping[str, str]]]] = {}
        self._other_role: list[Place] = []
        self._numbers = SameNumbers(file, pages)
        self._parents = SameParents(file, pages)
        self._same_parents: list[Place] = []
        self._read_ahead()

    def plan(self) -> Plan:
        classes = [planned for row in self._file.classes if (planned := self._class(row)) is not None]
        staff = [planned for row in self._file.staff if (planned := self._member(row)) is not None]
        pupils = [planned for row in self._file.pupils if (planned := self._pupil(row)) is not None]
        for departure in self._file.departures:
            why = settling(departure, self._pages)
            if why is None:
                self._leave(departure.place)
            else:
                self._put_aside(departure, ReviewReason.DEPARTURE, why)
        self._warn_of_all(
            self._without_teacher, "the class teacher is not entered yet, as in {count} rows; import the staff too (staff.unknown)"
        )
        self._warn_of_all(
            self._without_class,
            "there is no such class to be class teacher of, as in {count} rows, which are entered without it: import the classes, then this"
            " file again (class.not-declared)",
        )
        self._warn_of_all(
            self._other_role,
            "another role than that under which the person is entered{rows}; the entered one stays. To change it, dismiss the person and"
            " hire the person anew (roster.dismiss-staff, roster.hire-staff) (role.differs)",
        )
        self._warn_of_all(
            self._year_assumed,
            "classes of several school years have this name{rows}, and this year's is meant, or else the newest; fill in the school year"
            " («Учебный год») beside the class where it is another one (class.year-assumed)",
        )
        self._warn_of_all(
            self._without_guardian,
            "a pupil without any guardian{rows}: until one is linked, or the reason for none is recorded (roster.link-guardian,"
            " roster.record-no-guardian), the pupil does not count in step 14 and gets no slip (guardian.none)",
        )
        self._warn_of_all(
            self._same_parents,
            "a parent without an ID has the name and the e-mail of a parent in another row{rows}, and becomes another person: if they are"
            " one, as brothers' and sisters' parents are, give the parent one ID in all these rows (guardian.alike)",
        )
        self._warn_of_all(
            self._in_part,
            "of a row that counts as rejected the pupil is entered all the same{rows}, without the guardian whose cells are wrong"
            " (row.in-part)",
        )
        rejected = {row_of(error) for error in self._rejected}
        return Plan(
            legal_basis=self._legal_basis,
            classes=tuple(classes),
            staff=tuple(staff),
            pupils=tuple(pupils),
            unchanged=sum(row_of(place) not in rejected for place in self._unchanged),
            review=len(self._aside),
            rejected=tuple(self._rejected),
            warnings=tuple(self._warnings),
            total_rows=sum(table.rows for table in self._file.detected if table.kind != "guardians") + len(self._file.departures),
            tables=tuple(
                ImportedTable(
                    file=table.file, sheet=table.sheet, kind=table.kind, encoding=table.encoding, delimiter=table.delimiter, rows=table.rows
                )
                for table in self._file.detected
            ),
            format=self._file.format,
            export_ids=tuple(
                PlannedExportId(kind=one.kind, external_id=one.external_id, stands_for=one.stands_for) for one in self._file.export_ids
            ),
            put_aside=tuple(self._aside),
            conflict=sum(row_of(place) not in rejected for place in self._conflicts),
        )

    def _read_ahead(self) -> None:
        """Whatever the rows will ask for, a table at a time."""
        pages, file = self._pages, self._file
        ids = {
            SubjectKind.STAFF: {row.external_id for row in file.staff} | {row.class_teacher_id for row in file.classes},
            SubjectKind.PUPIL: {row.external_id for row in file.pupils},
            SubjectKind.GUARDIAN: {guardian.external_id for row in file.pupils for guardian in row.guardians},
        }
        known: dict[SubjectKind, list[str]] = {}
        for kind, external_ids in ids.items():
            given = [external_id for external_id in external_ids if external_id is not None]
            pages.expect_external_ids(kind, given)
            known[kind] = [person for external_id in given if (person := pages.by_external_id(kind, external_id)) is not None]
        pages.guardianships.expect(known[SubjectKind.PUPIL])
        linked = [guardian for pupil in known[SubjectKind.PUPIL] for guardian in pages.guardians(pupil)]
        pages.expect_people([*(person for people in known.values() for person in people), *linked])
        pages.classes.expect(pages.class_ids().values())
        pages.expect_alike(pages.likeness(details_in(row)) for row in file.pupils)
        people = [*file.staff, *file.pupils, *(guardian for row in file.pupils for guardian in row.guardians)]
        pages.expect_numbers(row.consent_number for row in people if row.consent_number is not None)

    # ---- classes ------------------------------------------------------------------------------------------------------

    def _class(self, row: ClassRow) -> PlannedClass | None:
        name = _name(row)
        known = self._known_class(name)
        teacher = row.class_teacher_id
        person = self._pages.by_external_id(SubjectKind.STAFF, teacher)
        if teacher is not None and person is None and teacher not in self._new_staff:
            self._without_teacher.append(row.place)
            self._with_teacher.discard(name)
            teacher = None
        if known is not None and row.shift is not None and known["shift"] not in (None, row.shift):
            hint = f"the class is created in shift {known['shift']} already: leave that shift"
            return self._reject(row.place, "classes", "shift", "class.other-shift", hint)
        headcount = row.declared_pupils
        if self._file.format == "oneroster" and known is not None:
            # An export counts who is entered. What was declared by hand stays, until there are more than are entered here already.
            declared = known["headcount"] or 0
            headcount = headcount if headcount > max(declared, len(self._pages.pupils_of(known["class_id"]))) else declared
        teaches = teacher is None or (known is not None and person is not None and known["teacher"] == person)
        if known is not None and known["shift"] is not None and (known["headcount"] or 0) == headcount and teaches:
            return self._leave(row.place)
        return PlannedClass(
            place=row.place,
            outcome="created" if known is None else "updated",
            name=name,
            shift=row.shift or (known["shift"] if known else None) or 1,
            headcount=headcount,
            teacher=teacher,
        )

    def _known_class(self, name: ClassName) -> Mapping[str, Any] | None:
        class_id = self._pages.class_ids().get(name)
        return None if class_id is None else self._pages.classes.get(class_id)

    # ---- staff --------------------------------------------------------------------------------------------------------

    def _member(self, row: StaffRow) -> PlannedStaff | None:
        details = details_in(row)
        person = self._pages.by_external_id(SubjectKind.STAFF, row.external_id)
        if self._begins_too_late(row.hired_on, person):
            return self._reject(row.place, "staff", "hired_on", "date.far-in-future", self._a_day_within_a_year())
        if person is not None and self._has_other_names(person, details):
            hint = f"this one is that of {person}, whose last and first names are others: {_OTHER_ID}"
            return self._reject(row.place, "staff", "external_id", OTHER_PERSON, hint)
        returns = person is not None and not self._is_active(person)
        if returns and not self._compared:
            return self._put_aside(row, ReviewReason.DISMISSED, f"this member of staff, {person}, was dismissed: is the person back?")
        if person is not None and (self._file.format == "oneroster" or self._only_names_the_role(person, details)):
            details.pop("position", None)  # what a role is called says less than a position that somebody entered
        if person is not None:
            details = self._without_conflicts(person, details, row.place, "staff")
        if self._is_signed_later(row, row.place, "staff"):
            return None
        if person is not None and not returns and self._has_another_role(row, person):
            self._other_role.append(row.place)
        self._compare_number(row, "staff", person)
        homeroom = self._homeroom(row, person)
        consent = self._consent(row, person)
        if person is not None and not returns and homeroom is None and consent is None and not self._differs(person, details):
            return self._leave(row.place)
        return PlannedStaff(
            place=row.place,
            outcome="created" if person is None else "updated",
            person=person,
            external_id=row.external_id,
            position=_position(row),
            hired_on=row.hired_on,
            details=details,
            consent=consent,
            homeroom=homeroom,
            returns=returns,
        )

    def _has_another_role(self, row: StaffRow, person: str) -> bool:
        entered = (self._pages.people.get(person) or {}).get("position")
        # OneRoster 1.1 has one word for a school's administrators, the director among them.
        is_one_word = self._file.format == "oneroster" and (entered, row.role) == (Position.DIRECTOR, "administrator")
        return entered != _position(row) and not is_one_word

    def _only_names_the_role(self, person: str, details: Mapping[str, str]) -> bool:
        """Whether the position is the word for a role that an export writes where none was entered."""
        return "position" not in (self._pages.details(person) or {}) and folded(details.get("position", "")) in ROLES

    def _homeroom(self, row: StaffRow, person: str | None) -> ClassName | None:
        """The class that the person is to be given; None where that is done, or another row before this one names its teacher."""
        if row.homeroom is None:
            return None
        name = self._homeroom_meant(row.homeroom, person)
        if name is None:
            self._without_class.append(row.place)
            return None
        if name in self._with_teacher:
            return None
        self._with_teacher.add(name)
        known = self._known_class(name)
        given = known is not None and person is not None and known["teacher"] == person
        return None if given else name

    def _homeroom_meant(self, label: ClassLabel, person: str | None) -> ClassName | None:
        """Whose class is one of that name keeps it: the file says no year, so it asks for nothing else."""
        bearing = self._bearing.get(label, [])
        taught = (name for name in bearing if person is not None and (known := self._known_class(name)) and known["teacher"] == person)
        return next(taught, self._meant(label))

    # ---- pupils -------------------------------------------------------------------------------------------------------

    def _pupil(self, row: PupilRow) -> PlannedPupil | None:
        details = details_in(row)
        person = self._pages.by_external_id(SubjectKind.PUPIL, row.external_id)
        if row.born_on > self._today and (person is None or self._differs(person, {"birth_date": details["birth_date"]})):
            return self._reject(row.place, "pupils", "born_on", "date.in-future", self._a_day_that_has_come())
        if self._has_no_age_for_school(row, person, details["birth_date"]):
            hint = "the day of birth of somebody who is 4 to 70 years old on the day of enrolment: compare both days"
            return self._reject(row.place, "pupils", "born_on", "age.out-of-range", hint)
        if self._begins_too_late(row.enrolled_on, person):
            return self._reject(row.place, "pupils", "enrolled_on", "date.far-in-future", self._a_day_within_a_year())
        if person is None and not self._compared and (like := self._a_like(details, row.place)) is not None:
            return self._put_aside(row, ReviewReason.ALIKE, f"a pupil of this name and birth date {like}: compare the two")
        if person is not None and self._is_somebody_else(person, details):
            hint = f"this one is that of {person}, whose name and birth date are others: {_OTHER_ID}"
            return self._reject(row.place, "pupils", "external_id", OTHER_PERSON, hint)
        returns = person is not None and not self._is_active(person)
        if returns and not self._compared:
            return self._put_aside(row, ReviewReason.LEFT, f"this pupil, {person}, has left: is the pupil back?")
        name = self._class_of(row, None if returns else person)
        if name is None:
            if self._is_closed(row):
                hint = "an open class: this one was closed, and its pupils are rows of the class that they went on to"
                return self._reject(row.place, "pupils", "class_label", "class.closed", hint)
            hint = "a class of this school: import the classes first"
            return self._reject(row.place, "pupils", "class_label", "class.not-declared", hint)
        known = self._known_class(name)
        if name not in self._new_classes and known is not None and known["shift"] is None:
            hint = "a class that is created (step 12): pupils are assigned to no other"
            return self._reject(row.place, "pupils", "class_label", "class.not-created", hint)
        if person is not None:
            details = self._without_conflicts(person, details, row.place, "pupils")
        if self._is_signed_later(row, row.place, "pupils"):
            return None
        consent = self._consent(row, person)
        if person is None and consent is None and self._legal_basis is None:
            return self._reject(row.place, "pupils", "consent_number", *_NO_BASIS)
        self._compare_number(row, "pupils", person)
        if person is None and not row.guardians and not _is_of_age(row.born_on, self._today):
            self._without_guardian.append(row.place)
        wrong = len(self._rejected)
        guardians = [planned for guardian in row.guardians if (planned := self._guardian(row, guardian, person)) is not None]
        if person is not None and not returns and consent is None and not guardians and not self._differs(person, details):
            assigned = self._pages.people.get(person)
            if known is not None and assigned is not None and assigned["class_id"] == known["class_id"]:
                return self._leave(row.place)
        if len(self._rejected) > wrong:
            self._in_part.append(row.place)
        return PlannedPupil(
            place=row.place,
            outcome="created" if person is None else "updated",
            person=person,
            external_id=row.external_id,
            name=name,
            birth_date=row.born_on,
            enrolled_on=row.enrolled_on,
            details=details,
            consent=consent,
            guardians=tuple(guardians),
            returns=returns,
        )

    def _class_of(self, row: PupilRow, person: str | None) -> ClassName | None:
        if row.class_year is None:
            own = self._own_class(person)
            if own is not None and ClassLabel(*own[1:]) == row.class_label:
                return own
            if len(self._bearing.get(row.class_label, [])) > 1:
                self._year_assumed.append(row.place)
            return self._meant(row.class_label)
        name = (f"{row.class_year}/{row.class_year + 1}", row.class_label.grade, row.class_label.letter)
        return name if name in self._new_classes or name in self._pages.class_ids() else None

    def _own_class(self, person: str | None) -> ClassName | None:
        """The open class that a pupil is in, or on whose list the pupil waits to be assigned to it."""
        row = self._pages.people.get(person) if person is not None else None
        return None if row is None else self._names.get(row["class_id"] or row["listed_in"])

    def _classes_by_label(self) -> Mapping[ClassLabel, Sequence[ClassName]]:
        """The classes that a label without a year may mean: the file's own where it brings some of that name, else the open ones."""
        found: dict[ClassLabel, list[ClassName]] = {}
        for name in sorted(self._pages.class_ids()):
            found.setdefault(ClassLabel(*name[1:]), []).append(name)
        brought: dict[ClassLabel, list[ClassName]] = {}
        for name in sorted(self._new_classes):
            brought.setdefault(ClassLabel(*name[1:]), []).append(name)
        return found | brought

    def _meant(self, label: ClassLabel) -> ClassName | None:
        """The class that a label without a year means to who is in none of that name: this school year's, else the newest.

        Next year's classes are there from spring on, beside those that the children are in until they are rolled over.
        """
        year = school_year_on(self._today)
        bearing = self._bearing.get(label, [])
        return max(bearing, key=lambda name: (name[0] == f"{year}/{year + 1}", name[0]), default=None)

    def _is_closed(self, row: PupilRow) -> bool:
        """Whether the row's class is one that was closed; a label that says no year means that of any year."""
        year = None if row.class_year is None else f"{row.class_year}/{row.class_year + 1}"
        closed = self._pages.closed_classes()
        return any(ClassLabel(*name[1:]) == row.class_label and year in (None, name[0]) for name in closed)

    def _guardian(self, row: PupilRow, guardian: GuardianRow, pupil: str | None) -> PlannedGuardian | None:
        """What the row asks of one guardian; None where that is nothing, or cannot be done."""
        if self._is_signed_later(guardian, row.place, "pupils", guardian.number):
            return None
        details = details_in(guardian)
        person = self._guardian_known(guardian, details, pupil)
        if person is not None and self._has_other_names(person, details):
            hint = f"this one is that of {person}, whose last and first names are others: {_OTHER_ID}"
            return self._reject(row.place, "pupils", "external_id", "guardian.id-reused", hint, guardian.number)
        relation, legal = _RELATIONS.get(guardian.kinship, Relation.OTHER), guardian.legal_representative
        consent = self._consent(guardian, person)
        link = self._pages.guardianships.get(pupil, person) if pupil and person else None
        if link is not None and self._file.format == "oneroster":
            # A role says less than the kinship that somebody entered.
            relation, legal = Relation(link["relation"]), bool(link["legal_representative"])
        if link is not None and not link["linked"]:
            return self._warn(
                row.place, f"guardian {guardian.number} was unlinked: to link again, use roster.link-guardian (guardian.unlinked)"
            )
        if person is not None:
            details = self._without_conflicts(person, details, row.place, "pupils", guardian.number)
        linked = link is not None and (link["relation"], link["legal_representative"]) == (relation, legal)
        if not linked and not self._has_a_basis(guardian, person):
            code, hint = _NO_BASIS
            return self._reject(row.place, "pupils", "consent_number", code, hint, guardian.number)
        if linked and consent is None and person is not None and not self._differs(person, details):
            return None
        if person is None and guardian.external_id is None:
            self._compare_parent(row.place, guardian)
        return PlannedGuardian(
            number=guardian.number,
            person=person,
            external_id=guardian.external_id,
            relation=relation,
            legal_representative=legal,
            details=details,
            consent=consent,
        )

    def _compare_parent(self, place: Place, guardian: GuardianRow) -> None:
        """Warns where a parent without an ID, who is about to be entered, may be one who is there already, or in a sibling's row."""
        if guardian.consent_number is not None and self._pages.is_recorded(guardian.consent_number):
            return  # then the parent is who signed that
        if (entered := self._parents.entered(guardian)) is not None:
            self._warn(
                place,
                f"guardian {guardian.number} has no ID, and the name and the e-mail of {entered}, who is entered: if the two are one,"
                f" write the ID {entered} in this row, or else the parent becomes another person (guardian.alike)",
            )
        elif self._parents.in_file(place, guardian):
            self._same_parents.append(place)

    def _has_a_basis(self, guardian: GuardianRow, person: str | None) -> bool:
        """A consent in this row, or in a brother's or sister's, or one recorded before, or another legal basis (gate 13→14)."""
        if guardian.consent_number is not None or guardian.external_id in self._consenting:
            return True
        return self._legal_basis is not None or (person is not None and self._pages.granted(person) is not None)

    def _guardian_known(self, guardian: GuardianRow, details: Mapping[str, str], pupil: str | None) -> str | None:
        """By external id; a guardian without one is who of that name is linked with the same pupil."""
        if guardian.external_id is not None:
            return self._pages.by_external_id(SubjectKind.GUARDIAN, guardian.external_id)
        linked = self._pages.guardians(pupil) if pupil is not None else []
        return next((person for person in linked if same_name(self._pages.details(person) or {}, details)), None)

    def _a_like(self, details: Mapping[str, str], place: Place) -> str | None:
        """Where somebody of this name and birth date is: entered, or in a row before this one; None where there is nobody."""
        likeness = self._pages.likeness(details)
        if likeness is None:
            return None
        if alike := self._pages.alike(details):
            return f"is entered under another ID, as {' and '.join(sorted(alike))}"
        seen = self._seen.setdefault(likeness, [])
        if (first := next((above for above, other in seen if may_be_one(other, details)), None)) is not None:
            return f"stands under another ID in {_where(first)}"
        seen.append((place, details))
        return None

    # ---- what rows of people have in common ---------------------------------------------------------------------------

    def _consent(self, row: PupilRow | GuardianRow | StaffRow, person: str | None) -> PlannedConsent | None:
        """The row's consent, unless an import has recorded it for an entered person before."""
        if row.consent_number is None or row.consent_date is None:
            return None
        if person is not None and self._pages.is_recorded(row.consent_number):
            return None
        return PlannedConsent(number=row.consent_number, signed_on=row.consent_date)

    def _is_signed_later(self, row: PupilRow | GuardianRow | StaffRow, place: Place, kind: Kind, guardian: int | None = None) -> bool:
        if row.consent_date is None or row.consent_date <= self._today:
            return False
        self._reject(place, kind, "consent_date", "date.in-future", self._a_day_that_has_come(), guardian)
        return True

    def _a_day_that_has_come(self) -> str:
        return f"a day that has come: it is {self._today:%d.%m.%Y}"

    def _has_no_age_for_school(self, row: PupilRow, person: str | None, birth_date: str) -> bool:
        """Whether nobody is enrolled at such an age. Of who is entered with that very birth date somebody else has answered for it."""
        return age_on(row.born_on, row.enrolled_on) not in _AGES and (person is None or self._differs(person, {"birth_date": birth_date}))

    def _begins_too_late(self, day: date, person: str | None) -> bool:
        """Whether nobody would be enrolled or hired that far ahead. The day of who is entered is compared where it is another one."""
        known = self._pages.people.get(person) if person is not None else None
        return day > self._today + _AHEAD and (known is None or known["since"] != day.isoformat())

    def _a_day_within_a_year(self) -> str:
        return f"a day that has come, or comes within a year: it is {self._today:%d.%m.%Y}"

    def _compare_number(self, row: PupilRow | StaffRow, kind: Kind, person: str | None) -> None:
        """Warns where another has the row's СНИЛС. A number that is kept already was compared with those of the others when it came."""
        above = self._numbers.above(row)
        kept = "" if person is None else (self._pages.details(person) or {}).get("snils", "")
        if above is not None:
            other = f"the row {_where(above)}"
        elif row.snils is None or is_written_alike("snils", kept, row.snils) or (entered := self._numbers.entered(row)) is None:
            return
        else:
            other = entered
        hint = f"one number stands for one person, and {other} has this one under another ID: compare the two, and correct what is wrong"
        found = finding(row.place, kind, "snils", "snils.repeated", hint, file_format=self._file.format)
        self._warnings.append(_told(found))

    def _is_active(self, person: str) -> bool:
        row = self._pages.people.get(person)
        return row is not None and bool(row["active"])

    def _is_somebody_else(self, person: str, details: Mapping[str, str]) -> bool:
        """Whether a pupil is entered under another name and with another birth date: one of the two may have been corrected or changed."""
        old = self._pages.details(person) or {}
        differs = old.get("birth_date") not in (None, details["birth_date"]) and not same_name(old, details)
        return differs and not self._was_corrected(person)

    def _has_other_names(self, person: str, details: Mapping[str, str]) -> bool:
        """Whether somebody of whom no birth date is kept is entered under another last and another first name."""
        old = self._pages.details(person) or {}
        differs = all(field in old and folded(old[field]) != folded(details[field]) for field in ("last_name", "first_name"))
        return differs and not self._was_corrected(person)

    def _was_corrected(self, person: str) -> bool:
        """Whether somebody has said by hand who the person is: then a file that says otherwise is behind, and in conflict."""
        return not self._pages.by_hand(person).isdisjoint(("last_name", "first_name", "birth_date"))

    def _differs(self, person: str, details: Mapping[str, str]) -> bool:
        old = self._pages.details(person) or {}
        return any(not is_written_alike(field, old.get(field, ""), details[field]) for field in changed_fields(old, details))

    def _without_conflicts(
        self, person: str, details: dict[str, str], place: Place, kind: Kind, guardian: int | None = None
    ) -> dict[str, str]:
        """The details without those that somebody has changed by hand to something else: these stay, unless they are overruled."""
        old = self._pages.details(person) or {}
        differing = [field for field in changed_fields(old, details) if not is_written_alike(field, old.get(field, ""), details[field])]
        if not differing or self._overrule:
            return details
        kept = self._pages.by_hand(person).intersection(differing)
        for field in sorted(kept):
            hint = "was changed by hand, and stays: to have the file's, import it with --overrule"
            read_from = "born_on" if field == "birth_date" else field
            found = finding(place, kind, read_from, "row.conflict", hint, guardian, file_format=self._file.format)
            self._conflicts.add(place)
            self._warnings.append(_told(found))
        return {field: value for field, value in details.items() if field not in kept}

    def _warn_of_all(self, places: Sequence[Place], text: str) -> None:
        """Warns of all such rows at once, by the first of them. `text` may say how many they are."""
        if places:
            rows = f", as in {len(places)} rows" if len(places) > 1 else ""
            self._warn(places[0], text.format(count=len(places), rows=rows))

    def _leave(self, place: Place) -> None:
        self._unchanged.append(place)

    def _put_aside(self, row: PupilRow | StaffRow | Departure, reason: ReviewReason, why: str) -> None:
        self._aside.append(PutAside(place=row.place, reason=reason, external_id=row.external_id, row=as_json(row)))
        self._warn(row.place, f"{why} (row.review)")

    def _reject(self, place: Place, kind: Kind, field: str, code: str, hint: str, guardian: int | None = None) -> None:
        self._rejected.append(finding(place, kind, field, code, hint, guardian, file_format=self._file.format))

    def _warn(self, place: Place, text: str) -> None:
        self._warnings.append(f"{_where(place)}: {text}")


def _is_of_age(born_on: date, today: date) -> bool:
    return (today.year - 18, today.month, today.day) >= (born_on.year, born_on.month, born_on.day)


def _name(row: ClassRow) -> ClassName:
    return (f"{row.school_year}/{row.school_year + 1}", row.grade, row.letter)


def _told(warning: Finding) -> str:
    column = "" if warning.column is None else f", column {warning.column}"
    return f"{_where(warning)}{column}: {warning.hint} ({warning.code})"


def _where(place: Place | Finding) -> str:
    table = place.sheet or place.file
    return table if place.row is None else f"{table}, row {place.row}"


def _position(row: StaffRow) -> Position:
    return _POSITIONS.get(row.role, Position.OTHER)
