"""What every service answers about itself: how far its log and its readers are, what it holds on somebody, and when it is due."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from contracts import operations
from contracts.operations import Nothing
from eventkit import log, program
from eventkit.answering import Caller
from eventkit.clock import ManualClock
from eventkit.decider import Refused
from eventkit.event import moment, rfc3339
from eventkit.moving import SETTLE_TIMEOUT_S
from eventkit.projection import LastRead, parked_counts
from eventkit.runner import ProjectionRunner

if TYPE_CHECKING:
    from datetime import datetime

    from eventkit.service import Service

_READ_LOG_BYTES = 300_000  # an answer stays well under the bus's limit, base64 included


class ServiceTime:
    """A service of this process, seen from its clock (`moving.Timed`)."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.name = service.name

    async def end(self) -> int:
        service = self._service
        return await service.store.head() if service.store.quarantine is None else service.relay.position

    async def settle(self, ends: Mapping[str, int]) -> None:
        service = self._service
        await service.relay.published(ends[service.name])
        for runner in service.runners:
            await runner.reach(ends, SETTLE_TIMEOUT_S)
        if service.store.quarantine is None:
            for worker in service.workers:
                await worker.idle.wait()

    async def next_due(self) -> datetime | None:
        return self._service.next_due()

    async def move(self, to: datetime) -> None:
        clock = self._service.clock
        if isinstance(clock, ManualClock) and to != clock.now():
            clock.move(to)

    async def run_due_timer(self) -> None:
        await self._service.run_due_timer()


class Operations:
    """Answers for a service the calls that all services have."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._time = ServiceTime(service)
        service.query(operations.HEAD[service.name])(self._head)
        service.query(operations.READ_LOG[service.name])(self._read_log)
        service.query(operations.RECOGNIZE[service.name])(self._recognize)
        service.query(operations.HEALTH[service.name])(self._health)
        service.query(operations.HELD[service.name])(self._held)
        service.query(operations.TIMERS[service.name])(self._timers)
        service.query(operations.MOVE_TIME[service.name])(self._move_time)
        service.query(operations.SETTLE[service.name])(self._settle)

    # ---- log and readers ----------------------------------------------------------------------------------------------

    async def _head(self, request: Nothing, caller: Caller) -> operations.Head:
        found = await asyncio.to_thread(self._service.store.read_head)
        return operations.Head(position=found.position, hash=found.hash.hex(), recorded_at=found.recorded_at)

    async def _read_log(self, request: operations.ReadLog, caller: Caller) -> operations.LogRun:
        rows: list[operations.LogRow] = []
        size = 0
        for position, _, data in await self._service.store.read(request.after, request.limit):
            size += len(data) * 4 // 3 + 40
            if rows and size > _READ_LOG_BYTES:
                break
            rows.append(operations.LogRow(position=position, bytes=base64.b64encode(data).decode()))
        return operations.LogRun(rows=tuple(rows))

    async def _recognize(self, request: operations.Recognize, caller: Caller) -> operations.Recognized:
        read = LastRead(request.reader, self._service.name, request.position, request.sha256)
        return operations.Recognized(known=await self._service.recognizes(read))

    async def _health(self, request: Nothing, caller: Caller) -> operations.Health:
        service = self._service
        parked = await service.read(parked_counts)
        return operations.Health(
            service=service.name,
            position=await service.store.head(),
            published=service.relay.position,
            quarantined=service.store.quarantine,
            now=rfc3339(service.clock.now()),
            readers=tuple(_reader(runner, parked.get(runner.projection.name, 0)) for runner in service.runners),
            program=await asyncio.to_thread(self._program),
            tables=await service.read(self._tables),
        )

    def _program(self) -> operations.Program:
        migrations = self._service.database.migrations
        own = () if migrations is None else (migrations.package,)
        return operations.Program(shared=program.digest(*program.SHARED), whole=program.digest(*program.SHARED, *own))

    def _tables(self, connection: Connection) -> operations.TablesHealth | None:
        if (migrations := self._service.database.migrations) is None:
            return None
        least = log.about(connection).schema_version
        return operations.TablesHealth(revision=migrations.current(connection), known=migrations.head, least=least)

    async def _held(self, request: operations.HeldQuery, caller: Caller) -> operations.Held:
        service = self._service
        return operations.Held(records=await service.read(lambda connection: service.held(connection, request.school, request.person)))

    # ---- time ---------------------------------------------------------------------------------------------------------

    async def _timers(self, request: Nothing, caller: Caller) -> operations.Timers:
        service = self._service
        due = service.next_due()
        return operations.Timers(
            kind=service.clock.kind,
            now=rfc3339(service.clock.now()),
            due=None if due is None else rfc3339(due),
            ends=await self._time.end(),
        )

    async def _move_time(self, request: operations.MoveTime, caller: Caller) -> operations.Timers:
        if not isinstance(self._service.clock, ManualClock):
            raise Refused("clock.real", "This service runs on the real clock.")
        await self._time.move(moment(request.to))
        if request.run:
            await self._time.run_due_timer()
        return await self._timers(Nothing(), caller)

    async def _settle(self, request: operations.Settle, caller: Caller) -> operations.Timers:
        await self._time.settle(request.heads)
        return await self._timers(Nothing(), caller)


def _reader(runner: ProjectionRunner, parked: int) -> operations.ReaderHealth:
    checkpointed = runner.checkpointed
    read = checkpointed.last_read  # taken once: a position and its digest belong together
    return operations.ReaderHealth(
        name=runner.projection.name,
        positions={**runner.positions, **{source: last.position for source, last in read.items()}},
        digests={source: last.sha256 for source, last in read.items()},
        parked=parked,
        halted=tuple(sorted(checkpointed.halted)),
        unrecognized=tuple(sorted(checkpointed.unrecognized)),
    )
