"""Who reads what: the durables that the services ask for, as they themselves say."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy.engine import make_url

from eventkit.accounts import Reader
from eventkit.broker import Credential
from eventkit.clock import RealClock
from eventkit.secrets import Secrets
from eventkit.service import Service, Settings
from vekha.builds import BUILDS


def built(service: str, database_url: str, secrets: Secrets) -> Service:
    """A service that is not to run, for what can be told of it at rest."""
    nowhere = Credential(SecretStr("none"))
    settings = Settings(
        name=service, database_url=make_url(database_url), nats_url="", nats_credential=nowhere, secrets=secrets, clock=RealClock()
    )
    return BUILDS[service](settings)


def readers() -> list[Reader]:
    """Every durable of every service's."""
    with tempfile.TemporaryDirectory(prefix="vekha-readers-") as scratch:
        secrets = Secrets.make(Path(scratch) / "secrets")
        found: list[Reader] = []
        for service in BUILDS:
            one = built(service, f"sqlite:///{scratch}/{service}.db", secrets)
            found += [Reader(stream, durable, service) for stream, durable in one.durables]
            one.database.close()
        return found
