"""The one place where FastStream subscribers are registered, with the settings under which no call is ever lost in silence.

A service subscribes once, to `call.<service>.*` in a queue group of its name. What FastStream would do with an
exception (no reply at all) never comes to pass: the handler answers everything itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from faststream import AckPolicy
from faststream.nats import NatsBroker, NatsMessage
from faststream.security import SASLPlaintext

from eventkit.broker import Credential

_MAX_CALLS_AT_ONCE = 256  # one beyond the append queue's batches, so that a batch can fill while another commits
_GRACEFUL_TIMEOUT_S = 10.0

_log = structlog.get_logger(__name__)

AnswerCall = Callable[[str, bytes], Awaitable[bytes]]
"""From a call's name (`roster.open-school`) and the bytes of its request to the bytes of its answer; never raises."""


class CallServer:
    """Listens for one service's calls."""

    def __init__(self, url: str, credential: Credential, service: str, answer: AnswerCall) -> None:
        self._broker = NatsBroker(
            url,
            security=SASLPlaintext(username=credential.user, password=credential.password, use_ssl=False),
            name=f"{service}-calls",
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            graceful_timeout=_GRACEFUL_TIMEOUT_S,
            error_cb=self._troubled,
            logger=None,
        )
        subscriber = self._broker.subscriber(
            f"call.{service}.*", queue=service, max_workers=_MAX_CALLS_AT_ONCE, decoder=_verbatim, ack_policy=AckPolicy.MANUAL
        )

        async def handle(body: bytes, message: NatsMessage) -> bytes:
            return await answer(message.raw_message.subject.removeprefix("call."), body)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType, reportUnknownArgumentType] -- FastStream leaves the raw message's type open

        subscriber(handle)

    async def start(self) -> None:
        await self._broker.start()

    async def stop(self) -> None:
        """Takes no new calls; those under way are answered first."""
        await self._broker.stop()

    async def _troubled(self, error: Exception) -> None:
        _log.warning("bus.connection-trouble", error=str(error) or type(error).__name__)


async def _verbatim(message: NatsMessage) -> bytes:
    return message.body
