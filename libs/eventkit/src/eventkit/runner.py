"""A reader at work: it keeps one projection at the heads of the logs that this follows (DESIGN 2.4).

Each transaction costs as much as many events, and all readers of a process share its processor. So what nobody waits for is gathered, and
takes its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import ParamSpec, TypeVar

import structlog
from opentelemetry.trace import SpanKind

from eventkit.database import Database
from eventkit.event import decode
from eventkit.following import Follower, Following
from eventkit.jetstream import BusError, BusMessage
from eventkit.projection import Checkpointed, LastRead, Projection, Skipped, delivered, nothing_skipped, sha256, type_in
from eventkit.tasks import completed, ended, set_within
from eventkit.telemetry import span, trouble
from eventkit.turns import Turns

_TRACED_BATCH = 32  # a catch-up is not traced event by event
_QUEUED_BATCHES = 4  # per source, as many as wait in line for each follower
_FULL_BATCH = 1000
_GATHER_S = 0.1  # of what comes in bulk
_COURTESY_S = 0.03  # for as long a reader lets others go first, also the next one of its own
_PASSED_OVER_S = 1.0  # for as long a checkpoint may stand before events that are not wanted
_ASK_OWNERS_EVERY_S = 1.0  # those that have not answered yet

_decode_once = lru_cache(_FULL_BATCH)(decode)
"""The readers of a process are handed the same bytes, one soon after the other."""

P = ParamSpec("P")
T = TypeVar("T")
_Batch = tuple[str, Sequence[BusMessage]]
_Arrived = asyncio.Queue[_Batch]

_log = structlog.get_logger(__name__)

Recognizes = Callable[[LastRead], Awaitable[bool | None]]
"""Asks a service whether its log holds what was read of it; None where it does not answer."""


class ProjectionRunner:
    """Keeps one projection at the heads of its sources, which it follows with its service's other readers. One writer for all.

    `positions` are told in the event loop, after `on_moved` was called, which it is for what the projection wanted: whoever sees them sees
    what follows from them. What nobody waits for is taken in a moment after it has come. From what the projection does not want nothing
    follows: it is told of at once, and the checkpoint is moved behind it later.
    """

    def __init__(
        self,
        following: Following,
        database: Database,
        projection: Projection,
        recognizes: Recognizes,
        *,
        skipped: Skipped = nothing_skipped,
    ) -> None:
        self.projection = projection
        self.checkpointed = Checkpointed(database, projection, skipped)
        self.positions: Mapping[str, int] = {}
        self.on_moved: Callable[[], None] = lambda: None
        self._following = following
        self._recognizes = recognizes
        self._moved = asyncio.Condition()
        self._restart = asyncio.Event()
        self._taking_in = asyncio.Lock()
        self._pause_s = 0.0
        self._awaited = 0  # by how many
        self._woken = asyncio.Event()  # what has come need not wait any more
        self._wanted_since: float | None = None  # when the first came that is wanted and not taken in, in seconds of the loop's clock
        self._taken_in_at = -math.inf  # in seconds of the loop's clock
        self._turns = Turns.here()
        self._arrived = _Arrived()
        self._gathered: list[_Batch] = []  # what was taken from there, and is not taken in yet
        self._followers: dict[str, Follower] = {}
        self._begun_at = math.inf  # in seconds of the loop's clock
        # All writing is done in this one thread: whatever is cancelled here, what it began there ends before anything else begins.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{database.service}-{projection.name}")

    async def take_up(self) -> None:
        """Takes up the positions as they stand in the database."""
        self._gathered, self._arrived = [], _Arrived(_QUEUED_BATCHES * len(self.projection.sources))
        self._wanted_since = None
        await self._in_thread(self.checkpointed.take_up)
        self.on_moved()
        async with self._moved:
            self.positions = self.checkpointed.positions  # lower ones too, where what was passed over is not noted yet
            self._moved.notify_all()

    async def run(self) -> None:
        """Reads until cancelled. Starts again from the checkpoint whenever something went wrong underneath."""
        self._begun_at = asyncio.get_running_loop().time()
        try:
            while True:
                self._restart.clear()
                try:
                    await self.take_up()
                    await self._follow()
                except Exception as error:  # noqa: BLE001 -- a reader that died in silence would look like a quiet bus
                    _log.warning("projection.starts-again", reader=self.projection.name, **trouble(error))
                    self._pause_s = min(1.0, self._pause_s * 2 or 0.05)
                    await asyncio.sleep(self._pause_s)
        finally:
            if left := [*self._gathered, *_all_of(self._arrived)]:
                self._thread.submit(self._apply, left)  # whatever becomes of it: whoever reads on gets it again
            await completed(asyncio.to_thread(self._thread.shutdown))

    async def reach(self, wanted: Mapping[str, int], timeout_s: float) -> bool:
        """Waits until the wanted positions, of the sources it has, are applied. False where that takes too long, or a source is halted."""
        mine = {source: position for source, position in wanted.items() if source in self.projection.sources}

        def missing() -> set[str]:
            return {source for source, position in mine.items() if self.positions.get(source, 0) < position}

        if missing():
            self._awaited += 1
            self._woken.set()
            try:
                async with asyncio.timeout(timeout_s), self._moved:
                    await self._moved.wait_for(lambda: not missing() - self.checkpointed.halted)
            except TimeoutError:
                pass
            finally:
                self._awaited -= 1
        return not missing()

    def silent_s(self) -> float:
        """For how long a source that is read has not been heard of, or what was heard has not been taken in. Seconds."""
        read = set(self.projection.sources) - self.checkpointed.halted
        heard_at = [self._followers[source].heard_at if source in self._followers else self._begun_at for source in read]
        return max(0.0, asyncio.get_running_loop().time() - min(heard_at, default=math.inf))

    async def retry(self, source: str | None, school: str | None) -> tuple[int, int]:
        """Tries parked events again. Answers how many were applied and how many of those are left."""
        async with self._taking_in:
            result = await self._in_thread(self.checkpointed.retry, source, school)
        self._restart.set()
        await self._tell()
        return result

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncGenerator[Mapping[str, int]]:
        """Nothing is taken in while the block lasts. Tells how far all is taken in; what the block changes is taken up after it."""
        async with self._taking_in:
            await self._in_thread(self.checkpointed.create)  # whatever was begun in the thread has ended then
            yield dict(self.checkpointed.positions)
            await self._in_thread(self.checkpointed.create)

    async def _follow(self) -> None:
        """Reads and applies until something fails, or until other sources are to be read: one halted, or was mended."""
        halted = self.checkpointed.halted
        arrived = self._arrived
        tasks: list[asyncio.Task[object]] = [
            asyncio.create_task(self._restart.wait()),
            asyncio.create_task(self._write(arrived, halted)),
            asyncio.create_task(self._ask_owners()),
            *(asyncio.create_task(self._read(source, arrived)) for source in self.projection.sources if source not in halted),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await ended(tasks)

    async def _write(self, arrived: _Arrived, halted: frozenset[str]) -> None:
        while self.checkpointed.halted == halted:
            batches = await self._gather(arrived)
            async with self._taking_in:
                with self._turns.taken():
                    wanted = await self._in_thread(self._apply, batches)
            self._gathered, self._taken_in_at = _all_of(arrived), asyncio.get_running_loop().time()
            self._wanted_since = self._taken_in_at if any(self._wants_any(batch) for _, batch in self._gathered) else None
            self._pause_s = 0.0
            await self._tell(moved=wanted)
            if self._wanted_since is None:
                await self._tell_of(_ends_of(self._gathered))

    async def _gather(self, arrived: _Arrived) -> Sequence[_Batch]:
        """What is to be taken in next. Each transaction costs as much as many events, and all readers of a process share its processor."""
        if not self._gathered:
            self._gathered = [await arrived.get()]
        batches = self._gathered
        loop = asyncio.get_running_loop()
        begun_at, counted, count = loop.time(), 0, 0
        while True:
            batches += _all_of(arrived)
            count += sum(len(batch) for _, batch in batches[counted:])
            counted = len(batches)
            rest_s = self._can_wait_until(begun_at, count) - loop.time()
            if rest_s <= 0:
                return batches
            self._woken.clear()
            if self._wanted_since is not None and count <= _TRACED_BATCH and self._turns.working:
                await self._turns.wait(self._woken, rest_s)
            else:
                await set_within(self._woken, rest_s)

    def _wants_any(self, batch: Sequence[BusMessage]) -> bool:
        wants = self.checkpointed.wants
        # Behind a parked event of its school anything is parked.
        return self.checkpointed.has_parked or any(wants(type_in(subject)) for _, subject, _ in batch)

    def _can_wait_until(self, begun_at: float, count: int) -> float:
        """Until when what has come may wait, and for more to come."""
        if count >= _FULL_BATCH:
            return begun_at
        if self._wanted_since is None:
            return begun_at + _PASSED_OVER_S
        if self._awaited:
            return begun_at
        if count > _TRACED_BATCH:
            return self._wanted_since + _GATHER_S
        return (self._wanted_since if self._turns.working else self._taken_in_at) + _COURTESY_S

    def _apply(self, batches: Sequence[_Batch]) -> bool:
        """Applies what has arrived. Answers whether anything of it was wanted."""
        wants = self.checkpointed.wants
        deliveries = [delivered(source, message, wants, _decode_once) for source, batch in batches for message in batch]
        events = [one.event for one in deliveries if one.event is not None]
        with contextlib.ExitStack() as spans:
            if len(events) <= _TRACED_BATCH:
                for event in events:
                    if event.traceparent is not None:
                        name, place = f"project {self.projection.name}", {"source": event.service, "position": event.position}
                        spans.enter_context(span(name, kind=SpanKind.CONSUMER, parent=event.traceparent, **place))
            self.checkpointed.apply(deliveries)
        return bool(events) or any(one.trouble for one in deliveries)

    async def _ask_owners(self) -> None:
        """Has every owner tell whether its log holds what was read of it. Ends where that changes what is to be read."""
        waiting = dict(self.checkpointed.last_read)
        while waiting:
            for source, read in tuple(waiting.items()):
                known = await self._recognizes(read)
                if known is not None:
                    del waiting[source]
                    if known == (source in self.checkpointed.unrecognized):
                        await self._note(read, known=known)
                        return
            await asyncio.sleep(_ASK_OWNERS_EVERY_S)
        await asyncio.Event().wait()  # whoever follows goes on until it is cancelled

    async def _note(self, read: LastRead, *, known: bool) -> None:
        if not known:
            _log.error("source.unrecognized", reader=self.projection.name, source=read.source, position=read.position)
        await self._in_thread(self.checkpointed.recognize, read.source, known=known)

    async def _is_still_there(self, read: LastRead, data: bytes) -> bool:
        """Whether a stream holds the event that was read last; where it holds another, the owner's log tells which is right."""
        if sha256(data) == read.sha256:
            return True
        known = await self._recognizes(read)
        if known is None:
            raise BusError(
                f"Stream {read.source.upper()} holds another event at {read.position} than was read, and its owner does not answer."
            )
        if known:
            _log.error("bus-stream.differs", source=read.source, position=read.position, reader=self.projection.name)
        else:
            await self._note(read, known=False)
        return known

    async def _read(self, source: str, arrived: _Arrived) -> None:
        read = self.checkpointed.last_read.get(source)
        # It begins with what was read last, which is skipped when it is applied: so nobody can go on in another log than the one begun.
        after = self.checkpointed.positions[source] if read is None else read.position - 1
        follower = self._followers[source] = self._following.follower(source, after)
        async with contextlib.aclosing(follower.batches()) as batches:
            async for batch in batches:
                if not await self._hand_on(source, batch, read, arrived):
                    return

    async def _hand_on(self, source: str, batch: Sequence[BusMessage], read: LastRead | None, arrived: _Arrived) -> bool:
        """Has a batch taken in. False where it shows that the source's log is another one than was read."""
        if read is not None and batch[0][0] == read.position and not await self._is_still_there(read, batch[0][2]):
            return False
        await arrived.put((source, batch))
        if arrived.full():
            self._woken.set()
        if self._wanted_since is None:
            if self._wants_any(batch):
                self._wanted_since = asyncio.get_running_loop().time()
                self._woken.set()
            else:
                await self._tell_of(_ends_of([(source, batch)]))
        return True

    async def _tell(self, *, moved: bool = True) -> None:
        if moved:
            self.on_moved()
        await self._tell_of(self.checkpointed.positions)

    async def _tell_of(self, reached: Mapping[str, int]) -> None:
        """Tells that the rows are what they are at these positions, or farther where that was told already."""
        async with self._moved:
            self.positions = {**self.positions, **{source: max(at, self.positions.get(source, 0)) for source, at in reached.items()}}
            self._moved.notify_all()

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))


def _ends_of(batches: Sequence[_Batch]) -> Mapping[str, int]:
    """The last position of each source; each one's batches stand in its order."""
    return {source: batch[-1][0] for source, batch in batches}


def _all_of(arrived: _Arrived) -> list[_Batch]:
    """What has arrived already."""
    batches: list[_Batch] = []
    while not arrived.empty():
        batches.append(arrived.get_nowait())
    return batches
