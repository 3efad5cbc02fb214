"""A job's row: who began it, with what, and how far it is. What it knows of people, its plan and its result, is sealed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Column, Connection, Date, Integer, LargeBinary, MetaData, Table, Text, Update, select, update

from contracts.call import Role
from contracts.roster import ImportRoster, ImportStatus
from eventkit.answering import Caller
from eventkit.event import Origin, rfc3339
from eventkit.tokens import Actor
from roster import journal
from roster.sheet import Rows
from roster.vault import Box

metadata = MetaData()

job_table = Table(
    "import_job",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("job", Text, nullable=False, unique=True),
    Column("school", Text, nullable=False),
    Column("state", Text, nullable=False, index=True),
    Column("request", Text, nullable=False),
    Column("request_digest", Text, nullable=False, index=True),
    Column("origin", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("plan", LargeBinary),
    Column("total_rows", Integer, nullable=False),
    Column("done_rows", Integer, nullable=False),
    Column("result", LargeBinary),
    Column("expires_at", Text, nullable=False, index=True),
)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it was begun. `day` is when the act is true."""

    job: str
    request: ImportRoster
    origin: Origin
    day: date

    @property
    def school(self) -> str:
        return self.request.school

    @property
    def context(self) -> str:
        """What its sealed columns are bound to."""
        return context(self.school, self.job)

    @property
    def caller(self) -> Caller:
        """On whose behalf its steps are commands."""
        actor = Actor(Role.SERVICE, "roster", on_behalf_of=self.origin.actor)
        return Caller(actor, self.job, self.origin)

    def row(self, request_digest: str, expires_at: datetime) -> dict[str, Any]:
        return {
            "job": self.job,
            "school": self.school,
            "state": "running",
            "request": self.request.model_dump_json(),
            "request_digest": request_digest,
            "origin": json.dumps(asdict(self.origin)),
            "day": self.day,
            "total_rows": 0,
            "done_rows": 0,
            "expires_at": rfc3339(expires_at),
        }

    def ended(self, status: ImportStatus, box: Box) -> Update:
        """The statement with which the job ends, if it has not: its plan is not needed any more."""
        result = box.seal(status.model_dump_json().encode(), self.context)
        values: dict[str, Any] = {"state": status.state, "result": result, "plan": None, "done_rows": status.done_rows}
        return self.running().values({**values, "total_rows": status.total_rows})

    def running(self) -> Update:
        """A statement on its row that meets none where another process of the service has brought the job to its end."""
        return update(job_table).where(job_table.c.job == self.job, job_table.c.state == "running")


def context(school: str, job: str) -> str:
    return f"import/{school}/{job}"


def running_job(connection: Connection, name: str) -> Job | None:
    """The job, if it is there and has not ended."""
    row = connection.execute(select(job_table).where(job_table.c.job == name, job_table.c.state == "running")).first()
    if row is None:
        return None
    request = ImportRoster.model_validate_json(row.request)
    return Job(name, request, Origin(**json.loads(row.origin)), row.day)


def rows_in(connection: Connection) -> Rows:
    return lambda statement: connection.execute(statement).all()


def reads_upload(rows: Rows, school: str, upload: str, *, but: str | None = None) -> bool:
    """Whether a job under way, another one than `but`, reads this upload."""
    running = select(job_table.c.request).where(job_table.c.school == school, job_table.c.state == "running", job_table.c.job != but)
    return any(ImportRoster.model_validate_json(row.request).upload == upload for row in rows(running))


def status_of(connection: Connection, box: Box, school: str, job: str, asking: Origin) -> ImportStatus | None:
    """What is told of a job: its result, or how far it is. The rejected rows are told to whoever sent them alone."""
    of = job_table.c
    row = connection.execute(select(of.result, of.origin, of.done_rows, of.total_rows).where(of.job == job, of.school == school)).first()
    if row is None:
        return None
    if row.result is not None:
        status = ImportStatus.model_validate_json(box.open(row.result, context(school, job)))
        is_own = journal.reader(asking) == journal.reader(Origin(**json.loads(row.origin)))
        return status if is_own else status.model_copy(update={"rejected_file": None})
    return without_outcome(job, "running", row.done_rows, row.total_rows)


def without_outcome(job: str, state: Any, done_rows: int, total_rows: int, **more: str) -> ImportStatus:
    """The status of a job that has not come to an outcome for its rows."""
    return ImportStatus(
        job=job,
        state=state,
        done_rows=done_rows,
        total_rows=total_rows,
        created=0,
        updated=0,
        unchanged=0,
        review=0,
        rejected=(),
        error_code=more.get("error_code"),
        error_text=more.get("error_text"),
    )
