"""A shift's bell schedule (step 10): when each lesson begins and ends, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from contracts.event import Event
from contracts.roster import BellScheduleDefined, BellScheduleDeleted, LessonTime
from eventkit.decider import Decider, Refused

Lessons = tuple[LessonTime, ...]


@dataclass(frozen=True, slots=True)
class Bells:
    """`lessons` is None where there is no schedule; `defined` says whether there ever was one."""

    lessons: Lessons | None = None
    defined: bool = False


@dataclass(frozen=True, slots=True)
class DefineBells:
    shift: int
    lessons: Lessons


@dataclass(frozen=True, slots=True)
class DeleteBells:
    shift: int


Command = DefineBells | DeleteBells


def decide(command: Command, state: Bells) -> Sequence[Event]:
    match command:
        case DefineBells():
            _require_in_order(command.lessons)
            return [] if state.lessons == command.lessons else [BellScheduleDefined(shift=command.shift, lessons=command.lessons)]
        case DeleteBells():
            if not state.defined:
                raise Refused("bells.missing", f"Shift {command.shift} never had a bell schedule. Look at its number.")
            return [] if state.lessons is None else [BellScheduleDeleted(shift=command.shift)]


def _require_in_order(lessons: Lessons) -> None:
    # A time of day is written HH:MM, so texts compare as times do.
    for number, lesson in enumerate(lessons, 1):
        if lesson.ends <= lesson.begins:
            raise Refused("bells.reversed", f"Lesson {number} ends at {lesson.ends}, not after {lesson.begins}. Look at both times.")
    for number, (before, lesson) in enumerate(pairwise(lessons), 2):
        if lesson.begins < before.ends:
            raise Refused(
                "bells.overlap",
                f"Lesson {number} begins at {lesson.begins}, before the one before it has ended at {before.ends}.",
                "List the lessons in their order; each begins when the one before has ended, or later.",
            )


def evolve(state: Bells, event: Event) -> Bells:
    match event:
        case BellScheduleDefined():
            return Bells(event.lessons, defined=True)
        case BellScheduleDeleted():
            return Bells(None, defined=True)
        case _:
            return state


BELLS = Decider("shift", Bells(), decide, evolve)
"""A stream for each shift of a school."""
