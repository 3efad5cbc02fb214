"""What roster records and answers: schools, staff, classes, pupils, guardians and their imports, timetables and data checks."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, Self
from unicodedata import normalize

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from contracts.call import AnnulEntry, Reply, Request, Role, SchoolRequest, Scope, command, query
from contracts.event import Annulment, Event, Identifier, Sha256, Value, event

Grade = Annotated[int, Field(ge=1, le=11)]
ListNumber = Annotated[int, Field(ge=1, le=99)]
Letter = Annotated[str, Field(pattern=r"^[А-ЯЁA-Z]$", description="The letter of a class, e.g. А")]
AcademicYear = Annotated[str, Field(pattern=r"^20[0-9]{2}/20[0-9]{2}$", description="e.g. 2015/2016")]
Shift = Annotated[int, Field(ge=1, le=3)]
TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="Local time, e.g. 08:30")]
ListEntry = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"),
    AfterValidator(lambda text: normalize("NFC", text)),  # й typed as и with a sign is the same letter
    Field(description="A line of text, e.g. a subject's name"),
]
OfficialReference = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9/.-]{0,63}$", description="A document's reference, never a name")]


class Position(StrEnum):
    """What a member of staff is employed as. A coordinator is appointed, a class teacher assigned: those are events of their own."""

    DIRECTOR = "director"
    ADMINISTRATOR = "administrator"
    TEACHER = "teacher"
    OTHER = "other"


class Relation(StrEnum):
    MOTHER = "mother"
    FATHER = "father"
    GRANDPARENT = "grandparent"
    GUARDIAN = "guardian"
    OTHER = "other"


class SeatHolder(StrEnum):
    PUPIL = "pupil"
    GUARDIAN_1 = "guardian_1"
    GUARDIAN_2 = "guardian_2"


class Seat(Value):
    """A person without a name: a place on a class's list (DESIGN 3). `number` counts from 1."""

    class_id: Identifier
    number: ListNumber
    holder: SeatHolder


class LegalBasis(Value):
    """A ground for processing other than consent (152-ФЗ ст. 6): a code and the reference of the document."""

    code: Literal["law", "contract", "court-order", "guardianship-authority"]
    reference: OfficialReference


class Period(Value):
    """A reporting period: a quarter, a trimester, a half-year, with the holidays that follow it. Both days belong to it."""

    begins: date
    ends: date


class LessonTime(Value):
    begins: TimeOfDay
    ends: TimeOfDay


class IssueKind(StrEnum):
    """What is wrong with a class's data. What exactly, is said to whoever mends it, not to the record."""

    MISSING = "missing"
    WRONG = "wrong"
    OUTDATED = "outdated"
    DUPLICATE = "duplicate"


class NoGuardianReason(StrEnum):
    ADULT = "adult"
    REFUSED = "refused"


# ---- Events -----------------------------------------------------------------------------------------------------------


@event("roster.school-opened.v1")
class SchoolOpened(Event):
    school: Identifier
    municipality: Identifier
    timezone: str


@event("roster.staff-hired.v1")
class StaffHired(Event):
    person: Identifier
    position: Position
    hired_on: date


@event("roster.staff-dismissed.v1")
class StaffDismissed(Event):
    person: Identifier


@event("roster.coordinator-appointed.v1")
class CoordinatorAppointed(Event):
    person: Identifier


@event("roster.coordinator-relieved.v1")
class CoordinatorRelieved(Event):
    person: Identifier


@event("roster.class-declared.v1")
class ClassDeclared(Event):
    """The director has said that there is such a class: the denominator of step 12."""

    class_id: Identifier
    grade: Grade
    letter: Letter
    academic_year: AcademicYear


@event("roster.class-created.v1")
class ClassCreated(Event):
    class_id: Identifier
    shift: Annotated[int, Field(ge=1, le=3)]


@event("roster.class-headcount-declared.v1")
class ClassHeadcountDeclared(Event):
    """How many pupils the class has: the seats of step 13, counted before anyone has a name."""

    class_id: Identifier
    pupils: Annotated[int, Field(ge=0, le=99)]


@event("roster.class-teacher-assigned.v1")
class ClassTeacherAssigned(Event):
    """`person` is the class teacher from now on; whoever was it before no longer is."""

    class_id: Identifier
    person: Identifier


@event("roster.class-closed.v1")
class ClassClosed(Event):
    """`rolled_over_to` is the class that its pupils went on to (step 15); missing where it was closed by itself."""

    class_id: Identifier
    rolled_over_to: Identifier | None = Field(default=None, exclude_if=lambda class_id: class_id is None)


@event("roster.pupil-enrolled.v1")
class PupilEnrolled(Event):
    """A pupil is entered (step 14) under the id that the consent's subject already had, on a seat of a class's list."""

    person: Identifier
    seat: Seat
    consent_id: Identifier | None
    legal_basis: LegalBasis | None
    enrolled_on: date


@event("roster.pupil-left.v1")
class PupilLeft(Event):
    """The pupil has left the school and takes the seat along."""

    person: Identifier


@event("roster.guardian-linked.v1")
class GuardianLinked(Event):
    pupil: Identifier
    guardian: Identifier
    relation: Relation
    legal_representative: bool
    consent_id: Identifier | None
    legal_basis: LegalBasis | None


@event("roster.guardian-unlinked.v1")
class GuardianUnlinked(Event):
    pupil: Identifier
    guardian: Identifier


@event("roster.guardian-absence-recorded.v1")
class GuardianAbsenceRecorded(Event):
    """Why a pupil has no guardian entered; with it the pupil counts as entered (step 14)."""

    pupil: Identifier
    reason: NoGuardianReason


@event("roster.pupil-assigned-to-class.v1")
class PupilAssignedToClass(Event):
    pupil: Identifier
    class_id: Identifier


@event("roster.person-details-changed.v1")
class PersonDetailsChanged(Event):
    """What roster's vault holds about a person has changed; the values stay in the vault."""

    person: Identifier
    fields: tuple[Identifier, ...]


@event("roster.import-completed.v1")
class RosterImportCompleted(Event):
    import_id: Identifier
    created: int
    updated: int
    unchanged: int
    review: int
    rejected: int


@event("roster.import-rolled-back.v1")
class ImportRolledBack(Event):
    """What an import had entered never was true: each entry of it is annulled in its own stream, before this event.

    How many pupils, guardians, staff and classes are gone; how many, known before, were put back as they were; how many were left, since
    something rests on them; and how many decisions were invalidated.
    """

    import_id: Identifier
    pupils: int
    guardians: int
    staff: int
    classes: int
    put_back: int
    left: int
    decisions: int


@event("roster.import-review-settled.v1")
class ImportReviewSettled(Event):
    """Somebody has compared a row that an import had put aside: it is this person's, who was entered before or is entered by it."""

    import_id: Identifier
    review: Identifier
    settled_as: Literal["same", "new"]
    person: Identifier


@event("roster.workplaces-declared.v1")
class WorkplacesDeclared(Event):
    """How many workplaces there are for teachers, and how many of them are connected to the internet (step 5)."""

    online: Annotated[int, Field(ge=0, le=100_000)]
    total: Annotated[int, Field(ge=0, le=100_000)]


@event("roster.reporting-periods-defined.v1")
class ReportingPeriodsDefined(Event):
    """A parallel's reporting periods of a year, each beginning on the day after the one before ended (step 9)."""

    grade: Grade
    academic_year: AcademicYear
    periods: tuple[Period, ...]


@event("roster.bell-schedule-defined.v1")
class BellScheduleDefined(Event):
    """A shift's lessons in their order (step 10)."""

    shift: Shift
    lessons: tuple[LessonTime, ...]


@event("roster.bell-schedule-deleted.v1")
class BellScheduleDeleted(Event):
    shift: Shift


@event("roster.reference-list-filled.v1")
class ReferenceListFilled(Event):
    """A reference list has entries now (step 11). They are texts, so they stay with roster; `sha256` is their digest."""

    list: Identifier
    entries: Annotated[int, Field(ge=1, le=1000)]
    sha256: Sha256


@event("roster.reference-list-cleared.v1")
class ReferenceListCleared(Event):
    list: Identifier


@event("roster.timetable-published.v1")
class TimetablePublished(Event):
    """A class's timetable from a day on (step 16). Its lessons stay with roster; `sha256` is their digest."""

    class_id: Identifier
    valid_from: date
    lessons: Annotated[int, Field(ge=1, le=200)]
    sha256: Sha256


@event("roster.timetable-withdrawn.v1")
class TimetableWithdrawn(Event):
    class_id: Identifier


@event("roster.pupil-moved.v1")
class PupilMoved(Event):
    """The pupil's seat is on another class's list from now on: the seats of a new academic year are not asked for consent anew."""

    pupil: Identifier
    seat: Seat


@event("roster.academic-year-rolled-over.v1")
class AcademicYearRolledOver(Event):
    """Every class of a year was rolled over: its pupils are in classes of the next year, or have left (step 15)."""

    from_year: AcademicYear
    to_year: AcademicYear


@event("roster.roster-data-verified.v1")
class RosterDataVerified(Event):
    """Somebody responsible has checked a class's data as they stood at this `revision` of them (step 3), or, without a class, the
    school's (step 20). Everything that roster had recorded before this event was there to be checked."""

    class_id: Identifier | None
    revision: int | None


@event("roster.verification-lapsed.v1")
class VerificationLapsed(Event):
    """A class's data changed after somebody had checked them: as they are now, at this `revision`, nobody has (step 3)."""

    class_id: Identifier
    revision: int


@event("roster.data-issue-opened.v1")
class DataIssueOpened(Event):
    """Something is wrong with a class's data; while a `blocking` issue is open, the class does not count as checked (step 3)."""

    issue: Identifier
    class_id: Identifier
    kind: IssueKind
    blocking: bool


@event("roster.data-issue-resolved.v1")
class DataIssueResolved(Event):
    issue: Identifier
    class_id: Identifier


@event("roster.entry-annulled.v1")
class EntryAnnulled(Annulment):
    """A fact of this log never was true."""


# ---- Calls ------------------------------------------------------------------------------------------------------------

_SCHOOL_OFFICE = (Role.DIRECTOR, Role.ADMINISTRATOR)


class Person(Reply):
    person: Identifier


class ClassRef(Reply):
    class_id: Identifier


class Done(Reply):
    """The act is recorded; there is nothing to tell but its positions."""


class Act(SchoolRequest):
    """An act in a school. `happened_on` is the day on which it was true, today where left out, never later than today."""

    happened_on: date | None = None


class PersonName(Value):
    """A person's details: the vault keeps them, nothing else does."""

    last_name: Annotated[str, Field(min_length=1, max_length=100)]
    first_name: Annotated[str, Field(min_length=1, max_length=100)]
    patronymic: Annotated[str, Field(max_length=100)] = ""
    birth_date: date | None = None
    email: Annotated[str, Field(max_length=254)] = ""
    phone: Annotated[str, Field(max_length=40)] = ""
    snils: Annotated[str, Field(max_length=14)] = ""


class OpenSchool(Request):
    school: Identifier
    name: Annotated[str, Field(min_length=1, max_length=200)]
    municipality: Identifier
    timezone: str = "Europe/Moscow"
    happened_on: date | None = None


class SchoolReply(Reply):
    school: Identifier


class SchoolQuery(SchoolRequest):
    pass


class SchoolCard(Reply):
    school: Identifier
    name: str
    municipality: Identifier
    timezone: str
    staff: int
    classes: int
    pupils: int
    guardians: int


class HireStaff(Act):
    details: PersonName
    position: Position
    hired_on: date
    external_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class StaffAct(Act):
    person: Identifier


class DeclareClass(Act):
    grade: Grade
    letter: Letter
    academic_year: AcademicYear


class CreateClass(Act):
    class_id: Identifier
    shift: Annotated[int, Field(ge=1, le=3)] = 1


class CloseClass(Act):
    class_id: Identifier


class DeclareHeadcount(Act):
    class_id: Identifier
    pupils: Annotated[int, Field(ge=0, le=99)]


class AssignClassTeacher(Act):
    class_id: Identifier
    person: Identifier


class EnrolPupil(Act):
    """Enters a pupil on a granted consent or another legal basis: one of the two is required (gate 13→14)."""

    details: PersonName
    class_id: Identifier = Field(description="Whose list the pupil's seat is on; assigning to the class is an act of its own")
    consent_id: Identifier | None = None
    legal_basis: LegalBasis | None = None
    enrolled_on: date
    external_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class LinkGuardian(Act):
    """Links a guardian to an entered pupil: either somebody entered already (`guardian`) or a new person (`details`)."""

    pupil: Identifier
    guardian: Identifier | None = None
    details: PersonName | None = None
    relation: Relation
    legal_representative: bool = True
    consent_id: Identifier | None = None
    legal_basis: LegalBasis | None = None
    external_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class UnlinkGuardian(Act):
    pupil: Identifier
    guardian: Identifier


class RecordNoGuardian(Act):
    pupil: Identifier
    reason: NoGuardianReason


class AssignPupil(Act):
    pupil: Identifier
    class_id: Identifier


class PupilAct(Act):
    pupil: Identifier


class DeclareWorkplaces(Act):
    online: Annotated[int, Field(ge=0, le=100_000)]
    total: Annotated[int, Field(ge=0, le=100_000)]


class DefinePeriods(Act):
    """The reporting periods of a year, the same for each of these parallels. Holidays belong to the period before them."""

    grades: Annotated[tuple[Grade, ...], Field(min_length=1, max_length=11)]
    academic_year: AcademicYear
    periods: Annotated[tuple[Period, ...], Field(min_length=1, max_length=12)]


class DefineBells(Act):
    shift: Shift
    lessons: Annotated[tuple[LessonTime, ...], Field(min_length=1, max_length=12, description="In their order")]


class ShiftAct(Act):
    shift: Shift


class FillList(Act):
    """Fills a reference list with these entries, instead of those that it had."""

    list: Identifier = Field(description="subjects, positions, rooms and group-types are required (step 11); others may be kept, too")
    entries: Annotated[tuple[ListEntry, ...], Field(min_length=1, max_length=1000)]


class ListAct(Act):
    list: Identifier


class ListQuery(SchoolRequest):
    list: Identifier


class ReferenceList(Reply):
    """`sha256` is of the entries' canonical JSON, as the event says it; None for a list that has no entries."""

    list: Identifier
    entries: tuple[str, ...]
    sha256: Sha256 | None


class Lesson(Value):
    """What a class learns at one place of its week: `weekday` 1 is Monday, `number` the lesson's in the bell schedule."""

    weekday: Annotated[int, Field(ge=1, le=7)]
    number: Annotated[int, Field(ge=1, le=12)]
    subject: ListEntry
    room: ListEntry | None = None


class PublishTimetable(Act):
    """A class's timetable from a day on; what was published for earlier days stays for those."""

    class_id: Identifier
    valid_from: date
    lessons: Annotated[tuple[Lesson, ...], Field(min_length=1, max_length=200)]


class WithdrawTimetable(Act):
    class_id: Identifier


class TimetableQuery(SchoolRequest):
    """The timetable that a class has on a day, or the one of its latest days where none is named."""

    class_id: Identifier
    on: date | None = None


class Timetable(Reply):
    """`sha256` is of the lessons' canonical JSON, as the event says it; without a timetable all is empty."""

    class_id: Identifier
    valid_from: date | None
    lessons: tuple[Lesson, ...]
    sha256: Sha256 | None


class RollOverClass(Act):
    """Moves every pupil of a class to the list of a class of the next year, assigns them to it and closes the old class."""

    class_id: Identifier
    to_class_id: Identifier


class RollOverYear(Act):
    from_year: AcademicYear
    to_year: AcademicYear


class VerifyData(Act):
    """A class's data are right as they stand at this revision of them (`roster.classes`); without a class, the whole school's are."""

    class_id: Identifier | None = None
    revision: Annotated[int, Field(ge=0)] | None = Field(default=None, description="The one that was looked at; a class needs it")

    @model_validator(mode="after")
    def _both_or_neither(self) -> VerifyData:
        if (self.class_id is None) != (self.revision is None):
            raise ValueError("name a class with the revision of it that was looked at, or neither for the whole school")
        return self


class OpenIssue(Act):
    class_id: Identifier
    kind: IssueKind
    blocking: bool


class IssueAct(Act):
    issue: Identifier


class IssueRef(Reply):
    issue: Identifier


class IssuesQuery(SchoolRequest):
    """The issues of a class, or of all; only those that are open unless `resolved` ones are asked for, too."""

    class_id: Identifier | None = None
    resolved: bool = False


class IssueCard(Value):
    issue: Identifier
    class_id: Identifier
    kind: IssueKind
    blocking: bool
    opened_on: date
    resolved_on: date | None


class Issues(Reply):
    issues: tuple[IssueCard, ...]


FILE_BYTES = 64 * 2**20
"""A file to import is no larger, all its parts together."""


class UploadPart(SchoolRequest):
    """One part of a file to import, at most 256 KiB before base64, of 64 MiB in all; parts are numbered from 1 and may come again."""

    upload: Identifier
    part: Annotated[int, Field(ge=1, le=512)]
    parts: Annotated[int, Field(ge=1, le=512)]
    file_name: Annotated[str, Field(min_length=1, max_length=255)]
    content: Annotated[str, Field(max_length=360_000, description="base64")]


class UploadReply(Reply):
    upload: Identifier
    missing: tuple[int, ...]


class ImportRoster(Act):
    """Imports uploaded files. The decisions of the consent columns are recorded first, then the people (DESIGN 3)."""

    upload: Identifier
    dry_run: bool = False
    legal_basis: LegalBasis | None = Field(default=None, description="Covers rows without a consent; without it they are rejected")
    org: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="Confirms that the org with this sourcedId in a OneRoster export is this school"
    )
    overrule: bool = Field(default=False, description="Enters what the file says where somebody has changed it by hand, too")
    full_list: bool = Field(
        default=False, description="Says that the file lists all pupils, all staff, or both: who is here and missing from it leaves"
    )
    missing: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Confirms how many are missing from a full list: needed where these are more than 5 %"
    )

    @model_validator(mode="after")
    def _a_full_list_misses_somebody(self) -> Self:
        if self.missing is not None and not self.full_list:
            raise ValueError("somebody is missing from a full list alone")
        return self


class ImportJob(SchoolRequest):
    """Of a job that is under way the answer may be waited for: it then comes when the job ends, or after `wait_s` seconds; where too many
    wait, at once."""

    job: Identifier
    wait_s: Annotated[float, Field(ge=0, le=2)] = 0.0


class RejectedCell(Value):
    """Why a row was rejected: where it stands and what is expected there, never what stands there."""

    file: str
    sheet: str | None
    row: int | None
    column: str | None
    code: str
    hint: str


class ImportedTable(Value):
    """How one table of a file was understood; `rows` counts the good and the rejected. A sheet has no encoding and no delimiter.

    Guardians with rows of their own, as in OneRoster, are entered with their pupils and counted in no outcome.
    """

    file: str
    sheet: str | None
    kind: Literal["pupils", "staff", "classes", "guardians"]
    encoding: str | None
    delimiter: str | None
    rows: int


class ImportStatus(Reply):
    job: Identifier
    state: Literal["running", "done", "failed"]
    done_rows: int
    total_rows: int
    created: int
    updated: int
    unchanged: int
    review: int
    rejected: tuple[RejectedCell, ...]
    leaving: int = Field(default=0, description="How many pupils and staff are missing from a full list, and leave")
    conflict: int = Field(default=0, description="Of how many rows, counted as updated or unchanged, a change made by hand was kept")
    rejected_rows: int = Field(default=0, description="How many rows were rejected; `rejected` lists cells and is cut at 200")
    rejected_file: str | None = Field(
        default=None, description="The rejected rows as CSV or a zip archive of it, base64; it holds personal data"
    )
    warnings: tuple[str, ...] = ()
    tables: tuple[ImportedTable, ...] = ()
    file_name: str | None = Field(default=None, description="As it was handed in; it may name somebody, and is kept sealed with the rest")
    error_code: str | None = None
    error_text: str | None = None


class ExportRoster(SchoolRequest):
    """Makes a file of a school's classes, staff, pupils and guardians, such as an import reads. Each person's reading is journalled."""

    format: Literal["xlsx", "csv", "oneroster-1.1", "oneroster-1.2"]


class RosterExport(Reply):
    """A file that can be fetched in parts (roster.export-part) for an hour. csv comes as an archive of three files."""

    export: Identifier
    file_name: str
    parts: int
    sha256: str = Field(description="Of the whole file, hex")
    classes: int
    staff: int
    pupils: int
    guardians: int
    left_out: tuple[str, ...] = Field(default=(), description="What an import would enter anew or the format has no place for, with counts")


class ExportPart(SchoolRequest):
    export: Identifier
    part: Annotated[int, Field(ge=1, le=512)]


class ExportedPart(Reply):
    content: str = Field(description="base64")


class RollBackImport(SchoolRequest):
    """Takes an import back: whom it entered was never there, whom it changed is as before. Said again, it tells how far that is."""

    import_id: Identifier = Field(description="The import's job (`roster.imports`)")


class LeftBehind(Value):
    """Whom or what a roll-back left as it is, and why: something that is no part of the import rests on it."""

    kind: Literal["pupil", "guardian", "staff", "class", "decision"]
    id: Identifier
    code: str
    text: str


class RollBackStatus(Reply):
    """How far a roll-back is, counted in people and classes; `left` is cut at 200, `left_total` is not."""

    import_id: Identifier
    state: Literal["running", "done", "failed"]
    done: int
    total: int
    pupils: int
    guardians: int
    staff: int
    classes: int
    put_back: int
    decisions: int
    left: tuple[LeftBehind, ...]
    left_total: int
    error_code: str | None = None
    error_text: str | None = None


class ImportsQuery(SchoolRequest):
    pass


class ImportCard(Value):
    import_id: Identifier
    day: date
    state: Literal["running", "done", "failed", "rolling-back", "rolled-back"]
    file_name: str | None = None
    created: int
    updated: int
    unchanged: int = 0
    review: int = 0
    rejected: int
    left: int = Field(default=0, description="How many of its people, classes and decisions a roll-back has left as they are")
    error_code: str | None = Field(default=None, description="Why the import failed, or its roll-back")
    error_text: str | None = None


class ImportCards(Reply):
    """The imports of which something is kept still, the newest first. Previews are none."""

    imports: tuple[ImportCard, ...]


class ReviewReason(StrEnum):
    """Why a row is put aside: there is somebody of its name and birth date under another ID, its person has left or was dismissed, or it
    wants somebody or something deleted."""

    ALIKE = "alike"
    LEFT = "left"
    DISMISSED = "dismissed"
    DEPARTURE = "departure"


class SettledAs(StrEnum):
    SAME = "same"
    NEW = "new"
    LEAVE = "leave"


class ReviewsQuery(SchoolRequest):
    import_id: Identifier | None = Field(default=None, description="Only those of this import")


class ReviewCard(Value):
    """A row that waits for somebody to compare it. `near` are the people whom it may be, by their ids: roster.person tells who they are."""

    review: Identifier
    import_id: Identifier
    file: str
    sheet: str | None
    row: int
    external_id: str
    reason: ReviewReason
    text: str
    near: tuple[Identifier, ...]
    under_way: bool = Field(description="It is being settled at this moment")
    rejected: tuple[RejectedCell, ...] = Field(default=(), description="Why it could not be entered when it was to be settled last")


class ReviewCards(Reply):
    """The rows that wait, by import, the newest first; cut at 200, `total` is not."""

    reviews: tuple[ReviewCard, ...]
    total: int


class SettleReview(Act):
    """Says what a row is that an import has put aside. Said again, it tells what became of that.

    `same`: it is this person's, and is entered as such; who has left is back. `new`: it is somebody else's, and is entered. `leave`:
    nothing of it is entered. The rules are those of the import that the row is of, and rolling that back takes this back too.
    """

    review: Identifier = Field(description="The row's id (`roster.reviews`)")
    settled_as: SettledAs
    person: Identifier | None = Field(default=None, description="Whose the row is: for `same`, and for nothing else")

    @model_validator(mode="after")
    def _same_names_a_person(self) -> Self:
        if (self.settled_as is SettledAs.SAME) != (self.person is not None):
            raise ValueError("`same` names the person, and nothing else does")
        return self


class ReviewStatus(Reply):
    """What became of a row: open still, with the reasons, where it could not be entered."""

    review: Identifier
    state: Literal["open", "settling", "settled"]
    settled_as: SettledAs | None
    person: Identifier | None
    rejected: tuple[RejectedCell, ...] = ()


class PeopleQuery(SchoolRequest):
    """Ids, never names, of people in a school, by kind and, for pupils and their guardians, by class."""

    kind: Literal["staff", "pupil", "guardian"]
    class_id: Identifier | None = None


class People(Reply):
    people: tuple[Identifier, ...]


class ClassesQuery(SchoolRequest):
    academic_year: AcademicYear | None = None


class ClassCard(Value):
    class_id: Identifier
    grade: int
    letter: str
    academic_year: str
    created: bool
    shift: int | None = Field(description="None until the class is created")
    headcount: int
    teacher: Identifier | None
    revision: int = Field(description="Raised by whatever changes the data of the class, its pupils or their guardians")


class Classes(Reply):
    classes: tuple[ClassCard, ...]


class PersonQuery(SchoolRequest):
    person: Identifier


class PersonCard(Reply):
    """What the vault holds about one person. Each reading is journalled with its reader."""

    person: Identifier
    kind: Literal["staff", "pupil", "guardian"]
    details: PersonName


class PersonsQuery(SchoolRequest):
    people: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=500)]


class WithAddress(Reply):
    """Those of the people, in the caller's reach, who have an e-mail address; the addresses themselves are not told."""

    people: tuple[Identifier, ...]


class SnilsQuery(SchoolRequest):
    """Who of a school has this СНИЛС, in whatever writing."""

    snils: Annotated[
        str, Field(pattern=r"^[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{2}$", repr=False, json_schema_extra={"secret": True})
    ]


class FoundPeople(Reply):
    people: tuple[Identifier, ...] = Field(description="Several where one person is entered twice, as staff and as a parent")


class NamedPerson(Value):
    person: Identifier
    kind: Literal["staff", "pupil", "guardian"]
    last_name: str
    first_name: str
    patronymic: str


class Persons(Reply):
    """The names of those of the people who are in the caller's reach; the others are left out. Each reading is journalled."""

    persons: tuple[NamedPerson, ...]


class JournalQuery(SchoolRequest):
    """Who has read a person's details, newest first; `before` goes on below an entry of the page before."""

    person: Identifier
    before: Annotated[int, Field(ge=1)] | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class Reading(Value):
    """`reader` is on whose behalf the details were read, `principal` who carried that out where it was somebody else."""

    number: int
    reader: str
    principal: str | None
    call: str
    at: str


class Journal(Reply):
    person: Identifier
    readings: tuple[Reading, ...]


class DossierRecord(Value):
    """One thing that a service holds on a person."""

    service: str
    what: Identifier
    fields: dict[str, str | int | bool | None]


class Dossier(Reply):
    """All that is held on a person, in every service; without those in `unheard`, which did not answer: ask again then.

    `details` is empty where the vault holds nothing on the person any more.
    """

    person: Identifier
    kind: Literal["staff", "pupil", "guardian"] | None
    details: PersonName | None
    other_details: dict[str, str] = Field(default={}, description="What the vault keeps beside these: the sex, say, and the ID in files")
    records: tuple[DossierRecord, ...]
    readings: tuple[Reading, ...] = Field(description="The journal's newest 500 entries; roster.journal tells the others")
    unheard: tuple[str, ...] = ()


OPEN_SCHOOL = command("roster.open-school", OpenSchool, SchoolReply, (), "Opens a school")
SCHOOL = query(
    "roster.school", SchoolQuery, SchoolCard, _SCHOOL_OFFICE, "A school with its counts", services=("consent", "identity", "notifier")
)
HIRE_STAFF = command("roster.hire-staff", HireStaff, Person, _SCHOOL_OFFICE, "Enters a member of staff")
DISMISS_STAFF = command("roster.dismiss-staff", StaffAct, Done, (Role.DIRECTOR,), "Records that a member of staff has left")
APPOINT_COORDINATOR = command("roster.appoint-coordinator", StaffAct, Done, (Role.DIRECTOR,), "Step 4: appoints a coordinator")
RELIEVE_COORDINATOR = command("roster.relieve-coordinator", StaffAct, Done, (Role.DIRECTOR,), "Relieves a coordinator")
DECLARE_CLASS = command("roster.declare-class", DeclareClass, ClassRef, _SCHOOL_OFFICE, "Says that there is such a class")
CREATE_CLASS = command("roster.create-class", CreateClass, Done, (Role.ADMINISTRATOR,), "Step 12: creates a declared class")
CLOSE_CLASS = command("roster.close-class", CloseClass, Done, (Role.ADMINISTRATOR,), "Closes a class")
DECLARE_HEADCOUNT = command("roster.declare-headcount", DeclareHeadcount, Done, _SCHOOL_OFFICE, "Says how many pupils a class has")
ASSIGN_CLASS_TEACHER = command("roster.assign-class-teacher", AssignClassTeacher, Done, _SCHOOL_OFFICE, "Names the class teacher")
ENROL_PUPIL = command("roster.enrol-pupil", EnrolPupil, Person, (Role.ADMINISTRATOR,), "Step 14: enters a pupil")
PUPIL_LEFT = command("roster.pupil-left", PupilAct, Done, _SCHOOL_OFFICE, "Records that a pupil has left the school")
LINK_GUARDIAN = command("roster.link-guardian", LinkGuardian, Person, (Role.ADMINISTRATOR,), "Step 14: links a guardian to a pupil")
UNLINK_GUARDIAN = command("roster.unlink-guardian", UnlinkGuardian, Done, (Role.ADMINISTRATOR,), "Unlinks a guardian from a pupil")
RECORD_NO_GUARDIAN = command("roster.record-no-guardian", RecordNoGuardian, Done, (Role.ADMINISTRATOR,), "Why a pupil has no guardian")
ASSIGN_PUPIL = command("roster.assign-pupil", AssignPupil, Done, (Role.ADMINISTRATOR,), "Step 15: assigns a pupil to a class")
ROLL_OVER_CLASS = command(
    "roster.roll-over-class", RollOverClass, Done, (Role.ADMINISTRATOR,), "Step 15: rolls a class's pupils over to the next year"
)
ROLL_OVER_YEAR = command(
    "roster.roll-over-year", RollOverYear, Done, (Role.ADMINISTRATOR,), "Step 15: says that every class of a year was rolled over"
)
DECLARE_WORKPLACES = command(
    "roster.declare-workplaces",
    DeclareWorkplaces,
    Done,
    (Role.DIRECTOR,),
    "Step 5: says how many workplaces there are",
)
DEFINE_PERIODS = command(
    "roster.define-periods", DefinePeriods, Done, (Role.ADMINISTRATOR,), "Step 9: defines the reporting periods of parallels"
)
DEFINE_BELLS = command("roster.define-bells", DefineBells, Done, (Role.ADMINISTRATOR,), "Step 10: defines a shift's bell schedule")
DELETE_BELLS = command("roster.delete-bells", ShiftAct, Done, (Role.ADMINISTRATOR,), "Deletes a shift's bell schedule")
FILL_LIST = command("roster.fill-list", FillList, Done, (Role.ADMINISTRATOR,), "Step 11: fills a reference list")
CLEAR_LIST = command("roster.clear-list", ListAct, Done, (Role.ADMINISTRATOR,), "Clears a reference list")
PUBLISH_TIMETABLE = command(
    "roster.publish-timetable", PublishTimetable, Done, (Role.ADMINISTRATOR,), "Step 16: publishes a class's timetable"
)
WITHDRAW_TIMETABLE = command("roster.withdraw-timetable", WithdrawTimetable, Done, (Role.ADMINISTRATOR,), "Withdraws a class's timetable")
VERIFY_DATA = command("roster.verify-data", VerifyData, Done, _SCHOOL_OFFICE, "Steps 3 and 20: signs that data were checked")
OPEN_ISSUE = command("roster.open-issue", OpenIssue, IssueRef, _SCHOOL_OFFICE, "Says that something is wrong with a class's data")
RESOLVE_ISSUE = command("roster.resolve-issue", IssueAct, Done, _SCHOOL_OFFICE, "Says that what was wrong is mended")
ANNUL = command(
    "roster.annul", AnnulEntry, Done, (Role.DIRECTOR,), "Annuls a mistyped appointment, headcount, number of workplaces or set of periods"
)
UPLOAD = query("roster.upload", UploadPart, UploadReply, (Role.ADMINISTRATOR,), "Takes one part of a file to import")
IMPORT = query("roster.import", ImportRoster, ImportStatus, (Role.ADMINISTRATOR,), "Imports uploaded roster files: a job")
IMPORT_STATUS = query("roster.import-status", ImportJob, ImportStatus, (Role.ADMINISTRATOR,), "How far an import is")
EXPORT = query(
    "roster.export",
    ExportRoster,
    RosterExport,
    _SCHOOL_OFFICE,
    "Makes a file of the roster, such as imports read; journalled",
)
EXPORT_PART = query("roster.export-part", ExportPart, ExportedPart, _SCHOOL_OFFICE, "One part of an exported file")
ROLL_BACK_IMPORT = query(
    "roster.roll-back-import", RollBackImport, RollBackStatus, _SCHOOL_OFFICE, "Takes an import back as if it had never been: a job"
)
IMPORTS = query("roster.imports", ImportsQuery, ImportCards, _SCHOOL_OFFICE, "A school's imports, the newest first")
REVIEWS = query("roster.reviews", ReviewsQuery, ReviewCards, (Role.ADMINISTRATOR,), "Rows of imports that somebody has to compare")
SETTLE_REVIEW = query(
    "roster.settle-review", SettleReview, ReviewStatus, (Role.ADMINISTRATOR,), "Says whose such a row is, and enters it: a job"
)
PEOPLE = query(
    "roster.people",
    PeopleQuery,
    People,
    {
        Role.DIRECTOR: Scope.OWN_SCHOOL,
        Role.ADMINISTRATOR: Scope.OWN_SCHOOL,
        Role.CLASS_TEACHER: Scope.OWN_CLASS,
    },
    "Ids of a school's people, without names",
)
CLASSES = query(
    "roster.classes",
    ClassesQuery,
    Classes,
    (*_SCHOOL_OFFICE, Role.CLASS_TEACHER),
    "A school's classes",
    services=("consent", "identity", "notifier"),
)
PERSON = query(
    "roster.person", PersonQuery, PersonCard, _SCHOOL_OFFICE, "One person's details; journalled with the reader", services=("notifier",)
)
PERSONS = query(
    "roster.persons",
    PersonsQuery,
    Persons,
    _SCHOOL_OFFICE,
    "Names of several people; journalled with the reader",
    services=("consent", "identity"),
)
WITH_ADDRESS = query(
    "roster.with-address",
    PersonsQuery,
    WithAddress,
    (),
    "Who of several people has an e-mail address, without saying which",
    services=("identity",),
)
BY_SNILS = query(
    "roster.by-snils", SnilsQuery, FoundPeople, (), "Whose a СНИЛС is, for whoever has been shown it; journalled", services=("identity",)
)
REFERENCE_LIST = query(
    "roster.reference-list",
    ListQuery,
    ReferenceList,
    (*_SCHOOL_OFFICE, Role.CLASS_TEACHER),
    "The entries of a reference list",
)
TIMETABLE = query("roster.timetable", TimetableQuery, Timetable, (*_SCHOOL_OFFICE, Role.CLASS_TEACHER), "A class's timetable")
ISSUES = query("roster.issues", IssuesQuery, Issues, _SCHOOL_OFFICE, "What is wrong with classes' data")

_ABOUT_ONESELF = {
    Role.DIRECTOR: Scope.OWN_SCHOOL,
    Role.ADMINISTRATOR: Scope.OWN_SCHOOL,
    Role.STAFF: Scope.SELF,
    Role.PUPIL: Scope.SELF,
    Role.GUARDIAN: Scope.SELF_AND_CHILDREN,
}

JOURNAL = query("roster.journal", JournalQuery, Journal, _ABOUT_ONESELF, "Who has read a person's details")
DOSSIER = query("roster.dossier", PersonQuery, Dossier, _ABOUT_ONESELF, "All that is held on a person; journalled with the reader")
