"""The workspace keeps its promises: nothing can be uploaded by accident, and an installation depends on the lock alone."""

import re
import tomllib
from pathlib import Path

import pytest

from contracts import EVENTS

ROOT = Path(__file__).parent.parent
PROJECTS = sorted([*ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")])
LOCK = (ROOT / "requirements.lock").read_text()


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.parent.name)
def test_a_distribution_bears_our_name_and_cannot_be_uploaded(project: Path):
    metadata = tomllib.loads(project.read_text())["project"]

    assert re.fullmatch(r"vekha(-[a-z-]+)?", metadata["name"])
    assert "Private :: Do Not Upload" in metadata["classifiers"]


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.parent.name)
def test_a_package_carries_its_types(project: Path):
    packages = [path.parent for path in project.parent.glob("src/*/__init__.py")]

    assert len(packages) == 1
    assert (packages[0] / "py.typed").exists()


def test_the_lock_names_no_host_and_none_of_our_own_distributions():
    assert "://" not in LOCK
    assert "-index" not in LOCK
    assert "vekha" not in LOCK


def test_every_line_of_the_lock_is_pinned_and_hashed():
    requirements = re.split(r"\n(?=\S)", LOCK.strip())

    assert len(requirements) > len(PROJECTS)
    for requirement in requirements:
        assert re.match(r"[a-z0-9-]+==\S+", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


def test_no_program_waits_for_an_event_in_a_version_that_is_read_as_a_newer_one():
    """Whoever reads an event gets its newest version: a name of an older one in a reader's code would never be met."""
    older = {name for name in EVENTS if newest_version(name) != name}
    assert older
    for path in (*ROOT.glob("services/*/src/**/*.py"), *ROOT.glob("libs/*/src/**/*.py"), *ROOT.glob("bench/*.py")):
        if path.parent.name != "contracts":
            assert {name for name in older if f'"{name}"' in path.read_text(encoding="utf-8")} == set(), path


def newest_version(name: str) -> str:
    event = name.rpartition(".v")[0]
    return max((known for known in EVENTS if known.rpartition(".v")[0] == event), key=lambda known: int(known.rpartition(".v")[2]))
