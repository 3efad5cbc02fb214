"""`kill -9` in the middle of an erasure: the next start completes it, and nothing is left of the person (DESIGN 2.7)."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from contracts import erasure, roster
from contracts.erasure import ErasureGround
from tests.conftest import Lived
from tests.load import check_running, check_stopped
from tests.school import SCHOOL
from tests.test_erasure import enter, files_with, order, reached, refusal, sealed, traces, wrapped_key
from vekha.client import Target, connected
from vekha.failures import Failure
from vekha.folder import DataFolder
from vekha.testing import running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


@pytest.mark.fault("kill -9 in an erasure")
@pytest.mark.parametrize("point", ["erasure.after-rows:1", "erasure.after-rows:3", "erasure.after-rows:5", "erasure.before-rows:1"])
async def test_an_erasure_that_was_cut_off_is_completed_after_the_restart(lived: Lived, tmp_path: Path, point: str) -> None:
    data = lived.copy(tmp_path / "data", of_first_day=True)
    with running(data) as up:
        async with connected(Target(DataFolder(data))) as client:
            person, _ = await enter(client)
        assert up.end() == 0
    key, box = wrapped_key(data, person), sealed(data, person)
    assert key is not None
    assert box is not None
    with running(data, environment={"VEKHA_FAULT": point}) as up:
        async with connected(Target(DataFolder(data))) as client:
            with suppress(Failure):  # it may die before it can answer
                await order(client, person)
            assert await asyncio.to_thread(up.process.wait, 60) == -signal.SIGKILL
    with running(data) as up:
        async with connected(Target(DataFolder(data))) as client:
            completed = await reached(client, person, "completed")
            assert (completed.ground, len(completed.answers)) == (ErasureGround.COURT_ORDER, 5)
            assert await refusal(client, roster.PERSON, roster.PersonQuery(school=SCHOOL, person=person)) == "person.erased"
            act = await client.ask(erasure.ACT_OF_DESTRUCTION, erasure.ErasureQuery(school=SCHOOL, person=person), timeout_s=60.0)
            assert len(act.reply.extract) == 5
            await check_running(client, data)
        assert up.end() == 0
    assert files_with(data, key, box, *traces()) == []
    check_stopped(data, tmp_path)
