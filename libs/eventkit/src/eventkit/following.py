"""A process reads each bus stream once, for all of its readers.

Whoever follows a stream is handed it from its own position on, as if it read alone. Behind that stands one reading, by one durable and past
one witness, of what all of them have still to get. The slowest holds back the others. Who comes once that reading is ahead,
or has the whole history before it when it begins, is read for by another durable until it is as far: nobody is disturbed by one who begins
again, and nobody waits for one who begins anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import NamedTuple, Self

import structlog
from nats.aio.client import Client

from eventkit.jetstream import BusMessage, BusReader, StreamGap
from eventkit.tasks import ended
from eventkit.witness import Credulous, Owner, Witnesses

_TOGETHER_S = 0.02  # those who come within this time are read for together from the start
_NEAR = 10_000  # events
_QUEUED_BATCHES = 4  # of each follower, so that a slow database holds the reading back instead of filling the memory

_log = structlog.get_logger(__name__)


class Durables(NamedTuple):
    """The durables by which a service, or an instance of all services, reads a stream: at its head, and far behind it.

    There is one of each for every process, since of two who read by the same each would take the other's messages.
    """

    near: tuple[str, ...]
    far: tuple[str, ...]

    @classmethod
    def of(cls, name: str, *, processes: int) -> Self:
        """Those for as many processes as may run at once."""
        endings = ["", *(f"-{number}" for number in range(2, processes + 1))]
        return cls(tuple(f"{name}-readers{ending}" for ending in endings), tuple(f"{name}-behind{ending}" for ending in endings))

    def on(self, sources: Iterable[str]) -> list[tuple[str, str]]:
        """All of them on the streams of these sources, as pairs of stream and durable: what is to be provisioned."""
        return [(source.upper(), durable) for source in sources for durable in (*self.near, *self.far)]


class Following:
    """Gives the readers of one process what they follow, by durables that other processes may read by too."""

    def __init__(self, nc: Client, durables: Durables, owner: Owner, witnesses: Witnesses = Credulous) -> None:
        self.durable = durables.near[0]
        """One that may be asked where a stream ends, whoever reads by it."""
        self._durables = durables
        self._nc = nc
        self._owner = owner
        self._witnesses = witnesses
        self._feeds: dict[str, tuple[_Feed, _Feed]] = {}

    def follower(self, source: str, after: int) -> Follower:
        """Somebody who follows the log of `source` behind a position."""
        if source not in self._feeds:
            near, far = (_Feed(self._nc, source, names, self._owner, self._witnesses) for names in self._durables)
            self._feeds[source] = near, far
        return Follower(*self._feeds[source], after)


class Follower:
    """One who follows a log. `batches` is gone through once."""

    def __init__(self, near: _Feed, far: _Feed, after: int) -> None:
        self._near = near
        self._far = far
        self._after: int = after
        self._taken_at = asyncio.get_running_loop().time()
        self._seat: _Seat | None = None
        self._feed: _Feed = near

    @property
    def heard_at(self) -> float:
        """When all that had been heard of the stream was taken, in seconds of the loop's clock."""
        if self._seat is None or not self._seat.is_empty:
            return self._taken_at
        if self._feed.waits_for is not None:  # for another one, and the stream may say what it will meanwhile
            return asyncio.get_running_loop().time()
        return max(self._taken_at, self._feed.heard_at)

    async def batches(self) -> AsyncGenerator[Sequence[BusMessage]]:
        """Lists of events, consecutive within and between lists, without end.

        Raises what `BusReader` and the witness raise, but for a gap that the log's owner can fill. Close it (`contextlib.aclosing`).
        """
        self._feed = self._far if self._after < self._near.position else self._near
        while True:
            seat = self._seat = self._feed.join(self._after, stays=self._feed is self._far)
            try:
                async for batch in seat.batches():
                    self._taken_at = asyncio.get_running_loop().time()
                    yield batch
                    self._after = batch[-1][0]
                    if self._feed is self._far and self._after >= self._near.position:
                        break
            finally:
                await self._feed.leave(seat)
            self._feed = self._far if self._feed is self._near else self._near


class _Seat:
    """What one follower was handed and has not taken yet."""

    def __init__(self, after: int, *, stays: bool) -> None:
        self.after = after  # up to where it was handed the stream
        self.stays = stays  # also where it is far behind the others
        self._handed: asyncio.Queue[Sequence[BusMessage] | Exception | None] = asyncio.Queue()
        self._has_room = asyncio.Event()
        self._is_left = False

    @property
    def is_empty(self) -> bool:
        return self._handed.empty()

    async def hand(self, batch: Sequence[BusMessage]) -> None:
        """Hands over what of a batch is new here, once there is room. What is too far ahead comes again, once it is read anew."""
        if batch[0][0] > self.after + 1:
            return
        while self._handed.qsize() >= _QUEUED_BATCHES and not self._is_left:
            self._has_room.clear()
            await self._has_room.wait()
        new = batch if batch[0][0] == self.after + 1 else [message for message in batch if message[0] > self.after]
        if new:
            self._handed.put_nowait(new)
            self.after = new[-1][0]

    def end(self, error: Exception | None = None) -> None:
        """Nothing more is handed over here: because of an error, or because it is read for elsewhere."""
        self._handed.put_nowait(error)

    def is_left(self) -> None:
        """Whoever had it takes nothing more."""
        self._is_left = True
        self._has_room.set()

    async def batches(self) -> AsyncGenerator[Sequence[BusMessage]]:
        while (handed := await self._handed.get()) is not None:
            self._has_room.set()
            if isinstance(handed, Exception):
                raise handed
            yield handed


class _Feed:
    """One reading of one stream, for everybody who has a seat, by one of its durables. It reads while somebody has one."""

    def __init__(self, nc: Client, source: str, durables: Sequence[str], owner: Owner, witnesses: Witnesses) -> None:
        self.position = 0  # up to where it has begun to hand on
        self.waits_for: _Seat | None = None  # whose line is full
        self._nc = nc
        self._source = source
        self._durables = durables
        self._owner = owner
        self._witnesses = witnesses
        self._reader: BusReader | None = None
        self._seats: list[_Seat] = []
        self._comes_earlier = asyncio.Event()  # somebody who has to get what was handed on already
        self._task: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()  # one reading at a time

    @property
    def heard_at(self) -> float:
        return -math.inf if self._reader is None else self._reader.heard_at

    def join(self, after: int, *, stays: bool) -> _Seat:
        seat = _Seat(after, stays=stays)
        self._seats.append(seat)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"{self._durables[0]} {self._source}")
        elif after < self.position:
            self._comes_earlier.set()
        return seat

    async def leave(self, seat: _Seat) -> None:
        seat.is_left()
        if seat in self._seats:
            self._seats.remove(seat)
        if not self._seats and self._task is not None:
            task, self._task = self._task, None
            self.position = 0
            await ended([task])

    async def _run(self) -> None:
        async with self._reading:
            while True:
                await asyncio.sleep(_TOGETHER_S)
                self._comes_earlier.clear()
                self._send_away_who_is_far_behind()
                self.position = min(seat.after for seat in self._seats)
                reading = asyncio.create_task(self._read(self.position))
                coming = asyncio.create_task(self._comes_earlier.wait())
                try:
                    await asyncio.wait({reading, coming}, return_when=asyncio.FIRST_COMPLETED)
                    error = reading.exception() if reading.done() and not reading.cancelled() else None
                finally:
                    await ended([reading, coming])
                if isinstance(error, Exception):
                    seats, self._seats, self._task, self.position = self._seats, [], None, 0
                    for seat in seats:
                        seat.end(error)
                    return

    def _send_away_who_is_far_behind(self) -> None:
        most = max(seat.after for seat in self._seats)
        far = [seat for seat in self._seats if most - seat.after > _NEAR and not seat.stays]
        for seat in far:
            self._seats.remove(seat)
            seat.end()

    async def _read(self, after: int) -> None:
        """Reads until it fails, or is cancelled because somebody comes who begins earlier."""
        witness = self._witnesses(self._source, after)
        reader = self._reader = BusReader(self._nc, self._source.upper(), *self._durables)
        while True:
            try:
                async with contextlib.aclosing(reader.batches(await witness.begin())) as batches:
                    async for batch in batches:
                        await self._hand_on(await witness.passed(batch))
            except StreamGap as gap:
                _log.error("bus-stream.gap", source=self._source, first=gap.first, last=gap.last, durable=reader.durable)
                while (after := await witness.begin()) < gap.last:
                    run = await self._owner(self._source, after, gap.last - after)
                    if not run:
                        raise  # its owner does not have it either, not now
                    await self._hand_on(await witness.passed(run))

    async def _hand_on(self, batch: Sequence[BusMessage]) -> None:
        if batch:
            self.position = batch[-1][0]
            try:
                for seat in tuple(self._seats):
                    self.waits_for = seat
                    await seat.hand(batch)
            finally:
                self.waits_for = None
