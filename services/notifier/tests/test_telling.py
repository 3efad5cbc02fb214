"""Whom an announcement concerns, and what of it is told."""

from datetime import date, timedelta

import pytest

from contracts.notifier import Notice, NoticeKind, OwnDate
from contracts.plan import ClassOverdue, PeopleDue, PersonDue, Reminders
from notifier.domain.telling import MOST_LISTED, Announcement, Office, SchoolOverdue, counted, current, in_school, of_people, recipients

DAY = date(2015, 9, 2)
NOBODY: dict[Office, list[str]] = {"director": [], "coordinator": [], "class_teacher": []}
DIRECTOR_ALONE: dict[Office, list[str]] = {"director": ["d"], "coordinator": [], "class_teacher": []}
FULL: dict[Office, list[str]] = {"director": ["d"], "coordinator": ["a", "b"], "class_teacher": ["t", "u"]}
DIRECTOR_WHO_COORDINATES: dict[Office, list[str]] = {"director": ["d"], "coordinator": ["d"], "class_teacher": []}


@pytest.mark.parametrize(
    ("kind", "working_days", "responsible", "told"),
    [
        ("deadline-approaching", 5, ["director"], ["d"]),
        ("deadline-approaching", 0, ["administrator"], ["a", "b"]),
        ("deadline-approaching", 3, ["administrator", "class_teacher"], ["a", "b", "t", "u"]),
        ("deadline-approaching", 3, ["staff", "pupil", "guardian"], []),
        ("step-overdue", 1, ["director"], ["d"]),
        ("step-overdue", 1, ["administrator"], ["a", "b", "d"]),
        ("step-overdue", 3, ["administrator"], []),
        ("step-overdue", 5, ["administrator"], []),
        ("step-completed", None, [], ["d"]),
        ("step-reopened", None, [], ["d"]),
        ("completion-corrected", None, [], ["d"]),
        ("reopening-corrected", None, [], ["d"]),
    ],
)
def test_the_responsible_are_told_of_a_date_and_the_director_too_once_it_has_passed(
    kind: NoticeKind, working_days: int | None, responsible: list[str], told: list[str]
) -> None:
    assert recipients(kind, working_days, "default", responsible, FULL) == told


@pytest.mark.parametrize("holders", [DIRECTOR_ALONE, DIRECTOR_WHO_COORDINATES])
@pytest.mark.parametrize(("kind", "working_days"), [("deadline-approaching", 3), ("step-overdue", 1)])
def test_who_answers_for_everything_is_told_once(kind: NoticeKind, working_days: int, holders: dict[Office, list[str]]) -> None:
    assert recipients(kind, working_days, "default", ["administrator"], holders) == ["d"]


def test_a_school_without_officers_has_nobody_to_tell() -> None:
    assert recipients("step-overdue", 1, "default", ["administrator"], NOBODY) == []


@pytest.mark.parametrize("kind", ["deadline-approaching", "step-overdue"])
def test_a_step_in_which_each_person_has_an_own_date_is_told_to_no_office(kind: NoticeKind) -> None:
    assert recipients(kind, 1, "person", ["administrator", "staff"], FULL) == []
    assert recipients("step-completed", None, "person", ["staff"], FULL) == ["d"]


def test_that_something_recurring_was_missed_is_told_to_the_director_alone() -> None:
    assert recipients("deadline-approaching", 0, "recurring", ["administrator"], FULL) == ["a", "b"]
    assert recipients("step-overdue", 1, "recurring", ["administrator"], FULL) == ["d"]


def announced(
    event: str, kind: NoticeKind, step: int = 4, *, day: date = DAY, working_days: int | None = None, corrects: str | None = None
) -> Announcement:
    due = None if working_days is None else day + timedelta(days=working_days if kind == "deadline-approaching" else -working_days)
    reminders: Reminders = "default"
    notice = Notice(kind=kind, step=step, day=day, due=due, working_days=working_days, cause=event)
    return Announcement(notice, reminders, ("administrator",), corrects)


def test_people_are_told_of_their_own_dates_and_those_who_look_after_them_how_many_are_late() -> None:
    near = PersonDue(step=19, person="p-1", due=DAY, working_days=0)
    late = [
        ClassOverdue(step=19, class_id=class_id, working_days=working_days, people=people)
        for class_id, working_days, people in (("7a", 1, 3), (None, 1, 2), ("7b", 5, 1))
    ]
    own, classes = of_people(PeopleDue(near=(near,), overdue=tuple(late)), FULL, {"7a": ["t"], "7b": ["u"]})
    assert own == {"p-1": (OwnDate(step=19, due=DAY, working_days=0),)}
    counts = {person: [(one.class_id, one.working_days, one.people) for one in told] for person, told in classes.items()}
    assert counts == {"a": [("7a", 1, 3), (None, 1, 2), ("7b", 5, 1)], "b": [("7a", 1, 3), (None, 1, 2), ("7b", 5, 1)], "t": [("7a", 1, 3)]}


def test_of_reminders_only_those_of_the_day_itself_are_told() -> None:
    yesterday, tomorrow = DAY - timedelta(days=1), DAY + timedelta(days=1)
    found = [announced(f"e-{day}", "deadline-approaching", day=day, working_days=1) for day in (yesterday, DAY, tomorrow)]
    assert current(found, DAY) == [found[1]]
    late = [announced("e-1", "step-overdue", day=yesterday, working_days=1), announced("e-2", "step-completed", day=yesterday)]
    assert current(late, DAY) == late


def test_what_was_corrected_before_anybody_was_told_is_not_told_and_neither_is_the_correction() -> None:
    wrong = announced("e-1", "step-completed")
    correction = announced("e-2", "completion-corrected", corrects="e-1")
    again = announced("e-3", "step-completed")
    assert current([wrong, correction, again], DAY) == [again]
    assert current([correction, again], DAY) == [correction, again]


def test_each_is_told_what_is_overdue_first_then_what_is_near_by_date_then_the_news() -> None:
    news = announced("e-1", "step-completed", 2)
    later = announced("e-2", "deadline-approaching", 3, working_days=3)
    sooner = announced("e-3", "deadline-approaching", 5, working_days=1)
    overdue = announced("e-4", "step-overdue", 6, working_days=1)
    told = in_school([news, later, sooner, overdue], FULL)
    assert {person: [one.step for one in notices] for person, notices in told.items()} == {"a": [6, 5, 3], "b": [6, 5, 3], "d": [6, 2]}


def test_a_manager_is_told_in_how_many_schools_a_step_is_overdue_and_which_are_the_first() -> None:
    many = [SchoolOverdue(f"s-{n:03}", "portal", 4) for n in range(MOST_LISTED + 10)]
    found = counted([*reversed(many), *many, SchoolOverdue("s-1", "portal", 2)])
    assert [(one.step, one.schools) for one in found] == [(2, 1), (4, MOST_LISTED + 10)]
    assert found[1].listed == tuple(one.school for one in many[:MOST_LISTED])


def test_the_same_number_is_another_step_in_another_plan() -> None:
    found = counted([SchoolOverdue("s-1", "portal", 10), SchoolOverdue("s-2", "meals", 10)])
    assert [(one.plan, one.step, one.listed) for one in found] == [("meals", 10, ("s-2",)), ("portal", 10, ("s-1",))]
