"""`kill -9` in the middle of a rebuild and of a switch: the next start goes on, and one whole version is live (DESIGN 2.4)."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from contracts.operations import Nothing
from contracts.rebuilding import PROJECTIONS, REBUILD_PROJECTION, SWITCH_PROJECTION, RebuildProjection, SwitchProjection, VersionShown
from plan_tracker.projections import BoardProjection
from tests import record
from tests.conftest import Lived, boards
from tests.load import check_running, check_stopped
from vekha.client import Client, Target, connected
from vekha.failures import Failure
from vekha.folder import DataFolder
from vekha.testing import running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


@pytest.mark.fault("kill -9 in the middle of a rebuild and of a switch")
@pytest.mark.parametrize(
    ("point", "arrival"),
    [
        ("rebuild.after-batch", 1),
        ("rebuild.after-batch", 3),
        ("projection.before-checkpoint", 2),
        ("rebuild.before-switch", 1),
        ("rebuild.after-switch", 1),
    ],
)
async def test_a_rebuild_that_was_cut_off_goes_on_from_where_it_was_and_one_whole_version_is_live(
    lived: Lived, tmp_path: Path, point: str, arrival: int
) -> None:
    data = lived.copy(tmp_path / "data")
    with running(data, environment={"VEKHA_FAULT": f"{point}:{arrival}"}) as up:
        async with connected(Target(DataFolder(data))) as client:
            with suppress(Failure):  # it dies before all is answered
                await _rebuild_and_switch(client)
            assert await asyncio.to_thread(up.process.wait, 60) == -signal.SIGKILL
    kept = record.reached(data, "plan", "board-v2")
    with running(data) as up:
        async with connected(Target(DataFolder(data))) as client:
            if point == "rebuild.after-batch":
                assert sum(kept.values()) > 0
                assert (await _version(client)).done >= sum(kept.values())
            await _rebuild_and_switch(client)
            assert (await _version(client)).state == "live"
            assert await boards(client) == lived.boards
            await check_running(client, data)
        assert up.end() == 0
    board = BoardProjection()
    assert record.projected(data, "plan", board) == record.projected(lived.data, "plan", board)
    check_stopped(data, tmp_path)


async def _rebuild_and_switch(client: Client) -> None:
    """As an operator does who does not know how far it was: whatever is done already is not done again."""
    if (await _versions(client)).get(2) is None:
        await client.ask(REBUILD_PROJECTION["plan"], RebuildProjection(projection="board"))
    await _ended(client)
    await client.ask(SWITCH_PROJECTION["plan"], SwitchProjection(projection="board", version=2))
    await _ended(client)


async def _ended(client: Client) -> None:
    while (await _version(client)).state in ("building", "switching"):  # noqa: ASYNC110 - it looks from outside, as an operator does
        await asyncio.sleep(0.05)


async def _version(client: Client) -> VersionShown:
    return (await _versions(client))[2]


async def _versions(client: Client) -> dict[int, VersionShown]:
    shown = (await client.ask(PROJECTIONS["plan"], Nothing())).reply.projections
    return {version.version: version for one in shown if one.name == "board" for version in one.versions}
