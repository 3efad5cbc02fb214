"""A class's timetable (step 16), published from a day on. Gate 9–12→16: periods, bells, lists and the class itself come first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from contracts.event import Event
from contracts.roster import Lesson, TimetablePublished, TimetableWithdrawn
from eventkit.decider import Decider, Refused
from roster.domain.bells import Bells, Lessons
from roster.domain.classes import SchoolClass, require_created, require_declared
from roster.domain.digest import canonical, digest
from roster.domain.periods import Periods

REQUIRED_LISTS: Final = ("subjects", "positions", "rooms", "group-types")
"""The lists that must be filled: step 11 says «заполнить справочники» and names none, these are the default reading of it
(plan data, step 11: subjects, positions, rooms, study group types)."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """The digest of the lessons by the first day of each; `published` says whether there ever were any."""

    by_day: Mapping[date, str] = field(default_factory=dict[date, str])
    published: bool = False


@dataclass(frozen=True, slots=True)
class Entered:
    """What is entered of all that a class's timetable needs. A list that is missing has no entries."""

    of_class: SchoolClass
    periods: Periods | None
    bells: Bells
    lists: Mapping[str, Set[str]]


@dataclass(frozen=True, slots=True)
class Publish:
    class_id: str
    valid_from: date
    lessons: tuple[Lesson, ...]
    entered: Entered


@dataclass(frozen=True, slots=True)
class Withdraw:
    class_id: str


Command = Publish | Withdraw


def in_order(lessons: Sequence[Lesson]) -> str:
    """A timetable's lessons as they are kept and digested: in the order of the week, however they were given."""
    return canonical([lesson.model_dump() for lesson in sorted(lessons, key=lambda lesson: (lesson.weekday, lesson.number))])


def decide(command: Command, state: Timetable) -> Sequence[Event]:
    match command:
        case Publish():
            _require_fitting(command, *_require_entered(command))
            sha256 = digest(in_order(command.lessons))
            if state.by_day.get(command.valid_from) == sha256:
                return []
            return [
                TimetablePublished(class_id=command.class_id, valid_from=command.valid_from, lessons=len(command.lessons), sha256=sha256)
            ]
        case Withdraw():
            if not state.published:
                raise Refused("timetable.missing", f"{command.class_id} never had a timetable. Look at its id.")
            return [TimetableWithdrawn(class_id=command.class_id)] if state.by_day else []


def _require_entered(command: Publish) -> tuple[Periods, Lessons]:
    """Gate 9–12→16: the periods and the bells that there are. Raises Refused with a code of its own for each cause."""
    entered, of_class = command.entered, command.entered.of_class
    require_declared(command.class_id, of_class)
    require_created(command.class_id, of_class)
    if entered.periods is None:
        raise Refused(
            "periods.missing",
            f"There are no reporting periods of {of_class.academic_year} for grade {of_class.grade}. Define them first.",
            "Step 9: roster.define-periods.",
        )
    if entered.bells.lessons is None:
        raise Refused(
            "bells.missing",
            f"Shift {of_class.shift}, in which {command.class_id} learns, has no bell schedule. Define it first.",
            "Step 10: roster.define-bells.",
        )
    if missing := [name for name in REQUIRED_LISTS if not entered.lists.get(name)]:
        text = f"These reference lists have no entries: {', '.join(missing)}. Fill them first."
        raise Refused("lists.missing", text, "Step 11: roster.fill-list.")
    return entered.periods, entered.bells.lessons


def _require_fitting(command: Publish, periods: Periods, bells: Lessons) -> None:
    """Each lesson is of a subject that there is, in a room that there is, when the bell rings for it, and the only one then."""
    last_day = max(period.ends for period in periods)
    if command.valid_from > last_day:
        raise Refused("timetable.after-year", f"The last reporting period of this class ends on {last_day}. Name an earlier first day.")
    taken: set[tuple[int, int]] = set()
    for lesson in command.lessons:
        where = f"Weekday {lesson.weekday}, lesson {lesson.number}:"
        if lesson.number > len(bells):
            raise Refused("timetable.beyond-bells", f"{where} the bell schedule of this shift has {len(bells)} lessons. Put it earlier.")
        if (lesson.weekday, lesson.number) in taken:
            raise Refused("timetable.slot-taken", f"{where} the class has another lesson then. Give one of the two another place.")
        # A subject is not repeated here: it is a text that somebody has typed, and a refusal may be logged.
        if lesson.subject not in command.entered.lists["subjects"]:
            raise Refused(
                "timetable.subject-unknown", f"{where} its subject is not in the list `subjects`. Write it as it stands there, or add it."
            )
        if lesson.room is not None and lesson.room not in command.entered.lists["rooms"]:
            raise Refused("timetable.room-unknown", f"{where} its room is not in the list `rooms`. Write it as it stands there, or add it.")
        taken.add((lesson.weekday, lesson.number))


def evolve(state: Timetable, event: Event) -> Timetable:
    match event:
        case TimetablePublished():
            return Timetable({**state.by_day, event.valid_from: event.sha256}, published=True)
        case TimetableWithdrawn():
            return Timetable(published=True)
        case _:
            return state


TIMETABLE = Decider("timetable", Timetable(), decide, evolve)
"""A stream for each class."""
