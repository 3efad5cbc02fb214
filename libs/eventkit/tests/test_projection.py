"""Projections: whatever stops, restarts, damages or races, every event is in the rows exactly once, or parked and named."""

import asyncio
import contextlib
import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nats.aio.client import Client
from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Table, Text, delete, insert, select, update
from sqlalchemy.exc import OperationalError

from contracts.event import NO_SCHOOL
from eventkit.broker import EmbeddedBroker
from eventkit.database import Database, sqlite_url
from eventkit.event import Recorded, encode
from eventkit.following import Durables, Following
from eventkit.harness import everything
from eventkit.jetstream import BusMessage, JetStream, PipelinedPublisher, connect, disconnect
from eventkit.projection import (
    Checkpointed,
    Delivered,
    Fenced,
    LastRead,
    Place,
    checkpoint_table,
    delivered,
    parked_schools,
    parked_table,
    positions,
    sha256,
)
from eventkit.provision import BusStream, provision
from eventkit.runner import ProjectionRunner

rows = MetaData()
board_table = Table(
    "board",
    rows,
    Column("source", Text, primary_key=True),
    Column("school", Text, primary_key=True),
    Column("events", Integer, nullable=False),
    Column("chain", Text, nullable=False),  # over the positions in the order in which they were applied
)
taken_table = Table(
    "taken",
    rows,
    Column("source", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
)


marks = MetaData()
mark_table = Table("mark", marks, Column("position", BigInteger, primary_key=True, autoincrement=False))


class Board:
    """For each source and school how many events came and in which order. It cannot take in poison, until it is mended."""

    name = "board"
    tables = rows
    wants = staticmethod(everything)

    def __init__(self, *sources: str) -> None:
        self.sources = sources
        self.mended: set[int] = set()

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        boards: dict[tuple[str, str], tuple[int, str]] = {}
        for event in events:
            if event.facts()[1].get("poison") and event.position not in self.mended:
                raise ValueError(f"{event.school} is poison")
            key = event.service, event.school
            count, chain = boards.get(key) or self._board(connection, *key)
            boards[key] = count + 1, chained(event.position, chain=chain)
        connection.execute(insert(taken_table), [{"source": event.service, "position": event.position} for event in events])
        for (source, school), (count, chain) in boards.items():
            this = (board_table.c.source == source) & (board_table.c.school == school)
            if connection.execute(update(board_table).where(this).values(events=count, chain=chain)).rowcount == 0:
                connection.execute(insert(board_table).values(source=source, school=school, events=count, chain=chain))

    def _board(self, connection: Connection, source: str, school: str) -> tuple[int, str]:
        this = (board_table.c.source == source) & (board_table.c.school == school)
        found = connection.execute(select(board_table.c.events, board_table.c.chain).where(this)).first()
        return (0, "") if found is None else (found.events, found.chain)


def chained(*positions: int, chain: str = "") -> str:
    for position in positions:
        chain = hashlib.sha256(f"{chain}/{position}".encode()).hexdigest()
    return chain


def event(source: str, position: int, school: str = "school-7", *, poison: bool = False) -> Recorded:
    return Recorded(
        specversion="1.0",
        id=f"{source}-{position}",
        source=f"/vekha/{source}",
        type=f"{source}.thing.v1",
        datacontenttype="application/json",
        position=position,
        stream=f"thing-{school}",
        version=position,
        school=school,
        happenedon="2015-08-17",
        recordedat="2015-08-17T06:00:00.000000Z",
        actor="operator",
        commandid="c-1",
        correlationid="c-1",
        data=msgspec.Raw(json.dumps({"poison": poison}).encode()),
    )


def message(event: Recorded) -> BusMessage:
    return event.position, event.subject, encode(event)


def digest(database: Database) -> str:
    """What the projection shows, as text: equal rows have equal digests."""
    with database.reading() as connection:
        board = connection.execute(select(board_table).order_by(board_table.c.source, board_table.c.school)).all()
        taken = connection.execute(select(taken_table).order_by(taken_table.c.source, taken_table.c.position)).all()
    return json.dumps([[tuple(row) for row in board], [tuple(row) for row in taken]])


def taken(database: Database, source: str) -> list[int]:
    with database.reading() as connection:
        found = connection.execute(select(taken_table.c.position).where(taken_table.c.source == source).order_by(taken_table.c.position))
        return list(found.scalars())


def reached(database: Database) -> dict[str, int]:
    with database.reading() as connection:
        return positions(connection, "board")


def chain_of(database: Database, school: str) -> str:
    with database.reading() as connection:
        return connection.execute(select(board_table.c.chain).where(board_table.c.school == school)).scalar_one()


def parked(database: Database) -> list[tuple[str, int, str, bool]]:
    """School, position, reason, waiting."""
    with database.reading() as connection:
        found = connection.execute(select(parked_table).order_by(parked_table.c.source, parked_table.c.position)).all()
    return [(row.school, row.position, row.reason, row.waiting) for row in found]


WAITS = "waits for an earlier event of its school"


# One checkpoint in one database


@pytest.fixture
def checkpointed(database: Database) -> Checkpointed:
    made = Checkpointed(database, Board("roster", "consent"))
    made.create()
    return made


def deliver(checkpointed: Checkpointed, *events: Recorded) -> None:
    checkpointed.apply([delivered(event.service, message(event)) for event in events])


def test_what_is_at_or_below_the_checkpoint_is_skipped(database: Database, checkpointed: Checkpointed) -> None:
    events = [event("roster", position) for position in (1, 2, 3)]
    deliver(checkpointed, *events[:2])
    deliver(checkpointed, *events)
    deliver(checkpointed, *events)
    assert taken(database, "roster") == [1, 2, 3]
    assert checkpointed.positions == {"roster": 3, "consent": 0}


def test_a_jump_is_never_applied_over(database: Database, checkpointed: Checkpointed) -> None:
    with pytest.raises(ValueError, match="jumped from 1 to 3"):
        deliver(checkpointed, event("roster", 1), event("roster", 3))
    assert taken(database, "roster") == []
    assert checkpointed.positions == {"roster": 0, "consent": 0}


def test_whoever_comes_second_to_a_checkpoint_is_fenced_and_applies_nothing(database: Database, checkpointed: Checkpointed) -> None:
    second = Checkpointed(database, Board("roster", "consent"))
    second.create()
    deliver(checkpointed, event("roster", 1), event("roster", 2))
    with pytest.raises(Fenced):
        deliver(second, event("roster", 1), event("roster", 2), event("consent", 1, poison=True))
    assert taken(database, "roster") == [1, 2]
    assert parked(database) == []
    second.create()
    deliver(second, event("roster", 2), event("roster", 3))
    assert taken(database, "roster") == [1, 2, 3]


def test_what_was_read_last_is_kept_with_the_positions_also_before_an_event_that_halts_its_source(database: Database) -> None:
    board = Board("roster", "consent")
    first, second = Checkpointed(database, board), Checkpointed(database, board)
    first.create()
    events = [event("roster", 1), event("roster", 2), event("roster", 3, NO_SCHOOL, poison=True), event("roster", 4)]
    deliver(first, *events)
    second.create()
    for checkpointed in (first, second):
        assert checkpointed.last_read == {"roster": LastRead("board", "roster", 2, sha256(encode(events[1])))}
    board.mended = {3}
    second.retry()
    assert second.last_read == {"roster": LastRead("board", "roster", 3, sha256(encode(events[2])))}


async def test_of_two_that_apply_the_same_batch_at_the_same_moment_one_is_fenced(database: Database) -> None:
    other = Database(database.url, "roster")  # as another process has it
    events = [event("roster", position) for position in range(1, 301)]
    rivals = [Checkpointed(database, Board("roster")), Checkpointed(other, Board("roster"))]
    for rival in rivals:
        rival.create()
    together = threading.Barrier(2, timeout=60)

    def apply(rival: Checkpointed) -> bool:
        together.wait()
        try:
            deliver(rival, *events)
        except Fenced:
            return False
        return True

    won = await asyncio.gather(*(asyncio.to_thread(apply, rival) for rival in rivals))
    other.close()
    assert sorted(won) == [False, True]
    assert taken(database, "roster") == list(range(1, 301))
    assert parked(database) == []


@pytest.mark.parametrize(("fault", "applied"), [("projection.before-checkpoint", []), ("projection.after-checkpoint", [1, 2])])
def test_rows_and_checkpoint_survive_a_kill_together_or_not_at_all(database: Database, fault: str, applied: list[int]) -> None:
    program = """
import pickle, sys
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, insert
from eventkit.database import Database
from eventkit.projection import Checkpointed, delivered
class Board:
    name, sources, tables = "board", ("roster",), MetaData()
    wants = staticmethod(lambda type_name: True)
    taken = Table("taken", tables, Column("source", Text, primary_key=True), Column("position", BigInteger, primary_key=True))
    def apply(self, connection, events):
        connection.execute(insert(self.taken), [{"source": "roster", "position": event.position} for event in events])
checkpointed = Checkpointed(Database(sys.argv[1], "roster"), Board())
checkpointed.create()
checkpointed.apply([delivered("roster", message) for message in pickle.loads(sys.stdin.buffer.read())])
"""
    killed = subprocess.run(
        [sys.executable, "-c", program, database.url.render_as_string(hide_password=False)],
        input=pickle.dumps([message(event("roster", position)) for position in (1, 2)]),
        env={**os.environ, "VEKHA_FAULT": fault},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    checkpointed = Checkpointed(database, Board("roster"))
    checkpointed.create()
    assert taken(database, "roster") == applied
    assert checkpointed.positions == {"roster": len(applied)}


def test_a_commit_waits_for_the_disk_unless_all_of_it_can_be_derived_again(database: Database) -> None:
    def waits(connection: Connection) -> object:
        return connection.exec_driver_sql("PRAGMA synchronous" if database.is_sqlite else "SHOW synchronous_commit").scalar()

    with database.writing() as writing, database.unbegun() as unbegun:
        assert waits(writing) == waits(unbegun) == (2 if database.is_sqlite else "on")
    with database.deriving() as deriving:
        assert waits(deriving) == (1 if database.is_sqlite else "on")


@pytest.mark.parametrize("seed", range(8))
def test_when_the_power_fails_the_last_commits_of_a_projection_are_lost_in_order_and_derived_again(tmp_path: Path, seed: int) -> None:
    """What no disk has been waited for is lost from some byte on: what was committed after it cannot be there without it."""
    random = Random(seed)
    events = [event("roster", position, f"school-{position % 3}", poison=position == 4) for position in range(1, 13)]
    database = Database(sqlite_url(tmp_path / "roster.db"), "roster", marks)
    database.create()
    checkpointed = Checkpointed(database, Board("roster"))
    checkpointed.create()
    shown = [(digest(database), parked(database))]
    for one in events:
        deliver(checkpointed, one)
        shown.append((digest(database), parked(database)))
        with database.writing() as connection:  # as an append does that was decided on these rows
            connection.execute(insert(mark_table).values(position=one.position))
    wal = (tmp_path / "roster.db-wal").read_bytes()
    left = tmp_path / "left"
    left.mkdir()
    (left / "roster.db").write_bytes((tmp_path / "roster.db").read_bytes())
    (left / "roster.db-wal").write_bytes(wal[: random.randrange(len(wal) // 2, len(wal))])
    database.close()

    found = Database(sqlite_url(left / "roster.db"), "roster", marks)
    found.create()
    again = Checkpointed(found, Board("roster"))
    again.create()
    reached = again.positions["roster"]
    assert (digest(found), parked(found)) == shown[reached]
    with found.reading() as connection:
        marked = list(connection.execute(select(mark_table.c.position).order_by(mark_table.c.position)).scalars())
    assert marked in ([*range(1, reached)], [*range(1, reached + 1)])
    deliver(again, *events)
    assert (digest(found), parked(found)) == shown[-1]
    found.close()


def test_an_event_that_fails_is_parked_with_its_school_whose_later_ones_wait_while_others_flow(
    database: Database, checkpointed: Checkpointed
) -> None:
    deliver(
        checkpointed,
        event("roster", 1, "a"),
        event("roster", 2, "b", poison=True),
        event("roster", 3, "a"),
        event("roster", 4, "b"),
        event("consent", 1, "b"),
    )
    deliver(checkpointed, event("roster", 5, "b"), event("roster", 6, "c"))
    assert taken(database, "roster") == [1, 3, 6]
    assert taken(database, "consent") == [1]
    assert parked(database) == [("b", 2, "ValueError in board", False), ("b", 4, WAITS, True), ("b", 5, WAITS, True)]
    assert checkpointed.positions == {"roster": 6, "consent": 1}
    with database.reading() as connection:
        assert parked_schools(connection, "board") == {"b": {"roster": [2, 4, 5]}}


def test_what_is_parked_stays_parked_over_a_restart(database: Database, checkpointed: Checkpointed) -> None:
    deliver(checkpointed, event("roster", 1, "b", poison=True))
    again = Checkpointed(database, Board("roster", "consent"))
    again.create()
    deliver(again, event("roster", 2, "b"))
    assert [(position, waiting) for _, position, _, waiting in parked(database)] == [(1, False), (2, True)]


def test_bytes_that_are_no_event_are_parked_with_the_school_of_their_subject(database: Database, checkpointed: Checkpointed) -> None:
    broken = [b"{", b"\xff\xfe", b'{"specversion": "1.0"}', '{"specversion": "1.0", "id": "Иванов"'.encode()]
    checkpointed.apply([delivered("roster", (n, "evt.roster.b.thing.v1", data)) for n, data in enumerate(broken, 1)])
    deliver(checkpointed, event("roster", 5, "a"))
    found = parked(database)
    assert [(school, position) for school, position, _, _ in found] == [("b", 1), ("b", 2), ("b", 3), ("b", 4)]
    assert found[0][2].startswith("undecodable")
    assert "Иванов" not in str(found)
    assert taken(database, "roster") == [5]


@pytest.mark.parametrize(
    "elsewhere", [event("roster", 2, "b"), event("roster", 1, "c"), event("consent", 1, "b")], ids=["position", "school", "service"]
)
def test_an_event_that_lies_where_its_bytes_do_not_belong_is_parked(
    database: Database, checkpointed: Checkpointed, elsewhere: Recorded
) -> None:
    checkpointed.apply([delivered("roster", (1, "evt.roster.b.thing.v1", encode(elsewhere)))])
    assert [(school, position, reason.split(":")[0]) for school, position, reason, _ in parked(database)] == [("b", 1, "misplaced")]


class Choosy(Board):
    """A board of things alone."""

    def __init__(self, *sources: str) -> None:
        super().__init__(*sources)
        self.wants = frozenset(f"{source}.thing.v1" for source in sources).__contains__


def test_what_a_projection_does_not_want_moves_its_checkpoint_and_is_not_even_decoded(database: Database) -> None:
    choosy = Checkpointed(database, Choosy("roster"))
    choosy.create()
    run = [message(event("roster", 1, "a")), (2, "evt.roster.a.other.v1", b"{"), message(event("roster", 3, "a"))]
    choosy.apply([delivered("roster", one, choosy.wants) for one in run])
    assert taken(database, "roster") == [1, 3]
    assert parked(database) == []
    assert choosy.positions == {"roster": 3}
    assert choosy.last_read["roster"].sha256 == sha256(run[-1][2])


def test_what_a_projection_does_not_want_waits_with_its_school_and_is_passed_over_in_the_retry(database: Database) -> None:
    board = Choosy("roster")
    choosy = Checkpointed(database, board)
    choosy.create()
    run = [message(event("roster", 1, "a", poison=True)), (2, "evt.roster.a.other.v1", b"{"), message(event("roster", 3, "a"))]
    choosy.apply([delivered("roster", one, choosy.wants) for one in run])
    assert [position for _, position, _, _ in parked(database)] == [1, 2, 3]
    board.mended.add(1)
    assert choosy.retry() == (3, 0)
    assert taken(database, "roster") == [1, 3]


def test_a_retry_applies_in_order_up_to_the_first_failure(database: Database) -> None:
    board = Board("roster")
    checkpointed = Checkpointed(database, board)
    checkpointed.create()
    deliver(checkpointed, *(event("roster", position, "b", poison=position in (1, 4)) for position in range(1, 7)))
    deliver(checkpointed, event("roster", 7, "a", poison=True))
    board.mended = {1}
    assert checkpointed.retry(school="b") == (3, 3)
    assert taken(database, "roster") == [1, 2, 3]
    assert [(position, waiting) for _, position, _, waiting in parked(database)] == [(4, False), (5, True), (6, True), (7, False)]
    board.mended = {4, 7}
    assert checkpointed.retry(source="consent") == (0, 0)
    assert checkpointed.retry() == (4, 0)
    deliver(checkpointed, event("roster", 8, "b"))
    assert taken(database, "roster") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert chain_of(database, "b") == chained(1, 2, 3, 4, 5, 6, 8)


def test_an_event_of_no_school_that_fails_halts_its_source_and_no_other(database: Database) -> None:
    board = Board("roster", "consent")
    checkpointed = Checkpointed(database, board)
    checkpointed.create()
    batch = [event("roster", 1), event("roster", 2, NO_SCHOOL, poison=True), event("roster", 3), event("consent", 1)]
    deliver(checkpointed, *batch)
    assert checkpointed.halted == {"roster"}
    assert checkpointed.positions == {"roster": 1, "consent": 1}
    deliver(checkpointed, *batch, event("roster", 4), event("consent", 2))
    assert (taken(database, "roster"), taken(database, "consent")) == ([1], [1, 2])
    assert parked(database) == [(NO_SCHOOL, 2, "ValueError in board", False)]
    assert checkpointed.retry() == (0, 1)
    assert checkpointed.halted == {"roster"}
    board.mended = {2}
    assert checkpointed.retry() == (1, 0)
    assert checkpointed.halted == frozenset()
    assert checkpointed.positions == {"roster": 2, "consent": 2}
    deliver(checkpointed, *batch, event("roster", 4))
    assert taken(database, "roster") == [1, 2, 3, 4]


def place(event: Recorded) -> Place:
    return Place(event.service, event.position, sha256(encode(event)))


def test_what_is_skipped_is_passed_over_and_what_waited_behind_it_comes_in_order(database: Database) -> None:
    log = [event("roster", n, school, poison=n == 2) for n, school in enumerate(["a", "b", "b", "a", "b"], 1)]
    skips: set[Place] = set()
    checkpointed = Checkpointed(database, Board("roster"), lambda connection: skips)
    checkpointed.create()
    deliver(checkpointed, *log)
    assert checkpointed.retry() == (0, 3)
    skips.add(Place("roster", 2, "of other bytes"))
    assert checkpointed.retry() == (0, 3)
    skips.add(place(log[1]))
    assert checkpointed.retry(school="b") == (2, 0)
    deliver(checkpointed, event("roster", 6, "b"))
    assert taken(database, "roster") == [1, 3, 4, 5, 6]
    assert chain_of(database, "b") == chained(3, 5, 6)


def test_what_was_skipped_before_the_process_died_is_parked_no_more_after_the_start(database: Database) -> None:
    log = [event("roster", n, "b", poison=n == 1) for n in (1, 2)]
    checkpointed = Checkpointed(database, Board("roster"))
    checkpointed.create()
    deliver(checkpointed, *log)
    again = Checkpointed(database, Board("roster"), lambda connection: [place(log[0])])
    again.create()
    assert (parked(database), taken(database, "roster")) == ([], [2])


def test_a_reader_that_begins_anew_passes_over_what_was_skipped(database: Database) -> None:
    log = [event("roster", 1, NO_SCHOOL, poison=True), event("roster", 2), event("roster", 3, poison=True), event("roster", 4)]
    checkpointed = Checkpointed(database, Board("roster"), lambda connection: [place(log[0]), place(log[2])])
    checkpointed.create()
    deliver(checkpointed, *log)
    assert (parked(database), taken(database, "roster")) == ([], [2, 4])
    assert checkpointed.positions == {"roster": 4}


def test_a_source_that_stood_still_goes_on_behind_the_event_that_is_skipped(database: Database) -> None:
    log = [event("roster", 1), event("roster", 2, NO_SCHOOL, poison=True), event("roster", 3)]
    skips: set[Place] = set()
    checkpointed = Checkpointed(database, Board("roster"), lambda connection: skips)
    checkpointed.create()
    deliver(checkpointed, *log)
    assert (checkpointed.halted, checkpointed.positions) == ({"roster"}, {"roster": 1})
    skips.add(place(log[1]))
    assert checkpointed.retry() == (0, 0)
    assert (checkpointed.halted, checkpointed.positions) == (frozenset(), {"roster": 2})
    deliver(checkpointed, *log)
    assert taken(database, "roster") == [1, 3]


def test_a_school_that_is_parked_does_not_make_the_others_come_one_by_one(database: Database) -> None:
    class Counted(Board):
        batches = 0

        def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
            self.batches += 1
            super().apply(connection, events)

    counted = Counted("roster")
    checkpointed = Checkpointed(database, counted)
    checkpointed.create()
    deliver(checkpointed, *(event("roster", n, f"school-{n % 9}", poison=n == 700) for n in range(1, 1001)))
    assert len(taken(database, "roster")) == 1000 - len([n for n in range(700, 1001) if n % 9 == 700 % 9])
    assert counted.batches < 25  # the halves on the way to the one that fails
    counted.batches = 0
    deliver(checkpointed, *(event("roster", n, f"school-{n % 9}") for n in range(1001, 2001)))
    assert counted.batches == 1


def test_trouble_of_the_database_is_no_fault_of_the_event(database: Database) -> None:
    class Unlucky(Board):
        def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
            super().apply(connection, events)
            raise OperationalError("INSERT", {}, Exception("the disk is full"))

    checkpointed = Checkpointed(database, Unlucky("roster"))
    checkpointed.create()
    with pytest.raises(OperationalError):
        deliver(checkpointed, event("roster", 1))
    assert (taken(database, "roster"), parked(database)) == ([], [])
    healthy = Checkpointed(database, Board("roster"))
    healthy.create()
    deliver(healthy, event("roster", 1))
    assert taken(database, "roster") == [1]


def test_a_statement_that_is_wrong_parks_its_event_on_every_engine(database: Database) -> None:
    class Wrong(Board):
        def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
            connection.exec_driver_sql("INSERT INTO no_such_table VALUES (1)")

    checkpointed = Checkpointed(database, Wrong("roster"))
    checkpointed.create()
    deliver(checkpointed, event("roster", 1))
    assert [position for _, position, _, _ in parked(database)] == [1]


def test_a_projection_that_comes_to_listen_to_one_more_source_reads_that_from_its_beginning(database: Database) -> None:
    before = Checkpointed(database, Board("roster"))
    before.create()
    deliver(before, event("roster", 1))
    after = Checkpointed(database, Board("roster", "consent"))
    after.create()
    assert after.positions == {"roster": 1, "consent": 0}
    deliver(after, event("consent", 1), event("roster", 2))
    assert (taken(database, "roster"), taken(database, "consent")) == ([1, 2], [1])


# The law of batches

schools = st.sampled_from(["a", "b", "c", NO_SCHOOL])
histories = st.lists(st.tuples(schools, st.sampled_from([False, False, False, True])), max_size=12)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[dict[str, list[Recorded]], list[list[Recorded]]]:
    """Two logs, and a way in which they may arrive: interleaved, cut into batches, and with pieces that come again."""
    logs = {
        source: [event(source, position, school, poison=poison) for position, (school, poison) in enumerate(draw(histories), 1)]
        for source in ("roster", "consent")
    }
    waiting = [list(log) for log in logs.values()]
    batches: list[list[Recorded]] = []
    while any(waiting):
        batch: list[Recorded] = batches[-1][-draw(st.integers(1, 3)) :] if batches and draw(st.booleans()) else []
        for _ in range(draw(st.integers(1, 6))):
            if left := [log for log in waiting if log]:
                batch.append(draw(st.sampled_from(left)).pop(0))
        batches.append(batch)
    return logs, batches


def end_of(log: Sequence[Recorded]) -> tuple[int, list[int], list[int], list[int]]:
    """Where one log ends up by the rules alone: its checkpoint, and what is applied, parked because it fails, and parked behind that."""
    applied: list[int] = []
    failed: dict[str, int] = {}
    waiting: list[int] = []
    for one in log:
        if one.school in failed:
            waiting.append(one.position)
        elif not one.facts()[1]["poison"]:
            applied.append(one.position)
        else:
            failed[one.school] = one.position
            if one.school == NO_SCHOOL:
                return one.position - 1, applied, sorted(failed.values()), waiting
    return len(log), applied, sorted(failed.values()), waiting


@given(deliveries())
@settings(max_examples=60)
def test_however_the_logs_are_interleaved_and_cut_each_ends_as_if_it_had_come_alone(
    both: tuple[dict[str, list[Recorded]], list[list[Recorded]]],
) -> None:
    logs, batches = both
    with TemporaryDirectory() as folder:
        database = Database(sqlite_url(Path(folder) / "roster.db"), "roster")
        checkpointed = Checkpointed(database, Board("roster", "consent"))
        checkpointed.create()
        for batch in batches:
            deliver(checkpointed, *batch)
        for source, log in logs.items():
            position, applied, failed, waiting = end_of(log)
            assert checkpointed.positions[source] == position
            assert (source in checkpointed.halted) == (position < len(log))
            assert taken(database, source) == applied
            with database.reading() as connection:
                found = connection.execute(
                    select(parked_table).where(parked_table.c.source == source).order_by(parked_table.c.position)
                ).all()
                boards = connection.execute(select(board_table).where(board_table.c.source == source)).all()
            assert [row.position for row in found if not row.waiting] == failed
            assert [row.position for row in found if row.waiting] == waiting
            assert {row.school: row.chain for row in boards} == {
                school: chained(*(n for n in applied if log[n - 1].school == school)) for school in {log[n - 1].school for n in applied}
            }
        database.close()


# From the bus


@dataclass
class Bench:
    """Two services' streams on a real server, their logs as their owners have them, and a projection of both."""

    nc: Client
    database: Database
    sources: tuple[str, str]
    logs: dict[str, list[BusMessage]] = field(default_factory=dict[str, list[BusMessage]])
    asked: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    def __post_init__(self) -> None:
        self.board = Board(*self.sources)
        self.logs = {source: [] for source in self.sources}

    async def provision(self, *readers: str) -> None:
        streams = [BusStream(source) for source in self.sources]
        durables = [pair for reader in ("board", *readers) for pair in Durables.of(reader, processes=1).on(self.sources)]
        await provision(self.nc, streams, durables)

    async def publish(self, source: str, schools: Iterable[str], *, poison: frozenset[int] = frozenset()) -> None:
        first = len(self.logs[source]) + 1
        await self.send(source, [message(event(source, n, school, poison=n in poison)) for n, school in enumerate(schools, first)])

    async def send(self, source: str, run: Sequence[BusMessage]) -> None:
        self.logs[source] += run
        sent = await PipelinedPublisher(self.nc, source.upper()).send(run)
        assert sent.failure is None

    async def owner(self, source: str, after: int, limit: int) -> Sequence[BusMessage]:
        self.asked.append((source, after))
        return self.logs[source][after : after + min(limit, 2)]

    async def recognizes(self, read: LastRead) -> bool | None:
        if not (log := self.logs[read.source]):
            return None  # this owner is away
        return len(log) >= read.position and sha256(log[read.position - 1][2]) == read.sha256

    def runner(self, board: Board | None = None, *, database: Database | None = None, service: str = "board") -> ProjectionRunner:
        database, board = database or self.database, board or self.board
        Checkpointed(database, board).create()
        return ProjectionRunner(Following(self.nc, Durables.of(service, processes=1), self.owner), database, board, self.recognizes)

    @asynccontextmanager
    async def running(self, runner: ProjectionRunner | None = None) -> AsyncGenerator[ProjectionRunner]:
        runner = runner or self.runner()
        task = asyncio.create_task(runner.run())
        try:
            yield runner
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def heads(self) -> dict[str, int]:
        return {source: len(log) for source, log in self.logs.items()}

    async def at_the_heads(self, runner: ProjectionRunner) -> None:
        assert await runner.reach(self.heads(), 60.0)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - it looks at a running projection from outside, as doctor does
        await asyncio.sleep(0.005)


def new_bench(nc: Client, database: Database) -> Bench:
    name = uuid4().hex[:12]
    return Bench(nc, database, (f"one{name}", f"two{name}"))


@pytest.fixture
async def bench(nc: Client, database: Database) -> Bench:
    bench = new_bench(nc, database)
    await bench.provision("second")
    return bench


@pytest.fixture
async def own_bench(own_nats_server: EmbeddedBroker, database: Database) -> AsyncIterator[Bench]:
    """On a server that the test may stop and damage."""
    nc = await connect(own_nats_server.url, own_nats_server.credential, name="test")
    bench = new_bench(nc, database)
    await bench.provision()
    yield bench
    await disconnect(nc)


async def test_a_projection_catches_up_with_twenty_thousand_events_and_then_follows_live(bench: Bench) -> None:
    one, two = bench.sources
    await bench.publish(one, [f"school-{n % 50}" for n in range(15_000)])
    await bench.publish(two, [f"school-{n % 50}" for n in range(5_000)])
    async with bench.running() as runner:
        await bench.at_the_heads(runner)
        for n in range(5):
            await bench.publish(one, [f"school-{n}"])
            await bench.at_the_heads(runner)
    assert taken(bench.database, one) == list(range(1, 15_006))
    assert taken(bench.database, two) == list(range(1, 5_001))


async def test_every_event_is_applied_exactly_once_however_often_the_projection_is_stopped(bench: Bench) -> None:
    one, two = bench.sources
    for turn in range(6):
        async with bench.running() as runner:
            await bench.publish(one, ["a", "b", "c"] * 40)
            await bench.publish(two, ["a"] * 40)
            await until(lambda turn=turn: runner.positions.get(one, 0) > 120 * turn)
    async with bench.running() as runner:
        await bench.at_the_heads(runner)
    assert taken(bench.database, one) == list(range(1, 721))
    assert taken(bench.database, two) == list(range(1, 241))
    assert parked(bench.database) == []


async def test_two_projections_on_one_checkpoint_together_apply_everything_once(bench: Bench) -> None:
    one, _ = bench.sources
    async with bench.running() as first, bench.running(bench.runner(service="second")) as second:
        for _ in range(10):
            await bench.publish(one, ["a", "b"] * 20)
        await bench.at_the_heads(first)
        await bench.at_the_heads(second)
    assert taken(bench.database, one) == list(range(1, 401))
    assert parked(bench.database) == []


class Slow(Board):
    """It does not come back until it is let go."""

    def __init__(self, *sources: str) -> None:
        super().__init__(*sources)
        self.begun, self.go = threading.Event(), threading.Event()

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        self.begun.set()
        self.go.wait(60)
        super().apply(connection, events)


async def test_a_projection_that_is_stopped_ends_what_it_is_writing_first(bench: Bench) -> None:
    one, _ = bench.sources
    slow = Slow(*bench.sources)
    await bench.publish(one, ["a"])
    task = asyncio.create_task(bench.runner(slow).run())
    await asyncio.to_thread(slow.begun.wait, 60)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=0.1)
    assert not done
    slow.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert taken(bench.database, one) == [1]


async def test_a_rebuild_into_a_fresh_database_shows_what_the_live_one_shows(bench: Bench, tmp_path: Path) -> None:
    one, two = bench.sources
    async with bench.running() as runner:
        for n in range(8):
            await bench.publish(one, [f"school-{(n * k) % 5}" for k in range(30)])
            await bench.publish(two, [f"school-{k % 3}" for k in range(n + 1)])
            await until(lambda n=n: runner.positions.get(one, 0) > 30 * n)
        await bench.at_the_heads(runner)
    fresh = Database(sqlite_url(tmp_path / "fresh.db"), "roster")
    async with bench.running(bench.runner(Board(*bench.sources), database=fresh, service="second")) as rebuilding:
        await bench.at_the_heads(rebuilding)
    assert digest(fresh) == digest(bench.database)
    fresh.close()


async def test_what_the_stream_has_lost_is_asked_from_its_owner(own_nats_server: EmbeddedBroker, own_bench: Bench) -> None:
    one, two = own_bench.sources
    await own_bench.publish(one, ["a", "b"] * 10)
    await own_bench.publish(two, ["a"] * 5)
    await own_nats_server.stop()
    for block in (own_nats_server.store_dir / "jetstream" / "$G" / "streams" / one.upper() / "msgs").glob("*.blk"):
        content = bytearray(block.read_bytes())
        for position in (7, 8, 9, 15):
            content[content.index(b'"position":%d,' % position)] ^= 0x01
        block.write_bytes(content)
    await own_nats_server.start()
    await until(lambda: own_bench.nc.is_connected)
    async with own_bench.running() as runner:
        await own_bench.at_the_heads(runner)
        await own_bench.publish(one, ["c"])
        await own_bench.at_the_heads(runner)
    assert own_bench.asked == [(one, 6), (one, 8), (one, 14)]  # in runs, where the owner answers in parts
    assert taken(own_bench.database, one) == list(range(1, 22))
    assert taken(own_bench.database, two) == [1, 2, 3, 4, 5]


async def test_an_owner_that_is_away_holds_back_its_gap_and_no_other_source(own_nats_server: EmbeddedBroker, own_bench: Bench) -> None:
    one, two = own_bench.sources
    await own_bench.publish(one, ["a", "b", "c"])
    await own_bench.publish(two, ["a"] * 5)
    await own_nats_server.stop()
    (block,) = (own_nats_server.store_dir / "jetstream" / "$G" / "streams" / one.upper() / "msgs").glob("*.blk")
    content = bytearray(block.read_bytes())
    content[content.index(b'"position":2,')] ^= 0x01
    block.write_bytes(content)
    await own_nats_server.start()
    await until(lambda: own_bench.nc.is_connected)
    log, own_bench.logs[one] = own_bench.logs[one], []
    async with own_bench.running() as runner:
        await until(lambda: len(own_bench.asked) > 1)
        assert await runner.reach({one: 1, two: 5}, 60.0)
        own_bench.logs[one] = log
        assert await runner.reach({one: 3, two: 5}, 60.0)
    assert taken(own_bench.database, one) == [1, 2, 3]


async def test_a_broker_that_dies_and_comes_back_is_waited_for(own_nats_server: EmbeddedBroker, own_bench: Bench) -> None:
    one, _ = own_bench.sources
    async with own_bench.running() as runner:
        await own_bench.publish(one, ["a"] * 100)
        await own_bench.at_the_heads(runner)
        os.kill(own_nats_server.pid, signal.SIGKILL)
        await own_nats_server.exited()
        await own_nats_server.start()
        await until(lambda: own_bench.nc.is_connected)
        await own_bench.publish(one, ["b"] * 100)
        await own_bench.at_the_heads(runner)
    assert taken(own_bench.database, one) == list(range(1, 201))


async def test_a_halted_source_is_not_waited_for_and_after_the_retry_it_goes_on_live(bench: Bench) -> None:
    one, two = bench.sources
    await bench.publish(one, ["a", NO_SCHOOL, "a"], poison=frozenset({2}))
    async with bench.running() as runner:
        assert not await runner.reach({one: 3}, 3600.0)
        await bench.publish(two, ["a", "b"])
        assert await runner.reach({two: 2}, 60.0)
        assert runner.positions == {one: 1, two: 2}
        assert await runner.retry(None, None) == (0, 1)
        await bench.publish(one, ["b"])
        assert not await runner.reach({one: 4}, 3600.0)
        bench.board.mended = {2}
        assert await runner.retry(None, None) == (1, 0)
        await bench.at_the_heads(runner)
        await bench.publish(one, ["c"])
        await bench.at_the_heads(runner)
    assert taken(bench.database, one) == [1, 2, 3, 4, 5]


async def test_a_retry_while_events_of_the_school_arrive_leaves_none_behind(bench: Bench) -> None:
    one, _ = bench.sources
    await bench.publish(one, ["a", "b"], poison=frozenset({1}))
    async with bench.running() as runner:
        await bench.at_the_heads(runner)
        bench.board.mended = {1}
        publishing = asyncio.create_task(bench.publish(one, ["a", "b"] * 500))
        while parked(bench.database):
            await runner.retry(None, None)
        await publishing
        await bench.at_the_heads(runner)
    assert parked(bench.database) == []
    assert taken(bench.database, one) == list(range(1, 1003))
    assert chain_of(bench.database, "a") == chained(*range(1, 1003, 2))


async def test_a_reader_that_starts_again_reads_nothing_of_a_log_that_holds_another_event_where_it_was(bench: Bench) -> None:
    one, two = bench.sources
    await bench.publish(one, ["a", "b", "a"])
    async with bench.running() as runner:
        await bench.at_the_heads(runner)
    read = bench.logs[one]
    other = event(one, 3, "c")
    bench.logs[one] = [*read[:2], message(other)]
    await replace_stream(bench, one, [*bench.logs[one], message(event(one, 4, "a"))])
    async with bench.running() as runner:
        await bench.publish(two, ["a"])
        assert await runner.reach({two: 1}, 60.0)
        assert not await runner.reach({one: 4}, 3600.0)  # it is halted
        assert runner.checkpointed.unrecognized == {one}
    assert taken(bench.database, one) == [1, 2, 3]
    with bench.database.reading() as connection:
        assert parked_schools(connection, "board") == {NO_SCHOOL: {one: [4]}}
    # Whoever puts the log back needs do nothing more.
    bench.logs[one] = read
    await replace_stream(bench, one, read)
    async with bench.running() as runner:
        await until(lambda: runner.positions != {} and not runner.checkpointed.halted)
        await bench.publish(one, ["b"])
        await bench.at_the_heads(runner)
    assert taken(bench.database, one) == [1, 2, 3, 4]
    with bench.database.reading() as connection:
        assert parked_schools(connection, "board") == {}


async def test_a_log_that_ends_before_what_was_read_of_it_halts_its_source_and_the_retry_asks_again(bench: Bench) -> None:
    one, _ = bench.sources
    await bench.publish(one, ["a", "b", "a"])
    async with bench.running() as runner:
        await bench.at_the_heads(runner)
    read, bench.logs[one] = bench.logs[one], bench.logs[one][:2]
    async with bench.running() as runner:
        await until(lambda: one in runner.checkpointed.halted)
        await runner.retry(None, None)
        assert one in runner.checkpointed.halted
        bench.logs[one] = read
        await runner.retry(None, None)
        await until(lambda: not runner.checkpointed.halted)


async def test_while_an_owner_is_away_nothing_is_read_over_an_event_that_is_another_than_was_read(bench: Bench) -> None:
    one, two = bench.sources
    await bench.publish(one, ["a", "b"])
    async with bench.running() as runner:
        await bench.at_the_heads(runner)
    read, bench.logs[one] = bench.logs[one], []
    await replace_stream(bench, one, [read[0], message(event(one, 2, "c")), message(event(one, 3, "c"))])
    async with bench.running() as runner:
        await bench.publish(two, ["a"] * 3)
        assert await runner.reach({two: 3}, 60.0)
        assert not await runner.reach({one: 3}, 0.1)
        bench.logs[one] = read  # and says that its own event is the one that was read
        assert await runner.reach({one: 3}, 60.0)
    assert taken(bench.database, one) == [1, 2, 3]


async def replace_stream(bench: Bench, source: str, run: Sequence[BusMessage]) -> None:
    """As if the broker had lost its files: the stream is made anew, and filled with something."""
    await JetStream(bench.nc).ask(f"STREAM.DELETE.{source.upper()}")
    await bench.provision("second")
    sent = await PipelinedPublisher(bench.nc, source.upper()).send(run)
    assert sent.failure is None


async def test_positions_are_told_only_after_whoever_follows_them_was_woken(bench: Bench) -> None:
    one, _ = bench.sources
    runner = bench.runner()
    seen: list[int] = []
    runner.on_moved = lambda: seen.append(runner.positions.get(one, 0))
    async with bench.running(runner):
        await until(lambda: runner.positions != {})
        await bench.publish(one, ["a"])
        await bench.at_the_heads(runner)
    assert seen[-1] == 0
    assert runner.positions[one] == 1


async def test_whoever_follows_a_projection_is_woken_by_what_that_wanted_alone(bench: Bench) -> None:
    one, _ = bench.sources
    runner = bench.runner(Choosy(*bench.sources))
    moved: list[int] = []
    runner.on_moved = lambda: moved.append(runner.checkpointed.positions.get(one, 0))
    async with bench.running(runner):
        await until(lambda: runner.positions != {})
        await bench.send(one, unwanted(one, *range(1, 101)))
        await bench.at_the_heads(runner)
        assert max(moved) == 0
        await bench.publish(one, ["a"])
        await bench.at_the_heads(runner)
    assert max(moved) == 101


def unwanted(source: str, *at: int) -> list[BusMessage]:
    return [(n, f"evt.{source}.a.other.v1", encode(event(source, n))) for n in at]


async def test_what_is_not_wanted_is_told_at_once_and_noted_with_what_is_or_at_the_end(bench: Bench) -> None:
    one, _ = bench.sources
    runner = bench.runner(Choosy(*bench.sources))
    noted: list[int] = []
    move = runner.checkpointed.apply

    def apply(deliveries: Sequence[Delivered]) -> None:
        noted.append(deliveries[-1].position)
        move(deliveries)

    runner.checkpointed.apply = apply
    async with bench.running(runner):
        await until(lambda: runner.positions != {})
        await bench.send(one, unwanted(one, 1, 2, 3))
        await asyncio.sleep(0.1)
        await bench.publish(one, ["a"])
        await until(lambda: runner.positions[one] == 4)
        await bench.send(one, unwanted(one, 5, 6))
        await bench.at_the_heads(runner)
        assert reached(bench.database)[one] == 4
        await bench.send(one, unwanted(one, 7))
        await bench.at_the_heads(runner)
    assert noted == [4, 7]
    assert taken(bench.database, one) == [4]
    assert reached(bench.database) == {one: 7, bench.sources[1]: 0}


async def test_what_is_not_wanted_is_noted_after_a_moment(bench: Bench) -> None:
    one, _ = bench.sources
    async with bench.running(bench.runner(Choosy(*bench.sources))) as runner:
        await until(lambda: runner.positions != {})
        await bench.send(one, unwanted(one, 1))
        await until(lambda: reached(bench.database)[one] == 1)
    assert taken(bench.database, one) == []


async def test_what_is_not_wanted_is_not_told_of_before_what_is_wanted_and_came_earlier(bench: Bench) -> None:
    one, two = bench.sources
    runner = bench.runner(Choosy(*bench.sources))
    async with bench.running(runner):
        await until(lambda: runner.positions != {})
        async with runner.held():
            await bench.publish(one, ["a"])
            await bench.send(one, unwanted(one, 2, 3))
            await bench.publish(two, ["b"])
            await asyncio.sleep(0.1)
            assert runner.positions[one] == 0
        await bench.at_the_heads(runner)
        assert taken(bench.database, one) == taken(bench.database, two) == [1]
    assert reached(bench.database) == {one: 3, two: 1}


async def test_what_is_not_wanted_is_put_aside_behind_an_event_of_its_school_that_was_not_taken_in(bench: Bench) -> None:
    one, _ = bench.sources
    runner = bench.runner(Choosy(*bench.sources))
    async with bench.running(runner):
        await bench.publish(one, ["a"], poison=frozenset({1}))
        await bench.at_the_heads(runner)
        await bench.send(one, unwanted(one, 2, 3))
        await bench.at_the_heads(runner)
        assert [position for _, position, _, _ in parked(bench.database)] == [1, 2, 3]


async def test_whoever_waits_for_a_reader_has_it_take_in_what_has_come_at_once(bench: Bench) -> None:
    one, two = bench.sources
    async with bench.running() as runner:
        await until(lambda: runner.positions != {})
        await bench.publish(two, ["b"])  # nobody waits for it, but it is there
        await bench.publish(one, ["a"])
        await bench.at_the_heads(runner)
        assert taken(bench.database, one) == taken(bench.database, two) == [1]


@pytest.mark.parametrize("before", [0, 100])
async def test_whoever_waits_for_what_comes_in_bulk_sees_all_of_it(bench: Bench, before: int) -> None:
    one, two = bench.sources
    async with bench.running() as runner:
        if before:
            await bench.publish(one, ["a"] * before)
        waiting = asyncio.create_task(runner.reach({one: before + 100, two: 50}, 60.0))
        await bench.publish(two, ["b"] * 50)
        await bench.publish(one, ["a"] * 100)
        assert await waiting
    assert len(taken(bench.database, one)) == before + 100
    assert len(taken(bench.database, two)) == 50


async def test_waiting_for_a_position_that_does_not_come_ends_and_other_sources_do_not_count(bench: Bench) -> None:
    one, _ = bench.sources
    async with bench.running() as runner:
        assert not await runner.reach({one: 1}, 0.01)
        assert await runner.reach({"somebody-else": 99}, 0.01)


async def test_a_checkpoint_that_somebody_put_back_is_followed(bench: Bench) -> None:
    one, _ = bench.sources
    await bench.publish(one, ["a"] * 5)
    async with bench.running() as runner:
        await bench.at_the_heads(runner)
        with bench.database.writing() as connection:
            for table in (taken_table, board_table, checkpoint_table):
                connection.execute(delete(table))
        await bench.publish(one, ["a"])
        await until(lambda: taken(bench.database, one) == [1, 2, 3, 4, 5, 6])
