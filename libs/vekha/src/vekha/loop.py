"""Running a command's coroutine to its end, whatever state its connections are in by then."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_CANCEL_AGAIN_S = 0.05

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, which cancels what is left over once and then waits for it.

    nats-py's reconnecting can miss that one time: `asyncio.wait_for` of Python 3.11 swallows a cancellation that arrives together with the
    result. It would reconnect for ever, and we would never end. So we cancel until nothing is left.
    """

    async def to_the_end() -> T:
        try:
            return await main
        finally:
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                for task in others:
                    task.cancel()
                await asyncio.wait(others, timeout=_CANCEL_AGAIN_S)

    return asyncio.run(to_the_end())
