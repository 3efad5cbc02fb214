"""No actor ever gets a row, or does an act, outside its scope: random schools, everybody in them, every call that they may make.

What may be is said by an oracle that knows the schools as they were built, and nothing of how the services check it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from contracts import SERVICES, consent, identity, plan, roster
from contracts.call import CALLS, NAMING, Call, Role, Scope
from contracts.consent import Decision, SubjectKind
from contracts.roster import PersonName, Position, Relation, Seat, SeatHolder
from eventkit.calls import CallFailed
from eventkit.decider import Refused
from eventkit.event import decode
from eventkit.harness import System, administrator, director, running
from eventkit.tokens import Actor
from tests.bodies import body
from vekha.builds import BUILDS

START = date(2015, 8, 17)
_YEAR = "2015/2016"
_NAME = PersonName(last_name="П", first_name="П")
_OFFICE = (Role.DIRECTOR, Role.ADMINISTRATOR)
_STEPS_OF_PEOPLE = {1, 2, 7, 8, 13, 14, 15, 18, 19}
_LEAST_TOLD = 5
_numbers = itertools.count(1)


@dataclass
class Child:
    person: str
    class_id: str | None
    guardians: set[str]
    is_entered: bool = True
    ever_linked: set[str] = field(default_factory=set[str])
    representatives: set[str] = field(default_factory=set[str])


@dataclass
class School:
    """A school as it was built: who is where at the end."""

    school: str
    municipality: str
    classes: list[str] = field(default_factory=list[str])
    teachers: dict[str, str] = field(default_factory=dict[str, str])
    former_teachers: dict[str, str] = field(default_factory=dict[str, str])
    staff: list[str] = field(default_factory=list[str])
    children: list[Child] = field(default_factory=list[Child])
    consents: dict[str, str] = field(default_factory=dict[str, str])
    seated: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    @property
    def guardians(self) -> set[str]:
        return {guardian for child in self.children for guardian in child.guardians}

    @property
    def people(self) -> set[str]:
        return {*self.staff, *self.guardians, *(child.person for child in self.children), *self.consents.values()}

    @property
    def relatives(self) -> set[str]:
        """Guardians who represent no child of theirs."""
        return self.guardians - {one for child in self.children for one in child.representatives}

    def of_class(self, class_id: str) -> set[str]:
        """A class's pupils and their guardians; who works at the school is no class teacher's."""
        mine = [child for child in self.children if child.class_id == class_id]
        seated = {person for where, person in self.seated if where == class_id}
        return seated | {child.person for child in mine} | {guardian for child in mine for guardian in child.guardians}

    def family(self, person: str) -> tuple[set[str], set[str]]:
        """Whom a guardian acts for, and of whom else the guardian or a pupil is told."""
        children = {child.person for child in self.children if child.is_entered and person in child.representatives}
        # What is held on the guardian names the child of each link, whoever represents it.
        beside = {child.person for child in self.children if child.is_entered and person in child.guardians}
        for child in self.children:
            if child.person == person or child.person in children:
                beside |= child.guardians | child.ever_linked
        return {person, *children}, beside


@dataclass(frozen=True)
class Shape:
    """How a school is to be: of each class's pupils, who shares a guardian with the one before, who moves to the other class, …"""

    classes: tuple[tuple[str, ...], tuple[str, ...]]


_PUPIL = st.sampled_from(("stays", "sibling", "moves", "leaves", "unlinked", "relative", "seated"))
_SHAPE = st.builds(
    Shape, st.tuples(st.lists(_PUPIL, min_size=1, max_size=3).map(tuple), st.lists(_PUPIL, min_size=1, max_size=6).map(tuple))
)


@dataclass(frozen=True)
class Acting:
    """An actor, and whom it may name and be told of."""

    actor: Actor
    school: School | None
    acts_for: frozenset[str]
    is_told_of: frozenset[str]


class World:
    """Two schools on a running instance."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.schools: list[School] = []

    async def act(self, call: Call[Any, Any], request: Any, as_: Actor | None = None) -> Any:
        done = await self.system.call(call, request, as_=as_)
        await self.system.settled()
        return done

    async def build(self, shape: Shape) -> None:
        number = next(_numbers)
        made = School(f"school-{number}", f"town-{number}")
        name = made.school
        office, head = administrator(name), director(name)
        await self.act(roster.OPEN_SCHOOL, roster.OpenSchool(school=made.school, name="Школа", municipality=made.municipality))
        await self.act(plan.ADOPT_PLAN, plan.AdoptPlan(school=made.school, start=START), head)
        for position in (Position.DIRECTOR, Position.ADMINISTRATOR, *[Position.TEACHER] * 4):
            hiring = roster.HireStaff(school=name, details=_NAME, position=position, hired_on=START)
            made.staff.append((await self.system.call(roster.HIRE_STAFF, hiring, as_=office)).person)
        for grade, teacher, former in ((7, 2, 4), (8, 3, 5)):
            declaring = roster.DeclareClass(school=made.school, grade=grade, letter="А", academic_year=_YEAR)
            class_id = (await self.system.call(roster.DECLARE_CLASS, declaring, as_=head)).class_id
            await self.system.call(roster.CREATE_CLASS, roster.CreateClass(school=made.school, class_id=class_id), as_=office)
            await self.system.call(roster.DECLARE_HEADCOUNT, roster.DeclareHeadcount(school=name, class_id=class_id, pupils=7), as_=head)
            for person in (made.staff[former], made.staff[teacher]):
                assigning = roster.AssignClassTeacher(school=made.school, class_id=class_id, person=person)
                await self.system.call(roster.ASSIGN_CLASS_TEACHER, assigning, as_=head)
            made.classes.append(class_id)
            made.teachers[class_id], made.former_teachers[class_id] = made.staff[teacher], made.staff[former]
        await self.system.call(roster.DISMISS_STAFF, roster.StaffAct(school=made.school, person=made.staff[5]), as_=head)
        decisions = [Decision(granted=True, person=person, subject_kind=SubjectKind.STAFF) for person in made.staff[:4]]
        await self.system.settled()
        await self._decide(made, decisions)
        for at, fates in enumerate(shape.classes):
            for seat, fate in enumerate(fates, 1):
                await self._enter(made, at, seat, fate)
        people = [*made.staff[:4], *(child.person for child in made.children if child.class_id and child.is_entered)]
        people += sorted(made.guardians)
        await self.system.settled()
        await self.system.call(identity.ISSUE_CREDENTIALS, identity.IssueCredentials(school=made.school, people=tuple(people)), as_=office)
        await self.system.settled()
        self.schools.append(made)

    async def _decide(self, made: School, decisions: list[Decision]) -> list[tuple[str, str]]:
        request = consent.RecordDecisions(school=made.school, decisions=tuple(decisions))
        outcomes = (await self.system.call(consent.RECORD_DECISIONS, request, as_=administrator(made.school))).outcomes
        await self.system.settled()
        told = [(str(one.consent_id), str(one.subject)) for one in outcomes]
        made.consents.update(told)
        return told

    async def _enter(self, made: School, at: int, seat: int, fate: str) -> None:
        office, class_id = administrator(made.school), made.classes[at]
        holders = (SeatHolder.PUPIL, SubjectKind.PUPIL), (SeatHolder.GUARDIAN_1, SubjectKind.GUARDIAN)
        seats = [
            Decision(granted=True, seat=Seat(class_id=class_id, number=seat, holder=holder), subject_kind=kind) for holder, kind in holders
        ]
        (pupils, subject), (guardians, guardian) = await self._decide(made, seats)
        if fate == "seated":  # decided for, and not entered by name yet
            made.children.append(Child(subject, class_id, {guardian}, is_entered=False))
            return
        enrolling = roster.EnrolPupil(school=made.school, details=_NAME, class_id=class_id, consent_id=pupils, enrolled_on=START)
        pupil = (await self.system.call(roster.ENROL_PUPIL, enrolling, as_=office)).person
        siblings = [child for child in made.children if fate == "sibling" and child.is_entered and child.class_id]
        before = next((one for child in reversed(siblings) for one in child.guardians), None)
        if before is not None:
            made.seated.append((class_id, guardian))  # who had decided for this seat was never entered by name
        linking = {"details": _NAME, "consent_id": guardians} if before is None else {"guardian": before, "consent_id": None}
        linking |= {"school": made.school, "pupil": pupil, "relation": Relation.OTHER, "legal_representative": fate != "relative"}
        request = roster.LinkGuardian.model_validate(linking)
        guardian = (await self.system.call(roster.LINK_GUARDIAN, request, as_=office)).person
        representatives = set[str]() if fate == "relative" else {guardian}
        child = Child(pupil, class_id, {guardian}, ever_linked={guardian}, representatives=representatives)
        made.children.append(child)
        await self.system.call(roster.ASSIGN_PUPIL, roster.AssignPupil(school=made.school, pupil=pupil, class_id=class_id), as_=office)
        if fate == "moves":
            child.class_id = made.classes[1 - at]
            await self.system.call(
                roster.ASSIGN_PUPIL, roster.AssignPupil(school=made.school, pupil=pupil, class_id=child.class_id), as_=office
            )
        if fate == "leaves":
            child.class_id = None
            await self.system.call(roster.PUPIL_LEFT, roster.PupilAct(school=made.school, pupil=pupil), as_=office)
        if fate == "unlinked":
            child.guardians, child.representatives = set(), set()
            await self.system.call(
                roster.UNLINK_GUARDIAN, roster.UnlinkGuardian(school=made.school, pupil=pupil, guardian=guardian), as_=office
            )


def _actors(schools: list[School]) -> Iterator[Acting]:
    for made in schools:
        own = frozenset(made.people)
        everything = own | frozenset(made.classes) | frozenset(made.consents)
        for office in (director(made.school), administrator(made.school)):
            yield Acting(office, made, everything, own)
        for class_id in made.classes:
            mine = made.of_class(class_id)
            acts_for = {class_id, *mine, *(one for one, subject in made.consents.items() if subject in mine)}
            told = frozenset(mine | set(made.staff))
            for principal in (None, f"staff:{made.teachers[class_id]}"):
                teacher = Actor(Role.CLASS_TEACHER, class_id, made.school, principal)
                yield Acting(teacher, made, frozenset(acts_for), told)
            for principal in (made.former_teachers[class_id], made.staff[5]):
                former = Actor(Role.CLASS_TEACHER, class_id, made.school, f"staff:{principal}")
                yield Acting(former, made, frozenset(), frozenset(made.staff))
        for role, person in (
            (Role.STAFF, made.staff[0]),
            (Role.STAFF, made.staff[5]),
            (Role.PUPIL, made.children[0].person),
            *((Role.GUARDIAN, guardian) for guardian in sorted({*sorted(made.guardians)[:2], *sorted(made.relatives)[:1]})),
        ):
            for_whom, beside = made.family(person) if role is not Role.STAFF else ({person}, set[str]())
            consents = {one for one, subject in made.consents.items() if subject in for_whom}
            yield Acting(Actor(role, person, made.school), made, frozenset(for_whom | consents), frozenset(for_whom | beside))
        yield Acting(Actor(Role.MUNICIPALITY, made.municipality), made, frozenset(), frozenset())
    yield Acting(Actor(Role.MINISTRY), None, frozenset(), frozenset())


@dataclass(frozen=True)
class Answer:
    code: str
    reply: Any = None


async def _ask(system: System, call: Call[Any, Any], request: Mapping[str, Any], actor: Actor, command_id: str) -> Answer:
    text = json.dumps(request).encode()
    issuer = str(actor.scope) if actor.role is Role.SERVICE else "identity"
    token = system.instance.services[issuer].tokens.mint(actor, lifetime_s=300)
    try:
        answer = await system.instance.calls(token).call_raw(
            call.name, text, command=call.command, command_id=command_id if call.command else None
        )
    except (Refused, CallFailed) as refused:
        return Answer(refused.code)
    return Answer("", json.loads(bytes(answer.reply)))


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What a JSON value is made of, each part under its name; in a list under none."""
    if isinstance(value, dict):
        yield from cast("dict[str, Any]", value).items()
    elif isinstance(value, list):
        yield from (("", part) for part in cast("list[Any]", value))


def _names(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """What a body names, as pairs of kind and id."""
    for key, part in _parts(value):
        yield from _names(part, key or name)
    if isinstance(value, str) and name in NAMING:
        yield NAMING[name], value


def _texts(value: Any) -> Iterator[str]:
    for key, part in _parts(value):
        yield key
        yield from _texts(part)
    if isinstance(value, str):
        yield value


def _is_the_offices_own(acting: Acting, call: Call[Any, Any], named: set[str], about: object) -> bool:
    """What a school's office does in its own school would change the world that the oracle knows; whether it may is not in question."""
    return (
        call.command
        and acting.actor.role in _OFFICE
        and acting.school is not None
        and about == acting.school.school
        and named <= acting.acts_for
    )


def _check(acting: Acting, call: Call[Any, Any], request: Mapping[str, Any], answer: Answer, every_person: set[str]) -> None:
    named = {one for _, one in _names(request)}
    outside, about, where = named - acting.acts_for, request.get("school"), (call.name, str(acting.actor), request, answer)
    assert answer.code != "call.failed", where
    own = acting.school
    if acting.actor.school is not None and "school" in call.request.model_fields and about != acting.actor.school:
        assert answer.code == "access.other-school", where
        return
    if acting.actor.role is Role.MUNICIPALITY and about is not None and own is not None and about != own.school:
        assert answer.code == "access.other-municipality", where
        return
    narrow = call.scopes[acting.actor.role] in (Scope.OWN_CLASS, Scope.SELF, Scope.SELF_AND_CHILDREN)
    if narrow and not call.each and (outside or not named):
        assert answer.code in ("access.other-class", "access.other-person"), where
        return
    if narrow and not outside and not (named and call.each):
        assert not answer.code.startswith("access.other-person"), where
    if answer.reply is None:
        return
    # Who has read of somebody is told on purpose.
    told = {text.rpartition(":")[2] for text in _texts({**answer.reply, "readings": []})} & every_person
    if own is None or acting.actor.role is Role.MUNICIPALITY:
        assert not told, where
        return
    assert told <= acting.is_told_of | named, where
    if narrow and call.each:
        for codes in _codes_of(answer.reply, outside):
            assert codes.startswith("access."), where
    if acting.actor.role in _OFFICE and outside & every_person:
        # A stranger's id in the own school: nothing is told of it but that nobody is known under it.
        assert not (told & outside) or all(code for code in _codes_of(answer.reply, outside)), where


def _codes_of(reply: Any, outside: set[str]) -> Iterator[str]:
    """How a list that answers for each has answered for those out of reach: a code each, or nothing where it was done."""
    refused = reply.get("refused")
    if isinstance(refused, dict):
        codes = cast("dict[str, str]", refused)
        yield from (codes.get(person, "") for person in outside if person.startswith("p-"))
    for one in reply.get("credentials", ()):
        if one["person"] in outside:
            yield one["refused"] or ""
    if outside:
        yield from (one["code"] or "" for one in reply.get("outcomes", ()))


@dataclass
class _Choosing:
    """Chooses ids, more often those of the actor's own school than any."""

    random: Random
    own: Mapping[str, list[str]]
    pools: Mapping[str, list[str]]
    in_own_school: bool = True

    def __call__(self, kind: str) -> str:
        from_own = self.in_own_school if kind == "school" else self.random.random() < 0.7
        return self.random.choice(self.own[kind] if from_own else self.pools[kind])


async def _every_call(world: World, actors: list[Acting], random: Random) -> None:
    system = world.system
    every_person = {person for made in world.schools for person in made.people}
    pools = {
        "school": [made.school for made in world.schools],
        "person": sorted(every_person),
        "class": [class_id for made in world.schools for class_id in made.classes],
        "consent": [one for made in world.schools for one in made.consents],
    }
    heads = {name: await service.store.head() for name, service in system.instance.services.items()}
    for acting in actors:
        mine = acting.school or world.schools[0]
        own = {"school": [mine.school], "person": sorted(mine.people), "class": mine.classes, "consent": sorted(mine.consents)}
        choosing = _Choosing(random, own, pools)
        for call in CALLS.values():
            if acting.actor.role not in call.allowed or "school" not in call.request.model_fields:
                continue
            for often in range(2):
                choosing.in_own_school = random.random() < 0.8
                request = body(call, choosing, everything=often == 0)
                named = {one for _, one in _names(request)}
                if _is_the_offices_own(acting, call, named, request.get("school")):
                    continue
                if acting.school is None and call.command:
                    continue  # the ministry's acts are the region's, and name nobody
                answer = await _ask(system, call, request, acting.actor, f"scope-{next(_numbers)}")
                if answer.code != "body.invalid":
                    _check(acting, call, request, answer, every_person)
    await _check_recorded(world, heads, every_person)
    await _check_small_groups(world)


async def _calls_of_services(world: World, random: Random) -> None:
    """No service makes a call that is meant for others, in whosever name; and none reaches further than the office that it acts for."""
    pools = {
        "school": [made.school for made in world.schools],
        "person": sorted({person for made in world.schools for person in made.people}),
        "class": [class_id for made in world.schools for class_id in made.classes],
        "consent": [one for made in world.schools for one in made.consents],
    }
    own, other = world.schools[0].school, world.schools[1].school
    choosing = _Choosing(random, pools, pools)
    for service in SERVICES:
        for behind in (None, f"director:{own}", f"administrator:{own}", f"class_teacher:{world.schools[0].classes[0]}"):
            actor = Actor(Role.SERVICE, service, on_behalf_of=behind)
            for call in CALLS.values():
                request = body(call, choosing, everything=True)
                where = (call.name, service, behind)
                if service not in call.services:
                    answer = await _ask(world.system, call, request, actor, f"scope-{next(_numbers)}")
                    assert answer.code in ("access.role", "access.service"), (*where, answer)
                elif behind is not None and behind.endswith(f":{own}") and "school" in request:
                    answer = await _ask(world.system, call, {**request, "school": other}, actor, f"scope-{next(_numbers)}")
                    assert answer.code in ("access.other-school", "body.invalid"), (*where, answer)


async def _check_recorded(world: World, heads: Mapping[str, int], every_person: set[str]) -> None:
    """Whatever was recorded meanwhile is about the actor's own school, and names nobody out of reach."""
    # A class's teacher of now goes before the former one.
    by_actor = {str(acting.actor): acting for acting in reversed(list(_actors(world.schools)))}
    for name, service in world.system.instance.services.items():
        for _, _, data in await service.store.read(heads[name], 10_000):
            event = decode(data)
            acting = by_actor.get(event.actor)
            if acting is None or acting.school is None:
                continue
            assert event.school == acting.school.school, event
            assert set(_texts(json.loads(bytes(event.data)))) & every_person <= acting.acts_for | acting.is_told_of, (
                event.type,
                event.actor,
                bytes(event.data),
                acting,
            )


async def _check_small_groups(world: World) -> None:
    """Of no group under five, nor of what such a group leaves, is a monitor told a number; nor by the sums of the region."""
    for made in world.schools:
        seen = (await world.system.call(plan.STATUS, plan.StatusRequest(school=made.school), as_=director(made.school))).steps
        for monitor in (Actor(Role.MUNICIPALITY, made.municipality), Actor(Role.MINISTRY)):
            rows = (await world.system.call(plan.STATUS, plan.StatusRequest(school=made.school), as_=monitor)).steps
            for row, shown in zip(seen, rows, strict=True):
                if row.step in _STEPS_OF_PEOPLE and row.done is not None and row.total is not None:
                    small = 0 < row.done < _LEAST_TOLD or 0 < row.total - row.done < _LEAST_TOLD
                    assert (shown.done, shown.total) == ((None, None) if small else (row.done, row.total)), (made.school, row, shown)
        own = Actor(Role.MUNICIPALITY, made.municipality)
        rows = (await world.system.call(plan.STATUS, plan.StatusRequest(school=made.school), as_=own)).steps
        region = (await world.system.call(plan.STATUS, plan.StatusRequest(), as_=own)).steps
        for row, total in zip(rows, region, strict=True):
            if row.step in _STEPS_OF_PEOPLE:
                assert (total.done, total.total) == (row.done or 0, row.total or 0), (row, total)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def system(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One instance for all worlds: each has schools of its own."""
    folder: Path = tmp_path_factory.mktemp("scopes")
    context = running(folder, BUILDS)
    yield runner.run(context.__aenter__())
    runner.run(context.__aexit__(None, None, None))


@pytest.mark.timeout(600)  # an instance lives through hundreds of calls for each example
@settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    database=None,
    phases=[Phase.generate],
)
@given(shapes=st.tuples(_SHAPE, _SHAPE), seed=st.integers(0, 2**32))
def test_nobody_gets_a_row_or_does_an_act_outside_the_own_scope(
    runner: asyncio.Runner, system: System, shapes: tuple[Shape, Shape], seed: int
) -> None:
    async def live() -> None:
        world = World(system)
        for shape in shapes:
            await world.build(shape)
        await _every_call(world, list(_actors(world.schools)), Random(seed))
        await system.settled()
        heads = {name: await service.store.head() for name, service in system.instance.services.items()}
        await _calls_of_services(world, Random(seed))
        assert {name: await service.store.head() for name, service in system.instance.services.items()} == heads

    runner.run(live())
