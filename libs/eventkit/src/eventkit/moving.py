"""Moves a manual clock from timer to timer, for all services of an instance (DESIGN 2.6): in this process, or each in its own.

Between any two timers everything settles: every log is on the bus and every reader and reaction has taken it in, so that the second
timer always sees what followed from the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

SETTLE_TIMEOUT_S = 60.0


class Timed(Protocol):
    """One of the services, seen from its clock."""

    @property
    def name(self) -> str: ...

    async def end(self) -> int:
        """How far readers of its log can get: a quarantined service's log goes no further than its stream."""
        ...

    async def settle(self, ends: Mapping[str, int]) -> None: ...

    async def next_due(self) -> datetime | None: ...

    async def move(self, to: datetime) -> None: ...

    async def run_due_timer(self) -> None:
        """Handles the timer that is due first, if that is now."""
        ...


async def settled(services: Collection[Timed]) -> None:
    """Waits until every log is on the bus and every reader and reaction has taken it in."""
    async with asyncio.timeout(SETTLE_TIMEOUT_S):
        while True:
            ends = {service.name: await service.end() for service in services}
            for service in services:
                await service.settle(ends)
            if {service.name: await service.end() for service in services} == ends:
                return


async def moved(services: Collection[Timed], now: datetime, to: datetime) -> None:
    """Moves all of their clocks from `now` to a later time, stopping wherever a timer is due."""
    while True:
        await settled(services)
        timed = [(due, service) for service in services if (due := await service.next_due()) is not None and due <= to]
        if not timed:
            break
        due, service = min(timed, key=lambda pair: pair[0])
        now = max(due, now)
        for one in services:
            await one.move(now)
        await service.run_due_timer()
    for one in services:
        await one.move(to)
