"""Codes issued and printed in one request: who gets a slip, what stands on it, and that a code is nowhere else."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from sqlalchemy.engine import URL

from contracts import identity, roster
from contracts.call import Role
from contracts.identity import PrintedSlips, PrintSlips
from contracts.roster import ClassDeclared, CoordinatorAppointed, NamedPerson, Position
from eventkit.answering import Caller
from eventkit.calls import CallFailed
from eventkit.database import sqlite_url
from eventkit.decider import Refused
from eventkit.harness import administrator, director, running
from eventkit.service import Service, Settings
from eventkit.tokens import Actor
from identity import slips
from identity.app import build
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
    opened_account,
    refused,
    withdrawn,
)

TEACHER_OF_5A = Actor(Role.CLASS_TEACHER, "5a", "school-7")
NAMES = {
    "p-child": ("Яковлева", "Анна", "Петровна"),
    "p-brother": ("Ёлкин", "Пётр", ""),
    "p-mother": ("Ёлкина", "Жанна", "Юрьевна"),
    "p-other": ("Щукина", "Ольга", ""),
    "p-father": ("Щукин", "Юрий", ""),
    "p-director": ("Эрн", "Хельга", "Карловна"),
}
KINDS: dict[str, Any] = {"p-mother": "guardian", "p-father": "guardian", "p-director": "staff"}


@dataclass
class Registry:
    """A roster that knows names, and remembers who asked for whose. `broken` makes it fail."""

    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list[tuple[str, tuple[str, ...]]])
    unknown: set[str] = field(default_factory=set[str])
    broken: bool = False

    def build(self, settings: Settings) -> Service:
        service = Service(settings)

        @service.query(roster.PERSONS)
        async def persons(request: roster.PersonsQuery, caller: Caller) -> roster.Persons:
            if self.broken:
                raise RuntimeError("no names today")
            self.asked.append((caller.origin.actor, request.people))
            return roster.Persons(persons=tuple(_named(person) for person in request.people if person not in self.unknown))

        @service.query(roster.CLASSES)
        async def classes(request: roster.ClassesQuery, caller: Caller) -> roster.Classes:
            return roster.Classes(classes=(_class("5a", 5, "А"), _class("7b", 7, "Б")))

        @service.query(roster.SCHOOL)
        async def school(request: roster.SchoolQuery, caller: Caller) -> roster.SchoolCard:
            known = {"municipality": "m-1", "timezone": "Europe/Moscow", "staff": 1, "classes": 2, "pupils": 3, "guardians": 2}
            return roster.SchoolCard.model_validate({"school": request.school, "name": "МБОУ СОШ № 7", **known})

        return service


def _named(person: str) -> NamedPerson:
    last, first, patronymic = NAMES.get(person, (person, "Имя", ""))
    return NamedPerson(person=person, kind=KINDS.get(person, "pupil"), last_name=last, first_name=first, patronymic=patronymic)


def _class(class_id: str, grade: int, letter: str) -> roster.ClassCard:
    return roster.ClassCard(
        class_id=class_id,
        grade=grade,
        letter=letter,
        academic_year="2015/2016",
        created=True,
        shift=1,
        headcount=1,
        teacher=None,
        revision=1,
    )


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
async def town(tmp_path: Path, registry: Registry) -> AsyncIterator[Town]:
    """school-7: p-child and p-brother of 5a with their mother, p-other of 7b with the father, and the director. All have consented."""
    async with running(tmp_path, {"roster": registry.build, "consent": Service, "identity": build}) as system:
        town = Town(system)
        await _fill(town)
        yield town


async def _fill(town: Town) -> None:
    people = ("p-child", "p-brother", "p-mother", "p-other", "p-father")
    await town.says(
        opened("school-7"),
        *(ClassDeclared(class_id=name, grade=5, letter="А", academic_year="2015/2016") for name in ("5a", "7b")),
        hired("p-director", Position.DIRECTOR),
        *(event for child in ("p-child", "p-brother") for event in (enrolled(child), assigned(child), linked(child, "p-mother"))),
        *(enrolled("p-other", "7b"), assigned("p-other", "7b"), linked("p-other", "p-father")),
        *(granted(person) for person in people),
    )


async def printed(town: Town, *people: str, as_: Actor = ADMINISTRATOR, command_id: str | None = None, **more: Any) -> PrintedSlips:
    request = PrintSlips(school="school-7", people=people, **more)
    return await town.system.call(identity.PRINT_SLIPS, request, as_=as_, command_id=command_id)


def pages(reply: PrintedSlips) -> list[str]:
    assert reply.pdf is not None
    opened: Any = PdfReader(BytesIO(b64decode(reply.pdf)))
    return [" ".join(page.extract_text().split()) for page in opened.pages]


_CREDENTIALS = re.compile(r"Логин (\d{10}) Временный пароль ((?:[DFGJLNRVW2345789]{4}-){2}[DFGJLNRVW2345789]{4})")


def credentials(reply: PrintedSlips) -> dict[str, tuple[str, str]]:
    """Login and code as they can be read from the slips, by the person that the order of the slips tells."""
    found = [one for page in pages(reply) for one in _CREDENTIALS.findall(page)]
    assert len(found) == len(reply.printed)
    owners = [name for page in pages(reply) if _CREDENTIALS.search(page) for name in _owners(page)]
    return dict(zip(owners, found, strict=True))


def _owners(page: str) -> list[str]:
    full = {" ".join(part for part in name if part): person for person, name in NAMES.items()}
    return [full[name] for name in re.findall(r"№ 7 (.+?) Листок", page)]


async def test_a_code_that_is_read_from_the_slip_activates_its_owners_account(town: Town):
    reply = await printed(town, "p-child", "p-mother", "p-director")
    assert (set(reply.printed), reply.refused, str(reply.expires_on)) == ({"p-child", "p-mother", "p-director"}, {}, "2015-11-15")
    found = credentials(reply)
    await hand_over(town, *reply.printed)
    for person in reply.printed:
        assert (await activate(town, *found[person])).person == person


async def test_staff_pupils_and_guardians_have_pages_of_their_own_class_by_class_and_name_by_name(town: Town):
    reply = await printed(town, *NAMES)
    assert [_owners(page) for page in pages(reply) if _CREDENTIALS.search(page)] == [
        ["p-director"],
        ["p-brother", "p-child"],
        ["p-mother"],
        ["p-other"],
        ["p-father"],
    ]
    sheets = [page for page in pages(reply) if not _CREDENTIALS.search(page)]
    assert [re.search(r"паролями (.+?) · напечатано 17\.08\.2015", sheet)[1] for sheet in sheets] == [  # type: ignore[index]
        "Сотрудники",
        "5 «А» класс, ученики",
        "5 «А» класс, родители",
        "7 «Б» класс, ученики",
        "7 «Б» класс, родители",
    ]
    assert "Ёлкин Пётр, 5 «А» класс; Яковлева Анна Петровна, 5 «А» класс" in sheets[2]


async def test_of_a_guardian_with_children_in_two_classes_the_child_of_the_class_that_is_printed_is_named(town: Town):
    await town.says(linked("p-other", "p-mother"))
    [slip, _] = pages(await printed(town, "p-mother", as_=TEACHER_OF_5A))
    assert "Яковлева" in slip
    assert "Щукина" not in slip
    [slip, sheet] = pages(await printed(town, "p-mother", class_id="7b", reissue=True))
    assert "7 «Б» класс, родители" in sheet
    assert "Яковлева" not in slip
    [slip, _] = pages(await printed(town, "p-mother", reissue=True))
    assert "Яковлева" in slip
    assert "Щукина" in slip


async def test_who_passes_no_gate_gets_no_slip_and_no_name_of_theirs_is_asked_for(town: Town, registry: Registry):
    await town.says(hired("p-teacher"), hired("p-no"), refused("p-no"), withdrawn("p-other"))
    reply = await printed(town, "p-teacher", "p-no", "p-other", "p-nobody", "p-child")
    assert reply.printed == ("p-child",)
    assert reply.refused == {
        "p-teacher": "consent.missing",
        "p-no": "consent.refused",
        "p-other": "consent.withdrawn",
        "p-nobody": "person.not-entered",
    }
    assert registry.asked == [("administrator:school-7", ("p-child",))]


async def test_where_nobody_gets_a_slip_there_is_no_document_and_nothing_is_recorded(town: Town, registry: Registry):
    reply = await printed(town, "p-nobody")
    assert (reply.printed, reply.refused, reply.pdf) == ((), {"p-nobody": "person.not-entered"}, None)
    assert await town.recorded() == []
    assert registry.asked == []


async def test_who_has_a_code_or_an_account_already_gets_no_slip_and_no_name_of_theirs_is_asked_for(town: Town, registry: Registry):
    await printed(town, "p-child")
    await opened_account(town, "p-director", "Тихая сапа 1")
    registry.asked.clear()
    reply = await printed(town, "p-child", "p-director")
    assert (reply.printed, reply.pdf) == ((), None)
    assert reply.refused == {"p-child": "credentials.already-issued", "p-director": "account.already-activated"}
    assert registry.asked == []
    assert (await printed(town, "p-child", "p-other")).printed == ("p-other",)
    assert registry.asked == [("administrator:school-7", ("p-other",))]


async def test_where_the_whole_call_is_refused_no_names_are_asked_for(town: Town, registry: Registry):
    await issue(town, "p-child")
    propose = identity.ProposeReissue(school="school-7", people=("p-child", "p-mother"))
    proposed = (await town.system.call(identity.PROPOSE_REISSUE, propose, as_=ADMINISTRATOR)).proposal
    asking: tuple[tuple[dict[str, Any], str], ...] = (
        ({"reissue": True, "proposal": proposed}, "reissue.not-confirmed"),
        ({"reissue": True, "proposal": "r-unknown"}, "reissue.unknown"),
        ({"proposal": proposed}, "reissue.not-confirmed"),
        ({"happened_on": date(2015, 8, 18)}, "date.in-future"),
    )
    for more, code in asking:
        with pytest.raises(Refused) as found:
            await printed(town, "p-child", "p-mother", **more)
        assert found.value.code == code
    assert registry.asked == []
    confirm = identity.ConfirmReissue(school="school-7", proposal=proposed)
    await town.system.call(identity.CONFIRM_REISSUE, confirm, as_=director("school-7"))
    assert set((await printed(town, "p-child", "p-mother", reissue=True, proposal=proposed)).printed) == {"p-child", "p-mother"}
    registry.asked.clear()
    with pytest.raises(Refused) as found:
        await printed(town, "p-child", "p-mother", reissue=True, proposal=proposed)
    assert (found.value.code, registry.asked) == ("reissue.not-proposed", [])


async def test_whom_roster_does_not_name_gets_no_code(town: Town, registry: Registry):
    registry.unknown = {"p-mother"}
    reply = await printed(town, "p-child", "p-mother")
    assert (reply.printed, reply.refused) == (("p-child",), {"p-mother": "person.unnamed"})
    assert {event.stream for event in await town.recorded()} == {"account-p-child"}


async def test_a_code_stands_on_its_slip_and_nowhere_else(town: Town, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    found = credentials(await printed(town, *NAMES, command_id="print-1"))
    await hand_over(town, *found)
    await activate(town, *found["p-child"])
    await printed(town, *NAMES, command_id="print-1")
    await town.system.settled()
    stored, said = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()), "".join(capfd.readouterr())
    assert len(found) == 6
    for _, code in found.values():
        for shape in (code, code.replace("-", "")):
            assert shape.encode() not in stored
            assert shape not in said
    for last, first, patronymic in NAMES.values():
        for name in (last, first, patronymic):
            assert not name or name.encode() not in stored
            assert not name or name not in said
    assert b"%PDF" not in stored


async def test_slips_are_told_once_and_a_reprint_is_a_reissue(town: Town, registry: Registry):
    first = await printed(town, "p-child", command_id="print-1")
    asked = len(registry.asked)
    again = await printed(town, "p-child", command_id="print-1")
    assert again == first.model_copy(update={"pdf": None})
    assert len(registry.asked) == asked
    assert (await printed(town, "p-child")).refused == {"p-child": "credentials.already-issued"}
    second = await printed(town, "p-child", reissue=True)
    old, new = credentials(first)["p-child"], credentials(second)["p-child"]
    assert (old[0], old[1] != new[1]) == (new[0], True)
    await hand_over(town, "p-child")
    with pytest.raises(Refused) as wrong:
        await activate(town, *old)
    assert wrong.value.code == "activation.wrong"
    assert (await activate(town, *new)).person == "p-child"


async def test_a_command_id_is_refused_for_other_people_and_for_another_actor(town: Town):
    await printed(town, "p-child", command_id="print-1")
    for people, actor in ((("p-mother",), ADMINISTRATOR), (("p-child",), TEACHER_OF_5A)):
        with pytest.raises(Refused) as found:
            await printed(town, *people, as_=actor, command_id="print-1")
        assert found.value.code == "command.reused"
    assert len(await town.recorded()) == 2


async def test_codes_whose_slips_nobody_got_open_nothing_and_are_issued_anew(town: Town, monkeypatch: pytest.MonkeyPatch):
    lost: list[str] = []

    def fail(*arguments: Any, **more: Any) -> bytes:
        lost.extend(slip.code for section in arguments[2] for slip in section.slips)
        raise RuntimeError(f"the typesetter broke on {lost}")

    with monkeypatch.context() as broken:
        broken.setattr(slips, "render", fail)
        with pytest.raises(CallFailed) as failed:
            await printed(town, "p-child", command_id="print-1")
    assert failed.value.incident
    assert len(lost) == 1
    assert lost[0] not in str(failed.value)
    assert (await printed(town, "p-child", command_id="print-1")).pdf is None
    reply = await printed(town, "p-child", reissue=True)
    login, code = credentials(reply)["p-child"]
    await hand_over(town, "p-child")
    with pytest.raises(Refused) as wrong:
        await activate(town, login, lost[0])
    assert wrong.value.code == "activation.wrong"
    assert (await activate(town, login, code)).person == "p-child"


async def test_while_roster_tells_no_names_no_code_is_made(town: Town, registry: Registry):
    registry.broken = True
    with pytest.raises(CallFailed):
        await printed(town, "p-child", command_id="print-1")
    assert await town.recorded() == []
    registry.broken = False
    assert (await printed(town, "p-child", command_id="print-1")).pdf is not None


async def test_a_class_teacher_prints_for_the_own_class_alone(town: Town, registry: Registry):
    await town.says(hired("p-teacher"), granted("p-teacher"))
    reply = await printed(town, "p-child", "p-mother", "p-other", "p-father", "p-teacher", "p-director", as_=TEACHER_OF_5A)
    assert set(reply.printed) == {"p-child", "p-mother"}
    assert set(reply.refused.values()) == {"access.other-class"}
    [(actor, asked)] = registry.asked
    assert actor == "class_teacher:5a"
    assert set(asked) == {"p-child", "p-mother", "p-brother"}  # the brother stands on the mother's slip
    with pytest.raises(Refused) as found:
        await printed(town, "p-other", class_id="7b", as_=TEACHER_OF_5A)
    assert found.value.code == "access.other-class"


async def test_the_administrator_prints_for_staff_and_nobody_prints_for_another_school(town: Town):
    await town.says(hired("p-coordinator"), CoordinatorAppointed(person="p-coordinator"))
    assert set((await printed(town, "p-director", "p-coordinator")).printed) == {"p-director", "p-coordinator"}
    for actor, code in ((director("school-7"), "access.role"), (administrator("school-8"), "access.other-school")):
        with pytest.raises(Refused) as found:
            await printed(town, "p-child", as_=actor)
        assert found.value.code == code


async def test_in_production_slips_need_the_address_of_a_page(tmp_path: Path, registry: Registry):
    def in_production(settings: Settings) -> Service:
        return build(replace(settings, production=True))

    async with running(tmp_path, {"roster": registry.build, "consent": Service, "identity": in_production}) as system:
        await _fill(Town(system))
        with pytest.raises(Refused) as found:
            await printed(Town(system), "p-child")
    assert found.value.code == "slips.no-page"


async def test_slips_are_printed_on_postgresql_too(tmp_path: Path, fresh_postgres: str, registry: Registry):
    def database_url(service: str) -> str | URL:
        return fresh_postgres if service == "identity" else sqlite_url(tmp_path / "db" / f"{service}.db")

    builds = {"roster": registry.build, "consent": Service, "identity": build}
    async with running(tmp_path, builds, database_url=database_url) as system:
        town = Town(system)
        await _fill(town)
        [first] = await issue(town, "p-child")
        reply = await printed(town, "p-child", "p-mother", reissue=True, command_id="print-1")
        assert (await printed(town, "p-child", "p-mother", reissue=True, command_id="print-1")).pdf is None
        login, code = credentials(reply)["p-child"]
        assert (login, code != first.code) == (first.login, True)
        await hand_over(town, "p-child")
        assert (await activate(town, login, code)).person == "p-child"
