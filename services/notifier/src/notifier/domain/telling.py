"""Whom the plan's announcements concern, and what of them is told on a day (DOMAIN 6).

The responsible are told before a date and on it, they and the director when it has passed, the director of what was completed or
reopened. Municipality and ministry get counts of what stays overdue. People are told of their own dates alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal, NamedTuple

from contracts.notifier import ClassNotice, Notice, NoticeKind, OwnDate, StepCount
from contracts.plan import PeopleDue, Reminders, Responsible

Office = Literal["director", "coordinator", "class_teacher"]
Officers = Mapping[Office, Sequence[str]]
"""Who holds which office in a school, by id: nobody yet, one, or several."""

DIRECTOR_TOLD_WD: Final = 1
MUNICIPALITY_TOLD_WD: Final = 3
MINISTRY_TOLD_WD: Final = 5
"""After so many working days a step that is not done is told to whom."""

MOST_LISTED: Final = 50
"""So many schools are named for each step of a digest; the others are counted."""

LATEST: Final = timedelta(days=7)
"""What nobody could be told for so long is told to nobody any more."""

LATEST_FOR_THE_MINISTRY: Final = 3 * LATEST
"""The same of its digests: they are weekly, and one may be missed."""

KEPT: Final = LATEST_FOR_THE_MINISTRY + LATEST
"""How long an announcement is kept once later ones have come: longer than anybody may still be told of it."""


@dataclass(frozen=True)
class Announcement:
    """An announcement as it concerns people: what is told, the profile of the step's reminders, and who is responsible for it."""

    notice: Notice
    reminders: Reminders
    responsible: tuple[Responsible, ...]
    corrects: str | None = None
    """The announcement that does not hold, where this one corrects it."""

    @property
    def event(self) -> str:
        return self.notice.cause


def current(announcements: Sequence[Announcement], day: date) -> list[Announcement]:
    """Of what was announced since the last message, what is to be told on a day: no reminder of a day that is past, and neither a
    correction nor what it corrects, if nobody was told of it yet."""
    known = {one.event for one in announcements}
    taken_back = {one.corrects for one in announcements if one.corrects in known}
    return [
        one
        for one in announcements
        if one.event not in taken_back
        and (one.corrects is None or one.corrects not in taken_back)
        and (one.notice.kind != "deadline-approaching" or one.notice.day == day)
    ]


def recipients(
    kind: NoticeKind, working_days: int | None, reminders: Reminders, responsible: Collection[str], officers: Officers
) -> list[str]:
    """Who in the school is told of an announcement, each once."""
    directors = officers["director"]
    match kind:
        case "deadline-approaching" if reminders != "person":
            told = _responsible(responsible, officers)
        case "step-overdue" if reminders == "recurring":
            told = [*directors]
        case "step-overdue" if reminders != "person" and working_days == DIRECTOR_TOLD_WD:
            told = [*_responsible(responsible, officers), *directors]
        case "deadline-approaching" | "step-overdue":
            told = []
        case "step-completed" | "step-reopened" | "completion-corrected" | "reopening-corrected":
            told = [*directors]
    return list(dict.fromkeys(told))


def in_school(announcements: Iterable[Announcement], officers: Officers) -> dict[str, tuple[Notice, ...]]:
    """What each person of a school is told, by id: what is overdue first, then what is near, then the news."""
    told = defaultdict[str, list[Notice]](list)
    for one in announcements:
        for person in recipients(one.notice.kind, one.notice.working_days, one.reminders, one.responsible, officers):
            told[person].append(one.notice)
    return {person: tuple(sorted(notices, key=_urgency)) for person, notices in told.items()}


def of_people(
    due: PeopleDue, officers: Officers, teachers: Mapping[str, Sequence[str]]
) -> tuple[dict[str, tuple[OwnDate, ...]], dict[str, tuple[ClassNotice, ...]]]:
    """What each person is told of the own date, and what those are told who look after classes (`teachers` by class): how many are late.

    Once it has been long, that is for the coordinators alone.
    """
    own, classes = defaultdict[str, tuple[OwnDate, ...]](tuple), defaultdict[str, tuple[ClassNotice, ...]](tuple)
    for one in due.near:
        own[one.person] += (OwnDate(step=one.step, due=one.due, working_days=one.working_days),)
    for late in due.overdue:
        told = _responsible(["administrator"], officers)
        if late.working_days == DIRECTOR_TOLD_WD and late.class_id is not None:
            told += teachers.get(late.class_id, ())
        for person in dict.fromkeys(told):
            notice = ClassNotice(step=late.step, class_id=late.class_id, working_days=late.working_days, people=late.people)
            classes[person] += (notice,)
    return own, classes


class SchoolOverdue(NamedTuple):
    """A step that stays overdue in a school."""

    school: str
    plan: str
    step: int


def counted(overdue: Iterable[SchoolOverdue]) -> tuple[StepCount, ...]:
    """What a manager is told: by plan and step, in how many schools, and which are the first of them."""
    schools = defaultdict[tuple[str, int], set[str]](set)
    for one in overdue:
        schools[one.plan, one.step].add(one.school)
    return tuple(
        StepCount(plan=plan, step=step, schools=len(found), listed=tuple(sorted(found)[:MOST_LISTED]))
        for (plan, step), found in sorted(schools.items())
    )


_RANK: Final[Mapping[NoticeKind, int]] = {
    "step-overdue": 0,
    "deadline-approaching": 1,
    "step-reopened": 2,
    "completion-corrected": 3,
    "reopening-corrected": 4,
    "step-completed": 5,
}


def _urgency(notice: Notice) -> tuple[int, date, int]:
    return _RANK[notice.kind], notice.due or notice.day or date.min, notice.step


def _responsible(roles: Collection[str], officers: Officers) -> list[str]:
    """Those in the school who answer for a step. Where it has no coordinator yet, the director does for the administrator (DOMAIN 6)."""
    found: list[str] = []
    for role in roles:
        match role:
            case "director":
                found += officers["director"]
            case "administrator":
                found += officers["coordinator"] or officers["director"]
            case "class_teacher":
                found += officers["class_teacher"]
            case _:
                pass  # staff, pupils and guardians have dates of their own
    return found
