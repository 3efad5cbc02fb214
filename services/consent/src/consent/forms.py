"""Forms of consent: whose there are to be, and how they are printed from the templates.

Before a consent nobody has a name, so the form of a seat says class, list number and who is to sign, and leaves lines to be filled in;
that of somebody entered holds the name, asked of roster for the caller at that moment.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from consent import templates
from consent.projections import Rows, class_table, headcount_table, person_table, timezone
from consent.templates import Template
from contracts import consent, roster
from contracts.consent import Capacity, SubjectKind
from contracts.roster import Seat, SeatHolder
from eventkit.answering import Caller
from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.service import Service
from eventkit.typesetting import typeset

FORMS_A_PART = 30
"""So many forms, of the longest text and name, stay under the size of an answer."""

KIND_OF_HOLDER = {
    SeatHolder.PUPIL: SubjectKind.PUPIL,
    SeatHolder.GUARDIAN_1: SubjectKind.GUARDIAN,
    SeatHolder.GUARDIAN_2: SubjectKind.GUARDIAN,
}

_TITLE = "Согласия на обработку персональных данных"
_HOLDERS = {
    SeatHolder.PUPIL: "ученик",
    SeatHolder.GUARDIAN_1: "первый родитель (законный представитель)",
    SeatHolder.GUARDIAN_2: "второй родитель (законный представитель)",
}
_LINE = "____"
_PLACE = re.compile(r"\{([a-z]+)\}")


@dataclass(frozen=True, slots=True)
class Form:
    """One form: of a seat, or of a person who is entered."""

    template: Template
    seat: Seat | None = None
    person: str | None = None


def forms_of(rows: Rows, request: consent.FormsOf, on: date) -> list[Form]:
    """The forms of a class's seats, in the order of its list, or of people, in the order given.

    Raises Refused where it is not clear whose, or nobody is there.
    """
    if (request.class_id is None) == (not request.people):
        raise Refused("forms.subject-unclear", "Say whose forms: either a class or people, not both.")
    if request.class_id is not None:
        return _of_class(rows, request, request.class_id, on)
    return _of_people(rows, request, on)


def register(service: Service) -> None:
    @service.query(consent.FORMS)
    async def forms(request: consent.FormsQuery, caller: Caller) -> consent.PrintedForms:
        def read(connection: Connection) -> tuple[list[Form], str]:
            def rows(statement: Any) -> Sequence[Any]:
                return connection.execute(statement).all()

            zone = timezone(rows, request.school)
            return forms_of(rows, request, local_day(service.clock.now(), zone)), zone

        wanted, zone = await service.read(read)
        parts = -(-len(wanted) // FORMS_A_PART)
        if request.part > parts:
            raise Refused("forms.no-such-part", f"These forms are {parts} parts: there is no part {request.part}.")
        printed = wanted[(request.part - 1) * FORMS_A_PART : request.part * FORMS_A_PART]
        school, classes, names = await _told(service, request.school, printed, caller)
        now = service.clock.now().astimezone(ZoneInfo(zone))
        pdf = await asyncio.to_thread(render, printed, school=school, classes=classes, names=names, now=now)
        return consent.PrintedForms(pdf=b64encode(pdf).decode(), forms=len(printed), part=request.part, parts=parts)


def render(forms: Sequence[Form], *, school: str, classes: Mapping[str, str], names: Mapping[str, str], now: datetime) -> bytes:
    """The forms as PDF, each on pages of its own. `classes` and `names` are by id; who has none there gets a line to be filled in."""
    shown: list[dict[str, Any]] = []
    for form in forms:
        terms = form.template.terms
        values = {"school": school, "person": names.get(form.person or "", _LINE), "seat": ""}
        if form.seat is not None:
            values["seat"] = seat_name(form.seat, classes.get(form.seat.class_id, ""))
        about = {"template": terms.template, "version": terms.template_version, "sha256": terms.template_sha256}
        shown.append({**about, "parts": parts_of(form.template.text, values)})
    return typeset(_template(), {"title": _TITLE, "forms": shown}, now=now)


def parts_of(text: str, values: Mapping[str, str]) -> list[dict[str, str]]:
    """A template's text as parts to be printed, with values in the place of `{…}`; a line that would be empty is left out."""
    parts: list[dict[str, str]] = []
    for line in text.splitlines():
        kind, shown = next(((kind, line.removeprefix(sign)) for sign, kind in _SIGNS.items() if line.startswith(sign)), ("text", line))
        shown = _PLACE.sub(lambda place: values.get(place[1], place[0]), shown)
        if kind == "text" and shown.endswith(_LINE):
            kind, shown = "field", shown.removesuffix(_LINE).rstrip()
        if shown.strip():
            parts.append({"kind": kind, "text": shown})
    return parts


_SIGNS = {"# ": "title", "## ": "heading", "- ": "item", "[ ] ": "box"}


def _of_class(rows: Rows, request: consent.FormsOf, class_id: str, on: date) -> list[Form]:
    if not rows(select(class_table.c.class_id).where(class_table.c.school == request.school, class_table.c.class_id == class_id)):
        raise Refused("class.unknown", f"There is no class {class_id} in this school.")
    said = headcount_table.c
    declared = rows(select(said.pupils).where(said.class_id == class_id).order_by(said.position.desc()).limit(1))
    pupils = next((row.pupils for row in declared), 0)
    if not pupils:
        raise Refused("class.no-headcount", f"Nobody has said how many pupils {class_id} has. Declare its headcount first.")
    holders = [holder for holder in SeatHolder if holder in request.holders]
    signed = {holder: _to_sign(KIND_OF_HOLDER[holder], request.template, on) for holder in holders}
    return [
        Form(signed[holder], seat=Seat(class_id=class_id, number=number, holder=holder))
        for number in range(1, pupils + 1)
        for holder in holders
    ]


def _of_people(rows: Rows, request: consent.FormsOf, on: date) -> list[Form]:
    people = list(dict.fromkeys(request.people))
    known = person_table.c
    kinds: dict[str, set[SubjectKind]] = {}
    for row in rows(select(known.person, known.kind).where(known.school == request.school, known.person.in_(people))):
        kinds.setdefault(row.person, set()).add(SubjectKind(row.kind))
    for person in people:
        if person not in kinds:
            raise Refused("person.unknown", f"There is nobody entered under {person} in this school.")
    # Who is entered as more than one is asked as what comes first: staff, pupil, guardian.
    first = {person: next(kind for kind in SubjectKind if kind in kinds[person]) for person in people}
    return [Form(_to_sign(first[person], request.template, on), person=person) for person in people]


def _to_sign(kind: SubjectKind, name: str | None, on: date) -> Template:
    """What is signed for somebody: of a pupil the representative's text, unless another one is named."""
    capacity = Capacity.LEGAL_REPRESENTATIVE if kind is SubjectKind.PUPIL else Capacity.SELF
    named = next((template for template in templates.every() if template.name == name and template.subject_kind is kind), None)
    return templates.in_force(kind, named.capacity if named else capacity, on, name=name)


async def _told(service: Service, school: str, forms: Sequence[Form], caller: Caller) -> tuple[str, Mapping[str, str], Mapping[str, str]]:
    """What roster tells on behalf of the caller: the school's name, those of classes, and those of the people."""
    card, classes = await asyncio.gather(
        service.calls.call(roster.SCHOOL, roster.SchoolQuery(school=school), origin=caller.origin),
        service.calls.call(roster.CLASSES, roster.ClassesQuery(school=school), origin=caller.origin),
    )
    people = tuple(form.person for form in forms if form.person is not None)
    names: dict[str, str] = {}
    if people:
        persons = await service.calls.call(roster.PERSONS, roster.PersonsQuery(school=school, people=people), origin=caller.origin)
        names = {one.person: full_name(one) for one in persons.reply.persons}
    return card.reply.name, class_names(classes.reply), names


def full_name(one: roster.NamedPerson) -> str:
    return " ".join(part for part in (one.last_name, one.first_name, one.patronymic) if part)


def class_names(classes: roster.Classes) -> Mapping[str, str]:
    """What the classes are called, by id."""
    return {one.class_id: f"{one.grade} «{one.letter}»" for one in classes.classes}


def seat_name(seat: Seat, class_name: str) -> str:
    """Where somebody without a name sits, and as what."""
    return f"Класс {class_name or _LINE}, № {seat.number} по списку, {_HOLDERS[seat.holder]}"


@cache
def _template() -> bytes:
    return resources.files("consent").joinpath("forms.typ").read_bytes()
