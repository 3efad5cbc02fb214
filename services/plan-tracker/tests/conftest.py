"""The engines that the tracker's database may be: what takes `database` runs on each of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventkit.database import Database, sqlite_url


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of the tracker's."""
    url = sqlite_url(tmp_path / "plan.db") if request.param == "sqlite" else str(request.getfixturevalue("fresh_postgres"))
    database = Database(url, "plan")
    database.create()
    yield database
    database.close()
