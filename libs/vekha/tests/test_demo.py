"""`vekha demo`: a school's weeks from beginning to end, and what it does to the folder."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from roster.files import read_roster
from vekha import story
from vekha.testing import Outcome, Up, Vekha, run_binary, running


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The folder of a demo that has ended, and how it ended."""
    data = tmp_path_factory.mktemp("demo") / "data"
    return data, run_binary("demo", "--data", data)


def test_the_demo_ends_with_the_board_a_red_step_explained_and_how_to_look_around(played: tuple[Path, Outcome]) -> None:
    data, demo = played
    assert demo.code == 0, demo.err
    rows = {row[0]: " ".join(row[1:]) for line in demo.out.splitlines() if (row := line.split()) and row[0].isdecimal()}
    assert len(rows) == 21
    assert "done 613/613 2015-08-24 done late" in rows["14"]
    assert "in progress" in rows["18"]
    assert "overdue" in rows["18"]
    assert "school-7, step 18: " in demo.out
    assert f"vekha up --data {data}" in demo.out
    assert not (data / "run" / "endpoint.json").exists()


def test_the_school_year_is_entered_and_checked_by_real_acts(played: tuple[Path, Outcome], vekha: Vekha) -> None:
    told = vekha("events", "--offline", "--service", "roster", "--data", played[0], "--json").lines
    types = Counter(event["type"].removeprefix("roster.").removesuffix(".v1") for event in told)
    acts = {
        "workplaces-declared": 1,
        "reporting-periods-defined": 11,
        "bell-schedule-defined": 2,
        "reference-list-filled": 4,
        "timetable-published": 25,
        "data-issue-opened": 1,
        "data-issue-resolved": 1,
        "roster-data-verified": 25 + 2,  # each class, and the school on two Fridays
    }
    assert {name: types[name] for name in acts} == acts


def test_whoever_the_story_chooses_is_chosen_by_the_files_so_that_every_run_is_alike(played: tuple[Path, Outcome], vekha: Vekha) -> None:
    told = vekha("events", "--offline", "--service", "identity", "--type", "account-activated", "--data", played[0], "--json").lines
    assert len(told) == 178


def test_the_commands_that_the_demo_names_work_in_a_second_shell(played: tuple[Path, Outcome], vekha: Vekha) -> None:
    data, demo = played
    commands = [line.split() for line in demo.out.splitlines() if line.startswith("  ") and "vekha" in line]
    with running(data):
        for command in commands[1:]:
            assert vekha(*command[1:]).code == 0
        assert vekha("audit", "verify", "--data", data).code == 0
        explained = vekha("plan", "explain", "--school", story.SCHOOL, "--step", "14", "--data", data, "--json").json
        changes = [(entry["day"], entry["change"]) for entry in explained["timeline"]]
        assert changes == [("2015-08-25", "completed"), ("2015-09-01", "reopened"), ("2015-09-02", "completed")]
        on_the_24th = vekha("plan", "status", "--school", story.SCHOOL, "--as-of", "2015-08-24", "--data", data, "--json").json
        assert (on_the_24th["steps"][13]["done"], on_the_24th["steps"][13]["total"]) == (603, 613)


def test_nobody_whom_the_files_name_is_named_anywhere_else(played: tuple[Path, Outcome]) -> None:
    data, demo = played
    names: set[str] = set()
    for file in ("school-staff.xlsx", "school-pupils.xlsx", "school-pupils-late.xlsx", "school-newcomer.csv"):
        read = read_roster(story.samples() / file)
        people = [*read.staff, *read.pupils, *(guardian for pupil in read.pupils for guardian in pupil.guardians)]
        names |= {person.last_name for person in people if len(person.last_name) > 5}
    # Every mail address of the files ends like this. Of the names some fifty are enough: a leak would name them all.
    words = [".example", "Ёлкин", *sorted(names)[:: len(names) // 50]]
    places = {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()}
    places["stdout"] = (demo.out + demo.err).encode()
    assert any(name.endswith(".blk") for name in places)
    assert {(name, word) for name, content in places.items() for word in words if word.encode() in content} == set()


def test_a_second_run_replaces_what_the_first_one_built(
    vekha: Vekha, played: tuple[Path, Outcome], copy_of: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = copy_of(played[0])
    monkeypatch.setattr(story, "WEEKS", story.WEEKS[:1])
    monkeypatch.setattr(story, "END", "2015-08-18T09:00")
    again = vekha("demo", "--data", data, "--json")
    assert again.code == 0, again.err
    assert again.json["board"]["at"]["roster"] == 2
    assert again.json["board"]["as_of"] == "2015-08-18"
    assert again.json["explanation"]["step"] == story.RED_STEP


def test_it_is_played_on_a_running_instance_whose_clock_it_may_move_and_on_no_other(
    vekha: Vekha, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "WEEKS", story.WEEKS[:1])
    monkeypatch.setattr(story, "END", "2015-08-18T09:00")
    with running(tmp_path / "data", "--manual-clock", story.START) as up:
        there = ("--data", up.data, "--server", json.loads((up.data / "run/endpoint.json").read_text())["nats"])
        played = vekha("demo", *there)
        assert played.code == 0, played.err
        assert "vekha up" not in played.out
        looking = [line.split() for line in played.out.splitlines() if line.startswith("  ") and "plan explain" in line]
        assert vekha(*looking[0][1:]).code == 0
        again = vekha("demo", *there, "--json")
        assert (again.code, again.error["code"]) == (1, "demo.clock-unfit")
        assert vekha("plan", "status", "--school", story.SCHOOL, *there).code == 0
    with running(tmp_path / "real") as up:
        there = ("--data", up.data, "--server", json.loads((up.data / "run/endpoint.json").read_text())["nats"])
        refused = vekha("demo", *there, "--json")
        assert (refused.code, refused.error["code"]) == (1, "demo.clock-unfit")
        assert vekha("events", *there, "--type", "school-opened").out == ""


def test_a_folder_that_no_demo_made_or_in_which_one_runs_is_left_alone(vekha: Vekha, instance: Up, tmp_path: Path) -> None:
    somebodys = vekha("demo", "--data", instance.data, "--json")
    assert (somebodys.code, somebodys.error["code"]) == (1, "demo.not-ours")
    (tmp_path / "demo").write_text("")
    with running(tmp_path / "data") as up:
        shutil.copy(tmp_path / "demo", up.data / "demo")
        runs = vekha("demo", "--data", up.data, "--json")
        assert (runs.code, runs.error["code"]) == (1, "data.in-use")
        assert vekha("doctor", "--data", up.data).code == 0
