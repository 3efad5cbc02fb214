"""The boards of the sample histories as they were approved: one file a school, a line for each day on which a step's row changes.

Whoever changes a rule sees here, school by school and step by step, which states and dates change with it. `make approve` writes the files
anew; what they say then is read, and approved by committing it. They hold states, dates and counts: no id of anybody.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from difflib import ndiff
from pathlib import Path

import pytest

from contracts.call import Role
from contracts.plan import StepRow
from eventkit.tokens import Actor
from plan_tracker.answers import school_board
from plan_tracker.boards import Boards
from vekha.folder import DataFolder
from vekha.records import reading

FOLDER = Path(__file__).parent / "approved"
IS_APPROVING = os.environ.get("VEKHA_APPROVE") == "1"

_FIRST = date(2015, 8, 17)
_DAYS = 81


def check(data: Path, schools: Iterable[str]) -> None:
    """Ends the test where a board is not the approved one, with every line that differs, and what to do."""
    if differing := list(changes(data, schools)):
        text = f"{len(differing)} lines of the approved boards differ. If that is meant: make approve, read the files, and commit them."
        pytest.fail("\n".join((text, *differing)), pytrace=False)


def changes(data: Path, schools: Iterable[str]) -> Iterator[str]:
    """Where the boards of a stopped instance differ from the approved ones, a line each; none after they were written anew."""
    for school in schools:
        path = FOLDER / f"{school}.txt"
        lines = list(shown(data, school))
        if IS_APPROVING:
            FOLDER.mkdir(exist_ok=True)
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        approved = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for line in ndiff(approved, lines):
            if line.startswith(("- ", "+ ")):
                yield f"{school}: {'approved' if line[0] == '-' else 'now     '} {line[2:]}"


def shown(data: Path, school: str) -> Iterator[str]:
    """A school's rows, step by step, each on the days on which it changes."""
    with reading(DataFolder(data), "plan") as connection, Boards().look(connection) as look:
        adopted = look.outlines()[school].progress.adoption.day
        days = [_FIRST + timedelta(n) for n in range(_DAYS)]
        boards = {day: school_board(look, school, day, Actor(Role.OPERATOR)) for day in days if day >= adopted}
    for step in range(1, 22):
        before = ""
        for day, board in boards.items():
            row = next(row for row in board.steps if isinstance(row, StepRow) and row.step == step)
            line = _line(row)
            if line != before:
                yield f"step {step:2} from {day}: {line}"
            before = line


def _line(row: StepRow) -> str:
    said = [row.state, f"{row.done} of {row.total}", f"due {row.due} {row.deadline}"]
    if (row.due_live, row.deadline_live) != (row.due, row.deadline):
        said.append(f"live {row.due_live} {row.deadline_live}")
    if row.late:
        said.append(f"{row.late} late")
    if row.first_completed_on is not None:
        said.append(f"first {row.first_completed_on}, now {row.completed_on}")
    if row.blocked_by:
        said.append(f"blocked by {', '.join(str(step) for step in row.blocked_by)}")
    if row.suppressed:
        said.append("suppressed")
    return "; ".join(said)
