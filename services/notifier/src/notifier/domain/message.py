"""A message to one recipient: queued, then accepted by the mail server or bounced. What was accepted may still come back, later on.

The id of a day's message is made of its recipient and its day, the one of a message with a link of what it takes along, of a notice of its
proposal: so whoever writes it again queues nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from typing import Literal

from contracts.event import Event
from contracts.notifier import (
    ClassNotice,
    LinkQueued,
    MessageAccepted,
    MessageBounced,
    MessageQueued,
    Notice,
    OwnDate,
    ReissueNoticeQueued,
    StepCount,
    Template,
)
from eventkit.decider import Decider, Refused


@dataclass(frozen=True)
class Message:
    """What became of a message; None: nobody has queued it. `credential` is the one whose link it takes along."""

    message: str = ""
    recipient: str = ""
    credential: str | None = None
    state: Literal["queued", "accepted", "bounced"] | None = None


@dataclass(frozen=True)
class Contents:
    """What a message tells: notices to whoever answers for steps, own dates to a person, counts to managers."""

    notices: tuple[Notice, ...] = ()
    own: tuple[OwnDate, ...] = ()
    classes: tuple[ClassNotice, ...] = ()
    overdue: tuple[StepCount, ...] = ()


@dataclass(frozen=True)
class Queue:
    """`read_to` is the position in the plan's log up to which this tells its announcements."""

    message: str
    recipient: str
    template: Template
    day: date
    read_to: int
    contents: Contents


@dataclass(frozen=True)
class QueueLink:
    """A message that takes the link of a credential to its owner."""

    message: str
    recipient: str
    credential: str


@dataclass(frozen=True)
class QueueReissueNotice:
    """A message that tells an owner that a code was replaced under a proposal."""

    message: str
    recipient: str
    proposal: str


@dataclass(frozen=True)
class Accept:
    """The mail server has taken the message on."""


@dataclass(frozen=True)
class Bounce:
    """The mail server will not have the message, for good: its three-digit answer."""

    status: int


@dataclass(frozen=True)
class Return:
    """The message has come back after the mail server had accepted it: the last server's three-digit answer."""

    status: int


Command = Queue | QueueLink | QueueReissueNotice | Accept | Bounce | Return


def message_id(school: str, recipient: str, day: date) -> str:
    """The id of the one message of a day to `recipient`: an id in a school, or, where `school` is `_`, a manager's."""
    return sha256(f"{school}/{recipient}/{day}".encode()).hexdigest()[:32]


def link_message_id(school: str, recipient: str, credential: str) -> str:
    """The id of the message that takes a link to its owner."""
    return sha256(f"{school}/{recipient}/link/{credential}".encode()).hexdigest()[:32]


def reissue_message_id(school: str, recipient: str, proposal: str) -> str:
    """The id of the message that tells an owner of a bulk reissue."""
    return sha256(f"{school}/{recipient}/reissue/{proposal}".encode()).hexdigest()[:32]


def decide(command: Command, state: Message) -> Sequence[Event]:
    match command, state.state:
        case Queue(contents=told), None:
            return [
                MessageQueued(
                    message=command.message,
                    recipient=command.recipient,
                    template=command.template,
                    day=command.day,
                    read_to=command.read_to,
                    notices=told.notices,
                    own=told.own,
                    classes=told.classes,
                    overdue=told.overdue,
                )
            ]
        case QueueLink(message, recipient, credential), None:
            return [LinkQueued(message=message, recipient=recipient, credential=credential)]
        case QueueReissueNotice(message, recipient, proposal), None:
            return [ReissueNoticeQueued(message=message, recipient=recipient, proposal=proposal)]
        case Accept(), "queued":
            return [MessageAccepted(message=state.message, recipient=state.recipient)]
        case (Bounce(status), "queued") | (Return(status), "queued" | "accepted"):  # what came back had gone out, whatever we knew
            return [MessageBounced(message=state.message, recipient=state.recipient, status=status)]
        case (Queue() | QueueLink() | QueueReissueNotice(), _) | (Accept(), "accepted") | (Bounce() | Return(), "bounced"):
            return []
        case _, None:
            raise Refused("message.unknown", "No such message was queued: queue it first.")
        case _, outcome:
            raise Refused("message.settled", f"This message was {outcome} already: an outcome is final.")


def evolve(state: Message, event: Event) -> Message:
    match event:
        case MessageQueued() | ReissueNoticeQueued():
            return Message(event.message, event.recipient, None, "queued")
        case LinkQueued():
            return Message(event.message, event.recipient, event.credential, "queued")
        case MessageAccepted():
            return replace(state, state="accepted")
        case MessageBounced():
            return replace(state, state="bounced")
        case _:
            return state


MESSAGES = Decider[Command, Message]("message", Message(), decide, evolve)
