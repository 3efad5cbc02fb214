"""What makes each step done, late, undone and done again, in a school whose plan starts on Monday 17.08.2015."""

from dataclasses import dataclass
from datetime import date

import pytest

from contracts.consent import (
    AgeBand,
    Capacity,
    ConsentExpired,
    ConsentGranted,
    ConsentInvalidated,
    ConsentRefused,
    ConsentWithdrawn,
    InvalidationReason,
    SubjectKind,
    Terms,
)
from contracts.event import AnnulmentReason, Event
from contracts.identity import (
    AccountActivated,
    AccountBlocked,
    Channel,
    CredentialsDispatched,
    CredentialsHandedOver,
    CredentialsIssued,
    CredentialsRevoked,
    RevocationReason,
    SchoolActivityRated,
)
from contracts.notifier import MessageBounced
from contracts.plan import (
    ConsultationHeld,
    ExceptionReason,
    ImplementationOrderRegistered,
    ImplementationOrderRevoked,
    StepAttested,
    StepRow,
    StepWaived,
    TrainingAttended,
    TrainingForm,
    TrainingSessionCancelled,
    TrainingSessionScheduled,
    WaiverRevoked,
)
from contracts.roster import (
    AcademicYearRolledOver,
    BellScheduleDefined,
    BellScheduleDeleted,
    ClassClosed,
    ClassCreated,
    ClassDeclared,
    ClassHeadcountDeclared,
    CoordinatorAppointed,
    CoordinatorRelieved,
    DataIssueOpened,
    DataIssueResolved,
    EntryAnnulled,
    GuardianAbsenceRecorded,
    GuardianLinked,
    GuardianUnlinked,
    ImportRolledBack,
    IssueKind,
    LegalBasis,
    LessonTime,
    NoGuardianReason,
    Period,
    Position,
    PupilAssignedToClass,
    PupilEnrolled,
    PupilLeft,
    PupilMoved,
    ReferenceListCleared,
    ReferenceListFilled,
    Relation,
    ReportingPeriodsDefined,
    RosterDataVerified,
    Seat,
    SeatHolder,
    StaffDismissed,
    StaffHired,
    TimetablePublished,
    TimetableWithdrawn,
    VerificationLapsed,
    WorkplacesDeclared,
)
from plan_tracker.domain.board import SchoolBoard
from plan_tracker.domain.join import Join
from plan_tracker.domain.plan import load_plan
from plan_tracker.testing import Logs, documents_of

START = date(2015, 8, 17)
BASIS = LegalBasis(code="court-order", reference="2-17/2015")


def aug(day: int) -> date:
    return date(2015, 8, day)


def sep(day: int) -> date:
    return date(2015, 9, day)


class School:
    """A school with a plan. `happened` records; `step` reads a row."""

    def __init__(self) -> None:
        self.logs = Logs()
        self.logs.adopt("school-1", START)

    def happened(self, day: date, *events: Event) -> None:
        self.logs.record("school-1", day, *events)

    def board(self) -> SchoolBoard:
        board = SchoolBoard("school-1")
        board.replace(documents_of("school-1", self.logs.all()))
        return board

    def step(self, n: int, day: date) -> StepRow:
        return next(row for row in self.board().rows(day) if row.step == n)

    def count(self, n: int, day: date) -> tuple[int | None, int | None]:
        row = self.step(n, day)
        return row.done, row.total

    def states(self, n: int, *days: date) -> list[str]:
        return [self.step(n, day).state for day in days]

    def missing(self, n: int, day: date) -> list[str]:
        return self.board().missing(n, day)


@pytest.fixture
def school() -> School:
    return School()


# What happens in a school.


def hired(person: str, position: Position = Position.TEACHER) -> StaffHired:
    return StaffHired(person=person, position=position, hired_on=START)


def seat(class_id: str, number: int, holder: SeatHolder = SeatHolder.PUPIL) -> Seat:
    return Seat(class_id=class_id, number=number, holder=holder)


def granted(subject: str, kind: str = "pupil", at: Seat | None = None, consent_id: str | None = None) -> ConsentGranted:
    return ConsentGranted(
        consent_id=consent_id or f"consent-{subject}",
        supersedes=None,
        subject=subject,
        subject_kind=SubjectKind(kind),
        seat=at,
        age_band=AgeBand.UNDER_14,
        grantor=None,
        capacity=Capacity.SELF,
        terms=Terms(),
        form="paper",
        evidence_sha256=None,
        signed_on=START,
        valid_from=START,
        valid_until=None,
    )


def refused(subject: str, kind: str = "pupil", at: Seat | None = None) -> ConsentRefused:
    return ConsentRefused(
        consent_id=f"consent-{subject}", supersedes=None, subject=subject, subject_kind=SubjectKind(kind), seat=at, decided_on=START
    )


def withdrawn(subject: str, kind: str = "pupil", consent_id: str | None = None) -> ConsentWithdrawn:
    return ConsentWithdrawn(consent_id=consent_id or f"consent-{subject}", subject=subject, subject_kind=SubjectKind(kind))


def declared(class_id: str) -> ClassDeclared:
    return ClassDeclared(class_id=class_id, grade=1, letter="А", academic_year="2015/2016")


def created(class_id: str) -> ClassCreated:
    return ClassCreated(class_id=class_id, shift=1)


def headcount(class_id: str, pupils: int) -> ClassHeadcountDeclared:
    return ClassHeadcountDeclared(class_id=class_id, pupils=pupils)


def enrolled(person: str, class_id: str, number: int, basis: LegalBasis | None = None) -> PupilEnrolled:
    consent_id = None if basis else f"consent-{person}"
    return PupilEnrolled(person=person, seat=seat(class_id, number), consent_id=consent_id, legal_basis=basis, enrolled_on=START)


def linked(pupil: str, guardian: str, basis: LegalBasis | None = None) -> GuardianLinked:
    return GuardianLinked(
        pupil=pupil, guardian=guardian, relation=Relation.MOTHER, legal_representative=True, consent_id=None, legal_basis=basis
    )


def unlinked(pupil: str, guardian: str) -> GuardianUnlinked:
    return GuardianUnlinked(pupil=pupil, guardian=guardian)


def assigned(pupil: str, class_id: str) -> PupilAssignedToClass:
    return PupilAssignedToClass(pupil=pupil, class_id=class_id)


def issued(person: str, credential: str | None = None, expires_on: date = date(2015, 12, 1)) -> CredentialsIssued:
    return CredentialsIssued(
        credential=credential or f"code-{person}", account=f"account-{person}", person=person, replaces=None, expires_on=expires_on
    )


def handed_over(person: str, credential: str | None = None) -> CredentialsHandedOver:
    return CredentialsHandedOver(credential=credential or f"code-{person}", person=person, channel=Channel.PAPER, receiver=person)


def activated(person: str) -> AccountActivated:
    return AccountActivated(account=f"account-{person}", person=person, method="temporary-password")


def a_class(school: School, day: date, class_id: str = "1a", pupils: int = 2) -> None:
    school.happened(day, declared(class_id), created(class_id), headcount(class_id, pupils))


def a_family(school: School, day: date, pupil: str, number: int, class_id: str = "1a") -> None:
    """A pupil with one guardian, who both granted, entered on a day."""
    mother = SeatHolder.GUARDIAN_1
    school.happened(day, granted(pupil, at=seat(class_id, number)), granted(f"{pupil}-m", "guardian", seat(class_id, number, mother)))
    school.happened(day, enrolled(pupil, class_id, number), linked(pupil, f"{pupil}-m"))


# Step 4: coordinators appointed.


def test_step_4_is_done_with_the_first_active_coordinator(school: School) -> None:
    school.happened(aug(17), hired("anna"))
    school.happened(aug(18), CoordinatorAppointed(person="anna"))
    assert school.states(4, aug(17), aug(18)) == ["not_started", "done"]
    row = school.step(4, aug(18))
    assert (row.done, row.total, row.deadline, row.first_completed_on) == (1, 1, "done_on_time", aug(18))


def test_step_4_is_undone_when_the_last_coordinator_is_relieved_and_done_again_by_the_next(school: School) -> None:
    school.happened(aug(17), hired("anna"), hired("boris"), CoordinatorAppointed(person="anna"), CoordinatorAppointed(person="boris"))
    school.happened(aug(19), CoordinatorRelieved(person="anna"))
    school.happened(aug(20), CoordinatorRelieved(person="boris"))
    school.happened(aug(24), CoordinatorAppointed(person="anna"))
    assert school.states(4, aug(19), aug(20), aug(23), aug(24)) == ["done", "reopened", "reopened", "done"]
    row = school.step(4, aug(24))
    assert (row.first_completed_on, row.completed_on) == (aug(17), aug(24))


def test_step_4_is_undone_when_the_last_coordinator_is_dismissed_and_stays_so_when_employed_again(school: School) -> None:
    school.happened(aug(17), hired("anna"), CoordinatorAppointed(person="anna"))
    school.happened(aug(20), StaffDismissed(person="anna"))
    school.happened(aug(25), hired("anna"))
    assert school.states(4, aug(19), aug(20), aug(25)) == ["done", "reopened", "reopened"]
    assert school.missing(4, aug(25)) == ["school-1"]


def test_step_4_is_done_late_after_its_date(school: School) -> None:
    school.happened(aug(20), hired("anna"), CoordinatorAppointed(person="anna"))
    assert school.step(4, aug(19)).deadline == "overdue"
    assert school.step(4, aug(20)).deadline == "done_late"


def test_somebody_who_is_not_on_the_staff_is_no_coordinator(school: School) -> None:
    school.happened(aug(18), CoordinatorAppointed(person="anna"))
    assert school.states(4, aug(18)) == ["not_started"]


def test_relieved_and_appointed_on_one_day_is_no_reopening(school: School) -> None:
    school.happened(aug(17), hired("anna"), CoordinatorAppointed(person="anna"))
    school.happened(aug(19), CoordinatorRelieved(person="anna"), CoordinatorAppointed(person="anna"))
    assert school.step(4, aug(19)).completed_on == aug(17)


# Step 6: the school's own order.


def test_step_6_is_done_while_an_order_is_in_force(school: School) -> None:
    school.happened(aug(18), ImplementationOrderRegistered(order="o-1", evidence_sha256=None))
    school.happened(aug(20), ImplementationOrderRevoked(order="o-1"))
    school.happened(aug(21), ImplementationOrderRegistered(order="o-2", evidence_sha256=None))
    assert school.states(6, aug(17), aug(18), aug(20), aug(21)) == ["not_started", "done", "reopened", "done"]


def test_revoking_one_of_two_orders_leaves_step_6_done(school: School) -> None:
    school.happened(aug(18), ImplementationOrderRegistered(order="o-1", evidence_sha256=None))
    school.happened(aug(19), ImplementationOrderRegistered(order="o-2", evidence_sha256=None), ImplementationOrderRevoked(order="o-1"))
    assert school.step(6, aug(19)).completed_on == aug(18)


# Step 8: staff consents.


def test_step_8_is_done_when_every_active_member_of_staff_has_decided_either_way(school: School) -> None:
    school.happened(aug(17), hired("anna"), hired("boris"))
    school.happened(aug(18), granted("anna", "staff"))
    school.happened(aug(19), refused("boris", "staff"))
    assert school.states(8, aug(17), aug(18), aug(19)) == ["not_started", "in_progress", "done"]
    assert school.count(8, aug(18)) == (1, 2)
    assert school.missing(8, aug(18)) == ["boris"]


def test_step_8_is_undone_by_a_hire_and_done_again_by_the_decision(school: School) -> None:
    school.happened(aug(17), hired("anna"), granted("anna", "staff"))
    school.happened(aug(20), hired("boris"))
    school.happened(aug(27), granted("boris", "staff"))
    assert school.states(8, aug(19), aug(20), aug(27)) == ["done", "reopened", "done"]
    assert school.step(8, aug(27)).deadline == "done_on_time"  # the first completion is judged


def test_a_withdrawal_does_not_reopen_step_8(school: School) -> None:
    school.happened(aug(17), hired("anna"), granted("anna", "staff"))
    school.happened(aug(20), withdrawn("anna", "staff"))
    assert school.states(8, aug(20)) == ["done"]


def test_who_has_left_is_not_waited_for_in_step_8(school: School) -> None:
    school.happened(aug(17), hired("anna"), hired("boris"), granted("anna", "staff"))
    school.happened(aug(20), StaffDismissed(person="boris"))
    assert school.states(8, aug(19), aug(20)) == ["in_progress", "done"]
    assert school.count(8, aug(20)) == (1, 1)


def test_nobody_of_nobody_is_never_done(school: School) -> None:
    for n in (8, 12, 13, 14, 15, 18, 19):
        assert (school.count(n, sep(30)), school.states(n, sep(30))) == ((0, 0), ["not_started"])


# Step 12: classes created.


def test_step_12_is_done_when_every_declared_class_is_created(school: School) -> None:
    school.happened(aug(18), declared("1a"), declared("1b"))
    school.happened(aug(19), created("1a"))
    school.happened(aug(20), created("1b"))
    assert school.states(12, aug(18), aug(19), aug(20)) == ["not_started", "in_progress", "done"]
    assert school.step(12, aug(20)).deadline == "done_on_time"


def test_step_12_is_undone_by_one_more_class_and_done_again_when_it_is_created_or_closed(school: School) -> None:
    school.happened(aug(18), declared("1a"), created("1a"))
    school.happened(aug(20), declared("1b"))
    school.happened(aug(21), created("1b"), declared("1c"))
    school.happened(aug(24), ClassClosed(class_id="1c"))
    assert school.states(12, aug(19), aug(20), aug(21), aug(24)) == ["done", "reopened", "reopened", "done"]
    assert school.count(12, aug(24)) == (2, 2)


# Step 13: pupils' and guardians' consents.


def test_step_13_counts_the_seats_of_the_headcount_before_anybody_has_a_name(school: School) -> None:
    a_class(school, aug(19), pupils=3)
    school.happened(aug(20), granted("p1", at=seat("1a", 1)), refused("p2", at=seat("1a", 2)))
    assert school.count(13, aug(19)) == (0, 3)
    assert school.count(13, aug(20)) == (2, 3)
    assert school.missing(13, aug(20)) == ["1a/3"]
    school.happened(aug(21), granted("p3", at=seat("1a", 3)))
    assert school.states(13, aug(19), aug(20), aug(21)) == ["not_started", "in_progress", "done"]
    assert school.step(13, aug(21)).deadline == "done_on_time"


def test_signatures_that_are_older_than_the_headcount_do_not_complete_step_13(school: School) -> None:
    school.happened(aug(18), declared("1a"), created("1a"))
    school.happened(aug(19), granted("p1", at=seat("1a", 1)), granted("m", "guardian", seat("1a", 1, SeatHolder.GUARDIAN_1)))
    school.happened(aug(19), enrolled("p1", "1a", 1), linked("p1", "m"))
    assert [school.count(13, aug(19)), school.states(13, aug(19))] == [(0, 2), ["not_started"]]
    school.happened(aug(21), headcount("1a", 2))
    assert [school.count(13, aug(21)), school.missing(13, aug(21))] == [(2, 3), ["1a/2"]]
    assert school.step(13, aug(21)).first_completed_on is None
    school.happened(aug(24), granted("p2", at=seat("1a", 2)))
    assert school.states(13, aug(19), aug(21), aug(24)) == ["not_started", "in_progress", "done"]


def test_a_guardian_s_signature_that_is_older_than_the_headcount_does_not_complete_step_13(school: School) -> None:
    a_class(school, aug(20), pupils=2)
    school.happened(aug(19), granted("m", "guardian", seat("1a", 1, SeatHolder.GUARDIAN_1)))
    assert school.states(13, aug(19), aug(20)) == ["not_started", "in_progress"]
    assert [school.count(13, aug(20)), school.step(13, aug(20)).first_completed_on] == [(1, 3), None]
    school.happened(aug(21), granted("p1", at=seat("1a", 1)), granted("p2", at=seat("1a", 2)))
    assert school.states(13, aug(19), aug(20), aug(21)) == ["not_started", "in_progress", "done"]
    assert school.step(13, aug(21)).first_completed_on == aug(21)


def test_guardians_who_have_decided_count_as_soon_as_the_first_headcount_is_declared(school: School) -> None:
    school.happened(aug(19), enrolled("p1", "1a", 1, BASIS), linked("p1", "m", BASIS), granted("f", "guardian"))
    assert school.count(13, aug(19)) == (0, 3)
    a_class(school, aug(20), pupils=1)
    assert [school.count(13, aug(19)), school.count(13, aug(20))] == [(0, 3), (3, 3)]


def test_step_13_counts_guardians_who_decided_or_are_linked(school: School) -> None:
    a_class(school, aug(19), pupils=1)
    school.happened(
        aug(20), granted("p1", at=seat("1a", 1)), granted("m", "guardian", seat("1a", 1, SeatHolder.GUARDIAN_1)), enrolled("p1", "1a", 1)
    )
    assert school.count(13, aug(20)) == (2, 2)
    school.happened(aug(21), linked("p1", "m"), linked("p1", "f"))
    assert school.count(13, aug(21)) == (2, 3)
    assert school.missing(13, aug(21)) == ["f"]
    school.happened(aug(24), refused("f", "guardian"))
    assert school.states(13, aug(20), aug(21), aug(24)) == ["done", "reopened", "done"]


def test_an_undecided_guardian_who_is_unlinked_is_not_waited_for(school: School) -> None:
    a_class(school, aug(19), pupils=1)
    school.happened(aug(20), granted("p1", at=seat("1a", 1)), enrolled("p1", "1a", 1), linked("p1", "f"))
    school.happened(aug(21), unlinked("p1", "f"))
    assert [school.count(13, aug(20)), school.count(13, aug(21))] == [(1, 2), (1, 1)]


def test_step_13_is_undone_by_a_larger_headcount(school: School) -> None:
    a_class(school, aug(19), pupils=1)
    school.happened(aug(20), granted("p1", at=seat("1a", 1)))
    school.happened(aug(24), headcount("1a", 2))
    school.happened(aug(26), refused("p2", at=seat("1a", 2)))
    assert school.states(13, aug(20), aug(24), aug(26)) == ["done", "reopened", "done"]


def test_a_seat_above_the_headcount_counts_once_it_has_a_decision_or_a_pupil(school: School) -> None:
    a_class(school, aug(19), pupils=1)
    school.happened(aug(20), granted("p1", at=seat("1a", 1)), granted("p7", at=seat("1a", 7)))
    assert school.count(13, aug(20)) == (2, 2)
    school.happened(aug(21), enrolled("p9", "1a", 9, BASIS))
    assert school.count(13, aug(21)) == (3, 3)


def test_another_legal_basis_counts_as_decided_for_pupils_and_guardians(school: School) -> None:
    a_class(school, aug(19), pupils=1)
    school.happened(aug(20), enrolled("p1", "1a", 1, BASIS), linked("p1", "m", BASIS))
    assert school.count(13, aug(20)) == (2, 2)


def test_who_leaves_takes_the_seat_along(school: School) -> None:
    a_class(school, aug(19), pupils=2)
    a_family(school, aug(20), "p1", 1)
    a_family(school, aug(20), "p2", 2)
    school.happened(aug(24), PupilLeft(person="p1"))
    assert [school.count(13, aug(20)), school.count(13, aug(24))] == [(4, 4), (2, 2)]
    assert [school.count(14, aug(20)), school.count(14, aug(24))] == [(2, 2), (1, 1)]
    school.happened(aug(25), granted("p3", at=seat("1a", 3)))
    assert school.count(13, aug(25)) == (3, 3)


def test_a_guardian_of_two_stays_when_one_of_them_leaves(school: School) -> None:
    a_class(school, aug(19), pupils=2)
    a_family(school, aug(20), "p1", 1)
    a_family(school, aug(20), "p2", 2)
    school.happened(aug(20), linked("p2", "p1-m"))
    school.happened(aug(24), PupilLeft(person="p1"))
    assert school.count(13, aug(24)) == (3, 3)


def test_a_withdrawal_does_not_reopen_step_13(school: School) -> None:
    a_class(school, aug(19), pupils=1)
    school.happened(aug(20), granted("p1", at=seat("1a", 1)))
    school.happened(aug(24), withdrawn("p1"))
    assert school.states(13, aug(24)) == ["done"]


def test_the_empty_seats_of_a_closed_class_are_gone_and_its_pupils_stay(school: School) -> None:
    a_class(school, aug(19), pupils=3)
    school.happened(aug(20), granted("p1", at=seat("1a", 1)))
    school.happened(aug(24), ClassClosed(class_id="1a"))
    assert [school.count(13, aug(20)), school.count(13, aug(24))] == [(1, 3), (1, 1)]


def test_once_a_pupil_is_entered_the_roster_says_which_seat_it_is(school: School) -> None:
    a_class(school, aug(19), pupils=2)
    school.happened(aug(20), granted("p1", at=seat("1a", 1)), enrolled("p1", "1a", 2))
    school.happened(aug(21), granted("p1", at=seat("1a", 1), consent_id="c-2"))
    assert school.missing(13, aug(21)) == ["1a/1"]


def test_a_class_that_turns_out_to_have_been_closed_before_its_headcount_was_declared_has_no_seats(school: School) -> None:
    a_class(school, aug(20), pupils=2)
    board = school.board()
    school.happened(aug(19), ClassClosed(class_id="1a"))
    board.replace({key: facts for key, facts in documents_of("school-1", school.logs.all()).items() if key.subject == "1a"})
    assert board.missing(13, aug(20)) == []


# Step 14: pupils and guardians entered.


def test_step_14_is_done_when_every_willing_seat_has_a_pupil_with_a_guardian_or_a_reason_for_none(school: School) -> None:
    a_class(school, aug(19), pupils=3)
    school.happened(aug(20), refused("p3", at=seat("1a", 3)))
    assert school.count(14, aug(20)) == (0, 2)
    a_family(school, aug(21), "p1", 1)
    school.happened(aug(21), granted("p2", at=seat("1a", 2)), enrolled("p2", "1a", 2))
    assert school.count(14, aug(21)) == (1, 2)
    assert school.missing(14, aug(21)) == ["p2"]
    school.happened(aug(24), GuardianAbsenceRecorded(pupil="p2", reason=NoGuardianReason.ADULT))
    assert school.states(14, aug(20), aug(21), aug(24)) == ["not_started", "in_progress", "done"]
    assert school.step(14, aug(24)).deadline == "done_on_time"


def test_step_14_is_undone_when_the_last_guardian_is_unlinked_and_done_again_by_the_next(school: School) -> None:
    a_class(school, aug(19), pupils=1)
    a_family(school, aug(20), "p1", 1)
    school.happened(aug(24), unlinked("p1", "p1-m"))
    school.happened(aug(26), linked("p1", "f"))
    assert school.states(14, aug(20), aug(24), aug(26)) == ["done", "reopened", "done"]


def test_a_reason_for_having_no_guardian_ends_when_somebody_is_linked_after_all(school: School) -> None:
    a_class(school, aug(19), pupils=1)
    school.happened(aug(20), granted("p1", at=seat("1a", 1)), enrolled("p1", "1a", 1))
    school.happened(aug(20), GuardianAbsenceRecorded(pupil="p1", reason=NoGuardianReason.REFUSED))
    school.happened(aug(21), linked("p1", "f"))
    school.happened(aug(24), unlinked("p1", "f"))
    assert school.states(14, aug(20), aug(21), aug(24)) == ["done", "done", "reopened"]


def test_step_14_is_undone_on_every_day_when_the_import_that_entered_a_family_is_rolled_back_and_done_again_by_the_next(
    school: School,
) -> None:
    a_class(school, aug(19), pupils=1)
    a_family(school, aug(20), "p1", 1)
    entries = [one for one in school.logs.events["roster"] if one.type.endswith(("pupil-enrolled.v1", "guardian-linked.v1"))]
    assert school.states(14, aug(20), aug(24)) == ["done", "done"]
    for entry in reversed(entries):
        reason = AnnulmentReason.IMPORT_ROLLED_BACK
        school.happened(aug(20), EntryAnnulled(event=entry.id, position=entry.position, event_type=entry.type, reason=reason))
    counts = {"pupils": 1, "guardians": 1, "staff": 0, "classes": 0, "put_back": 0, "left": 0, "decisions": 0}
    school.happened(aug(24), ImportRolledBack(import_id="i-1", **counts))
    assert school.states(14, aug(20), aug(24)) == ["not_started", "not_started"]
    assert (school.count(14, aug(24)), school.step(14, aug(24)).first_completed_on) == ((0, 1), None)
    school.happened(aug(26), enrolled("p1", "1a", 1), linked("p1", "p1-m"))
    assert school.states(14, aug(24), aug(26)) == ["not_started", "done"]


def test_step_14_is_undone_by_an_arrival_and_done_again_when_that_pupil_is_entered(school: School) -> None:
    a_class(school, aug(19), pupils=1)
    a_family(school, aug(20), "p1", 1)
    school.happened(aug(24), headcount("1a", 2))
    a_family(school, aug(28), "p2", 2)
    assert school.states(14, aug(20), aug(24), aug(28)) == ["done", "reopened", "done"]
    assert school.step(14, aug(28)).first_completed_on == aug(20)


def test_a_withdrawal_leaves_the_denominators_of_14_and_15(school: School) -> None:
    a_class(school, aug(19), pupils=2)
    a_family(school, aug(20), "p1", 1)
    school.happened(aug(20), granted("p2", at=seat("1a", 2)))
    school.happened(aug(24), withdrawn("p2"))
    assert [school.count(14, aug(20)), school.count(14, aug(24))] == [(1, 2), (1, 1)]
    assert [school.count(15, aug(20)), school.count(15, aug(24))] == [(0, 2), (0, 1)]


def test_who_refused_and_is_entered_on_another_basis_counts(school: School) -> None:
    a_class(school, aug(19), pupils=1)
    school.happened(aug(20), refused("p1", at=seat("1a", 1)))
    school.happened(aug(21), enrolled("p1", "1a", 1, BASIS))
    assert [school.count(14, aug(20)), school.count(14, aug(21))] == [(0, 0), (0, 1)]


def test_a_withdrawal_of_a_decision_that_was_superseded_changes_nothing(school: School) -> None:
    a_class(school, aug(19), pupils=1)
    school.happened(aug(20), granted("p1", at=seat("1a", 1), consent_id="c-1"))
    school.happened(aug(21), granted("p1", at=seat("1a", 1), consent_id="c-2"))
    school.happened(aug(24), withdrawn("p1", consent_id="c-1"))
    assert school.count(14, aug(24)) == (0, 1)


# Step 15: pupils assigned to classes.


def test_step_15_is_done_when_every_willing_seat_s_pupil_is_in_an_open_class(school: School) -> None:
    a_class(school, aug(19), pupils=2)
    a_family(school, aug(20), "p1", 1)
    a_family(school, aug(20), "p2", 2)
    school.happened(aug(24), assigned("p1", "1a"))
    school.happened(aug(25), assigned("p2", "1a"))
    assert school.states(15, aug(20), aug(24), aug(25)) == ["not_started", "in_progress", "done"]
    assert school.step(15, aug(25)).deadline == "done_on_time"


def test_step_15_is_undone_by_an_arrival(school: School) -> None:
    a_class(school, aug(19), pupils=1)
    a_family(school, aug(20), "p1", 1)
    school.happened(aug(20), assigned("p1", "1a"))
    a_family(school, aug(26), "p2", 2)
    school.happened(aug(27), assigned("p2", "1a"))
    assert school.states(15, aug(20), aug(26), aug(27)) == ["done", "reopened", "done"]


def test_step_15_is_undone_when_a_class_closes_and_done_again_in_another(school: School) -> None:
    a_class(school, aug(19), pupils=1)
    a_class(school, aug(19), "1b", pupils=0)
    a_family(school, aug(20), "p1", 1)
    school.happened(aug(20), assigned("p1", "1a"))
    school.happened(aug(26), ClassClosed(class_id="1a"))
    school.happened(aug(27), assigned("p1", "1b"))
    assert school.states(15, aug(20), aug(26), aug(27)) == ["done", "reopened", "done"]


def test_a_class_that_is_only_declared_is_not_open(school: School) -> None:
    school.happened(aug(19), declared("1a"), headcount("1a", 1))
    a_family(school, aug(20), "p1", 1)
    school.happened(aug(20), assigned("p1", "1a"))
    school.happened(aug(21), created("1a"))
    assert school.states(15, aug(20), aug(21)) == ["not_started", "done"]


def test_a_class_that_is_closed_later_concerns_pupils_with_a_seat_in_another(school: School) -> None:
    a_class(school, aug(19), pupils=1)
    a_class(school, aug(19), "1b", pupils=0)
    a_family(school, aug(20), "p1", 1)
    school.happened(aug(20), assigned("p1", "1b"))
    board = school.board()
    school.happened(aug(26), ClassClosed(class_id="1b"))
    board.replace({key: facts for key, facts in documents_of("school-1", school.logs.all()).items() if key.subject == "1b"})
    assert [row.state for row in board.rows(aug(26)) if row.step == 15] == ["reopened"]


# Step 18: codes handed out.


def a_small_school(school: School) -> None:
    """A director, who is exempt; two teachers, of whom one refused; a family. Entered on 20.08., which completes step 14."""
    school.happened(aug(17), hired("director", Position.DIRECTOR), hired("anna"), hired("boris"))
    school.happened(aug(18), granted("anna", "staff"), refused("boris", "staff"))
    a_class(school, aug(19), pupils=1)
    a_family(school, aug(20), "p1", 1)


EVERYBODY = ("director", "anna", "p1", "p1-m")


def test_step_18_counts_who_granted_whether_they_have_an_account_yet_or_not_and_the_exempt(school: School) -> None:
    a_small_school(school)
    assert school.count(18, aug(20)) == (0, 4)
    assert school.missing(18, aug(20)) == sorted(EVERYBODY)


def test_step_18_is_done_when_everybody_has_received_the_newest_code(school: School) -> None:
    a_small_school(school)
    school.happened(aug(24), *(issued(person) for person in EVERYBODY))
    school.happened(aug(25), *(handed_over(person) for person in EVERYBODY[:2]))
    school.happened(aug(26), *(handed_over(person) for person in EVERYBODY[2:]))
    assert school.states(18, aug(24), aug(25), aug(26)) == ["not_started", "in_progress", "done"]
    row = school.step(18, aug(26))
    assert (row.due, row.deadline, row.due_live, row.deadline_live) == (sep(7), "done_on_time", sep(3), "done_on_time")


def test_a_reissue_undoes_step_18_until_the_new_code_is_handed_over(school: School) -> None:
    a_small_school(school)
    school.happened(aug(24), *(issued(person) for person in EVERYBODY), *(handed_over(person) for person in EVERYBODY))
    school.happened(aug(26), issued("p1", "code-2"))
    school.happened(aug(27), handed_over("p1", "code-p1"))
    school.happened(aug(28), handed_over("p1", "code-2"))
    assert school.states(18, aug(24), aug(26), aug(27), aug(28)) == ["done", "reopened", "reopened", "done"]


def test_a_reissue_after_activation_undoes_nothing(school: School) -> None:
    a_small_school(school)
    school.happened(aug(24), *(issued(person) for person in EVERYBODY), *(handed_over(person) for person in EVERYBODY))
    school.happened(aug(25), activated("p1"))
    school.happened(aug(26), issued("p1", "code-2"))
    assert school.states(18, aug(26)) == ["done"]
    assert school.count(19, aug(26)) == (1, 4)


def test_an_activation_counts_without_a_hand_over(school: School) -> None:
    a_small_school(school)
    school.happened(aug(24), activated("anna"))
    assert school.count(18, aug(24)) == (1, 4)


def test_step_18_is_undone_by_a_newcomer_of_every_kind(school: School) -> None:
    a_small_school(school)
    school.happened(aug(24), *(issued(person) for person in EVERYBODY), *(handed_over(person) for person in EVERYBODY))
    school.happened(aug(25), hired("clara"), granted("clara", "staff"))
    assert school.count(18, aug(25)) == (4, 5)
    school.happened(aug(26), linked("p1", "p1-f"), granted("p1-f", "guardian"))
    assert school.count(18, aug(26)) == (4, 6)
    school.happened(aug(27), granted("p2", at=seat("1a", 2)))
    assert school.count(18, aug(27)) == (4, 7)
    assert school.states(18, aug(24), aug(27)) == ["done", "reopened"]


def test_who_withdraws_leaves_or_is_blocked_leaves_steps_18_and_19(school: School) -> None:
    a_small_school(school)
    school.happened(aug(21), withdrawn("anna", "staff"))
    assert school.count(18, aug(21)) == (0, 3)
    school.happened(aug(24), PupilLeft(person="p1"))
    assert school.missing(18, aug(24)) == ["director"]  # the guardian of nobody in this school is not waited for either
    school.happened(aug(25), AccountBlocked(account="account-director", person="director", reason="dismissed"))
    assert [school.count(18, aug(25)), school.count(19, aug(25))] == [(0, 0), (0, 0)]


def test_who_consents_anew_after_a_block_is_waited_for_again(school: School) -> None:
    a_small_school(school)
    school.happened(aug(24), issued("anna"), handed_over("anna"), activated("anna"))
    school.happened(aug(25), withdrawn("anna", "staff"), AccountBlocked(account="account-anna", person="anna", reason="consent-withdrawn"))
    school.happened(aug(27), granted("anna", "staff", consent_id="c-2"))
    assert [school.count(18, day) for day in (aug(24), aug(25), aug(27))] == [(1, 4), (0, 3), (0, 4)]
    school.happened(aug(28), issued("anna", "code-2"), handed_over("anna", "code-2"))
    assert school.count(18, aug(28)) == (1, 4)


def test_coordinators_are_exempt_from_consent_and_guardians_need_theirs(school: School) -> None:
    a_small_school(school)
    school.happened(aug(21), CoordinatorAppointed(person="boris"), linked("p1", "p1-f"))
    assert school.missing(18, aug(21)) == sorted((*EVERYBODY, "boris"))


def test_a_person_who_is_staff_and_guardian_counts_once(school: School) -> None:
    a_small_school(school)
    school.happened(aug(21), linked("p1", "anna"), granted("anna", "guardian", consent_id="c-9"))
    assert school.count(18, aug(21)) == (0, 4)
    school.happened(aug(24), StaffDismissed(person="anna"))
    assert school.count(18, aug(24)) == (0, 4)


def test_step_18_is_late_for_each_person_after_the_step_s_live_date(school: School) -> None:
    a_small_school(school)
    school.happened(aug(24), issued("anna"), handed_over("anna"))
    # Step 14 was first completed on Thursday 20.08.; ten working days end on Thursday 03.09.
    assert [school.step(18, day).late for day in (sep(3), sep(4))] == [0, 3]


def test_a_newcomer_has_ten_working_days_from_the_own_entry_and_the_step_s_date_stays(school: School) -> None:
    a_small_school(school)
    school.happened(aug(24), *(issued(person) for person in EVERYBODY), *(handed_over(person) for person in EVERYBODY))
    school.happened(aug(28), headcount("1a", 2))
    a_family(school, sep(1), "p2", 2)
    assert school.states(14, aug(28), sep(1)) == ["reopened", "done"]
    assert {school.step(18, day).due_live for day in (aug(27), aug(28), sep(20))} == {sep(3)}
    # Entered on Tuesday 01.09.: due on Tuesday 15.09.
    assert [school.step(18, day).late for day in (sep(4), sep(15), sep(16))] == [0, 0, 2]


def test_who_is_not_entered_yet_is_not_late_for_a_code(school: School) -> None:
    a_small_school(school)
    school.happened(aug(24), *(issued(person) for person in EVERYBODY), *(handed_over(person) for person in EVERYBODY))
    school.happened(aug(25), granted("p2", at=seat("1a", 2)))
    assert school.count(18, sep(30)) == (4, 5)
    assert school.step(18, sep(30)).late == 0


# Step 19: accounts activated.


def test_step_19_counts_the_same_people_and_is_done_when_all_have_activated(school: School) -> None:
    a_small_school(school)
    school.happened(aug(24), *(issued(person) for person in EVERYBODY), *(handed_over(person) for person in EVERYBODY))
    school.happened(aug(27), activated("anna"))
    school.happened(sep(1), *(activated(person) for person in EVERYBODY))
    assert school.states(19, aug(24), aug(27), sep(1)) == ["not_started", "in_progress", "done"]
    assert school.step(19, sep(1)).deadline == "done_on_time"


def test_each_person_s_own_term_ends_ten_working_days_after_the_own_receipt(school: School) -> None:
    a_small_school(school)
    school.happened(aug(24), *(issued(person) for person in EVERYBODY), handed_over("anna"))
    school.happened(aug(26), handed_over("p1"))
    # Anna received on Monday 24.08., due on Monday 07.09.; the pupil on Wednesday 26.08., due on Wednesday 09.09.
    assert [school.step(19, day).late for day in (sep(7), sep(8), sep(9), sep(10))] == [0, 1, 1, 2]
    assert school.step(19, aug(25)).due_live == sep(7)
    assert school.step(19, sep(10)).due_live == sep(9)
    school.happened(sep(11), activated("anna"))
    assert school.step(19, sep(11)).late == 1


def test_before_anybody_has_received_step_19_is_due_ten_working_days_after_step_18(school: School) -> None:
    a_small_school(school)
    assert (school.step(18, aug(20)).due_live, school.step(19, aug(20)).due_live) == (sep(3), sep(17))


def test_a_reissue_before_activation_restarts_the_own_clock(school: School) -> None:
    a_small_school(school)
    school.happened(aug(24), issued("anna"), handed_over("anna"))
    school.happened(aug(31), issued("anna", "code-2"))
    school.happened(sep(2), handed_over("anna", "code-2"))
    assert [school.step(19, day).late for day in (sep(8), sep(16), sep(17))] == [0, 0, 1]


def test_step_19_is_undone_by_an_arrival(school: School) -> None:
    a_small_school(school)
    school.happened(aug(24), *(activated(person) for person in EVERYBODY))
    a_family(school, aug(26), "p2", 2)
    school.happened(aug(28), activated("p2"), activated("p2-m"))
    assert school.states(19, aug(24), aug(26), aug(28)) == ["done", "reopened", "done"]


# 1 and 7: training.


def named(session: str, *people: str, form: TrainingForm = "remote", day: date = START) -> TrainingSessionScheduled:
    return TrainingSessionScheduled(session=session, day=day, form=form, people=people)


def attended(session: str, person: str, form: TrainingForm = "remote") -> TrainingAttended:
    return TrainingAttended(session=session, form=form, person=person)


def test_training_is_done_once_everybody_named_has_attended(school: School) -> None:
    school.happened(aug(17), hired("anna"), hired("boris"), hired("clara"))
    assert school.count(1, aug(17)) == (0, 0)
    school.happened(aug(18), named("t1", "anna", "boris"))
    school.happened(aug(19), attended("t1", "anna"))
    school.happened(aug(20), attended("t1", "boris"))
    assert school.states(1, aug(17), aug(18), aug(19), aug(20)) == ["not_started", "not_started", "in_progress", "done"]
    assert school.missing(1, aug(19)) == ["boris"]


def test_a_new_session_undoes_training_for_whom_it_names_and_a_cancelled_one_is_waited_for_by_nobody(school: School) -> None:
    school.happened(aug(17), hired("anna"), hired("boris"), named("t1", "anna", "boris"), attended("t1", "anna"), attended("t1", "boris"))
    school.happened(aug(19), named("t2", "boris"))
    school.happened(aug(20), attended("t2", "boris"))
    school.happened(aug(21), named("t3", "anna"))
    school.happened(aug(24), TrainingSessionCancelled(session="t3"))
    assert school.states(1, aug(18), aug(19), aug(20), aug(21), aug(24)) == ["done", "reopened", "done", "reopened", "done"]


def test_who_leaves_need_not_be_trained(school: School) -> None:
    school.happened(aug(17), hired("anna"), hired("boris"), named("t1", "anna", "boris"), attended("t1", "anna"))
    school.happened(aug(19), StaffDismissed(person="boris"))
    assert school.states(1, aug(18), aug(19)) == ["in_progress", "done"]


def test_a_hire_into_a_position_that_must_be_trained_undoes_training() -> None:
    join = Join()
    logs = Logs()
    logs.record("school-1", aug(17), hired("anna"), named("t1", "anna"), attended("t1", "anna"))
    logs.record("school-1", aug(19), hired("boris"), hired("nurse", Position.OTHER))
    logs.record("school-1", aug(24), attended("t1", "boris"))
    join.replace(documents_of("school-1", logs.all()))
    timeline = join.training([Position.TEACHER]).timeline
    assert [timeline.at(day.toordinal()) for day in (aug(18), aug(19), aug(24))] == [(1, 1), (1, 2), (2, 2)]


def test_every_coordinator_attends_a_session_face_to_face(school: School) -> None:
    school.happened(aug(17), hired("anna"), hired("boris"), CoordinatorAppointed(person="anna"))
    assert school.states(7, aug(17)) == ["not_started"]
    school.happened(aug(18), attended("t1", "anna"))
    school.happened(aug(19), attended("t2", "anna", "face-to-face"))
    school.happened(aug(20), CoordinatorAppointed(person="boris"))
    school.happened(aug(21), attended("t2", "boris", "face-to-face"))
    assert school.states(7, aug(18), aug(19), aug(20), aug(21)) == ["not_started", "done", "reopened", "done"]
    assert school.missing(7, aug(20)) == ["boris"]
    assert school.step(7, aug(19)).deadline == "done_on_time"


def test_a_coordinator_who_is_trained_late_makes_step_7_late(school: School) -> None:
    school.happened(aug(17), hired("anna"), CoordinatorAppointed(person="anna"))
    school.happened(aug(20), attended("t2", "anna", "face-to-face"))
    assert [school.step(7, day).deadline for day in (aug(18), aug(19), aug(20))] == ["due_soon", "due_today", "done_late"]


# 2: access data.


def test_the_director_and_the_coordinators_receive_their_access_data(school: School) -> None:
    school.happened(aug(17), hired("head", Position.DIRECTOR), hired("anna"), hired("boris"), CoordinatorAppointed(person="anna"))
    school.happened(aug(18), handed_over("head"))
    school.happened(aug(19), handed_over("anna"))
    assert school.states(2, aug(17), aug(18), aug(19)) == ["not_started", "in_progress", "done"]
    assert school.missing(2, aug(18)) == ["anna"]


def test_a_new_coordinator_undoes_step_2_and_a_dismissal_leaves_the_others(school: School) -> None:
    school.happened(aug(17), hired("head", Position.DIRECTOR), hired("boris"), handed_over("head"))
    school.happened(aug(19), CoordinatorAppointed(person="boris"))
    school.happened(aug(20), StaffDismissed(person="boris"))
    school.happened(aug(21), StaffDismissed(person="head"))
    assert school.states(2, aug(17), aug(19), aug(20), aug(21)) == ["done", "reopened", "done", "reopened"]
    assert school.count(2, aug(21)) == (0, 0)


def test_a_reissued_code_does_not_take_step_2_back(school: School) -> None:
    school.happened(aug(17), hired("head", Position.DIRECTOR), handed_over("head"))
    school.happened(aug(20), issued("head", "newer"))
    assert school.states(2, aug(20)) == ["done"]


# 3: the data of every class are checked.


def verified(class_id: str | None, revision: int = 1) -> RosterDataVerified:
    return RosterDataVerified(class_id=class_id, revision=None if class_id is None else revision)


def issue(name: str, class_id: str, *, blocking: bool = True) -> DataIssueOpened:
    return DataIssueOpened(issue=name, class_id=class_id, kind=IssueKind.WRONG, blocking=blocking)


def two_classes(school: School) -> None:
    school.happened(aug(17), declared("1a"), declared("1b"), created("1a"), created("1b"))


def test_every_class_is_signed_off(school: School) -> None:
    two_classes(school)
    school.happened(aug(18), verified("1a"), verified(None))
    school.happened(aug(19), verified("1b"))
    assert school.states(3, aug(17), aug(18), aug(19)) == ["not_started", "in_progress", "done"]
    assert school.missing(3, aug(18)) == ["1b"]


def test_a_change_after_the_sign_off_a_new_class_and_a_blocking_issue_undo_the_check(school: School) -> None:
    two_classes(school)
    school.happened(aug(18), verified("1a"), verified("1b"))
    school.happened(aug(19), VerificationLapsed(class_id="1a", revision=2))
    school.happened(aug(20), verified("1a", 2))
    school.happened(aug(21), issue("i1", "1b"), issue("i2", "1a", blocking=False))
    school.happened(aug(24), DataIssueResolved(issue="i1", class_id="1b"))
    school.happened(aug(25), declared("1c"), created("1c"))
    school.happened(aug(26), ClassClosed(class_id="1c"))
    days = (aug(18), aug(19), aug(20), aug(21), aug(24), aug(25), aug(26))
    assert school.states(3, *days) == ["done", "reopened", "done", "reopened", "done", "reopened", "done"]


def test_a_change_that_is_learned_after_the_sign_off_but_happened_before_undoes_it_all_the_same(school: School) -> None:
    two_classes(school)
    school.happened(aug(20), verified("1a"), verified("1b"))
    school.happened(aug(19), VerificationLapsed(class_id="1a", revision=2))
    assert school.states(3, aug(19), aug(20)) == ["not_started", "in_progress"]


def test_a_check_after_the_change_counts(school: School) -> None:
    two_classes(school)
    school.happened(aug(20), VerificationLapsed(class_id="1a", revision=2))
    school.happened(aug(20), verified("1a"), verified("1b"))
    assert school.states(3, aug(20)) == ["done"]


def test_data_checked_after_15_september_are_checked_late(school: School) -> None:
    two_classes(school)
    school.happened(sep(16), verified("1a"), verified("1b"))
    assert [school.step(3, day).deadline for day in (sep(15), sep(16))] == ["due_today", "done_late"]


# 5: workplaces, declared and attested.


def workplaces(online: int, total: int = 40) -> WorkplacesDeclared:
    return WorkplacesDeclared(online=online, total=total)


ATTESTED = StepAttested(step=5, evidence_sha256=None)


def test_workplaces_are_declared_with_their_number_and_attested(school: School) -> None:
    school.happened(aug(18), workplaces(30))
    assert school.states(5, aug(18)) == ["not_started"]
    school.happened(aug(19), ATTESTED)
    assert school.states(5, aug(18), aug(19), sep(30)) == ["not_started", "done", "done"]
    assert school.step(5, aug(19)).deadline == "done_on_time"


def test_an_attestation_without_numbers_attests_nothing(school: School) -> None:
    school.happened(aug(18), ATTESTED)
    school.happened(aug(20), workplaces(30))
    school.happened(aug(21), ATTESTED)
    assert school.states(5, aug(18), aug(20), aug(21)) == ["not_started", "not_started", "done"]


def test_no_workplaces_are_not_as_many_as_possible(school: School) -> None:
    school.happened(aug(18), workplaces(0, 0), ATTESTED)
    assert school.states(5, aug(18)) == ["not_started"]


def test_of_several_numbers_on_one_day_the_last_counts(school: School) -> None:
    school.happened(aug(18), workplaces(10), workplaces(5), ATTESTED)
    school.happened(aug(19), workplaces(6))
    school.happened(aug(20), workplaces(9), workplaces(3))
    assert school.states(5, aug(18), aug(19), aug(20)) == ["done", "done", "reopened"]


def test_fewer_workplaces_undo_step_5_until_there_are_as_many_again_or_the_fewer_are_attested(school: School) -> None:
    school.happened(aug(18), workplaces(30), ATTESTED)
    school.happened(aug(19), workplaces(29))
    school.happened(aug(20), workplaces(31))
    school.happened(aug(21), workplaces(20))
    school.happened(aug(24), ATTESTED)
    school.happened(aug(25), workplaces(25))
    days = (aug(18), aug(19), aug(20), aug(21), aug(24), aug(25))
    assert school.states(5, *days) == ["done", "reopened", "done", "reopened", "done", "done"]


# 9, 10, 11: periods, bells, reference lists.


def periods(grade: int, year: str = "2015/2016") -> ReportingPeriodsDefined:
    return ReportingPeriodsDefined(grade=grade, academic_year=year, periods=(Period(begins=sep(1), ends=date(2016, 5, 31)),))


def a_parallel(class_id: str, grade: int, year: str = "2015/2016") -> ClassDeclared:
    return ClassDeclared(class_id=class_id, grade=grade, letter="А", academic_year=year)


def test_periods_are_entered_for_every_parallel_in_use(school: School) -> None:
    school.happened(aug(17), a_parallel("1a", 1), a_parallel("1b", 1), a_parallel("5a", 5), periods(11))
    assert school.count(9, aug(17)) == (0, 2)
    school.happened(aug(18), periods(1))
    school.happened(aug(19), periods(5))
    assert school.states(9, aug(17), aug(18), aug(19)) == ["not_started", "in_progress", "done"]
    assert school.missing(9, aug(18)) == ["2015/2016/5"]


def test_a_new_year_and_a_new_parallel_ask_for_periods_again_and_a_closed_one_does_not(school: School) -> None:
    school.happened(aug(17), a_parallel("1a", 1), periods(1))
    school.happened(aug(19), a_parallel("7a", 7))
    school.happened(aug(20), ClassClosed(class_id="7a"))
    school.happened(aug(21), a_parallel("2a", 2, "2016/2017"))
    school.happened(aug(24), periods(2, "2016/2017"))
    assert school.states(9, aug(17), aug(19), aug(20), aug(21), aug(24)) == ["done", "reopened", "done", "reopened", "done"]


def test_periods_entered_after_their_day_are_late(school: School) -> None:
    school.happened(aug(17), a_parallel("1a", 1))
    school.happened(aug(21), periods(1))
    assert [school.step(9, day).deadline for day in (aug(20), aug(21))] == ["due_today", "done_late"]


def bells(shift: int) -> BellScheduleDefined:
    return BellScheduleDefined(shift=shift, lessons=(LessonTime(begins="08:30", ends="09:15"),))


def test_every_shift_with_classes_has_a_bell_schedule(school: School) -> None:
    school.happened(aug(17), declared("1a"), declared("1b"), created("1a"))
    assert school.states(10, aug(17)) == ["not_started"]
    school.happened(aug(18), bells(1))
    school.happened(aug(19), ClassCreated(class_id="1b", shift=2))
    school.happened(aug(20), bells(2))
    school.happened(aug(21), BellScheduleDeleted(shift=1))
    school.happened(aug(24), bells(1))
    days = (aug(18), aug(19), aug(20), aug(21), aug(24))
    assert school.states(10, *days) == ["done", "reopened", "done", "reopened", "done"]
    assert school.missing(10, aug(19)) == ["2"]
    assert school.step(10, aug(18)).deadline == "done_on_time"


def filled(name: str) -> ReferenceListFilled:
    return ReferenceListFilled(list=name, entries=3, sha256="0" * 64)


def test_the_four_required_lists_are_filled_and_another_one_does_not_count(school: School) -> None:
    assert school.count(11, aug(17)) == (0, 4)
    school.happened(aug(18), filled("subjects"), filled("positions"), filled("rooms"), filled("pets"))
    school.happened(aug(19), filled("group-types"))
    school.happened(aug(20), ReferenceListCleared(list="rooms"))
    school.happened(aug(21), filled("rooms"))
    days = (aug(17), aug(18), aug(19), aug(20), aug(21))
    assert school.states(11, *days) == ["not_started", "in_progress", "done", "reopened", "done"]
    assert school.missing(11, aug(20)) == ["rooms"]
    assert school.step(11, aug(19)).deadline == "done_on_time"


# 16 and 17: timetables and consultations.


def timetable(class_id: str) -> TimetablePublished:
    return TimetablePublished(class_id=class_id, valid_from=sep(1), lessons=20, sha256="0" * 64)


def test_every_created_class_has_a_timetable(school: School) -> None:
    two_classes(school)
    school.happened(aug(24), timetable("1a"))
    school.happened(aug(25), timetable("1b"))
    school.happened(aug(26), TimetableWithdrawn(class_id="1a"))
    school.happened(aug(27), timetable("1a"))
    school.happened(aug(28), declared("1c"), created("1c"))
    school.happened(aug(31), timetable("1c"))
    days = (aug(17), aug(24), aug(25), aug(26), aug(27), aug(28), aug(31))
    assert school.states(16, *days) == ["not_started", "in_progress", "done", "reopened", "done", "reopened", "done"]
    assert school.missing(16, aug(26)) == ["1a"]
    assert school.step(16, aug(25)).deadline == "done_on_time"


def consulted(*classes: str) -> list[ConsultationHeld]:
    return [ConsultationHeld(consultation="m1", class_id=class_id, attendees=20) for class_id in classes]


def test_the_families_of_every_created_class_are_consulted(school: School) -> None:
    two_classes(school)
    school.happened(aug(25), *consulted("1a"))
    school.happened(aug(27), *consulted("1b"))
    school.happened(aug(28), declared("1c"), created("1c"))
    school.happened(aug(31), *consulted("1c"))
    days = (aug(17), aug(25), aug(27), aug(28), aug(31))
    assert school.states(17, *days) == ["not_started", "in_progress", "done", "reopened", "done"]
    assert school.step(17, aug(27)).deadline == "done_late"


# 20: again and again.


def everything_assigned(school: School, on: date) -> None:
    """Step 15 done."""
    school.happened(aug(17), declared("1a"), created("1a"), headcount("1a", 1))
    school.happened(on, granted("p1", at=seat("1a", 1)), enrolled("p1", "1a", 1), linked("p1", "m1"), assigned("p1", "1a"))


def test_the_first_week_to_check_ends_on_the_friday_after_step_15_was_first_done(school: School) -> None:
    everything_assigned(school, aug(25))  # a Tuesday
    assert [school.count(20, day) for day in (aug(25), aug(27), aug(28), sep(3), sep(4), sep(11))] == [
        (0, 0),
        (0, 0),
        (0, 1),
        (0, 1),
        (0, 2),
        (0, 3),
    ]


def test_a_week_is_checked_by_a_check_of_the_whole_school_in_that_week(school: School) -> None:
    everything_assigned(school, aug(25))
    school.happened(aug(27), verified(None))
    school.happened(sep(5), verified(None), verified("1a"))
    assert [school.count(20, day) for day in (aug(27), aug(28), sep(4), sep(11))] == [(0, 0), (1, 1), (1, 2), (2, 3)]
    assert school.missing(20, sep(11)) == ["2015-09-04"]


def test_what_recurs_is_never_done(school: School) -> None:
    everything_assigned(school, aug(25))
    assert school.states(20, aug(26)) == ["not_started"]
    school.happened(aug(27), verified(None))
    assert school.states(20, aug(26), aug(27), aug(28), sep(30)) == ["not_started", "in_progress", "in_progress", "in_progress"]
    assert school.step(20, aug(28)).deadline == "none"
    assert school.step(20, aug(28)).first_completed_on is None


# 21: the activity rating.


def rated(week_ends: date, score: int) -> SchoolActivityRated:
    return SchoolActivityRated(week_ends=week_ends, score=score, teachers=score, families=score, pupils=score)


def test_a_rating_of_70_completes_step_21_and_one_week_below_it_is_forgiven(school: School) -> None:
    for day, score in ((sep(6), 40), (sep(13), 70), (sep(20), 69), (sep(27), 71)):
        school.happened(day, rated(day, score))
    assert school.states(21, sep(5), sep(6), sep(13), sep(20), sep(27)) == ["not_started", "in_progress", "done", "done", "done"]
    assert [school.count(21, day) for day in (sep(6), sep(20))] == [(40, 100), (69, 100)]
    assert school.step(21, sep(13)).deadline == "done_on_time"


def test_two_weeks_below_undo_step_21_until_it_is_reached_again(school: School) -> None:
    for day, score in ((sep(6), 80), (sep(13), 60), (sep(20), 60), (sep(27), 60)):
        school.happened(day, rated(day, score))
    school.happened(date(2015, 10, 4), rated(date(2015, 10, 4), 75))
    days = (sep(6), sep(13), sep(20), sep(27), date(2015, 10, 4))
    assert school.states(21, *days) == ["done", "done", "reopened", "reopened", "done"]
    assert school.missing(21, sep(20)) == ["school-1"]


# What ends a decision, and what takes a code back.


def test_a_consent_that_expires_undoes_the_staff_s_decision_until_it_is_renewed(school: School) -> None:
    school.happened(aug(17), hired("anna"), granted("anna", "staff"))
    school.happened(aug(24), ConsentExpired(consent_id="consent-anna", subject="anna", subject_kind=SubjectKind.STAFF))
    school.happened(aug(25), granted("anna", "staff", consent_id="second"))
    school.happened(aug(26), ConsentExpired(consent_id="consent-anna", subject="anna", subject_kind=SubjectKind.STAFF))
    assert school.states(8, aug(17), aug(24), aug(25), aug(26)) == ["done", "reopened", "done", "done"]


def test_a_consent_that_was_withdrawn_before_its_last_day_expires_no_more_whenever_that_is_learned(school: School) -> None:
    school.happened(aug(17), hired("anna"), granted("anna", "staff"))
    school.happened(aug(24), ConsentExpired(consent_id="consent-anna", subject="anna", subject_kind=SubjectKind.STAFF))
    school.happened(aug(20), withdrawn("anna", "staff"))
    assert school.states(8, aug(17), aug(20), aug(24)) == ["done", "done", "done"]


def test_a_consent_that_never_was_valid_decided_nothing_on_any_day(school: School) -> None:
    school.happened(aug(17), hired("anna"), granted("anna", "staff"))
    assert school.states(8, aug(17), aug(20)) == ["done", "done"]
    school.happened(
        aug(17),
        ConsentInvalidated(consent_id="consent-anna", subject="anna", subject_kind=SubjectKind.STAFF, reason=InvalidationReason.NOT_SIGNED),
    )
    assert school.states(8, aug(17), aug(20)) == ["not_started", "not_started"]
    school.happened(aug(21), refused("anna", "staff").model_copy(update={"consent_id": "second"}))
    assert school.states(8, aug(21)) == ["done"]


def test_a_decision_that_never_was_valid_leaves_undecided_whom_it_should_have_decided_for_anew(school: School) -> None:
    school.happened(aug(17), hired("anna"), granted("anna", "staff"))
    school.happened(aug(20), granted("anna", "staff", consent_id="second"))
    invalidated = ConsentInvalidated(
        consent_id="second", subject="anna", subject_kind=SubjectKind.STAFF, reason=InvalidationReason.NOT_SIGNED
    )
    school.happened(aug(20), invalidated)
    assert school.states(8, aug(19), aug(20)) == ["done", "reopened"]


def test_an_eighteenth_birthday_undoes_the_families_decisions_and_the_pupil_decides(school: School) -> None:
    everything_assigned(school, aug(18))
    school.happened(aug(18), granted("m1", "guardian"))
    school.happened(aug(24), ConsentExpired(consent_id="consent-p1", subject="p1", subject_kind=SubjectKind.PUPIL))
    school.happened(aug(25), granted("p1", consent_id="own"))
    assert school.states(13, aug(18), aug(24), aug(25)) == ["done", "reopened", "done"]
    assert school.states(14, aug(18), aug(24), aug(25)) == ["done", "done", "done"]


def with_a_code(school: School, expires_on: date = date(2015, 12, 1)) -> None:
    school.happened(aug(17), hired("anna"), granted("anna", "staff"), issued("anna", "first", expires_on))


def test_mail_that_comes_back_undoes_its_dispatch_until_another_way_is_found(school: School) -> None:
    with_a_code(school)
    school.happened(aug(18), CredentialsDispatched(credential="first", person="anna", message="mail"))
    school.happened(aug(20), MessageBounced(message="mail", recipient="anna", status=550))
    school.happened(aug(21), CredentialsHandedOver(credential="first", person="anna", channel=Channel.PAPER, receiver="anna"))
    assert school.states(18, aug(17), aug(18), aug(20), aug(21)) == ["not_started", "done", "reopened", "done"]


def test_a_code_that_is_taken_back_undoes_its_hand_over_until_another_one_is_out(school: School) -> None:
    with_a_code(school)
    school.happened(aug(18), CredentialsHandedOver(credential="first", person="anna", channel=Channel.PAPER, receiver="anna"))
    school.happened(aug(20), CredentialsRevoked(credential="first", person="anna", reason=RevocationReason.LOST))
    school.happened(aug(21), issued("anna", "second", date(2015, 12, 1)))
    school.happened(aug(24), CredentialsDispatched(credential="second", person="anna", message="mail"))
    assert school.states(18, aug(18), aug(20), aug(21), aug(24)) == ["done", "reopened", "reopened", "done"]


def test_a_link_that_was_taken_back_because_its_mail_returned_is_not_out_again_by_its_dispatch(school: School) -> None:
    with_a_code(school)
    school.happened(aug(18), CredentialsRevoked(credential="first", person="anna", reason=RevocationReason.RETURNED))
    school.happened(aug(18), CredentialsDispatched(credential="first", person="anna", message="mail"))
    assert school.states(18, aug(18), aug(20)) == ["not_started", "not_started"]


def test_another_message_that_comes_back_says_nothing_of_the_code(school: School) -> None:
    with_a_code(school)
    school.happened(aug(18), CredentialsDispatched(credential="first", person="anna", message="mail"))
    school.happened(aug(20), MessageBounced(message="other", recipient="anna", status=550))
    assert school.states(18, aug(20)) == ["done"]


def test_a_code_that_expires_before_it_is_used_undoes_its_hand_over(school: School) -> None:
    with_a_code(school, expires_on=aug(26))
    school.happened(aug(18), CredentialsHandedOver(credential="first", person="anna", channel=Channel.PAPER, receiver="anna"))
    assert school.states(18, aug(18), aug(26), aug(27)) == ["done", "done", "reopened"]
    school.happened(aug(28), issued("anna", "second", date(2015, 12, 1)))
    school.happened(aug(31), CredentialsHandedOver(credential="second", person="anna", channel=Channel.PAPER, receiver="anna"))
    assert school.states(18, aug(28), aug(31)) == ["reopened", "done"]


def test_a_code_that_was_used_in_time_expires_for_nobody(school: School) -> None:
    with_a_code(school, expires_on=aug(26))
    school.happened(aug(18), CredentialsHandedOver(credential="first", person="anna", channel=Channel.PAPER, receiver="anna"))
    school.happened(aug(25), activated("anna"))
    assert school.states(18, aug(27)) == ["done"]


def test_pupils_who_are_rolled_over_take_their_decisions_along_to_the_next_year(school: School) -> None:
    everything_assigned(school, aug(18))
    school.happened(aug(18), granted("m1", "guardian"))
    following = ClassDeclared(class_id="2a", grade=2, letter="А", academic_year="2016/2017")
    school.happened(aug(24), following, created("2a"), headcount("2a", 1))
    assert school.states(15, aug(24)) == ["reopened"]
    school.happened(aug(25), PupilMoved(pupil="p1", seat=seat("2a", 1)), assigned("p1", "2a"), ClassClosed(class_id="1a"))
    school.happened(aug(25), AcademicYearRolledOver(from_year="2015/2016", to_year="2016/2017"))
    assert school.states(13, aug(25)) == ["done"]
    assert (school.states(15, aug(25)), school.count(15, aug(25))) == (["done"], (1, 1))


# Every step the same way: not started, done in time, late, waived.


@dataclass(frozen=True)
class Way:
    """What a school has on the first day, and what then does the step."""

    given: tuple[Event, ...]
    done: tuple[Event, ...]


A_CLASS = (a_parallel("1a", 1), created("1a"), headcount("1a", 1))
A_DECISION = granted("p1", at=seat("1a", 1))
AN_ENTRY = (enrolled("p1", "1a", 1), linked("p1", "m1"))
A_TEACHER = (hired("anna"), granted("anna", "staff"), issued("anna"))

WAYS = {
    1: Way((hired("anna"), named("t1", "anna")), (attended("t1", "anna"),)),
    2: Way((hired("head", Position.DIRECTOR), issued("head")), (handed_over("head"),)),
    3: Way(A_CLASS, (verified("1a"),)),
    4: Way((hired("anna"),), (CoordinatorAppointed(person="anna"),)),
    5: Way((), (workplaces(30), ATTESTED)),
    6: Way((), (ImplementationOrderRegistered(order="o1", evidence_sha256=None),)),
    7: Way((hired("anna"), CoordinatorAppointed(person="anna")), (attended("t1", "anna", "face-to-face"),)),
    8: Way((hired("anna"),), (granted("anna", "staff"),)),
    9: Way(A_CLASS, (periods(1),)),
    10: Way(A_CLASS, (bells(1),)),
    11: Way((), tuple(filled(name) for name in ("subjects", "positions", "rooms", "group-types"))),
    12: Way((declared("1a"),), (created("1a"),)),
    13: Way(A_CLASS, (A_DECISION,)),
    14: Way((*A_CLASS, A_DECISION), AN_ENTRY),
    15: Way((*A_CLASS, A_DECISION, *AN_ENTRY), (assigned("p1", "1a"),)),
    16: Way(A_CLASS, (timetable("1a"),)),
    17: Way(A_CLASS, tuple(consulted("1a"))),
    18: Way(A_TEACHER, (handed_over("anna"),)),
    19: Way((*A_TEACHER, handed_over("anna")), (activated("anna"),)),
    21: Way((), (rated(aug(16), 80),)),
}
every_step = pytest.mark.parametrize("step", sorted(WAYS))


def against(step: int, word: str) -> str:
    """How a deadline is judged; step 1 has none while the ministry has published no schedule."""
    return "none" if step == 1 else word


@every_step
def test_a_step_is_not_started_and_then_done_in_time(school: School, step: int) -> None:
    school.happened(aug(17), *WAYS[step].given)
    school.happened(aug(18), *WAYS[step].done)
    assert school.states(step, aug(17), aug(18), sep(30)) == ["not_started", "done", "done"]
    assert school.step(step, aug(18)).deadline == against(step, "done_on_time")
    assert school.missing(step, aug(18)) == []
    assert school.missing(step, aug(17)) != []


@every_step
def test_a_step_that_is_done_after_its_date_is_late_for_good(school: School, step: int) -> None:
    school.happened(aug(17), *WAYS[step].given)
    school.happened(sep(30), *WAYS[step].done)
    assert school.states(step, sep(29), sep(30)) == ["not_started", "done"]
    assert [school.step(step, day).deadline for day in (sep(29), sep(30))] == [against(step, "overdue"), against(step, "done_late")]


@every_step
def test_a_waived_step_holds_nobody_up_until_the_waiver_is_revoked_and_may_be_done_all_the_same(school: School, step: int) -> None:
    school.happened(aug(17), *WAYS[step].given)
    school.happened(aug(18), StepWaived(step=step, reason=ExceptionReason.NOT_APPLICABLE))
    school.happened(aug(20), WaiverRevoked(step=step))
    school.happened(aug(21), StepWaived(step=step, reason=ExceptionReason.NOT_APPLICABLE))
    school.happened(aug(24), *WAYS[step].done)
    assert school.states(step, aug(17), aug(18), aug(20), aug(21), aug(24)) == ["not_started", "waived", "not_started", "waived", "done"]
    assert school.step(step, aug(18)).deadline == against(step, "done_on_time")
    following = [later.n for later in load_plan("mo-2015-school-portal").steps if step in later.predecessors]
    assert all(step not in school.step(later, aug(18)).blocked_by for later in following)


def test_a_step_with_several_to_do_is_in_progress_while_some_are_done(school: School) -> None:
    school.happened(aug(17), hired("anna"), hired("boris"), CoordinatorAppointed(person="anna"), CoordinatorAppointed(person="boris"))
    school.happened(aug(17), *A_CLASS, declared("1b"), ClassCreated(class_id="1b", shift=2))
    school.happened(aug(18), attended("t1", "anna", "face-to-face"), bells(1))
    school.happened(aug(19), attended("t1", "boris", "face-to-face"), bells(2))
    for step in (7, 10):
        assert school.states(step, aug(17), aug(18), aug(19)) == ["not_started", "in_progress", "done"]
        assert school.count(step, aug(18)) == (1, 2)


def test_step_20_is_waived_in_any_week(school: School) -> None:
    school.happened(aug(18), StepWaived(step=20, reason=ExceptionReason.NOT_APPLICABLE))
    school.happened(aug(20), WaiverRevoked(step=20))
    assert school.states(20, aug(17), aug(18), aug(19), aug(20)) == ["not_started", "waived", "waived", "not_started"]


# What never was true.


def test_a_fact_that_is_annulled_was_never_there(school: School) -> None:
    school.happened(aug(18), hired("anna"), CoordinatorAppointed(person="anna"))
    appointed = school.logs.events["roster"][-1]
    assert school.states(4, aug(18)) == ["done"]
    annulment = EntryAnnulled(
        event=appointed.id, position=appointed.position, event_type=appointed.type, reason=AnnulmentReason.WRONG_PERSON
    )
    school.happened(aug(18), annulment)
    assert school.states(4, aug(18), aug(19)) == ["not_started", "not_started"]
    school.happened(aug(20), CoordinatorAppointed(person="anna"))
    assert school.states(4, aug(18), aug(20)) == ["not_started", "done"]


# The board as a whole.


def test_a_step_is_blocked_by_its_anchors_that_are_not_done(school: School) -> None:
    assert [school.step(n, aug(17)).blocked_by for n in (4, 7, 8, 13, 18)] == [(), (4,), (4, 6), (9, 10, 11, 12), (14,)]
    school.happened(aug(18), hired("anna"), CoordinatorAppointed(person="anna"))
    assert [school.step(n, aug(18)).blocked_by for n in (7, 8)] == [(), (6,)]


def test_the_board_has_the_21_rows_with_the_dates_frozen_at_adoption(school: School) -> None:
    rows = school.board().rows(aug(17))
    assert [row.step for row in rows] == list(range(1, 22))
    assert [row.due for row in rows if row.step in (1, 2, 13, 18, 19, 20)] == [None, aug(25), aug(21), sep(7), sep(21), None]
    assert all(row.late is None for row in rows if row.step not in (18, 19))


def test_what_was_due_before_the_plan_was_adopted_is_overdue_at_adoption() -> None:
    late = School()
    late.logs = Logs()
    late.logs.adopt("school-1", START, on=sep(7))
    rows = {row.step: row.deadline for row in late.board().rows(sep(7))}
    assert (rows[2], rows[4], rows[3], rows[18]) == ("overdue_at_adoption", "overdue_at_adoption", "on_track", "due_today")


def test_live_dates_move_with_what_happened_and_stay_when_a_step_reopens(school: School) -> None:
    school.happened(aug(20), hired("anna"), CoordinatorAppointed(person="anna"))
    school.happened(aug(24), CoordinatorRelieved(person="anna"))
    assert [school.step(7, day).due_live for day in (aug(18), aug(19), aug(20), aug(24))] == [aug(19), aug(20), aug(21), aug(21)]
    assert {school.step(7, day).due for day in (aug(18), aug(24))} == {aug(19)}


def test_what_was_done_before_the_plan_s_start_sets_its_terms_off_at_the_start(school: School) -> None:
    school.happened(date(2015, 8, 3), hired("anna"), CoordinatorAppointed(person="anna"))
    row = school.step(4, aug(17))
    assert (row.first_completed_on, row.deadline) == (date(2015, 8, 3), "done_on_time")
    assert school.step(7, aug(17)).due_live == aug(18)


def test_a_fact_that_arrives_late_changes_the_board_from_its_day_on_and_not_before(school: School) -> None:
    school.happened(aug(17), hired("anna"), hired("boris"), granted("anna", "staff"), granted("boris", "staff"))
    before = [school.board().rows(day) for day in (aug(17), aug(18), aug(19))]
    school.happened(aug(18), hired("clara"))
    after = [school.board().rows(day) for day in (aug(17), aug(18), aug(19))]
    assert before[0] == after[0]
    assert [rows[7].state for rows in after] == ["done", "reopened", "reopened"]
