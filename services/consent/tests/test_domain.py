"""What follows from each decision on a subject, and which are none."""

from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from consent.domain import CONSENTS, Command, Consents, Decide, Expire, Invalidate, Withdraw, standing
from contracts.consent import (
    AgeBand,
    Capacity,
    ConsentExpired,
    ConsentGranted,
    ConsentInvalidated,
    ConsentRefused,
    ConsentWithdrawn,
    Decision,
    InvalidationReason,
    SubjectKind,
    Terms,
)
from contracts.event import Event
from contracts.roster import Seat, SeatHolder
from eventkit.decider import Refused
from eventkit.testing import given

SEAT = Seat(class_id="class-5a", number=7, holder=SeatHolder.PUPIL)
DAY = date(2015, 8, 24)
NEXT_DAY = date(2015, 8, 25)
LAST_DAY = date(2015, 8, 31)
AFTER = date(2015, 9, 1)

TERMS = Terms(template="portal-child", template_sha256="0" * 64)
YES = Decision(granted=True, seat=SEAT, subject_kind=SubjectKind.PUPIL)
NO = Decision(granted=False, seat=SEAT, subject_kind=SubjectKind.PUPIL)
TEENAGER = YES.model_copy(update={"age_band": AgeBand.FROM_14_TO_17})
CO_SIGNED = TEENAGER.model_copy(update={"co_signed": True})


def decided(
    consent_id: str, decision: Decision = YES, on: date = DAY, co_signature_age: int | None = None, withdrawn_on: date | None = None
) -> Decide:
    return Decide(consent_id, "p-1", decision, on, TERMS if decision.granted else None, co_signature_age, withdrawn_on)


def with_(**changes: Any) -> Decision:
    return YES.model_copy(update=changes)


def granted(consent_id: str = "c-1", supersedes: str | None = None, on: date = DAY, **changes: Any) -> ConsentGranted:
    event = ConsentGranted(
        consent_id=consent_id,
        supersedes=supersedes,
        subject="p-1",
        subject_kind=SubjectKind.PUPIL,
        seat=SEAT,
        age_band=AgeBand.UNDER_14,
        grantor=None,
        capacity=Capacity.LEGAL_REPRESENTATIVE,
        terms=TERMS,
        form="paper",
        evidence_sha256=None,
        signed_on=on,
        valid_from=on,
        valid_until=None,
    )
    return event.model_copy(update=changes)


def refused(consent_id: str = "c-1", supersedes: str | None = None, on: date = DAY) -> ConsentRefused:
    return ConsentRefused(
        consent_id=consent_id, supersedes=supersedes, subject="p-1", subject_kind=SubjectKind.PUPIL, seat=SEAT, decided_on=on
    )


def withdrawn(consent_id: str = "c-1") -> ConsentWithdrawn:
    return ConsentWithdrawn(consent_id=consent_id, subject="p-1", subject_kind=SubjectKind.PUPIL)


def expired(consent_id: str = "c-1") -> ConsentExpired:
    return ConsentExpired(consent_id=consent_id, subject="p-1", subject_kind=SubjectKind.PUPIL)


def invalidated(consent_id: str = "c-1") -> ConsentInvalidated:
    return ConsentInvalidated(
        consent_id=consent_id, subject="p-1", subject_kind=SubjectKind.PUPIL, reason=InvalidationReason.NOT_AUTHORISED
    )


def invalidate(consent_id: str = "c-1") -> Invalidate:
    return Invalidate(consent_id, InvalidationReason.NOT_AUTHORISED)


# Decisions.


def test_a_consent_is_granted_for_a_seat():
    given(CONSENTS).when(decided("c-1")).then(granted())


def test_a_refusal_is_a_decision_too():
    given(CONSENTS).when(decided("c-1", NO)).then(refused())


def test_the_same_decision_said_again_is_recorded_once():
    given(CONSENTS, granted()).when(decided("c-1")).then_nothing_happens()


def test_the_same_decision_under_another_id_says_nothing_new():
    given(CONSENTS, granted()).when(decided("c-2")).then_nothing_happens()


def test_a_decision_of_another_day_supersedes_the_one_before():
    given(CONSENTS, granted()).when(decided("c-2", on=NEXT_DAY)).then(granted("c-2", supersedes="c-1", on=NEXT_DAY))


def test_a_refusal_supersedes_a_consent():
    given(CONSENTS, granted()).when(decided("c-2", NO)).then(refused("c-2", supersedes="c-1"))


def test_a_consent_supersedes_a_refusal():
    given(CONSENTS, refused()).when(decided("c-2")).then(granted("c-2", supersedes="c-1"))


def test_a_consent_after_a_withdrawal_supersedes_nothing():
    given(CONSENTS, granted(), withdrawn()).when(decided("c-2")).then(granted("c-2"))


def test_a_superseded_decision_said_again_under_its_own_id_changes_nothing():
    given(CONSENTS, granted(), refused("c-2", supersedes="c-1")).when(decided("c-1")).then_nothing_happens()


def test_a_subject_stays_of_one_kind():
    for_staff = Decision(granted=True, person="p-1", subject_kind=SubjectKind.STAFF)
    given(CONSENTS, granted()).when(decided("c-2", for_staff)).then_refused("subject.other-kind")


# Who decides.


def test_a_pupil_of_unknown_age_counts_as_under_14_and_is_represented():
    [event] = CONSENTS.decide(decided("c-1"), ())
    assert isinstance(event, ConsentGranted)
    assert (event.age_band, event.capacity) == (AgeBand.UNDER_14, Capacity.LEGAL_REPRESENTATIVE)


def test_an_adult_pupil_decides_alone():
    adult = YES.model_copy(update={"age_band": AgeBand.ADULT})
    given(CONSENTS).when(decided("c-1", adult)).then(granted(age_band=AgeBand.ADULT, capacity=Capacity.SELF, grantor="p-1"))


@pytest.mark.parametrize(
    ("kind", "age_band", "capacity"),
    [
        (SubjectKind.PUPIL, AgeBand.UNDER_14, Capacity.SELF),
        (SubjectKind.PUPIL, AgeBand.FROM_14_TO_17, Capacity.SELF),
        (SubjectKind.PUPIL, AgeBand.ADULT, Capacity.LEGAL_REPRESENTATIVE),
        (SubjectKind.GUARDIAN, None, Capacity.LEGAL_REPRESENTATIVE),
        (SubjectKind.STAFF, None, Capacity.LEGAL_REPRESENTATIVE),
    ],
)
def test_the_wrong_person_cannot_decide(kind: SubjectKind, age_band: AgeBand | None, capacity: Capacity):
    decision = Decision(granted=True, person="p-1", subject_kind=kind, age_band=age_band, capacity=capacity)
    given(CONSENTS).when(decided("c-1", decision)).then_refused("consent.wrong-capacity")


def test_who_is_18_by_the_age_decides_alone_and_signs_as_the_grantor():
    given(CONSENTS).when(decided("c-1", with_(age=18))).then(granted(age_band=AgeBand.ADULT, capacity=Capacity.SELF, grantor="p-1"))


@pytest.mark.parametrize(
    ("age", "band"), [(6, AgeBand.UNDER_14), (13, AgeBand.UNDER_14), (14, AgeBand.FROM_14_TO_17), (17, AgeBand.FROM_14_TO_17)]
)
def test_the_age_gives_the_band_and_is_not_recorded(age: int, band: AgeBand):
    given(CONSENTS).when(decided("c-1", with_(age=age))).then(granted(age_band=band))


def test_an_age_and_a_band_that_do_not_fit_are_refused():
    given(CONSENTS).when(decided("c-1", with_(age=13, age_band=AgeBand.ADULT))).then_refused("decision.age-unclear")


def test_a_representative_is_named_with_the_document_of_authority():
    signed = with_(grantor="p-2", authority="OPEKA-118")
    given(CONSENTS).when(decided("c-1", signed)).then(granted(grantor="p-2", authority="OPEKA-118"))


def test_where_the_paper_lies_is_recorded_with_its_digest():
    filed = with_(evidence_reference="DELO-12/7", evidence_sha256="a" * 64)
    given(CONSENTS).when(decided("c-1", filed)).then(granted(evidence_reference="DELO-12/7", evidence_sha256="a" * 64))


def test_a_pupil_under_18_does_not_sign_alone():
    given(CONSENTS).when(decided("c-1", with_(grantor="p-1"))).then_refused("consent.wrong-grantor")


def test_nobody_signs_for_an_adult():
    given(CONSENTS).when(decided("c-1", with_(age=18, grantor="p-2"))).then_refused("consent.wrong-grantor")
    given(CONSENTS).when(decided("c-1", with_(age=18, authority="OPEKA-118"))).then_refused("consent.wrong-capacity")


def test_a_guardian_decides_for_the_own_data_and_is_the_grantor():
    own = Decision(granted=True, person="p-1", subject_kind=SubjectKind.GUARDIAN)
    given(CONSENTS).when(decided("c-1", own)).then(
        granted(seat=None, subject_kind=SubjectKind.GUARDIAN, age_band=AgeBand.ADULT, capacity=Capacity.SELF, grantor="p-1")
    )


# The pupil's own signature.


def test_by_default_no_pupil_has_to_sign_beside_the_representative_but_may():
    given(CONSENTS).when(decided("c-1", TEENAGER)).then(granted(age_band=AgeBand.FROM_14_TO_17))
    given(CONSENTS).when(decided("c-1", CO_SIGNED)).then(granted(age_band=AgeBand.FROM_14_TO_17, co_signer="p-1"))


def test_where_pupils_have_to_sign_a_consent_of_14_to_17_needs_both_signatures():
    given(CONSENTS).when(decided("c-1", TEENAGER, co_signature_age=14)).then_refused("consent.co-signature-missing")
    both = granted(age_band=AgeBand.FROM_14_TO_17, co_signer="p-1")
    given(CONSENTS).when(decided("c-1", CO_SIGNED, co_signature_age=14)).then(both)


def test_who_is_younger_than_the_age_of_co_signature_need_not_sign_if_the_age_is_told():
    fifteen = with_(age=15)
    given(CONSENTS).when(decided("c-1", fifteen, co_signature_age=16)).then(granted(age_band=AgeBand.FROM_14_TO_17))
    given(CONSENTS).when(decided("c-1", fifteen, co_signature_age=15)).then_refused("consent.co-signature-missing")
    given(CONSENTS).when(decided("c-1", TEENAGER, co_signature_age=16)).then_refused("consent.co-signature-missing")


def test_a_representative_refuses_without_the_pupil_and_a_child_is_not_asked():
    teenager = NO.model_copy(update={"age_band": AgeBand.FROM_14_TO_17})
    given(CONSENTS).when(decided("c-1", teenager, co_signature_age=14)).then(refused())
    given(CONSENTS).when(decided("c-1", with_(age=13), co_signature_age=14)).then(granted())
    given(CONSENTS).when(decided("c-1", with_(age_band=AgeBand.UNDER_14), co_signature_age=14)).then(granted())


def test_where_pupils_have_to_sign_a_consent_says_how_old_the_pupil_is():
    for silent in (YES, with_(co_signed=True)):
        given(CONSENTS).when(decided("c-1", silent, co_signature_age=14)).then_refused("decision.age-unclear")
    given(CONSENTS).when(decided("c-1", NO, co_signature_age=14)).then(refused())
    own = Decision(granted=True, person="p-1", subject_kind=SubjectKind.GUARDIAN)
    [event] = CONSENTS.decide(decided("c-1", own, co_signature_age=14), ())
    assert isinstance(event, ConsentGranted)


@pytest.mark.parametrize("changes", [{}, {"age": 13}, {"age": 18}])
def test_nobody_else_signs_beside_another(changes: dict[str, Any]):
    given(CONSENTS).when(decided("c-1", with_(co_signed=True, **changes))).then_refused("consent.no-co-signature")


# How long it holds.


@pytest.mark.parametrize(
    ("birthday", "ends"),
    [
        (date(2016, 3, 15), date(2016, 2, 29)),
        (date(2016, 3, 1), date(2016, 2, 29)),
        (date(2016, 1, 9), date(2015, 12, 31)),
        (date(2016, 6, 30), date(2016, 6, 30)),
    ],
)
def test_a_pupils_consent_ends_with_a_month_so_that_it_gives_no_birth_date_away(birthday: date, ends: date):
    until = YES.model_copy(update={"valid_until": birthday})
    given(CONSENTS).when(decided("c-1", until)).then(granted(valid_until=ends))


@pytest.mark.parametrize("kind", [SubjectKind.STAFF, SubjectKind.GUARDIAN])
def test_an_adults_consent_ends_on_the_day_that_was_given(kind: SubjectKind):
    until = Decision(granted=True, person="p-1", subject_kind=kind, valid_until=date(2016, 3, 15))
    [event] = CONSENTS.decide(decided("c-1", until), ())
    assert isinstance(event, ConsentGranted)
    assert event.valid_until == date(2016, 3, 15)


def test_a_consent_that_would_have_ended_before_it_was_signed_is_refused():
    until = YES.model_copy(update={"valid_until": date(2015, 8, 30)})
    given(CONSENTS).when(decided("c-1", until)).then_refused("consent.expired")


# Withdrawals.


def test_a_granted_consent_is_withdrawn():
    given(CONSENTS, granted()).when(Withdraw("c-1", NEXT_DAY)).then(withdrawn())


def test_a_consent_is_withdrawn_once():
    given(CONSENTS, granted(), withdrawn()).when(Withdraw("c-1", NEXT_DAY)).then_nothing_happens()


def test_a_refusal_cannot_be_withdrawn():
    given(CONSENTS, refused()).when(Withdraw("c-1", NEXT_DAY)).then_refused("consent.not-granted")


def test_a_superseded_consent_cannot_be_withdrawn():
    later = granted("c-2", supersedes="c-1", on=NEXT_DAY)
    given(CONSENTS, granted(), later).when(Withdraw("c-1", NEXT_DAY)).then_refused("consent.superseded")


def test_a_consent_cannot_end_before_it_was_signed():
    given(CONSENTS, granted(on=NEXT_DAY)).when(Withdraw("c-1", DAY)).then_refused("consent.not-yet-granted")


def test_a_consent_that_was_never_given_cannot_be_withdrawn():
    given(CONSENTS).when(Withdraw("c-1", DAY)).then_refused("consent.unknown")


def test_an_expired_consent_cannot_be_withdrawn_any_more():
    ending = granted(valid_until=LAST_DAY)
    given(CONSENTS, ending, expired()).when(Withdraw("c-1", AFTER)).then_refused("consent.expired")
    given(CONSENTS, ending).when(Withdraw("c-1", AFTER)).then_refused("consent.expired")  # the clock has not said so yet


def test_a_withdrawal_that_came_before_the_end_counts_though_it_is_heard_of_later():
    ending = granted(valid_until=LAST_DAY)
    given(CONSENTS, ending, expired()).when(Withdraw("c-1", LAST_DAY)).then(withdrawn())


def test_what_never_was_valid_cannot_be_withdrawn():
    given(CONSENTS, granted(), invalidated()).when(Withdraw("c-1", NEXT_DAY)).then_refused("consent.invalidated")


# The end of a consent's time.


def test_a_consent_is_valid_to_the_end_of_its_last_day():
    ending = granted(valid_until=LAST_DAY)
    given(CONSENTS, ending).when(Expire("c-1", LAST_DAY)).then_nothing_happens()
    given(CONSENTS, ending).when(Expire("c-1", AFTER)).then(expired())


def test_a_consent_expires_once():
    given(CONSENTS, granted(valid_until=LAST_DAY), expired()).when(Expire("c-1", AFTER)).then_nothing_happens()


def test_a_consent_without_a_last_day_does_not_expire():
    given(CONSENTS, granted()).when(Expire("c-1", date(2099, 1, 1))).then_nothing_happens()


@pytest.mark.parametrize(
    "later",
    [withdrawn(), invalidated(), granted("c-2", supersedes="c-1", on=NEXT_DAY), refused("c-2", supersedes="c-1")],
    ids=["withdrawn", "invalidated", "superseded by another consent", "superseded by a refusal"],
)
def test_a_consent_that_does_not_stand_any_more_does_not_expire(later: Event):
    given(CONSENTS, granted(valid_until=LAST_DAY), later).when(Expire("c-1", AFTER)).then_nothing_happens()


def test_whoever_signs_again_before_the_end_supersedes_and_after_it_decides_anew():
    ending, renewed = granted(valid_until=LAST_DAY), decided("c-2", on=AFTER)
    given(CONSENTS, ending).when(renewed).then(granted("c-2", supersedes="c-1", on=AFTER))
    given(CONSENTS, ending, expired()).when(renewed).then(granted("c-2", on=AFTER))


# Papers that are older than what is known.


@pytest.mark.parametrize("decision", [YES, NO], ids=["a consent", "a refusal"])
@pytest.mark.parametrize("known", [granted(on=NEXT_DAY), refused(on=NEXT_DAY)], ids=["after a consent", "after a refusal"])
def test_a_paper_that_is_older_than_the_last_decision_does_not_hold(known: Event, decision: Decision):
    given(CONSENTS, known).when(decided("c-2", decision, on=DAY)).then_refused("consent.outdated")


def test_a_paper_that_is_older_than_a_withdrawal_does_not_bring_the_consent_back():
    taken_back = given(CONSENTS, granted(), withdrawn())
    taken_back.when(decided("c-2", on=NEXT_DAY, withdrawn_on=LAST_DAY)).then_refused("consent.outdated")
    taken_back.when(decided("c-2", on=LAST_DAY, withdrawn_on=LAST_DAY)).then(granted("c-2", on=LAST_DAY))


def test_a_paper_that_is_older_than_the_end_of_a_consent_does_not_bring_it_back():
    over = given(CONSENTS, granted(valid_until=LAST_DAY), expired())
    over.when(decided("c-2", on=LAST_DAY)).then_refused("consent.outdated")
    over.when(decided("c-2", on=AFTER)).then(granted("c-2", on=AFTER))


def test_a_renewal_that_was_signed_before_the_end_may_be_recorded_after_it():
    over = given(CONSENTS, granted(valid_until=LAST_DAY), expired())
    until = date(2016, 5, 31)
    over.when(decided("c-2", with_(valid_until=until), on=LAST_DAY)).then(granted("c-2", on=LAST_DAY, valid_until=until))
    over.when(decided("c-2", with_(valid_until=LAST_DAY), on=LAST_DAY)).then_refused("consent.outdated")


def test_a_paper_may_be_older_than_what_never_was_valid():
    given(CONSENTS, granted(on=NEXT_DAY), invalidated()).when(decided("c-2")).then(granted("c-2"))
    false_refusal = refused("c-2", supersedes="c-1", on=LAST_DAY)
    given(CONSENTS, granted(), false_refusal, invalidated("c-2")).when(decided("c-3", on=NEXT_DAY)).then(granted("c-3", on=NEXT_DAY))


def test_a_paper_that_is_known_already_may_be_older_than_what_came_after():
    later = refused("c-2", supersedes="c-1", on=NEXT_DAY)
    given(CONSENTS, granted(), later).when(decided("c-1")).then_nothing_happens()


# Decisions that never were valid.


def test_a_decision_is_invalidated_whether_it_was_a_consent_or_a_refusal():
    given(CONSENTS, granted()).when(invalidate()).then(invalidated())
    given(CONSENTS, refused()).when(invalidate()).then(invalidated())


def test_a_decision_is_invalidated_once_whatever_reason_is_given_next():
    given(CONSENTS, granted(), invalidated()).when(Invalidate("c-1", InvalidationReason.FORGED)).then_nothing_happens()


@pytest.mark.parametrize("later", [withdrawn(), expired(), refused("c-2", supersedes="c-1")], ids=["withdrawn", "expired", "superseded"])
def test_what_has_ended_may_still_turn_out_never_to_have_been_valid(later: Event):
    given(CONSENTS, granted(), later).when(invalidate()).then(invalidated())


def test_a_decision_that_was_never_taken_cannot_be_invalidated():
    given(CONSENTS).when(invalidate()).then_refused("consent.unknown")


def test_after_an_invalidation_the_same_decision_is_a_new_one():
    given(CONSENTS, granted(), invalidated()).when(decided("c-2")).then(granted("c-2"))


def test_what_an_invalidated_decision_had_superseded_does_not_come_back():
    later = granted("c-2", supersedes="c-1", on=NEXT_DAY)
    assert standing(CONSENTS.fold([granted(), later, invalidated("c-2")])) is None
    given(CONSENTS, granted(), later, invalidated("c-2")).when(decided("c-3")).then(granted("c-3"))


def test_the_decision_after_an_invalidated_one_stands():
    later = refused("c-2", supersedes="c-1", on=NEXT_DAY)
    stands = standing(CONSENTS.fold([granted(), later, invalidated()]))
    assert stands is not None
    assert stands.decided == later


# Laws.

ids = st.sampled_from(["c-1", "c-2", "c-3", "c-4"])
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        decided,
        ids,
        st.sampled_from(
            [YES, NO, YES.model_copy(update={"form": "electronic"}), YES.model_copy(update={"valid_until": LAST_DAY}), TEENAGER, CO_SIGNED]
        ),
        st.sampled_from([DAY, NEXT_DAY]),
        st.sampled_from([None, 14]),
    ),
    st.builds(Withdraw, consent_id=ids, on=st.sampled_from([DAY, NEXT_DAY])),
    st.builds(Expire, consent_id=ids, on=st.sampled_from([LAST_DAY, AFTER])),
    st.builds(Invalidate, consent_id=ids, reason=st.sampled_from(InvalidationReason)),
)


def carry_out(history: list[Command]) -> Consents:
    consents: Consents = ()
    for command in history:
        try:
            consents = CONSENTS.fold(CONSENTS.decide(command, consents), consents)
        except Refused:
            continue
    return consents


@for_all(history=st.lists(commands), command=commands)
def test_saying_it_twice_is_saying_it_once(history: list[Command], command: Command):
    once = carry_out([*history, command])
    assert carry_out([*history, command, command]) == once


@for_all(history=st.lists(commands))
def test_only_the_last_decision_can_stand(history: list[Command]):
    consents = carry_out(history)
    assert not {"granted", "refused"} & {consent.state for consent in consents[:-1]}
    assert len({consent.decided.consent_id for consent in consents}) == len(consents)


@for_all(history=st.lists(commands))
def test_a_decision_supersedes_the_one_right_before_it_or_none(history: list[Command]):
    consents = carry_out(history)
    for before, after in pairwise(consents):
        assert after.decided.supersedes in (None, before.decided.consent_id)
        if after.decided.supersedes is None:
            assert before.state in ("withdrawn", "expired", "invalidated")
        else:
            assert before.state in ("superseded", "invalidated")
    assert not consents or consents[0].decided.supersedes is None


@for_all(history=st.lists(commands), decision=st.sampled_from([YES, NO, CO_SIGNED]))
def test_whatever_has_happened_a_new_decision_stands(history: list[Command], decision: Decision):
    consents = carry_out([*history, decided("c-new", decision, AFTER)])
    stands = standing(consents)
    assert stands is not None
    assert stands.state == ("granted" if decision.granted else "refused")
    assert [consent.state for consent in consents].count("granted") == int(decision.granted)
