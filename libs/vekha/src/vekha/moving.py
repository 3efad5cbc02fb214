"""The clock of an instance, seen by a client: one for all services in one process, or one in each of their processes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

from contracts.event import SERVICES
from contracts.operations import CLOCK, MOVE_TIME, SET_CLOCK, SETTLE, TIMERS, MoveTime, Nothing, SetClock, Settle
from eventkit.event import moment, rfc3339
from eventkit.moving import moved
from vekha.client import Client
from vekha.failures import Failure

MOVE_TIMEOUT_S = 600.0  # a year of timers may lie on the way


class _ServiceTime:
    """A service in a process of its own, seen from its clock (`eventkit.moving.Timed`)."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self.name = name

    async def end(self) -> int:
        return (await self._client.ask(TIMERS[self.name], Nothing())).reply.ends

    async def settle(self, ends: Mapping[str, int]) -> None:
        await self._client.ask(SETTLE[self.name], Settle(heads=dict(ends)), timeout_s=MOVE_TIMEOUT_S)

    async def next_due(self) -> datetime | None:
        due = (await self._client.ask(TIMERS[self.name], Nothing())).reply.due
        return None if due is None else moment(due)

    async def move(self, to: datetime) -> None:
        await self._client.ask(MOVE_TIME[self.name], MoveTime(to=rfc3339(to)))
        self._at = to

    async def run_due_timer(self) -> None:
        await self._client.ask(MOVE_TIME[self.name], MoveTime(to=rfc3339(self._at), run=True), timeout_s=MOVE_TIMEOUT_S)


async def time_of(client: Client) -> datetime:
    """The instance's time; that of services apart is the latest that one of them tells."""
    try:
        return moment((await client.ask(CLOCK, Nothing())).reply.now)
    except Failure as failure:
        if failure.code != "service.unreachable":
            raise
    told = await asyncio.gather(*(client.ask(TIMERS[service], Nothing()) for service in SERVICES))
    return max(moment(answer.reply.now) for answer in told)


async def move_clock(client: Client, to: datetime) -> None:
    """Moves a manual clock to a time, stopping wherever a timer is due. Raises Failure `clock.real` or `clock.backwards`."""
    try:
        await client.ask(SET_CLOCK, SetClock(to=rfc3339(to)), timeout_s=MOVE_TIMEOUT_S)
    except Failure as failure:
        if failure.code != "service.unreachable":
            raise
        await moved([_ServiceTime(client, service) for service in SERVICES], await time_of(client), to)
