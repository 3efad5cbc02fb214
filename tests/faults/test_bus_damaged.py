"""The broker dies and comes back with other files than it had, while the services run (DESIGN 2.3): the record refills it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.conftest import Lived
from tests.load import Load
from tests.survival import Survival, answered, client_of, without_broker
from vekha.testing import running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


def lose_everything(bus: Path, older: Path, random: Random) -> None:
    shutil.rmtree(bus)


def put_an_older_copy_back(bus: Path, older: Path, random: Random) -> None:
    shutil.rmtree(bus)
    shutil.copytree(older, bus)


def lose_the_tail(bus: Path, older: Path, random: Random) -> None:
    """As after a power failure: what was not synced yet is gone, and so is the index."""
    for block in bus.glob("jetstream/*/streams/*/msgs/*.blk"):
        size = block.stat().st_size
        with block.open("r+b") as file:
            file.truncate(random.randint(size // 2, size))
    _lose_the_indexes(bus)


def flip_a_byte(bus: Path, older: Path, random: Random) -> None:
    """In the middle of a block, which the broker reads anew because it was killed: it drops everything from there on."""
    for block in bus.glob("jetstream/*/streams/*/msgs/*.blk"):
        content = bytearray(block.read_bytes())
        if content:
            content[random.randrange(len(content) // 4, len(content) * 3 // 4)] ^= 0x01
        block.write_bytes(content)
    _lose_the_indexes(bus)


def _lose_the_indexes(bus: Path) -> None:
    for index in bus.glob("jetstream/*/streams/*/msgs/index.db"):
        index.unlink()


ROWS = {
    lose_everything: "the broker's data lost while services run",
    put_an_older_copy_back: "the broker's data replaced by an older copy while services run",
    lose_the_tail: "the broker's tail lost while services run",
    flip_a_byte: "a byte flipped in the middle of each block, without an index",
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("damage", [pytest.param(damage, marks=pytest.mark.fault(row)) for damage, row in ROWS.items()])
async def test_a_broker_that_comes_back_with_less_is_refilled_in_the_middle_of_calls(
    lived: Lived, tmp_path: Path, survival: Survival, damage: Callable[[Path, Path, Random], None], seed: int
) -> None:
    random = Random(seed)
    data = lived.copy(tmp_path / "data", of_first_day=True)
    with running(data) as up:
        async with client_of(data) as client:
            load = await Load.on(client)

            async def fault() -> None:
                await answered(load, random.randint(5, 80))
                with without_broker(up) as bus:
                    await asyncio.to_thread(damage, bus, lived.first_day / "bus", random)
                await answered(load, 60)

            await load.run_until(client, asyncio.create_task(fault()))
            survival.count(load, data)
        await survival.check_live(data, load)
        assert up.end() == 0
    survival.check_stopped(data)
