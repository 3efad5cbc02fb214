"""A reader that hears nothing is told of: at /readyz, and by a file that is no longer written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import consent.app
import roster.app
from eventkit.harness import running
from eventkit.health import Health
from eventkit.heartbeat import HEARTBEAT, beat
from tests.survival import frozen

_LIMIT_S = 7.0  # a stream with nothing new says so every five


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.05)


async def test_the_heartbeat_ends_while_a_reader_hears_nothing_and_goes_on_when_it_does(tmp_path: Path) -> None:
    file = tmp_path / HEARTBEAT
    async with running(tmp_path, {"roster": roster.app.build, "consent": consent.app.build}) as system:
        health = Health(system.instance.services["roster"], silent_limit_s=_LIMIT_S)
        beating = asyncio.create_task(beat(health, tmp_path, every_s=0.1))
        await _until(file.exists)
        assert "readers" not in await health.troubles()
        with frozen(system.broker.pid):
            await _until(lambda: bool(health.silent()))
            await asyncio.sleep(0.2)  # one that was being written is written
            last = file.read_text()
            assert "consents has heard nothing for" in (await health.troubles())["readers"]
            await asyncio.sleep(0.5)
            assert file.read_text() == last
        await _until(lambda: file.read_text() != last)
        assert health.silent() == {}
        beating.cancel()
