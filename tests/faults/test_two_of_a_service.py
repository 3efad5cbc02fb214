"""A second process of a service beside the first: two readers of each stream, two writers of the same rows, two relays of one log."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from datetime import date
from email import message_from_bytes
from pathlib import Path
from random import Random

import pytest

from contracts import consent, identity, notifier, roster
from contracts.consent import Decision, SubjectKind
from contracts.notifier import MessageAccepted
from contracts.roster import PersonName, Position
from eventkit.testing_servers import PostgresServer
from notifier.testing import PostOffice, post_office
from roster.files import read_roster
from tests import record
from tests.apart import Apart, running_apart
from tests.load import Load, check_running
from tests.school import SCHOOL
from tests.survival import Survival, answered, begin_import, frozen, import_finished
from vekha.client import Client
from vekha.story import samples

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

_UNANSWERED = {"call.outcome-unknown", "service.unreachable", "reader.not-caught-up"}


@pytest.mark.fault("a second process of a service beside the first, which is frozen, wakes up, and is killed")
@pytest.mark.parametrize("service", ["plan", "notifier", "roster"])
async def test_two_processes_of_a_service_fold_nothing_twice_whichever_of_them_is_frozen_or_killed(
    apart: Apart, survival: Survival, service: str
) -> None:
    """The first is the zombie: it is frozen with whatever it has in its hands, and goes on when the second has done all of it."""
    random = Random(service)
    first = apart.processes[service]

    async def fault(load: Load) -> None:
        await answered(load, 20)
        apart.processes[service] = apart.start(service)
        while apart.log(service).read_text().count("service.started") < 2:  # noqa: ASYNC110 -- another process writes it
            await asyncio.sleep(0.05)
        for _ in range(2):
            await answered(load, random.randint(20, 60))
            with frozen(first.pid):
                await asyncio.sleep(random.uniform(0.5, 2.0))
        await answered(load, random.randint(20, 60))
        first.kill()
        first.wait()
        await answered(load, 30)

    async with apart.client() as client:
        load = await Load.on(client, tolerated=_UNANSWERED)
        await load.run_until(client, asyncio.create_task(fault(load)))
        await apart.ready(client)
        await load.repeat(client)
        await check_running(client, apart)
        survival.count(load, apart)
        await apart.verified(client)
    apart.end()
    survival.check_stopped(apart)


@pytest.mark.fault("a second process of a service takes up an import in whose middle the first was frozen, which goes on later")
@pytest.mark.parametrize("seed", range(3))
async def test_two_processes_that_carry_out_one_import_enter_each_row_once(tmp_path: Path, own_postgres: PostgresServer, seed: int) -> None:
    clock = {"VEKHA_MANUAL_CLOCK": "2015-08-24T10:00:00+03:00"}
    async with running_apart(tmp_path, own_postgres, clock) as apart, apart.client() as client:
        await client.ask(roster.OPEN_SCHOOL, roster.OpenSchool(school=SCHOOL, name="Школа", municipality="mytishchi"))
        assert (await import_finished(client, await begin_import(client, "school-classes.xlsx"))).state == "done"
        first = apart.processes["roster"]
        job = await begin_import(client, "school-pupils.xlsx")
        await asyncio.sleep((0.05, 0.4, 1.5)[seed])  # as it reads the file, as it has families decided on, as it enters people
        with frozen(first.pid):
            apart.processes["roster"] = apart.start("roster")
            done = await import_finished(client, job, _UNANSWERED)
        await asyncio.sleep(2.0)  # it goes on with what it had in its hands
        first.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(first.wait, 30) == 0
        assert (done.state, done.created, done.rejected) == ("done", len(read_roster(samples() / "school-pupils.xlsx").pupils), ())
        assert (await import_finished(client, job)) == done
        assert (await client.ask(roster.SCHOOL, roster.SchoolQuery(school=SCHOOL))).reply.pupils == done.created
        await apart.verified(client)
        told = Counter(event.type for event in record.events(record.logs(apart)["roster"]))
        assert (told[roster.RosterImportCompleted.type], told[roster.PupilEnrolled.type]) == (2, done.created)
        apart.end()


_LETTERS = 40


@pytest.mark.fault("a second notifier beside the first, of which now the one and now the other is frozen, with mail to be sent")
async def test_two_notifiers_send_each_mail_once(tmp_path: Path, own_postgres: PostgresServer) -> None:
    async with post_office() as office:
        office.slowness_s = 0.1  # who sends is met in the middle of it
        async with running_apart(tmp_path, own_postgres, _mailing(office)) as apart, apart.client() as client:
            people = await _with_addresses(client, _LETTERS)
            first, second = apart.processes["notifier"], apart.start("notifier")
            try:
                await _two_started(apart)
                for number, alone in enumerate((second, first)):
                    other = first if alone is second else second
                    with frozen(other.pid):  # with nothing in its hands, as all is sent
                        await _mail(client, people[10 * number : 10 * number + 10])
                        await _taken(office, 10 * number + 10)
                    await _accepted(client, 10 * number + 10)
                for at in range(20, _LETTERS, 5):
                    await _mail(client, people[at : at + 5])
                for stopped in (first, second):
                    with frozen(stopped.pid):
                        await asyncio.sleep(2.0)  # less than a letter is waited for that is on its way
                await _accepted(client, _LETTERS)
            finally:
                second.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(second.wait, 30) == 0
            await apart.verified(client)
            apart.end()
        recipients = Counter(recipient for recipients, _ in office.mails for recipient in recipients)
        assert recipients == {f"person-{number}@example.org": 1 for number in range(_LETTERS)}
        assert len({message_from_bytes(content)["Message-ID"] for _, content in office.mails}) == _LETTERS
        told_of = Counter(event.type for event in record.events(record.logs(apart)["notifier"]))
        assert told_of[MessageAccepted.type] == _LETTERS


@pytest.mark.fault("a second notifier beside the first, frozen with a link in its hands")
async def test_a_link_in_the_hands_of_a_frozen_notifier_is_sent_when_it_goes_on_and_the_other_sends_the_rest(
    tmp_path: Path, own_postgres: PostgresServer
) -> None:
    async with post_office() as office:
        async with running_apart(tmp_path, own_postgres, _mailing(office)) as apart, apart.client() as client:
            people = await _with_addresses(client, 4)
            first, second = apart.processes["notifier"], apart.start("notifier", {"VEKHA_FAULT": "mail.link-taken:1:STOP"})
            try:
                await _two_started(apart)
                with frozen(first.pid):
                    await _mail(client, people[:3])
                    async with asyncio.timeout(60):
                        while not _is_frozen(second.pid):  # noqa: ASYNC110 -- another process comes to the point
                            await asyncio.sleep(0.05)
                await _mail(client, people[3:])  # which wakes the first
                await _taken(office, 3)
                second.send_signal(signal.SIGCONT)
                await _accepted(client, 4)
            finally:
                second.send_signal(signal.SIGCONT)
                second.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(second.wait, 30) == 0
            await apart.verified(client)
            apart.end()
        recipients = Counter(recipient for recipients, _ in office.mails for recipient in recipients)
        assert recipients == {f"person-{number}@example.org": 1 for number in range(4)}


def _mailing(office: PostOffice) -> dict[str, str]:
    """The settings of services of which one sends mail to this office."""
    return {
        "VEKHA_SMTP_URL": office.url,
        "VEKHA_MAIL_FROM": "vekha@example.org",
        "VEKHA_ACTIVATION_PAGE": "https://portal.example/activate",
        "VEKHA_MANUAL_CLOCK": "",
    }


async def _two_started(apart: Apart) -> None:
    while apart.log("notifier").read_text().count("service.started") < 2:  # noqa: ASYNC110 -- another process writes it
        await asyncio.sleep(0.05)


def _is_frozen(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    return state == "T"


async def _with_addresses(client: Client, letters: int) -> tuple[str, ...]:
    """A school of so many people who may each be sent a link."""
    await client.ask(roster.OPEN_SCHOOL, roster.OpenSchool(school=SCHOOL, name="Школа", municipality="mytishchi"))
    people: list[str] = []
    for number in range(letters):
        details = PersonName(last_name="Щукина", first_name="Ольга", email=f"person-{number}@example.org")
        hiring = roster.HireStaff(school=SCHOOL, details=details, position=Position.TEACHER, hired_on=date(2010, 9, 1))
        people.append((await client.ask(roster.HIRE_STAFF, hiring)).reply.person)
    decisions = tuple(Decision(granted=True, person=person, subject_kind=SubjectKind.STAFF) for person in people)
    await client.ask(consent.RECORD_DECISIONS, consent.RecordDecisions(school=SCHOOL, decisions=decisions), up_to_date=True)
    return tuple(people)


async def _mail(client: Client, people: tuple[str, ...]) -> None:
    told = (await client.ask(identity.MAIL_LINKS, identity.MailLinks(school=SCHOOL, people=people))).reply
    assert (told.prepared, told.refused) == (people, {})


async def _taken(office: PostOffice, mails: int) -> None:
    """Returns when the office has taken so many."""
    async with asyncio.timeout(120):
        while len(office.mails) < mails:  # noqa: ASYNC110 -- another process sends them
            await asyncio.sleep(0.05)


async def _accepted(client: Client, mails: int) -> None:
    """Returns when so many were accepted, and nothing else is known of any."""
    async with asyncio.timeout(120):
        while True:
            rows = (await client.ask(notifier.OUTBOX, notifier.OutboxQuery(school=SCHOOL))).reply.messages
            if len(rows) == mails and {row.state for row in rows} == {"accepted"}:
                return
            await asyncio.sleep(0.2)
