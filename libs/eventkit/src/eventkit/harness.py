"""For tests: an instance on a broker of its own, in a folder of its own, with a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy.engine import URL

from contracts.call import Call, Reply, Request, Role
from eventkit.broker import EmbeddedBroker
from eventkit.calls import Answer
from eventkit.clock import ManualClock
from eventkit.database import sqlite_url
from eventkit.instance import Build, Instance
from eventkit.secrets import Secrets
from eventkit.tokens import Actor, Tokens

P = TypeVar("P", bound=Reply)
Q = TypeVar("Q", bound=Request)

START = "2015-08-17T09:00:00+03:00"
BEGUN = 1
"""The position of each log's first event, its service's key: what a test records comes behind it."""


def everything(_: str) -> bool:
    """What a projection wants that takes events of every type."""
    return True


class System:
    """A running instance on a broker of its own, and calls to it as anybody."""

    def __init__(self, instance: Instance, broker: EmbeddedBroker, clock: ManualClock, secrets: Secrets) -> None:
        self.instance = instance
        self.broker = broker
        self.clock = clock
        self._operator = instance.calls(instance.operator_token())
        self._secrets = secrets

    async def ask(
        self,
        call: Call[Q, P],
        request: Q,
        *,
        as_: Actor | None = None,
        command_id: str | None = None,
        after: Mapping[str, int] | None = None,
    ) -> Answer[P]:
        """Calls as the operator, or as a given actor, and answers with positions."""
        calls = self._operator if as_ is None else self.instance.calls(self._token(as_))
        return await calls.call(call, request, command_id=command_id, after=after)

    async def call(self, call: Call[Q, P], request: Q, *, as_: Actor | None = None, command_id: str | None = None) -> P:
        """Calls and answers with the reply alone."""
        return (await self.ask(call, request, as_=as_, command_id=command_id)).reply

    def _token(self, actor: Actor) -> str:
        """Signed by whoever may: a service signs for itself, identity for people."""
        issuer = str(actor.scope) if actor.role is Role.SERVICE else "identity"
        tokens = Tokens(issuer, self._secrets.signing_key(issuer), self._secrets.public_keys(), self.clock)
        return tokens.mint(actor, lifetime_s=300)

    async def settled(self) -> None:
        await self.instance.settled()

    async def until(self, to: str) -> None:
        """Moves the clock to a time (RFC 3339), through every timer on the way."""
        await self.instance.move_clock(datetime.fromisoformat(to))


def director(school: str) -> Actor:
    return Actor(Role.DIRECTOR, school, school)


def administrator(school: str) -> Actor:
    return Actor(Role.ADMINISTRATOR, school, school)


@asynccontextmanager
async def running(
    folder: Path, builds: Mapping[str, Build], *, now: str = START, database_url: Callable[[str], str | URL] | None = None
) -> AsyncGenerator[System]:
    """The given services, running in a folder; started again in the same folder they find what they had left."""
    fresh = not (folder / "secrets").exists()
    secrets = Secrets.make(folder / "secrets") if fresh else Secrets(folder / "secrets")
    clock = ManualClock(datetime.fromisoformat(now))
    (folder / "db").mkdir(exist_ok=True)

    def sqlite(service: str) -> URL:
        return sqlite_url(folder / "db" / f"{service}.db")

    async with EmbeddedBroker(folder / "bus", folder / "run", secrets.broker_password_file) as broker:
        instance = Instance(
            builds,
            nats_url=broker.url,
            nats_credential=broker.credential,
            secrets=secrets,
            clock=clock,
            database_url=database_url or sqlite,
        )
        try:
            await instance.start()
            yield System(instance, broker, clock, secrets)
        finally:
            await instance.stop()
