"""Invented schools live through their plans by real calls, each as it is, and all of them fold to the same boards again."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from contracts import operations
from contracts.plan import EXPLAIN, STATUS, Board, ExplainRequest, StatusRequest, StepRow
from eventkit.database import Database, sqlite_url
from plan_tracker.projections import BoardProjection, digest
from tests import approval, record
from tests.conftest import instance
from vekha.client import Client
from vekha.folder import DataFolder
from vekha.records import reading
from vekha.simulation import START, Behaviour, Simulation


async def nobody(*_: object, **__: object) -> None:
    raise AssertionError("nothing is asked while the days are laid out")


def laid_out(seed: int) -> list[list[tuple[date, list[str]]]]:
    simulation = Simulation(nobody, 8, seed=seed)  # pyright: ignore[reportArgumentType] -- it is never called
    return [[(day, [act.__name__ for act in acts]) for day, acts in sorted(school.acts.items())] for school in simulation.schools]


def test_the_same_seed_lays_out_the_same_days_and_another_one_others() -> None:
    assert laid_out(1) == laid_out(1)
    assert laid_out(1) != laid_out(2)


def test_nothing_is_done_on_a_weekend() -> None:
    assert all(day.weekday() < 5 for school in laid_out(3) for day, _ in school)


async def play(client: Client, simulation: Simulation) -> date:
    """Plays all days, and two weeks more in which nothing is done."""
    day, last = START, simulation.last_day + timedelta(14)
    while day <= last:
        await client.ask(operations.SET_CLOCK, operations.SetClock(to=f"{day}T10:00:00+03:00"), timeout_s=60.0)
        await simulation.play_through(day)
        day += timedelta(1)
    return last


async def rows(client: Client, school: str) -> dict[int, StepRow]:
    board = (await client.ask(STATUS, StatusRequest(school=school), up_to_date=True)).reply
    return {row.step: row for row in board.steps if isinstance(row, StepRow)}


async def reopened(client: Client, school: str) -> set[int]:
    """The steps that were ever done and undone."""
    return {
        step
        for step in range(1, 22)
        for entry in (await client.ask(EXPLAIN, ExplainRequest(school=school, step=step))).reply.timeline
        if entry.change == "reopened"
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulated") / "data"


async def test_each_school_lives_as_it_is(data: Path) -> None:
    async with instance(data) as client:
        simulation = Simulation(client.ask, len(Behaviour), seed=7)
        await play(client, simulation)
        named = {school.behaviour: school.name for school in simulation.schools}
        boards = {behaviour: await rows(client, name) for behaviour, name in named.items()}
        of_plan = range(1, 20)
        assert {boards[Behaviour.FAST][step].state for step in of_plan} == {"done"}
        assert {boards[Behaviour.FAST][step].deadline for step in range(4, 18)} == {"done_on_time"}
        assert {boards[Behaviour.SLOW][step].state for step in of_plan} == {"done"}
        assert "done_late" in {boards[Behaviour.SLOW][step].deadline for step in of_plan}
        assert "overdue" in {boards[Behaviour.STUCK][step].deadline for step in of_plan}
        assert "not_started" in {boards[Behaviour.STUCK][step].state for step in of_plan}
        assert {4, 5, 6, 11} <= await reopened(client, named[Behaviour.CHAOTIC])
        region = (await client.ask(STATUS, StatusRequest(), up_to_date=True)).reply
        assert isinstance(region, Board)
        assert region.schools == len(Behaviour)


def test_their_boards_are_the_approved_ones(data: Path) -> None:
    approval.check(data, [f"school-sim-{n}" for n in range(1, len(Behaviour) + 1)])


def test_what_they_lived_through_folds_to_the_same_rows_again(data: Path, tmp_path: Path) -> None:
    rebuilt = record.rebuilt(BoardProjection(), record.logs(data), tmp_path / "rebuilt.db")
    database = Database(sqlite_url(tmp_path / "rebuilt.db"), "plan")
    try:
        with reading(DataFolder(data), "plan") as live, database.reading() as anew:
            assert record.rows(live, BoardProjection()) == rebuilt
            assert digest(live) == digest(anew)
    finally:
        database.close()
