"""The owners of codes that a bulk reissue has replaced are told, each once, and nothing that opens anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import date
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from contracts import identity, roster
from contracts.event import Event
from contracts.notifier import OUTBOX, OutboxQuery, OutboxRow
from eventkit.answering import Caller
from eventkit.decider import Decider, Refused
from eventkit.erasure import Erase
from eventkit.event import Origin
from eventkit.harness import System, director, running
from eventkit.service import Service, Settings
from eventkit.store import Transaction
from notifier.erasing import ERASED
from notifier.testing import PostOffice, post_office, sending_to

SCHOOL, DAY = "school-7", date(2015, 8, 17)
ADDRESSES = {"p-mother": "mother@example.org", "p-father": "father@example.org", "p-silent": ""}
SAYING: Decider[Event, None] = Decider("saying", None, lambda event, state: [event], lambda state, event: None)


def a_roster(settings: Settings) -> Service:
    service = Service(settings)

    @service.query(roster.PERSON)
    async def person(request: roster.PersonQuery, caller: Caller) -> roster.PersonCard:  # pyright: ignore[reportUnusedFunction] -- the service calls it
        if request.person not in ADDRESSES:
            raise Refused("person.erased", "The data were destroyed.")
        details = roster.PersonName(last_name="Ёлкина", first_name="Жанна", email=ADDRESSES[request.person])
        return roster.PersonCard(person=request.person, kind="guardian", details=details)

    @service.query(roster.SCHOOL)
    async def school(request: roster.SchoolQuery, caller: Caller) -> roster.SchoolCard:  # pyright: ignore[reportUnusedFunction] -- the service calls it
        counts = {"staff": 1, "classes": 2, "pupils": 3, "guardians": 2}
        return roster.SchoolCard.model_validate(
            {"school": request.school, "name": "Школа «Росток»", "municipality": "m-1", "timezone": "Europe/Moscow", **counts}
        )

    return service


@dataclass
class Town:
    system: System
    office: PostOffice

    async def says(self, service: str, event: Event) -> None:
        def work(tx: Transaction) -> None:
            tx.decide(SAYING, event.type.replace(".", "-"), event, school=SCHOOL, happened_on=DAY)

        await self.system.instance.services[service].store.carry_out(work, Origin("operator", "told", "told"))
        await self.system.settled()

    async def carried_out(self, *people: str, proposal: str = "r-1") -> None:
        await self.says("identity", identity.ReissueCarriedOut(proposal=proposal, people=people))

    async def outbox(self) -> list[OutboxRow]:
        return [*reversed((await self.system.call(OUTBOX, OutboxQuery(school=SCHOOL), as_=director(SCHOOL))).messages)]

    async def become(self, *wanted: tuple[str, str]) -> None:
        """Returns once the messages are to these people and in these states; a test that waits in vain is ended from outside."""
        while True:
            if [(row.recipient, row.state) for row in await self.outbox()] == list(wanted):
                return
            await asyncio.sleep(0.01)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncGenerator[Town]:
    async with post_office() as office:
        builds = {"roster": a_roster, "identity": Service, "plan": Service, "notifier": sending_to(office.url)}
        async with running(tmp_path / "instance", builds) as system:
            town = Town(system, office)
            await town.says("roster", roster.SchoolOpened(school=SCHOOL, municipality="m-1", timezone="Europe/Moscow"))
            yield town


async def test_each_owner_gets_a_letter_alone_that_says_that_the_old_one_opens_nothing(town: Town) -> None:
    await town.carried_out("p-mother", "p-father", "p-silent")
    await town.become(("p-mother", "accepted"), ("p-father", "accepted"), ("p-silent", "unaddressed"))
    assert [recipients for recipients, _ in town.office.mails] == [["mother@example.org"], ["father@example.org"]]
    assert {row.template for row in await town.outbox()} == {"reissue-notice"}
    mail: Any = message_from_bytes(town.office.mails[0][1], policy=policy.default)
    for kind in ("plain", "html"):
        text = mail.get_body(preferencelist=(kind,)).get_content()
        for said in ("Школа «Росток»", "Прежние больше ничего не открывают", "The old one opens nothing any more"):
            assert said in text
        assert "http" not in text
        assert "Ёлкина" not in text


async def test_of_one_proposal_nobody_is_told_twice_and_of_another_one_again(town: Town) -> None:
    await town.carried_out("p-mother")
    await town.carried_out("p-mother", "p-father")
    await town.become(("p-mother", "accepted"), ("p-father", "accepted"))
    await town.carried_out("p-mother", proposal="r-2")
    await town.become(("p-mother", "accepted"), ("p-father", "accepted"), ("p-mother", "accepted"))
    assert len(town.office.mails) == 3


async def test_whoever_was_erased_is_not_told_and_a_message_on_its_way_then_is_not_sent(town: Town) -> None:
    def work(tx: Transaction) -> None:
        tx.decide(ERASED, "p-gone", Erase("p-gone", "e-1", ()), school=SCHOOL, happened_on=DAY)

    await town.system.instance.services["notifier"].store.carry_out(work, Origin("operator", "told", "told"))
    await town.carried_out("p-gone", "p-going", "p-father")  # of p-going roster has destroyed the data, and notifier is about to
    await town.become(("p-going", "unaddressed"), ("p-father", "accepted"))
    assert town.office.asked == 1
