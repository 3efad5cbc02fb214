"""The disk is full: commands fail and say so, nothing is half-recorded, and with room again everything goes on by itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.conftest import Lived
from tests.load import Load
from tests.survival import Survival, answered, client_of
from vekha.testing import running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

_SIZE = "64m"
_FULL_S = 4.0


@pytest.mark.fault("disk full in the middle of calls")
@pytest.mark.parametrize("seed", range(2))
async def test_a_full_disk_fails_commands_and_loses_none_that_was_acknowledged(
    lived: Lived, tmp_path: Path, survival: Survival, seed: int
) -> None:
    random = Random(seed)
    with _small_disk(tmp_path / "data") as data:
        shutil.copytree(lived.first_day, data, dirs_exist_ok=True)
        with running(data) as up:
            async with client_of(data) as client:
                load = await Load.on(client, tolerated={"call.failed"})

                async def fault() -> None:
                    await answered(load, random.randint(5, 60))
                    ballast = data / "ballast"
                    _fill(ballast)
                    await asyncio.sleep(_FULL_S)
                    ballast.unlink()
                    await answered(load, 60)

                await load.run_until(client, asyncio.create_task(fault()))
                assert "call.failed" in load.troubles
            await survival.check_live(data, load)
            assert up.end() == 0
        survival.check_stopped(data)


@contextmanager
def _small_disk(at: Path) -> Generator[Path]:
    """A file system of its own, which can be filled without harm to anybody."""
    at.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=700", "tmpfs", at], check=False).returncode:
        pytest.skip("a file system can only be mounted by root")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)


def _fill(ballast: Path) -> None:
    """Down to the last byte."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
