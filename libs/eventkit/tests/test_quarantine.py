"""A service appends only while its log and its bus stream are known not to contradict each other; it answers reads all the time."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from nats.aio.client import Client

from contracts.call import Role
from contracts.event import Event
from contracts.operations import HEALTH, Health, Nothing
from contracts.roster import OPEN_SCHOOL, SCHOOL, OpenSchool, SchoolCard, SchoolOpened, SchoolQuery, SchoolReply
from eventkit.answering import Caller
from eventkit.broker import EmbeddedBroker
from eventkit.calls import CallFailed, Calls
from eventkit.clock import ManualClock
from eventkit.database import sqlite_url
from eventkit.decider import Decider
from eventkit.event import Recorded
from eventkit.harness import running
from eventkit.instance import Build
from eventkit.jetstream import JetStream, connect, disconnect
from eventkit.provision import BusStream, provision
from eventkit.reaction import Reaction
from eventkit.secrets import OPERATOR, Secrets
from eventkit.service import Service, Settings
from eventkit.store import Transaction
from eventkit.tokens import Actor, Tokens

school = Decider[OpenSchool, bool](
    "school",
    initial=False,
    decide=lambda command, state: (
        list[Event]() if state else [SchoolOpened(school=command.school, municipality=command.municipality, timezone=command.timezone)]
    ),
    evolve=lambda state, event: True,
)


class Roster:
    """A roster that also acts by itself: at its start, because of the time, and because of its own events."""

    def __init__(self) -> None:
        self.resumed = False
        self.reminded: list[datetime] = []
        self.mailed: list[str] = []

    def build(self, settings: Settings) -> Service:
        self.service = service = Service(settings)
        service.timer(Reminder(self))
        service.reaction(Mail(self))

        @service.at_start
        async def resume() -> None:
            self.resumed = True

        @service.command(OPEN_SCHOOL)
        def open_school(request: OpenSchool, transaction: Transaction, caller: Caller) -> SchoolReply:
            transaction.decide(school, request.school, request, school=request.school, happened_on=date(2015, 8, 17))
            return SchoolReply(school=request.school)

        @service.query(SCHOOL)
        async def find(request: SchoolQuery, caller: Caller) -> SchoolCard:
            return SchoolCard(
                school=request.school, name="", municipality="m-1", timezone="Europe/Moscow", staff=0, classes=0, pupils=0, guardians=0
            )

        return service


class Reminder:
    def __init__(self, roster: Roster) -> None:
        self.roster = roster

    def next_due(self, now: datetime) -> datetime | None:
        return None if self.roster.reminded else datetime(2015, 8, 18, tzinfo=UTC)

    async def handle(self, now: datetime) -> None:
        self.roster.reminded.append(now)


class Mail(Reaction):
    name = "mail"
    sources = ("roster",)
    types = frozenset({SchoolOpened.type})

    def __init__(self, roster: Roster) -> None:
        self.roster = roster

    async def react(self, event: Recorded) -> None:
        self.roster.mailed.append(event.school)


def opening(name: str) -> OpenSchool:
    return OpenSchool(school=name, name="Школа", municipality="m-1")


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - it looks at a running service from outside
        await asyncio.sleep(0.005)


async def test_a_database_from_an_older_backup_is_read_from_and_never_appended_to(tmp_path: Path) -> None:
    database, backup = tmp_path / "db" / "roster.db", tmp_path / "backup.db"
    async with running(tmp_path, {"roster": Roster().build}) as system:
        await system.call(OPEN_SCHOOL, opening("school-1"))
        await system.settled()
    shutil.copy(database, backup)
    async with running(tmp_path, {"roster": Roster().build}) as system:
        await system.call(OPEN_SCHOOL, opening("school-2"))
        await system.settled()
    shutil.copy(backup, database)
    for _ in range(2):  # at every start anew
        roster = Roster()
        async with running(tmp_path, {"roster": roster.build}) as system:
            with pytest.raises(CallFailed) as failed:
                await system.call(OPEN_SCHOOL, opening("school-3"))
            assert (failed.value.kind, failed.value.code) == ("failed", "service.quarantined")
            assert "ends at 3, the log of roster at 2" in failed.value.text
            assert (await system.call(SCHOOL, SchoolQuery(school="school-1"))).school == "school-1"
            health = await system.call(HEALTH["roster"], Nothing())
            assert (health.position, health.quarantined) == (2, failed.value.text)
            await system.until("2015-08-20T00:00:00+03:00")
        assert (roster.resumed, roster.reminded, roster.mailed) == (False, [], [])


async def test_a_contradiction_that_is_found_later_stops_appends_timers_and_reactions(tmp_path: Path) -> None:
    roster = Roster()
    async with running(tmp_path, {"roster": roster.build}) as system:
        await system.call(OPEN_SCHOOL, opening("school-1"))
        await system.settled()
        assert (roster.resumed, roster.mailed) == (True, ["school-1"])
        await roster.service.nc.request("evt.roster.school-9.school-opened.v1", b"what no log holds", timeout=30)
        await system.call(OPEN_SCHOOL, opening("school-2"))  # was accepted; its place on the bus is taken
        await until(lambda: roster.service.relay.quarantine is not None)
        with pytest.raises(CallFailed) as failed:
            await system.call(OPEN_SCHOOL, opening("school-3"))
        assert failed.value.code == "service.quarantined"
        await system.until("2015-08-20T00:00:00+03:00")
        assert roster.reminded == []


# While a reader knows more than the log


class Listener:
    """Another service, which reads roster."""

    def build(self, settings: Settings) -> Service:
        self.service = Service(settings)
        self.service.reaction(Mail(Roster()))
        return self.service


def builds() -> dict[str, Build]:
    return {"roster": Roster().build, "consent": Listener().build}


async def lived(folder: Path) -> Path:
    """Two services that have lived in a folder, which has lost its bus since; a copy of roster's database after its first event."""
    database, backup = folder / "db" / "roster.db", folder / "backup.db"
    for number in (1, 2):
        async with running(folder, builds()) as system:
            await system.call(OPEN_SCHOOL, opening(f"school-{number}"))
            await system.settled()
        if number == 1:
            shutil.copy(database, backup)
    shutil.rmtree(folder / "bus")
    return backup


async def test_a_log_that_ends_before_what_a_reader_has_read_is_not_appended_to_even_when_the_bus_is_lost(tmp_path: Path) -> None:
    database = tmp_path / "db" / "roster.db"
    backup, newer = await lived(tmp_path), tmp_path / "newer.db"
    shutil.copy(database, newer)
    shutil.copy(backup, database)
    for _ in range(2):  # at every start anew
        async with running(tmp_path, builds()) as system:
            with pytest.raises(CallFailed) as failed:
                await system.call(OPEN_SCHOOL, opening("school-3"))
            assert failed.value.code == "service.quarantined"
            assert "consent-mail has read roster up to 3, and the log of roster ends at 2" in failed.value.text
            assert (await system.call(SCHOOL, SchoolQuery(school="school-1"))).school == "school-1"
            (reader,) = (await system.call(HEALTH["consent"], Nothing())).readers
            assert (reader.positions, reader.halted, reader.unrecognized) == ({"roster": 3}, ("roster",), ("roster",))
            await system.until("2015-08-20T00:00:00+03:00")
    shutil.copy(newer, database)
    async with running(tmp_path, builds()) as system:
        assert (await system.ask(OPEN_SCHOOL, opening("school-3"))).at == {"roster": 4}
        await system.settled()
        (reader,) = (await system.call(HEALTH["consent"], Nothing())).readers
        assert (reader.positions, reader.halted) == ({"roster": 4}, ())


async def test_a_log_that_went_on_without_what_was_read_is_found_although_it_has_passed_its_readers(tmp_path: Path) -> None:
    shutil.copy(await lived(tmp_path), tmp_path / "db" / "roster.db")
    async with running(tmp_path, {"roster": Roster().build}) as system:  # alone: nobody is there who knows more
        for number in (3, 4, 5):
            await system.call(OPEN_SCHOOL, opening(f"school-{number}"))
        await system.settled()
    async with running(tmp_path, builds()) as system:
        with pytest.raises(CallFailed) as failed:
            await system.call(OPEN_SCHOOL, opening("school-6"))
        assert "consent-mail has read roster up to 3, and the log of roster holds another event there" in failed.value.text
        (reader,) = (await system.call(HEALTH["consent"], Nothing())).readers
        assert (reader.positions, reader.unrecognized) == ({"roster": 3}, ("roster",))


@pytest.mark.parametrize("first", ["roster", "consent"])
async def test_services_apart_find_it_by_calls_whichever_starts_first(tmp_path: Path, own_nats_server: EmbeddedBroker, first: str) -> None:
    shutil.copy(await lived(tmp_path), tmp_path / "db" / "roster.db")
    nc = await connect(own_nats_server.url, own_nats_server.credential, name="provisioner")
    streams = [BusStream("roster"), BusStream("consent")]
    await provision(nc, streams, [("ROSTER", "roster-mail"), ("ROSTER", "consent-mail")])
    second = "consent" if first == "roster" else "roster"
    async with apart(tmp_path, first, own_nats_server) as one, apart(tmp_path, second, own_nats_server) as two:
        roster, consent = (one, two) if first == "roster" else (two, one)
        if second == "roster":  # it has heard of it before it answers anybody
            assert roster.store.quarantine is not None
        await until(lambda: roster.store.quarantine is not None)
        assert "consent-mail has read roster up to 3, and the log of roster ends at 2" in (roster.store.quarantine or "")
        await until(lambda: "roster" in consent.runners[0].checkpointed.halted)
    await disconnect(nc)


@asynccontextmanager
async def apart(folder: Path, name: str, broker: EmbeddedBroker) -> AsyncGenerator[Service]:
    """One service of those that have lived in a folder, as it runs in a container of its own."""
    service = builds()[name](
        Settings(
            name=name,
            database_url=sqlite_url(folder / "db" / f"{name}.db"),
            nats_url=broker.url,
            nats_credential=broker.credential,
            secrets=Secrets(folder / "secrets"),
            clock=ManualClock(datetime(2015, 8, 17, 6, tzinfo=UTC)),
        )
    )
    try:
        await service.start()
        yield service
    finally:
        await service.stop()


# While JetStream cannot be asked


@asynccontextmanager
async def alone(folder: Path, roster: Roster, broker: EmbeddedBroker, secrets: Secrets) -> AsyncGenerator[tuple[Calls, Client]]:
    """The service by itself, on a broker that nobody has provisioned; an operator's calls, and a connection."""
    clock = ManualClock(datetime(2015, 8, 17, 6, tzinfo=UTC))
    service = roster.build(
        Settings(
            name="roster",
            database_url=sqlite_url(folder / "roster.db"),
            nats_url=broker.url,
            nats_credential=broker.credential,
            secrets=secrets,
            clock=clock,
        )
    )
    token = Tokens(OPERATOR, secrets.signing_key(OPERATOR), secrets.public_keys(), clock).mint(Actor(Role.OPERATOR), lifetime_s=None)
    nc = await connect(broker.url, broker.credential, name="test")
    try:
        await service.start()
        yield Calls(nc, token), nc
    finally:
        await service.stop()
        await disconnect(nc)


async def health_of(calls: Calls) -> Health:
    return (await calls.call(HEALTH["roster"], Nothing())).reply


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets.make(tmp_path / "secrets")


async def test_before_the_first_comparison_a_service_answers_reads_and_appends_nothing(
    tmp_path: Path, own_nats_server: EmbeddedBroker, secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventkit.service._COMPARISON_TIMEOUT_S", 0.1)
    roster = Roster()
    async with alone(tmp_path, roster, own_nats_server, secrets) as (calls, nc):
        assert (await calls.call(SCHOOL, SchoolQuery(school="school-1"))).reply.school == "school-1"
        with pytest.raises(CallFailed) as failed:
            await calls.call(OPEN_SCHOOL, opening("school-1"))
        assert failed.value.code == "service.quarantined"
        assert "not been compared" in failed.value.text
        assert (await health_of(calls)).quarantined == failed.value.text
        assert roster.service.next_due() is None
        assert not roster.resumed
        await provision(nc, [BusStream("roster")], roster.service.durables)
        await until(lambda: roster.resumed)
        assert (await calls.call(OPEN_SCHOOL, opening("school-1"))).at == {"roster": 2}
        assert (await health_of(calls)).quarantined is None
        await until(lambda: roster.mailed == ["school-1"])


async def test_once_compared_a_service_appends_although_the_bus_takes_nothing_and_publishes_later(
    tmp_path: Path, own_nats_server: EmbeddedBroker, secrets: Secrets
) -> None:
    roster = Roster()
    nc = await connect(own_nats_server.url, own_nats_server.credential, name="provisioner")
    await provision(nc, [BusStream("roster")], [("ROSTER", "roster-mail")])
    async with alone(tmp_path, roster, own_nats_server, secrets) as (calls, _):
        await calls.call(OPEN_SCHOOL, opening("school-1"))
        await until(lambda: roster.service.relay.position == 2)
        await JetStream(nc).ask("STREAM.DELETE.ROSTER")
        answers = [await calls.call(OPEN_SCHOOL, opening(f"school-{n}")) for n in (2, 3)]
        assert [answer.at for answer in answers] == [{"roster": 3}, {"roster": 4}]
        await provision(nc, [BusStream("roster")], roster.service.durables)
        await until(lambda: roster.service.relay.position == 4)
        assert await published(nc) == 4
        await until(lambda: roster.mailed == ["school-1", "school-2", "school-3"])
    await disconnect(nc)


async def published(nc: Client) -> int:
    return await JetStream(nc).last_sequence("ROSTER")


async def test_what_the_service_does_by_itself_is_refused_too(
    tmp_path: Path, own_nats_server: EmbeddedBroker, secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventkit.service._COMPARISON_TIMEOUT_S", 0.1)
    roster = Roster()

    def work(transaction: Transaction) -> int:
        events: Sequence[Event] = transaction.decide(
            school, "school-1", opening("school-1"), school="school-1", happened_on=date(2015, 8, 17)
        )
        return len(events)

    async with alone(tmp_path, roster, own_nats_server, secrets):
        with pytest.raises(Exception, match="not been compared"):
            await roster.service.carry_out(roster.service.as_itself("c-1"), work, part="1")
        assert await roster.service.store.head() == 0
