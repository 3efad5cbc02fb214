"""Making a call: typed request and reply over NATS, and the wire format that both ends share.

Every call gets an answer: a reply, a refusal with a code, or a failure with an incident id. A caller that times out
knows the command id and that the outcome is unknown; the same id sent again does no harm.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import msgspec
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from opentelemetry.trace import SpanKind

from contracts.call import Call, Reply, Request
from eventkit.decider import Refused
from eventkit.event import Origin
from eventkit.telemetry import span, traceparent

MAX_BODY_BYTES = 512 * 1024
OUTCOME_UNKNOWN = "call.outcome-unknown"
"""The code of a call that nobody has answered in time."""

_ASK_AGAIN_S = 0.1

P = TypeVar("P", bound=Reply)
Q = TypeVar("Q", bound=Request)


class CallRequest(msgspec.Struct, omit_defaults=True):
    """A call on the wire. `after` holds positions that the receiver's readers must have reached before it answers."""

    body: msgspec.Raw
    token: str | None = None
    command_id: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    after: dict[str, int] | None = None

    def __repr__(self) -> str:  # neither body nor token
        return f"CallRequest(command_id={self.command_id!r})"


class CallError(msgspec.Struct):
    """A refusal or failure on the wire. `kind`: the domain says no, somebody else was first, the body is wrong, or trouble; and where the
    service's database is away, "unknown" for a command and "unreachable" for a question."""

    kind: Literal["refused", "conflict", "invalid", "failed", "unknown", "unreachable"]
    code: str
    text: str
    hint: str | None = None
    command_id: str | None = None
    incident: str | None = None


class CallReply(msgspec.Struct, omit_defaults=True):
    """An answer on the wire: a reply with positions, or an error."""

    reply: msgspec.Raw = msgspec.Raw(b"null")
    at: dict[str, int] | None = None
    command_id: str | None = None
    error: CallError | None = None

    def __repr__(self) -> str:  # a reply may hold codes and names
        return f"CallReply(command_id={self.command_id!r}, error={self.error!r})"


class CallFailed(Exception):
    """A call that was not carried out for another reason than a rule.

    `kind`: "conflict", "invalid" (the body does not fit), "failed" (see `incident` in the service's log), "unreachable"
    (nobody answers to that name, or its database is away), or "unknown" (it may have been carried out; repeat the command id).
    """

    def __init__(
        self, kind: str, code: str, text: str, *, hint: str | None = None, command_id: str | None = None, incident: str | None = None
    ) -> None:
        super().__init__(f"{code}: {text}")
        self.kind = kind
        self.code = code
        self.text = text
        self.hint = hint
        self.command_id = command_id
        self.incident = incident


@dataclass(frozen=True, slots=True)
class Answer(Generic[P]):
    """A reply, the positions that it knows of, and the id under which the command may be repeated."""

    reply: P
    at: dict[str, int]
    command_id: str | None


_encode = msgspec.json.Encoder().encode
decode_request = msgspec.json.Decoder(CallRequest).decode
_decode_reply = msgspec.json.Decoder(CallReply).decode


class Calls:
    """Makes calls over one connection: always under the same token, or under one that `token` gives by receiver and on whose behalf."""

    def __init__(self, nc: Client, token: Callable[[str, str | None], str] | str | None) -> None:
        self._nc = nc
        self._token = token

    async def call(
        self,
        call: Call[Q, P],
        request: Q,
        *,
        origin: Origin | None = None,
        command_id: str | None = None,
        after: Mapping[str, int] | None = None,
        timeout_s: float = 10.0,
    ) -> Answer[P]:
        """Calls and waits for the answer. Raises Refused where the domain says no, else CallFailed.

        `origin` is the call or event because of which this one is made: it goes on behalf of the same actor, under the
        same correlation and trace.
        """
        answer = await self.call_raw(
            call.name,
            request.model_dump_json(exclude_unset=True).encode(),
            command=call.command,
            origin=origin,
            command_id=command_id,
            after=after,
            timeout_s=timeout_s,
        )
        reply = call.reply.model_validate_json(bytes(answer.reply), extra="ignore")  # a newer service may tell more
        return Answer(reply, answer.at or {}, answer.command_id)

    async def call_raw(
        self,
        name: str,
        body: bytes,
        *,
        command: bool,
        origin: Origin | None = None,
        command_id: str | None = None,
        after: Mapping[str, int] | None = None,
        timeout_s: float = 10.0,
    ) -> CallReply:
        """As `call`, with name and body as they travel."""
        if command and command_id is None:
            command_id = uuid.uuid4().hex
        with span(f"call {name}", kind=SpanKind.CLIENT):
            message = CallRequest(
                body=msgspec.Raw(body),
                token=self._token(name.partition(".")[0], origin.actor if origin else None) if callable(self._token) else self._token,
                command_id=command_id,
                correlation_id=origin.correlation_id if origin else None,
                causation_id=origin.causation_id or origin.command_id if origin else None,
                traceparent=traceparent(),
                after=dict(after) if after else None,
            )
            payload = _encode(message)
            if len(payload) > MAX_BODY_BYTES:
                raise CallFailed("invalid", "body.too-large", "The request is over 512 KiB: send it in parts.", command_id=command_id)
            return await self._ask(name, payload, command_id, timeout_s)

    async def _ask(self, name: str, payload: bytes, command_id: str | None, timeout_s: float) -> CallReply:
        try:
            answer = _decode_reply((await self._request(f"call.{name}", payload, timeout_s)).data)
        except errors.NoRespondersError as error:
            text = f"{name.split('.', 1)[0]} does not answer."
            hint = "Is the instance running? `vekha doctor` tells."
            raise CallFailed("unreachable", "service.unreachable", text, hint=hint, command_id=command_id) from error
        except (TimeoutError, errors.Error) as error:
            text = f"No answer from {name}: whether it was carried out is not known."
            hint = "Repeat it with the same command id." if command_id else None
            raise CallFailed("unknown", OUTCOME_UNKNOWN, text, hint=hint, command_id=command_id) from error
        if answer.error is None:
            return answer
        found = answer.error
        if found.kind == "refused":
            raise Refused(found.code, found.text, found.hint)
        raise CallFailed(found.kind, found.code, found.text, hint=found.hint, command_id=found.command_id, incident=found.incident)

    async def _request(self, subject: str, payload: bytes, timeout_s: float) -> Msg:
        try:
            return await self._nc.request(subject, payload, timeout=timeout_s)
        except errors.NoRespondersError:
            # Nobody got it, so once more does no harm: the broker may not see yet who has just begun to listen.
            await asyncio.sleep(_ASK_AGAIN_S)
            return await self._nc.request(subject, payload, timeout=timeout_s)
