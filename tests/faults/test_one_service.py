"""One service of five apart: killed and started again, or frozen, in the middle of calls."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from contracts import SERVICES
from tests.apart import Apart, survives
from tests.load import Load
from tests.survival import Survival, answered, frozen

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

_UNANSWERED = {"call.outcome-unknown", "service.unreachable"}


@pytest.mark.fault("kill -9 of one service of five, in the middle of calls")
@pytest.mark.parametrize("seed", range(3))
async def test_a_service_that_was_killed_costs_no_command(apart: Apart, survival: Survival, seed: int) -> None:
    random = Random(seed)

    async def fault(load: Load) -> None:
        await answered(load, random.randint(1, 60))
        service = random.choice(SERVICES)
        apart.processes[service].kill()
        await asyncio.to_thread(apart.processes[service].wait)
        await asyncio.sleep(random.uniform(0.0, 1.0))
        apart.processes[service] = apart.start(service)

    await survives(apart, survival, fault, _UNANSWERED)


@pytest.mark.fault("SIGSTOP of one service of five, in the middle of calls")
@pytest.mark.parametrize("frozen_s", [0.5, 7.0])  # calls wait 5 s here
async def test_a_service_that_was_frozen_costs_no_command(apart: Apart, survival: Survival, frozen_s: float) -> None:
    random = Random(frozen_s)

    async def fault(load: Load) -> None:
        await answered(load, random.randint(1, 60))
        with frozen(apart.processes[random.choice(SERVICES)].pid):
            await asyncio.sleep(frozen_s)

    await survives(apart, survival, fault, _UNANSWERED)
