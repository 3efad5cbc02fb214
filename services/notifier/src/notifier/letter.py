"""The letters: what a message says, in Russian and English, as plain text and as HTML. No link, and nobody's name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape
from typing import NamedTuple

from contracts.notifier import ClassNotice, Notice, OwnDate, StepCount, Template
from notifier.domain.message import Contents
from notifier.names import Names

_ADDRESS = re.compile(r"[!-;=?A-~]+@[!-;=?A-~]+")  # printable ASCII, without angle brackets


class Title(NamedTuple):
    """What a step is called."""

    ru: str
    en: str


@dataclass(frozen=True)
class Letter:
    """What a letter says. `titles` are the steps', by plan (empty: the school's) and number; without one a step is only numbered.

    `names` are those of the schools and classes whose ids stand in it."""

    message: str
    school: str
    template: Template
    day: date
    contents: Contents
    titles: Mapping[tuple[str, int], Title] = field(default_factory=dict[tuple[str, int], Title])
    names: Names = field(default_factory=Names)


def deliverable(address: str) -> bool:
    """Whether this can be an address at all; anything else never reaches a header or the mail server."""
    return _ADDRESS.fullmatch(address) is not None


def written(letter: Letter, *, sender: str, address: str, at: datetime) -> EmailMessage:
    """The letter as it is sent. Its Message-ID is the message's, so that a mail system can recognise a second copy."""
    russian, english = _page(letter, RUSSIAN), _page(letter, ENGLISH)
    domain = sender.rpartition("@")[2]
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = address
    mail["Subject"] = f"{_subject(letter, RUSSIAN)} / {_subject(letter, ENGLISH)}"
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = f"<{letter.message}@{domain}>"
    mail["List-Id"] = f"Vekha <{letter.template}.vekha.{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{_text(russian)}\n\n{_text(english)}\n", cte="base64")
    mail.add_alternative(_html(russian, english), subtype="html", cte="base64")
    return mail


# ---- The two languages ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Language:
    """How things are said in one language."""

    code: str
    date: Callable[[date], str]
    title: Callable[[Title], str]
    subject: Callable[[Notice], str]
    notice: Callable[[Notice], str]
    own: Callable[[OwnDate, date], str]
    people: Callable[[ClassNotice, Names], str]
    schools: Callable[[StepCount, Names], str]
    and_more: Callable[[int], str]
    plan: str
    step: str
    manager: str
    overdue: str
    near: str
    news: str
    own_date: str
    own_subject: Callable[[date], str]
    classes: str
    where_to_look: str
    digest: Callable[[int], str]


_MONTHS_RU = ("января", "февраля", "марта", "апреля", "мая", "июня", "июля", "августа", "сентября", "октября", "ноября", "декабря")
_WEEKDAYS_RU = ("понедельник", "вторник", "среда", "четверг", "пятница", "суббота", "воскресенье")
_MONTHS_EN = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WEEKDAYS_EN = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _date_ru(day: date) -> str:
    return f"{day.day} {_MONTHS_RU[day.month - 1]} {day.year} года"


def _date_en(day: date) -> str:
    return f"{day.day} {_MONTHS_EN[day.month - 1]} {day.year}"


def _with_weekday_ru(day: date | None) -> str:
    return f"{_date_ru(day)} ({_WEEKDAYS_RU[day.weekday()]})" if day else ""


def _with_weekday_en(day: date | None) -> str:
    return f"{_WEEKDAYS_EN[day.weekday()]}, {_date_en(day)}" if day else ""


def _count_ru(n: int, one: str, few: str, many: str) -> str:
    """A number with its noun: 1 день, 2 дня, 5 дней, 11 дней, 21 день."""
    if n % 10 == 1 and n % 100 != 11:
        return f"{n} {one}"
    if n % 10 in (2, 3, 4) and n % 100 not in (12, 13, 14):
        return f"{n} {few}"
    return f"{n} {many}"


def _count_en(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


def _workdays_ru(n: int) -> str:
    return _count_ru(n, "рабочий день", "рабочих дня", "рабочих дней")


def _workdays_en(n: int) -> str:
    return _count_en(n, "working day", "working days")


def _left_ru(days: int | None, until: timedelta | None) -> str:
    """How long there is: a date may be a day off, so the days of the week say which are today and tomorrow."""
    match until:
        case timedelta(days=0):
            return "сегодня"
        case timedelta(days=1):
            return "завтра"
        case _:
            return f"через {_workdays_ru(days or 0)}"


def _left_en(days: int | None, until: timedelta | None) -> str:
    match until:
        case timedelta(days=0):
            return "today"
        case timedelta(days=1):
            return "tomorrow"
        case _:
            return f"in {_workdays_en(days or 0)}"


def _until(due: date | None, day: date | None) -> timedelta | None:
    return due - day if due and day else None


def _subject_ru(one: Notice) -> str:
    match one.kind:
        case "deadline-approaching":
            return f"срок {'сегодня, ' if one.due == one.day else ''}{_date_ru(one.due)}" if one.due else "приближается срок"
        case "step-overdue":
            return f"срок прошёл {_date_ru(one.due)}" if one.due else "срок прошёл"
        case "step-completed":
            return "выполнен"
        case "step-reopened":
            return "снова открыт"
        case "completion-corrected" | "reopening-corrected":
            return "исправление"


def _subject_en(one: Notice) -> str:
    match one.kind:
        case "deadline-approaching":
            return f"due {'today, ' if one.due == one.day else 'on '}{_date_en(one.due)}" if one.due else "the deadline is near"
        case "step-overdue":
            return f"was due on {_date_en(one.due)}" if one.due else "overdue"
        case "step-completed":
            return "completed"
        case "step-reopened":
            return "open again"
        case "completion-corrected" | "reopening-corrected":
            return "a correction"


def _notice_ru(one: Notice) -> str:
    match one.kind:
        case "deadline-approaching":
            return f"Ещё не выполнен. Срок: {_with_weekday_ru(one.due)}, {_left_ru(one.working_days, _until(one.due, one.day))}."
        case "step-overdue":
            return f"Не выполнен. Срок был: {_with_weekday_ru(one.due)}."
        case "step-completed":
            return f"Выполнен: {_with_weekday_ru(one.day)}."
        case "step-reopened":
            return f"Был выполнен и снова открыт: {_with_weekday_ru(one.day)}. Появилось то, что ещё предстоит сделать."
        case "completion-corrected":
            return f"Исправление: {_with_weekday_ru(one.day)} шаг не был выполнен, хотя об этом сообщалось."
        case "reopening-corrected":
            return f"Исправление: {_with_weekday_ru(one.day)} шаг не был снова открыт, хотя об этом сообщалось."


def _notice_en(one: Notice) -> str:
    match one.kind:
        case "deadline-approaching":
            return f"Not done yet. It is due on {_with_weekday_en(one.due)}: {_left_en(one.working_days, _until(one.due, one.day))}."
        case "step-overdue":
            return f"Not done. It was due on {_with_weekday_en(one.due)}."
        case "step-completed":
            return f"Done on {_with_weekday_en(one.day)}."
        case "step-reopened":
            return f"It was done and is open again since {_with_weekday_en(one.day)}: something new has to be done."
        case "completion-corrected":
            return f"A correction: it was not done on {_with_weekday_en(one.day)}, although you were told so."
        case "reopening-corrected":
            return f"A correction: it was not open again on {_with_weekday_en(one.day)}, although you were told so."


def _staff_or_class_ru(class_id: str | None, names: Names) -> str:
    return "Сотрудники и те, кто не в классе" if class_id is None else f"Класс {names.class_(class_id)}"


def _staff_or_class_en(class_id: str | None, names: Names) -> str:
    return "Staff, and who is in no class" if class_id is None else f"Class {names.class_(class_id)}"


def _more_schools(line: StepCount, names: Names, more: Callable[[int], str]) -> str:
    rest = line.schools - len(line.listed)
    return ", ".join(names.school(school) for school in line.listed) + (more(rest) if rest else "")


def _and_more_ru(n: int) -> str:
    return f" и ещё {n}"


def _and_more_en(n: int) -> str:
    return f" and {n} more"


RUSSIAN = Language(
    code="ru",
    date=_with_weekday_ru,
    title=lambda title: title.ru,
    subject=_subject_ru,
    notice=_notice_ru,
    own=lambda one, day: (
        f"Зарегистрируйте свой аккаунт по выданным логину и временному паролю. Ваш срок: {_with_weekday_ru(one.due)}, "
        f"{_left_ru(one.working_days, one.due - day)}."
    ),
    people=lambda one, names: (
        f"{_staff_or_class_ru(one.class_id, names)}: {_count_ru(one.people, 'человек', 'человека', 'человек')}, "
        f"свой срок прошёл {_workdays_ru(one.working_days)} назад."
    ),
    schools=lambda one, names: f"{_count_ru(one.schools, 'школа', 'школы', 'школ')}: {_more_schools(one, names, _and_more_ru)}.",
    and_more=_and_more_ru,
    plan="план",
    step="Шаг",
    manager="Сводка",
    overdue="Срок прошёл",
    near="Приближается срок",
    news="Что изменилось",
    own_date="Ваш аккаунт",
    own_subject=lambda due: f"Зарегистрируйте аккаунт до {_date_ru(due)}",
    classes="Кто ещё не зарегистрировал аккаунт",
    where_to_look="Кто именно, показывает объяснение шага в системе.",
    digest=lambda steps: f"Просрочено в школах: {_count_ru(steps, 'шаг', 'шага', 'шагов')}",
)

ENGLISH = Language(
    code="en",
    date=_with_weekday_en,
    title=lambda title: title.en,
    subject=_subject_en,
    notice=_notice_en,
    own=lambda one, day: (
        f"Register your account with the login and the temporary password that you received. Your date is {_with_weekday_en(one.due)}: "
        f"{_left_en(one.working_days, one.due - day)}."
    ),
    people=lambda one, names: (
        f"{_staff_or_class_en(one.class_id, names)}: {_count_en(one.people, 'person', 'people')}, "
        f"{_workdays_en(one.working_days)} past their own date."
    ),
    schools=lambda one, names: f"{_count_en(one.schools, 'school', 'schools')}: {_more_schools(one, names, _and_more_en)}.",
    and_more=_and_more_en,
    plan="plan",
    step="Step",
    manager="Digest",
    overdue="Overdue",
    near="Due soon",
    news="What has changed",
    own_date="Your account",
    own_subject=lambda due: f"register your account by {_date_en(due)}",
    classes="Who has not registered an account yet",
    where_to_look="The explanation of the step, in the system, shows who they are.",
    digest=lambda steps: f"overdue in schools: {_count_en(steps, 'step', 'steps')}",
)


# ---- What it says -----------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    head: str
    detail: str


class Section(NamedTuple):
    heading: str
    lines: Sequence[Line]
    remark: str = ""


class Page(NamedTuple):
    language: str
    heading: str
    sections: Sequence[Section]


def _subject(letter: Letter, language: Language) -> str:
    """What is due and when, of the most urgent step; how many more there are."""
    told = letter.contents
    if told.overdue:
        return language.digest(len(told.overdue))
    if told.own:
        return language.own_subject(told.own[0].due)
    if not told.notices:
        return f"{language.step} {told.classes[0].step}: {language.classes}" if told.classes else language.news
    first, steps = told.notices[0], {one.step for one in told.notices}
    more = language.and_more(len(steps) - 1) if len(steps) > 1 else ""
    return f"{language.step} {first.step}: {language.subject(first)}{more}"


def _page(letter: Letter, language: Language) -> Page:
    def head(step: int, plan: str = "") -> str:
        title = letter.titles.get((plan, step))
        return f"{language.step} {step}. {language.title(title)}" if title else f"{language.step} {step}"

    told = letter.contents
    by_kind: dict[str, list[Line]] = {language.overdue: [], language.near: [], language.news: []}
    for one in told.notices:
        heading = {"step-overdue": language.overdue, "deadline-approaching": language.near}.get(one.kind, language.news)
        by_kind[heading].append(Line(head(one.step), language.notice(one)))
    plans = list(dict.fromkeys(one.plan for one in told.overdue))
    counts = [
        (
            language.overdue if len(plans) == 1 else f"{language.overdue} ({language.plan} {plan})",
            [one for one in told.overdue if one.plan == plan],
        )
        for plan in plans
    ]
    sections = [
        Section(language.own_date, [Line(head(one.step), language.own(one, letter.day)) for one in told.own]),
        *(Section(heading, lines) for heading, lines in by_kind.items()),
        Section(
            language.classes, [Line(head(one.step), language.people(one, letter.names)) for one in told.classes], language.where_to_look
        ),
        *(
            Section(heading, [Line(head(one.step, one.plan), language.schools(one, letter.names)) for one in found])
            for heading, found in counts
        ),
    ]
    whose = language.manager if letter.template != "daily" else letter.names.school(letter.school)
    return Page(language.code, f"{whose}, {language.date(letter.day)}", [section for section in sections if section.lines])


def _text(page: Page) -> str:
    parts = [page.heading]
    for section in page.sections:
        parts += ["", f"{section.heading}:"]
        for line in section.lines:
            parts += [f"- {line.head}", f"  {line.detail}"]
        if section.remark:
            parts.append(section.remark)
    return "\n".join(parts)


def _html(*pages: Page) -> str:
    parts = ['<!doctype html><html lang="ru"><head><meta charset="utf-8"></head><body>']
    for page in pages:
        parts.append(f'<div lang="{page.language}"><h1>{escape(page.heading)}</h1>')
        for section in page.sections:
            lines = "".join(f"<li><b>{escape(line.head)}</b><br>{escape(line.detail)}</li>" for line in section.lines)
            remark = f"<p>{escape(section.remark)}</p>" if section.remark else ""
            parts.append(f"<h2>{escape(section.heading)}</h2><ul>{lines}</ul>{remark}")
        parts.append("</div>")
    parts.append("</body></html>")
    return "\n".join(parts)
