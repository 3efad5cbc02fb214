"""Gate 13→14: nobody is entered without a consent that holds, or another recorded legal basis (152-ФЗ ст. 6 и 9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from contracts.consent import SubjectKind
from contracts.roster import LegalBasis, Seat
from eventkit.decider import Refused


@dataclass(frozen=True, slots=True)
class Consent:
    """What roster has heard of a decision taken in its school. `subject` is the id that entering the person adopts."""

    consent_id: str
    subject: str
    kind: SubjectKind
    state: Literal["granted", "refused", "withdrawn", "superseded", "expired", "invalidated"]
    seat: Seat | None


@dataclass(frozen=True, slots=True)
class Basis:
    """On what a person is entered, as the event records it: at least one of the two stands."""

    consent_id: str | None
    legal_basis: LegalBasis | None


def basis(person: str, kind: SubjectKind, consent: Consent | None, legal_basis: LegalBasis | None) -> Basis:
    """The basis for entering a person. Raises Refused `consent.missing` where there is none.

    A consent that is named must be this person's own. One that was refused, has ended or never was valid is no basis, but
    another legal basis may stand beside it.
    """
    if consent is not None and (consent.subject, consent.kind) != (person, kind):
        raise Refused("consent.missing", f"Consent {consent.consent_id} is another person's. Name the consent of this {kind}.")
    if consent is not None and consent.state == "granted":
        return Basis(consent.consent_id, legal_basis)
    if legal_basis is not None:
        return Basis(None, legal_basis)
    why = "There is no consent of this person." if consent is None else f"Consent {consent.consent_id} is {consent.state}."
    raise Refused(
        "consent.missing",
        f"{why} A {kind} is entered only on a granted consent or another legal basis (gate 13→14).",
        "Record the decision first (consent.record-decision), or give a legal_basis.",
    )
