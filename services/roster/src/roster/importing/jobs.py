"""Import jobs: begun by a call that answers at once, carried out beside the calls, taken up again after a crash.

A job's row says how far it is; what it knows of people, its plan and its result, is sealed in it and expires with it.
Every step is a command whose id follows from the job's, so a step that was carried out before is only heard of again.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, TypeVar

import structlog
from sqlalchemy import Column, Connection, Date, Integer, LargeBinary, MetaData, Table, Text, delete, insert, select, update

from contracts import roster as calls
from contracts.call import Role
from contracts.consent import RECORD_DECISIONS, Decision, DecisionOutcome, RecordDecisions, SubjectKind
from contracts.operations import HEAD, Nothing
from contracts.roster import ImportRoster, ImportStatus, RejectedCell, RosterImportCompleted
from eventkit.answering import Caller
from eventkit.calls import CallFailed
from eventkit.decider import Refused
from eventkit.event import Origin, rfc3339
from eventkit.service import Service, happened_on
from eventkit.store import Conflict, Quarantined, Transaction
from eventkit.telemetry import trouble
from eventkit.tokens import Actor
from roster.api import require_school
from roster.book import Books, Pages
from roster.domain.facts import IMPORT, Complete
from roster.files import FileRefused, Finding, Place, read_roster, write_rejected
from roster.importing import uploads
from roster.importing.decisions import Mention, decide_guardians, decide_pupils, decide_staff, seat_lists, seats_of
from roster.importing.entering import ROWS_PER_COMMAND, Entering, Work, findings
from roster.importing.expiry import Expiry
from roster.importing.plan import Plan, PlannedRow, plan_import
from roster.vault import Box

metadata = MetaData()

job_table = Table(
    "import_job",
    metadata,
    Column("job", Text, primary_key=True),
    Column("school", Text, nullable=False),
    Column("state", Text, nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("request", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("plan", LargeBinary),
    Column("total_rows", Integer, nullable=False),
    Column("done_rows", Integer, nullable=False),
    Column("result", LargeBinary),
    Column("expires_at", Text, nullable=False, index=True),
)

_DECISIONS_A_CALL = 200
_TOLD_CELLS = 200
_REJECTED_FILE_BYTES = 300_000  # an answer stays well under the bus's limit, base64 included
_PREVIEW_WAIT_S = 5.0
_FIRST_DELAY_S = 0.05
_LONGEST_DELAY_S = 30.0

R = TypeVar("R", bound=PlannedRow)
T = TypeVar("T")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    """A job as it was begun. `attempt` counts from 1: a job that failed may be begun again."""

    job: str
    attempt: int
    request: ImportRoster
    origin: Origin
    day: date

    @property
    def school(self) -> str:
        return self.request.school

    @property
    def context(self) -> str:
        return f"import/{self.school}/{self.job}"

    @property
    def caller(self) -> Caller:
        actor = Actor(Role.SERVICE, "roster", on_behalf_of=self.origin.actor)
        return Caller(actor, f"{self.job}.{self.attempt}", self.origin)


class Imports:
    """Takes uploads, begins jobs, tells how far they are, and carries them out."""

    def __init__(self, service: Service, books: Books) -> None:
        self._service = service
        self._books = books
        self._box = Box(service.secrets.key("imports"))
        self._expiry = Expiry(service, (uploads.upload_table, job_table))
        self._begun: asyncio.Queue[str] = asyncio.Queue()
        self._under_way: dict[str, asyncio.Event] = {}

    def register(self) -> None:
        self._service.query(calls.UPLOAD)(self._upload)
        self._service.query(calls.IMPORT)(self._begin)
        self._service.query(calls.IMPORT_STATUS)(self._tell)
        self._service.timer(self._expiry)
        self._service.at_start(self._run)

    # ---- the calls ----------------------------------------------------------------------------------------------------

    async def _upload(self, request: calls.UploadPart, caller: Caller) -> calls.UploadReply:
        now = self._service.clock.now()

        def take(connection: Connection) -> tuple[int, ...]:
            require_school(connection, request.school)
            return uploads.take(connection, self._box, request, now)

        missing = await self._service.write(take)
        self._expiry.expects(now + uploads.LIFETIME)
        return calls.UploadReply(upload=request.upload, missing=missing)

    async def _begin(self, request: ImportRoster, caller: Caller) -> ImportStatus:
        """The same request again finds the job that it began. A preview is waited for, since it is made in a moment."""
        now = self._service.clock.now()
        digest = self._service.secrets.mac("import-job", request.model_dump_json().encode())
        job = f"i-{digest[:20]}"

        def begin(connection: Connection) -> bool:
            school = require_school(connection, request.school)
            row = connection.execute(select(job_table).where(job_table.c.job == job)).first()
            if row is not None and row.state != "failed":
                return row.state == "running"
            if parts := uploads.missing(connection, request.school, request.upload):
                raise uploads.incomplete(request.upload, parts)
            connection.execute(delete(job_table).where(job_table.c.job == job))
            values: dict[str, Any] = {
                "job": job,
                "school": request.school,
                "state": "running",
                "attempt": 1 if row is None else row.attempt + 1,
                "request": request.model_dump_json(),
                "origin": json.dumps(asdict(caller.origin)),
                "day": happened_on(request.happened_on, now, school.timezone),
                "total_rows": 0,
                "done_rows": 0,
                "expires_at": rfc3339(now + uploads.LIFETIME),
            }
            connection.execute(insert(job_table), values)
            return True

        if await self._service.write(begin):
            self._expiry.expects(now + uploads.LIFETIME)
            finished = self._under_way.setdefault(job, asyncio.Event())
            self._begun.put_nowait(job)
            if request.dry_run:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_PREVIEW_WAIT_S):
                        await finished.wait()
        return await self._status(request.school, job)

    async def _tell(self, request: calls.ImportJob, caller: Caller) -> ImportStatus:
        return await self._status(request.school, request.job)

    async def _status(self, school: str, job: str) -> ImportStatus:
        def read(connection: Connection) -> ImportStatus:
            require_school(connection, school)
            row = connection.execute(select(job_table).where(job_table.c.job == job, job_table.c.school == school)).first()
            if row is None:
                raise Refused("import.unknown", f"There is no import {job}. Jobs are kept for {uploads.LIFETIME.days} days.")
            if row.result is not None:
                return ImportStatus.model_validate_json(self._box.open(row.result, f"import/{school}/{job}"))
            return ImportStatus(
                job=job,
                state="running",
                done_rows=row.done_rows,
                total_rows=row.total_rows,
                created=0,
                updated=0,
                unchanged=0,
                review=0,
                rejected=(),
            )

        return await self._service.read(read)

    # ---- beside the calls ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Carries out what a crash had cut off, then what is begun."""
        unfinished = select(job_table.c.job).where(job_table.c.state == "running")
        for job in await self._service.read(lambda connection: connection.execute(unfinished).scalars().all()):
            self._begun.put_nowait(job)
        running: set[str] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                job = await self._begun.get()
                if job not in running:
                    running.add(job)
                    task = group.create_task(self._carry_out(job))
                    task.add_done_callback(lambda _, job=job: running.discard(job))

    async def _carry_out(self, name: str) -> None:
        """Carries out one job to its end. Never raises."""
        try:
            job = await self._service.read(lambda connection: _job(connection, name))
            if job is None:  # it has come to its end, or expired
                return
            try:
                await _Run(self._service, self._books, self._box, job).carry_out()
            except FileRefused as refused:
                await self._fail(job, refused.code, f"{refused.text} {refused.hint}")
            except Refused as refused:
                await self._fail(job, refused.code, refused.text)
            except Quarantined:
                _log.warning("import.waits", job=name, reason="quarantined")  # it is taken up at the start after the repair
            except Exception as unexpected:  # noqa: BLE001 -- who asks for the job's status gets an answer, the log the cause
                incident = uuid.uuid4().hex[:12]
                _log.error("import.failed", job=name, incident=incident, **trouble(unexpected))
                await self._fail(
                    job, "import.failed", f"The import failed. The log of roster tells more (incident {incident}). Begin it again."
                )
        except Exception as unexpected:  # noqa: BLE001 -- the other jobs go on; this one is taken up at the next start
            _log.error("import.interrupted", job=name, **trouble(unexpected))
        finally:
            if (finished := self._under_way.pop(name, None)) is not None:
                finished.set()

    async def _fail(self, job: _Job, code: str, text: str) -> None:
        def fail(connection: Connection) -> None:
            row = connection.execute(select(job_table).where(job_table.c.job == job.job)).one()
            status = ImportStatus(
                job=job.job,
                state="failed",
                done_rows=row.done_rows,
                total_rows=row.total_rows,
                created=0,
                updated=0,
                unchanged=0,
                review=0,
                rejected=(),
                error_code=code,
                error_text=text,
            )
            connection.execute(_ended(job, status, self._box))

        await self._service.write(fail)


class _Run:
    """One job being carried out."""

    def __init__(self, service: Service, books: Books, box: Box, job: _Job) -> None:
        self._service = service
        self._books = books
        self._box = box
        self._job = job
        self._heard: dict[str, int] = {}  # the positions that the answers of consent knew of

    async def carry_out(self) -> None:
        plan = await self._stored_plan() or await self._make_plan()
        if self._job.request.dry_run:
            status = await self._status(plan, plan.rejected)
            await self._service.write(lambda connection: connection.execute(_ended(self._job, status, self._box)))
            return
        found = [*plan.rejected, *await self._enter(plan)]
        await self._complete(plan, found)

    # ---- the plan -----------------------------------------------------------------------------------------------------

    async def _stored_plan(self) -> Plan | None:
        wanted = select(job_table.c.plan).where(job_table.c.job == self._job.job)
        sealed = await self._service.read(lambda connection: connection.execute(wanted).scalar())
        return None if sealed is None else Plan.model_validate_json(self._box.open(sealed, self._job.context))

    async def _make_plan(self) -> Plan:
        """Reads the file and plans it, once: a job that is taken up again does what this plan says."""
        name, content = await self._upload()
        file = await asyncio.to_thread(read_roster, content, name)
        plan = await self._look(lambda pages: plan_import(file, pages, self._job.request.legal_basis, self._job.day))
        sealed = self._box.seal(plan.model_dump_json().encode(), self._job.context)
        values = {"plan": sealed, "total_rows": plan.total_rows, "done_rows": plan.total_rows - len(plan.rows)}
        await self._service.write(
            lambda connection: connection.execute(update(job_table).where(job_table.c.job == self._job.job).values(values))
        )
        return plan

    async def _upload(self) -> tuple[str, bytes]:
        request = self._job.request
        return await self._service.read(lambda connection: uploads.whole(connection, self._box, request.school, request.upload))

    # ---- the rows -----------------------------------------------------------------------------------------------------

    async def _enter(self, plan: Plan) -> list[Finding]:
        """Classes, staff, class teachers, then the decisions of the consent columns, then the pupils and their guardians."""
        entering = Entering(self._books, self._job.school, self._job.day, plan.legal_basis, self._progress)
        found = await self._in_parts("classes", plan.classes, entering.classes)
        found += await self._in_parts("staff", plan.staff, entering.staff)
        with_class = [row for row in (*plan.classes, *plan.staff) if getattr(row, "teacher", None) or getattr(row, "homeroom", None)]
        found += await self._in_parts("teachers", with_class, entering.teachers)
        staff = [row for row in plan.staff if row.consent is not None]
        people = await self._look(lambda pages: {row.place: pages.by_external_id(SubjectKind.STAFF, row.external_id) for row in staff})
        entered = [(row, person) for row in staff if (person := people[row.place]) is not None]
        outcomes = await decide_staff(entered, self._record)
        found += await self._in_parts("staff-decisions", staff, lambda rows: entering.staff_decisions(rows, outcomes))
        seats, outcomes = await self._decide_families(plan)
        return found + await self._in_parts("pupils", plan.pupils, lambda rows: entering.pupils(rows, outcomes, seats))

    async def _decide_families(self, plan: Plan) -> tuple[Mapping[Place, calls.Seat], Mapping[Mention, DecisionOutcome]]:
        """Records the decisions of pupils, then of their guardians, whose seats are beside the pupils'."""
        if any(one.consent is not None for row in plan.pupils for one in (row, *row.guardians)):
            await self._hear_consent()
        lists = await self._look(lambda pages: seat_lists(pages, plan.pupils))
        outcomes = await decide_pupils(lists, plan.pupils, self._record)
        await self._insist(lambda: self._service.caught_up(self._heard))
        seats, linked = await self._look(lambda pages: (seats_of(pages, plan.pupils, outcomes), _linked(pages, plan)))
        guardians = await decide_guardians(plan.pupils, seats, lambda pupil, guardian: (pupil, guardian) in linked, self._record)
        await self._insist(lambda: self._service.caught_up(self._heard))
        return seats, {**outcomes, **guardians}

    async def _in_parts(self, name: str, rows: Sequence[R], make: Callable[[Sequence[R]], Work]) -> list[Finding]:
        found: list[Finding] = []
        for first in range(0, len(rows), ROWS_PER_COMMAND):
            part = rows[first : first + ROWS_PER_COMMAND]
            work = make(part)
            troubles = await self._insist(
                lambda work=work, first=first: self._service.carry_out(self._job.caller, work, part=f"{name}-{first}")
            )
            found += findings(troubles, part)
        return found

    def _progress(self, tx: Transaction, rows: int) -> None:
        tx.write(update(job_table).where(job_table.c.job == self._job.job).values(done_rows=job_table.c.done_rows + rows))

    # ---- consent ------------------------------------------------------------------------------------------------------

    async def _record(self, decisions: Sequence[Decision]) -> Sequence[DecisionOutcome]:
        """Has consent record decisions, in lists, on behalf of who began the import."""
        lists = [decisions[first : first + _DECISIONS_A_CALL] for first in range(0, len(decisions), _DECISIONS_A_CALL)]
        answers = await asyncio.gather(*(self._record_list(part) for part in lists))
        return [outcome for answer in answers for outcome in answer]

    async def _record_list(self, decisions: Sequence[Decision]) -> Sequence[DecisionOutcome]:
        request = RecordDecisions(school=self._job.school, happened_on=self._job.day, decisions=tuple(decisions))
        # The id follows from the body: taken up again, a job may have to give another seat, and then it is another command.
        digest = self._service.secrets.mac("import-decisions", request.model_dump_json().encode())
        roster = {"roster": await self._service.store.head()}
        answer = await self._insist(
            lambda: self._service.calls.call(
                RECORD_DECISIONS, request, origin=self._job.origin, command_id=f"{self._job.job}.{digest[:20]}", after=roster
            )
        )
        for service, position in answer.at.items():
            self._heard[service] = max(position, self._heard.get(service, 0))
        return answer.reply.outcomes

    async def _hear_consent(self) -> None:
        """Waits until whatever was decided before is known here: a seat that somebody has decided on is not free."""
        head = await self._insist(lambda: self._service.calls.call(HEAD["consent"], Nothing()))
        await self._insist(lambda: self._service.caught_up({"consent": head.reply.position}))

    # ---- the end ------------------------------------------------------------------------------------------------------

    async def _complete(self, plan: Plan, found: Sequence[Finding]) -> None:
        status = await self._status(plan, found)
        job, request = self._job, self._job.request
        completed = RosterImportCompleted(
            import_id=job.job,
            created=status.created,
            updated=status.updated,
            unchanged=status.unchanged,
            review=status.review,
            rejected=status.rejected_rows,
        )
        here = (uploads.upload_table.c.school == request.school) & (uploads.upload_table.c.upload == request.upload)

        def complete(tx: Transaction) -> None:
            tx.decide(IMPORT, f"{job.school}.{job.job}", Complete(completed), school=job.school, happened_on=job.day)
            tx.write(_ended(job, status, self._box))
            tx.write(delete(uploads.upload_table).where(here))

        await self._insist(lambda: self._service.carry_out(job.caller, complete, part="complete"))
        _log.info("import.completed", job=job.job, school=job.school, created=status.created, rejected=status.rejected_rows)

    async def _status(self, plan: Plan, found: Sequence[Finding]) -> ImportStatus:
        counts = plan.outcomes(found)
        warnings = plan.warnings[:_TOLD_CELLS]
        rejected_file = None
        if found:
            name, content = await self._upload()
            rejected = await asyncio.to_thread(write_rejected, content, found, name)
            if rejected is not None and len(rejected.content) <= _REJECTED_FILE_BYTES:
                rejected_file = base64.b64encode(rejected.content).decode()
            else:
                warnings = (*warnings, "The rejected rows are too many to come back as a file: look for them by their numbers.")
        return ImportStatus(
            job=self._job.job,
            state="done",
            done_rows=plan.total_rows,
            total_rows=plan.total_rows,
            created=counts["created"],
            updated=counts["updated"],
            unchanged=plan.unchanged,
            review=plan.review,
            rejected=tuple(
                RejectedCell(file=one.file, sheet=one.sheet, row=one.row, column=one.column, code=one.code, hint=one.hint)
                for one in found[:_TOLD_CELLS]
            ),
            rejected_rows=counts["rejected"],
            rejected_file=rejected_file,
            warnings=warnings,
        )

    async def _look(self, function: Callable[[Pages], T]) -> T:
        """Looks something up in the school's book, on one view of the database."""
        school = self._job.school
        return await self._service.read(
            lambda connection: function(self._books.read(lambda query: connection.execute(query).all(), school))
        )

    async def _insist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Tries until it is done or the domain says no: a service that is away comes back, and nothing is done twice."""
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                return await attempt()
            except Refused as refused:
                if refused.code != "reader.not-caught-up":
                    raise
            except CallFailed as failed:
                if failed.kind == "invalid":
                    raise
                _log.warning("import.waits", job=self._job.job, reason=failed.code)
            except Conflict:
                pass
            await asyncio.sleep(delay_s)
            delay_s = min(_LONGEST_DELAY_S, delay_s * 2)


def _job(connection: Connection, name: str) -> _Job | None:
    row = connection.execute(select(job_table).where(job_table.c.job == name, job_table.c.state == "running")).first()
    if row is None:
        return None
    request = ImportRoster.model_validate_json(row.request)
    return _Job(name, row.attempt, request, Origin(**json.loads(row.origin)), row.day)


def _ended(job: _Job, status: ImportStatus, box: Box) -> Any:
    """The statement with which a job ends: its plan is not needed any more."""
    result = box.seal(status.model_dump_json().encode(), job.context)
    values: dict[str, Any] = {"state": status.state, "result": result, "plan": None, "done_rows": status.done_rows}
    return update(job_table).where(job_table.c.job == job.job).values({**values, "total_rows": status.total_rows})


def _linked(pages: Pages, plan: Plan) -> set[tuple[str, str]]:
    """The pairs of pupil and guardian in the plan who are linked already."""
    pupils = [row.person for row in plan.pupils if row.person is not None]
    pages.guardianships.expect(pupils)
    return {(pupil, guardian) for pupil in pupils for guardian in pages.guardians(pupil)}
