"""`kill -9`, again and again, while those leave who are missing from a list that is whole: in the end the same have left, each once."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from contracts import roster
from roster.testing import Cells, child, klass, member, zip_of
from tests import record
from tests.load import check_running, check_stopped
from tests.school import SCHOOL, START
from vekha.client import Client, Target, connected
from vekha.failures import Failure
from vekha.folder import DataFolder
from vekha.importing import follow, hand_in
from vekha.testing import running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400), pytest.mark.fault("kill -9 while those leave whom a whole list does not name")]

_HERE, _MISSING = 190, 120
_DEATHS = (
    ("leaving.before-commit", 0),
    ("leaving.after-commit", 50),
    ("leaving.before-commit", 50),
    ("leaving.after-commit:2", 100),
    ("leaving.after-commit:3", _MISSING),
)
"""Where the instance dies, one time after another, and how many have left by then: fifty leave in one command."""


def pupil(number: int) -> Cells:
    """A pupil of 5А, 5Б or 5В, with a name of nobody else's."""
    name = f"Пётр{chr(ord('а') + number % 26)}{'а' * (number // 26)}"
    return child(number, first_name=name, Класс=f"5{'АБВ'[min(number * 2 // _HERE, 2)]}")


def school(numbers: Sequence[int], *staff: Cells) -> bytes:
    classes = [klass(letter, pupils="95") for letter in "АБВ"]
    return zip_of(classes=classes, staff=staff, pupils=[pupil(number) for number in numbers])


FIRST = school(range(_HERE), member(), member("18", "Смирнова"))
WHOLE = school([*range(_MISSING - 1, _HERE), *range(200, 205)], member())
"""Of the pupils 119 are missing, and of the staff one; five pupils are new."""


def _unseen(done: int, total: int) -> None: ...


async def enter(client: Client) -> None:
    await client.ask(roster.OPEN_SCHOOL, roster.OpenSchool(school=SCHOOL, name="Школа", municipality="mytishchi"))
    status = await hand_in(client, SCHOOL, "first.zip", FIRST, on_progress=_unseen)
    assert status.rejected_rows == 0, status.rejected


async def hand_in_the_whole_list(client: Client) -> roster.ImportStatus:
    return await hand_in(client, SCHOOL, "whole.zip", WHOLE, full_list=True, missing=_MISSING, on_progress=_unseen)


async def here(client: Client) -> dict[str, set[str]]:
    """Who is here, by kind."""
    found: dict[str, set[str]] = {}
    for kind in ("pupil", "staff"):
        query = roster.PeopleQuery.model_validate({"school": SCHOOL, "kind": kind})
        found[kind] = set((await client.ask(roster.PEOPLE, query, up_to_date=True)).reply.people)
    return found


def gone(data: Path) -> list[str]:
    """Who has left, as the log of an instance that has stopped says."""
    told = (event.facts() for event in record.events(record.logs(data)["roster"]))
    return [fact["person"] for kind, fact in told if kind in ("roster.pupil-left.v1", "roster.staff-dismissed.v1")]


async def test_a_whole_list_whose_import_is_cut_off_again_and_again_sends_the_same_people_away_once(tmp_path: Path) -> None:
    data, undisturbed = tmp_path / "data", tmp_path / "undisturbed"
    with running(data, "--manual-clock", START) as up:
        async with connected(Target(DataFolder(data))) as client:
            await enter(client)
            before = await here(client)
        assert up.end() == 0
    assert [len(people) for people in before.values()] == [_HERE, 2]
    shutil.copytree(data, undisturbed)
    with running(undisturbed):
        async with connected(Target(DataFolder(undisturbed))) as client:
            assert (await hand_in_the_whole_list(client)).leaving == _MISSING

    for number, (point, left) in enumerate(_DEATHS):
        # The import is taken up at the start, so the later ones may die before they say that they are ready.
        with suppress(RuntimeError) if number else nullcontext(), running(data, environment={"VEKHA_FAULT": point}) as up:
            if number == 0:
                async with connected(Target(DataFolder(data))) as client:
                    with suppress(Failure):  # it dies before it can answer
                        await hand_in_the_whole_list(client)
            assert await asyncio.to_thread(up.process.wait, 60) == -signal.SIGKILL
        assert len(gone(data)) == left, point

    with running(data) as up:
        async with connected(Target(DataFolder(data))) as client:
            newest = (await client.ask(roster.IMPORTS, roster.ImportsQuery(school=SCHOOL))).reply.imports[0]
            status = (await client.ask(roster.IMPORT_STATUS, roster.ImportJob(school=SCHOOL, job=newest.import_id))).reply
            status = await follow(client, SCHOOL, status, on_progress=_unseen)
            assert (status.state, status.created, status.leaving, status.rejected_rows) == ("done", 5, _MISSING, 0), status.rejected
            after = await here(client)
            await check_running(client, data)
            again = await hand_in_the_whole_list(client)
            assert (again.created, again.updated, again.leaving) == (0, 0, 0)
        assert up.end() == 0
    assert sorted(gone(data)) == sorted(gone(undisturbed))
    assert len(gone(data)) == _MISSING
    assert before["staff"] - after["staff"] <= set(gone(data))
    assert before["pupil"] - after["pupil"] == set(gone(data)) & before["pupil"]
    assert [len(people) for people in after.values()] == [_HERE - _MISSING + 1 + 5, 1]
    told = [event.type for event in record.events(record.logs(data)["roster"])]
    assert told.count("roster.pupil-enrolled.v1") == _HERE + 5
    check_stopped(data, tmp_path)
