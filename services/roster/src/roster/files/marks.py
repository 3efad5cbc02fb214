"""What a workbook says of its cells beside their contents: which hold a formula, which are merged, and which rows are hidden.

What a formula shows was computed once, by a program, and may be of another day or nothing at all.
"""

import posixpath
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

from .cells import Cell
from .findings import FileRefused

FORMULAS = 50_000
MERGED = 50_000
_OVERVIEW_BYTES = 2**20
_RELATIONS = "xl/_rels/workbook.xml.rels"
_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_FORMULA = re.compile(rb"<(?:\w{1,20}:)?f[\s/>]")
_CELL = re.compile(rb"""<(?:\w{1,20}:)?c\s(?:[^<>]*\s)?r\s*=\s*["']([A-Za-z]{1,3})0*(\d{1,7})["'][^<>]*>\s*""")
_CELL_BYTES = 300
"""So long is the beginning of a cell at most: what comes from outside is not looked through again and again."""
_MERGED = re.compile(rb"""<(?:\w{1,20}:)?mergeCell\s[^<>]{0,100}?ref\s*=\s*["']([A-Za-z]{1,3})0*(\d{1,7}):[A-Za-z]{1,3}0*(\d{1,7})["']""")
_HIDDEN = re.compile(rb"<(?:\w{1,20}:)?row\s([^<>]{0,300})hidden\s*=\s*[\"'](?:1|true)[\"']([^<>]{0,300})")
_ROW_NUMBER = re.compile(rb"""(?:^|\s)r\s*=\s*["']0*(\d{1,7})["']""")


@dataclass(frozen=True, slots=True)
class Marks:
    """Rows count from 1, columns from 0. `formulas` are the columns by row; `merged` are areas of several rows by their first row: of each
    the left column and the last row."""

    formulas: dict[int, set[int]] = field(default_factory=dict[int, set[int]])
    merged: dict[int, list[tuple[int, int]]] = field(default_factory=dict[int, list[tuple[int, int]]])
    hidden: set[int] = field(default_factory=set[int])


def marks_of(archive: zipfile.ZipFile, name: str) -> Mapping[str, Marks]:
    """By sheet. To be asked for what is known to be no bomb."""
    found: dict[str, Marks] = {}
    for sheet, path in _sheets(archive).items():
        content = archive.read(path)
        marks = found.setdefault(sheet, Marks())
        for count, match in enumerate(_FORMULA.finditer(content), 1):
            if count > FORMULAS:
                text = f"It has more than {FORMULAS:,} formulas."
                raise FileRefused("file.formulas", text, "Copy the tables and paste them as values.", file=name, sheet=sheet)
            begins = content.rfind(b"<", max(0, match.start() - _CELL_BYTES), match.start())
            if begins >= 0 and (cell := _CELL.fullmatch(content, begins, match.start())) is not None:
                marks.formulas.setdefault(int(cell[2]), set()).add(_index(cell[1]))
        for count, area in enumerate(_MERGED.finditer(content), 1):
            if count > MERGED:
                text = f"It has more than {MERGED:,} merged cells."
                raise FileRefused("file.merged-cells", text, "Copy the tables and paste them as values.", file=name, sheet=sheet)
            first, last = int(area[2]), int(area[3])
            if last > first:
                marks.merged.setdefault(first, []).append((_index(area[1]), last))
        for row in _HIDDEN.finditer(content):
            if (number := _ROW_NUMBER.search(row[1]) or _ROW_NUMBER.search(row[2])) is not None:
                marks.hidden.add(int(number[1]))
    return found


def spread(rows: Iterator[Sequence[Cell]], marks: Marks, first_column: int) -> Iterator[Sequence[Cell]]:
    """The same rows, with what stands in a cell of several rows in each of them, as it is seen. A file keeps it in the first alone."""
    if not marks.merged:
        yield from rows
        return
    over: dict[int, tuple[int, Cell]] = {}
    for number, row in enumerate(rows, 1):
        filled = list(row)
        for column, (last, value) in over.items():
            if number <= last and column < len(filled) and filled[column] == "":
                filled[column] = value
        for left, last in marks.merged.get(number, ()):
            column = left - first_column
            if 0 <= column < len(filled):
                over[column] = (last, filled[column])
        yield filled


def _sheets(archive: zipfile.ZipFile) -> Mapping[str, str]:
    """The path of each sheet; none where the workbook does not tell it, as then nobody can open it."""
    paths = set(archive.namelist())
    overview = [archive.read(path) if path in paths else b"" for path in ("xl/workbook.xml", _RELATIONS)]
    if any(len(content) > _OVERVIEW_BYTES for content in overview):
        return {}
    try:
        workbook, relations = map(ElementTree.fromstring, overview)
    except ElementTree.ParseError:
        return {}
    targets = {one.get("Id"): posixpath.normpath(posixpath.join("/xl", one.get("Target", ""))).lstrip("/") for one in relations}
    sheets = {one.get("name", ""): targets.get(one.get(_ID), "") for one in workbook.iter() if one.tag.endswith("}sheet")}
    return {sheet: path for sheet, path in sheets.items() if path in paths}


def _index(letters: bytes) -> int:
    index = 0
    for letter in letters.upper():
        index = index * 26 + letter - ord("A") + 1
    return index - 1
