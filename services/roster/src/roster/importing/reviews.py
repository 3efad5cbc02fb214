"""The rows that imports have put aside, sealed until somebody has compared them: twins, namesakes, who has left, what is to be deleted.

They hold personal data: a row is destroyed as soon as it is settled, with its import's time or roll-back, and with anybody of the school
who is erased. What stays until the import's time is over is that it was settled, and as whose.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Column, Date, Index, Integer, LargeBinary, MetaData, Row, Table, Text, delete, insert, select

from contracts.event import Value
from contracts.roster import RejectedCell
from eventkit.secrets import Secrets
from eventkit.store import Transaction
from roster.book import new_id
from roster.files import Finding, Format
from roster.importing.job import job_table
from roster.importing.plan import Plan
from roster.importing.putting_aside import Aside, from_json
from roster.vault import Box

metadata = MetaData()

review_table = Table(
    "import_review",
    metadata,
    Column("review", Text, primary_key=True),
    Column("job", Text, nullable=False, index=True),
    Column("school", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("row", LargeBinary),
    Column("state", Text, nullable=False, index=True),
    Column("settled_as", Text),
    Column("person", Text),
    Column("origin", Text),
    Column("day", Date),
    Column("attempt", Integer, nullable=False),
    Column("rejected", LargeBinary),
    Column("expires_at", Text, nullable=False, index=True),
)
"""`about` is a keyed digest of whom the row names by its ID. `row` is sealed, and empty once the row is settled; `rejected`, sealed too, is
why it could not be entered when that was tried last. `attempt` counts the tries, `origin` and `day` are those of the last."""
Index("import_review_about", review_table.c.school, review_table.c.about)


class KeptRow(Value):
    """What is sealed of a review."""

    format: Format
    row: str


def keep(tx: Transaction, box: Box, secrets: Secrets, school: str, job: str, plan: Plan) -> None:
    """Keeps the rows that a plan has put aside, in the place of those of earlier imports that are about the same and are open still."""
    if not plan.put_aside:
        return
    expires_at = tx.rows(select(job_table.c.expires_at).where(job_table.c.job == job))[0].expires_at
    new: list[dict[str, Any]] = []
    for number, one in enumerate(plan.put_aside):
        review = new_id("v")
        sealed = box.seal(KeptRow(format=plan.format, row=one.row).model_dump_json().encode(), _context(school, review))
        about = secrets.mac("import-review", f"{school}/{one.reason}/{one.external_id}".encode())
        new.append(
            {
                "review": review,
                "job": job,
                "school": school,
                "number": number,
                "reason": one.reason.value,
                "about": about,
                "row": sealed,
                "state": "open",
                "attempt": 0,
                "expires_at": expires_at,
            }
        )
    here = (review_table.c.school == school) & (review_table.c.state == "open")
    for first in range(0, len(new), _ABOUT_AT_A_TIME):
        some = [one["about"] for one in new[first : first + _ABOUT_AT_A_TIME]]
        tx.write(delete(review_table).where(here, review_table.c.about.in_(some)))
    tx.write(insert(review_table), new)


def opened(found: Row[Any], box: Box) -> tuple[Aside, Format]:
    """The row of a review that is not settled, and the format of the file that it was in."""
    kept = KeptRow.model_validate_json(box.open(found.row, _context(found.school, found.review)))
    return from_json(kept.row), kept.format


def seal_rejected(box: Box, school: str, review: str, found: Sequence[Finding]) -> bytes:
    text = json.dumps([asdict(one) for one in found], ensure_ascii=False)
    return box.seal(text.encode(), _context(school, review))


def rejected_of(found: Row[Any], box: Box) -> tuple[RejectedCell, ...]:
    if found.rejected is None:
        return ()
    cells = json.loads(box.open(found.rejected, _context(found.school, found.review)))
    return tuple(RejectedCell.model_validate(cell) for cell in cells)


def is_settling(school: str) -> Any:
    """The statement that finds the reviews of a school that are being settled at this moment."""
    return select(review_table.c.review).where(review_table.c.school == school, review_table.c.state == "settling")


_ABOUT_AT_A_TIME = 500


def _context(school: str, review: str) -> str:
    return f"import-review/{school}/{review}"
