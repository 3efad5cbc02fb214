"""Imports after they began: followed to their end, also over the death of an instance; listed; rolled back, once."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from vekha.story import samples
from vekha.testing import Up, Vekha, running

CLASSES = "Параллель;Литера;Учебный год;Заявлено учеников\n1;А;2015/2016;20\n1;Б;2015/2016;21\n"
OPEN = {"school": "school-7", "name": "Школа № 7", "municipality": "mytishchi"}
CLOCK = ("--manual-clock", "2015-08-24T09:00:00+03:00")


@pytest.mark.faults
@pytest.mark.timeout(240)
def test_an_import_in_which_the_instance_dies_is_named_and_followed_after_the_next_start(
    vekha: Vekha, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    on = ("--school", "school-7", "--data", data)
    with running(data, *CLOCK):
        assert vekha("call", "roster.open-school", json.dumps(OPEN), "--data", data).code == 0
        assert vekha("import", samples() / "school-classes.xlsx", *on).code == 0
        assert vekha("import", samples() / "school-staff.xlsx", *on).code == 0
    with running(data, environment={"VEKHA_FAULT": "log.after-commit:9"}) as up:
        ended = vekha("import", samples() / "school-pupils.xlsx", *on, "--json")
        assert up.process.wait(60) == -signal.SIGKILL
    assert ended.code == 5
    told = f"{ended.error['text']} {ended.error['hint']}"
    job = re.search("vekha import follow (i-[0-9a-f]+) --school school-7", told)
    assert job is not None, told
    assert f"Import {job[1]} was under way: it is taken up where it was when the instance runs again." in told
    with running(data):
        monkeypatch.chdir(tmp_path)
        done = vekha("import", "follow", job[1], *on, "--json")
        assert (done.code, done.json["job"], done.json["created"]) == (0, job[1], 603)
        again = vekha("import", samples() / "school-pupils.xlsx", *on, "--json")
        assert (again.json["created"], again.json["unchanged"]) == (0, 603)


def test_imports_are_listed_with_their_files_and_an_import_is_rolled_back_once(
    ask: Vekha, open_school: Callable[[str], str], tmp_path: Path
) -> None:
    school = open_school("imports-1")
    (tmp_path / "первые классы.csv").write_text(CLASSES)
    (tmp_path / "пусто.csv").write_text("\n")
    first = ask("import", tmp_path / "первые классы.csv", "--school", school).json["job"]
    second = ask("import", tmp_path / "первые классы.csv", "--school", school).json["job"]
    assert ask("import", tmp_path / "пусто.csv", "--school", school).error["code"] == "file.empty"
    data = ask("import", "list", "--school", school).json["imports"]
    assert [(card["file_name"], card["created"], card["unchanged"], card["error_code"]) for card in data] == [
        ("пусто.csv", 0, 0, "file.empty"),
        ("первые классы.csv", 0, 2, None),
        ("первые классы.csv", 2, 0, None),
    ]
    rolled = ask("import", "roll-back", first, "--school", school)
    assert (rolled.code, rolled.json["classes"], rolled.json["was_done"]) == (0, 2, False)
    again = ask("import", "roll-back", first, "--school", school)
    assert (again.code, again.json["classes"], again.json["was_done"]) == (0, 2, True)
    followed = ask("import", "follow", second, "--school", school)
    assert (followed.code, followed.json["unchanged"]) == (0, 2)


def test_what_people_read_of_imports_says_the_same(
    vekha: Vekha, ask: Vekha, instance: Up, open_school: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    school = open_school("imports-2")
    on = ("--school", school, "--data", instance.data)
    (tmp_path / "classes.csv").write_text(CLASSES)
    (tmp_path / "empty.csv").write_text("\n")
    shutil.copy(samples() / "school-pupils-broken.csv", tmp_path)
    job = ask("import", tmp_path / "classes.csv", "--school", school).json["job"]
    vekha("import", tmp_path / "empty.csv", *on)
    lines = vekha("import", "list", *on).out.splitlines()
    assert lines[1].startswith("    file.empty: empty.csv: It holds no rows.")
    assert lines[2].endswith("classes.csv  2 created, 0 updated, 0 unchanged, 0 to review, 0 rejected")
    broken = ask("import", tmp_path / "school-pupils-broken.csv", "--school", school).json["job"]
    monkeypatch.chdir(tmp_path)
    followed = vekha("import", "follow", broken, *on)
    assert followed.code == 3
    assert (tmp_path / "school-pupils-broken-rejected-2.csv").is_file()
    assert vekha("import", "roll-back", job, *on).out.startswith("Gone: 0 pupils, 0 guardians, 0 staff, 2 classes.")
    said = vekha("import", "roll-back", job, *on).out.splitlines()
    assert said[0] == f"{job} was rolled back before; nothing was done now. What that has done:"
    cards = ask("import", "list", "--school", school).json["imports"]
    nothing = next(card["import_id"] for card in cards if card["error_code"] == "file.empty")
    assert vekha("import", "roll-back", nothing, *on).out == "It had entered nothing, so nothing was taken back.\n"


def test_an_import_that_is_none_is_not_followed(ask: Vekha, open_school: Callable[[str], str]) -> None:
    school = open_school("imports-3")
    ended = ask("import", "follow", "i-1", "--school", school)
    assert (ended.code, ended.error["code"]) == (1, "import.unknown")
