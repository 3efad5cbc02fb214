"""A pupil: entered (step 14) on a seat of a class's list, linked with guardians, assigned to a class (step 15), and gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from contracts.consent import SubjectKind
from contracts.event import Event
from contracts.roster import (
    GuardianAbsenceRecorded,
    GuardianLinked,
    GuardianUnlinked,
    LegalBasis,
    NoGuardianReason,
    PupilAssignedToClass,
    PupilEnrolled,
    PupilLeft,
    PupilMoved,
    Relation,
    Seat,
)
from eventkit.decider import Decider, Refused
from roster.domain.basis import Consent, basis
from roster.domain.classes import SchoolClass, require_created, require_declared


@dataclass(frozen=True, slots=True)
class Guardianship:
    relation: Relation
    legal_representative: bool


@dataclass(frozen=True, slots=True)
class Pupil:
    """`seat` is None until the pupil is first entered. Of `guardians`, who was unlinked stays as None."""

    seat: Seat | None = None
    entered: bool = False
    class_id: str | None = None
    guardians: Mapping[str, Guardianship | None] = field(default_factory=dict[str, Guardianship | None])
    no_guardian: NoGuardianReason | None = None

    @property
    def linked(self) -> bool:
        return any(guardianship is not None for guardianship in self.guardians.values())


@dataclass(frozen=True, slots=True)
class Enrol:
    """`listed_in` is the class on whose list the seat is."""

    person: str
    seat: Seat
    listed_in: SchoolClass
    consent: Consent | None
    legal_basis: LegalBasis | None
    enrolled_on: date


@dataclass(frozen=True, slots=True)
class Leave:
    pupil: str


@dataclass(frozen=True, slots=True)
class Link:
    """`consent` is the guardian's own: each guardian decides for the own data (DOMAIN 3)."""

    pupil: str
    guardian: str
    relation: Relation
    legal_representative: bool
    consent: Consent | None
    legal_basis: LegalBasis | None


@dataclass(frozen=True, slots=True)
class Unlink:
    pupil: str
    guardian: str


@dataclass(frozen=True, slots=True)
class RecordNoGuardian:
    pupil: str
    reason: NoGuardianReason


@dataclass(frozen=True, slots=True)
class Assign:
    """`joins` is the class as it is now."""

    pupil: str
    class_id: str
    joins: SchoolClass


@dataclass(frozen=True, slots=True)
class RollOver:
    """The pupil goes on in a class of the next year, `joins`, on the seat of its list."""

    pupil: str
    seat: Seat
    joins: SchoolClass


Command = Enrol | Leave | Link | Unlink | RecordNoGuardian | Assign | RollOver


def decide(command: Command, state: Pupil) -> Sequence[Event]:
    match command:
        case Enrol():
            return _enrol(command, state)
        case Leave():
            if state.seat is None:
                raise _not_entered(command.pupil)
            return [PupilLeft(person=command.pupil)] if state.entered else []
        case Link():
            return _link(command, state)
        case Unlink():
            if command.guardian not in state.guardians:
                raise Refused("guardian.not-linked", f"{command.guardian} was never a guardian of {command.pupil}. Look at both ids.")
            if state.guardians[command.guardian] is None:
                return []
            return [GuardianUnlinked(pupil=command.pupil, guardian=command.guardian)]
        case RecordNoGuardian():
            _require_entered(command.pupil, state)
            if state.linked:
                raise Refused("guardian.linked", f"{command.pupil} has a guardian entered. Unlink the guardian first, if that is wrong.")
            return [] if state.no_guardian is command.reason else [GuardianAbsenceRecorded(pupil=command.pupil, reason=command.reason)]
        case Assign():
            _require_entered(command.pupil, state)  # gate 14→15
            require_created(command.class_id, command.joins)
            if state.class_id == command.class_id:
                return []
            return [PupilAssignedToClass(pupil=command.pupil, class_id=command.class_id)]
        case RollOver():
            return _roll_over(command, state)


def _roll_over(command: RollOver, state: Pupil) -> Sequence[Event]:
    _require_entered(command.pupil, state)  # gate 14→15
    class_id = command.seat.class_id
    require_declared(class_id, command.joins)
    require_created(class_id, command.joins)
    events: list[Event] = []
    if state.seat != command.seat:
        events.append(PupilMoved(pupil=command.pupil, seat=command.seat))
    if state.class_id != class_id:
        events.append(PupilAssignedToClass(pupil=command.pupil, class_id=class_id))
    return events


def _enrol(command: Enrol, state: Pupil) -> Sequence[Event]:
    if state.entered and state.seat is not None:
        if state.seat.class_id == command.seat.class_id:
            return []
        raise Refused(
            "pupil.entered",
            f"{command.person} is entered already, on the list of {state.seat.class_id}.",
            "To move a pupil to another class, assign the pupil to it (roster.assign-pupil).",
        )
    require_declared(command.seat.class_id, command.listed_in)
    found = basis(command.person, SubjectKind.PUPIL, command.consent, command.legal_basis)
    return [
        PupilEnrolled(
            person=command.person,
            seat=command.seat,
            consent_id=found.consent_id,
            legal_basis=found.legal_basis,
            enrolled_on=command.enrolled_on,
        )
    ]


def _link(command: Link, state: Pupil) -> Sequence[Event]:
    _require_entered(command.pupil, state)
    if state.guardians.get(command.guardian) == Guardianship(command.relation, command.legal_representative):
        return []
    found = basis(command.guardian, SubjectKind.GUARDIAN, command.consent, command.legal_basis)
    return [
        GuardianLinked(
            pupil=command.pupil,
            guardian=command.guardian,
            relation=command.relation,
            legal_representative=command.legal_representative,
            consent_id=found.consent_id,
            legal_basis=found.legal_basis,
        )
    ]


def _require_entered(pupil: str, state: Pupil) -> None:
    if not state.entered:
        raise _not_entered(pupil)


def _not_entered(pupil: str) -> Refused:
    return Refused("pupil.not-entered", f"There is no pupil {pupil} in this school. Enter the pupil first (step 14, roster.enrol-pupil).")


def evolve(state: Pupil, event: Event) -> Pupil:
    match event:
        case PupilEnrolled():
            return replace(state, seat=event.seat, entered=True, class_id=None)
        case PupilLeft():
            return replace(state, entered=False, class_id=None)
        case GuardianLinked():
            guardianship = Guardianship(event.relation, event.legal_representative)
            return replace(state, guardians={**state.guardians, event.guardian: guardianship}, no_guardian=None)
        case GuardianUnlinked():
            return replace(state, guardians={**state.guardians, event.guardian: None})
        case GuardianAbsenceRecorded():
            return replace(state, no_guardian=event.reason)
        case PupilAssignedToClass():
            return replace(state, class_id=event.class_id)
        case PupilMoved():
            return replace(state, seat=event.seat)
        case _:
            return state


PUPIL = Decider("pupil", Pupil(), decide, evolve)
