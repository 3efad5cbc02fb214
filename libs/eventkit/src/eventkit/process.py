"""What a process does first that holds secrets and handles personal data: it leaves nothing behind when it dies."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from pathlib import Path
from types import TracebackType

import structlog

from eventkit.memory import never_dumped
from eventkit.telemetry import trouble

_log = structlog.get_logger(__name__)


def leave_nothing_behind() -> None:
    """Files are for their owner alone, memory is never dumped nor read by another process of the user, and a crash tells places only."""
    os.umask(0o077)
    never_dumped()  # nor the broker, our child: the bodies of calls pass through its memory
    sys.excepthook = _crashed
    threading.excepthook = _thread_crashed
    sys.unraisablehook = _unraisable
    warnings.showwarning = _warned


def _crashed(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    _log.critical("process.crashed", **trouble(error))


def _thread_crashed(crash: threading.ExceptHookArgs) -> None:
    if crash.exc_value is not None:
        _log.critical("thread.crashed", **trouble(crash.exc_value))


def _unraisable(crash: sys.UnraisableHookArgs) -> None:
    if crash.exc_value is not None:
        _log.error("error.unraisable", **trouble(crash.exc_value))


def _warned(_message: Warning | str, category: type[Warning], filename: str, lineno: int, *_where: object) -> None:
    _log.warning("python.warned", error=category.__name__, at=[f"{Path(filename).name}:{lineno} <warning>"])
