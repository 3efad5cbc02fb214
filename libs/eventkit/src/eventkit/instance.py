"""An instance: the services of one installation in one process, over one broker and under one clock.

The launcher and the tests share it; only the edges differ (where the data lie, which broker, which services).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from nats.aio.client import Client
from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url

from contracts import operations
from contracts.call import Role
from eventkit import jetstream
from eventkit.answering import Answering, Caller, call_reply
from eventkit.broker import Credential
from eventkit.bus import CallServer
from eventkit.calls import CallReply, CallRequest, Calls
from eventkit.clock import DEFAULT_ZONE, Clock, ManualClock, start_of_day
from eventkit.decider import Refused
from eventkit.environment import LEFT_TERM_DAYS, SignOn
from eventkit.event import rfc3339
from eventkit.following import Durables, Following
from eventkit.jetstream import BusMessage
from eventkit.keys import KeyRing
from eventkit.moving import moved, settled
from eventkit.operations import ServiceTime
from eventkit.provision import provision
from eventkit.secrets import OPERATOR, Secrets
from eventkit.service import Service, Settings
from eventkit.tasks import ended
from eventkit.tokens import Actor, Tokens
from eventkit.witness import Heard, Sealed

_NAME = "instance"
_DURABLES = Durables.of(_NAME, processes=1)  # nobody else gets at its folder while it runs

Build = Callable[[Settings], Service]


class Instance:
    """Starts and stops the given services together, answers for the clock, and moves a manual one from timer to timer."""

    def __init__(
        self,
        builds: Mapping[str, Build],
        *,
        nats_url: str,
        nats_credential: Credential,
        secrets: Secrets,
        clock: Clock,
        database_url: Callable[[str], str | URL],
        production: bool = False,
        smtp_url: str | None = None,
        smtp_password: SecretStr | None = None,
        mail_from: str | None = None,
        monitors_file: str | None = None,
        activation_page: str | None = None,
        co_signature_age: int | None = None,
        esia: SignOn | None = None,
        left_term_days: int = LEFT_TERM_DAYS,
    ) -> None:
        self.clock = clock
        self._nats_url = nats_url
        self._credential = nats_credential
        self.services: dict[str, Service] = {
            name: build(
                Settings(
                    name=name,
                    database_url=make_url(database_url(name)),
                    nats_url=nats_url,
                    nats_credential=nats_credential,
                    secrets=secrets,
                    clock=clock,
                    production=production,
                    smtp_url=smtp_url,
                    smtp_password=smtp_password,
                    mail_from=mail_from,
                    monitors_file=monitors_file,
                    activation_page=activation_page,
                    co_signature_age=co_signature_age,
                    esia=esia,
                    left_term_days=left_term_days,
                )
            )
            for name, build in builds.items()
        }
        self._public_keys = secrets.public_keys()
        self._tokens = Tokens(OPERATOR, secrets.signing_key(OPERATOR), self._public_keys, clock, receiver="instance")
        self._moving = asyncio.Lock()
        self._nc: Client | None = None
        self._server: CallServer | None = None
        self._learning: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Opens all databases, provisions what the services need on the bus, then starts them side by side.

        What it raises leaves an instance to `stop`.
        """
        _raise_first(await asyncio.gather(*(service.prepare() for service in self.services.values()), return_exceptions=True))
        await self._compare_readers()
        nc = self._nc = await jetstream.connect(self._nats_url, self._credential, name="instance")
        await provision(nc, durables=self.durables)
        keys = KeyRing(self._tokens, nc, self._public_keys)
        heard = Heard(nc, keys.of_seals, keys.refresh)
        await heard.start(self._sources)
        following = Following(nc, _DURABLES, self._own_log, partial(Sealed, heard, self._own_log))
        starting = (service.start(heard=self.services, following=following) for service in self.services.values())
        _raise_first(await asyncio.gather(*starting, return_exceptions=True))
        await keys.refresh()
        self._learning = asyncio.create_task(keys.keep_learning(), name=f"{_NAME}-keys")
        answering = Answering(_NAME, self._tokens)
        answering.learn_keys = keys.refresh
        answering.register(operations.CLOCK, self._tell_time)
        answering.register(operations.SET_CLOCK, self._set_clock)
        answering.register(operations.ADVANCE_CLOCK, self._advance_clock)
        self._server = CallServer(self._nats_url, self._credential, _NAME, answering.answer)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()
        await asyncio.gather(*(service.stop() for service in self.services.values()))
        if self._learning is not None:
            await ended([self._learning])
        if self._nc is not None:
            await jetstream.disconnect(self._nc)

    @property
    def durables(self) -> list[tuple[str, str]]:
        """The durable consumers, as pairs of bus stream and name, that are provisioned for the readers of all services."""
        return _DURABLES.on(self._sources)

    @property
    def _sources(self) -> list[str]:
        return sorted({source for service in self.services.values() for source in service.sources})

    async def _own_log(self, source: str, after: int, limit: int) -> Sequence[BusMessage]:
        owner = self.services.get(source)
        return () if owner is None else await owner.ask_owner(source, after, limit)

    async def _compare_readers(self) -> None:
        """Holds what each reader has read against the logs, before anybody can append: services apart do this by calls."""
        for service in self.services.values():
            for read in await service.last_read():
                if (owner := self.services.get(read.source)) is not None:
                    known = await owner.recognizes(replace(read, reader=service.reader_name(read.reader)))
                    await service.note(read, known=known)

    def operator_token(self) -> str:
        """The operator's own token: it does not expire, and never leaves the instance's secrets folder."""
        return self._tokens.mint(Actor(Role.OPERATOR), lifetime_s=None)

    def calls(self, token: str | None) -> Calls:
        """Makes calls under a token, in this process."""
        if self._nc is None:
            raise RuntimeError("the instance is not running")
        return Calls(self._nc, token)

    async def move_clock(self, to: datetime) -> None:
        """Moves a manual clock to a time, stopping wherever a timer is due, and returns when each was handled (DESIGN 2.6).

        Raises Refused `clock.real` or `clock.backwards`.
        """
        if not isinstance(self.clock, ManualClock):
            raise Refused("clock.real", "This instance runs on the real clock. A demo instance has a manual one.")
        async with self._moving:
            if to < self.clock.now():
                self.clock.move(to)  # refuses, with the reason
            await moved(self._timed(), self.clock.now(), to)

    async def settled(self) -> None:
        """Waits until every log is on the bus and every reader and reaction has taken it in."""
        await settled(self._timed())

    def _timed(self) -> list[ServiceTime]:
        return [ServiceTime(service) for service in self.services.values()]

    def _reply(self, message: CallRequest) -> CallReply:
        reply = operations.ClockReply(kind=self.clock.kind, now=rfc3339(self.clock.now()))
        return call_reply(reply, {}, message.command_id)

    async def _tell_time(self, request: operations.Nothing, message: CallRequest, caller: Caller) -> CallReply:
        return self._reply(message)

    async def _set_clock(self, request: operations.SetClock, message: CallRequest, caller: Caller) -> CallReply:
        await self.move_clock(_moment(request.to))
        return self._reply(message)

    async def _advance_clock(self, request: operations.AdvanceClock, message: CallRequest, caller: Caller) -> CallReply:
        step = timedelta(days=request.days, hours=request.hours, minutes=request.minutes)
        await self.move_clock(self.clock.now() + step)
        return self._reply(message)


def _raise_first(outcomes: Iterable[BaseException | None]) -> None:
    for failure in outcomes:
        if failure is not None:
            raise failure


def _moment(text: str) -> datetime:
    """A moment from RFC 3339, or from a date: the beginning of that day in Moscow; without offset, Moscow time."""
    try:
        if len(text) == len("2015-08-17"):
            return start_of_day(date.fromisoformat(text))
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(
            "clock.unreadable", f"{text!r} is no time: give a date (2015-08-17) or RFC 3339 (2015-08-17T09:00:00+03:00)."
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(DEFAULT_ZONE))
