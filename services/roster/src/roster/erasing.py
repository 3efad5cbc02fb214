"""What roster forgets with a person: the vault's row and key, what finds the person again, and the files in which the person may stand.

The seat stays the person's, as the record has it, and so does the journal: who read whose details, by random ids. An import holds whole
files, sealed: which person stands in which of them is not known, so those of the person's school go, and are sent again where they are
still wanted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date

from sqlalchemy import delete, or_, select, update

from contracts.erasure import DataCategory
from eventkit.erasure import Forgotten, Holder, Write, delete_rows
from eventkit.event import moment, rfc3339
from eventkit.store import Transaction
from roster import exporting
from roster.exporting import export_table
from roster.importing import uploads
from roster.importing.job import job_table
from roster.importing.reviews import is_settling, review_table
from roster.importing.rolling_back import rollback_table
from roster.importing.traces import trace_table
from roster.importing.uploads import upload_table
from roster.keys import Keys
from roster.tables import class_table, external_id_table, guardianship_table, likeness_table, person_table
from roster.vault import vault_table


class ImportUnderWay(RuntimeError):
    """An import of the person's school, a row of one or a roll-back is not done yet; what it enters or puts back is destroyed after it."""


class People(Holder):
    """The people of the vault."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    @property
    def apart(self) -> Sequence[DataCategory]:
        return (DataCategory.KEY,)

    def close(self, tx: Transaction, person: str, school: str, on: date) -> None:
        if tx.rows(is_settling(school)):
            raise ImportUnderWay
        running = select(job_table.c.job).where(job_table.c.school == school, job_table.c.state == "running")
        rolling_back = select(rollback_table.c.job).where(rollback_table.c.school == school, rollback_table.c.state == "running")
        if tx.rows(running) or tx.rows(rolling_back):
            raise ImportUnderWay

    def destroy(self, write: Write, people: Sequence[Forgotten]) -> Mapping[DataCategory, int]:
        ids = [one.person for one in people]
        guardian, pupil = guardianship_table.c.guardian, guardianship_table.c.pupil
        write(update(person_table).where(person_table.c.person.in_(ids)).values(erased=True, active=False, class_id=None))
        write(update(guardianship_table).where(or_(guardian.in_(ids), pupil.in_(ids))).values(linked=False))
        write(update(class_table).where(class_table.c.teacher.in_(ids)).values(teacher=None))
        undoing = write(delete(trace_table).where(trace_table.c.subject.in_(ids)))  # what details an import had found before it
        settled = write(delete(review_table).where(review_table.c.person.in_(ids)))
        return {
            DataCategory.DETAILS: delete_rows(write, vault_table, people) + undoing,
            DataCategory.MATCHING_DIGESTS: sum(delete_rows(write, table, people) for table in (external_id_table, likeness_table)),
            DataCategory.IMPORTED_FILES: sum(_destroy_files(write, one) for one in _last(people)) + settled,
        }

    def destroy_apart(self, people: Sequence[str]) -> None:
        self._keys.destroy(people)


def _last(people: Sequence[Forgotten]) -> Collection[Forgotten]:
    """Of each school, who is forgotten now or, else, was so last."""
    last: dict[str, Forgotten] = {}
    for one in people:
        known = last.setdefault(one.school, one)
        if known.before is not None and (one.before is None or one.before > known.before):
            last[one.school] = one
    return last.values()


def _destroy_files(write: Write, forgotten: Forgotten) -> int:
    """Destroys the files that a school had handed in or fetched, and what its imports kept of them.

    At a start only those that are strictly older than the erasure: it had destroyed whatever was there, so an older one was put back, and
    one of the same time came after it. On a manual clock that stands still all that is imported after an erasure is of its time.
    """
    of_imports = dict.fromkeys((upload_table, job_table, review_table), uploads.LIFETIME)
    destroyed = 0
    for table, lifetime in {**of_imports, export_table: exporting.LIFETIME}.items():
        wanted = delete(table).where(table.c.school == forgotten.school)
        if forgotten.before is not None:
            wanted = wanted.where(table.c.expires_at < rfc3339(moment(forgotten.before) + lifetime))
        destroyed += write(wanted)
    return destroyed
