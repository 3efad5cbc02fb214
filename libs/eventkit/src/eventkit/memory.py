"""What becomes of a process's memory: what holds secrets or people's details is never written out, and what is free is given back.

This imports nothing of ours, so that the smallest worker can have it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
from pathlib import Path

_PR_SET_DUMPABLE = 4
_NOTHING = (0, 0)
_NOTHING_PIPED = (1, 1)
"""Bytes, soft and hard. Where a dump goes through a pipe, Linux heeds no limit but this one, by which it knows that a dumper has died."""

_LOOKS_FOR_GARBAGE_AFTER = (200_000, 5, 20)

_WORTH_IT = 64 * 2**20
"""Bytes by which a process has grown since it last gave memory back: to look through what is free takes some 20 ms."""

_resident_before = 0


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


def look_for_garbage_seldom() -> None:
    """Has Python look for cycles of garbage less often than after every 700 new objects, and now and then among all there are.

    Everything stands still meanwhile: a quarter of an import's time. We make few cycles, and small ones, so that costs little memory.
    """
    gc.set_threshold(*_LOOKS_FOR_GARBAGE_AFTER)


def give_back() -> None:
    """Gives back to the system what is free, where the process has grown and its C library can do so. Lets other threads run meanwhile.

    What a large file took is free once it is read; but glibc keeps it, in an arena for each thread, for whoever asks for memory next.
    """
    global _resident_before
    resident = _resident()
    if resident is None or resident < _resident_before + _WORTH_IT:
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    _resident_before = _resident() or resident


def _resident() -> int | None:
    """Bytes that this process holds; None where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except FileNotFoundError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
