"""Writes a school's roster as `read_roster` reads it: reading what was written asks for no change.

The template as a workbook of three sheets or as an archive of three csv files, or a OneRoster export. No cell can run as a formula, and
what guards it is taken off again in reading. Consents are stated by no number: roster keeps none (docs/decisions/export.md).
"""

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import xlsxwriter  # pyright: ignore[reportMissingTypeStubs] - it has none

from .cells import guarded, phone_written, school_year_on
from .exported import Exported, ExportedGuardian, ExportedMember, ExportedPerson, ExportedPupil, ExportFormat, WrittenFile
from .headers import GUARDIANS, TITLES
from .oneroster import write_bundle
from .rows import Kind
from .words import Kinship, Role

Value = str | int | date | None
Values = Mapping[tuple[str, int | None], Value]
"""The cells of a row by field, and by guardian where it is one's."""

_SHEETS: Mapping[Kind, str] = {"classes": "Классы", "staff": "Сотрудники", "pupils": "Ученики"}
_CLASS = ("grade", "letter", "school_year", "class_teacher_id", "shift", "declared_pupils")
_NAME = ("external_id", "last_name", "first_name", "patronymic")
_STAFF = (*_NAME, "position", "role", "homeroom", "subjects", "email", "phone", "snils", "hired_on")
_PUPIL = (*_NAME, "born_on", "sex", "class_label", "class_year", "enrolled_on", "order_number", "snils", "email")
_GUARDIAN = (*_NAME, "kinship", "legal_representative", "email", "phone", "snils")
_FIELDS: Mapping[Kind, Sequence[tuple[str, int | None]]] = {
    "classes": [(field, None) for field in _CLASS],
    "staff": [(field, None) for field in _STAFF],
    "pupils": [(field, None) for field in _PUPIL] + [(field, number) for number in GUARDIANS for field in _GUARDIAN],
}
_DETAILS = ("last_name", "first_name", "patronymic", "email", "snils", "order_number", "subjects")
_ROLES: Mapping[Role, str] = {"director": "директор", "administrator": "администратор", "teacher": "учитель", "other": "прочее"}
_SEXES = {"female": "ж", "male": "м"}
# Nobody's own word is kept, so a grandmother and a grandfather are written alike.
_KINSHIPS: Mapping[Kinship, str] = {
    "mother": "мать",
    "father": "отец",
    "grandparent": "бабушка или дедушка",
    "guardian": "опекун",
    "other": "прочее",
}
_COLUMN_WIDTH = 18


def write_roster(roster: Exported, file_format: ExportFormat, today: date) -> WrittenFile:
    """The file of a school, as it is on the day."""
    if file_format == "oneroster-1.1" or file_format == "oneroster-1.2":
        version = file_format.removeprefix("oneroster-")
        return WrittenFile(f"{roster.school}-{file_format}.zip", write_bundle(roster, version, today))
    tables: Mapping[Kind, list[Values]] = {
        "classes": list(_classes(roster)),
        "staff": list(_staff(roster, today)),
        "pupils": list(_pupils(roster)),
    }
    if file_format == "xlsx":
        return WrittenFile(f"{roster.school}.xlsx", _workbook(tables))
    return WrittenFile(f"{roster.school}-csv.zip", _archive(tables))


# ---- the rows ------------------------------------------------------------------------------------------------------------


def _classes(roster: Exported) -> Iterator[Values]:
    staff = {member.person: member.external_id for member in roster.staff}
    for one in roster.classes:
        cells: dict[str, Value] = {
            "grade": one.label.grade,
            "letter": one.label.letter,
            "school_year": _year(one.school_year),
            "class_teacher_id": staff.get(one.teacher or ""),
            "shift": one.shift,
            "declared_pupils": one.declared_pupils,
        }
        yield {(field, None): cell for field, cell in cells.items()}


def _staff(roster: Exported, today: date) -> Iterator[Values]:
    # A label means the class of this school year, else the newest; the others' teachers stand in the classes' own rows.
    year = school_year_on(today)
    meant = {one.label: one for one in sorted(roster.classes, key=lambda one: (one.school_year == year, one.school_year))}
    homerooms = {one.teacher: label for label, one in meant.items() if one.teacher is not None}
    for member in roster.staff:
        homeroom = homerooms.get(member.person)
        cells: dict[str, Value] = {
            **_person(member),
            "position": member.details.get("position") or _ROLES[member.role].capitalize(),
            "role": _ROLES[member.role],
            "homeroom": None if homeroom is None else str(homeroom),
            "phone": phone_written(member.details.get("phone", "")),
            "hired_on": member.hired_on,
        }
        yield {(field, None): cell for field, cell in cells.items()}


def _pupils(roster: Exported) -> Iterator[Values]:
    classes = {one.class_id: one for one in roster.classes}
    for pupil in roster.pupils:
        own = classes[pupil.class_id]
        cells: dict[str, Value] = {
            **_person(pupil),
            "born_on": _day(pupil.details.get("birth_date")),
            "sex": _SEXES.get(pupil.details.get("sex", "")),
            "class_label": str(own.label),
            "class_year": _year(own.school_year),
            "enrolled_on": pupil.enrolled_on,
        }
        values: dict[tuple[str, int | None], Value] = {(field, None): cell for field, cell in cells.items()}
        for number, guardian in zip(GUARDIANS, pupil.guardians, strict=False):
            values |= {(field, number): cell for field, cell in _guardian(guardian).items()}
        yield values


def _guardian(guardian: ExportedGuardian) -> dict[str, Value]:
    return {
        **_person(guardian),
        "kinship": _KINSHIPS.get(guardian.kinship, "прочее"),
        "legal_representative": "да" if guardian.legal_representative else "нет",
        "phone": phone_written(guardian.details.get("phone", "")),
    }


def _person(person: ExportedPerson | ExportedMember | ExportedPupil) -> dict[str, Value]:
    return {"external_id": person.external_id, **{field: person.details.get(field) for field in _DETAILS}}


def _year(begins: int) -> str:
    return f"{begins}/{begins + 1}"


def _day(iso: str | None) -> date | None:
    return None if iso is None else date.fromisoformat(iso)


# ---- the files -----------------------------------------------------------------------------------------------------------


def _workbook(tables: Mapping[Kind, Sequence[Values]]) -> bytes:
    content = io.BytesIO()
    workbook: Any = xlsxwriter.Workbook(content, {"in_memory": True})  # nothing personal goes through a temporary file
    with workbook:
        bold, day = workbook.add_format({"bold": True}), workbook.add_format({"num_format": "dd.mm.yyyy"})
        for kind, rows in tables.items():
            sheet = workbook.add_worksheet(_SHEETS[kind])
            sheet.freeze_panes(1, 0)
            sheet.set_column(0, len(_FIELDS[kind]) - 1, _COLUMN_WIDTH)
            for column, (field, guardian) in enumerate(_FIELDS[kind]):
                sheet.write_string(0, column, TITLES[kind, field, guardian], bold)
                for row, values in enumerate(rows, 1):
                    match values.get((field, guardian)):
                        case date() as value:
                            sheet.write_datetime(row, column, value, day)
                        case int() as value:
                            sheet.write_number(row, column, value)
                        case str() as value:
                            sheet.write_string(row, column, guarded(value))
                        case None:
                            pass
    return content.getvalue()


def _archive(tables: Mapping[Kind, Sequence[Values]]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for kind, rows in tables.items():
            text = io.StringIO(newline="")
            writer = csv.writer(text, delimiter=";")
            writer.writerow(TITLES[kind, field, guardian] for field, guardian in _FIELDS[kind])
            writer.writerows([guarded(_text(values.get(field))) for field in _FIELDS[kind]] for values in rows)
            archive.writestr(zipfile.ZipInfo(f"{kind}.csv"), text.getvalue().encode("utf-8-sig"), zipfile.ZIP_DEFLATED)
    return content.getvalue()


def _text(value: Value) -> str:
    if isinstance(value, date):
        return value.strftime("%d.%m.%Y")
    return "" if value is None else str(value)
