"""The letters: a message's text in Russian and English, to one address. Plain text, no link, no name but the address itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from contracts.notifier import Template

_ADDRESS = re.compile(r"[!-;=?A-~]+@[!-;=?A-~]+")  # printable ASCII, without angle brackets

_SUBJECTS: dict[Template, tuple[str, str]] = {
    "deadline-approaching": ("приближается срок", "the deadline is near"),
    "step-overdue": ("срок прошёл", "overdue"),
    "step-completed": ("выполнен", "completed"),
    "step-reopened": ("снова открыт", "open again"),
}

_BODIES: dict[Template, tuple[str, str]] = {
    "deadline-approaching": (
        "Шаг {step} плана ещё не выполнен. Срок: {due_ru}.",
        "Step {step} of the plan is not done yet. It is due on {due}.",
    ),
    "step-overdue": (
        "Шаг {step} плана не выполнен в срок. Срок был: {due_ru}.",
        "Step {step} of the plan is overdue. It was due on {due}.",
    ),
    "step-completed": ("Шаг {step} плана выполнен.", "Step {step} of the plan is done."),
    "step-reopened": (
        "Шаг {step} плана был выполнен и снова открыт: появилось то, что ещё предстоит сделать.",
        "Step {step} of the plan was done and is open again: something new has to be done.",
    ),
}


@dataclass(frozen=True)
class Letter:
    """What a letter says. `due` is set for a notice about a date."""

    message: str
    school: str
    template: Template
    step: int
    due: date | None


def deliverable(address: str) -> bool:
    """Whether this can be an address at all; anything else never reaches a header or the mail server."""
    return _ADDRESS.fullmatch(address) is not None


def written(letter: Letter, *, sender: str, address: str, at: datetime) -> EmailMessage:
    """The letter as it is sent. Its Message-ID is the message's, so that a mail system can recognise a second copy."""
    subject_ru, subject_en = _SUBJECTS[letter.template]
    values = {
        "step": letter.step,
        "due": letter.due.isoformat() if letter.due else "",
        "due_ru": letter.due.strftime("%d.%m.%Y") if letter.due else "",
    }
    body_ru, body_en = (text.format(**values) for text in _BODIES[letter.template])
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = address
    mail["Subject"] = f"Шаг {letter.step}: {subject_ru} / Step {letter.step}: {subject_en}"
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = f"<{letter.message}@{sender.rpartition('@')[2].rstrip('>')}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"Школа {letter.school}\n{body_ru}\n\nSchool {letter.school}\n{body_en}\n", cte="base64")
    return mail
