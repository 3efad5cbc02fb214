"""The clock of an instance: real, or manual for demos and tests (DESIGN 2.6). Everything that needs the time asks it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

from eventkit.decider import Refused

DEFAULT_ZONE = "Europe/Moscow"

_FIRST_DELAY = timedelta(minutes=1)
_LONGEST_DELAY = timedelta(minutes=30)


class Clock(Protocol):
    """Tells the time, in UTC."""

    @property
    def kind(self) -> Literal["real", "manual"]: ...

    def now(self) -> datetime: ...


class RealClock:
    """The machine's clock."""

    kind: Literal["real"] = "real"

    def now(self) -> datetime:
        return datetime.now(UTC)


class ManualClock:
    """A clock that stands still until it is moved, and never goes back. `moved` is told each new time, e.g. to keep it on disk."""

    kind: Literal["manual"] = "manual"

    def __init__(self, now: datetime, moved: Callable[[datetime], None] | None = None) -> None:
        self._now = now.astimezone(UTC)
        self._moved = moved

    def now(self) -> datetime:
        return self._now

    def move(self, to: datetime) -> None:
        """Moves to a later time. Raises Refused `clock.backwards` for an earlier one."""
        to = to.astimezone(UTC)
        if to < self._now:
            raise Refused("clock.backwards", f"The clock stands at {self._now:%Y-%m-%d %H:%M} UTC and never goes back.")
        self._now = to
        if self._moved is not None:
            self._moved(to)


class Patience:
    """How long a timer holds what cannot be done yet: a minute, then each time twice as long, up to half an hour."""

    def __init__(self) -> None:
        self._until: datetime | None = None
        self._delay = _FIRST_DELAY

    def hold(self, now: datetime) -> datetime:
        """Holds it for longer than the last time, and answers until when."""
        self._until = now + self._delay
        self._delay = min(_LONGEST_DELAY, self._delay * 2)
        return self._until

    def begin_anew(self) -> None:
        """It is done: what is held next is held for a minute."""
        self._until, self._delay = None, _FIRST_DELAY

    def not_before(self, due: datetime) -> datetime:
        """When to do what is due: not while it is held."""
        return due if self._until is None else max(due, self._until)


def local_day(at: datetime, timezone: str = DEFAULT_ZONE) -> date:
    """The calendar day of a moment in a school's time zone."""
    return at.astimezone(ZoneInfo(timezone)).date()


def start_of_day(day: date, timezone: str = DEFAULT_ZONE) -> datetime:
    """The moment at which a calendar day begins in a school's time zone."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone))
