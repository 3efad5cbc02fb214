"""The call that notifier answers: a school's outbox."""

from __future__ import annotations

from sqlalchemy import Connection, select

from contracts import notifier
from eventkit.answering import Caller
from eventkit.service import Service
from notifier.outbox import outbox_table
from notifier.projections import timezone


def register(service: Service) -> None:
    @service.query(notifier.OUTBOX)
    async def outbox(request: notifier.OutboxQuery, caller: Caller) -> notifier.Outbox:
        return await service.read(lambda connection: _outbox(connection, request))


def _outbox(connection: Connection, request: notifier.OutboxQuery) -> notifier.Outbox:
    timezone(lambda statement: connection.execute(statement).all(), request.school)  # refuses an unknown school
    table = outbox_table
    found = connection.execute(select(table).where(table.c.school == request.school).order_by(table.c.number.desc()).limit(request.limit))
    return notifier.Outbox(
        messages=tuple(
            notifier.OutboxRow(
                message=row.message,
                recipient=row.recipient,
                template=row.template,
                step=row.step,
                state=row.state,
                attempts=row.attempts,
            )
            for row in found
        )
    )
