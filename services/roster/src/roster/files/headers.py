"""Finds the header of a table: which kind of rows it holds and which column is which.

A header is one row of titles, or two where the groups «Родитель 1» and «Родитель 2» stand in merged cells above their columns; a heading
may stand over it. The kind follows from the columns; the name of the sheet or the file only helps to say what is missing.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from pydantic import BaseModel

from .cells import Cell, is_class_label, plain
from .findings import FileRefused
from .rows import ROW_TYPES, Column, GuardianRow, Kind
from .words import folded

NumberedRow = tuple[int, Sequence[Cell]]

GUARDIANS = (1, 2)
LOOKED_AT = 10
"""So many rows at the top of a table may hold its header."""

# What `write_rejected` adds on the left; read again, it means nothing.
REJECTED_ROW = "Строка"
REJECTED_WHY = "Что исправить"
REJECTED_MORE = "За последним столбцом"

_GROUPS = ("Родитель", "Законный представитель", "Представитель", "Guardian", "Parent")
_GROUPS_BEHIND = ("родителя", "родитель", "представителя", "представитель", "of guardian", "of parent", "guardian", "parent")
_PARENTS = {1: (("мать", "мама"), ("матери", "мамы")), 2: (("отец", "папа"), ("отца", "папы"))}
"""Lists that know of two parents name them instead of counting them: before a title, and behind it."""
_OWNERS: dict[Kind, tuple[str, ...]] = {
    "pupils": ("ученика", "обучающегося", "учащегося", "воспитанника", "ребёнка", "школьника"),
    "staff": ("сотрудника", "работника", "педагога", "учителя"),
    "classes": ("класса",),
}
"""A title may say whose it is: «Фамилия обучающегося»."""
_KIND_WORDS: dict[Kind, tuple[str, ...]] = {
    "pupils": ("ученик", "учащ", "обучающ", "pupil", "student"),
    "staff": ("сотрудник", "персонал", "педагог", "учител", "staff", "employee", "teacher"),
    "classes": ("класс", "class"),
}


@dataclass(frozen=True, slots=True)
class Field:
    """Where a column's cells go: a field of the row, or of its `guardian` 1 or 2."""

    name: str
    title: str
    required: bool
    guardian: int | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """A table's header: its kind, the index of its last row (from 0), the field of each column, and the titles of the unknown ones.

    `width` is how many columns there are up to the last one with a title.
    """

    kind: Kind
    last_row: int
    fields: tuple[Field | None, ...]
    unknown: dict[int, str]
    width: int

    @property
    def known(self) -> list[Field]:
        return [field for field in self.fields if field is not None]


def _columns(row: type[BaseModel], guardian: int | None = None) -> list[tuple[Field, Column]]:
    columns: list[tuple[Field, Column]] = []
    for name, info in row.model_fields.items():
        for column in info.metadata:
            if isinstance(column, Column):
                title = column.title if guardian is None else f"Родитель {guardian}: {column.title}"
                columns.append((Field(name, title, info.is_required(), guardian), column))
    return columns


def _vocabulary(kind: Kind) -> dict[str, Field]:
    own = {title: field for field, column in _columns(ROW_TYPES[kind]) for title in (column.title, *column.others)}
    words = {folded(f"{title} {owner}"): field for title, field in own.items() for owner in _OWNERS[kind]}
    words |= {folded(title): field for title, field in own.items()}
    if kind == "pupils":
        for number in GUARDIANS:
            for field, column in _columns(GuardianRow, number):
                for title in (column.title, *column.others):
                    words |= {folded(f"{group} {number} {title}"): field for group in _GROUPS}
                    words |= {folded(f"{title} {group} {number}"): field for group in _GROUPS_BEHIND}
                    before, behind = _PARENTS[number]
                    words |= {folded(f"{parent} {title}"): field for parent in before}
                    words |= {folded(f"{title} {parent}"): field for parent in behind}
    return words


FIELDS: dict[Kind, dict[str, Field]] = {kind: _vocabulary(kind) for kind in ROW_TYPES}
"""The fields of each kind by every title that they answer to, folded."""

TITLES = {(kind, field.name, field.guardian): field.title for kind, fields in FIELDS.items() for field in fields.values()}
"""The template's title of every field, by kind, name and guardian."""

_GROUP_LABELS = {
    folded(f"{group} {number} {rest}"): f"{_GROUPS[0]} {number} "
    for group in _GROUPS
    for number in GUARDIANS
    for rest in ("", "законный представитель", *_PARENTS[number][0])
} | {folded(parent): f"{_GROUPS[0]} {number} " for number in GUARDIANS for parent in _PARENTS[number][0]}
# Titles have words; dates, numbers and addresses are somebody's data, in a header by mistake.
_TITLE = re.compile(r"[^\W\d_](?:[^\W\d]|[ .,/()\-–№:]|[0-9](?![0-9]{2})){0,59}")
# A column that counts the rows says nothing.
_COUNTING = ("№", "№ п/п", "п/п", "N п/п", "N", "No.", "Порядковый номер", "Номер по порядку")
_SET_ASIDE = {folded(title) for title in (REJECTED_ROW, REJECTED_WHY, REJECTED_MORE, *_COUNTING)}
_WHOLE_NAME = re.compile("фио|фамилияимя|фамилияиимя|полноеимя|fullname|^(физическоелицо|ученик|учащийся|обучающийся|сотрудник|работник)$")


def recognised(cells: Sequence[Cell]) -> int:
    """How many of the cells are titles of one kind: what tells a header from data, and the right delimiter from a wrong one."""
    words = [folded(plain(cell)) for cell in cells]
    return max(len({vocabulary[word].title for word in words if word in vocabulary}) for vocabulary in FIELDS.values())


def is_whole_name(title: str) -> bool:
    """Whether a title, like «ФИО», is that of a column with a whole name in each cell."""
    return _WHOLE_NAME.search(folded(title)) is not None


def column_named(index: int, title: str) -> str:
    """How a column that nobody knows is named: by its letters, and by its title where that looks like one and like nobody's data."""
    letters, rest = "", index + 1
    while rest:
        rest, last = divmod(rest - 1, 26)
        letters = chr(ord("A") + last) + letters
    return f"{letters} «{title}»" if _TITLE.fullmatch(title) else letters


def _kind_by_name(name: str) -> Kind | None:
    """The kind that the name of a sheet or a file speaks of, if any."""
    word = folded(name)
    return next((kind for kind, words in _KIND_WORDS.items() if any(known in word for known in words)), None)


def header_and_rows(rows: Iterable[Sequence[Cell]], *, file: str, sheet: str | None) -> tuple[Header | None, Iterator[NumberedRow]]:
    """The header of a table, and the filled rows below it with their numbers, from 1 as the spreadsheet shows them.

    Without a header, which is where neither the columns nor the name tell a kind, every filled row is given.
    Refuses the file if a required column is missing (`file.column-missing`) or a title stands twice (`file.column-repeated`).
    """
    filled = ((number, row) for number, row in enumerate(rows, 1) if any(cell != "" for cell in row))
    top = list(islice(filled, LOOKED_AT))
    header = _find([row for _, row in top], file=file, sheet=sheet) if top else None
    return header, chain(top[header.last_row + 1 :] if header else top, filled)


def _find(top: Sequence[Sequence[Cell]], *, file: str, sheet: str | None) -> Header | None:
    lines = [[plain(cell) for cell in row] for row in top]
    candidates = [_best(lines, kind) for kind in ROW_TYPES]
    complete = [header for header in candidates if not _missing(header)]
    if not complete:
        named = _kind_by_name(sheet or file)
        nearest = next((header for header in candidates if header.kind == named), max(candidates, key=_share_of_required))
        share = _share_of_required(nearest)
        if share == 0 or (named is None and share < 0.5):
            return None
        text = f"Columns are missing: {', '.join(f'«{title}»' for title in _missing(nearest))}."
        raise FileRefused("file.column-missing", text, _how_to_add(nearest, sheet), file=file, sheet=sheet)
    header = max(complete, key=lambda header: len(header.known))
    titles = [field.title for field in header.known]
    if twice := next((title for title in titles if titles.count(title) > 1), None):
        hint = "Leave one of the two."
        if (first := f"Родитель 1: {twice}") in TITLES.values() and header.kind == "pupils":
            hint = f"Leave one of the two. If one of them is a parent's, title it «{first}»."
        raise FileRefused("file.column-repeated", f"The column «{twice}» stands twice.", hint, file=file, sheet=sheet)
    return header


def _how_to_add(header: Header, sheet: str | None) -> str:
    """What to do about missing columns; more where it shows what stands in their place."""
    hints = ["Add them, titled as in the template, in a row above the data."]
    missing = _missing(header)
    if any(map(is_whole_name, header.unknown.values())):
        hints.append("A column with whole names is not read: split it into «Фамилия», «Имя» and «Отчество».")
    if {"ID", "Табельный №"} & set(missing):
        hints.append("An ID is whatever stays with a person and is nobody else's, as the number of the personal file is.")
    if "Класс" in missing and any(folded(title) in ("параллель", "номеркласса") for title in header.unknown.values()):
        hints.append("Write a class into one column, «Класс», like 5А.")
    if "Класс" in missing and sheet is not None and is_class_label(sheet):
        hints.append("The name of a sheet is not read as the class: write it into each row.")
    return " ".join(hints)


def _best(lines: Sequence[list[str]], kind: Kind) -> Header:
    """The row, or the two rows as one, with the most titles of a kind and the fewest unknown ones."""
    best = Header(kind, 0, (), {}, 0)
    for index, titles in enumerate(lines):
        readings = [(index, titles)]
        if index + 1 < len(lines):
            readings.append((index + 1, _joined(kind, titles, lines[index + 1])))
        for last_row, line in readings:
            header = _read(kind, last_row, line)
            if _worth(header) > _worth(best):
                best = header
    return best


def _worth(header: Header) -> tuple[int, int]:
    return len({field.title for field in header.known}), -len(header.unknown)


def _joined(kind: Kind, upper: list[str], lower: list[str]) -> list[str]:
    """Two header rows as one: a merged cell holds its text at its left end only, so a group reaches to the next title of the upper row."""
    titles: list[str] = []
    above = group = ""
    for index in range(max(len(upper), len(lower))):
        title = upper[index] if index < len(upper) else ""
        below = lower[index] if index < len(lower) else ""
        if title:
            above, group = title, _GROUP_LABELS.get(folded(title), "")
        if below and not group and folded(f"{above} {below}") in FIELDS[kind]:
            titles.append(f"{above} {below}")  # «Согласие» over «№» and «Дата»
        else:
            titles.append(group + below if below else "" if group else title)
    return titles


def _read(kind: Kind, last_row: int, line: list[str]) -> Header:
    words = [folded(title) for title in line]
    fields = tuple(FIELDS[kind].get(word) for word in words)
    unknown = {
        index: title
        for index, (title, word, field) in enumerate(zip(line, words, fields, strict=True))
        if field is None and word and word not in _SET_ASIDE
    }
    width = max((index for index, word in enumerate(words, 1) if word), default=0)
    return Header(kind, last_row, fields, unknown, width)


def _required(kind: Kind, guardians: set[int | None]) -> dict[str, None]:
    wanted = {None, *guardians}
    return dict.fromkeys(field.title for field in FIELDS[kind].values() if field.required and field.guardian in wanted)


def _missing(header: Header) -> list[str]:
    """The required columns that are not there; those of a guardian are required once one column of that guardian is there."""
    present = {field.title for field in header.known}
    guardians = {field.guardian for field in header.known}
    return [title for title in _required(header.kind, guardians) if title not in present]


def _share_of_required(header: Header) -> float:
    required = _required(header.kind, set())
    there = {field.title for field in header.known}
    if any(map(is_whole_name, header.unknown.values())):
        there |= {"Фамилия", "Имя"}
    return len(there & required.keys()) / len(required)
