"""A process that computes argon2id and nothing else: `python -I -m identity.argon2_worker`, a JSON line in, a JSON line out.

It ends with its input, so it does not outlive who started it. It says nothing but answers: what goes wrong would quote a password.
"""

from __future__ import annotations

import json
import sys
from typing import BinaryIO

from argon2 import PasswordHasher, Type
from argon2.exceptions import VerificationError

from eventkit.memory import never_dumped

MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1

_HASHER = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID)


def hashed(password: str) -> str:
    """The encoded hash under a salt of its own."""
    return _HASHER.hash(password)


def matches(encoded: str, password: str) -> bool:
    try:
        return _HASHER.verify(encoded, password)
    except VerificationError:
        return False


def work(lines: BinaryIO, answers: BinaryIO) -> None:
    """Answers `{"password"}` with its hash, and `{"password", "hash"}` with whether they belong together."""
    for line in lines:
        asked = json.loads(line)
        given = asked.get("hash")
        answer = hashed(asked["password"]) if given is None else matches(given, asked["password"])
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def main() -> int:
    never_dumped()
    try:
        work(sys.stdin.buffer, sys.stdout.buffer)
    except Exception:  # noqa: BLE001 -- a traceback could quote what was asked
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
