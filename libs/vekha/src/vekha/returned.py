"""What a mail system reports of mail that did not arrive (RFC 3464): which of our messages, and the last server's answer.

Only headers are read: a report may bring the whole text back, and with it a link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, message_from_string
from email.message import Message
from email.policy import compat32
from typing import Any

_OURS = re.compile(r"<([0-9a-f]{32})@[^<>@\s]+>")
_ANSWER = re.compile(r"\b([45][0-9]{2})\b")
_STATUS = re.compile(r"([45])\.[0-9]{1,3}\.[0-9]{1,3}")
_FOR_GOOD = 50  # what stands behind the class where a report gives no server's own answer


@dataclass(frozen=True, slots=True)
class Returned:
    """`status` is a server's three-digit answer."""

    message: str
    status: int


def returned(report: bytes) -> Returned | None:
    """Which message came back for good; None where this is no report of that, or not of a message of ours."""
    mail = message_from_bytes(report, policy=compat32)
    if mail.get_content_type() != "multipart/report":
        return None
    statuses = [status for part in mail.walk() if part.get_content_type() == "message/delivery-status" for status in _failed(part)]
    ids = [found[1] for part in mail.walk() if (found := _OURS.fullmatch(_message_id(part).strip()))]
    return Returned(ids[0], statuses[0]) if ids and statuses else None


def _failed(part: Message[str, str]) -> Iterator[int]:
    """The answers for recipients whom the message did not reach, and will not."""
    for block in _parts(part):
        if str(block.get("Action", "")).strip().casefold() != "failed":
            continue
        answer, status = _ANSWER.search(str(block.get("Diagnostic-Code", ""))), _STATUS.search(str(block.get("Status", "")))
        if answer:
            yield int(answer[1])
        elif status:
            yield int(status[1]) * 100 + _FOR_GOOD


def _message_id(part: Message[str, str]) -> str:
    """The id of the message that a part of a report brings back, whole or its headers alone."""
    match part.get_content_type():
        case "text/rfc822-headers":
            text = part.get_payload(decode=True)
            return str(message_from_string(text.decode("ascii", "replace")).get("Message-ID", "")) if isinstance(text, bytes) else ""
        case "message/rfc822":
            return next((str(inner.get("Message-ID", "")) for inner in _parts(part)), "")
        case _:
            return ""


def _parts(part: Message[str, str]) -> list[Message[str, str]]:
    if not part.is_multipart():  # a text, where a part is none of what its type says
        return []
    payload: Any = part.get_payload()
    return payload
