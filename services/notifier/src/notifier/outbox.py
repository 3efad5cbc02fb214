"""The outbox: every message that was queued, and how far it has come. Ids alone; text and address are made when it is sent.

A row appears in the transaction of its MessageQueued. Only `queued` rows are ever sent. A row is called `ambiguous` before the text goes
out and stays so unless the mail server says what it did, or it turns out that nothing can go out: whatever dies in between, no message goes
out twice. After `KEPT` a row goes: what was told whom, and what became of it, stands in the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final, Literal

from pydantic import TypeAdapter
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Date,
    Delete,
    Index,
    Insert,
    Integer,
    MetaData,
    Row,
    Table,
    Text,
    Update,
    delete,
    insert,
    select,
    update,
)

from notifier.domain.message import Contents, Queue, QueueLink, QueueReissueNotice

State = Literal["queued", "accepted", "bounced", "ambiguous", "unaddressed", "expired", "lost"]
"""`unaddressed`: nobody knows an address of the recipient. `expired`: it was too old already when the sender was started. `lost`: nobody is
told any more the link that it was to take along."""

KEPT: Final = timedelta(days=90)
"""How long after its day a message stands in the outbox, whatever became of it. No mail server tries for so long, and no return is
reported so late."""

LINK: Final = "activation-link"
"""The template of a message that takes a link to its owner: that and nothing else."""

REISSUE_NOTICE: Final = "reissue-notice"
"""The template of a message that tells an owner of a bulk reissue."""

metadata = MetaData()

outbox_table = Table(
    "outbox",
    metadata,
    Column("number", Integer, primary_key=True),  # the order of queueing
    Column("message", Text, nullable=False, unique=True),
    Column("school", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("template", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("contents", Text, nullable=False),  # JSON
    Column("credential", Text),  # whose link it takes along
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
)
Index("outbox_school", outbox_table.c.school, outbox_table.c.number)
Index("outbox_day", outbox_table.c.day)
Index("outbox_state", outbox_table.c.state, outbox_table.c.attempts, outbox_table.c.number)

_contents = TypeAdapter(Contents)


def queued(school: str, message: Queue) -> Insert:
    """Puts a message that was just queued into the outbox."""
    return insert(outbox_table).values(
        message=message.message,
        school=school,
        recipient=message.recipient,
        template=message.template,
        day=message.day,
        contents=_contents.dump_json(message.contents).decode(),
        state="queued",
        attempts=0,
    )


def link_queued(school: str, message: QueueLink, day: date) -> Insert:
    """Puts a message with a link into the outbox. The link itself is with identity until the message is sent."""
    return _queued_without_contents(school, message, LINK, day).values(credential=message.credential)


def reissue_notice_queued(school: str, message: QueueReissueNotice, day: date) -> Insert:
    """Puts a notice of a bulk reissue into the outbox."""
    return _queued_without_contents(school, message, REISSUE_NOTICE, day)


def _queued_without_contents(school: str, message: QueueLink | QueueReissueNotice, template: str, day: date) -> Insert:
    return insert(outbox_table).values(
        message=message.message,
        school=school,
        recipient=message.recipient,
        template=template,
        day=day,
        contents=_contents.dump_json(Contents()).decode(),
        state="queued",
        attempts=0,
    )


def contents(row: Row[Any]) -> Contents:
    return _contents.validate_json(row.contents)


def waiting(connection: Connection, limit: int) -> Sequence[Row[Any]]:
    """What is to be sent: the least tried first, so that what keeps failing holds nobody back."""
    table = outbox_table
    return connection.execute(select(table).where(table.c.state == "queued").order_by(table.c.attempts, table.c.number).limit(limit)).all()


def claim(tried: Row[Any]) -> Update:
    """Takes a message that was found waiting for sending: it meets no row where another process of the service was faster."""
    return set_state(tried, "ambiguous")


def set_state(tried: Row[Any], state: State, *, claimed: bool = False) -> Update:
    """Says what became of a message as it was found waiting, after one more attempt; it meets no row where that is another's to say."""
    table, attempts = outbox_table, tried.attempts + 1
    found = (table.c.state == "ambiguous", table.c.attempts == attempts) if claimed else _waits_still(tried)
    return update(table).where(table.c.message == tried.message, *found).values(state=state, attempts=attempts)


def _waits_still(tried: Row[Any]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return outbox_table.c.state == "queued", outbox_table.c.attempts == tried.attempts


def returned(message: str) -> Update:
    """Says that a message which had gone out came back."""
    return update(outbox_table).where(outbox_table.c.message == message).values(state="bounced")


def expire(before: date) -> Update:
    """Gives up what was never sent of the days before one."""
    table = outbox_table
    return update(table).where(table.c.state == "queued", table.c.day < before).values(state="expired")


def forget(before: date) -> Delete:
    """Deletes the messages of the days before one."""
    return delete(outbox_table).where(outbox_table.c.day < before)
