"""Calls: whatever happens, the caller gets an answer with a code, and knows whether the command was carried out."""

import asyncio
import gc
import json
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any, cast, get_args

import msgspec
import pytest
from faststream.nats.message import NatsMessage
from nats.aio.msg import Msg
from pydantic import BaseModel, TypeAdapter
from sqlalchemy import Connection, MetaData, select
from sqlalchemy.engine import make_url

from contracts import operations
from contracts.call import CALLS
from contracts.erasure import ORDER_ERASURE, OrderedErasure, OrderErasure
from contracts.event import Event
from contracts.identity import ISSUE_CREDENTIALS, CredentialsIssued, CredentialsIssuedReply, IssueCredentials, IssuedCredential
from contracts.roster import OPEN_SCHOOL, SCHOOL, OpenSchool, SchoolCard, SchoolOpened, SchoolQuery, SchoolReply
from eventkit import log
from eventkit.access import Known
from eventkit.answering import Caller, kept
from eventkit.calls import MAX_BODY_BYTES, CallFailed, CallReply
from eventkit.decider import Decider, Refused
from eventkit.event import Recorded
from eventkit.harness import System, administrator, everything, running
from eventkit.service import Service, Settings
from eventkit.store import Conflict, Transaction
from eventkit.testing_servers import PostgresServer


def decide(command: OpenSchool, state: bool) -> Sequence[Event]:
    if state:
        return []
    return [SchoolOpened(school=command.school, municipality=command.municipality, timezone=command.timezone)]


school = Decider[OpenSchool, bool]("school", initial=False, decide=decide, evolve=lambda state, event: True)


class Slow:
    """A projection that takes nothing in until it may."""

    name = "slow"
    sources = ("roster",)
    tables = MetaData()
    wants = staticmethod(everything)

    def __init__(self) -> None:
        self.go = threading.Event()

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        self.go.wait(60)


class Roster:
    """A roster whose handlers do what the test wants. `opened` counts how often the command's handler ran."""

    def __init__(self) -> None:
        self.slow = Slow()
        self.slow.go.set()
        self.opened = 0
        self.entered = threading.Event()
        self.go = threading.Event()
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    def build(self, settings: Settings) -> Service:
        self.service = service = Service(settings)
        service.projection(self.slow)

        @service.command(OPEN_SCHOOL)
        def open_school(request: OpenSchool, transaction: Transaction, caller: Caller) -> SchoolReply:
            self.opened += 1
            if request.name == "wait":
                self.entered.set()
                self.go.wait(60)
            if request.name == "conflict":
                raise Conflict("somebody appended to school-7")
            transaction.decide(school, request.school, request, school=request.school, happened_on=date(2015, 8, 17))
            return SchoolReply(school=request.school)

        @service.query(SCHOOL)
        async def find(request: SchoolQuery, caller: Caller) -> SchoolCard:
            match request.school:
                case "wait":
                    self.asked.set()
                    await self.answer.wait()
                case "refused":
                    raise Refused("school.unknown", "There is no such school.", "Open it first.")
                case "broken-reply":
                    SchoolReply.model_validate({"school": "Иванов Пётр"})
                case "broken-record":
                    msgspec.json.decode(b'{"name": "')
                case "somebody-else":
                    await service.calls.call(operations.HEAD["consent"], operations.Nothing())
                case _:
                    pass
            name = "Ш" * (MAX_BODY_BYTES if request.school == "huge" else 1)
            return SchoolCard(
                school=request.school, name=name, municipality="m-1", timezone="Europe/Moscow", staff=0, classes=0, pupils=0, guardians=0
            )

        return service


@pytest.fixture
def roster() -> Roster:
    return Roster()


@asynccontextmanager
async def started(folder: Path, roster: Roster) -> AsyncGenerator[System]:
    async with running(folder, {"roster": roster.build}) as system:
        yield system


def opening(name: str, title: str = "Школа") -> OpenSchool:
    return OpenSchool(school=name, name=title, municipality="m-1")


async def failure(system: System, about: str) -> CallFailed:
    with pytest.raises(CallFailed) as failed:
        await system.call(SCHOOL, SchoolQuery(school=about))
    return failed.value


async def raw(system: System, subject: str, payload: bytes) -> CallReply:
    """Sends what our own client never would, and reads the answer as it is on the wire."""
    nc = system.instance.services["roster"].nc
    return msgspec.json.decode((await nc.request(subject, payload, timeout=30)).data, type=CallReply)


# What is answered


async def test_a_refusal_carries_code_text_and_hint(tmp_path: Path, roster: Roster) -> None:
    async with started(tmp_path, roster) as system:
        with pytest.raises(Refused) as refused:
            await system.call(SCHOOL, SchoolQuery(school="refused"))
    assert (refused.value.code, refused.value.text, refused.value.hint) == ("school.unknown", "There is no such school.", "Open it first.")


async def test_a_conflict_is_its_own_kind_and_names_the_command(tmp_path: Path, roster: Roster) -> None:
    async with started(tmp_path, roster) as system:
        with pytest.raises(CallFailed) as failed:
            await system.call(OPEN_SCHOOL, opening("school-7", "conflict"), command_id="c-1")
    assert (failed.value.kind, failed.value.code, failed.value.command_id) == ("conflict", "stream.conflict", "c-1")


async def test_a_call_that_a_service_does_not_know_is_refused_by_it(tmp_path: Path, roster: Roster) -> None:
    async with started(tmp_path, roster) as system:
        answer = await raw(system, "call.roster.fly", b'{"body": {}}')
    assert answer.error is not None
    assert (answer.error.kind, answer.error.code) == ("refused", "call.unknown")


async def test_what_was_asked_does_not_stay_in_memory_once_it_is_answered(tmp_path: Path, roster: Roster) -> None:
    async with started(tmp_path, roster) as system:
        gc.collect()
        gc.disable()  # it would find what refers to itself: but nobody knows when
        try:
            for _ in range(3):
                await raw(system, "call.roster.school", b'{"token": "%s"' % (b"x" * 10_000))
            kept_bodies = [found for found in gc.get_objects() if isinstance(found, Msg | NatsMessage) and len(_body(found)) >= 10_000]
        finally:
            gc.enable()
    assert not kept_bodies


def _body(message: Msg | NatsMessage) -> bytes:
    return message.data if isinstance(message, Msg) else message.body


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"token": 1, "body": {}}', b'{"token": "x"}', b'{"token": "\xff", "body": {}}'])
async def test_a_request_that_cannot_be_read_is_answered_so(tmp_path: Path, roster: Roster, payload: bytes) -> None:
    async with started(tmp_path, roster) as system:
        answer = await raw(system, "call.roster.school", payload)
    assert answer.error is not None
    assert (answer.error.kind, answer.error.code) == ("invalid", "body.malformed")


async def test_a_value_that_is_none_of_the_choices_is_answered_with_those_as_a_caller_writes_them(tmp_path: Path) -> None:
    def consent(settings: Settings) -> Service:
        service = Service(settings)

        @service.command(ORDER_ERASURE)
        def order(request: OrderErasure, transaction: Transaction, caller: Caller) -> OrderedErasure:
            raise AssertionError("no request that does not fit gets here")

        return service

    body = json.dumps({"school": "school-7", "person": "p-1", "ground": "left", "reference": "2-1234/2015"}).encode()
    async with running(tmp_path, {"consent": consent}) as system:
        calls = system.instance.calls(system.instance.operator_token())
        with pytest.raises(CallFailed) as failed:
            await calls.call_raw(ORDER_ERASURE.name, body, command=True)
    choices = "ground: Input should be 'subject-request', 'unlawful', 'court-order' or 'authority'"
    assert (failed.value.code, failed.value.text) == ("body.invalid", choices)


async def test_a_body_that_is_too_large_is_refused_at_both_ends(tmp_path: Path, roster: Roster) -> None:
    async with started(tmp_path, roster) as system:
        body = json.dumps({"school": "x" * MAX_BODY_BYTES}).encode()
        with pytest.raises(CallFailed) as failed:
            await system.instance.calls("a token").call_raw("roster.school", body, command=False)
        assert (failed.value.kind, failed.value.code) == ("invalid", "body.too-large")
        answer = await raw(system, "call.roster.school", b'{"body": %s}' % body)
    assert answer.error is not None
    assert answer.error.code == "body.too-large"


async def test_an_answer_that_is_too_large_for_the_bus_is_an_answer_all_the_same(tmp_path: Path, roster: Roster) -> None:
    async with started(tmp_path, roster) as system:
        failed = await failure(system, "huge")
    assert (failed.kind, failed.code) == ("failed", "reply.too-large")


@pytest.mark.parametrize("broken", ["broken-reply", "broken-record"])
async def test_what_a_handler_chokes_on_is_no_fault_of_the_request(
    tmp_path: Path, roster: Roster, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with started(tmp_path, roster) as system:
        failed = await failure(system, broken)
    assert (failed.kind, failed.code) == ("failed", "call.failed")
    assert failed.incident
    captured = capsys.readouterr()
    assert failed.incident in captured.out + captured.err
    assert "Иванов" not in failed.text + captured.out + captured.err


async def test_of_a_command_that_met_a_database_that_is_away_nobody_knows_what_became_of_it_until_it_is_repeated(
    tmp_path: Path, roster: Roster, own_postgres: PostgresServer
) -> None:
    url = make_url(own_postgres.url).set(drivername="postgresql+psycopg")
    async with running(tmp_path, {"roster": roster.build}, database_url=lambda service: url) as system:
        processes = own_postgres.pids
        own_postgres.kill()
        while any(Path(f"/proc/{pid}").exists() for pid in processes):  # noqa: ASYNC110 -- they end when they notice, and tell nobody
            await asyncio.sleep(0.01)
        with pytest.raises(CallFailed) as asked:
            await system.call(operations.HEAD["roster"], operations.Nothing())
        with pytest.raises(CallFailed) as told:
            await system.call(OPEN_SCHOOL, opening("school-7"), command_id="c-1")
        await asyncio.to_thread(own_postgres.start)
        assert (asked.value.kind, asked.value.code) == ("unreachable", "database.unavailable")
        assert (told.value.kind, told.value.code, told.value.command_id) == ("unknown", "database.unavailable", "c-1")
        assert told.value.incident
        assert await system.call(OPEN_SCHOOL, opening("school-7"), command_id="c-1") == SchoolReply(school="school-7")


async def test_a_call_that_depends_on_a_service_that_is_away_says_which(tmp_path: Path, roster: Roster) -> None:
    async with started(tmp_path, roster) as system:
        failed = await failure(system, "somebody-else")
    assert (failed.kind, failed.code, failed.text) == ("failed", "service.unreachable", "consent does not answer.")
    assert failed.incident


async def test_a_token_of_somebody_else_or_none_is_refused(tmp_path: Path, roster: Roster) -> None:
    async with started(tmp_path, roster) as system:
        for token, code in ((None, "access.no-token"), ("no-token-at-all", "token.invalid")):
            with pytest.raises(Refused) as refused:
                await system.instance.calls(token).call(SCHOOL, SchoolQuery(school="school-7"))
            assert refused.value.code == code
        assert (await system.call(SCHOOL, SchoolQuery(school="school-7"), as_=administrator("school-7"))).school == "school-7"


# Positions


async def test_a_call_waits_until_its_service_has_read_as_far_as_the_caller_and_then_says_that_it_has_not(
    tmp_path: Path, roster: Roster
) -> None:
    async with started(tmp_path, roster) as system:
        await system.settled()
        roster.slow.go.clear()
        answer = await system.ask(OPEN_SCHOOL, opening("school-7"))
        assert answer.at == {"roster": 2}
        with pytest.raises(Refused) as refused:
            await system.ask(SCHOOL, SchoolQuery(school="school-7"), after={"roster": 2})
        assert refused.value.code == "reader.not-caught-up"
        asking = asyncio.create_task(system.ask(SCHOOL, SchoolQuery(school="school-7"), after={"roster": 2}))
        roster.slow.go.set()
        assert (await asking).at == {"roster": 2}


async def test_an_answer_never_claims_positions_beyond_what_it_was_read_at(tmp_path: Path, roster: Roster) -> None:
    async with started(tmp_path, roster) as system:
        asking = asyncio.create_task(system.ask(SCHOOL, SchoolQuery(school="wait")))
        await roster.asked.wait()
        at = (await system.ask(OPEN_SCHOOL, opening("school-7"))).at
        await system.settled()
        roster.answer.set()
        assert (await asking).at == {"roster": 1}
        assert at == {"roster": 2}


# Once and only once


async def test_a_caller_that_gives_up_knows_the_id_and_the_same_id_again_tells_what_was_done(tmp_path: Path, roster: Roster) -> None:
    async with started(tmp_path, roster) as system:
        calls = system.instance.calls(system.instance.operator_token())
        with pytest.raises(CallFailed) as failed:
            await calls.call(OPEN_SCHOOL, opening("school-7", "wait"), timeout_s=0.1)
        assert (failed.value.kind, failed.value.code) == ("unknown", "call.outcome-unknown")
        assert failed.value.command_id
        roster.go.set()
        answer = await calls.call(OPEN_SCHOOL, opening("school-7", "wait"), command_id=failed.value.command_id)
        assert (answer.reply.school, answer.at, answer.command_id) == ("school-7", {"roster": 2}, failed.value.command_id)
        assert roster.opened == 1
        assert await roster.service.store.head() == 2


async def test_the_order_of_the_fields_does_not_make_another_command(tmp_path: Path, roster: Roster) -> None:
    async with started(tmp_path, roster) as system:
        calls = system.instance.calls(system.instance.operator_token())
        bodies = (
            b'{"school": "school-7", "name": "x", "municipality": "m-1"}',
            b'{"municipality": "m-1", "name": "x", "school": "school-7"}',
        )
        answers = [await calls.call_raw("roster.open-school", body, command=True, command_id="c-1") for body in bodies]
        assert bytes(answers[0].reply) == bytes(answers[1].reply)
        assert roster.opened == 1


async def test_a_hundred_calls_at_once_share_transactions_and_lose_nothing(tmp_path: Path, roster: Roster) -> None:
    async with started(tmp_path, roster) as system:
        first = asyncio.create_task(system.ask(OPEN_SCHOOL, opening("first", "wait")))
        await asyncio.to_thread(roster.entered.wait, 60)
        others = [asyncio.create_task(system.ask(OPEN_SCHOOL, opening(f"school-{n}"))) for n in range(100)]
        await asyncio.sleep(0)  # they are on their way
        await system.call(SCHOOL, SchoolQuery(school="school-7"))  # and have arrived when what was sent after them is answered
        roster.go.set()
        answers = [await call for call in (first, *others)]
        assert {answer.reply.school for answer in answers} == {"first", *(f"school-{n}" for n in range(100))}
        assert await roster.service.store.head() == 102
        # What was decided together is answered at the same position.
        assert len({answer.at["roster"] for answer in answers}) < 50


issued = Decider[str, bool](
    "credential",
    initial=False,
    decide=lambda person, state: [
        CredentialsIssued(credential="k-1", account="a-1", person=person, replaces=None, expires_on=date(2015, 9, 1))
    ],
    evolve=lambda state, event: True,
)


async def test_a_repeated_command_does_not_tell_a_secret_again_and_none_is_kept(tmp_path: Path) -> None:
    def identity(settings: Settings) -> Service:
        service = Service(settings)
        service.knows(
            Known(people_of_class=lambda rows, school, class_id, people: people, teaches=lambda rows, school, class_id, person: True)
        )

        @service.command(ISSUE_CREDENTIALS)
        def issue(request: IssueCredentials, transaction: Transaction, caller: Caller) -> CredentialsIssuedReply:
            transaction.decide(issued, "k-1", "p-1", school=request.school, happened_on=date(2015, 8, 17))
            return CredentialsIssuedReply(credentials=(IssuedCredential(person="p-1", login="ivanov", code="K7QW-9TXC"),))

        return service

    async with running(tmp_path, {"identity": identity}) as system:
        request = IssueCredentials(school="school-7", people=("p-1",))
        first = await system.ask(ISSUE_CREDENTIALS, request, command_id="c-1")
        again = await system.ask(ISSUE_CREDENTIALS, request, command_id="c-1")
        assert first.reply.credentials[0].code == "K7QW-9TXC"
        assert again.reply == CredentialsIssuedReply(credentials=(IssuedCredential(person="p-1", login="ivanov", code=None),))
        with system.instance.services["identity"].database.reading() as connection:
            rows = connection.execute(select(log.command_table)).all()
        await system.settled()
    assert len(rows) == 1
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"K7QW-9TXC" not in file.read_bytes(), file


@pytest.mark.parametrize("call", [call for call in CALLS.values() if call.command], ids=lambda call: call.name)
def test_the_answer_of_every_command_can_be_kept_without_its_secrets(call: Any) -> None:
    """A secret that may not be left out could not be read again, and the repeated command would fail."""

    for model in models_in(call.reply):
        for about in model.model_fields.values():
            if about.json_schema_extra == {"secret": True}:
                assert TypeAdapter[Any](cast("Any", about.annotation)).validate_python(None) is None


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for about in annotation.model_fields.values():
            yield from models_in(about.annotation)
    for part in get_args(annotation):
        yield from models_in(part)


def test_what_is_kept_has_no_secret_however_deep_it_lies() -> None:
    reply = CredentialsIssuedReply(credentials=(IssuedCredential(person="p-1", code="one"), IssuedCredential(person="p-2", code="two")))
    text = kept(reply)
    assert "one" not in text
    assert "two" not in text
    assert CredentialsIssuedReply.model_validate_json(text).credentials[1].person == "p-2"


# Stopping and starting


async def test_a_service_that_stops_answers_the_calls_under_way_and_takes_no_new_ones(tmp_path: Path, roster: Roster) -> None:
    async with started(tmp_path, roster) as system:
        query = asyncio.create_task(system.ask(SCHOOL, SchoolQuery(school="wait")))
        await roster.asked.wait()
        command = asyncio.create_task(system.ask(OPEN_SCHOOL, opening("school-7", "wait")))
        await asyncio.to_thread(roster.entered.wait, 60)
        stopping = asyncio.create_task(roster.service.stop())
        late = asyncio.create_task(turned_away(system))
        assert await late == "unreachable"
        assert not stopping.done()
        roster.answer.set()
        roster.go.set()
        assert (await query).reply.school == "wait"
        assert (await command).at == {"roster": 2}
        await stopping


async def turned_away(system: System) -> str:
    """Calls until somebody says that nobody listens; none of the calls may get no answer at all."""
    while True:
        try:
            await system.call(SCHOOL, SchoolQuery(school="school-8"))
        except CallFailed as failed:
            return failed.kind


async def test_a_broker_that_goes_and_comes_back_finds_the_service_listening(tmp_path: Path, roster: Roster) -> None:
    async with started(tmp_path, roster) as system:
        await system.call(OPEN_SCHOOL, opening("school-7"))
        await system.broker.stop()
        calls = system.instance.calls(system.instance.operator_token())
        with pytest.raises(CallFailed) as failed:
            await calls.call(OPEN_SCHOOL, opening("school-8"), command_id="c-8", timeout_s=0.2)
        assert failed.value.kind == "unknown"
        await system.broker.start()
        answer = await once_it_answers(system, "c-8")
        assert answer == "school-8"
        await system.settled()
        assert roster.service.relay.position == await roster.service.store.head() == 3


async def once_it_answers(system: System, command_id: str) -> str:
    while True:
        try:
            return (await system.call(OPEN_SCHOOL, opening("school-8"), command_id=command_id)).school
        except CallFailed:
            await asyncio.sleep(0.05)


async def test_a_service_stops_even_when_the_broker_has_gone(tmp_path: Path, roster: Roster) -> None:
    async with started(tmp_path, roster) as system:
        await system.call(OPEN_SCHOOL, opening("school-7"))
        await system.broker.stop()
        await roster.service.stop()
    assert threading.active_count() < 50
    async with started(tmp_path, roster) as system:
        assert (await system.ask(OPEN_SCHOOL, opening("school-8"))).at == {"roster": 3}


async def test_what_the_stream_has_lost_is_asked_from_its_owner_by_a_call(tmp_path: Path, roster: Roster) -> None:
    seen: list[int] = []

    class Positions:
        name = "positions"
        sources = ("roster",)
        tables = MetaData()
        wants = staticmethod(everything)

        def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
            seen.extend(event.position for event in events)

    def consent(settings: Settings) -> Service:
        service = Service(settings)
        service.projection(Positions())
        return service

    async with started(tmp_path, roster) as system:
        for n in range(1, 6):
            await system.call(OPEN_SCHOOL, opening(f"school-{n}"))
        await system.settled()
    (block,) = (tmp_path / "bus" / "jetstream" / "$G" / "streams" / "ROSTER" / "msgs").glob("*.blk")
    content = bytearray(block.read_bytes())
    content[content.index(b'"position":3,')] ^= 0x01
    block.write_bytes(content)
    async with running(tmp_path, {"roster": roster.build, "consent": consent}) as system:
        await system.settled()
    assert seen == [1, 2, 3, 4, 5, 6]
