"""How the region stands with its plan, for who watches over the services: how many schools each step has in which state.

What the ministry may see, and no more: states of schools, no count of people. It is of the plan that most schools follow.
"""

from sqlalchemy import Connection

from contracts.call import Role
from contracts.plan import RegionRow
from eventkit.clock import DEFAULT_ZONE, local_day
from eventkit.figures import Figure, Labelled
from eventkit.service import Service
from eventkit.tokens import Actor
from plan_tracker.answers import region_board
from plan_tracker.boards import Boards

_EVERY_S = 60.0  # the first look after a start reads all schools


def register(service: Service, boards: Boards) -> None:
    """Makes a service tell of its region."""

    async def steps() -> Labelled:
        plan, rows = await service.read(look)
        return {(plan, str(row.step), state): schools for row in rows for state, schools in row.states.items()}

    async def overdue() -> Labelled:
        plan, rows = await service.read(look)
        return {(plan, str(row.step)): row.overdue for row in rows}

    def look(connection: Connection) -> tuple[str, list[RegionRow]]:
        day = local_day(service.clock.now(), DEFAULT_ZONE)
        with boards.look(connection) as found:
            board = region_board(found, day, Actor(Role.MINISTRY), None)
        return board.plan or "", [row for row in board.steps if isinstance(row, RegionRow)]

    service.figure(
        Figure("vekha_plan_steps", "Schools by the state that a step has there", ("plan", "step", "state"), steps, _EVERY_S),
        Figure("vekha_plan_overdue_schools", "Schools in which a step is overdue", ("plan", "step"), overdue, _EVERY_S),
    )
