"""Readers of one process take turns.

Together they would only take the processor from each other, and from those that somebody waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Generator
from typing import ClassVar
from weakref import WeakKeyDictionary

from eventkit.tasks import set_within


class Turns:
    """Who is at work, and who lets others go first; for how long is everybody's own affair."""

    _of_loops: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Turns]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self.working = 0
        self._waiting: deque[asyncio.Event] = deque()

    @classmethod
    def here(cls) -> Turns:
        return cls._of_loops.setdefault(asyncio.get_running_loop(), cls())

    async def wait(self, woken: asyncio.Event, limit_s: float) -> None:
        """Waits until it may be somebody's turn, or until it is woken."""
        self._waiting.append(woken)
        try:
            await set_within(woken, limit_s)
        finally:
            with contextlib.suppress(ValueError):  # it was its turn
                self._waiting.remove(woken)

    @contextlib.contextmanager
    def taken(self) -> Generator[None]:
        self.working += 1
        try:
            yield
        finally:
            self.working -= 1
            if self._waiting:
                self._waiting.popleft().set()
