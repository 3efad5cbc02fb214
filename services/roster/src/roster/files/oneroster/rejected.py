"""Hands the rejected rows back as a small export that can be corrected and handed in again.

It holds the rejected rows and whatever they refer to: the families of rejected people, their enrollments, all classes. What was entered
before is found unchanged, so more than is needed does no harm.
"""

import csv
import io
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping

from roster.files.cells import guarded
from roster.files.findings import Finding
from roster.files.headers import REJECTED_ROW, REJECTED_WHY

from .bundle import Bundle

_WHOLE = ("orgs", "academicSessions", "classes")


def rejected_bundle(bundle: Bundle, errors: Iterable[Finding]) -> bytes | None:
    """A zip archive, or None if no error speaks of a row. On the left of each row stand its number and what is to be corrected."""
    reasons: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for error in errors:
        if error.row is not None:
            reason = f"{error.column}: {error.hint}" if error.column else error.hint
            reasons[error.file, error.row].append(f"{reason} ({error.code})")
    if not reasons:
        return None
    users = _users(bundle, reasons)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        manifest = [["propertyName", "value"], ["manifest.version", "1.0"], ["oneroster.version", bundle.version]]
        manifest += [[f"file.{kind}", mode] for kind, mode in bundle.modes.items()]
        _put(archive, "manifest.csv", manifest)
        for kind in bundle.files:
            file, raw = bundle.file(kind), bundle.raw(kind)
            rows = [[REJECTED_ROW, REJECTED_WHY, *raw.titles]]
            of = _person_columns(raw.titles, kind)
            for number, cells in raw.rows:
                why = reasons.get((file, number), [])
                if why or kind in _WHOLE or _filled(cells, of) & users:
                    rows.append([str(number), "; ".join(why), *cells])
            _put(archive, f"{kind}.csv", rows)
    return content.getvalue()


def _users(bundle: Bundle, reasons: Mapping[tuple[str, int], list[str]]) -> set[str]:
    """Whom the rejected rows speak of, with their guardians and the children of these, and whoever is in a rejected class."""
    users = _enrolled(bundle, reasons)
    for kind in ("users", "enrollments", "demographics", "roles"):
        if kind in bundle.files:
            raw = bundle.raw(kind)
            of = _person_columns(raw.titles, kind)
            for number, cells in raw.rows:
                if (bundle.file(kind), number) in reasons:
                    users |= _filled(cells, of)
    raw = bundle.raw("users")
    own, named = _person_columns(raw.titles, "users"), [index for index, title in enumerate(raw.titles) if _is(title, "agentSourcedIds")]
    families = [
        _filled(cells, own) | {part.strip() for cell in _cells(cells, named) for part in cell.split(",") if part.strip()}
        for _, cells in raw.rows
        if any(_cells(cells, named))
    ]
    # Twice: from a guardian to the children, and from a child to the other guardian.
    for _ in range(2):
        users |= {user for family in families if family & users for user in family}
    return users


def _enrolled(bundle: Bundle, reasons: Mapping[tuple[str, int], list[str]]) -> set[str]:
    raw = bundle.raw("classes")
    of = [index for index, title in enumerate(raw.titles) if _is(title, "sourcedId")]
    rejected = {key for number, cells in raw.rows if (bundle.file("classes"), number) in reasons for key in _filled(cells, of)}
    raw = bundle.raw("enrollments")
    of = [index for index, title in enumerate(raw.titles) if _is(title, "classSourcedId")]
    people = _person_columns(raw.titles, "enrollments")
    return {user for _, cells in raw.rows if _filled(cells, of) & rejected for user in _filled(cells, people)}


def _person_columns(titles: list[str], kind: str) -> list[int]:
    """Where a row names the person of whom it speaks."""
    names = {"users": ("sourcedId",), "demographics": ("userSourcedId", "sourcedId")}.get(kind, ("userSourcedId",))
    return [index for index, title in enumerate(titles) if any(_is(title, name) for name in names)]


def _is(title: str, name: str) -> bool:
    return title.casefold() == name.casefold()


def _cells(cells: list[str], indices: list[int]) -> list[str]:
    return [cells[index] for index in indices if index < len(cells)]


def _filled(cells: list[str], indices: list[int]) -> set[str]:
    return {cell for cell in _cells(cells, indices) if cell}


def _put(archive: zipfile.ZipFile, name: str, rows: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([guarded(cell) for cell in row] for row in rows)
    archive.writestr(zipfile.ZipInfo(name), text.getvalue().encode("utf-8-sig"), zipfile.ZIP_DEFLATED)
