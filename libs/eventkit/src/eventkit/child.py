"""Child processes that do not outlive us.

A `kill -9` of the parent runs no clean-up code, so the kernel has to end the child: on Linux each child asks for a signal at its
parent's death before it becomes the program that was wanted. (A `preexec_fn` would do the same, but runs Python between fork and exec,
which is not safe once the parent has threads.) On other systems the child is started plainly.
"""

import os
import signal
import sys
from collections.abc import Sequence

_SHIM = """
import ctypes, os, sys
number, parent, uid, gid = map(int, sys.argv[1:5])
if uid >= 0:  # before prctl: the kernel forgets the wish when the identity changes
    os.setgroups([]), os.setgid(gid), os.setuid(uid)
ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG
if os.getppid() != parent:
    sys.exit("the parent died before its child was ready")
os.execv(sys.argv[5], sys.argv[5:])
"""


def tied_to_us(command: Sequence[str], death: signal.Signals = signal.SIGTERM, identity: tuple[int, int] | None = None) -> list[str]:
    """The command line that runs `command` (a full path first) and has it receive the signal `death` when the calling thread ends.

    Call it in the thread that starts the process, one that lives as long as the child should. `identity` is a user id and a group id to
    take on first; that needs root.
    """
    if sys.platform != "linux":
        return list(command)
    uid, gid = identity or (-1, -1)
    return [sys.executable, "-I", "-S", "-c", _SHIM, str(int(death)), str(os.getpid()), str(uid), str(gid), *command]
