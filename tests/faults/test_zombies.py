"""A second relay, or a second projection, that was frozen with a batch in its hands, and goes on when others have long done its work."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Lived
from tests.load import Load
from tests.survival import Survival, answered, client_of, until
from vekha.testing import running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

_RELAY = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from eventkit.broker import Credential
from eventkit.clock import RealClock
from eventkit.database import Database, sqlite_url
from eventkit.jetstream import connect
from eventkit.relay import Relay
from eventkit.store import Store

async def told(quarantine):
    print("quarantined", flush=True)

async def main():
    url, data, service = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    nc = await connect(url, Credential.read(data / "secrets" / "broker.password"), name="zombie")
    store = Store(Database(sqlite_url(data / "db" / f"{service}.db"), service), RealClock())
    await Relay(service, service.upper(), store, nc, told).run()
asyncio.run(main())
"""

_PROJECTION = """
import asyncio, sys
from pathlib import Path
from eventkit.broker import Credential
from eventkit.database import Database, sqlite_url
from eventkit.following import Durables, Following
from eventkit.jetstream import connect
from eventkit.provision import provision
from eventkit.runner import ProjectionRunner
from plan_tracker.projections import BoardProjection

async def owner(source, after, limit):
    return []

async def known(read):
    return True

async def main():
    url, data = sys.argv[1], Path(sys.argv[2])
    nc = await connect(url, Credential.read(data / "secrets" / "broker.password"), name="zombie")
    database = Database(sqlite_url(data / "db" / "plan.db"), "plan")
    projection = BoardProjection()
    durables = Durables.of("zombie", processes=1)
    await provision(nc, (), durables.on(projection.sources))
    await ProjectionRunner(Following(nc, durables, owner), database, projection, known).run()
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("program", "arguments", "point"),
    [
        pytest.param(_RELAY, ["roster"], "relay.before-publish:2:STOP", marks=pytest.mark.fault("a zombie relay")),
        pytest.param(_RELAY, ["plan"], "relay.after-publish:1:STOP", marks=pytest.mark.fault("a zombie relay")),
        pytest.param(_PROJECTION, [], "projection.before-apply:1:STOP", marks=pytest.mark.fault("a zombie projection")),
        pytest.param(_PROJECTION, [], "projection.before-apply:3:STOP", marks=pytest.mark.fault("a zombie projection")),
    ],
)
async def test_a_zombie_that_wakes_up_changes_nothing(
    lived: Lived, tmp_path: Path, survival: Survival, program: str, arguments: list[str], point: str
) -> None:
    data = lived.copy(tmp_path / "data", of_first_day=True)
    with running(data) as up:
        async with client_of(data) as client:
            load = await Load.on(client)
            with _beside(program, [up.ready["nats"], str(data), *arguments], point) as zombie:

                async def fault() -> None:
                    while not _is_stopped(zombie.pid):  # it comes to the point when it gets a batch before the other one does
                        assert zombie.poll() is None
                        await answered(load, 1)
                    await answered(load, 60)
                    zombie.send_signal(signal.SIGCONT)
                    await answered(load, 60)

                await load.run_until(client, asyncio.create_task(fault()))
                assert zombie.poll() is None
        await survival.check_live(data, load)
        assert up.end() == 0
    survival.check_stopped(data)


@contextmanager
def _beside(program: str, arguments: list[str], fault: str) -> Generator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL, env={**os.environ, "VEKHA_FAULT": fault}
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        until(lambda: process.poll() is not None)


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "T"
