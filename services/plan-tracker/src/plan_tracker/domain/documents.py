"""What each document says, as sets of days: when somebody is on the staff, when a decision stands, when an account is active.

Each function reads the facts of one document, in order, and never fails on a history with facts left out: a pupil who was assigned and
never entered is simply not entered on any day.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from plan_tracker.domain.days import NEVER, Days, Switch, at_least, without
from plan_tracker.domain.facts import Fact

Seat = tuple[str, int]
"""A place on a class's list: class and number, from 1 (DESIGN 3)."""


class Staff(NamedTuple):
    active: Days
    coordinator: Days
    director: Days
    positions: dict[str, Days]
    """When employed as what."""


class SchoolClass(NamedTuple):
    declared: Days
    """Declared and not closed."""
    open: Days
    """Created and not closed: a pupil can be assigned to it."""
    created: Days
    parallel: str
    """Academic year and grade, e.g. `2015/2016/5`; empty where it was never declared."""
    shift: str
    """Empty until it is created."""
    headcount: tuple[tuple[int, int], ...]
    """From which day how many pupils; none once it is closed."""
    seats: int
    """The most pupils that were ever declared."""
    counted: Days
    """Somebody has said by then how many pupils it has."""

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
    """From the first decision on: a withdrawal ends a consent, not the fact that somebody decided (DOMAIN 3). An expiry ends both."""
    granted: Days
    declined: Days
    """Refused or withdrawn."""
    withdrawn: Days
    seen: bool
    """Something was ever decided."""
    seats: tuple[tuple[int, Seat], ...]
    """From which day on which seat a pupil's decision stands."""


class Check(NamedTuple):
    """What is known of the checking of one class's data, or of the school's."""

    verified: Days
    """Checked, not changed since, and no blocking issue open."""
    checks: tuple[int, ...]
    """The days of the checks."""


class Account(NamedTuple):
    received: Days
    """The newest credential is handed over, or on its way without a bounce, and not expired or revoked unused; or the account is
    activated."""
    reached: Days
    """From the first hand-over, dispatch or activation on, whatever was issued or bounced later."""
    active: Days
    blocked: Days
    receipts: tuple[tuple[int, int], ...]
    """From which day which day of receipt counts for the own term of step 19; 0: nothing received."""
    erased: Days = NEVER
    """Since the person's data were destroyed: nobody is waited for any more."""

    def receipt(self, day: int) -> int:
        found = 0
        for start, received_on in self.receipts:
            if start > day:
                break
            found = received_on
        return found


NO_STAFF = Staff(NEVER, NEVER, NEVER, {})
NO_CLASS = SchoolClass(NEVER, NEVER, NEVER, "", "", (), 0, NEVER)
NO_PUPIL = Pupil(NEVER, NEVER, NEVER, NEVER, {}, {}, {}, ())
NO_DECISIONS = Decisions(NEVER, NEVER, NEVER, NEVER, False, ())
NO_CHECK = Check(NEVER, ())
NO_ACCOUNT = Account(NEVER, NEVER, NEVER, NEVER, ())


def staff(facts: Iterable[Fact]) -> Staff:
    active, coordinator, positions = Switch(), Switch(), defaultdict[str, Switch](Switch)
    appointed = False
    for day, _, what, *values in facts:
        if what == "staff-hired":
            active.turn(day, True)
            for position, held in positions.items():
                held.turn(day, position == values[0])
            positions[values[0]].turn(day, True)
        elif what == "staff-dismissed":
            active.turn(day, False)
            for held in positions.values():
                held.turn(day, False)
            appointed = False
        elif what == "coordinator-appointed":
            appointed = True
        elif what == "coordinator-relieved":
            appointed = False
        coordinator.turn(day, appointed and active.on)
    held_days = _days(positions)
    return Staff(active.days, coordinator.days, held_days.get("director", NEVER), held_days)


def school_class(facts: Iterable[Fact]) -> SchoolClass:
    declared, created, is_open, counted = Switch(), Switch(), Switch(), Switch()
    headcount: list[tuple[int, int]] = []
    seats, closed = 0, False
    parallel = shift = ""
    for day, _, what, *values in facts:
        if what == "class-declared":
            declared.turn(day, not closed)
            parallel = parallel or values[0]
        elif what == "class-created":
            created.turn(day, True)
            shift = shift or values[0]
        elif what == "class-headcount-declared":
            headcount.append((day, 0 if closed else values[0]))
            seats = max(seats, values[0])
            counted.turn(day, True)
        elif what == "class-closed":
            closed = True
            declared.turn(day, False)
            headcount.append((day, 0))
        is_open.turn(day, created.on and not closed)
    return SchoolClass(declared.days, is_open.days, created.days, parallel, shift, tuple(headcount), seats, counted.days)


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
        elif what == "pupil-moved":
            class_id, number = values
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


def _decisions(facts: Sequence[Fact]) -> Decisions:
    decided, granted, declined, withdrawn = Switch(), Switch(), Switch(), Switch()
    seats: list[tuple[int, Seat]] = []
    current: str | None = None
    never_valid = {fact[3]: fact[0] for fact in reversed(facts) if fact[2] == "consent-invalidated"}
    for day, _, what, consent_id, _, *seat in facts:
        if day >= never_valid.get(consent_id, day + 1):  # an invalidation stands at the day of the decision that never was valid
            if what in ("consent-granted", "consent-refused"):  # which ended the one before it all the same, as consent has it
                for one in (decided, granted, declined, withdrawn):
                    one.turn(day, False)
                current = ""
            continue
        if what in ("consent-withdrawn", "consent-expired"):
            if current not in (None, consent_id):
                continue  # Another decision has taken the place of the one that ends.
            ended = what == "consent-withdrawn"
            if ended:
                current = ""  # Its last day takes nothing more away, though the record may hold an expiry before the earlier withdrawal.
            decided.turn(day, ended)
            granted.turn(day, False)
            declined.turn(day, ended)
            withdrawn.turn(day, ended)
            continue
        current = consent_id
        decided.turn(day, True)
        granted.turn(day, what == "consent-granted")
        declined.turn(day, what != "consent-granted")
        withdrawn.turn(day, False)
        if seat:
            class_id, number = seat
            seats.append((day, (class_id, number)))
    return Decisions(decided.days, granted.days, declined.days, withdrawn.days, bool(facts), tuple(seats))


def account(facts: Sequence[Fact], bounces: Iterable[Fact] = ()) -> Account:
    """An account, from what identity records about a person and what notifier records of mail that did not arrive."""
    return _Account(bounces).read(facts)


class _Account:
    """The reading of one account's facts, in order."""

    def __init__(self, bounces: Iterable[Fact]) -> None:
        self._received, self._reached, self._active, self._blocked = Switch(), Switch(), Switch(), Switch()
        self._erased = Switch()
        self._receipts: list[tuple[int, int]] = []
        self._newest: str | None = None
        self._expires = 0  # the last day of the newest credential; 0: it does not expire
        self._out = False
        self._bounced = {fact[3]: fact[0] for fact in reversed(list(bounces))}
        self._bounces_on = 0  # when the message with the newest credential came back; 0: it did not

    def read(self, facts: Iterable[Fact]) -> Account:
        for day, _, what, *values in facts:
            self._pass_to(day)
            if what == "credentials-issued":
                self._newest, self._expires = values
                self._take_back(day)
                self._blocked.turn(day, False)
            elif what == "credentials-handed-over" and self._newest in (None, values[0]):
                self._give_out(day)
            elif what == "credentials-dispatched" and self._newest in (None, values[0]):
                self._give_out(day)
                if values[1] in self._bounced:
                    self._bounces_on = max(day, self._bounced[values[1]])
            elif what == "credentials-revoked" and self._newest in (None, values[0]):
                self._newest, self._expires = "", 0
                self._take_back(day)
            elif what == "account-activated":
                self._active.turn(day, True)
                self._blocked.turn(day, False)
            elif what == "account-blocked":
                self._newest, self._expires = None, 0
                self._take_back(day)
                self._active.turn(day, False)
                self._blocked.turn(day, True)
            elif what == "personal-data-erased":
                self._erased.turn(day, True)
            self._turn(day)
        self._pass_to(None)
        return Account(
            self._received.days, self._reached.days, self._active.days, self._blocked.days, tuple(self._receipts), self._erased.days
        )

    def _give_out(self, day: int) -> None:
        if 0 < self._expires < day:
            return
        if not self._out:  # The first hand-over starts the person's term.
            self._receipts.append((day, day))
        self._out, self._bounces_on = True, 0

    def _take_back(self, day: int) -> None:
        self._out, self._bounces_on = False, 0
        if self._receipts:
            self._receipts.append((day, 0))

    def _pass_to(self, day: int | None) -> None:
        """What happened of itself before a day, or ever: the mail came back, or the code expired before it was used."""
        ends = [end for end in (self._bounces_on, self._expires + 1 if self._expires else 0) if end]
        end = min(ends, default=0)
        if self._out and end and not self._active.on and (day is None or end < day):
            self._take_back(end)
            self._turn(end)

    def _turn(self, day: int) -> None:
        self._received.turn(day, self._out or self._active.on)
        self._reached.turn(day, self._reached.on or self._received.on)


# ---- What the school as a whole has set up ------------------------------------------------------------------------------


def standing(facts: Iterable[Fact], *, ended_by: str = "") -> Days:
    """From the first such fact on, until one that ends it: periods, bells, a list, a timetable, a consultation."""
    switch = Switch()
    for day, _, what, *_ in facts:
        switch.turn(day, what != ended_by)
    return switch.days


def check(facts: Sequence[Fact]) -> Check:
    """What was checked stood in the record before the check: so it is the record's order that says which change came after it, and a
    change that is learned later but happened before takes the check away from its own day on."""
    issues, blocked = set[str](), Switch()
    for day, _, what, *values in facts:
        if what == "data-issue-opened" and values[1]:
            issues.add(values[0])
        elif what == "data-issue-resolved":
            issues.discard(values[0])
        blocked.turn(day, bool(issues))
    runs: list[Days] = []
    lapsed = 0  # the earliest day of the lapses that the record holds behind the one at hand
    for day, _, what, *_ in sorted(facts, key=lambda fact: fact[1], reverse=True):
        if what == "verification-lapsed":
            lapsed = min(lapsed or day, day)
        elif what == "roster-data-verified":
            runs.append((day, max(day, lapsed)) if lapsed else (day,))
    verified = at_least(1, (run for run in runs if len(run) == 1 or run[0] < run[1]))
    return Check(without(verified, blocked.days), tuple(fact[0] for fact in facts if fact[2] == "roster-data-verified"))


class Session(NamedTuple):
    """A training session: by person, since when who is named for it, has attended it, and has attended it face to face."""

    named: dict[str, Days]
    attended: dict[str, Days]
    face_to_face: dict[str, Days]


def session(facts: Iterable[Fact]) -> Session:
    named, attended, face_to_face = defaultdict[str, Switch](Switch), defaultdict[str, Switch](Switch), defaultdict[str, Switch](Switch)
    for day, _, what, *values in facts:
        if what == "training-session-scheduled":
            for person in values[1]:
                named[person].turn(day, True)
        elif what == "training-session-cancelled":
            for one in named.values():
                one.turn(day, False)
        else:
            form, person = values
            attended[person].turn(day, True)
            if form == "face-to-face":
                face_to_face[person].turn(day, True)
    return Session(_days(named), _days(attended), _days(face_to_face))
