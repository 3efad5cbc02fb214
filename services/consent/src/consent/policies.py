"""What ends a consent without anybody's doing: the clock. At the midnight after its last day a consent has expired (DOMAIN 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Executable, Row

from consent.domain import CONSENTS, Expire
from consent.projections import ended_before, next_end, timezones
from eventkit.clock import Patience, local_day, start_of_day
from eventkit.service import Service
from eventkit.store import Transaction
from eventkit.telemetry import trouble

_AT_A_TIME = 64  # as many as share one transaction of the append queue
_DAY = timedelta(days=1)

_log = structlog.get_logger(__name__)


class Expiry:
    """The timer of the consents that have a last day: it looks again for the first end whenever something new has been read."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._read: list[Mapping[str, int]] | None = None
        self._looked_on: date | None = None
        self._due: datetime | None = None
        self._patience = Patience()

    def next_due(self, now: datetime) -> datetime | None:
        # Once a day in any case: parked events that were tried again move no position.
        return self._due if self._read == self._positions() and self._looked_on == local_day(now) else now

    async def handle(self, now: datetime) -> None:
        """Expires what has ended by now. What fails is tried again after a growing while."""
        read = self._positions()
        ended, due = await self._service.read(lambda connection: _look(connection, now))
        done: list[bool] = []
        for start in range(0, len(ended), _AT_A_TIME):
            done += await asyncio.gather(*(self._expire(row) for row in ended[start : start + _AT_A_TIME]))
        if all(done):
            self._due = due
            self._patience.begin_anew()
        else:
            again = self._patience.hold(now)
            self._due = again if due is None else min(due, again)
        self._read, self._looked_on = read, local_day(now)

    async def _expire(self, ended: Row[Any]) -> bool:
        """One consent's end, a command whose id is the consent's own: however often it is said, it is recorded once."""

        def work(tx: Transaction) -> None:
            day = ended.valid_until + _DAY
            tx.decide(CONSENTS, ended.subject, Expire(ended.consent_id, day), school=ended.school, happened_on=day)

        try:
            await self._service.carry_out(self._service.as_itself(ended.consent_id), work, part="expired")
        except Exception as error:  # noqa: BLE001 -- one consent's trouble is not the others'
            _log.error("expiry.failed", school=ended.school, consent=ended.consent_id, **trouble(error))
            return False
        return True

    def _positions(self) -> list[Mapping[str, int]]:
        return [runner.positions for runner in self._service.runners]


def _look(connection: Connection, now: datetime) -> tuple[Sequence[Row[Any]], datetime | None]:
    """The consents that have ended by a moment, each in its school's time, and when the next one will have."""

    def rows(statement: Executable) -> Sequence[Row[Any]]:
        return connection.execute(statement).all()

    ended: list[Row[Any]] = []
    due: list[datetime] = []
    for zone in timezones(rows):
        today = local_day(now, zone)
        ended += ended_before(rows, today, zone)
        if (last := next_end(rows, today, zone)) is not None:
            due.append(start_of_day(last + _DAY, zone))
    return ended, min(due, default=None)
