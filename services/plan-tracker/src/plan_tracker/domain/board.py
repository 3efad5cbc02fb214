"""One school's board: its join, and what is read from it on any day: the rows, the live dates and who is missing."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from contracts.plan import StepRow
from eventkit.decider import Refused
from plan_tracker.domain import measures
from plan_tracker.domain.days import Days, Switch, holds, since
from plan_tracker.domain.deadlines import Due, live_with_reasons, own_due
from plan_tracker.domain.facts import Documents, Fact
from plan_tracker.domain.join import Join
from plan_tracker.domain.plan import Recurring, Step, WorkdaysAfterAnchor, WorkdaysAfterOwnReceipt, load_plan
from plan_tracker.domain.progress import Adoption, Progress
from plan_tracker.domain.timeline import Tally, Timeline


class SchoolBoard:
    """`replace` documents until it is up to date, then read it on any day from the plan's adoption on."""

    def __init__(self, school: str) -> None:
        self.school = school
        self._join = Join()
        self._progress: Progress | None = None

    def replace(self, changed: Documents) -> None:
        """Takes in documents that are new or have more facts than before."""
        if changed:
            self._progress = None
            self._join.replace(changed)

    @property
    def place(self) -> tuple[str, str] | None:
        """The school's municipality and time zone; None where no such school was opened."""
        return self._join.opening[0][3:5] if self._join.opening else None

    def progress(self) -> Progress | None:
        """How far the school is with its plan; None where it adopted none. Raises Refused `calendar.not-pinned`."""
        if self._progress is None and (adoption := self._adoption()) is not None:
            facts = self._join.plan
            attested = {fact[3]: fact[0] for fact in reversed(facts) if fact[2] == "step-attested"}
            orders = _orders(facts)
            timelines = {step.n: self._timeline(step, attested, orders) for step in adoption.plan.steps}
            self._progress = Progress(adoption, timelines, attested)
        return self._progress

    def rows(self, day: date) -> tuple[StepRow, ...]:
        """The board at the end of a day."""
        progress = self._adopted()
        dues = self.live(day)
        return tuple(self._row(progress, step, day, dues[step.n].day) for step in progress.adoption.plan.steps)

    def live(self, day: date) -> dict[int, Due]:
        """The live due dates as things stand on a day, with their reasons."""
        progress = self._adopted()
        adoption = progress.adoption
        latest = self._latest_receipt(day.toordinal())
        by_receipt = [step.n for step in adoption.plan.steps if isinstance(step.deadline, WorkdaysAfterOwnReceipt)]
        return live_with_reasons(
            adoption.plan,
            adoption.start,
            adoption.calendar,
            adoption.anchor,
            today=day,
            first_completed=progress.term_began(day),
            received_last={n: date.fromordinal(latest) for n in by_receipt if latest},
        )

    def missing(self, n: int, day: date) -> list[str]:
        """Who is counted and not satisfied at the end of a day: the person where there is one, else the seat, the class or the school."""
        progress, ordinal = self._adopted(), day.toordinal()
        tally = self._join.tallies.get(progress.adoption.plan.step(n).measure)
        if tally is None:
            return [] if progress.timelines[n].is_done(ordinal) else [self.school]
        return sorted(self._join.named(subject, ordinal) for subject in tally.missing(ordinal))

    # ---- inside -------------------------------------------------------------------------------------------------------

    def _adopted(self) -> Progress:
        progress = self.progress()
        if progress is None:
            raise Refused("plan.not-adopted", f"School {self.school} has not adopted a plan.", "`vekha plan adopt` starts one.")
        return progress

    def _adoption(self) -> Adoption | None:
        for day, _, what, *values in self._join.plan:
            if what == "plan-adopted":
                adopted = values[0]
                calendar = self._join.calendars.get(adopted["calendar"])
                if calendar is None:
                    text = f"The calendar of school {self.school} has not been read yet."
                    raise Refused("calendar.not-pinned", text, "`vekha doctor` says what holds it up.")
                return Adoption(
                    day=date.fromordinal(day),
                    plan=load_plan(adopted["plan"]),
                    revision=adopted["revision"],
                    start=date.fromisoformat(adopted["start"]),
                    anchor=adopted["anchor"],
                    calendar=calendar,
                    baseline={int(n): due and date.fromisoformat(due) for n, due in adopted["baseline"].items()},
                )
        return None

    def _timeline(self, step: Step, attested: Mapping[int, int], orders: Sequence[Days]) -> Timeline:
        """A measure of many subjects has its tally; where the school as a whole is the subject, the tally is of one."""
        if (many := self._join.tallies.get(step.measure)) is not None:
            return many.timeline
        match step.measure:
            case "active-coordinator":
                standing = measures.active_coordinator((member.coordinator for member in self._join.staff.values()), step.threshold or 1)
            case "school-order":
                standing = measures.school_order(orders)
            case _:
                standing = measures.attested(None if isinstance(step.deadline, Recurring) else attested.get(step.n))
        one = Tally()
        one.put(self.school, standing)
        return one.timeline

    def _row(self, progress: Progress, step: Step, day: date, due_live: date | None) -> StepRow:
        n, due = step.n, progress.adoption.baseline.get(step.n)
        standing = progress.standing(n, day)
        return StepRow(
            step=n,
            state=standing.state,
            done=standing.done,
            total=standing.total,
            late=self._late(progress, step, day, due_live),
            due=due,
            deadline=standing.deadline,
            due_live=due_live,
            deadline_live=progress.deadline(n, due_live, day),
            first_completed_on=progress.first_completed(n, day),
            completed_on=progress.completed(n, day),
            blocked_by=progress.blocked_by(n, day),
            suppressed=False,
        )

    def _late(self, progress: Progress, step: Step, day: date, due_live: date | None) -> int | None:
        """How many people are past their own date and not satisfied; None for a step that has one date for all."""
        if step.measure == "credentials-out":
            return self._late_to_receive(progress, step, day, due_live)
        if step.measure == "accounts-activated":
            return self._late_to_activate(progress, step, day)
        return None

    def _late_to_receive(self, progress: Progress, step: Step, day: date, due_live: date | None) -> int:
        """Step 18: everybody is due on the step's date, which stays when step 14 reopens. A newcomer, entered after 14's first completion,
        has as many working days from the own entry as the others had, if that is later (DOMAIN 2)."""
        began = progress.term_began(day)
        if due_live is None or due_live >= day or not isinstance(step.deadline, WorkdaysAfterAnchor):
            return 0
        term, today = step.deadline.n, day.toordinal()
        newcomers_after = max((began[n] for n in step.predecessors if n in began), default=day)
        late, own_dues = 0, dict[int, date]()
        for person, standing in self._join.tallies[step.measure].standings.items():
            if not holds(standing.counted, today) or holds(standing.satisfied, today):
                continue
            entered = since(self._join.members[person].entered, today)
            if entered is None:
                continue  # who is not entered yet can be given nothing, and will be a newcomer
            if date.fromordinal(entered) <= newcomers_after:
                late += 1
                continue
            if entered not in own_dues:
                entered_on = date.fromordinal(entered)
                own_dues[entered] = progress.adoption.calendar.add(entered_on, term, progress.adoption.plan.count_from)
            late += day > own_dues[entered]
        return late

    def _late_to_activate(self, progress: Progress, step: Step, day: date) -> int:
        """Step 19: each person has ten working days from the own receipt."""
        today, late, own_dues = day.toordinal(), 0, dict[int, date]()
        for person, standing in self._join.tallies[step.measure].standings.items():
            received = self._join.members[person].account.receipt(today)
            if not received or not holds(standing.counted, today) or holds(standing.satisfied, today):
                continue
            if received not in own_dues:
                own_dues[received] = own_due(progress.adoption.plan, step.n, date.fromordinal(received), progress.adoption.calendar)
            late += day > own_dues[received]
        return late

    def _latest_receipt(self, today: int) -> int:
        """The latest day on which somebody who counts today received the newest code; 0 where nobody did."""
        latest = 0
        for member in self._join.members.values():
            if member.account.receipts and (received := member.account.receipt(today)) > latest and holds(member.counted, today):
                latest = received
        return latest


def _orders(facts: Iterable[Fact]) -> list[Days]:
    """When each of the school's own orders was in force."""
    orders: dict[str, Switch] = {}
    for day, _, what, *values in facts:
        if what.startswith("implementation-order-"):
            orders.setdefault(values[0], Switch()).turn(day, what.endswith("registered"))
    return [one.days for one in orders.values()]
