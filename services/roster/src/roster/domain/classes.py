"""A class: declared by the school, created in the System (step 12), given a headcount and a teacher, rolled over (step 15) and closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from contracts.event import Event
from contracts.roster import ClassClosed, ClassCreated, ClassDeclared, ClassHeadcountDeclared, ClassTeacherAssigned
from eventkit.decider import Decider, Refused
from roster.domain.staff import Staff, require_active
from roster.domain.years import first_year


@dataclass(frozen=True, slots=True)
class SchoolClass:
    """`grade` and `academic_year` are None until the class is declared, `shift` until it is created, `headcount` until one is said.

    `rolled_over_to` is None of a class that was closed by itself, or before it was recorded which class it was rolled over to.
    """

    declared: bool = False
    grade: int | None = None
    academic_year: str | None = None
    shift: int | None = None
    headcount: int | None = None
    teacher: str | None = None
    closed: bool = False
    rolled_over_to: str | None = None


@dataclass(frozen=True, slots=True)
class Declare:
    class_id: str
    grade: int
    letter: str
    academic_year: str


@dataclass(frozen=True, slots=True)
class Create:
    class_id: str
    shift: int


@dataclass(frozen=True, slots=True)
class DeclareHeadcount:
    class_id: str
    pupils: int


@dataclass(frozen=True, slots=True)
class AssignTeacher:
    """`staff` is what is known of the person who becomes the class teacher."""

    class_id: str
    person: str
    staff: Staff


@dataclass(frozen=True, slots=True)
class Close:
    class_id: str


@dataclass(frozen=True, slots=True)
class RollOver:
    """The class's pupils have moved to another class, which is `to` as it is now: this one is over."""

    class_id: str
    to_class_id: str
    to: SchoolClass


Command = Declare | Create | DeclareHeadcount | AssignTeacher | Close | RollOver


def decide(command: Command, state: SchoolClass) -> Sequence[Event]:
    class_id = command.class_id
    match command:
        case Declare():
            if state.declared:
                return []
            return [ClassDeclared(class_id=class_id, grade=command.grade, letter=command.letter, academic_year=command.academic_year)]
        case Create():
            require_declared(class_id, state)
            if state.shift is None:
                return [ClassCreated(class_id=class_id, shift=command.shift)]
            if state.shift != command.shift:
                raise Refused("class.other-shift", f"{class_id} is created in shift {state.shift} already. Leave that shift.")
            return []
        case DeclareHeadcount():
            require_declared(class_id, state)
            return [] if state.headcount == command.pupils else [ClassHeadcountDeclared(class_id=class_id, pupils=command.pupils)]
        case AssignTeacher():
            require_declared(class_id, state)
            require_active(command.person, command.staff)
            return [] if state.teacher == command.person else [ClassTeacherAssigned(class_id=class_id, person=command.person)]
        case Close():
            if not state.declared:
                raise _not_declared(class_id)
            return [] if state.closed else [ClassClosed(class_id=class_id)]
        case RollOver():
            _require_next(command, state)
            if state.rolled_over_to not in (None, command.to_class_id):
                text = f"{class_id} is closed: it was rolled over to {state.rolled_over_to}."
                raise Refused(
                    "class.rolled-over", text, "To move a pupil on from there, assign the pupil to a class (roster.assign-pupil)."
                )
            return [] if state.closed else [ClassClosed(class_id=class_id, rolled_over_to=command.to_class_id)]


def _require_next(command: RollOver, state: SchoolClass) -> None:
    """Pupils are rolled over to a created class of the year after their own (step 15), of the next grade or of the same one."""
    if state.academic_year is None or state.grade is None:
        raise _not_declared(command.class_id)
    if command.to.academic_year is None or command.to.grade is None:
        raise _not_declared(command.to_class_id)
    require_created(command.to_class_id, command.to)
    if first_year(command.to.academic_year) != first_year(state.academic_year) + 1:
        raise Refused(
            "class.not-next-year",
            f"{command.to_class_id} is a class of {command.to.academic_year}, which does not follow {state.academic_year}.",
            "Name a class of the next academic year.",
        )
    # A roll-over cannot be undone, so a slip of the hand is stopped here; a class that repeats its grade stays in it.
    if command.to.grade - state.grade not in (0, 1):
        raise Refused(
            "class.grade-not-next",
            f"{command.to_class_id} is a class of grade {command.to.grade}, which does not follow grade {state.grade}.",
            "Name a class of the next grade, or of the same one for a class that repeats it. A pupil who goes elsewhere is assigned to a"
            " class alone (roster.assign-pupil).",
        )


def require_declared(class_id: str, state: SchoolClass) -> None:
    """Raises Refused `class.not-declared` or `class.closed`: a list of pupils, like a created class, is one of a class that there is."""
    if not state.declared:
        raise _not_declared(class_id)
    if state.closed:
        raise Refused("class.closed", f"{class_id} is closed. Name another class.")


def require_created(class_id: str, state: SchoolClass) -> None:
    """Gate 12→15: pupils are assigned to a class that exists in the System. Raises Refused `class.not-created` or `class.closed`."""
    if state.closed:
        raise Refused("class.closed", f"{class_id} is closed. Name another class.")
    if state.shift is None:
        raise Refused("class.not-created", f"{class_id} is not created yet. Create it first (step 12, roster.create-class).")


def _not_declared(class_id: str) -> Refused:
    return Refused("class.not-declared", f"There is no class {class_id} in this school. Declare it first (roster.declare-class).")


def evolve(state: SchoolClass, event: Event) -> SchoolClass:
    match event:
        case ClassDeclared():
            return SchoolClass(declared=True, grade=event.grade, academic_year=event.academic_year)
        case ClassCreated():
            return replace(state, shift=event.shift)
        case ClassHeadcountDeclared():
            return replace(state, headcount=event.pupils)
        case ClassTeacherAssigned():
            return replace(state, teacher=event.person)
        case ClassClosed():
            return replace(state, closed=True, rolled_over_to=event.rolled_over_to)
        case _:
            return state


def _rests_on(later: Event, earlier: Event) -> bool:
    return not isinstance(earlier, ClassHeadcountDeclared)


CLASS = Decider("class", SchoolClass(), decide, evolve, _rests_on)
