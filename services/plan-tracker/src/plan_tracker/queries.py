"""The questions that the plan tracker answers: the board, why a step stands where it stands, and what two boards differ in.

Each is asked of a day and of what was known: all that has been read, or what was recorded by a time, or the logs up to some positions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from contracts import SERVICES
from contracts.plan import DIFF, EXPLAIN, STATUS, Board, Difference, DiffRequest, ExplainRequest, Explanation, StatusRequest
from eventkit.answering import Caller
from eventkit.clock import DEFAULT_ZONE, local_day
from eventkit.decider import Refused
from eventkit.event import rfc3339
from eventkit.service import Service
from plan_tracker import plans
from plan_tracker.answers import difference, explanation, region_board, school_board
from plan_tracker.boards import Boards, Look
from plan_tracker.known import positions_known_at
from plan_tracker.projections import opening, time_zone

_FIRST_YEAR = 2000


@dataclass(frozen=True)
class _View:
    """A day, today by `now` where none is given, and the positions up to which the logs are looked at; None for all that has been read."""

    now: datetime
    as_of: date | None
    known: Mapping[str, int] | None

    def day(self, connection: Connection, school: str | None) -> date:
        """Raises Refused for a school that there is not, and for a day that has not come."""
        today = local_day(self.now, _zone(connection, school))
        if self.as_of is not None and self.as_of > today:
            raise Refused("as-of.in-future", f"{self.as_of} has not come yet: the board is known up to {today}.")
        return self.as_of or today


def register(service: Service, boards: Boards) -> None:
    """Makes a service answer the plan's questions."""

    @service.query(STATUS)
    async def status(request: StatusRequest, caller: Caller) -> Board:
        school = request.school
        _check_plan(request.plan)
        view = await _view(service, school, request.as_of, request.known_at, request.at)

        def answer(connection: Connection) -> Board:
            day = view.day(connection, school)
            with boards.look(connection) as look:
                if school is not None:
                    return school_board(look, school, day, caller.actor, view.known)
                page_after = (request.after_school or "") if request.by_school else None
                return region_board(look, day, caller.actor, view.known, plan=request.plan, page_after=page_after)

        return await service.read(answer)

    @service.query(DIFF)
    async def diff(request: DiffRequest, caller: Caller) -> Difference:
        school = request.school
        _check_plan(request.plan)
        views = [
            await _view(service, school, request.as_of, request.known_at, request.at),
            await _view(service, school, request.to_as_of, request.to_known_at, request.to_at),
        ]

        def board(look: Look, day: date, known: Mapping[str, int] | None, plan: str | None) -> Board:
            if school is not None:
                return school_board(look, school, day, caller.actor, known)
            return region_board(look, day, caller.actor, known, plan=plan)

        def answer(connection: Connection) -> Difference:
            earlier, later = views
            days = [view.day(connection, school) for view in views]
            with boards.look(connection) as look:
                after = board(look, days[1], later.known, request.plan)
                before = board(look, days[0], earlier.known, request.plan or after.plan)
            return difference(before, after)

        return await service.read(answer)

    @service.query(EXPLAIN)
    async def explain(request: ExplainRequest, caller: Caller) -> Explanation:
        view = await _view(service, request.school, request.as_of, request.known_at, request.at)

        def answer(connection: Connection) -> Explanation:
            day = view.day(connection, request.school)
            with boards.look(connection) as look:
                return explanation(look, request.school, request.step, day, caller.actor, view.known)

        return await service.read(answer)


def _check_plan(name: str | None) -> None:
    if name is not None and name not in plans.names():
        raise Refused("plan.unknown", f"There is no plan {name}: choose one of {', '.join(plans.names())}.")


async def _view(service: Service, school: str | None, as_of: date | None, known_at: str | None, at: Mapping[str, int] | None) -> _View:
    """What is asked for. Raises Refused for a time that has not come, and for positions that are not read yet."""
    now = service.clock.now()
    if known_at is not None and at is not None:
        raise Refused("known.twice", "Say what was known by a time (known_at) or by positions (at), not by both.")
    known = None
    if known_at is not None:
        now = _moment(known_at, await service.read(lambda connection: _zone(connection, school)), now)
        known = await positions_known_at(service, rfc3339(now))
    elif at is not None:
        known = {source: at.get(source, 0) for source in SERVICES}
        await _read_up_to(service, known)
    return _View(now, as_of, known)


async def _read_up_to(service: Service, known: Mapping[str, int]) -> None:
    """Raises Refused `at.in-future` for a position that a log has not reached, `reader.not-caught-up` for one that we have not read yet."""
    try:
        await service.caught_up(known)
    except Refused:
        for source, position in known.items():
            head = await service.head_of(source)
            if head < position:
                raise Refused("at.in-future", f"The log of {source} has no position {position} yet: it ends at {head}.") from None
        raise


def _zone(connection: Connection, school: str | None) -> str:
    return DEFAULT_ZONE if school is None else time_zone(school, connection.execute(opening(school)).all())


def _moment(text: str, zone: str, now: datetime) -> datetime:
    """A moment from RFC 3339; without an offset, in the school's time."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Refused("known-at.unreadable", f"{text!r} is no time: write RFC 3339, e.g. 2015-09-01T12:00:00+03:00.") from None
    found = found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(zone))
    if found.year < _FIRST_YEAR:
        raise Refused("known-at.too-early", f"{text} is before any record: name a time from the year {_FIRST_YEAR} on.")
    if found > now:
        raise Refused("known-at.in-future", f"{text} has not come yet.")
    return found
