"""Brings each service's tables to what this program expects, as the owner of its schema."""

from __future__ import annotations

import tempfile
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from eventkit.database import encrypted
from eventkit.secrets import Secrets
from vekha.builds import BUILDS
from vekha.deployment.layout import DeploymentSecrets
from vekha.deployment.provisioning import grant, owner
from vekha.deployment.readers import built


def migrate(secrets: DeploymentSecrets, database: str) -> list[str]:
    """Migrates all; answers the services in their order. `database` is an address without a user."""
    with tempfile.TemporaryDirectory(prefix="vekha-migrating-") as scratch:
        none = Secrets.make(Path(scratch) / "secrets")  # what builds a service wants some; to make tables needs none
        for service in BUILDS:
            password = secrets.owner_password(service).read_text().strip()
            url = encrypted(make_url(database), secrets.provisioner).set(
                drivername="postgresql+psycopg", username=owner(service), password=password
            )
            one = built(service, url.render_as_string(hide_password=False), none)
            try:
                one.make_tables()
            finally:
                for made in one.databases:
                    made.close()
            address = url.set(drivername="postgresql").render_as_string(hide_password=False)
            with psycopg.connect(address) as connection:  # at once: what runs meanwhile is never without what it may
                grant(connection, service)
    return list(BUILDS)
