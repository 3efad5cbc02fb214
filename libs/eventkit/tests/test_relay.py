"""The relay: whatever happens to the broker, to the relay, or to a second one beside it, the stream ends up holding exactly the log."""

import asyncio
import contextlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pytest
from nats import errors
from nats.aio.client import Client
from sqlalchemy import delete, select, update

from eventkit import log
from eventkit.broker import EmbeddedBroker
from eventkit.clock import RealClock
from eventkit.database import Database
from eventkit.event import link, rfc3339
from eventkit.jetstream import BusError, BusMessage, BusUnavailable, JetStream, connect, disconnect
from eventkit.provision import BusStream, provision
from eventkit.relay import LogSource, Quarantine, Relay, RelayState
from eventkit.store import Store
from eventkit.testing_servers import a_small_disk, fill, make_broker


class LogUnderTest(LogSource, Protocol):
    """A log that the suite may also write to and damage. Every implementation of a log source runs through this suite."""

    async def append(self, count: int) -> None: ...

    async def restore_backup_of(self, position: int) -> None:
        """Be as it was at `position`; what is appended from then on has other bytes than before."""
        ...


class MemoryLog:
    def __init__(self, service: str) -> None:
        self._service = service
        self._events: list[BusMessage] = []

    async def append(self, count: int) -> None:
        for position in range(len(self._events) + 1, len(self._events) + count + 1):
            event = f'{{"position": {position}, "id": "{uuid4()}"}}'.encode()
            self._events.append((position, f"evt.{self._service}.s{position % 7}.thing.v1", event))

    async def restore_backup_of(self, position: int) -> None:
        del self._events[position:]

    async def head(self) -> int:
        return len(self._events)

    async def read(self, after: int, limit: int) -> Sequence[BusMessage]:
        return self._events[after : after + limit]


class SqlLog:
    """The real log of a service, read through the store as the relay reads it."""

    def __init__(self, service: str, url: str) -> None:
        self._service = service
        self._database = Database(url, service)
        self._database.create()
        self._store = Store(self._database, RealClock())
        self.head = self._store.head
        self.read = self._store.read

    async def append(self, count: int) -> None:
        with self._database.writing() as connection:
            base = log.head(connection)
            chain, recorded_at = base.hash, rfc3339(datetime.now(UTC))
            rows: list[log.Row] = []
            for position in range(base.position + 1, base.position + count + 1):
                event = f'{{"position": {position}, "id": "{uuid4()}"}}'.encode()
                chain = link(chain, event)
                rows.append(
                    log.Row(
                        position=position,
                        stream="things",
                        version=position,
                        type=f"{self._service}.thing.v1",
                        event_id=uuid4().hex,
                        command_id=uuid4().hex,
                        school=f"s{position % 7}",
                        happened_on="2015-08-17",
                        recorded_at=recorded_at,
                        hash=chain,
                        bytes=event,
                    )
                )
            log.write(connection, rows, [], base, log.Head(base.position + count, chain, recorded_at))

    async def restore_backup_of(self, position: int) -> None:
        with self._database.writing() as connection:
            connection.execute(delete(log.log_table).where(log.log_table.c.position > position))
            chain = connection.execute(select(log.log_table.c.hash).where(log.log_table.c.position == position)).scalar_one()
            connection.execute(update(log.head_table).values(position=position, hash=chain))

    def close(self) -> None:
        self._database.close()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def make_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], LogUnderTest]]:
    """Makes an empty log for a service; at most one a test."""
    with contextlib.ExitStack() as cleanup:

        def make(service: str) -> LogUnderTest:
            if request.param == "memory":
                return MemoryLog(service)
            url = f"sqlite:///{tmp_path / 'log.db'}" if request.param == "sqlite" else str(request.getfixturevalue("fresh_postgres"))
            made = SqlLog(service, url)
            cleanup.callback(made.close)
            return made

        yield make


@dataclass
class Bench:
    """A stream of this test alone, the log that belongs to it, and who was told of a quarantine."""

    nc: Client
    stream: BusStream
    log: LogUnderTest
    told: list[Quarantine] = field(default_factory=list[Quarantine])

    def relay(self, log: LogSource | None = None, check_every_s: float = 30.0) -> Relay:
        async def on_quarantine(quarantine: Quarantine) -> None:
            self.told.append(quarantine)

        return Relay(self.stream.service, self.stream.name, log or self.log, self.nc, on_quarantine, check_every_s=check_every_s)

    @asynccontextmanager
    async def running(self, relay: Relay | None = None) -> AsyncGenerator[Relay]:
        relay = relay or self.relay()
        task = asyncio.create_task(relay.run())
        try:
            yield relay
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def relayed(self) -> None:
        """Run a relay until the stream holds the log."""
        async with self.running() as relay:
            await until(lambda: relay.state == RelayState.CURRENT)

    async def in_stream(self) -> list[BusMessage]:
        last = await JetStream(self.nc).last_sequence(self.stream.name)
        return [message async for batch in JetStream(self.nc).read_range(self.stream.name, 1, last) for message in batch]

    async def in_log(self) -> list[BusMessage]:
        return list(await self.log.read(0, 1_000_000))


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - it looks at a running relay from outside, as doctor does
        await asyncio.sleep(0.005)


def new_bench(nc: Client, make_log: Callable[[str], LogUnderTest]) -> Bench:
    service = f"s{uuid4().hex[:12]}"
    return Bench(nc, BusStream(service), make_log(service))


@pytest.fixture
async def bench(nc: Client, make_log: Callable[[str], LogUnderTest]) -> Bench:
    bench = new_bench(nc, make_log)
    await provision(nc, [bench.stream])
    return bench


@pytest.fixture
async def own_bench(own_nats_server: EmbeddedBroker, make_log: Callable[[str], LogUnderTest]) -> AsyncIterator[Bench]:
    """On a server that the test may stop, damage and start again."""
    nc = await connect(own_nats_server.url, own_nats_server.credential, name="test")
    bench = new_bench(nc, make_log)
    await provision(nc, [bench.stream])
    yield bench
    await disconnect(nc)


async def restart(server: EmbeddedBroker, bench: Bench) -> None:
    await server.start()
    # Until it answers, be it that the stream is gone: a client that has not noticed yet that its server went calls itself connected, too.
    while True:
        try:
            await JetStream(bench.nc).last_sequence(bench.stream.name)
        except (BusUnavailable, errors.Error):
            await asyncio.sleep(0.02)
        except BusError:
            return
        else:
            return


def stream_dir(server: EmbeddedBroker, bench: Bench) -> Path:
    return server.store_dir / "jetstream" / "$G" / "streams" / bench.stream.name


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with a_small_disk(tmp_path / "small", "32m") as disk:
        yield disk


# Publishing


async def test_an_empty_log_leaves_an_empty_stream(bench: Bench) -> None:
    await bench.relayed()
    assert await bench.in_stream() == []


async def test_each_event_stands_at_its_position_with_its_subject_and_bytes(bench: Bench) -> None:
    await bench.log.append(10)
    await bench.relayed()
    assert await bench.in_stream() == await bench.in_log()


async def test_twenty_thousand_events_arrive_once_and_in_order(bench: Bench) -> None:
    await bench.log.append(20_000)
    await bench.relayed()
    assert await bench.in_stream() == await bench.in_log()


async def test_a_wake_up_publishes_at_once_and_not_at_the_next_poll(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventkit.relay._POLL_S", 3600.0)
    async with bench.running(bench.relay(check_every_s=3600.0)) as relay:
        await until(lambda: relay.state == RelayState.CURRENT)
        for position in (1, 2, 3):
            await bench.log.append(1)
            relay.wake()
            await until(lambda position=position: relay.position == position)
    assert await bench.in_stream() == await bench.in_log()


async def test_a_commit_that_woke_nobody_is_found_by_the_poll(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventkit.relay._POLL_S", 0.05)
    async with bench.running() as relay:
        await until(lambda: relay.state == RelayState.CURRENT)
        await bench.log.append(1)
        await until(lambda: relay.position == 1)


async def test_a_relay_that_starts_again_goes_on_behind_the_stream(bench: Bench) -> None:
    await bench.log.append(700)
    await bench.relayed()
    await bench.log.append(700)
    await bench.relayed()
    assert await bench.in_stream() == await bench.in_log()


async def test_two_relays_at_once_do_no_harm(bench: Bench) -> None:
    await bench.log.append(3000)
    async with bench.running() as one, bench.running() as other:
        for _ in range(20):
            await bench.log.append(50)
            one.wake()
            other.wake()
            await asyncio.sleep(0.005)
        await until(lambda: (one.position, other.position) == (4000, 4000))
        await until(lambda: one.state == other.state == RelayState.CURRENT)
    assert await bench.in_stream() == await bench.in_log()
    assert bench.told == []


@pytest.mark.parametrize("fault", ["relay.before-publish:3", "relay.after-publish:2"])
async def test_a_relay_killed_around_a_publish_leaves_a_stream_that_the_next_one_completes(
    own_nats_server: EmbeddedBroker, own_bench: Bench, fault: str
) -> None:
    await own_bench.log.append(5000)
    program = """
import asyncio, pickle, sys
from pathlib import Path
from eventkit.broker import Credential
from eventkit.jetstream import connect
from eventkit.relay import Relay
class Log:
    events = pickle.loads(sys.stdin.buffer.read())
    async def head(self): return len(self.events)
    async def read(self, after, limit): return self.events[after:after + limit]
async def main():
    url, secret, service, stream = sys.argv[1:]
    nc = await connect(url, Credential.read(Path(secret)), name="killed")
    await Relay(service, stream, Log(), nc, lambda quarantine: None).run()
asyncio.run(main())
"""
    secret = own_nats_server.store_dir.parent / "nats-secret"
    arguments = [own_nats_server.url, str(secret), own_bench.stream.service, own_bench.stream.name]
    killed = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, *arguments],
        input=pickle.dumps(await own_bench.in_log()),
        env={**os.environ, "VEKHA_FAULT": fault},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert await JetStream(own_bench.nc).last_sequence(own_bench.stream.name) == 2000
    await own_bench.relayed()
    assert await own_bench.in_stream() == await own_bench.in_log()


# The broker's trouble is waited out


async def test_a_broker_killed_in_the_middle_and_started_again_loses_and_doubles_nothing(
    own_nats_server: EmbeddedBroker, own_bench: Bench
) -> None:
    await own_bench.log.append(20_000)
    async with own_bench.running() as relay:
        await until(lambda: relay.position > 2000)
        os.kill(own_nats_server.pid, signal.SIGKILL)
        await until(lambda: relay.state == RelayState.WAITING)
        assert relay.trouble
        await own_nats_server.exited()
        await own_bench.log.append(500)
        await own_nats_server.start()
        await until(lambda: relay.position == 20_500)
    assert await own_bench.in_stream() == await own_bench.in_log()


async def test_a_stream_that_is_missing_is_waited_for_and_never_made(nc: Client, make_log: Callable[[str], LogUnderTest]) -> None:
    bench = new_bench(nc, make_log)
    await bench.log.append(3)
    async with bench.running() as relay:
        await until(lambda: relay.state == RelayState.WAITING)
        assert "Run the provisioning" in relay.trouble
        await provision(nc, [bench.stream])
        await until(lambda: relay.position == 3)
    assert await bench.in_stream() == await bench.in_log()


async def test_a_stream_whose_folder_was_deleted_is_refilled_with_the_same_bytes(own_nats_server: EmbeddedBroker, own_bench: Bench) -> None:
    await own_bench.log.append(1500)
    await own_bench.relayed()
    await own_nats_server.stop()
    shutil.rmtree(own_nats_server.store_dir)
    await restart(own_nats_server, own_bench)
    await provision(own_bench.nc, [own_bench.stream])
    await own_bench.relayed()
    assert await own_bench.in_stream() == await own_bench.in_log()


async def test_a_stream_that_met_a_full_disk_is_known_to_take_nothing_and_takes_all_after_a_restart(small_disk: Path) -> None:
    server = make_broker(small_disk)
    await server.start()
    nc = await connect(server.url, server.credential, name="test")
    bench = new_bench(nc, MemoryLog)
    await provision(nc, [bench.stream])
    async with bench.running() as relay:
        await bench.log.append(10)
        relay.wake()
        await relay.published(10)
        ballast = fill(small_disk)
        await bench.log.append(200)
        relay.wake()
        await until(lambda: relay.refused_since is not None and relay.state == RelayState.WAITING)

        ballast.unlink()
        await server.stop()
        await restart(server, bench)
        await relay.published(210)
        assert relay.refused_since is None
        assert await bench.in_stream() == await bench.in_log()
    await disconnect(nc)
    await server.stop()


async def test_a_stream_put_back_from_an_older_copy_is_refilled_while_the_relay_runs(
    own_nats_server: EmbeddedBroker, own_bench: Bench, tmp_path: Path
) -> None:
    await own_bench.log.append(400)
    await own_bench.relayed()
    await own_nats_server.stop()
    shutil.copytree(stream_dir(own_nats_server, own_bench), tmp_path / "copy")
    await restart(own_nats_server, own_bench)
    async with own_bench.running() as relay:
        await own_bench.log.append(600)
        relay.wake()
        await until(lambda: relay.position == 1000)
        await own_nats_server.stop()
        shutil.rmtree(stream_dir(own_nats_server, own_bench))
        shutil.copytree(tmp_path / "copy", stream_dir(own_nats_server, own_bench))
        await restart(own_nats_server, own_bench)
        assert await JetStream(own_bench.nc).last_sequence(own_bench.stream.name) == 400
        await own_bench.log.append(1)
        relay.wake()
        await until(lambda: relay.position == 1001)
    assert await own_bench.in_stream() == await own_bench.in_log()
    assert own_bench.told == []


async def test_a_stream_that_fell_behind_a_quiet_log_is_noticed_by_the_regular_check(bench: Bench) -> None:
    await bench.log.append(5)
    await bench.relayed()
    async with bench.running(bench.relay(check_every_s=0.05)) as relay:
        await until(lambda: relay.state == RelayState.CURRENT)
        await JetStream(bench.nc).ask(f"STREAM.DELETE.{bench.stream.name}")
        await until(lambda: relay.state == RelayState.WAITING)
        await provision(bench.nc, [bench.stream])
        await until(lambda: relay.state == RelayState.CURRENT)
    assert await bench.in_stream() == await bench.in_log()


async def test_a_damaged_message_at_the_end_is_no_contradiction_and_publishing_goes_on(
    own_nats_server: EmbeddedBroker, own_bench: Bench
) -> None:
    await own_bench.log.append(20)
    await own_bench.relayed()
    await own_nats_server.stop()
    for block in (stream_dir(own_nats_server, own_bench) / "msgs").glob("*.blk"):
        content = bytearray(block.read_bytes())
        content[content.index(b'"position": 20,')] ^= 0x01
        block.write_bytes(content)
    await restart(own_nats_server, own_bench)
    await own_bench.log.append(5)
    await own_bench.relayed()
    assert own_bench.told == []
    events = await own_bench.in_log()
    assert await own_bench.in_stream() == events[:19] + events[20:]


# Contradictions


async def test_a_stream_ahead_of_its_log_is_quarantined_and_gets_nothing_more(bench: Bench) -> None:
    await bench.log.append(10)
    await bench.relayed()
    before = await bench.in_stream()
    await bench.log.restore_backup_of(6)
    relay = bench.relay()
    await relay.run()
    assert relay.state == RelayState.QUARANTINED
    assert [(told.reason, told.position) for told in bench.told] == [("stream-ahead", 7)]
    assert relay.quarantine == bench.told[0]
    assert await bench.in_stream() == before


@pytest.mark.parametrize("appended", [4, 30])
async def test_a_log_that_went_another_way_than_its_stream_is_quarantined(bench: Bench, appended: int) -> None:
    await bench.log.append(10)
    await bench.relayed()
    before = await bench.in_stream()
    await bench.log.restore_backup_of(6)
    await bench.log.append(appended)
    await bench.relay().run()
    assert [(told.reason, told.position) for told in bench.told] == [("stream-differs", 10)]
    assert await bench.in_stream() == before


async def test_a_contradiction_that_arises_later_is_found_by_the_regular_check(bench: Bench) -> None:
    await bench.log.append(10)
    relay = bench.relay(check_every_s=0.05)
    running = asyncio.create_task(relay.run())
    await until(lambda: relay.position == 10)
    await bench.log.restore_backup_of(3)
    await running
    assert [(told.reason, told.position) for told in bench.told] == [("stream-ahead", 4)]


async def test_a_contradiction_is_found_by_the_next_publish_even_before_the_regular_check(bench: Bench) -> None:
    await bench.log.append(10)
    one = bench.relay()
    running = asyncio.create_task(one.run())
    await until(lambda: one.position == 10)
    await bench.nc.request(f"evt.{bench.stream.service}.s1.thing.v1", b"an event that no log holds", timeout=5)
    await bench.log.append(1)
    one.wake()
    await running
    assert [(told.reason, told.position) for told in bench.told] == [("stream-differs", 11)]


async def test_a_quarantine_that_could_not_be_told_is_told_again(bench: Bench) -> None:
    await bench.log.append(2)
    await bench.relayed()
    await bench.log.restore_backup_of(1)
    attempts: list[Quarantine] = []

    async def deaf_at_first(quarantine: Quarantine) -> None:
        attempts.append(quarantine)
        if len(attempts) < 3:
            raise OSError("the database is locked")

    relay = Relay(bench.stream.service, bench.stream.name, bench.log, bench.nc, deaf_at_first)
    await relay.run()
    assert len(attempts) == 3
    assert relay.state == RelayState.QUARANTINED


# The log's trouble


@pytest.fixture
async def memory_bench(nc: Client) -> Bench:
    """For the tests that bring a broken log of their own."""
    bench = new_bench(nc, MemoryLog)
    await provision(nc, [bench.stream])
    return bench


class StumblingLog(MemoryLog):
    failures = 3

    async def read(self, after: int, limit: int) -> Sequence[BusMessage]:
        if self.failures:
            self.failures -= 1
            raise OSError("disk I/O error")
        return await super().read(after, limit)


async def test_a_log_that_cannot_be_read_for_a_while_does_not_end_the_relay(memory_bench: Bench) -> None:
    bench, stumbling = memory_bench, StumblingLog(memory_bench.stream.service)
    await stumbling.append(3)
    async with bench.running(bench.relay(stumbling)) as relay:
        await until(lambda: relay.state == RelayState.WAITING)
        assert relay.trouble == "disk I/O error"
        await until(lambda: relay.position == 3)
        assert relay.trouble == ""


class HoledLog(MemoryLog):
    async def read(self, after: int, limit: int) -> Sequence[BusMessage]:
        return [event for event in await super().read(after, limit) if event[0] != 3]


async def test_a_log_with_a_hole_is_not_published_across_it(memory_bench: Bench) -> None:
    bench, holed = memory_bench, HoledLog(memory_bench.stream.service)
    await holed.append(5)
    async with bench.running(bench.relay(holed)) as relay:
        await until(lambda: relay.state == RelayState.WAITING)
        assert "hole" in relay.trouble
    assert await bench.in_stream() == []
