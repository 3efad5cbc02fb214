"""What identity knows of people depends on what roster, consent and identity itself recorded, and not on how it arrived."""

from collections.abc import Sequence
from datetime import date

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, select
from sqlalchemy.pool import StaticPool

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
from contracts.identity import AccountActivated, AccountBlocked, Channel, CredentialsHandedOver, CredentialsIssued
from contracts.roster import (
    ClassClosed,
    ClassDeclared,
    CoordinatorAppointed,
    CoordinatorRelieved,
    EntryAnnulled,
    GuardianAbsenceRecorded,
    GuardianLinked,
    GuardianUnlinked,
    LegalBasis,
    NoGuardianReason,
    Position,
    PupilAssignedToClass,
    PupilEnrolled,
    PupilLeft,
    PupilMoved,
    Relation,
    SchoolOpened,
    Seat,
    SeatHolder,
    StaffDismissed,
    StaffHired,
)
from eventkit.event import Draft, Origin, Recorded, decode, stamp
from identity.domain.gates import Person
from identity.projections import People, account_table, class_table, metadata, people_of

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
    st.builds(PupilMoved, pupil=people, seat=st.builds(Seat, class_id=classes, number=st.just(2), holder=st.just(SeatHolder.PUPIL))),
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
PUPIL = SubjectKind.PUPIL
consents = st.sampled_from(["c-1", "c-2"])


def granted(subject: str, consent_id: str, supersedes: str | None = None) -> ConsentGranted:
    return ConsentGranted(
        consent_id=consent_id,
        supersedes=supersedes,
        subject=subject,
        subject_kind=PUPIL,
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


def refused(subject: str, consent_id: str, supersedes: str | None = None) -> ConsentRefused:
    return ConsentRefused(consent_id=consent_id, supersedes=supersedes, subject=subject, subject_kind=PUPIL, seat=None, decided_on=DAY)


def withdrawn(subject: str, consent_id: str) -> ConsentWithdrawn:
    return ConsentWithdrawn(consent_id=consent_id, subject=subject, subject_kind=PUPIL)


def expired(subject: str, consent_id: str) -> ConsentExpired:
    return ConsentExpired(consent_id=consent_id, subject=subject, subject_kind=PUPIL)


def invalidated(subject: str, consent_id: str) -> ConsentInvalidated:
    return ConsentInvalidated(consent_id=consent_id, subject=subject, subject_kind=PUPIL, reason=InvalidationReason.FORGED)


of_consent: st.SearchStrategy[Event] = st.one_of(
    st.builds(granted, people, consents, st.none() | consents),
    st.builds(refused, people, consents, st.none() | consents),
    st.builds(withdrawn, people, consents),
    st.builds(expired, people, consents),
    st.builds(invalidated, people, consents),
)


def issued(person: str) -> CredentialsIssued:
    return CredentialsIssued(credential="k-1", account="a-1", person=person, replaces=None, expires_on=DAY)


def handed_over(person: str) -> CredentialsHandedOver:
    return CredentialsHandedOver(credential="k-1", person=person, channel=Channel.PAPER, receiver=person)


def activated(person: str) -> AccountActivated:
    return AccountActivated(account="a-1", person=person, method="temporary-password")


def blocked(person: str) -> AccountBlocked:
    return AccountBlocked(account="a-1", person=person, reason="left")


of_identity: st.SearchStrategy[Event] = st.one_of(*(st.builds(made, people) for made in (issued, handed_over, activated, blocked)))


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


@given(
    roster=st.lists(of_roster, max_size=25),
    consent=st.lists(of_consent, max_size=10),
    identity=st.lists(of_identity, max_size=10),
    data=st.data(),
)
def test_any_interleaving_in_any_batches_ends_in_the_same_rows(
    roster: list[Event], consent: list[Event], identity: list[Event], data: st.DataObject
):
    sources = [recorded("roster", roster), recorded("consent", consent), recorded("identity", identity)]
    one_by_one = [[event] for source in sources for event in source]
    merged: list[Recorded] = []
    for number in data.draw(st.permutations([number for number, source in enumerate(sources) for _ in source])):
        merged.append(sources[number].pop(0))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(merged)), max_size=4)))
    batches = [merged[start:end] for start, end in zip([0, *cuts], [*cuts, len(merged)], strict=True)]
    assert after(batches) == after(one_by_one)


@given(roster=st.lists(of_roster, max_size=25), data=st.data())
def test_what_is_annulled_leaves_everybody_as_if_it_had_never_been_said(roster: list[Event], data: st.DataObject):
    told = recorded("roster", roster)
    wrong = [
        one.position
        for one, event in zip(told, roster, strict=True)
        if isinstance(event, PupilAssignedToClass | GuardianLinked) and data.draw(st.booleans())
    ]
    annulments = [annulment(told[position - 1], len(told) + nth) for nth, position in enumerate(reversed(wrong), 1)]
    _, with_annulments = after([told, annulments])
    _, without = after([[one for one in told if one.position not in wrong]])
    assert with_annulments == without


def annulment(wrong: Recorded, position: int) -> Recorded:
    """As roster records it, in the stream of the pupil."""
    event = EntryAnnulled(event=wrong.id, position=wrong.position, event_type=wrong.type, reason=AnnulmentReason.IMPORT_ROLLED_BACK)
    stream = f"pupil-school-7.{wrong.facts()[1]['pupil']}"
    draft = Draft(event, stream, position, "school-7", DAY, Origin("operator", "c-1", "c-1"))
    at = "2015-08-17T06:00:00.000000Z"
    return decode(stamp(draft, service="roster", position=position, event_id=f"roster-{position}", recorded_at=at))


@given(roster=st.lists(of_roster, max_size=25))
def test_whoever_is_entered_as_nothing_has_no_class_and_no_ground(roster: list[Event]):
    _, found = after([recorded("roster", roster)])
    for person in found.values():
        if person.kind is None:
            assert not person.classes
            assert not person.legal_basis


def consent_after(*events: Event) -> str | None:
    return after([recorded("consent", events)])[1]["p-1"].consent


def test_of_a_persons_decisions_the_one_that_stands_counts():
    first, second = granted("p-1", "c-1"), refused("p-1", "c-2", supersedes="c-1")
    assert consent_after(first) == "granted"
    assert consent_after(first, second) == "refused"
    assert consent_after(first, second, invalidated("p-1", "c-1")) == "refused"
    assert consent_after(first, withdrawn("p-1", "c-1"), granted("p-1", "c-2")) == "granted"
    assert consent_after(first, expired("p-1", "c-1"), granted("p-1", "c-2"), invalidated("p-1", "c-1")) == "granted"


def test_where_no_decision_stands_the_last_one_to_fall_says_why():
    first, second = granted("p-1", "c-1"), granted("p-1", "c-2", supersedes="c-1")
    assert consent_after() is None
    assert consent_after(first, withdrawn("p-1", "c-1")) == "withdrawn"
    assert consent_after(first, expired("p-1", "c-1")) == "expired"
    assert consent_after(first, second, invalidated("p-1", "c-2")) == "invalidated"
    assert consent_after(first, withdrawn("p-1", "c-1"), granted("p-1", "c-2"), expired("p-1", "c-2")) == "expired"


def test_a_pupil_is_in_the_class_of_the_assignment_whatever_list_the_seat_is_on():
    seat = Seat(class_id="5a", number=1, holder=SeatHolder.PUPIL)
    entered = PupilEnrolled(person="p-1", seat=seat, consent_id=None, legal_basis=None, enrolled_on=DAY)
    assigned = PupilAssignedToClass(pupil="p-1", class_id="5b")
    moved = PupilMoved(pupil="p-1", seat=Seat(class_id="6b", number=4, holder=SeatHolder.PUPIL))
    left = PupilLeft(person="p-1")
    found = [after([recorded("roster", told)])[1]["p-1"].classes for told in ([entered], [entered, assigned], [entered, assigned, moved])]
    assert after([recorded("roster", [entered, assigned, left, entered])])[1]["p-1"].classes == set()
    assert found == [set(), {"5b"}, {"5b"}]


def test_an_account_is_where_its_last_event_left_it_and_a_grade_is_its_classs():
    declared = ClassDeclared(class_id="5a", grade=5, letter="А", academic_year="2015/2016")
    assert after([recorded("roster", [declared])])[0][class_table.name] == {("5a", "school-7", 5)}
    accounts = [issued("p-1"), issued("p-2"), handed_over("p-2"), issued("p-3"), handed_over("p-3"), activated("p-3")]
    assert after([recorded("identity", accounts)])[0][account_table.name] == {
        ("school-7", "p-1", "issued", None),
        ("school-7", "p-2", "handed-over", DAY),
        ("school-7", "p-3", "activated", None),
    }
    ended = [*accounts, blocked("p-2"), issued("p-3")]
    assert after([recorded("identity", ended)])[0][account_table.name] == {
        ("school-7", "p-1", "issued", None),
        ("school-7", "p-2", "blocked", None),
        ("school-7", "p-3", "issued", None),
    }
