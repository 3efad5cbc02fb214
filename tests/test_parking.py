"""What a reader cannot take in is parked with its school; tried again it leaves no trace, and a skip is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, MetaData

from contracts import plan, roster
from contracts.operations import HEAD, Nothing
from contracts.parking import SKIP_EVENTS, SKIP_PARKED, SkipParked, SkipReason
from contracts.plan import STATUS, StatusRequest
from eventkit import versions
from eventkit.database import Database, sqlite_url
from eventkit.event import Recorded
from eventkit.parking import skipped
from eventkit.projection import Checkpointed, Projection, delivered, parked_schools, sha256
from plan_tracker.projections import BoardProjection
from tests import record
from tests.conftest import Lived, instance
from tests.school import SCHOOL
from vekha import replay
from vekha.client import Client
from vekha.failures import Failure
from vekha.folder import DataFolder
from vekha.records import reading
from vekha.testing import Vekha

OTHER = "school-8"
BOARD = BoardProjection()


class Failing:
    """A projection that cannot take in some events until somebody mends it."""

    def __init__(self, projection: Projection, broken: Callable[[Recorded], bool]) -> None:
        self.name: str = projection.name
        self.sources: tuple[str, ...] = projection.sources
        self.tables: MetaData = projection.tables
        self.wants = projection.wants
        self.broken = broken
        self._projection = projection

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        if any(self.broken(event) for event in events):
            raise ValueError("not yet")
        self._projection.apply(connection, events)


@pytest.mark.parametrize(("service", "projection"), record.PROJECTIONS, ids=lambda one: getattr(one, "name", one))
@pytest.mark.parametrize("seed", range(3))
def test_what_is_retried_with_success_leaves_the_rows_as_if_it_had_never_failed(
    lived: Lived, tmp_path: Path, service: str, projection: Projection, seed: int
) -> None:
    random = Random(seed)
    messages = record.logs(lived.data)
    every = [(source, message[0]) for source in projection.sources for message in messages[source]]
    broken = set(random.sample(every, k=max(1, len(every) // 12)))
    failing = Failing(projection, lambda event: (event.service, event.position) in broken)
    database = Database(sqlite_url(tmp_path / "failing.db"), service)
    checkpointed = Checkpointed(database, failing)
    checkpointed.create()
    waiting = {source: list(messages[source]) for source in projection.sources}
    has_parked = False
    while any(waiting.values()) or broken:
        source = random.choice([source for source, left in waiting.items() if left] or list(waiting))
        size = random.randint(1, 40)
        # What comes behind an event of no school that failed is read again when its source goes on.
        reached = checkpointed.positions[source]
        run = [message for message in messages[source] if message[0] > reached][:size]
        checkpointed.apply([delivered(source, message) for message in run])
        waiting[source] = [message for message in messages[source] if message[0] > checkpointed.positions[source]]
        if random.random() < 0.3:
            broken.difference_update(random.sample(sorted(broken), k=(len(broken) + 1) // 2))
            applied, _ = checkpointed.retry(random.choice([None, source]))
            has_parked = has_parked or applied > 0
    assert checkpointed.retry()[1] == 0
    assert has_parked
    with database.reading() as connection:
        assert parked_schools(connection, projection.name) == {}
        rows = record.rows(connection, projection)
    database.close()
    assert rows == record.rebuilt(projection, messages, tmp_path / "sound.db")


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The positions of roster's log that the board cannot take in: to be filled, and emptied when that is mended."""
    positions: set[int] = set()
    whole = BoardProjection.apply

    def apply(self: BoardProjection, connection: Connection, events: Sequence[Recorded]) -> None:
        if any(event.service == "roster" and event.position in positions for event in events):
            raise ValueError("not yet")
        whole(self, connection, events)

    monkeypatch.setattr(BoardProjection, "apply", apply)
    return positions


async def hire(client: Client, school: str = SCHOOL) -> int:
    """Hires somebody; answers the position of the event."""
    details = roster.PersonName(last_name="Новикова", first_name="Нина")
    hiring = roster.HireStaff(school=school, details=details, position=roster.Position.TEACHER, hired_on=date(2015, 8, 17))
    return (await client.ask(roster.HIRE_STAFF, hiring)).at["roster"]


async def head(client: Client) -> int:
    return (await client.ask(HEAD["roster"], Nothing())).reply.position


async def board(client: Client, school: str = SCHOOL) -> plan.Board:
    return (await client.ask(STATUS, StatusRequest(school=school), up_to_date=True)).reply


async def open_other(client: Client) -> None:
    await client.ask(roster.OPEN_SCHOOL, roster.OpenSchool(school=OTHER, name="Другая", municipality="mytishchi"))
    await client.ask(plan.ADOPT_PLAN, plan.AdoptPlan(school=OTHER, start=date(2015, 8, 17)), up_to_date=True)


async def test_a_school_with_a_parked_event_is_incomplete_and_after_the_retry_as_if_nothing_had_been(
    lived: Lived, tmp_path: Path, vekha: Vekha, broken: set[int]
) -> None:
    data = lived.copy(tmp_path / "data", of_first_day=True)

    async def typed(*arguments: str) -> dict[str, Any]:
        return (await asyncio.to_thread(vekha, "parked", *arguments, "--data", data, "--json")).json

    async with instance(data) as client:
        await open_other(client)
        before = {school: (await board(client, school)).steps[7].total for school in (SCHOOL, OTHER)}
        first = await head(client) + 1
        broken.add(first)
        assert await hire(client) == first
        second = await hire(client)
        await hire(client, OTHER)
        shown, other = await board(client), await board(client, OTHER)
        assert (shown.incomplete, shown.parked) == (True, {"roster": (first, second)})
        assert (other.incomplete, other.steps[7].total) == (False, (before[OTHER] or 0) + 1)
        listed = (await typed("list", "--school", SCHOOL))["parked"]
        assert [(row["service"], row["reader"], row["position"], row["waiting"]) for row in listed] == [
            ("plan", "board", first, False),
            ("plan", "board", second, True),
        ]
        told = await typed("show", "plan", "board", "roster", str(first))
        assert (told["reason"], told["behind"], told["event"]["type"]) == ("ValueError in board", 1, "roster.staff-hired.v1")
        assert await typed("retry") == {"applied": 0, "left": 2}
        broken.clear()
        assert await typed("retry") == {"applied": 2, "left": 0}
        mended = await board(client)
        assert (mended.incomplete, mended.steps[7].total) == (False, (before[SCHOOL] or 0) + 2)
        assert (await typed("list"))["parked"] == []
    assert record.projected(data, "plan", BOARD) == record.rebuilt(BOARD, record.logs(data), tmp_path / "sound.db")


async def test_a_skip_is_recorded_once_and_whoever_builds_the_rows_anew_skips_the_same(
    lived: Lived, tmp_path: Path, vekha: Vekha, broken: set[int]
) -> None:
    data = lived.copy(tmp_path / "data", of_first_day=True)
    async with instance(data) as client:
        before = (await board(client)).steps[7].total or 0
        first = await head(client) + 1
        broken.add(first)
        await hire(client)
        second = await hire(client)
        await board(client)
        skip = SkipParked(reader="board", source="roster", position=first, reason=SkipReason.IMPOSSIBLE)
        for refused, code in ((second, "parked.waiting"), (second + 1, "parked.unknown")):
            with pytest.raises(Failure, match=rf"^{code}"):
                await client.ask(SKIP_PARKED["plan"], skip.model_copy(update={"position": refused}))
        ended = await asyncio.to_thread(
            vekha, "parked", "skip", "plan", "board", "roster", str(first), "--reason", "impossible", "--data", data
        )
        assert ended.out == f"plan's board goes on without roster {first}. 0 still parked of {SCHOOL}.\n"
        with pytest.raises(Failure, match=r"^parked\.unknown"):
            await client.ask(SKIP_PARKED["plan"], skip)
        shown = await board(client)
        assert (shown.incomplete, shown.steps[7].total) == (False, before + 1)
    logs = record.logs(data)
    recorded = [event for event in record.events(logs["plan"]) if event.type == "plan.event-skipped.v1"]
    bytes_of_it = next(message[2] for message in logs["roster"] if message[0] == first)
    assert [(event.school, event.event()) for event in recorded] == [
        (
            SCHOOL,
            SKIP_EVENTS["plan"](reader="board", source="roster", position=first, sha256=sha256(bytes_of_it), reason=SkipReason.IMPOSSIBLE),
        )
    ]
    broken.clear()  # even a program that could take it in leaves it out
    async with instance(data) as client:
        assert (await board(client)).steps[7].total == before + 1
    with reading(DataFolder(data), "plan") as connection:
        skips = skipped(connection, "board")
    rebuilt = record.rebuilt(BOARD, logs, tmp_path / "sound.db", skips)
    with replay.from_databases(DataFolder(data)) as source, reading(DataFolder(data), "plan") as connection:
        replayed = replay.replay(source, source.heads, None, lambda: None)
        assert replayed.digests["plan-board"] == versions.digest_of(connection, BOARD)
    assert record.projected(data, "plan", BOARD) == rebuilt


async def test_a_skip_that_is_sent_again_is_answered_as_before_and_records_nothing(lived: Lived, tmp_path: Path, broken: set[int]) -> None:
    data = lived.copy(tmp_path / "data", of_first_day=True)
    async with instance(data) as client:
        broken.add(await head(client) + 1)
        position = await hire(client)
        await board(client)
        skip = SkipParked(reader="board", source="roster", position=position, reason=SkipReason.FORGED)
        first = await client.ask(SKIP_PARKED["plan"], skip, command_id="skip-1")
    async with instance(data) as client:
        assert await client.ask(SKIP_PARKED["plan"], skip, command_id="skip-1") == first
        with pytest.raises(Failure, match=r"^command\.reused"):
            await client.ask(SKIP_PARKED["plan"], skip.model_copy(update={"reason": SkipReason.UNREADABLE}), command_id="skip-1")
    assert [event.commandid for event in record.events(record.logs(data)["plan"]) if "event-skipped" in event.type] == ["skip-1"]
