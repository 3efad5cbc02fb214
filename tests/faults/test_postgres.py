"""PostgreSQL under five services apart: killed, frozen, or one of its processes killed, in the middle of calls."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from contracts import roster
from contracts.roster import RosterImportCompleted
from eventkit.testing_servers import PostgresServer
from roster.files import read_roster
from tests import record
from tests.apart import Apart, running_apart, survives
from tests.load import Load
from tests.school import SCHOOL
from tests.survival import Survival, answered, begin_import, frozen, import_finished
from vekha.client import Client
from vekha.story import samples

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

_UNANSWERED = {"database.unavailable", "call.outcome-unknown", "service.unreachable"}
_DOWN_S = 1.5


@pytest.mark.fault("kill -9 of PostgreSQL's postmaster, in the middle of calls")
@pytest.mark.parametrize("seed", range(2))
async def test_a_database_server_that_was_killed_costs_no_command(apart: Apart, survival: Survival, seed: int) -> None:
    random = Random(seed)

    async def fault(load: Load) -> None:
        await answered(load, random.randint(1, 60))
        apart.postgres.kill()
        await asyncio.sleep(random.uniform(0.0, _DOWN_S))
        await asyncio.to_thread(apart.postgres.start)

    assert "database.unavailable" in await survives(apart, survival, fault, _UNANSWERED)


@pytest.mark.fault("kill -9 of one of PostgreSQL's backends, in the middle of calls")
@pytest.mark.parametrize("seed", range(2))
async def test_a_backend_that_was_killed_takes_all_others_with_it_and_costs_no_command(apart: Apart, survival: Survival, seed: int) -> None:
    random = Random(seed)

    async def fault(load: Load) -> None:
        await answered(load, random.randint(1, 60))
        os.kill(random.choice(await asyncio.to_thread(lambda: apart.backends)), signal.SIGKILL)

    await survives(apart, survival, fault, _UNANSWERED)


@pytest.mark.fault("SIGSTOP of PostgreSQL, in the middle of calls")
@pytest.mark.parametrize("frozen_s", [0.5, 7.0])  # calls wait 5 s here
async def test_a_database_server_that_was_frozen_costs_no_command(apart: Apart, survival: Survival, frozen_s: float) -> None:
    random = Random(frozen_s)

    async def fault(load: Load) -> None:
        await answered(load, random.randint(1, 60))
        with frozen(*apart.postgres.pids):
            await asyncio.sleep(frozen_s)

    await survives(apart, survival, fault, _UNANSWERED)


@pytest.mark.fault("kill -9 of PostgreSQL's postmaster, in the middle of an import and of its roll-back")
@pytest.mark.parametrize("seed", range(2))
async def test_an_import_and_its_roll_back_go_on_by_themselves_when_the_database_server_answers_again(
    tmp_path: Path, own_postgres: PostgresServer, seed: int
) -> None:
    random = Random(seed)

    async def twice_away() -> None:
        for _ in range(2):
            await asyncio.sleep(random.uniform(0.1, 0.8))
            own_postgres.kill()
            await asyncio.sleep(random.uniform(0.0, _DOWN_S))
            await asyncio.to_thread(own_postgres.start)

    clock = {"VEKHA_MANUAL_CLOCK": "2015-08-24T10:00:00+03:00"}
    async with running_apart(tmp_path, own_postgres, clock) as apart, apart.client() as client:
        await client.ask(roster.OPEN_SCHOOL, roster.OpenSchool(school=SCHOOL, name="Школа", municipality="mytishchi"))
        assert (await import_finished(client, await begin_import(client, "school-classes.xlsx"))).state == "done"
        job = await begin_import(client, "school-pupils.xlsx")
        away = asyncio.create_task(twice_away())
        done = await import_finished(client, job, _UNANSWERED)
        await away
        assert (done.state, done.created, done.rejected) == ("done", len(read_roster(samples() / "school-pupils.xlsx").pupils), ())
        assert (await client.ask(roster.SCHOOL, roster.SchoolQuery(school=SCHOOL))).reply.pupils == done.created
        back = roster.RollBackImport(school=SCHOOL, import_id=job)
        await client.ask(roster.ROLL_BACK_IMPORT, back)
        await twice_away()
        status = await _rolled_back(client, back)
        assert (status.state, status.pupils, status.left_total) == ("done", done.created, 0)
        await apart.verified(client)
        told = Counter(event.type for event in record.events(record.logs(apart)["roster"]))
        assert (told[RosterImportCompleted.type], told["roster.pupil-enrolled.v1"]) == (2, done.created)
        assert all(process.poll() is None for process in apart.processes.values())  # nobody was started again
        apart.end()


async def _rolled_back(client: Client, back: roster.RollBackImport) -> roster.RollBackStatus:
    while True:
        status = (await client.ask(roster.ROLL_BACK_IMPORT, back)).reply
        if status.state != "running":
            return status
        await asyncio.sleep(0.1)
