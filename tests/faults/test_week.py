"""A week in which schools live, and something goes wrong again and again: nothing is lost, nothing is doubled, and all copies are equal."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
from contextlib import AsyncExitStack, suppress
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest

from contracts import operations
from contracts.call import Call
from eventkit.calls import Answer
from tests import record
from tests.conftest import Lived
from tests.faults.test_bus_damaged import flip_a_byte, lose_everything, lose_the_tail, put_an_older_copy_back
from tests.load import Load
from tests.school import P, Q
from tests.survival import Survival, client_of, frozen, processes_of, until, without_broker
from vekha.client import Client
from vekha.failures import Exit, Failure
from vekha.simulation import START, Simulation
from vekha.testing import Up

_DAYS = 7
_A_DAY = 40  # commands beside what the schools do
_AGAIN_S = 0.2
_CLOCK_S = 15.0  # an answer that a fault has taken away is not waited for much longer than the clock needs
_PATIENCE_S = 60.0


class Week:
    """An instance that somebody starts again whenever it is gone, and calls that are repeated under their ids until they are answered."""

    def __init__(self, data: Path, older: Path, random: Random) -> None:
        self.data, self._older, self._random = data, older, random
        self._ids = itertools.count(1)
        self._stack = AsyncExitStack()
        self.client: Client | None = None
        self.up: Up | None = None
        self.faults: list[str] = []
        self.reached = 0  # what was answered, and the days that the clock has come to

    @property
    def is_up(self) -> bool:
        return self.up is not None and self.up.process.poll() is None

    async def start(self) -> None:
        until(lambda: processes_of(self.data) == [])
        self.up = await asyncio.to_thread(Up, self.data)
        self.client = await self._stack.enter_async_context(client_of(self.data))

    async def end(self, number: signal.Signals) -> int:
        assert self.up is not None
        self.client = None
        await self._stack.aclose()
        self._stack = AsyncExitStack()
        code = await asyncio.to_thread(self.up.end, number)
        self.up.close()
        return code

    async def ask(self, call: Call[Q, P], request: Q, *, as_: str | None = None, up_to_date: bool = False) -> Answer[P]:
        command_id = f"week-{next(self._ids)}" if call.command else None
        while True:
            if (client := self.client) is not None:
                try:
                    answer = await client.ask(call, request, as_=as_, command_id=command_id, up_to_date=up_to_date, timeout_s=5.0)
                except Failure as failure:
                    if failure.exit_code != Exit.UNREACHABLE:
                        raise
                else:
                    self.reached += 1
                    return answer
            await asyncio.sleep(_AGAIN_S)

    async def go_wrong(self) -> None:
        """One of the faults, at a moment of its own."""
        await asyncio.sleep(self._random.uniform(0.0, 2.0))
        assert self.up is not None
        if not self.is_up:  # it gives up on a broker that keeps dying, and says so: whoever keeps it starts it again
            await self.end(signal.SIGTERM)
            await self.start()
        fault = self._random.choice(("kill", "broker", "freeze", "bus"))
        self.faults.append(fault)
        match fault:
            case "kill":
                await self.end(signal.SIGKILL)
                await self.start()
            case "broker":
                with suppress(ProcessLookupError):  # it may be dead already, of the fault before
                    os.kill(self.up.broker_pid, signal.SIGKILL)
            case "freeze":
                pid = self._random.choice((self.up.process.pid, self.up.broker_pid))
                with suppress(ProcessLookupError), frozen(pid):
                    await asyncio.sleep(self._random.uniform(0.1, 3.0))
            case _:
                damage = self._random.choice((lose_everything, put_an_older_copy_back, lose_the_tail, flip_a_byte))
                with without_broker(self.up) as bus:
                    await asyncio.to_thread(damage, bus, self._older, self._random)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.fault("a week of schools' lives under random faults")
@pytest.mark.parametrize("seed", range(1))
async def test_a_week_of_faults_ends_with_nothing_lost_and_nothing_doubled(
    lived: Lived, tmp_path: Path, survival: Survival, seed: int
) -> None:
    random = Random(f"week-{seed}")
    data = lived.copy(tmp_path / "data", of_first_day=True)
    week = Week(data, Path(shutil.copytree(lived.first_day / "bus", tmp_path / "older")), random)
    await week.start()
    assert week.client is not None
    load = await Load.on(week.client)
    simulation = Simulation(week.ask, 4, seed=seed)
    for day in (START + timedelta(n) for n in range(_DAYS)):
        living = asyncio.create_task(_live(week, simulation, load, day))
        while not living.done():
            before = (week.reached, len(load.acknowledged))
            await week.go_wrong()
            await asyncio.wait([living], timeout=random.uniform(2.0, 6.0))
            with suppress(TimeoutError):  # a week in which nothing can be done between two faults would have no end on a busy machine
                async with asyncio.timeout(_PATIENCE_S):
                    while (week.reached, len(load.acknowledged)) == before and not living.done() and week.is_up:  # noqa: ASYNC110
                        await asyncio.sleep(_AGAIN_S)
        await living
    assert len(week.faults) >= _DAYS
    if not week.is_up:
        await week.end(signal.SIGTERM)
        await week.start()
    assert await week.end(signal.SIGTERM) == 0
    await _close_gaps(data, survival)
    await survival.check(data, load)


async def _close_gaps(data: Path, survival: Survival) -> None:
    """As an operator does whom `vekha audit verify` tells of one: a broker whose older block was damaged has lost what nothing refills."""
    for service, messages in (await record.stored_streams(data)).items():
        if [position for position, _, _ in messages] != list(range(1, len(messages) + 1)):
            assert survival.vekha("doctor", "--data", data, "--rebuild-stream", service).code == 0


async def _live(week: Week, simulation: Simulation, load: Load, day: date) -> None:
    """Lets the clock reach a day, and carries out what there is to do on it."""
    reached = False
    while not reached:
        with suppress(Failure):  # the clock stands where it has come to when the instance died
            if (client := week.client) is not None:
                await client.ask(operations.SET_CLOCK, operations.SetClock(to=f"{day}T17:00:00+03:00"), timeout_s=_CLOCK_S)
                reached = True
                week.reached += 1
        await asyncio.sleep(_AGAIN_S)
    await simulation.play_through(day)
    wanted = len(load.acknowledged) + _A_DAY
    while len(load.acknowledged) < wanted:
        if (client := week.client) is not None:
            with suppress(Exception):  # the client whose instance is being ended
                await load.run_until(client, asyncio.create_task(_answered_or_gone(week, load, client, wanted)))
        await asyncio.sleep(_AGAIN_S)


async def _answered_or_gone(week: Week, load: Load, client: Client, wanted: int) -> None:
    """Waits until so many commands were answered, or the client is one of an instance that is no more: it would never be answered again."""
    while len(load.acknowledged) < wanted and week.client is client:  # noqa: ASYNC110 -- as `answered` does
        await asyncio.sleep(0.01)
