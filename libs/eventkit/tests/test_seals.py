"""Seals: what they sign, what they cover, and that each service sets and publishes them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.msg import Msg
from sqlalchemy import text

from contracts import operations
from contracts.operations import Nothing
from eventkit import log, merkle, sealing, seals
from eventkit.event import genesis, link
from eventkit.harness import System, running
from eventkit.log import Head
from eventkit.seals import Keys, Log, Seal, SealKey
from eventkit.secrets import key_id
from eventkit.service import Service, Settings

ROSTER = Log("roster", "a1")
KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
KEYS: Keys = {key_id(KEY.public_key()): SealKey(KEY.public_key())}
BEGINNING = Head(0, genesis("roster", "a1"), "")
NOON = "2015-08-17T09:00:00.000000Z"


def sealed(*runs: Sequence[bytes], key: Ed25519PrivateKey = KEY) -> list[Seal]:
    """The seals after each of some runs of events."""
    made: list[Seal] = []
    at = BEGINNING
    for run in runs:
        made.append(seals.kept(ROSTER, at, run, NOON, key))
        at = Head(made[-1].position, bytes.fromhex(made[-1].hash), NOON)
    return made


def covered(events: Sequence[bytes], found: Sequence[Seal], keys: Keys = KEYS) -> int:
    return seals.covered(BEGINNING, events, found, keys, ROSTER)


def test_a_seal_signs_the_chain_and_whose_it_is_and_travels_as_json() -> None:
    (seal,) = sealed([b"one", b"two"])
    assert seal.hash == link(link(BEGINNING.hash, b"one"), b"two").hex()
    assert seals.decode(seals.encode(seal)) == seal
    assert seals.holds(seal, KEYS)
    for name in ("service", "log", "hash", "recorded_at", "root"):
        assert not seals.holds(msgspec.structs.replace(seal, **{name: "another"}), KEYS), name
    for name in ("position", "since"):
        assert not seals.holds(msgspec.structs.replace(seal, **{name: 7}), KEYS), name
    assert not seals.holds(sealed([b"one"], key=OTHER)[0], KEYS)
    assert not seals.holds(msgspec.structs.replace(seal, signature="no hex"), KEYS)


def test_a_key_that_was_retired_seals_nothing_that_was_recorded_later() -> None:
    (seal,) = sealed([b"one"])
    assert seals.holds(seal, {seal.key: SealKey(KEY.public_key(), NOON)})
    assert not seals.holds(seal, {seal.key: SealKey(KEY.public_key(), "2015-08-17T08:59:59.999999Z")})


def test_a_key_that_was_retired_covers_nothing_by_dating_its_seal_back() -> None:
    earlier = "2015-08-17T08:00:00.000000Z"
    before = sealed([b"one"])[0]
    base = Head(1, bytes.fromhex(before.hash), NOON)
    seal = seals.kept(ROSTER, base, [b"forged"], earlier, KEY)
    ended: Keys = {seal.key: SealKey(KEY.public_key(), earlier)}
    assert seals.holds(seal, ended)  # alone it tells nothing of when it was made
    assert seals.covered(base, [b"forged"], [seal], ended, ROSTER) == 1
    assert seals.covered(Head(1, base.hash, earlier), [b"forged"], [seal], ended, ROSTER) == 2


def test_events_are_covered_up_to_the_last_seal_that_holds() -> None:
    events = [b"one", b"two", b"three", b"four"]
    made = sealed(events[:1], events[1:3])
    assert covered(events, made) == 3
    assert covered(events, made[:1]) == 1
    assert covered(events, []) == 0
    assert covered(events[:2], made) == 1  # the second seal has nothing yet to speak of
    assert covered(events, [made[0], msgspec.structs.replace(made[1], hash=made[0].hash)]) == 1
    assert covered(events, sealed(events, key=OTHER)) == 0


def test_events_that_a_seal_contradicts_are_not_covered_by_a_later_one() -> None:
    events = [b"one", b"two", b"three"]
    first, second = sealed(events[:1], events[1:])
    assert covered([b"one", b"forged", b"three"], [first, second]) == 1
    assert covered([b"forged", b"two", b"three"], [first, second]) == 0
    assert covered(events, [*sealed([b"another"]), first, second]) == 0  # both cannot be true


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=70), st.data())
def test_a_path_leads_from_each_event_to_the_tree_and_from_nothing_else(events: list[bytes], data: st.DataObject) -> None:
    root = merkle.tree(events)
    index = data.draw(st.integers(0, len(events) - 1))
    path = merkle.path(events, index)
    assert merkle.leads_to(root, len(events), index, events[index], path)
    assert not merkle.leads_to(root, len(events), index, events[index] + b"!", path)
    assert not merkle.leads_to(root, len(events), len(events), events[index], path)
    if path:
        assert not merkle.leads_to(root, len(events), index, events[index], path[:-1])
        assert not merkle.leads_to(root, len(events), index, events[index], [*path, path[0]])


def test_trees_are_those_of_the_rfc() -> None:
    """The example of RFC 9162, 2.1.5, written out: seven leaves."""

    def node(left: bytes, right: bytes) -> bytes:
        return hashlib.sha256(b"\1" + left + right).digest()

    events = [bytes([number]) for number in range(7)]
    a, b, c, d, e, f, j = (hashlib.sha256(b"\0" + data).digest() for data in events)
    g, h, i = node(a, b), node(c, d), node(e, f)
    k, l_ = node(g, h), node(i, j)
    assert merkle.tree(events) == node(k, l_)
    assert merkle.path(events, 0) == [b, h, l_]
    assert merkle.path(events, 3) == [c, g, l_]
    assert merkle.path(events, 4) == [f, j, k]
    assert merkle.path(events, 6) == [i, k]
    assert merkle.tree([]) == merkle.EMPTY


def roster(settings: Settings) -> Service:
    return Service(settings)


@pytest.fixture
async def system(tmp_path: Path) -> AsyncGenerator[System]:
    async with running(tmp_path, {"roster": roster}) as found:
        yield found


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110 - it looks at a running service from outside
            await asyncio.sleep(0.02)


async def kept(service: Service, *, up_to: int) -> list[Seal]:
    """The seals in the service's table, once they go so far."""
    found: list[Seal] = []

    async def goes_so_far() -> bool:
        found[:] = await service.read(lambda connection: seals.kept_after(connection, 0))
        return bool(found) and found[-1].position >= up_to

    await until(goes_so_far)
    return found


async def until_published(service: Service, found: Sequence[Seal]) -> None:
    async def are_there() -> bool:
        return await sealing.published(service.nc, "roster") == found

    await until(are_there)


async def test_what_is_recorded_is_sealed_beside_the_log_and_on_the_bus(system: System) -> None:
    service = system.instance.services["roster"]
    first = service.secrets.signing_key("roster").public_key()
    heard: asyncio.Queue[Seal] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        await heard.put(seals.decode(message.data))

    await service.nc.subscribe("seal.roster.told", cb=hear)  # pyright: ignore[reportUnknownMemberType] - nats-py leaves a type open
    await system.call(operations.ROTATE_KEY["roster"], Nothing())
    told = await asyncio.wait_for(heard.get(), 5)
    found = await kept(service, up_to=3)
    assert [seal.since for seal in found] == [0, *(seal.position for seal in found[:-1])]
    head = service.store.read_head()
    assert (found[-1].position, found[-1].hash, found[-1].recorded_at) == (head.position, head.hash.hex(), head.recorded_at)
    assert told.position == told.since > 1
    public = {key_id(first): SealKey(first)}
    events = [data for _, _, data in await service.store.read(0, 100)]
    whose = Log("roster", found[0].log)
    assert seals.covered(Head(0, genesis("roster", whose.log_id), ""), events, found[-1:], public, whose) == head.position
    await until_published(service, found)


async def test_a_service_that_stops_has_sealed_all_of_its_log(tmp_path: Path) -> None:
    async with running(tmp_path, {"roster": roster}) as system:
        service = system.instance.services["roster"]
        for _ in range(3):
            await system.call(operations.ROTATE_KEY["roster"], Nothing())
    with service.database.reading() as connection:
        assert seals.last_kept(connection) == log.head(connection)
        assert log.head(connection).position == 7
    async with running(tmp_path, {"roster": roster}) as system:
        service = system.instance.services["roster"]
        assert [seal.position for seal in await sealing.published(service.nc, "roster")][-1] == 7


async def test_the_old_key_seals_which_one_follows_it(system: System) -> None:
    service = system.instance.services["roster"]
    first = service.secrets.signing_key("roster").public_key()
    await system.call(operations.ROTATE_KEY["roster"], Nothing())
    with service.database.reading() as connection:
        (*_, last) = seals.kept_after(connection, 0)
        assert last.position == log.head(connection).position == 3
    assert seals.holds(last, {key_id(first): SealKey(first)})
    assert (await sealing.published(service.nc, "roster"))[-1] == last


async def test_seals_that_the_bus_has_lost_are_published_again(tmp_path: Path) -> None:
    async with running(tmp_path, {"roster": roster}):
        pass
    (tmp_path / "bus").rename(tmp_path / "lost")
    async with running(tmp_path, {"roster": roster}) as system:
        service = system.instance.services["roster"]
        found = await kept(service, up_to=1)
        await until_published(service, found)


async def test_a_log_that_was_changed_underneath_is_not_sealed_and_its_service_appends_no_more(system: System) -> None:
    service = system.instance.services["roster"]
    await kept(service, up_to=1)
    with service.database.writing() as connection:
        connection.execute(text("UPDATE head SET hash = :hash"), {"hash": b"\0" * 32})
    service.store._forget()  # pyright: ignore[reportPrivateUsage] -- as when another process has appended
    await system.call(operations.ROTATE_KEY["roster"], Nothing())

    async def is_quarantined() -> bool:
        return service.store.quarantine is not None

    await until(is_quarantined)
    assert "was its database changed?" in str(service.store.quarantine)
    assert [seal.position for seal in await kept(service, up_to=1)] == [1]
