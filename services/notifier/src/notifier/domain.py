"""A message to one person: queued because of one event, then accepted by the mail server or bounced, and never both.

A message's id is made of its cause and its recipient, so whoever reacts to the same event again queues nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal

from contracts.event import Event
from contracts.notifier import MessageAccepted, MessageBounced, MessageQueued, Template
from eventkit.decider import Decider, Refused


@dataclass(frozen=True)
class Message:
    """What became of a message; None: nobody has queued it."""

    message: str = ""
    recipient: str = ""
    state: Literal["queued", "accepted", "bounced"] | None = None


@dataclass(frozen=True)
class Queue:
    message: str
    recipient: str
    template: Template
    step: int
    cause: str


@dataclass(frozen=True)
class Accept:
    """The mail server has taken the message on."""


@dataclass(frozen=True)
class Bounce:
    """The mail server will not have the message, for good: its three-digit answer."""

    status: int


Command = Queue | Accept | Bounce


def message_id(cause: str, recipient: str) -> str:
    """The id of the message to `recipient` because of the event `cause`."""
    return sha256(f"{cause}/{recipient}".encode()).hexdigest()[:32]


def decide(command: Command, state: Message) -> Sequence[Event]:
    match command, state.state:
        case Queue(), None:
            return [
                MessageQueued(
                    message=command.message,
                    recipient=command.recipient,
                    template=command.template,
                    step=command.step,
                    cause=command.cause,
                )
            ]
        case Accept(), "queued":
            return [MessageAccepted(message=state.message, recipient=state.recipient)]
        case Bounce(), "queued":
            return [MessageBounced(message=state.message, recipient=state.recipient, status=command.status)]
        case (Queue(), _) | (Accept(), "accepted") | (Bounce(), "bounced"):
            return []
        case _, None:
            raise Refused("message.unknown", "No such message was queued: queue it first.")
        case _, outcome:
            raise Refused("message.settled", f"This message was {outcome} already: an outcome is final.")


def evolve(state: Message, event: Event) -> Message:
    match event:
        case MessageQueued():
            return Message(event.message, event.recipient, "queued")
        case MessageAccepted():
            return replace(state, state="accepted")
        case MessageBounced():
            return replace(state, state="bounced")
        case _:
            return state


MESSAGES = Decider[Command, Message]("message", Message(), decide, evolve)
