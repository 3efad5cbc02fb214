"""Reactions: what a service does in the outside world because of an event: a call, a mail (DESIGN 2.4).

An event that concerns a reaction gets a row in its inbox, in the transaction that moves the checkpoint. A worker takes
the rows one after another for each school, tries again with a growing delay, and marks them done. A reaction may
therefore happen twice when a process dies between the act and the mark: make the act a command with an id of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog
from sqlalchemy import BigInteger, Column, Connection, Integer, LargeBinary, MetaData, Table, Text, insert, select, update

from eventkit.database import Database
from eventkit.event import Recorded, decode, encode

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
_AT_A_TIME = 200

_log = structlog.get_logger(__name__)


class Reaction(Protocol):
    """What is done once for each event of the given types. Raising means: try again later."""

    @property
    def name(self) -> str: ...

    @property
    def sources(self) -> tuple[str, ...]: ...

    @property
    def types(self) -> frozenset[str]: ...

    async def react(self, event: Recorded) -> None: ...


class Inbox:
    """The projection that fills a reaction's inbox."""

    def __init__(self, reaction: Reaction) -> None:
        self.name = reaction.name
        self.sources = reaction.sources
        self.tables = metadata
        self._types = reaction.types

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
            if event.type in self._types
        ]
        if rows:
            connection.execute(insert(inbox_table), rows)


class ReactionWorker:
    """Works off one reaction's inbox, in order of position."""

    def __init__(self, database: Database, reaction: Reaction) -> None:
        self._database = database
        self._reaction = reaction
        self._woken = asyncio.Event()
        self.idle = asyncio.Event()

    def wake(self) -> None:
        self.idle.clear()
        self._woken.set()

    async def run(self) -> None:
        """Works until cancelled."""
        delay_s = _FIRST_DELAY_S
        while True:
            self._woken.clear()
            waiting = await asyncio.to_thread(self._waiting)
            if not waiting:
                self.idle.set()
                await self._woken.wait()
                continue
            self.idle.clear()
            if await self._work(waiting):
                delay_s = _FIRST_DELAY_S
            else:
                await asyncio.sleep(delay_s)
                delay_s = min(_LONGEST_DELAY_S, delay_s * 2)

    async def _work(self, waiting: Sequence[tuple[str, Recorded]]) -> bool:
        """Whether everything that waited was done. What fails holds back its own school alone."""
        failed: set[str] = set()
        for source, event in waiting:
            if event.school in failed:
                continue
            try:
                await self._reaction.react(event)
            except Exception as error:  # noqa: BLE001 -- whatever it was, it is tried again
                failed.add(event.school)
                _log.warning(
                    "reaction.failed", reaction=self._reaction.name, source=source, position=event.position, error=type(error).__name__
                )
                await asyncio.to_thread(self._mark, source, event.position, "waiting")
            else:
                await asyncio.to_thread(self._mark, source, event.position, "done")
        return not failed

    def _waiting(self) -> list[tuple[str, Recorded]]:
        with self._database.reading() as connection:
            table = inbox_table
            found = connection.execute(
                select(table.c.source, table.c.bytes)
                .where(table.c.reaction == self._reaction.name, table.c.state == "waiting")
                .order_by(table.c.source, table.c.position)
                .limit(_AT_A_TIME)
            )
            return [(row.source, decode(bytes(row.bytes))) for row in found]

    def _mark(self, source: str, position: int, state: str) -> None:
        table = inbox_table
        with self._database.writing() as connection:
            connection.execute(
                update(table)
                .where(table.c.reaction == self._reaction.name, table.c.source == source, table.c.position == position)
                .values(state=state, attempts=table.c.attempts + 1)
            )
