"""`vekha events`: the record as it was recorded."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from collections.abc import Callable

import pytest

from vekha.testing import BINARY, Up, Vekha


@pytest.fixture
def school(ask: Vekha, open_school: Callable[[str], str]) -> str:
    school = open_school("events-1")
    for letter in "АБ":
        body = {"school": school, "grade": 1, "letter": letter, "academic_year": "2015/2016"}
        assert ask("call", "roster.declare-class", json.dumps(body)).code == 0
    return school


def test_events_are_shown_as_their_bytes_one_a_line_by_calls_and_offline_alike(ask: Vekha, instance: Up, school: str) -> None:
    shown = ask("events", "--service", "roster")
    assert shown.code == 0
    with sqlite3.connect(instance.data / "db" / "roster.db") as database:
        stored = [bytes(row[0]).decode() for row in database.execute("SELECT bytes FROM log ORDER BY position")]
    database.close()
    assert shown.out.splitlines() == stored
    assert ask("events", "--service", "roster", "--offline").out == shown.out


def test_events_can_be_chosen_by_school_type_and_person(ask: Vekha, school: str) -> None:
    assert [event["type"] for event in ask("events", "--school", school).lines] == [
        "roster.school-opened.v1",
        "roster.class-declared.v1",
        "roster.class-declared.v1",
    ]
    for name in ("class-declared", "class-declared.v1", "roster.class-declared", "roster.class-declared.v1"):
        assert len(ask("events", "--school", school, "--type", name).lines) == 2
    body = {"school": school, "details": {"last_name": "Ёлкина", "first_name": "Анна"}, "position": "teacher", "hired_on": "2010-09-01"}
    person = ask("call", "roster.hire-staff", json.dumps(body)).json["reply"]["person"]
    hired = ask("events", "--person", person)
    assert [event["type"] for event in hired.lines] == ["roster.staff-hired.v1"]
    assert "Ёлкина" not in hired.out


@pytest.mark.parametrize(("option", "code"), [("--school", "school.unknown"), ("--person", "person.unknown"), ("--type", "type.unknown")])
def test_an_id_or_a_type_that_nobody_knows_is_said_to_be_unknown(ask: Vekha, school: str, option: str, code: str) -> None:
    for offline in ([], ["--offline"]):
        ended = ask("events", option, "nowhere", *offline)
        assert (ended.code, ended.error["code"]) == (1, code)


def test_a_known_school_of_which_a_log_says_nothing_is_no_error(ask: Vekha, school: str) -> None:
    nothing = ask("events", "--school", school, "--service", "notifier", "--type", "pupil-enrolled")
    assert (nothing.code, nothing.out) == (0, "")


def test_all_logs_are_shown_in_the_order_in_which_things_were_learned(ask: Vekha, school: str) -> None:
    times = [event["recordedat"] for event in ask("events").lines]
    assert times == sorted(times)
    assert len(times) > 3


def test_following_goes_on_with_what_comes_later(ask: Vekha, instance: Up, school: str) -> None:
    command = [str(BINARY), "events", "--school", "events-2", "--follow", "--data", str(instance.data), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as following:
        assert following.stdout is not None
        ask("call", "roster.open-school", '{"school": "events-2", "name": "Школа", "municipality": "m-1"}')
        assert json.loads(following.stdout.readline())["school"] == "events-2"
        following.send_signal(signal.SIGINT)
        assert following.wait(30) == 130


def test_a_reader_that_goes_away_early_is_no_error(ask: Vekha, instance: Up, school: str) -> None:
    piped = f"'{BINARY}' events --data '{instance.data}' | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", piped], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[1] == "0"
    assert done.stderr == ""
