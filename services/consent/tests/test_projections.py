"""What consent knows of the schools, and of the ends of consents, depends on what was recorded, and not on how it arrived."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Executable, Row, create_engine, select
from sqlalchemy.pool import StaticPool

from consent.projections import People, ended_before, entered_in_class, metadata, next_end, timezones
from contracts.consent import (
    AgeBand,
    Capacity,
    ConsentExpired,
    ConsentGranted,
    ConsentInvalidated,
    ConsentRefused,
    ConsentWithdrawn,
    InvalidationReason,
    SubjectKind,
    Terms,
)
from contracts.event import AnnulmentReason, Event
from contracts.roster import (
    ClassClosed,
    ClassDeclared,
    EntryAnnulled,
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


consent_ids = st.sampled_from(["c-1", "c-2", "c-3"])
LAST_DAYS = [date(2015, 8, 31), date(2015, 9, 30)]
DAYS_AROUND = [date(2015, 8, 31), date(2015, 9, 1), date(2015, 10, 1)]


def granted(consent_id: str, valid_until: date | None, supersedes: str | None = None) -> ConsentGranted:
    return ConsentGranted(
        consent_id=consent_id,
        supersedes=supersedes,
        subject="p-1",
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
        valid_until=valid_until,
    )


def refused(consent_id: str, supersedes: str | None) -> ConsentRefused:
    return ConsentRefused(
        consent_id=consent_id, supersedes=supersedes, subject="p-1", subject_kind=SubjectKind.PUPIL, seat=None, decided_on=DAY
    )


def withdrawn(consent_id: str) -> ConsentWithdrawn:
    return ConsentWithdrawn(consent_id=consent_id, subject="p-1", subject_kind=SubjectKind.PUPIL)


def expired(consent_id: str) -> ConsentExpired:
    return ConsentExpired(consent_id=consent_id, subject="p-1", subject_kind=SubjectKind.PUPIL)


def invalidated(consent_id: str) -> ConsentInvalidated:
    return ConsentInvalidated(consent_id=consent_id, subject="p-1", subject_kind=SubjectKind.PUPIL, reason=InvalidationReason.FORGED)


of_consent: st.SearchStrategy[Event] = st.one_of(
    st.builds(granted, consent_ids, st.sampled_from([None, *LAST_DAYS]), st.none() | consent_ids),
    st.builds(refused, consent_ids, st.none() | consent_ids),
    st.builds(withdrawn, consent_ids),
    st.builds(expired, consent_ids),
    st.builds(invalidated, consent_ids),
)


def recorded(events: Sequence[Event], service: str = "roster") -> list[Recorded]:
    drafts = [Draft(event, "told", version, "school-7", DAY, Origin("operator", "c", "c")) for version, event in enumerate(events, 1)]
    at = "2015-08-17T06:00:00.000000Z"
    return [
        decode(stamp(draft, service=service, position=draft.version, event_id=f"e-{draft.version}", recorded_at=at)) for draft in drafts
    ]


def after(batches: Sequence[Sequence[Recorded]]) -> tuple[dict[str, set[tuple[object, ...]]], set[str]]:
    """All rows, and who of everybody belongs to class 5a, once these batches have been applied."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        metadata.create_all(connection)
        for batch in batches:
            People().apply(connection, batch)
        rows = {table.name: {tuple(row) for row in connection.execute(select(table))} for table in metadata.sorted_tables}
        members = {row.person for row in connection.execute(entered_in_class("5a", ["p-1", "p-2", "p-3"]))}
    engine.dispose()
    return rows, members


@given(roster=st.lists(of_roster, max_size=25), consent=st.lists(of_consent, max_size=10), data=st.data())
def test_any_interleaving_in_any_batches_ends_in_the_same_rows(roster: list[Event], consent: list[Event], data: st.DataObject):
    first, second = recorded(roster), recorded(consent, "consent")
    one_by_one = [[event] for event in [*first, *second]]
    merged: list[Recorded] = []
    for from_roster in data.draw(st.permutations([True] * len(first) + [False] * len(second))):
        merged.append((first if from_roster else second).pop(0))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(merged)), max_size=4)))
    batches = [merged[start:end] for start, end in zip([0, *cuts], [*cuts, len(merged)], strict=True)]
    assert after(batches) == after(one_by_one)


@given(roster=st.lists(of_roster, max_size=25), data=st.data())
def test_what_is_annulled_leaves_the_rows_of_a_record_in_which_it_never_was(roster: list[Event], data: st.DataObject):
    told = recorded(roster)
    wrong = [
        one.position
        for one, event in zip(told, roster, strict=True)
        if isinstance(event, PupilAssignedToClass | GuardianLinked) and data.draw(st.booleans())
    ]
    annulments = [annulment(told[position - 1], len(told) + nth) for nth, position in enumerate(reversed(wrong), 1)]
    assert after([told, annulments]) == after([[one for one in told if one.position not in wrong]])


def annulment(wrong: Recorded, position: int) -> Recorded:
    """As roster records it, in the stream of the pupil."""
    event = EntryAnnulled(event=wrong.id, position=wrong.position, event_type=wrong.type, reason=AnnulmentReason.IMPORT_ROLLED_BACK)
    stream = f"pupil-school-7.{wrong.facts()[1]['pupil']}"
    draft = Draft(event, stream, position, "school-7", DAY, Origin("operator", "c", "c"))
    at = "2015-08-17T06:00:00.000000Z"
    return decode(stamp(draft, service="roster", position=position, event_id=f"e-{position}", recorded_at=at))


def test_only_what_still_stands_has_an_end():
    first, second = LAST_DAYS
    opened = SchoolOpened(school="school-7", municipality="m-1", timezone="Asia/Vladivostok")
    told = [
        granted("c-1", first),
        granted("c-2", second),
        granted("c-3", first),
        granted("c-4", first),
        granted("c-5", first),
        withdrawn("c-3"),
        granted("c-6", None, supersedes="c-4"),
        refused("c-7", supersedes="c-5"),
        granted("c-8", first),
        invalidated("c-8"),
        granted("c-9", first),
        expired("c-9"),
    ]
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        metadata.create_all(connection)
        People().apply(connection, [*recorded([opened]), *recorded(told, "consent")])

        def rows(statement: Executable) -> Sequence[Row[Any]]:
            return connection.execute(statement).all()

        [zone] = timezones(rows)
        assert zone == "Asia/Vladivostok"
        ends = [(day, [row.consent_id for row in ended_before(rows, day, zone)], next_end(rows, day, zone)) for day in DAYS_AROUND]
        assert ends == [
            (date(2015, 8, 31), [], first),
            (date(2015, 9, 1), ["c-1"], second),
            (date(2015, 10, 1), ["c-1", "c-2"], None),
        ]
        assert ended_before(rows, date(2099, 1, 1), "Europe/Moscow") == []
    engine.dispose()


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
