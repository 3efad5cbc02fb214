"""A client of a running instance: the same calls as everybody else's, as its operator or in another role."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from nats import errors
from nats.aio.client import Client as Nats
from pydantic import ValidationError

from contracts.call import Call, Reply, Request, tells_once
from contracts.event import SERVICES
from contracts.identity import TOKEN, TokenRequest
from contracts.operations import HEAD, Nothing
from eventkit import accounts, jetstream
from eventkit.broker import Credential
from eventkit.calls import OUTCOME_UNKNOWN, Answer, CallFailed, CallReply, Calls
from eventkit.decider import Refused
from vekha import output
from vekha.failures import Exit, Failure, failure_of
from vekha.folder import DataFolder

_CONNECT_TIMEOUT_S = 5.0
_WAITS = 4  # for readers that lag, until what they know has to do

P = TypeVar("P", bound=Reply)
Q = TypeVar("Q", bound=Request)


@dataclass(frozen=True)
class Target:
    """The instance to talk to: the one that runs on a data folder, or one at an address under that folder's secrets."""

    folder: DataFolder
    server: str | None = None

    @property
    def up_line(self) -> str:
        return f"Start one: vekha up --data {self.folder.root}"

    def url(self) -> str:
        """Where the broker listens. Raises Failure `instance.not-running`, with the line to type."""
        if self.server is not None:
            return self.server
        endpoint = self.folder.endpoint()
        if endpoint is None:
            raise Failure("instance.not-running", f"No instance runs on {self.folder.root}.", self.up_line, exit_code=Exit.UNREACHABLE)
        return endpoint.nats


class Client:
    """Makes calls, as the operator or, through `identity.token`, as somebody else. Whatever goes wrong is a Failure.

    Who types one command after the other expects the second to know of the first, whichever services they go to. With `up_to_date` a call
    therefore waits until the receiver has read what all logs hold by now; if it is far behind, it answers in the end with what it knows.

    A command whose answer does not come in time is sent once more under its id, but for one whose answer would lack then what is told once.
    """

    def __init__(self, nc: Nats, operator_token: str) -> None:
        self.nc = nc
        self._operator = Calls(nc, operator_token)
        self._acting: dict[tuple[str, str], Calls] = {}

    async def ask(
        self,
        call: Call[Q, P],
        request: Q,
        *,
        as_: str | None = None,
        command_id: str | None = None,
        up_to_date: bool = False,
        timeout_s: float = 10.0,
    ) -> Answer[P]:
        """Calls and waits for the answer."""
        body = request.model_dump_json(exclude_unset=True).encode()
        answer = await self.ask_raw(call, body, as_=as_, command_id=command_id, up_to_date=up_to_date, timeout_s=timeout_s)
        return Answer(call.reply.model_validate_json(bytes(answer.reply), extra="ignore"), answer.at or {}, answer.command_id)

    async def ask_raw(
        self,
        call: Call[Any, Any],
        body: bytes,
        *,
        as_: str | None = None,
        command_id: str | None = None,
        up_to_date: bool = False,
        timeout_s: float = 10.0,
    ) -> CallReply:
        """As `ask`, with request and reply as they travel."""
        if call.command and command_id is None:
            command_id = uuid.uuid4().hex

        after = await self._heads() if up_to_date else None
        waited, sent_again = 0, False

        async def send() -> CallReply:
            calls = self._operator if as_ is None else await self._as(as_, call.service)
            return await calls.call_raw(call.name, body, command=call.command, command_id=command_id, after=after, timeout_s=timeout_s)

        try:
            while True:
                try:
                    return await send()
                except CallFailed as failed:
                    # The bus forgets on the way to whom an answer goes when it takes up new accounts.
                    if sent_again or failed.code != OUTCOME_UNKNOWN or not call.command or tells_once(call.reply):
                        raise
                    sent_again = True
                except Refused as refused:
                    # Neither refusal comes from the domain: nothing was carried out.
                    if refused.code == "reader.not-caught-up" and after is not None:
                        waited += 1  # two seconds, but where it is known at once that waiting is of no use
                        if waited == _WAITS:
                            after = None
                            output.remark(f"{call.service} has not taken in yet what was recorded last: its answer may be behind that.")
                    elif refused.code == "token.expired" and as_ is not None and not sent_again:
                        sent_again = True
                        del self._acting[as_, call.service]  # the instance's clock has passed the few minutes that a token lives
                    else:
                        raise
        except Exception as error:
            failure = failure_of(error, command_id)
            if failure is None:
                raise
            raise failure from error

    async def _heads(self) -> dict[str, int]:
        """Where the logs end; a service that does not answer is left out."""

        async def head(service: str) -> tuple[str, int]:
            return service, (await self._operator.call(HEAD[service], Nothing())).reply.position

        found = await asyncio.gather(*(head(service) for service in SERVICES), return_exceptions=True)
        return dict(one for one in found if not isinstance(one, BaseException))

    async def _as(self, acting_as: str, receiver: str) -> Calls:
        """Calls of one service in another role, under a token for that service alone."""
        if (acting_as, receiver) not in self._acting:
            try:
                request = TokenRequest.model_validate({"acting_as": acting_as, "audience": [receiver]})
            except ValidationError:
                text = f"Nobody can act as {acting_as!r}: give ROLE or ROLE:SCOPE, e.g. director:school-7 or ministry."
                raise Failure("role.unknown", text) from None
            token = (await self._operator.call(TOKEN, request)).reply.token
            self._acting[acting_as, receiver] = Calls(self.nc, token)
        return self._acting[acting_as, receiver]


@asynccontextmanager
async def connected(target: Target) -> AsyncGenerator[Client]:
    """A client of the running instance. Raises Failure where none runs, or it cannot be reached."""
    url = target.url()
    token = target.folder.operator_token()
    nc = await bus_connection(target, url)
    try:
        yield Client(nc, token)
    finally:
        await jetstream.disconnect(nc)


async def bus_connection(target: Target, url: str) -> Nats:
    """A connection to the instance's broker under the data folder's credential."""
    credential = Credential.read(target.folder.secrets_folder / "broker.password")
    if credential.is_seed:  # a server with accounts, where operators have their own
        credential = replace(credential, own_stream=accounts.account(accounts.OPERATIONS), inbox=accounts.inbox(accounts.OPERATIONS))
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            await _probe(url.split(","))
            return await jetstream.connect(url, credential, name="vekha")
    except (TimeoutError, OSError, ValueError, errors.Error) as error:
        text = f"Nothing answers at {url}."
        raise Failure("instance.unreachable", text, _what_to_do(target), exit_code=Exit.UNREACHABLE) from error


async def _probe(nodes: Sequence[str]) -> None:
    """Raises OSError where nobody listens: the client would go on trying, and it is known at once."""
    for number, node in enumerate(nodes, start=1):
        address = urlsplit(node)
        try:
            _, probe = await asyncio.open_connection(address.hostname, address.port or 4222)
        except OSError:
            if number == len(nodes):
                raise
        else:
            probe.close()
            return


def _what_to_do(target: Target) -> str:
    if target.server is not None:
        return "Is the address right, and does an instance run there?"
    if target.folder.is_held:
        return f"An instance runs on {target.folder.root}, and its broker does not answer: its log on stderr says why."
    return target.up_line
