"""Sets of days, and what can be said of them together: the algebra in which the measures are written.

A set is the sorted tuple of the days on which it begins and ends, in turn: `(3, 7, 9)` holds on days 3 to 6 and from day 9 on. Its pairs
are half-open intervals, the last of which may be open. Days are ordinals (`date.toordinal`). What a set says of a day depends on no later
day: all of this is causal, so a board of the past needs no arithmetic of its own.
"""

from bisect import bisect_right
from collections.abc import Iterable

Days = tuple[int, ...]

NEVER: Days = ()
ALWAYS: Days = (1,)


def holds(days: Days, day: int) -> bool:
    return bisect_right(days, day) % 2 == 1


def since(days: Days, day: int) -> int | None:
    """The first day of the run of days that `day` lies in; None where it lies in none."""
    n = bisect_right(days, day)
    return days[n - 1] if n % 2 else None


def both(a: Days, b: Days) -> Days:
    if not a or not b:
        return NEVER
    if len(a) == 1:  # From some day on: by far the most sets, since most facts stay true.
        start = a[0]
        if start <= b[0]:
            return b
        n = bisect_right(b, start)
        return (start, *b[n:]) if n % 2 else b[n:]
    if len(b) == 1:
        return both(b, a)
    return at_least(2, (a, b))


def either(a: Days, b: Days) -> Days:
    if not a:
        return b
    if not b or a == b:
        return a
    if len(a) == 1 and len(b) == 1:
        return a if a < b else b
    return at_least(1, (a, b))


def without(a: Days, b: Days) -> Days:
    """The days of `a` that are none of `b`."""
    if not a or not b:
        return a
    return both(a, b[1:] if b[0] == ALWAYS[0] else (*ALWAYS, *b))


def at_least(n: int, sets: Iterable[Days]) -> Days:
    """The days that at least `n` of the sets hold."""
    changes: dict[int, int] = {}
    for days in sets:
        change = 1
        for day in days:
            changes[day] = changes.get(day, 0) + change
            change = -change
    ends: list[int] = []
    count = 0
    for day in sorted(changes):
        count += changes[day]
        if (count >= n) is not bool(len(ends) % 2):
            ends.append(day)
    return tuple(ends)


class Switch:
    """Something that is on or off, told in the order of days. Of several turns on one day the last counts: the day's end is asked for."""

    __slots__ = ("_ends", "on")

    def __init__(self) -> None:
        self._ends: list[int] = []
        self.on = False

    def turn(self, day: int, on: bool) -> None:
        if on is self.on:
            return
        self.on = on
        if self._ends and self._ends[-1] == day:
            self._ends.pop()
        else:
            self._ends.append(day)

    @property
    def days(self) -> Days:
        return tuple(self._ends)
