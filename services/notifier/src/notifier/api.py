"""The calls that notifier answers: the outbox, and whom the next days' messages would go to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

from sqlalchemy import Connection, select

from contracts import notifier
from contracts.event import NO_SCHOOL
from contracts.notifier import Notice, PreviewNotice, PreviewRow, Template
from contracts.plan import NOTICES_AHEAD, NoticesAhead, NoticesAheadQuery
from eventkit.answering import Caller
from eventkit.clock import DEFAULT_ZONE
from eventkit.decider import Refused
from eventkit.erasure import without_forgotten
from eventkit.service import Service, happened_on
from eventkit.store import Transaction
from notifier.domain.message import MESSAGES, Return
from notifier.domain.telling import MINISTRY_TOLD_WD, MUNICIPALITY_TOLD_WD, Announcement, Officers, current, in_school
from notifier.outbox import KEPT, contents, outbox_table, returned
from notifier.policies import MINISTRY, last_told, untold, untold_to_managers
from notifier.projections import Rows, officers, place

_DAY = timedelta(days=1)


def register(service: Service) -> None:
    @service.query(notifier.OUTBOX)
    async def outbox(request: notifier.OutboxQuery, caller: Caller) -> notifier.Outbox:
        return await service.read(lambda connection: _outbox(connection, request))

    @service.command(notifier.REPORT_BOUNCE)
    def report_bounce(request: notifier.ReportBounce, tx: Transaction, caller: Caller) -> notifier.BounceReported:
        found = tx.rows(select(outbox_table).where(outbox_table.c.message == request.message))
        if not found:
            raise Refused("message.unknown", f"No message {request.message} was sent from here in the last {KEPT.days} days.")
        (row,) = found
        zone = DEFAULT_ZONE if row.school == NO_SCHOOL else place(tx.rows, row.school).timezone
        day = happened_on(request.happened_on, tx.now, zone)
        if tx.decide(MESSAGES, row.message, Return(request.status), school=row.school, happened_on=day):
            tx.write(returned(row.message))
        return notifier.BounceReported(school=row.school, recipient=row.recipient)

    @service.query(notifier.PREVIEW)
    async def preview(request: notifier.PreviewQuery, caller: Caller) -> notifier.Preview:
        await service.read(lambda connection: place(_rows(connection), request.school))  # refuses an unknown school
        try:
            ahead = (await service.calls.call(NOTICES_AHEAD, NoticesAheadQuery(school=request.school, days=request.days))).reply
        except Refused as refused:
            if refused.code != "plan.not-adopted":
                raise
            return notifier.Preview(messages=())
        now = service.clock.now()

        def answer(connection: Connection) -> notifier.Preview:
            rows = _rows(connection)
            school = place(rows, request.school)
            first = last_told(now, school.timezone) + _DAY
            waiting = untold(rows, request.school, first)
            managers = untold_to_managers(rows, request.school, school.municipality, first)
            holders: Officers = {office: without_forgotten(connection, people) for office, people in officers(rows, request.school).items()}
            return notifier.Preview(messages=_preview(first, waiting, managers, _foreseen(ahead), school.municipality, holders))

        return await service.read(answer)


def _rows(connection: Connection) -> Rows:
    return lambda statement: connection.execute(statement).all()


def _outbox(connection: Connection, request: notifier.OutboxQuery) -> notifier.Outbox:
    if request.school is not None:
        place(_rows(connection), request.school)  # refuses an unknown school
    table, school = outbox_table, request.school or NO_SCHOOL
    found = connection.execute(select(table).where(table.c.school == school).order_by(table.c.number.desc()).limit(request.limit)).all()
    return notifier.Outbox(
        messages=tuple(
            notifier.OutboxRow(
                message=row.message,
                recipient=row.recipient,
                template=row.template,
                day=row.day,
                state=row.state,
                attempts=row.attempts,
                **vars(contents(row)),
            )
            for row in found
        )
    )


def _preview(
    first: date,
    waiting: Sequence[Announcement],
    managers: Mapping[Template, Sequence[Announcement]],
    foreseen: Sequence[Announcement],
    municipality: str,
    holders: Officers,
) -> tuple[PreviewRow, ...]:
    """The messages of the days from `first` on: of what was announced and waits for its message, and of what will be announced."""
    by_day = defaultdict[date, list[Announcement]](list)
    for one in (*waiting, *foreseen):
        by_day[max(first, one.notice.day or first)].append(one)
    messages: dict[tuple[date, Template, str], tuple[Notice, ...]] = {
        (day, "daily", person): notices
        for day, told in by_day.items()
        for person, notices in in_school(current(told, day), holders).items()
    }
    to_municipality = [*managers["municipality-digest"], *_overdue_for(MUNICIPALITY_TOLD_WD, foreseen)]
    to_ministry = [*managers["ministry-digest"], *_overdue_for(MINISTRY_TOLD_WD, foreseen)]
    digests = defaultdict[tuple[date, Template, str], tuple[Notice, ...]](tuple)
    for one in to_municipality:
        digests[max(first, one.notice.day or first), "municipality-digest", municipality] += (one.notice,)
    for one in to_ministry:
        digests[_next_monday(max(first, one.notice.day or first)), "ministry-digest", MINISTRY] += (one.notice,)
    rows = (_row(day, recipient, template, notices) for (day, template, recipient), notices in (*messages.items(), *digests.items()))
    return tuple(sorted(rows, key=lambda row: (row.day, row.template, row.recipient)))


def _overdue_for(working_days: int, announcements: Iterable[Announcement]) -> list[Announcement]:
    """What a manager would be told of."""
    return [
        one
        for one in announcements
        if one.notice.kind == "step-overdue" and one.notice.working_days == working_days and one.reminders != "person"
    ]


def _next_monday(day: date) -> date:
    return day + timedelta(days=-day.weekday() % 7)


def _foreseen(ahead: NoticesAhead) -> list[Announcement]:
    return [
        Announcement(
            Notice(
                kind="deadline-approaching" if event in ahead.approaching else "step-overdue",
                step=event.step,
                day=event.day,
                due=event.due,
                working_days=event.working_days,
                cause=f"foreseen-{event.step}-{event.day}",
            ),
            event.reminders,
            event.responsible,
        )
        for event in (*ahead.approaching, *ahead.overdue)
    ]


def _row(day: date, recipient: str, template: Template, notices: tuple[Notice, ...] | list[Notice]) -> PreviewRow:
    shown = (PreviewNotice(kind=one.kind, step=one.step, due=one.due, working_days=one.working_days) for one in notices)
    return PreviewRow(day=day, recipient=recipient, template=template, notices=tuple(shown))
