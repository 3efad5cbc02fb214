"""Provisioning, pipelined publishing and reading, on a real nats-server."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from nats.aio.client import Client

from eventkit.broker import EmbeddedBroker
from eventkit.jetstream import (
    BusError,
    BusMessage,
    BusReader,
    BusUnavailable,
    ConsumerMissing,
    JetStream,
    PipelinedPublisher,
    StreamGap,
    StreamMissing,
    connect,
    disconnect,
)
from eventkit.provision import BUS_STREAMS, MAX_MESSAGE_BYTES, BusStream, ProvisionedDifferently, provision

DURABLE = "board"


@dataclass
class Bench:
    """A stream of this test alone, with the durable `board`, and what is used on it."""

    nc: Client
    stream: BusStream

    def messages(self, first: int, last: int, size: int = 100) -> list[BusMessage]:
        return [(n, f"evt.{self.stream.service}.s1.thing.v1", f"event {n} ".encode().ljust(size, b".")) for n in range(first, last + 1)]

    async def publish(self, first: int, last: int, size: int = 100) -> list[BusMessage]:
        messages = self.messages(first, last, size)
        sent = await PipelinedPublisher(self.nc, self.stream.name).send(messages)
        assert (sent.acknowledged, sent.failure) == (last, None)
        return messages

    def reader(self, pull: int = 2000) -> BusReader:
        return BusReader(self.nc, self.stream.name, DURABLE, pull=pull, heartbeat_s=0.5)

    async def read(self, after: int, until: int, pull: int = 2000) -> list[BusMessage]:
        messages: list[BusMessage] = []
        async with aclosing(self.reader(pull).batches(after)) as batches:
            async for batch in batches:
                messages += batch
                if messages[-1][0] >= until:
                    break
        return messages


def new_stream() -> BusStream:
    return BusStream(f"s{uuid4().hex[:12]}")


async def provisioned(nc: Client) -> Bench:
    stream = new_stream()
    await provision(nc, [stream], [(stream.name, DURABLE)])
    return Bench(nc, stream)


async def until_connected(nc: Client) -> None:
    while not nc.is_connected:  # noqa: ASYNC110 - the client sets no event
        await asyncio.sleep(0.02)


@pytest.fixture
async def bench(nc: Client) -> Bench:
    return await provisioned(nc)


@pytest.fixture
async def own_bench(own_nats_server: EmbeddedBroker) -> AsyncIterator[Bench]:
    """On a server that the test may stop and damage."""
    nc = await connect(own_nats_server.url, own_nats_server.credential, name="test")
    yield await provisioned(nc)
    await disconnect(nc)


# Provisioning


async def test_provisioning_again_changes_nothing(nc: Client) -> None:
    stream = new_stream()
    await provision(nc, [stream], [(stream.name, DURABLE)])
    bench = Bench(nc, stream)
    await bench.publish(1, 3)
    before = await JetStream(nc).ask(f"STREAM.INFO.{stream.name}")
    await provision(nc, [stream], [(stream.name, DURABLE)])
    after = await JetStream(nc).ask(f"STREAM.INFO.{stream.name}")
    assert (before["config"], before["created"], before["state"]) == (after["config"], after["created"], after["state"])


def test_each_service_has_a_stream_of_its_name() -> None:
    assert [(stream.name, stream.subjects) for stream in BUS_STREAMS] == [
        ("ROSTER", "evt.roster.>"),
        ("CONSENT", "evt.consent.>"),
        ("IDENTITY", "evt.identity.>"),
        ("PLAN", "evt.plan.>"),
        ("NOTIFIER", "evt.notifier.>"),
    ]


async def test_a_provisioned_stream_cannot_lose_a_message_by_request(bench: Bench) -> None:
    await bench.publish(1, 1)
    for verb, body in (("MSG.DELETE", {"seq": 1}), ("PURGE", {})):
        with pytest.raises(BusError):
            await JetStream(bench.nc).ask(f"STREAM.{verb}.{bench.stream.name}", body)


async def test_a_stream_that_exists_with_other_settings_is_refused_and_left_alone(nc: Client) -> None:
    stream = new_stream()
    settings = {"name": stream.name, "subjects": [stream.subjects], "storage": "file", "max_msgs": 5}
    await JetStream(nc).ask(f"STREAM.CREATE.{stream.name}", settings)
    with pytest.raises(ProvisionedDifferently, match="max_msgs is 5 instead of -1") as refusal:
        await provision(nc, [stream])
    assert refusal.value.code == "provision.differs"
    assert "deny_delete is False instead of True" in str(refusal.value)
    assert (await JetStream(nc).ask(f"STREAM.INFO.{stream.name}"))["config"]["max_msgs"] == 5


async def test_a_consumer_that_exists_with_a_filter_is_refused(nc: Client) -> None:
    stream = new_stream()
    await provision(nc, [stream])
    config = {"durable_name": DURABLE, "ack_policy": "none", "filter_subject": f"evt.{stream.service}.s1.>"}
    request = {"stream_name": stream.name, "config": config}
    await JetStream(nc).ask(f"CONSUMER.CREATE.{stream.name}.{DURABLE}.{config['filter_subject']}", request)
    with pytest.raises(ProvisionedDifferently, match="filter_subject"):
        await provision(nc, [stream], [(stream.name, DURABLE)])


async def test_a_consumer_of_a_stream_that_does_not_exist_is_refused(nc: Client) -> None:
    with pytest.raises(StreamMissing):
        await provision(nc, [], [("NOWHERE", DURABLE)])


# Questions


async def test_a_message_is_read_back_by_its_sequence(bench: Bench) -> None:
    messages = await bench.publish(1, 3)
    api = JetStream(bench.nc)
    assert await api.last_sequence(bench.stream.name) == 3
    assert await api.get_message(bench.stream.name, 2) == messages[1][1:]
    assert await api.get_message(bench.stream.name, 4) is None


async def test_a_range_is_read_in_order_whatever_the_size_of_its_messages(bench: Bench) -> None:
    messages = await bench.publish(1, 30) + await bench.publish(31, 60, size=MAX_MESSAGE_BYTES - 1000) + await bench.publish(61, 80)
    read = [message async for batch in JetStream(bench.nc).read_range(bench.stream.name, 11, 75, batch=20) for message in batch]
    assert read == messages[10:75]


async def test_a_range_beyond_the_end_of_the_stream_ends_with_it(bench: Bench) -> None:
    messages = await bench.publish(1, 5)
    assert [batch async for batch in JetStream(bench.nc).read_range(bench.stream.name, 4, 100)] == [messages[3:]]
    assert [batch async for batch in JetStream(bench.nc).read_range(bench.stream.name, 50, 100)] == []


async def test_questions_about_a_stream_that_does_not_exist_say_so(nc: Client) -> None:
    with pytest.raises(StreamMissing) as refusal:
        await JetStream(nc).last_sequence("NOWHERE")
    assert refusal.value.code == "bus-stream.missing"
    with pytest.raises(BusUnavailable):
        await JetStream(nc).get_message("NOWHERE", 1)
    with pytest.raises(BusUnavailable):
        async for _ in JetStream(nc).read_range("NOWHERE", 1, 1):
            pass


# Publishing


async def test_a_run_longer_than_the_window_arrives_whole_and_in_order(bench: Bench) -> None:
    messages = await bench.publish(1, 2000)
    assert [message async for batch in JetStream(bench.nc).read_range(bench.stream.name, 1, 2000) for message in batch] == messages


async def test_a_run_that_was_sent_already_is_refused_and_not_stored_again(bench: Bench) -> None:
    await bench.publish(1, 600)
    sent = await PipelinedPublisher(bench.nc, bench.stream.name).send(bench.messages(1, 600))
    assert sent.acknowledged == 0
    assert sent.failure is not None
    assert (sent.failure.kind, sent.failure.position) == ("wrong-last-sequence", 1)
    assert await JetStream(bench.nc).last_sequence(bench.stream.name) == 600


async def test_a_run_that_leaves_a_hole_is_refused(bench: Bench) -> None:
    await bench.publish(1, 3)
    sent = await PipelinedPublisher(bench.nc, bench.stream.name).send(bench.messages(5, 6))
    assert sent.failure is not None
    assert sent.failure.kind == "wrong-last-sequence"


async def test_what_came_before_a_refused_message_counts_as_sent(bench: Bench) -> None:
    run = bench.messages(1, 40)
    run[20] = (21, run[20][1], b"x" * (MAX_MESSAGE_BYTES + 1))
    publisher = PipelinedPublisher(bench.nc, bench.stream.name)
    sent = await publisher.send(run)
    assert sent.acknowledged == 20
    assert sent.failure is not None
    assert (sent.failure.kind, sent.failure.position) == ("refused", 21)
    assert (await publisher.send(bench.messages(21, 40))).failure is None


async def test_a_missing_stream_shows_as_no_responders(nc: Client) -> None:
    bench = Bench(nc, new_stream())
    sent = await PipelinedPublisher(nc, bench.stream.name).send(bench.messages(1, 3))
    assert sent.failure is not None
    assert sent.failure.kind == "no-responders"


async def test_a_broker_that_is_gone_shows_as_unanswered(own_nats_server: EmbeddedBroker, own_bench: Bench) -> None:
    await own_nats_server.stop()
    sent = await PipelinedPublisher(own_bench.nc, own_bench.stream.name, timeout_s=0.5).send(own_bench.messages(1, 3))
    assert sent.acknowledged == 0
    assert sent.failure is not None
    assert sent.failure.kind == "unanswered"


# Reading


@pytest.mark.parametrize("after", [0, 1, 1234, 4999])
async def test_reading_starts_behind_any_position(bench: Bench, after: int) -> None:
    messages = await bench.publish(1, 5000)
    assert await bench.read(after, 5000) == messages[after:]


async def test_a_durable_may_be_read_again_from_the_start(bench: Bench) -> None:
    messages = await bench.publish(1, 3000)
    assert await bench.read(0, 3000) == messages
    assert await bench.read(0, 3000) == messages


async def test_lists_hold_at_most_a_pull(bench: Bench) -> None:
    await bench.publish(1, 250)
    sizes: list[int] = []
    async with aclosing(bench.reader(pull=30).batches(0)) as batches:
        async for batch in batches:
            sizes.append(len(batch))
            await asyncio.sleep(0.001)
            if sum(sizes) == 250:
                break
    assert max(sizes) <= 30


async def test_large_events_come_through_although_a_pull_is_limited_in_bytes(bench: Bench) -> None:
    messages = await bench.publish(1, 60, size=MAX_MESSAGE_BYTES - 1000)
    assert await bench.read(0, 60) == messages


async def test_live_events_follow_those_that_were_there(bench: Bench) -> None:
    messages = await bench.publish(1, 10)
    reading = asyncio.create_task(bench.read(0, 40))
    for position in range(11, 41):
        messages += await bench.publish(position, position)
        await asyncio.sleep(0.002)
    assert await reading == messages


async def test_reading_outlives_the_expiry_of_its_pulls(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventkit.jetstream._PULL_EXPIRES_S", 1.1)
    reading = asyncio.create_task(bench.read(0, 2))
    await bench.publish(1, 1)
    await asyncio.sleep(1.5)
    await bench.publish(2, 2)
    assert [message[0] for message in await reading] == [1, 2]


async def test_a_reader_ahead_of_a_stream_that_is_being_refilled_waits_for_its_position(bench: Bench) -> None:
    await bench.publish(1, 10)
    reading = asyncio.create_task(bench.read(20, 25))
    await asyncio.sleep(0.2)
    messages = await bench.publish(11, 25)
    assert await reading == messages[10:]


async def test_reading_goes_on_after_a_restart_of_the_broker(own_nats_server: EmbeddedBroker, own_bench: Bench) -> None:
    messages = await own_bench.publish(1, 3000)
    half = asyncio.Event()
    read: list[BusMessage] = []

    async def follow() -> None:
        async with aclosing(own_bench.reader(pull=100).batches(0)) as batches:
            async for batch in batches:
                read.extend(batch)
                if len(read) >= 1500:
                    half.set()
                if len(read) >= 4000:
                    return

    following = asyncio.create_task(follow())
    await half.wait()
    os.kill(own_nats_server.pid, signal.SIGKILL)
    await own_nats_server.exited()
    await own_nats_server.start()
    await until_connected(own_bench.nc)
    messages += await own_bench.publish(3001, 4000)
    await following
    assert read == messages


async def test_a_live_reader_survives_a_restart_of_the_broker_while_nothing_happens(
    own_nats_server: EmbeddedBroker, own_bench: Bench
) -> None:
    await own_bench.publish(1, 1)
    reading = asyncio.create_task(own_bench.read(0, 2))
    await asyncio.sleep(0.2)
    await own_nats_server.stop()
    await own_nats_server.start()
    await until_connected(own_bench.nc)
    await own_bench.publish(2, 2)
    assert [message[0] for message in await reading] == [1, 2]


async def test_a_consumer_that_was_never_provisioned_is_named(nc: Client) -> None:
    stream = new_stream()
    await provision(nc, [stream])
    with pytest.raises(ConsumerMissing, match=rf"{stream.name}\.board.*provisioning") as refusal:
        await Bench(nc, stream).read(0, 1)
    assert refusal.value.code == "consumer.missing"


async def test_a_stream_that_was_never_provisioned_is_named(nc: Client) -> None:
    with pytest.raises(StreamMissing):
        await Bench(nc, new_stream()).read(0, 1)


async def test_a_consumer_that_vanishes_while_it_is_read_is_named(bench: Bench) -> None:
    await bench.publish(1, 5)
    reading = asyncio.create_task(bench.read(0, 6))
    await asyncio.sleep(0.2)
    await JetStream(bench.nc).ask(f"CONSUMER.DELETE.{bench.stream.name}.{DURABLE}")
    with pytest.raises(ConsumerMissing):
        await reading


async def test_messages_that_another_reader_took_are_read_again(bench: Bench) -> None:
    messages = await bench.publish(1, 10)
    reading = asyncio.create_task(bench.read(0, 300))
    await asyncio.sleep(0.1)
    thief = await bench.nc.subscribe(bench.nc.new_inbox())  # pyright: ignore[reportUnknownMemberType] - nats-py leaves a type open
    request = b'{"batch":40,"expires":5000000000}'
    await bench.nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.{bench.stream.name}.{DURABLE}", request, reply=thief.subject)
    for position in range(11, 301):
        messages += await bench.publish(position, position)
    assert await reading == messages
    assert thief.delivered == 40


# Damage


def flip_a_byte(store_dir: Path, stream: str, marker: bytes) -> None:
    """Damage the stored message that contains `marker`, as a failing disk would."""
    for block in (store_dir / "jetstream" / "$G" / "streams" / stream / "msgs").glob("*.blk"):
        content = bytearray(block.read_bytes())
        if (at := content.find(marker)) >= 0:
            content[at] ^= 0x01
            block.write_bytes(content)
            return
    raise AssertionError(f"no stored message contains {marker!r}")


async def damaged(server: EmbeddedBroker, bench: Bench, position: int, count: int) -> list[BusMessage]:
    messages = await bench.publish(1, count)
    await server.stop()
    flip_a_byte(server.store_dir, bench.stream.name, f"event {position} ".encode())
    await server.start()
    await until_connected(bench.nc)
    return messages


async def test_a_damaged_message_is_reported_as_a_gap_after_all_that_came_before(own_nats_server: EmbeddedBroker, own_bench: Bench) -> None:
    messages = await damaged(own_nats_server, own_bench, position=1000, count=2000)
    read: list[BusMessage] = []

    async def follow() -> None:
        async for batch in own_bench.reader().batches(0):
            read.extend(batch)

    with pytest.raises(StreamGap) as found:
        await follow()
    assert (found.value.stream, found.value.first, found.value.last) == (own_bench.stream.name, 1000, 1000)
    assert read == messages[:999]
    assert await own_bench.read(1000, 2000) == messages[1000:]


async def test_a_damaged_last_message_is_reported_as_a_gap_without_waiting_for_another(
    own_nats_server: EmbeddedBroker, own_bench: Bench
) -> None:
    await damaged(own_nats_server, own_bench, position=50, count=50)
    with pytest.raises(StreamGap) as found:
        await own_bench.read(0, 50)
    assert (found.value.first, found.value.last) == (50, 50)


async def test_a_damaged_message_cannot_be_got_and_is_missing_from_its_range(own_nats_server: EmbeddedBroker, own_bench: Bench) -> None:
    messages = await damaged(own_nats_server, own_bench, position=7, count=20)
    api = JetStream(own_bench.nc)
    assert await api.get_message(own_bench.stream.name, 7) is None
    assert await api.last_sequence(own_bench.stream.name) == 20
    read = [message async for batch in api.read_range(own_bench.stream.name, 1, 20) for message in batch]
    assert read == messages[:6] + messages[7:]
