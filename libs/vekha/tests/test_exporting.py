"""`vekha export`: new files of a roster, for their owner's eyes alone, that `vekha import` reads and finds nothing to change in."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from vekha.story import samples
from vekha.testing import Vekha

FORMATS = ("xlsx", "csv", "oneroster-1.1", "oneroster-1.2")


@pytest.fixture
def school(ask: Vekha, open_school: Callable[[str], str]) -> str:
    school = open_school(f"export-{secrets.token_hex(4)}")
    assert ask("import", samples() / "oneroster-1.2", "--school", school, "--legal-basis", "law:273-FZ").code == 0
    return school


@pytest.mark.parametrize("file_format", FORMATS)
def test_what_is_exported_is_imported_without_a_change(ask: Vekha, school: str, tmp_path: Path, file_format: str) -> None:
    out = tmp_path / "Школа № 7"
    made = ask("export", "--school", school, "--format", file_format, "--out", out)
    assert (made.code, made.json) == (
        0,
        {"file": str(out), "sha256": made.json["sha256"], "classes": 2, "staff": 6, "pupils": 24, "guardians": 47, "left_out": []},
    )
    assert out.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [out]
    again = ask("import", out, "--school", school)
    assert (again.code, again.json["created"], again.json["updated"], again.json["unchanged"]) == (0, 0, 0, 32)


def test_no_file_is_overwritten_and_none_is_begun_that_cannot_be_finished(ask: Vekha, school: str, tmp_path: Path) -> None:
    out = tmp_path / "school.xlsx"
    out.write_text("something else")
    for path, code in ((out, "file.exists"), (tmp_path / "nowhere" / "school.xlsx", "file.unwritable")):
        refused = ask("export", "--school", school, "--format", "xlsx", "--out", path)
        assert (refused.code, refused.json["error"]["code"]) == (1, code)
    unknown = ask("export", "--school", "nowhere", "--format", "xlsx", "--out", tmp_path / "new.xlsx")
    assert (unknown.code, unknown.json["error"]["code"]) == (1, "school.unknown")
    assert out.read_text() == "something else"
    assert list(tmp_path.iterdir()) == [out]


def test_who_may_not_see_the_people_exports_nobody(ask: Vekha, school: str, tmp_path: Path) -> None:
    for role in ("ministry", "administrator:another-school"):
        refused = ask("export", "--school", school, "--format", "csv", "--out", tmp_path / "new.zip", "--as", role)
        assert refused.code == 1
    assert list(tmp_path.iterdir()) == []
