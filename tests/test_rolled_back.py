"""An import that is rolled back, seen from all five services: the board, its announcements, accounts, and the same file once more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from contracts import consent, erasure, identity, operations, plan, roster
from contracts.call import Call
from contracts.plan import EXPLAIN, STATUS, ExplainRequest, StatusRequest, StepRow
from contracts.roster import ImportStatus
from roster.testing import child, csv_of, klass, member, parent, zip_of
from tests import record
from tests.conftest import instance
from tests.load import check_running, check_stopped
from tests.school import SCHOOL, P, Q, issue
from tests.school import School as Known
from vekha.client import Client
from vekha.failures import Failure
from vekha.importing import hand_in

DIRECTOR, ADMINISTRATOR = f"director:{SCHOOL}", f"administrator:{SCHOOL}"
FAMILIES = [{**child(1), **parent(1)}, {**child(2), **parent(1)}, {**child(3), **parent(1, "Р-3", "М-3")}]
WHOLE = {
    "classes": [klass(pupils="3", **{"ID классного руководителя": "17"})],
    "staff": [member("17", **{"Согласие №": "П-1", "Дата": "14.08.2015"})],
    "pupils": FAMILIES,
}


class Here:
    """A school that has adopted its plan, and nothing else yet."""

    def __init__(self, client: Client, data: Path) -> None:
        self.client = client
        self.data = data

    async def ask(self, call: Call[Q, P], request: Q, as_: str | None = None) -> P:
        return (await self.client.ask(call, request, as_=as_, up_to_date=True, timeout_s=30.0)).reply

    async def imported(self, content: bytes, name: str = "school.zip") -> ImportStatus:
        status = await hand_in(self.client, SCHOOL, name, content, on_progress=lambda done, total: None)
        assert status.rejected_rows == 0
        return status

    async def rolled_back(self, job: str) -> roster.RollBackStatus:
        request = roster.RollBackImport(school=SCHOOL, import_id=job)
        status = await self.ask(roster.ROLL_BACK_IMPORT, request, ADMINISTRATOR)
        while status.state == "running":
            await asyncio.sleep(0.05)
            status = await self.ask(roster.ROLL_BACK_IMPORT, request, ADMINISTRATOR)
        assert status.state == "done"
        return status

    async def rows(self, as_of: date | None = None) -> dict[int, StepRow]:
        board = await self.ask(STATUS, StatusRequest(school=SCHOOL, as_of=as_of))
        return {row.step: row for row in board.steps if isinstance(row, StepRow)}

    async def until(self, to: str) -> None:
        await self.client.ask(operations.SET_CLOCK, operations.SetClock(to=to), timeout_s=60.0)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Here]:
    data = tmp_path / "data"
    async with instance(data) as client:
        here = Here(client, data)
        await found(here)
        yield here


async def found(here: Here) -> None:
    await here.ask(roster.OPEN_SCHOOL, roster.OpenSchool(school=SCHOOL, name="Школа № 7", municipality="mytishchi"))
    await here.ask(plan.ADOPT_PLAN, plan.AdoptPlan(school=SCHOOL, start=date(2015, 8, 17)), DIRECTOR)


async def test_step_14_is_undone_on_every_day_and_its_explanation_names_the_cause(here: Here) -> None:
    await here.imported(zip_of(classes=WHOLE["classes"], staff=WHOLE["staff"]))
    job = (await here.imported(csv_of(FAMILIES), "pupils.csv")).job
    await here.until("2015-08-19T12:00:00+03:00")
    assert [(await here.rows())[step].state for step in (12, 14, 15)] == ["done", "done", "done"]
    await here.rolled_back(job)
    assert [(await here.rows())[step].state for step in (12, 13, 14, 15)] == ["done", "not_started", "not_started", "not_started"]
    assert (await here.rows(date(2015, 8, 17)))[14].first_completed_on is None
    why = await here.ask(EXPLAIN, ExplainRequest(school=SCHOOL, step=14))
    shown = [(event.type, event.annulled) for event in why.events]
    assert ("roster.pupil-enrolled.v1", True) in shown
    assert ("roster.entry-annulled.v1", False) in shown
    assert why.annulled_total > 0
    assert shown[-1] == ("roster.import-rolled-back.v1", False)
    await here.until("2015-08-21T12:00:00+03:00")
    corrected = [event.facts()[1]["step"] for event in record.events(record.logs(here.data)["plan"]) if "corrected" in event.type]
    assert 14 in corrected


async def test_the_same_file_once_more_ends_in_the_board_of_one_import_alone(here: Here) -> None:
    first = (await here.imported(zip_of(**WHOLE))).job
    once = await here.rows()
    assert (await here.rolled_back(first)).left_total == 0
    none = await here.rows()
    await here.imported(zip_of(**WHOLE))
    again = await here.rows()
    assert again == once
    assert {step: (row.done, row.total) for step, row in none.items() if step in (8, 12, 13, 14, 15)} == dict.fromkeys(
        (8, 12, 13, 14, 15), (0, 0)
    )


async def test_whoever_was_never_entered_has_no_account_any_more_and_nobody_can_act_as_them(here: Here) -> None:
    job = (await here.imported(zip_of(**WHOLE))).job
    known = Known(here.client.ask)
    people = [
        person
        for kind in ("staff", "pupil", "guardian")
        for person in (await here.ask(roster.PEOPLE, roster.PeopleQuery.model_validate({"school": SCHOOL, "kind": kind}))).people
    ]
    codes = await issue(known, people)
    await here.ask(identity.HAND_OVER, identity.HandOver(school=SCHOOL, people=tuple(people)), ADMINISTRATOR)
    await here.rolled_back(job)
    await here.until("2015-08-17T10:00:00+03:00")  # every reaction is handled by then
    for person in people:
        account = await here.ask(identity.ACCOUNT, identity.AccountQuery(school=SCHOOL, person=person))
        assert account.state == "blocked", person
        login, code = codes[person]
        with pytest.raises(Failure, match=r"^account\.blocked"):
            await here.client.ask(identity.ACTIVATE, identity.Activate(login=login, code=code))
        with pytest.raises(Failure, match=r"^person\.unknown"):
            await here.client.ask(STATUS, StatusRequest(school=SCHOOL), as_=f"guardian:{person}")
    blocked = [event for event in record.events(record.logs(here.data)["identity"]) if event.type == "identity.account-blocked.v1"]
    assert len(blocked) == len(people) == 6
    reissue = identity.IssueCredentials(school=SCHOOL, people=tuple(people), reissue=True)
    refused = {one.refused for one in (await here.ask(identity.ISSUE_CREDENTIALS, reissue, ADMINISTRATOR)).credentials}
    assert refused == {"person.not-entered"}


async def test_whoever_was_never_entered_is_forgotten_in_ten_days_and_who_had_decided_before_is_not(here: Here) -> None:
    await here.imported(zip_of(classes=WHOLE["classes"]), "classes.zip")
    [card] = (await here.ask(roster.CLASSES, roster.ClassesQuery(school=SCHOOL))).classes
    seat = roster.Seat(class_id=card.class_id, number=1, holder=roster.SeatHolder.PUPIL)
    decision = consent.Decision(granted=True, seat=seat, subject_kind=consent.SubjectKind.PUPIL, number=FAMILIES[0]["Согласие №"])
    decided = (await here.ask(consent.RECORD_DECISION, consent.RecordDecision(school=SCHOOL, decision=decision))).subject
    job = (await here.imported(zip_of(staff=WHOLE["staff"], pupils=FAMILIES))).job
    people = [
        person
        for kind in ("staff", "pupil", "guardian")
        for person in (await here.ask(roster.PEOPLE, roster.PeopleQuery.model_validate({"school": SCHOOL, "kind": kind}))).people
    ]
    assert decided in people
    await issue(Known(here.client.ask), people)
    await here.rolled_back(job)

    async def states() -> dict[str, erasure.ErasureState]:
        asked = [await here.ask(erasure.ERASURE, erasure.ErasureQuery(school=SCHOOL, person=person)) for person in people]
        return {state.person: state for state in asked}

    await here.until("2015-08-17T10:00:00+03:00")  # every reaction is handled by then
    for person, state in (await states()).items():
        if person == decided:
            assert (state.state, state.held_on) == ("none", erasure.HeldOn.CONSENT)
        else:
            assert (state.state, state.ground, state.due_on) == ("scheduled", erasure.ErasureGround.UNLAWFUL, date(2015, 8, 27))
    await here.until("2015-08-27T12:00:00+03:00")
    assert {person for person, state in (await states()).items() if state.state == "completed"} == {*people} - {decided}
    for person in people:
        held = (await here.ask(operations.HELD["identity"], operations.HeldQuery(school=SCHOOL, person=person))).records
        assert {record.what for record in held} == ({"account", "credential"} if person == decided else {"destruction"})


async def test_every_projection_equals_its_rebuild_after_a_roll_back(tmp_path: Path) -> None:
    async with instance(tmp_path / "data") as client:
        here = Here(client, tmp_path / "data")
        await found(here)
        job = (await here.imported(zip_of(**WHOLE))).job
        moved = {**child(1, "Сидоров"), **parent(1, **{"Степень родства": "бабушка"}), "Класс": "5Б"}
        later = (await here.imported(zip_of(classes=[klass("Б", "2")], pupils=[moved, {**child(4), "Класс": "5Б", **parent(1)}]))).job
        await here.rolled_back(later)
        live = await here.rows()
        teacher = (await here.ask(roster.CLASSES, roster.ClassesQuery(school=SCHOOL))).classes[0].teacher
        assert teacher is not None
        await here.rolled_back(job)
        await here.imported(zip_of(**WHOLE))
        assert await here.rows() == live
        await here.until("2015-08-17T10:00:00+03:00")
        await check_running(client, here.data)
    check_stopped(here.data, tmp_path)
