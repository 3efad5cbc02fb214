"""The workspace keeps its promises: nothing can be uploaded by accident, and an installation depends on the lock alone."""

import re
import tomllib
from pathlib import Path

import pytest

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
