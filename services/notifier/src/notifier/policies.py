"""Whom an announcement of the plan concerns: one message is queued for each of them, once for ever.

The reaction only queues. Sending is the sender's, so that a mail server that is away holds no announcement back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from sqlalchemy import insert

from contracts import plan
from contracts.notifier import Template
from contracts.operations import HEAD, Nothing
from eventkit.clock import local_day
from eventkit.event import Origin, Recorded
from eventkit.service import Service
from eventkit.store import Transaction
from notifier.domain import MESSAGES, Queue, message_id
from notifier.outbox import outbox_table
from notifier.projections import Office, officers, timezone

TEMPLATES: Mapping[str, Template] = {
    plan.DeadlineApproaching.type: "deadline-approaching",
    plan.StepBecameOverdue.type: "step-overdue",
    plan.StepCompleted.type: "step-completed",
    plan.StepReopened.type: "step-reopened",
}
"""What each announcement is turned into; all other events of the plan are nobody's mail."""

DIRECTORS_STEPS = frozenset(range(1, 7))
"""Order 39/2 names the director as responsible for its rows 1 to 6, and the administrator for the rest."""


class Notices:
    """Queues messages because of the plan's announcements. `queued` is called after each commit that queued some."""

    name = "notices"
    sources = ("plan",)
    types = frozenset(TEMPLATES)

    def __init__(self, service: Service, queued: Callable[[], None]) -> None:
        self._service = service
        self._queued = queued

    async def react(self, event: Recorded) -> None:
        await self._know_the_officers()
        type_name, fact = event.facts()
        template = TEMPLATES[type_name]

        def work(tx: Transaction) -> int:
            return _queue(tx, event, template, fact)

        because = Origin(event.actor, event.commandid, event.correlationid)
        if await self._service.carry_out(self._service.as_itself(event.id, because_of=because), work, part="messages"):
            self._queued()

    async def _know_the_officers(self) -> None:
        """Announcements and staff come over two bus streams: who was appointed before must not be passed over because we read slowly."""
        head = (await self._service.calls.call(HEAD["roster"], Nothing())).reply
        await self._service.caught_up({"roster": head.position})


def recipients(template: Template, step: int, holders: Mapping[Office, list[str]]) -> list[str]:
    """Whom a message goes to, each once: the responsible before the date, they and the director after it, the director about the rest.

    Where a school has no coordinator yet, the director is the one responsible (DOMAIN 6).
    """
    directors, coordinators = holders["director"], holders["coordinator"]
    responsible = directors if step in DIRECTORS_STEPS else coordinators or directors
    match template:
        case "deadline-approaching":
            told = responsible
        case "step-overdue":
            told = [*responsible, *directors]
        case "step-completed" | "step-reopened":
            told = directors
    return list(dict.fromkeys(told))


def _queue(tx: Transaction, event: Recorded, template: Template, fact: Mapping[str, Any]) -> int:
    today = local_day(tx.now, timezone(tx.rows, event.school))
    queued = 0
    for recipient in recipients(template, fact["step"], officers(tx.rows, event.school)):
        message = message_id(event.id, recipient)
        command = Queue(message, recipient, template, fact["step"], event.id)
        if not tx.decide(MESSAGES, message, command, school=event.school, happened_on=today):
            continue
        due = date.fromisoformat(fact["due"]) if "due" in fact else None
        tx.write(
            insert(outbox_table).values(
                message=message,
                school=event.school,
                recipient=recipient,
                template=template,
                step=fact["step"],
                due=due,
                state="queued",
                attempts=0,
            )
        )
        queued += 1
    return queued
