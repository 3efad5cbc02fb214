"""Accounts activated by ЕСИА, against a provider of OpenID Connect of our own: real HTTP, real signatures, real PKCE."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey
from sqlalchemy.engine import URL

from consent import app as consent_app
from contracts import identity, roster
from contracts.identity import BeginEsia, BegunEsia, FinishEsia
from contracts.roster import HireStaff, OpenSchool, PersonName, Position
from eventkit.clock import ManualClock
from eventkit.database import sqlite_url
from eventkit.decider import Refused
from eventkit.environment import SignOn
from eventkit.event import decode
from eventkit.harness import BEGUN, System, running
from eventkit.service import Service, Settings
from identity import app as identity_app
from identity.openid import Provider as Client
from roster import app as roster_app
from tests.provider import CLIENT, REDIRECT, Provider, answering, flat

SECRET = "a-secret-of-the-client"
SNILS, OTHER_SNILS = "112-233-445 95", "087-654-303 00"
PASSWORD = "Ёжик в тумане"


@pytest.fixture
def clock() -> list[ManualClock]:
    """The town's clock, once there is one: the provider goes by it."""
    return []


@pytest.fixture
def provider(clock: list[ManualClock]) -> Iterator[Provider]:
    with answering(Provider(lambda: int(clock[0].now().timestamp()), SNILS, SECRET)) as provider:
        yield provider


@pytest.fixture
def setup(provider: Provider, tmp_path: Path) -> SignOn:
    file = tmp_path / "client.secret"
    file.write_text(f"{SECRET}\n")
    return SignOn(provider.issuer, CLIENT, file, REDIRECT)


@dataclass
class School:
    """school-7, whose director has the СНИЛС and a code, and whose secretary has the other one and no code."""

    system: System
    director: str
    secretary: str

    async def begin(self) -> BegunEsia:
        return (await self.system.instance.calls(None).call(identity.BEGIN_ESIA, BeginEsia(school="school-7"))).reply

    async def signed_in(self) -> tuple[str, str]:
        """Code and state, as a browser brings them back from the provider."""
        begun = await self.begin()
        async with httpx.AsyncClient() as browser:
            back = flat(urlsplit((await browser.get(begun.url)).headers["Location"]).query)
        assert back["state"] == begun.state
        return back["code"], back["state"]

    async def finish(self, code: str, state: str, *, command_id: str | None = None, **more: Any) -> identity.Activated:
        request = FinishEsia(code=code, state=state, **more)
        return (await self.system.instance.calls(None).call(identity.FINISH_ESIA, request, command_id=command_id)).reply

    async def refusal(self, code: str, state: str, **more: Any) -> str:
        with pytest.raises(Refused) as found:
            await self.finish(code, state, **more)
        return found.value.code

    async def states(self) -> tuple[str, str]:
        """How far the director's account is, and the secretary's."""
        asked = [identity.AccountQuery(school="school-7", person=person) for person in (self.director, self.secretary)]
        director, secretary = [(await self.system.call(identity.ACCOUNT, one)).state for one in asked]
        return director, secretary


NOBODY = ("issued", "none")


ON_BOTH = pytest.mark.parametrize("school", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
async def school(request: pytest.FixtureRequest, tmp_path: Path, setup: SignOn, clock: list[ManualClock]) -> AsyncIterator[School]:
    is_sqlite = getattr(request, "param", "sqlite") == "sqlite"
    postgres: str | None = None if is_sqlite else request.getfixturevalue("fresh_postgres")

    def connected(settings: Settings) -> Service:
        return identity_app.build(replace(settings, esia=setup))

    def database_url(service: str) -> str | URL:
        return postgres if postgres and service == "identity" else sqlite_url(tmp_path / "db" / f"{service}.db")

    builds = {"roster": roster_app.build, "consent": consent_app.build, "identity": connected}
    async with running(tmp_path, builds, database_url=database_url) as system:
        clock.append(system.clock)
        await system.call(roster.OPEN_SCHOOL, OpenSchool(school="school-7", name="Школа № 7", municipality="m-1"))
        director = await _hired(system, Position.DIRECTOR, "11223344595")
        secretary = await _hired(system, Position.OTHER, OTHER_SNILS)
        await system.settled()
        await system.call(identity.ISSUE_CREDENTIALS, identity.IssueCredentials(school="school-7", people=(director,)))
        yield School(system, director, secretary)


async def _hired(system: System, position: Position, snils: str) -> str:
    name = PersonName(last_name="Эрн", first_name="Хельга", snils=snils)
    hiring = HireStaff(school="school-7", details=name, position=position, hired_on=date(2015, 8, 17))
    return (await system.call(roster.HIRE_STAFF, hiring)).person


async def test_who_signs_in_at_esia_activates_the_account_that_the_school_made_for_this_snils(school: School) -> None:
    code, state = await school.signed_in()
    activated = await school.finish(code, state, command_id="once")
    assert activated.person == school.director
    assert await school.states() == ("activated", "none")
    recorded = [decode(data) for _, _, data in await school.system.instance.services["identity"].store.read(BEGUN, 100)]
    assert recorded[-1].facts() == (
        "identity.account-activated.v1",
        {"account": activated.account, "person": school.director, "method": "esia"},
    )
    assert await school.finish(code, state, command_id="once") == activated


@ON_BOTH
async def test_a_password_of_the_own_may_be_chosen_at_the_same_time(school: School) -> None:
    issuing = identity.IssueCredentials(school="school-7", people=(school.director,), reissue=True)
    (slip,) = (await school.system.call(identity.ISSUE_CREDENTIALS, issuing)).credentials
    await school.finish(*await school.signed_in(), password=PASSWORD)
    request = identity.SignIn(login=slip.login or "", password=PASSWORD)
    signed_in = (await school.system.instance.calls(None).call(identity.SIGN_IN, request)).reply
    assert signed_in.person == school.director


async def test_a_password_that_is_the_login_is_refused_and_activates_nothing(school: School) -> None:
    issuing = identity.IssueCredentials(school="school-7", people=(school.director,), reissue=True)
    (slip,) = (await school.system.call(identity.ISSUE_CREDENTIALS, issuing)).credentials
    assert await school.refusal(*await school.signed_in(), password=slip.login) == "password.like-login"
    assert await school.states() == NOBODY


async def test_a_provider_may_tell_the_snils_apart_from_the_token(school: School, provider: Provider) -> None:
    provider.at_userinfo = True
    assert (await school.finish(*await school.signed_in())).person == school.director


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another flow's"},
        {"nonce": None},
        {"aud": "another client"},
        {"aud": [CLIENT, "another client"]},
        {"aud": [CLIENT, "another client"], "azp": "another client"},
        {"iss": "https://esia.example"},
        {"exp": 1_439_791_200 - 31},  # half a minute is allowed for clocks that differ
        {"exp": None},
        {"iat": 1_439_791_200 + 31},
        {"sub": None},
    ],
    ids=str,
)
async def test_a_token_that_is_not_for_us_for_this_flow_and_for_now_activates_nothing(
    school: School, provider: Provider, claims: dict[str, Any]
) -> None:
    provider.claims = claims
    assert await school.refusal(*await school.signed_in()) == "esia.invalid-answer"
    assert await school.states() == NOBODY


async def test_a_token_that_somebody_else_has_signed_activates_nothing(school: School, provider: Provider) -> None:
    provider.signing = ECKey.generate_key("P-256", {"kid": "one"}, auto_kid=False)
    assert await school.refusal(*await school.signed_in()) == "esia.invalid-answer"
    assert await school.states() == NOBODY


async def test_when_the_provider_changes_its_keys_the_new_one_is_fetched(school: School, provider: Provider) -> None:
    provider.snils = OTHER_SNILS
    assert await school.refusal(*await school.signed_in()) == "credentials.not-issued"  # and the first key is known
    provider.key, provider.snils = ECKey.generate_key("P-256", {"kid": "two"}, auto_kid=False), SNILS
    assert (await school.finish(*await school.signed_in())).person == school.director


@ON_BOTH
async def test_code_and_state_are_used_once(school: School) -> None:
    code, state = await school.signed_in()
    await school.finish(code, state)
    assert await school.refusal(code, state) == "esia.stale"
    _, another = await school.signed_in()
    assert await school.refusal(code, another) == "esia.invalid-answer"


@ON_BOTH
async def test_of_two_who_bring_the_same_state_at_once_one_is_let_in(school: School) -> None:
    code, state = await school.signed_in()
    answers = await asyncio.gather(*(school.finish(code, state) for _ in range(4)), return_exceptions=True)
    assert [one.person for one in answers if isinstance(one, identity.Activated)] == [school.director]
    assert [one.code for one in answers if isinstance(one, Refused)] == ["esia.stale"] * 3


async def test_a_code_of_another_flow_fails_on_its_verifier(school: School) -> None:
    """Somebody's code that was caught is of no use in a flow that somebody else has begun."""
    (code, _), (_, state) = await school.signed_in(), await school.signed_in()
    assert await school.refusal(code, state) == "esia.invalid-answer"
    assert await school.states() == NOBODY


@ON_BOTH
async def test_a_state_that_nobody_was_given_or_that_is_too_old_is_refused(school: School) -> None:
    code, state = await school.signed_in()
    assert await school.refusal(code, "x" * 43) == "esia.stale"
    await school.system.until("2015-08-17T09:10:01+03:00")
    assert await school.refusal(code, state) == "esia.stale"


async def test_another_person_activates_nobodys_account_but_the_own(school: School, provider: Provider) -> None:
    for snils, code in (("123-456-789 64", "esia.person-unknown"), (OTHER_SNILS, "credentials.not-issued"), (None, "esia.no-snils")):
        provider.snils = snils
        assert await school.refusal(*await school.signed_in()) == code
    provider.at_userinfo, provider.snils, provider.other_sub = True, SNILS, "oid-2"
    assert await school.refusal(*await school.signed_in()) == "esia.invalid-answer"
    assert await school.states() == NOBODY


async def test_while_the_provider_does_not_answer_the_code_of_the_slip_still_does(school: School, provider: Provider) -> None:
    code, state = await school.signed_in()
    provider.is_down = True
    assert await school.refusal(code, state) == "esia.unreachable"


async def test_an_instance_without_esia_says_so(tmp_path: Path) -> None:
    async with running(tmp_path, {"roster": roster_app.build, "consent": consent_app.build, "identity": identity_app.build}) as system:
        with pytest.raises(Refused, match=r"esia\.not-set-up"):
            await system.call(identity.BEGIN_ESIA, BeginEsia(school="school-7"))


async def test_neither_the_snils_nor_what_guards_a_flow_stands_anywhere(
    school: School, tmp_path: Path, provider: Provider, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    code, state = await school.signed_in()
    asked = provider.asked[code]
    await school.finish(code, state)
    provider.claims = {"aud": "another client"}
    await school.refusal(*await school.signed_in())
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "client.secret")
    logged = caplog.text + "".join(capfd.readouterr())
    for secret in (SNILS, "11223344595", code, state, asked["nonce"], asked["code_challenge"], SECRET):
        assert secret.encode() not in files
        assert secret not in logged


def test_an_issuer_is_reached_by_tls_or_on_this_machine(setup: SignOn) -> None:
    with pytest.raises(ValueError, match="https"):
        Client(replace(setup, issuer="http://esia.example"), ManualClock.__new__(ManualClock))


async def test_a_snils_is_found_in_any_writing_in_its_own_school_alone(school: School) -> None:
    await school.system.call(roster.OPEN_SCHOOL, OpenSchool(school="school-8", name="Школа № 8", municipality="m-1"))
    service = school.system.instance.services["identity"]
    for writing in ("112-233-445 95", "112-233-445-95", "11223344595", "112 233 445 95"):
        query = roster.SnilsQuery(school="school-7", snils=writing)
        assert (await service.calls.call(roster.BY_SNILS, query)).reply.people == (school.director,)
    elsewhere = roster.SnilsQuery(school="school-8", snils=SNILS)
    assert (await service.calls.call(roster.BY_SNILS, elsewhere)).reply.people == ()
