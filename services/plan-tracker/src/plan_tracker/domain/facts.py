"""Facts: what the plan remembers of the five logs, and the fold that is the only way into it.

A document holds the facts about one subject from one source: each its day in the school, its position in the source's log, what happened,
and the few values that a measure needs. Nothing is summed up, so the state on any day is computed from the facts of that day and before,
a fact that arrives late with an earlier day is one more entry, and what was known at a position is the facts up to it. A document depends
on its source's order alone, so any interleaving of the logs ends in the same documents (DESIGN 2.5); and since folding is adding, a
history with facts left out folds as well.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from contracts import EVENTS
from contracts.event import UnknownEvent, newest_name
from eventkit.event import Recorded

Fact = tuple[Any, ...]
"""`(day, position, what, *values)`: the day as an ordinal, `what` the event's type without service and version."""


class Key(NamedTuple):
    """Whose document it is: `subject` is a person, a class, a shift, …, in that source's own terms, and empty for the school itself."""

    source: str
    kind: str
    subject: str


Documents = Mapping[Key, Sequence[Fact]]
"""Documents of one school, their facts sorted as `in_order` does."""

ANNULLED: Final = "annulled"
"""The kind of the document that holds, for a source, the positions of the facts that never were true."""

_Data = dict[str, Any]
_Fold = Callable[[_Data], tuple[Any, ...]]


def _decision(event: _Data) -> tuple[Any, ...]:
    seat: _Data | None = event["seat"]
    of_pupil = seat is not None and seat["holder"] == "pupil" and event["subject_kind"] == "pupil"
    place = (seat["class_id"], seat["number"]) if seat is not None and of_pupil else ()
    return event["subject"], event["consent_id"], event["subject_kind"], *place


# For each event that a measure needs: the kind of its document, then the subject and the values that are kept.
_FOLDS: dict[str, tuple[str, _Fold]] = {
    "roster.school-opened.v1": ("school", lambda e: ("", e["municipality"], e["timezone"])),
    "roster.staff-hired.v1": ("staff", lambda e: (e["person"], e["position"])),
    "roster.staff-dismissed.v1": ("staff", lambda e: (e["person"],)),
    "roster.coordinator-appointed.v1": ("staff", lambda e: (e["person"],)),
    "roster.coordinator-relieved.v1": ("staff", lambda e: (e["person"],)),
    "roster.workplaces-declared.v1": ("workplaces", lambda e: ("", e["online"])),
    "roster.reporting-periods-defined.v1": ("parallel", lambda e: (f"{e['academic_year']}/{e['grade']}",)),
    "roster.bell-schedule-defined.v1": ("shift", lambda e: (str(e["shift"]),)),
    "roster.bell-schedule-deleted.v1": ("shift", lambda e: (str(e["shift"]),)),
    "roster.reference-list-filled.v1": ("list", lambda e: (e["list"],)),
    "roster.reference-list-cleared.v1": ("list", lambda e: (e["list"],)),
    "roster.class-declared.v1": ("class", lambda e: (e["class_id"], f"{e['academic_year']}/{e['grade']}")),
    "roster.class-created.v1": ("class", lambda e: (e["class_id"], str(e["shift"]))),
    "roster.class-headcount-declared.v1": ("class", lambda e: (e["class_id"], e["pupils"])),
    "roster.class-closed.v1": ("class", lambda e: (e["class_id"],)),
    "roster.timetable-published.v1": ("timetable", lambda e: (e["class_id"],)),
    "roster.timetable-withdrawn.v1": ("timetable", lambda e: (e["class_id"],)),
    "roster.pupil-enrolled.v1": (
        "pupil",
        lambda e: (e["person"], e["seat"]["class_id"], e["seat"]["number"], e["legal_basis"] is not None),
    ),
    "roster.pupil-moved.v1": ("pupil", lambda e: (e["pupil"], e["seat"]["class_id"], e["seat"]["number"])),
    "roster.pupil-left.v1": ("pupil", lambda e: (e["person"],)),
    "roster.guardian-absence-recorded.v1": ("pupil", lambda e: (e["pupil"],)),
    "roster.pupil-assigned-to-class.v1": ("pupil", lambda e: (e["pupil"], e["class_id"])),
    "roster.guardian-linked.v1": ("pupil", lambda e: (e["pupil"], e["guardian"], e["legal_basis"] is not None)),
    "roster.guardian-unlinked.v1": ("pupil", lambda e: (e["pupil"], e["guardian"])),
    "roster.academic-year-rolled-over.v1": ("year", lambda e: (e["from_year"],)),
    "roster.roster-data-verified.v1": ("check", lambda e: (e["class_id"] or "",)),
    "roster.verification-lapsed.v1": ("check", lambda e: (e["class_id"],)),
    "roster.data-issue-opened.v1": ("check", lambda e: (e["class_id"], e["issue"], e["blocking"])),
    "roster.data-issue-resolved.v1": ("check", lambda e: (e["class_id"], e["issue"])),
    "roster.import-rolled-back.v1": ("import", lambda e: (e["import_id"],)),
    "roster.entry-annulled.v1": (ANNULLED, lambda e: ("", e["position"])),
    "consent.consent-granted.v2": ("subject", _decision),
    "consent.consent-refused.v1": ("subject", _decision),
    "consent.consent-withdrawn.v1": ("subject", lambda e: (e["subject"], e["consent_id"], e["subject_kind"])),
    "consent.consent-expired.v1": ("subject", lambda e: (e["subject"], e["consent_id"], e["subject_kind"])),
    "consent.consent-invalidated.v1": ("subject", lambda e: (e["subject"], e["consent_id"], e["subject_kind"])),
    "identity.credentials-issued.v1": ("person", lambda e: (e["person"], e["credential"], ordinal(e["expires_on"]))),
    "identity.credentials-handed-over.v1": ("person", lambda e: (e["person"], e["credential"])),
    "identity.credentials-dispatched.v1": ("person", lambda e: (e["person"], e["credential"], e["message"])),
    "identity.credentials-revoked.v1": ("person", lambda e: (e["person"], e["credential"])),
    "identity.account-activated.v1": ("person", lambda e: (e["person"],)),
    "identity.account-blocked.v1": ("person", lambda e: (e["person"],)),
    "identity.school-activity-rated.v1": ("rating", lambda e: ("", e["score"])),
    "identity.entry-annulled.v1": (ANNULLED, lambda e: ("", e["position"])),
    "identity.personal-data-erased.v1": ("person", lambda e: (e["person"],)),
    "notifier.message-bounced.v1": ("person", lambda e: (e["recipient"], e["message"])),
    "plan.calendar-pinned.v1": ("calendar", lambda e: (e["calendar"]["digest"], e["calendar"]["table"])),
    "plan.plan-adopted.v2": ("school", lambda e: ("", e)),
    "plan.baseline-revised.v1": ("school", lambda e: ("", e)),
    "plan.deadline-extended.v1": ("school", lambda e: ("", e["step"], e["due"])),
    "plan.step-waived.v1": ("school", lambda e: ("", e["step"])),
    "plan.waiver-revoked.v1": ("school", lambda e: ("", e["step"])),
    "plan.step-attested.v1": ("school", lambda e: ("", e["step"])),
    "plan.implementation-order-registered.v1": ("school", lambda e: ("", e["order"])),
    "plan.implementation-order-revoked.v1": ("school", lambda e: ("", e["order"])),
    "plan.training-session-scheduled.v1": ("training", lambda e: (e["session"], e["form"], e["people"])),
    "plan.training-session-cancelled.v1": ("training", lambda e: (e["session"],)),
    "plan.training-attended.v1": ("training", lambda e: (e["session"], e["form"], e["person"])),
    "plan.consultation-held.v1": ("class", lambda e: (e["class_id"],)),
    "plan.entry-annulled.v1": (ANNULLED, lambda e: ("", e["position"])),
}

_BY_TYPE = {name: (*name.split(".")[:2], kind, values) for name, (kind, values) in _FOLDS.items()}
_TYPES = {(source, what): name for name, (source, what, _, _) in _BY_TYPE.items()}


@cache
def is_needed(type_name: str) -> bool:
    """Whether a measure needs events of a type, in whatever version. One that this program does not know may matter."""
    return type_name not in EVENTS or newest_name(type_name) in _BY_TYPE


def fold(event: Recorded) -> tuple[Key, Fact] | None:
    """What an event adds to whose document; None for one that no measure needs: announcements, messages, details.

    Raises UnknownEvent for a type that this program does not know: it may matter, so its school has to wait for a newer program.
    """
    name, data = event.facts()
    found = _BY_TYPE.get(name)
    if found is None:
        if name not in EVENTS:
            raise UnknownEvent(f"unknown event type {name}")
        return None
    source, what, kind, values = found
    subject, *rest = values(data)
    return Key(source, kind, subject), (ordinal(event.happenedon), event.position, what, *rest)


def in_order(facts: Sequence[Fact]) -> Sequence[Fact]:
    """The facts of a document by day, then position. A position stands there once, so nothing else is ever compared."""
    return facts if len(facts) < 2 else sorted(facts)


def annulled(documents: Documents) -> dict[str, frozenset[tuple[int, int]]]:
    """Day and position of the facts, by source, that never were true: an annulment stands at the day of what it annuls."""
    return {key.source: frozenset((fact[0], fact[3]) for fact in facts) for key, facts in documents.items() if key.kind == ANNULLED}


def type_of(key: Key, fact: Fact) -> str:
    """The type of the event that a fact came from, in its newest version."""
    return _TYPES[key.source, fact[2]]


@lru_cache(4096)
def ordinal(day: str) -> int:
    """An ISO date as an ordinal. Few days stand in many events."""
    return date.fromisoformat(day).toordinal()
