"""Answering calls: from the bytes of a request to the bytes of an answer, whatever happens in between.

The order is always the same: who calls, may this role call, does the body fit, is it about the caller's own school, has
this service read as far as the caller knows. Only then a handler sees it. Each way to fail has an answer of its own, and
none tells values: they may be personal.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

import msgspec
import structlog
from opentelemetry import metrics
from opentelemetry.trace import SpanKind
from pydantic import BaseModel, ValidationError

from contracts.call import CALLS, Call, Reply, Request
from eventkit.access import ANONYMOUS, Known, Reach, check_role, check_school
from eventkit.calls import MAX_BODY_BYTES, CallError, CallFailed, CallReply, CallRequest, decode_request
from eventkit.decider import Refused
from eventkit.event import Origin
from eventkit.postgres import is_away
from eventkit.store import Conflict, Quarantined
from eventkit.telemetry import span, traceparent, trouble
from eventkit.tokens import Actor, Tokens, UnknownKey

Q = TypeVar("Q", bound=Request)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}\Z")

_MEMBER = re.compile(r"<\w+\.\w+: ('[^']*')>")

_log = structlog.get_logger(__name__)
_denials = metrics.get_meter("vekha").create_counter("vekha.calls.denied", description="Calls denied, by call, code and role")


@dataclass(frozen=True)
class Caller:
    """On whose behalf something is done: the actor, and the command or call that it is part of.

    `reach` is how far the actor may go in it; what a service does by itself has none.
    """

    actor: Actor
    command_id: str
    origin: Origin
    reach: Reach | None = None

    def check_reach(self, *named: str) -> None:
        """Raises Refused where the actor may not act for one of these people, classes or consents; asked of calls that answer for each."""
        if self.reach is not None:
            self.reach.check(*named)


Handler = Callable[[Any, CallRequest, Caller], Awaitable[CallReply]]


class Answering:
    """The calls that one service answers. `before` waits until the service has read the positions a caller names.

    `known` is what the service knows of who belongs where; `learn_keys` looks whether somebody signs with a new key.
    """

    def __init__(self, service: str, tokens: Tokens, *, before: Callable[[Mapping[str, int]], Awaitable[None]] | None = None) -> None:
        self.known = Known()
        self.learn_keys: Callable[[], Awaitable[None]] | None = None
        self.on_answer: Callable[[str, str, float], None] | None = None
        """Is told of each call its name, how it ended and how many seconds it took."""
        self._service = service
        self._tokens = tokens
        self._before = before
        self._handlers: dict[str, tuple[Call[Any, Any], Handler]] = {}

    def register(self, call: Call[Any, Any], handler: Handler) -> None:
        """Raises ValueError where the call is another service's, or has a handler already."""
        if call.service != self._service or CALLS.get(call.name) is not call:
            raise ValueError(f"{call.name} is not {self._service}'s to answer")
        if call.name in self._handlers:
            raise ValueError(f"{call.name} is answered twice")
        self._handlers[call.name] = (call, handler)

    def check_complete(self) -> None:
        """Raises ValueError where a call's scopes need to know what the service does not tell."""
        for call, _ in self._handlers.values():
            self.known.check_sufficient(call)

    async def answer(self, name: str, payload: bytes) -> bytes:
        """The answer to one call. Never raises."""
        since = time.perf_counter()
        answer, outcome = await self._answered(name, payload)
        if self.on_answer is not None:
            self.on_answer(name if name in self._handlers else "unknown", outcome, time.perf_counter() - since)
        return answer

    async def _answered(self, name: str, payload: bytes) -> tuple[bytes, str]:
        """The answer, and how it ended."""
        command_id: str | None = None
        try:
            message = _read(payload)
            command_id = message.command_id
            if name not in self._handlers:
                raise Refused("call.unknown", f"There is no call {name}.", "`vekha call --list` shows them all.")
            with span(name, kind=SpanKind.SERVER, parent=message.traceparent):
                answer = msgspec.json.encode(await self._answer(*self._handlers[name], message))
            if len(answer) <= MAX_BODY_BYTES:
                return answer, "ok"
            _log.error("call.reply-too-large", call=name, bytes=len(answer))
            error = CallError("failed", "reply.too-large", f"The answer of {name} is over 512 KiB: ask for a part of it.", None, command_id)
        except Refused as refused:
            error = CallError("refused", refused.code, refused.text, refused.hint, command_id)
        except Conflict:
            error = CallError("conflict", "stream.conflict", "Somebody else was first. Look again, then decide.", None, command_id)
        except Quarantined as quarantined:
            error = CallError("failed", "service.quarantined", str(quarantined), "`vekha doctor` says what to do.", command_id)
        except _Unfit as unfit:
            error = CallError("invalid", unfit.code, unfit.text, unfit.hint, command_id)
        except CallFailed as failed:  # one that this one had to make
            error = self._incident(name, failed.code, failed.text, failed, command_id)
        except Exception as unexpected:  # noqa: BLE001 -- the caller gets an answer at once, the log the cause
            error = self._incident(name, "call.failed", f"{name} failed.", unexpected, command_id)
            if is_away(unexpected):
                error = self._without_database(name, error)
        return msgspec.json.encode(CallReply(error=error, command_id=command_id)), error.kind

    def _incident(self, name: str, code: str, text: str, error: Exception, command_id: str | None) -> CallError:
        incident = uuid.uuid4().hex[:12]
        _log.error("call.failed", call=name, code=code, incident=incident, **trouble(error))
        return CallError("failed", code, text, f"The log of {self._service} tells more.", command_id, incident)

    def _without_database(self, name: str, incident: CallError) -> CallError:
        """What a call is told that met a database that is away. A command's commit may have been made before the connection broke."""
        text, hint = f"The database of {self._service} does not answer", "Ask again in a moment"
        kind: Literal["unknown", "unreachable"] = "unreachable"
        if self._handlers[name][0].command:
            kind, text, hint = "unknown", f"{text}: whether {name} was carried out is not known", "Repeat it with the same command id"
        return CallError(kind, "database.unavailable", f"{text}.", f"{hint}. {incident.hint}", incident.command_id, incident.incident)

    async def _answer(self, call: Call[Any, Any], handler: Handler, message: CallRequest) -> CallReply:
        try:
            actor = ANONYMOUS if message.token is None else await self._verify(message.token)
        except Refused as refused:
            _denied(call, None, refused)
            raise
        try:
            check_role(call, actor)
            request = _body(call, message)
            check_school(actor, request)
        except Refused as refused:
            _denied(call, actor, refused)
            raise
        if message.after and self._before is not None:
            await self._before(message.after)
        command_id = message.command_id or uuid.uuid4().hex
        origin = Origin(
            actor=actor.recorded_actor,
            principal=actor.recorded_principal,
            command_id=command_id,
            correlation_id=message.correlation_id or command_id,
            causation_id=message.causation_id,
            traceparent=traceparent(),
        )
        reach = Reach(call, actor, request, self.known)
        try:
            return await handler(request, message, Caller(actor, command_id, origin, reach))
        except Refused as refused:
            if refused.code.startswith("access.") and refused not in reach.denials:
                _denied(call, actor, refused)
            raise
        finally:
            for denial in reach.denials:
                _denied(call, actor, denial)

    async def _verify(self, token: str) -> Actor:
        try:
            return self._tokens.verify(token)
        except UnknownKey:
            if self.learn_keys is None:
                raise
        await self.learn_keys()
        return self._tokens.verify(token)


def _denied(call: Call[Any, Any], actor: Actor | None, refused: Refused) -> None:
    """Who was denied what and why: role and ids, never what was asked."""
    _denials.add(1, {"call": call.name, "code": refused.code, "role": "unknown" if actor is None else actor.role.value})
    behind = None if actor is None else actor.on_behalf_of or actor.principal
    _log.info("call.denied", call=call.name, code=refused.code, actor=None if actor is None else str(actor), behind=behind)


class _Unfit(Exception):
    """The request cannot be read."""

    def __init__(self, code: str, text: str, hint: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.text = text
        self.hint = hint


def _read(payload: bytes) -> CallRequest:
    if len(payload) > MAX_BODY_BYTES:
        raise _Unfit("body.too-large", "The request is over 512 KiB: send it in parts.")
    try:
        message = decode_request(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise _Unfit("body.malformed", "The request is not well-formed JSON.") from None
    # These stand in events for ever, so they are ids and nothing else.
    if not all(_ID.match(given) for given in (message.command_id, message.correlation_id, message.causation_id) if given is not None):
        raise _Unfit(
            "command-id.malformed", "A command id is up to 200 letters, digits and the signs . _ : -, and begins with none of the signs."
        )
    return message


def _body(call: Call[Q, Any], message: CallRequest) -> Q:
    try:
        return call.request.model_validate_json(bytes(message.body))
    except ValidationError as invalid:
        raise _Unfit("body.invalid", _what_is_wrong(invalid), f"`vekha call --list {call.name}` shows its schema.") from None


def call_reply(reply: Reply, at: dict[str, int], command_id: str | None) -> CallReply:
    return CallReply(msgspec.Raw(reply.model_dump_json().encode()), at, command_id)


def kept(reply: Reply) -> str:
    """A reply as it is kept for a repeated command: without what is told only once."""
    return _without_secrets(reply).model_dump_json()


M = TypeVar("M", bound=BaseModel)

_PLAIN = (str, int, float, date, timedelta, NoneType)


@cache
def secret_fields(model: type[BaseModel]) -> frozenset[str]:
    """The fields of a request or reply that are marked as secret."""
    marked = {name: cast("Any", about.json_schema_extra) for name, about in model.model_fields.items()}
    return frozenset(name for name, extra in marked.items() if isinstance(extra, dict) and cast("dict[str, Any]", extra).get("secret"))


@cache
def _to_be_looked_at(model: type[BaseModel]) -> Sequence[str]:
    """The fields of a request or reply that are secrets, or may hold some."""
    return [name for name, about in model.model_fields.items() if name in secret_fields(model) or not _is_plain(about.annotation)]


def _is_plain(annotation: Any) -> bool:
    """Whether values of a type hold no other values. False where that is not plain."""
    match get_origin(annotation):
        case None:
            return isinstance(annotation, type) and issubclass(annotation, _PLAIN)
        case origin if origin is Annotated:
            return _is_plain(get_args(annotation)[0])
        case origin if origin in (Union, UnionType):
            return all(map(_is_plain, get_args(annotation)))
        case origin:
            return origin is Literal


def _without_secrets(value: M) -> M:
    """The same without its secrets: itself where it has none."""
    changes: dict[str, Any] = {}
    secrets = secret_fields(type(value))
    for name in _to_be_looked_at(type(value)):
        found: Any = getattr(value, name)
        if name in secrets:
            changes[name] = None
        elif isinstance(found, BaseModel):
            if (without := _without_secrets(found)) is not found:
                changes[name] = without
        elif isinstance(found, tuple):
            parts = cast("tuple[Any, ...]", found)
            kept_parts = tuple([_without_secrets(part) if isinstance(part, BaseModel) else part for part in parts])
            if any(kept_part is not part for kept_part, part in zip(kept_parts, parts, strict=True)):
                changes[name] = kept_parts
    return value.model_copy(update=changes) if changes else value


def _what_is_wrong(invalid: ValidationError) -> str:
    """Where a body does not fit and what is expected there; never what stood there."""
    parts: list[str] = []
    for error in invalid.errors(include_input=False, include_url=False, include_context=False)[:5]:
        where = ".".join(str(step) for step in error["loc"])
        # Of a choice among an enumeration's members pydantic shows each as Python writes it; a caller writes the value.
        message = _MEMBER.sub(r"\1", error["msg"]) if error["type"] == "literal_error" else error["msg"]
        parts.append(f"{where}: {message}" if where else message)
    return "; ".join(parts)
