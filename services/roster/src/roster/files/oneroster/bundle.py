"""Opens a OneRoster folder or archive: what it holds according to its manifest, and the rows of each file, one file at a time.

Only the files that are read are unpacked, and all of them together within the limits of `tables`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

from roster.files.cells import plain, tidy
from roster.files.csvs import SAVE, Encoding
from roster.files.findings import FileRefused, Finding, Place
from roster.files.headers import REJECTED_ROW, REJECTED_WHY, column_named
from roster.files.limits import EXPORT_ROWS, UNPACKED_BYTES, refuse_large
from roster.files.tables import Table, csv_table, open_archive, refuse_damaged_archive, refuse_strange_paths, unpacked

from .columns import FILES, OLD_NAMES, READ, REQUIRED, STANDARD

_MANIFEST = "manifest"
_TELLING = {"orgs", "users", "enrollments", "academicsessions"}
"""Two of these names tell OneRoster files, even where the manifest is missing."""
_VERSION = re.compile(r"(?:oneroster )?v?1[.p]([012])(?:[.p][0-9])?", re.IGNORECASE)
_FIRST_BYTES = 4096
OTHER_COMMAS = re.compile("[;|]")
"""What programs write between the ids of a list instead of commas."""
_TITLES_WITHIN = 10
_IN_TITLES = ("sourcedid", "usersourcedid")
"""One of these is among the titles of every file."""
_MANIFEST_HINT = (
    "Export them again as OneRoster 1.1 or 1.2, manifest included. If the program makes none, and its files are of one of these versions,"
    " add a manifest.csv with the lines `propertyName,value`, `manifest.version,1.0`, `oneroster.version,1.1` (or 1.2), and for each file"
    " that is there one like `file.users,bulk`."
)
_NULLS = ("null", "(null)", "<null>", "\\n")
"""What databases write, without case, where they have nothing to write. Somebody may be called so."""
_NAMES = ("name", "title", "givenName", "familyName", "middleName")
_BESIDE = {REJECTED_ROW.casefold(), REJECTED_WHY.casefold()}


@dataclass(frozen=True, slots=True)
class Record:
    """A row's cells by column; a blank one, or one that is not there, is ""."""

    place: Place
    cells: Mapping[str, str]
    is_too_long: bool

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")

    def listed(self, column: str) -> list[str]:
        """The ids in a cell that holds a list."""
        return [part for part in map(str.strip, self[column].split(",")) if part]


@dataclass(frozen=True, slots=True)
class RawTable:
    """A file as it is: its titles, and its filled rows with their numbers, which can be gone through once."""

    titles: list[str]
    rows: Iterator[tuple[int, list[str]]]


@dataclass(slots=True)
class Bundle:
    """`files` gives the names under which the files to be read stand in the folder or archive, `modes` what the manifest says of each."""

    name: str
    version: str
    files: Mapping[str, str]
    modes: Mapping[str, str]
    warnings: list[Finding]
    detected: dict[str, tuple[Encoding | None, str | None]] = field(default_factory=dict[str, tuple[Encoding | None, str | None]])
    _load: Callable[[str], bytes] = field(kw_only=True)

    @property
    def is_delta(self) -> bool:
        """Whether any of its files holds changes only."""
        return "delta" in self.modes.values()

    def file(self, kind: str) -> str:
        """The file's name alone, as findings say it."""
        return _file(self.files[kind])

    def raw(self, kind: str) -> RawTable:
        """A file's rows; nothing where the manifest names none."""
        if kind not in self.files:
            return RawTable([], iter(()))
        table = _table(self._load(self.files[kind]), self.file(kind))
        self.detected[kind] = (table.encoding, table.delimiter)
        return _from_titles(table)

    def records(self, kind: str) -> list[Record]:
        """A file's rows by column; raises `FileRefused` where a column is missing or stands twice. Warns of unknown ones."""
        if kind not in self.files:
            return []
        file, raw, columns = self.file(kind), self.raw(kind), FILES[kind]
        known = {old: name for old, name in OLD_NAMES.items() if name in columns.read}
        known |= {name.casefold(): name for name in columns.read}
        if not raw.titles and kind not in REQUIRED["1.2"]:
            return []
        if not raw.titles:
            raise FileRefused("file.oneroster-incomplete", "It is empty.", "Export it again, with its rows.", file=file)
        passed_over = {name.casefold() for name in columns.passed_over} | _BESIDE
        fields: list[str | None] = []
        for index, title in enumerate(raw.titles):
            column = known.get(title.casefold())
            if column is not None and column in fields:
                raise FileRefused("file.column-repeated", f"The column «{column}» stands twice.", "Leave one of the two.", file=file)
            fields.append(column)
            if column is None and title and title.casefold() not in passed_over:
                hint = "OneRoster has no such column in this file; it was not read"
                self.warnings.append(Finding(file, None, None, column_named(index, title), "column.unknown", hint))
        if missing := sorted(columns.needed - set(fields)):
            text = f"Columns are missing: {', '.join(f'«{name}»' for name in missing)}."
            raise FileRefused("file.column-missing", text, "Export the file again with all columns of OneRoster.", file=file)
        records: list[Record] = []
        widths: list[int] = []
        for number, cells in raw.rows:
            said = {
                column: cell
                for column, cell in zip(fields, cells, strict=False)
                if column is not None and cell and (column in _NAMES or cell.casefold() not in _NULLS)
            }
            records.append(Record(Place(file, None, number), said, any(cells[len(fields) :])))
            widths.append(len(cells))
        # Some programs end rows with separators. A row that has more than the others has an unquoted one in the middle.
        most = max([len(fields), *(width for width, _ in Counter(widths).most_common(1))])
        return [record if width <= most else replace(record, is_too_long=True) for record, width in zip(records, widths, strict=True)]


def _table(content: bytes, file: str) -> Table:
    try:
        return csv_table(content, file, most=EXPORT_ROWS)
    except FileRefused as refused:
        # What is part of an export cannot be handed in as a workbook.
        hint = "Export it again as .csv in UTF-8." if refused.hint == SAVE else refused.hint
        raise FileRefused(refused.code, refused.text, hint, file=file) from None


def _from_titles(table: Table) -> RawTable:
    """The titles, above which spreadsheet programs and people may have written a line or two, and the filled rows below them."""
    filled = ((number, cells) for number, row in enumerate(table.rows, 1) if any(cells := [plain(cell) for cell in row]))
    above = list(islice(filled, _TITLES_WITHIN))
    at = next((at for at, (_, cells) in enumerate(above) if any(cell.casefold() in _IN_TITLES for cell in cells)), 0)
    return RawTable(above[at][1] if above else [], chain(above[at + 1 :], filled))


def _file(path: str) -> str:
    """The name in a path, as it may be shown."""
    return tidy(path).replace("\\", "/").rpartition("/")[2]


def open_bundle(source: Path | bytes, name: str) -> Bundle | None:
    """The OneRoster files of a folder, an archive or uploaded bytes; None for what is something else. Raises `FileRefused`."""
    if isinstance(source, Path):
        try:
            if source.is_dir():
                return _of_folder(source, name)
            refuse_large(source.stat().st_size, name)
            source = source.read_bytes()
        except OSError:
            return None  # why it cannot be opened is said by whoever reads it next
    if source.startswith((b"PK\3\4", b"PK\5\6")):
        return _of_archive(source, name)
    if _is_one_of_an_export(source[:_FIRST_BYTES]):
        raise FileRefused(
            "file.oneroster-incomplete",
            "It is one file of a OneRoster export.",
            "Hand in the whole folder or zip archive, with manifest.csv.",
            file=name,
        )
    return None


def _is_one_of_an_export(first: bytes) -> bool:
    """By its titles, of which every file of OneRoster has this one."""
    return b"sourcedid" in first.partition(b"\n")[0].lower()


def _refuse_part_of_an_export(names: list[str], first_bytes: Callable[[str], bytes], name: str) -> None:
    """Files of an export that do not make a school, as they have other names or most are missing, are no lists of ours either."""
    for path in names:
        if path.casefold().endswith(".csv") and _is_one_of_an_export(first_bytes(path)):
            needed = ", ".join(f"{kind}.csv" for kind in REQUIRED["1.1"])
            text = f"It looks like a OneRoster export: {_file(path)} has the column sourcedId. It has no manifest.csv, and not {needed}."
            hint = f"If they are there under longer names, give them these. {_MANIFEST_HINT}"
            raise FileRefused("file.oneroster-incomplete", text, hint, file=name)


def _of_folder(folder: Path, name: str) -> Bundle | None:
    names = [path.name for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    if (members := _members(names, name)) is None:
        _refuse_part_of_an_export(names, lambda path: _beginning(folder / path), name)
        return None
    refuse_large(sum((folder / member).stat().st_size for member in members.values()), name)

    def load(member: str) -> bytes:
        try:
            return (folder / member).read_bytes()
        except OSError as error:
            reason = (error.strerror or "unknown reason").lower()
            text = f"It cannot be opened: {reason}."
            raise FileRefused("file.unreadable", text, "Check the path and the permissions.", file=member) from None

    return _bundle(members, load, name)


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_FIRST_BYTES)
    except OSError:
        return b""


def _of_archive(content: bytes, name: str) -> Bundle | None:
    refuse_large(len(content), name)
    with refuse_damaged_archive(name):
        archive = open_archive(content)
        names = [member for member in archive.namelist() if not member.startswith("__MACOSX/") and not member.endswith("/")]
    if "xl/workbook.xml" in names:
        return None
    refuse_strange_paths(names, name)
    if (members := _members(names, name)) is None:

        def first_bytes(path: str) -> bytes:
            try:
                with refuse_damaged_archive(name), archive.open(path) as member:
                    return member.read(_FIRST_BYTES)
            except FileRefused:
                return b""  # what is wrong with it is said by whoever reads it next

        _refuse_part_of_an_export(names, first_bytes, name)
        return None
    if any(member.casefold().endswith(".zip") for member in names):
        text = "There is an archive inside the archive."
        raise FileRefused("file.archive-nested", text, "Pack the csv files themselves into one zip archive.", file=name)
    sizes: dict[str, int] = {}

    def load(member: str) -> bytes:
        sizes.pop(member, None)
        with refuse_damaged_archive(name):
            unpacked_file = unpacked(archive, archive.getinfo(member), UNPACKED_BYTES - sum(sizes.values()), name)
        sizes[member] = len(unpacked_file)
        return unpacked_file

    return _bundle(members, load, name)


def _members(names: list[str], name: str) -> dict[str, str] | None:
    """The csv files by their names without case and ending; None if they are not those of OneRoster."""
    members: dict[str, str] = {}
    repeated: set[str] = set()
    for path in names:
        file = _file(path).casefold()
        if file.endswith(".csv") and not file.startswith("."):
            stem = file.removesuffix(".csv")
            if stem in members:
                repeated.add(stem)
            members[stem] = path
    if _MANIFEST not in members and len(_TELLING & set(members)) < 2:
        return None
    if repeated & {_MANIFEST, *(kind.casefold() for kind in FILES)}:
        text = f"The file {min(repeated)}.csv is there more than once."
        raise FileRefused("file.repeated", text, "Pack one export into one archive.", file=name)
    return members


def _bundle(members: Mapping[str, str], load: Callable[[str], bytes], name: str) -> Bundle:
    if _MANIFEST not in members:
        text = "These are OneRoster files without manifest.csv."
        raise FileRefused("file.manifest-missing", text, _MANIFEST_HINT, file=name)
    file = _file(members[_MANIFEST])
    properties = _properties(load(members[_MANIFEST]), file)
    version = _version(properties, file)
    warnings: list[Finding] = []
    if properties.get("manifest.version", "") != "1.0":
        warnings.append(Finding(file, None, None, "value", "manifest.version-unknown", "manifest.version is 1.0; it was read as that"))
    modes = {kind: _mode(properties, kind, file) for kind in READ[version]}
    titles = [] if modes["users"] == "absent" else _titles_of_users(members, load)
    # Some programs leave the roles in users.csv, as in 1.1, and write 1.2.
    in_users = version == "1.2" and modes["roles"] == "absent" and "role" in titles
    for kind in REQUIRED[version]:
        # What a delta leaves out is as it was.
        if modes[kind] == "absent" and "delta" not in modes.values() and not (kind == "roles" and in_users):
            text = f"It does not name {kind}.csv (file.{kind}), and no school can be entered without it."
            raise FileRefused("file.oneroster-incomplete", text, f"Export it too, with file.{kind} as bulk.", file=file)
    if version == "1.1" and modes["users"] == "bulk" and titles and "role" not in titles:
        text = "It says 1.1, where users.csv has the column role, and there is none."
        hint = (
            "If the roles stand in roles.csv, it is 1.2: write `oneroster.version,1.2` and `file.roles,bulk`. Else export the roles, too."
        )
        raise FileRefused("file.oneroster-version", text, hint, file=file)
    files: dict[str, str] = {}
    for kind, mode in modes.items():
        if mode != "absent":
            if kind.casefold() not in members:
                text = f"It names {kind}.csv, which is not there."
                raise FileRefused("file.oneroster-incomplete", text, "Add the file, or export everything again.", file=file)
            files[kind] = members[kind.casefold()]
    # Courses, results and resources are not missed. A file that is there although it is absent, or that nobody knows, may well be.
    missed = {kind.casefold() for kind in READ[version] if kind not in files} | (members.keys() - STANDARD - {_MANIFEST})
    hint = "manifest.csv says that it is absent, or OneRoster has no such file; it was not read"
    warnings += [Finding(_file(path), None, None, None, "file.ignored", hint) for stem, path in members.items() if stem in missed]
    return Bundle(name, version, files, {kind: modes[kind] for kind in files}, warnings, _load=load)


def _titles_of_users(members: Mapping[str, str], load: Callable[[str], bytes]) -> list[str]:
    """The titles of users.csv, without case; none where it is not there or is empty."""
    if "users" not in members:
        return []
    return [title.casefold() for title in _from_titles(_table(load(members["users"]), _file(members["users"]))).titles]


def _properties(content: bytes, file: str) -> dict[str, str]:
    properties: dict[str, str] = {}
    for row in _table(content, file).rows:
        cells = [plain(cell) for cell in row]
        if len(cells) > 1 and cells[0]:
            name = cells[0].casefold().removesuffix(".csv")
            if properties.setdefault(name, cells[1]) != cells[1]:
                text = f"It has two values of {name}."
                raise FileRefused("file.manifest-malformed", text, "Leave the one that is true.", file=file)
    if "propertyname" not in properties:
        text = "It has not the columns propertyName and value."
        hint = (
            "Its first line has to be `propertyName,value`, with a comma, a semicolon or a tab between. Export it again, or mend that line."
        )
        raise FileRefused("file.manifest-malformed", text, hint, file=file)
    return properties


def _version(properties: Mapping[str, str], file: str) -> str:
    version = _VERSION.fullmatch(properties.get("oneroster.version", ""))
    if version is None or f"1.{version[1]}" not in READ:
        text = "It states no version of OneRoster that is read here."
        hint = "Export as OneRoster 1.1 or 1.2: then the manifest has the line `oneroster.version,1.1` or `oneroster.version,1.2`."
        raise FileRefused("file.oneroster-version", text, hint, file=file)
    return f"1.{version[1]}"


def _mode(properties: Mapping[str, str], kind: str, file: str) -> str:
    mode = properties.get(f"file.{kind}".casefold(), "").casefold() or "absent"
    if mode not in ("absent", "bulk", "delta"):
        text = f"It says of file.{kind} neither bulk nor delta nor absent."
        raise FileRefused("file.manifest-malformed", text, "Say bulk of each file that is there and absent of the others.", file=file)
    return mode
