"""`vekha deploy`: what a deployment with containers needs before its services start. Whoever runs all in one process needs none of it."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import psycopg
import sqlalchemy.exc
from sqlalchemy.engine import make_url

from contracts.event import SERVICES
from vekha import output
from vekha.failures import Exit, Failure
from vekha.loop import run
from vekha.options import json_option

if TYPE_CHECKING:
    from vekha.deployment.layout import DeploymentSecrets

_LAST_ID = 2**32 - 2


class _Address(click.ParamType[str]):
    """Where a database is, without a user: who that is differs from job to job."""

    name = "URL"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            found = make_url(value)
        except (sqlalchemy.exc.ArgumentError, ValueError):
            found = None
        if found is None or found.get_backend_name() != "postgresql" or not found.host or not found.database:
            self.fail(f"{value!r} is no address of a database: write postgresql://host:port/name.", param, ctx)
        return value


class _Owner(click.ParamType[tuple[int, int]]):
    name = "UID:GID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        user, _, group = str(value).partition(":")
        ids = (user, group or user)
        if not all(re.fullmatch(r"[0-9]{1,10}", one) and int(one) <= _LAST_ID for one in ids):
            self.fail(f"{value!r} is no user: write two numbers, as 10001:10001.", param, ctx)
        return int(ids[0]), int(ids[1])


class _Host(click.ParamType[str]):
    name = "HOST"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            if not re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})*", value):
                self.fail(f"{value!r} is no name of a host and no address. One in Cyrillic is written as xn--….", param, ctx)
        return value


class _Deploying(click.Group):
    """What keeps an operator from it, in their words: their files, the database."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FileNotFoundError as error:
            hint = "`make secrets` makes all of a new deployment; `vekha deploy accounts` makes what an older version did not."
            raise Failure("secret.missing", f"{error.filename} is not there.", hint) from error
        except PermissionError as error:
            text = f"{error.filename} is closed to this user."
            raise Failure("secret.not-permitted", text, "Type it as the owner of the secrets, or as root.") from error
        except (psycopg.OperationalError, sqlalchemy.exc.OperationalError) as error:
            raise _kept_out(error) from error


def _kept_out(error: psycopg.OperationalError | sqlalchemy.exc.OperationalError) -> Failure:
    cause = error.orig if isinstance(error, sqlalchemy.exc.OperationalError) else error
    if isinstance(cause, psycopg.errors.LockNotAvailable):
        text = "Somebody uses a table that is to be changed, so nothing was."
        return Failure("database.busy", text, "Type it again; nothing is half done.")
    text = f"The database does not let us in: {str(cause).strip()}"
    hint = "Is the address right, is it up, and are its passwords those in the secrets? The superuser's stays that of its volume."
    return Failure("database.unreachable", text, hint, exit_code=Exit.UNREACHABLE)


_secrets = click.option(
    "--secrets",
    type=click.Path(path_type=Path, file_okay=False),
    default="deploy/secrets",
    show_default=True,
    envvar="VEKHA_DEPLOYMENT_SECRETS",
    help="The folder of the deployment's secrets.",
)
_database = click.option(
    "--database",
    type=_Address(),
    envvar="VEKHA_DATABASE",
    required=True,
    help="The database without a user: postgresql://host:port/name.",
)


_nats = click.option("--nats", metavar="URL", envvar="VEKHA_NATS_URL", required=True, help="Where the bus listens.")
_replicas = click.option(
    "--replicas", type=click.IntRange(1, 5), default=1, envvar="VEKHA_REPLICAS", help="How many nodes keep each stream."
)


@click.group(cls=_Deploying)
def deploy() -> None:
    """Make secrets, streams, roles and tables for services in containers, and mend what they have lost."""


@deploy.command()
@_secrets
@click.option("--owner", type=_Owner(), help="Give all to this user: the one as whom the containers run. Needs root.")
@json_option
def secrets(secrets: Path, owner: tuple[int, int] | None, as_json: bool) -> None:
    """Make every secret of a deployment, once, each in the folder of who needs it."""
    from vekha.deployment import making
    from vekha.deployment.layout import DeploymentSecrets

    made = DeploymentSecrets(secrets)
    making.make(made)
    if owner is not None:
        making.give_to(made, *owner)
    if as_json:
        output.print_json({"secrets": str(secrets)})
        return
    click.echo(f"{secrets} holds the secrets. Keep {secrets / 'administrator'} off this machine, and a copy of all of it in a safe place.")


@deploy.command()
@_secrets
@json_option
def accounts(secrets: Path, as_json: bool) -> None:
    """Make what an older version did not make yet, and write the bus's accounts anew, as the contracts have them now; keys stay."""
    from vekha.deployment import making
    from vekha.deployment.layout import DeploymentSecrets

    found = DeploymentSecrets(secrets)
    making.complete(found)
    making.write_accounts(found)
    if as_json:
        output.print_json({"accounts": str(found.accounts)})
        return
    click.echo(f"{found.accounts} is written. The server takes it up when it is told to reload its configuration.")


@deploy.command()
@_secrets
@click.option("--name", "names", type=_Host(), multiple=True, help="A name or address by which clients outside reach the bus.")
@json_option
def certificates(secrets: Path, names: Sequence[str], as_json: bool) -> None:
    """Make the certificates of bus and database, or make them anew before they expire; from then on clients ask for them.

    They are issued by an authority of the deployment's own, whose key stands in SECRETS/administrator and is needed here alone.
    """
    from vekha.deployment import certifying
    from vekha.deployment.layout import DeploymentSecrets

    until = certifying.certify(DeploymentSecrets(secrets), names)
    if as_json:
        output.print_json({"until": until.isoformat()})
        return
    click.echo(f"The certificates hold until {until}. Bring the containers up with deploy/tls.yml; see deploy/README.md.")


@deploy.command()
@_secrets
@_database
@json_option
def roles(secrets: Path, database: str, as_json: bool) -> None:
    """Make the roles and the empty schemas that are missing: what a backup is put back into."""
    from vekha.deployment.layout import DeploymentSecrets

    _make_roles(DeploymentSecrets(secrets), database)
    if as_json:
        output.print_json({"services": SERVICES})
        return
    click.echo(f"The roles and schemas of {', '.join(SERVICES)} are there.")


@deploy.command()
@_secrets
@_database
@_nats
@_replicas
@json_option
def provision(secrets: Path, database: str, nats: str, replicas: int, as_json: bool) -> None:
    """Make the streams, durables, roles and schemas that are missing, then bring the tables up to date."""
    from vekha.deployment.layout import DeploymentSecrets
    from vekha.deployment.migrating import migrate
    from vekha.deployment.provisioning import provision_bus
    from vekha.deployment.readers import readers

    found = DeploymentSecrets(secrets)
    _make_roles(found, database)
    migrated = migrate(found, database)
    durables = readers()
    run(provision_bus(found, nats, durables, replicas))
    if as_json:
        output.print_json({"migrated": migrated, "durables": len(durables), "replicas": replicas})
        return
    click.echo(f"The tables of {', '.join(migrated)} are up to date; {len(durables)} durables read {len(migrated)} streams.")


@deploy.command()
@_secrets
@_database
@_nats
@_replicas
@click.option("--accept", multiple=True, metavar="EVENT", help="This event, for which no seal speaks, happened.")
@click.option("--discard", multiple=True, metavar="EVENT", help="This event and what follows it never happened.")
@json_option
def repair(secrets: Path, database: str, nats: str, replicas: int, accept: tuple[str, ...], discard: tuple[str, ...], as_json: bool) -> int:
    """Take back from the bus what a database that was restored lacks, as far as seals speak for it. The services are stopped first."""
    from vekha import repairing
    from vekha.deployment.halting import halted
    from vekha.deployment.layout import DeploymentSecrets
    from vekha.doctor import say_repaired

    halting = halted(DeploymentSecrets(secrets), database, nats, replicas)
    done = run(repairing.repair(halting, accepted=accept, discarded=discard))
    return say_repaired(done, "vekha deploy repair", as_json=as_json)


@deploy.command("rebuild-stream")
@click.argument("service", type=click.Choice(SERVICES))
@_secrets
@_database
@_nats
@_replicas
@json_option
def rebuild_stream(service: str, secrets: Path, database: str, nats: str, replicas: int, as_json: bool) -> int:
    """Make a service's bus stream anew from its log. The services are stopped first; it takes the administrator's seed."""
    from vekha import repairing
    from vekha.deployment.halting import halted
    from vekha.deployment.layout import DeploymentSecrets
    from vekha.doctor import say_rebuilt

    halting = halted(DeploymentSecrets(secrets), database, nats, replicas)
    return say_rebuilt(service, run(repairing.rebuild_stream(halting, service)), as_json=as_json)


def _make_roles(secrets: DeploymentSecrets, database: str) -> None:
    from eventkit.database import encrypted
    from vekha.deployment.provisioning import provision_roles

    password = secrets.superuser_passwords[1].read_text().strip()
    superuser = encrypted(make_url(database), secrets.provisioner).set(
        drivername="postgresql", username=os.environ.get("VEKHA_SUPERUSER", "postgres"), password=password
    )
    with psycopg.connect(superuser.render_as_string(hide_password=False)) as connection:
        provision_roles(secrets, connection)
