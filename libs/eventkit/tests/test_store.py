"""Carrying out commands, on both engines: once each, all or nothing, one after another in the log however many come at a time."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from contracts.event import AnnulmentReason, Event
from contracts.plan import EntryAnnulled as PlanEntryAnnulled
from contracts.plan import ImplementationOrderRegistered
from contracts.roster import ClassHeadcountDeclared, EntryAnnulled
from eventkit import log
from eventkit.clock import ManualClock
from eventkit.database import Database
from eventkit.decider import Decider, Refused
from eventkit.event import Origin, Recorded, decode
from eventkit.store import Carried, CommandKey, Conflict, Quarantined, Store, Transaction

DAY = date(2015, 8, 17)

OWN = MetaData()
numbers = Table("number", OWN, Column("number", Text, primary_key=True), Column("class_id", Text, nullable=False))
copies = Table("copy", OWN, Column("of", Text, ForeignKey(numbers.c.number, deferrable=True, initially="DEFERRED")))
tally = Table("tally", OWN, Column("only", Integer, primary_key=True), Column("value", Integer, nullable=False))


@dataclass(frozen=True)
class Count:
    """A class is counted, once or several times in a row."""

    class_id: str
    pupils: tuple[int, ...]


def decide(command: Count, pupils: int | None) -> Sequence[Event]:
    events: list[Event] = []
    for counted in command.pupils:
        if counted > 40:
            raise Refused("headcount.too-large", "A class has at most 40 pupils. Declare another class.")
        if counted != pupils:
            events.append(ClassHeadcountDeclared(class_id=command.class_id, pupils=counted))
        pupils = counted
    return events


def evolve(pupils: int | None, event: Event) -> int | None:
    assert isinstance(event, ClassHeadcountDeclared)
    return event.pupils


HEADCOUNT: Decider[Count, int | None] = Decider("class", None, decide, evolve)

Work = Callable[[Transaction], int | None]


def count(class_id: str, *pupils: int) -> Work:
    """The work of a command: count a class and answer what the count is now."""

    def work(tx: Transaction) -> int | None:
        tx.decide(HEADCOUNT, class_id, Count(class_id, pupils), school="school-7", happened_on=DAY)
        return tx.state(HEADCOUNT, class_id)

    return work


def take_number(number: str, then: Work) -> Work:
    """Takes a unique number in the service's own table, then does something else."""

    def work(tx: Transaction) -> int | None:
        assert tx.write(insert(numbers).values(number=number, class_id="7a")) == 1
        return then(tx)

    return work


def origin(command_id: str) -> Origin:
    return Origin("director:school-7", command_id, command_id)


def key(command_id: str, digest: str = "digest") -> CommandKey:
    return CommandKey(command_id, digest, str, int)


async def send(store: Store, work: Callable[[Transaction], Any], command_id: str | None = None, digest: str = "digest") -> Carried[Any]:
    command_id = command_id or uuid4().hex
    return await store.carry_out(work, origin(command_id), key(command_id, digest))


async def outcome(sent: Awaitable[Carried[Any]]) -> Any:
    """The reply, or the refusal's code, or the error."""
    try:
        return (await sent).reply
    except Refused as refused:
        return refused.code
    except Exception as error:  # noqa: BLE001 -- it is what the test looks at
        return error


async def in_one_batch(store: Store, *commands: Awaitable[Any]) -> list[Any]:
    """Sends commands while the store is held up by another one, so that it then finds all of them waiting."""
    held_up, go_on = threading.Event(), threading.Event()

    def hold_up(tx: Transaction) -> None:
        held_up.set()
        go_on.wait()

    first = asyncio.ensure_future(store.carry_out(hold_up, origin("hold-up")))
    await asyncio.to_thread(held_up.wait)
    waiting = [asyncio.ensure_future(command) for command in commands]
    await asyncio.sleep(0)
    go_on.set()
    await first
    return await asyncio.gather(*waiting)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2015, 8, 17, 6, tzinfo=UTC))


@pytest.fixture
async def store(database: Database, clock: ManualClock) -> AsyncIterator[Store]:
    with database.writing() as connection:
        OWN.create_all(connection)
        connection.execute(insert(tally).values(only=1, value=0))
    store = Store(database, clock)
    store.start()
    yield store
    await store.stop()


@asynccontextmanager
async def another(store: Store) -> AsyncGenerator[Store]:
    """A second writer on the same database, as another process would be."""
    database = Database(store.database.url, store.database.service)
    other = Store(database, store.clock)
    other.start()
    yield other
    await other.stop()
    database.close()


def recorded(database: Database) -> list[tuple[str, int, int]]:
    """Class, version and count of every event in the log, which must verify and have no gaps."""
    with database.reading() as connection:
        assert list(log.verify(connection, "roster")) == []
        rows = connection.execute(select(log.log_table).order_by(log.log_table.c.position)).all()
        assert [row.position for row in rows] == list(range(1, log.head(connection).position + 1))
        events = [event for stream in dict.fromkeys(row.stream for row in rows) for event in log.history(connection, stream)]
    events.sort(key=lambda event: event.position)
    return [(event.stream.removeprefix("class-"), event.version, event.facts()[1]["pupils"]) for event in events]


def taken_numbers(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(select(numbers.c.number).order_by(numbers.c.number)).scalars())


# One command


async def test_a_lone_command_is_recorded_at_position_one(store: Store) -> None:
    assert await send(store, count("7a", 26)) == Carried(26, 1)
    assert recorded(store.database) == [("7a", 1, 26)]
    assert await store.head() == 1


async def test_one_command_may_record_several_events(store: Store) -> None:
    assert (await send(store, count("7a", 26, 27, 26))).position == 3
    assert recorded(store.database) == [("7a", 1, 26), ("7a", 2, 27), ("7a", 3, 26)]


async def test_saying_what_holds_already_records_nothing(store: Store) -> None:
    await send(store, count("7a", 26))
    assert await send(store, count("7a", 26)) == Carried(26, 1)
    assert recorded(store.database) == [("7a", 1, 26)]


async def test_a_refusal_records_nothing(store: Store) -> None:
    with pytest.raises(Refused, match=r"headcount\.too-large"):
        await send(store, count("7a", 26, 41))
    assert recorded(store.database) == []


async def test_an_error_reaches_its_caller_and_records_nothing(store: Store) -> None:
    def work(tx: Transaction) -> int:
        count("7a", 26)(tx)
        return 1 // 0

    with pytest.raises(ZeroDivisionError):
        await send(store, work)
    assert recorded(store.database) == []
    assert (await send(store, count("7a", 25))).reply == 25


async def test_an_event_of_another_service_is_an_error_and_nothing_of_its_command_is_recorded(store: Store) -> None:
    """Its subject would be one on which this service may not publish: nothing after it would ever reach the bus."""
    events = [ClassHeadcountDeclared(class_id="7a", pupils=26), ImplementationOrderRegistered(order="o-1", evidence_sha256="0" * 64)]
    said: Decider[Sequence[Event], None] = Decider("saying", None, lambda events, _: events, lambda state, _: state)

    def work(tx: Transaction) -> None:
        count("7a", 25)(tx)
        with suppress(ValueError):
            tx.decide(said, "1", events, school="school-7", happened_on=DAY)
        tx.decide(said, "2", events, school="school-7", happened_on=DAY)

    with pytest.raises(ValueError, match=r"plan\.implementation-order-registered\.v1"):
        await send(store, work)
    assert recorded(store.database) == []
    assert (await send(store, count("7a", 25))).position == 1


async def test_an_event_carries_the_origin_of_its_command_and_the_time_of_the_clock(store: Store, clock: ManualClock) -> None:
    clock.move(datetime(2015, 8, 18, 9, 30, 15, 1, tzinfo=UTC))
    came_from = Origin("director:school-7", "c1", "correlation", principal="operator", causation_id="cause", traceparent="00-trace-span-01")
    assert (await store.carry_out(lambda tx: (count("7a", 26)(tx), tx.now, tx.origin), came_from)).reply == (26, clock.now(), came_from)
    with store.database.reading() as connection:
        (event,) = log.history(connection, "class-7a")
    assert (event.actor, event.principal, event.commandid, event.correlationid) == ("director:school-7", "operator", "c1", "correlation")
    assert (event.causationid, event.traceparent, event.happenedon) == ("cause", "00-trace-span-01", "2015-08-17")
    assert (event.source, event.school, event.recordedat) == ("/vekha/roster", "school-7", "2015-08-18T09:30:15.000001Z")


async def test_a_history_that_is_no_longer_remembered_is_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventkit.store._CACHED_STREAMS", 2)
    for pupils in (20, 21, 22):
        for class_id in ("7a", "7b", "7v", "7g"):
            assert (await send(store, count(class_id, pupils))).reply == pupils
    assert [version for class_id, version, _ in recorded(store.database) if class_id == "7a"] == [1, 2, 3]


async def test_a_stream_that_is_begun_is_not_read_and_one_that_was_there_before_is_not_written_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(tx: Transaction) -> int | None:
        tx.begin(HEADCOUNT, "7a")
        return count("7a", 25)(tx)

    with monkeypatch.context() as blind:
        blind.setattr(log, "history", None)
        assert await outcome(send(store, begin)) == 25
    assert type(await outcome(send(store, begin))).__name__ in ("IntegrityError", "UniqueViolation")
    assert await outcome(send(store, count("7a"))) == 25
    assert await store.head() == 1


async def test_a_later_store_goes_on_where_an_earlier_one_ended(store: Store) -> None:
    await send(store, count("7a", 26))
    async with another(store) as later:
        assert (await send(later, lambda tx: tx.state(HEADCOUNT, "7a"))).reply == 26
        assert (await send(later, count("7a", 27))).position == 2


# A command's id


async def test_the_same_command_again_gets_the_same_answer_and_records_nothing(store: Store) -> None:
    first = await send(store, count("7a", 26), "c1")
    await send(store, count("7a", 27), "c2")
    assert first == Carried(26, 1)
    assert await send(store, count("7a", 26), "c1") == Carried(26, 1, before=True)
    assert recorded(store.database) == [("7a", 1, 26), ("7a", 2, 27)]


async def test_a_command_is_known_after_a_restart(store: Store) -> None:
    await send(store, count("7a", 26), "c1")
    async with another(store) as later:
        assert await send(later, count("7a", 26), "c1") == Carried(26, 1, before=True)


async def test_a_command_that_would_now_be_refused_still_gets_its_first_answer(store: Store) -> None:
    def only_once(tx: Transaction) -> int | None:
        if tx.state(HEADCOUNT, "7a") is not None:
            raise Refused("class.counted", "The class is counted already.")
        return count("7a", 26)(tx)

    await send(store, only_once, "c1")
    assert await send(store, only_once, "c1") == Carried(26, 1, before=True)
    assert await outcome(send(store, only_once, "c2")) == "class.counted"


async def test_a_command_id_with_another_body_is_refused(store: Store) -> None:
    await send(store, count("7a", 26), "c1", digest="one body")
    with pytest.raises(Refused, match=r"command\.reused"):
        await send(store, count("7a", 27), "c1", digest="another body")
    assert recorded(store.database) == [("7a", 1, 26)]


async def test_a_refused_command_may_be_sent_again_under_its_id(store: Store) -> None:
    """Only what was recorded is repeated: a refusal is looked at anew."""
    assert await outcome(send(store, count("7a", 41), "c1")) == "headcount.too-large"
    assert await send(store, count("7a", 40), "c1") == Carried(40, 1)


async def test_the_same_command_twice_in_one_batch_is_carried_out_once(store: Store) -> None:
    first, again = await in_one_batch(store, send(store, count("7a", 26), "c1"), send(store, count("7a", 26), "c1"))
    assert (first, again) == (Carried(26, 1), Carried(26, 1, before=True))
    assert recorded(store.database) == [("7a", 1, 26)]


async def test_a_command_id_with_another_body_is_refused_within_a_batch_too(store: Store) -> None:
    outcomes = await in_one_batch(
        store, outcome(send(store, count("7a", 26), "c1", "one")), outcome(send(store, count("7a", 27), "c1", "another"))
    )
    assert outcomes == [26, "command.reused"]
    assert recorded(store.database) == [("7a", 1, 26)]


async def test_a_known_command_in_a_batch_of_new_ones_is_not_carried_out_again(store: Store) -> None:
    async with another(store) as earlier:
        await send(earlier, count("7a", 26), "c1")
    answers = await in_one_batch(store, *(send(store, count("7a", n), f"c{n - 25}") for n in (26, 27, 28)))
    assert answers == [Carried(26, 1, before=True), Carried(27, 3), Carried(28, 3)]
    assert recorded(store.database) == [("7a", 1, 26), ("7a", 2, 27), ("7a", 3, 28)]


async def test_a_command_that_writes_only_the_services_own_tables_is_kept_too(store: Store) -> None:
    work = take_number("12/7", lambda _: 1)
    assert await send(store, work, "c1") == Carried(1, 0)
    assert await send(store, work, "c1") == Carried(1, 0, before=True)
    assert (taken_numbers(store.database), recorded(store.database)) == (["12/7"], [])


# A batch


async def test_commands_of_a_batch_decide_on_what_the_earlier_ones_left(store: Store) -> None:
    def one_more(tx: Transaction) -> int | None:
        return count("7a", (tx.state(HEADCOUNT, "7a") or 0) + 1)(tx)

    answers = await in_one_batch(store, *(send(store, one_more) for _ in range(20)))
    assert [answer.reply for answer in answers] == list(range(1, 21))
    assert {answer.position for answer in answers} == {20}
    assert recorded(store.database) == [("7a", n, n) for n in range(1, 21)]


async def test_a_refusal_in_a_batch_does_not_abort_the_others(store: Store) -> None:
    outcomes = await in_one_batch(
        store, *(outcome(send(store, count(class_id, pupils))) for class_id, pupils in [("7a", 26), ("7b", 41), ("7a", 27), ("7v", 99)])
    )
    assert outcomes == [26, "headcount.too-large", 27, "headcount.too-large"]
    assert recorded(store.database) == [("7a", 1, 26), ("7a", 2, 27)]


async def test_what_a_refused_command_had_decided_before_is_forgotten(store: Store) -> None:
    def half_done(tx: Transaction) -> int | None:
        count("7a", 30)(tx)
        return count("7b", 41)(tx)

    outcomes = await in_one_batch(store, outcome(send(store, half_done)), outcome(send(store, count("7a", 26))))
    assert outcomes == ["headcount.too-large", 26]
    assert recorded(store.database) == [("7a", 1, 26)]


async def test_more_commands_than_a_batch_holds_become_several_batches(store: Store) -> None:
    answers = await in_one_batch(store, *(send(store, count(f"c{n}", 20)) for n in range(150)))
    assert [answer.position for answer in answers] == [64] * 64 + [128] * 64 + [150] * 22
    assert len(recorded(store.database)) == 150


async def test_an_error_in_a_batch_reaches_its_own_caller_alone(store: Store) -> None:
    def broken(tx: Transaction) -> int:
        return 1 // 0

    first, error, last = await in_one_batch(
        store, outcome(send(store, count("7a", 26))), outcome(send(store, broken)), outcome(send(store, count("7a", 27)))
    )
    assert (first, last) == (26, 27)
    assert isinstance(error, ZeroDivisionError)
    assert recorded(store.database) == [("7a", 1, 26), ("7a", 2, 27)]


@pytest.mark.parametrize("writing", [False, True], ids=["reading", "writing"])
async def test_an_error_of_the_database_in_a_batch_reaches_its_own_caller_alone(store: Store, writing: bool) -> None:
    """PostgreSQL gives up a transaction in which a statement failed: whoever comes after must not find that out."""

    def broken(tx: Transaction) -> object:
        return tx.write(text("UPDATE nowhere SET a = 1")) if writing else tx.rows(text("SELECT * FROM nowhere"))

    first, error, last = await in_one_batch(
        store,
        outcome(send(store, take_number("12/7", count("7a", 26)))),
        outcome(send(store, broken)),
        outcome(send(store, lambda tx: (len(tx.rows(select(numbers))), count("7a", 27)(tx)))),
    )
    assert (first, last) == (26, (1, 27))
    assert isinstance(error, DBAPIError)
    assert recorded(store.database) == [("7a", 1, 26), ("7a", 2, 27)]


async def test_a_question_that_the_database_cannot_answer_does_not_spoil_the_next_one(store: Store) -> None:
    await send(store, take_number("12/7", lambda _: 0))
    error, rows = await in_one_batch(
        store,
        outcome(send(store, lambda tx: tx.rows(text("SELECT * FROM nowhere")))),
        outcome(send(store, lambda tx: [row.number for row in tx.rows(select(numbers))])),
    )
    assert isinstance(error, DBAPIError)
    assert rows == ["12/7"]


# The service's own tables


async def test_state_and_events_are_of_one_transaction(store: Store) -> None:
    await send(store, take_number("12/7", count("7a", 26)))
    assert (taken_numbers(store.database), recorded(store.database)) == (["12/7"], [("7a", 1, 26)])


async def test_a_refusal_takes_back_what_its_command_wrote(store: Store) -> None:
    assert await outcome(send(store, take_number("12/7", count("7a", 41)))) == "headcount.too-large"
    assert (taken_numbers(store.database), recorded(store.database)) == ([], [])


async def test_a_refusal_after_a_write_rolls_only_its_own_command_back(store: Store) -> None:
    outcomes = await in_one_batch(
        store,
        outcome(send(store, take_number("1", count("7a", 26)))),
        outcome(send(store, take_number("2", count("7b", 41)))),
        outcome(send(store, take_number("3", count("7a", 27)))),
    )
    assert outcomes == [26, "headcount.too-large", 27]
    assert taken_numbers(store.database) == ["1", "3"]
    assert recorded(store.database) == [("7a", 1, 26), ("7a", 2, 27)]


async def test_what_must_be_unique_and_is_taken_is_a_conflict(store: Store) -> None:
    await send(store, take_number("12/7", count("7a", 26)))
    with pytest.raises(Conflict):
        await send(store, take_number("12/7", count("7a", 27)))
    assert (taken_numbers(store.database), recorded(store.database)) == (["12/7"], [("7a", 1, 26)])


async def test_of_two_in_one_batch_that_want_the_same_one_gets_it(store: Store) -> None:
    first, second, third = await in_one_batch(
        store,
        outcome(send(store, take_number("12/7", count("7a", 26)))),
        outcome(send(store, take_number("12/7", count("7b", 26)))),
        outcome(send(store, count("7v", 26))),
    )
    assert (first, third) == (26, 26)
    assert isinstance(second, Conflict)
    assert (taken_numbers(store.database), recorded(store.database)) == (["12/7"], [("7a", 1, 26), ("7v", 1, 26)])


async def test_the_same_command_again_is_no_conflict_with_itself(store: Store) -> None:
    await send(store, take_number("12/7", count("7a", 26)), "c1")
    assert await send(store, take_number("12/7", count("7a", 26)), "c1") == Carried(26, 1, before=True)


async def test_a_command_sees_what_earlier_ones_of_its_batch_wrote(store: Store) -> None:
    answers = await in_one_batch(
        store,
        send(store, take_number("12/7", lambda _: 0)),
        send(store, lambda tx: [row.number for row in tx.rows(select(numbers))]),
    )
    assert answers[1].reply == ["12/7"]


async def test_a_write_says_how_many_rows_it_met(store: Store) -> None:
    await send(store, take_number("12/7", lambda _: 0))

    def rename(number: str) -> Callable[[Transaction], int]:
        return lambda tx: tx.write(update(numbers).where(numbers.c.number == number).values(class_id="7b"))

    assert (await send(store, rename("12/7"))).reply == 1
    assert (await send(store, rename("12/8"))).reply == 0


async def test_without_a_key_a_write_is_committed_as_well(store: Store) -> None:
    await store.carry_out(take_number("12/7", lambda _: 0), origin("c1"))
    assert taken_numbers(store.database) == ["12/7"]


async def test_a_commit_that_fails_fails_its_command_and_nothing_after_it(store: Store) -> None:
    def copy_what_is_not_there(tx: Transaction) -> int | None:
        tx.write(insert(copies).values(of="12/7"))  # it is at the commit that the database looks for the original
        return count("7a", 26)(tx)

    for _ in range(2):
        with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
            await send(store, copy_what_is_not_there)
    assert (await send(store, count("7a", 27))).reply == 27
    assert (await send(store, take_number("12/7", copy_what_is_not_there))).reply == 26
    assert recorded(store.database) == [("7a", 1, 27), ("7a", 2, 26)]


# Many at a time


async def test_thirty_two_tasks_share_transactions_and_leave_no_gap(database: Database, clock: ManualClock) -> None:
    commits: list[int] = []
    store = Store(database, clock, committed=lambda: commits.append(1))
    store.start()

    async def client(number: int) -> None:
        for n in range(10):
            shared, own = await send(store, count("shared", number * 10 % 41, n)), await send(store, count(f"own{number}", n))
            assert own.position >= shared.position

    await asyncio.gather(*(client(number) for number in range(32)))
    await store.stop()
    events = recorded(database)
    assert [pupils for class_id, _, pupils in events if class_id == "own7"] == list(range(10))
    versions = [version for class_id, version, _ in events if class_id == "shared"]
    assert versions == list(range(1, len(versions) + 1))
    assert len(commits) < 640


async def test_two_writers_on_one_database_both_get_everything_recorded(store: Store) -> None:
    async def one_more(writer: Store) -> int:
        def work(tx: Transaction) -> int | None:
            return count("7a", (tx.state(HEADCOUNT, "7a") or 0) + 1)(tx)

        return (await send(writer, work)).reply

    async with another(store) as other:
        replies = await asyncio.gather(*(one_more(writer) for _ in range(20) for writer in (store, other)))
    assert sorted(replies) == list(range(1, 41))
    assert recorded(store.database) == [("7a", n, n) for n in range(1, 41)]


async def test_two_writers_that_take_turns_see_each_others_events(store: Store) -> None:
    async with another(store) as other:
        for n in range(1, 10):
            writer = store if n % 2 else other
            assert (await send(writer, lambda tx: tx.state(HEADCOUNT, "7a"))).reply == (n - 1 or None)
            assert await send(writer, count("7a", n)) == Carried(n, n)


async def test_two_writers_with_the_same_command_carry_it_out_once(store: Store) -> None:
    async with another(store) as other:
        for n in range(10):
            answers = await asyncio.gather(*(send(writer, count("7a", n), f"c{n}") for writer in (store, other)))
            assert {answer.reply for answer in answers} == {n}
            assert [answer.before for answer in answers].count(True) == 1
    assert recorded(store.database) == [("7a", n + 1, n) for n in range(10)]


async def test_two_writers_of_the_same_row_never_wait_for_each_other(store: Store) -> None:
    def add(number: int) -> Callable[[Transaction], int]:
        def work(tx: Transaction) -> int:
            count(f"c{number}", 20)(tx)
            return tx.write(update(tally).values(value=tally.c.value + 1))

        return work

    async with another(store) as other:
        await asyncio.gather(*(send(writer, add(n)) for n, writer in enumerate([store, other] * 20)))
    with store.database.reading() as connection:
        assert connection.execute(select(tally.c.value)).scalar_one() == 40
    assert len(recorded(store.database)) == 40


RACER = """
import asyncio, sys
from datetime import date
from contracts.roster import ClassHeadcountDeclared
from eventkit.clock import RealClock
from eventkit.database import Database
from eventkit.decider import Decider
from eventkit.event import Origin
from eventkit.store import CommandKey, Store

url, name, commands = sys.argv[1], sys.argv[2], int(sys.argv[3])
counter = Decider("class", 0, lambda by, n: [ClassHeadcountDeclared(class_id="7a", pupils=n + by)], lambda n, event: event.pupils)

async def main():
    store = Store(Database(url, "roster"), RealClock())
    store.start()
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(commands):
        command_id = f"{name}-{n}"
        key = CommandKey(command_id, "digest", str, str)
        work = lambda tx: tx.decide(counter, "7a", 1, school="school-7", happened_on=date(2015, 8, 17)) and 0
        await store.carry_out(work, Origin("operator", command_id, command_id), key)
        print(command_id, flush=True)
    await store.stop()

asyncio.run(main())
"""


def start_racer(database: Database, name: str, commands: int, fault: str = "") -> subprocess.Popen[str]:
    url = database.url.render_as_string(hide_password=False)
    return subprocess.Popen(
        [sys.executable, "-c", RACER, url, name, str(commands)],
        env=os.environ | {"VEKHA_FAULT": fault},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_race_and_everything_is_recorded_once(database: Database) -> None:
    racers = [start_racer(database, name, 30) for name in ("one", "two")]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        racer.communicate(timeout=60)
        assert racer.returncode == 0
    assert recorded(database) == [("7a", n, n) for n in range(1, 61)]


@pytest.mark.parametrize(("fault", "recorded_after"), [("log.before-commit:3", 2), ("log.after-commit:3", 3)])
async def test_a_process_that_dies_around_a_commit_loses_nothing_acknowledged_and_repeats_nothing(
    store: Store, fault: str, recorded_after: int
) -> None:
    killed = start_racer(store.database, "c", 5, fault)
    acknowledged, _ = await asyncio.to_thread(killed.communicate, "go\n", timeout=60)
    assert acknowledged.split() == ["ready", "c-0", "c-1"]
    assert killed.returncode == -signal.SIGKILL
    assert len(recorded(store.database)) == recorded_after
    again = [await send(store, count("7a", n + 1), f"c-{n}") for n in range(5)]
    assert [answer.before for answer in again] == [n < recorded_after for n in range(5)]
    assert recorded(store.database) == [("7a", n, n) for n in range(1, 6)]


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_connections_that_were_cut_are_replaced(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    await send(store, take_number("1", count("7a", 26)))
    await send(store, count("7a", 27))
    with store.database.reading() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()")
        )
    assert (await send(store, count("7a", 28))).reply == 28
    assert (await send(store, take_number("2", count("7a", 29)))).reply == 29
    assert [pupils for _, _, pupils in recorded(store.database)] == [26, 27, 28, 29]
    assert caplog.messages == []


STANDS_STILL = """
import os, signal, sys
from eventkit import database, log
from eventkit.postgres import is_away

def rows():
    for number in range(1000):
        if number == 500:
            os.kill(os.getpid(), signal.SIGSTOP)
        yield (str(number),)

database._TRANSACTION_TIMEOUT_MS = 1_000
try:
    with database.Database(sys.argv[1], "roster").writing() as connection:
        log.head(connection, lock=True)
        driver = connection.connection.driver_connection
        driver.cursor().executemany("INSERT INTO number VALUES (%s, '7a')", rows())
except Exception as error:
    print(is_away(error))
"""


def start_frozen(database: Database) -> subprocess.Popen[str]:
    """Answers once it stands still."""
    command = [sys.executable, "-c", STANDS_STILL, database.url.render_as_string(hide_password=False)]
    still = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    os.waitid(os.P_PID, still.pid, os.WSTOPPED)
    return still


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_a_process_that_stands_still_in_the_middle_of_many_rows_holds_the_head_no_longer_than_a_transaction_may_last(
    store: Store,
) -> None:
    """The server waits for the rest of the rows: to it such a transaction is at work, not idle."""
    still = start_frozen(store.database)
    try:
        async with asyncio.timeout(30):
            assert (await send(store, take_number("1", count("7a", 26)))).reply == 26
        still.send_signal(signal.SIGCONT)
        told, _ = await asyncio.to_thread(still.communicate, timeout=30)
    finally:
        still.kill()
    assert told == "True\n"  # it does again what it was at
    assert [pupils for _, _, pupils in recorded(store.database)] == [26]


# Quarantine, stopping, callers that leave


async def test_a_quarantined_store_refuses_to_append_and_still_reads(store: Store) -> None:
    await send(store, count("7a", 26))
    store.quarantine = "the stream is ahead of the log at position 2"
    with pytest.raises(Quarantined, match="ahead of the log"):
        await send(store, count("7a", 27))
    assert await store.head() == 1
    assert [position for position, _, _ in await store.read(0, 10)] == [1]
    store.quarantine = None
    assert (await send(store, count("7a", 27))).position == 2


async def test_stopping_carries_out_what_is_queued(store: Store) -> None:
    waiting = [asyncio.ensure_future(send(store, count("7a", n))) for n in range(5)]
    await asyncio.sleep(0)
    await store.stop()
    assert [(await sent).reply for sent in waiting] == list(range(5))


async def test_a_stopped_store_says_so_instead_of_letting_its_caller_wait(store: Store) -> None:
    await store.stop()
    with pytest.raises(RuntimeError, match="stopped"):
        await send(store, count("7a", 26))


async def test_a_caller_that_has_gone_does_not_undo_its_command(store: Store) -> None:
    gone, stays = asyncio.ensure_future(send(store, count("7a", 26), "c1")), asyncio.ensure_future(send(store, count("7b", 26)))
    await asyncio.sleep(0)
    gone.cancel()
    await stays
    again = await send(store, count("7a", 26), "c1")
    assert (again.reply, again.before) == (26, True)
    assert len(recorded(store.database)) == 2


def lose_patience(*commands: Awaitable[Any]) -> None:
    """Sends commands from a loop of its own, which is closed before they are answered."""

    async def send_and_leave() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*commands), 0.1)

    asyncio.run(send_and_leave())


async def test_callers_whose_loop_was_closed_do_not_hold_up_those_of_another(store: Store) -> None:
    go_on = threading.Event()

    def hold_up(tx: Transaction) -> None:
        go_on.wait()
        count("7a", 26)(tx)

    await asyncio.to_thread(lose_patience, store.carry_out(hold_up, origin("c1")), send(store, count("7b", 26)))
    stays = asyncio.ensure_future(send(store, count("7b", 27)))
    await asyncio.sleep(0)
    go_on.set()
    assert await stays == Carried(27, 3)
    assert await send(store, count("7b", 28)) == Carried(28, 4)
    assert recorded(store.database) == [("7a", 1, 26), ("7b", 1, 26), ("7b", 2, 27), ("7b", 3, 28)]


async def test_whoever_waits_for_commits_is_told_though_the_loop_of_the_first_caller_was_closed(
    database: Database, clock: ManualClock
) -> None:
    told = asyncio.Event()
    store = Store(database, clock, committed=told.set)
    await asyncio.to_thread(lose_patience, send(store, count("7a", 26)))
    stays = asyncio.ensure_future(send(store, count("7a", 27)))
    await asyncio.sleep(0)
    store.start()
    assert (await stays).position == 2
    assert told.is_set()
    await store.stop()


@pytest.mark.parametrize("raised", [SystemExit, asyncio.CancelledError, StopIteration])
async def test_whatever_a_command_raises_the_next_one_is_carried_out(store: Store, raised: type[BaseException]) -> None:
    def work(tx: Transaction) -> None:
        count("7a", 26)(tx)
        raise raised

    sent = asyncio.ensure_future(send(store, count("7a", 27)))
    with pytest.raises((raised, RuntimeError)):
        await store.carry_out(work, origin("c1"))
    assert (await sent).reply == 27
    assert recorded(store.database) == [("7a", 1, 27)]


async def test_whoever_waits_for_commits_is_told_before_the_answer(database: Database, clock: ManualClock) -> None:
    told: list[str] = []
    store = Store(database, clock, committed=lambda: told.append("commit"))
    store.start()
    for sent in (count("7a", 26), count("7a", 41)):
        await outcome(send(store, sent))
        told.append("answer")
    await store.stop()
    assert told == ["commit", "answer", "answer"]


# The law

classes = st.sampled_from(["7a", "7b", "7v"])
commands = st.builds(Count, classes, st.lists(st.integers(18, 42), min_size=0, max_size=3).map(tuple))
sent_commands = st.tuples(st.integers(1, 30), commands)  # a few ids come again, with the same body or another
batches = st.lists(st.lists(sent_commands, min_size=1, max_size=8), min_size=1, max_size=5)


def expected_of(sent: Sequence[tuple[int, Count]]) -> tuple[list[Any], dict[str, int | None]]:
    """What every command must answer, and the states in the end: one after another, by the decider alone."""
    states: dict[str, int | None] = {}
    before: dict[int, tuple[Count, int | None]] = {}
    answers: list[Any] = []
    for number, command in sent:
        if number in before:
            body, answer = before[number]
            answers.append(answer if body == command else "command.reused")
            continue
        try:
            events = decide(command, states.get(command.class_id))
        except Refused as refused:
            answers.append(refused.code)
            continue
        states[command.class_id] = HEADCOUNT.fold(events, states.get(command.class_id))
        answers.append(states[command.class_id])
        if events:
            before[number] = command, states[command.class_id]
    return answers, states


def emptied(database: Database) -> Database:
    with database.writing() as connection:
        for table in (log.log_table, log.command_table, log.head_table):
            connection.execute(table.delete())
        log.begin(connection, "roster")
    return database


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches)
def test_any_commands_in_any_batches_have_the_answers_of_one_after_another(
    database: Database, batches: list[list[tuple[int, Count]]]
) -> None:
    async def carry_out() -> tuple[list[Any], dict[str, int | None]]:
        writers = [Store(database, ManualClock(datetime(2015, 8, 17, tzinfo=UTC) + timedelta(seconds=n))) for n in (1, 0)]
        for writer in writers:
            writer.start()
        answers: list[Any] = []
        for number, batch in enumerate(batches):
            store = writers[number % 2]  # they take turns, so that each finds its memory outdated
            answers += await in_one_batch(
                store,
                *(outcome(send(store, count(command.class_id, *command.pupils), f"c{n}", str(command))) for n, command in batch),
            )
        for writer in writers:
            await writer.stop()
        with database.reading() as connection:
            states = {
                name: HEADCOUNT.fold(event.event() for event in log.history(connection, f"class-{name}")) for name in ("7a", "7b", "7v")
            }
        return answers, {name: state for name, state in states.items() if state is not None}

    emptied(database)
    answers, states = asyncio.run(carry_out())
    replies, expected_states = expected_of([sent for batch in batches for sent in batch])
    assert answers == replies
    assert states == {name: state for name, state in expected_states.items() if state is not None}
    recorded(database)


# ---- What never was true ------------------------------------------------------------------------------------------------


def annulling(event_id: str, class_id: str = "7a") -> Work:
    def work(tx: Transaction) -> int | None:
        tx.annul(HEADCOUNT, class_id, event_id, EntryAnnulled, AnnulmentReason.MISTYPED)
        return tx.state(HEADCOUNT, class_id)

    return work


async def told(store: Store) -> list[Recorded]:
    return [decode(data) for _, _, data in await store.read(0, 100)]


async def test_an_annulled_event_leaves_the_state_before_it_on_its_own_day_and_the_next_one_is_decided_on_that(store: Store) -> None:
    await send(store, count("7a", 20, 25))
    newest = (await told(store))[-1]
    assert (await send(store, annulling(newest.id))).reply == 20
    annulled = (await told(store))[-1]
    assert (annulled.type, annulled.stream, annulled.version, annulled.happenedon) == (
        "roster.entry-annulled.v1",
        newest.stream,
        3,
        newest.happenedon,
    )
    assert annulled.facts()[1] == {"event": newest.id, "position": 2, "event_type": newest.type, "reason": "mistyped"}
    assert (await send(store, count("7a", 20))).position == 3
    assert (await send(store, count("7a", 25))).position == 4


async def test_who_reads_the_history_anew_folds_no_annulled_event(store: Store) -> None:
    await send(store, count("7a", 20, 25))
    await send(store, annulling((await told(store))[-1].id))
    async with another(store) as other:
        assert (await send(other, lambda tx: tx.state(HEADCOUNT, "7a"))).reply == 20
        assert (await send(other, count("7a", 20))).position == 3


async def test_annulling_twice_records_once_and_what_came_later_is_annulled_first(store: Store) -> None:
    await send(store, count("7a", 20, 25))
    first, second = await told(store)
    assert await outcome(send(store, annulling(first.id))) == "entry.rested-on"
    await send(store, annulling(second.id))
    await send(store, annulling(second.id))
    assert await outcome(send(store, annulling(first.id))) is None
    assert await outcome(send(store, annulling("nowhere"))) == "entry.unknown"
    assert [event.type.split(".")[1] for event in await told(store)] == ["class-headcount-declared"] * 2 + ["entry-annulled"] * 2


def taking_back(*wrong: str, class_id: str = "7a") -> Work:
    def work(tx: Transaction) -> int | None:
        tx.take_back(HEADCOUNT, class_id, lambda recorded: recorded.id in wrong, EntryAnnulled, AnnulmentReason.IMPORT_ROLLED_BACK)
        return tx.state(HEADCOUNT, class_id)

    return work


async def test_what_is_taken_back_together_is_annulled_the_newest_first_and_once(store: Store) -> None:
    await send(store, count("7a", 20, 25, 30))
    _, second, third = await told(store)
    assert (await send(store, taking_back(second.id, third.id))).reply == 20
    assert (await send(store, taking_back(second.id, third.id))).reply == 20
    annulled = [event.facts()[1]["event"] for event in await told(store) if event.type == EntryAnnulled.type]
    assert annulled == [third.id, second.id]
    assert (await send(store, taking_back("nobody", class_id="8b"))).reply is None
    assert (await send(store, count("7a", 30))).position == 6


async def test_nothing_is_taken_back_where_what_stays_rests_on_some_of_it(store: Store) -> None:
    await send(store, count("7a", 20, 25, 30))
    first, second, _ = await told(store)
    assert await outcome(send(store, taking_back(first.id, second.id))) == "entry.rested-on"
    assert len(await told(store)) == 3


async def test_an_annulment_cannot_be_annulled(store: Store) -> None:
    await send(store, count("7a", 20))
    await send(store, annulling((await told(store))[-1].id))
    annulment = (await told(store))[-1]
    assert await outcome(send(store, annulling(annulment.id))) == "entry.is-annulment"
    assert len(await told(store)) == 2


async def test_the_annulment_of_another_service_is_an_error_and_nothing_is_recorded(store: Store) -> None:
    await send(store, count("7a", 20))
    (counted,) = await told(store)
    with pytest.raises(ValueError, match=r"plan\.entry-annulled\.v1"):
        await send(store, lambda tx: tx.annul(HEADCOUNT, "7a", counted.id, PlanEntryAnnulled, AnnulmentReason.MISTYPED))
    assert await told(store) == [counted]


async def test_an_entry_is_found_by_its_position(store: Store) -> None:
    await send(store, count("7a", 20))
    found = (await send(store, lambda tx: (tx.entry(1) is not None) + 2 * (tx.entry(2) is not None))).reply
    assert found == 1
