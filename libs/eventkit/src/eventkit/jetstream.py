"""Bus streams as we use them: sequence n holds the bytes of log position n, so every reader can see what is missing.

- `JetStream`: single questions (the last sequence, one message, a range).
- `PipelinedPublisher`: writes a run of positions, each expecting the one before it, many in flight.
- `BusReader`: follows a stream from any position, first at full speed, then live, over a durable consumer that was provisioned.

A sequence is an int from 1. All waiting is bounded; what the bus cannot answer is a BusError with a code, never a silent None.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec
import structlog
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import Header

from eventkit.broker import PING_EVERY_S, PINGS_UNANSWERED, Credential
from eventkit.connection import Connection, Outgoing, Taker
from eventkit.tasks import set_within

BusMessage = tuple[int, str, bytes]
"""Sequence, subject, bytes."""

MAX_REQUEST_BYTES = 8 * 1024 * 1024  # what one pull may bring at most, so that large events cannot fill the memory
_AT_ONCE_BYTES = 1024 * 1024
_LOOK_EVERY_S = 0.25  # how often a waiting publisher or reader looks whether the connection is still the one it began with
_TAKEN_PAUSE_S = 0.5  # before a durable is looked at again where somebody waits for messages
_PULL_EXPIRES_S = 10.0  # at least two heartbeats; what somebody who is gone has asked for counts as asked for so long
_GATHER_S = 0.02  # how long a reader that is behind gathers a fuller list before it hands over what it has
_WRONG_LAST_SEQUENCE = 10071
_WRONG_LAST_SEQUENCE_UNSAID = 10164  # the same, from a cluster that does not yet know which it will be
_NO_STREAM = 10059
_NO_CONSUMER = 10014

FORBIDDEN = "permissions.violation"
"""The code under which a log tells what the server forbade."""

_EXPECTED = b"Nats-Expected-Last-Sequence"

_log = structlog.get_logger(__name__)
_decode: Callable[[bytes], dict[str, Any]] = msgspec.json.Decoder(dict[str, Any]).decode


class BusError(Exception):
    """The bus cannot do what was asked; `code` is for machines, the text says what to do."""

    code = "bus.refused"


class BusUnavailable(BusError):
    """No answer: the broker is gone, still starting, or refuses us. Waiting may help."""

    code = "bus.unavailable"


class StreamMissing(BusError):
    code = "bus-stream.missing"


class ConsumerMissing(BusError):
    code = "consumer.missing"


class StreamGap(BusError):
    """The stream holds nothing readable at positions `first` to `last`. Their owner has them in its log; read on after `last`."""

    code = "bus-stream.gap"

    def __init__(self, stream: str, first: int, last: int) -> None:
        super().__init__(f"Stream {stream} lost positions {first} to {last}: ask their owner, then have the stream rebuilt.")
        self.stream, self.first, self.last = stream, first, last


async def connect(url: str, credential: Credential, *, name: str, closed: Callable[[], Awaitable[None]] | None = None) -> Connection:
    """A connection that comes back by itself for as long as it takes. `closed` is called if it ever ends; nothing works after that.

    `url` may name several nodes of one cluster, with commas between them.
    """

    async def troubled(error: Exception) -> None:
        said = told(error)
        if said.get("code") == FORBIDDEN:
            nc.forbidden_at = time.monotonic()
        _log.warning("bus.connection-trouble", connection=name, **said)

    nc = Connection()
    nc.own_stream = credential.own_stream
    await nc.connect(
        url.split(","),
        **credential.options,
        name=name,
        max_reconnect_attempts=-1,
        reconnect_time_wait=cast("int", 0.25),  # seconds; the annotation says int, the client only ever sleeps for it
        ping_interval=PING_EVERY_S,
        max_outstanding_pings=PINGS_UNANSWERED,
        error_cb=troubled,
        closed_cb=closed,
    )
    return nc


async def disconnect(nc: Client) -> None:
    """Close the connection, whether or not the broker is still there to hear of it."""
    try:
        await nc.close()
    except (errors.Error, OSError):  # it was down, with something left to send
        return


def told(error: Exception) -> dict[str, str]:
    """What a log may say of an error that the client or the server words: its type, and a code where there is one."""
    code = error.code if isinstance(error, BusError) else FORBIDDEN if "permissions violation" in str(error).lower() else None
    return {"error": type(error).__name__} | ({} if code is None else {"code": code})


def api_subject(nc: Client, verb: str) -> str:
    """Where JetStream is asked something: `CONSUMER.INFO.<stream>.<durable>` and the like.

    A stream of another account is asked as that account exports it, under `JS.<stream>.API` (`accounts`): within an account `$JS.API` is
    its own JetStream's.
    """
    tokens = verb.split(".")
    stream = tokens[3] if verb.startswith("CONSUMER.MSG.NEXT.") else tokens[2]
    own_stream = nc.own_stream if isinstance(nc, Connection) else None
    return f"$JS.API.{verb}" if own_stream in (None, stream) else f"JS.{stream}.API.{verb}"


class JetStream:
    """Questions to the JetStream API, each one round trip."""

    def __init__(self, nc: Client, timeout_s: float = 5.0) -> None:
        self.nc = nc
        self.timeout_s = timeout_s

    async def ask(self, verb: str, body: object = None) -> dict[str, Any]:
        """The answer to `$JS.API.<verb>`; an error in it is raised."""
        answer = _decode((await self._request(api_subject(self.nc, verb), body)).data)
        if error := answer.get("error"):
            raise _as_error(verb, error)
        return answer

    async def last_sequence(self, stream: str) -> int:
        """The sequence of the last message that the stream ever took, 0 if none."""
        return (await self.ask(f"STREAM.INFO.{stream}"))["state"]["last_seq"]

    async def get_message(self, stream: str, sequence: int) -> tuple[str, bytes] | None:
        """Subject and bytes at this sequence; None if the stream holds nothing readable there."""
        message = await self._request(api_subject(self.nc, f"DIRECT.GET.{stream}"), {"seq": sequence})
        if _status(message) == "404":
            return None
        return _stored(stream, message)[1:]

    async def last_message(self, stream: str, subject: str) -> BusMessage | None:
        """The last message of a subject; None where there is none."""
        message = await self._request(api_subject(self.nc, f"DIRECT.GET.{stream}"), {"last_by_subj": subject})
        return None if _status(message) == "404" else _stored(stream, message)

    async def first_at_or_after(self, stream: str, sequence: int) -> int | None:
        """The first sequence from here on that the stream can read; None beyond its end."""
        found = None
        async for batch in self.read_range(stream, sequence, sequence, batch=1):
            found = batch[0][0]
        return found

    async def read_range(
        self, stream: str, first: int, last: int, *, batch: int = 1000, subject: str | None = None
    ) -> AsyncGenerator[list[BusMessage]]:
        """What the stream holds from `first` on, of one subject pattern or of all, in order, until `last` is reached or passed.

        Sequences that cannot be read are simply not there: compare them. Needs no consumer, only the right to direct gets.
        """
        inbox = self.nc.new_inbox()
        arrived: asyncio.Queue[Msg] = asyncio.Queue()
        subscription = await _subscribe(self.nc, inbox, arrived.put)
        try:
            while first <= last:
                wanted = min(batch, last - first + 1)
                request: dict[str, Any] = {"seq": first, "batch": wanted, "max_bytes": MAX_REQUEST_BYTES}
                if subject is not None:
                    request["next_by_subj"] = subject
                await self.nc.publish(api_subject(self.nc, f"DIRECT.GET.{stream}"), msgspec.json.encode(request), reply=inbox)
                messages = await self._until_end_of_batch(stream, arrived)
                if not messages:
                    return
                yield messages
                first = messages[-1][0] + 1
        finally:
            await _unsubscribe(subscription)

    async def _until_end_of_batch(self, stream: str, arrived: asyncio.Queue[Msg]) -> list[BusMessage]:
        messages: list[BusMessage] = []
        while True:
            try:
                message = await asyncio.wait_for(arrived.get(), self.timeout_s)
            except TimeoutError:
                raise BusUnavailable(f"Stream {stream} stopped answering in the middle of a read. Is the broker running?") from None
            match _status(message):
                case None:
                    messages.append(_stored(stream, message))
                case "204" | "404":
                    return messages
                case _:
                    raise BusUnavailable(f"Stream {stream} does not answer direct gets. Does it exist, is the broker running?")

    async def _request(self, subject: str, body: object) -> Msg:
        payload = b"" if body is None else msgspec.json.encode(body)
        if not self.nc.is_connected:  # the client would keep the request, and send it when nobody waits for its answer any more
            raise BusUnavailable(f"No connection to the broker to ask {subject}. Is it running?")
        reconnects = self.nc.stats["reconnects"]
        asking = asyncio.create_task(self.nc.request(subject, payload, timeout=self.timeout_s))
        try:
            while not asking.done():
                await asyncio.wait([asking], timeout=_LOOK_EVERY_S)
                if not asking.done() and broken_since(reconnects, self.nc):
                    raise BusUnavailable(f"The connection broke before {subject} was answered. Ask again.")
            return asking.result()
        except (errors.Error, TimeoutError) as error:
            raise BusUnavailable(f"No answer to {subject} ({error or type(error).__name__}). Is the broker running?") from error
        finally:
            asking.cancel()


@dataclass(frozen=True)
class Failure:
    """Why a position was not taken."""

    kind: Literal["wrong-last-sequence", "refused", "no-responders", "unanswered"]
    position: int
    text: str


@dataclass(frozen=True)
class Sent:
    """What became of a run: every position up to `acknowledged` is in the stream; `failure` is what stopped the rest."""

    acknowledged: int
    failure: Failure | None


class PipelinedPublisher:
    """Publishes runs of consecutive positions, each expecting its predecessor to be the stream's last, up to `depth` in flight.

    So nothing is ever stored twice or out of place, however often it is sent. The answers are read from an inbox of our own,
    `<inbox>.<position>`: nats-py's own `publish_async` never resolves when the server answers with an error.
    """

    def __init__(self, nc: Client, stream: str, *, depth: int = 256, timeout_s: float = 5.0) -> None:
        self._nc = _ours(nc)
        self._stream = stream
        self._depth = depth
        self._timeout_s = timeout_s
        self._inbox = f"{nc.new_inbox()}."
        self._subscription: Subscription | None = None
        self._awaited = range(0)
        self._run = 0  # stands in the replies' subject: an answer to a run that was given up is none to the next one
        self._acknowledged = 0
        self._failure: Failure | None = None
        self._wake_at = 0
        self._woken = asyncio.Event()

    async def send(self, run: Sequence[BusMessage]) -> Sent:
        """Publish the run (not empty) and wait for its answers. Returns at the first failure; what was sent after it has failed too."""
        if self._subscription is None:
            self._subscription = await _subscribe(self._nc, f"{self._inbox}*.*", self._refused, self._answered)
        first, last = run[0][0], run[-1][0]
        self._awaited = range(first, last + 1)
        self._run += 1
        self._acknowledged, self._failure = first - 1, None
        if not self._nc.is_connected:
            self._fail("unanswered", first, "no connection to the broker")
        reconnects = self._nc.stats["reconnects"]
        try:
            for part in _parts(run, self._depth // 2):
                await self._until(part[0][0] - 1 - self._depth // 2, reconnects)  # so that `depth` are in flight at most
                if self._failure is not None:
                    break
                await self._nc.publish_all(map(self._outgoing, part))
            await self._until(last, reconnects)
        except errors.Error as error:  # not connected and the client's buffer is full, or closed
            self._fail("unanswered", self._acknowledged + 1, str(error))
        self._awaited = range(0)
        return Sent(self._acknowledged, self._failure)

    def _outgoing(self, message: BusMessage) -> Outgoing:
        position, subject, data = message
        headers = b"NATS/1.0\r\n%b: %d\r\n\r\n" % (_EXPECTED, position - 1)
        return subject, f"{self._inbox}{self._run}.{position}", headers, data

    async def close(self) -> None:
        if self._subscription:
            await _unsubscribe(self._subscription)
            self._subscription = None

    async def _until(self, position: int, reconnects: int) -> None:
        """Wait until this position is acknowledged, or something failed, or nothing more can be expected."""
        silent_s = 0.0
        while self._acknowledged < position and not self._failure:
            before = self._acknowledged
            self._wake_at = position
            self._woken.clear()
            if not await set_within(self._woken, _LOOK_EVERY_S):
                silent_s = 0.0 if self._acknowledged > before else silent_s + _LOOK_EVERY_S
            if self._acknowledged < position and (silent_s >= self._timeout_s or broken_since(reconnects, self._nc)):
                self._fail("unanswered", self._acknowledged + 1, "no answer from the bus")

    async def _refused(self, message: Msg) -> None:
        """The server itself answers: there is nobody who could."""
        position = self._position_answered(message.subject)
        if position is not None:
            self._fail("no-responders", position, f"no stream takes {self._stream}'s subjects: it is missing, or JetStream is off")

    def _answered(self, subject: str, reply: str, data: bytes) -> None:
        position = self._position_answered(subject)
        if position is None:
            return
        answer = _decode(data)
        if error := answer.get("error"):
            wrong_place = error.get("err_code") in (_WRONG_LAST_SEQUENCE, _WRONG_LAST_SEQUENCE_UNSAID)
            self._fail("wrong-last-sequence" if wrong_place else "refused", position, error.get("description", ""))
        elif (answer["stream"], answer["seq"]) != (self._stream, position):
            self._fail("refused", position, f"it was stored in {answer['stream']} at {answer['seq']}: another stream takes its subject")
        else:
            # Each position was accepted because its predecessor was there, so an acknowledgement speaks for all before it.
            self._acknowledged = max(self._acknowledged, position)
            if position >= self._wake_at:
                self._woken.set()

    def _position_answered(self, subject: str) -> int | None:
        """None for a late answer to a run that was given up; the stream tells its truth when it is asked."""
        run, position = map(int, subject[len(self._inbox) :].split("."))
        return position if run == self._run and position in self._awaited else None

    def _fail(self, kind: Literal["wrong-last-sequence", "refused", "no-responders", "unanswered"], position: int, text: str) -> None:
        if self._failure is None:  # the first one is the cause, the others follow from it
            self._failure = Failure(kind, position, text)
        self._woken.set()


class BusReader:
    """Reads a bus stream in order from any position on, and stays with it live.

    It keeps two pulls of `pull` messages each open on a durable consumer, which it first moves to its own position, so it needs no
    right to create one. It reads as fast as it is consumed and holds at most `2 * pull` messages. Of the durables that it is given it
    reads by one where nobody waits for messages, for two would take each other's; where somebody waits at all of them for longer than
    pulls last, by the first. One who has more than it can take waits for none, is not seen there, and moves to another when disturbed.
    """

    def __init__(self, nc: Client, stream: str, *durables: str, pull: int = 2000, heartbeat_s: float = 5.0) -> None:
        self.stream = stream
        self.durable = durables[0]
        """By which it reads, or has read last."""
        self._durables = durables
        self._nc = nc
        self._api = JetStream(nc)
        self._pull = pull
        self._heartbeat_s = heartbeat_s
        self.heard_at = asyncio.get_running_loop().time()
        """When the stream was last heard of, in seconds of the loop's clock: it says every few seconds that there is nothing new."""

    async def batches(self, after: int) -> AsyncGenerator[list[BusMessage]]:
        """Lists of at most `pull` messages, from `after + 1` on without end; consecutive within and between lists.

        Outlives the broker and the connection: it then goes on after the last message it yielded. Raises StreamGap where the stream
        lost something, StreamMissing and ConsumerMissing where something was not provisioned, after yielding all that came before.
        A caller that leaves early closes it (`contextlib.aclosing`), or its pulls stay open until they expire.
        """
        pause_s = 0.0
        while True:
            # By chance, or of two that disturb each other in step one might never get on.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 -- nothing is guarded by it
            await self._until_connected()
            pull: _Pull | None = None
            try:
                self.durable = await self._free_durable()
                pull = _Pull(self._nc, self.stream, self.durable, after + 1, self._pull, self._heartbeat_s, self._hear)
                await pull.open(self._api)
                while batch := await pull.next():
                    yield batch
                    after = batch[-1][0]
                    pause_s = 0.0
                if pull.jumped_to is not None:
                    await self._explain_jump(after + 1, pull.jumped_to)
                reason = pull.lost or "messages-lost"
                _log.warning("bus.reading-again", stream=self.stream, durable=self.durable, after=after, reason=reason)
            except (BusUnavailable, errors.Error) as error:
                _log.warning("bus.reading-again", stream=self.stream, durable=self.durable, after=after, **told(error))
            finally:
                if pull is not None:
                    await pull.close()
            pause_s = min(1.0, pause_s * 2 or 0.02)

    async def _free_durable(self) -> str:
        """Of several nodes, one that leads a durable goes on counting the pulls of who is gone, ours of before among them."""
        until = time.monotonic() + _PULL_EXPIRES_S + 1.0
        while True:
            for durable in self._durables:
                found = await self._api.ask(f"CONSUMER.INFO.{self.stream}.{durable}")  # a move of one that is missing is never answered
                if not found["num_waiting"]:
                    return durable
            if len(self._durables) == 1 or time.monotonic() >= until:
                return self._durables[0]
            await asyncio.sleep(_TAKEN_PAUSE_S)

    def _hear(self) -> None:
        self.heard_at = asyncio.get_running_loop().time()

    async def _until_connected(self) -> None:
        while not self._nc.is_connected:
            if self._nc.is_closed:
                raise BusError(f"The connection that reads {self.stream} was closed for good. Restart this process.")
            await asyncio.sleep(0.05)

    async def _explain_jump(self, expected: int, got: int) -> None:
        """A message that was skipped on its way is still in the stream and is read again; one that is not is a gap."""
        readable = await self._api.first_at_or_after(self.stream, expected)
        if readable != expected:
            raise StreamGap(self.stream, expected, (readable or got) - 1)


class _Pull:
    """One uninterrupted reading. When anything is unclear it ends, and the reader opens another at the position it has reached."""

    def __init__(
        self, nc: Client, stream: str, durable: str, first: int, size: int, heartbeat_s: float, on_heard: Callable[[], None]
    ) -> None:
        self.lost = ""
        self.jumped_to: int | None = None
        self._nc = nc
        self._next_subject = api_subject(nc, f"CONSUMER.MSG.NEXT.{stream}.{durable}")
        self._reset_verb = f"CONSUMER.RESET.{stream}.{durable}"
        self._size = size
        self._heartbeat_s = heartbeat_s
        self._on_heard = on_heard
        self._request = msgspec.json.encode(
            {
                "batch": size,
                "max_bytes": MAX_REQUEST_BYTES,
                "expires": int(_PULL_EXPIRES_S * 1e9),  # nanoseconds
                "idle_heartbeat": int(heartbeat_s * 1e9),
            }
        )
        self._expected = first
        self._buffer: list[BusMessage] = []
        self._more_to_come = False
        self._outstanding = 0  # messages asked for and not yet delivered
        self._heard = False
        self._woken = asyncio.Event()
        # A new inbox each time: what is still on its way to an older one can then not be taken for an answer to this one.
        self._inbox = nc.new_inbox()
        self._subscription: Subscription | None = None
        self._reconnects = nc.stats["reconnects"]

    async def open(self, api: JetStream) -> None:
        self._subscription = await _subscribe(self._nc, f"{self._inbox}.*", self._status_arrived, self._arrived)
        await api.ask(self._reset_verb, {"seq": self._expected})
        await self._ask_for_more()

    async def close(self) -> None:
        if self._subscription:
            await _unsubscribe(self._subscription)

    async def next(self) -> list[BusMessage]:
        """The next messages as soon as there are any; while the stream has more, as many as arrive in a moment. Empty: it is over."""
        silent_s = 0.0
        while True:
            over = bool(self.lost) or self.jumped_to is not None
            if self._buffer and (over or not self._more_to_come or len(self._buffer) >= self._size):
                return await self._take()
            if over:
                return []
            limit_s = _GATHER_S if self._buffer else _LOOK_EVERY_S
            self._woken.clear()
            if not await set_within(self._woken, limit_s):
                if self._buffer:
                    return await self._take()
                silent_s = 0.0 if self._heard else silent_s + limit_s
                if self._heard:
                    self._on_heard()
                self._heard = False
                if silent_s > 2 * self._heartbeat_s + 1.0:
                    self.lost = "no-heartbeat"
            if broken_since(self._reconnects, self._nc):
                self.lost = self.lost or "connection-broken"

    async def _take(self) -> list[BusMessage]:
        self._on_heard()
        batch, self._buffer = self._buffer[: self._size], self._buffer[self._size :]
        await self._ask_for_more()
        return batch

    async def _ask_for_more(self) -> None:
        while self._outstanding + len(self._buffer) <= self._size and not self.lost:
            self._outstanding += self._size
            await self._nc.publish(self._next_subject, self._request, f"{self._inbox}.0")

    def _arrived(self, subject: str, reply: str, data: bytes) -> None:
        self._heard = True
        # $JS.ACK.<stream>.<durable>.<deliveries>.<sequence>.<consumer's sequence>.<time>.<pending>, or with domain and account before.
        tokens = reply.split(".")
        at = 5 if len(tokens) == 9 else 7
        sequence = int(tokens[at])
        self._outstanding -= 1
        if sequence != self._expected:
            if sequence > self._expected and self.jumped_to is None:
                self.jumped_to = sequence
                self._woken.set()
            return
        self._expected = sequence + 1
        self._buffer.append((sequence, subject, data))
        self._more_to_come = tokens[at + 3] != "0"
        if not self._more_to_come or len(self._buffer) >= self._size:
            self._woken.set()

    async def _status_arrived(self, message: Msg) -> None:
        self._heard = True
        headers = message.headers or {}
        status, words = _status(message), headers.get(Header.DESCRIPTION, "")
        if status == "100":
            # The server says how far it has read. Beyond what we got: something was skipped, be it on its way or damaged at the end.
            if int(headers.get("Nats-Last-Stream", 0)) >= self._expected and self.jumped_to is None:
                self.jumped_to = int(headers["Nats-Last-Stream"]) + 1
                self._woken.set()
        elif status in ("404", "408") or (status == "409" and ("MaxBytes" in words or "Batch Completed" in words)):
            self._outstanding -= int(headers.get("Nats-Pending-Messages", self._size))
            await self._ask_for_more()
        else:
            self.lost = "-".join(["status", status or "none", *words.lower().split()])
            self._woken.set()


def broken_since(reconnects: int, nc: Client) -> bool:
    """Whether the connection is no longer the one it was when the client had counted `reconnects`: nothing asked on it is answered."""
    return not nc.is_connected or nc.stats["reconnects"] != reconnects


def _parts(run: Sequence[BusMessage], most: int) -> Generator[Sequence[BusMessage]]:
    """A run in parts that go over the wire at once: of so many messages at most, and of few bytes but for a single large one."""
    begin = size = 0
    for at, (_, _, data) in enumerate(run):
        if at > begin and (at - begin == most or size + len(data) > _AT_ONCE_BYTES):
            yield run[begin:at]
            begin, size = at, 0
        size += len(data)
    yield run[begin:]


def _as_error(verb: str, error: dict[str, Any]) -> BusError:
    if error.get("err_code") == _NO_STREAM:
        return StreamMissing(f"{verb}: this stream does not exist. Run the provisioning, then try again.")
    if error.get("err_code") == _NO_CONSUMER:
        return ConsumerMissing(f"{verb}: this durable consumer does not exist. Run the provisioning, then try again.")
    if error.get("code") == 503:
        return BusUnavailable(f"{verb}: {error.get('description')}. Wait until the broker has started.")
    return BusError(f"{verb}: {error.get('description')} ({error.get('err_code')})")


def _status(message: Msg) -> str | None:
    """The status of a message that the server itself wrote, None for one that carries data."""
    return message.headers.get(Header.STATUS) if message.headers else None


def _stored(stream: str, message: Msg) -> BusMessage:
    headers = message.headers
    if not headers or "Nats-Sequence" not in headers:
        raise BusUnavailable(f"Stream {stream} does not answer direct gets. Does it exist, and does it allow them?")
    return int(headers["Nats-Sequence"]), headers["Nats-Subject"], message.data


def _ours(nc: Client) -> Connection:
    if not isinstance(nc, Connection):
        raise TypeError("this needs a connection that `connect` has made")
    return nc


async def _subscribe(nc: Client, subject: str, callback: Callable[[Msg], Awaitable[None]], taker: Taker | None = None) -> Subscription:
    """With a taker, `callback` hears of what the server itself says alone."""
    # No limits of the client's own: it would drop messages silently, and what we ask for is bounded already.
    subscription = await nc.subscribe(  # pyright: ignore[reportUnknownMemberType] - nats-py leaves the type of one parameter open
        subject, cb=callback, pending_msgs_limit=0, pending_bytes_limit=0
    )
    if taker is not None:
        _ours(nc).hand_over(subscription, taker)
    return subscription


async def _unsubscribe(subscription: Subscription) -> None:
    try:
        await subscription.unsubscribe()
    except errors.Error:  # closed meanwhile: then it is gone anyway
        return
