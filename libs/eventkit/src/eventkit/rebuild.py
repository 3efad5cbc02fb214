"""The verified rebuild of a projection (DESIGN 2.4): built beside the live one, compared at the same positions, switched when told to.

Each version that is being built or switched to is a job. How far it is stands in its own checkpoint, what is to become of it in its
state, so a job that was cut off goes on at the next start. The service answers meanwhile; for the last few events alone its reader stands
still. It compares what one view of the database shows, so however long that takes nobody waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from sqlalchemy import Connection, select
from sqlalchemy.exc import ProgrammingError

from contracts import rebuilding
from contracts.operations import Nothing
from eventkit import versions
from eventkit.answering import Caller
from eventkit.decider import Refused
from eventkit.faults import reach
from eventkit.jetstream import BusError, BusMessage, JetStream
from eventkit.parking import skipped
from eventkit.projection import Checkpointed, Projection, checkpoint_table, delivered, parked_table, positions
from eventkit.reaction import Inbox
from eventkit.runner import ProjectionRunner
from eventkit.tasks import ended
from eventkit.telemetry import trouble
from eventkit.versions import Beside, Version, Versioned
from eventkit.witness import Owner

if TYPE_CHECKING:
    from eventkit.service import Service

_BATCH = 1000
_CLOSE = 500  # events behind the live version: for so few its reader may stand still
_AGAIN_S = 1.0  # after trouble
_UNDER_WAY = ("building", "switching")

_NOT_PERMITTED = ("42501", "42883")  # PostgreSQL's insufficient_privilege, and undefined_function

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class Job:
    """One version on its way: it is built up to the live one, compared with it, and takes its place if that is wanted."""

    def __init__(self, service: Service, runner: ProjectionRunner, owner: Owner, number: int) -> None:
        projection = self._projection = runner.projection
        self.trouble: str | None = None
        self.events_per_s: float | None = None
        self._service = service
        self._runner = runner
        self._owner = owner
        self._number = number
        # All that the version's writer does is done in this one thread.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=versions.reader_of(projection.name, number))
        beside = Beside(service.database, projection, number)
        self._checkpointed = Checkpointed(beside, Versioned(projection, number), lambda connection: skipped(connection, projection.name))

    async def run(self) -> None:
        """Works until the version has the state that was wanted, or differs from the live one."""
        try:
            while True:
                try:
                    return await self._work()
                except Exception as error:  # noqa: BLE001 -- it goes on from its checkpoint, whatever it was
                    self.trouble = type(error).__name__
                    _log.warning("rebuild.goes-on", reader=self._checkpointed.projection.name, **trouble(error))
                    await asyncio.sleep(_AGAIN_S)
        finally:
            await asyncio.to_thread(self._thread.shutdown)

    async def _work(self) -> None:
        await self._in_thread(self._checkpointed.take_up)
        await self._catch_up()
        version = await self._service.read(self._version)
        is_accepted = version.state == "switching" and (version.compared or {}).get("accepted", False)
        if not is_accepted:
            compared = await self._compare()
            is_same = compared["live"] == compared["rebuilt"] and not compared["differing"]
            if not is_same or version.state == "building":
                await self._note("same" if is_same else "differs", compared)
                return
            await self._note("switching", compared)
        async with self._level():
            await self._in_thread(versions.switch, self._service.database, self._projection, self._number)
        self._service.switched(self._projection.name)

    async def _compare(self) -> dict[str, Any]:
        with ExitStack() as view:
            async with self._level():
                connection = view.enter_context(self._service.database.reading())
                await asyncio.to_thread(positions, connection, self._projection.name)  # from here on this view is what it is
            return await asyncio.to_thread(versions.compare, connection, self._projection, self._number)

    @asynccontextmanager
    async def _level(self) -> AsyncGenerator[None]:
        """Both versions stand at the same positions while the block lasts."""
        await self._catch_up()
        async with self._runner.held() as target:
            await self._follow(target)
            for source, school in await self._service.read(self._taken_in_by_the_live_one):
                await self._in_thread(self._checkpointed.retry, source, school)
            yield

    async def _catch_up(self) -> None:
        while sum(self._behind(target := dict(self._runner.checkpointed.positions)).values()) > _CLOSE:
            await self._follow(target)

    def _behind(self, target: Mapping[str, int]) -> dict[str, int]:
        return {source: max(0, target.get(source, 0) - position) for source, position in self._checkpointed.positions.items()}

    async def _follow(self, target: Mapping[str, int]) -> None:
        """Takes in what the live version has, up to these positions, one source after another: their order has no say in the rows."""
        began, before = time.monotonic(), sum(self._checkpointed.positions.values())
        for source in self._projection.sources:
            if source in self._checkpointed.halted:
                continue
            async for run in self._runs(source, self._checkpointed.positions[source], target.get(source, 0)):
                await self._in_thread(self._take_in, source, run)
                self.trouble = None
                done = sum(self._checkpointed.positions.values()) - before
                self.events_per_s = done / max(time.monotonic() - began, 1e-3)
                reach("rebuild.after-batch")
                if source in self._checkpointed.halted:
                    break

    def _take_in(self, source: str, run: Sequence[BusMessage]) -> None:
        self._checkpointed.apply([delivered(source, message, self._checkpointed.wants) for message in run])

    async def _runs(self, source: str, after: int, last: int) -> AsyncGenerator[Sequence[BusMessage]]:
        """The events after a position up to another, without a gap: what the stream lacks is asked from its owner."""
        stream = JetStream(self._service.nc)
        while after < last:
            async with aclosing(stream.read_range(source.upper(), after + 1, last, batch=_BATCH)) as batches:
                async for batch in batches:
                    run = [message for expected, message in enumerate(batch, after + 1) if message[0] == expected]
                    if run:
                        yield run
                        after = run[-1][0]
                    if len(run) < len(batch):
                        break
            if after < last:
                run = await self._owner(source, after, last - after)
                if not run:
                    raise BusError(f"Neither the stream of {source} nor its owner has what follows {after}.")
                yield run
                after = run[-1][0]

    def _version(self, connection: Connection) -> Version:
        return next(version for version in versions.versions(connection, self._projection.name) if version.number == self._number)

    def _taken_in_by_the_live_one(self, connection: Connection) -> set[tuple[str, str]]:
        """Of which sources and schools this version has something parked that the live one has taken in, or skipped, since."""
        table = parked_table

        def parked(reader: str) -> set[tuple[str, str, int]]:
            rows = connection.execute(select(table.c.source, table.c.school, table.c.position).where(table.c.reader == reader))
            return {(source, school, position) for source, school, position in rows}

        name = self._projection.name
        return {(source, school) for source, school, _ in parked(versions.reader_of(name, self._number)) - parked(name)}

    async def _note(self, state: str, compared: Mapping[str, Any]) -> None:
        await self._service.write(lambda connection: versions.note(connection, self._projection.name, self._number, state, compared))

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args))


class Rebuilding:
    """Answers for the versions of a service's projections, and keeps the jobs that are under way."""

    def __init__(self, service: Service, owner: Owner) -> None:
        self._service = service
        self._owner = owner
        self._jobs: dict[tuple[str, int], tuple[Job, asyncio.Task[None]]] = {}
        self._deciding = asyncio.Lock()
        service.query(rebuilding.PROJECTIONS[service.name])(self._list)
        service.query(rebuilding.REBUILD_PROJECTION[service.name])(self._rebuild)
        service.query(rebuilding.SWITCH_PROJECTION[service.name])(self._switch)
        service.query(rebuilding.DROP_PROJECTION[service.name])(self._drop)

    async def resume(self) -> None:
        """Goes on with what was under way when the service stopped."""
        for runner in self._rebuildable():
            for version in await self._versions(runner.projection):
                if version.state in _UNDER_WAY:
                    self._begin(runner, version.number)

    async def stop(self) -> None:
        """Stops all jobs; each goes on from its checkpoint at the next start."""
        await ended([task for _, task in self._jobs.values()])
        self._jobs.clear()

    # ---- calls --------------------------------------------------------------------------------------------------------

    async def _list(self, request: Nothing, caller: Caller) -> rebuilding.Projections:
        def read(connection: Connection) -> tuple[rebuilding.ProjectionShown, ...]:
            rows = connection.execute(select(checkpoint_table.c.name))
            names = {row.name for row in rows}
            return tuple(self._shown(connection, runner, names) for runner in self._service.runners)

        return rebuilding.Projections(projections=await self._service.read(read))

    async def _rebuild(self, request: rebuilding.RebuildProjection, caller: Caller) -> rebuilding.OfVersion:
        async with self._deciding:
            runner = self._runner(request.projection)
            projection = runner.projection
            building = [version for version in await self._versions(projection) if version.state == "building"]
            number = building[0].number if building else await self._new_version(projection)
            self._begin(runner, number)
            return rebuilding.OfVersion(version=number, state="building")

    async def _switch(self, request: rebuilding.SwitchProjection, caller: Caller) -> rebuilding.OfVersion:
        async with self._deciding:
            runner, version = await self._found(request.projection, request.version)
            compared = dict(version.compared or {})
            match version.state:
                case "live" | "switching":
                    return rebuilding.OfVersion.model_validate({"version": version.number, "state": version.state})
                case _ if await self._service.read(self._service.database.is_shared):
                    text = (
                        f"Two processes of {self._service.name} run, as in an upgrade: one would not forget what it remembers of the rows."
                    )
                    raise Refused("projection.shared", text, "When one of them has left, type it again.")
                case "building":
                    raise Refused(
                        "projection.building", f"Version {version.number} is being built.", "`vekha projections list` tells how far it is."
                    )
                case "differs" if request.accept != compared["rebuilt"]:
                    text = f"Version {version.number} differs from the live one in {compared['differing']} rows."
                    hint = f"Find out why; to take it all the same, give --accept {compared['rebuilt']}"
                    raise Refused("projection.differs", text, hint)
                case _:
                    pass
            compared["accepted"] = version.state == "differs"
            name = request.projection
            await self._service.write(lambda connection: versions.note(connection, name, version.number, "switching", compared))
            self._begin(runner, version.number)
            return rebuilding.OfVersion(version=version.number, state="switching")

    async def _drop(self, request: rebuilding.DropProjection, caller: Caller) -> rebuilding.OfVersion:
        async with self._deciding:
            runner, version = await self._found(request.projection, request.version)
            if version.state in ("live", "switching"):
                text = f"Version {version.number} of {request.projection} is live." if version.state == "live" else "It is becoming live."
                raise Refused("projection.live", text, "Switch to another one first.")
            if (job := self._jobs.pop((request.projection, version.number), None)) is not None:
                await ended([job[1]])
            projection = runner.projection
            await self._service.write(lambda connection: versions.drop(connection, projection, version.number))
            return rebuilding.OfVersion(version=version.number, state="dropped")

    # ---- inside -------------------------------------------------------------------------------------------------------

    def _begin(self, runner: ProjectionRunner, number: int) -> None:
        key = runner.projection.name, number
        before = self._jobs.get(key)
        if before is None or before[1].done():
            job = Job(self._service, runner, self._owner, number)
            self._jobs[key] = job, asyncio.create_task(job.run(), name=f"{self._service.name}-rebuild")

    async def _new_version(self, projection: Projection) -> int:
        try:
            return await self._service.write(lambda connection: versions.begin(connection, projection))
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) not in _NOT_PERMITTED:
                raise
            text = f"The owner of {self._service.name}'s tables has not let it make versions of them."
            raise Refused("projection.not-permitted", text, "Bring the tables up to date: vekha deploy provision") from error

    def _rebuildable(self) -> list[ProjectionRunner]:
        return [runner for runner in self._service.runners if not isinstance(runner.projection, Inbox)]

    def _runner(self, name: str) -> ProjectionRunner:
        runner = next((runner for runner in self._service.runners if runner.projection.name == name), None)
        if runner is None:
            raise Refused("projection.unknown", f"{self._service.name} has no projection {name}.", "`vekha projections list` shows them.")
        if isinstance(runner.projection, Inbox):
            text = f"{name} is a reaction: what it has done cannot be done anew."
            raise Refused("projection.reaction", text, "Choose a projection.")
        return runner

    async def _found(self, name: str, number: int) -> tuple[ProjectionRunner, Version]:
        runner = self._runner(name)
        version = next((version for version in await self._versions(runner.projection) if version.number == number), None)
        if version is None:
            raise Refused("projection.no-version", f"{name} has no version {number}.", "`vekha projections list` shows its versions.")
        return runner, version

    async def _versions(self, projection: Projection) -> list[Version]:
        return await self._service.read(lambda connection: versions.versions(connection, projection.name))

    def _shown(self, connection: Connection, runner: ProjectionRunner, checkpoints: set[str]) -> rebuilding.ProjectionShown:
        name = runner.projection.name
        live = positions(connection, name)
        shown: list[rebuilding.VersionShown] = []
        for version in sorted(versions.versions(connection, name), key=lambda version: (version.state != "live", version.number)):
            reader = name if version.state == "live" else versions.reader_of(name, version.number)
            at = positions(connection, reader) if reader in checkpoints else {}
            job = self._jobs.get((name, version.number))
            is_working = job is not None and not job[1].done()
            # What is remembered of the rows before is forgotten only when its job has ended.
            state = "switching" if version.state == "live" and is_working else version.state
            shown.append(
                rebuilding.VersionShown.model_validate(
                    {
                        "version": version.number,
                        "state": state,
                        "positions": at,
                        "done": sum(at.values()),
                        "total": sum(live.values()),
                        "events_per_s": job[0].events_per_s if job is not None and is_working else None,
                        "trouble": job[0].trouble if job is not None and is_working else None,
                        "compared": _without_acceptance(version.compared),
                    }
                )
            )
        kind = "reaction" if isinstance(runner.projection, Inbox) else "projection"
        return rebuilding.ProjectionShown(name=name, kind=kind, versions=tuple(shown))


def _without_acceptance(compared: Mapping[str, Any] | None) -> dict[str, Any] | None:
    told = {name: value for name, value in (compared or {}).items() if name != "accepted"}
    return told or None
