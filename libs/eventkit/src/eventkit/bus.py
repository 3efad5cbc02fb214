"""The one place where FastStream subscribers are registered, with the settings under which no call is ever lost in silence.

A service subscribes once, to `call.<service>.*` in a queue group of its name. FastStream hands the calls over one after
another and each becomes a task of ours: so what it would do by itself never comes to pass, no reply to a handler that
raised, nor calls taken and dropped while it stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import cast

import structlog
from faststream import AckPolicy
from faststream.nats import NatsBroker, NatsMessage
from faststream.nats.security import NatsNKey, NatsSecurity, NatsUserPassword
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from eventkit.broker import PING_EVERY_S, PINGS_UNANSWERED, Credential
from eventkit.jetstream import disconnect, told
from eventkit.tasks import ended

_MAX_CALLS_AT_ONCE = 256  # well beyond the append queue's batches, so that a batch can fill while another commits
_GRACEFUL_TIMEOUT_S = 10.0
_LEAVE_TIMEOUT_S = 2
_LAST_CALLS_S = 0.02  # calls that the broker had already routed to us may still come after it has confirmed that we left

_log = structlog.get_logger(__name__)

# FastStream prints by itself, with a handler of its own; through the root's it says no more than the others.
_faststream = logging.getLogger("faststream")
_faststream.handlers.clear()
_faststream.propagate = True

AnswerCall = Callable[[str, bytes], Awaitable[bytes]]
"""From a call's name (`roster.open-school`) and the bytes of its request to the bytes of its answer; never raises."""


class CallServer:
    """Listens for one service's calls."""

    def __init__(self, url: str, credential: Credential, service: str, answer: AnswerCall) -> None:
        self._answer = answer
        self.forbidden_at: float | None = None
        """When the bus last forbade to listen for calls, by the monotonic clock."""
        self._nc: Client | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_MAX_CALLS_AT_ONCE)
        self._broker = NatsBroker(
            url.split(","),
            security=_security(credential),
            inbox_prefix=credential.inbox,
            name=f"{service}-calls",
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            ping_interval=PING_EVERY_S,
            max_outstanding_pings=PINGS_UNANSWERED,
            graceful_timeout=_GRACEFUL_TIMEOUT_S,
            error_cb=self._troubled,
            logger=None,
            apply_types=False,  # our handler takes one thing, and to find out which would cost every call a trip to another thread
        )
        self._subscriber = self._broker.subscriber(
            f"call.{service}.*", queue=service, decoder=_verbatim, ack_policy=AckPolicy.MANUAL, no_reply=True
        )
        self._subscriber(self._take)

    async def start(self) -> None:
        """Returns when the broker sends us calls: subscribing alone does not wait for it."""
        self._nc = await self._broker.connect()
        await self._broker.start()
        await self._nc.flush()

    async def stop(self) -> None:
        """Takes no new calls; those under way are answered first."""
        nc, self._nc = self._nc, None
        if nc is None:
            return
        await self._leave(nc)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_GRACEFUL_TIMEOUT_S)
        await ended(self._under_way)
        with contextlib.suppress(errors.Error, OSError):  # the broker may be away
            await self._broker.stop()
        await disconnect(nc)

    async def _leave(self, nc: Client) -> None:
        """Out of the queue group first: from then on nobody sends us calls, and those that have arrived are still handed over."""
        subscription = cast("Subscription", self._subscriber.subscription)
        with contextlib.suppress(errors.Error, OSError):
            await nc._send_unsubscribe(subscription._id)  # pyright: ignore[reportPrivateUsage] -- the public ways drop calls that come late
            if nc.is_connected:
                await nc.flush(_LEAVE_TIMEOUT_S)
            await asyncio.sleep(_LAST_CALLS_S)

    async def _take(self, message: NatsMessage) -> None:
        await self._room.acquire()
        request = message.raw_message
        call = asyncio.create_task(self._carry_out(request, request.data))
        # FastStream's messages refer to themselves, so they stay until Python looks for such garbage: not with the part of a file in each.
        message.body = request.data = b""
        self._under_way.add(call)
        call.add_done_callback(self._done)

    async def _carry_out(self, request: Msg, body: bytes) -> None:
        answer = await self._answer(request.subject.removeprefix("call."), body)
        if not request.reply:
            return
        try:
            await request.respond(answer)
        except errors.Error as error:
            _log.warning("call.unanswered", call=request.subject, **told(error))

    def _done(self, call: asyncio.Task[None]) -> None:
        self._under_way.discard(call)
        self._room.release()

    async def _troubled(self, error: Exception) -> None:
        # Of an answer it may be forbidden as well: the bus forgets to whom it may go when it takes up other accounts.
        if "permissions violation for subscription" in str(error).lower():
            self.forbidden_at = time.monotonic()
        _log.warning("bus.connection-trouble", **told(error))


def _security(credential: Credential) -> NatsSecurity:
    shown = credential.password.get_secret_value()
    asked = credential.encryption
    if credential.is_seed:
        return NatsNKey.from_seed(shown, ssl_context=asked, tls_handshake_first=asked is not None)
    return NatsUserPassword(credential.user, shown, ssl_context=asked, tls_handshake_first=asked is not None)


async def _verbatim(message: NatsMessage) -> NatsMessage:
    return message
