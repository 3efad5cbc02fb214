"""`vekha consent`: forms and receipts written into new files for their owner's eyes, and the decisions on somebody."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from consent import templates
from contracts.receipt import ConsentRecord
from vekha.testing import Vekha


class School:
    """A school with a director, and a class of 16 pupils of whom one is entered on a consent, with her mother."""

    def __init__(self, ask: Vekha, school: str) -> None:
        self.ask = ask
        self.id = school
        director = {"last_name": "Эрн", "first_name": "Хельга"}
        self.director = self.call("roster.hire-staff", details=director, position="director", hired_on="2010-09-01")["person"]
        self.class_id = self.call("roster.declare-class", grade=5, letter="А", academic_year="2015/2016")["class_id"]
        self.call("roster.declare-headcount", class_id=self.class_id, pupils=16)
        seat = {"class_id": self.class_id, "number": 1, "holder": "pupil"}
        decided = self.call("consent.record-decision", decision={"granted": True, "subject_kind": "pupil", "seat": seat})
        self.consent = decided["consent_id"]
        pupil = {"last_name": "Ёлкина", "first_name": "Мария"}
        enrolling = {"details": pupil, "class_id": self.class_id, "consent_id": self.consent, "enrolled_on": "2015-08-17"}
        self.pupil = self.call("roster.enrol-pupil", **enrolling)["person"]
        mother = {"last_name": "Ёлкина", "first_name": "Жанна"}
        basis = {"code": "law", "reference": "273-FZ"}
        self.mother = self.call("roster.link-guardian", pupil=self.pupil, details=mother, relation="mother", legal_basis=basis)["person"]

    def call(self, name: str, **body: Any) -> Any:
        outcome = self.ask("call", name, json.dumps({"school": self.id, **body}))
        assert outcome.code == 0, outcome
        return outcome.json["reply"]

    def consents(self, verb: str, *arguments: str | Path) -> Any:
        return self.ask("consent", verb, "--school", self.id, *arguments)


@pytest.fixture
def school(ask: Vekha, open_school: Callable[[str], str]) -> School:
    return School(ask, open_school(f"consents-{secrets.token_hex(4)}"))


def text_of(file: Path) -> str:
    opened: Any = PdfReader(file)
    return " ".join(word for page in opened.pages for word in page.extract_text().replace("\xa0", " ").split())


def test_the_forms_of_a_class_go_into_as_many_files_as_it_takes(school: School, tmp_path: Path) -> None:
    file = tmp_path / "5a.pdf"
    done = school.consents("forms", "--class", school.class_id, "--out", file, "--as", f"class_teacher:{school.class_id}")
    second = tmp_path / "5a-2.pdf"
    assert (done.code, done.json) == (0, {"files": [str(file), str(second)], "forms": 32})
    assert "Класс 5 «А», № 1 по списку, ученик" in text_of(file)
    assert "Класс 5 «А», № 16 по списку" in text_of(second)
    assert "Ёлкин" not in text_of(file)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {"5a.pdf": 0o600, "5a-2.pdf": 0o600}


def test_the_forms_of_the_staff_hold_their_names(school: School, tmp_path: Path) -> None:
    done = school.consents("forms", "--staff", "--out", tmp_path / "staff.pdf", "--as", f"administrator:{school.id}")
    assert (done.code, done.json["forms"]) == (0, 1)
    assert "Эрн Хельга" in text_of(tmp_path / "staff.pdf")


def test_a_mother_gets_the_receipt_of_her_child_whose_digest_is_that_of_the_signed_text(school: School, tmp_path: Path) -> None:
    file = tmp_path / "receipt.pdf"
    done = school.consents("receipt", "--person", school.pupil, "--out", file, "--as", f"guardian:{school.mother}")
    assert (done.code, done.json["file"]) == (0, str(file))
    record = ConsentRecord.model_validate(done.json["receipt"])
    assert record.header.record_id == school.consent
    assert record.processing is not None
    notice = record.processing.privacy_notice
    assert notice.sha256 == hashlib.sha256(templates.content(notice.template, notice.version)).hexdigest()
    assert "Ёлкина Мария" in text_of(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert "Ёлкин" not in done.out + done.err
    assert (
        school.consents("receipt", "--person", school.director, "--as", f"guardian:{school.mother}").error["code"] == "access.other-person"
    )


def test_no_file_is_overwritten_and_none_is_left_of_what_was_refused(school: School, tmp_path: Path) -> None:
    there = tmp_path / "there.pdf"
    there.write_text("something else")
    assert school.consents("forms", "--staff", "--out", there).error["code"] == "file.exists"
    assert school.consents("receipt", "--consent", school.consent, "--out", there).error["code"] == "file.exists"
    assert school.consents("forms", "--staff", "--out", tmp_path / "nowhere" / "new.pdf").error["code"] == "file.unwritable"
    assert school.consents("forms", "--class", "c-none", "--out", tmp_path / "none.pdf").error["code"] == "class.unknown"
    assert [path.name for path in tmp_path.iterdir()] == ["there.pdf"]
    assert there.read_text() == "something else"


def test_the_decisions_on_somebody_are_listed(school: School) -> None:
    [one] = school.consents("status", "--person", school.pupil).json["consents"]
    assert (one["consent_id"], one["state"], one["decided_on"]) == (school.consent, "granted", "2015-08-17")


def test_two_choices_at_once_or_none_are_faults_of_the_command_line(school: School, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "a.pdf")
    assert school.consents("forms", *out).code == 2
    assert school.consents("forms", "--class", school.class_id, "--staff", *out).code == 2
    assert school.consents("receipt").code == 2
    assert school.consents("receipt", "--consent", school.consent, "--person", school.pupil).code == 2


def test_the_status_of_nobody_is_refused_and_that_of_whoever_has_decided_nothing_says_so(school: School) -> None:
    unknown = school.consents("status", "--person", "p-00000000000000000000")
    assert (unknown.code, unknown.error["code"]) == (1, "person.unknown")
    assert school.consents("status", "--person", school.mother).json["consents"] == []
    assert [one["state"] for one in school.consents("status", "--person", school.pupil).json["consents"]] == ["granted"]
