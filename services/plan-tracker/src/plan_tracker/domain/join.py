"""The join of one school's documents, kept in memory: who holds which seat, who is whose guardian, and how each stands in each measure.

`replace` takes in the documents that have changed and works out anew only the seats, people and classes that they touch. The join is the
same whether the documents came at once or one by one, in whatever order.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from plan_tracker.domain import documents, measures
from plan_tracker.domain.days import NEVER, Days, both, either, holds, without
from plan_tracker.domain.documents import Account, Decisions, Pupil, SchoolClass, Seat, Staff
from plan_tracker.domain.facts import Documents, Fact
from plan_tracker.domain.measures import Holder
from plan_tracker.domain.timeline import Tally
from workdays import Calendar

_calendars: dict[str, Calendar] = {}


class Member(NamedTuple):
    """Somebody who has, or may come to have, an account."""

    entered: Days
    counted: Days
    account: Account


class _Touched:
    """Whom and what changed documents may concern."""

    def __init__(self) -> None:
        self.people: set[str] = set()
        self.moved: set[str] = set()  # people who may hold other seats than before
        self.classes: set[str] = set()


class Join:
    """`tallies` by measure, `members` by person; `opening` and `plan` are the documents of roster and plan about the school itself."""

    def __init__(self) -> None:
        self.opening: Sequence[Fact] = ()
        self.plan: Sequence[Fact] = ()
        self.tallies = {name: Tally() for name in measures.OF_MANY}
        self.members: dict[str, Member] = {}
        self.staff: dict[str, Staff] = {}
        self.calendars: dict[str, Calendar] = {}
        self._classes: dict[str, SchoolClass] = {}
        self._pupils: dict[str, Pupil] = {}
        self._decisions: dict[str, dict[str, Decisions]] = {}
        self._accounts: dict[str, Account] = {}
        # Who has to be looked at again when somebody else's document changes.
        self._seats: dict[str, dict[Seat, Days]] = {}
        self._gone: dict[str, dict[Seat, Days]] = {}
        self._holders: dict[Seat, set[str]] = {}
        self._numbers: dict[str, set[int]] = {}
        self._pupils_of: dict[str, set[str]] = {}
        self._assigned_to: dict[str, set[str]] = {}
        # How each kind of document is taken in.
        self._take = {
            ("roster", "school"): self._take_opening,
            ("roster", "staff"): self._take_staff,
            ("roster", "class"): self._take_class,
            ("roster", "pupil"): self._take_pupil,
            ("consent", "subject"): self._take_decisions,
            ("identity", "person"): self._take_account,
            ("plan", "calendar"): self._take_calendar,
            ("plan", "school"): self._take_plan,
        }

    def replace(self, changed: Documents) -> None:
        """Takes in documents that are new or have more facts than before."""
        touched = _Touched()
        for (source, kind, subject), facts in changed.items():
            self._take[source, kind](subject, facts, touched)
        people, seats = touched.people, set[Seat]()
        for person in touched.moved:
            seats.update(self._move(person))
            people.add(person)
        for class_id in touched.classes:
            numbers = {*range(1, self._classes[class_id].seats + 1), *self._numbers.get(class_id, ())}
            seats.update((class_id, number) for number in numbers)
            for person in self._assigned_to.get(class_id, ()):
                seats.update(self._seats.get(person, ()))
            self.tallies["classes-created"].put(class_id, measures.class_created(self._classes[class_id]))
        for seat in seats:
            self._place_seat(seat)
        for person in people:
            self._place_person(person)

    def _take_staff(self, person: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self.staff[person] = documents.staff(facts)
        touched.people.add(person)

    def _take_class(self, class_id: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self._classes[class_id] = documents.school_class(facts)
        touched.classes.add(class_id)

    def _take_pupil(self, person: str, facts: Sequence[Fact], touched: _Touched) -> None:
        pupil = self._pupils[person] = documents.pupil(facts)
        for guardian in pupil.guardians:
            self._pupils_of.setdefault(guardian, set()).add(person)
        for class_id in pupil.assigned:
            self._assigned_to.setdefault(class_id, set()).add(person)
        touched.moved.add(person)
        touched.people.update(pupil.guardians)

    def _take_decisions(self, person: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self._decisions[person] = documents.decisions(facts)
        touched.moved.add(person)

    def _take_account(self, person: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self._accounts[person] = documents.account(facts)
        touched.people.add(person)

    def _take_calendar(self, digest: str, facts: Sequence[Fact], touched: _Touched) -> None:
        # A table is its digest's for ever, so all boards share one calendar.
        if digest not in _calendars:
            _calendars[digest] = Calendar.from_table(facts[0][3])
        self.calendars[digest] = _calendars[digest]

    def _take_opening(self, _: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self.opening = facts

    def _take_plan(self, _: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self.plan = facts

    def _move(self, person: str) -> Iterator[Seat]:
        """Works out anew which seats a person holds; answers those that it concerns."""
        held, gone = measures.seats_held(self._pupils.get(person, documents.NO_PUPIL), self._decided_as(person, "pupil"))
        yield from self._seats.get(person, ())
        yield from self._gone.get(person, ())
        self._seats[person] = held
        if gone:
            self._gone[person] = gone
        else:
            self._gone.pop(person, None)
        for seat in (*held, *gone):
            self._holders.setdefault(seat, set()).add(person)
            self._numbers.setdefault(seat[0], set()).add(seat[1])
            yield seat

    def _place_seat(self, seat: Seat) -> None:
        class_id, number = seat
        people = self._holders.get(seat, ())
        holders = [self._holder(person, self._seats[person].get(seat, NEVER)) for person in people]
        free = self._classes.get(class_id, documents.NO_CLASS).seat(number)
        if free:
            free = measures.vacant(free, holders, (self._gone[person].get(seat, NEVER) for person in people if person in self._gone))
        subject = f"{class_id}/{number}"
        self.tallies["families-decided"].put(subject, measures.seat_decided(free, holders))
        self.tallies["families-entered"].put(subject, measures.seat_entered(free, holders))
        self.tallies["pupils-assigned"].put(subject, measures.seat_assigned(free, holders))

    def _holder(self, person: str, held: Days) -> Holder:
        pupil, decisions = self._pupils.get(person, documents.NO_PUPIL), self._decided_as(person, "pupil")
        assigned = NEVER
        for class_id, days in pupil.assigned.items():
            assigned = either(assigned, both(days, self._classes.get(class_id, documents.NO_CLASS).open))
        return Holder(
            held=held,
            willing=without(held, without(decisions.declined, pupil.basis)),
            decided=either(decisions.decided, pupil.basis),
            entered=both(pupil.entered, pupil.accompanied),
            assigned=assigned,
        )

    def _place_person(self, person: str) -> None:
        entitled = entered = NEVER
        if (member := self.staff.get(person)) is not None:
            decisions = self._decided_as(person, "staff")
            self.tallies["staff-decided"].put(person, measures.staff_decided(member, decisions))
            entitled = measures.staff_entitled(member, decisions)
            entered = member.active
        pupils, decisions = self._pupils_of.get(person, ()), self._decided_as(person, "guardian")
        if pupils or decisions.decided:
            guardian = measures.guardian(person, (self._pupils[pupil] for pupil in pupils))
            self.tallies["families-decided"].put(person, measures.guardian_decided(guardian, decisions))
            entitled = either(entitled, measures.guardian_entitled(guardian, decisions))
            entered = either(entered, guardian.here)
        if seats := self._seats.get(person):
            pupil, decisions = self._pupils.get(person, documents.NO_PUPIL), self._decided_as(person, "pupil")
            for held in seats.values():
                entitled = either(entitled, measures.pupil_entitled(held, pupil.basis, decisions))
            entered = either(entered, pupil.entered)
        account = self._accounts.get(person, documents.NO_ACCOUNT)
        counted = measures.with_account(entitled, account)
        self.tallies["credentials-out"].put(person, measures.credential_out(counted, account))
        self.tallies["accounts-activated"].put(person, measures.account_activated(counted, account))
        self.members[person] = Member(entered, counted, account)

    def _decided_as(self, person: str, kind: str) -> Decisions:
        decisions = self._decisions.get(person)
        return documents.NO_DECISIONS if decisions is None else decisions.get(kind, documents.NO_DECISIONS)

    def named(self, subject: str, day: int) -> str:
        """The person who holds a seat on a day, given the seat's subject; the subject itself where it is nobody's, or no seat."""
        class_id, _, number = subject.partition("/")
        for person in sorted(self._holders.get((class_id, int(number)), ())) if number else ():
            if holds(self._seats[person].get((class_id, int(number)), NEVER), day):
                return person
        return subject
