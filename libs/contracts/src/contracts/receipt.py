"""The record of a consent as it is given to the family: the information structure of ISO/IEC TS 27560:2023, in its own field names.

Header, processing, parties and events. It holds ids, codes and digests, as the events that it is made of do, and the school's name;
people's names stand in the printed receipt alone. Addresses and contacts, which the specification asks for, are left out: a person's
are personal data, and the school's stand on the form.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from contracts.event import Identifier, Sha256, Value

SCHEMA_VERSION = "ISO/IEC TS 27560:2023"


class Header(Value):
    """`record_id` is the consent's id, `pii_principal_id` the subject's. `receipt_id` is another one whenever the record has grown."""

    schema_version: Literal["ISO/IEC TS 27560:2023"] = SCHEMA_VERSION
    receipt_id: Identifier
    record_id: Identifier
    pii_principal_id: Identifier


class PiiInformation(Value):
    """One category of personal data; none is of a special category (152-ФЗ ст. 10)."""

    pii_type: Identifier
    pii_optional: bool = False
    special_pii_category: bool = False


class Purpose(Value):
    """What the data are processed for, and how. `retention_period` is until a day, or until the purpose is reached or the withdrawal."""

    purpose: Identifier
    lawful_basis: Literal["152-FZ-6-1-1"]
    pii_information: tuple[PiiInformation, ...]
    pii_controllers: tuple[Identifier, ...]
    collection_method: Literal["paper", "electronic"]
    processing_method: tuple[Identifier, ...]
    storage_locations: tuple[Identifier, ...]
    retention_period: date | Literal["until-purpose-or-withdrawal"]
    recipient_third_parties: tuple[Identifier, ...]
    withdrawal_method: Identifier
    jurisdiction: Literal["RU"] = "RU"
    authority_party: Identifier


class Notice(Value):
    """The text that was signed: a template, its version, and the SHA-256 of its file; null before there were templates."""

    template: Identifier
    version: int
    sha256: Sha256 | None
    separate_document: bool


class Processing(Value):
    privacy_notice: Notice
    language: Literal["ru", "en"]
    purposes: tuple[Purpose, ...]


class Party(Value):
    """`party_id` is a person's id, the school's, or the code of an organisation; `authority` a representative's document."""

    party_id: Identifier | None = Field(description="None for a representative who is not entered")
    party_name: str | None = Field(default=None, description="The school's; nobody else is named")
    party_role: Literal["pii-principal", "pii-controller", "pii-processor", "representative", "co-signer", "authority"]
    party_type: Literal["person", "school", "organisation", "public-authority"]
    authority: str | None = None


class ValidityDuration(Value):
    """Both days belong to it. Without a last day it lasts until the purpose is reached or the consent withdrawn."""

    valid_from: date
    valid_until: date | None


class RecordEvent(Value):
    """What became of the consent. `event_time` is the day on which it was true, `recorded_at` the moment at which it was recorded,
    `entity_id` who recorded it."""

    event_time: date
    recorded_at: str
    event_type: Literal["explicit"] = "explicit"
    event_state: Literal["given", "refused", "withdrawn", "expired", "invalidated", "superseded"]
    entity_id: str
    validity_duration: ValidityDuration | None = None
    evidence_reference: str | None = None
    evidence_sha256: Sha256 | None = None


class ConsentRecord(Value):
    """`processing` is missing from a refusal: there is none."""

    header: Header
    processing: Processing | None
    party_identification: tuple[Party, ...]
    events: tuple[RecordEvent, ...]
