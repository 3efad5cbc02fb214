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
from eventkit.tokens import Actor
from plan_tracker.answers import difference, explanation, region_board, school_board
from plan_tracker.boards import Boards, Look
from plan_tracker.known import positions_known_at
from plan_tracker.projections import opening, time_zone


@dataclass(frozen=True)
class _View:
    """A day, and the positions up to which the logs are looked at; None for all that has been read."""

    day: date
    known: Mapping[str, int] | None


def register(service: Service, boards: Boards) -> None:
    """Makes a service answer the plan's questions."""

    @service.query(STATUS)
    async def status(request: StatusRequest, caller: Caller) -> Board:
        school = _of_own(caller.actor, request.school)
        view = await _view(service, school, request.as_of, request.known_at, request.at)

        def answer(connection: Connection) -> Board:
            with boards.look(connection) as look:
                if school is not None:
                    return school_board(look, school, view.day, caller.actor, view.known)
                page_after = (request.after_school or "") if request.by_school else None
                return region_board(look, view.day, caller.actor, view.known, page_after=page_after)

        return await service.read(answer)

    @service.query(DIFF)
    async def diff(request: DiffRequest, caller: Caller) -> Difference:
        school = _of_own(caller.actor, request.school)
        views = [
            await _view(service, school, request.as_of, request.known_at, request.at),
            await _view(service, school, request.to_as_of, request.to_known_at, request.to_at),
        ]

        def board(look: Look, view: _View) -> Board:
            if school is not None:
                return school_board(look, school, view.day, caller.actor, view.known)
            return region_board(look, view.day, caller.actor, view.known, page_after=None)

        def answer(connection: Connection) -> Difference:
            with boards.look(connection) as look:
                before, after = (board(look, view) for view in views)
            return difference(before, after)

        return await service.read(answer)

    @service.query(EXPLAIN)
    async def explain(request: ExplainRequest, caller: Caller) -> Explanation:
        view = await _view(service, request.school, request.as_of, request.known_at, request.at)

        def answer(connection: Connection) -> Explanation:
            with boards.look(connection) as look:
                return explanation(look, request.school, request.step, view.day, caller.actor, view.known)

        return await service.read(answer)


def _of_own(actor: Actor, school: str | None) -> str | None:
    if actor.school is not None and school is None:
        raise Refused("access.other-school", f"This token is for school {actor.school}: name it.")
    return school


async def _view(service: Service, school: str | None, as_of: date | None, known_at: str | None, at: Mapping[str, int] | None) -> _View:
    """What is asked for. Raises Refused for a school that there is not, a time that has not come, positions that are not read yet."""
    now, zone = service.clock.now(), DEFAULT_ZONE
    if school is not None:
        zone = time_zone(school, await service.read(lambda connection: connection.execute(opening(school)).all()))
    if known_at is not None and at is not None:
        raise Refused("known.twice", "Say what was known by a time (known_at) or by positions (at), not by both.")
    known = None
    if known_at is not None:
        now = _moment(known_at, zone, now)
        known = await positions_known_at(service, rfc3339(now))
    elif at is not None:
        known = {source: at.get(source, 0) for source in SERVICES}
        await service.caught_up(known)
    today = local_day(now, zone)
    if as_of is not None and as_of > today:
        raise Refused("as-of.in-future", f"{as_of} has not come yet: the board is known up to {today}.")
    return _View(as_of or today, known)


def _moment(text: str, zone: str, now: datetime) -> datetime:
    """A moment from RFC 3339; without an offset, in the school's time."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Refused("known-at.unreadable", f"{text!r} is no time: write RFC 3339, e.g. 2015-09-01T12:00:00+03:00.") from None
    found = found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(zone))
    if found > now:
        raise Refused("known-at.in-future", f"{text} has not come yet.")
    return found
