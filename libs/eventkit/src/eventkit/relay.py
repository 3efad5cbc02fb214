"""From the log to the bus: position n is published as sequence n, once, in order, as soon as it is committed.

The relay keeps no cursor of its own. It asks the stream for its last sequence, compares what stands there with the log, and continues
after it; every publish expects its predecessor. So whatever happens to the broker, to this process or to a second relay beside it, the
stream ends up holding exactly the log. A stream that lost its tail is refilled with the same bytes at the same sequences. A stream that
holds what the log does not is a service in quarantine: the relay says so, and publishes nothing more.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

import structlog
from nats.aio.client import Client
from opentelemetry.trace import SpanKind

from eventkit.event import traceparent_of
from eventkit.faults import reach
from eventkit.jetstream import BusError, BusMessage, JetStream, PipelinedPublisher, Sent, broken_since, told
from eventkit.telemetry import happened, is_heard, trouble

_READ_LIMIT = 1000  # positions taken from the log at a time
_POLL_S = 1.0  # a commit whose wake-up was lost, or made by another process, is found after this time
_MAX_PAUSE_S = 0.5
_SAID_BY_STREAM = ("refused", "wrong-last-sequence")  # a stream is there, and answers
_TRACED_RUN = 32  # of more events at a time nobody follows each

_log = structlog.get_logger(__name__)


class LogSource(Protocol):
    """What the relay needs of a service's log. Positions are gapless from 1."""

    async def head(self) -> int:
        """The last committed position, 0 for an empty log."""
        ...

    async def read(self, after: int, limit: int) -> Sequence[BusMessage]:
        """Position, subject and bytes of the committed events from `after + 1` on, in order, at most `limit`."""
        ...


class RelayState(StrEnum):
    STARTING = "starting"
    PUBLISHING = "publishing"
    CURRENT = "current"  # the stream holds all that the log held when we last looked
    WAITING = "waiting"  # the broker or the log does not answer; it goes on by itself
    QUARANTINED = "quarantined"


@dataclass(frozen=True)
class Quarantine:
    """From `position` on the log holds less than its stream or a reader of it, or something else than it held."""

    reason: Literal["stream-ahead", "stream-differs", "reader-ahead", "reader-differs", "log-differs"]
    position: int
    text: str


class Relay:
    """Carries one service's log to its bus stream. `run` it as a task; call `wake` right after each commit, in the same event loop."""

    def __init__(
        self,
        service: str,
        stream: str,
        log: LogSource,
        nc: Client,
        on_quarantine: Callable[[Quarantine], Awaitable[None]],
        *,
        check_every_s: float = 30.0,
    ) -> None:
        self.service = service
        self.stream = stream
        self.position = 0  # the last position known to be in the stream
        self.state = RelayState.STARTING
        self.trouble = ""  # why it is waiting, in words
        self.quarantine: Quarantine | None = None
        self.refused_since: float | None = None  # when the stream began to take nothing, in seconds of the loop's clock
        self._source = log
        self._bus = JetStream(nc)
        self._publisher = PipelinedPublisher(nc, stream)
        self._on_quarantine = on_quarantine
        self._check_every_s = check_every_s
        self._committed = asyncio.Event()
        self._advanced = asyncio.Event()
        self._compared = asyncio.Event()

    async def compared(self) -> None:
        """Waits until log and stream were compared for the first time: they agree, or `quarantine` says how they do not."""
        await self._compared.wait()

    async def published(self, position: int) -> None:
        """Waits until this position is in the stream. In quarantine nothing more will be: then it does not wait."""
        while self.position < position and self.quarantine is None:
            self._advanced.clear()
            await self._advanced.wait()

    def wake(self) -> None:
        """Something was committed."""
        self._committed.set()

    async def run(self) -> None:
        """Publish until cancelled. Returns only in quarantine, after `on_quarantine` was told; every other trouble is waited out."""
        pause_s = 0.0
        try:
            while not self.quarantine:
                try:
                    await self._agree_and_publish()
                    pause_s = 0.0
                except Exception as error:  # noqa: BLE001 - a relay that died silently would look like a quiet service
                    pause_s = min(_MAX_PAUSE_S, pause_s * 2 or 0.01)
                    self._wait_because(error)
                    await asyncio.sleep(pause_s)
        finally:
            await self._publisher.close()

    async def _agree_and_publish(self) -> None:
        """One round: until the next regular check, or until the stream has to be asked again where it stands.

        A connection that broke may have come back to a broker with other files, also while there is nothing to publish.
        """
        reconnects = self._bus.nc.stats["reconnects"]
        try:
            await self._agree_with_stream()
            await self._publish_until_next_check(reconnects)
        except _Contradiction as contradiction:
            await self._enter_quarantine(contradiction.quarantine)

    async def _agree_with_stream(self) -> None:
        """Find out where the stream ends, and make sure that what stands there is ours."""
        # In this order: whatever is in the stream was committed before, so the log's head, asked later, cannot be behind it.
        last = await self._bus.last_sequence(self.stream)
        head = await self._source.head()
        if last > head:
            text = f"Stream {self.stream} ends at {last}, the log of {self.service} at {head}: was its database restored from a backup?"
            raise _Contradiction(Quarantine("stream-ahead", head + 1, text))
        if last > 0:
            ours = (await self._source.read(last - 1, 1))[0]
            theirs = await self._bus.get_message(self.stream, last)
            if theirs is None:
                # Damaged, not different. Readers will meet a gap here and ask us; publishing goes on behind it.
                _log.error("relay.stream-damaged", service=self.service, stream=self.stream, position=last)
            elif theirs != ours[1:]:
                text = f"Stream {self.stream} and the log of {self.service} hold different events at {last}: run `vekha audit verify`."
                raise _Contradiction(Quarantine("stream-differs", last, text))
        if last != self.position:
            self.refused_since = None  # it has moved: somebody else publishes, or it has lost its tail and takes it again
        if last < self.position:
            _log.warning("relay.refilling", service=self.service, stream=self.stream, lost_from=last + 1, had=self.position)
        self.position = last
        self._advanced.set()
        self._compared.set()

    async def _publish_until_next_check(self, reconnects: int) -> None:
        loop = asyncio.get_running_loop()
        check_at = loop.time() + self._check_every_s
        while loop.time() < check_at and not broken_since(reconnects, self._bus.nc):
            self._committed.clear()
            if run := await self._source.read(self.position, _READ_LIMIT):
                self.state, self.trouble = RelayState.PUBLISHING, ""
                if not await self._publish(run):
                    return
                if len(run) == _READ_LIMIT or self._committed.is_set():
                    continue
            self.state, self.trouble = RelayState.CURRENT, ""
            await self._until_committed(min(_POLL_S, check_at - loop.time()))

    async def _publish(self, run: Sequence[BusMessage]) -> bool:
        """Whether the whole run is in the stream now. If not, the stream has to be asked again where it stands."""
        if run[0][0] != self.position + 1 or run[-1][0] != self.position + len(run):
            raise BusError(f"The log of {self.service} has a hole after {self.position}: it cannot be published. Verify it.")
        reach("relay.before-publish")
        since_ns = time.time_ns()
        sent = await self._publisher.send(run)
        reach("relay.after-publish")
        self.position = sent.acknowledged
        self._advanced.set()
        if is_heard() and len(run) <= _TRACED_RUN:
            self._tell_of(run, since_ns)
        if sent.failure is None:
            self.refused_since = None
            return True
        again = self._takes_nothing_again(run[0][0], sent)
        # Another relay was faster, or the stream lost its tail: where it stands now will tell. One that stands where it stood has failed
        # to store what was sent first, which it leaves unanswered, and refuses what follows.
        if sent.failure.kind == "wrong-last-sequence" and not again:
            return False
        raise BusError(f"{self.stream} did not take position {sent.failure.position}: {sent.failure.text} ({sent.failure.kind})")

    def _takes_nothing_again(self, first: int, sent: Sent) -> bool:
        """Keeps since when a stream that answers has taken nothing. Whether the run before was refused as a whole, too."""
        if sent.acknowledged >= first or sent.failure is None or sent.failure.kind not in _SAID_BY_STREAM:
            return False
        before, self.refused_since = self.refused_since, self.refused_since or asyncio.get_running_loop().time()
        return before is not None

    def _tell_of(self, run: Sequence[BusMessage], since_ns: int) -> None:
        for position, _, data in run:
            if position <= self.position:
                parent = traceparent_of(data)
                happened("relay", since_ns=since_ns, parent=parent, kind=SpanKind.PRODUCER, service=self.service, position=position)

    async def _until_committed(self, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._committed.wait()
        except TimeoutError:
            return

    async def _enter_quarantine(self, quarantine: Quarantine) -> None:
        await self._on_quarantine(quarantine)
        # Only now: if telling failed, the contradiction is found and told again.
        self.state, self.trouble, self.quarantine = RelayState.QUARANTINED, quarantine.text, quarantine
        self._advanced.set()
        self._compared.set()
        _log.error("relay.quarantined", service=self.service, reason=quarantine.reason, position=quarantine.position)

    def _wait_because(self, error: Exception) -> None:
        self.state = RelayState.WAITING
        if str(error) != self.trouble:
            known = told(error) if isinstance(error, BusError) else trouble(error)
            _log.warning("relay.waiting", service=self.service, stream=self.stream, **known)
        self.trouble = str(error)


class _Contradiction(Exception):
    def __init__(self, quarantine: Quarantine) -> None:
        super().__init__(quarantine.text)
        self.quarantine = quarantine
