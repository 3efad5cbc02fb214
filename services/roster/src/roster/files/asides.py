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
    """What a row is that is nobody's; None for one that is to be read."""
    texts = [plain(cell) for cell in cells]
    filled = [text for text in texts if text]
    if filled and folded(filled[0]).startswith(_TOTALS) and not _is_complete(header, texts):
        return "row.total"
    if len(filled) < _FEWEST:
        return None
    if is_first and filled == [str(number) for number in range(1, len(filled) + 1)]:
        return "row.numbering"
    titles = FIELDS[header.kind]
    same = sum(field is not None and titles.get(folded(text)) == field for field, text in zip(header.fields, texts, strict=False))
    return "row.header" if same >= _FEWEST else None


def is_heading(cells: Sequence[Cell]) -> bool:
    """Whether but one cell is filled: a heading between the rows, or a remark."""
    return sum(plain(cell) != "" for cell in cells) == 1


def _is_complete(header: Header, texts: Sequence[str]) -> bool:
    """Whether every column that has to be filled is."""
    required = (index for index, field in enumerate(header.fields) if field is not None and field.required and field.guardian is None)
    return all(index < len(texts) and texts[index] for index in required)
