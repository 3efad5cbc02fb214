"""What a service signs with: its seals and its own tokens, under the key that its log has published last."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts import operations
from contracts.call import Role
from contracts.event import NO_SCHOOL
from eventkit import log
from eventkit.answering import Caller
from eventkit.clock import local_day
from eventkit.event import rfc3339
from eventkit.keys import KEYS, Begin, rotation
from eventkit.secrets import key_id
from eventkit.tokens import Actor

if TYPE_CHECKING:
    from eventkit.service import Commit, Service
    from eventkit.store import Transaction

_TOKEN_LIFETIME_S = 300
_MOST_TOKENS = 1000  # that are kept to be used again

_log = structlog.get_logger(__name__)


class Signing:
    """One service's key in use, and its rotation."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._rotating = asyncio.Lock()
        self._in_use: Ed25519PrivateKey | None = None
        self._tokens: dict[tuple[str, str | None], tuple[str, float]] = {}
        service.command_in_steps(operations.ROTATE_KEY[service.name])(self._rotate)

    def key(self) -> Ed25519PrivateKey:
        if self._in_use is None:
            self._in_use = self._service.secrets.signing_key(self._service.name)
        return self._in_use

    def token(self, receiver: str, on_behalf_of: str | None) -> str:
        """A token of the service itself for a call, made anew before the one that is kept has expired."""
        service = self._service
        now = service.clock.now().timestamp()
        token, until = self._tokens.get((receiver, on_behalf_of), ("", 0.0))
        if now >= until:
            if len(self._tokens) > _MOST_TOKENS:
                self._tokens.clear()
            actor = Actor(Role.SERVICE, service.name, on_behalf_of=on_behalf_of)
            token = service.tokens.mint(actor, lifetime_s=_TOKEN_LIFETIME_S, audience=[receiver])
            self._tokens[receiver, on_behalf_of] = (token, now + _TOKEN_LIFETIME_S / 2)
        return token

    async def begin(self) -> bool:
        """Publishes the key that was made with the instance, with which a log begins. Answers whether the log knows the key in use."""
        service, key = self._service, self.key().public_key()

        def work(tx: Transaction) -> bool:
            tx.decide(KEYS, service.name, Begin(service.name, key, tx.now), school=NO_SCHOOL, happened_on=local_day(tx.now))
            return key_id(key) in tx.state(KEYS, service.name)

        known = (await service.store.carry_out(work, service.as_itself("first-key").origin)).reply
        if not known:
            _log.error("keys.unpublished", service=service.name)
        return known

    def end_rotation(self) -> None:
        """Signs with a key that was published before the process ended; one that was not is the next rotation's."""
        service = self._service
        if (new := service.secrets.next_signing_key(service.name)) is not None:
            with service.database.reading() as connection:
                published = KEYS.fold(recorded.event() for recorded in log.history(connection, KEYS.stream(service.name)))
            if key_id(new.public_key()) in published:
                self._change()

    async def _rotate(self, request: operations.Nothing, caller: Caller, commit: Commit[operations.KeyRotated]) -> operations.KeyRotated:
        """Publishes the next key, and signs with it once everybody can read that. What is cut off is taken up at the next start."""
        service = self._service
        async with self._rotating:
            old = service.secrets.signing_key(service.name)
            new = await asyncio.to_thread(service.secrets.make_next_signing_key, service.name)

            def work(tx: Transaction) -> operations.KeyRotated:
                command = rotation(service.name, old, new, tx.now)
                tx.decide(KEYS, service.name, command, school=NO_SCHOOL, happened_on=local_day(tx.now))
                before = key_id(command.old)
                until = tx.state(KEYS, service.name)[before] or rfc3339(tx.now)
                return operations.KeyRotated(key_id=key_id(command.new), before=before, before_until=until)

            committed = await commit(work)
            await service.relay.published(committed.position)
            if not committed.before:
                # The old key seals which one follows it: whoever lacks that event knows no seal behind it.
                await service.seal_all()
                await asyncio.to_thread(self._change)
            return committed.reply

    def _change(self) -> None:
        service = self._service
        service.secrets.change_signing_key(service.name)
        key = self._in_use = service.secrets.signing_key(service.name)
        service.tokens.learn(service.name, key.public_key())
        service.tokens.sign_with(key)
        self._tokens.clear()
