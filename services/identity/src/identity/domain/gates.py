"""Who may be given a code: the gates of order 39/2 that identity owns before step 18 (DOMAIN 2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from contracts.consent import SubjectKind
from contracts.roster import Position
from eventkit.decider import Refused
from identity.domain.account import blocked


@dataclass(slots=True)
class Person:
    """A person of a school as roster and consent have told it.

    `classes` are the class that a pupil is assigned to, and those of a guardian's children; `guardians` are a pupil's.
    """

    position: Position | None = None
    coordinator: bool = False
    pupil: bool = False
    guardian: bool = False
    classes: set[str] = field(default_factory=set[str])
    guardians: set[str] = field(default_factory=set[str])
    no_guardian_recorded: bool = False
    legal_basis: bool = False
    consent: Literal["granted", "refused", "withdrawn", "expired", "invalidated"] | None = None

    @property
    def kind(self) -> SubjectKind | None:
        """As what the person is entered; a member of staff who is also a parent counts as staff. None for whoever is not, or no longer."""
        if self.position is not None:
            return SubjectKind.STAFF
        if self.pupil:
            return SubjectKind.PUPIL
        return SubjectKind.GUARDIAN if self.guardian else None


def check_entered(person: Person) -> SubjectKind:
    """Gate 14→18: as what the person is entered. A pupil is so with a guardian, or with a recorded reason for none (step 14)."""
    kind = person.kind
    if kind is None:
        raise Refused("person.not-entered", "There is nobody entered under this id in this school. Enter the person first.")
    if kind is SubjectKind.PUPIL and not person.guardians and not person.no_guardian_recorded:
        raise Refused("person.not-entered", "This pupil has neither a guardian nor a recorded reason for none. Enter one of them first.")
    return kind


def check_still_here(person: Person) -> None:
    """Gate 18→19: what was issued opens nothing for who is nobody at the school any more, such as a guardian whose only child has left.

    No block stands in that account: another child may come, and be linked. Until then the answer is that of a blocked one.
    """
    if person.kind is None:
        raise blocked()


def has_ground(person: Person) -> bool:
    """Whether there is a ground for an account: a granted consent, or another legal basis. The director and coordinators need none
    (step 2)."""
    return person.position is Position.DIRECTOR or person.coordinator or person.legal_basis or person.consent == "granted"


def check_consent(person: Person) -> None:
    """Gates 8→18 and 13→14: nobody is given a code without a ground."""
    if not has_ground(person):
        raise Refused(*_NO_GROUND[person.consent])


_NO_GROUND = {
    None: ("consent.missing", "There is no decision on this person's data yet. Record the consent first."),
    "refused": ("consent.refused", "This person's consent was refused: there is no account without it."),
    "withdrawn": ("consent.withdrawn", "This person's consent was withdrawn: there is no account without it."),
    "expired": ("consent.expired", "This person's consent has come to its end. Have a new one signed and record it first."),
    "invalidated": ("consent.invalidated", "This person's consent never was valid. Have a valid one signed and record it first."),
}


def is_of_class(person: Person, class_id: str) -> bool:
    """Gate 15→18: whether somebody is a class's pupil or a guardian of one; who works at the school is no class teacher's."""
    return person.position is None and class_id in person.classes
