"""What identity does by itself: it blocks accounts whose ground has gone (DOMAIN 3), and rates each school's week (DOMAIN 7)."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import structlog
from sqlalchemy import Column, Connection, Date, Integer, Table, insert, select, update

from contracts.operations import HEAD, Nothing
from eventkit.clock import DEFAULT_ZONE, Patience, local_day, start_of_day
from eventkit.event import Origin, Recorded
from eventkit.reaction import Reaction
from eventkit.service import Service
from eventkit.store import Transaction
from eventkit.telemetry import trouble
from identity import activity
from identity.domain.account import ACCOUNTS, Block, BlockReason
from identity.domain.gates import has_ground
from identity.domain.rating import RATINGS, Rate
from identity.projections import annulled_person, entered_somebody, people_of, school_table, timezone

rated_table = Table(
    "rated",
    activity.metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),  # there is one row
    Column("through", Date, nullable=False),
)
"""The Sunday that ended the last week which was rated in all schools."""

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)

_log = structlog.get_logger(__name__)

_REASONS: dict[str, BlockReason] = {
    "consent.consent-withdrawn.v1": "consent-withdrawn",
    "consent.consent-refused.v1": "consent-refused",
    "consent.consent-expired.v1": "consent-expired",
    "consent.consent-invalidated.v1": "consent-invalidated",
    "roster.pupil-left.v1": "left",
    "roster.staff-dismissed.v1": "dismissed",
    "roster.entry-annulled.v1": "never-entered",
}


class BlockAccounts(Reaction):
    """Blocks the account of whoever has lost the ground for having one."""

    name = "block-accounts"
    sources = ("roster", "consent")
    types = frozenset(_REASONS)

    def __init__(self, service: Service) -> None:
        self._service = service

    def concerns(self, event: Recorded) -> bool:
        match event.type:
            case "roster.entry-annulled.v1":
                return entered_somebody(event)
            case "consent.consent-refused.v1":
                return event.facts()[1]["supersedes"] is not None  # else nobody had granted
            case _:
                return True

    async def react(self, event: Recorded) -> None:
        # Once the gates know of it, every account issued before is in the record and none is issued after.
        await self._service.caught_up({event.service: event.position})
        because_of = Origin(event.actor, event.commandid, event.correlationid)
        caller = self._service.as_itself(event.id, because_of=because_of, causation_id=event.id)
        await self._service.carry_out(caller, lambda tx: block(tx, event), part="block")


def block(tx: Transaction, event: Recorded) -> None:
    """Blocks the account of the person an event is about, if there is one. Another consent that stands by now keeps it; whoever did not
    withdraw keeps it on any other ground, too. A refusal blocks the account of whoever had granted before."""
    type_name, fact = event.facts()
    reason = _REASONS[type_name]
    day = date.fromisoformat(event.happenedon)
    if event.service == "consent":
        person: str = fact["subject"]
        known = people_of(tx.rows, event.school, [person])[person]
        if known.consent == "granted" or (reason != "consent-withdrawn" and has_ground(known)):
            return
    elif reason == "never-entered":
        found = annulled_person(tx.rows, event)
        if found is None or people_of(tx.rows, event.school, [found])[found].kind is not None:
            return
        person = found
    else:
        person = fact["person"]
    if reason in ("consent-invalidated", "never-entered"):  # its day is that of what never was; the account was in use until today
        day = local_day(tx.now, timezone(tx.rows, event.school))
    tx.decide(ACCOUNTS, person, Block(reason), school=event.school, happened_on=day)


class Ratings:
    """The timer that rates, on Monday, the week that ended on Sunday, and forgets the days that are no longer needed.

    All schools have one midnight so far: the oblast lies in one time zone. Weeks in which nobody ran are made up for, one after the
    other, before any of their days is forgotten.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._through: date | None = None
        self._patience = Patience()
        self._first_day: date | None = None

    def noted(self, day: date) -> None:
        """Somebody was active on a day: it will have to be forgotten."""
        self._first_day = day if self._first_day is None else min(day, self._first_day)

    def next_due(self, now: datetime) -> datetime | None:
        if self._through is None:
            return now
        week_over = _end_of(self._through + _WEEK)
        if week_over <= now:
            return self._patience.not_before(week_over)
        return week_over if self._first_day is None else min(week_over, _forgotten_at(self._first_day))

    async def handle(self, now: datetime) -> None:
        """Rates the next week, or holds it for a growing while; otherwise forgets. There may be more to do right after it."""
        if self._through is None:
            self._through, first_day = await self._service.write(lambda connection: _begin(connection, local_day(now) - _DAY))
            if first_day is not None:
                self.noted(first_day)
        elif _end_of(self._through + _WEEK) <= now:
            await self._rate(self._through + _WEEK, now)
        else:
            self._first_day = None
            first_day = await self._service.write(lambda connection: activity.forget(connection, local_day(now)))
            if first_day is not None:
                self.noted(first_day)

    async def _rate(self, week_ends: date, now: datetime) -> None:
        try:
            await self._read_all()
            done = await self._rate_schools(week_ends, now)
        except Exception as error:  # noqa: BLE001 -- whatever it was, the week is still to be rated
            _log.warning("ratings.held", week_ends=str(week_ends), **trouble(error))
            done = False
        if done:
            await self._service.write(lambda connection: connection.execute(update(rated_table).values(through=week_ends)).rowcount)
            self._through = week_ends
            self._patience.begin_anew()
        else:
            self._patience.hold(now)

    async def _read_all(self) -> None:
        """Waits until all that is recorded by now has been read. Raises Refused or CallFailed where that cannot be known yet."""
        heads = {source: (await self._service.calls.call(HEAD[source], Nothing())).reply.position for source in ("roster", "consent")}
        await self._service.caught_up({**heads, self._service.name: await self._service.store.head()})

    async def _rate_schools(self, week_ends: date, now: datetime) -> bool:
        """Whether nothing is left to try again: a school that fails holds its week for a day at most, not all others for ever."""
        schools = await self._service.read(lambda connection: connection.execute(select(school_table.c.school)).scalars().all())
        failed = False
        for school in sorted(schools):
            try:
                await self._rate_school(school, week_ends)
            except Exception as error:  # noqa: BLE001 -- one school's trouble is not the others'
                _log.error("ratings.school-failed", school=school, week_ends=str(week_ends), **trouble(error))
                failed = True
        return not failed or now >= _end_of(week_ends + _DAY)

    async def _rate_school(self, school: str, week_ends: date) -> None:
        """One school's week, a command whose id is school and week: it is rated once, whenever that is tried again."""
        groups = await self._service.read(lambda connection: activity.groups_of(connection, school, week_ends))

        def work(tx: Transaction) -> None:
            tx.decide(RATINGS, school, Rate(week_ends, groups), school=school, happened_on=week_ends)

        await self._service.carry_out(self._service.as_itself(f"{school}.activity"), work, part=str(week_ends))


def _end_of(day: date) -> datetime:
    return start_of_day(day + _DAY, DEFAULT_ZONE)


def _forgotten_at(day: date) -> datetime:
    return _end_of(day + timedelta(days=activity.KEPT_DAYS))


def _begin(connection: Connection, yesterday: date) -> tuple[date, date | None]:
    """The last week that was rated, where none ever was the last that has ended; and the first day of which anything is kept."""
    found = connection.execute(select(rated_table.c.through)).scalar()
    if found is None:
        found = yesterday - timedelta(days=(yesterday.weekday() + 1) % 7)
        connection.execute(insert(rated_table).values(only=1, through=found))
    return found, activity.first_day(connection)
