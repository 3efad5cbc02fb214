"""What consent hands out on paper, by call: forms of a class and of people, that they were handed out, and the receipts of decisions."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from consent import templates
from consent.app import build
from consent.forms import FORMS_A_PART
from contracts import consent, roster
from contracts.call import Role
from contracts.consent import AgeBand, ConsentRequested, Decision, FormsQuery, ReceiptQuery, RequestConsents, SubjectKind
from contracts.event import Event
from contracts.receipt import ConsentRecord
from contracts.roster import (
    ClassDeclared,
    ClassHeadcountDeclared,
    GuardianLinked,
    NamedPerson,
    Position,
    PupilEnrolled,
    Relation,
    SchoolOpened,
    Seat,
    SeatHolder,
    StaffHired,
)
from eventkit.answering import Caller
from eventkit.decider import Decider, Refused
from eventkit.event import Origin, Recorded, decode
from eventkit.harness import BEGUN, System, administrator, director, running
from eventkit.service import Service, Settings
from eventkit.store import Transaction
from eventkit.tokens import Actor

DAY = date(2015, 8, 17)
ADMINISTRATOR = administrator("school-7")
TEACHER_OF_5A = Actor(Role.CLASS_TEACHER, "5a", "school-7")
MOTHER = Actor(Role.GUARDIAN, "p-mother", "school-7")
NAMES = {
    "p-child": ("Ёлкина", "Анна", "Петровна"),
    "p-mother": ("Ёлкина", "Жанна", "Юрьевна"),
    "p-father": ("Щукин", "Юрий", ""),
    "p-teacher": ("Эрн", "Хельга", "Карловна"),
}
KINDS: dict[str, Any] = {"p-mother": "guardian", "p-father": "guardian", "p-teacher": "staff"}

SAYING: Decider[Event, None] = Decider("saying", None, lambda event, state: [event], lambda state, event: None)


@dataclass
class Registry:
    """A roster that knows names, and remembers who asked for whose."""

    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list[tuple[str, tuple[str, ...]]])

    def build(self, settings: Settings) -> Service:
        service = Service(settings)

        @service.query(roster.PERSONS)
        async def persons(request: roster.PersonsQuery, caller: Caller) -> roster.Persons:
            self.asked.append((caller.origin.actor, request.people))
            return roster.Persons(persons=tuple(_named(person) for person in request.people if person in NAMES))

        @service.query(roster.CLASSES)
        async def classes(request: roster.ClassesQuery, caller: Caller) -> roster.Classes:
            about = {"academic_year": "2015/2016", "created": True, "shift": 1, "headcount": 3, "teacher": None, "revision": 1}
            return roster.Classes(classes=(roster.ClassCard.model_validate({"class_id": "5a", "grade": 5, "letter": "А", **about}),))

        @service.query(roster.SCHOOL)
        async def school(request: roster.SchoolQuery, caller: Caller) -> roster.SchoolCard:
            known = {"municipality": "m-1", "timezone": "Europe/Moscow", "staff": 1, "classes": 2, "pupils": 3, "guardians": 2}
            return roster.SchoolCard.model_validate({"school": request.school, "name": "МБОУ СОШ № 7", **known})

        return service


def _named(person: str) -> NamedPerson:
    last, first, patronymic = NAMES[person]
    return NamedPerson(person=person, kind=KINDS.get(person, "pupil"), last_name=last, first_name=first, patronymic=patronymic)


@dataclass
class Town:
    """school-7 with class 5a of 3 pupils, 5b of 40 and 5c of nobody knows how many, p-child with mother and father, and a teacher."""

    system: System
    registry: Registry

    async def says(self, *events: Event) -> None:
        def work(tx: Transaction) -> None:
            for event in events:
                tx.decide(SAYING, "school-7", event, school="school-7", happened_on=DAY)

        await self.system.instance.services["roster"].store.carry_out(work, Origin("operator", "told", "told"))
        await self.system.settled()

    async def recorded(self) -> list[Recorded]:
        return [decode(data) for _, _, data in await self.system.instance.services["consent"].store.read(BEGUN, 1000)]

    async def decided(self, decision: Decision) -> str:
        request = consent.RecordDecision(school="school-7", decision=decision)
        return (await self.system.call(consent.RECORD_DECISION, request, as_=ADMINISTRATOR)).consent_id

    async def receipt(self, *, as_: Actor = ADMINISTRATOR, **of: Any) -> consent.ConsentReceipt:
        return await self.system.call(consent.RECEIPT, ReceiptQuery(school="school-7", **of), as_=as_)

    async def forms(self, *, as_: Actor = ADMINISTRATOR, **of: Any) -> consent.PrintedForms:
        return await self.system.call(consent.FORMS, FormsQuery(school="school-7", **of), as_=as_)

    async def request(self, *, as_: Actor = ADMINISTRATOR, **of: Any) -> None:
        await self.system.call(consent.REQUEST, RequestConsents(school="school-7", **of), as_=as_)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    registry = Registry()
    async with running(tmp_path, {"roster": registry.build, "consent": build}) as system:
        town = Town(system, registry)
        await town.says(
            SchoolOpened(school="school-7", municipality="m-1", timezone="Europe/Moscow"),
            *(ClassDeclared(class_id=name, grade=5, letter="А", academic_year="2015/2016") for name in ("5a", "5b", "5c")),
            ClassHeadcountDeclared(class_id="5a", pupils=3),
            ClassHeadcountDeclared(class_id="5b", pupils=40),
            StaffHired(person="p-teacher", position=Position.TEACHER, hired_on=DAY),
            PupilEnrolled(person="p-child", seat=seat(3), consent_id=None, legal_basis=None, enrolled_on=DAY),
            *(linked(guardian) for guardian in ("p-mother", "p-father")),
            linked("p-grandmother", legal_representative=False),
        )
        yield town


def seat(number: int, holder: SeatHolder = SeatHolder.PUPIL) -> Seat:
    return Seat(class_id="5a", number=number, holder=holder)


def linked(guardian: str, *, legal_representative: bool = True) -> GuardianLinked:
    about = {"relation": Relation.OTHER, "legal_representative": legal_representative, "consent_id": None, "legal_basis": None}
    return GuardianLinked.model_validate({"pupil": "p-child", "guardian": guardian, **about})


def pages_of(pdf: str | None) -> list[str]:
    opened: Any = PdfReader(BytesIO(b64decode(pdf or "")))
    return [" ".join(page.extract_text().replace("\xa0", " ").split()) for page in opened.pages]


async def refusal(asking: Any) -> str:
    with pytest.raises(Refused) as refused:
        await asking
    return refused.value.code


def child(**more: Any) -> Decision:
    return Decision(granted=True, person="p-child", subject_kind=SubjectKind.PUPIL, **more)


# Forms.


async def test_a_class_gets_a_form_for_each_seat_without_any_name(town: Town):
    printed = await town.forms(class_id="5a", as_=TEACHER_OF_5A)
    assert (printed.forms, printed.part, printed.parts) == (6, 1, 1)
    pages = pages_of(printed.pdf)
    for number, (of_child, of_guardian) in enumerate(zip(pages[::2], pages[1::2], strict=True), start=1):
        assert f"Класс 5 «А», № {number} по списку, ученик" in of_child
        assert f"Класс 5 «А», № {number} по списку, первый родитель" in of_guardian
    assert all("МБОУ СОШ № 7" in page for page in pages)
    assert town.registry.asked == []


async def test_people_who_are_entered_get_forms_with_their_names_which_are_asked_for_on_behalf_of_the_caller(town: Town):
    printed = await town.forms(people=("p-teacher", "p-child", "p-mother"), as_=director("school-7"))
    staff, pupil, guardian = pages_of(printed.pdf)
    assert "Согласие сотрудника" in staff
    assert "Эрн Хельга Карловна" in staff
    assert "персональных данных ребёнка: Ёлкина Анна" not in pupil
    assert "Ёлкина Анна Петровна" in pupil
    assert "Ёлкина Жанна Юрьевна" in guardian
    assert town.registry.asked == [("director:school-7", ("p-teacher", "p-child", "p-mother"))]


async def test_a_pupil_who_is_18_gets_the_own_form_where_it_is_named(town: Town):
    [page] = pages_of((await town.forms(people=("p-child",), template="portal-pupil")).pdf)
    assert "ученика, которому исполнилось 18 лет" in page
    assert await refusal(town.forms(people=("p-teacher",), template="portal-pupil")) == "template.other-signer"
    assert await refusal(town.forms(people=("p-teacher",), template="portal-nobody")) == "template.unknown"


async def test_more_forms_than_an_answer_holds_come_in_parts(town: Town):
    parts = [await town.forms(class_id="5b", part=part) for part in (1, 2, 3)]
    assert [part.forms for part in parts] == [FORMS_A_PART, FORMS_A_PART, 80 - 2 * FORMS_A_PART]
    assert {part.parts for part in parts} == {3}
    assert "№ 40 по списку" in pages_of(parts[-1].pdf)[-1]
    assert await refusal(town.forms(class_id="5b", part=4)) == "forms.no-such-part"


async def test_forms_are_of_whom_there_is_and_a_class_teacher_s_of_the_own_class(town: Town):
    assert await refusal(town.forms()) == "forms.subject-unclear"
    assert await refusal(town.forms(class_id="5a", people=("p-child",))) == "forms.subject-unclear"
    assert await refusal(town.forms(class_id="5z")) == "class.unknown"
    assert await refusal(town.forms(class_id="5c")) == "class.no-headcount"
    assert await refusal(town.forms(people=("p-nobody",))) == "person.unknown"
    assert await refusal(town.forms(class_id="5b", as_=TEACHER_OF_5A)) == "access.other-class"
    assert await refusal(town.forms(people=("p-teacher",), as_=TEACHER_OF_5A)) == "access.other-class"
    assert (await town.forms(people=("p-child", "p-mother"), as_=TEACHER_OF_5A)).forms == 2


# Forms that were handed out.


async def test_forms_handed_out_to_a_class_are_recorded_for_each_seat_once_a_day(town: Town):
    await town.request(class_id="5a", as_=TEACHER_OF_5A)
    await town.request(class_id="5a")
    events = [recorded.event() for recorded in await town.recorded()]
    assert len(events) == 6
    first = events[0]
    assert isinstance(first, ConsentRequested)
    assert (first.seat, first.person, first.template, first.requested_on) == (seat(1), None, "portal-child", DAY)
    assert first.template_sha256 == hashlib.sha256(templates.content("portal-child", 1)).hexdigest()
    await town.request(class_id="5a", happened_on=date(2015, 8, 14))
    assert [recorded.happenedon for recorded in await town.recorded()] == ["2015-08-17"] * 6 + ["2015-08-14"] * 6


async def test_forms_handed_out_to_people_are_recorded_by_person(town: Town):
    await town.request(people=("p-teacher", "p-mother", "p-teacher"))
    facts = [recorded.facts()[1] for recorded in await town.recorded()]
    assert [(fact["person"], fact["subject_kind"], fact["template"]) for fact in facts] == [
        ("p-teacher", "staff", "portal-staff"),
        ("p-mother", "guardian", "portal-guardian"),
    ]
    assert await refusal(town.request(class_id="5b", as_=TEACHER_OF_5A)) == "access.other-class"
    assert await refusal(town.request(class_id="5a", happened_on=date(2015, 8, 18))) == "date.in-future"


# Receipts.


def states(record: ConsentRecord) -> list[str]:
    return [event.event_state for event in record.events]


async def test_a_receipt_is_shaped_as_the_specification_has_it_and_its_digest_is_of_the_text_that_was_signed(town: Town):
    signed = child(
        grantor="p-mother", age_band=AgeBand.FROM_14_TO_17, co_signed=True, valid_until=date(2019, 2, 28), evidence_reference="DELO-12/7"
    )
    consent_id = await town.decided(signed)
    record = (await town.receipt(consent_id=consent_id)).receipt
    assert ConsentRecord.model_validate_json(record.model_dump_json()) == record
    assert (record.header.schema_version, record.header.record_id) == ("ISO/IEC TS 27560:2023", consent_id)
    assert record.header.pii_principal_id == "p-child"
    assert record.header.receipt_id == (await town.receipt(consent_id=consent_id)).receipt.header.receipt_id
    assert record.processing is not None
    notice = record.processing.privacy_notice
    assert notice.sha256 == hashlib.sha256(templates.content(notice.template, notice.version)).hexdigest()
    [purpose] = record.processing.purposes
    assert (purpose.purpose, purpose.retention_period) == ("school-portal-account", date(2019, 2, 28))
    assert [(party.party_role, party.party_id) for party in record.party_identification] == [
        ("pii-principal", "p-child"),
        ("pii-controller", "school-7"),
        ("representative", "p-mother"),
        ("co-signer", "p-child"),
        ("pii-processor", "portal-operator"),
        ("authority", "roskomnadzor"),
    ]
    [given] = record.events
    assert (given.event_state, given.event_time, given.entity_id) == ("given", DAY, "administrator:school-7")
    assert given.evidence_reference == "DELO-12/7"
    assert given.validity_duration is not None
    assert (given.validity_duration.valid_from, given.validity_duration.valid_until) == (DAY, date(2019, 2, 28))


async def test_a_receipt_tells_what_became_of_the_decision(town: Town):
    first = await town.decided(child())
    second = await town.decided(child(form="electronic"))
    await town.system.call(consent.WITHDRAW, consent.Withdraw(school="school-7", consent_id=second), as_=ADMINISTRATOR)
    third = await town.decided(Decision(granted=False, person="p-child", subject_kind=SubjectKind.PUPIL))
    invalidating = consent.Invalidate(school="school-7", consent_id=third, reason=consent.InvalidationReason.NOT_SIGNED)
    await town.system.call(consent.INVALIDATE, invalidating, as_=ADMINISTRATOR)
    told = [states((await town.receipt(consent_id=one)).receipt) for one in (first, second, third)]
    assert len({(await town.receipt(consent_id=one)).receipt.header.receipt_id for one in (first, second, third)}) == 3
    assert told == [["given", "superseded"], ["given", "withdrawn"], ["refused", "invalidated"]]
    last = (await town.receipt(subject="p-child")).receipt
    assert (last.header.record_id, last.processing) == (third, None)


async def test_an_expired_consent_says_so(town: Town):
    consent_id = await town.decided(child(valid_until=date(2015, 8, 31)))
    await town.system.until("2015-09-01T12:00:00+03:00")
    assert states((await town.receipt(consent_id=consent_id)).receipt) == ["given", "expired"]


async def test_a_printed_receipt_names_people_and_its_metadata_do_not(town: Town):
    await town.decided(child(grantor="p-mother"))
    receipt = await town.receipt(subject="p-child", pdf=True)
    text = " ".join(pages_of(receipt.pdf))
    for told in ("Ёлкина Анна Петровна", "Ёлкина Жанна Юрьевна", "МБОУ СОШ № 7", "согласие дано", "17.08.2015", "Роскомнадзор"):
        assert told in text
    assert receipt.receipt.processing is not None
    assert (receipt.receipt.processing.privacy_notice.sha256 or "none") in text.replace(" ", "")
    assert "Ёлкин" not in receipt.receipt.model_dump_json()
    opened: Any = PdfReader(BytesIO(b64decode(receipt.pdf or "")))
    root = opened.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert opened.outline == []
    for metadata in (root["/Metadata"].get_data().decode(), str(opened.metadata)):
        assert "Квитанция о решении" in metadata
        assert "Ёлкин" not in metadata
        assert "p-child" not in metadata
    assert town.registry.asked == [("administrator:school-7", ("p-child", "p-mother"))]


async def test_the_receipt_of_a_seat_says_where_it_is(town: Town):
    consent_id = await town.decided(Decision(granted=True, seat=seat(2), subject_kind=SubjectKind.PUPIL))
    text = " ".join(pages_of((await town.receipt(consent_id=consent_id, pdf=True)).pdf))
    assert "Класс 5 «А», № 2 по списку, ученик" in text
    assert "подпись на бумаге" in text


async def test_a_family_gets_the_receipts_of_its_own_decisions_without_the_other_guardian_s_name(town: Town):
    await town.decided(child(grantor="p-father"))
    own = await town.decided(Decision(granted=True, person="p-mother", subject_kind=SubjectKind.GUARDIAN))
    text = " ".join(pages_of((await town.receipt(subject="p-child", pdf=True, as_=MOTHER)).pdf))
    assert "Ёлкина Анна Петровна" in text
    assert "Щукин" not in text
    assert town.registry.asked == [("service:consent", ("p-child",))]
    assert (await town.receipt(subject="p-mother", as_=MOTHER)).receipt.header.record_id == own
    pupil = Actor(Role.PUPIL, "p-child", "school-7")
    assert (await town.receipt(subject="p-child", as_=pupil)).receipt.header.pii_principal_id == "p-child"


OTHERS: Sequence[tuple[Role, str]] = (
    (Role.GUARDIAN, "p-teacher"),
    (Role.GUARDIAN, "p-nobody"),
    (Role.GUARDIAN, "p-grandmother"),
    (Role.PUPIL, "p-mother"),
    (Role.STAFF, "p-teacher"),
)


async def test_a_representative_gets_no_receipt_of_a_pupil_who_has_decided_alone_since_coming_of_age(town: Town):
    before = await town.decided(child(grantor="p-mother"))
    assert (await town.receipt(consent_id=before, as_=MOTHER)).receipt.header.record_id == before
    await town.decided(child(age=18))
    for asked in ({"subject": "p-child"}, {"consent_id": before}):
        assert await refusal(town.receipt(**asked, as_=MOTHER)) == "consent.not-represented"
    pupil = Actor(Role.PUPIL, "p-child", "school-7")
    assert (await town.receipt(consent_id=before, as_=pupil)).receipt.header.record_id == before


async def test_nobody_gets_the_receipt_of_others_nor_learns_whether_there_is_one(town: Town):
    consent_id = await town.decided(child())
    for role, person in OTHERS:
        actor = Actor(role, person, "school-7")
        for asked in ({"subject": "p-child"}, {"consent_id": consent_id}, {"subject": "p-none"}, {"consent_id": "c-none"}):
            assert await refusal(town.receipt(**asked, as_=actor)) == "access.other-person"
    assert await refusal(town.receipt(subject="p-none")) == "consent.unknown"
    assert await refusal(town.receipt()) == "receipt.subject-unclear"
