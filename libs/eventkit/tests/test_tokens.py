"""Tokens: who signed what may be said of whom, until when, and which calls that allows."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from contracts import SERVICES
from contracts.call import CALLS, Role
from contracts.operations import CLOCK, Nothing
from contracts.plan import StatusRequest
from contracts.roster import OPEN_SCHOOL, OpenSchool, SchoolQuery
from eventkit.access import ANONYMOUS, check_role, check_school
from eventkit.clock import ManualClock
from eventkit.decider import Refused
from eventkit.secrets import ISSUERS, OPERATOR, Secrets, key_id
from eventkit.tokens import LONGEST_LIFETIME_S, Actor, Tokens

DIRECTOR = Actor(Role.DIRECTOR, "school-7", "school-7")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    return Secrets.make(tmp_path_factory.mktemp("instance") / "secrets")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2015, 8, 17, 6, tzinfo=UTC))


def tokens(issuer: str, secrets: Secrets, clock: ManualClock) -> Tokens:
    return Tokens(issuer, secrets.signing_key(issuer), secrets.public_keys(), clock)


def refusal(verifier: Tokens, token: str) -> str:
    with pytest.raises(Refused) as refused:
        verifier.verify(token)
    return refused.value.code


@pytest.mark.parametrize(
    "actor",
    [
        DIRECTOR,
        Actor(Role.CLASS_TEACHER, "5a", "school-7", principal="operator"),
        Actor(Role.MUNICIPALITY, "m-1"),
        Actor(Role.MINISTRY),
        Actor(Role.STAFF, "p-1", "school-7"),
    ],
    ids=str,
)
def test_everybody_reads_from_a_token_who_identity_says_it_is(secrets: Secrets, clock: ManualClock, actor: Actor) -> None:
    token = tokens("identity", secrets, clock).mint(actor, lifetime_s=300)
    for reader in SERVICES:
        assert tokens(reader, secrets, clock).verify(token) == actor


def test_a_token_ends_with_its_lifetime_even_where_it_was_seen_before(secrets: Secrets, clock: ManualClock) -> None:
    verifier = tokens("roster", secrets, clock)
    token = tokens("identity", secrets, clock).mint(DIRECTOR, lifetime_s=300)
    clock.move(clock.now() + timedelta(seconds=299))
    assert verifier.verify(token) == DIRECTOR
    clock.move(clock.now() + timedelta(seconds=1))
    assert refusal(verifier, token) == "token.expired"
    assert refusal(tokens("roster", secrets, clock), token) == "token.expired"


def test_the_operators_own_token_does_not_end(secrets: Secrets, clock: ManualClock) -> None:
    token = tokens(OPERATOR, secrets, clock).mint(Actor(Role.OPERATOR), lifetime_s=None)
    clock.move(clock.now() + timedelta(days=3650))
    assert tokens("roster", secrets, clock).verify(token) == Actor(Role.OPERATOR)


@pytest.mark.parametrize("issuer", ["identity", "roster"])
def test_whoever_elses_token_does_not_end_is_believed_by_nobody(secrets: Secrets, clock: ManualClock, issuer: str) -> None:
    actor = DIRECTOR if issuer == "identity" else Actor(Role.SERVICE, issuer)
    token = tokens(issuer, secrets, clock).mint(actor, lifetime_s=None)
    assert refusal(tokens("consent", secrets, clock), token) == "token.invalid"


def test_a_service_speaks_for_itself_alone_or_on_behalf_of_who_called_it(secrets: Secrets, clock: ManualClock) -> None:
    verifier = tokens("roster", secrets, clock)
    consent = tokens("consent", secrets, clock)
    actor = verifier.verify(consent.mint(Actor(Role.SERVICE, "consent", on_behalf_of="director:school-7"), lifetime_s=300))
    assert (actor.role, actor.recorded_actor, actor.recorded_principal) == (Role.SERVICE, "director:school-7", "service:consent")
    itself = verifier.verify(consent.mint(Actor(Role.SERVICE, "consent"), lifetime_s=300))
    assert (itself.recorded_actor, itself.recorded_principal) == ("service:consent", None)
    assert refusal(verifier, consent.mint(Actor(Role.SERVICE, "roster"), lifetime_s=300)) == "token.invalid"


@pytest.mark.parametrize("issuer", ISSUERS)
@pytest.mark.parametrize("role", Role)
def test_a_role_comes_only_from_who_may_give_it(secrets: Secrets, clock: ManualClock, issuer: str, role: Role) -> None:
    giver = {Role.OPERATOR: OPERATOR, Role.SERVICE: issuer if issuer != OPERATOR else None}.get(role, "identity")
    token = tokens(issuer, secrets, clock).mint(Actor(role, issuer, "school-7"), lifetime_s=300)
    verifier = tokens("roster", secrets, clock)
    if issuer == giver:
        assert verifier.verify(token).role is role
    else:
        assert refusal(verifier, token) == "token.invalid"


def test_a_token_of_another_instance_is_signed_with_a_key_that_nobody_knows_here(
    tmp_path: Path, secrets: Secrets, clock: ManualClock
) -> None:
    token = tokens("identity", Secrets.make(tmp_path / "secrets"), clock).mint(DIRECTOR, lifetime_s=300)
    assert refusal(tokens("roster", secrets, clock), token) == "token.unknown-key"


def test_a_token_is_good_for_those_alone_whom_it_names(secrets: Secrets, clock: ManualClock) -> None:
    token = tokens("identity", secrets, clock).mint(DIRECTOR, lifetime_s=300, audience=["roster", "plan"])
    assert {reader: _reads(tokens(reader, secrets, clock), token) for reader in SERVICES} == {
        "roster": "read",
        "consent": "token.audience",
        "identity": "token.audience",
        "plan": "read",
        "notifier": "token.audience",
    }
    for_nobody = tokens("identity", secrets, clock).mint(DIRECTOR, lifetime_s=300, audience=[])
    assert refusal(tokens("roster", secrets, clock), for_nobody) == "token.audience"


def test_a_learned_key_is_believed_and_a_retired_one_until_its_last_token_has_expired(secrets: Secrets, clock: ManualClock) -> None:
    verifier, identity, key = tokens("roster", secrets, clock), tokens("identity", secrets, clock), Ed25519PrivateKey.generate()
    old = identity.mint(DIRECTOR, lifetime_s=LONGEST_LIFETIME_S)
    identity.sign_with(key)
    new = identity.mint(DIRECTOR, lifetime_s=LONGEST_LIFETIME_S)
    assert refusal(verifier, new) == "token.unknown-key"
    verifier.learn("identity", key.public_key())
    end = clock.now() + timedelta(minutes=30)
    verifier.retire("roster", key_id(secrets.public_keys()["identity"]), clock.now())  # it is not roster's to retire
    verifier.retire("identity", key_id(secrets.public_keys()["identity"]), end)
    assert (_reads(verifier, old), _reads(verifier, new)) == ("read", "read")
    clock.move(end)
    assert (_reads(verifier, old), _reads(verifier, new)) == ("token.key-retired", "read")


def test_a_key_of_one_service_signs_nothing_in_another_ones_name(secrets: Secrets, clock: ManualClock) -> None:
    verifier, key = tokens("roster", secrets, clock), Ed25519PrivateKey.generate()
    verifier.learn("consent", key.public_key())
    forger = tokens("identity", secrets, clock)
    forger.sign_with(key)
    assert refusal(verifier, forger.mint(DIRECTOR, lifetime_s=300)) == "token.invalid"


def test_no_token_outlives_the_key_that_signs_it(secrets: Secrets, clock: ManualClock) -> None:
    with pytest.raises(ValueError, match="outlives"):
        tokens("identity", secrets, clock).mint(DIRECTOR, lifetime_s=LONGEST_LIFETIME_S + 1)


def _reads(verifier: Tokens, token: str) -> str:
    try:
        verifier.verify(token)
    except Refused as refused:
        return refused.code
    return "read"


def test_a_token_that_was_changed_or_signs_itself_is_none(secrets: Secrets, clock: ManualClock) -> None:
    verifier = tokens("roster", secrets, clock)
    header, claims, signature = tokens("identity", secrets, clock).mint(DIRECTOR, lifetime_s=300).split(".")
    other = _encoded(json.loads(base64.urlsafe_b64decode(claims + "==")) | {"role": "operator"})
    named = key_id(secrets.public_keys()["identity"])
    unsigned = _encoded({"alg": "none", "kid": named})
    symmetric = _encoded({"alg": "HS256", "kid": named})
    unnamed = _encoded({"alg": "Ed25519"})
    nobody = _encoded({"alg": "Ed25519", "kid": "nobody"})
    changed = [
        f"{header}.{other}.{signature}",
        f"{header}.{claims}.",
        f"{header}.{claims}",
        f"{unsigned}.{claims}.",
        f"{symmetric}.{claims}.{signature}",
        f"{unnamed}.{claims}.{signature}",
        f"{nobody}.{claims}.{signature}",
    ]
    for token in changed:
        assert refusal(verifier, token) == "token.invalid"


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@given(st.one_of(st.text(), st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}", fullmatch=True)))
def test_whatever_else_is_shown_is_refused_and_breaks_nothing(secrets: Secrets, token: str) -> None:
    assert refusal(tokens("roster", secrets, ManualClock(datetime(2015, 8, 17, tzinfo=UTC))), token) == "token.invalid"


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=5)
)
def test_a_header_of_any_shape_is_refused_and_breaks_nothing(secrets: Secrets, value: object) -> None:
    verifier = tokens("roster", secrets, ManualClock(datetime(2015, 8, 17, tzinfo=UTC)))
    for header in (value, {"alg": value}, {"alg": "Ed25519", "kid": value}):
        assert refusal(verifier, f"{_encoded(header)}.{_encoded(value)}.AAAA") == "token.invalid"


# Access


def code(role: Role) -> str | None:
    try:
        check_role(OPEN_SCHOOL, Actor(role))
    except Refused as refused:
        return refused.code
    return None


def test_a_role_may_call_what_stands_beside_the_call_and_the_operator_everything() -> None:
    assert {role for role in Role if code(role) is None} == OPEN_SCHOOL.allowed
    assert code(Role.ANONYMOUS) == "access.no-token"
    assert code(Role.PUPIL) == "access.role"
    for call in CALLS.values():
        check_role(call, Actor(Role.OPERATOR))
    check_role(CLOCK, ANONYMOUS)


def scope_refusal(actor: Actor, request: OpenSchool | SchoolQuery | StatusRequest | Nothing) -> str | None:
    try:
        check_school(actor, request)
    except Refused as refused:
        return refused.code
    return None


def test_who_belongs_to_a_school_may_ask_about_that_one_and_never_about_all() -> None:
    assert scope_refusal(DIRECTOR, SchoolQuery(school="school-7")) is None
    assert scope_refusal(DIRECTOR, SchoolQuery(school="school-8")) == "access.other-school"
    assert scope_refusal(DIRECTOR, StatusRequest(school="school-7")) is None
    assert scope_refusal(DIRECTOR, StatusRequest()) == "access.other-school"
    assert scope_refusal(DIRECTOR, Nothing()) is None


def test_who_belongs_to_no_school_is_not_held_to_one_and_a_role_of_a_school_without_it_is_refused() -> None:
    for role in (Role.OPERATOR, Role.SERVICE, Role.MUNICIPALITY, Role.MINISTRY, Role.ANONYMOUS):
        assert scope_refusal(Actor(role), SchoolQuery(school="school-7")) is None
        assert scope_refusal(Actor(role), StatusRequest()) is None
    for role in (Role.DIRECTOR, Role.ADMINISTRATOR, Role.CLASS_TEACHER, Role.STAFF, Role.PUPIL, Role.GUARDIAN):
        assert scope_refusal(Actor(role, "x"), SchoolQuery(school="school-7")) == "access.no-school"
