"""Which events a step is derived from: what explaining shows beside the number."""

from datetime import date
from typing import Final, NamedTuple

from contracts import SERVICES
from plan_tracker.domain.facts import ANNULLED, Documents, Fact, Key, annulled
from plan_tracker.domain.plan import Step

_OF_DECISIONS = {"consent-granted", "consent-refused", "consent-withdrawn", "consent-expired", "consent-invalidated"}
_OF_SEATS = {
    "class-headcount-declared",
    "class-closed",
    "pupil-enrolled",
    "pupil-moved",
    "pupil-left",
    *_OF_DECISIONS,
}
_OF_STAFF = {"staff-hired", "staff-dismissed"}
_OF_COORDINATORS = {*_OF_STAFF, "coordinator-appointed", "coordinator-relieved"}
_OF_TRAINING = {"training-session-scheduled", "training-session-cancelled", "training-attended"}
_OF_CHECKS = {"roster-data-verified", "verification-lapsed", "data-issue-opened", "data-issue-resolved"}
_OF_CODES = {
    "credentials-handed-over",
    "credentials-dispatched",
    "credentials-revoked",
    "message-bounced",
    "account-activated",
    "account-blocked",
    "personal-data-erased",
}

COUNTING: Final[dict[str, frozenset[str]]] = {
    "attested": frozenset({"step-attested"}),
    "training-attended": frozenset({*_OF_TRAINING, "staff-dismissed"}),
    "access-received": frozenset({*_OF_COORDINATORS, "credentials-handed-over", "credentials-dispatched", "account-activated"}),
    "data-verified": frozenset({"class-created", "class-closed", *_OF_CHECKS}),
    "active-coordinator": frozenset(_OF_COORDINATORS),
    "workplaces": frozenset({"workplaces-declared", "step-attested"}),
    "school-order": frozenset({"implementation-order-registered", "implementation-order-revoked"}),
    "coordinators-trained": frozenset({*_OF_COORDINATORS, "training-attended"}),
    "staff-decided": frozenset({*_OF_STAFF, *_OF_DECISIONS}),
    "periods-defined": frozenset({"reporting-periods-defined", "class-declared", "class-closed"}),
    "bells-defined": frozenset({"bell-schedule-defined", "bell-schedule-deleted", "class-created", "class-closed"}),
    "lists-filled": frozenset({"reference-list-filled", "reference-list-cleared"}),
    "classes-created": frozenset({"class-declared", "class-created", "class-closed"}),
    "families-decided": frozenset({*_OF_SEATS, "guardian-linked", "guardian-unlinked"}),
    "families-entered": frozenset({*_OF_SEATS, "guardian-absence-recorded", "guardian-linked", "guardian-unlinked", "import-rolled-back"}),
    "pupils-assigned": frozenset({*_OF_SEATS, "class-created", "pupil-assigned-to-class", "academic-year-rolled-over"}),
    "timetables-published": frozenset({"class-created", "class-closed", "timetable-published", "timetable-withdrawn"}),
    "consultations-held": frozenset({"class-created", "class-closed", "consultation-held"}),
    "credentials-out": frozenset({"credentials-issued", *_OF_CODES}),
    "accounts-activated": frozenset(_OF_CODES),
    "data-checked": frozenset({"roster-data-verified"}),
    "activity-rated": frozenset({"school-activity-rated"}),
}
"""The events that move each measure. Whom steps 18 and 19 count, the steps before them explain."""

_OF_EVERY_STEP: Final = frozenset({"step-waived", "waiver-revoked", "deadline-extended"})
"""What an authority decides for one school counts in whatever way the step is measured."""

_FOUNDING: Final = frozenset({"school-opened", "plan-adopted", "baseline-revised", *_OF_EVERY_STEP})

_DECIDING = {
    "staff-decided": {"staff"},
    "families-decided": {"pupil", "guardian"},
    "families-entered": {"pupil"},
    "pupils-assigned": {"pupil"},
}


class Evidence(NamedTuple):
    """A fact that a step is derived from, or, `annulled`, was until it turned out never to have been true."""

    key: Key
    fact: Fact
    annulled: bool = False


def evidence(step: Step, documents: Documents, day: date) -> list[Evidence]:
    """The facts up to a day that a step is derived from, in the order of days; what never was true with its annulment."""
    words, until = COUNTING[step.measure] | _OF_EVERY_STEP, day.toordinal()
    coordinators, directors = _staff_with(documents, "coordinator-appointed", ()), _staff_with(documents, "staff-hired", ("director",))
    never = annulled(documents)
    found = [
        Evidence(key, fact, fact[:2] in never.get(key.source, ()))
        for key, facts in documents.items()
        for fact in facts
        if fact[2] in words and fact[0] <= until and _concerns(step, key, fact, coordinators, directors)
    ]
    struck = {(one.key.source, one.fact[1]) for one in found if one.annulled}
    annulments = [
        Evidence(key, fact) for key, facts in documents.items() if key.kind == ANNULLED for fact in facts if (key.source, fact[3]) in struck
    ]
    return sorted([*found, *annulments], key=lambda one: (one.fact[0], SERVICES.index(one.key.source), one.fact[1]))


def founded_on(documents: Documents, calendar: str, day: date) -> list[Evidence]:
    """What every answer of a school rests on up to a day: where it lies, its plan with the exceptions, and its calendar."""
    until = day.toordinal()
    return [
        Evidence(key, fact)
        for key, facts in documents.items()
        for fact in facts
        if fact[0] <= until
        and (fact[2] in _FOUNDING if key.kind == "school" else (key.source, key.kind, key.subject) == ("plan", "calendar", calendar))
    ]


def _staff_with(documents: Documents, what: str, values: tuple[str, ...]) -> set[str]:
    """Of whom among the staff such a thing was ever recorded."""
    return {
        key.subject
        for key, facts in documents.items()
        if key.kind == "staff" and any(fact[2] == what and fact[3:] == values for fact in facts)
    }


def _concerns(step: Step, key: Key, fact: Fact, coordinators: set[str], directors: set[str]) -> bool:
    """Whether a fact of the right kind is about a subject of the step."""
    match step.measure, fact[2]:
        case _, "step-attested" | "step-waived" | "waiver-revoked" | "deadline-extended":
            return fact[3] == step.n
        case "active-coordinator", _:
            return key.subject in coordinators
        case "access-received", _:
            return key.subject in coordinators | directors
        case "coordinators-trained", "training-attended":
            return fact[3] == "face-to-face" and fact[4] in coordinators
        case "coordinators-trained", _:
            return key.subject in coordinators
        case "data-checked", _:
            return not key.subject
        case "data-verified", _:
            return bool(key.subject)
        case _:
            return key.source != "consent" or fact[4] in _DECIDING[step.measure]
