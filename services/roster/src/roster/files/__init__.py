"""Reads what a school hands in: our template as a workbook or as csv, or a OneRoster export (DOMAIN section 4).

`read_roster` turns a file, a folder of csv files or uploaded bytes into typed rows and findings. A file that makes no sense as a whole is
refused (`FileRefused`) and nothing is read from it; a bad cell rejects its row alone, and `write_rejected` hands the rejected rows back as
a file that can be corrected and read again.

The rooms, in the order in which a file passes through them: `limits`, `csvs`, `marks` and `tables` (bytes to rows of cells), `headers`
(which column is which), `rows` (the columns of the three kinds), `cells` and `words` (what may stand in a cell), `asides` and `repeats`
(rows that are nobody's, or somebody's a second time), `reading` (the whole), `rejected`. `oneroster` makes the same rows of an export. The
other way: `exported` (what goes out) and `writing`.
"""

from .cells import ClassLabel
from .exported import (
    Exported,
    ExportedClass,
    ExportedGuardian,
    ExportedMember,
    ExportedPupil,
    ExportFormat,
    WrittenFile,
)
from .findings import FileRefused, Finding, Place
from .oneroster import ExportId, IdKind, Known
from .reading import holds_changes_only, read_roster
from .rejected import RejectedFile, write_rejected
from .results import Departure, Detected, Format, RosterFile
from .rows import ClassRow, GuardianRow, PupilRow, StaffRow
from .words import Kinship, Role, Sex
from .writing import write_roster

__all__ = [
    "ClassLabel",
    "ClassRow",
    "Departure",
    "Detected",
    "ExportFormat",
    "ExportId",
    "Exported",
    "ExportedClass",
    "ExportedGuardian",
    "ExportedMember",
    "ExportedPupil",
    "FileRefused",
    "Finding",
    "Format",
    "GuardianRow",
    "IdKind",
    "Kinship",
    "Known",
    "Place",
    "PupilRow",
    "RejectedFile",
    "Role",
    "RosterFile",
    "Sex",
    "StaffRow",
    "WrittenFile",
    "holds_changes_only",
    "read_roster",
    "write_rejected",
    "write_roster",
]
