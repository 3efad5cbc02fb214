"""Services apart come from one version to the next while they are called; until all have, what is half-way says so."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from contracts.event import SERVICES
from contracts.operations import HEAD, SETTLE, Nothing, Settle
from eventkit.testing_servers import PostgresServer
from tests import record, school
from tests.apart import Apart, running_apart
from tests.load import TIMEOUT_S, Load, check_running
from tests.previous import unpack_previous
from tests.survival import answered, until
from vekha.client import Client
from vekha.testing import Outcome, run_binary

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def version_before(tmp_path: Path) -> dict[str, str]:
    """With what the programs of the previous commit are run."""
    before = tmp_path / "before"
    unpack_previous(before, "libs", "services")
    sources = [*sorted(before.glob("libs/*/src")), *sorted(before.glob("services/*/src"))]
    return {"PYTHONPATH": ":".join(map(str, sources)), "PYTHONDONTWRITEBYTECODE": "1"}


def typed(apart: Apart, *arguments: str) -> Outcome:
    """A command of the operator's."""
    return run_binary(*arguments, "--data", apart.secrets.operator.root, "--server", apart.url, "--json")


def findings(apart: Apart) -> dict[str, str]:
    examined = typed(apart, "doctor")
    found = {check["check"]: check["text"] for check in examined.json["checks"] if check["state"] == "finding"}
    assert examined.code == (1 if found else 0), examined.out
    return found


def readiness(port: int) -> dict[str, Any]:
    """What a service says under /readyz; nothing while it does not listen."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)
    except OSError:
        return {}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_an_upgrade_under_a_load_of_calls_loses_none_and_shows_while_it_is_under_way(
    tmp_path: Path, own_postgres: PostgresServer, version_before: dict[str, str]
) -> None:
    async with running_apart(tmp_path / "apart", own_postgres, version_before) as apart:
        async with apart.client() as client:
            await school.found(client.ask)
            load = await Load.on(client)
            seen: list[dict[str, str]] = []

            async def upgrade() -> None:
                await answered(load, 20)
                assert load.troubles == []
                apart.environment = {}
                permitted = await asyncio.to_thread(apart.deploy, "accounts")
                assert permitted.code == 0, permitted.err
                apart.tell_bus()
                await asyncio.sleep(2 * TIMEOUT_S)  # what it forgets of answers on their way is asked for again by then
                migrated = await asyncio.to_thread(apart.deploy, "provision")
                assert migrated.code == 0, migrated.err
                for service in SERVICES:
                    older, apart.processes[service] = apart.processes[service], apart.start(service)
                    await asyncio.to_thread(until, lambda service=service: apart.log(service).read_text().count("service.started") == 2)
                    await answered(load, 30)
                    older.send_signal(signal.SIGTERM)
                    assert await asyncio.to_thread(older.wait, 30) == 0, apart.log(service).read_text()[-3000:]
                    if service == SERVICES[0]:
                        seen.append(await asyncio.to_thread(findings, apart))
                await answered(load, 30)

            await load.run_until(client, asyncio.create_task(upgrade()))
            assert load.troubles == []  # no call had to be repeated, or was without an answer
            await load.repeat(client)
            await check_running(client, apart)
            load.check(apart)
            await apart.verified(client)
        assert set(seen[0]) == {"versions"}
        assert await asyncio.to_thread(findings, apart) == {}
        apart.end()


async def test_projections_of_services_apart_are_rebuilt_switched_and_dropped(tmp_path: Path, own_postgres: PostgresServer) -> None:
    async with running_apart(tmp_path / "apart", own_postgres) as apart:
        async with apart.client() as client:
            await school.found(client.ask)
            await settle(client)

        async def projections(*arguments: str) -> Outcome:
            return await asyncio.to_thread(typed, apart, "projections", *arguments)

        for service, projection in record.PROJECTIONS:
            rebuilt = await projections("rebuild", service, projection.name)
            assert (rebuilt.code, rebuilt.json["state"]) == (0, "same"), rebuilt.out
            assert (await projections("switch", service, projection.name, "2")).json["state"] == "live"
            assert (await projections("drop", service, projection.name, "1")).code == 0
        async with apart.client() as client:
            load = await Load.on(client)
            await load.run(client, limit=40)
            await check_running(client, apart)
        assert await asyncio.to_thread(findings, apart) == {}
        apart.end()


async def test_no_projection_is_switched_while_two_processes_of_its_service_run(tmp_path: Path, own_postgres: PostgresServer) -> None:
    async with running_apart(tmp_path / "apart", own_postgres) as apart:

        async def projections(*arguments: str) -> Outcome:
            return await asyncio.to_thread(typed, apart, "projections", *arguments)

        def states() -> list[str]:
            listed = typed(apart, "projections", "list").json["projections"]
            (board,) = [one for one in listed if (one["service"], one["name"]) == ("plan", "board")]
            return [version["state"] for version in board["versions"]]

        assert (await projections("rebuild", "plan", "board")).json["state"] == "same"
        older = apart.processes["plan"]
        apart.processes["plan"] = apart.start("plan")
        await asyncio.to_thread(until, lambda: apart.log("plan").read_text().count("service.started") == 2)
        refused = await projections("switch", "plan", "board", "2")
        assert (refused.code, refused.error["code"]) == (1, "projection.shared")
        assert sorted(await asyncio.to_thread(states)) == ["live", "same"]
        older.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(older.wait, 30) == 0
        assert (await projections("switch", "plan", "board", "2")).json["state"] == "live"
        apart.end()


async def test_a_service_apart_is_not_ready_while_its_tables_are_not_for_it(tmp_path: Path, own_postgres: PostgresServer) -> None:
    async with running_apart(tmp_path / "apart", own_postgres) as apart:

        def change(statement: str) -> None:
            with psycopg.connect(own_postgres.url, autocommit=True) as connection:
                connection.execute(statement.encode())

        def is_told(port: int, holds: Callable[[dict[str, Any]], bool]) -> bool:
            return holds(readiness(port))

        port = free_port()
        change("UPDATE consent.alembic_version SET version_num = '0000'")
        waiting = apart.start("consent", {"VEKHA_HTTP": f"127.0.0.1:{port}"})
        try:
            await asyncio.to_thread(until, lambda: is_told(port, lambda told: told.get("ready") is False and "schema" in told["troubles"]))
            assert readiness(port)["troubles"]["schema"].startswith("schema.older: The tables of consent are at revision 0")
            change("UPDATE consent.alembic_version SET version_num = '0009'")
            await asyncio.to_thread(until, lambda: is_told(port, lambda told: told.get("ready") is True))
            found = await asyncio.to_thread(findings, apart)
            assert found == {"service consent": "Its tables are at revision 9, and its program knows 1."}
            change("UPDATE consent.head SET schema_version = 9")
            await asyncio.to_thread(until, lambda: is_told(port, lambda told: "schema.newer" in told.get("troubles", {}).get("schema", "")))
        finally:
            waiting.kill()
            waiting.wait()


async def test_a_service_whose_bus_forbids_what_it_does_is_not_ready_until_its_accounts_are_written_anew(
    tmp_path: Path, own_postgres: PostgresServer
) -> None:
    async with running_apart(tmp_path / "apart", own_postgres) as apart:
        accounts = apart.secrets.accounts
        begin, known = accounts.read_text().split("accounts: ", 1)
        of_an_older_version = json.loads(known)
        service = of_an_older_version["NOTIFIER"]["users"][0]["permissions"]["publish"]
        service["allow"] = [subject for subject in service["allow"] if not subject.startswith("call.")]
        accounts.write_text(f"{begin}accounts: {json.dumps(of_an_older_version)}\n")
        apart.tell_bus()
        port = free_port()
        address = {"VEKHA_HTTP": f"127.0.0.1:{port}"}
        forbidden = apart.start("notifier", address)
        try:
            await asyncio.to_thread(until, lambda: "permissions" in readiness(port).get("troubles", {}))
            assert "vekha deploy accounts" in readiness(port)["troubles"]["permissions"]
        finally:
            forbidden.kill()
            forbidden.wait()
        permitted = await asyncio.to_thread(apart.deploy, "accounts")
        assert permitted.code == 0, permitted.err
        apart.tell_bus()
        ready = apart.start("notifier", address)
        try:
            await asyncio.to_thread(until, lambda: readiness(port).get("ready") is True)
        finally:
            ready.kill()
            ready.wait()


async def settle(client: Client) -> None:
    """Waits until every service has read what is recorded."""
    heads = {service: (await client.ask(HEAD[service], Nothing())).reply.position for service in SERVICES}
    for service in SERVICES:
        await client.ask(SETTLE[service], Settle(heads=heads))
