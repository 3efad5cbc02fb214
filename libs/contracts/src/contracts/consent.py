"""What consent records and answers: decisions of staff, pupils and guardians on the processing of their data."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from contracts.call import Reply, Role, SchoolRequest, Scope, command, query
from contracts.event import Event, Identifier, Sha256, Value, event
from contracts.roster import Act, Seat


class SubjectKind(StrEnum):
    STAFF = "staff"
    PUPIL = "pupil"
    GUARDIAN = "guardian"


class AgeBand(StrEnum):
    UNDER_14 = "under_14"
    FROM_14_TO_17 = "14_to_17"
    ADULT = "adult"


class Capacity(StrEnum):
    """In which capacity the grantor decides (152-ФЗ ст. 9): for the own data, or as a pupil's legal representative."""

    SELF = "self"
    LEGAL_REPRESENTATIVE = "legal_representative"


class Terms(Value):
    """What was agreed to. It maps onto ISO/IEC TS 27560; codes and digests stand here, the text in the template."""

    template: Identifier = "school-portal"
    template_version: int = 1
    template_sha256: Sha256 | None = None
    language: Literal["ru", "en"] = "ru"
    operator: Identifier = "school"
    processors: tuple[Identifier, ...] = ()
    purposes: tuple[Identifier, ...] = ("school-portal-account",)
    data_categories: tuple[Identifier, ...] = ("identity", "contact", "education")
    actions: tuple[Identifier, ...] = ("collect", "store", "use", "erase")
    recipients: tuple[Identifier, ...] = ()
    storage_location: Identifier = "RU"
    separate_document: bool = True
    withdrawal_method: Identifier = "written-request"


# ---- Events -----------------------------------------------------------------------------------------------------------


@event("consent.consent-granted.v1")
class ConsentGranted(Event):
    """`subject` is the person's id from now on: made for a seat, adopted when the person is entered (DESIGN 3)."""

    consent_id: Identifier
    supersedes: Identifier | None
    subject: Identifier
    subject_kind: SubjectKind
    seat: Seat | None
    age_band: AgeBand
    grantor: Identifier | None
    capacity: Capacity
    terms: Terms
    form: Literal["paper", "electronic"]
    evidence_sha256: Sha256 | None
    signed_on: date
    valid_from: date
    valid_until: date | None


@event("consent.consent-refused.v1")
class ConsentRefused(Event):
    consent_id: Identifier
    supersedes: Identifier | None
    subject: Identifier
    subject_kind: SubjectKind
    seat: Seat | None
    decided_on: date


@event("consent.consent-withdrawn.v1")
class ConsentWithdrawn(Event):
    """The consent was valid and has ended: the decision stays decided, the account is blocked (DOMAIN 3)."""

    consent_id: Identifier
    subject: Identifier
    subject_kind: SubjectKind


class InvalidationReason(StrEnum):
    """Why a consent never was valid (152-ФЗ ст. 9)."""

    NOT_AUTHORISED = "not-authorised"
    NOT_SIGNED = "not-signed"
    NOT_SEPARATE = "not-separate"
    FORGED = "forged"
    WRONG_PERSON = "wrong-person"


@event("consent.consent-invalidated.v1")
class ConsentInvalidated(Event):
    """The decision never was valid: nobody has decided, on any day (DOMAIN 3). It carries the decision's own `happened_on`."""

    consent_id: Identifier
    subject: Identifier
    subject_kind: SubjectKind
    reason: InvalidationReason


@event("consent.consent-expired.v1")
class ConsentExpired(Event):
    """The consent was valid to the end of the day before: who gave it, or has come of age meanwhile, has to decide again."""

    consent_id: Identifier
    subject: Identifier
    subject_kind: SubjectKind


# ---- Calls ------------------------------------------------------------------------------------------------------------


class Decision(Value):
    """One decision, by seat (a person without a name yet) or by person; exactly one of the two is given.

    `number` is the consent's number on paper. It is kept as a keyed digest only, unique in a school: the same number
    again answers with the consent that it already has.
    """

    granted: bool
    seat: Seat | None = None
    person: Identifier | None = None
    subject_kind: SubjectKind
    number: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    decided_on: date | None = Field(default=None, description="When it was signed; the act's day where left out")
    age_band: AgeBand | None = None
    capacity: Capacity | None = None
    grantor: Identifier | None = None
    form: Literal["paper", "electronic"] = "paper"
    evidence_sha256: Sha256 | None = None
    valid_until: date | None = None
    terms: Terms = Terms()


class RecordDecision(Act):
    decision: Decision


class RecordDecisions(Act):
    """A list of decisions, at most 200: each is recorded or refused for itself."""

    decisions: Annotated[tuple[Decision, ...], Field(min_length=1, max_length=200)]


class DecisionRecorded(Reply):
    consent_id: Identifier
    subject: Identifier
    state: Literal["granted", "refused"]
    recorded_before: bool = False


class DecisionOutcome(Value):
    """What became of one decision of a list: recorded, or refused with a code and a text."""

    consent_id: Identifier | None = None
    subject: Identifier | None = None
    recorded_before: bool = False
    code: str | None = None
    text: str | None = None


class DecisionsRecorded(Reply):
    outcomes: tuple[DecisionOutcome, ...]


class Withdraw(Act):
    consent_id: Identifier


class Withdrawn(Reply):
    consent_id: Identifier
    subject: Identifier


class Invalidate(SchoolRequest):
    """It has no day of its own: whatever never was valid was so on no day."""

    consent_id: Identifier
    reason: InvalidationReason


class Invalidated(Reply):
    consent_id: Identifier
    subject: Identifier


class StatusQuery(SchoolRequest):
    subject: Identifier | None = None
    consent_id: Identifier | None = None


class ConsentCard(Value):
    consent_id: Identifier
    subject: Identifier
    subject_kind: SubjectKind
    seat: Seat | None
    state: Literal["granted", "refused", "withdrawn", "superseded", "expired", "invalidated"]
    decided_on: date
    valid_until: date | None = Field(default=None, description="The last day of a consent that ends by itself")


class ConsentStatus(Reply):
    consents: tuple[ConsentCard, ...]


_COLLECTORS = {Role.ADMINISTRATOR: Scope.OWN_SCHOOL, Role.CLASS_TEACHER: Scope.OWN_CLASS, Role.SERVICE: Scope.EVERYTHING}

RECORD_DECISION = command("consent.record-decision", RecordDecision, DecisionRecorded, _COLLECTORS, "Steps 8 and 13: records one decision")
RECORD_DECISIONS = command(
    "consent.record-decisions", RecordDecisions, DecisionsRecorded, _COLLECTORS, "Steps 8 and 13: records a list of decisions", each=True
)
WITHDRAW = command(
    "consent.withdraw",
    Withdraw,
    Withdrawn,
    {Role.ADMINISTRATOR: Scope.OWN_SCHOOL, Role.GUARDIAN: Scope.SELF_AND_CHILDREN, Role.STAFF: Scope.SELF, Role.PUPIL: Scope.SELF},
    "Records a withdrawal",
)
INVALIDATE = command(
    "consent.invalidate", Invalidate, Invalidated, (Role.DIRECTOR, Role.ADMINISTRATOR), "Records that a decision never was valid"
)
STATUS = query(
    "consent.status", StatusQuery, ConsentStatus, (Role.DIRECTOR, Role.ADMINISTRATOR, Role.SERVICE), "The decisions on one subject"
)
