"""Rows below a header that are nobody's: people put totals, headings and the count of the columns into a table, and repeat its titles."""

from collections.abc import Sequence
from typing import Literal

from .cells import Cell, plain
from .headers import FIELDS, Header
from .words import folded

Aside = Literal["row.total", "row.numbering", "row.header"]

HINTS: dict[Aside, str] = {
    "row.total": "a row of totals; it was passed over",
    "row.numbering": "a row that counts the columns; it was passed over",
    "row.header": "the titles once more; the row was passed over",
}

_TOTALS = ("итого", "всего")
_FEWEST = 3
"""So few cells may be somebody's still."""


def aside_of(header: Header, cells: Sequence[Cell], *, is_first: bool) -> Aside | None:
    """What a row is that is nobody's; None for one that is to be read. The first filled cell tells most rows from such a one."""
    first = next((text for cell in cells if (text := plain(cell))), "")
    if folded(first).startswith(_TOTALS) and not _is_complete(header, cells):
        return "row.total"
    if is_first and first == "1" and _counts(cells):
        return "row.numbering"
    return "row.header" if _is_title(header, cells) else None


def _counts(cells: Sequence[Cell]) -> bool:
    filled = [text for cell in cells if (text := plain(cell))]
    return len(filled) >= _FEWEST and filled == [str(number) for number in range(1, len(filled) + 1)]


def _is_title(header: Header, cells: Sequence[Cell]) -> bool:
    """Whether the first cells in columns of the template, as many as are enough, hold the titles of these columns."""
    titles, same = FIELDS[header.kind], 0
    for field, cell in zip(header.fields, cells, strict=False):
        if field is not None and (text := plain(cell)):
            if titles.get(folded(text)) != field:
                return False
            same += 1
            if same == _FEWEST:
                return True
    return False


def is_heading(cells: Sequence[Cell]) -> bool:
    """Whether but one cell is filled: a heading between the rows, or a remark."""
    return sum(plain(cell) != "" for cell in cells) == 1


def _is_complete(header: Header, cells: Sequence[Cell]) -> bool:
    """Whether every column that has to be filled is."""
    required = (index for index, field in enumerate(header.fields) if field is not None and field.required and field.guardian is None)
    return all(index < len(cells) and plain(cells[index]) for index in required)
