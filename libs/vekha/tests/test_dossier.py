"""`vekha dossier` and `vekha journal`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from vekha.testing import Up, Vekha


def test_a_dossier_is_shown_and_reading_it_stands_in_the_journal(
    ask: Vekha, vekha: Vekha, instance: Up, open_school: Callable[[str], str]
) -> None:
    school = open_school("dossier-1")
    details = {"last_name": "Соколова", "first_name": "Анна", "email": "anna@example.org"}
    hiring = {"school": school, "details": details, "position": "teacher", "hired_on": "2010-09-01"}
    person = ask("call", "roster.hire-staff", json.dumps(hiring)).json["reply"]["person"]
    named = ("--school", school, "--person", person)
    told = ask("dossier", *named, "--as", f"staff:{person}").json
    assert (told["kind"], told["details"]["last_name"], told["unheard"]) == ("staff", "Соколова", [])
    shown = vekha("dossier", *named, "--data", instance.data)
    assert shown.code == 0
    assert "last_name: Соколова" in shown.out
    assert f"by staff:{person} through operator: roster.dossier" in shown.out
    readings = ask("journal", *named).json["readings"]
    assert [one["reader"] for one in readings] == ["operator", f"staff:{person}"]
    assert "by operator: roster.dossier" in vekha("journal", *named, "--data", instance.data).out
    nobody = ask("journal", "--school", school, "--person", "nobody")
    assert (nobody.code, nobody.error["code"]) == (1, "person.unknown")


def test_a_dossier_shows_whatever_a_file_has_told_of_a_person(
    ask: Vekha, vekha: Vekha, instance: Up, open_school: Callable[[str], str], tmp_path: Path
) -> None:
    school = open_school("dossier-2")
    titles = "Табельный №;Фамилия;Имя;Должность;Роль;Предметы;Дата приёма"
    (tmp_path / "staff.csv").write_text(f"{titles}\n17;Соколова;Анна;Педагог-психолог;Учитель;Психология;01.09.2010\n")
    assert ask("import", tmp_path / "staff.csv", "--school", school).json["created"] == 1
    (person,) = ask("call", "roster.people", json.dumps({"school": school, "kind": "staff"})).json["reply"]["people"]
    named = ("--school", school, "--person", person)
    told = ask("dossier", *named).json["other_details"]
    assert told == {"position": "Педагог-психолог", "subjects": "Психология", "external_id": "17"}
    assert "  position: Педагог-психолог\n" in vekha("dossier", *named, "--data", instance.data).out
