"""What notifier records and answers: messages queued because of announcements, accepted or bounced by the mail server."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.call import Reply, Role, SchoolRequest, query
from contracts.event import Event, Identifier, Value, event

Template = Literal["deadline-approaching", "step-overdue", "step-completed", "step-reopened"]


# ---- Events -----------------------------------------------------------------------------------------------------------


@event("notifier.message-queued.v1")
class MessageQueued(Event):
    """A message to one person, because of one event; its text and address are made when it is sent."""

    message: Identifier
    recipient: Identifier
    template: Template
    step: int
    cause: Identifier


@event("notifier.message-accepted.v1")
class MessageAccepted(Event):
    message: Identifier
    recipient: Identifier


@event("notifier.message-bounced.v1")
class MessageBounced(Event):
    """The mail server refused the message for good; `status` is its three-digit answer."""

    message: Identifier
    recipient: Identifier
    status: Annotated[int, Field(ge=400, le=599)]


# ---- Calls ------------------------------------------------------------------------------------------------------------


class OutboxQuery(SchoolRequest):
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class OutboxRow(Value):
    """`ambiguous`: it went out and the mail server's answer was lost. `unaddressed`: roster knows no address of the recipient."""

    message: Identifier
    recipient: Identifier
    template: Template
    step: int
    state: Literal["queued", "accepted", "bounced", "ambiguous", "unaddressed"]
    attempts: int


class Outbox(Reply):
    messages: tuple[OutboxRow, ...]


OUTBOX = query("notifier.outbox", OutboxQuery, Outbox, (Role.DIRECTOR, Role.ADMINISTRATOR), "A school's messages, newest first")
