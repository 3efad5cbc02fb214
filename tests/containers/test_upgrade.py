"""A checkout that is operated by its pages alone: brought up on the first day, and brought to the next version under a load of calls."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.identity import CHECKPOINT
from tests import school
from tests.containers.stack import SERVICES, Stack, require_docker
from tests.load import Load, check_running
from tests.previous import ROOT, unpack_previous
from tests.runbook import DEPLOY, sections
from tests.survival import answered
from vekha.client import Target, connected

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

_SETTINGS = {"VEKHA_PRODUCTION": "0", "VEKHA_MANUAL_CLOCK": school.START, "VEKHA_VERSION": "upgraded"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Stack]:
    """The previous commit as it was brought up on its first day, by its own page."""
    require_docker()
    root = tmp_path / "site"
    unpack_previous(root)
    made = Stack("vekha-upgraded", root / "deploy", settings=_SETTINGS, root=root)
    made.down()
    try:
        made.typed(sections(root / "deploy/README.md")["bring-it-up"], timeout_s=1200)
        yield made
    finally:
        made.down()
        for service in (*SERVICES, "vekha"):
            subprocess.run(["docker", "image", "rm", f"vekha/{service}:upgraded"], capture_output=True, check=False)


def _put_new_files(site: Stack) -> None:
    """What this version consists of in the place of what the one before did."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")
    files = [name for name in names if name and (ROOT / name).is_file()]
    for folder in ("libs", "services", "tests"):
        shutil.rmtree(site.root / folder)
    for name in files:
        (site.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, site.root / name)


def _forget_the_call(site: Stack, subject: str) -> None:
    """The bus's accounts as a version has written them that had no such call."""
    before, accounts = site.secrets.accounts.read_text().split("accounts: ", 1)
    known: dict[str, dict[str, Any]] = json.loads(accounts)
    for account in known.values():
        account["exports"] = [one for one in account.get("exports", []) if one.get("service") != subject]
        imports = account.get("imports", [])
        account["imports"] = [one for one in imports if not isinstance(one.get("service"), dict) or one["service"]["subject"] != subject]
        for user in account["users"]:
            user["permissions"]["publish"]["allow"] = [one for one in user["permissions"]["publish"]["allow"] if one != subject]
    site.secrets.accounts.write_text(f"{before}accounts: {json.dumps(known)}\n")


def _containers(site: Stack) -> dict[str, str]:
    rows = [json.loads(line) for line in site.compose("ps", "--all", "--format", "json").stdout.splitlines()]
    return {row["ID"]: row["Service"] for row in rows if row["Service"] in SERVICES}


async def test_an_upgrade_as_the_runbook_has_it_leaves_no_call_unanswered_and_lets_new_calls_be_made(site: Stack) -> None:
    _forget_the_call(site, CHECKPOINT.subject)
    site.compose("restart", "nats", *SERVICES)
    site.wait_until_healthy(*SERVICES)
    assert site.vekha("call", CHECKPOINT.name, "{}", check=False).code != 0
    before = _containers(site)
    async with connected(Target(site.secrets.operator, site.url)) as client:
        await school.found(client.ask)
        load = await Load.on(client)

        async def upgrade() -> None:
            await answered(load, 20)
            _put_new_files(site)
            await asyncio.to_thread(site.typed, sections(DEPLOY / "runbook.md")["an-upgrade"], timeout_s=1200)
            await answered(load, 20)

        await load.run_until(client, asyncio.create_task(upgrade()))
        assert load.troubles == []  # no caller was told of anything
        await load.repeat(client)
        await asyncio.to_thread(load.check, site)
        await check_running(client, site)
    after = _containers(site)
    assert not before.keys() & after.keys()
    assert sorted(after.values()) == sorted(SERVICES)
    assert site.vekha("call", CHECKPOINT.name, "{}").code == 0
    assert "The record verifies." in site.compose("run", "--rm", "vekha", "audit", "verify").stdout
    # Nobody has told the engine that the bus is to stay dead.
    site.kill("nats", *SERVICES)
    site.wait_until_healthy(*SERVICES, "nats")
