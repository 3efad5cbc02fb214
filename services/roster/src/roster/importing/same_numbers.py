"""Who bears a СНИЛС that another of the file or of the school bears: told, and never refused.

One person has one number, so either it is mistyped or the two are one person. Somebody compares them; both rows are entered, as an export
of a school that has such a pair would otherwise not come back as it was.
"""

from __future__ import annotations

from contracts.consent import SubjectKind
from roster.book import Pages
from roster.files import Place, PupilRow, RosterFile, StaffRow
from roster.files.cells import snils_in


class SameNumbers:
    """Compares pupils with pupils and staff with staff: whoever teaches here may be a parent, too."""

    def __init__(self, file: RosterFile, pages: Pages) -> None:
        self._pages = pages
        self._stated = {
            SubjectKind.PUPIL: {row.external_id for row in file.pupils if row.snils is not None},
            SubjectKind.STAFF: {row.external_id for row in file.staff if row.snils is not None},
        }
        self._seen: dict[tuple[SubjectKind, str], Place] = {}
        self._entered: dict[SubjectKind, dict[str, str]] = {}

    def above(self, row: PupilRow | StaffRow) -> Place | None:
        """The row before this one that has its number; a row that is entered is remembered by being asked for."""
        if row.snils is None:
            return None
        first = self._seen.setdefault((_kind(row), row.snils), row.place)
        return None if first is row.place else first

    def entered(self, row: PupilRow | StaffRow) -> str | None:
        """Who is here under this row's number, and under another ID that no row of the file gives a number to."""
        if row.snils is None:
            return None
        kind = _kind(row)
        if kind not in self._entered:
            self._entered[kind] = self._numbers(kind)
        return self._entered[kind].get(row.snils)

    def _numbers(self, kind: SubjectKind) -> dict[str, str]:
        stated = {self._pages.by_external_id(kind, external_id) for external_id in self._stated[kind]}
        others = [person for person in self._pages.active(kind) if person not in stated]
        self._pages.expect_details(others)
        kept = {person: (self._pages.details(person) or {}).get("snils") for person in others}
        return {number: person for person, snils in kept.items() if snils is not None and (number := snils_in(snils)) is not None}


def _kind(row: PupilRow | StaffRow) -> SubjectKind:
    return SubjectKind.PUPIL if isinstance(row, PupilRow) else SubjectKind.STAFF
