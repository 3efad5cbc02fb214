"""What a service's readers could not take in: shown, tried again, or skipped by a recorded decision (DESIGN 2.4).

A skip is an event in the log of the reader's own service, and names the bytes that it is about. It takes effect after its commit: the
parked event goes, and what waited behind it is tried. Where the process dies in between, the next start does it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Row, func, select, tuple_

from contracts import parking
from contracts.event import NO_SCHOOL, Event, Identifier
from contracts.parking import SKIP_EVENTS, EventSkip, SkipReason, Source
from eventkit import log
from eventkit.answering import Caller
from eventkit.clock import local_day
from eventkit.decider import Decider, Refused
from eventkit.event import decode
from eventkit.projection import Place, parked_table, sha256

if TYPE_CHECKING:
    from eventkit.service import Commit, Service
    from eventkit.store import Transaction

_IDENTIFIER = TypeAdapter[str](Identifier)


@dataclass(frozen=True, slots=True)
class Skip:
    """Have `reader` of `service` go on without what is at a place."""

    service: str
    reader: str
    source: Source
    position: int
    sha256: str
    reason: SkipReason


Skips = frozenset[Place]


def decide(command: Skip, skips: Skips) -> Sequence[Event]:
    if Place(command.source, command.position, command.sha256) in skips:
        return []
    skipped = SKIP_EVENTS[command.service]
    place = {"source": command.source, "position": command.position, "sha256": command.sha256}
    return [skipped.model_validate({"reader": command.reader, "reason": command.reason, **place})]


def evolve(skips: Skips, event: Event) -> Skips:
    match event:
        case EventSkip():
            return skips | {Place(event.source, event.position, event.sha256)}
        case _:
            raise TypeError(f"{event.type} is no event of what a reader skips")


SKIPS: Decider[Skip, Skips] = Decider("skips", frozenset(), decide, evolve)
"""What one reader skips; a stream's id is the reader's name."""


def skipped(connection: Connection, reader: str) -> Skips:
    """What a reader skips, as the log of its own service says."""
    return SKIPS.fold(recorded.event() for recorded in log.history(connection, SKIPS.stream(reader)))


def skipped_among(log_of_its_service: Iterable[bytes], reader: str) -> Skips:
    """As `skipped`, from the events of a whole log."""
    stream = SKIPS.stream(reader)
    mark = f'"{stream}"'.encode()  # few are decoded
    found = (decode(data) for data in log_of_its_service if mark in data)
    return SKIPS.fold(recorded.event() for recorded in found if recorded.stream == stream)


class Parking:
    """Answers for what a service's readers have parked."""

    def __init__(self, service: Service) -> None:
        self._service = service
        service.query(parking.PARKED[service.name])(self._list)
        service.query(parking.SHOW_PARKED[service.name])(self._show)
        service.query(parking.RETRY_PARKED[service.name])(self._retry)
        service.command_in_steps(parking.SKIP_PARKED[service.name])(self._skip)

    async def _list(self, request: parking.ParkedQuery, caller: Caller) -> parking.Parked:
        table = parked_table
        key = (table.c.reader, table.c.source, table.c.position)
        wanted = select(*(column for column in table.c if column.name != "bytes")).order_by(*key).limit(request.limit + 1)
        wanted = wanted.where(table.c.reader.in_(self._readers()))
        if request.school is not None:
            wanted = wanted.where(table.c.school == request.school)
        if (after := request.after) is not None:
            wanted = wanted.where(tuple_(*key) > (after.reader, after.source, after.position))
        rows = await self._service.read(lambda connection: connection.execute(wanted).all())
        return parking.Parked(events=tuple(_event(row) for row in rows[: request.limit]), more=len(rows) > request.limit)

    async def _show(self, request: parking.ShowParked, caller: Caller) -> parking.ParkedShown:
        def show(connection: Connection) -> parking.ParkedShown:
            row = self._found(connection.execute(_at(request)).all(), request)
            table = parked_table
            behind = (table.c.reader == row.reader) & (table.c.source == row.source) & (table.c.school == row.school)
            waiting = connection.execute(select(func.count()).select_from(table).where(behind, table.c.position > row.position))
            data = bytes(row.bytes)
            return parking.ParkedShown(
                event=_event(row), bytes=base64.b64encode(data).decode(), sha256=sha256(data), behind=waiting.scalar_one()
            )

        return await self._service.read(show)

    async def _retry(self, request: parking.RetryParked, caller: Caller) -> parking.Retried:
        applied = left = 0
        for runner in self._service.runners:
            if request.reader in (None, runner.projection.name):
                more, rest = await runner.retry(request.source, request.school)
                applied, left = applied + more, left + rest
        return parking.Retried(applied=applied, left=left)

    async def _skip(self, request: parking.SkipParked, caller: Caller, commit: Commit[parking.Skipped]) -> parking.Skipped:
        service = self._service

        def work(tx: Transaction) -> parking.Skipped:
            # Locked, so that nobody who tries it again takes it in while it is being skipped.
            row = self._found(tx.rows(_at(request).with_for_update()), request)
            if row.waiting:
                text = f"{row.source} {row.position} was not refused itself: it waits behind an earlier event of {row.school}."
                raise Refused("parked.waiting", text, "Retry or skip the one before it.")
            command = Skip(service.name, request.reader, request.source, request.position, sha256(bytes(row.bytes)), request.reason)
            tx.decide(SKIPS, request.reader, command, school=_school(row.school), happened_on=local_day(tx.now))
            return parking.Skipped(school=row.school, sha256=command.sha256)

        committed = await commit(work)
        for runner in service.runners:
            if runner.projection.name == request.reader:
                await runner.retry(request.source, committed.reply.school)
        return committed.reply

    def _readers(self) -> list[str]:
        """Not those that build another version of somebody's rows: whatever is decided for the live one holds for them."""
        return [runner.projection.name for runner in self._service.runners]

    def _found(self, rows: Sequence[Row[Any]], place: parking.ShowParked | parking.SkipParked) -> Row[Any]:
        if not rows or place.reader not in self._readers():
            text = f"{place.reader} has not parked {place.source} {place.position}."
            raise Refused("parked.unknown", text, "`vekha parked list` shows what is parked.")
        return rows[0]


def _at(place: parking.ShowParked | parking.SkipParked) -> Any:
    table = parked_table
    return select(table).where(table.c.reader == place.reader, table.c.source == place.source, table.c.position == place.position)


def _event(row: Row[Any]) -> parking.ParkedEvent:
    return parking.ParkedEvent(
        reader=row.reader,
        source=row.source,
        school=row.school,
        position=row.position,
        type=row.type,
        reason=row.reason,
        waiting=row.waiting,
    )


def _school(of_subject: str) -> str:
    """The school of the skip: that of the event's subject, unless nothing of ours could have put it there."""
    try:
        return _IDENTIFIER.validate_python(of_subject)
    except ValidationError:
        return NO_SCHOOL
