"""The short way from the wire to whoever takes messages in bulk, against a server that sends exactly what it is told to."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import pytest
from nats.aio.msg import Msg
from pydantic import SecretStr

from eventkit.broker import Credential
from eventkit.connection import Connection, Taker
from eventkit.jetstream import connect, disconnect

Taken = tuple[str, str, bytes]


class Wire:
    """One connection as the server sees it."""

    def __init__(self) -> None:
        self.writer: asyncio.StreamWriter | None = None
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.connections += 1
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","headers":true,"max_payload":1048576}\r\n')
        while line := await reader.readline():
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
        writer.close()

    async def send(self, data: bytes) -> None:
        assert self.writer is not None
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)


@asynccontextmanager
async def connected() -> AsyncGenerator[tuple[Connection, Wire]]:
    wire = Wire()
    async with await asyncio.start_server(wire.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        nc = await connect(f"nats://127.0.0.1:{port}", Credential(user="test", password=SecretStr("x")), name="test")
        try:
            yield nc, wire
        finally:
            await disconnect(nc)


async def until(count: int, taken: list[Taken]) -> None:
    async with asyncio.timeout(30):
        while len(taken) < count:  # noqa: ASYNC110 -- it is filled by the loop itself
            await asyncio.sleep(0.001)


def into(taken: list[Taken]) -> Taker:
    return lambda subject, reply, data: taken.append((subject, reply, data))


def sent(sid: int, subject: str, reply: str, headers: bytes, body: bytes) -> bytes:
    words = f" {reply}" if reply else " " * (len(body) % 2)  # the server leaves a space where an empty reply would be, or not
    if headers:
        return f"HMSG {subject} {sid}{words} {len(headers)} {len(headers) + len(body)}\r\n".encode() + headers + body + b"\r\n"
    return f"MSG {subject} {sid}{words} {len(body)}\r\n".encode() + body + b"\r\n"


@pytest.mark.parametrize("seed", range(8))
async def test_messages_arrive_whole_and_in_order_wherever_they_were_cut(seed: int) -> None:
    random = Random(seed)
    bodies = [b"", b"\r\n", b"MSG a 1 3\r\nabc\r\n", "веха".encode(), random.randbytes(200), random.randbytes(90_000)]
    expected = [
        (f"evt.roster.s{n}.thing.v1", random.choice(["", f"$JS.ACK.R.d.1.{n}.{n}.1.0"]), random.choice(bodies)) for n in range(1, 80)
    ]
    taken: list[Taken] = []
    called: list[Taken] = []

    async def call(message: Msg) -> None:
        called.append((message.subject, message.reply, message.data))

    async with connected() as (nc, wire):
        with_taker = await nc.subscribe("a", cb=call)  # pyright: ignore[reportUnknownMemberType] - nats-py leaves the type of one parameter open
        await nc.subscribe("b", cb=call)  # pyright: ignore[reportUnknownMemberType] - nats-py leaves the type of one parameter open
        nc.hand_over(with_taker, into(taken))
        stream = b""
        for message in expected:
            headers = random.choice([b"", b"NATS/1.0\r\nNats-Expected-Last-Sequence: 7\r\n\r\n"])
            for sid in (1, 2):
                stream += sent(sid, message[0], message[1], headers, message[2])
            stream += random.choice([b"", b"", b"PING\r\n", b"+OK\r\n"])
        while stream:
            size = random.choice([1, 2, 7, 60, 4096, 70_000])
            await wire.send(stream[:size])
            stream = stream[size:]
        await until(len(expected), taken)
        await until(len(expected), called)
    assert taken == expected
    assert called == expected


async def test_what_the_server_itself_says_goes_to_the_callback() -> None:
    taken: list[Taken] = []
    statuses: list[Taken] = []

    async def call(message: Msg) -> None:
        statuses.append((message.subject, (message.headers or {})["Status"], message.data))

    async with connected() as (nc, wire):
        nc.hand_over(await nc.subscribe("a", cb=call), into(taken))  # pyright: ignore[reportUnknownMemberType] - nats-py leaves the type of one parameter open
        await wire.send(sent(1, "a.1", "", b"NATS/1.0 404 No Messages\r\n\r\n", b"") + sent(1, "a.2", "", b"", b"event"))
        await until(1, statuses)
        await until(1, taken)
    assert statuses == [("a.1", "404", b"")]
    assert taken == [("a.2", "", b"event")]


async def test_a_taker_that_fails_ends_no_connection() -> None:
    taken: list[Taken] = []

    def take(subject: str, reply: str, data: bytes) -> None:
        if data == b"poison":
            raise ValueError
        taken.append((subject, reply, data))

    async with connected() as (nc, wire):
        nc.hand_over(await nc.subscribe("a"), take)  # pyright: ignore[reportUnknownMemberType] - nats-py leaves the type of one parameter open
        await wire.send(sent(1, "a", "", b"", b"poison") + sent(1, "a", "", b"", b"event"))
        await until(1, taken)
        assert wire.connections == 1
    assert taken == [("a", "", b"event")]


@pytest.mark.parametrize("line", [b"MSG\r\n", b"MSG a 1 many\r\n", b"HMSG a 1 5\r\n", b"HMSG a one 12 12\r\n"])
async def test_a_line_that_is_no_message_ends_the_connection_which_is_made_anew(line: bytes) -> None:
    async with connected() as (_, wire):
        await wire.send(line)
        async with asyncio.timeout(30):
            while wire.connections < 2:  # noqa: ASYNC110 -- it is counted by the loop itself
                await asyncio.sleep(0.01)
    assert wire.connections == 2
