"""The bus streams of an instance, for reading: on its own broker while it runs, else on a private one over a copy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from nats.aio.client import Client as Nats

from eventkit import jetstream
from eventkit.broker import EmbeddedBroker, StoreInUse, bytes_cut, copy_and_open
from eventkit.jetstream import JetStream, StreamMissing
from vekha.client import Target, bus_connection
from vekha.failures import Exit, Failure
from vekha.folder import DataFolder

_ENDING_TIMEOUT_S = 6.0  # the broker of an instance that was killed closes its files before it lets go of them


@dataclass(frozen=True)
class Bus:
    """`nc` reads the streams; None where the instance has none, as if each were empty.

    `cut` tells, by stream, how many bytes of messages the broker dropped in silence when it opened the copy.
    """

    nc: Nats | None
    cut: Callable[[], dict[str, int]]
    live: bool

    async def end_of(self, service: str) -> int:
        """The last sequence of a service's stream, 0 where there is none."""
        try:
            return 0 if self.nc is None else await JetStream(self.nc).last_sequence(service.upper())
        except StreamMissing:
            return 0


@asynccontextmanager
async def opened(target: Target) -> AsyncGenerator[Bus]:
    """Raises Failure `instance.busy` while the instance is starting or stopping."""
    if target.server is not None or target.folder.is_held:
        nc = await bus_connection(target, _live_url(target))
        try:
            yield Bus(nc, dict, live=True)
        finally:
            await jetstream.disconnect(nc)
        return
    if not target.folder.bus.is_dir():
        yield Bus(None, dict, live=False)
        return
    async with AsyncExitStack() as cleanup:
        broker = await _copy(target.folder, cleanup)
        nc = await jetstream.connect(broker.url, broker.credential, name="vekha")
        cleanup.push_async_callback(jetstream.disconnect, nc)
        yield Bus(nc, lambda: bytes_cut(target.folder.bus, broker), live=False)


def _live_url(target: Target) -> str:
    if target.server is not None:
        return target.server
    endpoint = target.folder.endpoint()
    if endpoint is None:
        text = f"The instance on {target.folder.root} is starting or stopping."
        raise Failure("instance.busy", text, "Try again in a moment.", exit_code=Exit.UNREACHABLE)
    return endpoint.nats


async def _copy(folder: DataFolder, cleanup: AsyncExitStack) -> EmbeddedBroker:
    deadline = asyncio.get_running_loop().time() + _ENDING_TIMEOUT_S
    while True:
        try:
            return await cleanup.enter_async_context(copy_and_open(folder.bus))
        except StoreInUse:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)
