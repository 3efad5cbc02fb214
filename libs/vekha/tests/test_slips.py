"""`vekha slips`: codes printed into new files for their owner's eyes, read from the paper, and used."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from contracts.identity import PRINT_SLIPS
from vekha.client import Client
from vekha.testing import Vekha

_CREDENTIALS = re.compile(r"Логин (\d{10}) Временный пароль (\S{4}-\S{4}-\S{4})")
LAW = {"code": "law", "reference": "273-FZ"}


class School:
    """A school with class 5 «А», in it Мария and her mother, class 5 «Б» with nobody in it, and a director."""

    def __init__(self, ask: Vekha, school: str) -> None:
        self.ask = ask
        self.id = school
        self.class_id, self.other_class = (self._class(letter) for letter in "АБ")
        self.pupil = self.call(
            "roster.enrol-pupil",
            details={"last_name": "Ёлкина", "first_name": "Мария"},
            class_id=self.class_id,
            legal_basis=LAW,
            enrolled_on="2015-08-17",
        )["person"]
        mother = {"last_name": "Ёлкина", "first_name": "Жанна", "patronymic": "Юрьевна"}
        self.mother = self.call("roster.link-guardian", pupil=self.pupil, details=mother, relation="mother", legal_basis=LAW)["person"]
        self.call("roster.create-class", class_id=self.class_id)
        self.call("roster.assign-pupil", pupil=self.pupil, class_id=self.class_id)
        director = {"last_name": "Эрн", "first_name": "Хельга"}
        self.director = self.call("roster.hire-staff", details=director, position="director", hired_on="2010-09-01")["person"]

    def call(self, name: str, **body: Any) -> Any:
        outcome = self.ask("call", name, json.dumps({"school": self.id, **body}))
        assert outcome.code == 0, outcome
        return outcome.json["reply"]

    def slips(self, *arguments: str | Path) -> Any:
        return self.ask("slips", "--school", self.id, *arguments)

    def _class(self, letter: str) -> str:
        return self.call("roster.declare-class", grade=5, letter=letter, academic_year="2015/2016")["class_id"]


@pytest.fixture
def school(ask: Vekha, open_school: Callable[[str], str]) -> School:
    return School(ask, open_school(f"slips-{secrets.token_hex(4)}"))


def credentials(file: Path) -> list[tuple[str, str]]:
    opened: Any = PdfReader(file)
    return [found for page in opened.pages for found in _CREDENTIALS.findall(" ".join(page.extract_text().split()))]


def test_a_class_is_printed_into_a_file_for_its_owners_eyes_and_its_codes_activate_the_accounts(school: School, tmp_path: Path) -> None:
    file = tmp_path / "5a.pdf"
    done = school.slips("--class", school.class_id, "--out", file, "--as", f"administrator:{school.id}")
    assert (done.code, done.json["printed"], done.json["refused"], done.json["files"]) == (0, 2, {}, [str(file)])
    assert file.stat().st_mode & 0o777 == 0o600
    assert "Print it, then delete it." in done.err
    school.call("identity.hand-over", people=[school.pupil, school.mother])
    pupils, mothers = credentials(file)
    for (login, code), person in ((pupils, school.pupil), (mothers, school.mother)):
        body = json.dumps({"login": login, "code": code})
        assert school.ask("call", "identity.activate", body).json["reply"]["person"] == person
        assert code not in done.out
        assert code not in done.err


def test_everybody_is_printed_into_a_folder_with_a_file_for_each_class_and_for_the_staff(school: School, tmp_path: Path) -> None:
    folder = tmp_path / "slips"
    done = school.slips("--out", folder)
    assert (done.code, done.json["printed"]) == (0, 3)
    assert {path.name: len(credentials(path)) for path in folder.iterdir()} == {"staff.pdf": 1, "2015-2016-5А.pdf": 2}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert school.slips("--out", folder).error["code"] == "file.exists"


def test_codes_that_are_out_are_replaced_only_on_demand_and_no_empty_file_is_left(school: School, tmp_path: Path) -> None:
    assert school.slips("--staff", "--out", tmp_path / "first.pdf").code == 0
    again = school.slips("--staff", "--out", tmp_path / "again.pdf")
    assert (again.code, again.json["refused"]) == (1, {school.director: "credentials.already-issued"})
    assert not (tmp_path / "again.pdf").exists()
    assert school.slips("--staff", "--reissue", "--out", tmp_path / "again.pdf").code == 0
    assert credentials(tmp_path / "first.pdf") != credentials(tmp_path / "again.pdf")


def test_single_people_get_slips_of_their_own(school: School, tmp_path: Path) -> None:
    done = school.slips("--person", school.director, "--person", school.mother, "--out", tmp_path / "two.pdf")
    assert (done.code, done.json["printed"], len(credentials(tmp_path / "two.pdf"))) == (0, 2, 2)
    lost = school.slips("--person", school.mother, "--out", tmp_path / "lost.pdf")
    assert (lost.code, lost.json["refused"]) == (1, {school.mother: "credentials.already-issued"})
    assert "What was lost is replaced with --reissue." in lost.err
    assert school.slips("--person", school.mother, "--reissue", "--out", tmp_path / "lost.pdf").code == 0
    assert school.slips("--person", school.mother, "--staff", "--out", tmp_path / "none.pdf").code == 2


def test_the_codes_of_many_are_replaced_under_a_proposal_that_somebody_else_has_confirmed(school: School, tmp_path: Path) -> None:
    for number in range(6):
        name = {"last_name": f"Учитель-{number}", "first_name": "Имя"}
        school.call("roster.hire-staff", details=name, position="director", hired_on="2010-09-01")
    assert school.slips("--out", tmp_path / "first").json["printed"] == 9
    alone = school.slips("--staff", "--reissue", "--out", tmp_path / "again.pdf")
    assert (alone.code, alone.error["code"]) == (1, "reissue.needs-second")
    assert "vekha reissue propose" in alone.error["hint"]
    at = ("--school", school.id)
    proposed = school.ask("reissue", "propose", *at, "--staff")
    assert (proposed.code, proposed.json["people"], proposed.json["expires_on"]) == (0, 7, "2015-08-24")
    proposal = proposed.json["proposal"]
    assert school.ask("reissue", "confirm", proposal, *at).error["code"] == "reissue.same-person"
    assert school.ask("reissue", "confirm", proposal, *at, "--as", f"director:{school.id}").code == 0
    assert school.slips("--proposal", proposal, "--out", tmp_path / "again").code == 2
    one = school.slips("--person", school.director, "--reissue", "--proposal", proposal, "--out", tmp_path / "one.pdf")
    assert (one.code, one.json["printed"]) == (0, 1)
    shown = school.ask("reissue", "show", proposal, *at).json
    assert (len(shown["people"]), len(shown["left"]), shown["confirmed_by"]) == (7, 6, f"director:{school.id}")
    done = school.slips("--reissue", "--proposal", proposal, "--out", tmp_path / "again")
    assert (done.code, done.json["printed"], done.json["refused"]) == (0, 6, {})
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["staff.pdf"]
    used_up = school.slips("--reissue", "--proposal", proposal, "--out", tmp_path / "more")
    assert (used_up.code, used_up.error["code"], (tmp_path / "more").exists()) == (1, "reissue.carried-out", False)


def test_a_printing_that_is_stopped_leaves_no_empty_folder_and_says_what_to_do(
    school: School, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stopped(self: Client, call: Any, request: Any, **more: Any) -> Any:
        if call is PRINT_SLIPS:
            assert (tmp_path / "slips").is_dir()
            raise KeyboardInterrupt
        return await asked(self, call, request, **more)

    asked = Client.ask
    monkeypatch.setattr(Client, "ask", stopped)
    ended = school.slips("--out", tmp_path / "slips")
    assert (ended.code, list(tmp_path.iterdir())) == (130, [])
    assert "print those who are left with --reissue" in ended.err


def test_a_folder_into_which_nothing_was_printed_can_be_named_again(school: School, tmp_path: Path) -> None:
    folder = tmp_path / "slips"
    assert school.slips("--out", tmp_path / "first").code == 0
    nothing = school.slips("--out", folder)
    assert (nothing.code, nothing.json["printed"], folder.exists()) == (1, 0, False)
    assert school.slips("--reissue", "--out", folder).code == 0


def test_a_class_that_is_no_id_is_a_fault_of_the_command_line(school: School, tmp_path: Path) -> None:
    assert school.slips("--class", "Класс", "--out", tmp_path / "class.pdf").code == 2


def test_no_file_is_overwritten_and_no_code_is_made_that_could_not_be_written(school: School, tmp_path: Path) -> None:
    (tmp_path / "there.pdf").write_text("codes that are nowhere else")
    assert school.slips("--staff", "--out", tmp_path / "there.pdf").error["code"] == "file.exists"
    assert school.slips("--staff", "--out", tmp_path / "nowhere" / "new.pdf").error["code"] == "file.unwritable"
    assert (tmp_path / "there.pdf").read_text() == "codes that are nowhere else"
    assert school.call("identity.account", person=school.director)["state"] == "none"


def test_a_class_teacher_prints_the_own_class_and_neither_another_one_nor_the_staff(school: School, tmp_path: Path) -> None:
    teacher = ("--as", f"class_teacher:{school.class_id}")
    other = ("--as", f"class_teacher:{school.other_class}")
    for arguments in (("--class", school.class_id, *other), ("--staff", *teacher), teacher):
        assert school.slips(*arguments, "--out", tmp_path / "slips.pdf").error["code"] == "access.other-class"
    body = json.dumps({"school": school.id, "people": [school.pupil, school.director]})
    reply = school.ask("call", "identity.print-slips", body, *other).json["reply"]
    assert reply["refused"] == {school.pupil: "access.other-class", school.director: "access.other-class"}
    assert list(tmp_path.glob("*.pdf")) == []
    done = school.slips("--class", school.class_id, *teacher, "--out", tmp_path / "5a.pdf")
    assert (done.code, len(credentials(tmp_path / "5a.pdf"))) == (0, 2)


def test_unknown_classes_and_two_choices_at_once_are_refused(school: School, tmp_path: Path) -> None:
    assert school.slips("--class", "c-none", "--out", tmp_path / "a.pdf").error["code"] == "class.not-declared"
    assert school.slips("--class", school.class_id, "--staff", "--out", tmp_path / "a.pdf").code == 2


def test_a_class_is_handed_its_codes_but_for_who_was_absent_and_the_record_says_who_gave_and_who_took(
    school: School, tmp_path: Path
) -> None:
    at = ("--school", school.id)
    assert school.slips("--class", school.class_id, "--out", tmp_path / "5a.pdf").code == 0
    giver = f"class_teacher:{school.class_id}"
    took = ("--except", school.mother, "--receiver", f"{school.pupil}={school.mother}")
    first = school.ask("handover", *at, "--class", school.class_id, *took)
    assert (first.code, first.json["handed_over"], first.json["refused"]) == (0, 1, {})
    rest = school.ask("handover", *at, "--class", school.class_id, "--as", giver)
    assert (rest.code, rest.json["handed_over"], rest.json["refused"]) == (0, 1, {school.pupil: "credentials.already-handed-over"})
    events = school.ask("events", "--service", "identity", *at, "--type", "credentials-handed-over").lines
    told = [(one["data"]["person"], one["data"]["receiver"], one["data"]["channel"], one["actor"]) for one in events]
    assert told == [(school.pupil, school.mother, "paper", "operator"), (school.mother, school.mother, "paper", giver)]


def test_who_has_no_code_or_is_a_stranger_is_told_of_and_nobody_is_handed_over_unnamed(school: School) -> None:
    at = ("--school", school.id)
    none = school.ask("handover", *at, "--staff")
    assert (none.code, none.json["refused"]) == (1, {school.director: "credentials.not-issued"})
    assert "vekha slips" in none.err
    assert school.ask("handover", *at).code == 2
    assert school.ask("handover", *at, "--staff", "--except", school.pupil).code == 2
    assert school.ask("handover", *at, "--person", school.pupil, "--receiver", "Анна=Жанна").code == 2


def test_a_pupil_without_a_guardian_gets_no_slip_and_what_to_do_is_told(school: School, tmp_path: Path) -> None:
    pupil = {"last_name": "Ёлкин", "first_name": "Глеб"}
    basis = {"code": "law", "reference": "273-FZ"}
    alone = school.call("roster.enrol-pupil", details=pupil, class_id=school.class_id, legal_basis=basis, enrolled_on="2015-08-17")[
        "person"
    ]
    told = school.slips("--person", alone, "--out", tmp_path / "alone.pdf")
    assert (told.code, told.json["refused"]) == (1, {alone: "person.not-entered"})
    assert "roster.record-no-guardian" in told.err
