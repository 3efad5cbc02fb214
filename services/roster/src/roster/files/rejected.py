"""Hands the rejected rows back as a file: the school corrects it and hands it in again."""

import csv
import io
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .cells import guarded, plain
from .findings import Finding, Place
from .headers import REJECTED_MORE, REJECTED_ROW, REJECTED_WHY, header_and_rows
from .oneroster import open_bundle, rejected_bundle
from .rows import Kind
from .tables import open_tables


@dataclass(frozen=True, slots=True)
class RejectedFile:
    """A file for the school, full of personal data: not to be stored in clear."""

    name: str
    content: bytes

    def within(self, limit_bytes: int) -> "RejectedFile | None":
        """The same file, as a zip archive if it is longer than that; None if the archive is, too."""
        file = self if len(self.content) <= limit_bytes or self.name.endswith(".zip") else _zipped([self])
        return file if len(file.content) <= limit_bytes else None


def write_rejected(source: Path | bytes, errors: Iterable[Finding], name: str = "") -> RejectedFile | None:
    """The rows of `source` that the errors speak of, those of reading and those of a later check alike; None if there are none.

    One csv file for each kind (UTF-8 with BOM, `;`), with the template's titles and, on the left, the row's number and what is to be
    corrected; several of them come as a zip archive. Of a OneRoster export they come back as a smaller one. No cell can run as a formula.
    `read_roster` reads them all.
    """
    if isinstance(source, Path):
        name = name or source.name
    if (bundle := open_bundle(source, name)) is not None:
        content = rejected_bundle(bundle, errors)
        return None if content is None else RejectedFile("rejected.zip", content)
    reasons: defaultdict[Place, list[str]] = defaultdict(list)
    for error in errors:
        if error.row is not None:
            reason = f"{error.column}: {error.hint}" if error.column else error.hint
            reasons[Place(error.file, error.sheet, error.row)].append(f"{reason} ({error.code})")
    rows_by_kind: defaultdict[Kind, list[dict[str, str]]] = defaultdict(list)
    titles_by_kind: defaultdict[Kind, dict[str, None]] = defaultdict(dict)  # in the order in which they are met
    for table in open_tables(source, name)[0]:
        header, rows = header_and_rows(table.rows, file=table.file, sheet=table.sheet)
        if header is None:
            continue
        titles = {index: field.title for index, field in enumerate(header.fields) if field is not None} | header.unknown
        for number, cells in rows:
            if why := reasons.get(Place(table.file, table.sheet, number)):
                row = {titles[index]: plain(cell) for index, cell in enumerate(cells) if index in titles}
                # A row that is too short has every column, too: what is to be filled in is seen, and the file can be read again.
                titles_by_kind[header.kind] |= dict.fromkeys(titles.values())
                if more := " ".join(filter(None, map(plain, cells[header.width :]))):
                    row[REJECTED_MORE] = more
                    titles_by_kind[header.kind][REJECTED_MORE] = None
                rows_by_kind[header.kind].append({REJECTED_ROW: str(number), REJECTED_WHY: "; ".join(why), **row})
    files = [RejectedFile(f"rejected-{kind}.csv", _csv([*titles_by_kind[kind]], rows)) for kind, rows in rows_by_kind.items()]
    return _zipped(files) if len(files) > 1 else next(iter(files), None)


def _csv(titles: list[str], rows: list[dict[str, str]]) -> bytes:
    titles = [REJECTED_ROW, REJECTED_WHY, *titles]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=";")
    writer.writerow(map(guarded, titles))
    writer.writerows([guarded(row.get(title, "")) for title in titles] for row in rows)
    return text.getvalue().encode("utf-8-sig")


def _zipped(files: list[RejectedFile]) -> RejectedFile:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.writestr(zipfile.ZipInfo(file.name), file.content, zipfile.ZIP_DEFLATED)
    return RejectedFile("rejected.zip", content.getvalue())
