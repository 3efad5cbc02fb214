"""What Prometheus is told: these names with these labels, true of what happened, and nobody's name or id among them."""

import asyncio
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

import identity.app
import plan_tracker.app
import roster.app
from contracts.plan import ADOPT_PLAN, AdoptPlan
from contracts.roster import OPEN_SCHOOL, OpenSchool
from eventkit.certificates import of_servers
from eventkit.decider import Refused
from eventkit.figures import LAST_BACKUP, LAST_DRILL, Figures, of_folder
from eventkit.harness import director, running
from eventkit.health import Health
from eventkit.service import Service

NAME = "Школа имени Ломоносова"

OF_EVERY_SERVICE: dict[str, set[str]] = {
    "vekha_ready": set(),
    "vekha_quarantined": set(),
    "vekha_log_position": set(),
    "vekha_relay_lag_events": set(),
    "vekha_reader_lag_events": {"reader", "source"},
    "vekha_parked_events": {"reader"},
    "vekha_seal_age_seconds": set(),
    "vekha_looked_at_seconds": set(),
    "vekha_call_seconds": {"call", "outcome"},
    "vekha_append_seconds": set(),
    "vekha_disk_free_ratio": set(),
    "vekha_backup_taken_at_seconds": set(),
    "vekha_drill_passed_at_seconds": set(),
    "vekha_certificate_expires_at_seconds": {"server"},
}
OF_ONE_SERVICE: dict[str, dict[str, set[str]]] = {
    "roster": {},
    "identity": {"vekha_hashing_waiting": set()},
    "plan": {"vekha_plan_steps": {"plan", "step", "state"}, "vekha_plan_overdue_schools": {"plan", "step"}},
}


def figures_of(service: Service, state: Path) -> Figures:
    """As a service apart tells them."""
    service.figure(*of_folder(state), of_servers(service.settings.nats_url, service.settings.database_url, None))
    return Figures(service, Health(service))


async def taken(figures: Figures) -> dict[str, Metric]:
    return {metric.name: metric for metric in text_string_to_metric_families((await figures.text()).decode())}


def value(metric: Metric, **labels: str) -> float:
    """Of a gauge its value, of a histogram its count."""
    (found,) = [one.value for one in metric.samples if one.name in (metric.name, f"{metric.name}_count") and one.labels == labels]
    return found


async def test_each_service_tells_these_figures_with_these_labels_and_nothing_of_anybody(tmp_path: Path) -> None:
    builds = {"roster": roster.app.build, "identity": identity.app.build, "plan": plan_tracker.app.build}
    async with running(tmp_path, builds) as system:
        watched = {name: figures_of(service, tmp_path) for name, service in system.instance.services.items()}
        await system.call(OPEN_SCHOOL, OpenSchool(school="school-7", name=NAME, municipality="mytishchi"))
        await system.settled()
        await system.call(ADOPT_PLAN, AdoptPlan(school="school-7", start=date(2015, 8, 17)), as_=director("school-7"))
        with pytest.raises(Refused):
            await system.call(OPEN_SCHOOL, OpenSchool(school="school-7", name="Другая", municipality="mytishchi"))
        await system.settled()
        await taken(watched["plan"])
        async with asyncio.timeout(30):
            while not (await taken(watched["plan"]))["vekha_plan_steps"].samples:  # noqa: ASYNC110 -- no scrape waits for it, nor tells
                await asyncio.sleep(0.05)
        told = {name: await taken(figures) for name, figures in watched.items()}
    for name, metrics in told.items():
        expected = OF_EVERY_SERVICE | OF_ONE_SERVICE[name]
        assert set(metrics) == set(expected)
        for metric in metrics.values():
            assert {label for one in metric.samples for label in one.labels} - {"le"} <= expected[metric.name]
    assert value(told["roster"]["vekha_ready"]) == 1
    assert value(told["roster"]["vekha_quarantined"]) == 0
    assert value(told["roster"]["vekha_relay_lag_events"]) == 0
    assert value(told["plan"]["vekha_reader_lag_events"], reader="board", source="roster") == 0
    assert value(told["plan"]["vekha_parked_events"], reader="board") == 0
    assert value(told["roster"]["vekha_call_seconds"], call="roster.open-school", outcome="ok") == 1
    assert value(told["roster"]["vekha_call_seconds"], call="roster.open-school", outcome="refused") == 1
    assert value(told["roster"]["vekha_append_seconds"]) >= 1
    steps = told["plan"]["vekha_plan_steps"].samples
    assert sum(one.value for one in steps if one.labels["step"] == "1") == 1
    everything = str(told)
    for word in ("school-7", "mytishchi", *NAME.split()):
        assert word not in everything


async def test_a_backup_tells_when_it_was_taken_and_an_unknown_call_is_counted_under_no_name_of_its_own(tmp_path: Path) -> None:
    async with running(tmp_path, {"roster": roster.app.build}) as system:
        service = system.instance.services["roster"]
        figures = figures_of(service, tmp_path)
        assert value((await taken(figures))["vekha_backup_taken_at_seconds"]) == 0
        (tmp_path / LAST_BACKUP).write_text("2015-08-18T03:00:00Z\n")
        (tmp_path / LAST_DRILL).write_text("2015-08-17T03:00:00Z\n")
        await service.answering.answer("roster.what-nobody-knows", b"{}")
        told = await taken(figures)
    assert value(told["vekha_backup_taken_at_seconds"]) == datetime(2015, 8, 18, 3, tzinfo=UTC).timestamp()
    assert value(told["vekha_drill_passed_at_seconds"]) == datetime(2015, 8, 17, 3, tzinfo=UTC).timestamp()
    assert {one.labels["call"] for one in told["vekha_call_seconds"].samples if one.labels["outcome"] == "refused"} <= {"unknown"}
    assert 0 < value(told["vekha_disk_free_ratio"]) < 1
