"""A step of a job that waits for somebody else: tried until it is done or the domain says no, and done once however often it was tried.

A job as a whole waits for our own database: it is begun again from what it has noted there, as after a crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from eventkit.calls import CallFailed
from eventkit.database import StillRead
from eventkit.decider import Refused
from eventkit.postgres import is_away
from eventkit.store import Conflict
from eventkit.telemetry import trouble

_FIRST_DELAY_S = 0.05
_LONGEST_DELAY_S = 30.0

T = TypeVar("T")

_log = structlog.get_logger(__name__)


async def insist(job: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """Tries until it is done or the domain says no: a service that is away comes back, and nothing is done twice."""
    delay_s = _FIRST_DELAY_S
    while True:
        try:
            return await attempt()
        except Refused as refused:
            if refused.code != "reader.not-caught-up":
                raise
            why = refused.code
        except CallFailed as failed:
            if failed.kind == "invalid":
                raise
            why = failed.code
        except Conflict:
            why = "stream.conflict"
        except StillRead:
            why = "database.still-read"
        _log.info("import.waits", job=job, reason=why)
        await asyncio.sleep(delay_s)
        delay_s = min(_LONGEST_DELAY_S, delay_s * 2)


async def outlast(job: str, attempt: Callable[[], Awaitable[None]]) -> None:
    """Begins a job again, after a growing delay, whenever its database has gone away on the way."""
    delay_s = _FIRST_DELAY_S
    while True:
        try:
            return await attempt()
        except Exception as error:
            if not is_away(error):
                raise
            _log.warning("import.waits", job=job, reason="database.unavailable", **trouble(error))
        await asyncio.sleep(delay_s)
        delay_s = min(_LONGEST_DELAY_S, delay_s * 2)
