"""`kill -9` of a whole `vekha up` at any moment (DESIGN 2.1–2.4): nothing acknowledged is lost, nothing happens twice, all copies agree."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from contracts import operations, roster
from contracts.roster import EntryAnnulled, RosterImportCompleted
from roster.files import read_roster
from tests import record
from tests.conftest import Lived
from tests.load import Load, check_running, check_stopped
from tests.school import SCHOOL, START
from tests.survival import Survival, begin_import, client_of, import_finished, processes_of, until
from vekha.client import Client
from vekha.failures import Exit, Failure
from vekha.folder import DataFolder
from vekha.story import samples
from vekha.testing import BINARY, Up, Vekha, running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

POINTS = [
    "log.before-commit",
    "log.after-commit",
    "relay.before-publish",
    "relay.after-publish",
    "projection.before-checkpoint",
    "projection.after-checkpoint",
]


@pytest.mark.fault("kill -9 of everything, around a commit, a publish or a checkpoint")
@pytest.mark.parametrize("arrival", [7, 15])  # five of the commits are made by a start, one a service
@pytest.mark.parametrize("point", POINTS)
async def test_after_a_death_at_a_named_point_everything_acknowledged_is_there_once(
    lived: Lived, tmp_path: Path, survival: Survival, point: str, arrival: int
) -> None:
    data = lived.copy(tmp_path / "data", of_first_day=True)
    with running(data, environment={"VEKHA_FAULT": f"{point}:{arrival}"}) as up:
        async with client_of(data) as client:
            load = await Load.on(client)
            await load.run_until(client, _death(up))
        assert up.process.returncode == -signal.SIGKILL
    await survival.check(data, load)


@pytest.mark.fault("kill -9 of everything, at any moment: in calls, in a start, as the clock moves")
@pytest.mark.parametrize("seed", range(6))
async def test_after_deaths_at_random_moments_everything_acknowledged_is_there_once(
    lived: Lived, tmp_path: Path, survival: Survival, seed: int
) -> None:
    """In the middle of calls, in the middle of the start after that, and while the clock moves from timer to timer."""
    random = Random(seed)
    data = lived.copy(tmp_path / "data", of_first_day=True)

    with running(data) as up:
        async with client_of(data) as client:
            load = await Load.on(client)
            await load.run_until(client, _killed_after(up, random.uniform(0.0, 1.5)))
    load.check(data)

    _kill_while_starting(data, random.uniform(0.3, 3.0))
    load.check(data)

    with running(data) as up:
        async with client_of(data) as client:
            death = _killed_after(up, random.uniform(0.5, 4.0))
            while not death.done():
                acting = asyncio.create_task(_calls_and_a_day(client, load))
                await asyncio.wait([death, acting], return_when=asyncio.FIRST_COMPLETED)
                if death.done():
                    acting.cancel()
                    await asyncio.wait([acting])
                else:
                    await acting
    await survival.check(data, load)


@pytest.mark.fault("kill -9 of the first start")
@pytest.mark.parametrize("delay_s", [0.2, 0.6, 1.0, 1.4, 1.8, 2.2])
def test_a_first_start_that_was_killed_is_made_anew(tmp_path: Path, vekha: Vekha, delay_s: float) -> None:
    data = tmp_path / "data"
    _kill_while_starting(data, delay_s, "--manual-clock", START)
    arguments = () if DataFolder(data).is_made else ("--manual-clock", START)
    with running(data, *arguments) as up:
        assert up.ready["ready"] is True
        assert up.end() == 0
    assert vekha("audit", "verify", "--data", data, "--json").json["ok"] is True
    assert processes_of(data) == []


@pytest.mark.fault("kill -9 twice in an import")
@pytest.mark.parametrize("seed", range(3))
async def test_an_import_that_was_cut_off_twice_enters_everybody_once(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    data = tmp_path / "data"
    with running(data, "--manual-clock", "2015-08-24T10:00:00+03:00") as up:
        async with client_of(data) as client:
            await client.ask(roster.OPEN_SCHOOL, roster.OpenSchool(school=SCHOOL, name="Школа", municipality="mytishchi"))
            await import_finished(client, await begin_import(client, "school-classes.xlsx"))
            job = await begin_import(client, "school-pupils.xlsx")
            await _killed_after(up, random.uniform(0.0, 1.5))
    until(lambda: processes_of(data) == [])
    with running(data) as up:
        await _killed_after(up, random.uniform(0.0, 1.5))
    until(lambda: processes_of(data) == [])
    pupils = read_roster(samples() / "school-pupils.xlsx").pupils
    guardians = {guardian.external_id for pupil in pupils for guardian in pupil.guardians}
    with running(data) as up:
        async with client_of(data) as client:
            done = await import_finished(client, job)
            assert (done.state, done.created, done.rejected) == ("done", len(pupils), ())
            school = (await client.ask(roster.SCHOOL, roster.SchoolQuery(school=SCHOOL))).reply
            assert (school.pupils, school.guardians) == (len(pupils), len(guardians))
            await check_running(client, data)
        assert up.end() == 0
    completed = [event for event in record.events(record.logs(data)["roster"]) if event.type == RosterImportCompleted.type]
    assert len(completed) == 2
    check_stopped(data, tmp_path)


@pytest.mark.fault("kill -9 twice in a roll-back of an import")
@pytest.mark.parametrize("seed", range(3))
async def test_a_roll_back_that_was_cut_off_twice_leaves_nobody_and_the_file_can_be_imported_again(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    data = tmp_path / "data"
    with running(data, "--manual-clock", "2015-08-24T10:00:00+03:00") as up:
        async with client_of(data) as client:
            await client.ask(roster.OPEN_SCHOOL, roster.OpenSchool(school=SCHOOL, name="Школа", municipality="mytishchi"))
            await import_finished(client, await begin_import(client, "school-classes.xlsx"))
            job = await begin_import(client, "school-pupils.xlsx")
            entered = await import_finished(client, job)
            await _roll_back(client, job)
            await _killed_after(up, random.uniform(0.0, 1.5))
    until(lambda: processes_of(data) == [])
    with running(data) as up:
        await _killed_after(up, random.uniform(0.0, 1.5))
    until(lambda: processes_of(data) == [])
    with running(data) as up:
        async with client_of(data) as client:
            status = await _roll_back(client, job)
            while status.state == "running":
                await asyncio.sleep(0.1)
                status = await _roll_back(client, job)
            assert (status.state, status.pupils, status.left_total, status.done) == ("done", entered.created, 0, status.total)
            school = (await client.ask(roster.SCHOOL, roster.SchoolQuery(school=SCHOOL))).reply
            assert (school.pupils, school.guardians) == (0, 0)
            again = await import_finished(client, await begin_import(client, "school-pupils.xlsx"))
            assert (again.state, again.created, again.rejected) == ("done", entered.created, ())
            await check_running(client, data)
        assert up.end() == 0
    told = Counter(event.type for event in record.events(record.logs(data)["roster"]))
    assert (told["roster.import-rolled-back.v1"], told["roster.pupil-enrolled.v1"]) == (1, 2 * entered.created)
    annulled = [event.facts()[1]["event"] for event in record.events(record.logs(data)["roster"]) if event.type == EntryAnnulled.type]
    assert len(annulled) == len(set(annulled))
    check_stopped(data, tmp_path)


async def _roll_back(client: Client, job: str) -> roster.RollBackStatus:
    """Begins it, or tells how far it is."""
    return (await client.ask(roster.ROLL_BACK_IMPORT, roster.RollBackImport(school=SCHOOL, import_id=job))).reply


async def _calls_and_a_day(client: Client, load: Load) -> None:
    await load.run(client, limit=len(load.acknowledged) + 16)
    try:
        await client.ask(operations.ADVANCE_CLOCK, operations.AdvanceClock(days=1), timeout_s=60.0)
    except Failure as failure:
        if failure.exit_code != Exit.UNREACHABLE:
            raise


def _death(up: Up) -> asyncio.Task[int]:
    return asyncio.create_task(asyncio.to_thread(up.process.wait, 120))


def _killed_after(up: Up, delay_s: float) -> asyncio.Task[int]:
    async def kill() -> int:
        await asyncio.sleep(delay_s)
        return await asyncio.to_thread(up.end, signal.SIGKILL)

    return asyncio.create_task(kill())


def _kill_while_starting(data: Path, delay_s: float, *arguments: str) -> None:
    with (data.parent / "killed.log").open("ab") as log:
        process = subprocess.Popen([BINARY, "up", "--data", data, *arguments], stdout=log, stderr=log, start_new_session=True)
    time.sleep(delay_s)
    process.kill()
    process.wait()
    until(lambda: processes_of(data) == [])
