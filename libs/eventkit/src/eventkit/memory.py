"""Memory that holds secrets or people's details stays in memory. It imports nothing of ours, so that the smallest worker can have it."""

from __future__ import annotations

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4
_NOTHING = (0, 0)
_NOTHING_PIPED = (1, 1)
"""Bytes, soft and hard. Where a dump goes through a pipe, Linux heeds no limit but this one, by which it knows that a dumper has died."""


def never_dumped() -> None:
    """No core dump of this process and its children, on Linux through a pipe neither; there no other process of the user reads along."""
    if sys.platform != "linux":
        resource.setrlimit(resource.RLIMIT_CORE, _NOTHING)
        return
    try:
        resource.setrlimit(resource.RLIMIT_CORE, _NOTHING_PIPED)
    except ValueError:  # somebody has forbidden dumps before, and that cannot be loosened by a byte
        resource.setrlimit(resource.RLIMIT_CORE, _NOTHING)
    # Another program that is started may be dumped again, as the limit alone is handed on.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
