"""What consent records and answers: decisions of staff, pupils and guardians on the processing of their data."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from contracts.call import Reply, Role, SchoolRequest, Scope, command, query
from contracts.event import Event, Identifier, Sha256, Value, event, upcast
from contracts.receipt import ConsentRecord
from contracts.roster import Act, Done, OfficialReference, Seat, SeatHolder


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
    """What was agreed to. It maps onto ISO/IEC TS 27560; codes and digests stand here, the text in the template.

    The digest is of the template's file, codes and text; it is missing from what was recorded before there were templates.
    """

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


@event("consent.consent-requested.v1")
class ConsentRequested(Event):
    """A form was handed out, to be signed or not: to a seat or, where somebody is entered, to a person. Nothing rests on it."""

    seat: Seat | None
    person: Identifier | None
    subject_kind: SubjectKind
    template: Identifier
    template_version: int
    template_sha256: Sha256
    requested_on: date


@event("consent.consent-granted.v1")
class ConsentGrantedV1(Event):
    """As the second version; who decides for the own data was not named as the grantor."""

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


@event("consent.consent-granted.v2")
class ConsentGranted(Event):
    """`subject` is the person's id from now on: made for a seat, adopted when the person is entered (DESIGN 3).

    Whoever decides for the own data is the grantor; a representative is named where that is somebody known, and `authority` is the
    document that makes a representative of somebody else. `co_signer` is a pupil of 14 to 17 who has signed beside the representative.
    `evidence_reference` says where the paper lies. Who collected it is the event's actor.
    """

    consent_id: Identifier
    supersedes: Identifier | None
    subject: Identifier
    subject_kind: SubjectKind
    seat: Seat | None
    age_band: AgeBand
    grantor: Identifier | None
    capacity: Capacity
    authority: OfficialReference | None = None
    co_signer: Identifier | None = None
    legal_basis: Literal["152-FZ-6-1-1"] = "152-FZ-6-1-1"
    terms: Terms
    form: Literal["paper", "electronic"]
    evidence_reference: OfficialReference | None = None
    evidence_sha256: Sha256 | None
    signed_on: date
    valid_from: date
    valid_until: date | None


@upcast("consent.consent-granted.v1", "consent.consent-granted.v2")
def _who_decides_alone_is_the_grantor(data: dict[str, Any]) -> dict[str, Any]:
    grantor = data["subject"] if data["capacity"] == Capacity.SELF else data["grantor"]
    added = {"authority": None, "co_signer": None, "legal_basis": "152-FZ-6-1-1", "evidence_reference": None}
    return {**data, **added, "grantor": grantor}


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
    RECORDED_BY_MISTAKE = "recorded-by-mistake"


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
    age: Annotated[int, Field(ge=0, le=120)] | None = Field(default=None, description="A pupil's, in years, on that day; not recorded")
    capacity: Capacity | None = None
    grantor: Identifier | None = Field(default=None, description="Who signed for a pupil under 18: a legal representative known here")
    authority: OfficialReference | None = Field(default=None, description="The document that makes somebody else a legal representative")
    co_signed: bool = Field(default=False, description="Whether a pupil of 14 to 17 has signed, too")
    form: Literal["paper", "electronic"] = "paper"
    evidence_reference: OfficialReference | None = Field(default=None, description="Where the paper lies")
    evidence_sha256: Sha256 | None = None
    valid_until: date | None = None
    template: Identifier | None = Field(default=None, description="What was signed; the school portal's where left out")
    template_version: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="The one in force on the day of signing where left out"
    )


class RecordDecision(Act):
    decision: Decision


class RecordDecisions(Act):
    """A list of decisions, at most 200: each is recorded or refused for itself."""

    decisions: Annotated[tuple[Decision, ...], Field(min_length=1, max_length=200)]


class JudgeDecisions(SchoolRequest):
    """A list of decisions, at most 200, of which nothing is to be recorded. Whose they are may be left open."""

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


class DecisionsJudged(Reply):
    """What would become of each; a consent and a subject are named where they are known already."""

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


class InvalidateDecisions(SchoolRequest):
    """A list of decisions that never were valid, at most 200, e.g. those that an import recorded which is rolled back."""

    consent_ids: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=200)]
    reason: InvalidationReason


class DecisionsInvalidated(Reply):
    """How many of the list are invalidated now and were not before."""

    invalidated: int


class Invalidated(Reply):
    consent_id: Identifier
    subject: Identifier


FORMS_A_REQUEST = 300
"""A class's list of 99 seats, each a pupil's and two guardians'."""


class FormsOf(SchoolRequest):
    """Whose forms: those of a class's seats, up to the declared headcount, or of people entered already."""

    class_id: Identifier | None = None
    holders: Annotated[tuple[SeatHolder, ...], Field(min_length=1, max_length=3)] = (SeatHolder.PUPIL, SeatHolder.GUARDIAN_1)
    people: Annotated[tuple[Identifier, ...], Field(max_length=FORMS_A_REQUEST)] = ()
    template: Identifier | None = Field(default=None, description="Of several that fit, as for a pupil who is 18: portal-pupil")


class RequestConsents(FormsOf, Act):
    """Records that forms were handed out. The same form on the same day is recorded once."""


class FormsQuery(FormsOf):
    """Forms to be printed. An answer holds one part of them."""

    part: Annotated[int, Field(ge=1)] = 1


class PrintedForms(Reply):
    pdf: str = Field(description="A part of the forms, base64; it names those who are entered")
    forms: int = Field(description="How many there are in this part")
    part: int
    parts: int


class ReceiptQuery(SchoolRequest):
    """The receipt of a consent, or of the last decision on a subject."""

    consent_id: Identifier | None = None
    subject: Identifier | None = None
    pdf: bool = Field(default=False, description="Also as a document with names, to be handed to the family")


class ConsentReceipt(Reply):
    receipt: ConsentRecord
    pdf: str | None = Field(default=None, description="The same as PDF, base64; it holds names")


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


_COLLECTORS = {Role.ADMINISTRATOR: Scope.OWN_SCHOOL, Role.CLASS_TEACHER: Scope.OWN_CLASS}

RECORD_DECISION = command("consent.record-decision", RecordDecision, DecisionRecorded, _COLLECTORS, "Steps 8 and 13: records one decision")
RECORD_DECISIONS = command(
    "consent.record-decisions",
    RecordDecisions,
    DecisionsRecorded,
    _COLLECTORS,
    "Steps 8 and 13: records a list of decisions",
    services=("roster",),
    each=True,
)
JUDGE_DECISIONS = query(
    "consent.judge-decisions",
    JudgeDecisions,
    DecisionsJudged,
    {Role.ADMINISTRATOR: Scope.OWN_SCHOOL},
    "Whether decisions could be recorded; records nothing",
    services=("roster",),
    each=True,
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
REQUEST = command(
    "consent.request",
    RequestConsents,
    Done,
    {Role.ADMINISTRATOR: Scope.OWN_SCHOOL, Role.CLASS_TEACHER: Scope.OWN_CLASS},
    "Records that forms of consent were handed out, to a class or to people",
)
FORMS = query(
    "consent.forms",
    FormsQuery,
    PrintedForms,
    {Role.DIRECTOR: Scope.OWN_SCHOOL, Role.ADMINISTRATOR: Scope.OWN_SCHOOL, Role.CLASS_TEACHER: Scope.OWN_CLASS},
    "Forms of consent as PDF: blank for the seats of a class, with names for people",
)
RECEIPT = query(
    "consent.receipt",
    ReceiptQuery,
    ConsentReceipt,
    {Role.ADMINISTRATOR: Scope.OWN_SCHOOL, Role.GUARDIAN: Scope.SELF_AND_CHILDREN, Role.PUPIL: Scope.SELF, Role.STAFF: Scope.SELF},
    "The receipt of a decision, for whom it is about and the representative",
)
INVALIDATE_DECISIONS = command(
    "consent.invalidate-decisions",
    InvalidateDecisions,
    DecisionsInvalidated,
    (),
    "Records that a list of decisions never was valid",
    services=("roster",),
)
STATUS = query("consent.status", StatusQuery, ConsentStatus, (Role.DIRECTOR, Role.ADMINISTRATOR), "The decisions on one subject")
