"""The stack that the tests share, and the school that has lived on it: both are slow to make."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.containers.stack import Stack, require_docker
from vekha import story

_SETTINGS = {"VEKHA_PRODUCTION": "0", "VEKHA_MANUAL_CLOCK": story.START, "VEKHA_ACTIVATION_PAGE": "https://school.example/activate"}


@pytest.fixture(scope="session", autouse=True)
def old_builds_go() -> Iterator[None]:
    """Each build takes its name from the one before, which would stay for good, and fill the disk."""
    yield
    if shutil.which("docker"):
        subprocess.run(["docker", "image", "prune", "--force", "--filter", "label=vekha.service"], capture_output=True, check=False)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require_docker()
    made = Stack("vekha-test", tmp_path_factory.mktemp("stack"), settings=_SETTINGS)
    made.make_secrets()
    with made.running() as took_s:
        print(f"healthy after {took_s:.0f} s")
        yield made


@pytest.fixture(scope="session")
def school(stack: Stack) -> Stack:
    """The stack on which the demo's school has lived through its weeks."""
    stack.vekha("demo", timeout_s=900)
    return stack
