"""Who is told what on which day, of a plan that starts on Monday 17.08.2015: tables written by hand, held against all of it."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from contracts import consent, operations, plan, roster
from contracts.consent import Decision, SubjectKind
from contracts.notifier import OUTBOX, PREVIEW, OutboxQuery, OutboxRow, PreviewQuery
from contracts.roster import PersonName, Position
from tests.conftest import instance
from vekha.client import Client

SCHOOL = "school-7"
DIRECTOR, COORDINATOR, MUNICIPALITY, MINISTRY = "director", "coordinator", "municipality", "ministry"

Told = dict[str, dict[str, list[str]]]
"""By day, by whom: what, with the working days before (`18 in 3`) or after (`18 +1`), or as a word."""

NOTHING_IS_DONE: Told = {
    "18.08": {DIRECTOR: ["4 today", "6 today", "2 in 5"]},
    "19.08": {DIRECTOR: ["4 +1", "6 +1"]},
    "21.08": {MUNICIPALITY: ["4", "6"]},
    "24.08": {DIRECTOR: ["2 in 1"]},
    "25.08": {DIRECTOR: ["2 today"]},
    "26.08": {DIRECTOR: ["2 +1"]},
    "28.08": {MUNICIPALITY: ["2"]},
    "31.08": {MINISTRY: ["4", "6"]},
    "07.09": {MINISTRY: ["2"]},
    "08.09": {DIRECTOR: ["3 in 5", "5 in 5", "21 in 5"]},
    "14.09": {DIRECTOR: ["3 in 1", "5 in 1", "21 in 1"]},
    "15.09": {DIRECTOR: ["3 today", "5 today", "21 today"]},
    "16.09": {DIRECTOR: ["3 +1", "5 +1", "21 +1"]},
    "18.09": {MUNICIPALITY: ["3", "5", "21"]},
    "28.09": {MINISTRY: ["3", "5", "21"]},
}

SOME_IS_DONE: Told = {
    "18.08": {DIRECTOR: ["4 today", "6 today", "2 in 5"]},
    "19.08": {DIRECTOR: ["4 +1", "6 done"]},
    "20.08": {DIRECTOR: ["4 done"], COORDINATOR: ["7 today"]},
    "21.08": {DIRECTOR: ["7 +1"], COORDINATOR: ["7 +1", "8 in 3"]},
    "24.08": {DIRECTOR: ["2 in 1"]},
    "25.08": {DIRECTOR: ["2 today", "8 done"], MUNICIPALITY: ["7"]},
    "26.08": {DIRECTOR: ["2 +1"]},
    "27.08": {DIRECTOR: ["8 open again"]},
    "28.08": {MUNICIPALITY: ["2"]},
    "31.08": {MINISTRY: ["7"]},
    "07.09": {MINISTRY: ["2"]},
    "08.09": {DIRECTOR: ["3 in 5", "5 in 5"], COORDINATOR: ["21 in 5"]},
    "14.09": {DIRECTOR: ["3 in 1", "5 in 1"], COORDINATOR: ["21 in 1"]},
}
"""Step 6 is done on 18.08, a coordinator is appointed on 19.08, all staff have decided on 24.08, and somebody is hired on 26.08."""


async def _open(client: Client) -> dict[str, str]:
    """A school whose director is the only one on its staff; who is who."""
    await client.ask(roster.OPEN_SCHOOL, roster.OpenSchool(school=SCHOOL, name="Школа № 7", municipality="mytishchi"))
    director = await _hire(client, Position.DIRECTOR)
    await client.ask(plan.ADOPT_PLAN, plan.AdoptPlan(school=SCHOOL, start=date(2015, 8, 17)), up_to_date=True)
    return {director: DIRECTOR, "mytishchi": MUNICIPALITY, "ministry": MINISTRY}


async def _hire(client: Client, position: Position) -> str:
    details = PersonName(last_name="Сотрудников", first_name="Имя")
    hiring = roster.HireStaff(school=SCHOOL, details=details, position=position, hired_on=date(2010, 9, 1))
    return (await client.ask(roster.HIRE_STAFF, hiring)).reply.person


async def _until(client: Client, day: date, time: str = "12:00") -> None:
    await client.ask(operations.SET_CLOCK, operations.SetClock(to=f"{day}T{time}:00+03:00"), timeout_s=60.0)


async def _outbox(client: Client) -> list[OutboxRow]:
    found: list[OutboxRow] = []
    for school in (SCHOOL, None):
        found += (await client.ask(OUTBOX, OutboxQuery(school=school, limit=500))).reply.messages
    return found


async def _told(client: Client, who: dict[str, str]) -> Told:
    rows = sorted(await _outbox(client), key=lambda row: row.day)
    assert len({(row.recipient, row.day) for row in rows}) == len(rows)
    result: Told = {}
    for row in rows:
        told = [words(one.kind, one.step, one.working_days) for one in row.notices] or [str(one.step) for one in row.overdue]
        result.setdefault(f"{row.day:%d.%m}", {})[who[row.recipient]] = told
    return result


def words(kind: str, step: int, working_days: int | None) -> str:
    match kind:
        case "deadline-approaching":
            return f"{step} today" if working_days == 0 else f"{step} in {working_days}"
        case "step-overdue":
            return f"{step} +{working_days}"
        case "step-completed":
            return f"{step} done"
        case _:
            return f"{step} open again"


async def test_a_school_that_does_nothing_is_told_of_its_dates_and_so_are_those_above_it(tmp_path: Path) -> None:
    async with instance(tmp_path / "data") as client:
        who = await _open(client)
        await _until(client, date(2015, 10, 2))
        assert await _told(client, who) == NOTHING_IS_DONE


async def test_a_school_that_does_some_of_it_is_told_what_is_left_and_what_was_done(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with instance(data) as client:
        who = await _open(client)
        await _until(client, date(2015, 8, 18))
        await client.ask(plan.REGISTER_ORDER, plan.RegisterOrder(school=SCHOOL))
        await _until(client, date(2015, 8, 19))
        coordinator = await _hire(client, Position.TEACHER)
        who[coordinator] = COORDINATOR
        await client.ask(roster.APPOINT_COORDINATOR, roster.StaffAct(school=SCHOOL, person=coordinator))
    async with instance(data) as client:  # a restart in the middle changes nothing
        await _until(client, date(2015, 8, 24))
        for person, role in who.items():
            if role in (DIRECTOR, COORDINATOR):
                decision = Decision(granted=role == DIRECTOR, person=person, subject_kind=SubjectKind.STAFF)
                await client.ask(consent.RECORD_DECISION, consent.RecordDecision(school=SCHOOL, decision=decision), up_to_date=True)
        await _until(client, date(2015, 8, 26))
        await _hire(client, Position.OTHER)
        await _until(client, date(2015, 9, 14))
        assert await _told(client, who) == SOME_IS_DONE


async def test_a_preview_says_what_will_be_told_if_nothing_more_is_done(tmp_path: Path) -> None:
    async with instance(tmp_path / "data") as client:
        who = await _open(client)
        foreseen: Told = {}
        for days in (0, 22):
            await _until(client, date(2015, 8, 17) + timedelta(days=days), "23:00")
            for row in (await client.ask(PREVIEW, PreviewQuery(school=SCHOOL, days=22))).reply.messages:
                told = [words(one.kind, one.step, one.working_days) for one in row.notices]
                if row.template != "daily":
                    told = [words.split()[0] for words in told]
                foreseen.setdefault(f"{row.day:%d.%m}", {})[who[row.recipient]] = told
        shown = {day: told for day, told in NOTHING_IS_DONE.items() if day != "28.09"}
        assert {day: foreseen[day] for day in shown} == shown


async def test_a_plan_that_is_adopted_late_reminds_nobody_of_what_was_due_before(tmp_path: Path) -> None:
    async with instance(tmp_path / "data") as client:
        await _until(client, date(2015, 9, 7))
        who = await _open(client)
        await _until(client, date(2015, 9, 30))
        later = ("08.09", "14.09", "15.09", "16.09", "18.09", "28.09")
        assert await _told(client, who) == {day: NOTHING_IS_DONE[day] for day in later}
