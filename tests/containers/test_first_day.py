"""The first day's page, typed as it stands there: by who has never seen the project, on a clock that nobody moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.event import SERVICES as NAMES
from tests.containers.stack import SERVICES, Stack, free_port, require_docker
from tests.runbook import DEPLOY, sections
from vekha import story

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

_PAGE = sections(DEPLOY / "README.md")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require_docker()
    made = Stack("vekha-first-day", tmp_path_factory.mktemp("first-day"))
    made.make_secrets()
    with made.running():
        yield made


def _opened(stack: Stack) -> list[str]:
    return [event["school"] for event in stack.vekha("events", "--service", "roster", "--type", "school-opened", "--json").lines]


def test_what_is_typed_to_look_at_it_is_answered(stack: Stack, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = {
        "mkdir archives": f"install -d -m 0777 {out}",  # another user writes there
        "$PWD/archives": str(out),
        " archives/": f" {out}/",
        ">verify.py && python3 verify.py": f">{tmp_path}/verify.py && python3 {tmp_path}/verify.py",
    }
    said = stack.typed(_PAGE["look-at-it"], words)
    assert "roster.school-opened.v1" in said
    assert "The record verifies." in said
    assert "VEKHA CHECKPOINT" in said
    assert said.rstrip().endswith("It verifies.")
    assert '"ready":true' in stack.typed(_PAGE["ask-it-how-it-is"])


def test_containers_that_are_taken_down_and_brought_up_hold_what_they_held(stack: Stack) -> None:
    before = _opened(stack)
    stack.compose("down")
    stack.up()
    assert _opened(stack) == before == ["school-7"]


def test_a_bus_of_one_node_becomes_three_which_hold_what_it_held(stack: Stack) -> None:
    chosen, *typed = _PAGE["three-nodes-of-the-bus"]
    files = chosen.removeprefix("echo COMPOSE_FILE=").removesuffix(" >>.env").split(":")
    cluster = replace(stack, files=files, nodes=3)
    before = _opened(stack)
    try:
        assert typed.pop(0) == "docker compose up --wait"  # of who begins with three
        cluster.typed(typed)
        cluster.wait_until_healthy(*SERVICES, "nats", "nats-2", "nats-3")
        assert _opened(cluster) == before
        assert {name: cluster.call(f"{name}.health", {})["reply"]["quarantined"] for name in NAMES} == dict.fromkeys(NAMES)
    finally:
        cluster.down()


def test_a_school_lives_on_a_stack_of_its_own(stack: Stack) -> None:
    port = str(free_port())
    name = f"{stack.name}-demo"
    lines = _PAGE["see-a-school-live-on-it"]
    assert any(line.strip() == "docker compose down --volumes" for line in lines)
    try:
        said = stack.typed(lines, {"VEKHA_PROJECT=vekha-demo": f"VEKHA_PROJECT={name}", "4322": port}, timeout_s=900)
    finally:
        replace(stack, name=name).down()
    assert f"{story.SCHOOL}, step {story.RED_STEP}: " in said
