"""A reader takes in nothing that its source's owner has not signed for: what anybody else has put into a bus stream is never folded.

Whoever follows a log computes its hash chain from the last kept seal before its checkpoint, and hands an event on once a seal behind it
says the same hash. While it catches up these are the kept seals, in the order of their stream; at the log's head it is what the owner
tells whenever its log has moved, a moment before the event itself arrives. Where the chain and a seal disagree, the owner is asked for its
events; if those agree the stream is wrong and is passed by, if not nothing is handed on.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Protocol

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from eventkit import seals
from eventkit.event import genesis, link
from eventkit.jetstream import BusError, BusMessage, JetStream
from eventkit.sealing import subject
from eventkit.seals import Keys, Seal, SealKey
from eventkit.secrets import public_bytes

_STREAM = "SEALS"
_LAST = 2**53
_REMEMBERED = 512  # seals that were told last, of each source
_READ_AT_A_TIME = 200  # kept seals
_LOOK_EVERY_S = 1.0  # whether a seal was kept that nobody heard told
_LEARN_EVERY_S = 1.0  # keys, where a seal names an unknown one
_MOST_HELD = 50_000  # events that wait for a seal: then something is wrong with the seals

_log = structlog.get_logger(__name__)

Owner = Callable[[str, int, int], Awaitable[Sequence[BusMessage]]]
"""Asks a service for a run of its own log: source, after, limit."""


class Witness(Protocol):
    """Stands between a bus stream and whoever follows it."""

    async def begin(self) -> int:
        """After which position the stream has to be read, the first time or anew."""
        ...

    async def passed(self, batch: Sequence[BusMessage]) -> Sequence[BusMessage]:
        """What may be taken in now that these have arrived: consecutive, and never before its time."""
        ...


Witnesses = Callable[[str, int], Witness]
"""Gives a source a witness, who begins behind a position: what stands up to there was taken in before."""


class Credulous:
    """Lets everything pass: for a stream whose owner seals nothing, and for what is no reader of a service."""

    def __init__(self, source: str, after: int) -> None:
        self._after = after

    async def begin(self) -> int:
        return self._after

    async def passed(self, batch: Sequence[BusMessage]) -> Sequence[BusMessage]:
        self._after = batch[-1][0]
        return batch


class Heard:
    """The seals of other services as one service hears of them: told now, or kept on the bus. Only those that hold are passed on."""

    def __init__(self, nc: Client, keys: Callable[[str], Keys], learn: Callable[[], Awaitable[None]]) -> None:
        self._nc = nc
        self._bus = JetStream(nc)
        self._keys = keys
        self._learn = learn
        self._learned_at = 0.0
        self._told: dict[str, OrderedDict[int, Seal]] = {}
        self._news = asyncio.Condition()

    async def start(self, sources: Collection[str]) -> None:
        """Listens for what is told of these logs from now on."""
        for source in sources:
            self._told[source] = OrderedDict()
            await self._nc.subscribe(  # pyright: ignore[reportUnknownMemberType] - nats-py leaves the type of one parameter open
                subject(source, "told"), cb=self._hear
            )

    def told(self, source: str) -> Mapping[int, Seal]:
        """What was told last, by position."""
        return self._told.get(source, {})

    async def told_more(self, source: str, than: int) -> None:
        """Waits, for a moment at most, until something behind a position is told."""
        try:
            async with asyncio.timeout(_LOOK_EVERY_S), self._news:
                await self._news.wait_for(lambda: any(position > than for position in self.told(source)))
        except TimeoutError:
            return

    async def kept_from(self, source: str, sequence: int, *, limit: int = _READ_AT_A_TIME) -> list[tuple[int, Seal]]:
        """The kept seals from a sequence of the stream on, some of those that hold; none where there are none, or the bus does not tell."""
        found: list[tuple[int, Seal]] = []
        try:
            async for batch in self._bus.read_range(_STREAM, sequence, sequence + _LAST, batch=limit, subject=subject(source, "kept")):
                for at, _, data in batch:
                    if (seal := await self._held(source, data)) is not None:
                        found.append((at, seal))
                if len(found) >= limit:
                    break
        except (BusError, errors.Error):
            pass
        return found

    async def kept_up_to(self, source: str, position: int) -> tuple[int, Seal] | None:
        """The last kept seal at or before a position, with its sequence."""
        try:
            last = await self._bus.last_message(_STREAM, subject(source, "kept"))
        except (BusError, errors.Error):
            return None
        low, high = 0, 0 if last is None else last[0]
        best: tuple[int, Seal] | None = None
        while low < high:  # seals of one log stand in the order of their positions
            middle = (low + high + 1) // 2
            found = await self.kept_from(source, middle, limit=1)
            if found and found[0][1].position <= position:
                best = found[0]
                low = max(middle, best[0])
            else:
                high = middle - 1
        return best

    async def last_kept(self, source: str) -> Seal | None:
        """The last kept seal."""
        found = await self.kept_up_to(source, _LAST)
        return None if found is None else found[1]

    async def _hear(self, message: Msg) -> None:
        source = message.subject.split(".")[1]
        if (seal := await self._held(source, message.data)) is None:
            return
        told = self._told[source]
        told[seal.position] = seal
        while len(told) > _REMEMBERED:
            told.popitem(last=False)
        async with self._news:
            self._news.notify_all()

    async def _held(self, source: str, data: bytes) -> Seal | None:
        """The seal, if it is this source's."""
        try:
            seal = seals.decode(data)
        except msgspec.MsgspecError:
            return None
        if seal.service != source:
            return None
        if seal.key not in self._keys(source) and asyncio.get_running_loop().time() - self._learned_at > _LEARN_EVERY_S:
            self._learned_at = asyncio.get_running_loop().time()
            await self._learn()
        key = self._keys(source).get(seal.key)
        return seal if key is not None and _holds(seal, public_bytes(key.public), key.not_after) else None


@lru_cache(maxsize=4096)
def _holds(seal: Seal, public: bytes, not_after: str | None) -> bool:
    """As `seals.holds`; whoever follows the same log in this process need not check it again."""
    return seals.holds(seal, {seal.key: SealKey(Ed25519PublicKey.from_public_bytes(public), not_after)})


class Sealed:
    """Lets pass what the owner of one log has sealed. It begins behind `after`, which was taken in before."""

    def __init__(self, heard: Heard, owner: Owner, source: str, after: int) -> None:
        self._heard = heard
        self._source = source
        self._after = after
        self._owner = owner
        self._at = 0  # up to where the chain is known, and as what: not yet if that is empty
        self._chain = b""
        self._recorded_at = ""  # the event there: a seal of later ones that says an earlier time is dated back, its key may have ended
        self._waiting: list[BusMessage] = []  # what is behind it and was not let pass yet
        self._kept: deque[tuple[int, Seal]] = deque()  # kept seals behind it
        self._read_from = 1  # the sequence from which kept seals are read on

    async def begin(self) -> int:
        if not self._chain:
            found = await self._heard.kept_up_to(self._source, self._after + 1)
            if found is not None:
                self._read_from, self._at, self._chain = found[0] + 1, found[1].position, bytes.fromhex(found[1].hash)
                self._recorded_at = found[1].recorded_at
                return min(self._at, self._after)
            return 0
        return self._waiting[-1][0] if self._waiting else self._at

    async def passed(self, batch: Sequence[BusMessage]) -> Sequence[BusMessage]:
        if not self._chain:
            await self._begin_at_the_beginning()
        passed = [message for message in batch if message[0] <= self._at]
        self._waiting += batch[len(passed) :]
        while self._waiting:
            seal = await self._next_seal(self._waiting[-1][0])
            if seal is None:
                if len(self._waiting) > _MOST_HELD:
                    raise BusError(f"{self._source} has told no seal for {_MOST_HELD} events behind {self._at}. Is it running?")
                break
            passed += await self._up_to(seal)
        return [message for message in passed if message[0] > self._after]

    async def _begin_at_the_beginning(self) -> None:
        while True:
            first = next(iter(self._heard.told(self._source).values()), None)
            if first is None and (kept := await self._heard.kept_from(self._source, 1, limit=1)):
                first = kept[0][1]
            if first is not None:
                self._at, self._chain = 0, genesis(self._source, first.log)
                return
            await self._heard.told_more(self._source, 0)

    async def _next_seal(self, end: int) -> Seal | None:
        """The last seal among what waits; None where a later one is known, so that more has to be read first. Else one is waited for."""
        patient = False
        while True:
            every = self._heard.told(self._source)
            told = {at: seal for at, seal in every.items() if at > self._at and seal.recorded_at >= self._recorded_at}
            if within := [position for position in told if position <= end]:
                return told[max(within)]
            newest = max(told, default=0)
            if end < newest <= self._at + seals.LONGEST_RUN:
                return None  # it is near
            if every and newest <= end and not patient:
                patient = True  # what is told arrives with the events, or a moment later
                await self._heard.told_more(self._source, self._at)
                continue
            if (kept := await self._next_kept()) is not None:
                return kept if kept.position <= end else None
            if newest > end:
                return None
            await self._heard.told_more(self._source, self._at)

    async def _next_kept(self) -> Seal | None:
        while True:
            while self._kept and (self._kept[0][1].position <= self._at or self._kept[0][1].recorded_at < self._recorded_at):
                self._kept.popleft()
            if self._kept:
                return self._kept[0][1]
            if not (found := await self._heard.kept_from(self._source, self._read_from)):
                return None
            self._kept.extend(found)
            self._read_from = found[-1][0] + 1

    async def _up_to(self, seal: Seal) -> list[BusMessage]:
        """What waits up to a seal, if it is what was sealed; else what the owner has there, if that is."""
        count = seal.position - self._at
        run, self._waiting = self._waiting[:count], self._waiting[count:]
        if self._chained(run) != seal.hash:
            run = await self._of_owner(seal)
            if self._chained(run) != seal.hash:
                self._waiting.clear()
                text = f"{self._source} has sealed other events between {self._at} and {seal.position} than its log and its stream hold."
                raise BusError(text)
            _log.error("bus-stream.forged", source=self._source, first=self._at + 1, last=seal.position)
        self._chain, self._at, self._recorded_at = bytes.fromhex(seal.hash), seal.position, seal.recorded_at
        return run

    async def _of_owner(self, seal: Seal) -> list[BusMessage]:
        run: list[BusMessage] = []
        while len(run) < seal.position - self._at:
            after = self._at + len(run)
            more = await self._owner(self._source, after, seal.position - after)
            if not more:
                break
            run += more
        return run

    def _chained(self, run: Sequence[BusMessage]) -> str:
        chain = self._chain
        for _, _, data in run:
            chain = link(chain, data)
        return chain.hex()
