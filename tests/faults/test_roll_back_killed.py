"""`kill -9` between the rows and the keys of a roll-back: the next start destroys the keys, and says only then that it is done."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from contracts import roster
from roster.testing import child, csv_of, klass, parent, zip_of
from tests import record
from tests.load import check_running, check_stopped
from tests.school import SCHOOL, START
from tests.test_erasure import files_with, sealed, wrapped_key
from vekha.client import Client, Target, connected
from vekha.failures import Failure
from vekha.folder import DataFolder
from vekha.importing import hand_in
from vekha.testing import running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

PUPILS = [{**child(1), **parent(1)}, {**child(2), **parent(2)}]


async def imported(client: Client, name: str, content: bytes) -> str:
    return (await hand_in(client, SCHOOL, name, content, on_progress=lambda done, total: None)).job


async def rolled_back(client: Client, job: str) -> roster.RollBackStatus:
    return (await client.ask(roster.ROLL_BACK_IMPORT, roster.RollBackImport(school=SCHOOL, import_id=job))).reply


@pytest.mark.fault("kill -9 between the rows and the keys of a roll-back")
@pytest.mark.parametrize("point", ["rollback.after-rows", "rollback.after-keys"])
async def test_a_roll_back_that_was_cut_off_leaves_no_key_after_the_restart(tmp_path: Path, point: str) -> None:
    data = tmp_path / "data"
    with running(data, "--manual-clock", START, environment={"VEKHA_FAULT": point}) as up:
        async with connected(Target(DataFolder(data))) as client:
            await client.ask(roster.OPEN_SCHOOL, roster.OpenSchool(school=SCHOOL, name="Школа", municipality="mytishchi"))
            await imported(client, "classes.zip", zip_of(classes=[klass(pupils="2")]))
            job = await imported(client, "pupils.csv", csv_of(PUPILS))
            query = roster.PeopleQuery.model_validate({"school": SCHOOL, "kind": "pupil"})
            people = (await client.ask(roster.PEOPLE, query, up_to_date=True)).reply.people
            kept = {person: (wrapped_key(data, person), sealed(data, person)) for person in people}
            assert len(kept) == 2
            assert all(key is not None and box is not None for key, box in kept.values())
            with suppress(Failure):  # it may die before it can answer
                await rolled_back(client, job)
            assert await asyncio.to_thread(up.process.wait, 60) == -signal.SIGKILL
    assert [sealed(data, person) for person in people] == [None, None]
    assert [wrapped_key(data, person) is None for person in people] == [point == "rollback.after-keys"] * 2
    with running(data) as up:
        async with connected(Target(DataFolder(data))) as client:
            status = await rolled_back(client, job)
            while status.state == "running":
                await asyncio.sleep(0.05)
                status = await rolled_back(client, job)
            assert status.state == "done"
            assert [wrapped_key(data, person) for person in people] == [None, None]
            await check_running(client, data)
        assert up.end() == 0
    assert files_with(data, *(one for both in kept.values() for one in both if one is not None)) == []
    told = [event.type for event in record.events(record.logs(data)["roster"])]
    assert told.count("roster.import-rolled-back.v1") == 1
    check_stopped(data, tmp_path)
