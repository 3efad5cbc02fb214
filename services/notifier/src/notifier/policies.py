"""When messages are written: once a day, at 09:00 in the school, from all that the plan has announced since the last ones.

What a recipient is told on a day is one message, whose id is made of recipient and day; how far the plan was read stands in it. So a day
that is done again, after a crash or because something failed, repeats nothing and leaves nothing out, and whatever is made again from the
record (a projection, a database) knows from it what was told. Sending is the sender's: a mail server that is away holds no message back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import BigInteger, Column, Connection, Date, MetaData, Select, Table, Text, func, insert, select, update

from contracts.event import NO_SCHOOL
from contracts.notifier import Template
from contracts.operations import HEAD, Nothing
from contracts.plan import ANNOUNCED, OWN_DATES, PEOPLE_DUE, PeopleDue, PeopleDueQuery
from eventkit.calls import CallFailed
from eventkit.clock import DEFAULT_ZONE, Patience, local_day
from eventkit.decider import Refused
from eventkit.faults import reach
from eventkit.service import Service
from eventkit.store import Transaction
from eventkit.telemetry import span, trouble
from notifier.domain.message import MESSAGES, Contents, Queue, message_id
from notifier.domain.telling import (
    LATEST,
    LATEST_FOR_THE_MINISTRY,
    MINISTRY_TOLD_WD,
    MUNICIPALITY_TOLD_WD,
    Announcement,
    Officers,
    SchoolOverdue,
    counted,
    current,
    in_school,
    of_people,
)
from notifier.erasing import ERASED
from notifier.outbox import KEPT, forget, queued
from notifier.projections import (
    Rows,
    adopted_table,
    announced,
    announcement_table,
    class_teachers,
    manager,
    officers,
    school_table,
    told_table,
)

metadata = MetaData()

written_table = Table(
    "written",
    metadata,
    Column("timezone", Text, primary_key=True),
    Column("through", Date, nullable=False),
    Column("begun", BigInteger, nullable=False),
)
"""By time zone, the last day whose messages were written; and the plan's position when the first ones could have been: what was announced
before that is told to nobody."""

TOLD_AT = time(9)
MINISTRY = "ministry"
NOBODY_DUE = PeopleDue(near=(), overdue=())
_DAY = timedelta(days=1)
_MONDAY = 0

_log = structlog.get_logger(__name__)


class DailyMessages:
    """The timer of the messages. `wake` is called after some were queued."""

    def __init__(self, service: Service, wake: Callable[[], None]) -> None:
        self._service = service
        self._wake = wake
        self._through: dict[str, date] = {}
        self._begun = 0
        self._patience = Patience()

    def next_due(self, now: datetime) -> datetime | None:
        return self._patience.not_before(min((told_at(through + _DAY, zone) for zone, through in self._through.items()), default=now))

    async def handle(self, now: datetime) -> None:
        """Writes the messages of one time zone's day, or holds them for a growing while."""
        try:
            done = await self._begin(now) if not self._through else await self._next(now)
        except Exception as error:  # noqa: BLE001 -- whatever it was, the messages are still to be written
            _log.warning("messages.failed", **trouble(error))
            done = False
        if done:
            self._patience.begin_anew()
        else:
            self._patience.hold(now)

    async def _begin(self, now: datetime) -> bool:
        """Finds where the last run left off; the first one begins with the next nine o'clock and with what is announced from now on."""
        found = await self._service.read(lambda connection: connection.execute(select(written_table)).all())
        if found:
            self._through, self._begun = {row.timezone: row.through for row in found}, found[0].begun
            return True
        self._begun = (await self._service.calls.call(ANNOUNCED, Nothing())).reply.position
        await self._note(DEFAULT_ZONE, last_told(now, DEFAULT_ZONE))
        return True

    async def _next(self, now: datetime) -> bool:
        """A day that was slept through has no messages any more: what was announced on it is told with the newest day's."""
        zone = min(self._through, key=lambda one: told_at(self._through[one] + _DAY, one))
        day = last_told(now, zone)
        if not await self._all_is_read(day):
            _log.info("messages.held", day=str(day))
            return False
        done = await self._tell_schools(zone, day)
        if zone == DEFAULT_ZONE:
            done = await self._tell_managers(day) and done
            for other in await self._service.read(_zones):
                if other not in self._through:
                    await self._note(other, last_told(now, other) - _DAY)
        reach("messages.before-note")
        if done:
            await self._note(zone, day)
        return done

    async def _all_is_read(self, day: date) -> bool:
        """Whether the plan has announced all there is for a day, and we have read it, who holds which office, and what we told before."""
        plan = (await self._service.calls.call(ANNOUNCED, Nothing())).reply
        if plan.through is None or plan.through < day - _DAY:
            return False
        roster = (await self._service.calls.call(HEAD["roster"], Nothing())).reply
        await self._service.caught_up({"plan": plan.position, "roster": roster.position, "notifier": await self._service.store.head()})
        return True

    async def _tell_schools(self, zone: str, day: date) -> bool:
        """Whether nothing is left to try again: one school's trouble is not the others'."""
        own_dates = (await self._service.calls.call(OWN_DATES, Nothing())).reply.schools

        def found(connection: Connection) -> tuple[set[str], set[str]]:
            news = connection.execute(_with_news(zone, day, self._begun)).all()
            here = connection.execute(select(school_table.c.school).where(school_table.c.timezone == zone)).all()
            return {school for (school,) in news}, {school for (school,) in here} & set(own_dates)

        with_news, with_people = await self._service.read(found)
        done = True
        for school in sorted(with_news | with_people):
            try:
                people = await self._people_due(school, day) if school in with_people else NOBODY_DUE
            except (CallFailed, Refused) as error:
                _log.error("messages.people-unknown", school=school, day=str(day), **trouble(error))
                done = False
                continue

            def work(tx: Transaction, school: str = school, people: PeopleDue = people) -> int:
                return tell_school(tx, school, day, self._begun, people)

            done = await self._carry_out(school, day, work) and done
        return done

    async def _people_due(self, school: str, day: date) -> PeopleDue:
        return (await self._service.calls.call(PEOPLE_DUE, PeopleDueQuery(school=school, day=day))).reply

    async def _tell_managers(self, day: date) -> bool:
        done = True
        for (code,) in await self._service.read(lambda connection: connection.execute(_municipalities(day, self._begun)).all()):
            whom = manager("municipality-digest", code)
            done = await self._carry_out(whom, day, lambda tx, code=code: tell_municipality(tx, code, day, self._begun)) and done
        if day.weekday() == _MONDAY:
            whom = manager("ministry-digest", MINISTRY)
            done = await self._carry_out(whom, day, lambda tx: tell_ministry(tx, day, self._begun)) and done
        return done

    async def _carry_out(self, whom: str, day: date, work: Callable[[Transaction], int]) -> bool:
        try:
            with span("write messages", whom=whom):  # no single event causes them: their trace begins here
                messages = await self._service.carry_out(self._service.as_itself(f"{whom}.{day}"), work, part="messages")
        except Exception as error:  # noqa: BLE001 -- the others are told all the same
            _log.error("messages.not-written", whom=whom, day=str(day), **trouble(error))
            return False
        reach("messages.written")
        if messages:
            self._wake()
        return True

    async def _note(self, zone: str, through: date) -> None:
        def write(connection: Connection) -> None:
            table = written_table
            if connection.execute(update(table).where(table.c.timezone == zone).values(through=through)).rowcount == 0:
                connection.execute(insert(table).values(timezone=zone, through=through, begun=self._begun))
            if zone == DEFAULT_ZONE:
                connection.execute(forget(through - KEPT))

        await self._service.write(write)
        self._through[zone] = through


def told_at(day: date, zone: str) -> datetime:
    return datetime.combine(day, TOLD_AT, ZoneInfo(zone))


def last_told(now: datetime, zone: str) -> date:
    """The newest day whose messages are due."""
    today = local_day(now, zone)
    return today if told_at(today, zone) <= now else today - _DAY


# ---- What is written --------------------------------------------------------------------------------------------------


def tell_school(tx: Transaction, school: str, day: date, begun: int, people: PeopleDue) -> int:
    """Queues what the people of a school are told on a day; how many messages."""
    since = _told_to(tx.rows, school, day, begun)
    if since is None:
        return 0
    rows = tx.rows(_pending(school, since, day))
    read_to = rows[-1].position if rows else since
    holders: Officers = {office: _not_erased(tx, held_by) for office, held_by in officers(tx.rows, school).items()}
    notices = in_school(current(announced(rows), day), holders)
    own, classes = of_people(people, holders, class_teachers(tx.rows, school))
    told = _not_erased(tx, dict.fromkeys([*notices, *classes, *own]))
    for person in told:
        contents = Contents(notices.get(person, ()), own.get(person, ()), classes.get(person, ()))
        _queue(tx, school, Queue(message_id(school, person, day), person, "daily", day, read_to, contents))
    return len(told)


def _not_erased(tx: Transaction, people: Iterable[str]) -> list[str]:
    """Whoever was erased may hold an office still, as far as roster's record says: nobody is written to under that id any more."""
    return [person for person in people if not tx.state(ERASED, person)]


def tell_municipality(tx: Transaction, code: str, day: date, begun: int) -> int:
    return _tell_manager(tx, "municipality-digest", code, day, begun, _overdue(MUNICIPALITY_TOLD_WD, day - LATEST, code))


def tell_ministry(tx: Transaction, day: date, begun: int) -> int:
    return _tell_manager(tx, "ministry-digest", MINISTRY, day, begun, _overdue(MINISTRY_TOLD_WD, day - LATEST_FOR_THE_MINISTRY))


def _tell_manager(tx: Transaction, template: Template, recipient: str, day: date, begun: int, overdue: Select[Any, Any, Any, Any]) -> int:
    since = _told_to(tx.rows, manager(template, recipient), day, begun)
    if since is None:
        return 0
    rows = tx.rows(overdue.where(announcement_table.c.position > since))
    if not rows:
        return 0
    contents = Contents(overdue=counted(SchoolOverdue(row.school, row.plan, row.step) for row in rows))
    read_to = max(row.position for row in rows)
    message = message_id(NO_SCHOOL, manager(template, recipient), day)
    _queue(tx, NO_SCHOOL, Queue(message, recipient, template, day, read_to, contents))
    return 1


def _queue(tx: Transaction, school: str, message: Queue) -> None:
    if tx.decide(MESSAGES, message.message, message, school=school, happened_on=message.day):
        tx.write(queued(school, message))


def _told_to(rows: Rows, group: str, day: date, begun: int) -> int | None:
    """The plan's position up to which somebody was told; None where the day's message is written already."""
    found = rows(select(told_table).where(told_table.c.group == group))
    if found and found[0].day >= day:
        return None
    return max(begun, found[0].position if found else 0)


def untold(rows: Rows, school: str, day: date) -> list[Announcement]:
    """What was announced in a school and waits for the message of a day."""
    begun = rows(select(written_table.c.begun))
    since = _told_to(rows, school, day, begun[0].begun if begun else 0)
    return [] if since is None else announced(rows(_pending(school, since, day)))


def untold_to_managers(rows: Rows, school: str, municipality: str, day: date) -> dict[Template, list[Announcement]]:
    """What stays overdue in a school and waits for its municipality's digest and the ministry's."""
    begun = rows(select(written_table.c.begun))
    found: dict[Template, list[Announcement]] = {}
    waiting: tuple[tuple[Template, str, int, date], ...] = (
        ("municipality-digest", municipality, MUNICIPALITY_TOLD_WD, day - LATEST),
        ("ministry-digest", MINISTRY, MINISTRY_TOLD_WD, day - LATEST_FOR_THE_MINISTRY),
    )
    for template, recipient, working_days, recorded_from in waiting:
        table = announcement_table
        since = _told_to(rows, manager(template, recipient), day, begun[0].begun if begun else 0)
        overdue = _overdue(working_days, recorded_from).where(table.c.school == school, table.c.position > (since or 0))
        found[template] = announced(rows(overdue.with_only_columns(table)))
    return found


def _pending(school: str, since: int, day: date) -> Select[Any]:
    """What was announced in a school after a position, and is not too old on a day."""
    table = announcement_table
    return (
        select(table)
        .where(table.c.school == school, table.c.position > since, table.c.recorded_on >= day - LATEST)
        .order_by(table.c.position)
    )


def _overdue(working_days: int, recorded_from: date, municipality: str | None = None) -> Select[Any, Any, Any, Any]:
    """The steps that were announced to be overdue for so long. People's own terms are their schools' business."""
    table = announcement_table
    found = (
        select(table.c.position, table.c.school, table.c.step, adopted_table.c.plan)
        .join(adopted_table, adopted_table.c.school == table.c.school)
        .where(
            table.c.kind == "step-overdue",
            table.c.working_days == working_days,
            table.c.reminders != "person",
            table.c.recorded_on >= recorded_from,
        )
    )
    if municipality is None:
        return found
    return found.join(school_table, school_table.c.school == table.c.school).where(school_table.c.municipality == municipality)


def _with_news(zone: str, day: date, begun: int) -> Select[str]:
    """The schools of a time zone in which something was announced that was not told yet."""
    table, told = announcement_table, told_table
    return (
        select(table.c.school)
        .distinct()
        .join(school_table, school_table.c.school == table.c.school)
        .outerjoin(told, told.c.group == table.c.school)
        .where(
            school_table.c.timezone == zone,
            table.c.position > begun,
            table.c.position > func.coalesce(told.c.position, 0),
            table.c.recorded_on >= day - LATEST,
        )
        .order_by(table.c.school)
    )


def _municipalities(day: date, begun: int) -> Select[str]:
    overdue = _overdue(MUNICIPALITY_TOLD_WD, day - LATEST).where(announcement_table.c.position > begun).subquery()
    return (
        select(school_table.c.municipality)
        .distinct()
        .join(overdue, overdue.c.school == school_table.c.school)
        .order_by(school_table.c.municipality)
    )


def _zones(connection: Connection) -> list[str]:
    return list(connection.execute(select(school_table.c.timezone).distinct()).scalars())
