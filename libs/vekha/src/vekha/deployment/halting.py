"""Services apart that are stopped, opened for a repair: each database as its service opens it, each stream under its service's account.

To delete a stream takes the administrator's seed, which is kept elsewhere: it is asked for when one has to be made anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from nats.aio.client import Client as Nats
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from contracts.event import SERVICES
from eventkit import jetstream
from eventkit.accounts import Job, account, inbox
from eventkit.alone import database_url
from eventkit.broker import Credential
from eventkit.clock import RealClock
from eventkit.jetstream import JetStream, StreamMissing
from eventkit.provision import BUS_STREAMS, provision
from eventkit.secrets import Secrets
from eventkit.service import Service, Settings
from vekha.builds import BUILDS
from vekha.deployment.connecting import connect
from vekha.deployment.layout import DeploymentSecrets
from vekha.failures import Failure
from vekha.repairing import Halted

_ITS_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid()"


class _Apart:
    def __init__(self, secrets: DeploymentSecrets, url: str, replicas: int, services: Mapping[str, Service]) -> None:
        self.services = services
        self._secrets = secrets
        self._url = url
        self._replicas = replicas
        self._connections: dict[str, Nats] = {}

    def bus(self, service: str) -> Nats:
        return self._connections[service]

    async def make_stream_anew(self, service: str) -> None:
        (stream,) = (stream for stream in BUS_STREAMS if stream.service == service)
        durables = [durable for one in self.services.values() for durable in one.durables if durable[0] == stream.name]
        nc = await self._connected(service, "administrator")
        try:
            with suppress(StreamMissing):
                await JetStream(nc).ask(f"STREAM.DELETE.{stream.name}")
            await provision(nc, [stream], durables, replicas=self._replicas)
        finally:
            await jetstream.disconnect(nc)

    async def open(self) -> None:
        for service in self.services:
            self._connections[service] = await self._connected(service, "service")

    async def close(self) -> None:
        for nc in self._connections.values():
            await jetstream.disconnect(nc)

    async def _connected(self, service: str, job: Job) -> Nats:
        seed = self._secrets.seed(service, job)
        if job == "administrator" and not seed.exists():
            hint = "Put the administrator's folder back for as long as this takes."
            raise Failure("repair.not-administrator", f"To delete a stream takes {seed}, which is not there.", hint)
        prefix = inbox(service) if job == "service" else inbox(job)
        return await connect(self._url, Credential.read(seed, own_stream=account(service), inbox=prefix), name=f"repair-{job}")


@asynccontextmanager
async def halted(secrets: DeploymentSecrets, database: str, nats: str, replicas: int) -> AsyncGenerator[Halted]:
    """The services of a deployment; `database` is an address without a user. Raises Failure `repair.running` where one still runs."""
    urls = {service: _address(secrets, database, service) for service in SERVICES}
    for service, url in urls.items():
        if connections := _connections(create_engine(url, poolclass=NullPool)):
            shown = f"{service} has {connections} connections to the database: it runs."
            raise Failure("repair.running", shown, "Stop all five services, then repair.")
    with tempfile.TemporaryDirectory(prefix="vekha-halted-") as scratch:
        apart = _Apart(secrets, nats, replicas, dict(_services(secrets, urls, Path(scratch))))
        try:
            await apart.open()
            yield apart
        finally:
            await apart.close()
            for service in apart.services.values():
                await service.stop()


def _address(secrets: DeploymentSecrets, database: str, service: str) -> URL:
    url = make_url(database).set(drivername="postgresql+psycopg", username=service)
    return database_url(url.render_as_string(hide_password=False), secrets.passwords(service)[0])


def _connections(engine: Engine) -> int:
    """How many connections a service has open, seen with its own eyes."""
    with engine.connect() as connection:
        return connection.execute(text(_ITS_CONNECTIONS)).scalar_one()


def _services(secrets: DeploymentSecrets, urls: Mapping[str, URL], scratch: Path) -> Iterator[tuple[str, Service]]:
    for name, url in urls.items():
        settings = Settings(
            name=name,
            database_url=url,
            nats_url="",
            nats_credential=Credential.read(secrets.seed(name, "service"), own_stream=account(name), inbox=inbox(name)),
            secrets=Secrets(secrets.service(name), of=name, rotated=scratch),
            clock=RealClock(),
            migrates=False,
        )
        yield name, BUILDS[name](settings)
