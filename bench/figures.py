"""What a benchmark answers with: figures, each beside its peer and its target, and how repeated runs become one.

The machine that runs them is shared, so nothing is measured once: a value is a median, and what is compared takes turns, so that a slow
minute slows both. A ratio says more than a value.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

RUNS = 3
"""How often everything is measured, at least."""


@dataclass(frozen=True)
class Target:
    """What is to be reached: a least or a most value, of the figure itself or of its ratio to the peer."""

    least: float | None = None
    most: float | None = None
    of_ratio: bool = False

    def __str__(self) -> str:
        if self.least is not None:
            return f"at least {_short(self.least)}{' × the peer' if self.of_ratio else ''}"
        return f"at most {_short(self.most or 0.0)}"


def at_least(value: float) -> Target:
    return Target(least=value)


def at_most(value: float) -> Target:
    return Target(most=value)


def times_the_peer(ratio: float) -> Target:
    """At least so many times the peer's value in the same run."""
    return Target(least=ratio, of_ratio=True)


@dataclass(frozen=True)
class Peer:
    """What somebody else's way of doing the same gave, in the same run and the same unit."""

    name: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One thing that was measured. `value` is a median; `unit` is `…/s`, `s`, `ms` or `MB`; `target` is from DESIGN section 6."""

    name: str
    value: float
    unit: str
    peer: Peer | None = None
    target: Target | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return None if self.peer is None else self.value / self.peer.value

    @property
    def reached(self) -> bool | None:
        """None where there is nothing to reach."""
        if self.target is None:
            return None
        found = self.ratio if self.target.of_ratio else self.value
        if found is None:
            return None
        return (self.target.least is None or found >= self.target.least) and (self.target.most is None or found <= self.target.most)


def in_turns(*measures: Callable[[], float], runs: int = RUNS) -> list[float]:
    """Measures one after another, `runs` times round; the median of each."""
    found: list[list[float]] = [[] for _ in measures]
    for _ in range(runs):
        for measure, values in zip(measures, found, strict=True):
            gc.collect()
            values.append(measure())
    return [median(values) for values in found]


def p99(values: Sequence[float]) -> float:
    """What 99 of 100 stay under."""
    return quantiles(values, n=100)[-1]


def table(figures: Sequence[Figure]) -> str:
    """Figures as a Markdown table."""
    lines = ["| what | value | peer | ratio | target | |", "|---|---|---|---|---|---|"]
    for figure in figures:
        peer = "" if figure.peer is None else f"{_short(figure.peer.value)} {figure.unit} ({figure.peer.name})"
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        name = figure.name if not figure.note else f"{figure.name}<br>*{figure.note}*"
        verdict = {None: "", True: "reached", False: "**missed**"}[figure.reached]
        lines.append(f"| {name} | {_short(figure.value)} {figure.unit} | {peer} | {ratio} | {figure.target or ''} | {verdict} |")
    return "\n".join(lines) + "\n"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
