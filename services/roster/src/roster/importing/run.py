"""Carries one import job out: the plan, then classes, staff, decisions, pupils, and what is told of it in the end.

Every step is a command whose id follows from the job's, so a step that was carried out before is only heard of again.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import structlog
from sqlalchemy import Connection, delete, select, update

from contracts.consent import JUDGE_DECISIONS, RECORD_DECISIONS, Decision, DecisionOutcome, JudgeDecisions, RecordDecisions, SubjectKind
from contracts.operations import HEAD, Nothing
from contracts.roster import ImportStatus, RejectedCell, RosterImportCompleted, Seat
from eventkit.decider import Refused
from eventkit.faults import reach
from eventkit.service import Service
from eventkit.store import Transaction
from roster import journal
from roster.book import Book, Books, Pages
from roster.domain.facts import IMPORT, Complete
from roster.files import FileRefused, Finding, Known, Place, holds_changes_only, read_roster, write_rejected
from roster.importing import reviews, traces, uploads
from roster.importing.decisions import Mention, decide_guardians, decide_pupils, decide_staff, mentioned, seat_lists, seats_of
from roster.importing.entering import (
    LEAVING_PER_COMMAND,
    ROWS_PER_COMMAND,
    Entering,
    Work,
    column_of,
    findings,
    others_numbers,
    text_of,
)
from roster.importing.insisting import insist
from roster.importing.job import Job, job_table, reads_upload, rows_in
from roster.importing.known import known_of
from roster.importing.missing import with_leaving
from roster.importing.plan import Plan, PlannedRow, PlannedStaff, finding
from roster.importing.planning import plan_import
from roster.vault import Box

_DECISIONS_A_CALL = 200
_TOLD_CELLS = 200
_REJECTED_FILE_BYTES = 240_000  # an answer stays well under the bus's limit, base64 included
_TOO_MANY_REJECTED = "The rejected rows are too many to come back as a file: correct those listed, or hand in several smaller files."

R = TypeVar("R", bound=PlannedRow)
T = TypeVar("T")

_log = structlog.get_logger(__name__)


class JobEnded(Exception):
    """Another process of the service has carried a job out to its end."""


class Run:
    """One job being carried out."""

    def __init__(self, service: Service, books: Books, box: Box, job: Job, part: str = "") -> None:
        """`part` is what the names of the commands begin with where something is added to a job that has ended."""
        self._service = service
        self._books = books.of_job(job.school)
        self._box = box
        self._job = job
        self._part = part
        self._heard: dict[str, int] = {}  # the positions that the answers of consent knew of

    async def carry_out(self) -> None:
        plan = await self._stored_plan() or await self._make_plan()
        if self._job.request.dry_run:
            status = await self._status(plan, [*plan.rejected, *await self._rehearse(plan)])
            now = self._service.clock.now()

            def end(connection: Connection) -> None:
                connection.execute(self._job.ended(status, self._box))
                if not reads_upload(rows_in(connection), self._job.school, self._job.request.upload, but=self._job.job):
                    uploads.let_expire(connection, self._job.school, self._job.request.upload, now)

            await self._service.write(end)
            return
        found = [*plan.rejected, *await self.enter(plan)]
        await self._complete(plan, found)

    # ---- the plan -----------------------------------------------------------------------------------------------------

    async def _stored_plan(self) -> Plan | None:
        wanted = select(job_table.c.plan).where(job_table.c.job == self._job.job)
        sealed = await self._service.read(lambda connection: connection.execute(wanted).scalar())
        return None if sealed is None else Plan.model_validate_json(self._box.open(sealed, self._job.context))

    async def _make_plan(self) -> Plan:
        """Reads the file and plans it, once: a job that is taken up again does what this plan says."""
        name, content = await self._upload()
        only_changes = await asyncio.to_thread(holds_changes_only, content, name)
        known = await self._known(with_roster=only_changes)
        file = await asyncio.to_thread(read_roster, content, name, school=self._job.school, today=self._job.day, known=known)
        if self._job.request.org is not None and file.format != "oneroster":
            text, hint = "It is no OneRoster export: it names no org that could be confirmed.", "Leave out --org."
            raise FileRefused("file.org-unnamed", text, hint, file=name)
        request = self._job.request
        plan = await self._look(lambda pages: plan_import(file, pages, request.legal_basis, self._job.day, overrule=request.overrule))
        plan = plan.model_copy(update={"file_name": name, "rows_per_command": ROWS_PER_COMMAND})
        if request.full_list:
            if only_changes:
                raise Refused("list.not-whole", "An export of changes is no whole list. Import it without --full-list.")
            unlisted = plan
            plan = await self._look(lambda pages: with_leaving(unlisted, file, pages, request))
        sealed = self._box.seal(plan.model_dump_json().encode(), self._job.context)
        values = {"plan": sealed, "total_rows": plan.total_rows, "done_rows": plan.total_rows - len(plan.rows)}
        first = self._job.running().where(job_table.c.plan.is_(None)).values(values)
        if await self._service.write(lambda connection: connection.execute(first).rowcount):
            return plan
        stored = await self._stored_plan()  # another process of the service has planned it meanwhile: there is one plan
        if stored is None:
            raise JobEnded(self._job.job)
        return stored

    async def _known(self, *, with_roster: bool) -> Known:
        roster_at = self._service.clock.now() if with_roster else None
        books, secrets, request = self._books, self._service.secrets, self._job.request
        return await self._service.read(
            lambda connection: known_of(connection, books, secrets, request.school, request.org, roster_at=roster_at)
        )

    async def _upload(self) -> tuple[str, bytes]:
        request = self._job.request
        sender = journal.reader(self._job.origin)
        return await self._service.read(lambda connection: uploads.whole(connection, self._box, request.school, sender, request.upload))

    # ---- the rows -----------------------------------------------------------------------------------------------------

    async def enter(self, plan: Plan) -> list[Finding]:
        """Classes, staff, class teachers, then the decisions of the consent columns, then the pupils and their guardians."""
        entering = Entering(self._books, self._job.school, self._job.day, plan.legal_basis, self._progress, self._keep_trail)
        found = await self._in_parts(plan, "classes", plan.classes, entering.classes)
        if plan.export_ids:
            await self._insist(lambda: self._service.carry_out(self._job.caller, entering.export_ids(plan.export_ids), part="export-ids"))
        found += await self._in_parts(plan, "staff", plan.staff, entering.staff)
        teaching = [row for row in plan.classes if row.teacher is not None], [row for row in plan.staff if row.homeroom is not None]
        found += await self._in_parts(plan, "teachers", [*teaching[0], *teaching[1]], entering.teachers)
        staff = [row for row in plan.staff if row.consent is not None]
        entered = await self._look(lambda pages: _entered(pages, staff))
        outcomes = await decide_staff(entered, self._record)
        found += await self._in_parts(plan, "staff-decisions", staff, lambda rows: entering.staff_decisions(rows, outcomes))
        seats, outcomes = await self._decide_families(plan)
        found += await self._in_parts(plan, "pupils", plan.pupils, lambda rows: entering.pupils(rows, outcomes, seats))
        for first in range(0, len(plan.leaving), LEAVING_PER_COMMAND):
            work = entering.leaving(plan.leaving[first : first + LEAVING_PER_COMMAND])
            await self._insist(
                lambda work=work, first=first: self._service.carry_out(self._job.caller, work, part=f"{self._part}leaving-{first}")
            )
            reach("leaving.after-commit")
        return found

    async def _decide_families(self, plan: Plan) -> tuple[Mapping[Place, Seat], Mapping[Mention, DecisionOutcome]]:
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

    async def _in_parts(self, plan: Plan, name: str, rows: Sequence[R], make: Callable[[Sequence[R]], Work]) -> list[Finding]:
        found: list[Finding] = []
        for first in range(0, len(rows), plan.rows_per_command):
            part = rows[first : first + plan.rows_per_command]
            work = make(part)
            troubles = await self._insist(
                lambda work=work, first=first: self._service.carry_out(self._job.caller, work, part=f"{self._part}{name}-{first}")
            )
            found += findings(troubles, part, plan.format)
        return found

    def _progress(self, tx: Transaction, rows: int) -> None:
        if not self._part:
            tx.write(update(job_table).where(job_table.c.job == self._job.job).values(done_rows=job_table.c.done_rows + rows))

    def _keep_trail(self, tx: Transaction, book: Book) -> None:
        traces.keep(tx, book, self._job.school, self._job.job, self._box)

    # ---- consent ------------------------------------------------------------------------------------------------------

    async def _record(self, decisions: Sequence[Decision]) -> Sequence[DecisionOutcome]:
        """Has consent record decisions, in lists, on behalf of who began the import."""
        lists = [decisions[first : first + _DECISIONS_A_CALL] for first in range(0, len(decisions), _DECISIONS_A_CALL)]
        roster = await self._service.store.head() if lists else 0
        answers = await asyncio.gather(*(self._record_list(part, roster) for part in lists))
        return [outcome for answer in answers for outcome in answer]

    async def _record_list(self, decisions: Sequence[Decision], roster: int) -> Sequence[DecisionOutcome]:
        request = RecordDecisions(school=self._job.school, happened_on=self._job.day, decisions=tuple(decisions))
        # The id follows from the body: taken up again, a job may have to give another seat, and then it is another command.
        digest = self._service.secrets.mac("import-decisions", request.model_dump_json().encode())
        answer = await self._insist(
            lambda: self._service.calls.call(
                RECORD_DECISIONS, request, origin=self._job.origin, command_id=f"{self._job.job}.{digest[:20]}", after={"roster": roster}
            )
        )
        for service, position in answer.at.items():
            self._heard[service] = max(position, self._heard.get(service, 0))
        return answer.reply.outcomes

    async def _rehearse(self, plan: Plan) -> list[Finding]:
        """What consent would refuse of the consent columns, and whose numbers are other people's: as entering them would tell it."""
        mentions = mentioned(plan)
        found: list[Finding] = []
        roster = await self._service.store.head() if mentions else 0
        for first in range(0, len(mentions), _DECISIONS_A_CALL):
            some = mentions[first : first + _DECISIONS_A_CALL]
            request = JudgeDecisions(school=self._job.school, decisions=tuple(one.decision for one in some))
            try:
                answer = await self._insist(
                    lambda request=request: self._service.calls.call(
                        JUDGE_DECISIONS, request, origin=self._job.origin, after={"roster": roster}
                    )
                )
            except Refused as refused:
                if refused.code != "call.unknown":
                    raise
                return []  # consent is of the version before, while both are replaced: the import itself tells what it refuses
            outcomes = list(zip(some, answer.reply.outcomes, strict=True))
            found += [
                finding(
                    one.row.place, one.table, column_of(outcome.code), outcome.code, text_of(outcome), one.guardian, file_format=plan.format
                )
                for one, outcome in outcomes
                if outcome.code is not None
            ]
            others = await self._look(lambda pages, outcomes=outcomes: others_numbers(pages, outcomes))
            found += [
                finding(one.row.place, one.table, "consent_number", refused.code, refused.text, one.guardian, file_format=plan.format)
                for one, refused in others
            ]
        return found

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
            if not tx.write(job.ended(status, self._box)):
                raise JobEnded(job.job)
            tx.decide(IMPORT, f"{job.school}.{job.job}", Complete(completed), school=job.school, happened_on=job.day)
            reviews.keep(tx, self._box, self._service.secrets, job.school, job.job, plan)
            if not reads_upload(tx.rows, request.school, request.upload, but=job.job):
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
            if rejected is not None and (answered := rejected.within(_REJECTED_FILE_BYTES)) is not None:
                rejected_file = base64.b64encode(answered.content).decode()
            else:
                warnings = (*warnings, _TOO_MANY_REJECTED)
        return ImportStatus(
            job=self._job.job,
            state="done",
            done_rows=plan.total_rows,
            total_rows=plan.total_rows,
            created=counts["created"],
            updated=counts["updated"],
            unchanged=plan.unchanged,
            review=plan.review,
            conflict=plan.conflict,
            leaving=len(plan.leaving),
            rejected=tuple(
                RejectedCell(file=one.file, sheet=one.sheet, row=one.row, column=one.column, code=one.code, hint=one.hint)
                for one in sorted(found, key=lambda one: (one.file, one.sheet or "", one.row or 0))[:_TOLD_CELLS]
            ),
            rejected_rows=counts["rejected"],
            rejected_file=rejected_file,
            warnings=warnings,
            tables=plan.tables,
            file_name=plan.file_name,
        )

    async def _look(self, function: Callable[[Pages], T]) -> T:
        """Looks something up in the school's book, on one view of the database."""
        school = self._job.school
        return await self._service.read(
            lambda connection: function(self._books.read(lambda query: connection.execute(query).all(), school))
        )

    async def _insist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        return await insist(self._job.job, attempt)


def _entered(pages: Pages, staff: Sequence[PlannedStaff]) -> list[tuple[PlannedStaff, str]]:
    """The rows whose member of staff is entered, each with the person's id."""
    pages.expect_external_ids(SubjectKind.STAFF, (row.external_id for row in staff))
    return [(row, person) for row in staff if (person := pages.by_external_id(SubjectKind.STAFF, row.external_id)) is not None]


def _linked(pages: Pages, plan: Plan) -> set[tuple[str, str]]:
    """The pairs of pupil and guardian in the plan who are linked already."""
    pupils = [row.person for row in plan.pupils if row.person is not None]
    pages.guardianships.expect(pupils)
    return {(pupil, guardian) for pupil in pupils for guardian in pages.guardians(pupil)}
