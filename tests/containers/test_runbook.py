"""Failures that are brought about on purpose, and mended by typing what the runbook has for them."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.containers.stack import SERVICES, Stack, all_are_there, require_docker, while_recording
from tests.runbook import sections
from vekha import story

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

FOUNDATIONS = ("nats", "postgres")

# ---- a poisoned event -------------------------------------------------------------------------------------------------------


@contextmanager
def _poisoned(stack: Stack, school: str) -> Generator[None]:
    """The tracker's board cannot take in what is recorded of a school."""

    def sql(statement: str) -> None:
        stack.compose("exec", "--no-TTY", "postgres", "psql", "-U", "postgres", "-d", "vekha", "-v", "ON_ERROR_STOP=1", "-c", statement)

    sql(f"ALTER TABLE plan.fact ADD CONSTRAINT poison CHECK (school <> '{school}') NOT VALID")
    try:
        yield
    finally:
        sql("ALTER TABLE plan.fact DROP CONSTRAINT poison")


def _open(stack: Stack, school: str) -> None:
    stack.call("roster.open-school", {"school": school, "name": school, "municipality": "mytishchi"})
    hired = {"details": {"last_name": "Новикова", "first_name": "Нина"}, "position": "teacher", "hired_on": "2015-09-01"}
    stack.call("roster.hire-staff", {"school": school, **hired})


def _parked(stack: Stack, school: str) -> list[int]:
    """The positions of roster's events of a school that the board has put aside."""
    told = stack.vekha("parked", "list", "--school", school, "--json").json["parked"]
    return [row["position"] for row in told if (row["reader"], row["source"]) == ("board", "roster")]


def test_a_poisoned_event_is_looked_at_retried_and_skipped(school: Stack) -> None:
    listing, showing, retrying, skipping = sections()["a-poisoned-event"]
    with _poisoned(school, "school-poisoned"):
        _open(school, "school-poisoned")
        school.call("plan.status", {"school": story.SCHOOL})
        first, *_ = _parked(school, "school-poisoned")
        said = school.typed([listing, showing], {"1234": str(first)})
        assert "school-poisoned" in said
        assert "board" in said
    school.typed([retrying])
    assert _parked(school, "school-poisoned") == []
    with _poisoned(school, "school-given-up"):
        _open(school, "school-given-up")
        while given_up := _parked(school, "school-given-up"):
            school.typed([skipping], {"1234": str(given_up[0])})
    assert "The record verifies." in school.compose("run", "--rm", "vekha", "audit", "verify").stdout


# ---- a forged event, as far as it is looked for ------------------------------------------------------------------------------


def test_what_is_typed_where_an_event_may_be_forged_says_of_a_sound_record_that_it_is_sound(school: Stack, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)  # another user writes there
    lines = [line for line in sections()["a-forged-event"] if line.startswith("docker compose run")]
    said = school.typed(lines, {"$PWD/archives": str(out)})
    assert len(lines) == 6
    assert "The record verifies." in said
    assert json.loads((out / "proof.json").read_text())


# ---- a service that hangs ----------------------------------------------------------------------------------------------------


def test_a_service_that_runs_and_answers_nobody_is_brought_back_by_what_is_typed_for_it(school: Stack) -> None:
    subprocess.run(["kill", "-STOP", str(school.pid("roster"))], check=True)
    assert school.vekha("call", "roster.head", "{}", check=False).code == 5
    restarting = next(line for line in sections()["servicedown"] if "restart" in line)
    school.typed([restarting])
    school.wait_until_healthy(*SERVICES)
    school.call("roster.head", {})


# ---- a full disk -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Stack]:
    """A stack whose bus and database have little room."""
    require_docker()
    made = Stack("vekha-small", tmp_path, files=("docker-compose.yml", "tests/containers/small-disk.yml"))
    made.make_secrets()
    with made.running():
        yield made


@contextmanager
def _full(stack: Stack) -> Generator[None]:
    """Both disks hold not one byte more while the block lasts, and whoever restarts finds the disk as it was."""
    volumes = [f"--volume={stack.name}_{volume}:/{volume}" for volume in ("bus", "database")]
    begun = ["docker", "run", "--detach", "--rm", "--user=0:0", *volumes, "--entrypoint=sleep", "nats:2.15-alpine", "900"]
    filler = subprocess.run(begun, capture_output=True, text=True, check=True).stdout.strip()

    def inside(script: str) -> None:
        subprocess.run(["docker", "exec", filler, "sh", "-c", script], check=True, capture_output=True)

    try:
        for disk in ("/bus", "/database"):
            inside(f"for size in 1M 4k 1; do dd if=/dev/zero bs=$size >>{disk}/ballast 2>/dev/null; done; ! (echo x >{disk}/more)")
        yield
        inside("rm /bus/ballast /bus/more /database/ballast /database/more")
        stack.typed(sections()["a-full-disk"])
        stack.wait_until_healthy(*SERVICES, *FOUNDATIONS)
    finally:
        subprocess.run(["docker", "rm", "--force", filler], check=True, capture_output=True)


def test_with_room_again_a_disk_that_was_full_has_cost_nothing_acknowledged(small: Stack) -> None:
    def fill() -> None:
        with _full(small):
            threading.Event().wait(20)

    acknowledged = while_recording(small, fill)
    all_are_there(small, acknowledged)
    assert {row["reply"]["quarantined"] for row in (small.call(f"{name}.health", {}) for name in ("roster", "plan"))} == {None}
    small.call("roster.open-school", {"school": "school-after", "name": "Школа", "municipality": "mytishchi"})
    assert "The record verifies." in small.compose("run", "--rm", "vekha", "audit", "verify").stdout
