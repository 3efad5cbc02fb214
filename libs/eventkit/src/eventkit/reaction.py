"""Reactions: what a service does in the outside world because of an event: a call, a mail (DESIGN 2.4).

An event that concerns a reaction gets a row in its inbox, in the transaction that moves the checkpoint. A worker takes
the rows one after another for each school and marks them done; where one fails, its school rests for a growing delay
while the others go on. A reaction may happen twice when a process dies between the act and the mark: make the act a
command with an id of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from sqlalchemy import BigInteger, Column, Connection, Integer, LargeBinary, MetaData, Table, Text, delete, insert, select, update

from eventkit.database import Database
from eventkit.event import Recorded, decode, encode
from eventkit.telemetry import span_after, trouble

metadata = MetaData()

inbox_table = Table(
    "inbox",
    metadata,
    Column("reaction", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("school", Text, nullable=False),
    Column("state", Text, nullable=False),  # waiting | done
    Column("attempts", Integer, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
)

_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 60.0
_LOOK_AGAIN_S = 1.0  # after trouble with the database, or while acting is not allowed
_AT_A_TIME = 200

_log = structlog.get_logger(__name__)


class Reaction(Protocol):
    """What is done once for each event of the given types that concerns it. Raising means: try again later."""

    name: str
    sources: tuple[str, ...]
    types: frozenset[str]

    def concerns(self, event: Recorded) -> bool:
        """Whether there may be something to do, as far as an event alone tells."""
        return True

    async def react(self, event: Recorded) -> None: ...


class Inbox:
    """The projection that fills a reaction's inbox."""

    def __init__(self, reaction: Reaction) -> None:
        self.name = reaction.name
        self.sources = reaction.sources
        self.tables = metadata
        self.wants = reaction.types.__contains__
        self._concerns = reaction.concerns

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        rows = [
            {
                "reaction": self.name,
                "source": event.service,
                "position": event.position,
                "school": event.school,
                "state": "waiting",
                "attempts": 0,
                # The inbox lies beside the log's copy on the bus, so that a retry needs nobody.
                "bytes": encode(event),
            }
            for event in events
            if self.wants(event.type) and self._concerns(event)
        ]
        if rows:
            connection.execute(insert(inbox_table), rows)

    def forget_after(self, connection: Connection, source: str, last: int) -> None:
        """Takes out of the inbox what came behind a position: it never happened."""
        table = inbox_table
        connection.execute(delete(table).where(table.c.reaction == self.name, table.c.source == source, table.c.position > last))


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An event in the inbox, and how often it failed."""

    source: str
    event: Recorded
    attempts: int


class ReactionWorker:
    """Works off one reaction's inbox, each school in order. It acts only while `may_act`; `idle` is set while nothing waits."""

    def __init__(self, database: Database, reaction: Reaction, may_act: Callable[[], bool] = lambda: True) -> None:
        self.idle = asyncio.Event()
        self._database = database
        self._reaction = reaction
        self._may_act = may_act
        self._woken = asyncio.Event()
        self._rests: dict[str, float] = {}  # until when a school rests after a failure, by the loop's clock

    def wake(self) -> None:
        """Something may have come into the inbox."""
        self.idle.clear()
        self._woken.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            self._woken.clear()
            try:
                pause_s = await self._work_off()
            except Exception as error:  # noqa: BLE001 -- a worker that died in silence would look like an empty inbox
                _log.warning("reaction.stopped-for-a-moment", reaction=self._reaction.name, **trouble(error))
                pause_s = _LOOK_AGAIN_S
            if pause_s is None and not self._woken.is_set():
                self.idle.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()

    async def _work_off(self) -> float | None:
        """Reacts to what waits. Answers after how many seconds to look again, None where nothing waits any more."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._rests = {school: until for school, until in self._rests.items() if until > now}
        found = await asyncio.to_thread(self._waiting, list(self._rests))
        for waiting in found:
            if waiting.event.school in self._rests:
                continue
            if not self._may_act():
                return _LOOK_AGAIN_S
            await self._act(waiting)
        if len(found) == _AT_A_TIME:
            return 0.0
        return min((max(0.0, until - loop.time()) for until in self._rests.values()), default=None)

    async def _act(self, waiting: _Waiting) -> None:
        event, state = waiting.event, "done"
        try:
            with span_after(event.traceparent, f"react {self._reaction.name}", source=waiting.source, position=event.position):
                if self._reaction.concerns(event):  # another version may have put it there
                    await self._reaction.react(event)
        except Exception as error:  # noqa: BLE001 -- whatever it was, it is tried again
            state = "waiting"
            self._rests[event.school] = asyncio.get_running_loop().time() + delay_s(waiting.attempts)
            _log.warning("reaction.failed", reaction=self._reaction.name, source=waiting.source, position=event.position, **trouble(error))
        await asyncio.to_thread(self._mark, waiting, state)

    def _waiting(self, resting: Collection[str]) -> list[_Waiting]:
        table = inbox_table
        with self._database.reading() as connection:
            found = connection.execute(
                select(table.c.source, table.c.bytes, table.c.attempts)
                .where(table.c.reaction == self._reaction.name, table.c.state == "waiting", table.c.school.not_in(resting))
                .order_by(table.c.source, table.c.position)
                .limit(_AT_A_TIME)
            )
            return [_Waiting(row.source, decode(bytes(row.bytes)), row.attempts) for row in found]

    def _mark(self, waiting: _Waiting, state: str) -> None:
        table = inbox_table
        this = (table.c.reaction == self._reaction.name) & (table.c.source == waiting.source) & (table.c.position == waiting.event.position)
        # As the inbox itself is written: a machine that loses its power loses the mark no sooner than the row, and acts again.
        with self._database.deriving() as connection:
            connection.execute(update(table).where(this).values(state=state, attempts=waiting.attempts + 1))


def delay_s(attempts: int) -> float:
    """How long a school rests after a failure that was preceded by this many of the same event."""
    return min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** min(attempts, 16))
