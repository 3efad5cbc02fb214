"""Messages with activation links: one is queued for each link that identity has prepared, and identity is told what became of it.

Both are consequences of events, and their commands' ids are made of those, so whatever is done again repeats nothing. Notifier learns the
link itself only while it sends the message, and keeps it nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Literal

from contracts.identity import RECORD_MAILING, RecordMailing
from eventkit import log
from eventkit.clock import local_day
from eventkit.event import Origin, Recorded
from eventkit.reaction import Reaction
from eventkit.service import Service
from eventkit.store import Transaction
from notifier.domain.message import MESSAGES, Message, QueueLink, link_message_id
from notifier.erasing import ERASED
from notifier.outbox import link_queued
from notifier.projections import place


class QueueLinks(Reaction):
    """Queues a message of its own for each link. `wake` is called after that."""

    name = "queue-links"
    sources = ("identity",)
    types = frozenset({"identity.link-prepared.v1"})

    def __init__(self, service: Service, wake: Callable[[], None]) -> None:
        self._service = service
        self._wake = wake

    async def react(self, event: Recorded) -> None:
        caller = self._service.as_itself(event.id, because_of=_cause(event), causation_id=event.id)
        await self._service.carry_out(caller, lambda tx: _queue(tx, event), part="link")
        self._wake()


def _queue(tx: Transaction, event: Recorded) -> None:
    _, fact = event.facts()
    person, credential = fact["person"], fact["credential"]
    if tx.state(ERASED, person):
        return
    day = local_day(tx.now, place(tx.rows, event.school).timezone)  # of the mail, whenever the link was issued
    message = QueueLink(link_message_id(event.school, person, credential), person, credential)
    if tx.decide(MESSAGES, message.message, message, school=event.school, happened_on=day):
        tx.write(link_queued(event.school, message, day))


class TellIdentity(Reaction):
    """Tells identity what became of a message with a link: taken by the mail server, or come back."""

    name = "tell-identity"
    sources = ("notifier",)
    types = frozenset({"notifier.message-accepted.v1", "notifier.message-bounced.v1"})

    def __init__(self, service: Service) -> None:
        self._service = service

    async def react(self, event: Recorded) -> None:
        type_name, fact = event.facts()
        message = await self._service.read(lambda connection: _message(log.history(connection, MESSAGES.stream(fact["message"]))))
        if message.credential is None:
            return
        outcome: Literal["accepted", "bounced"] = "accepted" if type_name == "notifier.message-accepted.v1" else "bounced"
        request = RecordMailing(
            school=event.school,
            person=message.recipient,
            credential=message.credential,
            message=message.message,
            outcome=outcome,
            happened_on=date.fromisoformat(event.happenedon),
        )
        await self._service.calls.call(RECORD_MAILING, request, command_id=f"{event.id}.{outcome}")


def _message(history: Iterable[Recorded]) -> Message:
    return MESSAGES.fold(recorded.event() for recorded in history)


def _cause(event: Recorded) -> Origin:
    return Origin(event.actor, event.commandid, event.correlationid)
