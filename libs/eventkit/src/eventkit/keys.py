"""Who signs with which key: recorded by each service in its own log, and learned by the others from its bus stream.

The secrets folder holds the keys that an instance began with. A rotation publishes the key that follows and says until when the one
before it is believed: until its last token has expired. Nobody has to be up for that to be known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nats import errors
from nats.aio.client import Client

from contracts.event import NO_SCHOOL, SERVICES, Event
from contracts.operations import KEY_EVENTS, KeyPublication, KeyRetirement
from eventkit.decider import Decider
from eventkit.event import decode, moment, rfc3339
from eventkit.jetstream import BusError, BusMessage, JetStream
from eventkit.secrets import key_id, public_bytes
from eventkit.tokens import LONGEST_LIFETIME_S, Tokens

_LAST = 2**53  # a read goes to the end of the stream
_TIMEOUT_S = 2.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rotate:
    """Sign with `new` from now on, instead of `old`."""

    service: str
    old: Ed25519PublicKey
    new: Ed25519PublicKey
    now: datetime


Ends = Mapping[str, str | None]
"""The published keys in their order, each with the moment at which it ends."""


def decide(command: Rotate, keys: Ends) -> Sequence[Event]:
    """The first rotation also publishes the key that nobody had to publish before."""
    published, retired = KEY_EVENTS[command.service]
    now = rfc3339(command.now)
    if key_id(command.new) in keys:
        return []
    begun = [
        published(key_id=key_id(key), public_key=public_bytes(key).hex(), not_before=now)
        for key in (command.old, command.new)
        if key_id(key) not in keys
    ]
    until = command.now + timedelta(seconds=LONGEST_LIFETIME_S)
    return [*begun, retired(key_id=key_id(command.old), not_after=rfc3339(until))]


def evolve(keys: Ends, event: Event) -> Ends:
    match event:
        case KeyPublication():
            return {**keys, event.key_id: None}
        case KeyRetirement():
            return {**keys, event.key_id: event.not_after}
        case _:
            raise TypeError(f"{event.type} is no event of a service's keys")


KEYS: Decider[Rotate, Ends] = Decider("keys", {}, decide, evolve)
"""The keys of one service; a stream's id is the service's name."""


class KeyRing:
    """Teaches one service's tokens the keys that all services have published, as their bus streams tell them."""

    def __init__(self, tokens: Tokens, nc: Client) -> None:
        self._tokens = tokens
        self._stream = JetStream(nc, _TIMEOUT_S)
        self._read: dict[str, int] = dict.fromkeys(SERVICES, 0)
        self._reading = asyncio.Lock()

    async def refresh(self) -> None:
        """Reads on in every stream. One that cannot be read now is read the next time."""
        async with self._reading:
            await asyncio.gather(*(self._read_on(service) for service in SERVICES))

    async def _read_on(self, service: str) -> None:
        subject = f"evt.{service}.{NO_SCHOOL}.>"  # keys are of no school, and little else is
        try:
            async for batch in self._stream.read_range(service.upper(), self._read[service] + 1, _LAST, subject=subject):
                for message in batch:
                    self._learn(service, message)
                self._read[service] = batch[-1][0]
        except (BusError, errors.Error) as error:
            _log.info("keys.not-read", source=service, error=type(error).__name__)

    def _learn(self, service: str, message: BusMessage) -> None:
        try:
            event = decode(message[2]).event()
        except (msgspec.MsgspecError, ValueError, LookupError):
            return  # no key: readers of that stream park it
        match event:
            case KeyPublication():
                self._tokens.learn(service, Ed25519PublicKey.from_public_bytes(bytes.fromhex(event.public_key)))
            case KeyRetirement():
                self._tokens.retire(service, event.key_id, moment(event.not_after))
            case _:
                pass
