"""What those who write to people ask the tracker: how far it has announced, what it will announce, and what the steps are called."""

from datetime import date, timedelta

from sqlalchemy import Connection, select

from contracts.operations import Nothing
from contracts.plan import (
    ANNOUNCED,
    NOTICES_AHEAD,
    STEPS,
    Announced,
    DeadlineApproaching,
    NoticesAhead,
    NoticesAheadQuery,
    StepBecameOverdue,
    Steps,
    StepsQuery,
    StepTitle,
)
from eventkit.answering import Caller
from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.service import Service
from plan_tracker.boards import Boards
from plan_tracker.domain.announcements import notices
from plan_tracker.domain.board import SchoolBoard
from plan_tracker.domain.progress import Progress
from plan_tracker.policies import announced_table
from plan_tracker.projections import opening, time_zone

_DAY = timedelta(days=1)


def register(service: Service, boards: Boards) -> None:
    """Makes a service answer what is asked about what it announces."""

    @service.query(ANNOUNCED)
    async def announced(request: Nothing, caller: Caller) -> Announced:
        through = await service.read(lambda connection: connection.execute(select(announced_table.c.through)).scalar())
        return Announced(through=through, position=await service.store.head())  # in this order: what was announced lies before the head

    @service.query(STEPS)
    async def steps(request: StepsQuery, caller: Caller) -> Steps:
        def answer(connection: Connection) -> Steps:
            with boards.look(connection) as look:
                adoption = _adopted(look.board(request.school)).adoption
                titles = (StepTitle(step=step.n, title_ru=step.title_ru, title_en=step.title_en) for step in adoption.plan.steps)
                return Steps(plan=adoption.plan.name, revision=adoption.revision, steps=tuple(titles))

        return await service.read(answer)

    @service.query(NOTICES_AHEAD)
    async def notices_ahead(request: NoticesAheadQuery, caller: Caller) -> NoticesAhead:
        zone = time_zone(request.school, await service.read(lambda connection: connection.execute(opening(request.school)).all()))
        today = local_day(service.clock.now(), zone)

        def answer(connection: Connection) -> NoticesAhead:
            with boards.look(connection) as look:
                return _ahead(look.board(request.school), today, request.days)

        return await service.read(answer)


def _ahead(board: SchoolBoard, today: date, days: int) -> NoticesAhead:
    """The notices of the days after today, each from the state at the end of the day before, as if nothing more were done."""
    progress = _adopted(board)
    found = [
        event
        for n in range(1, days + 1)
        for event in notices(progress, board.live(today + (n - 1) * _DAY), today + n * _DAY)
        if event.day == today + n * _DAY
    ]
    return NoticesAhead(
        today=today,
        approaching=tuple(event for event in found if isinstance(event, DeadlineApproaching)),
        overdue=tuple(event for event in found if isinstance(event, StepBecameOverdue)),
    )


def _adopted(board: SchoolBoard) -> Progress:
    progress = board.progress()
    if progress is None:
        raise Refused("plan.not-adopted", f"School {board.school} has not adopted a plan.", "`vekha plan adopt` starts one.")
    return progress
