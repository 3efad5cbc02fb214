"""A running `vekha up` that the tests share, and the command line inside this process, which starts quicker than a program does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from vekha.main import main
from vekha.testing import Outcome, Up, Vekha, running

START = "2015-08-17T09:00:00+03:00"


@pytest.fixture
def vekha(capfd: pytest.CaptureFixture[str]) -> Vekha:
    """Runs a command inside this process."""

    def run(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return run


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies the data folder of an instance that is stopped, to be damaged."""

    def run(data: Path) -> Path:
        return Path(shutil.copytree(data, tmp_path / "copy"))

    return run


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Generator[Up]:
    """An instance on a manual clock that all tests share: each opens schools of its own and leaves the clock where it is."""
    with running(tmp_path_factory.mktemp("shared") / "data", "--manual-clock", START) as up:
        yield up


@pytest.fixture
def ask(vekha: Vekha, instance: Up) -> Vekha:
    """Runs a command against the shared instance, with --json."""

    def run(*arguments: str | Path) -> Outcome:
        return vekha(*arguments, "--data", instance.data, "--json")

    return run


@pytest.fixture
def open_school(ask: Vekha) -> Callable[[str], str]:
    """Opens a school in the shared instance and answers its id."""

    def run(school: str) -> str:
        body = json.dumps({"school": school, "name": "Школа № 7", "municipality": "mytishchi"})
        assert ask("call", "roster.open-school", body).code == 0
        return school

    return run
