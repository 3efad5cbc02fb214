"""How services call each other, and who may call what.

A call is declared once, for both of its ends: its name, its request, its reply, the roles that may make it and how far
each of them reaches. It travels as NATS request and reply on `call.<service>.<verb>`, is in no stream and is never logged,
so its bodies may carry personal data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Generic, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict, Field

from contracts.event import SERVICES, AnnulmentReason, Identifier, Value


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


EVERYBODY = tuple(role for role in Role if role is not Role.SERVICE)
"""Whoever there is. No service is among them: which of those may make a call stands beside it by name."""


class Scope(StrEnum):
    """How far a role reaches in a call. The receiver holds it against what the request names, at the moment of the act (DESIGN 3)."""

    EVERYTHING = "everything"
    REGION = "counts of the region"
    OWN_MUNICIPALITY = "counts of the own municipality"
    OWN_SCHOOL = "own school"
    OWN_CLASS = "own class: its pupils and their guardians"
    SELF_AND_CHILDREN = "self and linked children"
    SELF = "self"


WIDEST: Mapping[Role, Scope] = {
    Role.OPERATOR: Scope.EVERYTHING,
    Role.ANONYMOUS: Scope.EVERYTHING,
    Role.SERVICE: Scope.EVERYTHING,
    Role.DIRECTOR: Scope.OWN_SCHOOL,
    Role.ADMINISTRATOR: Scope.OWN_SCHOOL,
    Role.CLASS_TEACHER: Scope.OWN_SCHOOL,
    Role.STAFF: Scope.OWN_SCHOOL,
    Role.PUPIL: Scope.OWN_SCHOOL,
    Role.GUARDIAN: Scope.OWN_SCHOOL,
    Role.MUNICIPALITY: Scope.OWN_MUNICIPALITY,
    Role.MINISTRY: Scope.REGION,
}
"""How far each role reaches where its call says nothing else. What names people or classes says so for the last four of a school."""

NAMING: Mapping[str, str] = {
    "person": "person",
    "people": "person",
    "pupil": "person",
    "guardian": "person",
    "subject": "person",
    "class_id": "class",
    "to_class_id": "class",
    "classes": "class",
    "consent_id": "consent",
}
"""The fields by which requests name whom they are about, wherever these stand in one: a narrow scope is held against them."""


class Request(BaseModel):
    """What a caller asks. Unknown fields are refused, so that a misspelt one is never silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


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
    """One internal call. `command` says whether it records events: only a command has a command id.

    `services` are those that may make it, of the role of a service.
    `each`: it answers for each of those whom it names; who is out of the caller's reach is refused alone, not the whole call.
    """

    name: str
    request: type[Q]
    reply: type[P]
    scopes: Mapping[Role, Scope] = field(hash=False)
    summary: str
    command: bool
    services: frozenset[str]
    each: bool = False

    @property
    def allowed(self) -> frozenset[Role]:
        return frozenset(self.scopes)

    @property
    def service(self) -> str:
        return self.name.split(".", 1)[0]

    @property
    def subject(self) -> str:
        return f"call.{self.name}"


CALLS: dict[str, Call[Any, Any]] = {}
"""Every call by its name, in the order of declaration."""


Who = Collection[Role] | Mapping[Role, Scope]
"""Who may make a call. Of a role that reaches less far than it could (`WIDEST`), a mapping says how far."""


def _declare(
    name: str, request: type[Q], reply: type[P], who: Who, summary: str, services: Iterable[str], *, command: bool, each: bool
) -> Call[Q, P]:
    if name in CALLS:
        raise ValueError(f"call {name} is declared twice")
    of_services = frozenset(services)
    if Role.SERVICE in who or not of_services.issubset(SERVICES):
        raise ValueError(f"call {name} has to name each service that may make it")
    scopes = dict(cast("Mapping[Role, Scope]", who)) if isinstance(who, Mapping) else {role: WIDEST[role] for role in who}
    if of_services:
        scopes[Role.SERVICE] = WIDEST[Role.SERVICE]
    # The operator of an embedded instance may do everything (DESIGN 3).
    call = Call(name, request, reply, {Role.OPERATOR: Scope.EVERYTHING, **scopes}, summary, command, of_services, each)
    CALLS[name] = call
    return call


def command(
    name: str, request: type[Q], reply: type[P], who: Who, summary: str, *, services: Iterable[str] = (), each: bool = False
) -> Call[Q, P]:
    """Declares a call that records events."""
    return _declare(name, request, reply, who, summary, services, command=True, each=each)


def query(
    name: str, request: type[Q], reply: type[P], who: Who, summary: str, *, services: Iterable[str] = (), each: bool = False
) -> Call[Q, P]:
    """Declares a call that only answers."""
    return _declare(name, request, reply, who, summary, services, command=False, each=each)


def named_by(request: type[BaseModel]) -> set[str]:
    """What a request can name, wherever it stands in it: "person", "class", "consent"."""
    found = {NAMING[name] for name in request.model_fields if name in NAMING}
    return found.union(*(named_by(part) for about in request.model_fields.values() for part in _models(about.annotation)))


@cache
def tells_once(model: type[BaseModel]) -> bool:
    """Whether something in it, wherever it stands, is marked as secret: who asks again gets an answer without that."""
    fields = model.model_fields.values()
    marked = [cast("dict[str, Any]", about.json_schema_extra) for about in fields if isinstance(about.json_schema_extra, dict)]
    return any(extra.get("secret") for extra in marked) or any(tells_once(part) for about in fields for part in _models(about.annotation))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for part in get_args(annotation):
        yield from _models(part)
