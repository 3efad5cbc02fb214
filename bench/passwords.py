"""Passwords hashed with argon2id at the cost that DOMAIN 5 sets: our workers behind their queue, and bare argon2 in a process pool.

Each side has as many processes as there are cores, started before anything is timed.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

from bench.measuring import Figure, Scale, rate, side_by_side
from identity.argon2_worker import hashed
from identity.hashing import WAITING, Hashing

PASSWORDS = 80
ENGINE = "argon2id, 19 MiB, 2 passes, a process a core"


def figures(scale: Scale) -> list[Figure]:
    count = max(scale.count(PASSWORDS), os.cpu_count() or 1)
    spawning = multiprocessing.get_context("spawn")
    with asyncio.Runner() as runner, ProcessPoolExecutor(os.cpu_count(), mp_context=spawning) as pool:
        hashing = Hashing()
        runner.run(_hash(hashing, os.cpu_count() or 1))
        list(pool.map(hashed, _passwords(os.cpu_count() or 1)))
        sides = {
            "vekha": lambda: rate(lambda: runner.run(_hash(hashing, count))),
            "argon2 in a process pool": lambda: rate(lambda: len(list(pool.map(hashed, _passwords(count))))),
        }
        runs = side_by_side(scale.rounds, sides)
        runner.run(hashing.stop())
    return [Figure("passwords hashed", ENGINE, "/s", runs, 0.9)]


def _passwords(count: int) -> list[str]:
    return [f"Ёжик в тумане {number}" for number in range(count)]


async def _hash(hashing: Hashing, count: int) -> int:
    room = asyncio.Semaphore(WAITING)  # nobody is to be sent away: the rate is asked for

    async def one(password: str) -> str:
        async with room:
            return await hashing.hash(password)

    return len(await asyncio.gather(*(one(password) for password in _passwords(count))))
