"""Makes a deployment's secrets, once. None of them has a default, and none stands in an environment variable."""

from __future__ import annotations

import os
import secrets as randomness
from pathlib import Path
from typing import Any

import nkeys  # pyright: ignore[reportMissingTypeStubs] -- it has no types

from contracts.call import Role
from contracts.event import SERVICES
from eventkit.accounts import USERS, configuration
from eventkit.clock import RealClock
from eventkit.secrets import OPERATOR, Secrets
from eventkit.tokens import Actor, Tokens
from vekha.deployment.layout import DeploymentSecrets
from vekha.deployment.readers import readers
from vekha.failures import Failure

NODES = ("nats", "nats-2", "nats-3")
"""The nodes of the bus, by the names of their containers; the first is there without the others, too."""

_NODE = "node"
_SEED_BYTES = 32
_PASSWORD_BYTES = 24


def make(secrets: DeploymentSecrets) -> None:
    """Makes all secrets, or none. Raises Failure `secrets.exist` where there are some already, and `secrets.unwritable`."""
    if secrets.root.exists():
        text = f"{secrets.root} is there already: what it holds opens the databases of a running system."
        raise Failure("secrets.exist", text, "To take up new contracts of calls, type: vekha deploy accounts")
    unfinished = DeploymentSecrets(secrets.root.with_name(f"{secrets.root.name}.new"))
    if unfinished.root.exists():
        raise Failure("secrets.unfinished", f"{unfinished.root} was left by a run that was cut off.", "Delete that folder, and try again.")
    try:
        unfinished.root.parent.mkdir(parents=True, exist_ok=True)
        unfinished.root.mkdir(mode=0o700)
    except OSError as error:
        text = f"{secrets.root} cannot be made: {(error.strerror or type(error).__name__).lower()}."
        raise Failure("secrets.unwritable", text, "Choose another folder, or give this user the right.") from error
    folders = {service: unfinished.service(service) for service in SERVICES} | {OPERATOR: unfinished.operator.secrets_folder}
    Secrets.make_apart(folders)
    for user in USERS:
        _keep_seed(unfinished.seed(*user), unfinished.public_key(*user))
    for service in SERVICES:
        _keep_twice(unfinished.passwords(service))
        _keep(unfinished.owner_password(service), _password())
    _keep_seed(unfinished.operator_seed, unfinished.operators_public_key)
    _keep_twice(unfinished.auditor_passwords)
    _keep_twice(unfinished.superuser_passwords)
    # The server's image chooses a user of its own to read it. On the host the folder around it is closed.
    unfinished.superuser_passwords[0].chmod(0o444)
    operators = Secrets.key_of(unfinished.operator.secrets_folder, OPERATOR)
    token = Tokens(OPERATOR, operators, {OPERATOR: operators.public_key()}, RealClock()).mint(Actor(Role.OPERATOR), lifetime_s=None)
    _keep(unfinished.operator.secrets_folder / "operator.token", token)
    _keep(unfinished.cluster, _cluster())
    write_accounts(unfinished)
    unfinished.root.rename(secrets.root)


def write_accounts(secrets: DeploymentSecrets) -> None:
    """Writes the server's accounts anew, as the contracts of today have them; keys stay."""
    public_keys = {user: secrets.public_key(*user).read_text().strip() for user in USERS}
    secrets.accounts.write_text(configuration(readers(), public_keys, secrets.operators_public_key.read_text().strip()))


def complete(secrets: DeploymentSecrets) -> None:
    """Makes what an older version of this program did not make yet, for the owner of all the others."""
    owner = secrets.root.stat()
    if not secrets.auditor_passwords[0].exists():
        for path in secrets.auditor_passwords:
            path.unlink(missing_ok=True)  # of a run that was cut off
        _keep_twice((secrets.auditor_passwords[1], secrets.auditor_passwords[0]))
        for path in secrets.auditor_passwords:
            os.chown(path, owner.st_uid, owner.st_gid)
    if not secrets.cluster.exists():
        _keep(secrets.cluster, _cluster())
        os.chown(secrets.cluster, owner.st_uid, owner.st_gid)


def give_to(secrets: DeploymentSecrets, user: int, group: int) -> None:
    """Makes a user of the containers the owner of all: root's files would be closed to them."""
    for path in (secrets.root, *secrets.root.rglob("*")):
        os.chown(path, user, group)


def _cluster() -> str:
    """The part `cluster` of a node's configuration, for nodes with the names that `deploy/cluster.yml` gives them."""
    password = _password()
    routes = ", ".join(f'"nats-route://{_NODE}:{password}@{node}:6222"' for node in NODES)
    return f"""cluster {{
    name: "vekha"
    listen: "0.0.0.0:6222"
    # Clients know the nodes by their names: an address would be on no certificate, and nothing outside of the containers' network.
    no_advertise: true
    authorization {{ user: "{_NODE}", password: "{password}", timeout: 5 }}
    routes: [{routes}]
    include "routes-tls.conf"
}}"""


def _keep_seed(path: Path, public: Path) -> None:
    """A new nkey: its seed for who shows it, its public key for the server."""
    library: Any = nkeys
    seed: bytes = library.encode_seed(os.urandom(_SEED_BYTES), library.PREFIX_BYTE_USER)
    _keep(path, seed.decode())
    _keep(public, library.from_seed(bytearray(seed)).public_key.decode())


def _keep_twice(paths: tuple[Path, Path]) -> None:
    password = _password()
    for path in paths:
        _keep(path, password)


def _password() -> str:
    return randomness.token_urlsafe(_PASSWORD_BYTES)


def _keep(path: Path, secret: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")
