"""What all five services say of forgetting a person: consent decides and keeps the proof, each holder destroys what it has and says so.

Only the random id of the person is left, in every log, for ever: an act of destruction can be made of the record at any time.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from contracts.call import Reply, Role, SchoolRequest, command, query
from contracts.event import Event, Identifier, Sha256, Value, event
from contracts.roster import OfficialReference

ServiceName = Literal["roster", "consent", "identity", "plan", "notifier"]


class ErasureGround(StrEnum):
    """Why a person's data are destroyed (152-ФЗ ст. 20, 21): the ground for holding them has gone, or somebody ordered it."""

    WITHDRAWN = "withdrawn"
    REFUSED = "refused"
    EXPIRED = "expired"
    INVALIDATED = "invalidated"
    OFFICE_ENDED = "office-ended"
    LEFT = "left"
    SUBJECT_REQUEST = "subject-request"
    UNLAWFUL = "unlawful"
    COURT_ORDER = "court-order"
    AUTHORITY = "authority"


OrderGround = Literal[ErasureGround.SUBJECT_REQUEST, ErasureGround.UNLAWFUL, ErasureGround.COURT_ORDER, ErasureGround.AUTHORITY]


class HeldOn(StrEnum):
    """On what a person's data may be held: a consent that stands, another legal basis, or an office that needs neither (step 2)."""

    CONSENT = "consent"
    LEGAL_BASIS = "legal-basis"
    OFFICE = "office"


class DataCategory(StrEnum):
    """What kinds of data on a person there were to destroy."""

    DETAILS = "details"
    KEY = "key"
    MATCHING_DIGESTS = "matching-digests"
    IMPORTED_FILES = "imported-files"
    CREDENTIALS = "credentials"
    ACTIVITY = "activity"
    MESSAGES = "messages"


# ---- Events -----------------------------------------------------------------------------------------------------------


@event("consent.erasure-scheduled.v1")
class ErasureScheduled(Event):
    """The data of `subject` are destroyed on `due_on` unless they may be held on another ground by then. It may be said again with an
    earlier day."""

    erasure: Identifier
    subject: Identifier
    ground: ErasureGround
    due_on: date


@event("consent.erasure-cancelled.v1")
class ErasureCancelled(Event):
    """The data may be held after all, on `holds`."""

    erasure: Identifier
    subject: Identifier
    holds: HeldOn


@event("consent.erasure-ordered.v1")
class ErasureOrdered(Event):
    """Every holder destroys what it has of `subject` from now on. `reference` is the paper on which somebody ordered it at once."""

    erasure: Identifier
    subject: Identifier
    ground: ErasureGround
    reference: OfficialReference | None


@event("consent.erasure-answered.v1")
class ErasureAnswered(Event):
    """A holder has recorded what it destroyed: its event, the position in its log, and the digest of the event's bytes."""

    erasure: Identifier
    subject: Identifier
    service: ServiceName
    event: Identifier
    position: Annotated[int, Field(ge=1)]
    sha256: Sha256
    destroyed: tuple[DataCategory, ...]


@event("consent.erasure-completed.v1")
class ErasureCompleted(Event):
    """All five have answered: nothing is left of the person but the random id."""

    erasure: Identifier
    subject: Identifier


class PersonalDataErased(Event):
    """A service has destroyed what it held of a person; `destroyed` is empty where it held nothing but random ids.

    Each service has one under its own name.
    """

    person: Identifier
    erasure: Identifier
    destroyed: tuple[DataCategory, ...]


@event("roster.personal-data-erased.v1")
class RosterDataErased(PersonalDataErased):
    """The vault's row and key, what finds the person again, and the files of imports."""


@event("identity.personal-data-erased.v1")
class IdentityDataErased(PersonalDataErased):
    """Login, digests of codes, and days of activity."""


@event("consent.personal-data-erased.v1")
class ConsentDataErased(PersonalDataErased):
    """Consent holds random ids, codes and keyed digests of papers alone."""


@event("plan.personal-data-erased.v1")
class PlanDataErased(PersonalDataErased):
    """The plan's facts hold random ids alone."""


@event("notifier.personal-data-erased.v1")
class NotifierDataErased(PersonalDataErased):
    """The messages to the person."""


# ---- Calls ------------------------------------------------------------------------------------------------------------


class OrderErasure(SchoolRequest):
    """Orders at once that a person's data are destroyed, whatever they were held on."""

    person: Identifier
    ground: OrderGround
    reference: OfficialReference = Field(description="The paper that orders it, e.g. 2-1234/2015")


class OrderedErasure(Reply):
    erasure: Identifier


class ErasureQuery(SchoolRequest):
    person: Identifier


class ErasureAnswer(Value):
    """Where in a service's log it says what it destroyed."""

    service: ServiceName
    position: int
    event: Identifier
    sha256: Sha256
    destroyed: tuple[DataCategory, ...]


class ErasureState(Reply):
    """How far a person's erasure is. `held_on` is on what the data may be held now; while it is there, none that is scheduled comes."""

    person: Identifier
    state: Literal["none", "scheduled", "cancelled", "ordered", "completed"]
    erasure: Identifier | None = None
    ground: ErasureGround | None = None
    reference: str | None = None
    due_on: date | None = None
    ordered_on: date | None = None
    completed_on: date | None = None
    held_on: HeldOn | None = None
    answers: tuple[ErasureAnswer, ...] = ()


class LogEntry(Value):
    """One event of the proof as it stands in a service's log: `bytes` verbatim (base64), and their digest.

    `<service>.recognize` says whether the log holds it, and `vekha audit verify` that the log is whole.
    """

    service: ServiceName
    position: int
    event: Identifier
    type: str
    happened_on: date
    recorded_at: str
    sha256: Sha256
    bytes: str


class DestroyedIn(Value):
    """One line of the extract that приказ № 179 asks for: what was destroyed of whom, in which system, why and when."""

    person: Identifier
    system: str
    categories: tuple[str, ...]
    way: str
    reason: str
    destroyed_on: date


class ActOfDestruction(Reply):
    """The act as a tagged PDF, base64, and the extract of the logs that proves it. Both are made of the record, whenever they are asked
    for."""

    person: Identifier
    erasure: Identifier
    extract: tuple[DestroyedIn, ...]
    entries: tuple[LogEntry, ...]
    pdf: str


ORDER_ERASURE = command(
    "consent.order-erasure", OrderErasure, OrderedErasure, (Role.DIRECTOR,), "Orders that a person's data are destroyed at once"
)
ERASURE = query("consent.erasure", ErasureQuery, ErasureState, (Role.DIRECTOR, Role.ADMINISTRATOR), "How far a person's erasure is")
ACT_OF_DESTRUCTION = query(
    "consent.act-of-destruction",
    ErasureQuery,
    ActOfDestruction,
    (Role.DIRECTOR, Role.ADMINISTRATOR),
    "The act of destruction of a person's data, and the extract of the logs that proves it",
)
