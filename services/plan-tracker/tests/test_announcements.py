"""What there is to announce of a plan that starts on Monday 17.08.2015, day by day, and what has to be corrected."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from contracts.plan import AnnouncementCorrected, DeadlineApproaching, StepBecameOverdue, StepCompleted, StepReopened
from plan_tracker.domain.announcements import Announced, announcements, changes, corrections, notices, said, unsaid
from plan_tracker.domain.days import Days
from plan_tracker.domain.deadlines import Due, RelativeAnchor, live_with_reasons
from plan_tracker.domain.plan import load_plan
from plan_tracker.domain.progress import Adoption, Progress
from plan_tracker.domain.timeline import Periods, Timeline
from workdays import russian_calendar

PLAN = load_plan("mo-2015-school-portal")
CALENDAR = russian_calendar(range(2014, 2021), 5)
MONDAY = date(2015, 8, 17)
DAY = timedelta(days=1)


def aug(day: int) -> date:
    return date(2015, 8, day)


def sep(day: int) -> date:
    return date(2015, 9, day)


def school(
    done: Mapping[int, tuple[date, ...]] | None = None, *, adopted: date = MONDAY, anchor: RelativeAnchor = "after_predecessors"
) -> Progress:
    """A school whose steps were done and reopened, in turn, on the given days."""

    def timeline(days: tuple[date, ...]) -> Timeline:
        ends: Days = tuple(day.toordinal() for day in days)
        return Timeline(ends, tuple((n + 1) % 2 for n in range(len(ends))), (1,) * len(ends), ends)

    adoption = Adoption(adopted, PLAN, 1, MONDAY, anchor, CALENDAR, {})
    return Progress(adoption, {step.n: timeline((done or {}).get(step.n, ())) for step in PLAN.steps})


def said_on(progress: Progress, day: date, received: date | None = None) -> list[DeadlineApproaching | StepBecameOverdue]:
    """The timed notices of a day."""
    adoption, yesterday = progress.adoption, day - DAY
    dues = live_with_reasons(
        adoption.reckoning,
        today=yesterday,
        first_completed=progress.term_began(yesterday),
        received_last={19: received} if received else {},
    )
    return list(notices(progress, dues, day))


def near(progress: Progress, step: int, first: date = MONDAY, days: int = 60, received: date | None = None) -> list[tuple[date, date, int]]:
    """On which days a step is announced to be near, each with its date and the working days that are left."""
    return [
        (event.day, event.due, event.working_days)
        for n in range(days)
        for event in said_on(progress, first + n * DAY, received)
        if isinstance(event, DeadlineApproaching) and event.step == step
    ]


def overdue(progress: Progress, step: int, on: date) -> StepBecameOverdue | None:
    return next((event for event in said_on(progress, on) if isinstance(event, StepBecameOverdue) and event.step == step), None)


def overdue_days(progress: Progress, step: int) -> list[tuple[date, int]]:
    """On which days it is said, on the day itself, that a step is overdue, and how many working days it is then."""
    return [
        (event.day, event.working_days)
        for n in range(60)
        for event in said_on(progress, MONDAY + n * DAY)
        if isinstance(event, StepBecameOverdue) and event.step == step and event.day == MONDAY + n * DAY
    ]


# Dates that come near.


def test_a_step_of_one_working_day_is_announced_as_its_term_begins_and_on_the_day() -> None:
    assert near(school(), 4) == [(aug(18), aug(18), 0)]  # which are the same
    assert near(school({4: (aug(21),)}), 7) == [(aug(22), aug(24), 1), (aug(24), aug(24), 0)]  # a Friday; due on Monday


def test_a_term_begins_with_the_day_on_which_the_step_before_it_was_first_done() -> None:
    assert near(school(), 7) == []
    assert near(school({4: (aug(18),)}), 7) == [(aug(19), aug(19), 0)]
    assert near(school({4: (aug(18), aug(20))}), 7) == [(aug(19), aug(19), 0)]


def test_a_merged_row_is_announced_with_the_row_it_was_merged_into() -> None:
    assert near(school({7: (aug(19),)}), 12) == [(aug(20), aug(20), 0)]
    assert near(school({14: (aug(24),)}), 16) == near(school({14: (aug(24),)}), 15) == [(aug(25), aug(25), 0)]


def test_a_longer_term_is_announced_three_working_days_before_its_end_and_one_and_on_the_day() -> None:
    assert near(school({14: (aug(24),)}), 18) == [(sep(2), sep(7), 3), (sep(4), sep(7), 1), (sep(7), sep(7), 0)]


def test_a_date_on_a_day_off_is_announced_so_many_days_before_as_any_other_and_today_on_the_day_alone() -> None:
    saturday = date(2015, 10, 31)
    progress = school()
    dues = {step.n: Due(saturday if step.n == 21 else None, "fixed") for step in PLAN.steps}
    found = [event for n in range(20) for event in notices(progress, dues, date(2015, 10, 20) + n * DAY)]
    told = [(event.day, event.working_days) for event in found if isinstance(event, DeadlineApproaching)]
    assert told == [(date(2015, 10, 26), 5), (date(2015, 10, 30), 1), (saturday, 0)]


def test_a_directors_step_is_announced_five_working_days_before_and_one_and_on_the_day() -> None:
    assert near(school(), 2) == [(aug(18), aug(25), 5), (aug(24), aug(25), 1), (aug(25), aug(25), 0)]
    assert near(school(), 3) == [(sep(8), sep(15), 5), (sep(14), sep(15), 1), (sep(15), sep(15), 0)]


FIRST_FRIDAY = date(2015, 8, 28)


def weekly(*checked: date, from_friday: date | None = FIRST_FRIDAY) -> Progress:
    """A school whose step 20 has weeks that end on Fridays, and was done on the given days."""
    weeks = Periods(from_friday.toordinal() if from_friday else None, tuple(day.toordinal() for day in checked))
    progress = school()
    return replace(progress, timelines={**progress.timelines, 20: weeks})


def test_what_recurs_is_announced_on_the_last_day_of_each_week_in_which_it_was_not_done() -> None:
    assert [day for day, _, _ in near(weekly(), 20, days=30)] == [aug(28), sep(4), sep(11)]
    assert near(weekly(sep(1), sep(3)), 20, days=20) == [(aug(28), aug(28), 0)]
    assert near(weekly(from_friday=None), 20) == []


def test_what_recurs_is_overdue_once_two_weeks_running_were_missed_and_once_for_all_that_follow() -> None:
    assert overdue_days(weekly(), 20) == [(sep(7), 1)]
    assert overdue_days(weekly(aug(25), sep(17)), 20) == [(sep(14), 1), (date(2015, 10, 5), 1)]
    assert overdue_days(weekly(aug(25), sep(8)), 20) == [(sep(28), 1)]
    late = overdue(weekly(), 20, on=sep(10))
    assert late is not None
    assert (late.day, late.due) == (sep(7), sep(4))


def test_a_step_with_a_fixed_date_waits_for_no_other() -> None:
    assert near(school(), 21) == [(sep(8), sep(15), 5), (sep(14), sep(15), 1), (sep(15), sep(15), 0)]


def test_with_terms_from_the_plans_start_no_step_waits_but_where_the_source_says_so() -> None:
    assert near(school(anchor="plan_start"), 15) == [(aug(18), aug(18), 0)]
    assert near(school(anchor="plan_start"), 18) == []


def test_a_step_that_was_done_is_not_announced_any_more() -> None:
    assert near(school({14: (aug(24),), 18: (sep(3),)}), 18) == [(sep(2), sep(7), 3)]
    assert near(school({14: (aug(24),), 18: (aug(31), sep(1))}), 18) == []


def test_what_runs_from_each_persons_own_receipt_is_announced_by_the_latest() -> None:
    assert near(school(), 19) == []
    assert near(school(), 19, received=sep(1)) == [(sep(10), sep(15), 3), (sep(14), sep(15), 1), (sep(15), sep(15), 0)]


# Dates that have passed.


def test_a_step_is_overdue_on_the_first_day_after_its_date_and_not_before() -> None:
    assert overdue(school(), 2, on=aug(25)) is None
    assert overdue(school(), 2, on=aug(26)) == StepBecameOverdue(
        step=2, revision=1, day=aug(26), due=aug(25), working_days=1, reminders="director", responsible=("director",)
    )


def test_a_step_is_overdue_again_three_and_five_working_days_after_its_date_while_it_is_not_done() -> None:
    assert overdue_days(school(), 2) == [(aug(26), 1), (aug(28), 3), (sep(1), 5)]  # due on a Tuesday
    assert overdue_days(school({2: (aug(31),)}), 2) == [(aug(26), 1), (aug(28), 3)]
    assert overdue_days(school({4: (aug(20),)}), 7) == [(aug(24), 1), (aug(26), 3), (aug(28), 5)]  # due on a Friday


def test_that_a_date_has_passed_is_said_later_in_the_same_words() -> None:
    assert overdue(school(), 2, on=sep(15)) == overdue(school(), 2, on=aug(26))


def test_a_step_done_in_time_or_done_and_reopened_is_not_overdue() -> None:
    assert overdue(school({2: (aug(25),)}), 2, on=aug(26)) is None
    assert overdue(school({2: (aug(20), aug(24))}), 2, on=aug(26)) is None


def test_a_step_that_waits_for_another_is_not_overdue_however_late_that_one_is() -> None:
    assert [event.step for event in said_on(school(), sep(30)) if isinstance(event, StepBecameOverdue)] == [2, 3, 4, 5, 6, 21]


def test_what_was_overdue_when_the_plan_was_adopted_is_announced_to_nobody() -> None:
    late = school(adopted=sep(7))
    said_then = [event for n in range(30) for event in said_on(late, sep(8) + n * DAY)]
    assert {event.step for event in said_then} == {3, 5, 21}


# What is not said any more.


def test_a_notice_whose_day_is_over_is_not_said_but_that_a_date_has_passed() -> None:
    events = [*said_on(school(), aug(18)), *said_on(school(), aug(26)), *said_on(school(), aug(28))]
    assert [(event.step, event.day) for event in unsaid(events, Announced(), sep(2))] == [(2, aug(26)), (4, aug(19)), (6, aug(19))] * 2
    assert list(unsaid(said_on(school(), aug(18)), Announced(), aug(18))) == said_on(school(), aug(18))


def test_that_a_date_has_passed_is_said_once_whenever_it_is_learned() -> None:
    first = overdue(school(), 2, on=aug(26))
    assert first is not None
    announced = Announced({said(first): "e-1"}, overdue={(2, aug(25))})
    as_an_older_program_said_it = Announced(overdue={(2, aug(25))})
    assert list(unsaid([first], announced, aug(26))) == list(unsaid([first], as_an_older_program_said_it, aug(31))) == []
    third = overdue(school(), 2, on=aug(28))
    assert list(unsaid([third], announced, aug(28)) if third else ()) == []


def test_a_completion_is_news_however_late_it_is_learned() -> None:
    completed = changes(school({4: (aug(18),)}), aug(18))
    assert list(unsaid(completed, Announced(), sep(30))) == completed


# Completions, reopenings, and what they were believed to be.


def test_completions_and_reopenings_are_told_from_the_adoption_on() -> None:
    progress = school({4: (aug(14), aug(19), aug(21)), 6: (aug(17),)})
    assert changes(progress, aug(20)) == [StepCompleted(step=6, revision=1, day=aug(17)), StepReopened(step=4, revision=1, day=aug(19))]


def test_a_fact_that_arrives_late_corrects_what_was_announced_and_announces_what_is_true() -> None:
    announced = Announced({said(event): f"e-{event.day}" for event in changes(school({4: (aug(20),)}), aug(21))})
    known_now = school({4: (aug(18),)})
    assert corrections(known_now, announced, aug(21)) == [
        AnnouncementCorrected(corrects="e-2015-08-20", step=4, revision=1, kind="step-completed", day=aug(20))
    ]
    assert [event.day for event in changes(known_now, aug(21)) if said(event) not in announced.holding] == [aug(18)]


def test_an_announcement_that_still_holds_is_not_corrected_and_a_notice_never() -> None:
    progress = school({4: (aug(18),)})
    told = [*changes(progress, aug(21)), *said_on(school(), aug(18)), *said_on(school(), aug(26))]
    announced = Announced({said(event): "e-1" for event in told})
    assert corrections(progress, announced, aug(26)) == []


# Saying it.


@given(st.lists(st.sampled_from(["completed", "overdue", "corrected"]), max_size=8))
def test_saying_it_twice_yields_nothing(words: list[str]) -> None:
    commands = {
        "completed": StepCompleted(step=4, revision=1, day=aug(18)),
        "overdue": StepBecameOverdue(
            step=4, revision=1, day=aug(19), due=aug(18), working_days=1, reminders="one_day", responsible=("director",)
        ),
        "corrected": AnnouncementCorrected(corrects="e-1", step=4, revision=1, kind="step-completed", day=aug(18)),
    }
    state = announcements.initial
    for word in words:
        state = announcements.fold(announcements.decide(commands[word], state), state)
        assert announcements.decide(commands[word], state) == []


def test_what_was_corrected_can_be_announced_again() -> None:
    completed = StepCompleted(step=4, revision=1, day=aug(18))
    corrected = AnnouncementCorrected(corrects="e-1", step=4, revision=1, kind="step-completed", day=aug(18))
    assert announcements.decide(completed, announcements.fold([completed, corrected])) == [completed]


def test_nothing_is_corrected_that_was_not_announced() -> None:
    corrected = AnnouncementCorrected(corrects="e-1", step=4, revision=1, kind="step-completed", day=aug(18))
    assert announcements.decide(corrected, announcements.initial) == []
