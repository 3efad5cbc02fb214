"""What networks and other clients do to connections and deliveries: half-open, slow, delayed, doubled, stolen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from eventkit.jetstream import BusError, JetStream
from tests.conftest import Lived, instance
from tests.load import Load
from tests.proxy import Proxy, between
from tests.survival import Survival, answered
from vekha.client import Client

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

Spoil = Callable[[Proxy, Load, Client, Random], Coroutine[Any, Any, None]]


async def half_open(proxy: Proxy, load: Load, client: Client, random: Random) -> None:
    """Every connection of every service falls silent, and neither end is told."""
    await answered(load, random.randint(5, 60))
    proxy.half_open()
    await answered(load, 20)
    troubles = -1
    while troubles != len(load.troubles):  # until nobody is asked any more who cannot hear it
        troubles = len(load.troubles)
        await answered(load, 40)


async def slow(proxy: Proxy, load: Load, client: Client, random: Random) -> None:
    """The services get, and send, what they ask for at the speed of an old modem."""
    await answered(load, random.randint(5, 30))
    proxy.bytes_per_s = 30_000
    await answered(load, 60)
    proxy.bytes_per_s = None
    await answered(load, 30)


async def late(proxy: Proxy, load: Load, client: Client, random: Random) -> None:
    proxy.latency_s = 0.2
    await answered(load, 80)
    proxy.latency_s = 0.0


async def doubled_and_stolen(proxy: Proxy, load: Load, client: Client, random: Random) -> None:
    """Somebody else moves the durables back, so that they deliver again, and takes messages out of the row."""
    durables = [(stream, name) for stream in ("ROSTER", "CONSENT", "IDENTITY", "PLAN") for name in await _durables(client, stream)]
    assert durables
    api, wanted = JetStream(client.nc, timeout_s=1.0), len(load.acknowledged) + 120
    while len(load.acknowledged) < wanted:
        stream, durable = random.choice(durables)
        try:
            if random.random() < 0.5:
                last = await api.last_sequence(stream)
                await api.ask(f"CONSUMER.RESET.{stream}.{durable}", {"seq": random.randint(1, last)})
            else:
                request = msgspec.json.encode({"batch": random.randint(1, 5), "no_wait": True})
                await client.nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}", request, client.nc.new_inbox())
        except BusError:
            pass  # a moment in which there is nothing to take
        await asyncio.sleep(0.01)


async def _durables(client: Client, stream: str) -> list[str]:
    return (await JetStream(client.nc).ask(f"CONSUMER.NAMES.{stream}"))["consumers"] or []


ROWS: dict[Spoil, str] = {
    half_open: "every connection half-open in the middle of calls",
    slow: "slow consumers: services behind a line of 30 kB/s",
    late: "deliveries and calls delayed at random",
    doubled_and_stolen: "deliveries doubled, reordered and stolen by another client of the durables",
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("spoil", [pytest.param(spoil, marks=pytest.mark.fault(row)) for spoil, row in ROWS.items()])
async def test_a_network_that_spoils_connections_costs_no_command(
    lived: Lived, tmp_path: Path, survival: Survival, monkeypatch: pytest.MonkeyPatch, spoil: Spoil, seed: int
) -> None:
    random = Random(seed)
    data = lived.copy(tmp_path / "data", of_first_day=True)
    async with between(monkeypatch, random) as proxy, instance(data) as client:
        load = await Load.on(client)
        await load.run_until(client, asyncio.create_task(spoil(proxy, load, client, random)))
        assert set(load.troubles) <= {"call.outcome-unknown", "service.unreachable"}
        await survival.check_live(data, load)
    survival.check_stopped(data)
