"""Opens what was handed in and gives its tables, row by row: sheets of a workbook, or csv files alone, in a folder or in a zip archive.

What comes from outside is measured before it is unpacked, so that a small file cannot fill the memory.
"""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from .cells import Cell, tidy
from .csvs import Encoding, read_csv
from .findings import FileRefused, Finding
from .limits import ROWS, UNPACKED_BYTES, refuse_large, refuse_long
from .marks import Marks, marks_of, spread

SHARED_TEXT_BYTES = 2**30
"""A workbook keeps a text once, however many cells show it; this bounds what they take when each has its own copy."""

_PIECE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Table:
    """A sheet or a csv file. `rows` can be gone through once; its first is row 1 of the spreadsheet.

    Only csv has an encoding and a delimiter. A sheet's rows begin with its `first_column` (from 0), and only a sheet has `marks`.
    """

    file: str
    sheet: str | None
    rows: Iterator[Sequence[Cell]]
    encoding: Encoding | None = None
    delimiter: str | None = None
    first_column: int = 0
    marks: Marks = field(default_factory=Marks)


_OTHER_ARCHIVES = (b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
"""What RAR, 7z, gzip, bzip2 and xz begin with."""


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
    if content.startswith(_OTHER_ARCHIVES):
        text = "It is an archive of another kind than zip."
        raise FileRefused("file.unreadable", text, "Unpack it, and pack the csv files into one zip archive.", file=name)
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise FileRefused("file.unreadable", "It has a password or the old .xls format.", "Save it as .xlsx without a password.", file=name)
    if not content.startswith((b"PK\3\4", b"PK\5\6")):
        return iter([csv_table(content, name)]), []
    with refuse_damaged_archive(name), open_archive(content) as archive:
        if "xl/workbook.xml" not in archive.namelist():
            return _zip_of_csv(archive, name)
        _refuse_bomb(archive, name)
        return _workbook(content, name, marks_of(archive, name))


def open_archive(content: bytes) -> zipfile.ZipFile:
    # Windows writes names in the letters of DOS where they are not marked as UTF-8.
    return zipfile.ZipFile(io.BytesIO(content), metadata_encoding="cp866")


@contextmanager
def refuse_damaged_archive(name: str) -> Generator[None]:
    """Refuses an archive that is damaged, cut off, encrypted or packed by a method that Python does not know."""
    try:
        yield
    # What zipfile and zlib raise for it.
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError):
        _refuse_damaged(name)
    except NotImplementedError:
        text = "It is packed by a method that is not read here."
        raise FileRefused("file.unreadable", text, "Unpack it, and pack the files into an ordinary zip archive.", file=name) from None
    except RuntimeError:
        raise FileRefused("file.unreadable", "It has a password.", "Pack the files into a zip archive without one.", file=name) from None


def _is_csv(name: str) -> bool:
    return name.casefold().endswith(".csv")


def _ignored(name: str) -> Finding:
    return Finding(name, None, None, None, "file.ignored", "only .csv files are read from a folder or an archive")


def _refuse_damaged(name: str) -> NoReturn:
    raise FileRefused("file.unreadable", "It is damaged or cut off.", "Save or pack it anew, and hand it in again.", file=name)


# -- archives and workbooks ----------------------------------------------------------------------------------------------------------------

# A sheet is laid out as a rectangle, so one cell far away costs as much as a full sheet: columns end with CZ. A number alone is that of a
# row, or of something else in the drawing of a theme: there it goes up to 100,000.
_FAR_CELL = re.compile(
    rb"""r(?<=[\s"']r)\s*=\s*["'](?:[A-Za-z]{3,}\d|[D-Zd-z][A-Za-z]\d|[A-Za-z]{1,2}0*(?:[5-9]\d{4}|[1-9]\d{5,})|0*(?:[2-9]\d{5}|[1-9]\d{6,}))"""
    rb"""|<(?:\w{1,20}:)?row\s[^<>]{0,300}?r(?<=[\s"']r)\s*=\s*["']0*(?:[5-9]\d{4}|[1-9]\d{5,})"""
)


def unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int, name: str) -> bytes:
    """One file of the archive; refuses as soon as it exceeds so many bytes, whatever size it states."""
    # zipfile stops where the archive says that a file ends; it has to go on to the true end, or to our limit.
    member.file_size = 2 * UNPACKED_BYTES
    content = io.BytesIO()
    with archive.open(member) as packed:
        while piece := packed.read(_PIECE_BYTES):
            content.write(piece)
            if content.tell() > most:
                raise _unpacks_to_much(name)
    return content.getvalue()


def _unpacks_to_much(name: str) -> FileRefused:
    text = f"It unpacks to more than {UNPACKED_BYTES // 2**20} MiB."
    return FileRefused("file.too-large", text, "Split it into several files.", file=name)


def _members(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[str, bytes]]:
    """Every file of the archive, unpacked; refuses as soon as all of them together have become too large."""
    left = UNPACKED_BYTES
    if sum(member.file_size for member in archive.infolist()) > left:
        raise _unpacks_to_much(name)
    for member in archive.infolist():
        content = unpacked(archive, member, left, name)
        left -= len(content)
        yield tidy(member.filename), content


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
    names = [path for path in archive.namelist() if not _is_nobodys(path)]
    refuse_strange_paths(names, name)
    if not any(map(_is_csv, names)):
        _refuse_other_archive(names, name)
    for path, content in _members(archive, name):
        if _is_nobodys(path):
            continue
        if _is_csv(path):
            tables.append(csv_table(content, path))
        else:
            ignored.append(_ignored(path))
    return iter(tables), ignored


def _is_nobodys(path: str) -> bool:
    """Folders, and what a Mac adds to every archive and folder."""
    return path.startswith("__MACOSX/") or path.endswith("/") or path.replace("\\", "/").rpartition("/")[2].startswith(".")


def _refuse_other_archive(names: Sequence[str], name: str) -> NoReturn:
    """Refuses an archive without any csv file, with what it is where that shows."""
    inside = {path.casefold().rpartition(".")[2] for path in names}
    if "zip" in inside:
        text = "There is an archive inside the archive."
        raise FileRefused("file.archive-nested", text, "Pack the csv files themselves into one zip archive.", file=name)
    if {"content.xml", "xl/workbook.bin", "word/document.xml"} & set(names):
        text = "It is a document of an office program, but no .xlsx workbook."
        raise FileRefused("file.unreadable", text, "Open it and save it as .xlsx.", file=name)
    if inside & {"xlsx", "xls", "ods"}:
        raise FileRefused("file.archive-nested", "It is an archive of workbooks.", "Hand in the workbooks one by one.", file=name)
    raise FileRefused("file.empty", "The archive holds no csv file.", "Hand in a workbook, or an archive of csv files.", file=name)


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


def _workbook(content: bytes, name: str, marks: Mapping[str, Marks]) -> tuple[Iterator[Table], list[Finding]]:
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
    except CalamineError:
        _refuse_damaged(name)
    sheets = [sheet for sheet in workbook.sheets_metadata if sheet.typ is SheetTypeEnum.WorkSheet]
    hidden = [sheet.name for sheet in sheets if sheet.visible is not SheetVisibleEnum.Visible]
    hint = "the sheet is hidden and was not read: show it, or delete it"
    ignored = [Finding(name, sheet, None, None, "sheet.hidden", hint) for sheet in hidden]
    return _sheets(workbook, [sheet.name for sheet in sheets if sheet.name not in hidden], name, marks), ignored


def _sheets(workbook: CalamineWorkbook, names: Sequence[str], file: str, marks: Mapping[str, Marks]) -> Iterator[Table]:
    try:
        for name in names:
            found = workbook.get_sheet_by_name(name)
            first_column = found.start[1] if found.start is not None else 0
            own = marks.get(name, Marks())
            rows = spread(refuse_long(found.iter_rows(), file=file, sheet=name), own, first_column)
            yield Table(file, name, rows, first_column=first_column, marks=own)
    except CalamineError:
        _refuse_damaged(file)


def csv_table(content: bytes, name: str, *, most: int = ROWS) -> Table:
    """The rows of a csv file, its encoding and its delimiter found out. Raises `FileRefused`, also while the rows are gone through."""
    found = read_csv(content, name)
    return Table(name, None, refuse_long(found.rows, most=most, file=name, sheet=None), found.encoding, found.delimiter)
