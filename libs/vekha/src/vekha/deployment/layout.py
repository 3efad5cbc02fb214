"""The folder of a deployment's secrets: one folder for each who needs some, so that a container sees its own alone.

SECRETS/roster/ …           what `eventkit.alone` reads, for each service
SECRETS/provisioner/        what the one-shot jobs need: the database's superuser, the owners of the schemas, who makes the streams
SECRETS/administrator/      who may delete a stream: for the day on which one is rebuilt. Keep this folder off the machine
SECRETS/operator/secrets/   for the command line: `vekha --data SECRETS/operator --server …`
SECRETS/postgres/           the superuser's password, for the server itself
SECRETS/nats/accounts.conf  the server's accounts, which hold public keys alone
SECRETS/nats/cluster.conf   how the nodes of a cluster know each other
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from contracts.event import SERVICES
from eventkit.accounts import Job
from eventkit.alone import DATABASE_PASSWORD, SEED
from eventkit.secrets import AUTHORITY
from vekha.folder import DataFolder


@dataclass(frozen=True)
class DeploymentSecrets:
    """Where each secret of a deployment stands."""

    root: Path

    def service(self, service: str) -> Path:
        return self.root / service

    def seed(self, service: str, job: Job) -> Path:
        """The seed of the nkey of one of an account's users."""
        return self.service(service) / SEED if job == "service" else self.root / job / f"nats-{service}.seed"

    def public_key(self, service: str, job: Job) -> Path:
        return self.root / "nats" / f"{service}-{job}.public"

    @property
    def operators_public_key(self) -> Path:
        return self.root / "nats" / "operator.public"

    def passwords(self, service: str) -> tuple[Path, Path]:
        """What a service shows the database: where the service reads it, and where the provisioner does, who sees nothing else of it."""
        return self.service(service) / DATABASE_PASSWORD, self.root / "provisioner" / f"database-{service}.password"

    def owner_password(self, service: str) -> Path:
        """What the owner of a service's schema shows the database."""
        return self.root / "provisioner" / f"database-{service}-owner.password"

    @property
    def superuser_passwords(self) -> tuple[Path, Path]:
        """What the database's superuser shows: where the server reads it, and where the provisioner does."""
        return self.root / "postgres" / "superuser.password", self.root / "provisioner" / "superuser.password"

    @property
    def auditor_passwords(self) -> tuple[Path, Path]:
        """What the command line shows the database when it looks into the record: where it reads it, and where the provisioner does."""
        return self.operator.secrets_folder / DATABASE_PASSWORD, self.root / "provisioner" / "database-auditor.password"

    @property
    def provisioner(self) -> Path:
        return self.root / "provisioner"

    @property
    def cluster(self) -> Path:
        """What a node of the bus shows the others, and where they are."""
        return self.root / "nats" / "cluster.conf"

    @property
    def authority_key(self) -> Path:
        """What certificates are issued with."""
        return self.root / "administrator" / "ca.key"

    def authorities(self) -> list[Path]:
        """Where it is told by whom certificates are issued: beside the secrets of each client, and of the nodes, which are each other's."""
        folders = [self.service(service) for service in SERVICES] + [self.provisioner, self.operator.secrets_folder, self.root / "nats"]
        return [folder / AUTHORITY for folder in folders]

    def certificate(self, server: Literal["nats", "postgres"]) -> Path:
        """A server's certificate and its key, in one file."""
        return self.root / server / "server.pem"

    @property
    def accounts(self) -> Path:
        return self.root / "nats" / "accounts.conf"

    @property
    def operator(self) -> DataFolder:
        """What the command line takes for a data folder."""
        return DataFolder(self.root / "operator")

    @property
    def operator_seed(self) -> Path:
        return self.operator.secrets_folder / "broker.password"
