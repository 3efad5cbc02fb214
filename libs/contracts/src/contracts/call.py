"""How services call each other, and who may call what.

A call is declared once, for both of its ends: its name, its request, its reply and the roles that may make it. It
travels as NATS request and reply on `call.<service>.<verb>`, is in no stream and is never logged, so its bodies may
carry personal data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from contracts.event import AnnulmentReason, Identifier, Value


class Role(StrEnum):
    """Who acts. What each may do stands beside each call; in which school, the token's scope says (DESIGN 3).

    Anonymous is who shows no token.
    """

    OPERATOR = "operator"
    ANONYMOUS = "anonymous"
    SERVICE = "service"
    DIRECTOR = "director"
    ADMINISTRATOR = "administrator"
    CLASS_TEACHER = "class_teacher"
    STAFF = "staff"
    PUPIL = "pupil"
    GUARDIAN = "guardian"
    MUNICIPALITY = "municipality"
    MINISTRY = "ministry"


class Request(BaseModel):
    """What a caller asks. Unknown fields are refused, so that a misspelt one is never silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class SchoolRequest(Request):
    """A request about one school: the actor's scope is held against `school`."""

    school: Identifier


class AnnulEntry(SchoolRequest):
    """Says that an event of a service's log never was true. Position and id name it, so that a slip of the pen annuls nothing."""

    position: Annotated[int, Field(ge=1)]
    event: Identifier
    reason: AnnulmentReason


class Reply(Value):
    """What a service answers. A field marked `secret()` is told once and not kept: a repeated command answers without it."""


Q = TypeVar("Q", bound=Request)
P = TypeVar("P", bound=Reply)


@dataclass(frozen=True)
class Call(Generic[Q, P]):
    """One internal call. `command` says whether it records events: only a command has a command id."""

    name: str
    request: type[Q]
    reply: type[P]
    allowed: frozenset[Role]
    summary: str
    command: bool

    @property
    def service(self) -> str:
        return self.name.split(".", 1)[0]

    @property
    def subject(self) -> str:
        return f"call.{self.name}"


CALLS: dict[str, Call[Any, Any]] = {}
"""Every call by its name, in the order of declaration."""


def _declare(name: str, request: type[Q], reply: type[P], allowed: Iterable[Role], summary: str, *, command: bool) -> Call[Q, P]:
    if name in CALLS:
        raise ValueError(f"call {name} is declared twice")
    # The operator of an embedded instance may do everything (DESIGN 3).
    call = Call(name, request, reply, frozenset(allowed) | {Role.OPERATOR}, summary, command)
    CALLS[name] = call
    return call


def command(name: str, request: type[Q], reply: type[P], allowed: Iterable[Role], summary: str) -> Call[Q, P]:
    """Declares a call that records events."""
    return _declare(name, request, reply, allowed, summary, command=True)


def query(name: str, request: type[Q], reply: type[P], allowed: Iterable[Role], summary: str) -> Call[Q, P]:
    """Declares a call that only answers."""
    return _declare(name, request, reply, allowed, summary, command=False)
