"""The act of destruction of a person's data, as приказ Роскомнадзора № 179 of 28.10.2022 asks for it, made of the record alone.

Only the random id of the person is left to be named. What the record does not know, the operator's address and who signs, is left to be
filled in by hand. The document is tagged (PDF/UA-1) and looks the same on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib import resources

import typst

from contracts.erasure import DataCategory, DestroyedIn, ErasureGround

_TITLE = "Акт об уничтожении персональных данных"
_STANDARD = "ua-1"
_YEARS_KEPT = 3

SYSTEMS = {
    "roster": "Реестр людей школы (roster)",
    "consent": "Учёт согласий (consent)",
    "identity": "Учётные записи и доступ (identity)",
    "plan": "План внедрения (plan)",
    "notifier": "Рассылка сообщений (notifier)",
}

CATEGORIES = {
    DataCategory.DETAILS: "фамилия, имя, отчество, дата рождения, СНИЛС, телефон, адрес электронной почты",
    DataCategory.KEY: "ключ, которым были зашифрованы эти сведения",
    DataCategory.MATCHING_DIGESTS: "отпечатки внешних номеров и имён для поиска",
    DataCategory.IMPORTED_FILES: "загруженные файлы со списками и результаты их загрузки",
    DataCategory.CREDENTIALS: "логин, отпечатки паролей и кодов",
    DataCategory.ACTIVITY: "дни входа в систему",
    DataCategory.MESSAGES: "сообщения, адресованные субъекту",
}

REASONS = {
    ErasureGround.WITHDRAWN: "отзыв согласия (152-ФЗ, ст. 21, ч. 5)",
    ErasureGround.REFUSED: "отказ от согласия, данного ранее (152-ФЗ, ст. 21, ч. 5)",
    ErasureGround.EXPIRED: "истечение срока согласия (152-ФЗ, ст. 21, ч. 4)",
    ErasureGround.INVALIDATED: "согласие признано недействительным (152-ФЗ, ст. 21, ч. 3)",
    ErasureGround.OFFICE_ENDED: "прекращение полномочий при отсутствии согласия (152-ФЗ, ст. 21, ч. 4)",
    ErasureGround.LEFT: "достижение цели обработки: субъект выбыл (152-ФЗ, ст. 21, ч. 4)",
    ErasureGround.SUBJECT_REQUEST: "требование субъекта (152-ФЗ, ст. 14, ч. 1; ст. 20, ч. 3)",
    ErasureGround.UNLAWFUL: "неправомерная обработка (152-ФЗ, ст. 21, ч. 3)",
    ErasureGround.COURT_ORDER: "решение суда",
    ErasureGround.AUTHORITY: "требование уполномоченного органа",
}

NOTHING = "персональные данные не хранились (только случайный идентификатор)"
WAY = "удаление записей из баз данных с перезаписью их содержимого"
WAY_WITH_KEY = "уничтожение ключа шифрования и удаление записей из баз данных с перезаписью их содержимого"


@dataclass(frozen=True, slots=True)
class Act:
    """What the act says; `entries` are the lines of the log that prove it, each a service, a position and a digest."""

    school: str
    person: str
    erasure: str
    reason: str
    ordered_on: date
    completed_on: date
    carried_out_by: str
    destroyed: Sequence[DestroyedIn]
    entries: Sequence[tuple[str, int, str]]


def render(act: Act, *, now: datetime) -> bytes:
    """The act as PDF. `now` is when it was made, in the school's time."""
    data = {
        "title": _TITLE,
        "school": act.school,
        "person": act.person,
        "erasure": act.erasure,
        "reason": act.reason,
        "ordered_on": _written(act.ordered_on),
        "completed_on": _written(act.completed_on),
        "carried_out_by": act.carried_out_by,
        "kept_until": _written(_kept_until(act.completed_on)),
        "destroyed": [
            {"system": one.system, "categories": "; ".join(one.categories), "way": one.way, "on": _written(one.destroyed_on)}
            for one in act.destroyed
        ],
        "entries": [{"service": service, "position": str(position), "sha256": digest} for service, position, digest in act.entries],
    }
    compiler = typst.Compiler(_template(), font_paths=_fonts(), ignore_system_fonts=True)
    stamp = now.astimezone(UTC).replace(microsecond=0)
    inputs = {"data": json.dumps(data, ensure_ascii=False)}
    document = compiler.compile(format="pdf", sys_inputs=inputs, pdf_standards=[_STANDARD], timestamp=stamp)
    if not isinstance(document, bytes):
        raise TypeError("a PDF is one file")
    return document


def _kept_until(day: date) -> date:
    leap_day = (day.month, day.day) == (2, 29)
    return day.replace(year=day.year + _YEARS_KEPT, **({"month": 3, "day": 1} if leap_day else {}))


def _written(day: date) -> str:
    return f"{day:%d.%m.%Y}"


@cache
def _template() -> bytes:
    return resources.files("consent").joinpath("act.typ").read_bytes()


@cache
def _fonts() -> typst.Fonts:
    return typst.Fonts(include_system_fonts=False)
