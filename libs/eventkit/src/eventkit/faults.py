"""Named points at which a test may let the process die as if the power had gone, or freeze.

`VEKHA_FAULT=relay.after-publish:3` kills this process with SIGKILL the third time it arrives at that point (without a number: the first
time), and `relay.after-publish:3:STOP` freezes it there until somebody sends SIGCONT. Without the variable a point costs one comparison and
does nothing. It is read once, when the module is imported.
"""

import os
import signal
import threading

_point, _, _rest = os.environ.get("VEKHA_FAULT", "").partition(":")
_arrivals, _, _signal = _rest.partition(":")
_left = int(_arrivals or 1)


def reach(point: str) -> None:
    """Say that execution has arrived at `point`. Does not return if this is the arrival at which it was asked to die."""
    global _left
    if point != _point:
        return
    _left -= 1
    if _left == 0:
        # To this thread: of what is sent to the process, another thread may take note, and this one goes on until that one is awake.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP if _signal == "STOP" else signal.SIGKILL)
