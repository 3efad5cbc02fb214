"""What consent knows of the schools depends on what roster recorded, and not on how it arrived."""

from collections.abc import Sequence
from datetime import date

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, select
from sqlalchemy.pool import StaticPool

from consent.projections import People, metadata, people_of_class
from contracts.event import Event
from contracts.roster import (
    ClassClosed,
    ClassDeclared,
    GuardianLinked,
    GuardianUnlinked,
    Position,
    PupilAssignedToClass,
    PupilEnrolled,
    Relation,
    SchoolOpened,
    Seat,
    SeatHolder,
    StaffDismissed,
    StaffHired,
)
from eventkit.event import Draft, Origin, Recorded, decode, stamp

DAY = date(2015, 8, 17)

people = st.sampled_from(["p-1", "p-2", "p-3"])
classes = st.sampled_from(["5a", "5b"])

of_roster: st.SearchStrategy[Event] = st.one_of(
    st.just(SchoolOpened(school="school-7", municipality="m-1", timezone="Europe/Moscow")),
    st.builds(ClassDeclared, class_id=classes, grade=st.just(5), letter=st.just("А"), academic_year=st.just("2015/2016")),
    st.builds(ClassClosed, class_id=classes),
    st.builds(StaffHired, person=people, position=st.just(Position.TEACHER), hired_on=st.just(DAY)),
    st.builds(StaffDismissed, person=people),
    st.builds(
        PupilEnrolled,
        person=people,
        seat=st.builds(Seat, class_id=classes, number=st.just(1), holder=st.just(SeatHolder.PUPIL)),
        consent_id=st.none(),
        legal_basis=st.none(),
        enrolled_on=st.just(DAY),
    ),
    st.builds(PupilAssignedToClass, pupil=people, class_id=classes),
    st.builds(
        GuardianLinked,
        pupil=people,
        guardian=people,
        relation=st.just(Relation.MOTHER),
        legal_representative=st.just(True),
        consent_id=st.none(),
        legal_basis=st.none(),
    ),
    st.builds(GuardianUnlinked, pupil=people, guardian=people),
)


def recorded(events: Sequence[Event]) -> list[Recorded]:
    drafts = [Draft(event, "told", version, "school-7", DAY, Origin("operator", "c", "c")) for version, event in enumerate(events, 1)]
    at = "2015-08-17T06:00:00.000000Z"
    return [
        decode(stamp(draft, service="roster", position=draft.version, event_id=f"e-{draft.version}", recorded_at=at)) for draft in drafts
    ]


def after(batches: Sequence[Sequence[Recorded]]) -> tuple[dict[str, set[tuple[object, ...]]], set[str]]:
    """All rows, and who of everybody belongs to class 5a, once these batches have been applied."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        metadata.create_all(connection)
        for batch in batches:
            People().apply(connection, batch)
        rows = {table.name: {tuple(row) for row in connection.execute(select(table))} for table in metadata.sorted_tables}
        members = {row.person for row in connection.execute(people_of_class("5a", ["p-1", "p-2", "p-3"]))}
    engine.dispose()
    return rows, members


@given(events=st.lists(of_roster, max_size=25), cuts=st.lists(st.integers(0, 25), max_size=4))
def test_any_batches_end_in_the_same_rows(events: list[Event], cuts: list[int]):
    told = recorded(events)
    places = sorted(min(cut, len(told)) for cut in cuts)
    batches = [told[start:end] for start, end in zip([0, *places], [*places, len(told)], strict=True)]
    assert after(batches) == after([[event] for event in told])


def test_a_guardian_belongs_to_the_classes_of_the_own_children():
    seat = Seat(class_id="5a", number=1, holder=SeatHolder.PUPIL)
    mother_of_both = [
        GuardianLinked(pupil=child, guardian="p-3", relation=Relation.MOTHER, legal_representative=True, consent_id=None, legal_basis=None)
        for child in ("p-1", "p-2")
    ]
    entered = [PupilEnrolled(person=child, seat=seat, consent_id=None, legal_basis=None, enrolled_on=DAY) for child in ("p-1", "p-2")]
    moved = PupilAssignedToClass(pupil="p-2", class_id="5b")
    assert after([recorded([*entered, *mother_of_both, moved])])[1] == {"p-1", "p-3"}
    unlinked = GuardianUnlinked(pupil="p-1", guardian="p-3")
    assert after([recorded([*entered, *mother_of_both, moved, unlinked])])[1] == {"p-1"}
