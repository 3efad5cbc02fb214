"""What becomes of an account, and who may be given a code for one."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from contracts.consent import SubjectKind
from contracts.event import Event
from contracts.identity import (
    AccountActivated,
    AccountBlocked,
    AccountProvisioned,
    Channel,
    CredentialsDispatched,
    CredentialsHandedOver,
    CredentialsIssued,
    CredentialsRevoked,
    LinkPrepared,
    RevocationReason,
)
from contracts.roster import Position
from eventkit.decider import Refused
from eventkit.testing import given
from identity.domain.account import ACCOUNTS, Account, Activate, Block, Command, Dispatch, HandOver, Issue, Return, Revoke
from identity.domain.gates import Person, check_consent, check_entered, is_of_class

DAY = date(2015, 9, 1)
LAST_DAY = date(2015, 11, 30)
TOO_LATE = date(2015, 12, 1)


def issue(credential: str = "k-1", *, on: date = DAY, reissue: bool = False, link: bool = False) -> Issue:
    return Issue("p-1", SubjectKind.PUPIL, "a-1", credential, on, LAST_DAY, reissue, link)


def issued(credential: str = "k-1", replaces: str | None = None) -> CredentialsIssued:
    return CredentialsIssued(credential=credential, account="a-1", person="p-1", replaces=replaces, expires_on=LAST_DAY)


def handed_over(credential: str = "k-1") -> CredentialsHandedOver:
    return CredentialsHandedOver(credential=credential, person="p-1", channel=Channel.PAPER, receiver="p-1")


PROVISIONED = AccountProvisioned(account="a-1", person="p-1", kind=SubjectKind.PUPIL)
ACTIVATED = AccountActivated(account="a-1", person="p-1", method="temporary-password")
BLOCKED = AccountBlocked(account="a-1", person="p-1", reason="left")
LINK = LinkPrepared(credential="k-1", person="p-1")
LINKED = (PROVISIONED, issued(), LINK)
DISPATCHED = CredentialsDispatched(credential="k-1", person="p-1", message="m-1")
BY_LINK = AccountActivated(account="a-1", person="p-1", method="link")
HAND_OVER = HandOver(DAY, Channel.PAPER, "p-1")


# Issuing, step 18.


def test_the_first_code_makes_the_account():
    given(ACCOUNTS).when(issue()).then(PROVISIONED, issued())


def test_the_same_code_is_issued_once():
    given(ACCOUNTS, PROVISIONED, issued()).when(issue()).then_nothing_happens()


def test_whoever_has_a_live_code_gets_no_other_one():
    given(ACCOUNTS, PROVISIONED, issued()).when(issue("k-2", on=LAST_DAY)).then_refused("credentials.already-issued")


def test_a_code_in_the_hands_of_its_owner_is_live_too():
    given(ACCOUNTS, PROVISIONED, issued(), handed_over()).when(issue("k-2")).then_refused("credentials.already-issued")


def test_reissuing_replaces_the_live_code():
    given(ACCOUNTS, PROVISIONED, issued()).when(issue("k-2", reissue=True)).then(issued("k-2", replaces="k-1"))


def test_an_expired_code_is_replaced_without_asking():
    given(ACCOUNTS, PROVISIONED, issued()).when(issue("k-2", on=TOO_LATE)).then(issued("k-2", replaces="k-1"))


def test_an_account_in_use_is_not_reset_by_the_way():
    given(ACCOUNTS, PROVISIONED, issued(), handed_over(), ACTIVATED).when(issue("k-2")).then_refused("account.already-activated")


def test_whoever_forgot_the_password_gets_a_new_code():
    used = (PROVISIONED, issued(), handed_over(), ACTIVATED)
    given(ACCOUNTS, *used).when(issue("k-2", reissue=True)).then(issued("k-2", replaces="k-1"))


def test_a_blocked_account_opens_again_with_a_new_code():
    given(ACCOUNTS, PROVISIONED, issued(), BLOCKED).when(issue("k-2")).then(issued("k-2", replaces="k-1"))


# Handing over, step 18.


def test_a_code_is_handed_over():
    given(ACCOUNTS, PROVISIONED, issued()).when(HAND_OVER).then(handed_over())


def test_there_must_be_a_code_to_hand_over():
    given(ACCOUNTS).when(HAND_OVER).then_refused("credentials.not-issued")


def test_a_code_is_handed_over_once():
    given(ACCOUNTS, PROVISIONED, issued(), handed_over()).when(HAND_OVER).then_refused("credentials.already-handed-over")


def test_a_used_code_is_not_handed_over():
    given(ACCOUNTS, PROVISIONED, issued(), handed_over(), ACTIVATED).when(HAND_OVER).then_refused("credentials.already-handed-over")


def test_an_expired_code_is_not_handed_over():
    too_late = HandOver(TOO_LATE, Channel.PAPER, "p-1")
    given(ACCOUNTS, PROVISIONED, issued()).when(too_late).then_refused("credentials.expired")


def test_a_code_is_not_handed_over_before_the_day_on_which_it_was_issued():
    early = HandOver(DAY, Channel.PAPER, "p-1", since=date(2015, 9, 2))
    given(ACCOUNTS, PROVISIONED, issued()).when(early).then_refused("credentials.not-yet-issued")
    given(ACCOUNTS, PROVISIONED, issued()).when(replace(early, since=DAY)).then(handed_over())


def test_the_code_of_a_blocked_account_is_not_handed_over():
    given(ACCOUNTS, PROVISIONED, issued(), BLOCKED).when(HAND_OVER).then_refused("account.blocked")


def test_a_reissued_code_is_handed_over_anew():
    again = (PROVISIONED, issued(), handed_over(), issued("k-2", replaces="k-1"))
    given(ACCOUNTS, *again).when(HAND_OVER).then(handed_over("k-2"))


# Activating, step 19.


def test_an_account_is_activated_with_what_was_handed_over():
    given(ACCOUNTS, PROVISIONED, issued(), handed_over()).when(Activate("k-1", LAST_DAY)).then(ACTIVATED)


def test_a_code_that_nobody_has_received_opens_nothing():
    given(ACCOUNTS, PROVISIONED, issued()).when(Activate("k-1", DAY)).then_refused("activation.not-handed-over")


def test_an_expired_code_opens_nothing():
    given(ACCOUNTS, PROVISIONED, issued(), handed_over()).when(Activate("k-1", TOO_LATE)).then_refused("activation.expired")


def test_a_code_opens_an_account_once():
    used = (PROVISIONED, issued(), handed_over(), ACTIVATED)
    given(ACCOUNTS, *used).when(Activate("k-1", DAY)).then_refused("activation.used")


def test_a_replaced_code_opens_nothing():
    again = (PROVISIONED, issued(), handed_over(), issued("k-2", replaces="k-1"), handed_over("k-2"))
    given(ACCOUNTS, *again).when(Activate("k-1", DAY)).then_refused("activation.replaced")


def test_a_blocked_account_cannot_be_activated():
    given(ACCOUNTS, PROVISIONED, issued(), handed_over(), BLOCKED).when(Activate("k-1", DAY)).then_refused("account.blocked")


# Links, steps 18 and 19.


def revoked(reason: RevocationReason) -> CredentialsRevoked:
    return CredentialsRevoked(credential="k-1", person="p-1", reason=reason)


def test_a_link_is_issued_like_a_code_and_prepared_to_be_mailed():
    given(ACCOUNTS).when(issue(link=True)).then(*LINKED)


def test_a_live_link_is_replaced_by_nothing_else_unless_that_is_wanted():
    given(ACCOUNTS, *LINKED, DISPATCHED).when(issue("k-2")).then_refused("credentials.already-issued")
    given(ACCOUNTS, *LINKED, DISPATCHED).when(issue("k-2", reissue=True)).then(issued("k-2", replaces="k-1"))


def test_a_code_that_replaces_a_link_is_a_code():
    given(ACCOUNTS, *LINKED, issued("k-2", replaces="k-1")).when(Activate("k-2", DAY)).then_refused("activation.not-handed-over")


def test_a_link_is_out_once_the_mail_server_has_taken_it():
    given(ACCOUNTS, *LINKED).when(Dispatch("k-1", "m-1")).then(DISPATCHED)


def test_a_link_is_dispatched_once():
    given(ACCOUNTS, *LINKED, DISPATCHED).when(Dispatch("k-1", "m-1")).then_nothing_happens()


@pytest.mark.parametrize("since", [issued("k-2", replaces="k-1"), revoked(RevocationReason.LOST), BLOCKED, BY_LINK])
def test_what_became_of_a_link_before_its_mail_was_taken_stands(since: Event):
    given(ACCOUNTS, *LINKED, since).when(Dispatch("k-1", "m-1")).then_nothing_happens()


def test_a_link_is_not_handed_over_by_hand():
    given(ACCOUNTS, *LINKED).when(HAND_OVER).then_refused("credentials.link")


def test_whoever_was_sent_a_link_has_received_it():
    given(ACCOUNTS, *LINKED, DISPATCHED).when(Activate("k-1", LAST_DAY)).then(BY_LINK)


def test_whoever_holds_a_link_has_received_it_before_that_is_recorded():
    given(ACCOUNTS, *LINKED).when(Activate("k-1", DAY)).then(BY_LINK)


@pytest.mark.parametrize(
    ("since", "on", "code"),
    [
        (issued("k-2", replaces="k-1"), DAY, "activation.replaced"),
        (DISPATCHED, TOO_LATE, "activation.expired"),
        (BY_LINK, DAY, "activation.used"),
        (revoked(RevocationReason.LOST), DAY, "activation.revoked"),
        (BLOCKED, DAY, "account.blocked"),
    ],
)
def test_a_link_that_has_come_to_its_end_opens_nothing_and_says_why(since: Event, on: date, code: str):
    given(ACCOUNTS, *LINKED, since).when(Activate("k-1", on)).then_refused(code)


@pytest.mark.parametrize("way", [(), (DISPATCHED,)])
def test_a_link_whose_mail_came_back_is_nobodys_and_the_next_one_needs_no_word_more(way: tuple[Event, ...]):
    given(ACCOUNTS, *LINKED, *way).when(Return("k-1")).then(revoked(RevocationReason.RETURNED))
    given(ACCOUNTS, *LINKED, *way, revoked(RevocationReason.RETURNED)).when(Return("k-1")).then_nothing_happens()
    given(ACCOUNTS, *LINKED, *way, revoked(RevocationReason.RETURNED)).when(issue("k-2")).then(issued("k-2", replaces="k-1"))


def test_mail_that_came_back_takes_nothing_that_is_newer_or_in_use():
    given(ACCOUNTS, *LINKED, issued("k-2", replaces="k-1")).when(Return("k-1")).then_nothing_happens()
    given(ACCOUNTS, *LINKED, DISPATCHED, BY_LINK).when(Return("k-1")).then_nothing_happens()


# Revoking.


@pytest.mark.parametrize("way", [(), (handed_over(),)])
def test_a_code_that_was_not_used_is_taken_back_once(way: tuple[Event, ...]):
    lost = Revoke(RevocationReason.LOST, DAY)
    given(ACCOUNTS, PROVISIONED, issued(), *way).when(lost).then(revoked(RevocationReason.LOST))
    given(ACCOUNTS, PROVISIONED, issued(), *way, revoked(RevocationReason.LOST)).when(lost).then_nothing_happens()


@pytest.mark.parametrize(("way", "code"), [((), "credentials.not-yet-issued"), ((handed_over(),), "credentials.not-yet-handed-over")])
def test_nothing_is_taken_back_before_the_day_of_what_became_of_it(way: tuple[Event, ...], code: str):
    early = Revoke(RevocationReason.LOST, DAY, since=date(2015, 9, 2))
    given(ACCOUNTS, PROVISIONED, issued(), *way).when(early).then_refused(code)
    given(ACCOUNTS, PROVISIONED, issued(), *way).when(replace(early, since=DAY)).then(revoked(RevocationReason.LOST))


def test_a_code_that_was_taken_back_is_neither_handed_over_nor_used():
    back = (PROVISIONED, issued(), revoked(RevocationReason.LOST))
    given(ACCOUNTS, *back).when(HAND_OVER).then_refused("credentials.not-issued")
    given(ACCOUNTS, *back).when(Activate("k-1", DAY)).then_refused("activation.revoked")


@pytest.mark.parametrize(
    ("history", "code"),
    [
        ((), "credentials.not-issued"),
        ((PROVISIONED, issued(), handed_over(), ACTIVATED), "credentials.used"),
        ((PROVISIONED, issued(), BLOCKED), "account.blocked"),
    ],
)
def test_there_must_be_something_to_take_back(history: tuple[Event, ...], code: str):
    given(ACCOUNTS, *history).when(Revoke(RevocationReason.MISTAKE, DAY)).then_refused(code)


# Blocking.


def test_an_account_is_blocked():
    given(ACCOUNTS, PROVISIONED, issued(), handed_over(), ACTIVATED).when(Block("left")).then(BLOCKED)


def test_an_account_is_blocked_once():
    given(ACCOUNTS, PROVISIONED, issued(), BLOCKED).when(Block("consent-withdrawn")).then_nothing_happens()


def test_nobody_is_blocked_who_has_no_account():
    given(ACCOUNTS).when(Block("left")).then_nothing_happens()


# Gates.

PUPIL = Person(pupil=True, classes={"5a"}, guardians={"p-2"}, consent="granted")
GUARDIAN = Person(guardian=True, classes={"5a", "7b"}, consent="granted")
TEACHER = Person(position=Position.TEACHER, consent="granted")


def test_people_are_entered_as_what_they_are():
    assert [check_entered(person) for person in (PUPIL, GUARDIAN, TEACHER)] == ["pupil", "guardian", "staff"]


def test_a_teacher_who_is_a_parent_counts_as_staff():
    assert check_entered(Person(position=Position.TEACHER, guardian=True)) is SubjectKind.STAFF


def test_a_pupil_with_a_recorded_reason_for_no_guardian_is_entered():
    assert check_entered(Person(pupil=True, no_guardian_recorded=True)) is SubjectKind.PUPIL


@pytest.mark.parametrize("person", [Person(), Person(consent="granted"), Person(pupil=True, consent="granted")])
def test_whoever_is_not_entered_gets_no_code(person: Person):
    assert _code_of_refusal(lambda: check_entered(person)) == "person.not-entered"


@pytest.mark.parametrize(
    "person",
    [
        PUPIL,
        Person(pupil=True, legal_basis=True),
        Person(pupil=True, legal_basis=True, consent="refused"),
        Person(position=Position.DIRECTOR),
        Person(position=Position.TEACHER, coordinator=True),
    ],
)
def test_a_consent_another_legal_basis_or_being_responsible_for_the_system_suffices(person: Person):
    check_consent(person)


@pytest.mark.parametrize("kind", [Person(position=Position.TEACHER), Person(pupil=True), Person(guardian=True)])
@pytest.mark.parametrize(
    ("consent", "code"),
    [
        (None, "consent.missing"),
        ("refused", "consent.refused"),
        ("withdrawn", "consent.withdrawn"),
        ("expired", "consent.expired"),
        ("invalidated", "consent.invalidated"),
    ],
)
def test_nobody_else_gets_a_code_without_a_granted_consent(kind: Person, consent: str | None, code: str):
    person = Person(position=kind.position, pupil=kind.pupil, guardian=kind.guardian, consent=consent)  # pyright: ignore[reportArgumentType] -- one of the three
    assert _code_of_refusal(lambda: check_consent(person)) == code


@pytest.mark.parametrize("person", [PUPIL, GUARDIAN])
def test_a_class_teacher_reaches_the_own_class_and_its_guardians(person: Person):
    assert is_of_class(person, "5a")


@pytest.mark.parametrize(
    "person",
    [
        Person(),
        TEACHER,
        Person(pupil=True, classes={"5b"}),
        Person(position=Position.TEACHER, guardian=True, classes={"5a"}),
    ],
)
def test_a_class_teacher_reaches_nobody_else_and_no_staff(person: Person):
    assert not is_of_class(person, "5a")


def _code_of_refusal(act: object) -> str:
    assert callable(act)
    with pytest.raises(Refused) as refusal:
        act()
    return refusal.value.code


# Laws.

days = st.sampled_from([DAY, LAST_DAY, TOO_LATE])
credentials = st.sampled_from(["k-1", "k-2", "k-3"])
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(issue, credentials, on=days, reissue=st.booleans(), link=st.booleans()),
    st.builds(Dispatch, credentials, st.just("m-1")),
    st.builds(Return, credentials),
    st.builds(Revoke, st.sampled_from(RevocationReason), days, days),
    st.builds(HandOver, days, st.sampled_from(Channel), st.just("p-1"), days),
    st.builds(Activate, credentials, days),
    st.builds(Block, st.sampled_from(["consent-withdrawn", "consent-expired", "consent-invalidated", "left", "dismissed"])),
)


def carry_out(history: list[Command]) -> Account:
    account = ACCOUNTS.initial
    for command in history:
        try:
            account = ACCOUNTS.fold(ACCOUNTS.decide(command, account), account)
        except Refused:
            continue
    return account


@for_all(history=st.lists(commands), command=commands)
def test_saying_it_twice_is_saying_it_once(history: list[Command], command: Command):
    assert carry_out([*history, command, command]) == carry_out([*history, command])


@for_all(history=st.lists(commands), command=commands)
def test_an_account_is_activated_only_with_the_code_that_was_handed_over_or_with_a_link(history: list[Command], command: Command):
    before, after = carry_out(history), carry_out([*history, command])
    if after.state == "activated" and before.state != "activated":
        assert isinstance(command, Activate)
        assert before.state == "handed-over" or (before.state == "issued" and before.is_link)
        assert command.credential == before.credential
        assert command.on <= before.expires_on
