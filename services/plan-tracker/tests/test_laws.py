"""What holds of every history: in whatever order the logs arrive, with facts left out, seen from any day.

The histories make no sense on purpose: people are assigned before they exist, dismissed twice, and half of the facts arrive late.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts import identity, plan, roster
from contracts.consent import (
    AgeBand,
    Capacity,
    ConsentExpired,
    ConsentGranted,
    ConsentInvalidated,
    ConsentRefused,
    ConsentWithdrawn,
    SubjectKind,
    Terms,
)
from contracts.event import AnnulmentReason, Event, UnknownEvent
from contracts.identity import (
    AccountActivated,
    AccountBlocked,
    AccountProvisioned,
    Channel,
    CredentialsDispatched,
    CredentialsHandedOver,
    CredentialsIssued,
    CredentialsRevoked,
    RevocationReason,
    SchoolActivityRated,
)
from contracts.notifier import MessageAccepted, MessageBounced
from contracts.plan import (
    BaselineCause,
    BaselineRevised,
    ConsultationHeld,
    DeadlineApproaching,
    DeadlineExtended,
    ExceptionReason,
    ImplementationOrderRegistered,
    ImplementationOrderRevoked,
    StepAttested,
    StepCompleted,
    StepWaived,
    TrainingAttended,
    TrainingSessionCancelled,
    TrainingSessionScheduled,
    WaiverRevoked,
)
from contracts.roster import (
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
    GuardianAbsenceRecorded,
    GuardianLinked,
    GuardianUnlinked,
    ImportRolledBack,
    LegalBasis,
    NoGuardianReason,
    PersonDetailsChanged,
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
from eventkit.event import Recorded
from plan_tracker.domain.board import SchoolBoard
from plan_tracker.domain.deadlines import years_to_pin
from plan_tracker.domain.facts import Documents, fold
from plan_tracker.domain.plan import load_plan
from plan_tracker.testing import Logs, documents_of
from workdays import russian_calendar

SCHOOL = "school-1"
START = date(2015, 8, 17)
DAYS = [START + timedelta(days=n) for n in (0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 30)]
CALENDAR = russian_calendar(years_to_pin(load_plan("mo-2015-school-portal"), START, START), 5).digest  # that the plan is adopted on

LISTS = ["subjects", "positions", "rooms", "group-types"]
NO_SHARES: dict[str, Any] = {share: st.none() for share in ("teachers", "families", "pupils")}

people = st.sampled_from(["a", "b", "c", "d"])
classes = st.sampled_from(["1a", "1b"])
numbers = st.integers(1, 3)
codes = st.sampled_from(["x", "y"])
steps = st.integers(1, 21)
kinds = st.sampled_from(SubjectKind)
bases = st.sampled_from([None, LegalBasis(code="law", reference="N-1")])
seats = st.builds(Seat, class_id=classes, number=numbers, holder=st.sampled_from(SeatHolder))

decisions: dict[str, Any] = {
    "consent_id": codes,
    "supersedes": st.none(),
    "subject": people,
    "subject_kind": kinds,
    "seat": st.none() | seats,
}
EVENTS: list[st.SearchStrategy[Event]] = [
    st.builds(StaffHired, person=people, position=st.sampled_from(Position), hired_on=st.just(START)),
    st.builds(StaffDismissed, person=people),
    st.builds(CoordinatorAppointed, person=people),
    st.builds(CoordinatorRelieved, person=people),
    st.builds(ClassDeclared, class_id=classes, grade=st.just(1), letter=st.just("А"), academic_year=st.just("2015/2016")),
    st.builds(ClassCreated, class_id=classes, shift=st.integers(1, 2)),
    st.builds(ClassHeadcountDeclared, class_id=classes, pupils=st.integers(0, 3)),
    st.builds(ClassClosed, class_id=classes),
    st.builds(
        PupilEnrolled,
        person=people,
        seat=st.builds(Seat, class_id=classes, number=numbers, holder=st.just(SeatHolder.PUPIL)),
        consent_id=st.none(),
        legal_basis=bases,
        enrolled_on=st.just(START),
    ),
    st.builds(PupilLeft, person=people),
    st.builds(GuardianAbsenceRecorded, pupil=people, reason=st.just(NoGuardianReason.ADULT)),
    st.builds(PupilAssignedToClass, pupil=people, class_id=classes),
    st.builds(
        GuardianLinked,
        pupil=people,
        guardian=people,
        relation=st.just(Relation.MOTHER),
        legal_representative=st.just(True),
        consent_id=st.none(),
        legal_basis=bases,
    ),
    st.builds(GuardianUnlinked, pupil=people, guardian=people),
    st.just(ImportRolledBack(import_id="i-1", pupils=1, guardians=0, staff=0, classes=0, put_back=0, left=0, decisions=1)),
    st.builds(PupilMoved, pupil=people, seat=st.builds(Seat, class_id=classes, number=numbers, holder=st.just(SeatHolder.PUPIL))),
    st.builds(WorkplacesDeclared, online=st.integers(0, 3), total=st.just(3)),
    st.builds(ReportingPeriodsDefined, grade=st.integers(1, 2), academic_year=st.just("2015/2016"), periods=st.just(())),
    st.builds(BellScheduleDefined, shift=st.integers(1, 2), lessons=st.just(())),
    st.builds(BellScheduleDeleted, shift=st.integers(1, 2)),
    st.builds(ReferenceListFilled, list=st.sampled_from(LISTS), entries=st.just(1), sha256=st.just("0" * 64)),
    st.builds(ReferenceListCleared, list=st.sampled_from(LISTS)),
    st.builds(TimetablePublished, class_id=classes, valid_from=st.just(START), lessons=st.just(1), sha256=st.just("0" * 64)),
    st.builds(TimetableWithdrawn, class_id=classes),
    st.builds(RosterDataVerified, class_id=st.none() | classes, revision=st.none()),
    st.builds(VerificationLapsed, class_id=classes, revision=st.just(2)),
    st.builds(DataIssueOpened, issue=codes, class_id=classes, kind=st.just("wrong"), blocking=st.booleans()),
    st.builds(DataIssueResolved, issue=codes, class_id=classes),
    st.builds(PersonDetailsChanged, person=people, fields=st.just(("phone",))),
    st.builds(
        ConsentGranted,
        **decisions,
        age_band=st.just(AgeBand.ADULT),
        grantor=st.none(),
        capacity=st.just(Capacity.SELF),
        terms=st.just(Terms()),
        form=st.just("paper"),
        evidence_sha256=st.none(),
        signed_on=st.just(START),
        valid_from=st.just(START),
        valid_until=st.none(),
    ),
    st.builds(ConsentRefused, **decisions, decided_on=st.just(START)),
    st.builds(ConsentWithdrawn, consent_id=codes, subject=people, subject_kind=kinds),
    st.builds(ConsentExpired, consent_id=codes, subject=people, subject_kind=kinds),
    st.builds(ConsentInvalidated, consent_id=codes, subject=people, subject_kind=kinds, reason=st.just("forged")),
    st.builds(AccountProvisioned, account=people, person=people, kind=kinds),
    st.builds(CredentialsIssued, credential=codes, account=people, person=people, replaces=st.none(), expires_on=st.sampled_from(DAYS)),
    st.builds(CredentialsHandedOver, credential=codes, person=people, channel=st.just(Channel.PAPER), receiver=people),
    st.builds(CredentialsDispatched, credential=codes, person=people, message=codes),
    st.builds(CredentialsRevoked, credential=codes, person=people, reason=st.just(RevocationReason.LOST)),
    st.builds(MessageBounced, message=codes, recipient=people, status=st.just(550)),
    st.builds(SchoolActivityRated, week_ends=st.just(START), score=st.sampled_from([0, 69, 70, 100]), **NO_SHARES),
    st.builds(AccountActivated, account=people, person=people, method=st.just("link")),
    st.builds(AccountBlocked, account=people, person=people, reason=st.just("left")),
    st.builds(StepAttested, step=st.just(5), evidence_sha256=st.none()),
    st.builds(
        TrainingSessionScheduled,
        session=codes,
        day=st.just(START),
        form=st.sampled_from(["remote", "face-to-face"]),
        people=st.lists(people, max_size=3, unique=True).map(tuple),
    ),
    st.builds(TrainingSessionCancelled, session=codes),
    st.builds(TrainingAttended, session=codes, form=st.sampled_from(["remote", "face-to-face"]), person=people),
    st.builds(ConsultationHeld, consultation=codes, class_id=classes, attendees=st.just(9)),
    st.builds(StepWaived, step=steps, reason=st.just(ExceptionReason.QUARANTINE)),
    st.builds(WaiverRevoked, step=steps),
    st.builds(DeadlineExtended, step=steps, due=st.sampled_from(DAYS), reason=st.just(ExceptionReason.QUARANTINE)),
    st.builds(
        BaselineRevised,
        cause=st.sampled_from(BaselineCause),
        revision=st.just(1),
        calendar=st.just(CALENDAR),
        baseline=st.dictionaries(steps.map(str), st.none() | st.sampled_from(DAYS), max_size=3),
    ),
    st.builds(ImplementationOrderRegistered, order=codes, evidence_sha256=st.none()),
    st.builds(ImplementationOrderRevoked, order=codes),
    st.builds(StepCompleted, step=st.just(8), revision=st.just(1), day=st.just(START)),
    st.builds(MessageAccepted, message=codes, recipient=people),
]

ANNULLING = {"roster": roster.EntryAnnulled, "plan": plan.EntryAnnulled, "identity": identity.EntryAnnulled}

Told = list[tuple[Event, date]]
histories: st.SearchStrategy[Told] = st.lists(st.tuples(st.one_of(EVENTS), st.sampled_from(DAYS)), max_size=60)


def recorded(history: Told) -> Logs:
    """The logs of a school that adopted its plan on the first day."""
    logs = Logs()
    logs.adopt(SCHOOL, START)
    for event, day in history:
        logs.record(SCHOOL, day, event)
    return logs


def board_of(documents: Documents) -> SchoolBoard:
    board = SchoolBoard(SCHOOL)
    board.replace(documents)
    return board


def seen(board: SchoolBoard, days: Sequence[date] = DAYS) -> list[object]:
    """Everything that can be asked of a board."""
    return [(board.rows(day), [board.missing(n, day) for n in range(1, 22)]) for day in days]


def timelines(board: SchoolBoard) -> object:
    progress = board.progress()
    assert progress is not None
    return progress.timelines


@given(histories, st.randoms(use_true_random=False))
def test_any_interleaving_of_the_five_logs_taken_in_by_bits_ends_in_the_same_board_and_timelines(history: Told, random: Any) -> None:
    logs = recorded(history)
    at_once = board_of(documents_of(SCHOOL, logs.all()))
    rest = {source: list(log) for source, log in logs.events.items() if log}
    board, taken = SchoolBoard(SCHOOL), list[Recorded]()
    while rest:
        source = random.choice(sorted(rest))
        bit = rest[source][: random.randint(1, 3)]
        rest[source] = rest[source][len(bit) :]
        if not rest[source]:
            del rest[source]
        taken += bit
        touched = {folded[0] for event in bit if (folded := fold(event)) is not None}
        board.replace({key: facts for key, facts in documents_of(SCHOOL, taken).items() if key in touched})
    assert timelines(board) == timelines(at_once)
    assert seen(board) == seen(at_once)


@given(histories, st.data())
def test_a_history_with_facts_left_out_still_makes_a_board(history: Told, data: st.DataObject) -> None:
    left = [told for told in history if data.draw(st.booleans())]
    assert len(board_of(documents_of(SCHOOL, recorded(left).all())).rows(DAYS[-1])) == 21


@given(histories, st.sampled_from(DAYS))
def test_a_board_of_the_past_knows_nothing_that_happened_after_it(history: Told, day: date) -> None:
    everything = recorded(history).all()
    until = [event for event in everything if event.happenedon <= day.isoformat()]
    assert seen(board_of(documents_of(SCHOOL, everything)), [day]) == seen(board_of(documents_of(SCHOOL, until)), [day])


@given(histories)
def test_done_never_exceeds_total_and_a_step_is_done_exactly_where_they_meet(history: Told) -> None:
    board = board_of(documents_of(SCHOOL, recorded(history).all()))
    for row in (row for day in DAYS for row in board.rows(day)):
        assert row.done is not None
        assert row.total is not None
        assert 0 <= row.done <= row.total
        reached = row.done >= 70 if row.step == 21 else 0 < row.done == row.total  # points of a hundred; one week below them is forgiven
        assert row.state == "done" or not reached
        assert reached or row.state != "done" or row.step == 21
        assert (row.completed_on is not None) == (row.state in ("done", "waived"))
        assert row.late is None or 0 <= row.late <= row.total - row.done


@given(histories, st.data())
def test_an_annulled_fact_leaves_a_board_on_which_it_never_was(history: Told, data: st.DataObject) -> None:
    """Live, as the annulment arrives, and in a rebuild."""
    logs, struck = recorded(history), set[tuple[str, int]]()
    without = recorded([])
    board = board_of(documents_of(SCHOOL, logs.all()))
    for event, day in history:
        service = event.type.split(".")[0]
        position = len(without.events[service]) + 1
        if service in ANNULLING and data.draw(st.booleans()):
            annulment = ANNULLING[service](event="e-1", position=position, event_type=event.type, reason=AnnulmentReason.MISTYPED)
            logs.record(SCHOOL, day, annulment)
            struck.add((service, position))
        without.record(SCHOOL, day, event)
    true = [event for event in without.all() if (event.service, event.position) not in struck]
    board.replace(documents_of(SCHOOL, logs.all()))
    assert seen(board) == seen(board_of(documents_of(SCHOOL, logs.all()))) == seen(board_of(documents_of(SCHOOL, true)))


# ---- The same numbers, counted naively: one day, one look at what is true at its end --------------------------------------


@dataclass
class Person:
    position: str | None = None
    appointed: bool = False
    entered: bool = False
    left: bool = False
    by_basis: bool = False
    alone: bool = False
    class_id: str | None = None
    seat: tuple[str, int] | None = None
    lost: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    linked_by_basis: bool = False
    pupils: set[str] = field(default_factory=set[str])
    pupils_of_today: set[str] = field(default_factory=set[str])
    state: dict[str, str] = field(default_factory=dict[str, str])
    consent: dict[str, str] = field(default_factory=dict[str, str])
    code: str | None = None
    code_until: date = date.max
    has_code: bool = False
    reached: bool = False
    active: bool = False
    sessions: set[str] = field(default_factory=set[str])
    attended: set[str] = field(default_factory=set[str])
    trained: bool = False
    expired: set[str] = field(default_factory=set[str])
    """As what the person had decided once."""


@dataclass
class Naive:
    """A school at the end of one day: the facts up to it, applied one after another as they say."""

    people: dict[str, Person] = field(default_factory=lambda: {name: Person() for name in "abcd"})
    declared: set[str] = field(default_factory=set[str])
    created: set[str] = field(default_factory=set[str])
    closed: set[str] = field(default_factory=set[str])
    headcount: dict[str, int] = field(default_factory=dict[str, int])
    orders: set[str] = field(default_factory=set[str])
    shifts: dict[str, int] = field(default_factory=dict[str, int])
    periods: set[int] = field(default_factory=set[int])
    bells: set[int] = field(default_factory=set[int])
    lists: set[str] = field(default_factory=set[str])
    timetables: set[str] = field(default_factory=set[str])
    consulted: set[str] = field(default_factory=set[str])
    issues: dict[str, set[str]] = field(default_factory=lambda: {"1a": set(), "1b": set()})

    def apply(self, event: Event, day: date) -> None:
        match event:
            case PupilMoved():
                self.people[event.pupil].seat = event.seat.class_id, event.seat.number
            case ReportingPeriodsDefined():
                self.periods.add(event.grade)
            case BellScheduleDefined():
                self.bells.add(event.shift)
            case BellScheduleDeleted():
                self.bells.discard(event.shift)
            case ReferenceListFilled():
                self.lists.add(event.list)
            case ReferenceListCleared():
                self.lists.discard(event.list)
            case TimetablePublished():
                self.timetables.add(event.class_id)
            case TimetableWithdrawn():
                self.timetables.discard(event.class_id)
            case ConsultationHeld():
                self.consulted.add(event.class_id)
            case TrainingSessionScheduled():
                for name in event.people:
                    self.people[name].sessions.add(event.session)
            case TrainingSessionCancelled():
                for one in self.people.values():
                    one.sessions.discard(event.session)
            case TrainingAttended():
                self.people[event.person].attended.add(event.session)
                self.people[event.person].trained |= event.form == "face-to-face"
            case ConsentExpired():
                person, kind = self.people[event.subject], event.subject_kind.value
                if person.consent.get(kind, event.consent_id) == event.consent_id:
                    person.state.pop(kind, None)
                    person.expired.add(kind)
            case StaffHired():
                self.people[event.person].position = event.position
            case StaffDismissed():
                self.people[event.person].position = None
                self.people[event.person].appointed = False
            case CoordinatorAppointed():
                self.people[event.person].appointed = True
            case CoordinatorRelieved():
                self.people[event.person].appointed = False
            case ClassDeclared():
                self.declared.add(event.class_id)
            case ClassCreated():
                self.created.add(event.class_id)
                self.shifts.setdefault(event.class_id, event.shift)
            case ClassHeadcountDeclared():
                self.headcount[event.class_id] = event.pupils
            case ClassClosed():
                self.closed.add(event.class_id)
            case PupilEnrolled():
                person = self.people[event.person]
                person.entered, person.left, person.by_basis = True, False, event.legal_basis is not None
                person.seat = event.seat.class_id, event.seat.number
            case PupilLeft():
                person = self.people[event.person]
                person.entered, person.left, person.class_id = False, True, None
                if person.seat is not None:
                    person.lost.add(person.seat)
                person.seat = None
            case GuardianAbsenceRecorded():
                self.people[event.pupil].alone = True
            case PupilAssignedToClass():
                self.people[event.pupil].class_id = event.class_id
            case GuardianLinked():
                self.people[event.guardian].pupils.add(event.pupil)
                self.people[event.pupil].alone = False
                self.people[event.guardian].linked_by_basis |= event.legal_basis is not None
            case GuardianUnlinked():
                self.people[event.guardian].pupils.discard(event.pupil)
            case ConsentGranted() | ConsentRefused():
                person, kind = self.people[event.subject], event.subject_kind.value
                person.state[kind] = "granted" if isinstance(event, ConsentGranted) else "refused"
                person.consent[kind] = event.consent_id
                if kind == "pupil" and event.seat is not None and event.seat.holder is SeatHolder.PUPIL and not person.entered:
                    person.seat = event.seat.class_id, event.seat.number
            case ConsentWithdrawn():
                person, kind = self.people[event.subject], event.subject_kind.value
                if person.consent.get(kind, event.consent_id) == event.consent_id:
                    person.state[kind], person.consent[kind] = "withdrawn", ""
                person.state.setdefault(kind, "withdrawn")
            case CredentialsIssued():
                person = self.people[event.person]
                person.code, person.code_until, person.has_code = event.credential, event.expires_on, False
            case CredentialsHandedOver():
                person = self.people[event.person]
                if person.code in (None, event.credential) and day <= person.code_until:
                    person.has_code = person.reached = True
            case CredentialsRevoked():
                person = self.people[event.person]
                if person.code in (None, event.credential):
                    person.code, person.code_until, person.has_code = "", date.max, False
            case AccountActivated():
                self.people[event.person].active = self.people[event.person].reached = True
            case ImplementationOrderRegistered():
                self.orders.add(event.order)
            case ImplementationOrderRevoked():
                self.orders.discard(event.order)
            case _:
                pass

    def counts(self, day: date) -> dict[int, tuple[int, int]]:
        """Done and total of the derived steps at the end of a day."""
        staff = {name: one for name, one in self.people.items() if one.position is not None}
        coordinators = {name for name, one in staff.items() if one.appointed}
        declared = self.declared - self.closed
        here = {name: {pupil for pupil in one.pupils if not self.people[pupil].left} for name, one in self.people.items()}
        held = {(class_id, number) for class_id in ("1a", "1b") for number in (1, 2, 3)}
        by_seat = {seat: [one for one in self.people.values() if one.seat == seat] for seat in held}
        lost = {seat for one in self.people.values() for seat in one.lost}
        empty = {
            (class_id, number)
            for class_id, number in held
            if class_id not in self.closed
            and number <= self.headcount.get(class_id, 0)
            and not by_seat[class_id, number]
            and (class_id, number) not in lost
        }
        taken = {seat: holders for seat, holders in by_seat.items() if holders}
        willing = {
            seat: [one for one in holders if one.by_basis or one.state.get("pupil") not in ("refused", "withdrawn")]
            for seat, holders in taken.items()
        }
        willing = {seat: holders for seat, holders in willing.items() if holders}
        guarded = {pupil for one in self.people.values() for pupil in one.pupils}
        names = {id(one): name for name, one in self.people.items()}
        guardians = {
            name: "guardian" in one.state or one.linked_by_basis
            for name, one in self.people.items()
            if here[name] or (("guardian" in one.state or one.linked_by_basis) and not (one.pupils and not here[name]))
        }
        members = {
            name
            for name, one in self.people.items()
            if (one.seat is not None and (one.state.get("pupil") == "granted" or one.by_basis))
            or (here[name] and (one.state.get("guardian") == "granted" or one.linked_by_basis))
            or (one.position is not None and (one.state.get("staff") == "granted" or one.position == "director" or name in coordinators))
        }

        def ratio(of: Sequence[Any], holds: Callable[[Any], bool]) -> tuple[int, int]:
            return sum(holds(one) for one in of), len(of)

        decided = ratio(
            list(taken.items()),
            lambda seat: seat[0][0] in self.headcount and any(one.by_basis or "pupil" in one.state for one in seat[1]),
        )
        deciding = ratio(list(guardians.values()), lambda decided: bool(self.headcount) and decided)
        entered = ratio(
            list(willing.values()), lambda holders: any(one.entered and (one.alone or names[id(one)] in guarded) for one in holders)
        )
        placed = ratio(list(willing.values()), lambda holders: any(one.class_id in self.created - self.closed for one in holders))
        open_classes = self.created - self.closed
        parallels = {1} if declared else set[int]()
        shifts = {self.shifts[one] for one in open_classes} | self.bells
        responsible = [one for name, one in staff.items() if one.position == "director" or name in coordinators]
        return {
            1: ratio([one for one in staff.values() if one.sessions], lambda one: bool(one.attended) and not one.sessions - one.attended),
            2: ratio(responsible, lambda one: one.reached),
            7: ratio([staff[name] for name in coordinators], lambda one: one.trained),
            9: (len(parallels & self.periods), len(parallels)),
            10: (len(self.bells), len(shifts)),
            11: (len(self.lists), 4),
            16: (len(open_classes & self.timetables), len(open_classes)),
            17: (len(open_classes & self.consulted), len(open_classes)),
            4: (int(bool(coordinators)), 1),
            6: (int(bool(self.orders)), 1),
            8: ratio(list(staff.values()), lambda one: "staff" in one.state),
            12: (len(declared & self.created), len(declared)),
            13: (decided[0] + deciding[0], decided[1] + len(empty) + deciding[1]),
            14: (entered[0], entered[1] + len(empty)),
            15: (placed[0], placed[1] + len(empty)),
            18: ratio(
                list(members),
                lambda name: self.people[name].active or (self.people[name].has_code and day <= self.people[name].code_until),
            ),
            19: ratio(list(members), lambda name: self.people[name].active),
        }


@settings(max_examples=300)
@given(histories)
def test_the_board_counts_what_a_naive_look_at_the_day_counts(history: Told) -> None:
    # Whose end depends on more than one log's order, or which change what is past.
    unordered = (AccountBlocked, CredentialsDispatched, ConsentInvalidated)
    history = [told for told in history if not isinstance(told[0], unordered)]
    board = board_of(documents_of(SCHOOL, recorded(history).all()))
    for day in DAYS:
        naive = Naive()
        # By day; on one day consent's word about seats before roster's, as in the join.
        for event, on in sorted((told for told in history if told[1] <= day), key=lambda told: (told[1], told[0].type.split(".")[0])):
            naive.apply(event, on)
        rows, counts = {row.step: (row.done, row.total) for row in board.rows(day)}, naive.counts(day)
        assert {n: rows[n] for n in counts} == counts


# ---- Types --------------------------------------------------------------------------------------------------------------


def test_an_event_type_that_nobody_knows_cannot_be_folded() -> None:
    logs = recorded([])
    logs.record(SCHOOL, START, StaffDismissed(person="a"))
    unknown = logs.events["roster"][0]
    with pytest.raises(UnknownEvent):
        fold(replace(unknown, type="roster.staff-dismissed.v2"))


def test_announcements_and_messages_are_no_facts() -> None:
    logs = Logs()
    logs.record(
        SCHOOL,
        START,
        DeadlineApproaching(step=4, revision=1, day=START, due=START, working_days=0, reminders="one_day", responsible=("director",)),
    )
    logs.record(SCHOOL, START, MessageAccepted(message="m", recipient="a"))
    assert [fold(event) for event in logs.all()] == [None, None]
