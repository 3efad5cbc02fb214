"""The histories of the services' tables: where they end is what the programs have, on both engines, from nothing and from before."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, text
from sqlalchemy.engine import URL
from sqlalchemy.schema import CreateSchema

from contracts.event import SERVICES
from eventkit import log
from eventkit.database import Database, sqlite_url
from eventkit.secrets import Secrets
from eventkit.service import Service
from vekha.deployment.readers import built


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    return Secrets.make(tmp_path_factory.mktemp("secrets") / "secrets")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("fresh_postgres")).replace("postgresql:", "postgresql+psycopg:")
    (tmp_path / "db").mkdir()
    return sqlite_url(tmp_path / "db" / "one.db").render_as_string()


@contextmanager
def opened(service: str, url: str | URL, secrets: Secrets) -> Generator[Service]:
    one = built(service, str(url), secrets)
    try:
        yield one
    finally:
        for database in one.databases:
            database.close()


def differences(database: Database) -> Sequence[Any]:
    """What would have to be migrated to come from the database to the program."""
    flat = MetaData()
    for metadata in database.tables:
        for table in metadata.sorted_tables:
            schema = None if database.is_sqlite else table.schema
            table.to_metadata(flat, schema=schema)  # pyright: ignore[reportArgumentType] -- None means no schema, and the types leave it out
    schema = next(iter(flat.tables.values())).schema

    def is_ours(name: str | None, kind: str, parents: Any) -> bool:
        return kind != "schema" or name == schema

    with database.reading() as connection:
        options = {"include_schemas": True, "include_name": is_ours, "version_table_schema": schema}
        return compare_metadata(MigrationContext.configure(connection, opts=options), flat)


def catalog(database: Database) -> set[tuple[Any, ...]]:
    """What the engine itself says of the tables, collations and kinds of storage included, which alembic does not look at."""
    with database.reading() as connection:
        if database.is_sqlite:
            made = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"))
            return {(name, *sorted(line.strip(" ,\t") for line in sql.splitlines())) for name, sql in made}
        return {tuple(row) for query in _CATALOG for row in connection.execute(text(query))}


_CATALOG = (
    """
    SELECT table_schema, table_name, column_name, ordinal_position, data_type, collation_name, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema IN ('public', 'keys') AND table_name <> 'alembic_version'
    """,
    """
    SELECT schemaname, tablename, indexname, indexdef
    FROM pg_indexes WHERE schemaname IN ('public', 'keys') AND tablename <> 'alembic_version'
    """,
)


@pytest.mark.parametrize("service", SERVICES)
def test_where_a_history_ends_is_what_the_program_has(service: str, url: str, secrets: Secrets) -> None:
    with opened(service, url, secrets) as one:
        one.make_tables()
        for database in one.databases:
            assert differences(database) == []
        migrated = {entry for database in one.databases for entry in catalog(database)}
        emptied(one)
        for database in one.databases:
            made_at_once(database)
        assert migrated ^ {entry for database in one.databases for entry in catalog(database)} == set()


@pytest.mark.parametrize("service", SERVICES)
def test_tables_from_before_there_was_a_history_are_taken_into_it_with_what_they_hold(service: str, url: str, secrets: Secrets) -> None:
    with opened(service, url, secrets) as one:
        for database in one.databases:
            made_at_once(database)
        with one.database.writing() as connection:
            log.begin(connection, service)
            before = log.log_id(connection)
        one.make_tables()
        with one.database.reading() as connection:
            assert log.log_id(connection) == before
        for database in one.databases:
            assert differences(database) == []


def emptied(one: Service) -> None:
    """Takes everything away."""
    for database in one.databases:
        with database.writing() as connection:
            found = MetaData()
            for schema in (None,) if database.is_sqlite else (None, "keys"):
                found.reflect(connection, schema=schema)
            found.drop_all(connection)


def made_at_once(database: Database) -> None:
    """Makes the tables as the program has them, without a history."""
    with database.writing() as connection:
        for metadata in database.tables:
            for table in metadata.sorted_tables:
                if table.schema is not None and not database.is_sqlite:
                    connection.execute(CreateSchema(table.schema, if_not_exists=True))
            metadata.create_all(connection)
