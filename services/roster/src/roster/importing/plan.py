"""The import plan: what each row of a file asks for. A preview shows it, a commit carries it out, and neither changes it.

A row has one outcome. If only a guardian's part of it cannot be entered, the rest is, and the row counts as rejected:
it comes back in the file of rejected rows, to be corrected and imported again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Literal

from contracts.consent import SubjectKind
from contracts.event import Value
from contracts.roster import ImportedTable, LegalBasis, Position, Relation, ReviewReason
from roster.book import ClassName
from roster.files import Finding, Format, IdKind, Place
from roster.files.headers import TITLES
from roster.files.oneroster.titles import TITLES as ONEROSTER_TITLES
from roster.files.rows import GuardianRow, Kind, PupilRow, StaffRow

Outcome = Literal["created", "updated"]

_DETAILS = (
    "last_name",
    "first_name",
    "patronymic",
    "email",
    "phone",
    "snils",
    "sex",
    "order_number",
    "position",
    "subjects",
)


class PlannedConsent(Value):
    """A consent as the row states it, to be recorded before the person is entered."""

    number: str
    signed_on: date


class PlannedClass(Value):
    """`teacher` is the external id of a member of staff whom the row names as the class teacher."""

    place: Place
    outcome: Outcome
    name: ClassName
    shift: int
    headcount: int
    teacher: str | None


class PlannedStaff(Value):
    """`person` is None for who is not entered yet; `homeroom` is the class whose teacher the row makes the person.

    `returns`: the person was dismissed, and somebody has said that the row takes the person back.
    """

    place: Place
    outcome: Outcome
    person: str | None
    external_id: str
    position: Position
    hired_on: date
    details: dict[str, str]
    consent: PlannedConsent | None
    homeroom: ClassName | None
    returns: bool = False


class PlannedGuardian(Value):
    """`person` is None for who is not entered yet; a sibling's row may come to enter the same guardian first."""

    number: Literal[1, 2]
    person: str | None
    external_id: str | None
    relation: Relation
    legal_representative: bool
    details: dict[str, str]
    consent: PlannedConsent | None


class PlannedPupil(Value):
    """`person` is None for who is not entered yet. `returns`: the pupil has left, and is back, as somebody has said."""

    place: Place
    outcome: Outcome
    person: str | None
    external_id: str
    name: ClassName
    birth_date: date
    enrolled_on: date
    details: dict[str, str]
    consent: PlannedConsent | None
    guardians: tuple[PlannedGuardian, ...]
    returns: bool = False


PlannedRow = PlannedClass | PlannedStaff | PlannedPupil


class PlannedExportId(Value):
    """What an id of the file stands for, to be remembered for later changes (`roster.files.ExportId`)."""

    kind: IdKind
    external_id: str
    stands_for: str


class PutAside(Value):
    """A row that somebody has to compare before anything of it is entered; `row` is the row as it was read, as JSON (reviews.py)."""

    place: Place
    reason: ReviewReason
    external_id: str
    row: str


class Leaving(Value):
    """Somebody who is here, and missing from a list that is declared to be whole."""

    person: str
    kind: SubjectKind


class Plan(Value):
    """Only rows that ask for something stand in the lists; the others are counted."""

    legal_basis: LegalBasis | None
    classes: tuple[PlannedClass, ...]
    staff: tuple[PlannedStaff, ...]
    pupils: tuple[PlannedPupil, ...]
    unchanged: int
    review: int
    rejected: tuple[Finding, ...]
    warnings: tuple[str, ...]
    total_rows: int
    tables: tuple[ImportedTable, ...] = ()
    format: Format = "template"
    export_ids: tuple[PlannedExportId, ...] = ()
    file_name: str | None = None
    put_aside: tuple[PutAside, ...] = ()
    conflict: int = 0
    leaving: tuple[Leaving, ...] = ()
    rows_per_command: int = 50  # as it was before plans told it: whoever takes a job up again cuts it as it was begun

    @property
    def rows(self) -> tuple[PlannedRow, ...]:
        return (*self.classes, *self.staff, *self.pupils)

    def outcomes(self, rejected: Iterable[Finding]) -> Mapping[str, int]:
        """How many rows are created, updated and rejected in the end, each counted once."""
        bad = {row_of(error) for error in rejected if error.row is not None}
        return Counter(row.outcome for row in self.rows if row_of(row.place) not in bad) + Counter(rejected=len(bad))


def finding(
    place: Place, kind: Kind, field: str, code: str, hint: str, guardian: int | None = None, *, file_format: Format = "template"
) -> Finding:
    """What is wrong with one cell, under the title that the format of the file gives its column."""
    if file_format == "oneroster":
        # A pupil's row names guardians, and a guardian's own cells have been read by now.
        title = ONEROSTER_TITLES.get((kind, field if guardian is None else "guardians"))
    else:
        title = TITLES.get((kind, field, guardian))
    return Finding(place.file, place.sheet, place.row, title, code, hint)


def row_of(place: Place | Finding) -> tuple[str, str | None, int | None]:
    """Which row of which table a place or a finding speaks of."""
    return (place.file, place.sheet, place.row)


def details_in(row: PupilRow | GuardianRow | StaffRow) -> dict[str, str]:
    """What the vault keeps of a row, the blank cells left out."""
    cells = vars(row)
    details = {field: str(value) for field in _DETAILS if (value := cells.get(field)) is not None}
    return {**details, "birth_date": row.born_on.isoformat()} if isinstance(row, PupilRow) else details
