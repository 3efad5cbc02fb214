"""What somebody else has put into a bus stream is never taken in, and what its owner has recorded is, at once."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, MetaData

from contracts import operations
from contracts.operations import Nothing
from contracts.roster import OPEN_SCHOOL, OpenSchool, SchoolOpened, SchoolReply
from eventkit import jetstream, seals
from eventkit.answering import Caller
from eventkit.broker import EmbeddedBroker
from eventkit.decider import Decider
from eventkit.event import Recorded, genesis, link, rfc3339
from eventkit.harness import System, everything, running
from eventkit.instance import Build
from eventkit.jetstream import BusError, BusMessage, PipelinedPublisher
from eventkit.log import Head
from eventkit.provision import provision
from eventkit.sealing import published
from eventkit.seals import Log, Seal
from eventkit.secrets import Secrets
from eventkit.service import Service, Settings
from eventkit.store import Transaction
from eventkit.tokens import LONGEST_LIFETIME_S
from eventkit.witness import Heard, Sealed

school = Decider[OpenSchool, bool](
    "school",
    initial=False,
    decide=lambda command, state: (
        [] if state else [SchoolOpened(school=command.school, municipality=command.municipality, timezone="Europe/Moscow")]
    ),
    evolve=lambda state, event: True,
)


def roster(settings: Settings) -> Service:
    service = Service(settings)

    @service.command(OPEN_SCHOOL)
    def open_school(request: OpenSchool, transaction: Transaction, caller: Caller) -> SchoolReply:
        transaction.decide(school, request.school, request, school=request.school, happened_on=date(2015, 8, 17))
        return SchoolReply(school=request.school)

    return service


class Reader:
    """A service that reads roster's log, and the schools that it has seen, in order."""

    name = "schools"
    sources = ("roster",)
    tables = MetaData()
    wants = staticmethod(everything)

    def __init__(self) -> None:
        self.seen: list[str] = []

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        self.seen += [event.school for event in events if event.type == SchoolOpened.type]

    def build(self, settings: Settings) -> Service:
        service = Service(settings)
        service.projection(self)
        return service


def builds(reader: Reader) -> Mapping[str, Build]:
    return {"roster": roster, "consent": reader.build}


async def opened(system: System, *names: str) -> None:
    for name in names:
        await system.call(OPEN_SCHOOL, OpenSchool(school=name, name="Школа", municipality="m-1"))


def names(first: int, last: int) -> list[str]:
    return [f"school-{number}" for number in range(first, last + 1)]


FORGED = "evt.roster.school-9.school-opened.v1"


def forged(position: int) -> bytes:
    return (
        f'{{"specversion":"1.0","id":"e-{position}","source":"/vekha/roster","type":"roster.school-opened.v1",'
        f'"datacontenttype":"application/json","position":{position},"stream":"school-school-9","version":1,"school":"school-9",'
        '"happenedon":"2015-08-17","recordedat":"2015-08-17T06:00:00.000000Z","actor":"operator","commandid":"c","correlationid":"c",'
        '"data":{"school":"school-9","municipality":"m-1","timezone":"Europe/Moscow"}}'
    ).encode()


async def test_an_event_that_somebody_else_put_at_the_end_of_a_stream_is_not_taken_in_nor_under_a_seal_of_theirs(tmp_path: Path) -> None:
    reader = Reader()
    async with running(tmp_path, builds(reader)) as system:
        await opened(system, "school-1")
        await system.settled()
        nc = system.instance.services["consent"].nc
        head = system.instance.services["roster"].store.read_head()
        await nc.request(FORGED, forged(head.position + 1), timeout=5)
        whose = Log("roster", (await heard_of(system))[0].log)
        after = Head(head.position + 1, link(head.hash, forged(head.position + 1)), head.recorded_at)
        for kind in ("told", "kept"):
            await nc.publish(f"seal.roster.{kind}", seals.encode(seals.told(whose, after, Ed25519PrivateKey.generate())))
        await asyncio.sleep(2.5)
        assert reader.seen == ["school-1"]
        assert system.instance.services["consent"].runners[0].positions == {"roster": head.position}


async def test_an_event_is_not_taken_in_under_a_seal_that_is_dated_back_to_when_a_stolen_key_was_good(tmp_path: Path) -> None:
    reader = Reader()
    async with running(tmp_path, builds(reader)) as system:
        service, nc = system.instance.services["roster"], system.instance.services["consent"].nc
        stolen, good_at = service.secrets.signing_key("roster"), rfc3339(system.clock.now())
        await system.call(operations.ROTATE_KEY["roster"], Nothing())
        system.clock.move(system.clock.now() + timedelta(seconds=LONGEST_LIFETIME_S, days=1))
        await opened(system, "school-1")
        await system.settled()
        head, whose = service.store.read_head(), Log("roster", (await heard_of(system))[0].log)
        await nc.request(FORGED, forged(head.position + 1), timeout=5)
        after = Head(head.position + 1, link(head.hash, forged(head.position + 1)), good_at)
        for kind in ("told", "kept"):
            await nc.publish(f"seal.roster.{kind}", seals.encode(seals.told(whose, after, stolen)))
        await asyncio.sleep(2.5)
        assert reader.seen == ["school-1"]


async def heard_of(system: System) -> list[Seal]:
    found: list[Seal] = []
    async with asyncio.timeout(10):
        while not found:
            found = await published(system.instance.services["consent"].nc, "roster")
            await asyncio.sleep(0.05)
    return found


async def replaced(folder: Path, change: Callable[[list[BusMessage]], list[BusMessage]]) -> None:
    """Gives roster's stream another content, with the seals as they were."""
    secrets = Secrets(folder / "secrets")
    async with EmbeddedBroker(folder / "bus", folder / "run", secrets.broker_password_file) as broker:
        nc = await jetstream.connect(broker.url, broker.credential, name="test")
        stream = jetstream.JetStream(nc)
        messages = [message async for batch in stream.read_range("ROSTER", 1, 2**53) for message in batch]
        kept = [message async for batch in stream.read_range("SEALS", 1, 2**53) for message in batch]
        await jetstream.disconnect(nc)
    shutil.rmtree(folder / "bus")
    async with EmbeddedBroker(folder / "bus", folder / "run", secrets.broker_password_file) as broker:
        nc = await jetstream.connect(broker.url, broker.credential, name="test")
        await provision(nc)
        publisher = PipelinedPublisher(nc, "ROSTER")
        assert (await publisher.send(change(messages))).failure is None
        for _, subject, data in kept:
            await nc.request(subject, data, timeout=5)
        await jetstream.disconnect(nc)


async def test_where_a_stream_holds_another_event_than_was_sealed_the_owners_is_taken_in(tmp_path: Path) -> None:
    async with running(tmp_path, {"roster": roster}) as system:
        await opened(system, *names(1, 5))
        await system.settled()
    await replaced(tmp_path, lambda messages: [*messages[:2], (3, FORGED, forged(3)), *messages[3:]])
    reader = Reader()
    async with running(tmp_path, builds(reader)) as system:
        await system.settled()
    assert reader.seen == names(1, 5)


async def test_a_reader_catches_up_by_the_kept_seals_while_the_owner_is_down(tmp_path: Path) -> None:
    reader = Reader()
    async with running(tmp_path, {"roster": roster}) as system:
        await opened(system, *names(1, 5))
        await system.settled()
    async with running(tmp_path, {"consent": reader.build}) as system:
        runner = system.instance.services["consent"].runners[0]
        assert await runner.reach({"roster": 6}, 30)
    async with running(tmp_path, {"roster": roster}) as system:
        await opened(system, *names(6, 8))
        await system.settled()
    async with running(tmp_path, {"consent": reader.build}) as system:
        runner = system.instance.services["consent"].runners[0]
        assert await runner.reach({"roster": 9}, 30)
    assert reader.seen == names(1, 8)


async def test_while_the_owner_is_down_a_forged_event_is_not_taken_in(tmp_path: Path) -> None:
    async with running(tmp_path, {"roster": roster}) as system:
        await opened(system, *names(1, 5))
        await system.settled()
    await replaced(tmp_path, lambda messages: [*messages[:2], (3, FORGED, forged(3)), *messages[3:], (7, FORGED, forged(7))])
    reader = Reader()
    async with running(tmp_path, {"consent": reader.build}) as system:
        runner = system.instance.services["consent"].runners[0]
        assert not await runner.reach({"roster": 6}, 3)
    assert "school-9" not in reader.seen
    assert reader.seen == names(1, len(reader.seen))


# One witness, seals as they come


class Telling(Heard):
    """Seals as a test has them: some are told, some are kept."""

    def __init__(self, told: Collection[Seal], kept: Sequence[Seal]) -> None:
        self._seals = {seal.position: seal for seal in told}
        self._kept = list(enumerate(kept, start=1))

    def told(self, source: str) -> Mapping[int, Seal]:
        return self._seals

    async def told_more(self, source: str, than: int) -> None:
        raise AssertionError("nothing more is told")

    async def kept_from(self, source: str, sequence: int, *, limit: int = 3) -> list[tuple[int, Seal]]:
        return [one for one in self._kept if one[0] >= sequence][:limit]

    async def kept_up_to(self, source: str, position: int) -> tuple[int, Seal] | None:
        return max((one for one in self._kept if one[1].position <= position), default=None, key=lambda one: one[0])


async def no_owner(source: str, after: int, limit: int) -> Sequence[BusMessage]:
    return []


@pytest.mark.parametrize("seed", range(30))
async def test_however_events_and_seals_are_cut_everything_passes_once_and_in_order(seed: int) -> None:
    random = Random(seed)
    events = [(position, "s", b"%d" % position) for position in range(1, 61)]
    key, whose = Ed25519PrivateKey.generate(), Log("roster", "a1")
    at, kept = Head(0, genesis("roster", "a1"), ""), list[Seal]()
    chains = [at]
    for _, _, data in events:
        chains.append(Head(chains[-1].position + 1, link(chains[-1].hash, data), ""))
    while at.position < random.randrange(1, 60):
        run = [data for _, _, data in events[at.position : at.position + random.randrange(1, 9)]]
        kept.append(seals.kept(whose, at, run, "", key))
        at = chains[kept[-1].position]
    told = [seals.told(whose, chains[position], key) for position in {60, *random.sample(range(1, 61), 5)}]
    after = random.randrange(kept[0].position - 1, 59)
    witness = Sealed(Telling(told, kept), no_owner, "roster", after)
    begun = await witness.begin()
    assert begun <= after
    passed: list[BusMessage] = []
    while begun < 60:
        more = random.randrange(1, 12)
        passed += await witness.passed(events[begun : begun + more])
        begun += more
    assert passed == events[after:]


async def test_one_changed_event_stops_everything_from_the_seal_before_it_on() -> None:
    events = [(position, "s", b"%d" % position) for position in range(1, 21)]
    key, whose, at = Ed25519PrivateKey.generate(), Log("roster", "a1"), Head(0, genesis("roster", "a1"), "")
    kept: list[Seal] = []
    for first in range(0, 20, 5):
        kept.append(seals.kept(whose, at, [data for _, _, data in events[first : first + 5]], "", key))
        at = Head(kept[-1].position, bytes.fromhex(kept[-1].hash), "")
    witness = Sealed(Telling([], kept), no_owner, "roster", 0)
    assert await witness.begin() == 0
    assert await witness.passed(events[:7]) == events[:5]
    with pytest.raises(BusError, match="sealed other events between 5 and 10"):
        await witness.passed([(8, "s", b"8"), (9, "s", b"forged"), *events[9:]])


async def test_a_stream_without_seals_holds_its_readers_back_until_something_is_told(tmp_path: Path) -> None:
    """As on a broker that lost the stream of seals: what is told again and again does."""
    reader = Reader()
    async with running(tmp_path, builds(reader)) as system:
        nc = system.instance.services["consent"].nc
        await jetstream.JetStream(nc).ask("STREAM.DELETE.SEALS")
        await opened(system, *names(1, 3))
        await system.settled()
        assert reader.seen == names(1, 3)
