"""A second process of a service beside the first: two readers of each durable, two writers of the same rows, two relays of one log."""

from __future__ import annotations

import asyncio
import signal
from random import Random

import pytest

from tests.apart import Apart
from tests.load import Load, check_running
from tests.survival import Survival, answered

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

_UNANSWERED = {"call.outcome-unknown", "service.unreachable", "reader.not-caught-up"}


@pytest.mark.fault("a second process of a service beside the first, which is frozen, wakes up, and is killed")
@pytest.mark.parametrize("service", ["plan", "notifier", "roster"])
async def test_two_processes_of_a_service_fold_nothing_twice_whichever_of_them_is_frozen_or_killed(
    apart: Apart, survival: Survival, service: str
) -> None:
    """The first is the zombie: it is frozen with whatever it has in its hands, and goes on when the second has done all of it."""
    random = Random(service)
    first = apart.processes[service]

    async def fault(load: Load) -> None:
        await answered(load, 20)
        apart.processes[service] = apart.start(service)
        while apart.log(service).read_text().count("service.started") < 2:  # noqa: ASYNC110 -- another process writes it
            await asyncio.sleep(0.05)
        for _ in range(2):
            await answered(load, random.randint(20, 60))
            first.send_signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(random.uniform(0.5, 2.0))
            finally:
                first.send_signal(signal.SIGCONT)
        await answered(load, random.randint(20, 60))
        first.kill()
        first.wait()
        await answered(load, 30)

    async with apart.client() as client:
        load = await Load.on(client, tolerated=_UNANSWERED)
        await load.run_until(client, asyncio.create_task(fault(load)))
        await apart.ready(client)
        await load.repeat(client)
        await check_running(client, apart)
        survival.count(load, apart)
        await apart.verified(client)
    assert "bus.reading-again" in apart.log(service).read_text()  # each has read what the other one was waiting for
    apart.end()
    survival.check_stopped(apart)
