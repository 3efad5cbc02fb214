"""The engines that a service's database may be: what takes `database` runs on each of them."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from eventkit.database import Database, sqlite_url


@pytest.fixture
def emptied_postgres(postgres_url: str) -> str:
    """The URL of an empty database, always the same one: to empty it is far quicker than to create another."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgres_url


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty log of roster's, in a database of its own."""
    url = sqlite_url(tmp_path / "roster.db") if request.param == "sqlite" else str(request.getfixturevalue("emptied_postgres"))
    database = Database(url, "roster")
    database.create()
    yield database
    database.close()
