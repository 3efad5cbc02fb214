"""Writes docs/faults.md from the results of a run of the suite of faults: `python -m tests.faults_table RESULTS.xml …`.

The results are pytest's JUnit file; each test has said there for which row it counts, and what it has counted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

_HEAD = """\
# Faults

What has really been done to a running or stopped system, and what became of it. `make docs/faults.md` runs the suite
(`tests/faults`) and writes this page from its results: nobody edits it. Each fault happens to real processes and real files,
at moments that a seed chooses. After each, every command that was acknowledged must be in the record exactly once, every
chain verifies, each bus stream holds its log byte for byte, and every projection is what a rebuild makes of the logs.

*Runs*: how often it was done. *Commands*: how many were acknowledged before, during and after it, where there was a ledger
of them. *Lost*: of these, not in the record as a whole. *Doubled*: in the record more than once. Where there is no ledger,
the test's own assertions count what happened. A week of many of them, at random and under load,
is part of `make slow` (`tests/faults/test_week.py`).

| fault | runs | commands | lost | doubled |
|---|---:|---:|---:|---:|
"""


@dataclass
class Row:
    """All runs of one fault."""

    fault: str
    runs: int = 0
    failed: int = 0
    commands: int = 0
    lost: int = 0
    doubled: int = 0

    def __str__(self) -> str:
        runs = f"{self.runs}, {self.failed} failed" if self.failed else str(self.runs)
        return f"| {self.fault} | {runs} | {self.commands or '—'} | {self.lost} | {self.doubled} |"


def rows(cases: Iterable[ElementTree.Element]) -> Iterator[Row]:
    """By fault, in the order of their names; a test that was skipped did nothing."""
    found: dict[str, Row] = {}
    for case in cases:
        told: dict[str, list[str]] = {}
        for one in case.iterfind("properties/property"):
            told.setdefault(one.attrib["name"], []).append(one.attrib["value"])
        if "fault" not in told or case.find("skipped") is not None:
            continue
        row = found.setdefault(told["fault"][0], Row(told["fault"][0]))
        row.runs += 1
        row.failed += case.find("failure") is not None or case.find("error") is not None
        row.commands += max(map(int, told.get("acknowledged", ["0"])))  # counted several times as it went on
        row.lost += max(map(int, told.get("lost", ["0"])))
        row.doubled += max(map(int, told.get("doubled", ["0"])))
    yield from sorted(found.values(), key=lambda row: row.fault)


def main() -> int:
    cases = {
        (case.attrib["classname"], case.attrib["name"]): case  # one that was run again counts as it ended last
        for path in sys.argv[1:]
        for case in ElementTree.parse(path).iter("testcase")  # noqa: S314 -- our own suite has written it
    }
    found = list(rows(cases.values()))
    sys.stdout.write(_HEAD + "".join(f"{row}\n" for row in found))
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
