"""A command ends when it is interrupted, also one that misses it the first time."""

from __future__ import annotations

import signal
import subprocess
import sys

_STUBBORN = """
import asyncio, contextlib
from vekha.loop import run

async def stubborn():
    print("waiting", flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(3600)
    await asyncio.sleep(3600)

try:
    run(stubborn())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_a_command_whose_library_swallows_the_first_interrupt_ends_at_the_first() -> None:
    with subprocess.Popen([sys.executable, "-c", _STUBBORN], stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "waiting\n"
        command.send_signal(signal.SIGINT)
        assert command.stdout.read() == "interrupted\n"
        assert command.wait(30) == 0
