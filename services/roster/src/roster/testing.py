"""For tests: a school on an instance, and roster files for it."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import itertools
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts import consent, roster
from contracts.call import Call
from contracts.consent import Decision, SubjectKind
from contracts.event import Event
from contracts.roster import ImportStatus, RollBackStatus, Seat, SeatHolder
from eventkit.decider import Refused
from eventkit.event import Recorded, decode
from eventkit.harness import BEGUN, System, administrator

ADMINISTRATOR = administrator("school-7")

Cells = Mapping[str, str]

_uploads = itertools.count(1)


@dataclass
class School:
    """school-7 on an instance, and files for it."""

    system: System
    answers: list[ImportStatus] = field(default_factory=list[ImportStatus])

    async def call(self, call: Call[Any, Any], **body: Any) -> Any:
        return await self.system.call(call, call.request.model_validate({"school": "school-7", **body}), as_=ADMINISTRATOR)

    async def refusal(self, call: Call[Any, Any], **body: Any) -> str:
        """The code with which a call is refused; empty where it is not."""
        try:
            await self.call(call, **body)
        except Refused as refused:
            return refused.code
        return ""

    async def upload(self, content: bytes, name: str = "school.csv", upload: str = "", part_bytes: int = 200_000) -> str:
        upload = upload or f"u-{next(_uploads)}"
        pieces = [content[first : first + part_bytes] for first in range(0, len(content), part_bytes)]
        for number, piece in enumerate(pieces, 1):
            body = {"part": number, "parts": len(pieces), "file_name": name, "content": base64.b64encode(piece).decode()}
            await self.call(roster.UPLOAD, upload=upload, **body)
        return upload

    async def begin(self, content: bytes, name: str = "school.csv", upload: str = "", **more: Any) -> ImportStatus:
        return await self.call(roster.IMPORT, upload=await self.upload(content, name, upload), **more)

    async def ended(self, job: str) -> ImportStatus:
        status = await self.call(roster.IMPORT_STATUS, job=job)
        while status.state == "running":
            await asyncio.sleep(0.01)
            status = await self.call(roster.IMPORT_STATUS, job=job)
        return status

    async def imported(self, content: bytes, name: str = "school.csv", **more: Any) -> ImportStatus:
        status = await self.ended((await self.begin(content, name, **more)).job)
        if status.state != "done":
            raise AssertionError(f"the import ended as {status.state}: {status.error_code}")
        return status

    async def rolled_back(self, job: str) -> RollBackStatus:
        """Rolls an import back, and answers how that ended."""
        status = await self.call(roster.ROLL_BACK_IMPORT, import_id=job)
        while status.state == "running":
            await asyncio.sleep(0.01)
            status = await self.call(roster.ROLL_BACK_IMPORT, import_id=job)
        return status

    async def decide(self, seat: Seat, number: str, *, granted: bool = True) -> str:
        kind = SubjectKind.PUPIL if seat.holder is SeatHolder.PUPIL else SubjectKind.GUARDIAN
        decision = Decision(granted=granted, seat=seat, subject_kind=kind, number=number)
        return (await self.call(consent.RECORD_DECISION, decision=decision)).subject

    async def class_id(self, letter: str = "А") -> str:
        cards = (await self.call(roster.CLASSES)).classes
        return next(card.class_id for card in cards if card.letter == letter)

    async def people(self, kind: str) -> set[str]:
        return set((await self.call(roster.PEOPLE, kind=kind)).people)

    async def names(self, kind: str) -> list[str]:
        cards = [await self.call(roster.PERSON, person=person) for person in await self.people(kind)]
        return sorted(f"{card.details.last_name} {card.details.first_name}" for card in cards)

    async def recorded(self, service: str = "roster") -> list[Recorded]:
        return [decode(data) for _, _, data in await self.system.instance.services[service].store.read(BEGUN, 100_000)]

    async def events(self, kind: type[Event], service: str = "roster") -> list[Any]:
        return [recorded.event() for recorded in await self.recorded(service) if recorded.type == kind.type]


async def open_school(school: School) -> None:
    await school.system.call(roster.OPEN_SCHOOL, roster.OpenSchool(school="school-7", name="Школа № 7", municipality="dubna"))
    await school.system.settled()


def csv_of(rows: Sequence[Cells]) -> bytes:
    columns = list(dict.fromkeys(title for row in rows for title in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, delimiter=";")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def zip_of(**files: Sequence[Cells]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, rows in files.items():
            archive.writestr(f"{name}.csv", csv_of(rows))
    return content.getvalue()


def klass(letter: str = "А", pupils: str = "25", **more: str) -> Cells:
    return {"Параллель": "5", "Литера": letter, "Учебный год": "2015/2016", "Заявлено учеников": pupils, **more}


def member(number: str = "17", last_name: str = "Кузнецова", **more: str) -> Cells:
    cells = {"Табельный №": number, "Фамилия": last_name, "Имя": "Ольга", "Должность": "Учитель математики", "Роль": "Учитель"}
    return {**cells, "Дата приёма": "01.09.2010", **more}


def child(number: int, last_name: str = "Иванов", first_name: str = "", consent_number: str = "С-{}", **more: str) -> Cells:
    cells = {
        "ID": f"У-{number}",
        "Фамилия": last_name,
        "Имя": first_name or "Пётр" + "а" * number,
        "Дата рождения": "01.03.2005",
        "Класс": "5А",
        "Дата зачисления": "01.09.2012",
    }
    if consent_number:
        cells |= {"Согласие №": consent_number.format(number), "Дата согласия": "14.08.2015"}
    return {**cells, **more}


def parent(guardian: int, identifier: str = "Р-1", consent_number: str = "М-1", first_name: str = "Жанна", **more: str) -> Cells:
    cells = {"ID": identifier, "Фамилия": "Иванова", "Имя": first_name, "Степень родства": "мать", "Законный представитель": "да"}
    if consent_number:
        cells |= {"Согласие №": consent_number, "Дата согласия": "14.08.2015"}
    return {f"Родитель {guardian}: {title}": cell for title, cell in {**cells, **more}.items()}


def seat(class_id: str, number: int, holder: SeatHolder = SeatHolder.PUPIL) -> Seat:
    return Seat(class_id=class_id, number=number, holder=holder)


def outcome(status: ImportStatus) -> tuple[int, int, int, int, int]:
    return (status.created, status.updated, status.unchanged, status.review, status.rejected_rows)


def codes(status: ImportStatus) -> list[tuple[int | None, str | None, str]]:
    return [(cell.row, cell.column, cell.code) for cell in status.rejected]
