"""Running a command's coroutine to its end, whatever state its connections are in by then."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from eventkit.tasks import ended

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, which cancels once, when somebody types Ctrl-C and at the end what is left over: what a library makes miss that
    one time, as its connection is just being made anew or its answer just arrives, would keep the command from ever ending."""

    async def to_the_end() -> T:
        command = asyncio.create_task(main)
        try:
            await asyncio.wait([command])
            return command.result()
        finally:
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                await ended(others)

    return asyncio.run(to_the_end())
