"""Timelines: how a step stands on every day, as one sweep over the ends of its subjects' intervals (DESIGN 2.5).

A tally holds, for each day, how many more subjects count from that day on and how many more are satisfied. A subject is replaced by taking
its old ends out and putting its new ones in; the sweep over the days is made when somebody asks. A board of the past reads the same sweep
at another day, and can see nothing after it.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from plan_tracker.domain.days import NEVER, Days, Switch, holds
from plan_tracker.domain.measures import Standing


@dataclass(frozen=True, slots=True)
class Timeline:
    """One step of one school. `days` ascend; from each of them on, `satisfied` of `counted` subjects hold at its end."""

    days: tuple[int, ...]
    satisfied: tuple[int, ...]
    counted: tuple[int, ...]
    done: Days
    """The days at whose end the step is done: all subjects satisfied, and there is one at least."""

    @property
    def first_day(self) -> int | None:
        """When the step was first done, if ever."""
        return self.done[0] if self.done else None

    def begun(self, day: int) -> bool:
        """Whether anything of it is done at the end of a day."""
        return self.at(day)[0] > 0

    def at(self, day: int) -> tuple[int, int]:
        """How many are satisfied, of how many, at the end of a day."""
        n = bisect_right(self.days, day)
        return (self.satisfied[n - 1], self.counted[n - 1]) if n else (0, 0)

    def is_done(self, day: int) -> bool:
        return holds(self.done, day)

    def first_completed(self, day: int) -> int | None:
        """When the step was first done, as seen on a day."""
        return self.done[0] if self.done and self.done[0] <= day else None

    def completed(self, day: int) -> int | None:
        """Since when the step is done; None where it is not."""
        n = bisect_right(self.done, day)
        return self.done[n - 1] if n % 2 else None

    def changes(self, up_to: int) -> Iterator[tuple[int, Literal["completed", "reopened"]]]:
        """Every completion and reopening, in order."""
        for n, day in enumerate(self.done):
            if day > up_to:
                return
            yield day, "reopened" if n % 2 else "completed"


@dataclass(frozen=True, slots=True)
class Periods:
    """A step that is never done: something to do in every week, again and again. Its weeks end on the same weekday, `ends` being the first
    of them, and count once they have ended; `checked` are the days, ascending, on which it was done. It reads as a timeline does."""

    ends: int | None
    """None while the first week has not begun."""
    checked: tuple[int, ...]
    done: Days = NEVER

    def at(self, day: int) -> tuple[int, int]:
        """How many weeks were checked in time, of how many that have ended by a day."""
        weeks = self.weeks(day)
        return sum(self._is_checked(end) for end in weeks), len(weeks)

    def weeks(self, day: int) -> range:
        """The last days of the weeks that have ended by a day."""
        return range(0) if self.ends is None else range(self.ends, day + 1, 7)

    def missed(self, day: int) -> list[int]:
        """The last days of those that were not checked."""
        return [end for end in self.weeks(day) if not self._is_checked(end)]

    @property
    def first_day(self) -> None:
        return None

    def begun(self, day: int) -> bool:
        return bool(self.checked) and self.checked[0] <= day

    def is_done(self, day: int) -> bool:
        return False

    def first_completed(self, day: int) -> None:
        return None

    def completed(self, day: int) -> None:
        return None

    def changes(self, up_to: int) -> Iterator[tuple[int, Literal["completed", "reopened"]]]:
        yield from ()

    def _is_checked(self, end: int) -> bool:
        return bisect_right(self.checked, end) > bisect_right(self.checked, end - 7)


def rated(ratings: Iterable[tuple[int, int]], threshold: int) -> Timeline:
    """A step measured in points of 100: done from the first rating on that reaches the threshold, and no longer from the second of two
    ratings running that lie below it. `ratings` holds from which day which score."""
    days: list[int] = []
    scores: list[int] = []
    done, below = Switch(), 0
    for day, score in ratings:
        if days and days[-1] == day:
            scores[-1] = score
        else:
            days.append(day)
            scores.append(score)
        below = 0 if score >= threshold else below + 1
        done.turn(day, below == 0 or (done.on and below < 2))
    return Timeline(tuple(days), tuple(scores), (100,) * len(days), done.days)


class Tally:
    """The standings of one measure's subjects."""

    def __init__(self) -> None:
        self._standings: dict[str, Standing] = {}
        self._counted = defaultdict[int, int](int)
        self._satisfied = defaultdict[int, int](int)
        self._timeline: Timeline | None = None

    @property
    def standings(self) -> Mapping[str, Standing]:
        return self._standings

    def put(self, subject: str, standing: Standing) -> None:
        """Takes a subject in, or in again after its documents have changed."""
        old = self._standings.get(subject)
        if old == standing:
            return
        self._timeline = None
        if old is not None:
            _add(self._counted, old.counted, -1)
            _add(self._satisfied, old.satisfied, -1)
        if standing.counted:
            self._standings[subject] = standing
            _add(self._counted, standing.counted, 1)
            _add(self._satisfied, standing.satisfied, 1)
        elif old is not None:
            del self._standings[subject]

    @property
    def timeline(self) -> Timeline:
        if self._timeline is None:
            self._timeline = self._sweep()
        return self._timeline

    def missing(self, day: int) -> list[str]:
        """The subjects that count on a day and are not satisfied, in order."""
        return sorted(
            subject for subject, standing in self._standings.items() if holds(standing.counted, day) and not holds(standing.satisfied, day)
        )

    def _sweep(self) -> Timeline:
        days: list[int] = []
        all_satisfied: list[int] = []
        all_counted: list[int] = []
        done = Switch()
        satisfied = counted = 0
        for day in sorted({*self._counted, *self._satisfied}):
            more_counted, more_satisfied = self._counted.get(day, 0), self._satisfied.get(day, 0)
            if not more_counted and not more_satisfied:
                continue
            counted += more_counted
            satisfied += more_satisfied
            days.append(day)
            all_counted.append(counted)
            all_satisfied.append(satisfied)
            done.turn(day, 0 < counted == satisfied)
        return Timeline(tuple(days), tuple(all_satisfied), tuple(all_counted), done.days)


def _add(changes: defaultdict[int, int], days: Days, change: int) -> None:
    for day in days:
        changes[day] += change
        change = -change
