"""The receipt of a decision: what ISO/IEC TS 27560 holds of it, read off the record, and the same on paper for the family.

The record of a consent is made of ids, codes and digests alone. On paper stand names, too: roster is asked for them at that moment, and
they go nowhere else.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from consent.domain import CONSENTS, Consents
from consent.forms import class_names, full_name, seat_name
from consent.projections import timezone
from consent.registry import consent_table
from contracts import consent, receipt, roster
from contracts.call import Role
from contracts.consent import (
    Capacity,
    ConsentExpired,
    ConsentGranted,
    ConsentInvalidated,
    ConsentRefused,
    ConsentWithdrawn,
    SubjectKind,
)
from contracts.receipt import ConsentRecord, Notice, Party, PiiInformation, Processing, Purpose, RecordEvent, ValidityDuration
from contracts.roster import Seat
from eventkit import log
from eventkit.answering import Caller
from eventkit.decider import Refused
from eventkit.event import Origin, Recorded, moment
from eventkit.service import Service
from eventkit.typesetting import typeset, written

_TITLE = "Квитанция о решении по персональным данным"
_AUTHORITY = "roskomnadzor"
_FAMILY = (Role.GUARDIAN, Role.PUPIL, Role.STAFF)


@dataclass(frozen=True, slots=True)
class _Found:
    """A decision among those on its subject, and what only the paper says of it."""

    history: Sequence[Recorded]
    consent_id: str
    kind: SubjectKind
    seat: Seat | None
    zone: str


@dataclass(frozen=True, slots=True)
class Told:
    """What roster has told to be printed and then forgotten: the name of the seat's class, and people's by id."""

    class_name: str = ""
    names: Mapping[str, str] = field(default_factory=dict[str, str])


def register(service: Service) -> None:
    @service.query(consent.RECEIPT)
    async def receipt(request: consent.ReceiptQuery, caller: Caller) -> consent.ConsentReceipt:
        if (request.subject is None) == (request.consent_id is None):
            raise Refused("receipt.subject-unclear", "Say whose receipt: either a subject or a consent_id, not both.")
        found = await service.read(lambda connection: _found(connection, request, caller))
        origin = _asking(service, caller)
        school = (await service.calls.call(roster.SCHOOL, roster.SchoolQuery(school=request.school), origin=origin)).reply
        record = record_of(found.history, found.consent_id, school.name)
        if not request.pdf:
            return consent.ConsentReceipt(receipt=record)
        told = await _told(service, request.school, record, found.seat, caller)
        now = service.clock.now().astimezone(ZoneInfo(found.zone))
        pdf = await asyncio.to_thread(render, record, found.kind, found.seat, told, now=now)
        return consent.ConsentReceipt(receipt=record, pdf=b64encode(pdf).decode())


def record_of(history: Sequence[Recorded], consent_id: str, school_name: str) -> ConsentRecord:
    """The record of one decision out of the history of those on its subject."""
    events = [(recorded, recorded.event()) for recorded in history]
    decided = next(event for _, event in events if isinstance(event, ConsentGranted | ConsentRefused) and event.consent_id == consent_id)
    school = history[0].school
    told: list[RecordEvent] = []
    for recorded, event in events:
        match event:
            case ConsentGranted() if event.consent_id == consent_id:
                evidence = {"evidence_reference": event.evidence_reference, "evidence_sha256": event.evidence_sha256}
                validity = ValidityDuration(valid_from=event.valid_from, valid_until=event.valid_until)
                told.append(_said(recorded, "given", validity_duration=validity, **evidence))
            case ConsentRefused() if event.consent_id == consent_id:
                told.append(_said(recorded, "refused"))
            case ConsentGranted() | ConsentRefused() if event.supersedes == consent_id:
                told.append(_said(recorded, "superseded"))
            case ConsentWithdrawn() if event.consent_id == consent_id:
                told.append(_said(recorded, "withdrawn"))
            case ConsentExpired() if event.consent_id == consent_id:
                told.append(_said(recorded, "expired"))
            case ConsentInvalidated() if event.consent_id == consent_id:
                told.append(_said(recorded, "invalidated"))
            case _:
                pass
    receipt_id = hashlib.sha256("".join((consent_id, *(event.model_dump_json() for event in told))).encode()).hexdigest()
    return ConsentRecord(
        header=receipt.Header(receipt_id=f"r-{receipt_id[:20]}", record_id=consent_id, pii_principal_id=decided.subject),
        processing=_processing(decided, school) if isinstance(decided, ConsentGranted) else None,
        party_identification=tuple(_parties(decided, school, school_name)),
        events=tuple(told),
    )


def render(record: ConsentRecord, kind: SubjectKind, seat: Seat | None, told: Told, *, now: datetime) -> bytes:
    """The receipt as PDF, in Russian. `now` is when it was made, in the school's time."""
    rows = [
        ("Номер квитанции", record.header.receipt_id),
        ("Номер записи", record.header.record_id),
        ("Чьи данные", told.names.get(record.header.pii_principal_id, _KINDS[kind])),
        ("Код субъекта", record.header.pii_principal_id),
    ]
    if seat is not None:
        rows.append(("Место в списке", seat_name(seat, told.class_name)))
    rows += [(_ROLES[party.party_role], _party(party, told)) for party in record.party_identification if party.party_role in _ROLES]
    if record.processing is not None:
        rows += _processed(record.processing)
    data = {
        "title": _TITLE,
        "made_on": written(now.date()),
        "rows": [{"name": name, "value": value} for name, value in rows],
        "events": [_happened(event, now) for event in record.events],
        "schema": record.header.schema_version,
    }
    return typeset(_template(), data, now=now)


# ---- the record -----------------------------------------------------------------------------------------------------------------


def _found(connection: Connection, request: consent.ReceiptQuery, caller: Caller) -> _Found:
    def rows(statement: Any) -> Sequence[Any]:
        return connection.execute(statement).all()

    zone = timezone(rows, request.school)
    table = consent_table.c
    chosen = table.subject == request.subject if request.subject else table.consent_id == request.consent_id
    known = rows(select(table.subject, table.kind).where(table.school == request.school, chosen))
    if not known:
        raise Refused("consent.unknown", f"There is no decision on {request.subject or request.consent_id} in this school.")
    history = log.history(connection, CONSENTS.stream(known[0].subject))
    consents = CONSENTS.fold(recorded.event() for recorded in history)
    if caller.actor.role is Role.GUARDIAN and caller.actor.scope != known[0].subject:
        _check_minor(consents)
    decided = [one.decided for one in consents]
    chosen_one = decided[-1] if request.consent_id is None else next(one for one in decided if one.consent_id == request.consent_id)
    return _Found(history, chosen_one.consent_id, SubjectKind(known[0].kind), chosen_one.seat, zone)


def _check_minor(consents: Consents) -> None:
    """A pupil who has once decided alone is 18, and represented by nobody from then on, in what was decided before neither."""
    valid = (one.decided for one in consents if one.state != "invalidated")
    if any(isinstance(decided, ConsentGranted) and decided.capacity is Capacity.SELF for decided in valid):
        text = "From 18 on a pupil gets the receipts alone."
        raise Refused("consent.not-represented", text, "The pupil asks for them, or the school's administrator prints them for the pupil.")


def _said(recorded: Recorded, state: Any, **more: Any) -> RecordEvent:
    day = date.fromisoformat(recorded.happenedon)
    return RecordEvent(event_time=day, recorded_at=recorded.recordedat, event_state=state, entity_id=recorded.actor, **more)


def _processing(granted: ConsentGranted, school: str) -> Processing:
    terms = granted.terms
    purposes = tuple(
        Purpose(
            purpose=purpose,
            lawful_basis=granted.legal_basis,
            pii_information=tuple(PiiInformation(pii_type=category) for category in terms.data_categories),
            pii_controllers=(school,),
            collection_method=granted.form,
            processing_method=terms.actions,
            storage_locations=(terms.storage_location,),
            retention_period=granted.valid_until or "until-purpose-or-withdrawal",
            recipient_third_parties=terms.recipients,
            withdrawal_method=terms.withdrawal_method,
            authority_party=_AUTHORITY,
        )
        for purpose in terms.purposes
    )
    notice = Notice(
        template=terms.template,
        version=terms.template_version,
        sha256=terms.template_sha256,
        separate_document=terms.separate_document,
    )
    return Processing(privacy_notice=notice, language=terms.language, purposes=purposes)


def _parties(decided: ConsentGranted | ConsentRefused, school: str, school_name: str) -> Sequence[Party]:
    parties = [
        Party(party_id=decided.subject, party_role="pii-principal", party_type="person"),
        Party(party_id=school, party_role="pii-controller", party_type="school", party_name=school_name),
    ]
    if isinstance(decided, ConsentGranted):
        if decided.capacity is Capacity.LEGAL_REPRESENTATIVE:
            authority = {"authority": decided.authority}
            parties.append(Party(party_id=decided.grantor, party_role="representative", party_type="person", **authority))
        if decided.co_signer is not None:
            parties.append(Party(party_id=decided.co_signer, party_role="co-signer", party_type="person"))
        processors = decided.terms.processors
        parties += [Party(party_id=one, party_role="pii-processor", party_type="organisation") for one in processors]
    return [*parties, Party(party_id=_AUTHORITY, party_role="authority", party_type="public-authority")]


# ---- the paper ------------------------------------------------------------------------------------------------------------------


def _asking(service: Service, caller: Caller) -> Origin:
    """As whom roster is asked: the office asks itself. To a family, which roster tells nothing of others, consent tells it."""
    if caller.actor.role in _FAMILY:
        return service.as_itself(caller.command_id, because_of=caller.origin).origin
    return caller.origin


async def _told(service: Service, school: str, record: ConsentRecord, seat: Seat | None, caller: Caller) -> Told:
    """Names for the paper: a family's are of whom it is about and of whom it is for, never another guardian's."""
    people = {party.party_id for party in record.party_identification if party.party_type == "person" and party.party_id is not None}
    if caller.actor.role in _FAMILY:
        people &= {record.header.pii_principal_id, caller.actor.scope or ""}
    origin = _asking(service, caller)
    persons, classes = await asyncio.gather(
        service.calls.call(roster.PERSONS, roster.PersonsQuery(school=school, people=tuple(sorted(people))), origin=origin),
        service.calls.call(roster.CLASSES, roster.ClassesQuery(school=school), origin=origin),
    )
    class_name = class_names(classes.reply).get(seat.class_id, "") if seat is not None else ""
    return Told(class_name, {one.person: full_name(one) for one in persons.reply.persons})


def _party(party: Party, told: Told) -> str:
    if party.party_name is not None:
        return party.party_name
    if party.party_id is None:
        shown = "подпись на бумаге"
    else:
        shown = told.names.get(party.party_id) or _words([party.party_id])
    return f"{shown}, документ {party.authority}" if party.authority else shown


def _processed(processing: Processing) -> list[tuple[str, str]]:
    notice, purpose = processing.privacy_notice, processing.purposes[0]
    until = purpose.retention_period
    return [
        ("Цели", _words(one.purpose for one in processing.purposes)),
        ("Какие данные", _words(one.pii_type for one in purpose.pii_information)),
        ("Действия", _words(purpose.processing_method)),
        ("Место хранения", _words(purpose.storage_locations)),
        ("Кому передаются", _words(purpose.recipient_third_parties) or "никому"),
        ("Срок", f"по {written(until)} включительно" if isinstance(until, date) else "до достижения цели или до отзыва"),
        ("Как отозвать", _words([purpose.withdrawal_method])),
        ("Основание", "согласие, ст. 6 ч. 1 п. 1 Федерального закона № 152-ФЗ"),
        ("Подписанный текст", f"{notice.template}, версия {notice.version}"),
        ("SHA-256 текста", notice.sha256 or "нет"),
    ]


def _happened(event: RecordEvent, now: datetime) -> Mapping[str, str]:
    recorded = moment(event.recorded_at).astimezone(now.tzinfo)
    return {"day": written(event.event_time), "state": _STATES[event.event_state], "recorded": f"{recorded:%d.%m.%Y %H:%M}"}


def _words(codes: Iterable[str]) -> str:
    return ", ".join(_WORDS.get(code, code) for code in codes)


_KINDS = {SubjectKind.STAFF: "сотрудник", SubjectKind.PUPIL: "ученик", SubjectKind.GUARDIAN: "родитель (законный представитель)"}
_ROLES = {
    "pii-controller": "Оператор",
    "representative": "Законный представитель",
    "co-signer": "Подписал(а) также",
    "pii-processor": "Обрабатывает по поручению",
    "authority": "Надзор",
}
_STATES = {
    "given": "согласие дано",
    "refused": "в согласии отказано",
    "withdrawn": "согласие отозвано",
    "expired": "срок согласия истёк",
    "invalidated": "признано недействительным",
    "superseded": "заменено новым решением",
}
_WORDS: dict[str, str] = {
    "school-portal-account": "учётная запись в школьном портале",
    "identity": "имя и дата рождения",
    "contact": "контакты",
    "education": "сведения об учёбе",
    "employment": "сведения о работе",
    "kinship": "родство",
    "collect": "сбор",
    "record": "запись",
    "systematise": "систематизация",
    "accumulate": "накопление",
    "store": "хранение",
    "update": "уточнение",
    "use": "использование",
    "provide-counts": "предоставление сводных чисел",
    "block": "блокирование",
    "delete": "удаление",
    "erase": "удаление",
    "destroy": "уничтожение",
    "RU": "Россия",
    "written-request": "письменное заявление в школу",
    "portal-operator": "оператор портала",
    _AUTHORITY: "Роскомнадзор",
}


@cache
def _template() -> bytes:
    return resources.files("consent").joinpath("receipt.typ").read_bytes()
