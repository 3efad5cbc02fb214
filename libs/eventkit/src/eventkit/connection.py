"""The client of the broker that everything here uses: nats-py's, with a short way for what is read in bulk.

Every event is delivered some ten times, and what nats-py does with each delivery (regular expressions, copies, a queue and a task that is
woken) costs more than folding it. Here whole messages are cut off the front of what was received, and those of a subscription with a
taker are handed to it at once. Everything else goes nats-py's own way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import BadSubjectError, ConnectionClosedError, MaxPayloadError, OutboundBufferLimitError, ProtocolError
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

Taker = Callable[[str, str, bytes], None]
"""Is handed subject, reply and bytes of each message, in the event loop; it must not wait."""

Outgoing = tuple[str, str, bytes, bytes]
"""Subject, the reply's subject, the headers as they stand on the wire, and bytes."""

_NO_SUBJECT = re.compile(r"[\s\0]")
_STATUS = b"NATS/1.0 "  # a status stands in the header's first line; what somebody published has none there
_BEGINNINGS = b"HMSG ", b"MSG "
_LINE_END = b"\r\n"
_LINE_END_SIZE = len(_LINE_END)
# MSG <subject> <sid> [reply] <size>, HMSG <subject> <sid> [reply] <header's size> <size>; without a reply there may be two spaces.
_WORD, _NUMBER = rb"([^ \r\n]+) +", rb"(\d+)"
_LINE = re.compile(
    rb"(?:MSG +%b%b +(?:%b)?|HMSG +%b%b +(?:%b)?%b +)%b *\r\n" % (_WORD, _NUMBER, _WORD, _WORD, _NUMBER, _WORD, _NUMBER, _NUMBER)
)


class Connection(Client):
    """A client whose subscriptions may have a taker. `own_stream` is the bus stream of its account, where each service has one;
    `forbidden_at` is when the server last forbade something, by the monotonic clock."""

    own_stream: str | None = None
    forbidden_at: float | None = None

    def __init__(self) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType] - nats-py leaves the type of one parameter open
        self._ps = _WholeMessages(self)
        self.takers: dict[int, Taker] = {}
        """Who takes what arrives for a subscription, by its number."""

    def hand_over(self, subscription: Subscription, taker: Taker) -> None:
        """What arrives for a subscription from now on is handed to `taker`; what the server itself says still goes to its callback."""
        self.takers[subscription._id] = taker  # pyright: ignore[reportPrivateUsage] - its number, told nowhere else

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self.takers.pop(sid, None)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        headers = headers or b""
        taker = None if headers.startswith(_STATUS) else self.takers.get(sid)
        if taker is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        elif (error := handed(taker, subject, reply, data)) is not None:
            await self.failed(error)

    async def publish_all(self, messages: Iterable[Outgoing]) -> None:
        """Sends messages in one go. Raises nats.errors.Error as `publish` does; then none of them is sent."""
        if self.is_closed:
            raise ConnectionClosedError
        commands: list[bytes] = []
        for subject, reply, headers, data in messages:
            if len(data) > self._max_payload:
                raise MaxPayloadError
            if _NO_SUBJECT.search(subject + reply) is not None:
                raise BadSubjectError
            commands.append(b"HPUB %b %b %d %d\r\n" % (subject.encode(), reply.encode(), len(headers), len(headers) + len(data)))
            commands += headers, data, _LINE_END
        command = b"".join(commands)
        if not self.is_connected and len(command) + self._pending_data_size > self._max_pending_size:
            raise OutboundBufferLimitError
        self.stats["out_msgs"] += len(commands) // 4
        self.stats["out_bytes"] += len(command)
        await self._send_command(command)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()  # pyright: ignore[reportUnknownMemberType] - nats-py leaves its type open

    async def failed(self, error: Exception) -> None:
        """A taker has failed: as with a callback, that is told, and reading goes on."""
        await self._error_cb(error)


def handed(taker: Taker, subject: bytes, reply: bytes, data: bytes) -> Exception | None:
    """Hands a message over; answers why that failed."""
    try:
        taker(subject.decode(), reply.decode(), data)
    except Exception as error:  # noqa: BLE001 -- whatever it was, it is the taker's own
        return error
    return None


class _WholeMessages(Parser):
    """Takes whole messages off the front of what was received; what is no message, nats-py takes apart."""

    def __init__(self, client: Connection) -> None:
        super().__init__(client)  # pyright: ignore[reportUnknownMemberType] - nats-py leaves the type of its parameter open
        self._client = client
        self._resets = 0

    def reset(self) -> None:
        super().reset()
        self._resets = getattr(self, "_resets", 0) + 1

    async def parse(self, data: bytes = b"") -> None:
        if self.state != AWAITING_CONTROL_LINE:  # nats-py has begun with a message
            await super().parse(data)
            return
        received = bytes(self.buf) + data if self.buf else data
        resets = self._resets
        end = await self._take(received)
        if self._resets != resets:  # the connection is another one by now
            return
        self.buf = bytearray(received[end:])
        if not self.buf.startswith(_BEGINNINGS):  # the rest of a message that has begun is waited for here
            await super().parse()

    async def _take(self, received: bytes) -> int:
        """Hands over the whole messages at the front. Answers where they end."""
        at, size_received, takers, match = 0, len(received), self._client.takers, _LINE.match
        while (line := match(received, at)) is not None:
            subject, sid, reply, with_header, header_sid, header_reply, header_size, size = line.groups()
            first = body = line.end()
            last = first + int(size)
            if last + _LINE_END_SIZE > size_received:
                return at
            at = last + _LINE_END_SIZE
            if header_size is not None:
                subject, sid, reply, body = with_header, header_sid, header_reply, first + int(header_size)
            taker = takers.get(int(sid))
            if taker is None or (body > first and received.startswith(_STATUS, first)):
                await self._client._process_msg(  # pyright: ignore[reportPrivateUsage] - as the parser of nats-py does
                    int(sid), subject, reply or b"", received[body:last], received[first:body]
                )
            elif (error := handed(taker, subject, reply or b"", received[body:last])) is not None:
                await self._client.failed(error)
        if received.startswith(_BEGINNINGS, at) and received.find(_LINE_END, at) >= 0:
            raise ProtocolError("nats: malformed message")
        return at
