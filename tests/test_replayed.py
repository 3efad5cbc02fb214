"""What the record says of any day, from an archive or from the databases alone, is what was answered, byte for byte."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests import record
from tests.conftest import DAYS, Lived
from tests.school import SCHOOL
from vekha.main import main
from vekha.testing import Vekha, running


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, lived: Lived) -> Path:
    out = tmp_path_factory.mktemp("archive") / "record.zip"
    assert main(["audit", "export", "--data", str(lived.data), "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("day", [DAYS[0], DAYS[5], DAYS[-1]], ids=str)
def test_an_archive_gives_every_board_that_was_answered_byte_for_byte(vekha: Vekha, archive: Path, lived: Lived, day: object) -> None:
    answered = lived.boards[day]  # pyright: ignore[reportArgumentType] -- one of its days
    at = json.dumps(json.loads(answered)["at"])
    made = vekha("audit", "replay", archive, "--to", at, "--as-of", str(day), "--school", SCHOOL, "--json")
    assert made.code == 0, made.err
    assert made.json["boards"][SCHOOL] == hashlib.sha256(answered.encode()).hexdigest()
    assert made.json["differences"] is None
    assert made.json["digests"].keys() == {f"{service}-{projection.name}" for service, projection in record.PROJECTIONS}


def test_an_archive_that_does_not_verify_is_not_replayed(vekha: Vekha, lived: Lived, tmp_path: Path) -> None:
    (tmp_path / "none.zip").write_bytes(b"PK")
    ended = vekha("audit", "replay", tmp_path / "none.zip", "--json")
    assert (ended.code, ended.error["code"]) == (4, "archive.unverified")


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ("yesterday", "to.unreadable"),
        ("9999-12-31", "to.in-future"),
        ("2015-09-10", "to.in-future"),  # tomorrow
        ("2015-09-09T09:00:01+03:00", "to.in-future"),
        ("roster=x", "to.unreadable"),
        ("roster=1,roster=2", "to.unreadable"),
        ("{}", "to.unreadable"),
        ("roster=-1", "to.unreadable"),
        ("roster=1000000", "to.in-future"),
        ('{"roster": 1000000}', "to.in-future"),
        ("0001-01-01T00:00:00", "to.unreadable"),
        ("2001-01-01", "to.too-early"),
    ],
)
def test_what_is_no_moment_of_the_record_is_refused(vekha: Vekha, archive: Path, lived: Lived, to: str, code: str) -> None:
    for source in ("live", archive):
        ended = vekha("audit", "replay", source, "--data", lived.data, "--to", to, "--json")
        assert (ended.code, ended.error["code"]) == (2 if code == "to.unreadable" else 1, code)
        assert ended.error["hint"]


def test_today_is_a_moment_of_the_record_and_a_day_to_come_is_none_of_a_board(vekha: Vekha, archive: Path, lived: Lived) -> None:
    for source in ("live", archive):
        assert vekha("audit", "replay", source, "--data", lived.data, "--to", "2015-09-09", "--json").json["as_of"] == "2015-09-09"
        ended = vekha("audit", "replay", source, "--data", lived.data, "--as-of", "2015-09-10", "--json")
        assert (ended.code, ended.error["code"]) == (1, "as-of.in-future")


def test_a_live_record_is_replayed_to_any_past_answer_and_compared_with_what_runs(
    vekha: Vekha, archive: Path, lived: Lived, tmp_path: Path
) -> None:
    data = lived.copy(tmp_path / "data")
    with running(data):
        shown = vekha("plan", "status", "--school", SCHOOL, "--data", data, "--json")
        at, as_of = json.dumps(shown.json["at"]), shown.json["as_of"]
        body = json.dumps({"school": SCHOOL, "grade": 9, "letter": "Я", "academic_year": "2015/2016"})
        assert vekha("call", "roster.declare-class", body, "--data", data).code == 0
        assert vekha("plan", "status", "--school", SCHOOL, "--at", at, "--as-of", as_of, "--data", data, "--json").out == shown.out
        past = vekha("audit", "replay", "live", "--to", at, "--as-of", as_of, "--school", SCHOOL, "--data", data, "--json")
        assert (past.code, past.json["differences"]) == (0, [])
        assert shown.out.strip() in past.out  # the very bytes
        present = vekha("audit", "replay", "live", "--data", data, "--json")
        assert (present.code, present.json["differences"]) == (0, [])
        rebuilt = vekha("projections", "rebuild", "plan", "board", "--data", data, "--json")
        assert rebuilt.json["compared"]["rebuilt"] == present.json["digests"]["plan-board"]
        day = vekha("audit", "replay", archive, "--to", "2015-08-24", "--compare", "--data", data)
        assert day.code == 0, day.out
        assert "as of 2015-08-24" in day.out
        assert "holds and answers the same" in day.out
    with closing(sqlite3.connect(data / "db" / "plan.db", isolation_level=None)) as database:
        changed = "UPDATE fact SET doc = '' WHERE school = ? AND kind = 'staff'"
        assert database.execute(changed, (SCHOOL,)).rowcount
    with running(data):
        differing = vekha("audit", "replay", "live", "--data", data, "--json")
        assert differing.code == 1
        assert "plan-board: its rows are not those that the events make: they were changed" in differing.json["differences"][0]
        assert [line for line in differing.json["differences"] if line.startswith(f"board {SCHOOL}: it differs in")]
