"""The five services as processes of their own, on a PostgreSQL and a nats-server with an account for each: what a deployment runs as
containers, without them, so that a test can do to any of its processes whatever it likes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from contracts import SERVICES
from contracts.operations import HEALTH, Nothing
from eventkit import log, sealing, seals
from eventkit.broker import server_binary
from eventkit.database import Database
from eventkit.testing_servers import PostgresServer
from tests.load import Load, check_running
from tests.school import START
from tests.survival import Survival, answered, until
from vekha.client import Client, Target, connected
from vekha.deployment.layout import DeploymentSecrets
from vekha.evidence import HARMLESS, Witness
from vekha.failures import Failure
from vekha.testing import Outcome, run_binary

MODULES = {service: service for service in SERVICES} | {"plan": "plan_tracker"}
"""Which module runs a service."""

_STOP_TIMEOUT_S = 30.0
_READY_WITHIN_S = 60.0
_DATABASE = "postgres"


@dataclass
class Apart:
    """Services that run apart. `postgres` may be killed, frozen and started again, and so may each of `processes`.

    `environment` is what every process is started with; by that it may be another version's.
    """

    folder: Path
    postgres: PostgresServer
    secrets: DeploymentSecrets
    nats: subprocess.Popen[bytes]
    url: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict[str, subprocess.Popen[bytes]])

    def client(self) -> AbstractAsyncContextManager[Client]:
        return connected(Target(self.secrets.operator, self.url))

    @contextmanager
    def reading(self, service: str) -> Generator[Connection]:
        """One consistent view of a service's database, as the service sees it."""
        url = make_url(self.postgres.url).set(drivername="postgresql+psycopg", username=service)
        with closing(Database(url, service)) as database, database.reading() as connection:
            yield connection

    @property
    def backends(self) -> list[int]:
        """The processes of PostgreSQL that serve the services at the moment."""
        return self.postgres.backends(_DATABASE)

    def start_all(self) -> None:
        self.processes.update({service: self.start(service) for service in SERVICES})

    def deploy(self, *arguments: str | Path) -> Outcome:
        """Types `vekha deploy …` beside them."""
        where = {
            "VEKHA_DEPLOYMENT_SECRETS": str(self.secrets.root),
            "VEKHA_DATABASE": f"postgresql://127.0.0.1:{self.postgres.port}/{_DATABASE}",
            "VEKHA_NATS_URL": self.url,
        }
        return run_binary("deploy", *arguments, "--json", environment={**self.environment, **where})

    def tell_bus(self) -> None:
        """Has the bus read its accounts again."""
        self.nats.send_signal(signal.SIGHUP)

    def start(self, service: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts a process of a service; there may be others."""
        variables = {
            "VEKHA_NATS_URL": self.url,
            "VEKHA_DATABASE_URL": f"postgresql+psycopg://{service}@127.0.0.1:{self.postgres.port}/{_DATABASE}",
            "VEKHA_SECRETS": str(self.secrets.service(service)),
            "VEKHA_STATE": str(self.folder / "state" / service),
            "VEKHA_MANUAL_CLOCK": START,
            "VEKHA_HTTP": "127.0.0.1:0",
        }
        (self.folder / "state" / service).mkdir(parents=True, exist_ok=True)
        with self.log(service).open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", MODULES[service]],
                stdout=out,
                stderr=out,
                env={**os.environ, **variables, **self.environment, **(environment or {})},
            )

    def log(self, service: str) -> Path:
        return self.folder / f"{service}.log"

    async def ready(self, client: Client) -> None:
        """Waits until every service has compared its log with its stream."""
        async with asyncio.timeout(_READY_WITHIN_S):
            for service in SERVICES:
                while not await _is_ready(client, service):
                    assert self.processes[service].poll() is None, self.log(service).read_text()[-2000:]
                    await asyncio.sleep(0.1)

    async def verified(self, client: Client) -> None:
        """Every chain and every seal holds."""
        for service in SERVICES:
            with self.reading(service) as connection:
                whose = seals.Log(service, log.log_id(connection))
                witness = Witness(whose, seals.kept_after(connection, 0), await sealing.published(client.nc, service))
                found = [*log.verify(connection, service, seen=witness.seen), *witness.findings()]
            assert [finding for finding in found if finding.kind not in HARMLESS] == []

    def end(self) -> None:
        """Ends the services, and with them whatever they do."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            assert process.wait(_STOP_TIMEOUT_S) == 0


@asynccontextmanager
async def running_apart(folder: Path, postgres: PostgresServer, environment: Mapping[str, str] | None = None) -> AsyncGenerator[Apart]:
    """All five services, ready; what still runs at the end of the block is ended."""
    secrets = DeploymentSecrets(folder / "secrets")
    made = await asyncio.to_thread(run_binary, "deploy", "secrets", "--secrets", secrets.root, environment=environment)
    assert made.code == 0, made.err
    nats, url = await asyncio.to_thread(_nats, folder, secrets)
    apart = Apart(folder, postgres, secrets, nats, url, environment or {})
    try:
        made = await asyncio.to_thread(apart.deploy, "provision")
        assert made.code == 0, made.err
        apart.start_all()
        async with apart.client() as client:
            await apart.ready(client)
        yield apart
    finally:
        for process in (*apart.processes.values(), nats):
            process.kill()
            process.wait()


async def survives(apart: Apart, survival: Survival, fault: Callable[[Load], Awaitable[None]], tolerated: Collection[str]) -> set[str]:
    """Does something to services apart twice under calls, in the middle of something else each time, and asks what became of them.

    Answers what calls were told meanwhile, which is among the tolerated.
    """
    async with apart.client() as client:
        load = await Load.on(client, tolerated=tolerated)

        async def twice() -> None:
            for _ in range(2):
                await fault(load)
                await answered(load, 30)

        await load.run_until(client, asyncio.create_task(twice()))
        assert set(load.troubles) <= set(tolerated)
        await apart.ready(client)
        await load.repeat(client)
        await check_running(client, apart)
        survival.count(load, apart)
        await apart.verified(client)
    apart.end()
    survival.check_stopped(apart)
    return set(load.troubles)


def _nats(folder: Path, secrets: DeploymentSecrets) -> tuple[subprocess.Popen[bytes], str]:
    configuration = folder / "nats.conf"
    configuration.write_text(
        f'listen: "127.0.0.1:-1"\nports_file_dir: "{folder}"\njetstream {{ store_dir: "{folder}/nats" }}\n'
        f'include "{secrets.accounts.relative_to(folder)}"\n'
    )
    process = subprocess.Popen([server_binary(), "--config", str(configuration)], stderr=subprocess.DEVNULL)
    ports = folder / f"nats-server_{process.pid}.ports"
    until(lambda: ports.exists() and ports.stat().st_size > 0)
    return process, msgspec.json.decode(ports.read_bytes(), type=dict[str, list[str]])["nats"][0]


async def _is_ready(client: Client, service: str) -> bool:
    with suppress(Failure):
        return (await client.ask(HEALTH[service], Nothing(), timeout_s=1.0)).reply.quarantined is None
    return False
