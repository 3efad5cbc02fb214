"""A death between taking a link and sending it: nobody gets it twice, nobody can take it again, and another one is issued."""

from __future__ import annotations

import asyncio
import re
import signal
from collections import Counter
from contextlib import AbstractAsyncContextManager
from datetime import date
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from contracts import consent, identity, notifier, roster
from contracts.consent import Decision, SubjectKind
from contracts.roster import PersonName, Position
from notifier.testing import post_office
from tests import record
from tests.school import SCHOOL, START
from vekha.client import Client, Target, connected
from vekha.failures import Exit, Failure
from vekha.folder import DataFolder
from vekha.testing import running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

_STAYS_SO = 60
"""So many looks, of a twentieth of a second and more each, are longer than a letter takes."""

_LINK = re.compile(r"https://portal\.example/activate#(\S+)")


@pytest.mark.parametrize(("point", "mails"), [("mail.link-taken", 0), ("mail.before-text", 0), ("mail.after-text", 1)])
@pytest.mark.fault("kill -9 around the mailing of a link")
async def test_a_link_whose_sender_died_is_not_sent_again_and_another_one_opens_the_account(tmp_path: Path, point: str, mails: int) -> None:
    data = tmp_path / "data"
    async with post_office() as office:
        environment = {"VEKHA_SMTP_URL": office.url, "VEKHA_MAIL_FROM": "vekha@example.org"}
        with running(data, "--manual-clock", START, environment={**environment, "VEKHA_FAULT": f"{point}:1"}) as up:
            async with _client(data) as client:
                person = await _teacher(client)
                try:
                    await _mail(client, person)
                except Failure as failure:  # it may be as quick as the answer
                    if failure.exit_code != Exit.UNREACHABLE:
                        raise
                await asyncio.to_thread(up.process.wait)
            assert up.process.returncode == -signal.SIGKILL
        with running(data, environment=environment) as up:
            async with _client(data) as client:
                await _become(client, "ambiguous")
                assert len(office.mails) == mails
                assert await _account(client, person) == "issued"
                assert (await _mail(client, person)).refused == {person: "credentials.already-issued"}
                assert (await _mail(client, person, reissue=True)).prepared == (person,)
                await _become(client, "ambiguous", "accepted")
                *before, newest = [_token(content) for _, content in office.mails]
                for token in before:
                    with pytest.raises(Failure, match=r"^activation\.replaced"):
                        await client.ask(identity.ACTIVATE_LINK, identity.ActivateLink(token=token))
                assert (await client.ask(identity.ACTIVATE_LINK, identity.ActivateLink(token=newest))).reply.person == person
            assert up.end() == 0
        assert max(Counter(message_from_bytes(content)["Message-ID"] for _, content in office.mails).values()) == 1


@pytest.mark.fault("kill -9 around the mailing of a link")
@pytest.mark.parametrize("arrival", [1, 2])
@pytest.mark.parametrize("point", ["log.before-commit", "log.after-commit", "relay.after-publish", "projection.before-checkpoint"])
async def test_wherever_it_dies_a_link_that_the_server_has_taken_is_recorded_as_sent_once(tmp_path: Path, point: str, arrival: int) -> None:
    data = tmp_path / "data"
    async with post_office() as office:
        environment = {"VEKHA_SMTP_URL": office.url, "VEKHA_MAIL_FROM": "vekha@example.org"}
        with running(data, "--manual-clock", START) as up:  # without a mail server the link waits
            async with _client(data) as client:
                person = await _teacher(client)
                await _mail(client, person)
                await _become(client, "queued")
            assert up.end() == 0
        try:
            with running(data, environment={**environment, "VEKHA_FAULT": f"{point}:{arrival}"}) as up:
                async with _client(data) as client:
                    await _settle(client, person)
                up.end(signal.SIGKILL)  # where it did not come to the point
        except RuntimeError:
            pass  # it died as it started
        except Failure as failure:
            if failure.exit_code != Exit.UNREACHABLE:
                raise
        with running(data, environment=environment) as up:
            async with _client(data) as client:
                state = await _settle(client, person)
                assert await _account(client, person) == ("handed-over" if state == "accepted" else "issued")
            assert up.end() == 0
        assert len(office.mails) in {"accepted": (1,), "ambiguous": (0, 1), "lost": (0,)}[state]
    types = [event.type for event in record.events(record.logs(data)["identity"])]
    assert types.count("identity.credentials-dispatched.v1") == (state == "accepted")


async def _teacher(client: Client) -> str:
    """A school with one teacher, who has an address and has consented."""
    await client.ask(roster.OPEN_SCHOOL, roster.OpenSchool(school=SCHOOL, name="Школа", municipality="mytishchi"))
    details = PersonName(last_name="Щукина", first_name="Ольга", email="teacher@example.org")
    hiring = roster.HireStaff(school=SCHOOL, details=details, position=Position.TEACHER, hired_on=date(2010, 9, 1))
    person = (await client.ask(roster.HIRE_STAFF, hiring)).reply.person
    signed = Decision(granted=True, person=person, subject_kind=SubjectKind.STAFF)
    await client.ask(consent.RECORD_DECISION, consent.RecordDecision(school=SCHOOL, decision=signed), up_to_date=True)
    return person


async def _mail(client: Client, person: str, *, reissue: bool = False) -> identity.MailedLinks:
    request = identity.MailLinks(school=SCHOOL, people=(person,), reissue=reissue)
    return (await client.ask(identity.MAIL_LINKS, request, up_to_date=True)).reply


async def _account(client: Client, person: str) -> str:
    return (await client.ask(identity.ACCOUNT, identity.AccountQuery(school=SCHOOL, person=person))).reply.state


async def _states(client: Client) -> list[str]:
    """What became of the messages, oldest first."""
    rows = (await client.ask(notifier.OUTBOX, notifier.OutboxQuery(school=SCHOOL), up_to_date=True)).reply.messages
    return [row.state for row in reversed(rows)]


async def _become(client: Client, *states: str) -> None:
    while True:
        if await _states(client) == list(states):
            return
        await asyncio.sleep(0.05)


async def _settle(client: Client, person: str) -> str:
    """The state of the only message, once nothing more becomes of it: while it is sent, it is ambiguous as well."""
    ambiguous = 0
    while True:
        (state,) = await _states(client)
        ambiguous = ambiguous + 1 if state == "ambiguous" else 0
        if state == "lost" or ambiguous == _STAYS_SO or (state == "accepted" and await _account(client, person) == "handed-over"):
            return state
        await asyncio.sleep(0.05)


def _token(content: bytes) -> str:
    mail: Any = message_from_bytes(content, policy=policy.default)
    found = _LINK.search(mail.get_body(preferencelist=("plain",)).get_content())
    assert found
    return found[1]


def _client(data: Path) -> AbstractAsyncContextManager[Client]:
    return connected(Target(DataFolder(data)))
