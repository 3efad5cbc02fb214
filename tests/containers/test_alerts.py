"""Every alert fires over what it is for, and over nothing else: Prometheus's own test of rules, on figures as services tell them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.containers.stack import ROOT, has_image, require_docker
from tests.runbook import DEPLOY

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

_PROMETHEUS = "prom/prometheus:v3.5.0"
_OF_DEBIAN = "vekha-test/prometheus"

Series = dict[str, str]
"""A figure's values at every interval, by the figure with its labels, as promtool writes them."""


@dataclass(frozen=True)
class Case:
    """Figures over which an alert fires at a time, and such over which it does not."""

    trouble: Series
    well: Series
    interval: str = "1m"
    at: str = "20m"


def _gauge(figure: str, trouble: float, well: float, interval: str = "1m", at: str = "20m") -> Case:
    return Case({figure: f"{trouble}x13000"}, {figure: f"{well}x13000"}, interval, at)


def _slow(name: str, limit_s: float) -> Case:
    """A histogram of which all is slower than a limit, or all faster."""

    def series(at_limit: int) -> Series:
        found = {str(limit_s): at_limit, "10.0": 60, "+Inf": 60}
        return {f'{name}_bucket{{service="plan",le="{le}"}}': f"0+{rise}x60" for le, rise in found.items()}

    return Case(series(0), series(60), at="40m")


CASES = {
    "ServiceDown": _gauge('up{job="vekha",service="roster"}', 0, 1),
    "ServiceNotReady": _gauge('vekha_ready{service="roster"}', 0, 1),
    "Quarantined": _gauge('vekha_quarantined{service="roster"}', 1, 0),
    "EventsParked": _gauge('vekha_parked_events{service="plan",reader="board"}', 1, 0),
    "RelayBehind": _gauge('vekha_relay_lag_events{service="roster"}', 1001, 1000),
    "ReaderBehind": _gauge('vekha_reader_lag_events{service="plan",reader="board",source="roster"}', 1001, 1000),
    "LogUnsealed": _gauge('vekha_seal_age_seconds{service="roster"}', 61, 2),
    "CallsFail": Case(
        {'vekha_call_seconds_count{service="roster",call="roster.person",outcome="failed"}': "0+1x60"},
        {'vekha_call_seconds_count{service="roster",call="roster.person",outcome="refused"}': "0+1x60"},
    ),
    "CallsSlow": _slow("vekha_call_seconds", 2.5),
    "AppendsSlow": _slow("vekha_append_seconds", 0.5),
    "HashingFull": _gauge('vekha_hashing_waiting{service="identity"}', 81, 80),
    "DiskFilling": _gauge('vekha_disk_free_ratio{service="roster"}', 0.09, 0.1),
    "BackupOld": _gauge('vekha_backup_taken_at_seconds{service="roster"}', 0, 3600, "4m", "26h30m"),
    "DrillOld": _gauge('vekha_drill_passed_at_seconds{service="roster"}', 0, 86400, "4m", "842h"),
    "CertificateExpires": _gauge('vekha_certificate_expires_at_seconds{server="nats",service="roster"}', 2590000, 2700000, at="90m"),
}


@pytest.fixture(scope="module")
def prometheus() -> str:
    require_docker()
    if has_image(_PROMETHEUS):
        return _PROMETHEUS
    made = ["docker", "build", "--quiet", "--tag", _OF_DEBIAN, "--file", "prometheus.Dockerfile", "."]
    subprocess.run(made, cwd=ROOT / "tests/containers", check=True, capture_output=True, timeout=600)
    return _OF_DEBIAN


def _tested(alert: str, case: Case, series: Series, fires: bool) -> dict[str, Any]:
    asked = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    return {
        "name": f"{alert}, {'fires' if fires else 'is silent'}",
        "interval": case.interval,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": asked, "eval_time": case.at, "exp_samples": [{"labels": "{}", "value": 1}] if fires else []}],
    }


def test_each_alert_fires_over_what_it_is_for_and_over_nothing_else(prometheus: str, tmp_path: Path) -> None:
    rules = [rule for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
    assert [rule["alert"] for rule in rules] == list(CASES)
    tests = [_tested(alert, case, case.trouble, True) for alert, case in CASES.items()]
    tests += [_tested(alert, case, case.well, False) for alert, case in CASES.items()]
    file = tmp_path / "tests.yml"
    file.write_text(json.dumps({"rule_files": ["/deploy/alerts.yml"], "evaluation_interval": "4m", "tests": tests}))
    file.chmod(0o644)
    tmp_path.chmod(0o755)
    mounts = ("--volume", f"{DEPLOY}/alerts.yml:/deploy/alerts.yml:ro", "--volume", f"{file}:/tests.yml:ro")
    run = ["docker", "run", "--rm", *mounts, "--entrypoint", "promtool", prometheus, "test", "rules", "/tests.yml"]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
