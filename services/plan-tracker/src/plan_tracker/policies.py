"""When the tracker announces: day after day, at local midnight, as soon as all that was recorded on the day has been read (DESIGN 2.5).

What is announced is compared with what was announced before, and each announcement is a command with an id of its own. So a day that is
done again, after a crash or because something failed, repeats nothing, and what a day could not say is said on the next one.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta

import structlog
from sqlalchemy import Column, Connection, Date, Integer, MetaData, Table, insert, select, update

from contracts import SERVICES
from contracts.plan import AnnouncementCorrected
from eventkit import log
from eventkit.calls import CallFailed
from eventkit.clock import DEFAULT_ZONE, Patience, local_day, start_of_day
from eventkit.decider import Refused
from eventkit.event import rfc3339
from eventkit.faults import reach
from eventkit.history import History
from eventkit.service import Service
from eventkit.store import Transaction
from eventkit.telemetry import trouble
from plan_tracker.boards import Boards
from plan_tracker.domain.announcements import (
    Announced,
    Announcement,
    announcements,
    changes,
    corrections,
    corrects,
    needs_receipts,
    notices,
    said,
    unsaid,
)
from plan_tracker.domain.deadlines import Due, live_with_reasons
from plan_tracker.domain.progress import Progress
from plan_tracker.projections import BoardProjection

metadata = MetaData()

announced_table = Table(
    "announced",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),  # there is one row
    Column("through", Date, nullable=False),
)
"""The last day that was announced in all schools."""

_DAY = timedelta(days=1)

_log = structlog.get_logger(__name__)


class Announcements:
    """The timer of the announcements. All schools have one midnight so far: the oblast lies in one time zone."""

    def __init__(self, service: Service, boards: Boards) -> None:
        self._service = service
        self._boards = boards
        self._through: date | None = None
        self._patience = Patience()

    def next_due(self, now: datetime) -> datetime | None:
        if self._through is None:
            return now
        return self._patience.not_before(_end_of(self._through + _DAY))

    async def handle(self, now: datetime) -> None:
        """Announces the next day, or holds it for a growing while; there may be another one due right after it."""
        if self._through is None:
            self._through = await self._service.write(lambda connection: _begin(connection, local_day(now) - _DAY))
            return
        day = self._through + _DAY
        try:
            done = await self._all_is_read(_end_of(day)) and await self._announce(day, local_day(now))
        except Exception as error:  # noqa: BLE001 -- whatever it was, the day is still to be announced
            _log.warning("announcements.failed", day=str(day), **trouble(error))
            done = False
        reach("announcements.before-note")
        if done:
            await self._service.write(lambda connection: connection.execute(update(announced_table).values(through=day)).rowcount)
            self._through = day
            self._patience.begin_anew()
        else:
            _log.info("announcements.held", day=str(day))
            self._patience.hold(now)

    async def _all_is_read(self, end: datetime) -> bool:
        """Whether the watermark has passed a moment: nothing that was recorded before it can still be unread."""
        heads = {source: await self._head(source) for source in SERVICES}
        with suppress(Refused):  # what is not read yet is told below
            await self._service.caught_up({source: head for source, head in heads.items() if head is not None})
        at = self._service.reached(BoardProjection.name)
        for source, head in heads.items():
            if not await self._is_read(source, at.get(source, 0), head, end):
                return False
        return True

    async def _head(self, source: str) -> int | None:
        try:
            return await self._service.head_of(source)
        except (CallFailed, Refused):
            _log.info("announcements.owner-silent", source=source)
            return None

    async def _is_read(self, source: str, position: int, head: int | None, end: datetime) -> bool:
        """Whether we have read all of a source's log up to a moment: as its owner says, else as the last event we read says."""
        if head is not None and head <= position:
            return True
        # recorded_at never runs backwards: behind an event that was recorded later nothing earlier can follow.
        return await History(self._service.nc).position_known_at(source, rfc3339(end), head=position) < position

    async def _announce(self, day: date, today: date) -> bool:
        """Announces what a day brought, and the dates of the day after it, in every school; whether nothing is left to try again.

        A school that fails holds its day for one more at most, so that it cannot hold up all others for ever. A school with parked events
        waits: once they are applied, its days are compared as all others are.
        """

        def running(connection: Connection) -> dict[str, Progress]:
            with self._boards.look(connection) as look:
                found = {school: outline.progress for school, outline in look.outlines().items() if not look.parked(school)}
            return {school: progress for school, progress in found.items() if progress.adoption.day <= day}

        failed = False
        for school, progress in (await self._service.read(running)).items():
            try:
                await self._announce_in(school, progress, day, today)
            except Exception as error:  # noqa: BLE001 -- one school's trouble is not the others'
                _log.error("announcements.school-failed", school=school, day=str(day), **trouble(error))
                failed = True
        return not failed or today > day + _DAY

    async def _announce_in(self, school: str, progress: Progress, day: date, today: date) -> None:
        stream = announcements.stream(school)
        announced = Announced.read(await self._service.read(lambda connection: log.history(connection, stream)))
        dues = await self._live(school, progress, day)
        for correction in corrections(progress, announced, day):
            await self._say(school, correction, announced, happened_on=today)
        for event in unsaid([*changes(progress, day), *notices(progress.on(day), dues, day + _DAY)], announced, today):
            await self._say(school, event, announced, happened_on=event.day)

    async def _live(self, school: str, progress: Progress, day: date) -> Mapping[int, Due]:
        """The live dates at the end of a day. Only receipts need a school's whole board; all the rest is in its outline."""
        if needs_receipts(progress.on(day), day):

            def on_board(connection: Connection) -> Mapping[int, Due]:
                with self._boards.look(connection) as look:
                    return look.board(school).live(day)

            return await self._service.read(on_board)
        progress = progress.on(day)
        return live_with_reasons(
            progress.adoption.reckoning,
            today=day,
            first_completed=progress.term_began(day),
            received_last={},
        )

    async def _say(self, school: str, event: Announcement | AnnouncementCorrected, announced: Announced, *, happened_on: date) -> None:
        """One announcement, a command whose id is what it says: school, revision, step, kind and day."""

        def work(tx: Transaction) -> None:
            tx.decide(announcements, school, event, school=school, happened_on=happened_on)

        what = corrects(event) if isinstance(event, AnnouncementCorrected) else said(event)
        kind = f"{what.kind}-corrected" if isinstance(event, AnnouncementCorrected) else what.kind
        again = announced.corrected.get(what, 0)  # what was corrected may turn out to be true after all
        part = f"{what.day}.{again + 1}" if again else f"{what.day}"
        await self._service.carry_out(self._service.as_itself(f"{school}.{what.revision}.{what.step}.{kind}"), work, part=part)


def _end_of(day: date) -> datetime:
    return start_of_day(day + _DAY, DEFAULT_ZONE)


def _begin(connection: Connection, yesterday: date) -> date:
    """The last day that was announced; where nothing ever was, the day before the first one to announce."""
    found = connection.execute(select(announced_table.c.through)).scalar()
    if found is None:
        connection.execute(insert(announced_table).values(only=1, through=yesterday))
    return found or yesterday
