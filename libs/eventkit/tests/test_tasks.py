"""Tasks end when they are told to, also those that miss being told once."""

from __future__ import annotations

import asyncio
import contextlib

from eventkit.tasks import ended


async def stubborn(swallows: int) -> None:
    """Waits for ever, and misses being cancelled so many times."""
    for _ in range(swallows):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
    await asyncio.sleep(3600)


async def test_a_task_that_swallows_its_first_cancellation_ends_all_the_same() -> None:
    task = asyncio.create_task(stubborn(1))
    await asyncio.sleep(0)
    await ended([task])
    assert task.cancelled()


async def test_who_ends_others_and_is_cancelled_meanwhile_leaves_none_of_them_behind() -> None:
    """As a reader whose service stops: what it has begun ends with it, however often it is told."""
    inner = asyncio.create_task(stubborn(2))

    async def reader() -> None:
        try:
            await asyncio.wait([inner])
        finally:
            await ended([inner])

    outer = asyncio.create_task(reader())
    await asyncio.sleep(0)
    await ended([outer])
    assert outer.cancelled()
    assert inner.cancelled()


async def test_what_a_task_ended_with_is_nobodys_trouble_any_more() -> None:
    async def failing() -> None:
        raise ValueError("it was over before")

    tasks = [asyncio.create_task(failing()), asyncio.create_task(asyncio.sleep(3600))]
    await asyncio.sleep(0)
    await ended(tasks)
    assert all(task.done() for task in tasks)


async def test_nothing_to_end_is_ended_at_once() -> None:
    await ended([])
