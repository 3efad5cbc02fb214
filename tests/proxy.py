"""A TCP proxy between the services and their broker, whose connections a test spoils as networks do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from urllib.parse import urlsplit

import pytest

from eventkit.instance import Instance
from eventkit.tasks import ended

_CHUNK_BYTES = 4096


@dataclass
class Proxy:
    """Forwards to `target`. `latency` delays each piece by up to so many seconds, `bytes_per_s` holds it back."""

    target: str = ""
    port: int = 0
    latency_s: float = 0.0
    bytes_per_s: float | None = None
    random: Random = field(default_factory=Random)
    _silent: asyncio.Event = field(default_factory=asyncio.Event)
    _connections: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def half_open(self) -> None:
        """From now on nothing passes through the connections that there are, and neither end is told. New ones work."""
        self._silent.set()
        self._silent = asyncio.Event()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = urlsplit(self.target)
        there, back = await asyncio.open_connection(address.hostname, address.port)
        silent = self._silent
        for one, other in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._forward(one, other, silent))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silent: asyncio.Event) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                if self.latency_s:
                    await asyncio.sleep(self.random.uniform(0, self.latency_s))
                if self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                if silent.is_set():
                    await asyncio.Event().wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    async def end(self) -> None:
        await ended(self._connections)


@asynccontextmanager
async def between(monkeypatch: pytest.MonkeyPatch, random: Random) -> AsyncGenerator[Proxy]:
    """The proxy that the services of an instance launched in this process connect through; its clients do not."""
    proxy = Proxy(random=random)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]

    def through(*args: object, nats_url: str, **others: object) -> Instance:
        proxy.target = nats_url
        return Instance(*args, nats_url=proxy.url, **others)  # pyright: ignore[reportArgumentType] -- as the launcher gives them

    monkeypatch.setattr("vekha.launcher.Instance", through)
    try:
        yield proxy
    finally:
        server.close()
        await proxy.end()
