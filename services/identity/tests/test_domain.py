"""What becomes of an account, and who may be given a code for one."""

from datetime import date

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from contracts.consent import SubjectKind
from contracts.identity import AccountActivated, AccountBlocked, AccountProvisioned, Channel, CredentialsHandedOver, CredentialsIssued
from contracts.roster import Position
from eventkit.decider import Refused
from eventkit.testing import given
from identity.domain.account import ACCOUNTS, Account, Activate, Block, Command, HandOver, Issue
from identity.domain.gates import Person, check_consent, check_entered, is_of_class

DAY = date(2015, 9, 1)
LAST_DAY = date(2015, 11, 30)
TOO_LATE = date(2015, 12, 1)


def issue(credential: str = "k-1", *, on: date = DAY, reissue: bool = False) -> Issue:
    return Issue("p-1", SubjectKind.PUPIL, "a-1", credential, on, LAST_DAY, reissue)


def issued(credential: str = "k-1", replaces: str | None = None) -> CredentialsIssued:
    return CredentialsIssued(credential=credential, account="a-1", person="p-1", replaces=replaces, expires_on=LAST_DAY)


def handed_over(credential: str = "k-1") -> CredentialsHandedOver:
    return CredentialsHandedOver(credential=credential, person="p-1", channel=Channel.PAPER, receiver="p-1")


PROVISIONED = AccountProvisioned(account="a-1", person="p-1", kind=SubjectKind.PUPIL)
ACTIVATED = AccountActivated(account="a-1", person="p-1", method="temporary-password")
BLOCKED = AccountBlocked(account="a-1", person="p-1", reason="left")
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
    st.builds(issue, credentials, on=days, reissue=st.booleans()),
    st.builds(HandOver, days, st.sampled_from(Channel), st.just("p-1")),
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
def test_an_account_is_activated_only_with_the_code_that_was_handed_over(history: list[Command], command: Command):
    before, after = carry_out(history), carry_out([*history, command])
    if after.state == "activated" and before.state != "activated":
        assert isinstance(command, Activate)
        assert before.state == "handed-over"
        assert command.credential == before.credential
        assert command.on <= before.expires_on
