"""A change of rules shows in the boards of the sample histories, step by step, and has to be approved."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from contracts.plan import StepRow
from plan_tracker.domain.board import SchoolBoard
from tests import approval
from tests.conftest import Lived
from tests.school import SCHOOL


def test_the_weeks_of_the_sample_school_end_in_the_approved_boards(lived: Lived) -> None:
    approval.check(lived.data, [SCHOOL])


def test_a_changed_rule_is_shown_with_the_states_and_dates_that_change(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval, "FOLDER", tmp_path)
    monkeypatch.setattr(approval, "IS_APPROVING", True)
    assert list(approval.changes(lived.data, [SCHOOL])) == []
    monkeypatch.setattr(approval, "IS_APPROVING", False)
    whole = SchoolBoard.rows

    def all_done(self: SchoolBoard, day: date) -> tuple[StepRow, ...]:
        return tuple(row.model_copy(update={"state": "done"}) if row.step == 20 else row for row in whole(self, day))

    monkeypatch.setattr(SchoolBoard, "rows", all_done)
    changed = list(approval.changes(lived.data, [SCHOOL]))
    assert {line.partition(" step ")[2][:2] for line in changed} == {"20"}
    assert changed[0].startswith(f"{SCHOOL}: approved step 20 from 2015-08-17: ")
    assert changed[-1].startswith(f"{SCHOOL}: now      step 20 from ")
    with pytest.raises(pytest.fail.Exception) as shown:
        approval.check(lived.data, [SCHOOL])
    text, *lines = str(shown.value).splitlines()
    assert lines == changed  # whoever runs the tests sees all of them
    assert "make approve" in text
