"""`vekha links`: links made for people by class or one by one, clear refusals, taken back, and mail that came back."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vekha.testing import Vekha

LAW = {"code": "law", "reference": "273-FZ"}


class School:
    """A school with class 5 «А", in it Мария, who has no address, and her mother, who has one; and a director with one."""

    def __init__(self, ask: Vekha, school: str) -> None:
        self.ask = ask
        self.id = school
        self.class_id = self.call("roster.declare-class", grade=5, letter="А", academic_year="2015/2016")["class_id"]
        pupil = {"last_name": "Ёлкина", "first_name": "Мария"}
        enrolling = {"details": pupil, "class_id": self.class_id, "legal_basis": LAW, "enrolled_on": "2015-08-17"}
        self.pupil = self.call("roster.enrol-pupil", **enrolling)["person"]
        mother = {"last_name": "Ёлкина", "first_name": "Жанна", "email": "mother@example.org"}
        self.mother = self.call("roster.link-guardian", pupil=self.pupil, details=mother, relation="mother", legal_basis=LAW)["person"]
        self.call("roster.create-class", class_id=self.class_id)
        self.call("roster.assign-pupil", pupil=self.pupil, class_id=self.class_id)
        director = {"last_name": "Эрн", "first_name": "Хельга", "email": "director@example.org"}
        self.director = self.call("roster.hire-staff", details=director, position="director", hired_on="2010-09-01")["person"]

    def call(self, name: str, **body: Any) -> Any:
        outcome = self.ask("call", name, json.dumps({"school": self.id, **body}))
        assert outcome.code == 0, outcome
        return outcome.json["reply"]

    def links(self, verb: str, *arguments: str) -> Any:
        return self.ask("links", verb, "--school", self.id, *arguments)

    def message_to(self, person: str) -> str:
        """The newest message with a link to somebody, as soon as it is queued; in vain this is ended from outside."""
        while True:
            for row in self.call("notifier.outbox")["messages"]:
                if row["recipient"] == person and row["template"] == "activation-link":
                    return row["message"]
            time.sleep(0.05)


@pytest.fixture
def school(ask: Vekha, open_school: Callable[[str], str]) -> School:
    return School(ask, open_school(f"links-{secrets.token_hex(4)}"))


def test_a_class_gets_its_links_and_who_has_no_address_is_named_with_the_reason(school: School) -> None:
    done = school.links("send", "--class", school.class_id, "--as", f"class_teacher:{school.class_id}")
    assert (done.code, done.json["prepared"], done.json["refused"]) == (0, [school.mother], {school.pupil: "person.no-address"})
    assert done.json["expires_on"] == "2015-09-16"
    again = school.links("send", "--class", school.class_id)
    assert (again.code, set(again.json["refused"].values())) == (1, {"person.no-address", "credentials.already-issued"})
    assert "What was lost on the way is replaced with --reissue." in again.err


def test_everybody_the_staff_or_single_people_are_sent_links(school: School) -> None:
    assert school.links("send", "--staff").json["prepared"] == [school.director]
    assert school.links("send").json["prepared"] == [school.mother]
    assert school.links("send", "--person", school.director, "--person", school.mother, "--reissue").json["prepared"] == [
        school.director,
        school.mother,
    ]


def test_people_read_what_became_of_it_and_what_to_do_next(school: School, vekha: Vekha, instance: Any) -> None:
    told = vekha("links", "send", "--school", school.id, "--class", school.class_id, "--data", instance.data)
    assert f"person.no-address: 1: {school.pupil}" in told.out
    assert "1 to be mailed, 1 refused." in told.out
    assert "print a slip" in told.err


def test_two_ways_to_say_whom_are_a_fault_of_the_command_line(school: School) -> None:
    assert school.links("send", "--staff", "--class", school.class_id).code == 2


def test_what_was_not_used_is_taken_back(school: School) -> None:
    school.links("send", "--person", school.mother)
    done = school.links("revoke", "--person", school.mother, "--person", school.pupil, "--reason", "exposed")
    assert (done.code, done.json["revoked"], done.json["refused"]) == (1, 1, {school.pupil: "credentials.not-issued"})
    again = school.links("revoke", "--person", school.mother, "--reason", "exposed")
    assert (again.code, again.json["revoked"], again.json["already"], again.json["refused"]) == (0, 0, [school.mother], {})
    assert school.call("identity.account", person=school.mother)["state"] == "provisioned"


def test_a_report_of_mail_that_came_back_takes_the_link_back(school: School, tmp_path: Path) -> None:
    school.links("send", "--person", school.mother)
    message = school.message_to(school.mother)
    file = tmp_path / "report.eml"
    file.write_text(
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
        "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\nAction: failed\nStatus: 5.1.1\n\n"
        f"--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <{message}@example.org>\n\n--b--\n",
        encoding="utf-8",
    )
    done = school.ask("links", "returned", file)
    assert (done.code, done.json) == (0, {"message": message, "status": 550, "school": school.id, "recipient": school.mother})
    nothing = tmp_path / "nothing.eml"
    nothing.write_text("Subject: I am away\n\n", encoding="utf-8")
    assert (done := school.ask("links", "returned", nothing)).code == 3
    assert done.json["error"]["code"] == "report.unreadable"
