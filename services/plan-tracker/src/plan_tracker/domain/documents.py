"""What each document says, as sets of days: when somebody is on the staff, when a decision stands, when an account is active.

Each function reads the facts of one document, in order, and never fails on a history with facts left out: a pupil who was assigned and
never entered is simply not entered on any day.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from plan_tracker.domain.days import NEVER, Days, Switch
from plan_tracker.domain.facts import Fact

Seat = tuple[str, int]
"""A place on a class's list: class and number, from 1 (DESIGN 3)."""


class Staff(NamedTuple):
    active: Days
    coordinator: Days
    director: Days


class SchoolClass(NamedTuple):
    declared: Days
    """Declared and not closed."""
    open: Days
    """Created and not closed: a pupil can be assigned to it."""
    created: Days
    headcount: tuple[tuple[int, int], ...]
    """From which day how many pupils; none once it is closed."""
    seats: int
    """The most pupils that were ever declared."""

    def seat(self, number: int) -> Days:
        """The days on which the headcount reaches a seat."""
        reached = Switch()
        for day, count in self.headcount:
            reached.turn(day, count >= number)
        return reached.days


class Pupil(NamedTuple):
    """A pupil with the family."""

    entered: Days
    left: Days
    """Was entered once and has left."""
    basis: Days
    """Entered on another legal basis than consent."""
    accompanied: Days
    """There is a guardian, or a recorded reason for having none, which stands until somebody is linked after all."""
    guardians: dict[str, Days]
    """When each is linked."""
    guardians_basis: dict[str, Days]
    """Linked on another legal basis than consent."""
    assigned: dict[str, Days]
    """By class."""
    moves: tuple[tuple[int, Seat | None], ...]
    """From which day on which seat; None: left, and took the seat along."""


class Decisions(NamedTuple):
    """One person's decisions, as staff, pupil or guardian."""

    decided: Days
    """From the first decision on: a withdrawal ends a consent, not the fact that somebody decided (DOMAIN 3)."""
    granted: Days
    declined: Days
    """Refused or withdrawn."""
    seats: tuple[tuple[int, Seat], ...]
    """From which day on which seat a pupil's decision stands."""


class Account(NamedTuple):
    received: Days
    """The newest credential is handed over, or the account was activated without."""
    active: Days
    blocked: Days
    receipts: tuple[tuple[int, int], ...]
    """From which day which day of receipt counts for the own term of step 19; 0: nothing received."""

    def receipt(self, day: int) -> int:
        found = 0
        for start, received_on in self.receipts:
            if start > day:
                break
            found = received_on
        return found


NO_STAFF = Staff(NEVER, NEVER, NEVER)
NO_CLASS = SchoolClass(NEVER, NEVER, NEVER, (), 0)
NO_PUPIL = Pupil(NEVER, NEVER, NEVER, NEVER, {}, {}, {}, ())
NO_DECISIONS = Decisions(NEVER, NEVER, NEVER, ())
NO_ACCOUNT = Account(NEVER, NEVER, NEVER, ())


def staff(facts: Iterable[Fact]) -> Staff:
    active, coordinator, director = Switch(), Switch(), Switch()
    appointed = False
    for day, _, what, *values in facts:
        if what == "staff-hired":
            active.turn(day, True)
            director.turn(day, values[0] == "director")
        elif what == "staff-dismissed":
            active.turn(day, False)
            director.turn(day, False)
            appointed = False
        elif what == "coordinator-appointed":
            appointed = True
        elif what == "coordinator-relieved":
            appointed = False
        coordinator.turn(day, appointed and active.on)
    return Staff(active.days, coordinator.days, director.days)


def school_class(facts: Iterable[Fact]) -> SchoolClass:
    declared, created, is_open = Switch(), Switch(), Switch()
    headcount: list[tuple[int, int]] = []
    seats, closed = 0, False
    for day, _, what, *values in facts:
        if what == "class-declared":
            declared.turn(day, not closed)
        elif what == "class-created":
            created.turn(day, True)
        elif what == "class-headcount-declared":
            headcount.append((day, 0 if closed else values[0]))
            seats = max(seats, values[0])
        elif what == "class-closed":
            closed = True
            declared.turn(day, False)
            headcount.append((day, 0))
        is_open.turn(day, created.on and not closed)
    return SchoolClass(declared.days, is_open.days, created.days, tuple(headcount), seats)


def pupil(facts: Iterable[Fact]) -> Pupil:
    entered, left, basis, accompanied = Switch(), Switch(), Switch(), Switch()
    guardians, guardians_basis = defaultdict[str, Switch](Switch), defaultdict[str, Switch](Switch)
    assigned = defaultdict[str, Switch](Switch)
    moves: list[tuple[int, Seat | None]] = []
    alone = False
    for day, _, what, *values in facts:
        if what == "pupil-enrolled":
            class_id, number, other_basis = values
            entered.turn(day, True)
            left.turn(day, False)
            basis.turn(day, other_basis)
            moves.append((day, (class_id, number)))
        elif what == "guardian-linked":
            guardians[values[0]].turn(day, True)
            if values[1]:
                guardians_basis[values[0]].turn(day, True)
            alone = False
        elif what == "guardian-unlinked":
            guardians[values[0]].turn(day, False)
        elif what == "guardian-absence-recorded":
            alone = True
        elif what == "pupil-assigned-to-class":
            for one in assigned.values():
                one.turn(day, False)
            assigned[values[0]].turn(day, True)
        elif what == "pupil-left":
            entered.turn(day, False)
            left.turn(day, True)
            for one in assigned.values():
                one.turn(day, False)
            moves.append((day, None))
        accompanied.turn(day, alone or any(one.on for one in guardians.values()))
    return Pupil(
        entered.days,
        left.days,
        basis.days,
        accompanied.days,
        _days(guardians),
        _days(guardians_basis),
        _days(assigned),
        tuple(moves),
    )


def _days(switches: Mapping[str, Switch]) -> dict[str, Days]:
    return {name: switch.days for name, switch in switches.items()}


def decisions(facts: Sequence[Fact]) -> dict[str, Decisions]:
    """By the kind in which the person decided: a teacher may be a pupil's guardian, too."""
    kinds = {fact[4] for fact in facts}
    return {kind: _decisions(facts if len(kinds) == 1 else [fact for fact in facts if fact[4] == kind]) for kind in kinds}


def _decisions(facts: Iterable[Fact]) -> Decisions:
    decided, granted, declined = Switch(), Switch(), Switch()
    seats: list[tuple[int, Seat]] = []
    current: str | None = None
    for day, _, what, consent_id, _, *seat in facts:
        decided.turn(day, True)
        if what == "consent-withdrawn":
            if current not in (None, consent_id):
                continue  # Another decision has taken the place of the one that is withdrawn.
            granted.turn(day, False)
            declined.turn(day, True)
            continue
        current = consent_id
        granted.turn(day, what == "consent-granted")
        declined.turn(day, what != "consent-granted")
        if seat:
            class_id, number = seat
            seats.append((day, (class_id, number)))
    return Decisions(decided.days, granted.days, declined.days, tuple(seats))


def account(facts: Iterable[Fact]) -> Account:
    received, active, blocked = Switch(), Switch(), Switch()
    receipts: list[tuple[int, int]] = []
    newest: str | None = None
    handed_over = False
    for day, _, what, *values in facts:
        if what == "credentials-issued":
            newest, handed_over = values[0], False
            blocked.turn(day, False)
            if receipts:
                receipts.append((day, 0))
        elif what == "credentials-handed-over" and newest in (None, values[0]):
            if not handed_over:  # The first hand-over starts the person's term.
                receipts.append((day, day))
            handed_over = True
        elif what == "account-activated":
            active.turn(day, True)
            blocked.turn(day, False)
        elif what == "account-blocked":
            newest, handed_over = None, False
            active.turn(day, False)
            blocked.turn(day, True)
            if receipts:
                receipts.append((day, 0))
        received.turn(day, handed_over or active.on)
    return Account(received.days, active.days, blocked.days, tuple(receipts))
