"""The board and its explanations as a person reads them."""

from __future__ import annotations

from datetime import date
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from contracts.plan import Board, CountingEvent, DueReason, Explanation, RegionRow, StepRow
from vekha import board

DAY = date(2015, 9, 1)


def shown(what: RenderableType) -> str:
    console = Console(file=StringIO(), width=150)
    console.print(what)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def explained(reason: DueReason) -> str:
    return next(line for line in shown(board.explanation(explanation(reason))).splitlines() if line.startswith("Due  "))


def explanation(reason: DueReason) -> Explanation:
    row = StepRow(
        step=21,
        state="not_started",
        done=0,
        total=1,
        late=0,
        due=reason.due,
        deadline="on_track",
        due_live=reason.due,
        deadline_live="on_track",
        first_completed_on=None,
        completed_on=None,
        blocked_by=(),
        suppressed=False,
    )
    return Explanation(
        school="school-7",
        step=21,
        plan="mo-2015-school-portal",
        revision=1,
        rules=1,
        calendar="0" * 64,
        incomplete=False,
        title_ru="Шаг",
        title_en="A step",
        deadline_ru="до 15 сентября",
        granted=None,
        as_of=DAY,
        at={},
        row=row,
        rule="what counts",
        rule_ru="что считается",
        events=(),
        events_total=1,
        missing=(),
        missing_total=0,
        timeline=(),
        baseline=reason,
        live=reason,
    )


def event(position: int, what: str, *, annulled: bool = False) -> CountingEvent:
    return CountingEvent(service="roster", position=position, type=f"roster.{what}.v1", happened_on=DAY, annulled=annulled)


def test_what_never_was_true_does_not_count_and_is_shown_apart_from_what_does() -> None:
    events = (event(3, "pupil-enrolled", annulled=True), event(8, "entry-annulled"), event(9, "import-rolled-back"))
    never = explanation(DueReason(due=None, rule="every week"))
    told = shown(board.explanation(never.model_copy(update={"events": events, "events_total": 3, "annulled_total": 1}))).splitlines()
    assert [line.strip() for line in told[-4:]] == [
        "Counting  1 event, the newest 1:",
        "roster 9: roster.import-rolled-back.v1, on 2015-09-01",
        "Annulled  1 event, the newest 1:",
        "roster 3: roster.pupil-enrolled.v1, on 2015-09-01",
    ]


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (
            DueReason(due=date(2015, 9, 15), rule="a fixed date", anchor_day=date(2015, 9, 15)),
            "2015-09-15: a fixed date",
        ),
        (
            DueReason(due=date(2015, 9, 14), rule="a fixed date", anchor_day=date(2015, 9, 12)),
            "2015-09-14: a fixed date, 2015-09-12",
        ),
        (
            DueReason(due=date(2015, 8, 18), rule="1 working day after the start", anchor_day=date(2015, 8, 17), working_days=1),
            "2015-08-18: 1 working day after the start, counted from 2015-08-17",
        ),
        (
            DueReason(due=date(2015, 9, 1), rule="extended to 2015-09-01; without that on 2015-08-18, 1 working day after the start"),
            "2015-09-01: extended to 2015-09-01; without that on 2015-08-18, 1 working day after the start",
        ),
        (DueReason(due=None, rule="every week, again and again"), "never: every week, again and again"),
    ],
)
def test_a_due_date_is_explained_by_the_day_that_it_was_counted_from_and_by_no_other(reason: DueReason, text: str) -> None:
    assert explained(reason).split(None, 1)[1].strip() == text


def test_the_region_counts_its_schools_in_words_and_says_how_many_are_left_out_of_the_sums() -> None:
    row = RegionRow(step=8, states={"in_progress": 1}, done=0, total=0, overdue=0)
    region = Board(as_of=DAY, at={}, schools=1, incomplete=0, steps=(row,))
    table = shown(board.board_table(region, 150))
    assert "The region, 1 school, at" in table
    assert "too few to tell" not in table
    hidden = region.model_copy(update={"steps": (row.model_copy(update={"suppressed": 1}),), "schools": 2})
    assert "The region, 2 schools, at" in shown(board.board_table(hidden, 150))
    assert "without 1 school" in shown(board.board_table(hidden, 150))


@pytest.mark.parametrize(("done", "shown_as"), [(None, "hidden"), (1674, "1674/1678")])
def test_only_a_count_that_could_tell_people_apart_is_hidden(done: int | None, shown_as: str) -> None:
    row = StepRow(
        step=9,
        state="in_progress",
        done=done,
        total=done and 1678,
        late=None,
        due=None,
        deadline="none",
        due_live=None,
        deadline_live="none",
        first_completed_on=None,
        completed_on=None,
        blocked_by=(),
        suppressed=True,
    )
    told = shown(board.board_table(Board(school="school-7", as_of=DAY, at={}, incomplete=False, steps=(row,)), 150))
    assert shown_as in told
    assert told.count("hidden") == (2 if done is None else 1)
    assert "under" not in told
