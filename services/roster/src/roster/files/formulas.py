"""Which cells of a workbook hold a formula: what they show was computed once, by a program, and may be of another day or nothing at all."""

import posixpath
import re
import zipfile
from collections.abc import Mapping
from xml.etree import ElementTree

from .findings import FileRefused

FORMULAS = 50_000
_OVERVIEW_BYTES = 2**20
_RELATIONS = "xl/_rels/workbook.xml.rels"
_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_FORMULA = re.compile(rb"<(?:\w{1,20}:)?f[\s/>]")
_CELL = re.compile(rb"""<(?:\w{1,20}:)?c\s(?:[^<>]*\s)?r\s*=\s*["']([A-Za-z]{1,3})0*(\d{1,7})["'][^<>]*>\s*""")
_CELL_BYTES = 300
"""So long is the beginning of a cell at most: what comes from outside is not looked through again and again."""


def formulas_of(archive: zipfile.ZipFile, name: str) -> Mapping[str, Mapping[int, set[int]]]:
    """By sheet and row (from 1): the indices (from 0) of the columns with a formula. To be asked for what is known to be no bomb."""
    found: dict[str, dict[int, set[int]]] = {}
    for sheet, path in _sheets(archive).items():
        rows = found.setdefault(sheet, {})
        content = archive.read(path)
        for count, match in enumerate(_FORMULA.finditer(content), 1):
            if count > FORMULAS:
                text = f"It has more than {FORMULAS:,} formulas."
                raise FileRefused("file.formulas", text, "Copy the tables and paste them as values.", file=name, sheet=sheet)
            begins = content.rfind(b"<", max(0, match.start() - _CELL_BYTES), match.start())
            if begins >= 0 and (cell := _CELL.fullmatch(content, begins, match.start())) is not None:
                rows.setdefault(int(cell[2]), set()).add(_index(cell[1]))
    return found


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
