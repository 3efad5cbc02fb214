"""The join of one school's documents, kept in memory: who holds which seat, who is whose guardian, and how each stands in each measure.

`replace` takes in the documents that have changed and works out anew only the seats, people and classes that they touch. The join is the
same whether the documents came at once or one by one, in whatever order.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from plan_tracker.domain import documents, measures
from plan_tracker.domain.days import NEVER, Days, at_least, both, either, holds, without
from plan_tracker.domain.documents import Account, Check, Decisions, Pupil, SchoolClass, Seat, Session, Staff
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
        self.arranged: set[str] = set()  # classes that nothing has changed of but what is done for the class as a whole
        self.parallels: set[str] = set()
        self.shifts: set[str] = set()
        self.seats: set[Seat] = set()


class Join:
    """`tallies` by measure, `members` by person, `received` those of them who ever received a code; `opening` and `plan` are the documents
    of roster and plan about the school itself."""

    def __init__(self) -> None:
        self.opening: Sequence[Fact] = ()
        self.plan: Sequence[Fact] = ()
        self.tallies = {name: Tally() for name in measures.OF_MANY}
        self.members: dict[str, Member] = {}
        self.received: dict[str, Member] = {}
        self.staff: dict[str, Staff] = {}
        self.workplaces: Sequence[Fact] = ()
        self.ratings: Sequence[Fact] = ()
        self.lists: dict[str, Days] = {}
        self.school_check = documents.NO_CHECK
        self.calendars: dict[str, Calendar] = {}
        self._classes: dict[str, SchoolClass] = {}
        self._counted = NEVER  # since the first headcount of any class: of which class a guardian decides is not known of everybody
        self._pupils: dict[str, Pupil] = {}
        self._decisions: dict[str, dict[str, Decisions]] = {}
        self._accounts: dict[str, Account] = {}
        self._credentials: dict[str, Sequence[Fact]] = {}
        self._bounces: dict[str, Sequence[Fact]] = {}
        self._periods: dict[str, Days] = {}
        self._bells: dict[str, Days] = {}
        self._timetables: dict[str, Days] = {}
        self._consultations: dict[str, Days] = {}
        self._checks: dict[str, Check] = {}
        self._sessions: dict[str, Session] = {}
        # Who has to be looked at again when somebody else's document changes.
        self._seats: dict[str, dict[Seat, Days]] = {}
        self._gone: dict[str, dict[Seat, Days]] = {}
        self._holders: dict[Seat, set[str]] = {}
        self._numbers: dict[str, set[int]] = {}
        self._pupils_of: dict[str, set[str]] = {}
        self._assigned_to: dict[str, set[str]] = {}
        self._in_parallel: dict[str, set[str]] = {}
        self._in_shift: dict[str, set[str]] = {}
        self._sessions_of: dict[str, set[str]] = {}
        self._withdrawal_reopens = False
        # How each kind of document is taken in.
        self._take = {
            ("roster", "school"): self._take_opening,
            ("roster", "staff"): self._take_staff,
            ("roster", "class"): self._take_class,
            ("roster", "pupil"): self._take_pupil,
            ("consent", "subject"): self._take_decisions,
            ("roster", "workplaces"): self._take_workplaces,
            ("roster", "parallel"): self._take_periods,
            ("roster", "shift"): self._take_bells,
            ("roster", "list"): self._take_list,
            ("roster", "timetable"): self._take_timetable,
            ("roster", "check"): self._take_check,
            ("roster", "year"): self._take_nothing,
            ("roster", "import"): self._take_nothing,
            ("identity", "person"): self._take_credentials,
            ("identity", "rating"): self._take_ratings,
            ("notifier", "person"): self._take_bounces,
            ("plan", "training"): self._take_session,
            ("plan", "class"): self._take_consultations,
            ("plan", "calendar"): self._take_calendar,
            ("plan", "school"): self._take_plan,
        }

    def replace(self, changed: Documents) -> None:
        """Takes in documents that are new or have more facts than before."""
        touched = _Touched()
        for (source, kind, subject), facts in changed.items():
            self._take[source, kind](subject, facts, touched)
        people, seats = touched.people, touched.seats
        for person in touched.moved:
            seats.update(self._move(person))
            people.add(person)
        for class_id in touched.classes:
            numbers = {*range(1, self._classes[class_id].seats + 1), *self._numbers.get(class_id, ())}
            seats.update((class_id, number) for number in numbers)
            for person in self._assigned_to.get(class_id, ()):
                seats.update(self._seats.get(person, ()))
            self.tallies["classes-created"].put(class_id, measures.class_created(self._classes[class_id]))
        if touched.classes and (counted := at_least(1, (one.counted for one in self._classes.values()))) != self._counted:
            self._counted = counted
            people.update(person for person, kinds in self._decisions.items() if "guardian" in kinds)
            people.update(self._pupils_of)
        for class_id in touched.classes | touched.arranged:
            self._place_class(class_id)
        for parallel in touched.parallels:
            classes = (self._classes[class_id] for class_id in self._in_parallel.get(parallel, ()))
            self.tallies["periods-defined"].put(parallel, measures.periods_defined(classes, self._periods.get(parallel, NEVER)))
        for shift in touched.shifts:
            classes = (self._classes[class_id] for class_id in self._in_shift.get(shift, ()))
            self.tallies["bells-defined"].put(shift, measures.bells_defined(classes, self._bells.get(shift, NEVER)))
        for seat in seats:
            self._place_seat(seat)
        for person in people:
            self._place_person(person)

    def let_withdrawals_reopen(self, reopen: bool) -> None:
        """Whether a withdrawal makes undecided again. A plan's option: everybody is looked at anew where it changes."""
        if reopen is self._withdrawal_reopens:
            return
        self._withdrawal_reopens = reopen
        for seat in list(self._holders):
            self._place_seat(seat)
        for person in list(self.members):
            self._place_person(person)

    def _take_staff(self, person: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self.staff[person] = documents.staff(facts)
        touched.people.add(person)

    def _take_class(self, class_id: str, facts: Sequence[Fact], touched: _Touched) -> None:
        before = self._classes.get(class_id, documents.NO_CLASS).seats
        one = self._classes[class_id] = documents.school_class(facts)
        touched.classes.add(class_id)
        touched.seats.update((class_id, number) for number in range(one.seats + 1, before + 1))  # of a headcount that was annulled
        for groups, current, changed in (
            (self._in_parallel, one.parallel, touched.parallels),
            (self._in_shift, one.shift, touched.shifts),
        ):
            for group, classes in groups.items():
                if class_id in classes:
                    classes.discard(class_id)
                    changed.add(group)
            if current:
                groups.setdefault(current, set()).add(class_id)
                changed.add(current)

    def _take_pupil(self, person: str, facts: Sequence[Fact], touched: _Touched) -> None:
        touched.people.update(self._pupils.get(person, documents.NO_PUPIL).guardians)
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

    def _take_credentials(self, person: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self._credentials[person] = facts
        self._accounts[person] = documents.account(facts, self._bounces.get(person, ()))
        touched.people.add(person)

    def _take_bounces(self, person: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self._bounces[person] = facts
        if person in self._credentials:
            self._take_credentials(person, self._credentials[person], touched)

    def _take_workplaces(self, _: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self.workplaces = facts

    def _take_ratings(self, _: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self.ratings = facts

    def _take_periods(self, parallel: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self._periods[parallel] = documents.standing(facts)
        touched.parallels.add(parallel)

    def _take_bells(self, shift: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self._bells[shift] = documents.standing(facts, ended_by="bell-schedule-deleted")
        touched.shifts.add(shift)

    def _take_list(self, name: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self.lists[name] = documents.standing(facts, ended_by="reference-list-cleared")

    def _take_timetable(self, class_id: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self._timetables[class_id] = documents.standing(facts, ended_by="timetable-withdrawn")
        touched.arranged.add(class_id)

    def _take_consultations(self, class_id: str, facts: Sequence[Fact], touched: _Touched) -> None:
        self._consultations[class_id] = documents.standing(facts)
        touched.arranged.add(class_id)

    def _take_check(self, class_id: str, facts: Sequence[Fact], touched: _Touched) -> None:
        if class_id:
            self._checks[class_id] = documents.check(facts)
            touched.arranged.add(class_id)
        else:
            self.school_check = documents.check(facts)

    def _take_session(self, session: str, facts: Sequence[Fact], touched: _Touched) -> None:
        found = self._sessions[session] = documents.session(facts)
        for person in (*found.named, *found.attended):
            self._sessions_of.setdefault(person, set()).add(session)
        touched.people.update(person for person, sessions in self._sessions_of.items() if session in sessions)

    def _take_nothing(self, _: str, facts: Sequence[Fact], touched: _Touched) -> None:
        """What is only shown, beside the facts that it follows from."""

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

    def _place_class(self, class_id: str) -> None:
        one = self._classes.get(class_id, documents.NO_CLASS)
        for measure, done in (
            ("data-verified", self._checks.get(class_id, documents.NO_CHECK).verified),
            ("timetables-published", self._timetables.get(class_id, NEVER)),
            ("consultations-held", self._consultations.get(class_id, NEVER)),
        ):
            self.tallies[measure].put(class_id, measures.class_arranged(one, done))

    def training(self, required: Collection[str]) -> Tally:
        """Step 1 by person, where holders of the `required` positions must attend a session even if they are not named for one."""
        tally = Tally()
        for person, member in self.staff.items():
            sessions = [(one.named.get(person, NEVER), one.attended.get(person, NEVER)) for one in self._sessions_with(person)]
            must = at_least(1, (member.positions.get(position, NEVER) for position in required))
            tally.put(person, measures.training_attended(member, sessions, must))
        return tally

    def _sessions_with(self, person: str) -> Iterator[Session]:
        return (self._sessions[session] for session in self._sessions_of.get(person, ()))

    def _place_seat(self, seat: Seat) -> None:
        class_id, number = seat
        people = self._holders.get(seat, ())
        holders = [self._holder(person, self._seats[person].get(seat, NEVER)) for person in people]
        of_class = self._classes.get(class_id, documents.NO_CLASS)
        free = of_class.seat(number)
        if free:
            free = measures.vacant(free, holders, (self._gone[person].get(seat, NEVER) for person in people if person in self._gone))
        subject = f"{class_id}/{number}"
        self.tallies["families-decided"].put(subject, measures.seat_decided(free, holders, of_class.counted))
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
            decided=either(self._decided(decisions), pupil.basis),
            entered=both(pupil.entered, pupil.accompanied),
            assigned=assigned,
        )

    def _place_person(self, person: str) -> None:
        entitled = entered = NEVER
        account = self._accounts.get(person, documents.NO_ACCOUNT)
        member = self.staff.get(person)
        if member is not None:
            member = member._replace(active=without(member.active, account.erased))
            decisions = self._decided_as(person, "staff")
            self.tallies["staff-decided"].put(person, measures.staff_decided(member, self._decided(decisions)))
            entitled = measures.staff_entitled(member, decisions)
            entered = member.active
        pupils, decisions = self._pupils_of.get(person, ()), self._decided_as(person, "guardian")
        if pupils or decisions.seen:
            guardian = measures.guardian(person, (self._pupils[pupil] for pupil in pupils))
            self.tallies["families-decided"].put(person, measures.guardian_decided(guardian, self._decided(decisions), self._counted))
            entitled = either(entitled, measures.guardian_entitled(guardian, decisions))
            entered = either(entered, guardian.here)
        if seats := self._seats.get(person):
            pupil, decisions = self._pupils.get(person, documents.NO_PUPIL), self._decided_as(person, "pupil")
            for held in seats.values():
                entitled = either(entitled, measures.pupil_entitled(held, pupil.basis, decisions))
            entered = either(entered, pupil.entered)
        entitled, entered = without(entitled, account.erased), without(entered, account.erased)
        if member is not None:
            trained = (one.face_to_face.get(person, NEVER) for one in self._sessions_with(person))
            self.tallies["access-received"].put(person, measures.access_received(member, account))
            self.tallies["coordinators-trained"].put(person, measures.coordinator_trained(member, trained))
        counted = measures.with_account(entitled, account)
        self.tallies["credentials-out"].put(person, measures.credential_out(counted, account))
        self.tallies["accounts-activated"].put(person, measures.account_activated(counted, account))
        member = self.members[person] = Member(entered, counted, account)
        if account.receipts:
            self.received[person] = member
        else:
            self.received.pop(person, None)

    def _decided(self, decisions: Decisions) -> Days:
        """When somebody counts as having decided: also after a withdrawal, unless the plan has it that a withdrawal reopens (DOMAIN 3)."""
        return without(decisions.decided, decisions.withdrawn) if self._withdrawal_reopens else decisions.decided

    def _decided_as(self, person: str, kind: str) -> Decisions:
        decisions = self._decisions.get(person)
        return documents.NO_DECISIONS if decisions is None else decisions.get(kind, documents.NO_DECISIONS)

    def has_granted(self, subject: str, day: int) -> bool:
        """Whether whoever is counted as this subject has granted: for the own data as staff or guardian, or for a pupil's seat."""
        person = self.named(subject, day)
        kinds = self._decisions.get(person, {})
        seated = person != subject
        return any(holds(found.granted, day) for kind, found in kinds.items() if (kind == "pupil") is seated)

    def classes_of(self, person: str, day: int) -> list[str]:
        """The classes to which a pupil, or the pupils of a guardian, are assigned on a day."""
        pupils = [self._pupils[person]] if person in self._pupils else []
        pupils += [pupil for one in self._pupils_of.get(person, ()) if holds((pupil := self._pupils[one]).guardians[person], day)]
        return sorted({class_id for pupil in pupils for class_id, days in pupil.assigned.items() if holds(days, day)})

    def named(self, subject: str, day: int) -> str:
        """The person who holds a seat on a day, given the seat's subject; the subject itself where it is nobody's, or no seat."""
        class_id, _, number = subject.partition("/")
        for person in sorted(self._holders.get((class_id, int(number)), ())) if number.isdigit() else ():
            if holds(self._seats[person].get((class_id, int(number)), NEVER), day):
                return person
        return subject
