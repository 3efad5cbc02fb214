"""Many codes at once are replaced by two people: one proposes, somebody else confirms (DOMAIN 5)."""

from collections.abc import AsyncIterator, Sequence
from datetime import date
from pathlib import Path

import pytest

from contracts import identity
from contracts.call import Role
from contracts.identity import (
    ConfirmReissue,
    IssuedCredential,
    ProposeReissue,
    ReissueCarriedOut,
    ReissueConfirmed,
    ReissueProposed,
    ReissueQuery,
)
from contracts.roster import ClassDeclared, CoordinatorAppointed, Position
from eventkit.calls import Calls
from eventkit.decider import Refused
from eventkit.harness import administrator, director, running
from eventkit.service import Service
from eventkit.testing import given
from eventkit.tokens import Actor
from identity.app import build
from identity.domain.reissue import ALONE, REISSUES, CarryOut, Confirm, Propose
from identity.testing import (
    ADMINISTRATOR,
    Town,
    assigned,
    enrolled,
    granted,
    hired,
    issue,
    linked,
    opened,
    opened_account,
    sign_in,
)

DAY, LAST_DAY, TOO_LATE = date(2015, 9, 1), date(2015, 9, 8), date(2015, 9, 9)
CLASS = tuple(f"p-child-{number}" for number in range(ALONE + 3))
PASSWORD = "Ёжик в тумане"
DIRECTOR = director("school-7")

PROPOSED = ReissueProposed(proposal="r-1", people=("p-1", "p-2"), proposed_by="administrator:school-7", expires_on=LAST_DAY)
CONFIRMED = ReissueConfirmed(proposal="r-1", confirmed_by="director:school-7")


def test_what_somebody_proposes_somebody_else_confirms_and_then_it_is_carried_out() -> None:
    propose = Propose("r-1", ("p-1", "p-2"), "administrator:school-7", LAST_DAY)
    given(REISSUES).when(propose).then(PROPOSED)
    given(REISSUES, PROPOSED).when(propose).then()
    given(REISSUES, PROPOSED).when(Confirm("director:school-7", LAST_DAY)).then(CONFIRMED)
    given(REISSUES, PROPOSED, CONFIRMED).when(Confirm("director:school-7", DAY)).then()
    done = ReissueCarriedOut(proposal="r-1", people=("p-2",))
    given(REISSUES, PROPOSED, CONFIRMED).when(CarryOut(("p-2",), LAST_DAY)).then(done)
    given(REISSUES, PROPOSED, CONFIRMED, done).when(CarryOut(("p-1",), DAY)).then(ReissueCarriedOut(proposal="r-1", people=("p-1",)))


def test_nobody_confirms_the_own_proposal_nor_one_that_is_unknown_or_too_old() -> None:
    given(REISSUES, PROPOSED).when(Confirm("administrator:school-7", DAY)).then_refused("reissue.same-person")
    given(REISSUES).when(Confirm("director:school-7", DAY)).then_refused("reissue.unknown")
    given(REISSUES, PROPOSED).when(Confirm("director:school-7", TOO_LATE)).then_refused("reissue.expired")


def test_a_proposal_lets_nobody_do_more_than_was_confirmed_nor_anything_twice() -> None:
    given(REISSUES, PROPOSED).when(CarryOut(("p-1",), DAY)).then_refused("reissue.not-confirmed")
    given(REISSUES, PROPOSED, CONFIRMED).when(CarryOut(("p-1", "p-3"), DAY)).then_refused("reissue.not-proposed")
    given(REISSUES, PROPOSED, CONFIRMED).when(CarryOut(("p-1",), TOO_LATE)).then_refused("reissue.expired")
    done = ReissueCarriedOut(proposal="r-1", people=("p-1",))
    given(REISSUES, PROPOSED, CONFIRMED, done).when(CarryOut(("p-1",), DAY)).then_refused("reissue.not-proposed")


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """school-7 with a class of which everybody has a code, and two members of staff who are coordinators."""
    async with running(tmp_path, {"roster": Service, "consent": Service, "identity": build}) as system:
        town = Town(system)
        await town.says(opened("school-8"), school="school-8")
        await town.says(
            opened("school-7"),
            ClassDeclared(class_id="5a", grade=5, letter="А", academic_year="2015/2016"),
            *(event for child in CLASS for event in (enrolled(child), assigned(child), linked(child, f"p-of-{child}"))),
            hired("p-one", Position.DIRECTOR),
            hired("p-two"),
            CoordinatorAppointed(person="p-one"),
            CoordinatorAppointed(person="p-two"),
            *(granted(child) for child in CLASS),
        )
        await issue(town, *CLASS)
        yield town


async def propose(town: Town, people: Sequence[str] = CLASS, as_: Actor = ADMINISTRATOR) -> str:
    return (await town.system.call(identity.PROPOSE_REISSUE, ProposeReissue(school="school-7", people=tuple(people)), as_=as_)).proposal


async def confirm(town: Town, proposal: str, as_: Actor = DIRECTOR, school: str = "school-7") -> None:
    await town.system.call(identity.CONFIRM_REISSUE, ConfirmReissue(school=school, proposal=proposal), as_=as_)


async def reissue(town: Town, people: Sequence[str] = CLASS, proposal: str | None = None) -> tuple[IssuedCredential, ...]:
    return await issue(town, *people, reissue=True, proposal=proposal)


async def test_a_few_codes_are_replaced_alone_and_a_whole_class_is_not(town: Town) -> None:
    assert all(one.code for one in await reissue(town, CLASS[:ALONE]))
    before = await town.recorded()
    with pytest.raises(Refused, match=r"reissue\.needs-second"):
        await reissue(town)
    request = identity.PrintSlips(school="school-7", people=CLASS, reissue=True)
    with pytest.raises(Refused, match=r"reissue\.needs-second"):
        await town.system.call(identity.PRINT_SLIPS, request, as_=ADMINISTRATOR)
    assert await town.recorded() == before


async def test_who_has_no_code_yet_needs_no_second_person(town: Town) -> None:
    mothers = tuple(f"p-of-{child}" for child in CLASS)
    await town.says(*(granted(mother) for mother in mothers))
    assert all(one.code for one in await reissue(town, (*mothers, *CLASS[:2])))


async def test_a_class_is_replaced_once_by_whoever_names_a_confirmed_proposal(town: Town) -> None:
    proposal = await propose(town)
    with pytest.raises(Refused, match=r"reissue\.not-confirmed"):
        await reissue(town, proposal=proposal)
    await confirm(town, proposal)
    await confirm(town, proposal)
    assert all(one.code for one in await reissue(town, CLASS[:3], proposal))
    card = await town.system.call(identity.REISSUE, ReissueQuery(school="school-7", proposal=proposal), as_=DIRECTOR)
    assert (card.people, card.left) == (CLASS, CLASS[3:])
    assert (card.proposed_by, card.confirmed_by) == ("administrator:school-7", "director:school-7")
    assert all(one.code for one in await reissue(town, CLASS[3:], proposal))
    with pytest.raises(Refused, match=r"reissue\.not-proposed"):
        await reissue(town, proposal=proposal)
    told = [one.type for one in await town.recorded() if one.type.startswith("identity.reissue")]
    assert told == [
        "identity.reissue-proposed.v1",
        "identity.reissue-confirmed.v1",
        "identity.reissue-carried-out.v1",
        "identity.reissue-carried-out.v1",
    ]


async def test_nobody_is_two_people_by_another_role(town: Town) -> None:
    """Whoever has signed in stays the same person, as a director and as an administrator."""
    one = await opened_account(town, "p-one", PASSWORD)
    two = await opened_account(town, "p-two", PASSWORD)
    people, proposing = tuple(CLASS), await _signed_in(town, one, "administrator:school-7")
    proposed = (await proposing.call(identity.PROPOSE_REISSUE, ProposeReissue(school="school-7", people=people))).reply.proposal
    request = ConfirmReissue(school="school-7", proposal=proposed)
    with pytest.raises(Refused, match=r"reissue\.same-person"):
        await (await _signed_in(town, one, "director:school-7")).call(identity.CONFIRM_REISSUE, request)
    await (await _signed_in(town, two, "administrator:school-7")).call(identity.CONFIRM_REISSUE, request)
    assert all(slip.code for slip in await reissue(town, proposal=proposed))


async def _signed_in(town: Town, login: str, role: str) -> Calls:
    return town.system.instance.calls((await sign_in(town, login, PASSWORD, role=role)).token)


async def test_a_proposal_is_its_schools_own_and_a_class_teacher_proposes_for_the_own_class(town: Town) -> None:
    proposal = await propose(town, as_=Actor(Role.CLASS_TEACHER, "5a", "school-7"))
    with pytest.raises(Refused, match=r"reissue\.unknown"):
        await confirm(town, proposal, as_=director("school-8"), school="school-8")
    with pytest.raises(Refused, match=r"access\.role"):
        await confirm(town, proposal, as_=Actor(Role.CLASS_TEACHER, "5a", "school-7"))
    with pytest.raises(Refused, match=r"access\.other-class"):
        await propose(town, as_=Actor(Role.CLASS_TEACHER, "5b", "school-7"))
    with pytest.raises(Refused, match=r"reissue\.unknown"):
        await town.system.call(identity.REISSUE, ReissueQuery(school="school-8", proposal=proposal), as_=administrator("school-8"))


async def test_a_proposal_ends_after_a_week(town: Town) -> None:
    proposal = await propose(town)
    await confirm(town, proposal)
    await town.system.until("2015-08-25T00:00:00+03:00")
    with pytest.raises(Refused, match=r"reissue\.expired"):
        await reissue(town, proposal=proposal)
