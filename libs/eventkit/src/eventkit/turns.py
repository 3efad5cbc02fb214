"""Readers of one process take turns, and let go first what somebody waits for.

Together they would only take the processor from each other, and from that.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
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
        self._waited_for = 0  # how many things
        self._waited_until = -math.inf  # when the last of them ended, in seconds of the loop's clock
        self._waiting: deque[asyncio.Event] = deque()

    @classmethod
    def here(cls) -> Turns:
        return cls._of_loops.setdefault(asyncio.get_running_loop(), cls())

    @contextlib.contextmanager
    def first(self) -> Generator[None]:
        """Somebody waits for what is done in this block."""
        clock = asyncio.get_running_loop().time
        self._waited_for += 1
        try:
            yield
        finally:
            self._waited_for -= 1
            self._waited_until = clock()

    @property
    def quiet_since(self) -> float:
        """Since when nobody waits for anything, in seconds of the loop's clock; infinity while somebody does."""
        return math.inf if self._waited_for else self._waited_until

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
