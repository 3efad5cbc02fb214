"""Opens what was handed in and gives its tables, row by row: sheets of a workbook, or csv files alone, in a folder or in a zip archive.

Encoding and delimiter of csv are found out. Every limit is here: what comes from outside is measured before it is unpacked, so that a small
file cannot fill the memory.
"""

import csv
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal, NoReturn

from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum

from .cells import Cell
from .findings import FileRefused, Finding
from .formulas import formulas_of
from .headers import LOOKED_AT, recognised

FILE_BYTES = 64 * 2**20
UNPACKED_BYTES = 256 * 2**20
SHARED_TEXT_BYTES = 2**30
"""A workbook keeps a text once, however many cells show it; this bounds what they take when each has its own copy."""
ROWS = 200_000
"""Row numbers stay below it."""
CELL_CHARACTERS = 10_000

Encoding = Literal["utf-8", "utf-8-sig", "cp1251"]


@dataclass(frozen=True, slots=True)
class Table:
    """A sheet or a csv file. `rows` can be gone through once; its first is row 1 of the spreadsheet.

    Only csv has an encoding and a delimiter. A sheet's rows begin with its `first_column` (from 0), and only a sheet has formulas: of each
    row, the columns (from 0) that hold one.
    """

    file: str
    sheet: str | None
    rows: Iterator[Sequence[Cell]]
    encoding: Encoding | None = None
    delimiter: str | None = None
    first_column: int = 0
    formulas: Mapping[int, Collection[int]] = field(default_factory=dict[int, set[int]])


def open_tables(source: Path | bytes, name: str) -> tuple[Iterator[Table], list[Finding]]:
    """The tables of a path or of uploaded bytes, and warnings about what stayed unread beside them; refuses what is none of the formats."""
    try:
        if isinstance(source, bytes):
            return _from_bytes(source, name)
        if source.is_dir():
            return _from_folder(source)
        refuse_large(source.stat().st_size, name)
        return _from_bytes(source.read_bytes(), name)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise FileRefused("file.unreadable", f"It cannot be opened: {reason}.", "Check the path and the permissions.", file=name) from None


def _from_folder(folder: Path) -> tuple[Iterator[Table], list[Finding]]:
    paths = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    refuse_large(sum(path.stat().st_size for path in paths if _is_csv(path.name)), folder.name)
    tables = [csv_table(path.read_bytes(), path.name) for path in paths if _is_csv(path.name)]
    return iter(tables), [_ignored(path.name) for path in paths if not _is_csv(path.name)]


def _from_bytes(content: bytes, name: str) -> tuple[Iterator[Table], list[Finding]]:
    refuse_large(len(content), name)
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise FileRefused("file.unreadable", "It has a password or the old .xls format.", "Save it as .xlsx without a password.", file=name)
    if not content.startswith((b"PK\3\4", b"PK\5\6")):
        return iter([csv_table(content, name)]), []
    with refuse_damaged_archive(name), open_archive(content) as archive:
        if "xl/workbook.xml" not in archive.namelist():
            return _zip_of_csv(archive, name)
        _refuse_bomb(archive, name)
        return _workbook(content, name, formulas_of(archive, name)), []


def open_archive(content: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(content))


@contextmanager
def refuse_damaged_archive(name: str) -> Generator[None]:
    """Refuses an archive that is damaged, cut off, encrypted or packed by a method that Python does not know."""
    try:
        yield
    # What zipfile and zlib raise for it.
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError):
        _refuse_damaged(name)


def _is_csv(name: str) -> bool:
    return name.casefold().endswith(".csv")


def _ignored(name: str) -> Finding:
    return Finding(name, None, None, None, "file.ignored", "only .csv files are read from a folder or an archive")


def _refuse_damaged(name: str) -> NoReturn:
    raise FileRefused("file.unreadable", "It is damaged or cut off.", "Save it anew as .xlsx or .csv and hand it in again.", file=name)


def refuse_large(size: int, name: str) -> None:
    if size > FILE_BYTES:
        raise FileRefused("file.too-large", f"It is larger than {FILE_BYTES // 2**20} MiB.", "Split it into several files.", file=name)


def _refuse_long(rows: Iterable[Sequence[Cell]], *, file: str, sheet: str | None) -> Iterator[Sequence[Cell]]:
    """The same rows, up to the first that exceeds a limit."""
    for number, row in enumerate(rows, 1):
        if number >= ROWS:
            raise FileRefused("file.too-large", f"It has {ROWS:,} rows or more.", "Split it into several files.", file=file, sheet=sheet)
        for cell in row:
            if isinstance(cell, str) and len(cell) > CELL_CHARACTERS:
                raise _too_long(f"A cell of row {number}", file=file, sheet=sheet)
        yield row


def _too_long(what: str, *, file: str, sheet: str | None = None) -> FileRefused:
    text = f"{what} holds more than {CELL_CHARACTERS:,} characters."
    hint = "Shorten it; in a csv file, look for a quotation mark that is never closed."
    return FileRefused("file.cell-too-long", text, hint, file=file, sheet=sheet)


# -- archives and workbooks ----------------------------------------------------------------------------------------------------------------

# A sheet is laid out as a rectangle, so one cell far away costs as much as a full sheet: columns end with CZ.
_FAR_CELL = re.compile(rb"""r(?<=[\s"']r)\s*=\s*["'](?:[A-Za-z]{3,}\d|[D-Zd-z][A-Za-z]\d|[A-Za-z]{0,2}0*(?:[2-9]\d{5}|[1-9]\d{6,}))""")


def unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int, name: str) -> bytes:
    """One file of the archive; refuses as soon as it exceeds so many bytes, whatever size it states."""
    # zipfile stops where the archive says that a file ends; it has to go on to the true end, or to our limit.
    member.file_size = 2 * UNPACKED_BYTES
    with archive.open(member) as packed:
        content = packed.read(most + 1)
    if len(content) > most:
        text = f"It unpacks to more than {UNPACKED_BYTES // 2**20} MiB."
        raise FileRefused("file.too-large", text, "Split it into several files.", file=name)
    return content


def _members(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[str, bytes]]:
    """Every file of the archive, unpacked; refuses as soon as all of them together have become too large."""
    left = UNPACKED_BYTES
    for member in archive.infolist():
        content = unpacked(archive, member, left, name)
        left -= len(content)
        yield member.filename, content


def refuse_strange_paths(names: Iterable[str], name: str) -> None:
    """Refuses an archive with a path that leads out of it. Nothing is ever unpacked to a disk here, but no honest program writes one."""
    for path in names:
        parts = path.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or parts[0].endswith(":"):
            text = "A path in it leads outside the archive."
            raise FileRefused("file.path-outside", text, "Pack the csv files themselves into one zip archive.", file=name)


def _zip_of_csv(archive: zipfile.ZipFile, name: str) -> tuple[Iterator[Table], list[Finding]]:
    tables: list[Table] = []
    ignored: list[Finding] = []
    names = [path for path in archive.namelist() if not path.startswith("__MACOSX/")]
    refuse_strange_paths(names, name)
    if any(path.casefold().endswith(".zip") for path in names) and not any(map(_is_csv, names)):
        text = "There is an archive inside the archive."
        raise FileRefused("file.archive-nested", text, "Pack the csv files themselves into one zip archive.", file=name)
    for path, content in _members(archive, name):
        # What a Mac adds to every archive, and folders.
        if path.startswith("__MACOSX/") or path.endswith(("/", ".DS_Store")):
            continue
        if _is_csv(path):
            tables.append(csv_table(content, path))
        else:
            ignored.append(_ignored(path))
    return iter(tables), ignored


def _refuse_bomb(archive: zipfile.ZipFile, name: str) -> None:
    """Refuses a workbook that would take far more memory than its size says."""
    longest = closed = 0
    for path, content in _members(archive, name):
        if path.casefold().endswith("sharedstrings.xml"):
            longest = max(map(len, content.split(b"</si>")))
            continue
        if _FAR_CELL.search(content):
            raise FileRefused(
                "file.too-large",
                f"A sheet has cells beyond column CZ or row {ROWS - 1:,}.",
                "Delete what stands far away from the table, empty rows and columns too.",
                file=name,
            )
        closed += content.count(b"/")
    # A cell with a shared text closes two elements, so there are at most half as many of them as there are slashes.
    if longest * (closed // 2) > SHARED_TEXT_BYTES:
        raise FileRefused("file.too-large", "Its texts take too much memory.", "Shorten the longest cells or split the file.", file=name)


def _workbook(content: bytes, name: str, formulas: Mapping[str, Mapping[int, Collection[int]]]) -> Iterator[Table]:
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
        for sheet in workbook.sheets_metadata:
            if sheet.typ is SheetTypeEnum.WorkSheet:
                found = workbook.get_sheet_by_name(sheet.name)
                rows = _refuse_long(found.iter_rows(), file=name, sheet=sheet.name)
                first_column = found.start[1] if found.start is not None else 0
                yield Table(name, sheet.name, rows, first_column=first_column, formulas=formulas.get(sheet.name, {}))
    except CalamineError:
        _refuse_damaged(name)


# -- csv -----------------------------------------------------------------------------------------------------------------------------------


def csv_table(content: bytes, name: str) -> Table:
    """The rows of a csv file, its encoding and its delimiter found out. Raises `FileRefused`, also while the rows are gone through."""
    text, encoding = _decoded(content, name)
    delimiter = _delimiter(text)
    return Table(name, None, _refuse_long(_records(text, delimiter, name), file=name, sheet=None), encoding, delimiter)


def _decoded(content: bytes, name: str) -> tuple[str, Encoding]:
    hint = "Save it as .xlsx, or as .csv in UTF-8 or Windows-1251."
    if b"\0" in content:
        raise FileRefused("file.unreadable", "It is neither a workbook nor a csv file in UTF-8 or Windows-1251.", hint, file=name)
    encoding: Encoding
    for encoding in ("utf-8", "cp1251"):
        if content.startswith(b"\xef\xbb\xbf"):
            encoding = "utf-8-sig"
        try:
            return content.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    raise FileRefused("file.unreadable", "Its letters are in no known encoding.", hint, file=name)


def _delimiter(text: str) -> str:
    """The delimiter under which the most titles of columns are recognised; the commonest of the first line if there are none."""
    top = text[:65_536]

    def titles_and_count(delimiter: str) -> tuple[int, int]:
        try:
            records = list(islice(csv.reader(io.StringIO(top, newline=""), delimiter=delimiter), LOOKED_AT))
        except csv.Error:
            return 0, 0
        return max(map(recognised, records), default=0), top.lstrip().partition("\n")[0].count(delimiter)

    return max(";,\t", key=titles_and_count)


def _records(text: str, delimiter: str, name: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        yield from reader
    except csv.Error as error:
        if "field limit" in str(error):  # the module's own limit lies above ours
            raise _too_long(f"A cell around line {reader.line_num}", file=name) from None
        raise FileRefused(
            "file.unreadable",
            f"The quotation marks around line {reader.line_num} do not fit together.",
            "Close each one, and double those inside a quoted cell.",
            file=name,
        ) from None
