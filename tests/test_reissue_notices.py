"""Whose codes are replaced in bulk hears of it by a letter of their own: through identity and notifier, over SMTP (DOMAIN 5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import date
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from contracts import consent, identity, notifier, roster
from contracts.consent import Decision, SubjectKind
from contracts.roster import PersonName, Position
from notifier.testing import PostOffice, post_office
from tests.conftest import instance
from tests.school import SCHOOL
from vekha.client import Client
from vekha.failures import Failure

_DIRECTOR, _ADMINISTRATOR = f"director:{SCHOOL}", f"administrator:{SCHOOL}"
_STAFF = 7  # one call replaces five at most


@dataclass
class Town:
    """A school whose staff have codes, and addresses but for the last of them."""

    data: Path
    client: Client
    office: PostOffice
    people: list[str]
    codes: set[str]

    async def issue(self, proposal: str | None, command_id: str | None = None) -> set[str]:
        """Replaces everybody's code; answers the new ones."""
        request = identity.IssueCredentials(school=SCHOOL, people=tuple(self.people), reissue=True, proposal=proposal)
        asked = self.client.ask(identity.ISSUE_CREDENTIALS, request, as_=_ADMINISTRATOR, command_id=command_id, up_to_date=True)
        answer = (await asked).reply
        return {one.code for one in answer.credentials if one.code}

    async def proposed(self) -> str:
        request = identity.ProposeReissue(school=SCHOOL, people=tuple(self.people))
        proposal = (await self.client.ask(identity.PROPOSE_REISSUE, request, as_=_ADMINISTRATOR, up_to_date=True)).reply.proposal
        confirming = identity.ConfirmReissue(school=SCHOOL, proposal=proposal)
        await self.client.ask(identity.CONFIRM_REISSUE, confirming, as_=_DIRECTOR, up_to_date=True)
        return proposal

    async def notices(self) -> list[notifier.OutboxRow]:
        rows = (await self.client.ask(notifier.OUTBOX, notifier.OutboxQuery(school=SCHOOL), up_to_date=True)).reply.messages
        return [row for row in reversed(rows) if row.template == "reissue-notice"]

    async def told(self, notices: int) -> list[notifier.OutboxRow]:
        """The notices, once there are so many and none waits any more; in vain it is ended from outside."""
        while True:
            rows = await self.notices()
            if len(rows) >= notices and not any(row.state in ("queued", "ambiguous") for row in rows):
                return rows
            await asyncio.sleep(0.02)


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Town]:
    async with post_office() as office:
        monkeypatch.setenv("VEKHA_SMTP_URL", office.url)
        monkeypatch.setenv("VEKHA_MAIL_FROM", "vekha@example.org")
        async with instance(tmp_path / "data") as client:
            await client.ask(roster.OPEN_SCHOOL, roster.OpenSchool(school=SCHOOL, name="Школа «Росток»", municipality="mytishchi"))
            town = Town(tmp_path / "data", client, office, [await _hired(client, number) for number in range(1, _STAFF + 1)], set())
            decisions = tuple(Decision(granted=True, person=person, subject_kind=SubjectKind.STAFF) for person in town.people)
            await client.ask(consent.RECORD_DECISIONS, consent.RecordDecisions(school=SCHOOL, decisions=decisions), up_to_date=True)
            first = identity.IssueCredentials(school=SCHOOL, people=tuple(town.people))
            issued = (await client.ask(identity.ISSUE_CREDENTIALS, first, as_=_ADMINISTRATOR, up_to_date=True)).reply.credentials
            town.codes = {one.code for one in issued if one.code}
            assert len(town.codes) == _STAFF
            yield town


async def _hired(client: Client, number: int) -> str:
    email = f"owner-{number}@example.org" if number < _STAFF else ""
    details = PersonName(last_name="Щукина", first_name="Ольга", email=email)
    hiring = roster.HireStaff(school=SCHOOL, details=details, position=Position.TEACHER, hired_on=date(2010, 9, 1))
    return (await client.ask(roster.HIRE_STAFF, hiring)).reply.person


async def test_a_bulk_reissue_tells_each_owner_alone_and_holds_neither_code_nor_login_nor_name(town: Town) -> None:
    with pytest.raises(Failure) as refused:
        await town.issue(None)
    assert refused.value.code == "reissue.needs-second"
    proposal = await town.proposed()
    assert await town.notices() == []  # nothing is replaced by two people's word alone
    new = await town.issue(proposal)
    assert len(new) == _STAFF
    assert not new & town.codes
    rows = await town.told(_STAFF)
    assert {row.recipient: row.state for row in rows} == {
        **dict.fromkeys(town.people[:-1], "accepted"),
        town.people[-1]: "unaddressed",
    }
    assert sorted(recipients for recipients, _ in town.office.mails) == [[f"owner-{number}@example.org"] for number in range(1, _STAFF)]
    for _, content in town.office.mails:
        mail: Any = message_from_bytes(content, policy=policy.default)
        assert mail["Subject"] == "Ваш код для входа заменён / Your code was replaced"
        for kind in ("plain", "html"):
            text = mail.get_body(preferencelist=(kind,)).get_content()
            assert "Школа «Росток»: ваш временный пароль" in text
            assert "The old one opens nothing any more." in text
            assert not [secret for secret in (*new, *town.codes, "Щукина", SCHOOL, "http") if secret in text]


async def test_what_was_said_twice_tells_nobody_twice_and_the_next_proposal_tells_them_again(town: Town) -> None:
    proposal = await town.proposed()
    await town.issue(proposal, "reissue-1")
    await town.told(_STAFF)
    assert await town.issue(proposal, "reissue-1") == set()  # done already, and secrets are told once
    with pytest.raises(Failure) as refused:
        await town.issue(proposal)
    assert refused.value.code == "reissue.not-proposed"
    assert len(await town.told(_STAFF)) == _STAFF
    await town.issue(await town.proposed())
    assert len(await town.told(2 * _STAFF)) == 2 * _STAFF
    assert len(town.office.mails) == 2 * (_STAFF - 1)


async def test_a_few_codes_that_one_person_replaces_are_told_to_nobody(town: Town) -> None:
    request = identity.IssueCredentials(school=SCHOOL, people=(town.people[0],), reissue=True)
    assert (await town.client.ask(identity.ISSUE_CREDENTIALS, request, as_=_ADMINISTRATOR, up_to_date=True)).reply.credentials[0].code
    assert await town.notices() == []


async def test_an_address_that_the_mail_server_refuses_stops_no_other_notice(town: Town) -> None:
    town.office.unknown.add("owner-1@example.org")
    await town.issue(await town.proposed())
    states = {row.recipient: row.state for row in await town.told(_STAFF)}
    assert states == {
        town.people[0]: "bounced",
        **dict.fromkeys(town.people[1:-1], "accepted"),
        town.people[-1]: "unaddressed",
    }
