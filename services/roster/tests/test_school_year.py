"""What a school year needs (steps 3, 5, 9–11, 15, 16, 20): what follows from each act, what changes nothing, and what its gates refuse."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from contracts.event import Event
from contracts.roster import (
    AcademicYearRolledOver,
    BellScheduleDefined,
    BellScheduleDeleted,
    ClassClosed,
    ClassCreated,
    ClassDeclared,
    DataIssueOpened,
    DataIssueResolved,
    IssueKind,
    Lesson,
    LessonTime,
    Period,
    PupilAssignedToClass,
    PupilEnrolled,
    PupilLeft,
    PupilMoved,
    ReferenceListCleared,
    ReferenceListFilled,
    ReportingPeriodsDefined,
    RosterDataVerified,
    Seat,
    SeatHolder,
    TimetablePublished,
    TimetableWithdrawn,
    VerificationLapsed,
    WorkplacesDeclared,
)
from eventkit.decider import Decider, Refused
from eventkit.testing import given
from roster.domain import check, classes, pupil
from roster.domain.bells import BELLS, Bells, DefineBells, DeleteBells
from roster.domain.check import CHECK, REGULAR_CHECK, Issue, VerifySchool
from roster.domain.classes import CLASS, SchoolClass
from roster.domain.digest import canonical, digest
from roster.domain.lists import LIST, Clear, Fill
from roster.domain.periods import PARALLEL, DefinePeriods
from roster.domain.pupil import PUPIL
from roster.domain.timetable import REQUIRED_LISTS, TIMETABLE, Entered, Publish, Withdraw, in_order
from roster.domain.workplaces import WORKPLACES, DeclareWorkplaces
from roster.domain.years import YEAR, RollOverYear

DAY = date(2015, 8, 24)

# -- workplaces (step 5) -------------------------------------------------------------------------------------------------------------------


def test_workplaces_are_declared_when_their_numbers_change():
    declared = WorkplacesDeclared(online=38, total=42)
    given(WORKPLACES).when(DeclareWorkplaces(38, 42)).then(declared)
    given(WORKPLACES, declared).when(DeclareWorkplaces(38, 42)).then_nothing_happens()
    given(WORKPLACES, declared).when(DeclareWorkplaces(42, 42)).then(WorkplacesDeclared(online=42, total=42))


def test_more_workplaces_online_than_there_are_is_refused():
    given(WORKPLACES).when(DeclareWorkplaces(43, 42)).then_refused("workplaces.too-many-online")


# -- reporting periods (step 9) ------------------------------------------------------------------------------------------------------------


def periods(*days: tuple[str, str]) -> tuple[Period, ...]:
    return tuple(Period(begins=date.fromisoformat(begins), ends=date.fromisoformat(ends)) for begins, ends in days)


QUARTERS = periods(("2015-09-01", "2015-11-08"), ("2015-11-09", "2016-01-10"), ("2016-01-11", "2016-03-31"), ("2016-04-01", "2016-05-31"))
HALVES = periods(("2015-09-01", "2016-01-10"), ("2016-01-11", "2016-05-25"))


def define(what: Sequence[Period], academic_year: str = "2015/2016") -> DefinePeriods:
    return DefinePeriods(5, academic_year, tuple(what))


def defined(what: Sequence[Period]) -> ReportingPeriodsDefined:
    return ReportingPeriodsDefined(grade=5, academic_year="2015/2016", periods=tuple(what))


def test_periods_are_defined_once_and_others_anew():
    given(PARALLEL).when(define(QUARTERS)).then(defined(QUARTERS))
    given(PARALLEL, defined(QUARTERS)).when(define(QUARTERS)).then_nothing_happens()
    given(PARALLEL, defined(QUARTERS)).when(define(HALVES)).then(defined(HALVES))
    given(PARALLEL, defined(QUARTERS), defined(HALVES)).when(define(QUARTERS)).then(defined(QUARTERS))


@pytest.mark.parametrize(
    ("days", "code"),
    [
        ([("2015-09-01", "2015-11-08"), ("2015-11-08", "2016-05-31")], "periods.overlap"),
        ([("2016-01-11", "2016-05-31"), ("2015-09-01", "2016-01-10")], "periods.overlap"),
        ([("2015-09-01", "2015-11-01"), ("2015-11-09", "2016-05-31")], "periods.gap"),
        ([("2015-09-01", "2015-08-31")], "periods.reversed"),
        ([("2015-09-08", "2016-05-31")], "periods.year-not-covered"),
        ([("2015-07-31", "2016-05-31")], "periods.year-not-covered"),
        ([("2015-09-01", "2016-05-19")], "periods.year-not-covered"),
        ([("2015-09-01", "2016-09-01")], "periods.year-not-covered"),
        ([("2014-09-01", "2015-05-31")], "periods.year-not-covered"),
    ],
)
def test_periods_that_do_not_cover_the_year_one_after_another_are_refused(days: list[tuple[str, str]], code: str):
    given(PARALLEL).when(define(periods(*days))).then_refused(code)


@pytest.mark.parametrize("days", [("2015-09-07", "2016-05-20"), ("2015-08-01", "2016-08-31")])
def test_the_first_and_last_days_that_cover_a_year_are_accepted(days: tuple[str, str]):
    given(PARALLEL).when(define(periods(days))).then(defined(periods(days)))


def test_a_year_is_two_years_that_follow_each_other():
    given(PARALLEL).when(define(QUARTERS, "2015/2017")).then_refused("periods.year-malformed")


@st.composite
def any_periods(draw: st.DrawFn) -> list[Period]:
    """Mostly contiguous periods near those of 2015/2016; a bound is sometimes a day or some days off."""
    begins = date(2015, 9, 1) + timedelta(days=draw(st.integers(-40, 12)))
    ends = date(2016, 5, 25) + timedelta(days=draw(st.integers(-12, 110)))
    cuts = sorted(draw(st.lists(st.dates(begins, ends - timedelta(days=1)), max_size=4, unique=True)))
    bounds = [begins - timedelta(days=1), *cuts, ends]
    off = st.sampled_from([0] * 12 + [-1, 1, 7])
    return [
        Period(begins=before + timedelta(days=1 + draw(off)), ends=last + timedelta(days=draw(off))) for before, last in pairwise(bounds)
    ]


@for_all(any_periods())
def test_periods_are_accepted_if_and_only_if_they_are_contiguous_and_cover_the_year(what: list[Period]):
    days = [period.begins + timedelta(days=n) for period in what for n in range((period.ends - period.begins).days + 1)]
    upright = all(period.begins <= period.ends for period in what)
    contiguous = all(after - before == timedelta(days=1) for before, after in pairwise(days))
    covering = bool(days) and date(2015, 8, 1) <= days[0] <= date(2015, 9, 7) and date(2016, 5, 20) <= days[-1] <= date(2016, 8, 31)
    if upright and contiguous and covering:
        given(PARALLEL).when(define(what)).then(defined(what))
    else:
        assert given(PARALLEL).when(define(what)).refused is not None


# -- bell schedules (step 10) --------------------------------------------------------------------------------------------------------------


def bells(*times: tuple[str, str]) -> tuple[LessonTime, ...]:
    return tuple(LessonTime(begins=begins, ends=ends) for begins, ends in times)


TWO = bells(("08:30", "09:15"), ("09:25", "10:10"))
RINGING = BellScheduleDefined(shift=1, lessons=TWO)
SILENT = BellScheduleDeleted(shift=1)


def test_bells_are_defined_once_deleted_once_and_defined_again():
    given(BELLS).when(DefineBells(1, TWO)).then(RINGING)
    given(BELLS, RINGING).when(DefineBells(1, TWO)).then_nothing_happens()
    given(BELLS, RINGING).when(DeleteBells(1)).then(SILENT)
    given(BELLS, RINGING, SILENT).when(DeleteBells(1)).then_nothing_happens()
    given(BELLS, RINGING, SILENT).when(DefineBells(1, TWO)).then(RINGING)


def test_other_bells_take_the_place_of_those_before():
    given(BELLS, RINGING).when(DefineBells(1, TWO[:1])).then(BellScheduleDefined(shift=1, lessons=TWO[:1]))


def test_bells_that_never_were_are_not_deleted():
    given(BELLS).when(DeleteBells(1)).then_refused("bells.missing")


def test_a_lesson_may_begin_when_the_one_before_ends_and_not_a_minute_sooner():
    touching = bells(("08:30", "09:15"), ("09:15", "10:00"))
    given(BELLS).when(DefineBells(1, touching)).then(BellScheduleDefined(shift=1, lessons=touching))
    given(BELLS).when(DefineBells(1, bells(("08:30", "09:15"), ("09:14", "10:00")))).then_refused("bells.overlap")
    given(BELLS).when(DefineBells(1, TWO[::-1])).then_refused("bells.overlap")


@pytest.mark.parametrize("ends", ["08:30", "08:29"])
def test_a_lesson_ends_after_it_begins(ends: str):
    given(BELLS).when(DefineBells(1, bells(("08:30", ends)))).then_refused("bells.reversed")


# -- reference lists (step 11) -------------------------------------------------------------------------------------------------------------

SUBJECTS = ("Алгебра", "Физика", "Окружающий мир")
FILLED = ReferenceListFilled(list="subjects", entries=3, sha256=digest('["Алгебра","Физика","Окружающий мир"]'))
CLEARED = ReferenceListCleared(list="subjects")


def test_a_list_is_filled_once_cleared_once_and_filled_again():
    given(LIST).when(Fill("subjects", SUBJECTS)).then(FILLED)
    given(LIST, FILLED).when(Fill("subjects", SUBJECTS)).then_nothing_happens()
    given(LIST, FILLED).when(Clear("subjects")).then(CLEARED)
    given(LIST, FILLED, CLEARED).when(Clear("subjects")).then_nothing_happens()
    given(LIST, FILLED, CLEARED).when(Fill("subjects", SUBJECTS)).then(FILLED)


def test_other_entries_take_the_place_of_those_before():
    fewer = ReferenceListFilled(list="subjects", entries=2, sha256=digest(canonical(SUBJECTS[:2])))
    given(LIST, FILLED).when(Fill("subjects", SUBJECTS[:2])).then(fewer)


def test_an_entry_is_given_once():
    given(LIST).when(Fill("subjects", (*SUBJECTS, "Физика"))).then_refused("list.entry-repeated")


def test_a_list_that_never_was_filled_is_not_cleared():
    given(LIST).when(Clear("subjects")).then_refused("list.never-filled")


# -- timetables (step 16) ------------------------------------------------------------------------------------------------------------------

CREATED = SchoolClass(declared=True, grade=5, academic_year="2015/2016", shift=1)
READY = Entered(
    CREATED, QUARTERS, Bells(TWO, defined=True), {**{name: frozenset({"x"}) for name in REQUIRED_LISTS}, "subjects": frozenset(SUBJECTS)}
)
LESSONS = (Lesson(weekday=1, number=1, subject="Алгебра", room="x"), Lesson(weekday=1, number=2, subject="Физика"))
FIRST_DAY = date(2015, 9, 1)


def publish(lessons: tuple[Lesson, ...] = LESSONS, entered: Entered = READY, valid_from: date = FIRST_DAY) -> Publish:
    return Publish("5a", valid_from, lessons, entered)


def published(lessons: tuple[Lesson, ...] = LESSONS, valid_from: date = FIRST_DAY) -> TimetablePublished:
    return TimetablePublished(class_id="5a", valid_from=valid_from, lessons=len(lessons), sha256=digest(in_order(lessons)))


WITHDRAWN = TimetableWithdrawn(class_id="5a")


def test_a_timetable_is_published_once_withdrawn_once_and_published_again():
    given(TIMETABLE).when(publish()).then(published())
    given(TIMETABLE, published()).when(publish()).then_nothing_happens()
    given(TIMETABLE, published()).when(publish(LESSONS[::-1])).then_nothing_happens()
    given(TIMETABLE, published()).when(Withdraw("5a")).then(WITHDRAWN)
    given(TIMETABLE, published(), WITHDRAWN).when(Withdraw("5a")).then_nothing_happens()
    given(TIMETABLE, published(), WITHDRAWN).when(publish()).then(published())


def test_another_timetable_or_another_first_day_is_published_anew():
    given(TIMETABLE, published()).when(publish(LESSONS[:1])).then(published(LESSONS[:1]))
    later = published(valid_from=date(2016, 1, 11))
    given(TIMETABLE, published()).when(publish(valid_from=later.valid_from)).then(later)


def test_what_never_was_published_is_not_withdrawn():
    given(TIMETABLE).when(Withdraw("5a")).then_refused("timetable.missing")


@pytest.mark.parametrize(
    ("entered", "code"),
    [
        (replace(READY, of_class=SchoolClass()), "class.not-declared"),
        (replace(READY, of_class=replace(CREATED, shift=None)), "class.not-created"),
        (replace(READY, of_class=replace(CREATED, closed=True)), "class.closed"),
        (replace(READY, periods=None), "periods.missing"),
        (replace(READY, bells=Bells()), "bells.missing"),
        (replace(READY, bells=Bells(None, defined=True)), "bells.missing"),
        *((replace(READY, lists={**READY.lists, name: frozenset[str]()}), "lists.missing") for name in REQUIRED_LISTS),
        (replace(READY, lists={}), "lists.missing"),
    ],
)
def test_a_timetable_needs_periods_bells_lists_and_a_created_class(entered: Entered, code: str):
    given(TIMETABLE).when(publish(entered=entered)).then_refused(code)


def test_a_refusal_names_the_lists_that_are_missing():
    lists = {name: entries for name, entries in READY.lists.items() if name not in ("rooms", "positions")}
    refused = given(TIMETABLE).when(publish(entered=replace(READY, lists=lists))).refused
    assert refused is not None
    assert "positions, rooms." in refused.text


@pytest.mark.parametrize(
    ("lesson", "code"),
    [
        (Lesson(weekday=2, number=3, subject="Физика"), "timetable.beyond-bells"),
        (Lesson(weekday=1, number=2, subject="Алгебра"), "timetable.slot-taken"),
        (Lesson(weekday=2, number=1, subject="Алхимия"), "timetable.subject-unknown"),
        (Lesson(weekday=2, number=1, subject="Физика", room="подвал"), "timetable.room-unknown"),
    ],
)
def test_a_lesson_has_a_place_of_its_own_a_subject_and_a_room_that_there_are(lesson: Lesson, code: str):
    refused = given(TIMETABLE).when(publish((*LESSONS, lesson)))
    refused.then_refused(code)
    assert refused.refused is not None
    assert lesson.subject not in refused.refused.text


def test_a_timetable_begins_before_the_year_is_over():
    given(TIMETABLE).when(publish(valid_from=date(2016, 5, 31))).then(published(valid_from=date(2016, 5, 31)))
    given(TIMETABLE).when(publish(valid_from=date(2016, 6, 1))).then_refused("timetable.after-year")


# -- the roll-over (step 15) ---------------------------------------------------------------------------------------------------------------

NEXT = replace(CREATED, grade=6, academic_year="2016/2017")
DECLARED_5A = ClassDeclared(class_id="5a", grade=5, letter="А", academic_year="2015/2016")
CREATED_5A = ClassCreated(class_id="5a", shift=1)
CLOSED_5A = ClassClosed(class_id="5a", rolled_over_to="6a")
OVER = classes.RollOver("5a", "6a", NEXT)


def test_a_class_that_is_rolled_over_is_closed_once():
    given(CLASS, DECLARED_5A, CREATED_5A).when(OVER).then(CLOSED_5A)
    given(CLASS, DECLARED_5A, CREATED_5A, CLOSED_5A).when(OVER).then_nothing_happens()


def test_a_class_that_was_rolled_over_is_not_rolled_over_to_another_one():
    refused = given(CLASS, DECLARED_5A, CREATED_5A, CLOSED_5A).when(replace(OVER, to_class_id="6b"))
    refused.then_refused("class.rolled-over")
    assert refused.refused is not None
    assert "to 6a" in refused.refused.text


def test_a_class_that_was_closed_before_it_was_said_where_it_went_stays_closed():
    given(CLASS, DECLARED_5A, CREATED_5A, ClassClosed(class_id="5a")).when(OVER).then_nothing_happens()


@pytest.mark.parametrize(
    ("to", "code"),
    [
        (SchoolClass(), "class.not-declared"),
        (replace(NEXT, shift=None), "class.not-created"),
        (replace(NEXT, closed=True), "class.closed"),
        (replace(NEXT, academic_year="2015/2016"), "class.not-next-year"),
        (replace(NEXT, academic_year="2014/2015"), "class.not-next-year"),
        (replace(NEXT, academic_year="2017/2018"), "class.not-next-year"),
        (replace(NEXT, grade=4), "class.grade-not-next"),
        (replace(NEXT, grade=7), "class.grade-not-next"),
    ],
)
def test_a_class_is_rolled_over_to_a_created_class_of_the_next_year_and_grade_alone(to: SchoolClass, code: str):
    given(CLASS, DECLARED_5A, CREATED_5A).when(replace(OVER, to=to)).then_refused(code)


def test_a_class_that_repeats_its_grade_is_rolled_over_to_a_class_of_the_same_grade():
    given(CLASS, DECLARED_5A, CREATED_5A).when(replace(OVER, to=replace(NEXT, grade=5))).then(CLOSED_5A)


def test_a_class_that_there_is_not_is_not_rolled_over():
    given(CLASS).when(OVER).then_refused("class.not-declared")


ENROLLED = PupilEnrolled(
    person="p-1", seat=Seat(class_id="5a", number=7, holder=SeatHolder.PUPIL), consent_id="c-1", legal_basis=None, enrolled_on=DAY
)
NEW_SEAT = Seat(class_id="6a", number=4, holder=SeatHolder.PUPIL)
MOVED = PupilMoved(pupil="p-1", seat=NEW_SEAT)
ASSIGNED = PupilAssignedToClass(pupil="p-1", class_id="6a")
GOES_ON = pupil.RollOver("p-1", NEW_SEAT, NEXT)


def test_a_pupil_goes_on_with_a_seat_and_in_the_class_of_the_next_year_once():
    given(PUPIL, ENROLLED).when(GOES_ON).then(MOVED, ASSIGNED)
    given(PUPIL, ENROLLED, MOVED, ASSIGNED).when(GOES_ON).then_nothing_happens()


def test_who_is_in_the_class_of_the_next_year_already_only_gets_the_seat():
    given(PUPIL, ENROLLED, ASSIGNED).when(GOES_ON).then(MOVED)


def test_only_who_is_entered_goes_on_and_only_in_a_created_class():
    given(PUPIL).when(GOES_ON).then_refused("pupil.not-entered")
    given(PUPIL, ENROLLED, PupilLeft(person="p-1")).when(GOES_ON).then_refused("pupil.not-entered")
    given(PUPIL, ENROLLED).when(replace(GOES_ON, joins=replace(NEXT, shift=None))).then_refused("class.not-created")


ROLLED_OVER = AcademicYearRolledOver(from_year="2015/2016", to_year="2016/2017")
YEAR_OVER = RollOverYear("2015/2016", "2016/2017", open_classes=0, pupils=0)


def test_a_year_is_rolled_over_once_when_no_class_of_it_is_open():
    given(YEAR).when(YEAR_OVER).then(ROLLED_OVER)
    given(YEAR, ROLLED_OVER).when(YEAR_OVER).then_nothing_happens()
    refused = given(YEAR).when(replace(YEAR_OVER, open_classes=3))
    refused.then_refused("year.classes-open")
    assert refused.refused is not None
    assert "still: 3." in refused.refused.text


def test_a_year_is_not_rolled_over_while_pupils_stay_behind_in_closed_classes():
    given(YEAR).when(replace(YEAR_OVER, pupils=2)).then_refused("year.pupils-remain")


@pytest.mark.parametrize(
    ("to_year", "code"), [("2017/2018", "year.not-next"), ("2015/2016", "year.not-next"), ("2016/2018", "year.malformed")]
)
def test_a_year_is_rolled_over_into_the_next(to_year: str, code: str):
    given(YEAR).when(replace(YEAR_OVER, to_year=to_year)).then_refused(code)


# -- checks of the data (steps 3 and 20) ---------------------------------------------------------------------------------------------------

WRONG = Issue(IssueKind.WRONG, blocking=True)
OPENED = DataIssueOpened(issue="i-1", class_id="5a", kind=IssueKind.WRONG, blocking=True)
MINOR = DataIssueOpened(issue="i-2", class_id="5a", kind=IssueKind.OUTDATED, blocking=False)
RESOLVED = DataIssueResolved(issue="i-1", class_id="5a")
VERIFIED = RosterDataVerified(class_id="5a", revision=57)
LAPSED = VerificationLapsed(class_id="5a", revision=58)


def verify(looked_at: int = 57, newest: int = 57, of_class: SchoolClass = CREATED) -> check.Verify:
    return check.Verify("5a", of_class, looked_at, newest)


def test_a_class_is_signed_off_once_a_revision():
    given(CHECK).when(verify()).then(VERIFIED)
    given(CHECK, VERIFIED).when(verify()).then_nothing_happens()
    given(CHECK, VERIFIED).when(verify(58, 58)).then(RosterDataVerified(class_id="5a", revision=58))


@pytest.mark.parametrize("looked_at", [56, 58])
def test_a_class_is_not_signed_off_at_another_revision_than_the_newest(looked_at: int):
    refused = given(CHECK).when(verify(looked_at))
    refused.then_refused("class.changed-since")
    assert refused.refused is not None
    assert "look at them again" in refused.refused.text


def test_a_class_is_not_signed_off_while_a_blocking_issue_is_open():
    given(CHECK, OPENED).when(verify()).then_refused("issue.blocking-open")
    given(CHECK, OPENED, RESOLVED).when(verify()).then(VERIFIED)
    given(CHECK, MINOR).when(verify()).then(VERIFIED)


def test_a_sign_off_holds_again_when_the_issue_is_resolved_and_nothing_has_changed():
    given(CHECK, VERIFIED, OPENED, RESOLVED).when(verify()).then_nothing_happens()
    given(CHECK, VERIFIED, OPENED, RESOLVED).when(check.Lapse("5a", 58)).then(LAPSED)


def test_a_sign_off_lapses_once_when_the_data_change_and_may_be_made_anew():
    given(CHECK, VERIFIED).when(check.Lapse("5a", 58)).then(LAPSED)
    given(CHECK, VERIFIED, LAPSED).when(check.Lapse("5a", 59)).then_nothing_happens()
    given(CHECK, VERIFIED, LAPSED).when(verify(58, 58)).then(RosterDataVerified(class_id="5a", revision=58))
    given(CHECK).when(check.Lapse("5a", 58)).then_nothing_happens()


def test_a_class_that_is_not_there_or_closed_is_not_signed_off():
    given(CHECK).when(verify(of_class=SchoolClass())).then_refused("class.not-declared")
    given(CHECK).when(verify(of_class=replace(CREATED, closed=True))).then_refused("class.closed")


def test_an_issue_is_opened_once_while_the_same_is_open_and_resolved_once():
    opening = check.Open("i-1", "5a", CREATED, WRONG)
    given(CHECK).when(opening).then(OPENED)
    given(CHECK, OPENED).when(replace(opening, issue="i-9")).then_nothing_happens()
    given(CHECK, OPENED).when(check.Open("i-2", "5a", CREATED, Issue(IssueKind.OUTDATED, blocking=False))).then(MINOR)
    given(CHECK, OPENED).when(check.Resolve("i-1", "5a")).then(RESOLVED)
    given(CHECK, OPENED, RESOLVED).when(check.Resolve("i-1", "5a")).then_nothing_happens()
    again = DataIssueOpened(issue="i-9", class_id="5a", kind=IssueKind.WRONG, blocking=True)
    given(CHECK, OPENED, RESOLVED).when(replace(opening, issue="i-9")).then(again)


def test_an_issue_is_of_a_class_that_there_is_and_resolved_when_it_was_opened():
    given(CHECK).when(check.Open("i-1", "5a", SchoolClass(), WRONG)).then_refused("class.not-declared")
    given(CHECK).when(check.Open("i-1", "5a", replace(CREATED, closed=True), WRONG)).then_refused("class.closed")
    given(CHECK).when(check.Resolve("i-1", "5a")).then_refused("issue.unknown")


def test_a_schools_check_is_recorded_once_a_day():
    checked = RosterDataVerified(class_id=None, revision=None)
    given(REGULAR_CHECK).when(VerifySchool()).then(checked)
    given(REGULAR_CHECK, checked).when(VerifySchool()).then_nothing_happens()


# -- a law ---------------------------------------------------------------------------------------------------------------------------------

SAID: list[tuple[Decider[Any, Any], list[Any]]] = [
    (WORKPLACES, [DeclareWorkplaces(38, 42), DeclareWorkplaces(40, 42), DeclareWorkplaces(43, 42)]),
    (PARALLEL, [define(QUARTERS), define(HALVES), define(QUARTERS[:2])]),
    (BELLS, [DefineBells(1, TWO), DefineBells(1, TWO[:1]), DefineBells(1, TWO[::-1]), DeleteBells(1)]),
    (LIST, [Fill("subjects", SUBJECTS), Fill("subjects", SUBJECTS[:1]), Clear("subjects")]),
    (TIMETABLE, [publish(), publish(LESSONS[:1]), publish(valid_from=DAY), publish(entered=replace(READY, periods=None)), Withdraw("5a")]),
    (CLASS, [classes.Declare("5a", 5, "А", "2015/2016"), classes.Create("5a", 1), OVER, classes.Close("5a")]),
    (PUPIL, [GOES_ON, replace(GOES_ON, seat=ENROLLED.seat, joins=CREATED), pupil.Assign("p-1", "5a", CREATED), pupil.Leave("p-1")]),
    (YEAR, [YEAR_OVER, replace(YEAR_OVER, open_classes=1)]),
    (
        CHECK,
        [
            verify(),
            verify(58, 58),
            verify(57, 58),
            *(check.Open(f"i-{number}", "5a", CREATED, issue) for number, issue in enumerate((WRONG, replace(WRONG, blocking=False)))),
            check.Resolve("i-0", "5a"),
            check.Resolve("i-1", "5a"),
            check.Lapse("5a", 58),
            check.Lapse("5a", 59),
        ],
    ),
    (REGULAR_CHECK, [VerifySchool()]),
]
BEFORE: dict[str, list[Event]] = {"pupil": [ENROLLED]}


@for_all(st.data())
@pytest.mark.parametrize(("decider", "commands"), SAID, ids=[decider.name for decider, _ in SAID])
def test_saying_anything_twice_yields_nothing_the_second_time(decider: Decider[Any, Any], commands: list[Any], data: st.DataObject):
    state = decider.fold(BEFORE.get(decider.name, []))
    for command in data.draw(st.lists(st.sampled_from(commands), max_size=12)):
        try:
            state = decider.fold(decider.decide(command, state), state)
        except Refused:
            continue
        assert list(decider.decide(command, state)) == []
