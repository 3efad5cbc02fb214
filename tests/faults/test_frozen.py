"""SIGSTOP: a process that is neither dead nor alive. Others give it up; it comes back, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from tests.conftest import Lived
from tests.load import Load
from tests.survival import Survival, answered, client_of, frozen
from vekha.testing import running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

_NOT_KNOWN = {"call.outcome-unknown", "service.unreachable"}


@pytest.mark.fault("SIGSTOP of everything but the broker, in the middle of calls")
@pytest.mark.parametrize("frozen_s", [0.5, 12.0])  # the broker gives up a client that does not read after 10 s
async def test_an_instance_that_was_frozen_goes_on_where_it_stood(
    lived: Lived, tmp_path: Path, survival: Survival, frozen_s: float
) -> None:
    data = lived.copy(tmp_path / "data", of_first_day=True)
    with running(data) as up:
        async with client_of(data) as client:
            load = await Load.on(client)
            await load.run_until(client, asyncio.create_task(_frozen(load, up.process.pid, frozen_s, Random(frozen_s))))
            assert set(load.troubles) <= _NOT_KNOWN
        await survival.check_live(data, load)
        assert up.end() == 0
    survival.check_stopped(data)


@pytest.mark.fault("SIGSTOP of nats-server, in the middle of calls")
@pytest.mark.parametrize("frozen_s", [0.5, 7.0])  # calls wait 5 s here, and so does the relay
async def test_a_broker_that_was_frozen_costs_no_command(lived: Lived, tmp_path: Path, survival: Survival, frozen_s: float) -> None:
    data = lived.copy(tmp_path / "data", of_first_day=True)
    with running(data) as up:
        async with client_of(data) as client:
            load = await Load.on(client)
            await load.run_until(client, asyncio.create_task(_frozen(load, up.broker_pid, frozen_s, Random(frozen_s))))
            assert set(load.troubles) <= _NOT_KNOWN
        await survival.check_live(data, load)
        assert up.end() == 0
    survival.check_stopped(data)


async def _frozen(load: Load, pid: int, frozen_s: float, random: Random) -> None:
    """Twice, each time in the middle of something else."""
    for seconds in (frozen_s, 0.3):
        await answered(load, random.randint(1, 60))
        with frozen(pid):
            await asyncio.sleep(seconds)
    await answered(load, 30)
