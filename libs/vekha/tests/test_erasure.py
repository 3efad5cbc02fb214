"""`vekha erasure`: somebody is forgotten by order, and the act and the extract are written once, for their owner's eyes."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from vekha.testing import Up, Vekha


@pytest.fixture
def person(ask: Vekha, open_school: Callable[[str], str]) -> str:
    """A teacher of school-erasure, whose names are nobody else's."""
    open_school("school-erasure")
    details = {"last_name": "Преходящая", "first_name": "Вера"}
    body = {"school": "school-erasure", "details": details, "position": "teacher", "hired_on": "2010-09-01"}
    outcome = ask("call", "roster.hire-staff", json.dumps(body))
    assert outcome.code == 0, outcome
    return outcome.json["reply"]["person"]


def test_an_order_is_carried_out_told_and_attested(ask: Vekha, person: str, tmp_path: Path) -> None:
    whose = ("--school", "school-erasure", "--person", person)
    assert ask("erasure", "status", *whose).json["state"] == "none"
    out = tmp_path / "act.pdf"
    early = ask("erasure", "act", *whose, "--out", out)
    assert (early.code, early.error["code"]) == (1, "erasure.not-completed")
    assert list(tmp_path.iterdir()) == []
    wrong = ask("erasure", "order", *whose, "--ground", "court-order", "--reference", "Решение суда")
    assert (wrong.code, wrong.error["code"]) == (2, "usage.invalid")
    ordered = ask("erasure", "order", *whose, "--ground", "court-order", "--reference", "2-9/2015")
    assert ordered.code == 0, ordered
    completed = _completed(ask, whose)
    assert completed["erasure"] == ordered.json["erasure"]
    assert {answer["service"] for answer in completed["answers"]} == {"roster", "consent", "identity", "plan", "notifier"}

    written = ask("erasure", "act", *whose, "--out", out)
    assert written.code == 0, written
    extract = tmp_path / "act.json"
    assert written.json["files"] == [str(out), str(extract)]
    assert sorted(tmp_path.iterdir()) == [extract, out]
    assert [path.stat().st_mode & 0o777 for path in (out, extract)] == [0o600, 0o600]
    assert out.read_bytes().startswith(b"%PDF")
    entries = json.loads(extract.read_text())["entries"]
    assert all(sha256(base64.b64decode(entry["bytes"])).hexdigest() == entry["sha256"] for entry in entries)
    again = ask("erasure", "act", *whose, "--out", out)
    assert (again.code, again.error["code"]) == (1, "file.exists")

    gone = ask("call", "roster.person", json.dumps({"school": "school-erasure", "person": person}))
    assert (gone.code, gone.error["code"]) == (1, "person.erased")
    assert (
        ask("erasure", "order", "--school", "school-erasure", "--person", "p-nobody", "--ground", "unlawful", "--reference", "1").error[
            "code"
        ]
        == "person.unknown"
    )


def test_an_order_says_that_the_files_of_imports_go_with_the_person_and_so_do_lists_of_them(
    vekha: Vekha, ask: Vekha, instance: Up, open_school: Callable[[str], str], tmp_path: Path
) -> None:
    school = open_school("erasure-files")
    (tmp_path / "classes.csv").write_text("Параллель;Литера;Учебный год;Заявлено учеников\n1;А;2015/2016;20\n")
    job = ask("import", tmp_path / "classes.csv", "--school", school).json["job"]
    hiring = {"school": school, "details": {"last_name": "Краткая", "first_name": "Ия"}, "position": "teacher", "hired_on": "2010-09-01"}
    person = ask("call", "roster.hire-staff", json.dumps(hiring)).json["reply"]["person"]
    on = ("--school", school, "--data", instance.data)
    ordered = vekha("erasure", "order", *on, "--person", person, "--ground", "court-order", "--reference", "2-9/2015")
    assert ordered.out.startswith(f"{person} is being forgotten: e-")
    assert "cannot be rolled back" in ordered.err
    assert "`vekha import settle`" in ordered.err
    _completed(ask, ("--school", school, "--person", person))
    listed = vekha("import", "list", *on)
    assert (listed.code, listed.out) == (0, "")
    assert "until anybody of the school is erased" in listed.err
    refused = ask("import", "roll-back", job, "--school", school)
    assert (refused.code, refused.error["code"]) == (1, "import.expired")
    assert "until anybody of the school is erased" in refused.error["text"]
    assert "before an erasure" in vekha("import", "reviews", *on).err


def _completed(ask: Vekha, whose: tuple[str, ...]) -> Any:
    deadline = time.monotonic() + 30
    while (found := ask("erasure", "status", *whose).json)["state"] != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found
