"""How an import gives out seats, and which age it states: what needs no bus to be looked at."""

from collections.abc import Sequence
from datetime import date

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from contracts.consent import AgeBand, Decision, DecisionOutcome
from roster.files import Finding, Place
from roster.importing.decisions import SeatList, decide_pupils
from roster.importing.plan import Plan, PlannedConsent, PlannedPupil

SIGNED_ON = date(2015, 8, 17)


def pupil(row: int, *, birth_date: date = date(2005, 3, 1)) -> PlannedPupil:
    """A row of class 5А that wants to be entered; its consent's number is the row's."""
    return PlannedPupil(
        place=Place("5А.csv", None, row),
        outcome="created",
        person=None,
        external_id=f"У-{row}",
        name=("2015/2016", 5, "А"),
        birth_date=birth_date,
        enrolled_on=date(2012, 9, 1),
        details={},
        consent=PlannedConsent(number=str(row), signed_on=SIGNED_ON),
        guardians=(),
    )


class Paper:
    """Keeps decisions as consent does: a number that is known keeps its seat, a new one takes the seat that is named."""

    def __init__(self, known: dict[str, int]) -> None:
        self.seats = dict(known)
        self.asked: list[Decision] = []

    async def record(self, decisions: Sequence[Decision]) -> Sequence[DecisionOutcome]:
        outcomes: list[DecisionOutcome] = []
        for decision in decisions:
            assert decision.seat is not None
            number = decision.number or ""
            before = number in self.seats
            assert before or decision.seat.number not in self.seats.values(), "a decision of somebody else's was superseded"
            self.seats.setdefault(number, decision.seat.number)
            outcomes.append(DecisionOutcome(consent_id=f"c-{number}", subject=f"p-{number}", recorded_before=before))
        self.asked += decisions
        return outcomes


def seats(headcount: int, rows: int, *, known: dict[str, int] | None = None, refused: set[int] | None = None) -> SeatList:
    promised = set((known or {}).values())
    return SeatList("5a", headcount, promised | (refused or set()), promised, [pupil(row) for row in range(1, rows + 1)])


async def given_out(waiting: SeatList, known: dict[str, int] | None = None) -> list[int]:
    """The seats of the rows in the end, in the rows' order."""
    paper, rows = Paper(known or {}), list(waiting.waiting)
    await decide_pupils([waiting], rows, paper.record)
    return [paper.seats[row.consent.number] for row in rows if row.consent is not None]


# -- seats ---------------------------------------------------------------------------------------------------------------------------------


async def test_rows_take_the_seats_in_their_order():
    assert await given_out(seats(25, 4)) == [1, 2, 3, 4]


async def test_rows_pass_over_the_seats_of_those_who_refused():
    assert await given_out(seats(25, 4, refused={1, 3})) == [2, 4, 5, 6]


async def test_a_known_number_keeps_its_seat_and_the_new_ones_stay_beside_it():
    known = {"2": 2, "4": 5}
    assert await given_out(seats(5, 4, known=known, refused={3}), known) == [1, 2, 4, 5]


async def test_a_job_that_was_cut_off_gives_out_the_seats_that_it_would_have_given():
    refused = {2, 7, 8}
    expected = await given_out(seats(13, 10, refused=refused))
    done = {str(row): expected[row - 1] for row in range(1, 5)}
    assert await given_out(seats(13, 10, known=done, refused=refused), done) == expected


async def test_a_full_list_takes_nobody_and_says_so():
    paper = Paper({})
    waiting = seats(25, 3, refused=set(range(1, 99)))
    outcomes = await decide_pupils([waiting], list(waiting.waiting), paper.record)
    assert sorted(outcome.code or "" for outcome in outcomes.values()) == ["", "class.full", "class.full"]


@for_all(st.data())
async def test_a_new_number_stays_within_the_headcount_while_there_is_a_seat(data: st.DataObject):
    headcount = data.draw(st.integers(0, 12))
    rows = data.draw(st.integers(0, 14))
    places = data.draw(st.permutations(range(1, headcount + 4)))
    known_rows = data.draw(st.sets(st.integers(1, 14), max_size=len(places)))
    known = {str(row): place for row, place in zip(sorted(known_rows), places, strict=False)}
    refused = set(data.draw(st.lists(st.sampled_from(places), max_size=4))) - set(known.values())
    found = await given_out(seats(headcount, rows, known=known, refused=refused), known)
    new = [seat for row, seat in enumerate(found, 1) if str(row) not in known]
    free = [seat for seat in range(1, headcount + 1) if seat not in known.values() and seat not in refused]
    assert len(set(found)) == len(found)
    assert sum(seat <= headcount for seat in new) == min(len(new), len(free))


# -- ages ----------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("birth_date", "band", "valid_until"),
    [
        (date(2008, 1, 1), AgeBand.UNDER_14, date(2025, 12, 31)),
        (date(2001, 8, 18), AgeBand.UNDER_14, date(2019, 7, 31)),
        (date(2001, 8, 17), AgeBand.FROM_14_TO_17, date(2019, 7, 31)),
        (date(2000, 2, 29), AgeBand.FROM_14_TO_17, date(2018, 2, 28)),
        (date(1997, 9, 20), AgeBand.FROM_14_TO_17, date(2015, 8, 31)),
        (date(1997, 9, 1), AgeBand.FROM_14_TO_17, date(2015, 8, 31)),
        (date(1997, 8, 30), AgeBand.FROM_14_TO_17, None),
        (date(1997, 8, 17), AgeBand.ADULT, None),
    ],
)
async def test_a_pupils_decision_states_the_age_at_signing_and_ends_with_it(birth_date: date, band: AgeBand, valid_until: date | None):
    paper = Paper({})
    row = pupil(1, birth_date=birth_date)
    await decide_pupils([SeatList("5a", 25, set(), set(), [row])], [row], paper.record)
    (decision,) = paper.asked
    assert (decision.age_band, decision.valid_until, decision.decided_on) == (band, valid_until, SIGNED_ON)


# -- the plan ------------------------------------------------------------------------------------------------------------------------------


def test_a_plan_is_the_same_after_it_was_kept():
    plan = Plan(
        legal_basis=None,
        classes=(),
        staff=(),
        pupils=(pupil(2), pupil(3)),
        unchanged=1,
        review=0,
        rejected=(Finding("5А.csv", None, 3, "ID", "row.duplicate", "one row for each ID"),),
        warnings=("5А.csv: a warning",),
        total_rows=3,
    )
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_a_row_with_several_troubles_is_rejected_once():
    rejected = [Finding("5А.csv", None, 3, column, "cell.blank", "") for column in ("Фамилия", "Имя")]
    plan = Plan(
        legal_basis=None,
        classes=(),
        staff=(),
        pupils=(pupil(2), pupil(3)),
        unchanged=0,
        review=0,
        rejected=(),
        warnings=(),
        total_rows=2,
    )
    assert plan.outcomes(rejected) == {"created": 1, "rejected": 1}
