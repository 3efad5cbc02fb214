"""What follows from each act in a school, what changes nothing, and what the gates of order 39/2 refuse."""

from datetime import date

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from contracts.consent import SubjectKind
from contracts.event import Event
from contracts.roster import (
    ClassClosed,
    ClassCreated,
    ClassDeclared,
    ClassHeadcountDeclared,
    ClassTeacherAssigned,
    CoordinatorAppointed,
    CoordinatorRelieved,
    GuardianAbsenceRecorded,
    GuardianLinked,
    GuardianUnlinked,
    LegalBasis,
    NoGuardianReason,
    PersonDetailsChanged,
    Position,
    PupilAssignedToClass,
    PupilEnrolled,
    PupilLeft,
    Relation,
    RosterImportCompleted,
    SchoolOpened,
    Seat,
    SeatHolder,
    StaffDismissed,
    StaffHired,
)
from eventkit.decider import Refused
from eventkit.testing import given
from roster.domain import classes, facts, pupil, school, staff
from roster.domain.basis import Basis, Consent, basis
from roster.domain.classes import CLASS, SchoolClass
from roster.domain.facts import DETAILS, IMPORT
from roster.domain.pupil import PUPIL
from roster.domain.school import SCHOOL
from roster.domain.staff import STAFF, Staff

DAY = date(2015, 8, 24)

OPENED = SchoolOpened(school="school-7", municipality="dubna", timezone="Europe/Moscow")

HIRED = StaffHired(person="p-1", position=Position.TEACHER, hired_on=DAY)
DISMISSED = StaffDismissed(person="p-1")
APPOINTED = CoordinatorAppointed(person="p-1")
RELIEVED = CoordinatorRelieved(person="p-1")

DECLARED = ClassDeclared(class_id="5a", grade=5, letter="А", academic_year="2015/2016")
CREATED = ClassCreated(class_id="5a", shift=1)
CLOSED = ClassClosed(class_id="5a")
WORKS_HERE = Staff(Position.TEACHER, active=True)

LISTED = SchoolClass(declared=True)
USABLE = SchoolClass(declared=True, shift=1)
SEAT = Seat(class_id="5a", number=7, holder=SeatHolder.PUPIL)
LAW = LegalBasis(code="law", reference="273-FZ")
GRANTED = Consent("c-1", "p-1", SubjectKind.PUPIL, "granted", SEAT)
MOTHERS = Consent("c-2", "p-2", SubjectKind.GUARDIAN, "granted", None)

ENROLLED = PupilEnrolled(person="p-1", seat=SEAT, consent_id="c-1", legal_basis=None, enrolled_on=DAY)
LEFT = PupilLeft(person="p-1")
ASSIGNED = PupilAssignedToClass(pupil="p-1", class_id="5a")
LINKED = GuardianLinked(
    pupil="p-1", guardian="p-2", relation=Relation.MOTHER, legal_representative=True, consent_id="c-2", legal_basis=None
)
UNLINKED = GuardianUnlinked(pupil="p-1", guardian="p-2")


def enrol(consent: Consent | None = GRANTED, legal_basis: LegalBasis | None = None, **changes: object) -> pupil.Enrol:
    values: dict[str, object] = {"seat": SEAT, "listed_in": LISTED, **changes}
    return pupil.Enrol(person="p-1", consent=consent, legal_basis=legal_basis, enrolled_on=DAY, **values)  # pyright: ignore[reportArgumentType] -- a test changes any field


def link(consent: Consent | None = MOTHERS, legal_basis: LegalBasis | None = None, relation: Relation = Relation.MOTHER) -> pupil.Link:
    return pupil.Link("p-1", "p-2", relation, legal_representative=True, consent=consent, legal_basis=legal_basis)


# -- a school ------------------------------------------------------------------------------------------------------------------------------


def test_a_school_is_opened_once():
    opening = school.Open("school-7", "dubna", "Europe/Moscow")
    given(SCHOOL).when(opening).then(OPENED)
    given(SCHOOL, OPENED).when(opening).then_nothing_happens()


def test_a_school_that_is_open_is_not_opened_as_another():
    given(SCHOOL, OPENED).when(school.Open("school-7", "klin", "Europe/Moscow")).then_refused("school.exists")


# -- staff (step 4) ------------------------------------------------------------------------------------------------------------------------


def test_staff_enter_on_employment_once():
    hiring = staff.Hire("p-1", Position.TEACHER, DAY)
    given(STAFF).when(hiring).then(HIRED)
    given(STAFF, HIRED).when(hiring).then_nothing_happens()


def test_who_was_dismissed_may_be_hired_again():
    given(STAFF, HIRED, DISMISSED).when(staff.Hire("p-1", Position.TEACHER, DAY)).then(HIRED)


def test_staff_are_dismissed_once():
    given(STAFF, HIRED).when(staff.Dismiss("p-1")).then(DISMISSED)
    given(STAFF, HIRED, DISMISSED).when(staff.Dismiss("p-1")).then_nothing_happens()


def test_a_coordinator_is_an_active_member_of_staff():
    given(STAFF, HIRED).when(staff.Appoint("p-1")).then(APPOINTED)
    given(STAFF).when(staff.Appoint("p-1")).then_refused("staff.unknown")
    given(STAFF, HIRED, DISMISSED).when(staff.Appoint("p-1")).then_refused("staff.dismissed")


def test_a_coordinator_is_appointed_and_relieved_once():
    given(STAFF, HIRED, APPOINTED).when(staff.Appoint("p-1")).then_nothing_happens()
    given(STAFF, HIRED, APPOINTED).when(staff.Relieve("p-1")).then(RELIEVED)
    given(STAFF, HIRED).when(staff.Relieve("p-1")).then_nothing_happens()


def test_who_was_dismissed_as_coordinator_is_none_when_hired_again():
    given(STAFF, HIRED, APPOINTED, DISMISSED, HIRED).when(staff.Appoint("p-1")).then(APPOINTED)


@pytest.mark.parametrize("command", [staff.Dismiss("p-1"), staff.Relieve("p-1")])
def test_nobody_unknown_is_dismissed_or_relieved(command: staff.Command):
    given(STAFF).when(command).then_refused("staff.unknown")


# -- a class (step 12) ---------------------------------------------------------------------------------------------------------------------


def test_a_class_is_declared_once():
    declaring = classes.Declare("5a", 5, "А", "2015/2016")
    given(CLASS).when(declaring).then(DECLARED)
    given(CLASS, DECLARED).when(declaring).then_nothing_happens()


def test_a_class_is_created_when_it_is_declared_and_only_once():
    given(CLASS, DECLARED).when(classes.Create("5a", 1)).then(CREATED)
    given(CLASS, DECLARED, CREATED).when(classes.Create("5a", 1)).then_nothing_happens()


def test_a_created_class_keeps_its_shift():
    given(CLASS, DECLARED, CREATED).when(classes.Create("5a", 2)).then_refused("class.other-shift")


@pytest.mark.parametrize(
    "command",
    [classes.Create("5a", 1), classes.DeclareHeadcount("5a", 25), classes.AssignTeacher("5a", "p-1", WORKS_HERE), classes.Close("5a")],
)
def test_nothing_is_done_with_a_class_that_is_not_declared(command: classes.Command):
    given(CLASS).when(command).then_refused("class.not-declared")


@pytest.mark.parametrize(
    "command", [classes.Create("5a", 1), classes.DeclareHeadcount("5a", 25), classes.AssignTeacher("5a", "p-1", WORKS_HERE)]
)
def test_nothing_is_done_with_a_closed_class(command: classes.Command):
    given(CLASS, DECLARED, CLOSED).when(command).then_refused("class.closed")


def test_a_headcount_is_recorded_when_it_changes():
    counted = ClassHeadcountDeclared(class_id="5a", pupils=25)
    given(CLASS, DECLARED).when(classes.DeclareHeadcount("5a", 25)).then(counted)
    given(CLASS, DECLARED, counted).when(classes.DeclareHeadcount("5a", 25)).then_nothing_happens()
    given(CLASS, DECLARED, counted).when(classes.DeclareHeadcount("5a", 26)).then(ClassHeadcountDeclared(class_id="5a", pupils=26))


def test_a_headcount_of_none_is_a_headcount():
    given(CLASS, DECLARED).when(classes.DeclareHeadcount("5a", 0)).then(ClassHeadcountDeclared(class_id="5a", pupils=0))


def test_a_class_teacher_works_here():
    teaches = ClassTeacherAssigned(class_id="5a", person="p-1")
    given(CLASS, DECLARED).when(classes.AssignTeacher("5a", "p-1", WORKS_HERE)).then(teaches)
    given(CLASS, DECLARED, teaches).when(classes.AssignTeacher("5a", "p-1", WORKS_HERE)).then_nothing_happens()
    given(CLASS, DECLARED).when(classes.AssignTeacher("5a", "p-1", Staff())).then_refused("staff.unknown")
    given(CLASS, DECLARED).when(classes.AssignTeacher("5a", "p-1", Staff(Position.TEACHER))).then_refused("staff.dismissed")


def test_a_class_is_closed_once():
    given(CLASS, DECLARED, CREATED).when(classes.Close("5a")).then(CLOSED)
    given(CLASS, DECLARED, CREATED, CLOSED).when(classes.Close("5a")).then_nothing_happens()


# -- gate 13→14: entered on a consent or another legal basis -------------------------------------------------------------------------------


def test_a_pupil_is_entered_on_a_granted_consent_once():
    given(PUPIL).when(enrol()).then(ENROLLED)
    given(PUPIL, ENROLLED).when(enrol()).then_nothing_happens()


def test_a_pupil_is_entered_on_another_legal_basis():
    entered = PupilEnrolled(person="p-1", seat=SEAT, consent_id=None, legal_basis=LAW, enrolled_on=DAY)
    given(PUPIL).when(enrol(None, LAW)).then(entered)


@pytest.mark.parametrize(
    "consent",
    [
        None,
        Consent("c-1", "p-1", SubjectKind.PUPIL, "refused", SEAT),
        Consent("c-1", "p-1", SubjectKind.PUPIL, "withdrawn", SEAT),
        Consent("c-1", "p-1", SubjectKind.PUPIL, "superseded", SEAT),
        Consent("c-1", "p-1", SubjectKind.PUPIL, "expired", SEAT),
        Consent("c-1", "p-1", SubjectKind.PUPIL, "invalidated", SEAT),
        Consent("c-1", "p-9", SubjectKind.PUPIL, "granted", SEAT),
        Consent("c-1", "p-1", SubjectKind.GUARDIAN, "granted", None),
    ],
    ids=["none", "refused", "withdrawn", "superseded", "expired", "invalidated", "of somebody else", "of another kind"],
)
def test_nobody_is_entered_without_a_consent_that_holds(consent: Consent | None):
    given(PUPIL).when(enrol(consent)).then_refused("consent.missing")


def test_a_refused_consent_stands_beside_another_legal_basis_and_is_not_named():
    refused = Consent("c-1", "p-1", SubjectKind.PUPIL, "refused", SEAT)
    assert basis("p-1", SubjectKind.PUPIL, refused, LAW) == Basis(None, LAW)
    assert basis("p-1", SubjectKind.PUPIL, GRANTED, LAW) == Basis("c-1", LAW)


def test_another_persons_consent_is_refused_whatever_else_is_given():
    with pytest.raises(Refused) as refused:
        basis("p-1", SubjectKind.PUPIL, Consent("c-1", "p-9", SubjectKind.PUPIL, "granted", SEAT), LAW)
    assert refused.value.code == "consent.missing"


def test_a_pupil_is_entered_on_the_list_of_a_class_that_there_is():
    given(PUPIL).when(enrol(listed_in=SchoolClass())).then_refused("class.not-declared")
    given(PUPIL).when(enrol(listed_in=SchoolClass(declared=True, closed=True))).then_refused("class.closed")


def test_an_entered_pupil_is_not_entered_on_another_list():
    other = Seat(class_id="5b", number=1, holder=SeatHolder.PUPIL)
    given(PUPIL, ENROLLED).when(enrol(seat=other)).then_refused("pupil.entered")


def test_who_has_left_may_be_entered_again():
    given(PUPIL, ENROLLED, ASSIGNED, LEFT).when(enrol()).then(ENROLLED)
    given(PUPIL, ENROLLED, ASSIGNED, LEFT, ENROLLED).when(pupil.Assign("p-1", "5a", USABLE)).then(ASSIGNED)


def test_a_pupil_leaves_once():
    given(PUPIL, ENROLLED).when(pupil.Leave("p-1")).then(LEFT)
    given(PUPIL, ENROLLED, LEFT).when(pupil.Leave("p-1")).then_nothing_happens()
    given(PUPIL).when(pupil.Leave("p-1")).then_refused("pupil.not-entered")


# -- guardians -----------------------------------------------------------------------------------------------------------------------------


def test_a_guardian_is_linked_on_the_own_consent_once():
    given(PUPIL, ENROLLED).when(link()).then(LINKED)
    given(PUPIL, ENROLLED, LINKED).when(link()).then_nothing_happens()


def test_a_guardian_is_linked_anew_when_the_relation_changes():
    guardian = LINKED.model_copy(update={"relation": Relation.GUARDIAN})
    given(PUPIL, ENROLLED, LINKED).when(link(relation=Relation.GUARDIAN)).then(guardian)


def test_a_childs_consent_is_none_of_the_guardians():
    given(PUPIL, ENROLLED).when(link(GRANTED)).then_refused("consent.missing")
    given(PUPIL, ENROLLED).when(link(None)).then_refused("consent.missing")


def test_a_guardian_is_linked_to_an_entered_pupil_alone():
    given(PUPIL).when(link()).then_refused("pupil.not-entered")
    given(PUPIL, ENROLLED, LEFT).when(link()).then_refused("pupil.not-entered")


def test_a_guardian_is_unlinked_once_and_may_be_linked_again():
    given(PUPIL, ENROLLED, LINKED).when(pupil.Unlink("p-1", "p-2")).then(UNLINKED)
    given(PUPIL, ENROLLED, LINKED, UNLINKED).when(pupil.Unlink("p-1", "p-2")).then_nothing_happens()
    given(PUPIL, ENROLLED, LINKED, UNLINKED).when(link()).then(LINKED)


def test_who_never_was_a_guardian_is_not_unlinked():
    given(PUPIL, ENROLLED).when(pupil.Unlink("p-1", "p-2")).then_refused("guardian.not-linked")


def test_why_there_is_no_guardian_is_recorded_once():
    absent = GuardianAbsenceRecorded(pupil="p-1", reason=NoGuardianReason.REFUSED)
    given(PUPIL, ENROLLED).when(pupil.RecordNoGuardian("p-1", NoGuardianReason.REFUSED)).then(absent)
    given(PUPIL, ENROLLED, absent).when(pupil.RecordNoGuardian("p-1", NoGuardianReason.REFUSED)).then_nothing_happens()


def test_who_has_a_guardian_has_no_reason_for_none():
    recording = pupil.RecordNoGuardian("p-1", NoGuardianReason.REFUSED)
    given(PUPIL, ENROLLED, LINKED).when(recording).then_refused("guardian.linked")
    absent = GuardianAbsenceRecorded(pupil="p-1", reason=NoGuardianReason.REFUSED)
    given(PUPIL, ENROLLED, LINKED, UNLINKED).when(recording).then(absent)
    given(PUPIL, ENROLLED, absent, LINKED, UNLINKED).when(recording).then(absent)


# -- gates 12→15 and 14→15: assigned when entered, to a class that exists ------------------------------------------------------------------


def test_an_entered_pupil_is_assigned_to_a_created_class_once():
    given(PUPIL, ENROLLED).when(pupil.Assign("p-1", "5a", USABLE)).then(ASSIGNED)
    given(PUPIL, ENROLLED, ASSIGNED).when(pupil.Assign("p-1", "5a", USABLE)).then_nothing_happens()


def test_a_pupil_may_be_moved_to_another_class():
    moved = PupilAssignedToClass(pupil="p-1", class_id="5b")
    given(PUPIL, ENROLLED, ASSIGNED).when(pupil.Assign("p-1", "5b", USABLE)).then(moved)


@pytest.mark.parametrize(
    ("joins", "code"),
    [
        (SchoolClass(), "class.not-created"),
        (LISTED, "class.not-created"),
        (SchoolClass(declared=True, shift=1, closed=True), "class.closed"),
    ],
)
def test_nobody_is_assigned_to_a_class_that_is_not_created_and_open(joins: SchoolClass, code: str):
    given(PUPIL, ENROLLED).when(pupil.Assign("p-1", "5a", joins)).then_refused(code)


@pytest.mark.parametrize("history", [[], [ENROLLED, LEFT]], ids=["never entered", "gone"])
def test_nobody_is_assigned_who_is_not_entered(history: list[Event]):
    given(PUPIL, *history).when(pupil.Assign("p-1", "5a", USABLE)).then_refused("pupil.not-entered")
    given(PUPIL, *history).when(pupil.RecordNoGuardian("p-1", NoGuardianReason.ADULT)).then_refused("pupil.not-entered")


# -- facts ---------------------------------------------------------------------------------------------------------------------------------


def test_details_that_did_not_change_are_no_fact():
    given(DETAILS).when(facts.Change("p-1", ("email",))).then(PersonDetailsChanged(person="p-1", fields=("email",)))
    given(DETAILS).when(facts.Change("p-1", ())).then_nothing_happens()


def test_an_import_is_completed_once():
    completed = RosterImportCompleted(import_id="i-1", created=1, updated=0, unchanged=0, review=0, rejected=0)
    given(IMPORT).when(facts.Complete(completed)).then(completed)
    given(IMPORT, completed).when(facts.Complete(completed)).then_nothing_happens()


# -- a law ---------------------------------------------------------------------------------------------------------------------------------

COMMANDS: list[pupil.Command] = [
    enrol(),
    pupil.Leave("p-1"),
    link(),
    link(relation=Relation.GUARDIAN),
    pupil.Unlink("p-1", "p-2"),
    pupil.RecordNoGuardian("p-1", NoGuardianReason.ADULT),
    pupil.RecordNoGuardian("p-1", NoGuardianReason.REFUSED),
    pupil.Assign("p-1", "5a", USABLE),
    pupil.Assign("p-1", "5b", USABLE),
]


@for_all(st.lists(st.sampled_from(COMMANDS), max_size=12))
def test_saying_anything_twice_yields_nothing_the_second_time(commands: list[pupil.Command]):
    state = PUPIL.initial
    for command in commands:
        try:
            state = PUPIL.fold(PUPIL.decide(command, state), state)
        except Refused:
            continue
        assert list(PUPIL.decide(command, state)) == []
