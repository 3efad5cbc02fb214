"""Announcements become messages, and messages become mail, on a real bus and to a real mail server."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from contracts import plan, roster
from contracts.event import Event
from contracts.notifier import OUTBOX, OutboxQuery, OutboxRow
from eventkit.answering import Caller
from eventkit.decider import Decider, Refused
from eventkit.event import Origin, Recorded, decode
from eventkit.harness import System, director, running
from eventkit.instance import Build
from eventkit.service import Service, Settings
from eventkit.store import Transaction
from notifier import sender
from notifier.app import build
from notifier.sender import MailServer

DAY = date(2015, 8, 17)
SCHOOL = "school-7"
ADDRESSES = {"p-director": "director@example.org", "p-first": "first@example.org", "p-second": "second@example.org", "p-silent": ""}

APPROACHING = plan.DeadlineApproaching(
    step=18, revision=1, day=date(2015, 9, 2), due=date(2015, 9, 7), working_days=3, reminders="default", responsible=("administrator",)
)
OVERDUE = plan.StepBecameOverdue(
    step=18, revision=1, day=date(2015, 9, 8), due=date(2015, 9, 7), working_days=1, reminders="default", responsible=("administrator",)
)
STEP_4_OVERDUE = plan.StepBecameOverdue(
    step=4, revision=1, day=date(2015, 8, 19), due=date(2015, 8, 18), working_days=1, reminders="director", responsible=("director",)
)
COMPLETED = plan.StepCompleted(step=18, revision=1, day=date(2015, 9, 7))


def _say(event: Event, state: None) -> Sequence[Event]:
    return [event]


SAYING: Decider[Event, None] = Decider("saying", None, _say, lambda state, event: None)


def a_roster(settings: Settings) -> Service:
    """Knows the addresses above, and nobody else."""
    service = Service(settings)

    @service.query(roster.PERSON)
    async def person(request: roster.PersonQuery, caller: Caller) -> roster.PersonCard:  # pyright: ignore[reportUnusedFunction] -- the service calls it
        if request.person not in ADDRESSES:
            raise Refused("person.unknown", "There is no such person.")
        details = roster.PersonName(last_name="Смирнова", first_name="Ольга", email=ADDRESSES[request.person])
        return roster.PersonCard(person=request.person, kind="staff", details=details)

    return service


@dataclass
class PostOffice:
    """A mail server. `answers` are given one after another for each text, then everything is taken."""

    port: int = 0
    mails: list[tuple[list[str], bytes]] = field(default_factory=list[tuple[list[str], bytes]])
    answers: list[str] = field(default_factory=list[str])
    asked: int = 0
    unknown: set[str] = field(default_factory=set[str])
    aborts: bool = False

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if address in self.unknown:
            return "550 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.asked += 1
        if self.answers:
            return self.answers.pop(0)
        assert isinstance(envelope.content, bytes)
        self.mails.append((list(envelope.rcpt_tos), envelope.content))
        if self.aborts:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return "250 OK"


@asynccontextmanager
async def post_office(port: int = 0) -> AsyncGenerator[PostOffice]:
    office = PostOffice()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(office, hostname="localhost"), "127.0.0.1", port)
    office.port = server.sockets[0].getsockname()[1]
    try:
        yield office
    finally:
        server.close()


def sending_to(url: str) -> Build:
    return lambda settings: build(replace(settings, smtp_url=url, mail_from="vekha@example.org"))


def builds(notifier: Build = build) -> dict[str, Build]:
    return {"roster": a_roster, "plan": Service, "notifier": notifier}


@dataclass
class Town:
    system: System

    async def say(self, service: str, *events: Event, school: str = SCHOOL) -> None:
        def work(tx: Transaction) -> None:
            for event in events:
                tx.decide(SAYING, f"{school}-{uuid.uuid4().hex}", event, school=school, happened_on=DAY)

        await self.system.instance.services[service].store.carry_out(work, Origin("operator", "told", "told"))
        await self.system.settled()

    async def open_school(self) -> None:
        await self.say(
            "roster",
            roster.SchoolOpened(school=SCHOOL, municipality="m-1", timezone="Europe/Moscow"),
            roster.StaffHired(person="p-director", position=roster.Position.DIRECTOR, hired_on=DAY),
            roster.StaffHired(person="p-first", position=roster.Position.TEACHER, hired_on=DAY),
            roster.StaffHired(person="p-second", position=roster.Position.TEACHER, hired_on=DAY),
        )

    async def announce(self, *events: Event) -> None:
        await self.say("plan", *events)

    async def outbox(self) -> list[OutboxRow]:
        """Oldest first."""
        return [*reversed((await self.system.call(OUTBOX, OutboxQuery(school=SCHOOL), as_=director(SCHOOL))).messages)]

    async def told(self) -> list[tuple[str, str, int]]:
        return [(row.recipient, row.template, row.step) for row in await self.outbox()]

    async def states(self) -> list[str]:
        return [row.state for row in await self.outbox()]

    async def become(self, *states: str) -> list[OutboxRow]:
        """The outbox as soon as its messages are in these states; a test that waits in vain is ended from outside."""
        while True:
            rows = await self.outbox()
            if [row.state for row in rows] == list(states):
                return rows
            await asyncio.sleep(0.01)

    async def recorded(self) -> list[Recorded]:
        return [decode(data) for _, _, data in await self.system.instance.services["notifier"].store.read(0, 1000)]


@asynccontextmanager
async def town(folder: Path, notifier: Build = build) -> AsyncGenerator[Town]:
    fresh = not (folder / "secrets").exists()
    async with running(folder, builds(notifier)) as system:
        here = Town(system)
        if fresh:
            await here.open_school()
        yield here


# Who is told.


async def test_the_officers_of_the_day_are_told_each_once(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.announce(APPROACHING)
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"), roster.CoordinatorAppointed(person="p-second"))
        await here.announce(OVERDUE)
        await here.say("roster", roster.CoordinatorRelieved(person="p-first"), roster.StaffDismissed(person="p-second"))
        await here.announce(plan.StepAttested(step=7, evidence_sha256=None), APPROACHING)
        assert await here.told() == [
            ("p-director", "deadline-approaching", 18),
            ("p-first", "step-overdue", 18),
            ("p-second", "step-overdue", 18),
            ("p-director", "step-overdue", 18),
            ("p-director", "deadline-approaching", 18),
        ]


async def test_an_event_that_is_reacted_to_again_queues_nothing_new(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.announce(APPROACHING)
        service = here.system.instance.services["notifier"]
        plan_service = here.system.instance.services["plan"]
        announced = decode((await plan_service.store.read(0, 1))[0][2])
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"))
        reaction = service.workers[0]._reaction  # pyright: ignore[reportPrivateUsage] -- what a crash between act and mark would do
        await reaction.react(announced)
        assert await here.told() == [("p-director", "deadline-approaching", 18)]
        queued = (await here.recorded())[0]
        assert (queued.causationid, queued.correlationid) == (announced.id, announced.correlationid)


async def test_an_announcement_waits_until_roster_says_who_holds_which_office(tmp_path: Path) -> None:
    async with running(tmp_path, {"plan": Service, "roster": a_roster}) as system:
        here = Town(system)
        await here.open_school()
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"))
        await here.announce(APPROACHING)
    # A notifier that starts anew reads the plan's stream and roster's side by side.
    async with running(tmp_path, builds()) as system:
        here = Town(system)
        await system.settled()
        assert await here.told() == [("p-first", "deadline-approaching", 18)]


async def test_the_outbox_of_an_unknown_school_is_refused(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        with pytest.raises(Refused) as refused:
            await here.system.call(OUTBOX, OutboxQuery(school="school-9"))
        assert refused.value.code == "school.unknown"


# Sending.


async def test_without_a_mail_server_messages_stay_in_the_outbox_and_go_out_once_there_is_one(tmp_path: Path) -> None:
    async with town(tmp_path) as here:
        await here.announce(APPROACHING)
        assert [(row.state, row.attempts) for row in await here.outbox()] == [("queued", 0)]
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        await here.become("accepted")
        assert [recipients for recipients, _ in office.mails] == [["director@example.org"]]


async def test_each_person_gets_a_mail_alone_and_the_outcome_is_recorded(tmp_path: Path) -> None:
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"), roster.CoordinatorAppointed(person="p-second"))
        await here.announce(OVERDUE)
        await here.become("accepted", "accepted", "accepted")
        assert [recipients for recipients, _ in office.mails] == [["first@example.org"], ["second@example.org"], ["director@example.org"]]
        types = [recorded.type for recorded in await here.recorded()]
        assert types == ["notifier.message-queued.v1"] * 3 + ["notifier.message-accepted.v1"] * 3


async def test_a_mailbox_that_does_not_exist_bounces_with_the_servers_answer_and_stops_nobody_else(tmp_path: Path) -> None:
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        office.unknown = {"first@example.org"}
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"))
        await here.announce(OVERDUE)
        await here.become("bounced", "accepted")
        bounced = next(recorded for recorded in await here.recorded() if recorded.type == "notifier.message-bounced.v1")
        assert bounced.facts()[1]["status"] == 550
        assert [recipients for recipients, _ in office.mails] == [["director@example.org"]]


async def test_what_the_server_will_not_have_now_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        office.answers = ["451 Come back later", "452 Still full"]
        await here.announce(APPROACHING)
        assert (await here.become("accepted"))[0].attempts == 3
        assert len(office.mails) == 1


async def test_a_server_that_says_later_for_too_long_has_said_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(sender, "MOST_ATTEMPTS", 2)
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        office.answers = ["451 Come back later"] * 10
        await here.announce(APPROACHING)
        await here.become("bounced")
        assert (await here.recorded())[-1].facts()[1]["status"] == 451
        assert office.asked == 2


async def test_a_mail_server_that_is_away_costs_nothing_but_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(sender, "LONGEST_DELAY_S", 0.02)
    async with post_office() as office:
        port = office.port
    async with town(tmp_path, sending_to(f"smtp://127.0.0.1:{port}")) as here:
        await here.announce(APPROACHING)
        await asyncio.sleep(0.1)
        assert [(row.state, row.attempts) for row in await here.outbox()] == [("queued", 0)]
        async with post_office(port) as office:
            await here.become("accepted")


async def test_a_connection_lost_after_the_text_leaves_the_message_ambiguous_and_it_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    async with post_office() as office:
        async with town(tmp_path, sending_to(office.url)) as here:
            office.aborts = True
            await here.announce(APPROACHING)
            await here.become("ambiguous")
            office.aborts = False
            await here.announce(COMPLETED)
            await here.become("ambiguous", "accepted")
        async with town(tmp_path, sending_to(office.url)) as here:
            await here.announce(STEP_4_OVERDUE)
            await here.become("ambiguous", "accepted", "accepted")
        assert len(office.mails) == 3
        assert len({content for _, content in office.mails}) == 3


async def test_nobody_is_written_to_whose_address_roster_does_not_know(tmp_path: Path) -> None:
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        await here.say("roster", roster.CoordinatorAppointed(person="p-silent"), roster.CoordinatorAppointed(person="p-stranger"))
        await here.announce(APPROACHING)
        await here.become("unaddressed", "unaddressed")
        assert office.asked == 0


async def test_with_credentials_nothing_is_sent_over_a_connection_that_is_not_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    async with post_office() as office, town(tmp_path, sending_to(f"smtp://vekha:secret@127.0.0.1:{office.port}")) as here:
        await here.announce(APPROACHING)
        await asyncio.sleep(0.1)
        assert await here.states() == ["queued"]
        assert office.asked == 0


async def test_a_database_put_back_from_an_older_copy_sends_nothing_again(tmp_path: Path) -> None:
    older, database = tmp_path / "older.db", tmp_path / "db" / "notifier.db"
    async with town(tmp_path) as here:
        await here.announce(APPROACHING)
    shutil.copy(database, older)
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        await here.become("accepted")
    for path in database.parent.glob("notifier.db*"):
        path.unlink()
    shutil.copy(older, database)
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        assert await here.states() == ["queued"]
        assert here.system.instance.services["notifier"].store.quarantine is not None
        await asyncio.sleep(0.1)
        assert await here.states() == ["queued"]
        assert office.asked == 0


async def test_nothing_personal_stands_in_events_outbox_or_logs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    async with post_office() as office, town(tmp_path, sending_to(office.url)) as here:
        office.unknown = {"first@example.org"}
        office.answers = ["451 director@example.org is full"]
        await here.say("roster", roster.CoordinatorAppointed(person="p-first"))
        await here.announce(OVERDUE)
        await here.become("bounced", "accepted")
        assert b"director@example.org" in office.mails[0][1]
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    shown = "".join(capsys.readouterr())
    for personal in ("director@example.org", "first@example.org", "Смирнова"):
        assert personal not in shown
        assert personal.encode() not in stored


@pytest.mark.parametrize("url", ["secret.org", "http://secret.org", "smtp://u:secret@", "smtp://secret.org:port", "smtp://[secret"])
def test_a_mail_server_that_is_no_address_is_refused_at_the_start_without_saying_it(url: str) -> None:
    with pytest.raises(Refused) as refused:
        MailServer.configured(url, "vekha@example.org")
    assert refused.value.code == "mail.url-invalid"
    assert "secret" not in refused.value.text


def test_a_mail_server_without_an_address_to_send_from_is_refused_at_the_start() -> None:
    with pytest.raises(Refused) as refused:
        MailServer.configured("smtp://mail.example.org", None)
    assert refused.value.code == "mail.sender-missing"


def test_credentials_may_hold_any_sign() -> None:
    server = MailServer.configured("smtp://vekha%40example.org:p%40ss%2Fword@mail.example.org", "vekha@example.org")
    assert (server.host, server.port, server.username, server.password) == ("mail.example.org", 587, "vekha@example.org", "p@ss/word")
