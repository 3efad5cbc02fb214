"""The profile `observe`: Prometheus takes the services' figures by our rules, and the collector their traces.

Grafana itself is run nowhere without its image; that its dashboards ask what can be answered, Prometheus tells here.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.containers.stack import ROOT, SERVICES, Stack, free_port, has_image, require_docker, require_image
from tests.test_operations import expressions

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

_PROMETHEUS = "prom/prometheus:v3.5.0"
_COLLECTOR = "otel/opentelemetry-collector:0.130.0"
_WITHIN_S = 180.0  # the plan's figures are taken once a minute, and scraped thereafter
_EVERYTHING_UP = {service.removesuffix("-tracker"): "1" for service in SERVICES}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require_docker()
    require_image(_COLLECTOR)
    files = ("docker-compose.yml",) if has_image(_PROMETHEUS) else ("docker-compose.yml", "tests/containers/prometheus-debian.yml")
    settings = {"VEKHA_PRODUCTION": "0", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318", "VEKHA_PROMETHEUS_PORT": str(free_port())}
    made = Stack("vekha-observed", tmp_path_factory.mktemp("observed"), files=files, settings=settings)
    made.make_secrets()
    if len(files) > 1:
        made.compose("--profile", "observe", "build", "prometheus", timeout_s=600)
    with made.running():
        made.compose("--profile", "observe", "up", "--detach", "--wait", "otel", "prometheus")
        yield made


def _asked(stack: Stack, path: str) -> Any:
    """What Prometheus answers."""
    with urlopen(f"http://127.0.0.1:{(stack.settings or {})['VEKHA_PROMETHEUS_PORT']}/api/v1/{path}", timeout=10) as answer:
        told = json.load(answer)
    assert told["status"] == "success"
    return told["data"]


def _query(stack: Stack, expression: str) -> list[dict[str, Any]]:
    return _asked(stack, f"query?query={quote(expression)}")["result"]


def _until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(1)


def _alerts(stack: Stack) -> set[str]:
    """Those that are pending or firing."""
    return {alert["labels"]["alertname"] for alert in _asked(stack, "alerts")["alerts"]}


def test_every_service_is_looked_at_and_ready(stack: Stack) -> None:
    _until(lambda: {row["metric"]["service"]: row["value"][1] for row in _query(stack, "vekha_ready")} == _EVERYTHING_UP)
    assert {row["metric"]["service"]: row["value"][1] for row in _query(stack, "up")} == _EVERYTHING_UP


def test_every_rule_is_evaluated_without_an_error(stack: Stack) -> None:
    def rules() -> list[dict[str, Any]]:
        return [rule for group in _asked(stack, "rules")["groups"] for rule in group["rules"]]

    _until(lambda: all(rule["health"] != "unknown" for rule in rules()))
    assert {rule["name"]: rule.get("lastError", "") for rule in rules()} == {rule["name"]: "" for rule in rules()}
    assert len(rules()) >= 15


@pytest.mark.parametrize("dashboard", sorted((ROOT / "deploy/grafana/dashboards").glob("*.json")), ids=lambda path: path.stem)
def test_every_panel_asks_what_prometheus_understands(stack: Stack, dashboard: Path) -> None:
    for panel in json.loads(dashboard.read_text())["panels"]:
        for target in panel["targets"]:
            _query(stack, target["expr"])


def test_every_figure_that_rules_and_dashboards_name_is_told_by_services_that_work(stack: Stack) -> None:
    """But for certificates, which are shown under TLS alone (`test_tls`)."""
    stack.call("roster.open-school", {"school": "school-9", "name": "Школа № 9", "municipality": "mytishchi"})
    start = datetime.now(UTC).date() - timedelta(days=60)
    stack.call("plan.adopt-plan", {"school": "school-9", "start": start.isoformat()}, "--as", "director:school-9")
    named = {name for expression in expressions() for name in re.findall(r"vekha_[a-z_]+", expression)}
    assert len(named) > 15
    wanted = named - {"vekha_certificate_expires_at_seconds"}
    _until(lambda: wanted <= set(_asked(stack, "label/__name__/values")))


def test_a_service_that_is_gone_and_a_backup_that_was_taken_are_noticed(stack: Stack) -> None:
    _until(lambda: "BackupOld" in _alerts(stack))
    stack.run("deploy/backup", stack.folder / "backups")
    _until(lambda: "BackupOld" not in _alerts(stack))
    assert "ServiceDown" not in _alerts(stack)
    stack.compose("stop", "notifier")
    _until(lambda: "ServiceDown" in _alerts(stack))
    stack.compose("start", "notifier")
    _until(lambda: "ServiceDown" not in _alerts(stack))


def test_traces_reach_the_collector(stack: Stack) -> None:
    stack.call("roster.open-school", {"school": "school-7", "name": "Школа № 7", "municipality": "mytishchi"})
    _until(lambda: '"spans"' in stack.compose("--profile", "observe", "logs", "otel").stdout)
