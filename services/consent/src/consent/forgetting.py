"""What makes consent forget people by itself: a ground that has gone starts a term, the clock ends it, the holders' answers complete it.

While a person's data may be held on anything else, nothing is destroyed: that is looked at when the ground goes, and again when the term
is over (DOMAIN 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from hashlib import sha256
from typing import Any

import structlog
from pydantic import TypeAdapter
from sqlalchemy import Connection, Executable, Row

from consent.erasures import ERASURES, Answer, Cancel, Fall, Schedule, due_on
from consent.grounds import Ground, due_by, entered_by, ground_of, guardians_of, held_again, is_scheduled, next_due
from consent.projections import Rows, timezone, timezones
from contracts.erasure import DataCategory, ErasureGround, PersonalDataErased, ServiceName
from contracts.event import EVENTS, SERVICES
from contracts.operations import HEAD, Nothing
from eventkit.clock import Patience, local_day, start_of_day
from eventkit.event import Origin, Recorded, encode
from eventkit.reaction import Reaction
from eventkit.service import Service
from eventkit.store import Transaction
from eventkit.telemetry import trouble

_LOST: Mapping[str, ErasureGround] = {
    "consent.consent-withdrawn.v1": ErasureGround.WITHDRAWN,
    "consent.consent-refused.v1": ErasureGround.REFUSED,
    "consent.consent-expired.v1": ErasureGround.EXPIRED,
    "consent.consent-invalidated.v1": ErasureGround.INVALIDATED,
    "roster.coordinator-relieved.v1": ErasureGround.OFFICE_ENDED,
    "roster.staff-dismissed.v1": ErasureGround.LEFT,
    "roster.pupil-left.v1": ErasureGround.LEFT,
    "roster.guardian-unlinked.v1": ErasureGround.LEFT,
    "roster.personal-data-erased.v1": ErasureGround.LEFT,
    "roster.entry-annulled.v1": ErasureGround.UNLAWFUL,
}

_NEVER_WAS = frozenset({"consent.consent-invalidated.v1", "roster.entry-annulled.v1"})

_GIVES_A_GROUND = frozenset(
    {"roster.staff-hired.v1", "roster.pupil-enrolled.v1", "roster.guardian-linked.v1", "roster.coordinator-appointed.v1"}
)

_SERVICE = TypeAdapter[ServiceName](ServiceName)

_log = structlog.get_logger(__name__)


class Terms(Reaction):
    """The reaction to a ground that has gone. `left_term_days` is how long the data of who has left are kept."""

    name = "erasure-terms"
    sources = ("roster", "consent")
    types = frozenset(_LOST)

    def __init__(self, service: Service, left_term_days: int) -> None:
        self._service = service
        self._left_term_days = left_term_days

    def concerns(self, event: Recorded) -> bool:
        match event.type:
            case "roster.entry-annulled.v1":
                return event.facts()[1]["event_type"] in _GIVES_A_GROUND
            case "consent.consent-refused.v1":
                return event.facts()[1]["supersedes"] is not None  # else whoever is entered is so on something else
            case _:
                return True

    async def react(self, event: Recorded) -> None:
        # Mostly nothing is lost: to see that, it is enough to have read the event. What goes later has an event of its own.
        await self._service.caught_up({event.service: event.position})
        if not await self._service.read(lambda connection: self._wanted(_rows(connection), event)):
            return
        # Whether there is another ground may stand in either record: all that they say by now is read first.
        roster = (await self._service.calls.call(HEAD["roster"], Nothing())).reply.position
        await self._service.caught_up({"roster": roster, "consent": await self._service.store.head()})
        caller = self._service.as_itself(event.id, because_of=_origin(event), causation_id=event.id)
        await self._service.carry_out(caller, lambda tx: self._schedule(tx, event), part="erasure-term")

    def _schedule(self, tx: Transaction, event: Recorded) -> None:
        today = local_day(tx.now, timezone(tx.rows, event.school))
        for command in self._wanted(tx.rows, event):
            tx.decide(ERASURES, command.subject, command, school=event.school, happened_on=today)

    def _wanted(self, rows: Rows, event: Recorded) -> list[Schedule]:
        """The erasures that an event gives reason to schedule, and that are not by then."""
        type_name, fact = event.facts()
        people, lost = _concerned(rows, fact, type_name)
        # The day of what never was true is the day on which it was said; that it never was is known since today.
        never_was = type_name in _NEVER_WAS
        day = local_day(self._service.clock.now(), timezone(rows, event.school)) if never_was else date.fromisoformat(event.happenedon)
        wanted: list[Schedule] = []
        for person in people:
            ground = _ground(ground_of(rows, event.school, person), lost)
            if ground is None:
                continue
            by = due_on(ground, day, self._left_term_days)
            if not is_scheduled(rows, person, by):
                erasure = f"e-{sha256(f'{event.id}/{person}'.encode()).hexdigest()[:20]}"
                wanted.append(Schedule(erasure, person, ground, by))
        return wanted


def _concerned(rows: Rows, fact: Mapping[str, Any], type_name: str) -> tuple[list[str], ErasureGround]:
    """Who may have lost which ground: a pupil who leaves, or is erased, takes along the guardians who have no other child here."""
    lost = _LOST[type_name]
    match type_name:
        case "roster.pupil-left.v1":
            return [fact["person"], *guardians_of(rows, fact["person"])], lost
        case "roster.personal-data-erased.v1":
            return guardians_of(rows, fact["person"]), lost
        case "roster.entry-annulled.v1":
            of_office = fact["event_type"] == "roster.coordinator-appointed.v1"
            return entered_by(rows, fact["position"]), ErasureGround.OFFICE_ENDED if of_office else lost
        case _:
            return [fact.get("subject") or fact.get("guardian") or fact["person"]], lost


def _ground(found: Ground, lost: ErasureGround) -> ErasureGround | None:
    """Why the data are to be destroyed; None where they may be held on, or there are none."""
    if not found.known or found.holds is not None:
        return None
    if not found.here and lost is not ErasureGround.WITHDRAWN:
        return ErasureGround.LEFT if found.entered else ErasureGround.UNLAWFUL
    return None if lost is ErasureGround.LEFT else lost


class Due:
    """The timer of the scheduled erasures: it cancels those for which there is a ground again, and orders those whose day has come."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._read: list[Mapping[str, int]] | None = None
        self._looked_on: date | None = None
        self._due: datetime | None = None
        self._patience = Patience()

    def next_due(self, now: datetime) -> datetime | None:
        # As the expiry of consents does: it looks again whenever something was read, and once a day in any case.
        return self._due if self._read == self._positions() and self._looked_on == local_day(now) else now

    async def handle(self, now: datetime) -> None:
        """Does what is due by now. What fails is tried again after a growing while."""
        read = self._positions()
        due, held, first = await self._service.read(lambda connection: _look(connection, now))
        done = [await self._end(row, day, ground) for row, day, ground in (*due, *held)]
        if all(done):
            self._due = first
            self._patience.begin_anew()
        else:
            again = self._patience.hold(now)
            self._due = again if first is None else min(first, again)
        self._read, self._looked_on = read, local_day(now)

    async def _end(self, row: Row[Any], today: date, ground: Ground) -> bool:
        """Ends one term, by a command whose id is the erasure's: it is cancelled or ordered, and once."""

        def work(tx: Transaction) -> None:
            now = ground_of(tx.rows, row.school, row.person)
            command = Fall(today) if now.holds is None else Cancel(now.holds)
            tx.decide(ERASURES, row.person, command, school=row.school, happened_on=today)

        part = "due" if ground.holds is None else "held"
        try:
            await self._service.carry_out(self._service.as_itself(row.erasure), work, part=f"{part}.{today}")
        except Exception as error:  # noqa: BLE001 -- one person's trouble is not the others'
            _log.error("erasure.failed", school=row.school, erasure=row.erasure, **trouble(error))
            return False
        return True

    def _positions(self) -> list[Mapping[str, int]]:
        return [runner.positions for runner in self._service.runners]


_Looked = Sequence[tuple[Row[Any], date, Ground]]


def _look(connection: Connection, now: datetime) -> tuple[_Looked, _Looked, datetime | None]:
    """The scheduled erasures whose day has come, in the school's time; those that are not wanted any more; when the next one is due."""

    rows = _rows(connection)
    due: list[tuple[Row[Any], date, Ground]] = []
    held: list[tuple[Row[Any], date, Ground]] = []
    to_come: list[datetime] = []
    latest = max((local_day(now, zone) for zone in timezones(rows)), default=local_day(now))
    for row in (*held_again(rows), *due_by(rows, latest)):
        zone = timezone(rows, row.school)
        today, ground = local_day(now, zone), ground_of(rows, row.school, row.person)
        if ground.holds is not None:
            held.append((row, today, ground))
        elif row.due_on <= today:
            due.append((row, today, ground))
        else:  # its midnight comes later than others'
            to_come.append(start_of_day(row.due_on, zone))
    if (following := next_due(rows, latest)) is not None:
        to_come.append(start_of_day(following.due_on, timezone(rows, following.school)))
    return due, held, min(to_come, default=None)


class Answers(Reaction):
    """The reaction to what each holder says that it destroyed."""

    name = "erasure-answers"
    sources = SERVICES
    types = frozenset(name for name, event in EVENTS.items() if issubclass(event, PersonalDataErased))

    def __init__(self, service: Service) -> None:
        self._service = service

    async def react(self, event: Recorded) -> None:
        fact = event.facts()[1]
        person: str = fact["person"]
        answer = Answer(
            erasure=fact["erasure"],
            service=_SERVICE.validate_python(event.service),
            event=event.id,
            position=event.position,
            sha256=sha256(encode(event)).hexdigest(),
            destroyed=tuple(DataCategory(category) for category in fact["destroyed"]),
        )

        def work(tx: Transaction) -> None:
            day = local_day(tx.now, timezone(tx.rows, event.school))
            tx.decide(ERASURES, person, answer, school=event.school, happened_on=day)

        caller = self._service.as_itself(event.id, because_of=_origin(event), causation_id=event.id)
        await self._service.carry_out(caller, work, part="answered")


def _origin(event: Recorded) -> Origin:
    return Origin(event.actor, event.commandid, event.correlationid)


def _rows(connection: Connection) -> Rows:
    def rows(statement: Executable) -> Sequence[Row[Any]]:
        return connection.execute(statement).all()

    return rows
