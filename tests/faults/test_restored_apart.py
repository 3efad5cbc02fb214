"""PostgreSQL put back from a backup that is older than the bus, under services apart (DESIGN 2.3)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from contracts import SERVICES, operations, plan
from eventkit.testing_servers import PostgresServer
from tests import record, school
from tests.apart import running_apart
from tests.load import Load, check_projections, check_running, settle
from tests.school import SCHOOL, digest
from tests.survival import Survival
from vekha.client import Client
from vekha.failures import Failure
from vekha.testing import Vekha

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


@pytest.mark.fault("PostgreSQL restored from an older backup than the bus, and taken back from the bus under its seals")
async def test_what_a_restored_database_server_lacks_is_taken_back_and_a_stream_is_made_anew(
    own_postgres: PostgresServer, tmp_path: Path, survival: Survival, vekha: Vekha
) -> None:
    async with running_apart(tmp_path, own_postgres) as apart:
        async with apart.client() as client:
            await school.found(client.ask)
            await settle(client)
            await asyncio.to_thread(own_postgres.dump, tmp_path / "older.dump")
            load = await Load.on(client)
            await load.run(client, limit=40)
            await settle(client)
        apart.end()
        logs = record.logs(apart)
        await asyncio.to_thread(own_postgres.restore, tmp_path / "older.dump")
        lost = {service: len(logs[service]) - len(messages) for service, messages in record.logs(apart).items()}
        assert min(lost[service] for service in ("roster", "consent", "identity", "plan")) > 0

        apart.start_all()
        async with apart.client() as client:
            await _are_quarantined(client)
            with pytest.raises(Failure, match=r"service\.quarantined"):
                await client.ask(plan.REGISTER_ORDER, plan.RegisterOrder(school=SCHOOL, evidence_sha256=digest("one more")))
        asked = await asyncio.to_thread(vekha, "doctor", "--repair", "--data", apart.secrets.operator.root, "--server", apart.url, "--json")
        assert (asked.code, asked.error["code"]) == (1, "repair.apart")
        running = await asyncio.to_thread(apart.deploy, "repair")
        assert (running.code, running.error["code"]) == (1, "repair.running")
        apart.end()

        repaired = await asyncio.to_thread(apart.deploy, "repair")
        assert (repaired.code, repaired.json["undecided"]) == (0, [])
        assert repaired.json["taken_back"] == {service: missing for service, missing in lost.items() if missing}
        assert record.logs(apart) == logs
        anew = await asyncio.to_thread(apart.deploy, "rebuild-stream", "consent")
        assert (anew.code, anew.json) == (0, {"service": "consent", "messages": len(logs["consent"])})
        again = await asyncio.to_thread(apart.deploy, "repair")
        assert (again.code, again.json["taken_back"]) == (0, {})

        apart.start_all()
        async with apart.client() as client:
            await apart.ready(client)
            await _answers_are_lost(client, load)
            await check_running(client, apart)
            survival.count(load, apart)
            await apart.verified(client)
        apart.end()
        check_projections(apart, tmp_path)


@pytest.mark.fault("PostgreSQL restored from an older backup than the bus, without the administrator's seed")
async def test_a_stream_is_deleted_by_the_administrator_alone(own_postgres: PostgresServer, tmp_path: Path) -> None:
    async with running_apart(tmp_path, own_postgres) as apart:
        apart.end()
        logs = record.logs(apart)
        (apart.secrets.root / "administrator").rename(tmp_path / "elsewhere")
        refused = await asyncio.to_thread(apart.deploy, "rebuild-stream", "roster")
        assert (refused.code, refused.error["code"]) == (1, "repair.not-administrator")
        apart.start_all()
        async with apart.client() as client:
            await apart.ready(client)
            assert (await record.streams(client.nc))["roster"][: len(logs["roster"])] == logs["roster"]


async def _are_quarantined(client: Client) -> None:
    """Waits until each service says that its log lacks what its stream holds."""
    async with asyncio.timeout(60):
        for service in SERVICES:
            if service == "notifier":  # which records nothing in these calls
                continue
            while "ends at" not in await _quarantine(client, service):  # noqa: ASYNC110 -- another process comes to say so
                await asyncio.sleep(0.1)


async def _quarantine(client: Client, service: str) -> str:
    try:
        health = await client.ask(operations.HEALTH[service], operations.Nothing(), timeout_s=1.0)
    except Failure:
        return ""
    return health.reply.quarantined or ""


async def _answers_are_lost(client: Client, load: Load) -> None:
    """A command that was carried out is known, and recorded by nobody again."""
    for before in list(load.acknowledged.values())[:8]:
        with pytest.raises(Failure, match=r"command\.answer-lost"):
            await client.ask(before.command.call, before.command.request, command_id=before.command.command_id)
