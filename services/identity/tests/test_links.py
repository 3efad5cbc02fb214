"""Activation links: who gets one, that it is told once and to whoever mails it alone, and what it opens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from contracts import identity, roster
from contracts.call import Role
from contracts.identity import Activated, MailedLinks, TakenLink
from contracts.roster import ClassDeclared, Position, PupilLeft
from eventkit.answering import Caller
from eventkit.calls import CallFailed
from eventkit.database import sqlite_url
from eventkit.decider import Refused
from eventkit.harness import administrator, running
from eventkit.service import Service, Settings
from eventkit.tokens import Actor
from identity.app import build
from identity.links import link_table, link_to_mail_table
from identity.testing import (
    ADMINISTRATOR,
    Town,
    activate,
    assigned,
    enrolled,
    granted,
    hand_over,
    hired,
    issue,
    linked,
    opened,
    refused,
    withdrawn,
)

NOTIFIER = Actor(Role.SERVICE, "notifier")
TEACHER_OF_5A = Actor(Role.CLASS_TEACHER, "5a", "school-7")


@dataclass
class Addresses:
    """A roster that knows who has an address, and remembers on whose behalf it was asked."""

    silent: set[str] = field(default_factory=set[str])
    asked_for: list[str] = field(default_factory=list[str])
    broken: bool = False

    def build(self, settings: Settings) -> Service:
        service = Service(settings)

        @service.query(roster.WITH_ADDRESS)
        async def with_address(request: roster.PersonsQuery, caller: Caller) -> roster.WithAddress:  # pyright: ignore[reportUnusedFunction] -- the service calls it
            if self.broken:
                raise RuntimeError("nobody knows today")
            self.asked_for.append(caller.origin.actor)
            return roster.WithAddress(people=tuple(person for person in request.people if person not in self.silent))

        return service


@pytest.fixture
def addresses() -> Addresses:
    return Addresses()


@pytest.fixture
async def town(tmp_path: Path, addresses: Addresses) -> AsyncIterator[Town]:
    """school-7: p-child of 5a with the mother, p-other of 7b with the father, and a teacher. All have consented."""
    async with running(tmp_path, {"roster": addresses.build, "consent": Service, "identity": build}) as system:
        town = Town(system)
        await _fill(town)
        yield town


async def _fill(town: Town) -> None:
    await town.says(
        opened("school-7"),
        *(ClassDeclared(class_id=name, grade=5, letter="А", academic_year="2015/2016") for name in ("5a", "7b")),
        *(enrolled("p-child"), assigned("p-child"), linked("p-child", "p-mother")),
        *(enrolled("p-other", "7b"), assigned("p-other", "7b"), linked("p-other", "p-father")),
        hired("p-teacher"),
        *(granted(person) for person in ("p-child", "p-mother", "p-other", "p-father", "p-teacher")),
    )


async def mail(town: Town, *people: str, as_: Actor = ADMINISTRATOR, command_id: str | None = None, **more: Any) -> MailedLinks:
    request = identity.MailLinks(school="school-7", people=people, **more)
    return await town.system.call(identity.MAIL_LINKS, request, as_=as_, command_id=command_id)


async def credential(town: Town, person: str) -> str:
    """The newest credential of a person, as the record has it."""
    await town.system.settled()
    facts = [fact for name, fact in (event.facts() for event in await town.recorded()) if name == "identity.credentials-issued.v1"]
    return [fact["credential"] for fact in facts if fact["person"] == person][-1]


async def take(town: Town, person: str, of: str | None = None) -> TakenLink:
    """As notifier does."""
    request = identity.TakeLink(school="school-7", credential=of or await credential(town, person))
    return await town.system.call(identity.TAKE_LINK, request, as_=NOTIFIER)


async def follow(town: Town, link: str, password: str | None = None) -> Activated:
    """As the page does, without a token of the caller's."""
    calls = town.system.instance.calls(None)
    return (await calls.call(identity.ACTIVATE_LINK, identity.ActivateLink(token=link.partition("#")[2], password=password))).reply


async def report(town: Town, person: str, outcome: str, message: str = "m-1", **more: Any) -> None:
    of = await credential(town, person)
    request = identity.RecordMailing.model_validate(
        {"school": "school-7", "person": person, "credential": of, "message": message, "outcome": outcome, **more}
    )
    await town.system.call(identity.RECORD_MAILING, request, as_=NOTIFIER)


async def types(town: Town) -> list[str]:
    return [event.type.removeprefix("identity.").removesuffix(".v1") for event in await town.recorded()]


async def refusal(answer: Any) -> str:
    with pytest.raises(Refused) as found:
        await answer
    return found.value.code


ISSUED = ["account-provisioned", "credentials-issued", "link-prepared"]


async def test_a_link_is_made_taken_once_and_opens_the_account_of_its_owner(town: Town) -> None:
    reply = await mail(town, "p-mother")
    assert (reply.prepared, reply.refused, str(reply.expires_on)) == (("p-mother",), {}, "2015-09-16")
    taken = await take(town, "p-mother")
    assert taken.link.startswith("https://portal.example/activate#k-")
    assert (len(taken.login), taken.expires_on) == (10, reply.expires_on)
    assert await refusal(take(town, "p-mother")) == "link.lost"
    await report(town, "p-mother", "accepted")
    await report(town, "p-mother", "accepted")
    assert (await follow(town, taken.link)).person == "p-mother"
    assert await types(town) == [*ISSUED, "credentials-dispatched", "account-activated"]
    assert (await town.recorded())[-1].facts()[1]["method"] == "link"
    assert await refusal(follow(town, taken.link)) == "activation.used"


async def test_whoever_follows_a_link_chooses_a_password_and_signs_in_with_the_login_of_the_mail(town: Town) -> None:
    await mail(town, "p-mother")
    taken = await take(town, "p-mother")
    assert await refusal(follow(town, taken.link, "short")) == "password.too-short"
    assert await refusal(follow(town, taken.link, taken.login)) == "password.like-login"
    await follow(town, taken.link, "четыре зелёных слова")
    await town.system.settled()
    signing_in = identity.SignIn(login=taken.login, password="четыре зелёных слова")
    signed_in = (await town.system.instance.calls(None).call(identity.SIGN_IN, signing_in)).reply
    assert (signed_in.person, signed_in.roles) == ("p-mother", ("guardian:p-mother",))


async def test_the_same_call_again_makes_no_other_link(town: Town) -> None:
    first = await mail(town, "p-mother", command_id="once")
    assert await mail(town, "p-mother", command_id="once") == first
    assert await types(town) == ISSUED


async def test_who_does_not_pass_the_gates_or_has_no_address_is_refused_by_name_of_the_reason_and_the_others_get_theirs(
    town: Town, addresses: Addresses
) -> None:
    addresses.silent.add("p-father")
    await town.says(enrolled("p-lone"), granted("p-lone"), hired("p-refused"), refused("p-refused"))
    reply = await mail(town, "p-lone", "p-refused", "p-father", "p-stranger", "p-mother")
    assert reply.prepared == ("p-mother",)
    assert reply.refused == {
        "p-lone": "person.not-entered",
        "p-refused": "consent.refused",
        "p-father": "person.no-address",
        "p-stranger": "person.not-entered",
    }


async def test_a_class_teacher_mails_links_to_the_own_class_alone_and_roster_is_asked_on_the_teachers_behalf(
    town: Town, addresses: Addresses
) -> None:
    reply = await mail(town, "p-child", "p-mother", "p-other", "p-teacher", as_=TEACHER_OF_5A)
    assert reply.prepared == ("p-child", "p-mother")
    assert set(reply.refused.values()) == {"access.other-class"}
    assert addresses.asked_for == [str(TEACHER_OF_5A)]


async def test_without_roster_no_link_is_made(town: Town, addresses: Addresses) -> None:
    addresses.broken = True
    with pytest.raises(CallFailed):
        await mail(town, "p-mother")
    assert await town.recorded() == []


async def test_a_link_takes_a_slips_place_and_a_slip_a_links(town: Town) -> None:
    (slip,) = await issue(town, "p-mother")
    await hand_over(town, "p-mother")
    assert (await mail(town, "p-mother")).refused == {"p-mother": "credentials.already-issued"}
    assert (await mail(town, "p-mother", reissue=True)).prepared == ("p-mother",)
    assert await refusal(activate(town, slip.login, slip.code)) == "activation.wrong"
    taken = await take(town, "p-mother")
    assert taken.login == slip.login
    (again,) = await issue(town, "p-mother", reissue=True)
    assert await refusal(follow(town, taken.link)) == "activation.replaced"
    await hand_over(town, "p-mother")
    assert (await activate(town, again.login, again.code)).person == "p-mother"


async def test_links_to_many_who_have_something_already_are_wanted_by_two_people(town: Town) -> None:
    many = tuple(f"p-director-{number}" for number in range(6))
    await town.says(*(hired(person, Position.DIRECTOR) for person in many))
    await issue(town, *many)
    assert await refusal(mail(town, *many, reissue=True)) == "reissue.needs-second"
    proposing = identity.ProposeReissue(school="school-7", people=many)
    proposal = (await town.system.call(identity.PROPOSE_REISSUE, proposing, as_=ADMINISTRATOR)).proposal
    confirming = identity.ConfirmReissue(school="school-7", proposal=proposal)
    await town.system.call(identity.CONFIRM_REISSUE, confirming, as_=Actor(Role.DIRECTOR, "school-7", "school-7"))
    assert (await mail(town, *many, reissue=True, proposal=proposal)).prepared == many
    assert await refusal(mail(town, *many, reissue=True, proposal=proposal)) == "reissue.not-proposed"


async def test_a_link_that_was_replaced_revoked_or_whose_owner_was_blocked_is_nobodys_to_mail(town: Town) -> None:
    await mail(town, "p-mother", "p-child", "p-father")
    first = [await credential(town, person) for person in ("p-mother", "p-child", "p-father")]
    await issue(town, "p-mother", reissue=True)
    revoking = identity.RevokeCredentials(school="school-7", people=("p-child",), reason=identity.RevocationReason.MISTAKE)
    await town.system.call(identity.REVOKE_CREDENTIALS, revoking, as_=ADMINISTRATOR)
    await town.says(withdrawn("p-father"))
    assert [await refusal(take(town, "", of)) for of in first] == ["link.lost"] * 3


async def test_a_link_waits_a_day_to_be_mailed_and_is_then_forgotten(town: Town) -> None:
    await mail(town, "p-mother", "p-father")
    await town.system.until("2015-08-18T08:59:00+03:00")
    await take(town, "p-father")
    await town.system.until("2015-08-18T09:00:00+03:00")
    assert await refusal(take(town, "p-mother")) == "link.lost"
    assert await kept(town, link_to_mail_table) == []


async def test_a_link_opens_nothing_after_its_last_day_and_is_unknown_a_season_later(town: Town) -> None:
    await mail(town, "p-mother", "p-father")
    links = [(await take(town, person)).link for person in ("p-mother", "p-father")]
    await town.system.until("2015-09-16T23:59:00+03:00")
    assert (await follow(town, links[1])).person == "p-father"
    await town.system.until("2015-09-17T00:01:00+03:00")
    assert await refusal(follow(town, links[0])) == "activation.expired"
    assert len(await kept(town, link_table)) == 2
    await town.system.until("2015-12-20T00:00:00+03:00")
    assert await kept(town, link_table) == []
    assert await refusal(follow(town, links[0])) == "activation.wrong"


async def kept(town: Town, table: Any) -> list[Any]:
    service = town.system.instance.services["identity"]
    return await service.read(lambda connection: [*connection.execute(select(table)).all()])


async def test_a_wrong_token_is_told_apart_from_an_unknown_one_by_nothing(town: Town) -> None:
    await mail(town, "p-mother")
    token = (await take(town, "p-mother")).link.partition("#")[2]
    answers: list[tuple[str, str]] = []
    mistyped = token[:-1] + ("a" if token[-1] != "a" else "b")
    for wrong in (mistyped, token.partition(".")[0], "k-unknown.secret", "nothing", "."):
        with pytest.raises(Refused) as found:
            await follow(town, f"#{wrong}")
        answers.append((found.value.code, found.value.text))
    assert len(set(answers)) == 1
    assert answers[0][0] == "activation.wrong"


async def test_a_link_is_kept_as_a_keyed_digest_and_sealed_and_never_in_the_clear(town: Town, tmp_path: Path) -> None:
    await mail(town, "p-mother")
    assert len((await kept(town, link_to_mail_table))[0].sealed) > 32
    secret = (await take(town, "p-mother")).link.rpartition(".")[2].encode()
    assert len(secret) == 32
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert secret not in stored


async def test_a_sealed_link_that_was_changed_is_lost(town: Town) -> None:
    await mail(town, "p-mother", "p-father")
    service = town.system.instance.services["identity"]
    other = {row.person: row for row in await kept(town, link_to_mail_table)}["p-father"].sealed
    this = link_to_mail_table.c.person == "p-mother"
    await service.write(lambda connection: connection.execute(link_to_mail_table.update().where(this).values(sealed=other)).rowcount)
    assert await refusal(take(town, "p-mother")) == "link.lost"


async def test_mail_that_comes_back_takes_the_link_back_and_another_one_needs_no_reissue(town: Town) -> None:
    await mail(town, "p-mother")
    taken = await take(town, "p-mother")
    await report(town, "p-mother", "accepted")
    await report(town, "p-mother", "bounced")
    await report(town, "p-mother", "bounced")
    assert await types(town) == [*ISSUED, "credentials-dispatched", "credentials-revoked"]
    assert (await town.recorded())[-1].facts()[1]["reason"] == "returned"
    assert await refusal(follow(town, taken.link)) == "activation.revoked"
    assert (await mail(town, "p-mother")).prepared == ("p-mother",)


async def test_a_link_is_mailed_on_no_earlier_day_than_it_was_made(town: Town) -> None:
    await town.system.until("2015-08-20T12:00:00+03:00")
    await mail(town, "p-mother", happened_on=date(2015, 8, 20))
    await report(town, "p-mother", "accepted", happened_on="2015-08-19")
    last = (await town.recorded())[-1]
    assert (last.type, last.happenedon) == ("identity.credentials-dispatched.v1", "2015-08-20")


async def test_codes_that_were_lost_are_revoked_and_open_nothing(town: Town) -> None:
    slip, used = await issue(town, "p-mother", "p-child")
    await hand_over(town, "p-mother", "p-child")
    await activate(town, used.login, used.code)
    lost = {"people": ("p-mother", "p-child", "p-stranger"), "reason": identity.RevocationReason.LOST}
    request = identity.RevokeCredentials.model_validate({"school": "school-7", **lost})
    reply = await town.system.call(identity.REVOKE_CREDENTIALS, request, as_=ADMINISTRATOR)
    assert (reply.revoked, reply.refused) == (1, {"p-child": "credentials.used", "p-stranger": "credentials.not-issued"})
    again = await town.system.call(identity.REVOKE_CREDENTIALS, request, as_=ADMINISTRATOR)
    assert (again.revoked, again.already, again.refused) == (0, ("p-mother",), reply.refused)
    assert await refusal(activate(town, slip.login, slip.code)) == "activation.revoked"
    assert (await hand_over(town, "p-mother")).refused == {"p-mother": "credentials.not-issued"}


async def test_the_link_of_a_guardian_whose_only_child_has_left_opens_nothing(town: Town) -> None:
    await mail(town, "p-mother")
    taken = await take(town, "p-mother")
    await town.says(PupilLeft(person="p-child"))
    assert await refusal(follow(town, taken.link)) == "account.blocked"


async def test_another_schools_people_are_out_of_reach(town: Town) -> None:
    await mail(town, "p-mother")
    await town.says(opened("school-8"), school="school-8")
    strangers = administrator("school-8")
    revoking = identity.RevokeCredentials(school="school-8", people=("p-mother",), reason=identity.RevocationReason.LOST)
    assert (await town.system.call(identity.REVOKE_CREDENTIALS, revoking, as_=strangers)).refused == {"p-mother": "credentials.not-issued"}
    mailing = identity.MailLinks(school="school-8", people=("p-mother",))
    assert (await town.system.call(identity.MAIL_LINKS, mailing, as_=strangers)).refused == {"p-mother": "person.not-entered"}
    assert (await take(town, "p-mother")).login


async def test_links_are_taken_used_and_forgotten_on_postgresql_too(tmp_path: Path, fresh_postgres: str, addresses: Addresses) -> None:
    def database_url(service: str) -> str | URL:
        return fresh_postgres if service == "identity" else sqlite_url(tmp_path / "db" / f"{service}.db")

    builds = {"roster": addresses.build, "consent": Service, "identity": build}
    async with running(tmp_path, builds, database_url=database_url) as system:
        town = Town(system)
        await _fill(town)
        await mail(town, "p-mother", "p-father")
        taken = await take(town, "p-mother")
        assert await refusal(take(town, "p-mother")) == "link.lost"
        assert (await follow(town, taken.link)).person == "p-mother"
        await town.system.until("2015-08-18T09:00:00+03:00")
        assert await refusal(take(town, "p-father")) == "link.lost"
        assert await kept(town, link_to_mail_table) == []
