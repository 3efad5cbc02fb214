"""The boards as they are read: kept in memory and brought up to the projection's rows at every look.

One look is one read transaction: the projection's positions, and the documents that have changed since a board was kept. Looks take turns,
each before its transaction has read anything, so a board that was kept never knows more than the look that uses it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, select

from contracts import SERVICES
from contracts.event import NO_SCHOOL
from eventkit.projection import parked_schools, positions
from plan_tracker.domain.board import SchoolBoard
from plan_tracker.domain.facts import Fact, Key
from plan_tracker.domain.progress import Progress, StepStanding
from plan_tracker.projections import BoardProjection, documents, reach_table

_KEPT = 32  # boards; one of a large school is a few megabytes

Reach = dict[tuple[str, str], int]
"""How far a board's documents go: by school (or none, for calendars) and source, the last position."""


@dataclass
class Outline:
    """What a region needs to know of a school: it is small, so it is kept for all of them."""

    municipality: str
    progress: Progress
    day: date | None = None
    standings: tuple[StepStanding, ...] = ()

    def on(self, day: date) -> Sequence[StepStanding]:
        """The standings of the plan's steps, in order. The day that was asked for last is remembered."""
        if self.day != day:
            self.day = day
            progress = self.progress.on(day)
            self.standings = tuple(progress.standing(step.n, day) for step in progress.adoption.plan.steps)
        return self.standings


class Boards:
    """Keeps boards between looks; `look` is the only way to them.

    `reached` tells how far the rows are known to follow each log, where that may be farther than their checkpoint says.
    """

    def __init__(self, reached: Callable[[], Mapping[str, int]] = dict[str, int]) -> None:
        self._turn = threading.Lock()
        self._reached = reached
        self.kept: OrderedDict[str, tuple[Reach, SchoolBoard]] = OrderedDict()
        self.outlines: dict[str, Outline] = {}
        self.outlined: Reach = {}
        self.outlined_at: tuple[Mapping[str, int], object] | None = None

    def forget(self) -> None:
        """The rows under the boards are others: each board is read anew."""
        with self._turn:
            self.kept.clear()
            self.outlines, self.outlined, self.outlined_at = {}, {}, None

    @contextmanager
    def look(self, connection: Connection) -> Generator["Look"]:
        """A look at all boards, for as long as the block lasts: nothing of a board may be used after it."""
        with self._turn:
            yield Look(self, connection, self._reached())


class Look:
    """All boards at the positions `at`."""

    def __init__(self, boards: Boards, connection: Connection, reached: Mapping[str, int]) -> None:
        """`reached` was told before anything is read here: up to there, nothing else can have changed the rows."""
        self._boards = boards
        self._connection = connection
        self._checkpoint = positions(connection, BoardProjection.name)
        self.at = {source: max(self._checkpoint.get(source, 0), reached.get(source, 0)) for source in SERVICES}
        self._parked = parked_schools(connection, BoardProjection.name)

    def board(self, school: str) -> SchoolBoard:
        """A school's board; one without documents where there is no such school."""
        reach = self._reach(school)
        before, board = self._boards.kept.pop(school, ({}, SchoolBoard(school)))
        if any(reach.get(key, 0) < position for key, position in before.items()):
            before, board = Reach(), SchoolBoard(school)  # another database than the one that it was read from
        for (owner, source), position in reach.items():
            if position > before.get((owner, source), 0):
                board.replace(documents(self._connection, owner, source, before.get((owner, source), 0)))
        self._boards.kept[school] = reach, board
        while len(self._boards.kept) > _KEPT:
            self._boards.kept.popitem(last=False)
        return board

    def board_as_known(self, school: str, known: Mapping[str, int]) -> SchoolBoard:
        """A school's board from no more than was recorded up to these positions."""
        board = SchoolBoard(school)
        board.replace({key: facts for key, facts in self.documents(school, known).items() if facts})
        return board

    def documents(self, school: str, known: Mapping[str, int] | None = None) -> dict[Key, Sequence[Fact]]:
        """All documents of a school and the pinned calendars, with the facts up to some positions or all of them."""
        found: dict[Key, Sequence[Fact]] = {}
        for owner, source in self._reach(school):
            found |= documents(self._connection, owner, source, 0)
        if known is None:
            return found
        return {key: [fact for fact in facts if fact[1] <= known[key.source]] for key, facts in found.items()}

    def outlines(self) -> Mapping[str, Outline]:
        """The outline of every school that has adopted a plan, by school in order."""
        table, boards = reach_table, self._boards
        # Facts come with the checkpoint, or behind it when something that was parked is applied: nothing else has to be asked about.
        if boards.outlined_at == (self._checkpoint, self._parked):
            return boards.outlines
        boards.outlined_at = None
        found = self._connection.execute(select(table.c.school, table.c.source, table.c.position))
        # School by school, not against the checkpoint: what was parked is applied behind it.
        reach = {(row.school, row.source): row.position for row in found}
        if any(reach.get(key, 0) < position for key, position in boards.outlined.items()):
            boards.outlines, boards.outlined = {}, {}
        changed = {school for (school, source), position in reach.items() if boards.outlined.get((school, source)) != position}
        for school in sorted(changed - {NO_SCHOOL}):
            board = self.board(school)
            progress, place = board.progress(), board.place
            if progress is not None and place is not None:
                boards.outlines[school] = Outline(place[0], progress)
        if changed:
            boards.outlines = dict(sorted(boards.outlines.items()))
            boards.outlined = reach
        boards.outlined_at = self._checkpoint, self._parked
        return boards.outlines

    def outlines_as_known(self, known: Mapping[str, int]) -> Mapping[str, Outline]:
        """As `outlines`, from no more than was recorded up to some positions. Every board is made for this one answer."""
        result: dict[str, Outline] = {}
        for school in self.outlines():
            board = self.board_as_known(school, known)
            progress, place = board.progress(), board.place
            if progress is not None and place is not None:
                result[school] = Outline(place[0], progress)
        return result

    def parked(self, school: str) -> dict[str, tuple[int, ...]]:
        """The positions, by source, without which a school's board is incomplete."""
        result: dict[str, tuple[int, ...]] = {}
        for owner in (school, NO_SCHOOL):
            for source, found in self._parked.get(owner, {}).items():
                result[source] = tuple(sorted({*result.get(source, ()), *found}))
        return result

    def _reach(self, school: str) -> Reach:
        table = reach_table
        found = self._connection.execute(
            select(table.c.school, table.c.source, table.c.position).where(table.c.school.in_((school, NO_SCHOOL)))
        )
        return {(row.school, row.source): row.position for row in found}
