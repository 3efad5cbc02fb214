"""What an import has touched: a row for each person and class, kept as long as the job, so that it can be rolled back.

The details that somebody had before are personal data: they stand here sealed, and go with the row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import Boolean, Column, Index, LargeBinary, MetaData, Row, Table, Text, bindparam, select, update

from eventkit.among import among
from eventkit.event import rfc3339
from eventkit.store import Transaction
from roster.book import Book
from roster.domain.classes import CLASS
from roster.domain.facts import DETAILS
from roster.domain.pupil import PUPIL
from roster.domain.staff import STAFF
from roster.importing import uploads
from roster.vault import Box, Details

metadata = MetaData()

Kind = Literal["pupil", "guardian", "staff", "class"]
"""What can be touched, in the order in which it is rolled back: a class once nobody is in it, its teacher once the class is gone."""

trace_table = Table(
    "import_trace",
    metadata,
    Column("job", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("entered", Boolean, nullable=False),
    Column("before", LargeBinary),
    Column("numbers", Text, nullable=False),
    Column("outcome", Text),
    Column("expires_at", Text, nullable=False, index=True),
)
"""`entered`: was not there before. `numbers` are the digests, a JSON list, of the consent numbers that were new. `outcome` is empty until
a roll-back has come by: then `gone`, `put-back`, or the code of why it was left."""
Index("import_trace_kind", trace_table.c.job, trace_table.c.kind, trace_table.c.subject)

GONE, PUT_BACK = "gone", "put-back"

_KINDS: Mapping[str, Kind] = {PUPIL.name: "pupil", STAFF.name: "staff", CLASS.name: "class"}


@dataclass(frozen=True, slots=True)
class Trace:
    """One row; `before` is None for who had no details before, or still has the same."""

    subject: str
    kind: Kind
    entered: bool
    before: Details | None
    numbers: tuple[str, ...]


def keep(tx: Transaction, book: Book, school: str, job: str, box: Box) -> None:
    """Adds what an act of an import has touched to what is kept of the import."""
    trail = book.trail
    kinds: dict[str, str] = {}
    for stream, subject in trail.streams:
        if stream in _KINDS:
            kinds[subject] = _KINDS[stream]
    for person in (*(subject for stream, subject in trail.streams if stream == DETAILS.name), *trail.entered, *trail.numbers):
        row = book.people.get(person)
        if person not in kinds and row is not None:
            kinds[person] = row["kind"]
    if not kinds:
        return
    table = trace_table
    found = {row.subject: row for row in tx.rows(select(table).where(table.c.job == job, among(table.c.subject, kinds)))}
    expires_at = rfc3339(tx.now + uploads.LIFETIME)
    new: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    for subject, kind in kinds.items():
        known = found.get(subject)
        before = None if known is None else known.before
        if before is None and subject in trail.before:
            before = box.seal(msgspec.json.encode(trail.before[subject]), _context(school, job, subject))
        numbers = msgspec.json.encode([*([] if known is None else json.loads(known.numbers)), *trail.numbers.get(subject, ())]).decode()
        if known is None:
            row = {"job": job, "subject": subject, "kind": kind, "entered": subject in trail.entered, "expires_at": expires_at}
            new.append({**row, "before": before, "numbers": numbers})
        else:
            changed.append({"the_subject": subject, "before": before, "numbers": numbers})
    if new:
        tx.insert(table, new)
    if changed:
        values: dict[str, Any] = {"before": bindparam("before"), "numbers": bindparam("numbers")}
        tx.write(update(table).where(table.c.job == job, table.c.subject == bindparam("the_subject")).values(values), changed)


def trace_of(row: Row[Any], school: str, box: Box) -> Trace:
    """A row, its details unsealed."""
    before = None if row.before is None else json.loads(box.open(row.before, _context(school, row.job, row.subject)))
    return Trace(row.subject, row.kind, row.entered, before, tuple(json.loads(row.numbers)))


def settle(tx: Transaction, job: str, outcomes: Iterable[tuple[str, str]]) -> None:
    """Keeps what became of these subjects in a roll-back. What they were before is not needed any more."""
    if rows := [{"the_subject": subject, "new_outcome": outcome} for subject, outcome in outcomes]:
        this = (trace_table.c.job == job) & (trace_table.c.subject == bindparam("the_subject"))
        tx.write(update(trace_table).where(this).values(outcome=bindparam("new_outcome"), before=None), rows)


def _context(school: str, job: str, subject: str) -> str:
    return f"import-trace/{school}/{job}/{subject}"
