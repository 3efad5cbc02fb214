"""Running a command's coroutine to its end, whatever state its connections are in by then."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from eventkit.tasks import ended

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, which cancels what is left over once and then waits for it: a connection that misses that one time, as it is just
    being made anew, would keep the command from ever ending."""

    async def to_the_end() -> T:
        try:
            return await main
        finally:
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                await ended(others)

    return asyncio.run(to_the_end())
