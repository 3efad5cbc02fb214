"""A letter of a few paragraphs, in Russian and English, as plain text and as HTML. One of the paragraphs may be a link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape


@dataclass(frozen=True)
class PlainLetter:
    """What the letter says. A `link` is a secret: it stands here while it is sent, and is never shown otherwise."""

    message: str
    kind: str
    subject: str
    russian: Sequence[str]
    english: Sequence[str]
    link: str | None = None

    def __repr__(self) -> str:
        return f"PlainLetter({self.message})"


def plain_written(letter: PlainLetter, *, sender: str, address: str, at: datetime) -> EmailMessage:
    """The letter as it is sent. Its Message-ID is the message's, so that what comes back can be recognised."""
    domain = sender.rpartition("@")[2]
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = address
    mail["Subject"] = letter.subject
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = f"<{letter.message}@{domain}>"
    mail["List-Id"] = f"Vekha <{letter.kind}.vekha.{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n\n\n".join("\n\n".join(told) for told in (letter.russian, letter.english)) + "\n", cte="base64")
    mail.add_alternative(_html(letter), subtype="html", cte="base64")
    return mail


def _html(letter: PlainLetter) -> str:
    parts = ['<!doctype html><html lang="ru"><head><meta charset="utf-8"></head><body>']
    for language, told in (("ru", letter.russian), ("en", letter.english)):
        shown = (f'<a href="{escape(one)}">{escape(one)}</a>' if one == letter.link else escape(one) for one in told)
        parts.append(f'<div lang="{language}">{"".join(f"<p>{one}</p>" for one in shown)}</div>')
    parts.append("</body></html>")
    return "\n".join(parts)
