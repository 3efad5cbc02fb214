"""Rolls an import back by its id: a job beside the calls, some fifty people a command, taken up again after a crash.

What of the import is left to be taken back stands in its traces: so a roll-back that was cut off goes on where it was, and one that is
asked for again only tells how far it is. First come the pupils, then their guardians, the classes, the staff; then consent is asked to
invalidate the decisions that the import's consent columns recorded, but of those who were left.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, get_args

import structlog
from sqlalchemy import Column, Connection, Date, MetaData, Row, Table, Text, delete, func, insert, select, update

from contracts.call import Role
from contracts.consent import INVALIDATE_DECISIONS, InvalidateDecisions, InvalidationReason
from contracts.operations import HEAD, Nothing
from contracts.roster import (
    IMPORTS,
    ROLL_BACK_IMPORT,
    ImportCard,
    ImportCards,
    ImportRolledBack,
    ImportRoster,
    ImportsQuery,
    ImportStatus,
    LeftBehind,
    RollBackImport,
    RollBackStatus,
)
from eventkit import log
from eventkit.answering import Caller
from eventkit.decider import Refused
from eventkit.event import Origin, rfc3339
from eventkit.faults import reach
from eventkit.postgres import is_away
from eventkit.service import Service, happened_on
from eventkit.store import Quarantined, Transaction
from eventkit.telemetry import trouble
from eventkit.tokens import Actor
from roster import journal
from roster.book import Books
from roster.domain.facts import IMPORT, RollBack
from roster.importing import uploads
from roster.importing.expiry import Expiry
from roster.importing.insisting import insist, outlast
from roster.importing.job import context, job_table
from roster.importing.reviews import is_settling, review_table
from roster.importing.traces import GONE, PUT_BACK, Kind, settle, trace_of, trace_table
from roster.importing.undoing import LEFT, Undoing
from roster.projections import consent_table
from roster.tables import person_table, require_school
from roster.vault import Box

_SUBJECTS_PER_COMMAND = 50
_DECISIONS_A_CALL = 200
_TOLD = 200
_ORDER: tuple[Kind, ...] = ("pupil", "guardian", "class", "staff")
"""A guardian after the children, a class once nobody is in it, its teacher once the class is gone."""

_BACK = {"running": "rolling-back", "done": "rolled-back"}

metadata = MetaData()

rollback_table = Table(
    "import_rollback",
    metadata,
    Column("job", Text, primary_key=True),
    Column("school", Text, nullable=False),
    Column("state", Text, nullable=False, index=True),
    Column("origin", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("decisions", Text),
    Column("relied_on", Text),
    Column("error_code", Text),
    Column("error_text", Text),
    Column("expires_at", Text, nullable=False, index=True),
)
"""`decisions` are the ids, a JSON list, of those that are invalidated, `relied_on` of those that are left; empty until that is known."""

_log = structlog.get_logger(__name__)


class RollBacks:
    """Begins roll-backs, tells how far they are, and carries them out."""

    def __init__(self, service: Service, books: Books, box: Box, expiry: Expiry) -> None:
        self._service = service
        self._books = books
        self._box = box
        self._expiry = expiry
        self._begun: asyncio.Queue[str] = asyncio.Queue()

    def register(self) -> None:
        self._service.query(ROLL_BACK_IMPORT)(self._begin)
        self._service.query(IMPORTS)(self._list)
        self._service.at_start(self._run)

    # ---- the calls ----------------------------------------------------------------------------------------------------

    async def _begin(self, request: RollBackImport, caller: Caller) -> RollBackStatus:
        """Begins it or, where that was done before, only tells. Like an import it looks like a query, and is none where it begins."""
        now = self._service.clock.now()
        expires_at = now + uploads.LIFETIME
        job = request.import_id

        def begin(connection: Connection) -> tuple[RollBackStatus, bool]:
            school = require_school(connection, request.school)
            found = connection.execute(
                select(rollback_table).where(rollback_table.c.job == job, rollback_table.c.school == request.school)
            ).first()
            if found is not None and found.state != "failed":
                return _status(connection, found), False
            _require_import(connection, request.school, job)
            of_job = review_table.c.job == job
            if connection.execute(is_settling(request.school).where(of_job)).first() is not None:
                raise Refused("import.running", f"A row of {job} is being settled at this moment. Roll it back when that has ended.")
            connection.execute(delete(review_table).where(of_job))  # of an import that never was, nothing waits
            row = {
                "job": job,
                "school": request.school,
                "state": "running",
                "origin": json.dumps(asdict(caller.origin)),
                "day": happened_on(None, now, school.timezone),
                "expires_at": rfc3339(expires_at),
            }
            if found is None:
                connection.execute(insert(rollback_table), row)
            else:
                again = update(rollback_table).where(rollback_table.c.job == job)
                connection.execute(again.values({**row, "error_code": None, "error_text": None}))
            # What is needed for it does not expire while it is under way.
            kept = {"expires_at": rfc3339(expires_at)}
            connection.execute(update(trace_table).where(trace_table.c.job == job).values(kept))
            connection.execute(update(job_table).where(job_table.c.job == job).values(kept))
            begun = connection.execute(select(rollback_table).where(rollback_table.c.job == job)).one()
            return _status(connection, begun), True

        status = await self._service.read(lambda connection: self._known(connection, request))
        if status is None or status.state != "done":
            self._service.require_appending()
            status, is_new = await self._service.write(begin)
            if is_new:
                self._expiry.expects(expires_at)
                self._begun.put_nowait(job)
        return status

    def _known(self, connection: Connection, request: RollBackImport) -> RollBackStatus | None:
        require_school(connection, request.school)
        wanted = select(rollback_table).where(rollback_table.c.job == request.import_id, rollback_table.c.school == request.school)
        found = connection.execute(wanted).first()
        return None if found is None else _status(connection, found)

    async def _list(self, request: ImportsQuery, caller: Caller) -> ImportCards:
        def read(connection: Connection) -> ImportCards:
            require_school(connection, request.school)
            jobs, back = job_table.c, rollback_table.c
            wanted = select(job_table, back.state.label("back"), back.error_code, back.error_text).outerjoin(
                rollback_table, back.job == jobs.job
            )
            rows = connection.execute(wanted.where(jobs.school == request.school).order_by(jobs.number.desc())).all()
            requests = ((row, ImportRoster.model_validate_json(row.request)) for row in rows)
            return ImportCards(imports=tuple(self._card(connection, row, of) for row, of in requests if not of.dry_run))

        return await self._service.read(read)

    def _card(self, connection: Connection, row: Row[Any], request: ImportRoster) -> ImportCard:
        kept = ("file_name", "created", "updated", "unchanged", "review", "error_code", "error_text")
        if row.result is not None:
            status = ImportStatus.model_validate_json(self._box.open(row.result, context(row.school, row.job)))
            told = {**{field: getattr(status, field) for field in kept}, "rejected": status.rejected_rows}
        else:
            sender = journal.reader(Origin(**json.loads(row.origin)))
            told = {
                "file_name": uploads.file_name(connection, self._box, row.school, sender, request.upload),
                "created": 0,
                "updated": 0,
                "rejected": 0,
            }
        if row.back == "failed":
            told |= {"error_code": row.error_code, "error_text": row.error_text}
        elif row.back is not None:
            back = connection.execute(select(rollback_table).where(rollback_table.c.job == row.job)).one()
            told["left"] = _status(connection, back).left_total
        state = _BACK.get(row.back or "", str(row.state))
        return ImportCard.model_validate({"import_id": row.job, "day": row.day, "state": state, **told})

    # ---- beside the calls ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Carries out what a crash had cut off, then what is begun, one after the other: two at once would wait for each other's rows."""
        unfinished = select(rollback_table.c.job).where(rollback_table.c.state == "running").order_by(rollback_table.c.job)
        for job in await self._service.read(lambda connection: connection.execute(unfinished).scalars().all()):
            self._begun.put_nowait(job)
        while True:
            await self._carry_out(await self._begun.get())

    async def _carry_out(self, job: str) -> None:
        """Carries out one roll-back to its end. Never raises."""
        try:
            await outlast(job, lambda: self._try(job))
        except Exception as unexpected:  # noqa: BLE001 -- the others go on; this one is taken up at the next start
            _log.error("rollback.interrupted", job=job, **trouble(unexpected))

    async def _try(self, job: str) -> None:
        """Carries out one roll-back as far as the database goes along: what it raises is what that raises."""
        wanted = select(rollback_table).where(rollback_table.c.job == job, rollback_table.c.state == "running")
        row = await self._service.read(lambda connection: connection.execute(wanted).first())
        if row is None:
            return
        try:
            await _Run(self._service, self._books, self._box, row).carry_out()
        except Refused as refused:
            await self._fail(job, refused.code, refused.text)
        except Quarantined:
            _log.warning("rollback.waits", job=job, reason="quarantined")  # it is taken up at the start after the repair
        except Exception as unexpected:
            if is_away(unexpected):
                raise
            incident = uuid.uuid4().hex[:12]  # who asks for its status gets an answer, the log the cause
            _log.error("rollback.failed", job=job, incident=incident, **trouble(unexpected))
            text = f"The roll-back failed on its way. The log of roster tells more (incident {incident}). Say it again to go on."
            await self._fail(job, "rollback.failed", text)

    async def _fail(self, job: str, code: str, text: str) -> None:
        values = {"state": "failed", "error_code": code, "error_text": text}
        await self._service.write(
            lambda connection: connection.execute(update(rollback_table).where(rollback_table.c.job == job).values(values))
        )


class _Run:
    """One roll-back being carried out."""

    def __init__(self, service: Service, books: Books, box: Box, row: Row[Any]) -> None:
        self._service = service
        self._books = books
        self._box = box
        self._job: str = row.job
        self._school: str = row.school
        self._day = row.day
        origin = Origin(**json.loads(row.origin))
        # Not the import's own name: what is said here is no part of what is taken back.
        self._caller = Caller(Actor(Role.SERVICE, "roster", on_behalf_of=origin.actor), f"b-{self._job}", origin)

    async def carry_out(self) -> None:
        for kind in _ORDER:
            await self._hear_consent()
            while subjects := await self._service.read(lambda connection, kind=kind: _unsettled(connection, self._job, kind)):
                await self._in_command(f"{kind}-{subjects[0]}", partial(self._undo, subjects))
        await self._destroy_keys()
        await self._invalidate()
        await self._in_command("complete", self._complete)

    async def _in_command(self, part: str, work: Callable[[Transaction], None]) -> None:
        await insist(self._job, lambda: self._service.carry_out(self._caller, work, part=part))

    def _undo(self, subjects: Sequence[str], tx: Transaction) -> None:
        book = self._books.open(tx, self._school, self._day)
        book.expect_people(subjects)
        table = trace_table
        wanted = select(table).where(table.c.job == self._job, table.c.subject.in_(subjects), table.c.outcome.is_(None))
        traces = [trace_of(row, self._school, self._box) for row in tx.rows(wanted.order_by(table.c.subject))]

        def entered(person: str) -> bool:
            of_person = select(table.c.entered).where(table.c.job == self._job, table.c.subject == person)
            return any(row.entered for row in tx.rows(of_person))

        undoing = Undoing(book, tx, self._job, entered)
        settle(tx, self._job, [(trace.subject, undoing.undo(trace)) for trace in traces])
        book.write()

    async def _destroy_keys(self) -> None:
        """Destroys the keys of whoever is gone: after their rows, and again where this was cut off, for it is not done until then."""
        trace = trace_table.c
        wanted = select(trace.subject).where(trace.job == self._job, trace.outcome == GONE).order_by(trace.subject)
        people = await self._service.read(lambda connection: connection.execute(wanted).scalars().all())
        reach("rollback.after-rows")
        await insist(self._job, lambda: asyncio.to_thread(self._books.keys.destroy, people))
        reach("rollback.after-keys")

    # ---- the decisions of the consent columns ---------------------------------------------------------------------------

    async def _hear_consent(self) -> None:
        """Waits until whatever was decided before is known here: a class on whose seats somebody has decided is left."""
        head = await insist(self._job, lambda: self._service.calls.call(HEAD["consent"], Nothing()))
        await insist(self._job, lambda: self._service.caught_up({"consent": head.reply.position}))

    async def _invalidate(self) -> None:
        """Which decisions never were valid is written down before consent is asked, so that they are the same after a crash."""
        await self._hear_consent()
        decisions = await self._service.write(self._find_decisions)
        for first in range(0, len(decisions), _DECISIONS_A_CALL):
            request = InvalidateDecisions(
                school=self._school,
                consent_ids=tuple(decisions[first : first + _DECISIONS_A_CALL]),
                reason=InvalidationReason.RECORDED_BY_MISTAKE,
            )
            command_id = f"{self._caller.command_id}.decisions-{first}"
            answer = await insist(
                self._job,
                lambda request=request, command_id=command_id: self._service.calls.call(
                    INVALIDATE_DECISIONS, request, origin=self._caller.origin, command_id=command_id
                ),
            )
            # Whoever imports the right file next finds the seats free.
            await insist(self._job, lambda at=answer.at: self._service.caught_up({"consent": at["consent"]}))

    def _find_decisions(self, connection: Connection) -> list[str]:
        this = rollback_table.c.job == self._job
        known = connection.execute(select(rollback_table.c.decisions).where(this)).scalar()
        if known is not None:
            return json.loads(known)
        consent, trace, person = consent_table.c, trace_table.c, person_table.c
        wanted = (
            select(consent.consent_id, trace.outcome, person.person)
            .outerjoin(trace_table, (trace.job == self._job) & (trace.subject == consent.subject))
            .outerjoin(person_table, person.person == consent.subject)
            .where(consent.import_id == self._job, consent.school == self._school, consent.state != "invalidated")
            .order_by(consent.consent_id)
        )
        wrong: list[str] = []
        relied_on: list[str] = []
        for row in connection.execute(wanted):
            if row.person is None or row.outcome == PUT_BACK:
                wrong.append(row.consent_id)
            elif row.outcome in (None, GONE):  # somebody was entered on it who is none of the import's
                relied_on.append(row.consent_id)
        values = {"decisions": json.dumps(wrong), "relied_on": json.dumps(relied_on)}
        connection.execute(update(rollback_table).where(this).values(values))
        return wrong

    # ---- the end ------------------------------------------------------------------------------------------------------

    def _complete(self, tx: Transaction) -> None:
        row = tx.rows(select(rollback_table).where(rollback_table.c.job == self._job))[0]
        status = _told(row, _outcomes(tx.rows(_counting(self._job))), ())
        rolled_back = ImportRolledBack(
            import_id=self._job,
            pupils=status.pupils,
            guardians=status.guardians,
            staff=status.staff,
            classes=status.classes,
            put_back=status.put_back,
            left=status.left_total,
            decisions=status.decisions,
        )
        tx.decide(IMPORT, f"{self._school}.{self._job}", RollBack(rolled_back), school=self._school, happened_on=self._day)
        tx.write(update(rollback_table).where(rollback_table.c.job == self._job).values(state="done"))
        _log.info("rollback.completed", job=self._job, school=self._school, left=status.left_total)


def _require_import(connection: Connection, school: str, job: str) -> None:
    """Raises Refused where there is no such import of the school to be rolled back."""
    row = connection.execute(select(job_table).where(job_table.c.job == job, job_table.c.school == school)).first()
    if row is None:
        if log.history(connection, IMPORT.stream(f"{school}.{job}")):
            kept = f"kept for {uploads.LIFETIME.days} days, or until anybody of the school is erased"
            raise Refused("import.expired", f"What {job} had changed is gone: it is {kept}.", "Undo by hand what is wrong.")
        raise Refused("import.unknown", f"There is no import {job} in this school.", "`vekha import list` shows the ids.")
    if ImportRoster.model_validate_json(row.request).dry_run:
        raise Refused("import.preview", f"{job} was a preview: it has entered nothing.")
    if row.state == "running":
        raise Refused("import.running", f"{job} is under way still. Roll it back when it has ended.")


def _unsettled(connection: Connection, job: str, kind: Kind) -> Sequence[str]:
    trace = trace_table.c
    wanted = select(trace.subject).where(trace.job == job, trace.kind == kind, trace.outcome.is_(None))
    return connection.execute(wanted.order_by(trace.subject).limit(_SUBJECTS_PER_COMMAND)).scalars().all()


def _counting(job: str) -> Any:
    trace = trace_table.c
    return select(trace.kind, trace.outcome, func.count().label("subjects")).where(trace.job == job).group_by(trace.kind, trace.outcome)


def _outcomes(rows: Sequence[Row[Any]]) -> Mapping[tuple[str, str | None], int]:
    return Counter({(row.kind, row.outcome): row.subjects for row in rows})


def _status(connection: Connection, row: Row[Any]) -> RollBackStatus:
    trace = trace_table.c
    left = select(trace.kind, trace.subject, trace.outcome).where(trace.job == row.job, trace.outcome.not_in((GONE, PUT_BACK)))
    found = connection.execute(left.order_by(trace.kind, trace.subject).limit(_TOLD)).all()
    people = [LeftBehind(kind=one.kind, id=one.subject, code=one.outcome, text=LEFT[one.outcome]) for one in found]
    return _told(row, _outcomes(connection.execute(_counting(row.job)).all()), people)


def _told(row: Row[Any], outcomes: Mapping[tuple[str, str | None], int], people: Sequence[LeftBehind]) -> RollBackStatus:
    gone = {kind: outcomes[kind, GONE] for kind in get_args(Kind)}
    settled = sum(count for (_, outcome), count in outcomes.items() if outcome is not None)
    put_back = sum(count for (_, outcome), count in outcomes.items() if outcome == PUT_BACK)
    code = "decision.relied-on"
    relied_on: list[str] = json.loads(row.relied_on or "[]")
    decisions = [LeftBehind(kind="decision", id=one, code=code, text=LEFT[code]) for one in relied_on]
    return RollBackStatus(
        import_id=row.job,
        state=row.state,
        done=settled,
        total=sum(outcomes.values()),
        pupils=gone["pupil"],
        guardians=gone["guardian"],
        staff=gone["staff"],
        classes=gone["class"],
        put_back=put_back,
        decisions=len(json.loads(row.decisions or "[]")),
        left=tuple([*people, *decisions][:_TOLD]),
        left_total=settled - put_back - sum(gone.values()) + len(relied_on),
        error_code=row.error_code,
        error_text=row.error_text,
    )
