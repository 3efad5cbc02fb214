"""The letter with an activation link: to one person, in Russian and English, as plain text and as HTML. It names the school alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from email.message import EmailMessage

from notifier.letter import ENGLISH, RUSSIAN
from notifier.plain_letter import PlainLetter, plain_written

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
    plain = PlainLetter(letter.message, "activation-link", _SUBJECT, _russian(letter), _english(letter), letter.link)
    return plain_written(plain, sender=sender, address=address, at=at)


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
