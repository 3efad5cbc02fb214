"""How a figure is measured: each side several times, taking turns, and the median of each."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

ROUNDS = 3


@dataclass(frozen=True)
class Scale:
    """How much is measured. `quick` only asks whether a bench still runs."""

    quick: bool

    @property
    def rounds(self) -> int:
        return 1 if self.quick else ROUNDS

    def count(self, full: int) -> int:
        return max(1, full // 50) if self.quick else full


@dataclass(frozen=True)
class Figure:
    """One line of the results. `runs` holds what each side reached in each round, ours first; `to_reach` is a ratio to the
    second side where there is one, and else in `unit`."""

    what: str
    engine: str  # the database or server, and the layer through which ours speaks to it
    unit: str
    runs: Mapping[str, Sequence[float]]
    to_reach: float | None = None
    less_is_better: bool = False

    def median(self, side: str) -> float:
        return statistics.median(self.runs[side])

    @property
    def ratio(self) -> float | None:
        """How many times better ours is than the second side; None where it stands alone."""
        if len(self.runs) < 2:
            return None
        ours, peer = (self.median(side) for side in list(self.runs)[:2])
        return peer / ours if self.less_is_better else ours / peer

    @property
    def reached(self) -> bool | None:
        """Whether it is what DESIGN 6 asks for; None where that asks for nothing."""
        if self.to_reach is None:
            return None
        if self.ratio is not None:
            return self.ratio >= self.to_reach
        ours = self.median(next(iter(self.runs)))
        return ours <= self.to_reach if self.less_is_better else ours >= self.to_reach


def rate(work: Callable[[], int]) -> float:
    """How many a second: `work` answers how many it did."""
    started = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - started)


def side_by_side(rounds: int, sides: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Each side once a round, in turn, so that whatever else the machine does meets all of them alike."""
    runs: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        # The one that begins changes too.
        for name in [*sides][:: 1 if number % 2 == 0 else -1]:
            runs[name].append(sides[name]())
    return runs
