"""What identity knows of people depends on what roster and consent recorded, and not on how it arrived."""

from collections.abc import Sequence
from datetime import date

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, select
from sqlalchemy.pool import StaticPool

from contracts.consent import ConsentRefused, ConsentWithdrawn, SubjectKind
from contracts.event import Event
from contracts.roster import (
    ClassClosed,
    ClassDeclared,
    CoordinatorAppointed,
    CoordinatorRelieved,
    GuardianAbsenceRecorded,
    GuardianLinked,
    GuardianUnlinked,
    LegalBasis,
    NoGuardianReason,
    Position,
    PupilAssignedToClass,
    PupilEnrolled,
    PupilLeft,
    Relation,
    SchoolOpened,
    Seat,
    SeatHolder,
    StaffDismissed,
    StaffHired,
)
from eventkit.event import Draft, Origin, Recorded, decode, stamp
from identity.domain import Person
from identity.projections import People, metadata, people_of

DAY = date(2015, 8, 17)

people = st.sampled_from(["p-1", "p-2", "p-3"])
classes = st.sampled_from(["5a", "5b"])
bases = st.sampled_from([None, LegalBasis(code="law", reference="D-1")])

of_roster: st.SearchStrategy[Event] = st.one_of(
    st.just(SchoolOpened(school="school-7", municipality="m-1", timezone="Europe/Moscow")),
    st.builds(ClassDeclared, class_id=classes, grade=st.just(5), letter=st.just("А"), academic_year=st.just("2015/2016")),
    st.builds(ClassClosed, class_id=classes),
    st.builds(StaffHired, person=people, position=st.sampled_from(Position), hired_on=st.just(DAY)),
    st.builds(StaffDismissed, person=people),
    st.builds(CoordinatorAppointed, person=people),
    st.builds(CoordinatorRelieved, person=people),
    st.builds(
        PupilEnrolled,
        person=people,
        seat=st.builds(Seat, class_id=classes, number=st.just(1), holder=st.just(SeatHolder.PUPIL)),
        consent_id=st.none(),
        legal_basis=bases,
        enrolled_on=st.just(DAY),
    ),
    st.builds(PupilAssignedToClass, pupil=people, class_id=classes),
    st.builds(PupilLeft, person=people),
    st.builds(
        GuardianLinked,
        pupil=people,
        guardian=people,
        relation=st.just(Relation.MOTHER),
        legal_representative=st.just(True),
        consent_id=st.none(),
        legal_basis=bases,
    ),
    st.builds(GuardianUnlinked, pupil=people, guardian=people),
    st.builds(GuardianAbsenceRecorded, pupil=people, reason=st.just(NoGuardianReason.REFUSED)),
)
of_consent: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        ConsentRefused,
        consent_id=st.sampled_from(["c-1", "c-2"]),
        supersedes=st.none(),
        subject=people,
        subject_kind=st.just(SubjectKind.PUPIL),
        seat=st.none(),
        decided_on=st.just(DAY),
    ),
    st.builds(ConsentWithdrawn, consent_id=st.sampled_from(["c-1", "c-2"]), subject=people, subject_kind=st.just(SubjectKind.PUPIL)),
)


def recorded(service: str, events: Sequence[Event]) -> list[Recorded]:
    origin = Origin("operator", "c-1", "c-1")
    drafts = [Draft(event, "told", version, "school-7", DAY, origin) for version, event in enumerate(events, 1)]
    at = "2015-08-17T06:00:00.000000Z"
    return [
        decode(stamp(draft, service=service, position=draft.version, event_id=f"{service}-{draft.version}", recorded_at=at))
        for draft in drafts
    ]


def rows(connection: Connection) -> dict[str, set[tuple[object, ...]]]:
    return {table.name: {tuple(row) for row in connection.execute(select(table))} for table in metadata.sorted_tables}


def after(batches: Sequence[Sequence[Recorded]]) -> tuple[dict[str, set[tuple[object, ...]]], dict[str, Person]]:
    """All rows, and what they say of everybody, once these batches have been applied."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        metadata.create_all(connection)
        for batch in batches:
            People().apply(connection, batch)
        found = rows(connection), people_of(lambda statement: connection.execute(statement).all(), "school-7", ["p-1", "p-2", "p-3"])
    engine.dispose()
    return found


@given(roster=st.lists(of_roster, max_size=25), consent=st.lists(of_consent, max_size=10), data=st.data())
def test_any_interleaving_in_any_batches_ends_in_the_same_rows(roster: list[Event], consent: list[Event], data: st.DataObject):
    first, second = recorded("roster", roster), recorded("consent", consent)
    one_by_one = [[event] for event in [*first, *second]]
    merged: list[Recorded] = []
    for from_roster in data.draw(st.permutations([True] * len(first) + [False] * len(second))):
        merged.append((first if from_roster else second).pop(0))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(merged)), max_size=4)))
    batches = [merged[start:end] for start, end in zip([0, *cuts], [*cuts, len(merged)], strict=True)]
    assert after(batches) == after(one_by_one)


@given(roster=st.lists(of_roster, max_size=25))
def test_whoever_is_entered_as_nothing_has_no_class_and_no_ground(roster: list[Event]):
    _, found = after([recorded("roster", roster)])
    for person in found.values():
        if person.kind is None:
            assert not person.classes
            assert not person.legal_basis
