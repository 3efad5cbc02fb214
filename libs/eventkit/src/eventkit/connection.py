"""The client of the broker that everything here uses: nats-py's, with a short way for what is read in bulk.

Every event is delivered some ten times, and what nats-py does with each delivery (regular expressions, copies, a queue and a task that is
woken) costs more than folding it. Here whole messages are cut off the front of what was received, and those of a subscription with a
taker are handed to it at once. Everything else goes nats-py's own way.
"""

from __future__ import annotations

from collections.abc import Callable

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import ProtocolError
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

Taker = Callable[[str, str, bytes], None]
"""Is handed subject, reply and bytes of each message, in the event loop; it must not wait."""

_STATUS = b"NATS/1.0 "  # a status stands in the header's first line; what somebody published has none there
_LINE_END = b"\r\n"


class Connection(Client):
    """A client whose subscriptions may have a taker. `own_stream` is the bus stream of its account, where each service has one."""

    own_stream: str | None = None

    def __init__(self) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType] - nats-py leaves the type of one parameter open
        self._ps = _WholeMessages(self)
        self._takers: dict[int, Taker] = {}

    def hand_over(self, subscription: Subscription, taker: Taker) -> None:
        """What arrives for a subscription from now on is handed to `taker`; what the server itself says still goes to its callback."""
        self._takers[subscription._id] = taker  # pyright: ignore[reportPrivateUsage] - its number, told nowhere else

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self._takers.pop(sid, None)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        taker = self.taker(sid, headers or b"")
        if taker is None:
            await super()._process_msg(sid, subject, reply, data, headers or b"")
        else:
            await self.hand(taker, subject.decode(), reply.decode(), data)

    def taker(self, sid: int, headers: bytes) -> Taker | None:
        """Who takes a message; None where it goes to a callback."""
        return None if headers.startswith(_STATUS) else self._takers.get(sid)

    async def hand(self, taker: Taker, subject: str, reply: str, data: bytes) -> None:
        try:
            taker(subject, reply, data)
        except Exception as error:  # noqa: BLE001 -- as with a callback: whatever it was, reading goes on
            await self._error_cb(error)


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
        if not self.buf.startswith((b"HMSG ", b"MSG ")):  # the rest of a message that has begun is waited for here
            await super().parse()

    async def _take(self, received: bytes) -> int:
        """Hands over the whole messages at the front. Answers where they end."""
        at = 0
        while received.startswith((b"HMSG ", b"MSG "), at):
            line_end = received.find(_LINE_END, at)
            if line_end < 0:
                break
            try:
                # HMSG <subject> <sid> [reply] <header's size> <size>, MSG <subject> <sid> [reply] <size>
                verb, subject, sid, *words = received[at:line_end].decode().split()
                header_size = int(words[-2]) if verb == "HMSG" else 0
                size, number = int(words[-1]), int(sid)
            except (ValueError, IndexError):
                raise ProtocolError("nats: malformed message") from None
            reply = words[0] if len(words) == (3 if header_size else 2) else ""
            first = line_end + len(_LINE_END)
            last = first + size
            if last + len(_LINE_END) > len(received):
                break
            body = first + header_size
            at = last + len(_LINE_END)
            headers = received[first:body]
            taker = self._client.taker(number, headers)
            if taker is not None:
                await self._client.hand(taker, subject, reply, received[body:last])
            else:
                await self._client._process_msg(  # pyright: ignore[reportPrivateUsage] - as the parser of nats-py does
                    number, subject.encode(), reply.encode(), received[body:last], headers
                )
        return at
