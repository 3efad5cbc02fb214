"""How an event looks on the wire, and the registry of every event that was ever published.

An event is a CloudEvents 1.0 envelope in structured JSON whose metadata stand in the body. An event's type
(`roster.pupil-enrolled.v1`) is a storage format: it keeps its name and its fields for ever. A newer shape is a
new integer version together with an upcast from the one before, so that readers know the newest shape alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""A random or chosen id that is safe as a token of a NATS subject and needs no escaping in JSON."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

NO_SCHOOL = "_"
"""Stands in a subject where a school would, for an event that belongs to none."""

SERVICES = ("roster", "consent", "identity", "plan", "notifier")
"""The five services by the names that stand in subjects, positions and answers, in the order in which they are shown."""

_TYPE = re.compile(r"(roster|consent|identity|plan|notifier)\.([a-z0-9]+(?:-[a-z0-9]+)*)\.v([1-9][0-9]*)")


class Value(BaseModel):
    """An immutable value that admits no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class Event(Value):
    """A fact that a service has recorded. It holds ids, enums, numbers and digests, never personal data (DESIGN 2.7)."""

    type: ClassVar[str]


class AnnulmentReason(StrEnum):
    """Why a fact should never have been recorded."""

    MISTYPED = "mistyped"
    WRONG_PERSON = "wrong-person"
    WRONG_DAY = "wrong-day"
    DUPLICATE = "duplicate"
    IMPORT_ROLLED_BACK = "import-rolled-back"


class Annulment(Event):
    """An earlier event of the same log never was true. It carries that event's own `happened_on`, so no day ever saw the annulled fact.

    Each service has one under its own name, in the stream of the event that it annuls.
    """

    event: Identifier
    position: int
    event_type: Annotated[str, StringConstraints(pattern=r"^[a-z]+[.][a-z0-9-]+[.]v[0-9]+$")]
    reason: AnnulmentReason


class Envelope(Value):
    """A recorded event as it is stored and published, byte for byte: CloudEvents 1.0 with extension attributes.

    `position` is the event's place in its service's log and its sequence on the service's bus stream; `version` is its
    place in `stream`, one decider's history. `happenedon` is the day on which it was true in the school (local date),
    `recordedat` the moment at which it was learned (RFC 3339, UTC). `actor` did it; `principal` is who had signed in,
    where the two differ.
    """

    specversion: Literal["1.0"]
    id: Identifier
    source: str
    type: str
    datacontenttype: Literal["application/json"]
    position: int
    stream: str
    version: int
    school: str
    happenedon: date
    recordedat: str
    actor: str
    principal: str | None = None
    commandid: str
    correlationid: str
    causationid: str | None = None
    traceparent: str | None = None
    data: dict[str, Any]


EVENTS: dict[str, type[Event]] = {}
"""Every event type by its full name, old versions included."""

_UPCASTS: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {}


E = TypeVar("E", bound=Event)
Upcast = Callable[[dict[str, Any]], dict[str, Any]]


def event(name: str) -> Callable[[type[E]], type[E]]:
    """Registers an event class under its full name, e.g. `roster.pupil-enrolled.v1`; a name is taken once, for ever."""
    if not _TYPE.fullmatch(name):
        raise ValueError(f"{name!r} is no event type: expected <service>.<words-with-dashes>.v<number>")

    def register(cls: type[E]) -> type[E]:
        if name in EVENTS:
            raise ValueError(f"event type {name} is declared twice")
        cls.type = name
        EVENTS[name] = cls
        return cls

    return register


def upcast(old: str, new: str) -> Callable[[Upcast], Upcast]:
    """Declares how the data of version n become those of version n+1 of the same event."""
    before, after = _TYPE.fullmatch(old), _TYPE.fullmatch(new)
    if before is None or after is None or before.group(1, 2) != after.group(1, 2) or int(after[3]) != int(before[3]) + 1:
        raise ValueError(f"an upcast leads from one version to the next of the same event, not from {old} to {new}")

    def register(function: Upcast) -> Upcast:
        if old in _UPCASTS:
            raise ValueError(f"the upcast of {old} is declared twice")
        _UPCASTS[old] = (new, function)
        return function

    return register


def newest(type_name: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The type and data of an event in its newest version; both unchanged where no upcast applies."""
    while type_name in _UPCASTS:
        type_name, function = _UPCASTS[type_name]
        data = function(data)
    return type_name, data


def newest_name(type_name: str) -> str:
    """The type in its newest version."""
    while type_name in _UPCASTS:
        type_name, _ = _UPCASTS[type_name]
    return type_name


class UnknownEvent(LookupError):
    """An event type that this program does not know: it was recorded by a newer one."""


def parse(type_name: str, data: dict[str, Any]) -> Event:
    """The event in its newest version. Raises UnknownEvent, or pydantic's ValidationError where the data do not fit."""
    type_name, data = newest(type_name, data)
    if type_name not in EVENTS:
        raise UnknownEvent(f"unknown event type {type_name}")
    return EVENTS[type_name].model_validate(data)


def subject_of(type_name: str, school: str) -> str:
    """The bus subject of an event: `evt.<service>.<school>.<type>`, the service standing once."""
    service, rest = type_name.split(".", 1)
    return f"evt.{service}.{school}.{rest}"
