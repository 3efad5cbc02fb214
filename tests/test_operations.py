"""What the operator's pages, rules and dashboards say is so: every figure, section, command and test that they name exists."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from contracts.event import SERVICES
from eventkit.environment import VARIABLES
from tests.runbook import DEPLOY, RUNBOOK, anchor, sections
from tests.test_figures import OF_EVERY_SERVICE, OF_ONE_SERVICE
from vekha import commands as command_line

ROOT = Path(__file__).parents[1]
DASHBOARDS = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
TOLD = OF_EVERY_SERVICE.keys() | {name for figures in OF_ONE_SERVICE.values() for name in figures}
LABELS = {label for figures in (OF_EVERY_SERVICE, *OF_ONE_SERVICE.values()) for labels in figures.values() for label in labels}


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def figures_in(expression: str) -> set[str]:
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"vekha_[a-z_]+", expression)}


def labels_in(expression: str) -> set[str]:
    grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
    return grouped | set(re.findall(r"([a-z_]+)(?:=~|!=|=)\"", expression))


def expressions() -> Iterator[str]:
    for rule in alerts():
        yield rule["expr"]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield target["expr"]


def test_rules_and_dashboards_name_figures_and_labels_that_services_tell() -> None:
    asked = list(expressions())
    assert {name for expression in asked for name in figures_in(expression)} <= TOLD
    assert {label for expression in asked for label in labels_in(expression)} <= LABELS | {"service", "job", "le", "alertstate"}
    assert len(DASHBOARDS) == 2


def test_every_figure_is_looked_at_by_a_rule_or_a_dashboard() -> None:
    looked_at = {name for expression in expressions() for name in figures_in(expression)}
    assert looked_at == TOLD - {"vekha_looked_at_seconds"}


def test_every_alert_says_how_bad_it_is_and_what_to_read() -> None:
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())
    for rule in alerts():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        page, _, section = rule["annotations"]["runbook"].partition("#")
        assert page == "runbook.md"
        assert section == anchor(rule["alert"])
        assert section in sections()


def test_what_is_scraped_are_the_five_services() -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    services = {one["labels"]["service"]: one["targets"] for one in job["static_configs"]}
    assert set(services) == set(SERVICES)
    assert {target.split(":")[0] for targets in services.values() for target in targets} <= set(compose()["services"])


def test_the_collector_s_pipelines_are_made_of_what_it_configures() -> None:
    config = yaml.safe_load((DEPLOY / "otel.yaml").read_text())
    (pipeline,) = config["service"]["pipelines"].values()
    assert set(pipeline["receivers"]) <= set(config["receivers"])
    assert set(pipeline["processors"]) <= set(config["processors"])
    assert pipeline["exporters"] == ["${env:VEKHA_TRACES_OUT}"]
    assert set(config["exporters"]) == {"debug", "otlp", "otlphttp"}


def test_each_dashboard_shows_panels_from_the_one_source_side_by_side() -> None:
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]["uid"]
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            assert panel["datasource"]["uid"] == source
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not cells & taken
            assert max(x for x, _ in cells) < 24
            taken |= cells


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_made_of_what_grafana_s_own_schema_knows(path: Path) -> None:
    """What the schema does not know would be passed over in silence, and the panel show something else."""
    register_default_plugins()
    written = json.loads(path.read_text())
    assert list(unknown(written, json.loads(JSONEncoder().encode(Dashboard.from_json(written))))) == []
    assert list(unknown(written | {"panels": []}, written)) == ["/panels"]


def unknown(written: object, understood: object, place: str = "") -> Iterator[str]:
    """Where something was written that was not understood, or otherwise."""
    match written, understood:
        case dict(), dict():
            both = cast("tuple[dict[str, object], dict[str, object]]", (written, understood))
            for key, value in both[0].items():
                yield from unknown(value, both[1].get(key), f"{place}/{key}")
        case list(), list():
            lists = cast("tuple[list[object], list[object]]", (written, understood))
            if len(lists[0]) != len(lists[1]):
                yield place
            for number, (one, other) in enumerate(zip(*lists, strict=False)):
                yield from unknown(one, other, f"{place}/{number}")
        case _ if written != understood:
            yield place
        case _:
            pass


# ---- the runbook ----------------------------------------------------------------------------------------------------------


def commands() -> list[list[str]]:
    """The lines of the runbook's blocks, as a shell would take them apart; `$stack` as it is set there."""
    lines = [line for section in sections().values() for line in section]
    (stack,) = [line for line in lines if line.startswith("stack=")]
    (options,) = shlex.split(stack.removeprefix("stack="))
    return [shlex.split(line.replace("$stack", options)) for line in lines if not line.startswith("stack=")]


def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_every_link_within_the_runbook_leads_to_a_section() -> None:
    assert set(re.findall(r"\]\(#([^)]+)\)", RUNBOOK.read_text())) <= sections().keys()


def test_every_failure_has_its_section() -> None:
    named = {"a-lost-bus", "a-lost-database", "a-restored-database", "a-poisoned-event", "a-full-disk", "a-forged-event", "an-upgrade"}
    assert named | {"quarantined", "eventsparked", "a-key-that-has-expired-or-was-stolen", "sizing"} <= sections().keys()


def parsed(words: list[str]) -> click.Command:
    """The command that the words call; raises UsageError where an option or argument is none of its."""
    command: click.Command = command_line.commands
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None
        command = found
    command.make_context(command.name, words)
    return command


@pytest.mark.parametrize("line", [line for line in commands() if line[0] == "vekha"], ids=" ".join)
def test_each_command_of_vekha_is_one_that_it_takes(line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in line:
        if name.endswith(".txt"):
            (tmp_path / name).touch()
    assert parsed(line[1:]).callback is not None


@pytest.mark.parametrize("line", [line for line in commands() if line[:2] == ["docker", "compose"]], ids=" ".join)
def test_each_command_of_compose_names_services_that_there_are(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    verb, *words = [word for word in line[2:] if word not in ("--profile", "observe", "-T")]
    services = set(compose()["services"]) | set(yaml.safe_load((DEPLOY / "cluster.yml").read_text())["services"])
    if verb == "exec":
        assert words[0] in services
    elif verb == "run":
        at = next(at for at, word in enumerate(words) if word in ("vekha", "provision"))
        for name, value in compose()["services"][words[at]]["environment"].items():
            monkeypatch.setenv(name, value)
        assert words[0] == "--rm"
        assert parsed(words[at + 1 :]).callback is not None
    elif verb in ("kill", "logs", "restart", "rm", "stop", "top", "up"):
        named = [word for word in words if not word.startswith("-") and not re.fullmatch(r"\d+[mh]?", word)]
        assert set(named) <= services
    else:
        assert verb in ("build", "ps")


def test_every_other_command_is_docker_s_or_stands_in_deploy() -> None:
    ours = {line[0] for line in commands()} - {"vekha", "docker"}
    assert ours == {"deploy/backup", "deploy/bootstrap", "deploy/drill", "deploy/restore", "deploy/upgrade"}
    assert all(os.access(ROOT / name, os.X_OK) for name in ours)


def test_what_an_installation_chooses_reaches_the_containers_and_stands_in_the_first_day_s_page() -> None:
    page = (DEPLOY / "README.md").read_text()
    for service in ("roster", "consent", "identity", "plan-tracker", "notifier"):
        passed = compose()["services"][service]["environment"]
        for name in VARIABLES.keys() - {"VEKHA_PRODUCTION"}:
            assert passed[name] == f"${{{name}:-}}"
            assert f"`{name}`" in page
        assert passed["VEKHA_PRODUCTION"] == "${VEKHA_PRODUCTION:-1}"


# ---- the threat model -----------------------------------------------------------------------------------------------------


def test_every_control_is_proved_by_tests_that_there_are() -> None:
    rows = re.findall(r"^\| (?!threat|---)(.+) \| (.+) \| (.+) \|$", (ROOT / "docs/threat-model.md").read_text(), re.MULTILINE)
    assert len(rows) > 10
    modules = [path for part in ("libs", "services") for path in (ROOT / part).glob("*/tests/**/test_*.py")]
    written: set[str] = set()
    for path in [*modules, *(ROOT / "tests").glob("**/test_*.py")]:
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        written |= {node.name for node in ast.parse(path.read_text()).body if isinstance(node, functions)}
    for threat, control, proof in rows:
        named = re.findall(r"`(test_\w+)`", proof)
        assert named, threat
        assert control
        assert set(named) <= written
