"""Keys that change while tokens are about: published in the log of whoever signs, learned by everybody from the bus."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts import operations
from contracts.event import Event
from contracts.operations import KEY_EVENTS, Nothing
from contracts.roster import SCHOOL, SchoolCard, SchoolQuery
from eventkit.answering import Caller
from eventkit.clock import local_day
from eventkit.decider import Refused
from eventkit.harness import System, director, running
from eventkit.keys import KEYS, Begin, rotation, succession, trusted
from eventkit.secrets import Secrets, key_id, public_bytes
from eventkit.service import Service, Settings
from eventkit.store import Transaction
from eventkit.testing import given
from eventkit.tokens import LONGEST_LIFETIME_S, Tokens

NOW = datetime(2015, 8, 17, 6, tzinfo=UTC)
FIRST, SECOND, THIRD = (Ed25519PrivateKey.generate() for _ in range(3))
PUBLISHED, RETIRED = KEY_EVENTS["identity"]
DIRECTOR = director("school-7")


def of(key: Ed25519PrivateKey) -> str:
    return key_id(key.public_key())


def rotated(old: Ed25519PrivateKey, new: Ed25519PrivateKey, *before: Event) -> list[Event]:
    return [*before, *given(KEYS, *before).when(rotation("identity", old, new, NOW)).events]


BEGUN = tuple(given(KEYS).when(Begin("identity", FIRST.public_key(), NOW)).events)


def test_a_log_begins_with_a_key_and_a_rotation_publishes_the_one_that_follows() -> None:
    assert [(event.key_id, event.follows) for event in BEGUN if isinstance(event, PUBLISHED)] == [(of(FIRST), None)]
    given(KEYS, *BEGUN).when(Begin("identity", SECOND.public_key(), NOW)).then_nothing_happens()
    first = rotated(FIRST, SECOND, *BEGUN)
    assert first[-1] == RETIRED(key_id=of(FIRST), not_after="2015-08-17T07:00:00.000000Z")
    second = rotated(SECOND, THIRD, *first)
    keys = [(event.key_id, event.follows) for event in second if isinstance(event, PUBLISHED)]
    assert keys == [(of(FIRST), None), (of(SECOND), of(FIRST)), (of(THIRD), of(SECOND))]
    given(KEYS, *first).when(rotation("identity", FIRST, SECOND, NOW)).then_nothing_happens()


def test_whoever_knows_one_key_knows_those_that_it_follows_and_that_follow_it_and_no_stranger() -> None:
    published = [event for event in rotated(SECOND, THIRD, *rotated(FIRST, SECOND, *BEGUN)) if isinstance(event, PUBLISHED)]
    stranger = Ed25519PrivateKey.generate()
    said = succession("identity", public_bytes(THIRD.public_key()), public_bytes(stranger.public_key()), "2015-08-17T06:00:00.000000Z")
    forged = published[-1].model_copy(
        update={
            "key_id": of(stranger),
            "public_key": public_bytes(stranger.public_key()).hex(),
            "follows": of(THIRD),
            "handed_over": stranger.sign(said).hex(),
            "taken_over": stranger.sign(said).hex(),
        }
    )
    begun_anew = forged.model_copy(update={"follows": None, "handed_over": None, "taken_over": None})
    for root in (FIRST, SECOND, THIRD):
        for among in ([*published, forged], [begun_anew, *published]):
            assert set(trusted("identity", among, {of(root)})) == {of(FIRST), of(SECOND), of(THIRD)}
    assert trusted("roster", published, {of(FIRST)}).keys() == {of(FIRST)}  # sworn for another service
    assert trusted("identity", published, set()) == {}


def roster(settings: Settings) -> Service:
    service = Service(settings)

    @service.query(SCHOOL)
    async def school(request: SchoolQuery, caller: Caller) -> SchoolCard:
        counts = {"staff": 0, "classes": 0, "pupils": 0, "guardians": 0}
        return SchoolCard(school=request.school, name="Школа", municipality="m-1", timezone="Europe/Moscow", **counts)

    return service


def identity(settings: Settings) -> Service:
    return Service(settings)


async def asked(system: System, token: str) -> str:
    """How roster answers under a token."""
    try:
        await system.instance.calls(token).call(SCHOOL, SchoolQuery(school="school-7"))
    except Refused as refused:
        return refused.code
    return "answered"


async def test_a_key_is_changed_while_tokens_of_the_old_one_are_about(tmp_path: Path) -> None:
    async with running(tmp_path, {"roster": roster, "identity": identity}) as system:
        signer = system.instance.services["identity"].tokens
        old = signer.mint(DIRECTOR, lifetime_s=LONGEST_LIFETIME_S)
        rotated = await system.call(operations.ROTATE_KEY["identity"], Nothing(), command_id="rotate-1")
        assert await system.call(operations.ROTATE_KEY["identity"], Nothing(), command_id="rotate-1") == rotated
        new = signer.mint(DIRECTOR, lifetime_s=300)
        assert old.partition(".")[0] != new.partition(".")[0]
        await system.instance.services["identity"].stop()  # whoever signed need not be up
        assert [await asked(system, token) for token in (old, new)] == ["answered", "answered"]
        system.clock.move(system.clock.now() + timedelta(seconds=LONGEST_LIFETIME_S))
        assert await asked(system, old) in ("token.expired", "token.key-retired")
    public = Secrets(tmp_path / "secrets").public_keys()["identity"]
    assert key_id(public) == rotated.key_id


async def test_everybody_knows_the_published_keys_after_a_restart(tmp_path: Path) -> None:
    builds = {"roster": roster, "identity": identity}
    async with running(tmp_path, builds) as system:
        old = system.instance.services["identity"].tokens.mint(DIRECTOR, lifetime_s=LONGEST_LIFETIME_S)
        await system.call(operations.ROTATE_KEY["identity"], Nothing())
        await system.call(operations.ROTATE_KEY["roster"], Nothing())
    async with running(tmp_path, builds, now="2015-08-17T09:59:00+03:00") as system:
        assert await asked(system, old) == "answered"  # its key is in no file any more
        assert await asked(system, system.instance.services["identity"].tokens.mint(DIRECTOR, lifetime_s=300)) == "answered"
        own = await system.instance.services["identity"].calls.call(operations.HEAD["roster"], Nothing())
        assert own.reply.position == 3


async def test_a_token_of_an_unknown_key_is_refused_with_a_word_on_what_to_do(tmp_path: Path) -> None:
    elsewhere = Secrets.make(tmp_path / "elsewhere")
    async with running(tmp_path / "here", {"roster": roster}) as system:
        stranger = Tokens("identity", elsewhere.signing_key("identity"), elsewhere.public_keys(), system.clock)
        with pytest.raises(Refused) as refused:
            await system.instance.calls(stranger.mint(DIRECTOR, lifetime_s=300)).call(SCHOOL, SchoolQuery(school="school-7"))
    assert refused.value.code == "token.unknown-key"
    assert "Ask for a new token" in refused.value.text


async def test_a_rotation_that_was_cut_off_before_its_record_goes_on_with_the_key_that_it_had_made(tmp_path: Path) -> None:
    async with running(tmp_path, {"identity": identity}) as system:
        made = system.instance.services["identity"].secrets.make_next_signing_key("identity")
    async with running(tmp_path, {"identity": identity}) as system:
        assert (await system.call(operations.ROTATE_KEY["identity"], Nothing())).key_id == key_id(made.public_key())


async def test_a_rotation_that_was_cut_off_after_its_record_is_ended_at_the_next_start(tmp_path: Path) -> None:
    async with running(tmp_path, {"identity": identity, "roster": roster}) as system:
        service = system.instance.services["identity"]
        old, made = service.secrets.signing_key("identity"), service.secrets.make_next_signing_key("identity")

        def work(tx: Transaction) -> None:
            tx.decide(KEYS, "identity", rotation("identity", old, made, tx.now), school="_", happened_on=local_day(tx.now))

        await service.carry_out(service.as_itself("rotation"), work, part="cut-off")
    async with running(tmp_path, {"identity": identity, "roster": roster}) as system:
        service = system.instance.services["identity"]
        assert key_id(service.secrets.signing_key("identity").public_key()) == key_id(made.public_key())
        assert service.secrets.next_signing_key("identity") is None
        assert await asked(system, service.tokens.mint(DIRECTOR, lifetime_s=300)) == "answered"


async def test_rotations_at_once_leave_one_key_that_everybody_believes(tmp_path: Path) -> None:
    async with running(tmp_path, {"roster": roster, "identity": identity}) as system:
        await asyncio.gather(*(system.call(operations.ROTATE_KEY["identity"], Nothing()) for _ in range(3)))
        assert await asked(system, system.instance.services["identity"].tokens.mint(DIRECTOR, lifetime_s=300)) == "answered"
        run = (await system.call(operations.READ_LOG["identity"], operations.ReadLog(after=0))).rows
        assert len(run) == 1 + 3 * 2
