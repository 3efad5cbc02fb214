"""What has to be there before the services start, made where it is missing: streams and durables, roles and schemas.

Of each service's schema an owner of its own makes the tables. The service itself reads and writes rows; it adds to the log, and changes
nothing that stands there.
"""

from __future__ import annotations

from typing import LiteralString

import psycopg
from psycopg import sql

from contracts.event import SERVICES
from eventkit import accounts, exchange, jetstream
from eventkit.accounts import Reader, account, inbox
from eventkit.broker import Credential
from eventkit.log import command_table, head_table, log_table
from eventkit.migrations import VERSION_TABLE
from eventkit.projection import checkpoint_table
from eventkit.provision import BUS_STREAMS, SEALS, provision
from eventkit.seals import seal_table
from roster.keys import SCHEMA as KEYS
from vekha.deployment.connecting import connect
from vekha.deployment.layout import DeploymentSecrets
from vekha.records import AUDITOR
from vekha.replay import PROJECTIONS

_CONNECTIONS = 100
"""How many a role may have: two processes of a service get by with them, and one that is taken over leaves room for the others (of 300)."""

_FOR_ANYBODY: tuple[LiteralString, ...] = (
    *("pg_advisory_lock", "pg_advisory_lock_shared", "pg_advisory_xact_lock", "pg_advisory_xact_lock_shared"),
    *("pg_try_advisory_lock", "pg_try_advisory_lock_shared", "pg_try_advisory_xact_lock", "pg_try_advisory_xact_lock_shared"),
    *("lo_creat", "lo_create", "lo_from_bytea"),
)
"""What PostgreSQL lets everybody do with what is nobody's: take locks for which a migration would wait, and store large objects."""
_SIGNATURES = "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY(%s)"

_ONLY_ADDED_TO = (log_table.name, command_table.name, seal_table.name)
_RECORD = (head_table.name, log_table.name, seal_table.name, checkpoint_table.name)


async def provision_bus(secrets: DeploymentSecrets, url: str, readers: list[Reader], replicas: int) -> None:
    """Makes each stream, and the durables by which it is read, under the account of who owns it."""
    for whose, stream in [*((stream.service, stream) for stream in BUS_STREAMS), (accounts.SEALS, SEALS)]:
        seed = secrets.seed(whose, "provisioner")
        credential = Credential.read(seed, own_stream=account(whose), inbox=inbox("provisioner"))
        nc = await connect(url, credential, name="the provisioner")
        try:
            durables = [(reader.stream, reader.durable) for reader in readers if reader.stream == stream.name]
            await provision(nc, [stream], durables, replicas=replicas)
        finally:
            await jetstream.disconnect(nc)


def owner(service: str) -> str:
    """The role that owns a service's tables."""
    return f"{service}_owner"


def provision_roles(secrets: DeploymentSecrets, connection: psycopg.Connection) -> None:
    """Makes each service's role and its schema's owner, with the passwords that their files hold now."""
    connection.autocommit = True
    database = connection.info.dbname
    _run(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", sql.Identifier(database))
    for (function,) in connection.execute(_SIGNATURES, [list(_FOR_ANYBODY)]).fetchall():
        connection.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC".encode())
    for service in SERVICES:
        passwords = {owner(service): secrets.owner_password(service), service: secrets.passwords(service)[1]}
        for role, file in passwords.items():
            _make_role(connection, role, file.read_text().strip())
            _run(connection, "GRANT CONNECT ON DATABASE {} TO {}", sql.Identifier(database), sql.Identifier(role))
            _run(connection, "ALTER ROLE {} SET search_path = {}", sql.Identifier(role), sql.Identifier(service))
        _run(connection, "GRANT EXECUTE ON FUNCTION pg_catalog.pg_advisory_xact_lock(bigint) TO {}", sql.Identifier(owner(service)))
        # A version of a projection's rows beside the live one lies in a schema of its own.
        _run(connection, "GRANT CREATE ON DATABASE {} TO {}", sql.Identifier(database), sql.Identifier(owner(service)))
        _make_schema(connection, service, service)
    _make_schema(connection, KEYS, "roster")
    if secrets.auditor_passwords[1].exists():  # an older version made none
        _make_role(connection, AUDITOR, secrets.auditor_passwords[1].read_text().strip())
        _run(connection, "GRANT CONNECT ON DATABASE {} TO {}", sql.Identifier(database), sql.Identifier(AUDITOR))


def grant(connection: psycopg.Connection, service: str) -> None:
    """Lets a service use the tables that its schema's owner, who says so, has made."""
    role = sql.Identifier(service)
    for schema in (service, KEYS) if service == "roster" else (service,):
        tables = [row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema])]
        for table in tables:
            name = sql.Identifier(schema, table)
            _run(connection, "REVOKE ALL ON {} FROM {}", name, role)
            if table == VERSION_TABLE:
                _run(connection, "GRANT SELECT ON {} TO {}", name, role)
            elif table in _ONLY_ADDED_TO:
                _run(connection, "GRANT SELECT, INSERT ON {} TO {}", name, role)
            elif table == head_table.name:
                _run(connection, "GRANT SELECT, UPDATE (position, hash, recorded_at) ON {} TO {}", name, role)
            else:
                _run(connection, "GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}", name, role)
        _run(connection, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {} TO {}", sql.Identifier(schema), role)
    for function in exchange.FUNCTIONS:
        _run(connection, "GRANT EXECUTE ON FUNCTION {}." + function + " TO {}", sql.Identifier(service), role)
    _let_see(connection, service)


def _let_see(connection: psycopg.Connection, service: str) -> None:
    """Lets an auditor read the log, its seals, and what is derived from logs. What people told us, and what opens it, it cannot."""
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [AUDITOR]).fetchone() is None:
        return
    auditor = sql.Identifier(AUDITOR)
    _run(connection, "GRANT USAGE ON SCHEMA {} TO {}", sql.Identifier(service), auditor)
    derived = {table.name for whose, one in PROJECTIONS if whose == service for table in one.tables.sorted_tables}
    for table in (*_RECORD, *derived):
        if connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = %s", [service, table]).fetchone():
            _run(connection, "GRANT SELECT ON {} TO {}", sql.Identifier(service, table), auditor)


def _make_role(connection: psycopg.Connection, role: str, password: str) -> None:
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
        _run(connection, "CREATE ROLE {}", sql.Identifier(role))
    # The server, and what it logs, learn no password.
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    options = "ALTER ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT {} PASSWORD {}"
    _run(connection, options, sql.Identifier(role), sql.Literal(_CONNECTIONS), sql.Literal(verifier))
    # What a role has set for itself holds for all who come in as it, also when it is in good hands again.
    _run(connection, "ALTER ROLE {} RESET ALL", sql.Identifier(role))
    _run(connection, "ALTER ROLE {} IN DATABASE {} RESET ALL", sql.Identifier(role), sql.Identifier(connection.info.dbname))


def _make_schema(connection: psycopg.Connection, schema: str, service: str) -> None:
    names = sql.Identifier(schema), sql.Identifier(owner(service))
    _run(connection, "CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}", *names)
    _run(connection, "GRANT USAGE ON SCHEMA {} TO {}", sql.Identifier(schema), sql.Identifier(service))


def _run(connection: psycopg.Connection, statement: LiteralString, *parts: sql.Composable) -> None:
    connection.execute(sql.SQL(statement).format(*parts))
