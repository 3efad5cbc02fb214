"""What notifier records and answers: the one message a day that a recipient gets, accepted or bounced by the mail server."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.call import Reply, Request, Role, SchoolRequest, command, query
from contracts.event import Event, Identifier, Value, event, upcast

NoticeKind = Literal[
    "deadline-approaching", "step-overdue", "step-completed", "step-reopened", "completion-corrected", "reopening-corrected"
]
Template = Literal["daily", "municipality-digest", "ministry-digest"]
"""To whom a message is written: a person of the school, by id; a municipality, by its code; or the ministry, whose id is `ministry`."""


class Notice(Value):
    """What a message says because of one announcement, `cause`. `day`, `due` and `working_days` (before or after `due`) as announced."""

    kind: NoticeKind
    step: int
    day: date | None
    due: date | None
    working_days: int | None
    cause: Identifier


class OwnDate(Value):
    """What a message says of the recipient's own date (step 19): `working_days` are left until `due`."""

    step: int
    due: date
    working_days: int


class ClassNotice(Value):
    """How many people of a class, or without one of the staff, have been past their own dates for `working_days`: never who."""

    step: int
    class_id: Identifier | None
    working_days: int
    people: Annotated[int, Field(ge=1)]


class StepCount(Value):
    """In how many schools a step of a plan is overdue: what a manager is told. `listed` are the first of them."""

    plan: Identifier
    step: int
    schools: Annotated[int, Field(ge=1)]
    listed: tuple[Identifier, ...]


# ---- Events -----------------------------------------------------------------------------------------------------------


@event("notifier.message-queued.v1")
class MessageQueuedV1(Event):
    """As the second version; each announcement was a message of its own."""

    message: Identifier
    recipient: Identifier
    template: Literal["deadline-approaching", "step-overdue", "step-completed", "step-reopened"]
    step: int
    cause: Identifier


@event("notifier.message-queued.v2")
class MessageQueued(Event):
    """All that one recipient is told on one day; text and address are made when it is sent.

    `read_to` is the position in the plan's log up to which its announcements are told with this. `day` is null in a message of the first
    version.
    """

    message: Identifier
    recipient: Identifier
    template: Template
    day: date | None
    read_to: int
    notices: tuple[Notice, ...]
    own: tuple[OwnDate, ...]
    classes: tuple[ClassNotice, ...]
    overdue: tuple[StepCount, ...]


@upcast("notifier.message-queued.v1", "notifier.message-queued.v2")
def _one_announcement_a_message(data: dict[str, Any]) -> dict[str, Any]:
    notice = {"kind": data["template"], "step": data["step"], "day": None, "due": None, "working_days": None, "cause": data["cause"]}
    return {
        "message": data["message"],
        "recipient": data["recipient"],
        "template": "daily",
        "day": None,
        "read_to": 0,
        "notices": [notice],
        "own": [],
        "classes": [],
        "overdue": [],
    }


@event("notifier.link-queued.v1")
class LinkQueued(Event):
    """A message that takes an activation link to its owner alone. The link itself is asked of identity when the message is sent."""

    message: Identifier
    recipient: Identifier
    credential: Identifier


@event("notifier.reissue-notice-queued.v1")
class ReissueNoticeQueued(Event):
    """A message that tells the owner of a code or account that it was replaced, with many others', under a proposal."""

    message: Identifier
    recipient: Identifier
    proposal: Identifier


@event("notifier.message-accepted.v1")
class MessageAccepted(Event):
    message: Identifier
    recipient: Identifier


@event("notifier.message-bounced.v1")
class MessageBounced(Event):
    """The mail server refused the message for good, at once or after it had accepted it; `status` is its three-digit answer."""

    message: Identifier
    recipient: Identifier
    status: Annotated[int, Field(ge=400, le=599)]


# ---- Calls ------------------------------------------------------------------------------------------------------------


class OutboxQuery(Request):
    """The messages of one school, or, without `school`, those to municipalities and the ministry."""

    school: Identifier | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class OutboxRow(Value):
    """`ambiguous`: it is going out, or may have gone out, and the mail server's answer was lost. `unaddressed`: nobody knows the
    recipient's address. `expired`: it was too old to be sent when the sender was started. `lost`: it was to take a link along that is
    nobody's to send any more, because it was taken before, replaced or too old: another one has to be issued."""

    message: Identifier
    recipient: Identifier
    template: Template | Literal["activation-link", "reissue-notice"]
    day: date
    notices: tuple[Notice, ...]
    own: tuple[OwnDate, ...]
    classes: tuple[ClassNotice, ...]
    overdue: tuple[StepCount, ...]
    state: Literal["queued", "accepted", "bounced", "ambiguous", "unaddressed", "expired", "lost"]
    attempts: int


class Outbox(Reply):
    messages: tuple[OutboxRow, ...]


class PreviewQuery(SchoolRequest):
    """What would be sent because of a school over the next `days`, today's message included where it is still to be written."""

    days: Annotated[int, Field(ge=1, le=60)] = 14


class PreviewNotice(Value):
    kind: NoticeKind
    step: int
    due: date | None
    working_days: int | None


class PreviewRow(Value):
    day: date
    recipient: Identifier
    template: Template
    notices: tuple[PreviewNotice, ...]


class Preview(Reply):
    """If nothing more is done. What is done meanwhile, and people's own dates, are not foreseen."""

    messages: tuple[PreviewRow, ...]


class ReportBounce(Request):
    """A message that had been accepted has come back: what the postmaster's report says of it. `status` is the last server's answer."""

    message: Identifier
    status: Annotated[int, Field(ge=400, le=599)]
    happened_on: date | None = None


class BounceReported(Reply):
    """`school` is `_` for a message to a municipality or the ministry."""

    school: str
    recipient: str


_OFFICE = (Role.DIRECTOR, Role.ADMINISTRATOR)

OUTBOX = query("notifier.outbox", OutboxQuery, Outbox, _OFFICE, "A school's messages, newest first")
REPORT_BOUNCE = command("notifier.report-bounce", ReportBounce, BounceReported, (), "Says that a message which had been accepted came back")
PREVIEW = query("notifier.preview", PreviewQuery, Preview, _OFFICE, "Whom a school's dates would be told to over the next days")
