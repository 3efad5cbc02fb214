"""Reactions: each event in the inbox is acted upon until that succeeds, in the order of its school, whatever fails or dies meanwhile."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, insert, select, update

from eventkit.database import Database, sqlite_url
from eventkit.event import Recorded, encode
from eventkit.projection import Checkpointed, delivered
from eventkit.reaction import Inbox, Reaction, ReactionWorker, delay_s, inbox_table


class Mail(Reaction):
    """Remembers what it was called with; fails for the schools that it is told to fail for."""

    name = "mail"
    sources = ("roster",)
    types = frozenset({"roster.thing.v1"})

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        self.acted: list[tuple[str, int]] = []
        self.tried: list[tuple[str, int]] = []

    async def react(self, event: Recorded) -> None:
        self.tried.append((event.school, event.position))
        await asyncio.sleep(0)
        if event.school in self.failing:
            raise OSError("the server does not answer")
        self.acted.append((event.school, event.position))


def event(position: int, school: str = "a", type: str = "roster.thing.v1") -> Recorded:
    return Recorded(
        specversion="1.0",
        id=f"e-{position}",
        source="/vekha/roster",
        type=type,
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
        data=msgspec.Raw(b"{}"),
    )


def inbox_of(database: Database) -> Checkpointed:
    checkpointed = Checkpointed(database, Inbox(Mail()))
    checkpointed.create()
    return checkpointed


@pytest.fixture
def inbox(database: Database) -> Checkpointed:
    return inbox_of(database)


def deliver(inbox: Checkpointed, *events: Recorded) -> None:
    inbox.apply([delivered("roster", (event.position, event.subject, encode(event))) for event in events])


def states(database: Database) -> dict[int, tuple[str, int]]:
    """State and attempts by position."""
    with database.reading() as connection:
        found = connection.execute(select(inbox_table).order_by(inbox_table.c.position))
        return {row.position: (row.state, row.attempts) for row in found}


def all_done(database: Database) -> bool:
    return all(state == "done" for state, _ in states(database).values())


@asynccontextmanager
async def working(worker: ReactionWorker) -> AsyncGenerator[ReactionWorker]:
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - it looks at a running worker from outside
        await asyncio.sleep(0.005)


def test_an_event_gets_its_row_in_the_transaction_of_the_checkpoint_and_never_a_second_one(database: Database, inbox: Checkpointed) -> None:
    events = [event(1), event(2, type="roster.other-thing.v1"), event(3)]
    deliver(inbox, *events)
    deliver(inbox, *events)
    assert states(database) == {1: ("waiting", 0), 3: ("waiting", 0)}
    assert inbox.positions == {"roster": 3}
    other = inbox_of(database)
    deliver(inbox, event(4))
    with pytest.raises(RuntimeError):
        deliver(other, event(4), event(5))
    assert list(states(database)) == [1, 3, 4]


def test_what_does_not_concern_a_reaction_is_not_put_in_its_inbox(database: Database) -> None:
    class ToSchoolB(Mail):
        def concerns(self, event: Recorded) -> bool:
            return event.school == "b"

    inbox = Checkpointed(database, Inbox(ToSchoolB()))
    inbox.create()
    deliver(inbox, event(1, "a"), event(2, "b"), event(3, "a"))
    assert states(database) == {2: ("waiting", 0)}
    assert inbox.positions == {"roster": 3}


async def test_what_another_version_has_put_there_is_not_acted_upon_where_it_does_not_concern_a_reaction(
    database: Database, inbox: Checkpointed
) -> None:
    class ToSchoolB(Mail):
        def concerns(self, event: Recorded) -> bool:
            return event.school == "b"

    deliver(inbox, event(1, "a"), event(2, "b"))
    mail = ToSchoolB()
    async with working(ReactionWorker(database, mail)) as worker:
        await worker.idle.wait()
    assert mail.tried == [("b", 2)]
    assert all_done(database)


async def test_what_waits_is_done_once_in_order(database: Database, inbox: Checkpointed) -> None:
    mail = Mail()
    deliver(inbox, *(event(n, "ab"[n % 2]) for n in range(1, 11)))
    async with working(ReactionWorker(database, mail)) as worker:
        await worker.idle.wait()
        worker.wake()
        await worker.idle.wait()
        deliver(inbox, event(11, "b"))
        worker.wake()
        await worker.idle.wait()
    assert mail.tried == mail.acted == [("ab"[n % 2], n) for n in range(1, 12)]
    assert states(database) == dict.fromkeys(range(1, 12), ("done", 1))


async def test_a_row_that_is_done_is_never_acted_upon_again(database: Database, inbox: Checkpointed) -> None:
    deliver(inbox, event(1), event(2))
    with database.writing() as connection:
        connection.execute(update(inbox_table).where(inbox_table.c.position == 1).values(state="done"))
    mail = Mail()
    for _ in range(3):
        async with working(ReactionWorker(database, mail)) as worker:
            await worker.idle.wait()
    assert mail.tried == [("a", 2)]


async def test_a_failure_is_tried_again_and_the_school_keeps_its_order(
    database: Database, inbox: Checkpointed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventkit.reaction._FIRST_DELAY_S", 0.001)
    mail = Mail("a")
    deliver(inbox, event(1, "a"), event(2, "b"), event(3, "a"))
    async with working(ReactionWorker(database, mail)) as worker:
        await until(lambda: len(mail.tried) > 3)
        assert not worker.idle.is_set()
        mail.failing.clear()
        await worker.idle.wait()
    assert mail.acted == [("b", 2), ("a", 1), ("a", 3)]
    found = states(database)
    assert found[1] == ("done", mail.tried.count(("a", 1)))
    assert found[2] == found[3] == ("done", 1)


def test_the_delay_grows_with_each_failure_up_to_its_limit() -> None:
    delays = [delay_s(attempts) for attempts in range(40)]
    assert delays == sorted(delays)
    assert delays[0] < delays[1] < delays[2]
    assert delays[-1] == delays[20] == 60.0


async def test_a_school_that_fails_holds_back_no_other_however_much_of_it_waits(
    database: Database, inbox: Checkpointed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventkit.reaction._FIRST_DELAY_S", 3600.0)
    monkeypatch.setattr("eventkit.reaction._LONGEST_DELAY_S", 3600.0)
    mail = Mail("a")
    deliver(inbox, *(event(n, "a") for n in range(1, 501)), event(501, "b"))
    async with working(ReactionWorker(database, mail)) as worker:
        await until(lambda: ("b", 501) in mail.acted)
        deliver(inbox, event(502, "c"), event(503, "a"), event(504, "b"))
        worker.wake()
        await until(lambda: ("b", 504) in mail.acted)
        await until(lambda: states(database)[504] == ("done", 1))
        assert not worker.idle.is_set()
    assert mail.acted == [("b", 501), ("c", 502), ("b", 504)]
    assert mail.tried.count(("a", 1)) == 1  # and it rests itself, whoever else arrives
    assert states(database)[1] == ("waiting", 1)


async def test_a_worker_that_may_not_act_waits(database: Database, inbox: Checkpointed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventkit.reaction._LOOK_AGAIN_S", 0.005)
    mail, asked, allowed = Mail(), [0], [False]

    def may_act() -> bool:
        asked[0] += 1
        return allowed[0]

    deliver(inbox, event(1))
    async with working(ReactionWorker(database, mail, may_act)) as worker:
        await until(lambda: asked[0] > 3)
        assert mail.tried == []
        allowed[0] = True
        await worker.idle.wait()
    assert mail.acted == [("a", 1)]


async def test_trouble_with_the_database_does_not_end_the_worker(
    database: Database, inbox: Checkpointed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventkit.reaction._LOOK_AGAIN_S", 0.005)
    failures = [3]
    reading = database.reading

    def sometimes() -> contextlib.AbstractContextManager[Connection]:
        if failures[0]:
            failures[0] -= 1
            raise OSError("the database is away")
        return reading()

    deliver(inbox, event(1))
    monkeypatch.setattr(database, "reading", sometimes)
    mail = Mail()
    async with working(ReactionWorker(database, mail)) as worker:
        await worker.idle.wait()
    assert failures == [0]
    assert mail.acted == [("a", 1)]


async def test_what_arrives_while_the_worker_looks_is_never_taken_for_nothing(
    database: Database, inbox: Checkpointed, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = Mail()
    worker = ReactionWorker(database, mail)
    loop, reading, arrivals = asyncio.get_running_loop(), database.reading, [event(1), event(2)]

    @contextmanager
    def with_an_arrival_behind_its_back() -> Generator[Connection]:
        with reading() as connection:
            yield connection
        if arrivals:
            monkeypatch.setattr(database, "reading", reading)
            deliver(inbox, arrivals.pop(0))
            monkeypatch.setattr(database, "reading", with_an_arrival_behind_its_back)
            loop.call_soon_threadsafe(worker.wake)

    monkeypatch.setattr(database, "reading", with_an_arrival_behind_its_back)
    async with working(worker):
        await worker.idle.wait()
        monkeypatch.setattr(database, "reading", reading)
        assert all_done(database)
    assert mail.acted == [("a", 1), ("a", 2)]


async def test_an_act_that_was_cut_off_is_done_after_the_restart(database: Database, inbox: Checkpointed) -> None:
    class Endless(Mail):
        async def react(self, event: Recorded) -> None:
            if event.position == 2:
                self.tried.append((event.school, event.position))
                await asyncio.Event().wait()
            await super().react(event)

    deliver(inbox, event(1), event(2), event(3))
    endless, mail = Endless(), Mail()
    async with working(ReactionWorker(database, endless)):
        await until(lambda: ("a", 2) in endless.tried)
    assert states(database) == {1: ("done", 1), 2: ("waiting", 0), 3: ("waiting", 0)}
    async with working(ReactionWorker(database, mail)) as worker:
        await worker.idle.wait()
    assert mail.acted == [("a", 2), ("a", 3)]


async def test_a_process_killed_in_the_middle_of_an_act_loses_none(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "roster.db"), "roster")
    database.create()
    deliver(inbox_of(database), event(1), event(2), event(3))
    program = """
import asyncio, os, signal, sys
from eventkit.database import Database
from eventkit.reaction import Reaction, ReactionWorker
class Mail(Reaction):
    name, sources, types = "mail", ("roster",), frozenset()
    async def react(self, event):
        if event.position == 2:
            os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(ReactionWorker(Database(sys.argv[1], "roster"), Mail()).run())
"""
    killed = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program, str(database.url)], env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert states(database) == {1: ("done", 1), 2: ("waiting", 0), 3: ("waiting", 0)}
    mail = Mail()
    async with working(ReactionWorker(database, mail)) as worker:
        await worker.idle.wait()
    assert mail.acted == [("a", 2), ("a", 3)]
    database.close()


async def test_two_reactions_have_an_inbox_each(database: Database, inbox: Checkpointed) -> None:
    class Other(Mail):
        name = "other"

    deliver(inbox, event(1))
    with database.writing() as connection:
        row = {"source": "roster", "position": 1, "school": "a", "state": "waiting", "attempts": 0, "bytes": encode(event(1))}
        connection.execute(insert(inbox_table).values(reaction="other", **row))
    mail, other = Mail(), Other()
    async with working(ReactionWorker(database, mail)) as worker:
        await worker.idle.wait()
    assert (mail.acted, other.acted) == ([("a", 1)], [])
    async with working(ReactionWorker(database, other)) as worker:
        await worker.idle.wait()
    assert other.acted == [("a", 1)]
