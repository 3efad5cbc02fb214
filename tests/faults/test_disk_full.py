"""The disk is full: commands fail and say so, nothing is half-recorded, and with room again everything goes on by itself."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from random import Random

import pytest

from eventkit.testing_servers import a_small_disk, fill
from tests.conftest import Lived
from tests.load import Load
from tests.survival import Survival, answered, client_of
from vekha.testing import running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

_FULL_S = 4.0


@pytest.mark.fault("disk full in the middle of calls")
@pytest.mark.parametrize("seed", range(2))
async def test_a_full_disk_fails_commands_and_loses_none_that_was_acknowledged(
    lived: Lived, tmp_path: Path, survival: Survival, seed: int
) -> None:
    random = Random(seed)
    with a_small_disk(tmp_path / "data", "64m") as data:
        shutil.copytree(lived.first_day, data, dirs_exist_ok=True)
        with running(data) as up:
            async with client_of(data) as client:
                load = await Load.on(client, tolerated={"call.failed"})

                async def fault() -> None:
                    await answered(load, random.randint(5, 60))
                    ballast = fill(data)
                    await asyncio.sleep(_FULL_S)
                    ballast.unlink()
                    await answered(load, 60)

                await load.run_until(client, asyncio.create_task(fault()))
                assert "call.failed" in load.troubles
            await survival.check_live(data, load)
            assert up.end() == 0
        survival.check_stopped(data)
