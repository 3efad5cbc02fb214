"""Memory that holds secrets or people's details stays in memory. It imports nothing of ours, so that the smallest worker can have it."""

from __future__ import annotations

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def never_dumped() -> None:
    """No core dump of this process and its children; on Linux also none through a pipe, and no other process of the user reads along."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
