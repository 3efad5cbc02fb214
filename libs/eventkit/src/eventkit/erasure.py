"""How a service forgets a person (DESIGN 2.7): once consent has ordered it, and again at every start, before anything is answered.

What a service holds of a person beside its log is no fold of the log, so an older copy of it may come back with a restore. The log says
of whom it was destroyed; at each start it is destroyed again. Rows are deleted with their bytes: nothing of them is left in the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

from sqlalchemy import Connection, Executable, MetaData, Table, delete

from contracts.erasure import DataCategory, ErasureOrdered, PersonalDataErased
from contracts.event import Event
from contracts.operations import HeldRecord
from eventkit import log
from eventkit.decider import Decider, Refused
from eventkit.event import Origin, Recorded, decode, moment, rfc3339
from eventkit.faults import reach
from eventkit.reaction import Reaction
from eventkit.service import Service
from eventkit.store import Transaction

_STREAMS = "erased"
_AT_A_TIME = 500

Write: TypeAlias = Callable[[Executable], int]
"""Writes rows and answers how many it met: in a command's transaction, or over a connection."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Of whom everything is destroyed: all that is there or, where `before` says a time (`rfc3339`), what was there before it."""

    person: str
    school: str
    before: str | None


@dataclass(frozen=True, slots=True)
class Erase:
    person: str
    erasure: str
    destroyed: tuple[DataCategory, ...]


def erased(event: type[PersonalDataErased]) -> Decider[Erase, bool]:
    """Whether a person's data were destroyed, under a service's own event; a stream's id is the person's."""

    def decide(command: Erase, done: bool) -> Sequence[Event]:
        return [] if done else [event(person=command.person, erasure=command.erasure, destroyed=command.destroyed)]

    return Decider(_STREAMS, False, decide, lambda done, event: True)


def forgotten(person: str) -> Refused:
    """What is answered about somebody whose data were destroyed."""
    return Refused("person.erased", f"The data of {person} were destroyed. Whoever comes back is entered as a new person.")


def is_forgotten(connection: Connection, person: str) -> bool:
    """Whether this service's log says that it destroyed a person's data."""
    return bool(log.history(connection, f"{_STREAMS}-{person}"))


def without_forgotten(connection: Connection, people: Collection[str]) -> list[str]:
    """Those of the people whose data this service has not destroyed, in order."""
    erased_streams = log.streams_among(connection, [f"{_STREAMS}-{person}" for person in people])
    return sorted(person for person in people if f"{_STREAMS}-{person}" not in erased_streams)


class Holder:
    """What a service holds of people beside its log. One that holds nothing but random ids needs none of these."""

    def close(self, tx: Transaction, person: str, school: str, on: date) -> None:
        """Records what ends with the person's data, in the same transaction."""

    def destroy(self, write: Write, people: Sequence[Forgotten]) -> Mapping[DataCategory, int]:
        """Destroys rows; answers how many of which kind there were. It may be asked again, of the same people."""
        return {}

    def destroy_apart(self, people: Sequence[str]) -> None:
        """Destroys what lies in other databases, after the rows; it may be asked again."""

    @property
    def apart(self) -> Sequence[DataCategory]:
        """What lies in other databases."""
        return ()


class Forgetting(Reaction):
    """The reaction to an ordered erasure, a command whose id comes from the order; and the same at each start."""

    name = "erasures"
    sources = ("consent",)
    types = frozenset({ErasureOrdered.type})

    def __init__(self, service: Service, event: type[PersonalDataErased], holder: Holder) -> None:
        self._service = service
        self._holder = holder
        self._erased = erased(event)
        service.reaction(self)
        service.before_answering(self.again)
        service.holds(_destruction)

    async def react(self, event: Recorded) -> None:
        # Whatever has been read up to the order is known to the rows that are destroyed now.
        await self._service.caught_up({event.service: event.position})
        fact = event.facts()[1]
        person: str = fact["subject"]
        reach("erasure.before-rows")

        def work(tx: Transaction) -> None:
            day = date.fromisoformat(event.happenedon)
            self._holder.close(tx, person, event.school, day)
            found = self._holder.destroy(tx.write, [Forgotten(person, event.school, None)])
            destroyed = tuple(category for category in DataCategory if found.get(category) or category in self._holder.apart)
            tx.decide(self._erased, person, Erase(person, fact["erasure"], destroyed), school=event.school, happened_on=day)

        caller = self._service.as_itself(event.id, because_of=_origin(event), causation_id=event.id)
        await self._service.carry_out(caller, work, part="erase")
        reach("erasure.after-rows")
        await asyncio.to_thread(self._leave_nothing, [person])

    def again(self) -> None:
        """Destroys once more whatever the log says was destroyed: a database may have been put back from an older copy."""
        database = self._service.database
        with database.reading() as connection:
            people = list(_all_forgotten(connection))
        for start in range(0, len(people), _AT_A_TIME):
            with database.writing() as connection:
                self._holder.destroy(_writing(connection), people[start : start + _AT_A_TIME])
        if people:
            self._leave_nothing([one.person for one in people])

    def _leave_nothing(self, people: Sequence[str]) -> None:
        self._holder.destroy_apart(people)
        self._service.database.scrub()


def _destruction(connection: Connection, school: str, person: str) -> Iterator[HeldRecord]:
    """For the dossier: that a service destroyed what it held of a person, and when. What it tells beside that are random ids."""
    for recorded in log.history(connection, f"{_STREAMS}-{person}"):
        if recorded.school == school:
            yield HeldRecord(what="destruction", fields={"erasure": recorded.facts()[1]["erasure"], "on": recorded.happenedon})


def _writing(connection: Connection) -> Write:
    return lambda statement: connection.execute(statement).rowcount


def _all_forgotten(connection: Connection) -> Iterator[Forgotten]:
    for data in log.of_streams(connection, f"{_STREAMS}-"):
        event = decode(data)
        yield Forgotten(event.facts()[1]["person"], event.school, rfc3339(moment(event.recordedat)))


def _origin(event: Recorded) -> Origin:
    return Origin(event.actor, event.commandid, event.correlationid)


# ---- private tables that name people by a column ------------------------------------------------------------------------


def tables_of_people(*metadata: MetaData) -> list[Table]:
    """The tables that have a `person`, or a `recipient`, in each row."""
    return [table for one in metadata for table in one.sorted_tables if _column(table) is not None]


def delete_rows(write: Write, table: Table, people: Sequence[Forgotten]) -> int:
    """Deletes people's rows of one such table."""
    column = _column(table)
    if column is None:
        raise ValueError(f"{table.name} does not say whose its rows are")
    return write(delete(table).where(column.in_([one.person for one in people])))


def _column(table: Table) -> Any:
    return next((table.c[name] for name in ("person", "recipient") if name in table.c), None)
