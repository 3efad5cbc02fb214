"""The call that prints: codes are made, their digests kept, and the slips rendered, in one request.

A code exists in this process's memory from the moment it is made until the answer has gone, and on the slip. If anything fails in between,
what is recorded is a code that nobody knows: it opens nothing, and another one is issued in its place.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from contracts import identity, roster
from contracts.consent import SubjectKind
from eventkit.answering import Caller
from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.erasure import without_forgotten
from eventkit.service import Commit, Service, happened_on
from eventkit.store import Transaction
from identity import slips
from identity.domain.gates import Person, check_consent, check_entered
from identity.issuing import Issued, issue
from identity.projections import guardianship_table, people_of, pupil_class_table, pupil_table, timezone
from identity.reissues import check_alone, check_carried_out, live_among
from identity.slips import Section, Slip

_TEACHER = "у классного руководителя"


@dataclass(frozen=True, slots=True)
class _Known:
    """What identity knows: who may get a slip, as what, the children of the guardians among them, and the classes of the pupils."""

    zone: str
    kinds: Mapping[str, SubjectKind]
    children: Mapping[str, Sequence[str]]
    classes: Mapping[str, str]

    @property
    def people(self) -> set[str]:
        """Everybody whose name is needed."""
        return {*self.kinds, *(child for children in self.children.values() for child in children)}


@dataclass(frozen=True, slots=True)
class _Told:
    """What roster has told on behalf of the caller, to be printed and then forgotten. `classes` are in the order of grades and letters."""

    school: str
    classes: Mapping[str, str]
    names: Mapping[str, str]


def register(service: Service) -> None:
    page = slips.page_address(service.settings.activation_page, production=service.settings.production)

    @service.command_in_steps(identity.PRINT_SLIPS)
    async def print_slips(request: identity.PrintSlips, caller: Caller, commit: Commit[identity.PrintedSlips]) -> identity.PrintedSlips:
        if page is None:
            raise Refused("slips.no-page", "There is no page yet on which codes are used.", "VEKHA_ACTIVATION_PAGE tells its address.")
        class_id = _class_printed(request, caller)
        known = await service.read(lambda connection: _known(connection, request, caller, class_id, service.clock.now()))
        told = await _told(service, request.school, known, caller)
        made: list[Issued] = []

        def work(tx: Transaction) -> identity.PrintedSlips:
            _class_printed(request, caller)
            # Of several attempts the last one counts.
            made[:] = [issue(tx, service.secrets, caller, request, named=known.kinds.keys() & told.names.keys())]
            credentials = made[0].credentials
            return identity.PrintedSlips(
                printed=tuple(one.person for one in credentials if one.refused is None),
                refused={one.person: one.refused for one in credentials if one.refused is not None},
                expires_on=made[0].expires_on,
            )

        carried = await commit(work)
        if carried.before or not carried.reply.printed:
            return carried.reply
        sections = _sections(made[0], known, told)
        now = service.clock.now().astimezone(ZoneInfo(known.zone))
        # It runs without Python's lock, so others are answered meanwhile.
        pdf = await asyncio.to_thread(slips.render, told.school, page, sections, expires_on=made[0].expires_on, now=now)
        return carried.reply.model_copy(update={"pdf": b64encode(pdf).decode()})


def _class_printed(request: identity.PrintSlips, caller: Caller) -> str | None:
    """The class whose slips they are: a class teacher's own one, whether it is named or not."""
    if request.class_id is not None:
        caller.check_reach(request.class_id)
    return request.class_id if caller.reach is None else request.class_id or caller.reach.class_id


def _known(connection: Connection, request: identity.PrintSlips, caller: Caller, class_id: str | None, now: datetime) -> _Known:
    """What has to be known before names are asked for: nobody's name is read for whom there will be no slip.

    Raises Refused where there will be none at all.
    """
    zone = timezone(lambda statement: connection.execute(statement).all(), request.school)
    happened_on(request.happened_on, now, zone)
    today = local_day(now, zone)
    asked = without_forgotten(connection, dict.fromkeys(request.people))
    people = people_of(lambda statement: connection.execute(statement).all(), request.school, asked)
    kinds = {person: kind for person, known in people.items() if (kind := _kind_if_allowed(person, known, caller)) is not None}
    live = live_among(connection, people, today)
    if not request.reissue:
        kinds = {person: kind for person, kind in kinds.items() if person not in live}
        live = set[str]()
    if request.proposal is None:
        check_alone(live)
    else:
        check_carried_out(connection, request.school, request.proposal, live & kinds.keys(), today)
    guardians = [person for person, kind in kinds.items() if kind is SubjectKind.GUARDIAN]
    pupil, place, link = pupil_table.c, pupil_class_table.c, guardianship_table.c
    assigned = (place.school == pupil.school) & (place.pupil == pupil.person)
    pupils = select(pupil.person, place.class_id).outerjoin(pupil_class_table, assigned).where(pupil.school == request.school)
    linked = pupils.add_columns(link.guardian).join(
        guardianship_table, (link.school == pupil.school) & (link.pupil == pupil.person) & link.guardian.in_(guardians)
    )
    classes: dict[str, str] = {}
    children: dict[str, list[str]] = {}
    for row in connection.execute(linked):
        if class_id in (None, row.class_id):
            children.setdefault(row.guardian, []).append(row.person)
            classes[row.person] = row.class_id or ""
    for row in connection.execute(pupils.where(pupil.person.in_(kinds))):
        classes[row.person] = row.class_id or ""
    return _Known(zone, kinds, children, classes)


def _kind_if_allowed(person: str, known: Person, caller: Caller) -> SubjectKind | None:
    """The gates before a code, passed once more when it is made."""
    try:
        caller.check_reach(person)
        check_consent(known)
        return check_entered(known)
    except Refused:
        return None


async def _told(service: Service, school: str, known: _Known, caller: Caller) -> _Told:
    people = known.people
    if not people:
        return _Told("", {}, {})
    persons, classes, card = await asyncio.gather(
        service.calls.call(roster.PERSONS, roster.PersonsQuery(school=school, people=tuple(sorted(people))), origin=caller.origin),
        service.calls.call(roster.CLASSES, roster.ClassesQuery(school=school), origin=caller.origin),
        service.calls.call(roster.SCHOOL, roster.SchoolQuery(school=school), origin=caller.origin),
    )
    return _Told(
        card.reply.name,
        {one.class_id: f"{one.grade} «{one.letter}»" for one in sorted(classes.reply.classes, key=lambda one: (one.grade, one.letter))},
        {one.person: " ".join(part for part in (one.last_name, one.first_name, one.patronymic) if part) for one in persons.reply.persons},
    )


def _sections(issued: Issued, known: _Known, told: _Told) -> list[Section]:
    """Staff, then class by class the pupils and their guardians, each by name; guardians in the order of their children."""
    placing = _Placing(known, told)
    made = sorted((one for one in issued.credentials if one.refused is None), key=lambda one: placing.order(one.person))
    return [
        replace(placing.section(part[0].person), slips=[_slip(one, placing, told) for one in part])
        for part in (list(found) for _, found in groupby(made, key=lambda one: placing.order(one.person)[:2]))
    ]


def _slip(one: identity.IssuedCredential, placing: _Placing, told: _Told) -> Slip:
    about, beside = placing.about(one.person)
    return Slip(name=told.names[one.person], about=about, beside=beside, login=one.login or "", code=one.code or "")


class _Placing:
    """Where each slip goes, and what it says of its owner."""

    def __init__(self, known: _Known, told: _Told) -> None:
        self._known = known
        self._told = told
        self._places = {class_id: number for number, class_id in enumerate(told.classes)}

    def order(self, person: str) -> tuple[int, int, str, str]:
        """The class's place, the kind's, then the names; of a guardian the first child's before the own one."""
        match self._known.kinds[person]:
            case SubjectKind.STAFF:
                return -1, 0, "", self._folded(person)
            case SubjectKind.PUPIL:
                return self._place(person), 1, "", self._folded(person)
            case SubjectKind.GUARDIAN:
                first = next(iter(self._children(person)), None)
                place, name = (len(self._places), "") if first is None else (self._place(first), self._folded(first))
                return place, 2, name, self._folded(person)

    def section(self, person: str) -> Section:
        """The section that a person's slip is in, still without slips."""
        match self._known.kinds[person]:
            case SubjectKind.STAFF:
                return Section("Сотрудники", "у администратора школы", ())
            case SubjectKind.PUPIL:
                class_name = self._class_name(person)
                return Section(f"{class_name}, ученики" if class_name else "Ученики", _TEACHER, ())
            case SubjectKind.GUARDIAN:
                class_name = self._class_name(next(iter(self._children(person)), ""))
                return Section(f"{class_name}, родители" if class_name else "Родители", _TEACHER, (), "Ребёнок")

    def about(self, person: str) -> tuple[str, str]:
        """As what somebody gets the slip, and a guardian's children alone."""
        match self._known.kinds[person]:
            case SubjectKind.STAFF:
                return "Листок сотрудника", ""
            case SubjectKind.PUPIL:
                return ", ".join(part for part in ("Листок ученика", self._class_name(person)) if part), ""
            case SubjectKind.GUARDIAN:
                shown = ((self._told.names.get(child, ""), self._class_name(child)) for child in self._children(person))
                children = "; ".join(", ".join(part for part in one if part) for one in shown)
                return f"Листок родителя (законного представителя): {children}", children

    def _children(self, guardian: str) -> list[str]:
        return sorted(self._known.children.get(guardian, ()), key=lambda child: (self._place(child), self._folded(child)))

    def _place(self, pupil: str) -> int:
        return self._places.get(self._known.classes.get(pupil, ""), len(self._places))

    def _class_name(self, pupil: str) -> str:
        name = self._told.classes.get(self._known.classes.get(pupil, ""))
        return f"{name} класс" if name else ""

    def _folded(self, person: str) -> str:
        return self._told.names.get(person, "").casefold().replace("ё", "е")
