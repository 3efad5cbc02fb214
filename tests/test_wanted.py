"""What a projection does not want says nothing to it: of each kind of event that was ever recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import event as engine_event

import contracts
from eventkit.database import Database, sqlite_url
from eventkit.event import decode
from eventkit.projection import Projection
from tests import record

SAMPLES = sorted((Path(contracts.__file__).parents[2] / "tests" / "samples").glob("*.json"))


@pytest.mark.parametrize(("service", "projection"), record.PROJECTIONS, ids=lambda one: one if isinstance(one, str) else one.name)
def test_a_projection_asks_and_writes_nothing_because_of_an_event_that_it_does_not_want(
    service: str, projection: Projection, tmp_path: Path
) -> None:
    database = Database(sqlite_url(tmp_path / "rows.db"), service)
    with database.writing() as connection:
        projection.tables.create_all(connection)
    followed = [sample for sample in map(Path.read_bytes, SAMPLES) if decode(sample).service in projection.sources]
    unwanted = [found for found in map(decode, followed) if not projection.wants(found.type)]
    assert unwanted
    assert len(unwanted) < len(followed)
    statements: list[str] = []
    with database.writing() as connection:
        engine_event.listen(connection, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
        for found in unwanted:
            projection.apply(connection, [found])
    assert statements == []
    database.close()
