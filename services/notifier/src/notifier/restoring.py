"""What follows in the outbox from an event that is taken back from the bus (DESIGN 2.3).

Of a message that was queued nobody knows any more whether it went out: it does not go out again.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy import Connection, update

from contracts.notifier import LinkQueued, MessageAccepted, MessageBounced, MessageQueued, ReissueNoticeQueued
from eventkit.event import Recorded
from notifier.domain.message import Contents, Queue, QueueLink, QueueReissueNotice
from notifier.outbox import State, link_queued, outbox_table, queued, reissue_notice_queued


def follow(connection: Connection, recorded: Recorded) -> None:
    """Writes rows as the command did that recorded the event."""
    event, day = recorded.event(), date.fromisoformat(recorded.happenedon)
    match event:
        case MessageQueued():
            contents = Contents(event.notices, event.own, event.classes, event.overdue)
            message = Queue(event.message, event.recipient, event.template, event.day or day, event.read_to, contents)
            connection.execute(queued(recorded.school, message))
            _became(connection, event.message, "ambiguous")
        case LinkQueued():
            connection.execute(link_queued(recorded.school, QueueLink(event.message, event.recipient, event.credential), day))
            _became(connection, event.message, "ambiguous")
        case ReissueNoticeQueued():
            notice = QueueReissueNotice(event.message, event.recipient, event.proposal)
            connection.execute(reissue_notice_queued(recorded.school, notice, day))
            _became(connection, event.message, "ambiguous")
        case MessageAccepted():
            _became(connection, event.message, "accepted")
        case MessageBounced():
            _became(connection, event.message, "bounced")
        case _:
            pass


def _became(connection: Connection, message: str, state: State) -> None:
    connection.execute(update(outbox_table).where(outbox_table.c.message == message).values(state=state))
