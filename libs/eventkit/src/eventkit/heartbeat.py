"""A file that says, for who cannot ask over HTTP, that all readers of a service apart read: it is written as long as they do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import structlog

from eventkit.event import rfc3339
from eventkit.health import Health
from eventkit.telemetry import trouble

HEARTBEAT = "heartbeat"
"""The file in a service's state folder: when every reader had heard of all its sources a moment before (RFC 3339)."""

_EVERY_S = 5.0

_log = structlog.get_logger(__name__)


async def beat(health: Health, state: Path, *, every_s: float = _EVERY_S) -> None:
    """Writes the file until it is cancelled, and leaves it as it is while a reader hears nothing."""
    while True:
        if not health.silent():
            try:
                await asyncio.to_thread(_write, state / HEARTBEAT)
            except OSError as error:
                _log.warning("heartbeat.not-written", **trouble(error))
        await asyncio.sleep(every_s)


def _write(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_text(rfc3339(datetime.now(UTC)) + "\n")
    new.replace(path)
