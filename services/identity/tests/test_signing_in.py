"""Accounts activated with a password of their owner's own, signed in to, and guarded against guessing: by call, on a real bus."""

import asyncio
import base64
import json
import os
import signal
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.engine import URL

from contracts import identity
from contracts.call import Role
from contracts.identity import ChangePassword, SignedIn
from contracts.roster import (
    ClassDeclared,
    ClassTeacherAssigned,
    CoordinatorAppointed,
    Position,
    PupilLeft,
    StaffDismissed,
)
from eventkit.database import sqlite_url
from eventkit.decider import Refused
from eventkit.event import encode
from eventkit.harness import running
from eventkit.service import Service
from identity import app
from identity.activity import activity_table
from identity.hashing import Hashing
from identity.passwords import password_table
from identity.testing import (
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
    opened_account,
    sign_in,
    withdrawn,
)

PASSWORD = "Ёжик в тумане"
OTHER = "Медвежонок с чаем"
WRONG = ("sign-in.wrong", "Login or password is wrong.", "Whoever has forgotten the password asks the school for another code.")
NOBODYS_LOGIN = "1000000009"


@pytest.fixture
def hashing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Hashing:
    """The workers of the town's identity: how many, and how many may wait for them."""
    workers, waiting = getattr(request, "param", (2, 100))
    hashing = Hashing(workers=workers, waiting=waiting)
    monkeypatch.setattr(app, "Hashing", lambda: hashing)
    return hashing


BUILDS = {"roster": Service, "consent": Service, "identity": app.build}


@pytest.fixture
async def town(tmp_path: Path, hashing: Hashing) -> AsyncIterator[Town]:
    async with running(tmp_path, BUILDS) as system:
        town = Town(system)
        await fill(town)
        yield town


async def fill(town: Town) -> None:
    """school-7 with a pupil p-child of class 5a, the guardian p-mother, a director, and p-teacher, who teaches 5a."""
    await town.says(
        opened("school-7"),
        ClassDeclared(class_id="5a", grade=5, letter="А", academic_year="2015/2016"),
        hired("p-director", Position.DIRECTOR),
        hired("p-teacher"),
        ClassTeacherAssigned(class_id="5a", person="p-teacher"),
        enrolled("p-child"),
        assigned("p-child"),
        linked("p-child", "p-mother"),
        granted("p-child"),
        granted("p-mother"),
        granted("p-teacher"),
    )


async def refusal(town: Town, login: str, password: str, **more: Any) -> tuple[str, str, str | None]:
    with pytest.raises(Refused) as found:
        await sign_in(town, login, password, **more)
    return found.value.code, found.value.text, found.value.hint


async def change(town: Town, login: str, password: str, new: str, command_id: str | None = None) -> None:
    request = ChangePassword(login=login, password=password, new_password=new)
    await town.system.instance.calls(None).call(identity.CHANGE_PASSWORD, request, command_id=command_id)


async def test_who_activates_with_a_password_of_the_own_signs_in_with_it(town: Town) -> None:
    login = await opened_account(town, "p-mother", PASSWORD)
    signed_in = await sign_in(town, login, PASSWORD)
    assert (signed_in.person, signed_in.role, signed_in.roles) == ("p-mother", "guardian:p-mother", ("guardian:p-mother",))
    actor = town.system.instance.services["roster"].tokens.verify(signed_in.token)
    assert (actor.role, actor.scope, actor.school, actor.principal) == (Role.GUARDIAN, "p-mother", "school-7", None)


async def test_a_password_may_be_typed_on_any_keyboard_that_composes_its_letters_otherwise(town: Town) -> None:
    login = await opened_account(town, "p-mother", PASSWORD)
    assert (await sign_in(town, f"{login[:3]} {login[3:]}", PASSWORD.replace("Ё", "Е\u0308"))).person == "p-mother"


async def test_that_a_password_was_chosen_is_recorded_and_nothing_of_the_password(town: Town, tmp_path: Path) -> None:
    await opened_account(town, "p-mother", PASSWORD)
    recorded = await town.recorded()
    assert [one.type for one in recorded[-2:]] == ["identity.account-activated.v1", "identity.password-set.v1"]
    assert recorded[-1].facts()[1]["person"] == "p-mother"
    assert not any(PASSWORD.encode() in encode(one) for one in recorded)
    on_disk = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert PASSWORD.encode() not in on_disk
    assert b"$argon2id$" in on_disk


async def test_of_a_command_with_a_password_no_quick_digest_is_kept(town: Town) -> None:
    """The digest by which a repeated command is told would be quicker to guess from than argon2id."""
    (slip,) = await issue(town, "p-mother")
    await hand_over(town, "p-mother")
    calls = town.system.instance.calls(None)
    request = identity.Activate(login=slip.login or "", code=slip.code or "", password=PASSWORD)
    first = await calls.call(identity.ACTIVATE, request, command_id="once")
    again = await calls.call(identity.ACTIVATE, request.model_copy(update={"password": OTHER}), command_id="once")
    assert again == first
    assert (await sign_in(town, slip.login or "", PASSWORD)).person == "p-mother"


async def test_a_password_that_is_none_to_choose_leaves_the_code_unused(town: Town) -> None:
    (slip,) = await issue(town, "p-mother")
    await hand_over(town, "p-mother")
    for password, code in (("короткий", "password.too-short"), (slip.code, "password.like-login"), (slip.login, "password.like-login")):
        with pytest.raises(Refused, match=code):
            await activate(town, slip.login, slip.code, password=password)
    assert (await activate(town, slip.login, slip.code, password=PASSWORD)).person == "p-mother"


async def test_on_a_production_instance_nobody_activates_without_a_password(town: Town) -> None:
    (slip,) = await issue(town, "p-mother")
    await hand_over(town, "p-mother")
    service = town.system.instance.services["identity"]
    object.__setattr__(service.settings, "production", True)
    with pytest.raises(Refused, match=r"password\.missing"):
        await activate(town, slip.login, slip.code)
    assert (await activate(town, slip.login, slip.code, password=PASSWORD)).person == "p-mother"


async def test_whatever_is_wrong_the_answer_and_the_work_are_the_same(town: Town, hashing: Hashing) -> None:
    """No oracle. What a wrong attempt costs is counted in hashes, since no test can trust a clock."""
    login = await opened_account(town, "p-mother", PASSWORD)
    (without,) = await issue(town, "p-child")
    await hand_over(town, "p-child")
    await activate(town, without.login, without.code)  # in use, and no password chosen
    (unused,) = await issue(town, "p-director")
    blocked = await opened_account(town, "p-teacher", PASSWORD)
    await town.says(StaffDismissed(person="p-teacher"))
    for shown, password in (
        (NOBODYS_LOGIN, PASSWORD),
        ("нет такого", PASSWORD),
        (login, OTHER),
        (login, ""),
        (login, "я" * 500),
        (without.login or "", PASSWORD),
        (unused.login or "", unused.code or ""),
        (blocked, PASSWORD),
    ):
        before = hashing.computed
        assert await refusal(town, shown, password) == WRONG
        assert hashing.computed - before == 1, shown


async def test_after_wrong_attempts_every_login_waits_alike_whether_there_is_such_a_one_or_not(town: Town, hashing: Hashing) -> None:
    login = await opened_account(town, "p-mother", PASSWORD)
    for shown in (login, NOBODYS_LOGIN):
        for _ in range(5):
            assert await refusal(town, shown, OTHER) == WRONG
    computed = hashing.computed
    waits = [await refusal(town, shown, PASSWORD) for shown in (login, NOBODYS_LOGIN)]
    text = "There were several wrong attempts with this login. Try again in 5 s, at 2015-08-17T06:00:05Z."
    hint = "The clock of this instance is moved by hand: `vekha clock set 2015-08-17T06:00:05Z`."
    assert waits == [("attempt.too-early", text, hint)] * 2
    assert hashing.computed == computed
    await town.system.until("2015-08-17T09:00:05+03:00")
    assert (await sign_in(town, login, PASSWORD)).person == "p-mother"
    assert await refusal(town, login, OTHER) == WRONG  # nothing of what was wrong before counts


async def test_a_token_is_for_the_services_alone_that_its_role_may_call(town: Town) -> None:
    guardian, director = await opened_account(town, "p-mother", PASSWORD), await opened_account(town, "p-director", PASSWORD)
    services = {"consent", "identity", "instance", "roster"}
    assert audience((await sign_in(town, guardian, PASSWORD)).token) == services
    assert audience((await sign_in(town, director, PASSWORD)).token) == services | {"notifier", "plan"}


def audience(token: str | None) -> set[str]:
    claims = (token or "").split(".")[1]
    return set(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["aud"])


async def test_a_dossier_tells_the_password_and_the_attempts_and_nothing_secret_of_them(town: Town) -> None:
    login = await opened_account(town, "p-mother", PASSWORD)
    for _ in range(2):
        assert await refusal(town, login, OTHER) == WRONG
    service = town.system.instance.services["identity"]
    held = await service.read(lambda connection: service.held(connection, "school-7", "p-mother"))
    told = {record.what: record.fields for record in held}
    assert told["password"] == {"since": "2015-08-17"}
    attempts = {name: value for name, value in told["sign-in-attempts"].items() if name in ("login", "attempts")}
    assert attempts == {"login": login, "attempts": 2}
    (kept,) = await service.read(lambda connection: connection.execute(select(password_table.c.hash)).scalars().all())
    assert kept not in str(held)
    assert await service.read(lambda connection: service.held(connection, "school-7", "p-nobody")) == ()


async def test_many_attempts_at_once_are_no_way_around_the_delay(town: Town) -> None:
    login = await opened_account(town, "p-mother", PASSWORD)
    answers = await asyncio.gather(*(refusal(town, login, f"угадываю-{number}") for number in range(20)))
    assert sorted(code for code, _, _ in answers) == ["attempt.too-early"] * 15 + ["sign-in.wrong"] * 5


async def test_codes_are_guarded_by_the_same_delay(town: Town) -> None:
    (slip,) = await issue(town, "p-mother")
    await hand_over(town, "p-mother")
    for _ in range(5):
        with pytest.raises(Refused, match=r"activation\.wrong"):
            await activate(town, slip.login, "DFGJ-LNRV-W234")
    with pytest.raises(Refused, match=r"attempt\.too-early"):
        await activate(town, slip.login, slip.code)
    assert (await refusal(town, slip.login or "", PASSWORD))[0] == "attempt.too-early"
    await town.system.until("2015-08-17T09:00:05+03:00")
    assert (await activate(town, slip.login, slip.code, password=PASSWORD)).person == "p-mother"


async def test_the_delay_and_the_password_outlive_a_restart(tmp_path: Path) -> None:
    builds = {"roster": Service, "consent": Service, "identity": app.build}
    async with running(tmp_path, builds) as system:
        town = Town(system)
        await town.says(opened("school-7"), hired("p-director", Position.DIRECTOR))
        login = await opened_account(town, "p-director", PASSWORD)
        for _ in range(5):
            assert await refusal(town, login, OTHER) == WRONG
    async with running(tmp_path, builds) as system:
        town = Town(system)
        assert (await refusal(town, login, PASSWORD))[0] == "attempt.too-early"
        await system.until("2015-08-17T09:01:00+03:00")
        assert (await sign_in(town, login, PASSWORD)).roles == ("director:school-7", "staff:p-director")


async def test_another_code_takes_the_password_away_and_a_blocked_account_lets_nobody_in(town: Town) -> None:
    login = await opened_account(town, "p-mother", PASSWORD)
    child = await opened_account(town, "p-child", PASSWORD)
    (slip,) = await issue(town, "p-mother", reissue=True)
    assert await refusal(town, login, PASSWORD) == WRONG
    await hand_over(town, "p-mother")
    await activate(town, slip.login, slip.code)
    assert await refusal(town, login, PASSWORD) == WRONG
    await town.says(withdrawn("p-child"))
    assert await refusal(town, child, PASSWORD) == WRONG


async def test_who_has_left_the_school_acts_as_nobody_there(town: Town) -> None:
    child = await opened_account(town, "p-child", PASSWORD)
    assert (await sign_in(town, child, PASSWORD)).roles == ("pupil:p-child",)
    await town.says(PupilLeft(person="p-child"))
    assert await refusal(town, child, PASSWORD) == WRONG


async def test_staff_act_in_what_roster_has_made_them_and_events_say_who_had_signed_in(town: Town) -> None:
    await town.says(CoordinatorAppointed(person="p-teacher"), linked("p-child", "p-teacher"))
    login = await opened_account(town, "p-teacher", PASSWORD)
    signed_in = await sign_in(town, login, PASSWORD)
    assert signed_in.roles == ("administrator:school-7", "class_teacher:5a", "staff:p-teacher", "guardian:p-teacher")
    assert _acts(town, signed_in) == ("administrator:school-7", "staff:p-teacher")
    assert _acts(town, await sign_in(town, login, PASSWORD, role="class_teacher:5a")) == ("class_teacher:5a", "staff:p-teacher")
    assert _acts(town, await sign_in(town, login, PASSWORD, role="staff:p-teacher")) == ("staff:p-teacher", None)
    assert (await refusal(town, login, PASSWORD, role="director:school-7"))[0] == "sign-in.role"


def _acts(town: Town, signed_in: SignedIn) -> tuple[str, str | None]:
    actor = town.system.instance.services["roster"].tokens.verify(signed_in.token)
    return str(actor), actor.recorded_principal


async def test_a_token_lets_its_owner_call_and_expires(town: Town) -> None:
    login = await opened_account(town, "p-director", PASSWORD)
    calls = town.system.instance.calls((await sign_in(town, login, PASSWORD)).token)
    query = identity.ActivityQuery(school="school-7")
    assert (await calls.call(identity.ACTIVITY, query)).reply.ratings == ()
    await town.system.until("2015-08-17T09:05:00+03:00")
    with pytest.raises(Refused, match=r"token\.expired"):
        await calls.call(identity.ACTIVITY, query)


async def test_a_sign_in_counts_as_the_days_activity_once(town: Town) -> None:
    login = await opened_account(town, "p-mother", PASSWORD)
    await sign_in(town, login, PASSWORD)
    await refusal(town, NOBODYS_LOGIN, PASSWORD)
    await sign_in(town, login, PASSWORD)
    await town.system.until("2015-08-18T09:00:00+03:00")
    await sign_in(town, login, PASSWORD)
    days = await town.system.instance.services["identity"].read(
        lambda connection: connection.execute(select(activity_table).order_by(activity_table.c.day)).all()
    )
    assert [tuple(row) for row in days] == [("school-7", date(2015, 8, day), "p-mother") for day in (17, 18)]


async def test_a_password_is_changed_by_whoever_knows_it_and_the_old_one_opens_nothing(town: Town) -> None:
    login = await opened_account(town, "p-mother", PASSWORD)
    await change(town, login, PASSWORD, OTHER, command_id="change")
    await change(town, login, PASSWORD, OTHER, command_id="change")
    assert [one.type for one in await town.recorded()][-3:] == [
        "identity.account-activated.v1",
        "identity.password-set.v1",
        "identity.password-set.v1",
    ]
    assert await refusal(town, login, PASSWORD) == WRONG
    assert (await sign_in(town, login, OTHER)).person == "p-mother"
    with pytest.raises(Refused, match=r"sign-in\.wrong"):
        await change(town, login, PASSWORD, "Лошадка в реке")
    with pytest.raises(Refused, match=r"password\.too-short"):
        await change(town, login, OTHER, "короткий")
    rows = await town.system.instance.services["identity"].read(lambda connection: connection.execute(select(password_table)).all())
    assert len(rows) == 1


@pytest.mark.parametrize("hashing", [(1, 0)], indirect=True)
async def test_when_too_many_sign_in_at_once_some_are_told_so_and_their_attempt_does_not_count(town: Town, hashing: Hashing) -> None:
    login = await opened_account(town, "p-mother", PASSWORD)
    os.kill(hashing.idle[0], signal.SIGSTOP)
    stopped = asyncio.create_task(hashing.hash(PASSWORD))
    await asyncio.sleep(0)
    for _ in range(6):
        assert (await refusal(town, login, PASSWORD))[0] == "sign-in.busy"
    stopped.cancel()
    await asyncio.gather(stopped, return_exceptions=True)
    for _ in range(6):
        assert (await sign_in(town, login, PASSWORD)).person == "p-mother"


async def test_passwords_are_chosen_shown_guessed_at_and_changed_on_postgresql_too(
    tmp_path: Path, fresh_postgres: str, hashing: Hashing
) -> None:
    def database_url(service: str) -> str | URL:
        return fresh_postgres if service == "identity" else sqlite_url(tmp_path / "db" / f"{service}.db")

    async with running(tmp_path, BUILDS, database_url=database_url) as system:
        town = Town(system)
        await fill(town)
        login = await opened_account(town, "p-mother", PASSWORD)
        answers = await asyncio.gather(*(refusal(town, login, OTHER) for _ in range(12)))
        assert sorted(code for code, _, _ in answers) == ["attempt.too-early"] * 7 + ["sign-in.wrong"] * 5
        await system.until("2015-08-17T09:00:05+03:00")
        assert (await sign_in(town, login, PASSWORD)).person == "p-mother"
        await change(town, login, PASSWORD, OTHER, command_id="once")
        assert await refusal(town, login, PASSWORD) == WRONG
        assert (await sign_in(town, login, OTHER)).person == "p-mother"
        await issue(town, "p-mother", reissue=True)
        assert await refusal(town, login, OTHER) == WRONG
