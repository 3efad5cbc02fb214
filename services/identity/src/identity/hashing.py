"""Computes argon2id in processes of its own, so that the service goes on answering meanwhile (DOMAIN 5).

There are as many workers as cores, started when first needed. Who asks waits in a queue of bounded length; when it is full, the
answer is `sign-in.busy`, at once. A worker that dies is replaced, and its work is done again by another.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import cast

import msgspec

from eventkit.decider import Refused
from eventkit.figures import Figure, Labelled

WAITING = 100
"""So many wait at most: on two cores the last one for some three seconds, well within the ten that a caller waits."""

_ATTEMPTS = 3
_LINE_BYTES = 64 * 1024
_COMMAND = (sys.executable, "-I", "-m", "identity.argon2_worker")

NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$YVwQkkhtTz2H7Ppv8fizAA$M8PcsguYAEGwB8jpPG4kkfSLKnroramCWfEvoXFvacQ"
"""A hash like any other whose password nobody knows: verified where there is none, so that the work is the same."""


class WorkersDied(RuntimeError):
    """Workers died over and over in the middle of the same work."""


class Hashing:
    """The workers and the queue before them."""

    def __init__(self, *, workers: int | None = None, waiting: int = WAITING) -> None:
        self.computed = 0
        self._room = asyncio.Semaphore(workers or os.cpu_count() or 1)
        self._most_waiting = waiting
        self._waiting = 0
        self._idle: list[asyncio.subprocess.Process] = []

    async def hash(self, password: str) -> str:
        """The encoded hash of a password. Raises Refused `sign-in.busy`."""
        return cast("str", await self._compute({"password": password}))

    async def matches(self, encoded: str, password: str) -> bool:
        """Whether a password is the one that was hashed. Raises Refused `sign-in.busy`."""
        return cast("bool", await self._compute({"password": password, "hash": encoded}))

    async def stop(self) -> None:
        """Ends the workers; what is asked later starts others."""
        workers, self._idle = self._idle, []
        await asyncio.gather(*(_end(worker) for worker in workers))

    @property
    def idle(self) -> list[int]:
        """The process ids of the workers that have nothing to do."""
        return [worker.pid for worker in self._idle]

    @property
    def figure(self) -> Figure:
        """How many wait, told to who watches over the service."""

        async def waiting() -> Labelled:
            return {(): self._waiting}

        return Figure("vekha_hashing_waiting", "Passwords that wait to be computed", (), waiting)

    async def _compute(self, asked: dict[str, str]) -> str | bool:
        async with contextlib.AsyncExitStack() as stack:
            if self._room.locked() and self._waiting >= self._most_waiting:
                raise Refused("sign-in.busy", "Too many people are signing in at this moment. Try again in a few seconds.")
            self._waiting += 1
            try:
                await stack.enter_async_context(self._room)
            finally:
                self._waiting -= 1
            for _ in range(_ATTEMPTS):
                answer = await self._ask(msgspec.json.encode(asked) + b"\n")
                if answer is not None:
                    self.computed += 1
                    return answer
            raise WorkersDied("a password could not be computed: the workers die")

    async def _ask(self, line: bytes) -> str | bool | None:
        """One worker's answer, None where it died."""
        worker = self._idle.pop() if self._idle else await _start()
        stdin, stdout = cast("asyncio.StreamWriter", worker.stdin), cast("asyncio.StreamReader", worker.stdout)
        answered = b""
        try:
            stdin.write(line)
            await stdin.drain()
            answered = await stdout.readline()
        except (ConnectionError, OSError):
            return None
        finally:
            # Whoever stops waiting in the middle leaves an answer behind that is not the next one's.
            if answered.endswith(b"\n"):
                self._idle.append(worker)
            else:
                with contextlib.suppress(ProcessLookupError):
                    worker.kill()
        return msgspec.json.decode(answered, type=str | bool) if answered.endswith(b"\n") else None


async def _start() -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    # What it would complain of, it would quote.
    return await asyncio.create_subprocess_exec(*_COMMAND, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL, limit=_LINE_BYTES)


async def _end(worker: asyncio.subprocess.Process) -> None:
    cast("asyncio.StreamWriter", worker.stdin).close()
    await worker.wait()
