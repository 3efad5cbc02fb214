"""Which events a step is derived from: what explaining shows beside the number."""

from collections.abc import Sequence
from datetime import date
from typing import Final

from contracts import SERVICES
from plan_tracker.domain.facts import Documents, Fact, Key
from plan_tracker.domain.plan import Step

_OF_SEATS = {"class-headcount-declared", "class-closed", "pupil-enrolled", "pupil-left", "consent-granted", "consent-refused"}

COUNTING: Final[dict[str, frozenset[str]]] = {
    "attested": frozenset({"step-attested"}),
    "active-coordinator": frozenset({"staff-hired", "staff-dismissed", "coordinator-appointed", "coordinator-relieved"}),
    "school-order": frozenset({"implementation-order-registered", "implementation-order-revoked"}),
    "staff-decided": frozenset({"staff-hired", "staff-dismissed", "consent-granted", "consent-refused"}),
    "classes-created": frozenset({"class-declared", "class-created", "class-closed"}),
    "families-decided": frozenset({*_OF_SEATS, "guardian-linked", "guardian-unlinked"}),
    "families-entered": frozenset({*_OF_SEATS, "consent-withdrawn", "guardian-absence-recorded", "guardian-linked", "guardian-unlinked"}),
    "pupils-assigned": frozenset({*_OF_SEATS, "consent-withdrawn", "class-created", "pupil-assigned-to-class"}),
    "credentials-out": frozenset({"credentials-issued", "credentials-handed-over", "account-activated", "account-blocked"}),
    "accounts-activated": frozenset({"credentials-handed-over", "account-activated", "account-blocked"}),
}
"""The events that move each measure. Whom the last two count, the steps before them explain."""

_DECIDING = {
    "staff-decided": {"staff"},
    "families-decided": {"pupil", "guardian"},
    "families-entered": {"pupil"},
    "pupils-assigned": {"pupil"},
}


def evidence(step: Step, documents: Documents, day: date) -> list[tuple[Key, Fact]]:
    """The facts up to a day that a step is derived from, in the order of days."""
    words, until = COUNTING[step.measure], day.toordinal()
    found = [
        (key, fact)
        for key, facts in documents.items()
        for fact in facts
        if fact[2] in words and fact[0] <= until and _concerns(step, key, facts, fact)
    ]
    return sorted(found, key=lambda one: (one[1][0], SERVICES.index(one[0].source), one[1][1]))


def _concerns(step: Step, key: Key, facts: Sequence[Fact], fact: Fact) -> bool:
    """Whether a fact of the right kind is about a subject of the step."""
    if step.measure == "attested":
        return fact[3] == step.n
    if step.measure == "active-coordinator":
        return any(one[2] == "coordinator-appointed" for one in facts)
    if key.source == "consent":
        return fact[4] in _DECIDING[step.measure]
    return True
