"""Reads a whole roster file: each table's header, then row by row what is good and what is wrong."""

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from .asides import HINTS, Aside, aside_of, is_heading
from .cells import Cell, plain
from .findings import FileRefused, Finding, Place
from .headers import LOOKED_AT, TITLES, Header, column_named, header_and_rows, is_whole_name
from .limits import ROWS, too_many_rows
from .oneroster import NOTHING_KNOWN, Known, open_bundle, read_bundle
from .repeats import Repeats
from .results import Detected, RosterFile
from .rows import ROW_TYPES, ClassRow, PupilRow, StaffRow
from .tables import Table, open_tables
from .words import says_nothing


def read_roster(
    source: Path | bytes, name: str = "", *, school: str = "", today: date = date.max, known: Known = NOTHING_KNOWN
) -> RosterFile:
    """Reads a path (.xlsx, .csv, a folder or zip of .csv) or uploaded bytes with their file name; raises `FileRefused`.

    The kind of each table follows from its columns, so the names of files and sheets are free. Empty tables are passed over.
    A OneRoster folder or archive is read for the school, as it is on the day; the template speaks of one school and of no day. Changes only
    are read beside what is `known` of the school.
    """
    if isinstance(source, Path):
        name = name or source.name
    if (bundle := open_bundle(source, name)) is not None:
        return read_bundle(bundle, school, today, known)
    tables, ignored = open_tables(source, name)
    reading = _Reading(ignored)
    for table in tables:
        reading.read(table)
    return reading.result(name)


def holds_changes_only(content: bytes, name: str) -> bool:
    """Whether it is a OneRoster delta, for which the school's roster has to be known. Raises `FileRefused`."""
    bundle = open_bundle(content, name)
    return bundle is not None and bundle.is_delta


_WHOLE_NAME = "whole names are not read: split the column into one of last names, one of first names and one of patronymics"


class _Wrong(NamedTuple):
    field: str | None
    guardian: int | None
    code: str
    hint: str


class _Reading:
    def __init__(self, warnings: list[Finding]) -> None:
        self._pupils: list[PupilRow] = []
        self._staff: list[StaffRow] = []
        self._classes: list[ClassRow] = []
        self._errors: list[Finding] = []
        self._warnings = warnings
        self._detected: list[Detected] = []
        self._not_understood: list[Table] = []
        self._repeats = Repeats()
        self._rows = 0

    def result(self, name: str) -> RosterFile:
        if not self._detected and self._not_understood:
            table = self._not_understood[0]
            how = f" It was read as {table.encoding} with {table.delimiter!r} between the columns." if table.encoding else ""
            hint = f"Put the template's titles for pupils, staff or classes in one of the first {LOOKED_AT} rows, above the data."
            if table.encoding:
                hint += " If they are there, the file is in another encoding or has another sign between the columns: save it as .xlsx."
            raise FileRefused("file.kind-unknown", f"Its columns are those of no template.{how}", hint, file=name)
        if not any(table.rows for table in self._detected):
            raise FileRefused("file.empty", "It holds no rows.", "Hand in a file with a row of titles and the data below it.", file=name)
        return RosterFile(
            tuple(self._pupils), tuple(self._staff), tuple(self._classes), tuple(self._errors), tuple(self._warnings), tuple(self._detected)
        )

    def read(self, table: Table) -> None:
        header, rows = header_and_rows(table.rows, file=table.file, sheet=table.sheet)
        if header is None:
            if any(any(plain(cell) for cell in row) for _, row in rows):
                self._not_understood.append(table)
                self._warn(table, None, "table.unknown", "its columns are those of no template; it was not read")
            return
        for index, title in header.unknown.items():
            hint = _WHOLE_NAME if is_whole_name(title) else "the template has no such column; it was not read"
            self._warn(table, column_named(table.first_column + index, title), "column.unknown", hint)
        count = 0
        asides: dict[Aside, list[int]] = {}
        beside: list[int] = []
        hidden: list[int] = []
        for index, (number, row) in enumerate(rows):
            if (aside := aside_of(header, row, is_first=index == 0)) is not None:
                asides.setdefault(aside, []).append(number)
                continue
            computed = {column - table.first_column for column in table.marks.formulas.get(number, ())}
            self._rows += 1
            if self._rows >= ROWS:
                raise too_many_rows(ROWS, file=table.file, sheet=table.sheet)
            is_read = self._read_row(header, Place(table.file, table.sheet, number), row, computed)
            count += is_read
            if table.sheet is not None and any(plain(cell) for cell in row[header.width :]):
                beside.append(number)
            if is_read and number in table.marks.hidden:
                hidden.append(number)
        for aside, numbers in asides.items():
            self._warn_of_rows(table, aside, HINTS[aside], numbers)
        self._warn_of_rows(table, "row.hidden", "hidden rows are read like the others", hidden)
        self._warn_of_rows(table, "column.untitled", "what stands beside the last column was not read", beside)
        self._detected.append(Detected(table.file, table.sheet, header.kind, table.encoding, table.delimiter, count))

    def _warn(self, table: Table, column: str | None, code: str, hint: str) -> None:
        self._warnings.append(Finding(table.file, table.sheet, None, column, code, hint))

    def _warn_of_rows(self, table: Table, code: str, hint: str, rows: Sequence[int]) -> None:
        if rows:
            where = f"in {len(rows)} rows, row {rows[0]} first" if len(rows) > 1 else f"in row {rows[0]}"
            self._warn(table, None, code, f"{hint}, {where}")

    def _read_row(self, header: Header, place: Place, cells: Sequence[Cell], formulas: Collection[int]) -> bool:
        """Puts one row among the good ones, or what is wrong with it among the errors; False if it is blank."""
        values, guardians = _cells_by_field(header, cells)
        # In a csv file every cell of such a row may have moved; a workbook may have notes beside its table.
        more = place.sheet is None and any(plain(cell) for cell in cells[header.width :])
        computed = [field for index, field in enumerate(header.fields) if index in formulas and field is not None]
        if not values and not guardians and not more and not computed:
            return False
        if (
            len(values) + len(guardians) == 1
            and is_heading(cells)
            and sum(field is not None and field.required for field in header.fields) > 1
        ):
            hint = "more than one filled cell: delete the row if it is a heading or a remark, or fill in the required columns"
            self._errors.append(Finding(place.file, place.sheet, place.row, None, "row.heading", hint))
            return True
        hint = "a value: copy the column and paste it as values"
        wrong = [_Wrong(field.name, field.guardian, "cell.formula", hint) for field in computed]
        if more:
            hint = "no more cells than there are titles: put quotation marks around a cell that holds the separator"
            wrong.append(_Wrong(None, None, "row.too-long", hint))
        if "external_id" in values:
            wrong += [_Wrong(*repeat) for repeat in self._repeats.of_id(header.kind, str(values["external_id"]), place)]
        numbers = sorted(guardians)
        if header.kind == "pupils":
            values["guardians"] = tuple({**guardians[number], "number": number} for number in numbers)
        try:
            row = ROW_TYPES[header.kind].model_validate({**values, "place": place})
        except ValidationError as error:
            wrong += _what_is_wrong(error, numbers)
        else:
            wrong += [_Wrong(*repeat) for repeat in self._repeats.of_row(row)]
            if not wrong:
                self._keep(row)
        for field, guardian, code, hint in wrong:
            column = TITLES.get((header.kind, field, guardian)) if field else None
            self._errors.append(Finding(place.file, place.sheet, place.row, column, code, hint))
        return True

    def _keep(self, row: PupilRow | StaffRow | ClassRow) -> None:
        match row:
            case PupilRow():
                self._pupils.append(row)
            case StaffRow():
                self._staff.append(row)
            case ClassRow():
                self._classes.append(row)


def _cells_by_field(header: Header, cells: Sequence[Cell]) -> tuple[dict[str, object], dict[int, dict[str, object]]]:
    """The filled cells of a row by field, and those of its guardians by number and field. «Нет» in a column that may be blank is blank."""
    values: dict[str, object] = {}
    guardians: dict[int, dict[str, object]] = {}
    for field, cell in zip(header.fields, cells, strict=False):
        if field is not None and cell != "":
            value = cell if isinstance(cell, date) else plain(cell)
            if value != "" and (field.required or not _says_nothing(value)):
                target = values if field.guardian is None else guardians.setdefault(field.guardian, {})
                target[field.name] = value
    return values, {number: cells for number, cells in guardians.items() if not all(map(_says_nothing, cells.values()))}


def _says_nothing(value: object) -> bool:
    return isinstance(value, str) and says_nothing(value)


def _what_is_wrong(error: ValidationError, numbers: Sequence[int]) -> Iterator[_Wrong]:
    for entry in error.errors(include_url=False, include_input=False):
        path = entry["loc"]
        guardian = numbers[path[1]] if len(path) > 1 and isinstance(path[1], int) else None
        # What is wrong between two cells of a row names the one to be looked at.
        field = entry.get("ctx", {}).get("field") or (path[-1] if path else None)
        if entry["type"] == "missing":
            yield _Wrong(str(field), guardian, "cell.blank", "this column must be filled in every row")
        else:
            yield _Wrong(str(field) if isinstance(field, str) else None, guardian, entry["type"], entry["msg"])
