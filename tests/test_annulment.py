"""What was mistyped is annulled: its effects are gone from board, timeline and announcements, and whoever read it takes it back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from contracts import erasure, identity, operations, plan, roster
from contracts.call import AnnulEntry
from contracts.event import AnnulmentReason
from contracts.plan import EXPLAIN, STATUS, ExplainRequest, StatusRequest, StepRow
from tests import record, school
from tests.conftest import Lived, instance
from tests.school import SCHOOL, School, annul_last, last_entry
from vekha.client import Client
from vekha.failures import Failure

DIRECTOR, ADMINISTRATOR = f"director:{SCHOOL}", f"administrator:{SCHOOL}"


class Here(School):
    """The small school on its first day, and what can be seen of it."""

    client: Client
    data: Path

    async def row(self, step: int, as_of: date | None = None) -> StepRow:
        board = (await self.client.ask(STATUS, StatusRequest(school=SCHOOL, as_of=as_of), up_to_date=True)).reply
        found = next(row for row in board.steps if row.step == step)
        assert isinstance(found, StepRow)
        return found

    async def missing(self, step: int) -> str:
        """One of those whom a step waits for."""
        why = (await self.client.ask(EXPLAIN, ExplainRequest(school=SCHOOL, step=step), up_to_date=True)).reply
        return why.missing[0]

    async def until(self, to: str) -> None:
        await self.client.ask(operations.SET_CLOCK, operations.SetClock(to=to), timeout_s=60.0)

    async def code_of(self, service: str, entry: AnnulEntry) -> str:
        call = {"roster": roster.ANNUL, "plan": plan.ANNUL, "identity": identity.ANNUL}[service]
        with pytest.raises(Failure) as refused:
            await self.client.ask(call, entry)
        return refused.value.code

    async def last(self, service: str) -> AnnulEntry:
        newest = await last_entry(self, service)
        return AnnulEntry(school=SCHOOL, position=newest.position, event=newest.id, reason=AnnulmentReason.MISTYPED)


@pytest.fixture
async def here(lived: Lived, tmp_path: Path) -> AsyncIterator[Here]:
    data = lived.copy(tmp_path / "data", of_first_day=True)
    async with instance(data) as client:
        found = Here(client.ask)
        found.client, found.data = client, data
        yield found


async def test_an_attestation_that_never_was_is_taken_back_and_its_announcement_corrected(here: Here) -> None:
    await here.act(roster.DECLARE_WORKPLACES, roster.DeclareWorkplaces(school=SCHOOL, online=8, total=10), DIRECTOR)
    await here.act(plan.ATTEST_STEP, plan.AttestStep(school=SCHOOL, step=5), DIRECTOR)
    attested = await here.last("plan")
    await here.until("2015-08-18T12:00:00+03:00")
    assert (await here.row(5)).state == "done"
    await here.act(plan.ANNUL, attested, DIRECTOR)
    assert (await here.row(5, date(2015, 8, 17))).state == "not_started"
    await here.until("2015-08-20T12:00:00+03:00")
    announced = [event for event in record.events(record.logs(here.data)["plan"]) if event.type.startswith("plan.announcement")]
    assert [event.facts()[1]["step"] for event in announced] == [5]


async def test_a_coordinator_who_was_never_appointed_has_no_access_without_a_decision(here: Here) -> None:
    undecided = await here.missing(8)
    await here.act(roster.APPOINT_COORDINATOR, roster.StaffAct(school=SCHOOL, person=undecided), DIRECTOR)
    before = await school.issue(here, [undecided])
    await annul_last(here, roster.ANNUL, "roster", DIRECTOR)
    again = identity.IssueCredentials(school=SCHOOL, people=(undecided,), reissue=True)
    refused = (await here.act(identity.ISSUE_CREDENTIALS, again, ADMINISTRATOR)).credentials[0]
    assert list(before) == [undecided]
    assert refused.refused == "consent.missing"


async def test_data_that_were_held_on_an_office_that_never_was_are_destroyed_when_the_term_is_over(here: Here) -> None:
    undecided = await here.missing(8)
    await here.act(roster.APPOINT_COORDINATOR, roster.StaffAct(school=SCHOOL, person=undecided), DIRECTOR)
    query = erasure.ErasureQuery(school=SCHOOL, person=undecided)
    assert (await here.act(erasure.ERASURE, query, DIRECTOR)).held_on is erasure.HeldOn.OFFICE
    await annul_last(here, roster.ANNUL, "roster", DIRECTOR)
    await here.until("2015-08-18T12:00:00+03:00")  # every reaction is handled by then
    found = await here.act(erasure.ERASURE, query, DIRECTOR)
    assert (found.state, found.ground, found.held_on) == ("scheduled", erasure.ErasureGround.OFFICE_ENDED, None)


async def test_nobody_who_was_dismissed_becomes_a_coordinator_again_by_an_annulment(here: Here) -> None:
    person = roster.StaffAct(school=SCHOOL, person=await here.missing(8))
    await here.act(roster.APPOINT_COORDINATOR, person, DIRECTOR)
    await here.act(roster.RELIEVE_COORDINATOR, person, DIRECTOR)
    relieved = await here.last("roster")
    await here.act(roster.DISMISS_STAFF, person, DIRECTOR)
    assert await here.code_of("roster", relieved) == "entry.rested-on"


async def test_a_mistyped_headcount_leaves_the_one_before_it_on_the_board_and_in_roster(here: Here) -> None:
    class_id = (await here.act(roster.CLASSES, roster.ClassesQuery(school=SCHOOL))).classes[0].class_id
    total = (await here.row(13)).total
    await here.act(roster.DECLARE_HEADCOUNT, roster.DeclareHeadcount(school=SCHOOL, class_id=class_id, pupils=44), DIRECTOR)
    assert (await here.row(13)).total == (total or 0) + 40
    await annul_last(here, roster.ANNUL, "roster", DIRECTOR)
    assert (await here.row(13)).total == total
    cards = (await here.act(roster.CLASSES, roster.ClassesQuery(school=SCHOOL))).classes
    assert next(card for card in cards if card.class_id == class_id).headcount == 4


async def test_a_code_that_nobody_received_opens_nothing(here: Here) -> None:
    person = await here.missing(2)
    login, code = (await school.issue(here, [person]))[person]
    await here.act(identity.HAND_OVER, identity.HandOver(school=SCHOOL, people=(person,)), ADMINISTRATOR)
    assert (await here.row(2)).done == 1
    await annul_last(here, identity.ANNUL, "identity", ADMINISTRATOR)
    assert (await here.row(2)).done == 0
    with pytest.raises(Failure, match=r"^activation\.not-handed-over"):
        await here.client.ask(identity.ACTIVATE, identity.Activate(login=login, code=code))
    await here.act(identity.HAND_OVER, identity.HandOver(school=SCHOOL, people=(person,)), ADMINISTRATOR)
    assert (await here.row(2)).done == 1


async def test_explaining_shows_what_was_annulled(here: Here) -> None:
    await here.act(plan.REGISTER_ORDER, plan.RegisterOrder(school=SCHOOL), DIRECTOR)
    await annul_last(here, plan.ANNUL, "plan", DIRECTOR)
    why = (await here.client.ask(EXPLAIN, ExplainRequest(school=SCHOOL, step=6), up_to_date=True)).reply
    assert why.row.state == "not_started"
    assert [(event.type, event.annulled) for event in why.events] == [
        ("plan.implementation-order-registered.v1", True),
        ("plan.entry-annulled.v1", False),
    ]


async def test_annulling_says_what_cannot_be_and_what_to_do_instead(here: Here) -> None:
    await here.act(plan.REGISTER_ORDER, plan.RegisterOrder(school=SCHOOL), DIRECTOR)
    registered = await here.last("plan")
    other = registered.model_copy(update={"event": "0" * 32})
    assert await here.code_of("plan", other) == "entry.unknown"
    assert await here.code_of("plan", registered.model_copy(update={"position": 999})) == "entry.unknown"
    assert await here.code_of("roster", await here.last("roster")) == "entry.not-annullable"  # a pupil's assignment
    assert await here.code_of("plan", registered.model_copy(update={"school": "school-9"})) == "school.unknown"
    await here.act(plan.ANNUL, registered, DIRECTOR)
    head = (await last_entry(here, "plan")).position
    await here.act(plan.ANNUL, registered, DIRECTOR)
    assert (await last_entry(here, "plan")).position == head
    assert await here.code_of("plan", await here.last("plan")) == "entry.not-annullable"  # an annulment
