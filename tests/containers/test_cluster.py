"""Three nodes of the bus: any of them may be lost, under load and for good."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from contracts.event import SERVICES as NAMES
from tests.containers.stack import SERVICES, Stack, all_are_there, require_docker, while_recording
from tests.runbook import sections

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

_NODES = ("nats", "nats-2", "nats-3")
_VOLUMES = {"nats": "bus", "nats-2": "bus-2", "nats-3": "bus-3"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require_docker()
    made = Stack("vekha-cluster", tmp_path_factory.mktemp("cluster"), files=("docker-compose.yml", "deploy/cluster.yml"), nodes=len(_NODES))
    made.make_secrets()
    with made.running():
        yield made


def _streams(stack: Stack, node: str) -> dict[str, dict[str, Any]]:
    """The streams that a node keeps, by name."""
    asked = "http://127.0.0.1:8222/jsz?accounts=true&streams=true&config=true"
    told = json.loads(stack.compose("exec", "--no-TTY", node, "wget", "-q", "-O", "-", asked).stdout)
    return {stream["name"]: stream for account in told["account_details"] for stream in account.get("stream_detail", [])}


def _leader(stack: Stack, stream: str) -> str:
    return _streams(stack, "nats")[stream]["cluster"]["leader"]


def test_every_stream_is_kept_by_all_three(cluster: Stack) -> None:
    for node in _NODES:
        kept = _streams(cluster, node)
        assert kept.keys() == {*(name.upper() for name in NAMES), "SEALS"}
        assert {stream["config"]["num_replicas"] for stream in kept.values()} == {3}


def test_the_node_that_leads_is_lost_for_good_and_nothing_acknowledged_is(cluster: Stack) -> None:
    """Then another one is: what was made good from the other two is as good as they are."""
    for _ in range(2):
        lost = _leader(cluster, "ROSTER")
        acknowledged = while_recording(cluster, lambda lost=lost: cluster.compose("kill", lost))
        cluster.wait_until_healthy(*SERVICES)
        all_are_there(cluster, acknowledged)
        words = {f"{cluster.name}_bus-2": f"{cluster.name}_{_VOLUMES[lost]}", "nats-2": lost}
        acknowledged += while_recording(cluster, lambda words=words: cluster.typed(sections()["a-lost-node-of-the-bus"], words))
        cluster.wait_until_healthy(*SERVICES, *_NODES)
        all_are_there(cluster, acknowledged)
    assert "The record verifies." in cluster.compose("run", "--rm", "vekha", "audit", "verify").stdout
