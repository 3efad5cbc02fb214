"""A link that identity has prepared becomes one mail to its owner, and identity is told what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from contracts import identity, roster
from contracts.event import Event
from contracts.notifier import OUTBOX, REPORT_BOUNCE, BounceReported, OutboxQuery, OutboxRow, ReportBounce
from contracts.roster import Done
from eventkit.answering import Caller
from eventkit.decider import Decider, Refused
from eventkit.event import Origin, decode
from eventkit.harness import BEGUN, System, director, running
from eventkit.service import Service, Settings
from eventkit.store import Transaction
from notifier import sender
from notifier.app import build
from notifier.domain.message import link_message_id
from notifier.testing import PostOffice, post_office, sending_to

SCHOOL = "school-7"
DAY = date(2015, 8, 17)
SECRET = "k-1.t0pS3cretT0pS3cretT0pS3cretT0pS3"
LINK = f"https://portal.example/activate#{SECRET}"
MESSAGE = link_message_id(SCHOOL, "p-mother", "k-1")


@dataclass
class Town:
    """A school whose roster knows addresses, and an identity that tells each link once and remembers what it is told."""

    addresses: dict[str, str] = field(default_factory=lambda: {"p-mother": "mother@example.org"})
    taken: list[str] = field(default_factory=list[str])
    told: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    office: PostOffice = field(default_factory=PostOffice)
    failures: int = 0  # of identity, when it is asked for a link next
    system: System | None = None

    def roster(self, settings: Settings) -> Service:
        service = Service(settings)

        @service.query(roster.PERSON)
        async def person(request: roster.PersonQuery, caller: Caller) -> roster.PersonCard:  # pyright: ignore[reportUnusedFunction] -- the service calls it
            details = roster.PersonName(last_name="Ёлкина", first_name="Жанна", email=self.addresses.get(request.person, ""))
            return roster.PersonCard(person=request.person, kind="guardian", details=details)

        @service.query(roster.SCHOOL)
        async def school(request: roster.SchoolQuery, caller: Caller) -> roster.SchoolCard:  # pyright: ignore[reportUnusedFunction] -- the service calls it
            counts = {"staff": 1, "classes": 2, "pupils": 3, "guardians": 2}
            return roster.SchoolCard.model_validate(
                {"school": request.school, "name": "Школа «Росток»", "municipality": "m-1", "timezone": "Europe/Moscow", **counts}
            )

        return service

    def identity(self, settings: Settings) -> Service:
        service = Service(settings)

        @service.query(identity.TAKE_LINK)
        async def take(request: identity.TakeLink, caller: Caller) -> identity.TakenLink:  # pyright: ignore[reportUnusedFunction] -- the service calls it
            if self.failures:
                self.failures -= 1
                raise RuntimeError("it has a bad day")
            if request.credential in self.taken:
                raise Refused("link.lost", "It was taken before.")
            self.taken.append(request.credential)
            return identity.TakenLink(link=LINK, login="1234567897", expires_on=date(2015, 9, 16))

        @service.command(identity.RECORD_MAILING)
        def record(request: identity.RecordMailing, tx: Transaction, caller: Caller) -> Done:  # pyright: ignore[reportUnusedFunction] -- the service calls it
            assert (request.school, request.person, request.message) == (SCHOOL, "p-mother", MESSAGE)
            self.told.append((request.credential, request.outcome))
            return Done()

        return service

    async def says(self, service: str, event: Event) -> None:
        def work(tx: Transaction) -> None:
            tx.decide(_SAYING, event.type.replace(".", "-"), event, school=SCHOOL, happened_on=DAY)

        assert self.system
        await self.system.instance.services[service].store.carry_out(work, Origin("operator", "told", "told"))
        await self.system.settled()

    async def prepares(self) -> None:
        await self.says("identity", identity.LinkPrepared(credential="k-1", person="p-mother"))

    async def become(self, state: str) -> OutboxRow:
        """The only message of the outbox, once it is in this state and identity has been told; in vain it is ended from outside."""
        assert self.system
        while True:
            rows = (await self.system.call(OUTBOX, OutboxQuery(school=SCHOOL), as_=director(SCHOOL))).messages
            if [row.state for row in rows] == [state]:
                await self.system.settled()
                return rows[0]
            await asyncio.sleep(0.01)

    async def comes_back(self, message: str = MESSAGE) -> BounceReported:
        assert self.system
        return await self.system.call(REPORT_BOUNCE, ReportBounce(message=message, status=550))

    async def recorded(self) -> list[str]:
        assert self.system
        found = await self.system.instance.services["notifier"].store.read(BEGUN, 100)
        return [decode(data).type for _, _, data in found]


_SAYING: Decider[Event, None] = Decider("saying", None, lambda event, state: [event], lambda state, event: None)


@asynccontextmanager
async def living(folder: Path, town: Town) -> AsyncGenerator[Town]:
    builds = {"roster": town.roster, "identity": town.identity, "plan": Service, "notifier": sending_to(town.office.url)}
    async with running(folder, builds) as town.system:
        yield town


@pytest.fixture
async def town(tmp_path: Path) -> AsyncGenerator[Town]:
    async with post_office() as office, living(tmp_path / "instance", Town(office=office)) as town:
        opened = roster.SchoolOpened(school=SCHOOL, municipality="m-1", timezone="Europe/Moscow")
        await town.says("roster", opened)
        yield town


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:  # pyright: ignore[reportUnusedFunction] -- pytest calls it
    (tmp_path / "instance").mkdir()


def mail_of(office: PostOffice) -> tuple[list[str], EmailMessage]:
    ((recipients, content),) = office.mails
    return recipients, message_from_bytes(content, policy=policy.default)  # pyright: ignore[reportReturnType] -- that policy makes these


async def test_a_link_is_mailed_to_its_owner_alone_and_identity_is_told_that_it_is_on_its_way(town: Town) -> None:
    await town.prepares()
    row = await town.become("accepted")
    assert (row.message, row.recipient, row.template, row.notices) == (MESSAGE, "p-mother", "activation-link", ())
    recipients, mail = mail_of(town.office)
    assert (recipients, mail["To"], mail["Cc"], mail["Bcc"]) == (["mother@example.org"], "mother@example.org", None, None)
    assert mail["Message-ID"] == f"<{MESSAGE}@example.org>"
    assert town.told == [("k-1", "accepted")]
    assert await town.recorded() == ["notifier.link-queued.v1", "notifier.message-accepted.v1"]


async def test_the_letter_says_what_to_do_until_when_and_what_if_it_was_not_you_in_both_languages_and_names_nobody(town: Town) -> None:
    await town.prepares()
    await town.become("accepted")
    _, mail = mail_of(town.office)
    plain, html = (mail.get_body(preferencelist=(kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert html is not None
    for body in (plain.get_content(), html.get_content()):
        assert body.count(LINK) >= 2
        for told in ("Школа «Росток»", "1234567897", "16 сентября 2015", "16 September 2015", "Сообщите администратору", "was it not you"):
            assert told in body
        assert "Ёлкина" not in body
        assert "Жанна" not in body
    assert mail["Subject"] == "Активация вашего аккаунта / Activate your account"


async def test_a_mailbox_that_does_not_exist_costs_no_link_and_identity_is_told(town: Town) -> None:
    town.office.unknown.add("mother@example.org")
    await town.prepares()
    await town.become("bounced")
    assert (town.taken, town.told) == ([], [("k-1", "bounced")])


async def test_whoever_has_no_address_any_more_costs_no_link(town: Town) -> None:
    town.addresses.clear()
    await town.prepares()
    await town.become("unaddressed")
    assert (town.taken, town.told) == ([], [])


async def test_a_link_that_somebody_has_taken_before_is_lost_and_nothing_is_sent(town: Town) -> None:
    town.taken.append("k-1")
    await town.prepares()
    await town.become("lost")
    assert (town.office.asked, town.told) == (0, [])


async def test_a_letter_waits_for_identity_that_cannot_tell_the_link_yet(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    town.failures = 2
    await town.prepares()
    await town.become("accepted")
    assert (town.failures, town.taken, town.office.asked) == (0, ["k-1"], 1)


async def test_a_text_that_the_server_will_not_have_yet_goes_out_later_with_the_link_that_was_taken_once(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "FIRST_DELAY_S", 0.01)
    town.office.answers += ["451 Later", "451 Later"]
    await town.prepares()
    await town.become("accepted")
    assert (town.taken, town.office.asked) == (["k-1"], 3)
    assert LINK in str(mail_of(town.office)[1].get_body(preferencelist=("plain",)).get_content())  # pyright: ignore[reportOptionalMemberAccess] -- each has one


async def test_a_connection_lost_after_the_text_leaves_it_open_and_the_postmasters_report_closes_it(town: Town) -> None:
    town.office.aborts = 1
    await town.prepares()
    await town.become("ambiguous")
    assert town.told == []
    await town.comes_back()
    await town.become("bounced")
    assert town.told == [("k-1", "bounced")]


async def test_mail_that_comes_back_after_it_was_accepted_is_recorded_once(town: Town) -> None:
    await town.prepares()
    await town.become("accepted")
    assert await town.comes_back() == BounceReported(school=SCHOOL, recipient="p-mother")
    assert await town.comes_back() == BounceReported(school=SCHOOL, recipient="p-mother")
    await town.become("bounced")
    assert town.told == [("k-1", "accepted"), ("k-1", "bounced")]
    assert (await town.recorded()).count("notifier.message-bounced.v1") == 1
    with pytest.raises(Refused, match=r"^message\.unknown"):
        await town.comes_back("m-unknown")


async def test_the_link_is_in_the_mail_and_nowhere_that_notifier_keeps_anything(
    town: Town, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    await town.prepares()
    await town.become("accepted")
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert SECRET.partition(".")[2].encode() not in stored
    said = capsys.readouterr()
    assert SECRET.partition(".")[2] not in said.out + said.err + caplog.text


async def test_without_a_mail_server_links_wait_and_go_out_once_there_is_one(tmp_path: Path) -> None:
    town = Town()
    builds = {"roster": town.roster, "identity": town.identity, "plan": Service, "notifier": build}
    async with running(tmp_path / "instance", builds) as town.system:
        await town.says("roster", roster.SchoolOpened(school=SCHOOL, municipality="m-1", timezone="Europe/Moscow"))
        await town.prepares()
        await town.become("queued")
        assert town.taken == []
    async with post_office() as town.office, living(tmp_path / "instance", town):
        await town.become("accepted")
    assert (len(town.office.mails), town.taken) == (1, ["k-1"])
