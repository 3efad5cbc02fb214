"""The letter with an activation link: to one person, in Russian and English, as plain text and as HTML. It names the school alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape

from notifier.letter import ENGLISH, RUSSIAN

_SUBJECT = "Активация вашего аккаунта / Activate your account"


@dataclass(frozen=True)
class LinkLetter:
    """What the letter says. `link` is a secret: it stands here while it is sent, and is never shown otherwise."""

    message: str
    school: str
    link: str
    login: str
    expires_on: date

    def __repr__(self) -> str:
        return f"LinkLetter({self.message})"


def link_written(letter: LinkLetter, *, sender: str, address: str, at: datetime) -> EmailMessage:
    """The letter as it is sent. Its Message-ID is the message's, so that what comes back can be recognised."""
    domain = sender.rpartition("@")[2]
    paragraphs = {"ru": _russian(letter), "en": _english(letter)}
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = address
    mail["Subject"] = _SUBJECT
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = f"<{letter.message}@{domain}>"
    mail["List-Id"] = f"Vekha <activation-link.vekha.{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n\n\n".join("\n\n".join(told) for told in paragraphs.values()) + "\n", cte="base64")
    mail.add_alternative(_html(letter, paragraphs), subtype="html", cte="base64")
    return mail


def _russian(letter: LinkLetter) -> tuple[str, ...]:
    return (
        f"{letter.school} приглашает вас в единую информационную систему школы.",
        f"Откройте ссылку и придумайте свой пароль. Ваш логин: {letter.login}.",
        letter.link,
        f"Ссылка открывается один раз и действует до {RUSSIAN.date(letter.expires_on)} включительно. Никому её не пересылайте.",
        "Письмо пришло по ошибке, или по ссылке зарегистрировались не вы? Сообщите администратору школы: он её отменит и выдаст другую.",
    )


def _english(letter: LinkLetter) -> tuple[str, ...]:
    return (
        f"{letter.school} invites you to the unified information system of the school.",
        f"Open the link and choose a password of your own. Your login: {letter.login}.",
        letter.link,
        f"The link opens once, until the end of {ENGLISH.date(letter.expires_on)}. Do not forward it to anybody.",
        "Is this mail not meant for you, or was it not you who used the link? Tell the school's administrator, who issues another one.",
    )


def _html(letter: LinkLetter, paragraphs: dict[str, tuple[str, ...]]) -> str:
    parts = ['<!doctype html><html lang="ru"><head><meta charset="utf-8"></head><body>']
    for language, told in paragraphs.items():
        shown = (f'<a href="{escape(one)}">{escape(one)}</a>' if one == letter.link else escape(one) for one in told)
        parts.append(f'<div lang="{language}">{"".join(f"<p>{one}</p>" for one in shown)}</div>')
    parts.append("</body></html>")
    return "\n".join(parts)
