"""Records what the consent columns say, before anybody is entered: consent decides, roster only asks it to (DESIGN 3).

A decision on somebody who is not entered yet is one on a seat. A consent number that consent knows already is answered
with the consent that it has, whatever seat is named with it; so asking again after a crash repeats nothing. A number
that is new takes the next free seat of its class, and no more rows are asked at a time than the headcount has free
seats: so a number that turns out to be known never pushes a new one beyond the headcount.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from contracts.consent import AgeBand, Decision, DecisionOutcome, SubjectKind
from contracts.roster import Seat, SeatHolder
from roster.book import LAST_SEAT, Pages
from roster.domain.ages import COMING_OF_AGE, age_on, birthday
from roster.files import Place
from roster.files.rows import Kind
from roster.importing.plan import Plan, PlannedConsent, PlannedGuardian, PlannedPupil, PlannedStaff

Record = Callable[[Sequence[Decision]], Awaitable[Sequence[DecisionOutcome]]]
"""Records decisions and answers what became of each, in their order."""

Mention = tuple[Place, int]
"""A person in a row: 0 is whom the row is about, 1 and 2 are the guardians."""

Outcomes = Mapping[Mention, DecisionOutcome]

_HOLDERS = {1: SeatHolder.GUARDIAN_1, 2: SeatHolder.GUARDIAN_2}
_FULL = DecisionOutcome(code="class.full", text=f"The class's list has no free seat up to {LAST_SEAT}.")


@dataclass(slots=True)
class SeatList:
    """The seats of one class while they are given out, and the rows that wait for one, in their order.

    `taken` are the numbers that are a pupil's or were decided on; `promised`, among them, those on which a consent was
    granted by somebody who is not entered yet: likely by one of the rows.
    """

    class_id: str
    headcount: int
    taken: set[int]
    promised: set[int]
    waiting: list[PlannedPupil] = field(default_factory=list[PlannedPupil])
    _own: dict[Place, int] | None = None

    def proposals(self) -> list[tuple[PlannedPupil, int | None]]:
        """The rows to ask for now, each with a seat; None where the list is full.

        A file follows the class's list, so its rows and the seats that can be theirs are laid side by side. Where that
        is a free seat, it is the row's. The other rows have one already, or take what is left over; once the headcount
        is used up, they are asked with seats beyond it.
        """
        free = [number for number in range(1, self.headcount + 1) if number not in self.taken]
        free = free or [number for number in range(1, LAST_SEAT + 1) if number not in self.taken]
        if self._own is None:
            self._own = {pupil.place: number for pupil, number in zip(self.waiting, sorted({*free, *self.promised}), strict=False)}
        own = [(pupil, self._own[pupil.place]) for pupil in self.waiting if self._own.get(pupil.place) in free]
        left = sorted(set(free) - {number for _, number in own})
        others = [pupil for pupil in self.waiting if self._own.get(pupil.place) not in free]
        self.waiting = others[len(left) :] if free else []
        return [*own, *zip(others, left, strict=False)] if free else [(pupil, None) for pupil in others]


def seat_lists(pages: Pages, pupils: Iterable[PlannedPupil]) -> Sequence[SeatList]:
    """The lists of the classes in which pupils who are not entered yet wait for the decision of their consent."""
    lists: dict[str, SeatList] = {}
    class_ids = pages.class_ids()
    waiting = [pupil for pupil in pupils if pupil.person is None and pupil.consent is not None and pupil.name in class_ids]
    pages.expect_lists(class_ids[pupil.name] for pupil in waiting)
    for pupil in waiting:
        class_id = class_ids[pupil.name]
        if class_id not in lists:
            row = pages.classes.get(class_id) or {}
            taken, promised = pages.taken_numbers(class_id), pages.promised_numbers(class_id)
            lists[class_id] = SeatList(class_id, row.get("headcount") or 0, taken, promised)
        lists[class_id].waiting.append(pupil)
    return list(lists.values())


async def decide_pupils(lists: Sequence[SeatList], pupils: Iterable[PlannedPupil], record: Record) -> dict[Mention, DecisionOutcome]:
    """The decisions of the rows' own consents: on the person who is entered already, else on a seat."""
    entered = [pupil for pupil in pupils if pupil.person is not None and pupil.consent is not None]
    again = [_pupils_decision(pupil, pupil.consent, person=pupil.person) for pupil in entered if pupil.consent is not None]
    outcomes = {(pupil.place, 0): outcome for pupil, outcome in zip(entered, await record(again), strict=True)}
    while any(seats.waiting for seats in lists):
        asked: list[tuple[SeatList, PlannedPupil, int]] = []
        decisions: list[Decision] = []
        for seats in lists:
            for pupil, number in seats.proposals():
                if number is None or pupil.consent is None:
                    outcomes[pupil.place, 0] = _FULL
                    continue
                asked.append((seats, pupil, number))
                seat = Seat(class_id=seats.class_id, number=number, holder=SeatHolder.PUPIL)
                decisions.append(_pupils_decision(pupil, pupil.consent, seat=seat))
        for (seats, pupil, number), outcome in zip(asked, await record(decisions), strict=True):
            outcomes[pupil.place, 0] = outcome
            if outcome.code is None and not outcome.recorded_before:
                seats.taken.add(number)
    return outcomes


def seats_of(pages: Pages, pupils: Iterable[PlannedPupil], outcomes: Outcomes) -> dict[Place, Seat]:
    """Each pupil's seat: the one held, the one that the consent was recorded for, or for the others the next free one."""
    pupils = list(pupils)
    class_ids = pages.class_ids()
    pages.expect_people(pupil.person for pupil in pupils if pupil.person is not None)
    pages.expect_consents(outcome.consent_id for outcome in outcomes.values() if outcome.consent_id is not None)
    pages.expect_lists(class_ids[pupil.name] for pupil in pupils if pupil.name in class_ids)
    seats: dict[Place, Seat] = {}
    seatless: list[tuple[Place, str]] = []
    for pupil in pupils:
        class_id = class_ids.get(pupil.name)
        outcome = outcomes.get((pupil.place, 0))
        if class_id is None or (outcome is not None and outcome.code is not None):
            continue
        row = pages.people.get(pupil.person) if pupil.person is not None else None
        consent = pages.consent(outcome.consent_id) if outcome is not None and outcome.consent_id is not None else None
        if row is not None and row["seat_number"] is not None:
            seats[pupil.place] = Seat(class_id=row["listed_in"], number=row["seat_number"], holder=SeatHolder.PUPIL)
        elif consent is not None and consent.seat is not None and consent.seat.class_id == class_id:
            seats[pupil.place] = consent.seat
        else:
            seatless.append((pupil.place, class_id))
    given = {(seat.class_id, seat.number) for seat in seats.values()}
    for place, class_id in seatless:
        free = (number for number in range(1, LAST_SEAT + 1) if number not in pages.taken_numbers(class_id))
        number = next((number for number in free if (class_id, number) not in given), None)
        if number is not None:
            given.add((class_id, number))
            seats[place] = Seat(class_id=class_id, number=number, holder=SeatHolder.PUPIL)
    return seats


async def decide_guardians(
    pupils: Iterable[PlannedPupil], seats: Mapping[Place, Seat], linked: Callable[[str, str], bool], record: Record
) -> dict[Mention, DecisionOutcome]:
    """The decisions of guardians: on who is linked with the pupil already, else on the guardian's seat beside the pupil's.

    A guardian of two children may have signed a paper for each: the second one is its own seat's, and does no harm. Where
    a child's row states none, that of a brother's or sister's row holds.
    """
    mentions: list[tuple[Mention, PlannedGuardian]] = []
    decisions: list[Decision] = []
    without: list[tuple[Mention, PlannedGuardian]] = []
    for pupil in pupils:
        seat = seats.get(pupil.place)
        for guardian in pupil.guardians:
            mention = (pupil.place, guardian.number)
            if guardian.consent is None:
                without.append((mention, guardian))
            elif seat is not None:
                mentions.append((mention, guardian))
                if guardian.person is not None and pupil.person is not None and linked(pupil.person, guardian.person):
                    decisions.append(_decision(SubjectKind.GUARDIAN, guardian.consent, person=guardian.person))
                else:
                    beside = Seat(class_id=seat.class_id, number=seat.number, holder=_HOLDERS[guardian.number])
                    decisions.append(_decision(SubjectKind.GUARDIAN, guardian.consent, seat=beside))
    outcomes: dict[Mention, DecisionOutcome] = {}
    of_siblings: dict[str, DecisionOutcome] = {}
    for (mention, guardian), outcome in zip(mentions, await record(decisions), strict=True):
        outcomes[mention] = outcome
        if guardian.external_id is not None and outcome.code is None:
            of_siblings.setdefault(guardian.external_id, outcome)
    for mention, guardian in without:
        if guardian.external_id in of_siblings:
            outcomes[mention] = of_siblings[guardian.external_id]
    return outcomes


async def decide_staff(staff: Iterable[tuple[PlannedStaff, str]], record: Record) -> dict[Mention, DecisionOutcome]:
    """The decisions of staff, who are entered by now: pairs of a row and the person's id."""
    deciding = [(member, person) for member, person in staff if member.consent is not None]
    decisions = [_decision(SubjectKind.STAFF, member.consent, person=person) for member, person in deciding if member.consent is not None]
    return {(member.place, 0): outcome for (member, _), outcome in zip(deciding, await record(decisions), strict=True)}


@dataclass(frozen=True, slots=True)
class Mentioned:
    """A decision that a row's columns state, before anybody knows on which seat; `guardian` is None for the row's own."""

    row: PlannedPupil | PlannedStaff
    guardian: int | None
    person: str | None
    details: Mapping[str, str]
    decision: Decision

    @property
    def table(self) -> Kind:
        return "staff" if isinstance(self.row, PlannedStaff) else "pupils"


def mentioned(plan: Plan) -> Sequence[Mentioned]:
    """Every decision that the consent columns of a plan state."""
    found: list[Mentioned] = []
    for member in plan.staff:
        if member.consent is not None:
            decision = _decision(SubjectKind.STAFF, member.consent, person=member.person)
            found.append(Mentioned(member, None, member.person, member.details, decision))
    for pupil in plan.pupils:
        if pupil.consent is not None:
            decision = _pupils_decision(pupil, pupil.consent, person=pupil.person)
            found.append(Mentioned(pupil, None, pupil.person, pupil.details, decision))
        for one in pupil.guardians:
            if one.consent is not None:
                decision = _decision(SubjectKind.GUARDIAN, one.consent, person=one.person)
                found.append(Mentioned(pupil, one.number, one.person, one.details, decision))
    return found


def _decision(kind: SubjectKind, consent: PlannedConsent, *, seat: Seat | None = None, person: str | None = None) -> Decision:
    return Decision(granted=True, subject_kind=kind, seat=seat, person=person, number=consent.number, decided_on=consent.signed_on)


def _pupils_decision(pupil: PlannedPupil, consent: PlannedConsent, *, seat: Seat | None = None, person: str | None = None) -> Decision:
    """With the age on the day of signing, and the end that coming of age sets to the representative's consent (DOMAIN 3)."""
    signed_on = consent.signed_on
    age = age_on(pupil.birth_date, signed_on)
    band = AgeBand.UNDER_14 if age < 14 else AgeBand.FROM_14_TO_17 if age < COMING_OF_AGE else AgeBand.ADULT
    # With the month before the birthday's, so that the birthday stays here (DESIGN 2.7).
    last_day = birthday(pupil.birth_date, COMING_OF_AGE).replace(day=1) - timedelta(days=1)
    return Decision(
        granted=True,
        subject_kind=SubjectKind.PUPIL,
        seat=seat,
        person=person,
        number=consent.number,
        decided_on=signed_on,
        age_band=band,
        valid_until=last_day if last_day >= signed_on else None,
    )
