"""Ending tasks for sure, and waiting without making one.

`asyncio.wait_for` of Python 3.11 swallows a cancellation that arrives together with the result, and libraries wait that way: nats-py as
it reconnects, aiosmtplib as it connects. A task that was cancelled once may so go on for ever, and whoever waits for it never stops.
A TaskGroup cancels once: what runs until it is cancelled is ended here instead.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

_CANCEL_AGAIN_S = 0.05

T = TypeVar("T")


async def ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancels tasks until each has ended, with whatever outcome. Whoever is cancelled meanwhile is so once they have, not sooner."""
    ending = left = set(tasks)
    cancelled = False
    while left:
        for task in left:
            task.cancel()
        try:
            _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_S)
        except asyncio.CancelledError:
            cancelled = True
            left = {task for task in left if not task.done()}
    for task in ending:
        if not task.cancelled():
            task.exception()  # has been seen: nobody is to be told at the loop's end
    if cancelled:
        raise asyncio.CancelledError


async def completed(ending: Coroutine[Any, Any, T]) -> T:
    """Waits for something that has to end, however often whoever waits is cancelled meanwhile."""
    task = asyncio.create_task(ending)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    return task.result()


async def set_within(event: asyncio.Event, limit_s: float) -> bool:
    """Whether the event is set before that time is over. Unlike `wait_for`, this makes no task."""
    try:
        async with asyncio.timeout(limit_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
