"""The decisions on one person's data, in the order in which they were taken (DOMAIN 3).

A decision is granted or refused; a later one supersedes it. A granted consent may be withdrawn, or comes to its last day:
then it was valid and has ended. What is found never to have been valid is invalidated, whatever had become of it. Consent is
voluntary, so a refusal is as good a decision as a grant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from contracts.consent import (
    AgeBand,
    Capacity,
    ConsentExpired,
    ConsentGranted,
    ConsentInvalidated,
    ConsentRefused,
    ConsentWithdrawn,
    Decision,
    InvalidationReason,
    SubjectKind,
    Terms,
)
from contracts.event import Event
from eventkit.decider import Decider, Refused

_CO_SIGNING = 14
_COMING_OF_AGE = 18


@dataclass(frozen=True, slots=True)
class Decide:
    """Record a decision under a new `consent_id`. `subject` is the person's id, `on` the day on which it was taken.

    `terms` are those of the template that was signed; None for a refusal. From `co_signature_age` on a pupil has to sign beside the
    representative; None: no pupil has to. `withdrawn_on` is the last day on which a consent of the subject's ended by being taken back: a
    withdrawal holds no day of its own, so whoever reads the record says it.
    """

    consent_id: str
    subject: str
    decision: Decision
    on: date
    terms: Terms | None
    co_signature_age: int | None = None
    withdrawn_on: date | None = None


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take a consent back on a day."""

    consent_id: str
    on: date


@dataclass(frozen=True, slots=True)
class Expire:
    """A day has begun that may be the first one after a consent's last."""

    consent_id: str
    on: date


@dataclass(frozen=True, slots=True)
class Invalidate:
    """A decision never was valid."""

    consent_id: str
    reason: InvalidationReason


Command = Decide | Withdraw | Expire | Invalidate


@dataclass(frozen=True, slots=True)
class Consent:
    """One decision and what has become of it."""

    decided: ConsentGranted | ConsentRefused
    state: Literal["granted", "refused", "withdrawn", "superseded", "expired", "invalidated"]

    @property
    def decided_on(self) -> date:
        return self.decided.signed_on if isinstance(self.decided, ConsentGranted) else self.decided.decided_on

    @property
    def valid_until(self) -> date | None:
        """The last day on which it is valid, None where it has no such day."""
        return self.decided.valid_until if isinstance(self.decided, ConsentGranted) else None


Consents = tuple[Consent, ...]
"""Every decision on one subject, the oldest first; none but the last one can stand."""


def decide(command: Command, consents: Consents) -> Sequence[Event]:
    match command:
        case Decide():
            return _decide(command, consents)
        case Withdraw():
            return _withdraw(command, consents)
        case Expire():
            return _expire(command, consents)
        case Invalidate():
            return _invalidate(command, consents)


def standing(consents: Consents) -> Consent | None:
    """The decision that stands. What has ended, or never was valid, leaves none: the subject has to decide again."""
    return consents[-1] if consents and consents[-1].state in ("granted", "refused") else None


def _decide(command: Decide, consents: Consents) -> Sequence[Event]:
    kind = command.decision.subject_kind
    if any(consent.decided.consent_id == command.consent_id for consent in consents):
        return []
    if consents and consents[-1].decided.subject_kind is not kind:
        known_as = consents[-1].decided.subject_kind
        raise Refused("subject.other-kind", f"{command.subject} is known as {known_as}, not as {kind}. Name the right person or kind.")
    age_band, capacity = who_decides(command.decision)
    _check_signatures(command, age_band, capacity)
    found = standing(consents)
    last = None if found is None else found.decided
    if last is not None and _event(command, last.consent_id, last.supersedes, age_band, capacity) == last:
        return []
    _check_newest(command, consents)
    return [_event(command, command.consent_id, last and last.consent_id, age_band, capacity)]


def _check_newest(command: Decide, consents: Consents) -> None:
    """Whoever has said something later, or whose consent has ended since, did so knowing of the older paper: only what is as new as that
    is the person's will. What never was valid says nothing."""
    known = [
        (one.decided_on, "a consent" if isinstance(one.decided, ConsentGranted) else "a refusal")
        for one in consents
        if one.state != "invalidated"
    ]
    known += [
        (one.valid_until + timedelta(days=1), "the end of a consent")
        for one in consents
        if one.state == "expired" and one.valid_until is not None and not _outlasts(command, one.valid_until)
    ]
    if command.withdrawn_on is not None:
        known.append((command.withdrawn_on, "a withdrawal"))
    day, what = max(known, default=(command.on, ""))
    if command.on < day:
        text = f"Something later is known of this person: {what} on {day}. A paper signed before that day does not hold any more."
        hint = "Have a new one signed. Where what is known never was valid, say so first (consent.invalidate)."
        raise Refused("consent.outdated", text, hint)


def _outlasts(command: Decide, end: date) -> bool:
    """Whether a paper says of itself that it goes on where another one has ended: it was signed to renew that. A pupil's that names no last
    day may have been signed on the eve of coming of age."""
    last_day = _last_day(command.decision, command.on)
    return command.decision.subject_kind is not SubjectKind.PUPIL if last_day is None else last_day > end


def _withdraw(command: Withdraw, consents: Consents) -> Sequence[Event]:
    consent = _known(command.consent_id, consents)
    if consent.state == "withdrawn":
        return []
    if consent.state == "invalidated":
        raise Refused("consent.invalidated", "This decision never was valid: there is nothing to withdraw.")
    if isinstance(consent.decided, ConsentRefused):
        raise Refused("consent.not-granted", "This decision was a refusal: there is nothing to withdraw.")
    if consent.state == "superseded":
        raise Refused("consent.superseded", "A later decision has taken the place of this consent: withdraw that one.")
    if command.on < consent.decided_on:
        raise Refused("consent.not-yet-granted", f"This consent was signed on {consent.decided_on}: it cannot end before that day.")
    if consent.valid_until is not None and command.on > consent.valid_until:
        raise Refused("consent.expired", f"This consent was valid until {consent.valid_until}: there is nothing to withdraw any more.")
    decided = consent.decided
    return [ConsentWithdrawn(consent_id=decided.consent_id, subject=decided.subject, subject_kind=decided.subject_kind)]


def _expire(command: Expire, consents: Consents) -> Sequence[Event]:
    """The clock says this, not a person: of a consent that does not stand any more, or has no last day, it is no news."""
    consent = next((consent for consent in consents if consent.decided.consent_id == command.consent_id), None)
    if consent is None or consent.state != "granted" or consent.valid_until is None or command.on <= consent.valid_until:
        return []
    decided = consent.decided
    return [ConsentExpired(consent_id=decided.consent_id, subject=decided.subject, subject_kind=decided.subject_kind)]


def _invalidate(command: Invalidate, consents: Consents) -> Sequence[Event]:
    consent = _known(command.consent_id, consents)
    if consent.state == "invalidated":
        return []
    decided = consent.decided
    return [
        ConsentInvalidated(consent_id=decided.consent_id, subject=decided.subject, subject_kind=decided.subject_kind, reason=command.reason)
    ]


def evolve(consents: Consents, event: Event) -> Consents:
    match event:
        case ConsentGranted():
            return (*_ended(consents, event.supersedes, "superseded"), Consent(event, "granted"))
        case ConsentRefused():
            return (*_ended(consents, event.supersedes, "superseded"), Consent(event, "refused"))
        case ConsentWithdrawn():
            return _ended(consents, event.consent_id, "withdrawn")
        case ConsentExpired():
            return _ended(consents, event.consent_id, "expired")
        case ConsentInvalidated():
            return _ended(consents, event.consent_id, "invalidated")
        case _:
            raise TypeError(f"{event.type} is no event of a subject's consents")


CONSENTS: Decider[Command, Consents] = Decider("consents", (), decide, evolve)
"""The decisions on one subject; a stream's id is the subject's."""


def _known(consent_id: str, consents: Consents) -> Consent:
    for consent in consents:
        if consent.decided.consent_id == consent_id:
            return consent
    raise Refused("consent.unknown", f"There is no consent {consent_id}.")


def _ended(consents: Consents, consent_id: str | None, state: Literal["superseded", "withdrawn", "expired", "invalidated"]) -> Consents:
    return tuple(replace(consent, state=state) if consent.decided.consent_id == consent_id else consent for consent in consents)


def who_decides(decision: Decision) -> tuple[AgeBand, Capacity]:
    """The age band and the capacity of a decision, with what was left out filled in (152-ФЗ ст. 9, DOMAIN 3).

    For a pupil under 18 a legal representative decides, from 18 on the pupil; everybody else decides for the own data.
    A pupil of whom no age is said counts as under 14, where the representative alone decides.
    """
    is_pupil = decision.subject_kind is SubjectKind.PUPIL
    by_age = None if decision.age is None else _band_of(decision.age)
    if None not in (by_age, decision.age_band) and by_age is not decision.age_band:
        raise Refused("decision.age-unclear", f"Who is {decision.age} is not of the age band {decision.age_band}. Say either of them.")
    age_band = decision.age_band or by_age or (AgeBand.UNDER_14 if is_pupil else AgeBand.ADULT)
    decides = Capacity.LEGAL_REPRESENTATIVE if is_pupil and age_band is not AgeBand.ADULT else Capacity.SELF
    if decision.capacity not in (None, decides):
        who = (
            "a legal representative decides for a pupil under 18" if decides is Capacity.LEGAL_REPRESENTATIVE else "an adult decides alone"
        )
        raise Refused("consent.wrong-capacity", f"This is not {decision.capacity}'s to decide: {who}. Have the right person sign.")
    return age_band, decides


def _band_of(age: int) -> AgeBand:
    if age < _CO_SIGNING:
        return AgeBand.UNDER_14
    return AgeBand.FROM_14_TO_17 if age < _COMING_OF_AGE else AgeBand.ADULT


def _check_signatures(command: Decide, age_band: AgeBand, capacity: Capacity) -> None:
    """Whether those have signed who have to, and nobody else (DOMAIN 3). A refusal needs no pupil beside the representative."""
    decision = command.decision
    if capacity is Capacity.SELF:
        if decision.grantor not in (None, command.subject):
            raise Refused("consent.wrong-grantor", "Whoever decides for the own data signs alone. Leave the grantor out.")
        if decision.authority is not None:
            raise Refused("consent.wrong-capacity", "A document of authority is a representative's, and here nobody is represented.")
    elif decision.grantor == command.subject:
        raise Refused("consent.wrong-grantor", "A pupil under 18 does not sign alone: name the legal representative who has signed.")
    elif decision.granted and command.co_signature_age is not None and decision.age is None and decision.age_band is None:
        # Else whoever is 15 would count as under 14, and nobody would miss the signature.
        text = f"In this school a pupil signs beside the representative from {command.co_signature_age} on, and no age is said of this one."
        raise Refused("decision.age-unclear", f"{text} Say the age or the age band.")
    if age_band is not AgeBand.FROM_14_TO_17 or capacity is Capacity.SELF:
        if decision.co_signed:
            raise Refused(
                "consent.no-co-signature", "Only a pupil of 14 to 17 signs beside the representative. Leave the co-signature out."
            )
    elif decision.granted and not decision.co_signed and _has_to_co_sign(decision, command.co_signature_age):
        text = f"In this school a pupil signs beside the representative from {command.co_signature_age} on. Have the pupil sign, too."
        raise Refused("consent.co-signature-missing", text, "Then say co_signed, or the age of who is younger.")


def _has_to_co_sign(decision: Decision, from_age: int | None) -> bool:
    """Whether a pupil of 14 to 17 has to: of whom nobody says the age, the whole band."""
    return from_age is not None and (decision.age is None or decision.age >= from_age)


def _event(command: Decide, consent_id: str, supersedes: str | None, age_band: AgeBand, capacity: Capacity) -> Event:
    decision = command.decision
    if command.terms is None:
        return ConsentRefused(
            consent_id=consent_id,
            supersedes=supersedes,
            subject=command.subject,
            subject_kind=decision.subject_kind,
            seat=decision.seat,
            decided_on=command.on,
        )
    return ConsentGranted(
        consent_id=consent_id,
        supersedes=supersedes,
        subject=command.subject,
        subject_kind=decision.subject_kind,
        seat=decision.seat,
        age_band=age_band,
        grantor=command.subject if capacity is Capacity.SELF else decision.grantor,
        capacity=capacity,
        authority=decision.authority,
        co_signer=command.subject if decision.co_signed else None,
        terms=command.terms,
        form=decision.form,
        evidence_reference=decision.evidence_reference,
        evidence_sha256=decision.evidence_sha256,
        signed_on=command.on,
        valid_from=command.on,
        valid_until=_last_day(decision, command.on),
    )


def _last_day(decision: Decision, signed_on: date) -> date | None:
    """The day that was given; a pupil's is the end of a month, so that no birth date is given away: what ends at 18 ends with the month
    before the birthday (DESIGN 2.7)."""
    valid_until = decision.valid_until
    if valid_until is None:
        return None
    if decision.subject_kind is SubjectKind.PUPIL and (valid_until + timedelta(days=1)).day != 1:
        valid_until = valid_until.replace(day=1) - timedelta(days=1)
    if valid_until < signed_on:
        rounded = "" if valid_until == decision.valid_until else ": a pupil's ends with the month before the day that was given"
        text = f"This consent would have ended on {valid_until}, before it was signed{rounded}. Have a new one signed."
        raise Refused("consent.expired", text)
    return valid_until
