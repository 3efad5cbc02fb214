"""What the suites of faults share. Each test says in the marker `fault` for which row of docs/faults.md it counts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventkit.testing_servers import PostgresServer
from tests import school
from tests.apart import Apart, running_apart
from tests.survival import Survival, Tell
from vekha.testing import Vekha

_HERE = Path(__file__).parent


@pytest.fixture
def survival(vekha: Vekha, record_property: Tell) -> Survival:
    return Survival(vekha, record_property)


@pytest.fixture
async def apart(tmp_path: Path, own_postgres: PostgresServer) -> AsyncIterator[Apart]:
    """Five services apart, and the small school on its first evening."""
    async with running_apart(tmp_path, own_postgres) as running:
        async with running.client() as client:
            await school.found(client.ask)
        yield running


@pytest.fixture(autouse=True)
def _row(request: pytest.FixtureRequest, record_property: Tell) -> None:
    marker = request.node.get_closest_marker("fault")
    if marker is not None:
        record_property("fault", marker.args[0])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        is_ours = item.path.is_relative_to(_HERE) and item.get_closest_marker("faults") is not None
        if is_ours and item.get_closest_marker("fault") is None:
            raise pytest.UsageError(f'{item.nodeid} does not say which fault it is: give it the marker fault("…")')
