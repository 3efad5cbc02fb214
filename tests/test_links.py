"""Links by e-mail through the whole system, over SMTP: step 18 is done once they are on their way, and undone by mail that comes back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import date
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from contracts import consent, identity, notifier, operations, plan, roster
from contracts.consent import Decision, SubjectKind
from contracts.plan import EXPLAIN, STATUS, ExplainRequest, StatusRequest
from contracts.roster import PersonName, Position
from notifier.testing import PostOffice, post_office
from tests.conftest import instance
from tests.school import SCHOOL
from vekha.client import Client
from vekha.returned import returned

_LINK = re.compile(r"https://portal\.example/activate#(\S+)")


@dataclass
class Town:
    """A school with a director and a teacher, both with an address and a consent: for step 18 that is everybody."""

    client: Client
    office: PostOffice
    people: list[str]

    async def mail(self, *people: str, reissue: bool = False) -> identity.MailedLinks:
        request = identity.MailLinks(school=SCHOOL, people=people, reissue=reissue)
        return (await self.client.ask(identity.MAIL_LINKS, request, as_=f"administrator:{SCHOOL}", up_to_date=True)).reply

    def mails(self) -> dict[str, Any]:
        """The mails by whom they went to."""
        return {recipients[0]: message_from_bytes(content, policy=policy.default) for recipients, content in self.office.mails}

    async def become(self, *states: str) -> None:
        """Waits until the messages with links are in these states, in the order of queueing; in vain it is ended from outside."""
        while True:
            rows = (await self.client.ask(notifier.OUTBOX, notifier.OutboxQuery(school=SCHOOL))).reply.messages
            if [row.state for row in reversed(rows) if row.template == "activation-link"] == list(states):
                return
            await asyncio.sleep(0.02)

    async def board(self) -> tuple[str, int, int]:
        """Step 18 at the end of today: its state, and of how many people how many have received something."""
        await self.client.ask(operations.ADVANCE_CLOCK, operations.AdvanceClock(minutes=1))  # which waits until all is read
        steps: Any = (await self.client.ask(STATUS, StatusRequest(school=SCHOOL), up_to_date=True)).reply.steps
        (row,) = [row for row in steps if row.step == 18]
        return row.state, row.done, row.total

    async def tomorrow(self) -> None:
        await self.client.ask(operations.ADVANCE_CLOCK, operations.AdvanceClock(days=1), timeout_s=60.0)


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Town]:
    async with post_office() as office:
        monkeypatch.setenv("VEKHA_SMTP_URL", office.url)
        monkeypatch.setenv("VEKHA_MAIL_FROM", "vekha@example.org")
        async with instance(tmp_path / "data") as client:
            yield Town(client, office, await _people(client))


async def _people(client: Client) -> list[str]:
    await client.ask(roster.OPEN_SCHOOL, roster.OpenSchool(school=SCHOOL, name="Школа «Росток»", municipality="mytishchi"))
    people: list[str] = []
    for position in (Position.DIRECTOR, Position.TEACHER):
        details = PersonName(last_name="Щукина", first_name="Ольга", email=f"{position}@example.org")
        hiring = roster.HireStaff(school=SCHOOL, details=details, position=position, hired_on=date(2010, 9, 1))
        people.append((await client.ask(roster.HIRE_STAFF, hiring)).reply.person)
    await client.ask(plan.ADOPT_PLAN, plan.AdoptPlan(school=SCHOOL, start=date(2015, 8, 17)), up_to_date=True)
    decisions = tuple(Decision(granted=True, person=person, subject_kind=SubjectKind.STAFF) for person in people)
    await client.ask(consent.RECORD_DECISIONS, consent.RecordDecisions(school=SCHOOL, decisions=decisions), up_to_date=True)
    return people


def _report(message_id: str) -> bytes:
    """What the postmaster of a mailbox that is gone sends back."""
    return (
        "MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
        "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\nAction: failed\nStatus: 5.1.1\n"
        f"Diagnostic-Code: smtp; 550 5.1.1 gone\n\n--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: {message_id}\n\n--b--\n"
    ).encode()


async def test_a_mail_that_comes_back_undoes_step_18_and_explain_names_whose_and_another_way_does_it_again(town: Town) -> None:
    director, teacher = town.people
    assert (await town.mail(director, teacher)).prepared == (director, teacher)
    await town.become("accepted", "accepted")
    mails = town.mails()
    assert set(mails) == {"director@example.org", "teacher@example.org"}
    assert await town.board() == ("done", 2, 2)

    await town.tomorrow()
    back = returned(_report(mails["teacher@example.org"]["Message-ID"]))
    assert back is not None
    await town.client.ask(notifier.REPORT_BOUNCE, notifier.ReportBounce(message=back.message, status=back.status))
    assert await town.board() == ("reopened", 1, 2)
    explained = (await town.client.ask(EXPLAIN, ExplainRequest(school=SCHOOL, step=18), up_to_date=True)).reply
    assert [*explained.missing] == [teacher]
    counted = {event.type for event in explained.events}
    assert {"identity.credentials-dispatched.v1", "identity.credentials-revoked.v1", "notifier.message-bounced.v1"} <= counted

    await town.tomorrow()
    issuing = identity.IssueCredentials(school=SCHOOL, people=(teacher,))  # without `reissue`: nothing is out any more
    assert (await town.client.ask(identity.ISSUE_CREDENTIALS, issuing, up_to_date=True)).reply.credentials[0].code
    handing = identity.HandOver(school=SCHOOL, people=(teacher,))
    assert (await town.client.ask(identity.HAND_OVER, handing, up_to_date=True)).reply.handed_over == 1
    assert await town.board() == ("done", 2, 2)


async def test_the_link_in_a_mail_opens_its_owners_account_and_step_19_counts_it(town: Town) -> None:
    _, teacher = town.people
    await town.mail(teacher)
    await town.become("accepted")
    ((_, mail),) = town.mails().items()
    found = _LINK.search(mail.get_body(preferencelist=("plain",)).get_content())
    assert found
    activated = (await town.client.ask(identity.ACTIVATE_LINK, identity.ActivateLink(token=found[1]))).reply
    assert activated.person == teacher
    card = (await town.client.ask(identity.ACCOUNT, identity.AccountQuery(school=SCHOOL, person=teacher))).reply
    assert card.state == "activated"


async def test_an_address_that_the_mail_server_refuses_at_once_leaves_step_18_undone_and_the_person_free_for_another_way(
    town: Town,
) -> None:
    director, teacher = town.people
    town.office.unknown.add("teacher@example.org")
    await town.mail(director, teacher)
    await town.become("accepted", "bounced")
    assert (await town.board())[1:] == (1, 2)
    town.office.unknown.clear()
    assert (await town.mail(teacher)).prepared == (teacher,)
    await town.become("accepted", "bounced", "accepted")
    assert await town.board() == ("done", 2, 2)
