"""`vekha import --overrule`, `--full-list` and `--missing`: a file that wins over the hand, and a list that is whole."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from vekha.testing import Up, Vekha

CLASSES = "Параллель;Литера;Учебный год;Заявлено учеников\n1;А;2015/2016;25\n"
PUPILS = "ID;Фамилия;Имя;Дата рождения;Класс;Дата зачисления;E-mail;Согласие №;Дата согласия\n"
STAFF = "Табельный №;Фамилия;Имя;Должность;Роль;Дата приёма\n"
BY_HAND = "by-hand@example.org"


@pytest.fixture
def school(open_school: Callable[[str], str]) -> str:
    return open_school(f"options-{secrets.token_hex(4)}")


@pytest.fixture
def file(tmp_path: Path) -> Callable[[Sequence[int]], Path]:
    """Writes a list of pupils: those of these numbers."""

    def write(numbers: Sequence[int]) -> Path:
        row = "У-{0};Ёлкин;Пётр{1};17.05.2008;1А;01.09.2015;pupil-{0}@example.org;С-{0};14.08.2015\n"
        path = tmp_path / "pupils.csv"
        path.write_text(PUPILS + "".join(row.format(number, "а" * number) for number in numbers))
        return path

    return write


@pytest.fixture
def entered(ask: Vekha, school: str, tmp_path: Path, file: Callable[[Sequence[int]], Path]) -> list[str]:
    """Enters a class of 21 pupils and one member of staff; answers the pupils."""
    (tmp_path / "classes.csv").write_text(CLASSES)
    (tmp_path / "staff.csv").write_text(f"{STAFF}1;Ёлкина;Анна;директор;директор;01.09.2010\n")
    for path in (tmp_path / "classes.csv", tmp_path / "staff.csv", file(range(1, 22))):
        assert ask("import", path, "--school", school).code == 0
    return people(ask, school, "pupil")


def people(ask: Vekha, school: str, kind: str) -> list[str]:
    return ask("call", "roster.people", json.dumps({"school": school, "kind": kind})).json["reply"]["people"]


def mail_of(ask: Vekha, school: str, person: str) -> str:
    return ask("call", "roster.person", json.dumps({"school": school, "person": person})).json["reply"]["details"]["email"]


def recorded(ask: Vekha, school: str, kind: str) -> int:
    return len(ask("events", "--school", school, "--type", kind).lines)


def change_mail_by_hand(ask: Vekha, school: str) -> str:
    """Says another address of the pupil У-1 than the file does; answers the pupil."""
    classes = ask("call", "roster.classes", json.dumps({"school": school})).json["reply"]["classes"]
    body = {
        "school": school,
        "details": {"last_name": "Ёлкин", "first_name": "Пётра", "birth_date": "2008-05-17", "email": BY_HAND},
        "class_id": classes[0]["class_id"],
        "enrolled_on": "2015-09-01",
        "external_id": "У-1",
        "legal_basis": {"code": "law", "reference": "273-FZ"},
    }
    return ask("call", "roster.enrol-pupil", json.dumps(body)).json["reply"]["person"]


def test_what_was_changed_by_hand_stays_until_a_file_overrules_it_and_then_nothing_is_left_to_change(
    ask: Vekha, school: str, entered: list[str], file: Callable[[Sequence[int]], Path]
) -> None:
    pupil = change_mail_by_hand(ask, school)
    assert pupil in entered
    kept = ask("import", file(range(1, 22)), "--school", school)
    assert (kept.code, kept.json["unchanged"], kept.json["conflict"]) == (0, 21, 1)
    assert "row 2, column E-mail: was changed by hand, and stays: to have the file's, import it with --overrule" in kept.err
    assert mail_of(ask, school, pupil) == BY_HAND
    preview = ask("import", file(range(1, 22)), "--school", school, "--overrule", "--dry-run")
    assert (preview.json["updated"], preview.json["conflict"], mail_of(ask, school, pupil)) == (1, 0, BY_HAND)
    done = ask("import", file(range(1, 22)), "--school", school, "--overrule")
    assert (done.code, done.json["updated"], done.json["conflict"]) == (0, 1, 0)
    assert mail_of(ask, school, pupil) == "pupil-1@example.org"
    changes = recorded(ask, school, "person-details-changed")
    for more in (("--overrule",), ()):
        again = ask("import", file(range(1, 22)), "--school", school, *more)
        assert (again.code, again.json["unchanged"], again.json["conflict"]) == (0, 21, 0)
    assert recorded(ask, school, "person-details-changed") == changes


def test_who_is_missing_from_a_full_list_leaves_once_however_often_it_is_imported(
    ask: Vekha, school: str, entered: list[str], file: Callable[[Sequence[int]], Path]
) -> None:
    assert ask("import", file(range(2, 22)), "--school", school).json["leaving"] == 0
    preview = ask("import", file(range(2, 22)), "--school", school, "--full-list", "--dry-run")
    assert (preview.code, preview.json["leaving"], people(ask, school, "pupil")) == (0, 1, entered)
    done = ask("import", file(range(2, 22)), "--school", school, "--full-list")
    (gone,) = set(entered) - set(people(ask, school, "pupil"))
    assert (done.code, done.json["leaving"], done.json["unchanged"]) == (0, 1, 20)
    assert f"{gone} is missing from the list, and leaves (row.missing)" in done.json["warnings"]
    assert len(people(ask, school, "staff")) == 1  # of whom the list says nothing
    again = ask("import", file(range(2, 22)), "--school", school, "--full-list")
    assert (again.code, again.json["leaving"], again.json["unchanged"]) == (0, 0, 20)
    assert recorded(ask, school, "pupil-left") == 1


def test_more_than_one_in_twenty_leave_only_with_their_number_and_with_no_other(
    ask: Vekha, school: str, entered: list[str], file: Callable[[Sequence[int]], Path]
) -> None:
    shorter = file(range(3, 22))
    for more in ((), ("--dry-run",)):
        refused = ask("import", shorter, "--school", school, "--full-list", *more)
        assert (refused.code, refused.error["code"]) == (1, "list.too-many-missing")
        assert "2 of 21 pupils" in refused.error["text"]
        assert "--missing 2" in refused.error["text"]
    for number in ("0", "1", "21"):
        refused = ask("import", shorter, "--school", school, "--full-list", "--missing", number)
        assert (refused.code, refused.error["code"]) == (1, "list.other-missing")
    assert people(ask, school, "pupil") == entered
    done = ask("import", shorter, "--school", school, "--full-list", "--missing", "2")
    assert (done.code, done.json["leaving"], len(people(ask, school, "pupil"))) == (0, 2, 19)
    repeated = ask("import", shorter, "--school", school, "--full-list", "--missing", "2")
    assert (repeated.code, repeated.json["leaving"], repeated.json["unchanged"]) == (0, 0, 19)
    assert (recorded(ask, school, "pupil-left"), len(people(ask, school, "pupil"))) == (2, 19)


def test_a_number_without_a_full_list_a_list_that_is_not_whole_and_one_of_neither_are_refused(
    ask: Vekha, school: str, entered: list[str], file: Callable[[Sequence[int]], Path], tmp_path: Path
) -> None:
    path = file(range(2, 22))
    assert ask("import", path, "--school", school, "--missing", "1").code == 2
    assert ask("import", path, "--school", school, "--full-list", "--missing", "-1").code == 2
    path.write_text(path.read_text().replace("17.05.2008", "когда-то", 1))
    for whole in (path, tmp_path / "classes.csv"):
        refused = ask("import", whole, "--school", school, "--full-list")
        assert (refused.code, refused.error["code"]) == (1, "list.not-whole")
        assert "--full-list" in refused.error["text"]
    assert people(ask, school, "pupil") == entered


def test_a_teacher_neither_overrules_nor_declares_a_list_whole(
    ask: Vekha, school: str, entered: list[str], file: Callable[[Sequence[int]], Path]
) -> None:
    (teacher,) = people(ask, school, "staff")
    for more in ("--overrule", "--full-list"):
        refused = ask("import", file(range(2, 22)), "--school", school, more, "--as", f"staff:{teacher}")
        assert (refused.code, refused.error["code"]) == (1, "access.role")
    assert people(ask, school, "pupil") == entered


def test_what_people_read_of_a_full_list_says_who_leaves(
    vekha: Vekha, instance: Up, school: str, entered: list[str], file: Callable[[Sequence[int]], Path]
) -> None:
    done = vekha("import", file(range(2, 22)), "--school", school, "--full-list", "--dry-run", "--data", instance.data)
    assert done.code == 0
    assert done.out == "Nothing was entered. It would be: 0 created, 0 updated, 20 unchanged, 0 to review, 0 rejected, 1 leaving.\n"
    assert len(entered) == 21
