"""PostgreSQL under five services apart: killed, frozen, or one of its processes killed, in the middle of calls."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from tests.apart import Apart
from tests.load import Load, check_running
from tests.survival import Survival, answered

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

_UNANSWERED = {"database.unavailable", "call.outcome-unknown", "service.unreachable"}
_DOWN_S = 1.5


@pytest.mark.fault("kill -9 of PostgreSQL's postmaster, in the middle of calls")
@pytest.mark.parametrize("seed", range(2))
async def test_a_database_server_that_was_killed_costs_no_command(apart: Apart, survival: Survival, seed: int) -> None:
    random = Random(seed)

    async def fault(load: Load) -> None:
        await answered(load, random.randint(1, 60))
        apart.postgres.kill()
        await asyncio.sleep(random.uniform(0.0, _DOWN_S))
        await asyncio.to_thread(apart.postgres.start)

    assert "database.unavailable" in await _survives(apart, survival, fault)


@pytest.mark.fault("kill -9 of one of PostgreSQL's backends, in the middle of calls")
@pytest.mark.parametrize("seed", range(2))
async def test_a_backend_that_was_killed_takes_all_others_with_it_and_costs_no_command(apart: Apart, survival: Survival, seed: int) -> None:
    random = Random(seed)

    async def fault(load: Load) -> None:
        await answered(load, random.randint(1, 60))
        os.kill(random.choice(await asyncio.to_thread(lambda: apart.backends)), signal.SIGKILL)

    await _survives(apart, survival, fault)


@pytest.mark.fault("SIGSTOP of PostgreSQL, in the middle of calls")
@pytest.mark.parametrize("frozen_s", [0.5, 7.0])  # calls wait 5 s here
async def test_a_database_server_that_was_frozen_costs_no_command(apart: Apart, survival: Survival, frozen_s: float) -> None:
    random = Random(frozen_s)

    async def fault(load: Load) -> None:
        await answered(load, random.randint(1, 60))
        pids = apart.postgres.pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(frozen_s)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    await _survives(apart, survival, fault)


async def _survives(apart: Apart, survival: Survival, fault: Callable[[Load], Awaitable[None]]) -> set[str]:
    """Does it twice under calls, in the middle of something else each time, and asks what became of them; answers what they were told."""
    async with apart.client() as client:
        load = await Load.on(client, tolerated=_UNANSWERED)

        async def twice() -> None:
            for _ in range(2):
                await fault(load)
                await answered(load, 30)

        await load.run_until(client, asyncio.create_task(twice()))
        assert set(load.troubles) <= _UNANSWERED
        await load.repeat(client)
        await check_running(client, apart)
        survival.count(load, apart)
        await apart.verified(client)
    apart.end()
    survival.check_stopped(apart)
    return set(load.troubles)
