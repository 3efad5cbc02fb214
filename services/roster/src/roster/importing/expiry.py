"""Uploads and jobs hold personal data, so none stays longer than its time (DESIGN 2.7): a timer on the instance's clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Table, delete, func, select

from eventkit.event import moment, rfc3339
from eventkit.service import Service


class Expiry:
    """Removes rows whose `expires_at` has come."""

    def __init__(self, service: Service, tables: Sequence[Table]) -> None:
        self._service = service
        self._tables = tables
        self._first: datetime | None = None
        self._looked = False

    def expects(self, at: datetime) -> None:
        """A row was made that expires then."""
        self._first = at if self._first is None else min(at, self._first)

    def next_due(self, now: datetime) -> datetime | None:
        # What is left from before the start is not known until the first look.
        return self._first if self._looked else now

    async def handle(self, now: datetime) -> None:
        def remove(connection: Connection) -> str | None:
            for table in self._tables:
                connection.execute(delete(table).where(table.c.expires_at <= rfc3339(now)))
            firsts = [connection.execute(select(func.min(table.c.expires_at))).scalar() for table in self._tables]
            return min((first for first in firsts if first is not None), default=None)

        first = await self._service.write(remove)
        self._first = None if first is None else moment(first)
        self._looked = True
