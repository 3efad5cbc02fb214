"""One service on the real bus: a call is carried out, recorded, published, projected, and answered when it fails."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, MetaData, Table, Text, insert, select

from contracts.event import Event
from contracts.roster import OPEN_SCHOOL, SCHOOL, OpenSchool, SchoolCard, SchoolOpened, SchoolQuery, SchoolReply
from eventkit.answering import Caller
from eventkit.calls import CallFailed
from eventkit.decider import Decider, Refused
from eventkit.event import Recorded, rfc3339
from eventkit.harness import BEGUN, START, administrator, director, everything, running
from eventkit.history import History
from eventkit.service import Service, Settings
from eventkit.store import Transaction

rows = MetaData()
seen = Table("seen", rows, Column("school", Text, primary_key=True))


class Schools:
    name = "schools"
    sources = ("roster",)
    tables = rows
    wants = staticmethod(everything)

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        for event in events:
            if event.school == "poison":
                raise ValueError("this one cannot be taken in")
            connection.execute(insert(seen).values(school=event.school))


def decide(command: OpenSchool, state: bool) -> Sequence[Event]:
    if state:
        return []
    return [SchoolOpened(school=command.school, municipality=command.municipality, timezone=command.timezone)]


school = Decider[OpenSchool, bool]("school", initial=False, decide=decide, evolve=lambda state, event: True)


def roster(settings: Settings) -> Service:
    service = Service(settings)
    service.projection(Schools())

    @service.command(OPEN_SCHOOL)
    def open_school(request: OpenSchool, transaction: Transaction, caller: Caller) -> SchoolReply:
        if request.name == "broken":
            raise RuntimeError("Иванов")
        transaction.decide(school, request.school, request, school=request.school, happened_on=date(2015, 8, 17))
        return SchoolReply(school=request.school)

    @service.query(SCHOOL)
    async def find(request: SchoolQuery, caller: Caller) -> SchoolCard:
        found = await service.read(lambda connection: connection.execute(select(seen).where(seen.c.school == request.school)).first())
        if found is None:
            raise Refused("school.unknown", f"There is no school {request.school}.")
        return SchoolCard(
            school=request.school, name="", municipality="m-1", timezone="Europe/Moscow", staff=0, classes=0, pupils=0, guardians=0
        )

    return service


BUILDS = {"roster": roster}


def opening(name: str, title: str = "Школа") -> OpenSchool:
    return OpenSchool(school=name, name=title, municipality="m-1")


async def test_a_call_is_recorded_published_and_projected_and_its_answer_names_the_position(tmp_path: Path) -> None:
    async with running(tmp_path, BUILDS) as system:
        answer = await system.ask(OPEN_SCHOOL, opening("school-7"))
        assert answer.reply.school == "school-7"
        assert answer.at == {"roster": 2}
        card = await system.ask(SCHOOL, SchoolQuery(school="school-7"), after=answer.at)
        assert card.reply.school == "school-7"
        assert card.at == {"roster": 2}


async def test_the_same_command_id_twice_is_one_event_and_one_answer_and_with_another_body_it_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, BUILDS) as system:
        first = await system.ask(OPEN_SCHOOL, opening("school-7"), command_id="c-1")
        again = await system.ask(OPEN_SCHOOL, opening("school-7"), command_id="c-1")
        assert again == first
        with pytest.raises(Refused) as refused:
            await system.ask(OPEN_SCHOOL, opening("school-8"), command_id="c-1")
        assert refused.value.code == "command.reused"
        assert await system.instance.services["roster"].store.head() == 2


async def test_a_command_id_is_an_id_because_it_stands_in_events_for_ever(tmp_path: Path) -> None:
    async with running(tmp_path, BUILDS) as system:
        for command_id in ("Иванов Иван", "", "-x", "x" * 201, "a b", "a\n"):
            with pytest.raises(CallFailed) as failed:
                await system.call(OPEN_SCHOOL, opening("school-7"), command_id=command_id)
            assert (failed.value.kind, failed.value.code) == ("invalid", "command-id.malformed")
        assert await system.instance.services["roster"].store.head() == BEGUN


async def test_a_refusal_a_wrong_body_and_a_wrong_role_have_codes_and_change_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, BUILDS) as system:
        with pytest.raises(Refused) as unknown:
            await system.call(SCHOOL, SchoolQuery(school="nowhere"))
        assert unknown.value.code == "school.unknown"
        with pytest.raises(Refused) as role:
            await system.call(OPEN_SCHOOL, opening("school-7"), as_=director("school-7"))
        assert role.value.code == "access.role"
        with pytest.raises(Refused) as scope:
            await system.call(SCHOOL, SchoolQuery(school="school-8"), as_=administrator("school-7"))
        assert scope.value.code == "access.other-school"
        calls = system.instance.calls(system.instance.operator_token())
        with pytest.raises(CallFailed) as body:
            await calls.call_raw("roster.open-school", '{"school": "Пушкин", "nmae": 1}'.encode(), command=True)
        assert body.value.kind == "invalid"
        assert "Пушкин" not in body.value.text
        assert "nmae" in body.value.text
        with pytest.raises(CallFailed) as nobody:
            await calls.call_raw("consent.status", b"{}", command=False)
        assert nobody.value.kind == "unreachable"
        assert await system.instance.services["roster"].store.head() == BEGUN


async def test_an_unexpected_error_is_answered_at_once_with_an_incident_and_logged_without_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, BUILDS) as system:
        with pytest.raises(CallFailed) as failed:
            await system.call(OPEN_SCHOOL, opening("school-7", "broken"))
        assert failed.value.incident
    captured = capsys.readouterr()
    assert failed.value.incident in captured.out + captured.err
    assert "Иванов" not in captured.out + captured.err


async def test_an_event_that_fails_is_parked_with_its_school_and_the_others_flow(tmp_path: Path) -> None:
    async with running(tmp_path, BUILDS) as system:
        await system.call(OPEN_SCHOOL, opening("poison"))
        answer = await system.ask(OPEN_SCHOOL, opening("school-7"))
        assert (await system.ask(SCHOOL, SchoolQuery(school="school-7"), after=answer.at)).reply.school == "school-7"
        runner = system.instance.services["roster"].runners[0]
        assert await runner.retry(None, None) == (0, 1)


async def test_after_a_restart_everything_is_where_it_was(tmp_path: Path) -> None:
    async with running(tmp_path, BUILDS) as system:
        await system.call(OPEN_SCHOOL, opening("school-7"))
    async with running(tmp_path, BUILDS) as system:
        answer = await system.ask(OPEN_SCHOOL, opening("school-8"))
        assert answer.at == {"roster": 3}
        assert (await system.ask(SCHOOL, SchoolQuery(school="school-7"), after=answer.at)).reply.school == "school-7"


async def test_history_tells_what_was_known_at_a_time_and_what_a_log_says_of_one_school(tmp_path: Path) -> None:
    async with running(tmp_path, BUILDS) as system:
        for name in ("school-7", "school-8", "school-9"):
            await system.call(OPEN_SCHOOL, opening(name))
            system.clock.move(system.clock.now() + timedelta(hours=1))
        await system.settled()
        history = History(system.instance.services["roster"].nc)
        assert [event.position for event in await history.of_school("roster", "school-8", up_to=4)] == [3]
        assert await history.of_school("roster", "school-8", up_to=2) == []
        opened = datetime.fromisoformat(START)
        known = [await history.position_known_at("roster", rfc3339(opened + timedelta(minutes=m)), head=4) for m in (-1, 0, 30, 60, 500)]
        assert known == [0, 2, 2, 3, 4]
