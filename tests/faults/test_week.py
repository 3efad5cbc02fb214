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
from tests.conftest import Lived
from tests.faults.test_bus_damaged import flip_a_byte, lose_everything, lose_the_tail, put_an_older_copy_back
from tests.load import Load
from tests.school import P, Q
from tests.survival import Survival, client_of, processes_of, until, without_broker
from vekha.client import Client
from vekha.failures import Exit, Failure
from vekha.simulation import START, Simulation
from vekha.testing import Up

_DAYS = 7
_A_DAY = 40  # commands beside what the schools do
_AGAIN_S = 0.2


class Week:
    """An instance that somebody starts again whenever it is gone, and calls that are repeated under their ids until they are answered."""

    def __init__(self, data: Path, older: Path, random: Random) -> None:
        self.data, self._older, self._random = data, older, random
        self._ids = itertools.count(1)
        self._stack = AsyncExitStack()
        self.client: Client | None = None
        self.up: Up | None = None
        self.faults: list[str] = []

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

    async def ask(self, call: Call[Q, P], request: Q, *, as_: str | None = None) -> Answer[P]:
        command_id = f"week-{next(self._ids)}" if call.command else None
        while True:
            if (client := self.client) is not None:
                try:
                    return await client.ask(call, request, as_=as_, command_id=command_id, timeout_s=5.0)
                except Failure as failure:
                    if failure.exit_code != Exit.UNREACHABLE:
                        raise
            await asyncio.sleep(_AGAIN_S)

    async def go_wrong(self) -> None:
        """One of the faults, at a moment of its own."""
        assert self.up is not None
        await asyncio.sleep(self._random.uniform(0.0, 2.0))
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
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                    await asyncio.sleep(self._random.uniform(0.1, 3.0))
                    os.kill(pid, signal.SIGCONT)
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
            await week.go_wrong()
            await asyncio.wait([living], timeout=random.uniform(2.0, 6.0))
        await living
    assert len(week.faults) >= _DAYS
    assert await week.end(signal.SIGTERM) == 0
    await survival.check(data, load)


async def _live(week: Week, simulation: Simulation, load: Load, day: date) -> None:
    """Lets the clock reach a day, and carries out what there is to do on it."""
    reached = False
    while not reached:
        with suppress(Failure):  # the clock stands where it has come to when the instance died
            if (client := week.client) is not None:
                await client.ask(operations.SET_CLOCK, operations.SetClock(to=f"{day}T17:00:00+03:00"), timeout_s=30.0)
                reached = True
        await asyncio.sleep(_AGAIN_S)
    await simulation.play_through(day)
    wanted = len(load.acknowledged) + _A_DAY
    while len(load.acknowledged) < wanted:
        if (client := week.client) is not None:
            with suppress(Exception):  # the client whose instance is being ended
                await load.run(client, limit=wanted)
        await asyncio.sleep(_AGAIN_S)
