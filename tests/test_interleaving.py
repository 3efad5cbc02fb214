"""The plan is a pure function of a join (DESIGN 2.5): in whatever order the five logs arrive, the same board comes of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.call import Role
from eventkit.database import Database, sqlite_url
from eventkit.projection import Checkpointed, Delivered, Projection, delivered
from eventkit.tokens import Actor
from plan_tracker.answers import explanation, school_board
from plan_tracker.boards import Boards
from plan_tracker.projections import BoardProjection, digest
from tests import private_tables, record
from tests.conftest import Lived
from tests.school import SCHOOL
from vekha.builds import BUILDS
from vekha.folder import DataFolder
from vekha.records import reading

_OPERATOR = Actor(Role.OPERATOR)
_MOST_AT_ONCE = 40


@pytest.fixture(scope="module")
def deliveries(lived: Lived) -> dict[str, list[Delivered]]:
    """What each of the five bus streams brings, in its order."""
    return {source: [delivered(source, message) for message in messages] for source, messages in record.logs(lived.data).items()}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("interleaved")


def interleaved(deliveries: dict[str, list[Delivered]], random: Random) -> Iterator[list[Delivered]]:
    """The five logs dealt into batches, each log in its own order; now and then something comes a second time."""
    rest = {source: list(reversed(log)) for source, log in deliveries.items() if log}
    dealt: list[Delivered] = []
    while rest:
        batch = random.sample(dealt, min(len(dealt), random.choice((0, 0, 3))))
        for _ in range(random.randint(1, _MOST_AT_ONCE)):
            source = random.choice(sorted(rest))
            batch.append(rest[source].pop())
            if not rest[source]:
                del rest[source]
            if not rest:
                break
        dealt += batch
        yield batch


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(random=st.randoms(use_true_random=False))
def test_any_interleaving_of_the_five_logs_ends_in_the_live_board_and_its_timelines(
    lived: Lived, deliveries: dict[str, list[Delivered]], scratch: Path, random: Random
) -> None:
    file = scratch / "plan.db"
    file.unlink(missing_ok=True)
    database, boards = Database(sqlite_url(file), "plan"), Boards()
    try:
        checkpointed = Checkpointed(database, BoardProjection())
        checkpointed.create()
        for batch in interleaved(deliveries, random):
            checkpointed.apply(batch)
            if random.random() < 0.3:  # a board that somebody looked at is kept, and brought up to date at the next look
                with database.reading() as connection, boards.look(connection) as look:
                    look.board(SCHOOL).progress()
        with database.reading() as connection, boards.look(connection) as look:
            shown = {day: school_board(look, SCHOOL, day, _OPERATOR).model_dump_json() for day in lived.boards}
            explained = [explanation(look, SCHOOL, step, max(lived.boards), _OPERATOR).model_dump_json() for step in range(1, 22)]
            found = digest(connection), record.rows(connection, BoardProjection())
    finally:
        database.close()
    assert shown == lived.boards
    assert explained == lived.explanations
    with reading(DataFolder(lived.data), "plan") as connection:
        assert found == (digest(connection), record.rows(connection, BoardProjection()))


EACH = pytest.mark.parametrize(("service", "projection"), record.PROJECTIONS, ids=lambda one: getattr(one, "name", one))


@EACH
def test_a_rebuild_ends_in_the_rows_of_the_live_projection(lived: Lived, tmp_path: Path, service: str, projection: Projection) -> None:
    rows = record.rebuilt(projection, record.logs(lived.data), tmp_path / "rebuilt.db")
    assert rows == record.projected(lived.data, service, projection)


@EACH
@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(random=st.randoms(use_true_random=False))
def test_any_interleaving_of_its_sources_ends_in_the_rows_of_the_live_projection(
    lived: Lived, deliveries: dict[str, list[Delivered]], scratch: Path, service: str, projection: Projection, random: Random
) -> None:
    file = scratch / f"{service}-{projection.name}.db"
    file.unlink(missing_ok=True)
    database = Database(sqlite_url(file), service)
    try:
        checkpointed = Checkpointed(database, projection)
        checkpointed.create()
        for batch in interleaved({source: deliveries[source] for source in projection.sources}, random):
            checkpointed.apply(batch)
        with database.reading() as connection:
            found = record.rows(connection, projection)
    finally:
        database.close()
    assert found == record.projected(lived.data, service, projection)


def test_all_projections_of_all_services_are_compared(tmp_path: Path) -> None:
    built = {name: build(private_tables.settings(tmp_path / name, name)) for name, build in BUILDS.items()}
    kept = {(name, projection.name) for name, service in built.items() for projection in service.projections}
    assert kept == {(service, projection.name) for service, projection in record.PROJECTIONS}


def test_the_weeks_are_worth_interleaving(lived: Lived) -> None:
    types = {event.type for messages in record.logs(lived.data).values() for event in record.events(messages)}
    assert {
        "consent.consent-refused.v1",
        "consent.consent-withdrawn.v1",
        "identity.account-blocked.v1",
        "plan.announcement-corrected.v1",
        "plan.step-reopened.v1",
        "roster.class-closed.v1",
        "notifier.message-queued.v2",
    } <= types
    late = [event for messages in record.logs(lived.data).values() for event in record.events(messages)]
    assert any(date.fromisoformat(event.happenedon) < date.fromisoformat(event.recordedat[:10]) for event in late)
