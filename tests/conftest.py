"""What the system's tests share: the first weeks of a small school, lived through once, with every command that was made."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from contracts.call import Call, Reply, Request
from contracts.plan import EXPLAIN, STATUS, ExplainRequest, StatusRequest
from eventkit.calls import Answer
from tests import school
from tests.school import SCHOOL, START, P, Q
from vekha.client import Client, Target, connected
from vekha.folder import DataFolder
from vekha.launcher import launched
from vekha.main import main
from vekha.testing import Outcome, Vekha

pytest.register_assert_rewrite("tests.load", "tests.survival")  # what it asserts is explained as in a test

DAYS = [date(2015, 8, day) for day in (17, 19, 21, 24, 26, 28, 31)] + [date(2015, 9, day) for day in (1, 3, 8, 9)]


@dataclass(frozen=True)
class Made:
    """A command as it was made, and how it was answered."""

    call: Call[Any, Any]
    request: Request
    as_: str | None
    command_id: str
    answer: Answer[Reply]


@dataclass
class Lived:
    """An instance that has stopped: `data` after all the weeks, `first_day` as its folder was copied on the first evening."""

    data: Path
    first_day: Path
    commands: list[Made] = field(default_factory=list[Made])
    boards: dict[date, str] = field(default_factory=dict[date, str])
    explanations: list[str] = field(default_factory=list[str])

    def copy(self, to: Path, *, of_first_day: bool = False) -> Path:
        """A copy to be damaged, or to go on with."""
        return Path(shutil.copytree(self.first_day if of_first_day else self.data, to))


class Recorder:
    """Makes calls, and keeps the commands among them. Each command has an id that can be told from its number."""

    def __init__(self, client: Client, commands: list[Made]) -> None:
        self._client = client
        self._commands = commands

    async def ask(self, call: Call[Q, P], request: Q, *, as_: str | None = None, up_to_date: bool = False) -> Answer[P]:
        command_id = f"act-{len(self._commands) + 1}" if call.command else None
        answer = await self._client.ask(call, request, as_=as_, command_id=command_id, up_to_date=up_to_date)
        if command_id is not None:
            self._commands.append(Made(call, request, as_, command_id, Answer(answer.reply, answer.at, command_id)))
        return answer


@asynccontextmanager
async def instance(data: Path) -> AsyncGenerator[Client]:
    """All of `vekha up` inside this process, and a client of it."""
    folder = DataFolder(data)
    clock_at = None if folder.is_made else datetime.fromisoformat(START)
    async with launched(folder, clock_at=clock_at), connected(Target(folder)) as client:
        yield client


@pytest.fixture
def vekha(capsys: pytest.CaptureFixture[str]) -> Iterator[Vekha]:
    """Runs a command inside this process, which is quicker than a program."""

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    yield run
    structlog.reset_defaults()  # the command has set the logs to go where only this test can see them


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """The weeks of a small school. Whoever changes anything takes a copy."""
    folder = tmp_path_factory.mktemp("lived")
    result = Lived(folder / "data", folder / "first-day")
    asyncio.run(_live(result))
    return result


async def _live(result: Lived) -> None:
    async with instance(result.data) as client:
        known = await school.found(Recorder(client, result.commands).ask)
    shutil.copytree(result.data, result.first_day)
    async with instance(result.data) as client:
        known.ask = Recorder(client, result.commands).ask
        await school.weeks(known)
        result.boards = await boards(client)
        for step in range(1, 22):
            explained = await client.ask(EXPLAIN, ExplainRequest(school=SCHOOL, step=step))
            result.explanations.append(explained.reply.model_dump_json())


async def boards(client: Client) -> dict[date, str]:
    """The school's board on several days, as JSON."""
    shown: dict[date, str] = {}
    for day in DAYS:
        shown[day] = (await client.ask(STATUS, StatusRequest(school=SCHOOL, as_of=day))).reply.model_dump_json()
    return shown
