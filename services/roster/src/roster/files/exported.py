"""A school's roster as it goes out into a file: what is known of its classes and people, in no format yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from .cells import ClassLabel
from .words import Kinship, Role

ExportFormat = Literal["xlsx", "csv", "oneroster-1.1", "oneroster-1.2"]


@dataclass(frozen=True, slots=True)
class ExportedClass:
    """`school_year` is the year in which it begins; `teacher` is the person's own id."""

    class_id: str
    label: ClassLabel
    school_year: int
    shift: int
    declared_pupils: int
    teacher: str | None


@dataclass(frozen=True, slots=True, repr=False)
class ExportedPerson:
    """`external_id` is the one under which imports find the person; the own id where nobody gave one."""

    person: str
    external_id: str
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True, repr=False)
class ExportedMember(ExportedPerson):
    role: Role
    hired_on: date | None


@dataclass(frozen=True, slots=True, repr=False)
class ExportedGuardian(ExportedPerson):
    kinship: Kinship
    legal_representative: bool


@dataclass(frozen=True, slots=True, repr=False)
class ExportedPupil(ExportedPerson):
    class_id: str
    enrolled_on: date | None
    guardians: tuple[ExportedGuardian, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Exported:
    """`classes` are open and created, `staff` works here, `pupils` are in one of the classes."""

    school: str
    name: str
    classes: tuple[ExportedClass, ...]
    staff: tuple[ExportedMember, ...]
    pupils: tuple[ExportedPupil, ...]


@dataclass(frozen=True, slots=True, repr=False)
class WrittenFile:
    """A file for the school, full of personal data: not to be stored in clear."""

    name: str
    content: bytes
