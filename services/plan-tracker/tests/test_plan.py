"""The plan of order 39/2 as its file holds it, and what loading says of a file that cannot be used."""

from collections.abc import Iterator
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest

from plan_tracker import plans
from plan_tracker.domain.plan import MEASURES, FixedDate, MergedWith, Options, PlanInvalid, WorkdaysAfterAnchor, load_plan, read_plan

PLAN = load_plan("mo-2015-school-portal")

SMALL = """\
revision: 1
title_ru: План
title_en: A plan
order: {number: "1", date: 2020-01-01}
options: {count_from: next_day, blanks: ask}
steps:
  - n: 1
    title_ru: Первый шаг
    title_en: First step
    responsible: [director]
    deadline_ru: 1 рабочий день
    deadline: {kind: wd_after_anchor, n: 1}
    anchors: [start]
    measure: attested
  - n: 2
    title_ru: Второй шаг
    title_en: Second step
    responsible: [administrator]
    deadline_ru: ""
    deadline: {kind: merged_with, step: 1}
    anchors: [1]
    measure: school-order
"""


def refusal(text: str) -> PlanInvalid:
    with pytest.raises(PlanInvalid) as refused:
        read_plan("small", text)
    return refused.value


def changed(old: str, new: str) -> str:
    assert SMALL.count(old) == 1, old
    return SMALL.replace(old, new)


# The plan of the order.


def test_the_plan_has_the_21_steps_of_the_order_in_their_order() -> None:
    assert [step.n for step in PLAN.steps] == list(range(1, 22))
    assert PLAN.revision == 1
    assert (PLAN.order.number, PLAN.order.date) == ("39/2", date(2015, 9, 7))


def test_every_step_has_its_titles_and_somebody_responsible() -> None:
    assert all(step.title_ru and step.title_en and step.responsible for step in PLAN.steps)


def test_only_the_merged_rows_have_a_blank_deadline_cell() -> None:
    assert [step.n for step in PLAN.steps if not step.deadline_ru] == [10, 11, 12, 16]
    assert [step.n for step in PLAN.steps if isinstance(step.deadline, MergedWith)] == [10, 11, 12, 16]


def test_the_anchors_are_those_of_the_reading() -> None:
    assert {step.n: step.anchors for step in PLAN.steps if step.anchors} == {
        4: ("start",),
        6: ("start",),
        7: (4,),
        8: (4, 6),
        9: (7,),
        10: (7,),
        11: (7,),
        12: (7,),
        13: (9, 10, 11, 12),
        14: (13,),
        15: (14,),
        16: (14,),
        17: (15,),
        18: (14,),
        19: (18,),
    }


def test_the_information_edges_are_those_of_the_reading() -> None:
    edges = {(before, step.n) for step in PLAN.steps for before in step.informed_by}
    assert edges == {(2, n) for n in range(9, 17)} | {(1, 7), (14, 3), (15, 3), (16, 3), (5, 21), (17, 21), (19, 21)}


def test_the_fixed_dates_are_those_of_the_order() -> None:
    dates = {step.n: step.deadline.date for step in PLAN.steps if isinstance(step.deadline, FixedDate)}
    assert dates == {2: date(2015, 8, 25), 3: date(2015, 9, 15), 5: date(2015, 9, 15), 21: date(2015, 9, 15)}


def test_only_step_18_counts_from_an_anchor_that_the_source_states() -> None:
    assert [step.n for step in PLAN.steps if isinstance(step.deadline, WorkdaysAfterAnchor) and step.deadline.stated] == [18]


def test_every_step_is_derived_from_events_each_in_its_own_way() -> None:
    assert {step.measure for step in PLAN.steps} == MEASURES - {"attested"}


def test_the_start_of_the_plan_blocks_nothing() -> None:
    assert PLAN.step(4).predecessors == ()
    assert PLAN.step(8).predecessors == (4, 6)


def test_in_order_every_step_comes_after_its_predecessors() -> None:
    place = {step.n: i for i, step in enumerate(PLAN.in_order)}
    assert sorted(place) == list(range(1, 22))
    assert all(place[before] < place[step.n] for step in PLAN.steps for before in step.predecessors)


def test_the_options_are_those_of_the_reading() -> None:
    assert PLAN.options == Options()
    assert PLAN.options == Options(5, "next_day", "after_predecessors", "merge_up", False, 10, 3)
    assert PLAN.step(11).required_lists == ("subjects", "positions", "rooms", "group-types")
    assert PLAN.step(1).required_positions == ()


# Loading.


def test_every_plan_of_the_folder_loads() -> None:
    assert [load_plan(name).name for name in plans.names()] == plans.names()


def test_a_small_plan_loads() -> None:
    plan = read_plan("small", SMALL)
    assert [step.n for step in plan.steps] == [1, 2]
    assert plan.step(2).deadline == MergedWith("merged_with", 1)


@pytest.mark.parametrize("name", ["nowhere", "../plans/mo-2015-school-portal", ""])
def test_an_unknown_plan_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(PlanInvalid, match="mo-2015-school-portal") as refused:
        load_plan(name)
    assert refused.value.code == "plan.unknown"


def test_an_unknown_measure_is_refused_with_its_line() -> None:
    refused = refusal(changed("school-order", "school-ordre"))
    assert refused.code == "plan.unknown-measure"
    assert str(refused).startswith("small.yaml:22: step 2 has an unknown measure 'school-ordre': choose one of access-received, ")


def test_a_duplicate_step_is_refused_with_its_line() -> None:
    refused = refusal(changed("- n: 2", "- n: 1"))
    assert refused.code == "plan.duplicate-step"
    assert str(refused) == "small.yaml:15: step 1 stands there twice: give each its own number"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("anchors: [1]", "anchors: [1, 7]", 21),
        ("{kind: merged_with, step: 1}", "{kind: merged_with, step: 7}", 20),
        ("measure: school-order", "informed_by: [7]\n    measure: school-order", 22),
    ],
)
def test_a_missing_predecessor_is_refused_with_its_line(old: str, new: str, line: int) -> None:
    refused = refusal(changed(old, new))
    assert refused.code == "plan.missing-predecessor"
    assert str(refused) == f"small.yaml:{line}: step 2 names step 7, which is not there: add that step or name another"


@pytest.mark.parametrize(
    "circular",
    [
        changed("anchors: [start]", "anchors: [2]"),
        changed("anchors: [1]", "anchors: [2]"),
        changed("{kind: wd_after_anchor, n: 1}", "{kind: merged_with, step: 2}"),
    ],
)
def test_steps_that_wait_for_each_other_are_refused_with_the_circle(circular: str) -> None:
    refused = refusal(circular)
    assert refused.code == "plan.cycle"
    assert str(refused).split(":")[1] in {"13", "21"}
    assert "in a circle, " in str(refused)
    assert " → " in str(refused)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (changed("    anchors: [start]\n", ""), "small.yaml:12: step 1 counts from an anchor and has none"),
        (changed("{kind: merged_with, step: 1}", "{kind: some_day}"), "small.yaml:20: steps.1.deadline: "),
        (changed("{kind: wd_after_anchor, n: 1}", "{kind: wd_after_anchor, n: 0}"), "small.yaml:12: steps.0.deadline.wd_after_anchor.n: "),
        (changed("    title_en: Second step\n", ""), "small.yaml:15: steps.1.title_en: "),
        (changed("title_en: Second step", "title_en: Second step\n    tilte: x"), "small.yaml:18: steps.1.tilte: "),
        (changed("[administrator]", "[janitor]"), "small.yaml:18: steps.1.responsible.0: "),
        (changed("anchors: [1]", "anchors: [start, finish]"), "small.yaml:21: steps.1.anchors.1."),
        (changed("blanks: ask", "blank: ask"), "small.yaml:5: options.blank: "),
        (changed("blanks: ask", "blanks: guess"), "small.yaml:5: options.blanks: "),
        (changed("blanks: ask", "grace_wd: 0"), "small.yaml:5: options.grace_wd: "),
        (
            changed("measure: school-order", "measure: school-order\n    required_positions: [cook]"),
            "small.yaml:23: steps.1.required_positions.0: ",
        ),
        (SMALL.split("steps:")[0] + "steps: []\n", "small.yaml:6: steps: "),
        (
            changed("    measure: school-order", "    anchors: [1]\n    measure: school-order"),
            "small.yaml:22: 'anchors' stands there twice",
        ),
        (changed("blanks: ask", "blanks: ask, blanks: none"), "small.yaml:5: 'blanks' stands there twice"),
        (changed("revision: 1", "revision: one"), "small.yaml:1: revision: "),
        (changed("steps:\n", "steps: {{\n"), "small.yaml:"),
        ("", "small.yaml:1: a plan has fields"),
        ("- just a list", "small.yaml:1: a plan has fields"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(broken: str, said: str) -> None:
    refused = refusal(broken)
    assert refused.code == "plan.malformed"
    assert str(refused).startswith(said)


# Revisions.


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty folder of plans, instead of the service's own."""
    monkeypatch.setattr(plans, "_folder", lambda: tmp_path)
    load_plan.cache_clear()
    yield tmp_path
    load_plan.cache_clear()


def test_the_newest_revision_is_loaded_and_an_earlier_one_by_its_number(folder: Path) -> None:
    (folder / "small.yaml").write_text(changed("revision: 1", "revision: 3").replace("Первый шаг", "Новый шаг"), encoding="utf-8")
    (folder / "small.r1.yaml").write_text(SMALL, encoding="utf-8")
    (folder / "released.json").write_text("{}", encoding="utf-8")
    assert plans.names() == ["small"]
    assert plans.earlier_revisions("small") == [1]
    assert [load_plan("small").revision, load_plan("small", 3).revision, load_plan("small", 1).revision] == [3, 3, 1]
    assert [load_plan("small").step(1).title_ru, load_plan("small", 1).step(1).title_ru] == ["Новый шаг", "Первый шаг"]


def test_a_revision_that_this_program_does_not_carry_is_refused(folder: Path) -> None:
    (folder / "small.yaml").write_text(changed("revision: 1", "revision: 3"), encoding="utf-8")
    with pytest.raises(PlanInvalid, match="no revision 2 of small, of which the newest is 3") as refused:
        load_plan("small", 2)
    assert refused.value.code == "plan.unknown-revision"


def test_an_earlier_revision_that_is_wrong_is_refused_with_its_own_file_and_line(folder: Path) -> None:
    (folder / "small.yaml").write_text(changed("revision: 1", "revision: 2"), encoding="utf-8")
    (folder / "small.r1.yaml").write_text(changed("- n: 2", "- n: 1"), encoding="utf-8")
    with pytest.raises(PlanInvalid, match=r"^small\.r1\.yaml:15: step 1 stands there twice"):
        load_plan("small", 1)
    (folder / "small.r1.yaml").write_text(changed("revision: 1", "revision: 7"), encoding="utf-8")
    with pytest.raises(PlanInvalid, match=r"^small\.r1\.yaml:1: this is revision 7"):
        load_plan("small", 1)


def test_a_released_revision_is_never_changed_again() -> None:
    """If this fails, a released plan was edited. Copy what was released to `<name>.r<N>.yaml` and raise the revision in `<name>.yaml`."""
    for name, revisions in plans.released().items():
        newest = load_plan(name).revision
        for revision, digest in revisions.items():
            text = plans.text(name, None if int(revision) == newest else int(revision))
            assert sha256(text.encode()).hexdigest() == digest, f"{name}, revision {revision}"


def test_every_revision_that_a_school_can_adopt_is_released() -> None:
    carried = {name: {*plans.earlier_revisions(name), load_plan(name).revision} for name in plans.names()}
    assert {name: {int(revision) for revision in revisions} for name, revisions in plans.released().items()} == carried


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        (
            "deadline: {kind: merged_with, step: 1}",
            "deadline: {kind: recurring, every: week}",
            22,
            "measured by one of attested, data-checked",
        ),
        ("measure: school-order", "measure: lists-filled", 22, "add `required_lists`"),
        ("measure: school-order", "measure: data-checked", 20, "give it a recurring deadline"),
        ("deadline: {kind: wd_after_anchor, n: 1}", "deadline: {kind: wd_after_own_receipt, n: 1}", 12, "only accounts-activated counts"),
        ("date: 2020-01-01", "date: 2020-13-08", 4, "month must be in 1..12"),
    ],
)
def test_what_could_not_be_measured_or_read_is_refused_with_its_line(old: str, new: str, line: int, text: str) -> None:
    refused = refusal(changed(old, new))
    assert refused.code == "plan.malformed"
    assert str(refused).startswith(f"small.yaml:{line}: ")
    assert text in str(refused)
