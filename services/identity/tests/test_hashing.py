"""Argon2id in processes of its own: what they compute, what happens when they die, and how many may wait."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from argon2 import PasswordHasher, extract_parameters
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventkit.decider import Refused
from identity import argon2_worker
from identity.hashing import NOBODYS, Hashing

PASSWORD = "Ёжик в тумане"


@pytest.fixture
async def hashing() -> AsyncIterator[Hashing]:
    hashing = Hashing(workers=2)
    yield hashing
    await hashing.stop()


async def test_a_hash_is_argon2id_at_19_mib_two_passes_one_lane_and_any_argon2_can_verify_it(hashing: Hashing) -> None:
    encoded = await hashing.hash(PASSWORD)
    assert encoded.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PasswordHasher().verify(encoded, PASSWORD)
    assert await hashing.matches(encoded, PASSWORD)
    assert not await hashing.matches(encoded, "ёжик в тумане")
    assert encoded != await hashing.hash(PASSWORD)


def test_the_hash_for_nobody_costs_as_much_as_any_other() -> None:
    assert extract_parameters(NOBODYS) == extract_parameters(argon2_worker.hashed(PASSWORD))


async def test_what_is_no_hash_matches_nothing(hashing: Hashing) -> None:
    with pytest.raises(RuntimeError, match="workers die") as found:
        await hashing.matches("no hash", PASSWORD)
    assert PASSWORD not in str(found.value)
    assert await hashing.matches(await hashing.hash(PASSWORD), PASSWORD)


async def test_a_worker_that_is_killed_is_replaced_and_nobody_notices(hashing: Hashing) -> None:
    encoded = await hashing.hash(PASSWORD)
    for _ in range(3):
        (worker,) = hashing.idle
        os.kill(worker, signal.SIGKILL)
        assert await hashing.matches(encoded, PASSWORD)
        assert hashing.idle != [worker]


async def test_a_worker_that_dies_in_the_middle_of_its_work_is_replaced(hashing: Hashing) -> None:
    await hashing.hash(PASSWORD)
    (worker,) = hashing.idle
    os.kill(worker, signal.SIGSTOP)
    waiting = asyncio.create_task(hashing.hash(PASSWORD))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    os.kill(worker, signal.SIGKILL)
    assert PasswordHasher().verify(await waiting, PASSWORD)


async def test_whoever_stops_waiting_leaves_no_answer_behind_for_the_next_one() -> None:
    hashing = Hashing(workers=1)
    encoded = await hashing.hash(PASSWORD)
    for _ in range(5):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(hashing.hash("another password"), 0.005)
        assert await hashing.matches(encoded, PASSWORD) is True
    await hashing.stop()


async def test_when_the_queue_is_full_the_answer_is_busy_at_once_and_the_others_are_served() -> None:
    hashing = Hashing(workers=1, waiting=2)
    asked = [asyncio.create_task(hashing.hash(PASSWORD)) for _ in range(6)]
    done = await asyncio.gather(*asked, return_exceptions=True)
    refused = [one.code for one in done if isinstance(one, Refused)]
    assert refused == ["sign-in.busy"] * 3
    assert sum(isinstance(one, str) for one in done) == 3
    assert PasswordHasher().verify(await hashing.hash(PASSWORD), PASSWORD)
    await hashing.stop()


async def test_the_event_loop_goes_on_while_passwords_are_hashed(hashing: Hashing) -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    await asyncio.gather(*(hashing.hash(PASSWORD) for _ in range(4)))
    turning.cancel()
    assert turns > 100


def test_a_worker_says_nothing_of_what_it_could_not_read_and_ends_with_its_input() -> None:
    command = [sys.executable, "-I", "-m", "identity.argon2_worker"]
    done = subprocess.run(command, input=b'{"password": "' + PASSWORD.encode() + b'"', capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    assert subprocess.run(command, input=b"", capture_output=True, timeout=30, check=False).returncode == 0


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=40).filter(lambda text: text.isprintable()))
def test_a_password_matches_its_own_hash_and_no_longer_one(password: str) -> None:
    encoded = argon2_worker.hashed(password)
    assert argon2_worker.matches(encoded, password)
    assert not argon2_worker.matches(encoded, password + "\0")
