"""The broker dies in the middle of calls: commands are carried out or answered clearly, and nothing that was recorded is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from random import Random

import pytest

from tests.conftest import Lived
from tests.load import Load
from tests.survival import Survival, answered, client_of
from vekha.testing import running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

_NOT_KNOWN = {"call.outcome-unknown", "service.unreachable"}


@pytest.mark.fault("kill -9 of nats-server, twice in the middle of calls")
@pytest.mark.parametrize("seed", range(3))
async def test_a_broker_that_dies_twice_in_the_middle_of_calls_costs_no_command(
    lived: Lived, tmp_path: Path, survival: Survival, seed: int
) -> None:
    random = Random(seed)
    data = lived.copy(tmp_path / "data", of_first_day=True)
    with running(data) as up:
        async with client_of(data) as client:
            load = await Load.on(client)

            async def deaths() -> None:
                for _ in range(2):
                    await answered(load, random.randint(1, 60))
                    os.kill(up.broker_pid, signal.SIGKILL)
                await answered(load, 60)

            await load.run_until(client, asyncio.create_task(deaths()))
            assert set(load.troubles) <= _NOT_KNOWN
            survival.count(load, data)
        await survival.check_live(data, load)
        assert up.end() == 0
    survival.check_stopped(data)


@pytest.mark.fault("kill -9 of nats-server again and again")
async def test_a_broker_that_keeps_dying_ends_the_instance_with_the_reason_and_the_next_start_has_everything(
    lived: Lived, tmp_path: Path, survival: Survival
) -> None:
    data = lived.copy(tmp_path / "data", of_first_day=True)
    with running(data) as up:
        async with client_of(data) as client:
            load = await Load.on(client)

            async def deaths() -> int:
                for _ in range(3):
                    await answered(load, 10)
                    os.kill(up.broker_pid, signal.SIGKILL)
                return await asyncio.to_thread(up.process.wait, 60)

            await load.run_until(client, asyncio.create_task(deaths()))
        assert up.process.returncode == 1
        assert "broker.dies" in up.log.read_text()
    await survival.check(data, load)
