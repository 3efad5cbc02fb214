"""The servers that a session of tests shares, in containers: the images that a deployment runs, where VEKHA_TEST_SERVERS=containers.

Without that the same suites run on the servers in the wheels, which need no Docker. Servers that a test kills, freezes or damages are
always those: whose processes they are is then known.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import TypeVar

from pydantic import SecretStr
from testcontainers.community.nats import NatsContainer
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from eventkit.broker import Credential

NATS = "nats:2.15-alpine"
POSTGRES = "postgres:18"

_OURS = "vekha.tests.of"
"""The label that says of which process's tests a container is."""


@dataclass(frozen=True)
class Bus:
    """A NATS server with JetStream: where it listens, and what it wants to be shown."""

    url: str
    credential: Credential


@contextmanager
def bus() -> Generator[Bus]:
    _prepare()
    credential = Credential(SecretStr(token_urlsafe(24)))
    shown = credential.password.get_secret_value()
    container = NatsContainer(NATS).with_command(["nats-server", "-js", "--user", credential.user, "--pass", shown])
    with _ours(container) as running:
        yield Bus(running.nats_uri(), credential)


@contextmanager
def postgres() -> Generator[str]:
    """The address of a PostgreSQL as a URL of its superuser, which believes everybody who they are, as the bundled one does."""
    _prepare()
    container = PostgresContainer(POSTGRES, username="postgres", dbname="postgres", driver=None)
    container.with_env("POSTGRES_HOST_AUTH_METHOD", "trust").with_command(["postgres", "-c", "max_connections=200"])
    with _ours(container) as running:
        yield running.get_connection_url()


C = TypeVar("C", bound=DockerContainer)


def _ours(container: C) -> C:
    return container.with_kwargs(labels={_OURS: str(os.getpid())})


def _prepare() -> None:
    """Removes what a session has left that was killed: the library's own keeper of containers is one more image to be had."""
    testcontainers_config.ryuk_disabled = True
    listing = ["docker", "ps", "--all", "--filter", f"label={_OURS}", "--format", f'{{{{.ID}}}} {{{{.Label "{_OURS}"}}}}']
    for line in subprocess.run(listing, check=True, capture_output=True, text=True).stdout.splitlines():
        container, _, pid = line.partition(" ")
        if not Path("/proc", pid).exists():
            subprocess.run(["docker", "rm", "--force", "--volumes", container], check=False, capture_output=True)
