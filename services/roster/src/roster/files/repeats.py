"""What only shows between rows: an ID or a consent number that stands for two.

Twins are no repeat: IDs and numbers are compared, and names just to tell whether two mentions of one ID or number mean one person.
"""

from collections.abc import Iterator
from typing import NamedTuple

from .findings import Place
from .rows import ClassRow, GuardianRow, PupilRow, StaffRow
from .words import folded

Name = tuple[str, str]


class Repeat(NamedTuple):
    """A field of a row (or of its `guardian` 1 or 2) that repeats another row's."""

    field: str
    guardian: int | None
    code: str
    hint: str


def _name(person: PupilRow | GuardianRow | StaffRow) -> Name:
    return folded(person.last_name), folded(person.first_name)


class Repeats:
    """Remembers, over all files and sheets of one reading, what each ID and each number was first used for."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], Place] = {}
        self._guardians: dict[str, Name] = {}
        self._consents: dict[str, Name] = {}

    def of_id(self, kind: str, external_id: str, place: Place) -> Iterator[Repeat]:
        """To be asked for good and bad rows alike: once the bad one is corrected and read again, it would overwrite the other."""
        first = self._places.setdefault((kind, external_id), place)
        if first is not place:
            yield Repeat(
                "external_id", None, "row.duplicate", f"one row for each ID; row {first.row} of {first.sheet or first.file} has it"
            )

    def of_row(self, row: PupilRow | StaffRow | ClassRow) -> Iterator[Repeat]:
        """To be asked for good rows."""
        if isinstance(row, ClassRow):
            key = f"{row.grade}{row.letter} {row.school_year}"
            first = self._places.setdefault(("classes", key), row.place)
            if first is not row.place:
                yield Repeat("letter", None, "row.duplicate", f"one row for each class and year; row {first.row} has it")
            return
        yield from self._of_consent(row, _name(row), None)
        for guardian in row.guardians if isinstance(row, PupilRow) else ():
            name = _name(guardian)
            yield from self._of_consent(guardian, name, guardian.number)
            if guardian.external_id and self._guardians.setdefault(guardian.external_id, name) != name:
                yield Repeat("external_id", guardian.number, "guardian.id-reused", "one ID for each guardian; another name has this one")

    def _of_consent(self, person: PupilRow | GuardianRow | StaffRow, name: Name, guardian: int | None) -> Iterator[Repeat]:
        if person.consent_number and self._consents.setdefault(person.consent_number, name) != name:
            yield Repeat("consent_number", guardian, "consent.number-reused", "one number for each person; another name has this one")
