"""One school's board: its join, and what is read from it on any day: the rows, the live dates and who is missing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from contracts.plan import StepRow
from eventkit.decider import Refused
from plan_tracker.domain import facts, measures
from plan_tracker.domain.days import NEVER, Days, Switch, holds, since
from plan_tracker.domain.deadlines import Due, live_with_reasons, own_due
from plan_tracker.domain.facts import Documents, Fact, Key
from plan_tracker.domain.join import Join
from plan_tracker.domain.measures import Standing
from plan_tracker.domain.plan import MinistrySchedule, Plan, Recurring, Step, WorkdaysAfterAnchor, WorkdaysAfterOwnReceipt, load_plan
from plan_tracker.domain.progress import Adoption, Progress
from plan_tracker.domain.timeline import Periods, Tally, Timeline, rated
from workdays import Calendar

_FRIDAY = date(2015, 8, 21).toordinal() % 7


class SchoolBoard:
    """`replace` documents until it is up to date, then read it on any day from the plan's adoption on."""

    def __init__(self, school: str) -> None:
        self.school = school
        self._join = Join()
        self._progress: Progress | None = None
        self._tallies: dict[int, Mapping[int, Tally]] = {}  # by revision, of the steps whose subjects are missing one by one
        self._documents: dict[Key, Sequence[Fact]] = {}
        self._annulled: dict[str, frozenset[tuple[int, int]]] = {}

    def replace(self, changed: Documents) -> None:
        """Takes in documents that are new or have more facts than before."""
        if not changed:
            return
        self._progress = None
        self._documents.update(changed)
        annulled = facts.annulled(changed)
        again = {key for key in self._documents if key.source in annulled} if annulled else set[Key]()
        self._annulled |= annulled
        self._join.replace({key: self._true(key) for key in again.union(changed) if key.kind != facts.ANNULLED})

    def _true(self, key: Key) -> Sequence[Fact]:
        """A document's facts without those that never were true."""
        annulled = self._annulled.get(key.source)
        found = self._documents[key]
        return [fact for fact in found if fact[:2] not in annulled] if annulled else found

    @property
    def place(self) -> tuple[str, str] | None:
        """The school's municipality and time zone; None where no such school was opened."""
        return self._join.opening[0][3:5] if self._join.opening else None

    def progress(self) -> Progress | None:
        """How far the school is with its plan; None where it adopted none. Raises Refused `calendar.not-pinned`."""
        if self._progress is None and (adoptions := self._adoptions()):
            waived, timelines = _waived(self._join.plan), dict[int, Mapping[int, Timeline | Periods]]()
            for adoption in adoptions:
                if adoption.revision not in timelines:
                    timelines[adoption.revision] = self._timelines(adoption, waived)
                self._progress = Progress(adoption, timelines[adoption.revision], waived, self._progress)
        return self._progress

    def rows(self, day: date) -> tuple[StepRow, ...]:
        """The board at the end of a day."""
        progress = self._adopted(day)
        dues = self.live(day)
        return tuple(self._row(progress, step, day, dues[step.n].day) for step in progress.adoption.plan.steps)

    def live(self, day: date) -> dict[int, Due]:
        """The live due dates as things stand on a day, with their reasons."""
        progress = self._adopted(day)
        adoption = progress.adoption
        latest = self._latest_receipt(day.toordinal())
        by_receipt = [step.n for step in adoption.plan.steps if isinstance(step.deadline, WorkdaysAfterOwnReceipt)]
        return live_with_reasons(
            adoption.reckoning,
            today=day,
            first_completed=progress.term_began(day),
            received_last={n: date.fromordinal(latest) for n in by_receipt if latest},
        )

    def missing(self, n: int, day: date) -> list[str]:
        """Who or what is counted and not satisfied at the end of a day: the person where there is one, else the seat, the class, the shift,
        the list, the week's last day or the school."""
        progress, ordinal = self._adopted(day), day.toordinal()
        if (tally := self._tallies[progress.adoption.revision].get(n)) is not None:
            return sorted(self._join.named(subject, ordinal) for subject in tally.missing(ordinal))
        match progress.timelines[n]:
            case Periods() as periods:
                return [date.fromordinal(end).isoformat() for end in periods.missed(ordinal)]
            case timeline:
                return [] if timeline.is_done(ordinal) else [self.school]

    def granted(self, n: int, day: date) -> int | None:
        """How many of those that a step counts have granted; None for a step that counts no decisions."""
        measure, ordinal = self._adopted(day).adoption.plan.step(n).measure, day.toordinal()
        if measure not in ("staff-decided", "families-decided"):
            return None
        standings = self._join.tallies[measure].standings
        return sum(holds(one.satisfied, ordinal) and self._join.has_granted(subject, ordinal) for subject, one in standings.items())

    def own_dates(self, n: int, day: date) -> Iterator[tuple[str, date]]:
        """Who counts in a step with a date for each person, has received and is not satisfied at the end of a day; with the own date."""
        adoption, today, dues = self._adopted(day).adoption, day.toordinal(), dict[int, date]()
        tally = self._join.tallies.get(adoption.plan.step(n).measure)
        standings = tally.standings if tally else dict[str, Standing]()
        for person, member in self._join.received.items():
            received, standing = member.account.receipt(today), standings.get(person)
            if not received or standing is None or not holds(standing.counted, today) or holds(standing.satisfied, today):
                continue
            if received not in dues:
                dues[received] = own_due(adoption.reckoning, n, date.fromordinal(received))
            yield person, dues[received]

    def classes_of(self, person: str, day: date) -> list[str]:
        """The classes in which somebody, or somebody's child, is on a day; none of the staff."""
        return self._join.classes_of(person, day.toordinal())

    # ---- inside -------------------------------------------------------------------------------------------------------

    def _adopted(self, day: date) -> Progress:
        progress = self.progress()
        if progress is None:
            raise Refused("plan.not-adopted", f"School {self.school} has not adopted a plan.", "`vekha plan adopt` starts one.")
        return progress.on(day)

    def _adoptions(self) -> list[Adoption]:
        """What the school adopted, then how that stood on each day on which its dates were counted anew; nothing without a plan."""
        found: list[Adoption] = []
        for ordinal, _, what, *values in self._join.plan:
            day = date.fromordinal(ordinal)
            if what == "plan-adopted" and not found:
                adopted = values[0]
                plan, dues = load_plan(adopted["plan"], adopted["revision"]), _dates(adopted["baseline"])
                found.append(
                    Adoption(
                        day=day,
                        plan=plan,
                        revision=adopted["revision"],
                        start=date.fromisoformat(adopted["start"]),
                        anchor=adopted["anchor"],
                        calendar=self._calendar(adopted["calendar"]),
                        baseline=dues,
                        count_from=adopted["count_from"],
                        scheduled=_scheduled(plan, dues),
                    )
                )
            elif what in ("baseline-revised", "deadline-extended") and found:
                newest = found[-1] if found[-1].since < day else found.pop()
                found.append(replace(self._changed(newest, what, values), since=day))
        return found

    def _changed(self, adoption: Adoption, what: str, values: Sequence[Any]) -> Adoption:
        if what == "deadline-extended":
            step, due = values
            return replace(adoption, extended={**adoption.extended, step: date.fromisoformat(due)})
        revised, plan = values[0], load_plan(adoption.plan.name, values[0]["revision"])
        baseline = {**adoption.baseline, **_dates(revised["baseline"])}
        return replace(
            adoption,
            plan=plan,
            revision=revised["revision"],
            calendar=self._calendar(revised["calendar"]),
            baseline=baseline,
            scheduled=_scheduled(plan, baseline),
        )

    def _calendar(self, digest: str) -> Calendar:
        calendar = self._join.calendars.get(digest)
        if calendar is None:
            text = f"The calendar of school {self.school} has not been read yet."
            raise Refused("calendar.not-pinned", text, "`vekha doctor` says what holds it up.")
        return calendar

    def _timelines(self, adoption: Adoption, waived: Mapping[int, Days]) -> Mapping[int, Timeline | Periods]:
        """The timeline of each step of a revision of the plan."""
        self._join.let_withdrawals_reopen(adoption.plan.options.withdrawal_reopens)
        attested: dict[int, list[int]] = {}
        for fact in self._join.plan:
            if fact[2] == "step-attested":
                attested.setdefault(fact[3], []).append(fact[0])
        tallies = {step.n: tally for step in adoption.plan.steps if (tally := self._tally(step, attested.get(step.n, ())))}
        self._tallies[adoption.revision] = tallies
        timelines: dict[int, Timeline | Periods] = {n: tally.timeline for n, tally in tallies.items()}
        for step in adoption.plan.in_order:
            if step.n not in timelines:
                timelines[step.n] = self._of_weeks(step, adoption.start, timelines, waived, attested.get(step.n, ()))
        return timelines

    def _tally(self, step: Step, attested: Sequence[int]) -> Tally | None:
        """The standings of a step's subjects: those that are the same in every plan, those that this plan names, or the school alone. None
        for a step that is measured by the week."""
        join = self._join
        if (many := join.tallies.get(step.measure)) is not None:
            return many
        one = Tally()
        if isinstance(step.deadline, Recurring):
            return None
        match step.measure:
            case "training-attended":
                return join.training(step.required_positions)
            case "lists-filled":
                for name in step.required_lists:
                    one.put(name, measures.list_filled(join.lists.get(name, NEVER)))
                return one
            case "active-coordinator":
                for nth in range(1, step.goal + 1):
                    standing = measures.active_coordinator((member.coordinator for member in join.staff.values()), nth)
                    one.put(self.school if step.goal == 1 else f"coordinator-{nth}", standing)
                return one
            case "school-order":
                standing = measures.school_order(_orders(join.plan))
            case "workplaces":
                standing = measures.workplaces([(fact[0], fact[3]) for fact in join.workplaces], attested)
            case "attested":
                standing = measures.attested(attested[0] if attested else None)
            case _:
                return None
        one.put(self.school, standing)
        return one

    def _of_weeks(
        self,
        step: Step,
        start: date,
        timelines: Mapping[int, Timeline | Periods],
        waived: Mapping[int, Days],
        attested: Sequence[int],
    ) -> Timeline | Periods:
        if step.measure == "activity-rated":
            return rated([(fact[0], fact[3]) for fact in self._join.ratings], step.goal)
        first_after = step.deadline.first_after if isinstance(step.deadline, Recurring) else None
        if first_after is None:
            began = start.toordinal() - 1
        else:
            done, until = timelines[first_after].first_day, waived.get(first_after, NEVER)
            began = min((day for day in (done, *until[:1]) if day is not None), default=None)
        checks = self._join.school_check.checks if step.measure == "data-checked" else tuple(attested)
        return Periods(None if began is None else _friday_after(began), checks)

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
            return self._late_to_activate(step, day)
        return None

    def _late_to_receive(self, progress: Progress, step: Step, day: date, due_live: date | None) -> int:
        """Step 18: everybody is due on the step's date, which stays when step 14 reopens. A newcomer, entered after 14's first completion,
        has the plan's grace from the own entry, if that is later (DOMAIN 2)."""
        began = progress.term_began(day)
        if due_live is None or due_live >= day or not isinstance(step.deadline, WorkdaysAfterAnchor):
            return 0
        term, today = progress.adoption.plan.options.grace_wd, day.toordinal()
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
                own_dues[entered] = progress.adoption.calendar.add(entered_on, term, progress.adoption.count_from)
            late += day > own_dues[entered]
        return late

    def _late_to_activate(self, step: Step, day: date) -> int:
        """Step 19: each person has ten working days from the own receipt."""
        return sum(day > due for _, due in self.own_dates(step.n, day))

    def _latest_receipt(self, today: int) -> int:
        """The latest day on which somebody who counts today received the newest code; 0 where nobody did."""
        latest = 0
        for member in self._join.received.values():
            if (received := member.account.receipt(today)) > latest and holds(member.counted, today):
                latest = received
        return latest


def _friday_after(day: int) -> int:
    """The first Friday after a day: a school's week has been checked by then, whatever else it works on a Saturday."""
    return day + 1 + (_FRIDAY - day - 1) % 7


def _orders(plan: Iterable[Fact]) -> list[Days]:
    """When each of the school's own orders was in force."""
    orders: dict[str, Switch] = {}
    for day, _, what, *values in plan:
        if what.startswith("implementation-order-"):
            orders.setdefault(values[0], Switch()).turn(day, what.endswith("registered"))
    return [one.days for one in orders.values()]


def _waived(facts: Iterable[Fact]) -> dict[int, Days]:
    """When the school need not do a step, by step."""
    waivers: dict[int, Switch] = {}
    for day, _, what, *values in facts:
        if what in ("step-waived", "waiver-revoked"):
            waivers.setdefault(values[0], Switch()).turn(day, what == "step-waived")
    return {n: one.days for n, one in waivers.items()}


def _dates(baseline: Mapping[str, str | None]) -> dict[int, date | None]:
    return {int(n): None if due is None else date.fromisoformat(due) for n, due in baseline.items()}


def _scheduled(plan: Plan, baseline: Mapping[int, date | None]) -> date | None:
    """What the ministry's schedule says, as it stands in a baseline."""
    dues = (baseline.get(step.n) for step in plan.steps if isinstance(step.deadline, MinistrySchedule))
    return max((due for due in dues if due is not None), default=None)
