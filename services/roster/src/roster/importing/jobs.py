"""Import jobs: begun by a call that answers at once, carried out beside the calls, taken up again after a crash."""

from __future__ import annotations

import asyncio
import uuid

import structlog
from sqlalchemy import Connection, insert, select

from contracts import roster as calls
from contracts.roster import ImportRoster, ImportStatus
from eventkit.answering import Caller
from eventkit.decider import Refused
from eventkit.memory import give_back
from eventkit.postgres import is_away
from eventkit.service import Service, happened_on
from eventkit.store import Quarantined
from eventkit.tasks import ended, set_within
from eventkit.telemetry import trouble
from roster import journal
from roster.book import Books, new_id
from roster.files import FileRefused
from roster.importing import uploads
from roster.importing.expiry import Expiry
from roster.importing.insisting import outlast
from roster.importing.job import Job, job_table, reads_upload, rows_in, running_job, status_of, without_outcome
from roster.importing.reviews import review_table
from roster.importing.rolling_back import RollBacks, rollback_table
from roster.importing.run import JobEnded, Run
from roster.importing.settling import Reviews
from roster.importing.traces import trace_table
from roster.tables import require_school
from roster.vault import Box

_PREVIEW_WAIT_S = 5.0
_MOST_WAIT = 32  # for the end of a job, of all the calls that are answered at once

_TO_BE_CONFIRMED = ("list.", "file.school-unknown", "file.school-unconfirmed", "file.other-school", "file.org-unnamed")
"""Codes of refusals after which the same file is imported with another word in the request."""

_log = structlog.get_logger(__name__)


class Imports:
    """Takes uploads, begins jobs, tells how far they are, and carries them out."""

    def __init__(self, service: Service, books: Books) -> None:
        self._service = service
        self._books = books
        self._box = Box(service.secrets.key("imports"))
        self._expiry = Expiry(service, (uploads.upload_table, job_table, trace_table, rollback_table, review_table))
        self._begun: asyncio.Queue[str] = asyncio.Queue()
        self._under_way: dict[str, asyncio.Event] = {}
        self._waiting = 0
        self._roll_backs = RollBacks(service, books, self._box, self._expiry)
        self._reviews = Reviews(service, books, self._box)

    def register(self) -> None:
        self._service.query(calls.UPLOAD)(self._upload)
        self._service.query(calls.IMPORT)(self._begin)
        self._service.query(calls.IMPORT_STATUS)(self._tell)
        self._service.timer(self._expiry)
        self._service.at_start(self._run)
        self._roll_backs.register()
        self._reviews.register()

    # ---- the calls ----------------------------------------------------------------------------------------------------

    # An import only begins and looks like a query: while the service appends nothing, it would stand there as if under way.

    async def _upload(self, request: calls.UploadPart, caller: Caller) -> calls.UploadReply:
        self._service.require_appending()
        now = self._service.clock.now()

        def take(connection: Connection) -> tuple[int, ...]:
            require_school(connection, request.school)
            return uploads.take(connection, self._box, request, journal.reader(caller.origin), now)

        try:
            missing = await self._service.write(take)
        except Refused as refused:
            if refused.code == "file.too-large":
                await self._service.write(lambda connection: self._drop(connection, request.school, request.upload))
            raise
        self._expiry.expects(now + uploads.LIFETIME)
        return calls.UploadReply(upload=request.upload, missing=missing)

    async def _begin(self, request: ImportRoster, caller: Caller) -> ImportStatus:
        """The same request again finds the job under way, or the one that used its upload up. A preview is waited for."""
        self._service.require_appending()
        now = self._service.clock.now()
        digest = self._service.secrets.mac("import-request", request.model_dump_json().encode())

        def begin(connection: Connection) -> tuple[str, bool]:
            school = require_school(connection, request.school)
            last = select(job_table).where(job_table.c.request_digest == digest).order_by(job_table.c.number.desc()).limit(1)
            row = connection.execute(last).first()
            parts = uploads.missing(connection, request.school, request.upload)
            has_ended = row is not None and parts is None and (row.state == "failed" or not request.dry_run)
            if row is not None and (row.state == "running" or has_ended):
                return row.job, False
            if parts is None:
                raise uploads.unknown(request.upload)
            if parts:
                raise uploads.incomplete(request.upload, parts)
            uploads.hold(connection, request.school, request.upload, now)
            job = Job(new_id("i"), request, caller.origin, happened_on(request.happened_on, now, school.timezone))
            connection.execute(insert(job_table), job.row(digest, now + uploads.LIFETIME))
            return job.job, True

        job, is_new = await self._service.write(begin)
        if is_new:
            self._expiry.expects(now + uploads.LIFETIME)
            self._under_way[job] = asyncio.Event()
            self._begun.put_nowait(job)
        if request.dry_run and (finished := self._under_way.get(job)) is not None:
            await set_within(finished, _PREVIEW_WAIT_S)
        return await self._status(request.school, job, caller)

    async def _tell(self, request: calls.ImportJob, caller: Caller) -> ImportStatus:
        status = await self._status(request.school, request.job, caller)
        finished = self._under_way.get(request.job) if status.state == "running" else None
        if request.wait_s and finished is not None and self._waiting < _MOST_WAIT:
            self._waiting += 1
            try:
                await set_within(finished, request.wait_s)
            finally:
                self._waiting -= 1
            status = await self._status(request.school, request.job, caller)
        if status.state == "running":
            self._service.require_appending()
        return status

    async def _status(self, school: str, job: str, caller: Caller) -> ImportStatus:
        def read(connection: Connection) -> ImportStatus:
            require_school(connection, school)
            status = status_of(connection, self._box, school, job, caller.origin)
            if status is None:
                kept = f"Jobs are kept for {uploads.LIFETIME.days} days, or until anybody of the school is erased."
                raise Refused("import.unknown", f"There is no import {job}. {kept}", "`vekha import list` shows the ids.")
            return status

        return await self._service.read(read)

    # ---- beside the calls ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Carries out what a crash had cut off, then what is begun."""
        unfinished = select(job_table.c.job).where(job_table.c.state == "running")
        for job in await self._service.read(lambda connection: connection.execute(unfinished).scalars().all()):
            self._under_way.setdefault(job, asyncio.Event())
            self._begun.put_nowait(job)
        running: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                job = await self._begun.get()
                if job not in running:
                    running[job] = asyncio.create_task(self._carry_out(job))
                    running[job].add_done_callback(lambda _, job=job: running.pop(job))
        finally:
            await ended(running.values())

    async def _carry_out(self, name: str) -> None:
        """Carries out one job to its end. Never raises."""
        try:
            await outlast(name, lambda: self._try(name))
        except Exception as unexpected:  # noqa: BLE001 -- the other jobs go on; this one is taken up at the next start
            _log.error("import.interrupted", job=name, **trouble(unexpected))
        finally:
            if (finished := self._under_way.pop(name, None)) is not None:
                finished.set()
        await asyncio.to_thread(give_back)

    async def _try(self, name: str) -> None:
        """Carries out one job as far as the database goes along: what it raises is what that raises."""
        job = await self._service.read(lambda connection: running_job(connection, name))
        if job is None:  # it has come to its end, or expired
            return
        try:
            await Run(self._service, self._books, self._box, job).carry_out()
            if job.request.dry_run:
                self._expiry.expects(self._service.clock.now() + uploads.LOOKED_AT)
        except FileRefused as refused:
            where = refused.file if refused.sheet is None else f"{refused.file}, {refused.sheet}"
            await self._fail(job, refused.code, f"{where}: {refused.text} {refused.hint}")
        except Refused as refused:
            await self._fail(job, refused.code, refused.text)
        except JobEnded:
            return
        except Quarantined:
            _log.warning("import.waits", job=name, reason="quarantined")  # it is taken up at the start after the repair
        except Exception as unexpected:
            if is_away(unexpected):
                raise
            incident = uuid.uuid4().hex[:12]  # who asks for the job's status gets an answer, the log the cause
            _log.error("import.failed", job=name, incident=incident, **trouble(unexpected))
            await self._fail(
                job, "import.failed", f"The import failed. The log of roster tells more (incident {incident}). Begin it again."
            )

    async def _fail(self, job: Job, code: str, text: str) -> None:
        now = self._service.clock.now()

        def fail(connection: Connection) -> None:
            row = connection.execute(select(job_table).where(job_table.c.job == job.job)).first()
            if row is not None:
                name = uploads.file_name(connection, self._box, job.school, journal.reader(job.origin), job.request.upload)
                failed = without_outcome(job.job, "failed", row.done_rows, row.total_rows, error_code=code, error_text=text)
                status = failed.model_copy(update={"file_name": name})
                connection.execute(job.ended(status, self._box))
            # What failed otherwise, in the middle perhaps, is begun again with the same upload.
            if code.startswith(_TO_BE_CONFIRMED):
                if not reads_upload(rows_in(connection), job.school, job.request.upload, but=job.job):
                    uploads.let_expire(connection, job.school, job.request.upload, now)
            elif code.startswith("file."):
                self._drop(connection, job.school, job.request.upload, but=job.job)

        await self._service.write(fail)
        self._expiry.expects(now + uploads.LOOKED_AT)

    def _drop(self, connection: Connection, school: str, upload: str, *, but: str | None = None) -> None:
        """Forgets the parts of a refused file, as long as no other job reads them."""
        if not reads_upload(rows_in(connection), school, upload, but=but):
            uploads.drop(connection, school, upload)
