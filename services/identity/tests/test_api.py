"""Codes issued, handed over and used by call, on a real bus, and accounts blocked by what roster and consent record."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from contracts import identity
from contracts.call import Role
from contracts.event import Event
from contracts.identity import HandOver, IssueCredentials, TokenRequest
from contracts.roster import (
    ClassDeclared,
    CoordinatorAppointed,
    CoordinatorRelieved,
    GuardianAbsenceRecorded,
    GuardianUnlinked,
    LegalBasis,
    NoGuardianReason,
    Position,
    PupilLeft,
    StaffDismissed,
)
from eventkit.database import sqlite_url
from eventkit.decider import Refused
from eventkit.event import decode
from eventkit.harness import administrator, director, running
from eventkit.service import Service, Settings
from eventkit.tokens import Actor
from identity.app import build
from identity.testing import (
    ADMINISTRATOR,
    Town,
    activate,
    assigned,
    enrolled,
    expired,
    granted,
    hand_over,
    hired,
    invalidated,
    issue,
    linked,
    opened,
    refused,
    withdrawn,
)

TEACHER_OF_5A = Actor(Role.CLASS_TEACHER, "5a", "school-7")
CONTRACT = LegalBasis(code="contract", reference="D-12/2015")


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """school-7 with a pupil p-child of class 5a and the guardian p-mother, both of whom consented, and the director p-director."""
    async with running(tmp_path, {"roster": Service, "consent": Service, "identity": build}) as system:
        town = Town(system)
        await town.says(
            opened("school-7"),
            ClassDeclared(class_id="5a", grade=5, letter="А", academic_year="2015/2016"),
            hired("p-director", Position.DIRECTOR),
            enrolled("p-child"),
            assigned("p-child"),
            linked("p-child", "p-mother"),
            granted("p-child"),
            granted("p-mother"),
        )
        yield town


async def refusal_of_activation(town: Town, login: str | None, code: str | None, **more: Any) -> tuple[str, str]:
    with pytest.raises(Refused) as found:
        await activate(town, login, code, **more)
    return found.value.code, found.value.text


async def state(town: Town, person: str) -> str:
    request = identity.AccountQuery(school="school-7", person=person)
    return (await town.system.call(identity.ACCOUNT, request, as_=ADMINISTRATOR)).state


async def types(town: Town) -> list[str]:
    return [event.type.removeprefix("identity.").removesuffix(".v1") for event in await town.recorded()]


# Issuing.


async def test_codes_are_issued_to_whoever_passed_the_gates(town: Town):
    child, mother = await issue(town, "p-child", "p-mother")
    assert child.code is not None
    assert len(child.code) == 14
    assert len({child.login, mother.login, child.code, mother.code}) == 4
    assert await types(town) == ["account-provisioned", "credentials-issued"] * 2
    assert [event.facts()[1]["kind"] for event in await town.recorded() if "kind" in event.facts()[1]] == ["pupil", "guardian"]


async def test_a_code_is_valid_for_ninety_days_of_the_instances_clock(town: Town):
    await issue(town, "p-child", happened_on=date(2015, 8, 10))
    [_, event] = await town.recorded()
    assert event.happenedon == "2015-08-10"
    assert event.facts()[1]["expires_on"] == "2015-11-15"


async def test_each_person_of_a_call_is_refused_for_itself(town: Town):
    await town.says(
        hired("p-teacher"),
        hired("p-no"),
        enrolled("p-orphan"),
        granted("p-orphan"),
        enrolled("p-gone"),
        linked("p-gone", "p-mother"),
        granted("p-gone"),
        PupilLeft(person="p-gone"),
        refused("p-no"),
    )
    credentials = await issue(town, "p-nobody", "p-orphan", "p-gone", "p-teacher", "p-no", "p-director", "p-child")
    assert {one.person: one.refused for one in credentials} == {
        "p-nobody": "person.not-entered",
        "p-orphan": "person.not-entered",
        "p-gone": "person.not-entered",
        "p-teacher": "consent.missing",
        "p-no": "consent.refused",
        "p-director": None,
        "p-child": None,
    }
    assert all((one.code is None) == (one.refused is not None) and (one.text is None) == (one.refused is None) for one in credentials)
    assert await types(town) == ["account-provisioned", "credentials-issued"] * 2


async def test_another_legal_basis_and_the_coordinators_office_stand_for_a_consent(town: Town):
    await town.says(
        enrolled("p-ward", legal_basis=CONTRACT),
        linked("p-ward", "p-guardian", CONTRACT),
        hired("p-coordinator"),
        CoordinatorAppointed(person="p-coordinator"),
    )
    assert [one.refused for one in await issue(town, "p-ward", "p-guardian", "p-coordinator")] == [None, None, None]


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (withdrawn("p-child"), "consent.withdrawn"),
        (expired("p-child"), "consent.expired"),
        (invalidated("p-child"), "consent.invalidated"),
    ],
)
async def test_a_consent_that_has_ended_or_never_was_valid_is_no_ground(town: Town, event: Event, code: str):
    await town.says(event)
    [refused] = await issue(town, "p-child")
    assert refused.refused == code
    await town.says(granted("p-child", "c-new"))
    assert [one.refused for one in await issue(town, "p-child")] == [None]


async def test_the_director_and_coordinators_get_their_codes_whatever_became_of_their_consents(town: Town):
    await town.says(hired("p-coordinator"), CoordinatorAppointed(person="p-coordinator"), hired("p-teacher"))
    for person in ("p-director", "p-coordinator", "p-teacher"):
        await town.says(granted(person), expired(person))
    assert [one.refused for one in await issue(town, "p-director", "p-coordinator", "p-teacher")] == [None, None, "consent.expired"]
    await town.says(CoordinatorRelieved(person="p-coordinator"))
    assert [one.refused for one in await issue(town, "p-coordinator", reissue=True)] == ["consent.expired"]


async def test_a_member_of_staff_gets_a_code_once_a_consent_is_recorded(town: Town):
    await town.says(hired("p-teacher"))
    assert [one.refused for one in await issue(town, "p-teacher")] == ["consent.missing"]
    await town.says(granted("p-teacher"))
    assert [one.refused for one in await issue(town, "p-teacher")] == [None]


async def test_a_pupil_gets_a_code_once_a_guardian_or_a_reason_for_none_is_entered(town: Town):
    await town.says(enrolled("p-one"), granted("p-one"), enrolled("p-two"), granted("p-two"))
    assert [one.refused for one in await issue(town, "p-one", "p-two")] == ["person.not-entered"] * 2
    absent = GuardianAbsenceRecorded(pupil="p-two", reason=NoGuardianReason.REFUSED)
    await town.says(linked("p-one", "p-mother"), absent)
    assert [one.refused for one in await issue(town, "p-one", "p-two")] == [None, None]
    await town.says(GuardianUnlinked(pupil="p-one", guardian="p-mother"))
    assert [one.refused for one in await issue(town, "p-one", reissue=True)] == ["person.not-entered"]


async def test_a_guardian_gets_a_code_while_a_child_is_at_the_school(town: Town):
    await town.says(PupilLeft(person="p-child"))
    assert [one.refused for one in await issue(town, "p-mother")] == ["person.not-entered"]
    await town.says(enrolled("p-sister", "5b"), linked("p-sister", "p-mother"))
    assert [one.refused for one in await issue(town, "p-mother")] == [None]


async def test_an_unknown_school_fails_the_call(town: Town):
    with pytest.raises(Refused) as found:
        await town.system.call(identity.ISSUE_CREDENTIALS, IssueCredentials(school="school-9", people=("p-child",)))
    assert found.value.code == "school.unknown"


async def test_a_live_code_is_replaced_only_on_demand_and_the_login_stays(town: Town):
    [first] = await issue(town, "p-child")
    [refused] = await issue(town, "p-child")
    assert refused.refused == "credentials.already-issued"
    [second] = await issue(town, "p-child", reissue=True)
    assert second.login == first.login
    assert second.code != first.code
    await hand_over(town, "p-child")
    assert (await refusal_of_activation(town, first.login, first.code))[0] == "activation.wrong"
    assert (await activate(town, second.login, second.code)).person == "p-child"


async def test_a_person_named_twice_gets_one_code(town: Town):
    assert len(await issue(town, "p-child", "p-child", reissue=True)) == 1
    assert await types(town) == ["account-provisioned", "credentials-issued"]


async def test_a_code_is_told_once(town: Town):
    [first] = await issue(town, "p-child", command_id="issue-1")
    [again] = await issue(town, "p-child", command_id="issue-1")
    assert again == first.model_copy(update={"code": None})
    assert len(await town.recorded()) == 2


async def test_a_code_stands_nowhere_in_clear(town: Town, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    [issued] = await issue(town, "p-child")
    await hand_over(town, "p-child")
    await activate(town, issued.login, issued.code)
    await town.system.settled()
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert issued.code is not None
    for shape in (issued.code, issued.code.replace("-", "")):
        assert shape.encode() not in stored
        assert shape not in "".join(capfd.readouterr())


async def test_two_hundred_people_get_their_codes_in_one_call(town: Town):
    people = [f"p-{number}" for number in range(200)]
    await town.says(
        *(event for person in people for event in (enrolled(person), linked(person, "p-mother"), granted(person))), settled=True
    )
    credentials = await issue(town, *people)
    assert [one.refused for one in credentials] == [None] * 200
    assert len({one.login for one in credentials}) == 200
    assert (await hand_over(town, *people)).handed_over == 200
    assert len({event.commandid for event in await town.recorded()}) == 2


# The class teacher.


async def test_a_class_teacher_gives_codes_to_the_own_class_alone(town: Town):
    await town.says(
        enrolled("p-other", "5b"),
        assigned("p-other", "5b"),
        linked("p-other", "p-father"),
        hired("p-teacher"),
        *(granted(person) for person in ("p-other", "p-father", "p-teacher")),
    )
    people = ("p-child", "p-mother", "p-other", "p-father", "p-teacher", "p-director", "p-nobody")
    credentials = await issue(town, *people, as_=TEACHER_OF_5A)
    assert [one.refused for one in credentials] == [None, None, *["access.other-class"] * 5]
    await issue(town, "p-other")
    handed_over = await hand_over(town, "p-child", "p-other", as_=TEACHER_OF_5A)
    assert handed_over.refused == {"p-other": "access.other-class"}


async def test_a_guardian_of_children_in_two_classes_is_in_reach_of_both_teachers(town: Town):
    await town.says(enrolled("p-sister", "5b"), assigned("p-sister", "5b"), linked("p-sister", "p-mother"))
    teacher_of_5b = Actor(Role.CLASS_TEACHER, "5b", "school-7")
    assert [one.refused for one in await issue(town, "p-mother", as_=teacher_of_5b)] == [None]
    assert [one.refused for one in await issue(town, "p-mother", as_=TEACHER_OF_5A)] == ["credentials.already-issued"]


async def test_a_pupil_on_the_list_of_a_class_is_in_its_teachers_reach_once_assigned_to_it(town: Town):
    await town.says(enrolled("p-new"), linked("p-new", "p-father"), granted("p-new"), granted("p-father"))
    [child, father] = await issue(town, "p-new", "p-father", as_=TEACHER_OF_5A)
    assert (child.refused, father.refused) == ("access.other-class", "access.other-class")
    await town.says(assigned("p-new"))
    assert [one.refused for one in await issue(town, "p-new", "p-father", as_=TEACHER_OF_5A)] == [None, None]


async def test_an_administrator_issues_to_a_pupil_whom_nobody_has_assigned_yet(town: Town):
    await town.says(enrolled("p-new"), linked("p-new", "p-father"), granted("p-new"), granted("p-father"))
    assert [one.refused for one in await issue(town, "p-new", "p-father")] == [None, None]


async def test_a_pupil_who_changes_classes_changes_teachers(town: Town):
    await town.says(assigned("p-child", "5b"))
    assert [one.refused for one in await issue(town, "p-child", as_=TEACHER_OF_5A)] == ["access.other-class"]


# Handing over.


async def test_codes_are_handed_over_to_those_who_have_one(town: Town):
    await issue(town, "p-child")
    first = await hand_over(town, "p-child", "p-mother")
    assert (first.handed_over, first.refused) == (1, {"p-mother": "credentials.not-issued"})
    second = await hand_over(town, "p-child", "p-mother")
    assert second.handed_over == 0
    assert second.refused == {"p-child": "credentials.already-handed-over", "p-mother": "credentials.not-issued"}
    assert (await types(town)).count("credentials-handed-over") == 1


async def test_a_code_is_not_handed_over_before_it_was_issued(town: Town):
    await town.system.until("2015-09-09T23:59:59+03:00")
    await issue(town, "p-mother")
    await town.system.until("2015-09-10T00:00:00+03:00")
    await issue(town, "p-child")
    await town.system.until("2015-09-14T12:00:00+03:00")
    early = await hand_over(town, "p-child", "p-mother", happened_on=date(2015, 9, 9))
    assert (early.handed_over, early.refused) == (1, {"p-child": "credentials.not-yet-issued"})
    assert (await hand_over(town, "p-child", happened_on=date(2015, 9, 10))).refused == {}
    assert [event.happenedon for event in await town.recorded() if event.type == "identity.credentials-handed-over.v1"] == [
        "2015-09-09",
        "2015-09-10",
    ]


async def test_another_code_is_handed_over_no_earlier_than_it_was_issued_itself(town: Town):
    await issue(town, "p-child")
    await hand_over(town, "p-child")
    await town.system.until("2015-09-10T12:00:00+03:00")
    await issue(town, "p-child", reissue=True)
    assert (await hand_over(town, "p-child", happened_on=date(2015, 8, 18))).refused == {"p-child": "credentials.not-yet-issued"}
    assert (await hand_over(town, "p-child")).refused == {}


async def test_what_was_handed_over_is_not_taken_back_before_that(town: Town):
    await issue(town, "p-child", "p-mother")
    await town.system.until("2015-08-20T12:00:00+03:00")
    await hand_over(town, "p-child", happened_on=date(2015, 8, 19))

    async def revoked_on(day: date) -> identity.RevokedCredentials:
        request = identity.RevokeCredentials(
            school="school-7", people=("p-child", "p-mother"), reason=identity.RevocationReason.LOST, happened_on=day
        )
        return await town.system.call(identity.REVOKE_CREDENTIALS, request, as_=ADMINISTRATOR)

    assert (await revoked_on(date(2015, 8, 16))).refused == {
        "p-child": "credentials.not-yet-handed-over",
        "p-mother": "credentials.not-yet-issued",
    }
    assert (await revoked_on(date(2015, 8, 19))).revoked == 2


async def test_a_school_hands_over_its_own_codes_alone(town: Town):
    await town.says(opened("school-8"), school="school-8")
    await issue(town, "p-child")
    request = HandOver(school="school-8", people=("p-child",))
    reply = await town.system.call(identity.HAND_OVER, request, as_=administrator("school-8"))
    assert (reply.handed_over, reply.refused) == (0, {"p-child": "credentials.not-issued"})


async def test_a_pupils_code_may_be_handed_to_a_guardian_and_to_no_stranger(town: Town):
    await issue(town, "p-child")
    assert (await hand_over(town, "p-child", receiver="p-director")).refused == {"p-child": "receiver.not-guardian"}
    assert (await hand_over(town, "p-child", receiver="p-mother")).handed_over == 1
    assert (await town.recorded())[-1].facts()[1]["receiver"] == "p-mother"


async def test_one_receiver_takes_one_code(town: Town):
    with pytest.raises(Refused) as found:
        await hand_over(town, "p-child", "p-mother", receiver="p-mother")
    assert found.value.code == "receiver.for-one-only"


# Activating.


async def test_an_account_is_activated_with_login_and_code_however_they_are_typed(town: Town):
    [issued] = await issue(town, "p-child")
    await hand_over(town, "p-child")
    assert issued.login is not None
    assert issued.code is not None
    activated = await activate(town, f" {issued.login[:5]} {issued.login[5:]}", issued.code.lower().replace("-", " "))
    assert activated.person == "p-child"
    assert await state(town, "p-child") == "activated"


async def test_a_wrong_login_and_a_wrong_code_get_the_same_answer(town: Town):
    [issued] = await issue(town, "p-child")
    [mothers] = await issue(town, "p-mother")
    attempts = [
        (issued.login, "DFGJ-LNRV-W234"),
        (issued.login, mothers.code),
        ("1234567890", issued.code),
        ("?", "?"),
        (mothers.login, "?"),
    ]
    answers = {await refusal_of_activation(town, login, code) for login, code in attempts}
    assert answers == {("activation.wrong", "Login or code is wrong. Type both as they are printed.")}


async def test_a_code_opens_nothing_before_it_was_handed_over(town: Town):
    [issued] = await issue(town, "p-child")
    assert (await refusal_of_activation(town, issued.login, issued.code))[0] == "activation.not-handed-over"


async def test_a_code_opens_an_account_once(town: Town):
    [issued] = await issue(town, "p-child")
    await hand_over(town, "p-child")
    await activate(town, issued.login, issued.code)
    assert (await refusal_of_activation(town, issued.login, issued.code))[0] == "activation.used"


async def test_who_shows_no_token_activates_an_account_today(town: Town):
    [issued] = await issue(town, "p-child")
    await hand_over(town, "p-child")
    await town.system.until("2015-08-20T12:00:00+03:00")
    for day, code in ((16, "date.in-past"), (17, "date.in-past"), (19, "date.in-past"), (21, "date.in-future")):
        assert (await refusal_of_activation(town, issued.login, issued.code, happened_on=date(2015, 8, day)))[0] == code
    assert (await activate(town, issued.login, issued.code, happened_on=date(2015, 8, 20))).person == "p-child"
    assert (await town.recorded())[-1].happenedon == "2015-08-20"


async def test_who_answers_for_it_records_an_activation_afterwards_and_none_before_the_hand_over(town: Town):
    [issued] = await issue(town, "p-child")
    await town.system.until("2015-08-20T12:00:00+03:00")
    await hand_over(town, "p-child", happened_on=date(2015, 8, 18))

    async def activated_on(day: int) -> identity.Activated:
        request = identity.Activate(login=issued.login or "", code=issued.code or "", happened_on=date(2015, 8, day))
        return await town.system.call(identity.ACTIVATE, request, as_=ADMINISTRATOR)

    with pytest.raises(Refused) as found:
        await activated_on(17)
    assert found.value.code == "activation.too-early"
    assert (await activated_on(18)).person == "p-child"
    assert (await town.recorded())[-1].happenedon == "2015-08-18"


async def test_an_expired_code_opens_nothing_and_is_not_dated_back_either(town: Town):
    [issued] = await issue(town, "p-child")
    await hand_over(town, "p-child")
    await town.system.until("2015-11-15T23:59:59+03:00")
    await town.system.until("2015-11-16T00:00:00+03:00")
    assert (await refusal_of_activation(town, issued.login, issued.code))[0] == "activation.expired"
    assert (await refusal_of_activation(town, issued.login, issued.code, happened_on=date(2015, 9, 1)))[0] == "date.in-past"
    [again] = await issue(town, "p-child")
    await hand_over(town, "p-child")
    assert (await activate(town, again.login, again.code)).person == "p-child"


# How far an account is.


async def test_an_account_goes_from_none_to_activated(town: Town):
    found = [await state(town, "p-child")]
    [issued] = await issue(town, "p-child")
    found.append(await state(town, "p-child"))
    await hand_over(town, "p-child")
    found.append(await state(town, "p-child"))
    await activate(town, issued.login, issued.code)
    found.append(await state(town, "p-child"))
    assert found == ["none", "issued", "handed-over", "activated"]


async def test_a_school_sees_its_own_accounts_alone(town: Town):
    await town.says(opened("school-8"), school="school-8")
    await issue(town, "p-child")
    for school, code in (("school-8", "person.unknown"), ("school-9", "school.unknown")):
        request = identity.AccountQuery(school=school, person="p-child")
        with pytest.raises(Refused) as found:
            await town.system.call(identity.ACCOUNT, request, as_=administrator(school))
        assert found.value.code == code


# Blocking.


@pytest.mark.parametrize(
    ("person", "event", "reason"),
    [
        ("p-mother", withdrawn("p-mother"), "consent-withdrawn"),
        ("p-mother", refused("p-mother").model_copy(update={"consent_id": "c-no", "supersedes": "c-p-mother"}), "consent-refused"),
        ("p-mother", expired("p-mother"), "consent-expired"),
        ("p-mother", invalidated("p-mother"), "consent-invalidated"),
        ("p-child", PupilLeft(person="p-child"), "left"),
        ("p-director", StaffDismissed(person="p-director"), "dismissed"),
    ],
)
async def test_an_account_is_blocked_when_its_ground_is_gone(town: Town, person: str, event: Event, reason: str):
    [issued] = await issue(town, person)
    await hand_over(town, person)
    await town.says(event)
    blocked = (await town.recorded())[-1]
    assert (blocked.type, blocked.facts()[1]["reason"]) == ("identity.account-blocked.v1", reason)
    assert (blocked.actor, blocked.correlationid, blocked.happenedon) == ("service:identity", "told", "2015-08-17")
    assert await state(town, person) == "blocked"
    assert (await refusal_of_activation(town, issued.login, issued.code))[0] == "account.blocked"


async def test_a_guardian_whose_only_child_has_left_activates_nothing_until_another_one_is_linked(town: Town):
    [issued] = await issue(town, "p-mother")
    await hand_over(town, "p-mother")
    await town.says(PupilLeft(person="p-child"))
    assert (await refusal_of_activation(town, issued.login, issued.code))[0] == "account.blocked"
    assert (await refusal_of_activation(town, issued.login, "K7QW-9TXC"))[0] == "activation.wrong"
    await town.says(enrolled("p-sister"), linked("p-sister", "p-mother"))
    assert (await activate(town, issued.login, issued.code)).person == "p-mother"


async def test_what_blocks_an_account_stands_in_the_blocking(town: Town):
    await issue(town, "p-mother")
    await town.says(withdrawn("p-mother"))
    cause = decode((await town.system.instance.services["consent"].store.read(3, 1))[0][2])
    assert (await town.recorded())[-1].causationid == cause.id


async def test_what_never_was_valid_blocks_an_account_today_and_not_on_the_day_of_the_decision(town: Town):
    await issue(town, "p-mother")
    await town.system.until("2015-09-03T12:00:00+03:00")
    await town.says(invalidated("p-mother"))
    [*_, blocked] = await town.recorded()
    assert (blocked.type, blocked.happenedon) == ("identity.account-blocked.v1", "2015-09-03")


async def test_an_account_stays_open_while_another_consent_stands(town: Town):
    await issue(town, "p-mother")
    later = granted("p-mother", "c-later").model_copy(update={"supersedes": "c-p-mother"})
    await town.says(later, invalidated("p-mother"))
    assert await state(town, "p-mother") == "issued"
    await town.says(invalidated("p-mother", "c-later"))
    assert await state(town, "p-mother") == "blocked"


async def test_a_decision_that_ends_by_itself_or_never_was_valid_leaves_an_account_that_has_another_ground(town: Town):
    await town.says(
        refused("p-director"), enrolled("p-ward", legal_basis=CONTRACT), linked("p-ward", "p-guardian", CONTRACT), granted("p-guardian")
    )
    await issue(town, "p-director", "p-guardian")
    await town.says(invalidated("p-director"), expired("p-guardian"))
    assert [await state(town, person) for person in ("p-director", "p-guardian")] == ["issued", "issued"]
    await town.says(granted("p-guardian", "c-new"), withdrawn("p-guardian").model_copy(update={"consent_id": "c-new"}))
    assert await state(town, "p-guardian") == "blocked"


async def test_a_refusal_leaves_an_account_that_never_rested_on_a_consent(town: Town):
    await town.says(enrolled("p-ward", legal_basis=CONTRACT), linked("p-ward", "p-guardian", CONTRACT))
    await issue(town, "p-director", "p-guardian")
    await town.says(refused("p-director"), refused("p-guardian"))
    assert [await state(town, person) for person in ("p-director", "p-guardian")] == ["issued", "issued"]


async def test_nobody_without_an_account_is_blocked(town: Town):
    await town.says(withdrawn("p-mother"), PupilLeft(person="p-child"))
    assert await town.recorded() == []


async def test_a_consent_given_anew_opens_the_account_with_a_new_code(town: Town):
    await issue(town, "p-mother")
    await town.says(withdrawn("p-mother"))
    await town.says(granted("p-mother", "c-new"))
    assert [one.refused for one in await issue(town, "p-mother")] == [None]
    assert await state(town, "p-mother") == "issued"


# The other engine.


async def test_the_whole_way_is_the_same_on_postgresql(tmp_path: Path, fresh_postgres: str):
    def database_url(service: str) -> str | URL:
        return fresh_postgres if service == "identity" else sqlite_url(tmp_path / "db" / f"{service}.db")

    builds = {"roster": Service, "consent": Service, "identity": build}
    async with running(tmp_path, builds, database_url=database_url) as system:
        town = Town(system)
        await town.says(opened("school-7"), enrolled("p-child"), linked("p-child", "p-mother"), granted("p-child"), granted("p-mother"))
        [child, mother] = await issue(town, "p-child", "p-mother")
        [child] = await issue(town, "p-child", reissue=True)
        assert (await hand_over(town, "p-child", receiver="p-mother")).handed_over == 1
        assert (await activate(town, child.login, child.code)).person == "p-child"
        assert (await refusal_of_activation(town, mother.login, child.code))[0] == "activation.wrong"
        await town.says(withdrawn("p-mother"))
        assert [await state(town, person) for person in ("p-child", "p-mother")] == ["activated", "blocked"]
        reply = await system.call(identity.TOKEN, TokenRequest(acting_as="guardian:p-mother"))
        assert system.instance.services["identity"].tokens.verify(reply.token).school == "school-7"


# Tokens.


async def test_the_operator_acts_as_anybody_there_is(town: Town):
    await town.says(hired("p-teacher"))
    tokens = town.system.instance.services["identity"].tokens
    found: dict[str, Actor] = {}
    for acting_as in (
        "director:school-7",
        "administrator:school-7",
        "class_teacher:5a",
        "staff:p-teacher",
        "pupil:p-child",
        "guardian:p-mother",
        "municipality:m-1",
        "ministry",
    ):
        reply = await town.system.call(identity.TOKEN, TokenRequest(acting_as=acting_as))
        assert reply.expires_in_s == 300
        found[acting_as] = tokens.verify(reply.token)
    assert {str(actor) for actor in found.values()} == set(found)
    assert {actor.principal for actor in found.values()} == {"operator"}
    assert [acting_as for acting_as, actor in found.items() if actor.school != "school-7"] == ["municipality:m-1", "ministry"]


@pytest.mark.parametrize(
    ("acting_as", "code"),
    [
        ("director:school-9", "school.unknown"),
        ("class_teacher:9x", "class.unknown"),
        ("staff:p-child", "person.unknown"),
        ("pupil:p-mother", "person.unknown"),
        ("guardian:p-child", "person.unknown"),
        ("municipality:m-9", "municipality.unknown"),
        ("operator", "role.unknown"),
        ("service:roster", "role.unknown"),
        ("king:france", "role.unknown"),
        ("director", "role.unknown"),
        ("ministry:m-1", "role.unknown"),
    ],
)
async def test_nobody_acts_as_somebody_there_is_not(town: Town, acting_as: str, code: str):
    with pytest.raises(Refused) as found:
        await town.system.call(identity.TOKEN, TokenRequest(acting_as=acting_as))
    assert found.value.code == code


async def test_a_school_opened_a_moment_ago_counts(town: Town):
    await town.says(opened("school-8"), school="school-8", settled=False)
    reply = await town.system.call(identity.TOKEN, TokenRequest(acting_as="director:school-8"))
    assert town.system.instance.services["identity"].tokens.verify(reply.token).school == "school-8"


async def test_only_the_operator_acts_as_somebody_else(town: Town):
    with pytest.raises(Refused) as found:
        await town.system.call(identity.TOKEN, TokenRequest(acting_as="director:school-7"), as_=director("school-7"))
    assert found.value.code == "access.role"
    with pytest.raises(Refused) as found:
        await town.system.instance.services["consent"].calls.call(identity.TOKEN, TokenRequest(acting_as="director:school-7"))
    assert found.value.code == "access.role"


async def test_on_a_production_instance_nobody_acts_as_somebody_else(tmp_path: Path):
    def in_production(settings: Settings) -> Service:
        return build(replace(settings, production=True))

    async with running(tmp_path, {"roster": Service, "consent": Service, "identity": in_production}) as system:
        await Town(system).says(opened("school-7"))
        with pytest.raises(Refused) as found:
            await system.call(identity.TOKEN, TokenRequest(acting_as="director:school-7"))
        assert found.value.code == "token.production"
