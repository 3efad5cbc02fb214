"""What those who write to people ask the tracker: how far it has announced, what it will announce, and what the steps are called."""

from collections import Counter
from datetime import date, timedelta

from sqlalchemy import Connection, select

from contracts.operations import Nothing
from contracts.plan import (
    ANNOUNCED,
    CALENDAR_FEED,
    NOTICES_AHEAD,
    OWN_DATES,
    PEOPLE_DUE,
    STEPS,
    Announced,
    CalendarFeed,
    CalendarFeedQuery,
    ClassOverdue,
    DeadlineApproaching,
    NoticesAhead,
    NoticesAheadQuery,
    PeopleDue,
    PeopleDueQuery,
    PersonDue,
    SchoolsWithOwnDates,
    StepBecameOverdue,
    Steps,
    StepsQuery,
    StepTitle,
)
from eventkit import log
from eventkit.answering import Caller
from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.event import standing
from eventkit.service import Service
from plan_tracker.boards import Boards
from plan_tracker.domain.adoption import not_adopted, school_plan
from plan_tracker.domain.announcements import PERSON_LEADS_WD, PERSON_OVERDUE_WD, has_own_dates, notices, own_date_steps
from plan_tracker.domain.board import SchoolBoard
from plan_tracker.domain.plan import Plan, load_plan
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
        plan = await service.read(lambda connection: _plan_of(connection, request.school))
        titles = (StepTitle(step=step.n, title_ru=step.title_ru, title_en=step.title_en) for step in plan.steps)
        return Steps(plan=plan.name, revision=plan.revision, steps=tuple(titles))

    @service.query(CALENDAR_FEED)
    async def calendar_feed(request: CalendarFeedQuery, caller: Caller) -> CalendarFeed:
        zone = time_zone(request.school, await service.read(lambda connection: connection.execute(opening(request.school)).all()))
        now = service.clock.now()

        def answer(connection: Connection) -> CalendarFeed:
            from plan_tracker.feed import CONTENT_TYPE, feed  # its library takes long to import, so here, beside the event loop

            with boards.look(connection) as look:
                board = look.board(request.school)
                _adopted(board)
                return CalendarFeed(content_type=CONTENT_TYPE, content=feed(board, local_day(now, zone), now))

        return await service.read(answer)

    @service.query(NOTICES_AHEAD)
    async def notices_ahead(request: NoticesAheadQuery, caller: Caller) -> NoticesAhead:
        zone = time_zone(request.school, await service.read(lambda connection: connection.execute(opening(request.school)).all()))
        today = local_day(service.clock.now(), zone)

        def answer(connection: Connection) -> NoticesAhead:
            with boards.look(connection) as look:
                return _ahead(look.board(request.school), today, request.days)

        return await service.read(answer)

    @service.query(OWN_DATES)
    async def own_dates(request: Nothing, caller: Caller) -> SchoolsWithOwnDates:
        today = local_day(service.clock.now())

        def answer(connection: Connection) -> SchoolsWithOwnDates:
            with boards.look(connection) as look:
                found = (school for school, outline in look.outlines().items() if has_own_dates(outline.progress, today))
                return SchoolsWithOwnDates(schools=tuple(found))

        return await service.read(answer)

    @service.query(PEOPLE_DUE)
    async def people_due(request: PeopleDueQuery, caller: Caller) -> PeopleDue:
        def answer(connection: Connection) -> PeopleDue:
            with boards.look(connection) as look:
                return _people_due(look.board(request.school), request.day)

        return await service.read(answer)


def _plan_of(connection: Connection, school: str) -> Plan:
    """The plan that a school works through, from its own stream: every letter asks for its titles, and most for another school's."""
    plans = school_plan()
    decided = plans.fold(recorded.event() for recorded in standing(log.history(connection, plans.stream(school))))
    if decided.adopted is None:
        raise not_adopted()
    return load_plan(decided.adopted.plan, decided.revision)


def _people_due(board: SchoolBoard, day: date) -> PeopleDue:
    yesterday = day - _DAY
    adoption = _adopted(board).on(yesterday).adoption
    near: list[PersonDue] = []
    overdue = Counter[tuple[int, str | None, int]]()
    for step in own_date_steps(adoption.plan):
        for person, due in board.own_dates(step.n, yesterday):
            for left in PERSON_LEADS_WD:
                if day == adoption.calendar.subtract(due, left):
                    near.append(PersonDue(step=step.n, person=person, due=due, working_days=left))
            for after in PERSON_OVERDUE_WD:
                if day == adoption.calendar.add(due, after):
                    overdue.update((step.n, class_id, after) for class_id in board.classes_of(person, yesterday) or [None])
    classes = (
        ClassOverdue(step=n, class_id=class_id, working_days=after, people=people)
        for (n, class_id, after), people in sorted(overdue.items(), key=lambda one: (one[0][0], one[0][2], one[0][1] or ""))
    )
    return PeopleDue(near=tuple(sorted(near, key=lambda one: (one.step, one.person))), overdue=tuple(classes))


def _ahead(board: SchoolBoard, today: date, days: int) -> NoticesAhead:
    """The notices of the days after today, each from the state at the end of the day before, as if nothing more were done."""
    progress = _adopted(board)
    found: list[DeadlineApproaching | StepBecameOverdue] = []
    for n in range(days):
        before, day = today + n * _DAY, today + (n + 1) * _DAY
        found += (event for event in notices(progress.on(before), board.live(before), day) if event.day == day)
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
