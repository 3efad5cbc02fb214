"""Who signs with which key: recorded by each service in its own log, and learned by the others from its bus stream.

A log begins with the key that was made with the instance. A rotation publishes the key that follows, handed over under the one before it
and taken over under itself, and says until when the one before is believed: until its last token has expired. So whoever knows one key of
a service knows all of them, however they came about, and nobody has to be up for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nats import errors
from nats.aio.client import Client

from contracts.event import NO_SCHOOL, SERVICES, Event
from contracts.operations import KEY_EVENTS, KeyPublication, KeyRetirement
from eventkit.decider import Decider
from eventkit.event import decode, moment, rfc3339
from eventkit.jetstream import BusError, BusMessage, JetStream
from eventkit.seals import Keys, SealKey
from eventkit.secrets import key_id, public_bytes
from eventkit.tokens import LONGEST_LIFETIME_S, Tokens

_LAST = 2**53  # a read goes to the end of the stream
_POLL_S = 30.0
_TIMEOUT_S = 2.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Begin:
    """Sign with the key that was made with the instance."""

    service: str
    key: Ed25519PublicKey
    now: datetime


@dataclass(frozen=True, slots=True)
class Rotate:
    """Sign with `new` from now on, instead of `old`. Both have signed that (`succession`)."""

    service: str
    old: Ed25519PublicKey
    new: Ed25519PublicKey
    handed_over: bytes
    taken_over: bytes
    now: datetime


def succession(service: str, old: bytes, new: bytes, not_before: str) -> bytes:
    """What two keys sign of which the second follows the first; of each its 32 bytes are given."""
    return f"vekha-key/1\n{service}\n{old.hex()}\n{new.hex()}\n{not_before}\n".encode()


def rotation(service: str, old: Ed25519PrivateKey, new: Ed25519PrivateKey, now: datetime) -> Rotate:
    """The command by which one key follows another, signed by both."""
    from_, to = old.public_key(), new.public_key()
    said = succession(service, public_bytes(from_), public_bytes(to), rfc3339(now))
    return Rotate(service, from_, to, old.sign(said), new.sign(said), now)


Ends = Mapping[str, str | None]
"""The published keys in their order, each with the moment at which it ends."""


def decide(command: Begin | Rotate, keys: Ends) -> Sequence[Event]:
    published, retired = KEY_EVENTS[command.service]
    now = rfc3339(command.now)
    if isinstance(command, Begin):
        if keys:
            return []
        key = public_bytes(command.key).hex()
        return [published(key_id=key_id(command.key), public_key=key, not_before=now, follows=None, handed_over=None, taken_over=None)]
    if key_id(command.new) in keys:
        return []
    until = command.now + timedelta(seconds=LONGEST_LIFETIME_S)
    return [
        published(
            key_id=key_id(command.new),
            public_key=public_bytes(command.new).hex(),
            not_before=now,
            follows=key_id(command.old),
            handed_over=command.handed_over.hex(),
            taken_over=command.taken_over.hex(),
        ),
        retired(key_id=key_id(command.old), not_after=rfc3339(until)),
    ]


def evolve(keys: Ends, event: Event) -> Ends:
    match event:
        case KeyPublication():
            return {**keys, event.key_id: None}
        case KeyRetirement():
            return {**keys, event.key_id: event.not_after}
        case _:
            raise TypeError(f"{event.type} is no event of a service's keys")


KEYS: Decider[Begin | Rotate, Ends] = Decider("keys", {}, decide, evolve)
"""The keys of one service; a stream's id is the service's name."""


def trusted(service: str, published: Iterable[KeyPublication], roots: Collection[str]) -> dict[str, Ed25519PublicKey]:
    """The published keys of a service that hang together with one of the `roots`, by id: each follows or is followed by one of them."""
    by_id = {event.key_id: event for event in published if _is_named_rightly(event)}
    found = {name for name in roots if name in by_id}
    while True:
        more = {
            name
            for event in by_id.values()
            if event.follows in by_id
            and (event.key_id in found) != (event.follows in found)
            and _is_sworn(service, event, by_id[event.follows])
            for name in (event.key_id, event.follows)
        }
        if not more - found:
            return {name: _public(by_id[name]) for name in by_id if name in found}
        found |= more


def _public(event: KeyPublication) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(event.public_key))


def _is_named_rightly(event: KeyPublication) -> bool:
    return key_id(_public(event)) == event.key_id


def _is_sworn(service: str, event: KeyPublication, before: KeyPublication) -> bool:
    said = succession(service, bytes.fromhex(before.public_key), bytes.fromhex(event.public_key), event.not_before)
    try:
        _public(before).verify(bytes.fromhex(event.handed_over or ""), said)
        _public(event).verify(bytes.fromhex(event.taken_over or ""), said)
    except InvalidSignature:
        return False
    return True


class KeyRing:
    """Teaches one service's tokens the keys that all services have published, as their bus streams tell them.

    A key is learned once it hangs together with one that is known already: what anybody else has put into a stream is none.
    """

    def __init__(self, tokens: Tokens, nc: Client, known: Mapping[str, Ed25519PublicKey]) -> None:
        self._tokens = tokens
        self._sealing = {service: {key_id(known[service]): SealKey(known[service])} for service in SERVICES}
        self._stream = JetStream(nc, _TIMEOUT_S)
        self._read: dict[str, int] = dict.fromkeys(SERVICES, 0)
        self._published: dict[str, list[KeyPublication]] = {service: [] for service in SERVICES}
        self._ends: dict[str, dict[str, datetime]] = {service: {} for service in SERVICES}
        self._reading = asyncio.Lock()

    def of_seals(self, service: str) -> Keys:
        """The keys under which a service seals its log, as far as they are known."""
        return self._sealing[service]

    async def refresh(self) -> None:
        """Reads on in every stream. One that cannot be read now is read the next time."""
        async with self._reading:
            await asyncio.gather(*(self._read_on(service) for service in SERVICES))

    async def keep_learning(self) -> None:
        """Reads again and again which keys were published and retired: a retired one must not be believed until somebody happens to ask."""
        while True:
            await asyncio.sleep(_POLL_S)
            await self.refresh()

    async def _read_on(self, service: str) -> None:
        subject = f"evt.{service}.{NO_SCHOOL}.>"  # keys are of no school, and little else is
        before = self._read[service]
        try:
            async for batch in self._stream.read_range(service.upper(), before + 1, _LAST, subject=subject):
                for message in batch:
                    self._take_in(service, message)
                self._read[service] = batch[-1][0]
        except (BusError, errors.Error) as error:
            _log.info("keys.not-read", source=service, error=type(error).__name__)
        if self._read[service] > before:
            self._teach(service)

    def _take_in(self, service: str, message: BusMessage) -> None:
        try:
            event = decode(message[2]).event()
        except (msgspec.MsgspecError, ValueError, LookupError):
            return  # no key: readers of that stream park it
        match event:
            case KeyPublication():
                self._published[service].append(event)
            case KeyRetirement():
                self._ends[service][event.key_id] = moment(event.not_after)
            case _:
                pass

    def _teach(self, service: str) -> None:
        for name, key in trusted(service, self._published[service], self._sealing[service]).items():
            self._tokens.learn(service, key)
            self._sealing[service][name] = SealKey(key)
        for name, not_after in self._ends[service].items():
            self._tokens.retire(service, name, not_after)
            if (known := self._sealing[service].get(name)) is not None:
                self._sealing[service][name] = SealKey(known.public, rfc3339(not_after))
