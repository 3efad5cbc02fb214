"""How large a file may be: what comes from outside is measured, so that a small file cannot fill the memory."""

from collections.abc import Iterable, Iterator, Sequence

from contracts.roster import FILE_BYTES

from .cells import Cell
from .findings import FileRefused

UNPACKED_BYTES = 128 * 2**20
ROWS = 50_000
"""Row numbers stay below it, and all tables of a file have no more rows than that: no school has so many people."""
EXPORT_ROWS = 200_000
"""The same of a file of OneRoster: each pupil is enrolled in every lesson."""
CELL_CHARACTERS = 10_000


def refuse_large(size: int, name: str) -> None:
    if size > FILE_BYTES:
        raise FileRefused("file.too-large", f"It is larger than {FILE_BYTES // 2**20} MiB.", "Split it into several files.", file=name)


def refuse_long(rows: Iterable[Sequence[Cell]], *, most: int = ROWS, file: str, sheet: str | None) -> Iterator[Sequence[Cell]]:
    """The same rows, up to the first that exceeds a limit."""
    for number, row in enumerate(rows, 1):
        if number >= most:
            raise too_many_rows(most, file=file, sheet=sheet)
        for cell in row:
            if isinstance(cell, str) and len(cell) > CELL_CHARACTERS:
                raise too_long(f"A cell of row {number}", file=file, sheet=sheet)
        yield row


def too_many_rows(most: int, *, file: str, sheet: str | None = None) -> FileRefused:
    hint = "Hand in one school's alone. If it is one, delete empty rows, or split it into several files."
    return FileRefused("file.too-large", f"It has {most:,} rows or more.", hint, file=file, sheet=sheet)


def too_long(what: str, *, file: str, sheet: str | None = None) -> FileRefused:
    text = f"{what} holds more than {CELL_CHARACTERS:,} characters."
    hint = "Shorten it; in a csv file, look for a quotation mark that is never closed."
    return FileRefused("file.cell-too-long", text, hint, file=file, sheet=sheet)
