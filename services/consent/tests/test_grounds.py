"""On what somebody's data are held depends on what was recorded and still counts, and not on how it arrived."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Executable, Row, create_engine, select
from sqlalchemy.pool import StaticPool

from consent.grounds import Ground, Grounds, coordinator_table, entered_by, ground_of, metadata, presence_table, tie_table
from contracts.consent import AgeBand, Capacity, ConsentGranted, ConsentInvalidated, InvalidationReason, SubjectKind, Terms
from contracts.erasure import HeldOn, RosterDataErased
from contracts.event import AnnulmentReason, Event
from contracts.roster import (
    CoordinatorAppointed,
    CoordinatorRelieved,
    EntryAnnulled,
    GuardianLinked,
    GuardianUnlinked,
    LegalBasis,
    Position,
    PupilEnrolled,
    PupilLeft,
    Relation,
    Seat,
    SeatHolder,
    StaffDismissed,
    StaffHired,
)
from eventkit.event import Draft, Origin, Recorded, decode, stamp

DAY = date(2015, 8, 17)
PEOPLE = ("p-1", "p-2", "p-3")
BASIS = LegalBasis(code="law", reference="7-K")

people = st.sampled_from(PEOPLE)
bases = st.sampled_from([None, BASIS])


def enrolled(person: str, legal_basis: LegalBasis | None = None) -> PupilEnrolled:
    seat = Seat(class_id="5a", number=1, holder=SeatHolder.PUPIL)
    return PupilEnrolled(person=person, seat=seat, consent_id=None, legal_basis=legal_basis, enrolled_on=DAY)


def linked(guardian: str, pupil: str, legal_basis: LegalBasis | None = None) -> GuardianLinked:
    return GuardianLinked(
        pupil=pupil, guardian=guardian, relation=Relation.MOTHER, legal_representative=True, consent_id=None, legal_basis=legal_basis
    )


def hired(person: str, position: Position = Position.TEACHER) -> StaffHired:
    return StaffHired(person=person, position=position, hired_on=DAY)


def granted(consent_id: str, subject: str) -> ConsentGranted:
    return ConsentGranted(
        consent_id=consent_id,
        supersedes=None,
        subject=subject,
        subject_kind=SubjectKind.PUPIL,
        seat=None,
        age_band=AgeBand.UNDER_14,
        grantor=None,
        capacity=Capacity.LEGAL_REPRESENTATIVE,
        terms=Terms(),
        form="paper",
        evidence_sha256=None,
        signed_on=DAY,
        valid_from=DAY,
        valid_until=None,
    )


of_roster: st.SearchStrategy[Event] = st.one_of(
    st.builds(hired, people, st.sampled_from([Position.TEACHER, Position.DIRECTOR])),
    st.builds(StaffDismissed, person=people),
    st.builds(CoordinatorAppointed, person=people),
    st.builds(CoordinatorRelieved, person=people),
    st.builds(enrolled, people, bases),
    st.builds(PupilLeft, person=people),
    st.builds(linked, people, people, bases),
    st.builds(GuardianUnlinked, pupil=people, guardian=people),
    st.builds(RosterDataErased, person=people, erasure=st.just("e-1"), destroyed=st.just(())),
)
of_consent: st.SearchStrategy[Event] = st.one_of(
    st.builds(granted, st.sampled_from(["c-1", "c-2"]), people),
    st.builds(
        ConsentInvalidated,
        consent_id=st.sampled_from(["c-1", "c-2"]),
        subject=people,
        subject_kind=st.just(SubjectKind.PUPIL),
        reason=st.just(InvalidationReason.FORGED),
    ),
)


def recorded(events: Sequence[Event], service: str = "roster", after: int = 0) -> list[Recorded]:
    at = "2015-08-17T06:00:00.000000Z"
    drafts = [Draft(event, "told", at, "school-7", DAY, Origin("operator", "c", "c")) for at, event in enumerate(events, after + 1)]
    return [
        decode(stamp(draft, service=service, position=draft.version, event_id=f"e-{draft.version}", recorded_at=at)) for draft in drafts
    ]


def annulled(wrong: Sequence[Recorded], after: int) -> list[Recorded]:
    reason = AnnulmentReason.IMPORT_ROLLED_BACK
    events = [EntryAnnulled(event=one.id, position=one.position, event_type=one.type, reason=reason) for one in wrong]
    return recorded(events, after=after)


class After:
    """What stands once these batches have been applied."""

    def __init__(self, *batches: Sequence[Recorded], annulled_at: Sequence[int] = (), postgres: str | None = None) -> None:
        engine = create_engine("sqlite://", poolclass=StaticPool) if postgres is None else create_engine(postgres)
        with engine.begin() as connection:

            def rows(statement: Executable) -> Sequence[Row[Any]]:
                return connection.execute(statement).all()

            metadata.create_all(connection)
            for batch in batches:
                Grounds().apply(connection, batch)
            self.rows = {table.name: {tuple(row) for row in rows(select(table))} for table in metadata.sorted_tables}
            self.grounds = {person: ground_of(rows, "school-7", person) for person in PEOPLE}
            self.entered_by = {position: entered_by(rows, position) for position in annulled_at}
        engine.dispose()

    @property
    def current(self) -> dict[str, set[tuple[Any, ...]]]:
        return {table.name: self.rows[table.name] for table in (presence_table, coordinator_table, tie_table)}


@given(roster=st.lists(of_roster, max_size=25), consent=st.lists(of_consent, max_size=10), data=st.data())
def test_any_interleaving_in_any_batches_ends_in_the_same_rows(roster: list[Event], consent: list[Event], data: st.DataObject) -> None:
    told = recorded(roster)
    wrong = [one for one in told if data.draw(st.booleans())]
    first, second = [*told, *annulled(wrong, len(told))], recorded(consent, "consent")
    one_by_one = [[event] for event in [*first, *second]]
    merged: list[Recorded] = []
    for from_roster in data.draw(st.permutations([True] * len(first) + [False] * len(second))):
        merged.append((first if from_roster else second).pop(0))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(merged)), max_size=4)))
    batches = [merged[start:end] for start, end in zip([0, *cuts], [*cuts, len(merged)], strict=True)]
    assert After(*batches).rows == After(*one_by_one).rows


@given(roster=st.lists(of_roster, max_size=25), data=st.data())
def test_what_is_annulled_in_any_order_gives_no_ground_and_takes_none(roster: list[Event], data: st.DataObject) -> None:
    told = recorded(roster)
    wrong = [one for one in told if data.draw(st.booleans())]
    annulments = annulled(data.draw(st.permutations(wrong)), len(told))
    found, never = After(told, annulments), After([one for one in told if one not in wrong])
    assert found.current == never.current
    for person in PEOPLE:
        one, other = found.grounds[person], never.grounds[person]
        assert (one.entered, one.here, one.held_on, one.holds) == (other.entered, other.here, other.held_on, other.holds)


def test_whoever_was_entered_by_mistake_is_known_and_held_on_the_consent_alone_that_stands() -> None:
    told = recorded([enrolled("p-1", BASIS), hired("p-2", Position.DIRECTOR), linked("p-3", "p-1", BASIS)])
    before = After(told).grounds
    assert [before[person].holds for person in PEOPLE] == [HeldOn.LEGAL_BASIS, HeldOn.OFFICE, HeldOn.LEGAL_BASIS]
    taken_back = annulled(told[::-1], len(told))
    decided = recorded([granted("c-1", "p-1")], "consent")
    after = After(told, taken_back, decided).grounds
    assert after["p-1"] == Ground(known=True, entered=False, here=False, held_on=HeldOn.CONSENT)
    assert after["p-1"].holds is HeldOn.CONSENT
    assert after["p-2"] == after["p-3"] == Ground(known=True, entered=False, here=False, held_on=None)


def test_who_was_here_before_has_left_and_keeps_no_ground_from_the_wrong_entry() -> None:
    told = recorded([enrolled("p-1"), linked("p-3", "p-1"), PupilLeft(person="p-1"), enrolled("p-1", BASIS)])
    after = After(told, annulled(told[-1:], len(told)), annulled_at=[4])
    assert after.grounds["p-1"] == after.grounds["p-3"] == Ground(known=True, entered=True, here=False, held_on=None)
    assert after.entered_by == {4: ["p-1", "p-3"]}


def test_a_guardian_of_an_erased_child_alone_has_no_child_here_any_more() -> None:
    told = recorded([enrolled("p-1", BASIS), linked("p-3", "p-1", BASIS), RosterDataErased(person="p-1", erasure="e-1", destroyed=())])
    decided = recorded([granted("c-1", "p-3")], "consent")
    after = After(told, decided).grounds["p-3"]
    assert (after.entered, after.here, after.holds) == (True, False, None)
    with_brother = recorded([enrolled("p-2"), linked("p-3", "p-2")], after=len(told))
    assert After(told, decided, with_brother).grounds["p-3"].holds is HeldOn.CONSENT


def test_an_end_that_never_was_gives_the_ground_again_and_concerns_nobody() -> None:
    told = recorded([hired("p-1"), CoordinatorAppointed(person="p-1"), StaffDismissed(person="p-1")])
    assert After(told).grounds["p-1"].holds is None
    after = After(told, annulled(told[-1:], len(told)), annulled_at=[3])
    assert after.grounds["p-1"].holds is HeldOn.OFFICE
    assert after.entered_by == {3: []}


def test_it_is_the_same_on_postgresql(fresh_postgres: str) -> None:
    told = recorded(
        [
            enrolled("p-1"),
            linked("p-3", "p-1", BASIS),
            PupilLeft(person="p-1"),
            enrolled("p-1", BASIS),
            hired("p-2", Position.DIRECTOR),
            CoordinatorAppointed(person="p-2"),
            GuardianUnlinked(pupil="p-1", guardian="p-3"),
        ]
    )
    batches = [told, annulled([told[3], told[4], told[6]], len(told)), recorded([granted("c-1", "p-2")], "consent")]
    here, there = After(*batches, annulled_at=[4, 5, 7]), After(*batches, annulled_at=[4, 5, 7], postgres=fresh_postgres)
    assert (there.rows, there.grounds, there.entered_by) == (here.rows, here.grounds, here.entered_by)
    assert here.entered_by == {4: ["p-1", "p-3"], 5: ["p-2"], 7: []}
