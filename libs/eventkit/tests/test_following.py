"""Readers of one service follow one reading of a stream, on a real nats-server."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from nats.aio.client import Client

from eventkit import following
from eventkit.following import Durables, Follower, Following
from eventkit.jetstream import BusError, BusMessage, JetStream, PipelinedPublisher
from eventkit.provision import BusStream, provision

DURABLES = Durables.of("identity", processes=2)


@dataclass
class Bench:
    """A stream of this test alone, and what a service follows it by."""

    nc: Client
    source: str
    owner: list[BusMessage] = field(default_factory=list[BusMessage])

    def __post_init__(self) -> None:
        self.following = Following(self.nc, DURABLES, self.ask_owner)

    async def ask_owner(self, source: str, after: int, limit: int) -> Sequence[BusMessage]:
        return self.owner[after : after + limit]

    async def publish(self, count: int) -> None:
        first = len(self.owner) + 1
        run = [(n, f"evt.{self.source}.s1.thing.v1", b"event %d" % n) for n in range(first, first + count)]
        self.owner += run
        assert (await PipelinedPublisher(self.nc, self.source.upper()).send(run)).failure is None

    async def delivered(self, durable: str) -> int:
        """How many messages the broker has handed out by a durable since it was moved last."""
        return (await JetStream(self.nc).ask(f"CONSUMER.INFO.{self.source.upper()}.{durable}"))["delivered"]["consumer_seq"]

    async def stands_at(self, durable: str) -> int:
        """Up to which event the broker has handed out by a durable."""
        return (await JetStream(self.nc).ask(f"CONSUMER.INFO.{self.source.upper()}.{durable}"))["delivered"]["stream_seq"]

    def reader(self, after: int = 0) -> "Reader":
        return Reader(self.following.follower(self.source, after), after)


class Reader:
    """Takes what it is handed, unless it is told to pause."""

    def __init__(self, follower: Follower, after: int) -> None:
        self.follower = follower
        self.taken: list[BusMessage] = []
        self.begun_behind = self.after = after
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def run(self) -> None:
        async with aclosing(self.follower.batches()) as batches:
            async for batch in batches:
                self.taken += batch
                self.after = batch[-1][0]
                await self.goes_on.wait()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Reader"]:
        task = asyncio.create_task(self.run())
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def reached(self, position: int) -> None:
        async with asyncio.timeout(30):
            while self.after < position:  # noqa: ASYNC110 - it looks at what runs from outside
                await asyncio.sleep(0.005)

    def check(self, bench: Bench) -> None:
        """It has taken each event behind which it began up to where it is, once and in order."""
        assert [position for position, _, _ in self.taken] == list(range(self.begun_behind + 1, self.after + 1))
        assert self.taken == bench.owner[self.begun_behind : self.after]


@pytest.fixture
async def bench(nc: Client) -> Bench:
    source = f"one{uuid4().hex[:12]}"
    await provision(nc, [BusStream(source)], DURABLES.on([source]))
    return Bench(nc, source)


async def test_a_stream_is_read_once_for_all_who_follow_it(bench: Bench) -> None:
    await bench.publish(500)
    async with bench.reader().running() as one, bench.reader().running() as other, bench.reader(200).running() as further:
        await bench.publish(500)
        for reader in (one, other, further):
            await reader.reached(1000)
            reader.check(bench)
        assert {name: await bench.delivered(name) for _, name in DURABLES.on([bench.source])} == {
            "identity-readers": 1000,
            "identity-readers-2": 0,
            "identity-behind": 0,
            "identity-behind-2": 0,
        }


async def test_two_processes_read_side_by_side_and_disturb_each_other_in_nothing(bench: Bench) -> None:
    other = Following(bench.nc, DURABLES, bench.ask_owner)
    await bench.publish(500)
    async with bench.reader().running() as one:
        await one.reached(500)
        two = Reader(other.follower(bench.source, 0), 0)
        async with two.running():
            for _ in range(20):
                await bench.publish(25)
            for reader in (one, two):
                await reader.reached(1000)
                reader.check(bench)
            assert await bench.delivered("identity-readers") == await bench.delivered("identity-readers-2") == 1000


async def test_two_processes_that_begin_in_the_same_moment_come_apart(bench: Bench) -> None:
    followings = [Following(bench.nc, DURABLES, bench.ask_owner) for _ in range(2)]
    one, two = (Reader(following.follower(bench.source, 0), 0) for following in followings)
    async with one.running(), two.running():
        for _ in range(40):
            await bench.publish(25)
            await asyncio.sleep(0.01)
        async with asyncio.timeout(30):
            while {await bench.stands_at(name) for name in DURABLES.near} != {len(bench.owner)}:
                await bench.publish(1)
                await asyncio.sleep(0.05)
        for reader in (one, two):
            await reader.reached(len(bench.owner))
            reader.check(bench)


async def test_one_who_finds_all_durables_taken_waits_for_what_somebody_has_asked_for_who_is_gone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of several nodes, one goes on counting it; here its inbox is one that somebody still listens to."""
    monkeypatch.setattr("eventkit.jetstream._TAKEN_PAUSE_S", 0.05)
    inbox = bench.nc.new_inbox()
    gone = await bench.nc.subscribe(inbox)  # pyright: ignore[reportUnknownMemberType] - nats-py leaves the type of one parameter open
    for _, durable in DURABLES.on([bench.source]):
        request = b'{"batch": 5, "expires": 1000000000}'
        await bench.nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.{bench.source.upper()}.{durable}", request, inbox)
    await bench.nc.flush()
    async with bench.reader().running() as reader:
        await asyncio.sleep(0.2)
        await bench.publish(100)
        await reader.reached(100)
        reader.check(bench)
    assert capsys.readouterr().out.count("bus.reading-again") == 0  # it did not fight for messages
    await gone.unsubscribe()


async def test_who_comes_when_another_process_has_left_reads_by_the_durable_that_it_left(bench: Bench) -> None:
    await bench.publish(10)
    other = Reader(Following(bench.nc, DURABLES, bench.ask_owner).follower(bench.source, 0), 0)
    async with other.running():
        await other.reached(10)
    async with bench.reader().running() as reader:
        await bench.publish(10)
        await reader.reached(20)
    assert await bench.delivered("identity-readers-2") == 0


async def test_who_comes_later_gets_what_the_others_have_already_and_they_do_not_get_it_twice(bench: Bench) -> None:
    await bench.publish(300)
    async with bench.reader().running() as early:
        await early.reached(300)
        async with bench.reader(100).running() as late:
            await late.reached(300)
            await bench.publish(10)
            await late.reached(310)
            await early.reached(310)
            late.check(bench)
        early.check(bench)


async def test_who_leaves_in_the_middle_is_not_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_QUEUED_BATCHES", 1)
    async with bench.reader().running() as other:
        async with bench.reader().running() as slow:
            slow.goes_on.clear()
            for n in range(10):
                await bench.publish(10)
                if n == 0:
                    await slow.reached(10)
                await asyncio.sleep(0.01)
            assert other.after < 100  # held back, and so the memory stays small
        await other.reached(100)
        other.check(bench)


async def test_who_is_far_behind_holds_nobody_back_and_arrives(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_NEAR", 50)
    monkeypatch.setattr(following, "_QUEUED_BATCHES", 1)
    await bench.publish(500)
    async with bench.reader(480).running() as near, bench.reader().running() as far:
        far.goes_on.clear()
        await near.reached(500)
        for _ in range(5):
            await bench.publish(10)
            await near.reached(len(bench.owner))
        far.goes_on.set()
        await far.reached(550)
        await bench.publish(10)
        await far.reached(560)
        await near.reached(560)
        far.check(bench)
        near.check(bench)


async def test_trouble_reaches_all_who_follow_and_who_comes_again_is_served(bench: Bench) -> None:
    source = bench.source.upper()
    await bench.publish(10)
    one, other = bench.reader(), bench.reader()
    running = [asyncio.create_task(reader.run()) for reader in (one, other)]
    await one.reached(10)
    await other.reached(10)
    for _, durable in DURABLES.on([source]):
        await JetStream(bench.nc).ask(f"CONSUMER.DELETE.{source}.{durable}")
    for task in running:
        with pytest.raises(BusError):
            await asyncio.wait_for(task, 30)
    await provision(bench.nc, [BusStream(bench.source)], DURABLES.on([source]))
    await bench.publish(5)
    async with bench.reader(one.after).running() as again:
        await again.reached(15)
        again.check(bench)


@pytest.mark.parametrize("seed", range(6))
async def test_whoever_comes_and_goes_gets_each_event_once_and_in_order(bench: Bench, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(following, "_NEAR", chance.choice((5, 50, 10_000)))
    monkeypatch.setattr(following, "_QUEUED_BATCHES", chance.choice((1, 4)))
    await bench.publish(100)

    async def comes_and_goes() -> None:
        after = chance.randint(0, 100)
        for _ in range(4):
            async with bench.reader(after).running() as reader:
                await asyncio.sleep(chance.random() / 20)
                if chance.random() < 0.3:
                    reader.goes_on.clear()
                    await asyncio.sleep(chance.random() / 20)
                    reader.goes_on.set()
            reader.check(bench)
            after = chance.choice((reader.after, max(0, reader.after - 1), 0))
        async with bench.reader(after).running() as reader:
            await published.wait()
            await reader.reached(len(bench.owner))
        reader.check(bench)

    published = asyncio.Event()
    tasks = [asyncio.create_task(comes_and_goes()) for _ in range(5)]
    for _ in range(20):
        await bench.publish(chance.randint(1, 30))
        await asyncio.sleep(0.01)
    published.set()
    async with asyncio.timeout(60):
        await asyncio.gather(*tasks)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - it looks at what runs from outside
        await asyncio.sleep(0.005)


async def test_who_has_taken_all_there_is_has_heard_of_the_stream_as_long_as_it_speaks(bench: Bench) -> None:
    await bench.publish(5)
    async with bench.reader().running() as taking, bench.reader().running() as stuck:
        await taking.reached(5)
        stuck.goes_on.clear()
        await bench.publish(5)
        await taking.reached(10)
        await bench.publish(5)
        await taking.reached(15)
        heard = stuck.follower.heard_at
        await until(lambda: taking.follower.heard_at > heard)
        assert stuck.follower.heard_at == heard
