"""Memory that a process does not use any more is the system's again."""

import ctypes
import sys
from pathlib import Path

import pytest

from eventkit.memory import give_back

_MB = 2**20


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc keeps what is free, and can give it back"
)
def test_what_is_free_between_what_is_not_is_given_back() -> None:
    give_back()
    before = resident()
    taken = [bytes(1000) for _ in range(200_000)]
    left = taken[::500]
    del taken
    grown = resident() - before
    give_back()
    assert grown > 150 * _MB
    assert resident() - before < grown / 2
    assert len(left) == 400
