"""`vekha dossier` and `vekha journal`."""

from __future__ import annotations

import json
from collections.abc import Callable

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
