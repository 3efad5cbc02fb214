"""What every service records and answers about itself, and the instance about its clock.

A service records the public keys under which it signs, so that everybody verifies its tokens while it is down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.call import EVERYBODY, Call, Reply, Request, SchoolRequest, command, query
from contracts.event import SERVICES, Event, Identifier, Sha256, Value, event, upcast

Moment = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,6})?Z$", description="UTC")]
KeyId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="The beginning of the SHA-256 of the public key's 32 bytes")]


Signature = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$", description="Ed25519 (RFC 8032), 64 bytes in hex")]


class KeyPublicationV1(Event):
    """The service signs with this Ed25519 key from a moment on."""

    key_id: KeyId
    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="32 bytes in hex (RFC 8032)")]
    not_before: Moment


class KeyPublication(KeyPublicationV1):
    """The service signs with this Ed25519 key from a moment on: its tokens, and the seals of its log.

    The first key is the one made with the instance. One that follows another was handed over under the one before it and taken over under
    itself: both have signed `vekha-key/1`, the service, both public keys and `not_before`, a line each.
    """

    follows: KeyId | None
    handed_over: Signature | None
    taken_over: Signature | None


class KeyRetirement(Event):
    """The tokens that this key has signed are believed up to a moment and no longer: by then the last one has expired.

    Of seals it has signed those of what was recorded up to that moment.
    """

    key_id: KeyId
    not_after: Moment


def _key_events(service: str) -> tuple[type[KeyPublication], type[KeyRetirement]]:
    @event(f"{service}.key-published.v1")
    class KeyPublishedV1(KeyPublicationV1):  # pyright: ignore[reportUnusedClass] -- the registry holds it
        __doc__ = KeyPublicationV1.__doc__

    @event(f"{service}.key-published.v2")
    class KeyPublished(KeyPublication):
        __doc__ = KeyPublication.__doc__

    @event(f"{service}.key-retired.v1")
    class KeyRetired(KeyRetirement):
        __doc__ = KeyRetirement.__doc__

    upcast(f"{service}.key-published.v1", f"{service}.key-published.v2")(_of_nobody)
    return KeyPublished, KeyRetired


def _of_nobody(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"follows": None, "handed_over": None, "taken_over": None}


KEY_EVENTS = {service: _key_events(service) for service in SERVICES}
"""By service: what it records of a key that begins, and of one that ends."""


class Nothing(Request):
    """A request without a question."""


class Head(Reply):
    """Where a service's log ends."""

    position: int
    hash: str
    recorded_at: str


class ReadLog(Request):
    """A run of a service's log: positions `after`+1 …, at most `limit`, cut where the answer would grow too large."""

    after: Annotated[int, Field(ge=0)]
    limit: Annotated[int, Field(ge=1, le=500)] = 500


class LogRow(Value):
    """One event's bytes, verbatim (base64)."""

    position: int
    bytes: str


class LogRun(Reply):
    rows: tuple[LogRow, ...]


class Recognize(Request):
    """The last event that a reader has taken in: its position in the service's log, and the digest of its bytes."""

    reader: Annotated[str, Field(max_length=200)]
    position: Annotated[int, Field(ge=1)]
    sha256: Sha256


class Recognized(Reply):
    """Whether the log holds that event. If not, the log was replaced, and the service has gone into quarantine."""

    known: bool


class ReaderHealth(Value):
    """One projection or reaction: its positions by source with the digest of the event there, and what it has parked.

    It stands still before the sources in `halted`; of these it does not go on with the `unrecognized` because their log does not hold
    what it has read.
    """

    name: str
    positions: dict[str, int]
    digests: dict[str, Sha256] = Field(default_factory=dict)
    parked: int
    halted: tuple[str, ...]
    unrecognized: tuple[str, ...] = ()


class Program(Value):
    """Which program answers, by digests of its code: of what all services share, and of all that is the service's own as well."""

    shared: str
    whole: str


class TablesHealth(Value):
    """At which revision a service's tables are, which one its program knows last, and the least that it must know to live with them."""

    revision: int
    known: int
    least: int


class Health(Reply):
    """How a service is: its head, how far its relay has published, its readers, and whether it is quarantined."""

    service: str
    position: int
    published: int
    quarantined: str | None
    now: str
    readers: tuple[ReaderHealth, ...]
    program: Program | None = None
    tables: TablesHealth | None = Field(default=None, description="None where they have no history")


class KeyRotated(Reply):
    """The key that the service signs with from now on, and how long what the one before it has signed is still believed."""

    key_id: KeyId
    before: KeyId
    before_until: Moment


class HeldQuery(SchoolRequest):
    """What a service holds on a person of a school, for that person's dossier."""

    person: Identifier


class HeldRecord(Value):
    """One thing that is held on a person: of which kind, and its fields as they are kept. Never a secret, nor a digest of one."""

    what: Identifier
    fields: dict[str, str | int | bool | None]


class Held(Reply):
    records: tuple[HeldRecord, ...]


class ClockReply(Reply):
    kind: Literal["real", "manual"]
    now: str


class Timers(Reply):
    """What the clock of a service apart says, and when something is due there next; `ends` is how far readers of its log can get."""

    kind: Literal["real", "manual"]
    now: str
    due: str | None
    ends: int


class MoveTime(Request):
    """Moves a manual clock of a service apart; `run` handles what is due there first at that time."""

    to: Moment
    run: bool = False


class Settle(Request):
    """Waits until a service has published its log, read all others up to these positions, and finished what follows from it."""

    heads: dict[str, int]


class SetClock(Request):
    to: str = Field(description="RFC 3339, or a date: midnight in Europe/Moscow")


class AdvanceClock(Request):
    days: Annotated[int, Field(ge=0, le=3660)] = 0
    hours: Annotated[int, Field(ge=0, le=24)] = 0
    minutes: Annotated[int, Field(ge=0, le=60)] = 0


HEAD: dict[str, Call[Nothing, Head]] = {}
READ_LOG: dict[str, Call[ReadLog, LogRun]] = {}
RECOGNIZE: dict[str, Call[Recognize, Recognized]] = {}
HEALTH: dict[str, Call[Nothing, Health]] = {}
ROTATE_KEY: dict[str, Call[Nothing, KeyRotated]] = {}
HELD: dict[str, Call[HeldQuery, Held]] = {}
TIMERS: dict[str, Call[Nothing, Timers]] = {}
MOVE_TIME: dict[str, Call[MoveTime, Timers]] = {}
SETTLE: dict[str, Call[Settle, Timers]] = {}

READERS: Mapping[str, tuple[str, ...]] = {
    "roster": ("consent", "identity", "plan", "notifier"),
    "consent": ("roster", "identity", "plan", "notifier"),
    "identity": ("consent", "plan", "notifier"),
    "plan": ("consent", "notifier"),
    "notifier": ("consent", "plan"),
}
"""By service: who reads its log, and so may ask it where that ends, what stands there, and whether it knows what was read."""

for _service in SERVICES:
    _readers = READERS[_service]
    _makes_dossiers = () if _service == "roster" else ("roster",)
    _read = tuple(other for other in SERVICES if _service in READERS[other])
    TIMERS[_service] = query(f"{_service}.timers", Nothing, Timers, (), "The service's clock, and when something is due there next")
    MOVE_TIME[_service] = query(f"{_service}.move-time", MoveTime, Timers, (), "Moves the manual clock of a service apart")
    SETTLE[_service] = query(f"{_service}.settle", Settle, Timers, (), "Waits until the service has read what is recorded")
    HEAD[_service] = query(f"{_service}.head", Nothing, Head, (), "Where the service's log ends", services=_readers)
    READ_LOG[_service] = query(f"{_service}.read-log", ReadLog, LogRun, (), "A run of the service's log, verbatim", services=_readers)
    RECOGNIZE[_service] = query(
        f"{_service}.recognize",
        Recognize,
        Recognized,
        (),
        "Whether the service's log holds what a reader has read of it",
        services=_readers,
    )
    HEALTH[_service] = query(f"{_service}.health", Nothing, Health, (), "How the service is", services=_read)
    HELD[_service] = query(
        f"{_service}.held", HeldQuery, Held, (), "What the service holds on a person, for the dossier", services=_makes_dossiers
    )
    ROTATE_KEY[_service] = command(f"{_service}.rotate-key", Nothing, KeyRotated, (), "Makes the service sign with a new key from now on")

CLOCK = query("instance.clock", Nothing, ClockReply, EVERYBODY, "The instance's time")
SET_CLOCK = query("instance.set-clock", SetClock, ClockReply, (), "Moves a manual clock forward to a time, from timer to timer")
ADVANCE_CLOCK = query("instance.advance-clock", AdvanceClock, ClockReply, (), "Moves a manual clock forward, from timer to timer")
