"""An event on its way into the log, its canonical bytes, and the hash chain over them. Pure: no clock, no I/O.

The bytes are made once, under the log's head, and are stored and published verbatim. `Recorded` reads and writes the
same envelope as `contracts.Envelope`, only faster; the golden samples hold the two together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import msgspec

from contracts.event import Event, newest, parse, subject_of

_ANNULMENT = "entry-annulled"  # as what every service names its own


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event comes from: who did it, in which command, because of what, under which trace."""

    actor: str
    command_id: str
    correlation_id: str
    principal: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None


class Draft(NamedTuple):
    """An event that was decided and not yet recorded: the log stamps position, time and bytes."""

    event: Event
    stream: str
    version: int
    school: str
    happened_on: date
    origin: Origin


class Recorded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A recorded event's envelope. `data` stays raw until somebody asks for it."""

    specversion: str = msgspec.field()
    id: str = msgspec.field()
    source: str = msgspec.field()
    type: str = msgspec.field()
    datacontenttype: str = msgspec.field()
    position: int = msgspec.field()
    stream: str = msgspec.field()
    version: int = msgspec.field()
    school: str = msgspec.field()
    happenedon: str = msgspec.field()
    recordedat: str = msgspec.field()
    actor: str = msgspec.field()
    principal: str | None = None
    commandid: str = msgspec.field()
    correlationid: str = msgspec.field()
    causationid: str | None = None
    traceparent: str | None = None
    data: msgspec.Raw = msgspec.field()

    @property
    def service(self) -> str:
        return self.type.split(".", 1)[0]

    @property
    def subject(self) -> str:
        return subject_of(self.type, self.school)

    def facts(self) -> tuple[str, dict[str, Any]]:
        """Type and data in the newest version, as plain values: what a hot reader folds."""
        return newest(self.type, _decode_data(self.data))

    def event(self) -> Event:
        """The event itself, validated, in its newest version."""
        return parse(self.type, _decode_data(self.data))


encode = msgspec.json.Encoder().encode
"""The bytes of an envelope."""
_decode_data = msgspec.json.Decoder(dict[str, Any]).decode
_decode_envelope = msgspec.json.Decoder(Recorded).decode


def decode(data: bytes) -> Recorded:
    """The envelope of an event's bytes. Raises msgspec.DecodeError where they are no envelope."""
    try:
        return _decode_envelope(data)
    except (UnicodeDecodeError, RecursionError) as error:  # msgspec lets these through as they are
        raise msgspec.DecodeError(str(error)) from error


def traceparent_of(data: bytes) -> str | None:
    """The trace that an event's bytes belong to; None where they say none, or are no envelope."""
    try:
        return decode(data).traceparent
    except msgspec.MsgspecError:
        return None


def standing(history: Iterable[Recorded]) -> list[Recorded]:
    """Of one stream's history what was not annulled, without the annulments: what its state is folded from."""
    annulled: set[str] = set()
    told: list[Recorded] = []
    for recorded in history:
        if recorded.type.split(".")[1] == _ANNULMENT:
            annulled.add(recorded.facts()[1]["event"])
        else:
            told.append(recorded)
    return [recorded for recorded in told if recorded.id not in annulled] if annulled else told


def rfc3339(moment: datetime) -> str:
    """A moment in UTC with microseconds, always of the same width, so that text order is time order."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def moment(text: str) -> datetime:
    """The moment that `rfc3339` wrote."""
    return datetime.fromisoformat(text)


def stamp(draft: Draft, *, service: str, position: int, event_id: str, recorded_at: str) -> bytes:
    """The bytes of an event at its position: what is hashed, stored and published for ever."""
    origin = draft.origin
    return encode(
        Recorded(
            specversion="1.0",
            id=event_id,
            source=f"/vekha/{service}",
            type=draft.event.type,
            datacontenttype="application/json",
            position=position,
            stream=draft.stream,
            version=draft.version,
            school=draft.school,
            happenedon=draft.happened_on.isoformat(),
            recordedat=recorded_at,
            actor=origin.actor,
            principal=origin.principal,
            commandid=origin.command_id,
            correlationid=origin.correlation_id,
            causationid=origin.causation_id,
            traceparent=origin.traceparent,
            # What `model_dump_json` asks, too; only that would make text of the bytes.
            data=msgspec.Raw(draft.event.__pydantic_serializer__.to_json(draft.event)),
        )
    )


def genesis(service: str, log_id: str) -> bytes:
    """hash(0): the chain's beginning, different for every log that was ever begun."""
    return hashlib.sha256(f"vekha/{service}/{log_id}".encode()).digest()


def link(previous: bytes, data: bytes) -> bytes:
    """hash(n) from hash(n-1) and the bytes of event n."""
    return hashlib.sha256(previous + data).digest()
