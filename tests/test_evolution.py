"""Old versions of events are read as the newest wherever they are read: live, in a rebuild, after parking, and from an archive.

The golden samples of all versions are laid behind one another as five logs. Each way of reading them ends in the rows of the same logs in
which every event was recorded in its newest version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, MetaData

from contracts import SERVICES
from contracts.event import EVENTS, NO_SCHOOL, newest_name
from contracts.plan import BaselineRevised, CalendarPinned
from eventkit.database import Database, sqlite_url
from eventkit.event import Recorded, decode, encode
from eventkit.jetstream import BusMessage
from eventkit.projection import Checkpointed, Projection, delivered, parked_table
from tests import record
from vekha import replay

SAMPLES = Path(__file__).parents[1] / "libs" / "contracts" / "tests" / "samples"
OLD = sorted(name for name in EVENTS if newest_name(name) != name)

Logs = Mapping[str, Sequence[Recorded]]


def golden(*, lifted: bool) -> Logs:
    """The samples as logs, each in its own version or `lifted` to the newest."""
    logs: dict[str, list[Recorded]] = {service: [] for service in SERVICES}
    for sample in sorted(SAMPLES.glob("*.json")):
        event = decode(sample.read_bytes().strip())
        if event.type == BaselineRevised.type:  # it rests on a calendar that no sample pins
            continue
        log = logs[event.service]
        event = msgspec.structs.replace(event, position=len(log) + 1, school=NO_SCHOOL if event.type == CalendarPinned.type else "school-7")
        if lifted:
            name, data = event.facts()
            event = msgspec.structs.replace(event, type=name, data=msgspec.Raw(msgspec.json.encode(data)))
        log.append(event)
    return logs


def messages(log: Sequence[Recorded]) -> list[BusMessage]:
    return [(event.position, event.subject, encode(event)) for event in log]


class Troubled:
    """A projection that cannot take in old versions until it is mended."""

    def __init__(self, projection: Projection) -> None:
        self.name: str = projection.name
        self.sources: tuple[str, ...] = projection.sources
        self.tables: MetaData = projection.tables
        self.wants = projection.wants
        self.is_mended = False
        self._apply = projection.apply

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        if not self.is_mended and any(event.type in OLD for event in events):
            raise ValueError("not yet")
        self._apply(connection, events)


def in_one_go(checkpointed: Checkpointed, source: str, log: Sequence[Recorded]) -> None:
    checkpointed.apply([delivered(source, message, checkpointed.wants) for message in messages(log)])


def one_by_one(checkpointed: Checkpointed, source: str, log: Sequence[Recorded]) -> None:
    for message in messages(log):
        checkpointed.apply([delivered(source, message, checkpointed.wants)])


def rows(folder: Path, projection: Projection, logs: Logs, read: Callable[[Checkpointed, str, Sequence[Recorded]], None]) -> record.Rows:
    """A projection's rows after the logs, and what it has parked of them."""
    database = Database(sqlite_url(folder / f"{projection.name}-{len(list(folder.iterdir()))}.db"), "plan")
    try:
        checkpointed = Checkpointed(database, projection)
        checkpointed.create()
        for source in projection.sources:
            read(checkpointed, source, logs[source])
        if isinstance(projection, Troubled):
            projection.is_mended = True
            checkpointed.retry()
        with database.reading() as connection:
            found = record.rows(connection, projection)
            found["parked"] = sorted((row.source, row.position, row.waiting) for row in connection.execute(parked_table.select()))
        return found
    finally:
        database.close()


each = pytest.mark.parametrize(("service", "projection"), record.PROJECTIONS, ids=lambda one: getattr(one, "name", one))


@each
def test_live_rebuilt_and_retried_rows_of_old_versions_are_those_of_the_newest(
    tmp_path: Path, service: str, projection: Projection
) -> None:
    expected = rows(tmp_path, projection, golden(lifted=True), in_one_go)
    old = golden(lifted=False)
    assert rows(tmp_path, projection, old, one_by_one) == expected, "live"
    assert rows(tmp_path, projection, old, in_one_go) == expected, "rebuilt"
    assert rows(tmp_path, Troubled(projection), old, in_one_go) == expected, "parked and retried"


def test_a_replay_of_old_versions_ends_in_the_rows_of_the_newest() -> None:
    def source_of(logs: Logs) -> replay.Source:
        def events(service: str, end: int) -> Iterator[tuple[int, bytes]]:
            return ((event.position, encode(event)) for event in logs[service] if event.position <= end)

        return replay.Source({service: len(log) for service, log in logs.items()}, datetime.now(UTC), events)

    old, new = (source_of(golden(lifted=lifted)) for lifted in (False, True))
    before, after = (replay.replay(source, source.heads, date(2015, 9, 30), lambda: None) for source in (old, new))
    assert before.digests == after.digests
    assert list(before.boards) == ["school-7"]
    assert before.boards == after.boards


def test_there_are_old_versions_to_be_read() -> None:
    assert "plan.plan-adopted.v1" in OLD
    assert "consent.consent-granted.v1" in OLD
