"""A command id makes a command itself (DESIGN 2.10): sent again it is answered as before, and nothing more is recorded."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from contracts import consent, erasure, identity, notifier, operations, parking, plan, roster
from contracts.call import CALLS, AnnulEntry, Request
from contracts.consent import Decision, InvalidationReason, SubjectKind
from contracts.event import AnnulmentReason
from contracts.roster import Act, PersonName, Position
from tests import record, school
from tests.conftest import Lived, Made, instance
from tests.school import SCHOOL
from vekha.client import Client, Target, connected
from vekha.failures import Failure
from vekha.folder import DataFolder

ELSEWHERE = {"identity.finish-esia", *(call.name for call in parking.SKIP_PARKED.values())}
"""What needs somebody outside to answer is repeated where there is one (test_esia.py), what needs a parked event likewise
(test_parking.py)."""


def test_the_weeks_hold_every_command_that_the_contracts_declare(lived: Lived) -> None:
    assert {made.call.name for made in lived.commands} == {call.name for call in CALLS.values() if call.command} - ELSEWHERE


async def test_after_a_restart_every_command_sent_again_is_answered_as_before_and_records_nothing(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        for made in _kept(lived):
            again = await client.ask(made.call, made.request, as_=made.as_, command_id=made.command_id)
            assert again.reply == _without_secrets(made.answer.reply), made.call.name
            assert again.at == made.answer.at, made.call.name
            assert again.command_id == made.command_id
    assert record.logs(data) == record.logs(lived.data)


async def test_a_command_id_is_refused_for_another_body_and_for_another_actor_and_nothing_is_recorded(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data")
    async with instance(data) as client:
        for made in _kept(lived):
            others = [(changed, made.as_)] if (changed := _changed(made.request)) is not None else []
            if made.as_ is not None:
                others.append((made.request, None))
            for request, as_ in others:
                with pytest.raises(Failure, match=r"^command\.reused"):
                    await client.ask(made.call, request, as_=as_, command_id=made.command_id)
    assert record.logs(data) == record.logs(lived.data)


async def test_one_command_sent_by_two_clients_at_once_is_carried_out_once(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data", of_first_day=True)
    hiring = roster.HireStaff(
        school=SCHOOL, details=PersonName(last_name="Двойников", first_name="Имя"), position=Position.OTHER, hired_on=date(2015, 8, 17)
    )
    async with instance(data) as one, _second_client(data) as other:
        for number in range(20):
            command_id = f"twice-{number}"
            both = (client.ask(roster.HIRE_STAFF, hiring, command_id=command_id) for client in (one, other))
            first, second = await asyncio.gather(*both)
            assert first == second
    recorded = [event.commandid for event in record.events(record.logs(data)["roster"])]
    assert [recorded.count(f"twice-{number}") for number in range(20)] == [1] * 20


async def test_of_two_clients_that_race_on_one_stream_one_wins_and_the_other_is_told_so(lived: Lived, tmp_path: Path) -> None:
    """Each race is one that the rules let a single command win; whoever is second decides on what the first has left."""
    data = lived.copy(tmp_path / "data", of_first_day=True)
    async with instance(data) as one, _second_client(data) as other:
        for letter in "ВГДЕ":
            declared = roster.DeclareClass(school=SCHOOL, grade=5, letter=letter, academic_year="2015/2016")
            first, second = await asyncio.gather(*(client.ask(roster.DECLARE_CLASS, declared) for client in (one, other)))
            assert first.reply == second.reply
            shifts = [roster.CreateClass(school=SCHOOL, class_id=first.reply.class_id, shift=shift) for shift in (1, 2)]
            assert await _race(one, other, roster.CREATE_CLASS, shifts) == ["class.other-shift", "done"]

            granting, refusing = (_deciding(first.reply.class_id, granted=granted) for granted in (True, False))
            both = ((one, granting), (other, refusing))
            answers = await asyncio.gather(*(client.ask(consent.RECORD_DECISION, said, up_to_date=True) for client, said in both))
            subjects = {answer.reply.subject for answer in answers}
            assert len(subjects) == 1
            known = (await one.ask(consent.STATUS, consent.StatusQuery(school=SCHOOL, subject=subjects.pop()))).reply.consents
            assert [card.state == "superseded" for card in known] == [True, False]

        people = (await one.ask(roster.PEOPLE, roster.PeopleQuery(school=SCHOOL, kind="guardian"))).reply.people
        for person in people[:4]:
            issuing = identity.IssueCredentials(school=SCHOOL, people=(person,))
            first, second = await asyncio.gather(*(client.ask(identity.ISSUE_CREDENTIALS, issuing) for client in (one, other)))
            issued = {answer.reply.credentials[0].refused: answer.reply.credentials[0] for answer in (first, second)}
            assert set(issued) == {None, "credentials.already-issued"}
            login, code = issued[None].login, issued[None].code
            assert login
            assert code
            await one.ask(identity.HAND_OVER, identity.HandOver(school=SCHOOL, people=(person,)))
            using = [identity.Activate(login=login, code=code)] * 2
            assert await _race(one, other, identity.ACTIVATE, using) == ["activation.used", "done"]

        orders = [plan.RegisterOrder(school=SCHOOL, evidence_sha256=school.digest(f"order {number}")) for number in range(2)]
        assert await _race(one, other, plan.REGISTER_ORDER, orders) == ["done", "done"]  # two papers, and both count
    for messages in record.logs(data).values():
        stands = [(event.stream, event.version) for event in record.events(messages)]
        assert len(stands) == len(set(stands))


def _kept(lived: Lived) -> list[Made]:
    """The commands that changed something. One that found everything as it asks for is not kept, and decides anew when it is sent again:
    there is no newer revision of the plan in these weeks."""
    return [made for made in lived.commands if made.call is not plan.ADOPT_REVISION]


def _second_client(data: Path) -> AbstractAsyncContextManager[Client]:
    return connected(Target(DataFolder(data)))


async def _race(one: Client, other: Client, call: Any, requests: list[Any]) -> list[str]:
    """How two commands ended that were sent by two clients at once."""

    async def ask(client: Client, request: Any) -> str:
        try:
            await client.ask(call, request)
        except Failure as failure:
            return failure.code
        return "done"

    return sorted(await asyncio.gather(*(ask(client, request) for client, request in zip((one, other), requests, strict=True))))


def _deciding(class_id: str, *, granted: bool) -> consent.RecordDecision:
    seat = roster.Seat(class_id=class_id, number=1, holder=roster.SeatHolder.PUPIL)
    return consent.RecordDecision(school=SCHOOL, decision=Decision(granted=granted, seat=seat, subject_kind=SubjectKind.PUPIL))


def _changed(request: Request) -> Request | None:
    """Another request of the same kind, which fits the contract and the caller's scope just as well; None where there is but one."""
    if isinstance(request, (Act, identity.Activate, notifier.ReportBounce)):
        return request.model_copy(update={"happened_on": date(2015, 8, 17) if request.happened_on is None else None})
    match request:
        case operations.Nothing():
            return None
        case identity.ProposeReissue():
            return request.model_copy(update={"people": request.people[:1]})
        case identity.ConfirmReissue():
            return request.model_copy(update={"proposal": "r-another"})
        case identity.ChangePassword():
            return request.model_copy(update={"login": "1000000009"})
        case identity.ActivateLink():
            return request.model_copy(update={"token": f"{request.token}x"})
        case roster.OpenSchool():
            return request.model_copy(update={"name": "Другая школа"})
        case consent.Invalidate() | consent.InvalidateDecisions():
            return request.model_copy(update={"reason": InvalidationReason.FORGED})
        case erasure.OrderErasure():
            return request.model_copy(update={"reference": "2-2/2015"})
        case AnnulEntry():
            return request.model_copy(update={"reason": AnnulmentReason.DUPLICATE})
        case plan.AdoptPlan():
            return request.model_copy(update={"week": 6})
        case plan.Recount():
            return request.model_copy(update={"school": "school-8"})
        case plan.WaiveStep() | plan.ExtendDeadline() | plan.RevokeWaiver():
            return request.model_copy(update={"step": 20})
        case plan.OverrideCalendar():
            return request.model_copy(update={"off": (*request.off, date(2015, 9, 8))})
        case plan.ScheduleTraining():
            return request.model_copy(update={"day": date(2015, 9, 30)})
        case plan.CancelTraining() | plan.RecordAttendance():
            return request.model_copy(update={"session": "another"})
        case _:
            raise AssertionError(f"how is a {type(request).__name__} changed?")


def _without_secrets(value: Any) -> Any:
    """A reply as it may be told again: every field that is told once is empty."""
    if isinstance(value, tuple):
        return tuple(_without_secrets(part) for part in value)  # pyright: ignore[reportUnknownVariableType] -- whatever its parts are
    if not isinstance(value, BaseModel):
        return value
    changes: dict[str, Any] = {}
    for name, about in type(value).model_fields.items():
        changes[name] = None if about.json_schema_extra == {"secret": True} else _without_secrets(getattr(value, name))
    return value.model_copy(update=changes)
