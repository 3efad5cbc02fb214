"""Settles the rows that imports have put aside: an administrator says whose each is, and it is entered as a part of its import.

Its commands bear the name of the import, so they keep its rules, and rolling the import back takes them back too. Like an import it is a
job beside the calls: what was cut off is taken up again, and ends as it would have ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import structlog
from sqlalchemy import Connection, Row, select, update

from contracts.consent import SubjectKind
from contracts.roster import (
    REVIEWS,
    SETTLE_REVIEW,
    ImportReviewSettled,
    ImportRoster,
    ReviewCard,
    ReviewCards,
    ReviewReason,
    ReviewsQuery,
    ReviewStatus,
    SettledAs,
    SettleReview,
)
from eventkit.answering import Caller
from eventkit.decider import Refused
from eventkit.event import Origin
from eventkit.faults import reach
from eventkit.service import Service, happened_on
from eventkit.store import Quarantined, Transaction
from eventkit.telemetry import trouble
from roster.book import Books, Pages
from roster.domain.facts import REVIEW, Settle
from roster.files import Departure, Finding, Format, PupilRow, RosterFile, StaffRow
from roster.importing import traces
from roster.importing.departures import settling
from roster.importing.insisting import insist
from roster.importing.job import Job, job_table
from roster.importing.plan import Plan, details_in, finding
from roster.importing.planning import plan_import
from roster.importing.putting_aside import Aside, kind_of
from roster.importing.reviews import opened, rejected_of, review_table, seal_rejected
from roster.importing.rolling_back import rollback_table
from roster.importing.run import Run
from roster.tables import require_school
from roster.vault import Box

_WAIT_S = 5.0
_TOLD = 200
_TEXTS = {
    ReviewReason.ALIKE: "a pupil of this name and birth date is entered under another ID: the same pupil, or a new one?",
    ReviewReason.LEFT: "this pupil has left: the same pupil, who is back?",
    ReviewReason.DISMISSED: "this member of staff was dismissed: the same person, who is back?",
}

_log = structlog.get_logger(__name__)


class Reviews:
    """Lists what waits for somebody to compare it, hears whose it is, and enters it."""

    def __init__(self, service: Service, books: Books, box: Box) -> None:
        self._service = service
        self._books = books
        self._box = box
        self._begun: asyncio.Queue[str] = asyncio.Queue()
        self._under_way: dict[str, asyncio.Event] = {}

    def register(self) -> None:
        self._service.query(REVIEWS)(self._list)
        self._service.query(SETTLE_REVIEW)(self._settle)
        self._service.at_start(self._run)

    # ---- the calls ----------------------------------------------------------------------------------------------------

    async def _list(self, request: ReviewsQuery, caller: Caller) -> ReviewCards:
        def read(connection: Connection) -> ReviewCards:
            require_school(connection, request.school)
            review = review_table.c
            wanted = select(review_table).join(job_table, job_table.c.job == review.job)
            waiting = wanted.where(review.school == request.school, review.state != "settled")
            if request.import_id is not None:
                waiting = waiting.where(review.job == request.import_id)
            pages = _pages(self._books, connection, request.school)
            rows = connection.execute(waiting.order_by(job_table.c.number.desc(), review.number)).all()
            cards = [card for row in rows if (card := self._card(row, pages)) is not None]
            return ReviewCards(reviews=tuple(cards[:_TOLD]), total=len(cards))

        return await self._service.read(read)

    def _card(self, row: Row[Any], pages: Pages) -> ReviewCard | None:
        """What is told of a row; None where somebody has done by another call what it wants to be done."""
        aside, _ = opened(row, self._box)
        text = settling(aside, pages) if isinstance(aside, Departure) else _TEXTS[ReviewReason(row.reason)]
        if text is None:
            return None
        return ReviewCard(
            review=row.review,
            import_id=row.job,
            file=aside.place.file,
            sheet=aside.place.sheet,
            row=aside.place.row,
            external_id=aside.external_id,
            reason=ReviewReason(row.reason),
            text=text,
            near=tuple(_near(aside, pages)),
            under_way=row.state == "settling",
            rejected=rejected_of(row, self._box),
        )

    async def _settle(self, request: SettleReview, caller: Caller) -> ReviewStatus:
        """Begins it, and waits for it a while; where it is under way or done, it only tells. It looks like a query, as an import does."""
        self._service.require_appending()
        now = self._service.clock.now()

        def begin(connection: Connection) -> bool:
            day = happened_on(request.happened_on, now, require_school(connection, request.school).timezone)
            row = self._known(connection, request)
            said = (request.settled_as.value, request.person)
            if row.state == "settled" and (row.settled_as, row.person if request.person is not None else None) != said:
                text = f"{request.review} was settled as {_as(row)}."
                raise Refused("review.settled", text, "Correct by hand what is wrong, or roll the import back.")
            if row.state == "settling" and (row.settled_as, row.person) != said:
                raise Refused("review.under-way", f"{request.review} is being settled as {_as(row)}. Wait for what becomes of it.")
            if row.state != "open":
                return False
            this = update(review_table).where(review_table.c.review == request.review)
            if request.settled_as is SettledAs.LEAVE:
                connection.execute(this.values(state="settled", settled_as=request.settled_as.value, row=None, rejected=None))
                return False
            self._require_allowed(connection, row, request)
            values = {"settled_as": request.settled_as.value, "person": request.person, "day": day, "rejected": None}
            values |= {"state": "settling", "origin": json.dumps(asdict(caller.origin)), "attempt": row.attempt + 1}
            connection.execute(this.values(values))
            return True

        if await self._service.write(begin):
            self._under_way[request.review] = asyncio.Event()
            self._begun.put_nowait(request.review)
        if (finished := self._under_way.get(request.review)) is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WAIT_S):
                    await finished.wait()
        return await self._service.read(lambda connection: self._status(self._known(connection, request)))

    def _known(self, connection: Connection, request: SettleReview) -> Row[Any]:
        """The review's row. Raises Refused `review.unknown`."""
        wanted = select(review_table).where(review_table.c.review == request.review, review_table.c.school == request.school)
        row = connection.execute(wanted.join(job_table, job_table.c.job == review_table.c.job)).first()
        rolled_back = select(rollback_table.c.job).where(rollback_table.c.job == (row.job if row is not None else None))
        if row is None or connection.execute(rolled_back).first() is not None:
            goes = "with their import, with an erasure in the school, or with a newer import that puts the same aside"
            text = f"There is no row {request.review} that waits: rows go {goes}."
            raise Refused("review.unknown", text, "`vekha import reviews` shows those that wait.")
        return row

    def _require_allowed(self, connection: Connection, row: Row[Any], request: SettleReview) -> None:
        """Raises Refused where the row cannot be this person's, or not a new one's."""
        aside, _ = opened(row, self._box)
        if isinstance(aside, Departure):
            raise Refused("review.departure", "Nobody is sent away by a file. Make the call that the review names, or leave it.")
        pages = _pages(self._books, connection, request.school)
        near = _near(aside, pages)
        if request.person is not None and request.person not in near:
            text = f"{request.person} is none of those whom the row is near: {', '.join(near) or 'nobody, any more'}."
            raise Refused("review.not-near", text, "Name one of them, or correct the ID in the file and import that.")
        if request.settled_as is SettledAs.NEW:
            known = pages.by_external_id(kind_of(aside), aside.external_id)
            if known is not None:
                raise Refused("review.id-known", f"The row's ID is that of {known}: it is nobody new. Say so, or leave it.")

    def _status(self, row: Row[Any]) -> ReviewStatus:
        settled_as = SettledAs(row.settled_as) if row.state != "open" else None
        person = row.person if row.state != "open" else None
        return ReviewStatus(review=row.review, state=row.state, settled_as=settled_as, person=person, rejected=rejected_of(row, self._box))

    # ---- beside the calls ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Enters what a crash had cut off, then what is begun, one after the other."""
        unfinished = select(review_table.c.review).where(review_table.c.state == "settling").order_by(review_table.c.review)
        for review in await self._service.read(lambda connection: connection.execute(unfinished).scalars().all()):
            self._begun.put_nowait(review)
        while True:
            await self._carry_out(await self._begun.get())

    async def _carry_out(self, review: str) -> None:
        """Enters one row, or tells why it cannot be. Never raises."""
        try:
            wanted = select(review_table, job_table.c.request).join(job_table, job_table.c.job == review_table.c.job)
            wanted = wanted.where(review_table.c.review == review, review_table.c.state == "settling")
            row = await self._service.read(lambda connection: connection.execute(wanted).first())
            if row is None:
                return
            try:
                await _Settling(self._service, self._books, self._box, row).carry_out()
            except Quarantined:
                _log.warning("import.waits", job=row.job, reason="quarantined")  # it is taken up at the start after the repair
            except Exception as unexpected:  # noqa: BLE001 -- who asks gets an answer, the log the cause
                incident = uuid.uuid4().hex[:12]
                _log.error("import.failed", job=row.job, incident=incident, **trouble(unexpected))
                hint = f"nothing is wrong with the row: the log of roster tells more (incident {incident}); settle it again"
                await _reopen(self._service, self._box, row, [_finding(*opened(row, self._box), "import.failed", hint)])
        except Exception as unexpected:  # noqa: BLE001 -- the others go on; this one is taken up at the next start
            _log.error("import.interrupted", review=review, **trouble(unexpected))
        finally:
            if (finished := self._under_way.pop(review, None)) is not None:
                finished.set()


class _Settling:
    """One row being entered."""

    def __init__(self, service: Service, books: Books, box: Box, row: Row[Any]) -> None:
        self._service = service
        self._books = books
        self._box = box
        self._row = row
        self._aside: Aside
        self._format: Format
        self._aside, self._format = opened(row, box)
        self._job = Job(row.job, ImportRoster.model_validate_json(row.request), Origin(**json.loads(row.origin)), row.day)
        # Whoever tries again after something was mended is heard anew.
        self._part = f"settle-{row.review}-{row.attempt}-"

    async def carry_out(self) -> None:
        aside, row = self._aside, self._row
        if isinstance(aside, Departure):
            return
        try:
            if row.person is not None:
                await self._in_command(f"{self._part}same", lambda tx: self._know_as(tx, row.person, kind_of(aside), aside.external_id))
            reach("settling.after-id")
            found = await self._enter(aside)
        except Refused as refused:
            found = [_finding(aside, self._format, refused.code, refused.text)]
        reach("settling.after-row")
        person = await self._service.read(lambda connection: self._entered(connection, aside))
        if person is None:
            await _reopen(self._service, self._box, row, found)
        else:
            await self._in_command(f"settle-{row.review}-done", lambda tx: self._settle(tx, person, found))

    def _know_as(self, tx: Transaction, person: str, kind: SubjectKind, external_id: str) -> None:
        book = self._books.open(tx, self._job.school, self._job.day)
        book.know_as(person, kind, external_id)
        book.write()
        traces.keep(tx, book, self._job.school, self._job.job, self._box)

    async def _enter(self, aside: Aside) -> Sequence[Finding]:
        """Plans the row as it is to be entered now, and enters it. Planned again after a crash, what was done is only heard of again."""
        pupils = (aside,) if isinstance(aside, PupilRow) else ()
        staff = (aside,) if isinstance(aside, StaffRow) else ()
        file = RosterFile(pupils, staff, classes=(), errors=(), warnings=(), detected=(), format=self._format)

        def plan(connection: Connection) -> Plan:
            pages = _pages(self._books, connection, self._job.school)
            return plan_import(file, pages, request.legal_basis, self._job.day, compared=True, overrule=request.overrule)

        request = self._job.request

        planned = await self._service.read(plan)
        run = Run(self._service, self._books, self._box, self._job, part=self._part)
        return [*planned.rejected, *await run.enter(planned)]

    def _entered(self, connection: Connection, aside: Aside) -> str | None:
        """Who is here now under the row's ID."""
        pages = _pages(self._books, connection, self._job.school)
        person = pages.by_external_id(kind_of(aside), aside.external_id)
        row = pages.people.get(person) if person is not None else None
        return person if row is not None and row["active"] else None

    def _settle(self, tx: Transaction, person: str, found: Sequence[Finding]) -> None:
        row = self._row
        settled = ImportReviewSettled(import_id=row.job, review=row.review, settled_as=row.settled_as, person=person)
        tx.decide(REVIEW, f"{row.school}.{row.review}", Settle(settled), school=row.school, happened_on=self._job.day)
        told = seal_rejected(self._box, row.school, row.review, found) if found else None
        values = {"state": "settled", "person": person, "row": None, "rejected": told}
        tx.write(update(review_table).where(review_table.c.review == row.review).values(values))
        _log.info("import.row-settled", job=row.job, school=row.school, review=row.review)

    async def _in_command(self, part: str, work: Callable[[Transaction], None]) -> None:
        await insist(self._job.job, lambda: self._service.carry_out(self._job.caller, work, part=part))


async def _reopen(service: Service, box: Box, row: Row[Any], found: Sequence[Finding]) -> None:
    """The row waits on, with the reasons why it could not be entered."""
    values = {"state": "open", "settled_as": None, "person": None, "rejected": seal_rejected(box, row.school, row.review, found)}
    this = (review_table.c.review == row.review) & (review_table.c.state == "settling")
    await service.write(lambda connection: connection.execute(update(review_table).where(this).values(values)))


def _pages(books: Books, connection: Connection, school: str) -> Pages:
    return books.read(lambda query: connection.execute(query).all(), school)


def _finding(aside: Aside, file_format: Format, code: str, hint: str) -> Finding:
    return finding(aside.place, "staff" if isinstance(aside, StaffRow) else "pupils", "external_id", code, hint, file_format=file_format)


def _near(aside: Aside, pages: Pages) -> list[str]:
    """Whom the row may be of."""
    if isinstance(aside, Departure):
        return []
    known = pages.by_external_id(kind_of(aside), aside.external_id)
    alike = pages.alike(details_in(aside))
    return sorted({*alike, *([] if known is None else [known])})


def _as(row: Row[Any]) -> str:
    return f"the same as {row.person}" if row.settled_as == SettledAs.SAME else "new" if row.settled_as == SettledAs.NEW else "left"
