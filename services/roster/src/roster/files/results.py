"""What reading a file comes to, whatever its format."""

from dataclasses import dataclass
from typing import Literal

from .csvs import Encoding
from .findings import Finding, Place
from .oneroster.known import ExportId
from .rows import ClassRow, Kind, PupilRow, StaffRow

Format = Literal["template", "oneroster"]


@dataclass(frozen=True, slots=True)
class Detected:
    """How one table was understood; `rows` counts the good and the rejected. Encoding and delimiter are None in a workbook.

    Guardians have rows of their own in OneRoster; they are entered, and counted, with their pupils.
    """

    file: str
    sheet: str | None
    kind: Kind | Literal["guardians"]
    encoding: Encoding | None
    delimiter: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class Departure:
    """What a row of changes wants deleted: a person, a class, or somebody's place in a class. Nothing is, before somebody decides."""

    place: Place
    of: Literal["users", "classes", "students", "teachers"]
    external_id: str
    class_id: str | None


@dataclass(frozen=True, slots=True)
class RosterFile:
    """What was read: the good rows in the order of the file, an error for each bad cell (its row is in none of the three), and warnings."""

    pupils: tuple[PupilRow, ...]
    staff: tuple[StaffRow, ...]
    classes: tuple[ClassRow, ...]
    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    detected: tuple[Detected, ...]
    format: Format = "template"
    departures: tuple[Departure, ...] = ()
    export_ids: tuple[ExportId, ...] = ()
