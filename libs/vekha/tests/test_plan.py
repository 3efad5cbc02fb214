"""`vekha plan`: the exact shapes that scripts read, and the tables that people read."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from vekha.testing import Up, Vekha

SCHOOL_FIELDS = ["school", "plan", "revision", "rules", "as_of", "at", "calendar", "incomplete", "steps"]
STEP_FIELDS = [
    "step", "state", "done", "total", "late", "due", "deadline", "due_live", "deadline_live", "first_completed_on", "completed_on",
    "blocked_by", "suppressed",
]  # fmt: skip


def test_an_adopted_plan_has_a_board_of_21_rows_for_scripts_and_for_people(
    ask: Vekha, vekha: Vekha, instance: Up, open_school: Callable[[str], str]
) -> None:
    school = open_school("plan-1")
    adopted = ask("plan", "adopt", "--school", school, "--start", "2015-08-17", "--as", f"director:{school}")
    assert adopted.code == 0
    assert adopted.json["reply"]["baseline"]["18"] == "2015-09-07"
    assert ask("call", "plan.register-order", json.dumps({"school": school})).code == 0
    found = ask("plan", "status", "--school", school).json
    assert list(found) == SCHOOL_FIELDS
    assert [list(step) for step in found["steps"]] == [STEP_FIELDS] * 21
    assert (found["as_of"], found["incomplete"]) == ("2015-08-17", False)
    order = found["steps"][5]
    assert (order["step"], order["state"], order["done"], order["due"]) == (6, "done", 1, "2015-08-18")
    assert found["steps"][17]["blocked_by"] == [14]
    table = vekha("plan", "status", "--school", school, "--data", instance.data)
    assert "Назначить ответственных за работу в Системе Координаторов." in table.out
    assert table.err == ""


def test_the_region_counts_schools_and_shows_them_one_by_one_when_asked(ask: Vekha, open_school: Callable[[str], str]) -> None:
    for school in ("plan-2", "plan-3"):
        assert ask("plan", "adopt", "--school", open_school(school), "--start", "2015-08-17").code == 0
    region = ask("plan", "status").json
    assert list(region) == ["plan", "as_of", "at", "schools", "incomplete", "steps"]
    assert [list(step) for step in region["steps"]] == [["step", "states", "done", "total", "overdue"]] * 21
    one_by_one = ask("plan", "status", "--by-school", "--as", "ministry").json
    assert {"plan-2", "plan-3"} <= {school["school"] for school in one_by_one["by_school"]}
    assert len(one_by_one["by_school"]) == one_by_one["schools"]
    assert ask("plan", "status", "--by-school", "--school", "plan-2").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "status", "--school", "Школа"),
        ("plan", "status", "--school", ""),
        ("plan", "status", "--plan", "План"),
        ("plan", "adopt", "--school", "a b", "--start", "2015-08-17"),
        ("plan", "adopt", "--school", "s", "--start", "2015-08-17", "--plan", "План"),
        ("plan", "explain", "--school", "Школа", "--step", "4"),
        ("plan", "diff", "--school", "-s"),
        ("plan", "waive", "--school", "Школа", "--step", "4", "--reason", "quarantine"),
        ("plan", "extend", "--school", "Школа", "--step", "4", "--until", "2015-09-01", "--reason", "quarantine"),
        ("import", "--school", "Школа"),
        ("events", "--school", "Школа"),
    ],
)
def test_what_is_no_id_is_a_fault_of_the_command_line_that_says_what_an_id_looks_like(vekha: Vekha, arguments: tuple[str, ...]) -> None:
    told = vekha(*arguments)
    assert (told.code, told.out) == (2, "")
    assert "usage.invalid" in told.err
    assert "1 to 64 characters" in told.err
    as_json = vekha(*arguments, "--json")
    assert (as_json.code, as_json.json["error"]["code"]) == (2, "usage.invalid")


def test_the_region_s_board_is_of_one_plan_and_names_the_others(
    ask: Vekha, vekha: Vekha, instance: Up, open_school: Callable[[str], str]
) -> None:
    meals = "mo-2016-school-meals"
    for school, name in (("plan-7", "mo-2015-school-portal"), ("plan-8", meals)):
        assert ask("plan", "adopt", "--school", open_school(school), "--start", "2015-08-17", "--plan", name).code == 0
    found = ask("plan", "status", "--plan", meals).json
    assert (found["plan"], found["schools"], list(found["other_plans"])) == (meals, 1, ["mo-2015-school-portal"])
    assert [step["step"] for step in found["steps"]] == [*range(10, 90, 10)]
    told = vekha("plan", "status", "--plan", meals, "--data", instance.data)
    assert f"The region, 1 school following {meals}, at the end of 2015-08-17" in " ".join(told.out.split())
    assert "vekha plan status --plan mo-2015-school-portal" in told.err
    assert ask("plan", "status", "--plan", "no-such").json["error"]["code"] == "plan.unknown"
    assert ask("plan", "status", "--plan", meals, "--school", "plan-8").code == 2


def test_a_step_is_explained(ask: Vekha, vekha: Vekha, instance: Up, open_school: Callable[[str], str]) -> None:
    school = open_school("plan-4")
    assert ask("plan", "adopt", "--school", school, "--start", "2015-08-17", "--week", "6").code == 0
    found = ask("plan", "explain", "--school", school, "--step", "18").json
    assert (found["step"], found["baseline"]["due"], found["baseline"]["anchor_step"]) == (18, "2015-09-03", 14)
    told = vekha("plan", "explain", "--school", school, "--step", "18", "--data", instance.data)
    assert told.code == 0
    assert "10 working days after step 14" in told.out


def test_a_plan_is_adopted_by_its_own_options_or_by_the_school_s(ask: Vekha, open_school: Callable[[str], str]) -> None:
    school = open_school("plan-5")
    arguments = ("plan", "adopt", "--school", school, "--start", "2015-08-17", "--count-from", "same_day")
    assert ask(*arguments).json["reply"]["baseline"]["18"] == "2015-08-28"
    assert ask(*arguments, "--week", "5", "--anchor", "after_predecessors").code == 0  # what the plan says anyway
    assert ask("plan", "adopt", "--school", school, "--start", "2015-08-17").json["error"]["code"] == "plan.already-adopted"
    assert ask("plan", "adopt", "--school", school, "--start", "2015-08-17", "--count-from", "yesterday").code == 2


def test_a_step_is_waived_and_another_extended(ask: Vekha, vekha: Vekha, instance: Up, open_school: Callable[[str], str]) -> None:
    school = open_school("plan-6")
    assert ask("plan", "adopt", "--school", school, "--start", "2015-08-17").code == 0
    waive = ("plan", "waive", "--school", school, "--step", "17", "--reason", "quarantine")
    assert ask(*waive, "--as", f"director:{school}").json["error"]["code"] == "access.role"
    assert ask(*waive, "--as", "ministry").json["reply"] == {}
    assert ask("plan", "status", "--school", school).json["steps"][16]["state"] == "waived"
    extend = ("plan", "extend", "--school", school, "--step", "18", "--until", "2015-09-11", "--reason", "quarantine")
    assert ask(*extend, "--as", "ministry").json["reply"]["changed"] == {"18": "2015-09-11", "19": "2015-09-25"}
    assert ask("plan", "extend", "--school", school, "--step", "18", "--until", "2015-09-01", "--reason", "quarantine").json["error"][
        "code"
    ] == ("deadline.not-later")
    assert ask("plan", "extend", "--school", school, "--step", "18", "--until", "2015-09-14", "--reason", "holiday").code == 2
    told = vekha(
        "plan", "extend", "--school", school, "--step", "3", "--until", "2015-09-18", "--reason", "quarantine", "--data", instance.data
    )
    assert "2015-09-18" in told.out
    told = vekha("plan", "waive", "--school", school, "--step", "5", "--reason", "not-applicable", "--data", instance.data)
    assert told.out == f"{school}: step 5 is waived, not-applicable\n"
