"""What makes each step done, late, undone and done again, in a school whose plan starts on Monday 17.08.2015."""

from datetime import date

import pytest

from contracts.consent import AgeBand, Capacity, ConsentGranted, ConsentRefused, ConsentWithdrawn, SubjectKind, Terms
from contracts.event import Event
from contracts.identity import AccountActivated, AccountBlocked, Channel, CredentialsHandedOver, CredentialsIssued
from contracts.plan import ImplementationOrderRegistered, ImplementationOrderRevoked, StepAttested, StepRow
from contracts.roster import (
    ClassClosed,
    ClassCreated,
    ClassDeclared,
    ClassHeadcountDeclared,
    CoordinatorAppointed,
    CoordinatorRelieved,
    GuardianAbsenceRecorded,
    GuardianLinked,
    GuardianUnlinked,
    LegalBasis,
    NoGuardianReason,
    Position,
    PupilAssignedToClass,
    PupilEnrolled,
    PupilLeft,
    Relation,
    Seat,
    SeatHolder,
    StaffDismissed,
    StaffHired,
)
from plan_tracker.domain.board import SchoolBoard
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


def issued(person: str, credential: str | None = None) -> CredentialsIssued:
    return CredentialsIssued(
        credential=credential or f"code-{person}", account=f"account-{person}", person=person, replaces=None, expires_on=date(2015, 12, 1)
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


# The steps that somebody attests, and the board as a whole.


def test_an_attested_step_is_done_from_its_attestation_on(school: School) -> None:
    school.happened(aug(19), StepAttested(step=7, evidence_sha256=None))
    assert school.states(7, aug(18), aug(19), sep(30)) == ["not_started", "done", "done"]
    assert school.step(7, aug(19)).deadline == "done_on_time"


def test_what_recurs_is_never_done(school: School) -> None:
    school.happened(aug(19), StepAttested(step=20, evidence_sha256=None))
    assert school.states(20, aug(18), aug(19), sep(30)) == ["not_started", "in_progress", "in_progress"]
    assert school.step(20, aug(19)).deadline == "none"


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
