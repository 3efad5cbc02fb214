"""`vekha call` and the exit codes of everything that can be wrong with a call."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nats.errors
import pytest
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from contracts.call import CALLS
from vekha.client import Client
from vekha.testing import Outcome, Up, Vekha, run_binary, running

Ask = Callable[..., Outcome]


def test_a_call_answers_with_reply_positions_and_command_id(ask: Vekha) -> None:
    body = '{"school": "calling-1", "name": "Школа", "municipality": "m-1"}'
    answer = ask("call", "roster.open-school", body, "--command-id", "calling.1")
    assert answer.code == 0
    position = answer.json["at"]["roster"]
    assert answer.json == {"reply": {"school": "calling-1"}, "at": {"roster": position}, "command_id": "calling.1"}
    assert ask("call", "roster.open-school", body, "--command-id", "calling.1").json == answer.json
    read = ask("call", "roster.school", '{"school": "calling-1"}').json["at"]
    assert read["roster"] >= position  # to be passed on as `after`, although it was read from the service's own tables
    other = ask("call", "roster.open-school", body.replace("calling-1", "calling-2"), "--command-id", "calling.1")
    assert (other.code, other.error["code"], other.error["command_id"]) == (1, "command.reused", "calling.1")


def test_the_body_may_come_through_a_pipe_and_the_program_prints_for_people_too(instance: Up, open_school: Callable[[str], str]) -> None:
    school = open_school("calling-3")
    piped = run_binary("call", "roster.school", "-", "--data", instance.data, stdin=json.dumps({"school": school}))
    assert piped.code == 0
    assert json.loads(piped.out)["name"] == "Школа № 7"
    assert piped.err.startswith("at ")
    assert "roster " in piped.err


def test_a_secret_that_is_typed_into_the_command_line_is_told_of_and_one_that_is_piped_is_not(instance: Up) -> None:
    body = json.dumps({"login": "1234567890", "code": "DFGJ-LNRV-W234", "password": "пять слов и число 7"})
    typed = run_binary("call", "identity.activate", body, "--data", instance.data)
    piped = run_binary("call", "identity.activate", "-", "--data", instance.data, stdin=body)
    told = "The command line shows code, password to everybody on this machine"
    assert (told in typed.err, told in piped.err) == (True, False)
    for outcome in (typed, piped):
        assert (outcome.code, "activation.wrong" in outcome.err) == (1, True)
        assert "DFGJ" not in outcome.err + outcome.out


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (["call", "roster.school", '{"school": "nowhere"}'], 1, "school.unknown"),
        (["call", "roster.school", '{"school": "nowhere"}', "--as", "director:nowhere"], 1, "school.unknown"),
        (["call", "roster.school", '{"school": "nowhere"}', "--as", "headmaster:nowhere"], 1, "role.unknown"),
        (["call", "roster.school", '{"school": "nowhere"}', "--as", "Завуч"], 1, "role.unknown"),
        (["call", "roster.hire-staff", "{}", "--as", "ministry"], 1, "access.role"),
        (["call", "roster.school", '{"school": '], 3, "body.malformed"),
        (["call", "roster.school", '["school"]'], 3, "body.malformed"),
        (["call", "roster.school", '{"school": "nowhere", "extra": 1}'], 3, "body.invalid"),
        (["call", "roster.school"], 3, "body.invalid"),
        (["call", "roster.close-universe"], 2, "call.unknown"),
        (["call"], 2, "usage.invalid"),
        (["call", "roster.school", "{}", "--command-id", "Анна"], 2, "usage.invalid"),
        (["calls"], 2, "usage.invalid"),
        (["audit", "export"], 2, "usage.invalid"),
        (["clock", "advance"], 2, "usage.invalid"),
        (["clock", "set", "Monday"], 2, "usage.invalid"),
        (["call", "instance.set-clock", '{"to": "Monday"}'], 1, "clock.unreadable"),
        (["plan", "status", "--school", "nowhere"], 1, "school.unknown"),
        (["plan", "status", "--as-of", "2015-02-30"], 2, "usage.invalid"),
        (["plan", "explain", "--school", "nowhere", "--step", "4"], 1, "school.unknown"),
        (["plan", "adopt", "--school", "nowhere", "--start", "2015-08-17"], 1, "school.unknown"),
        (["doctor", "--repair"], 1, "repair.running"),
        (["doctor", "--rebuild-stream", "plan"], 1, "repair.running"),
        (["doctor", "--accept", "1"], 2, "usage.invalid"),
    ],
)
def test_what_cannot_be_done_ends_with_its_exit_code_and_says_why(ask: Vekha, arguments: list[str], exit_code: int, code: str) -> None:
    ended = ask(*arguments)
    assert (ended.code, ended.error["code"]) == (exit_code, code)
    assert set(ended.error) == {"code", "text", "hint", "command_id", "incident"}
    assert ended.err.startswith(f"{code}: ")


def test_a_role_acts_in_its_own_school_alone_and_the_event_names_both_actors(ask: Vekha, open_school: Callable[[str], str]) -> None:
    school, other = open_school("calling-5"), open_school("calling-6")
    body = {"school": school, "grade": 1, "letter": "А", "academic_year": "2015/2016"}
    assert ask("call", "roster.declare-class", json.dumps(body), "--as", f"director:{school}").code == 0
    refused = ask("call", "roster.declare-class", json.dumps({**body, "school": other}), "--as", f"director:{school}")
    assert (refused.code, refused.error["code"]) == (1, "access.other-school")
    declared = ask("events", "--service", "roster", "--school", school, "--type", "class-declared").lines
    assert [(event["actor"], event["principal"]) for event in declared] == [(f"director:{school}", "operator")]


def test_without_an_instance_there_is_the_line_to_type(vekha: Vekha, tmp_path: Path) -> None:
    for command in (["call", "instance.clock"], ["plan", "status"], ["events"], ["clock", "advance", "--days", "1"], ["parked", "list"]):
        ended = vekha(*command, "--data", tmp_path / "none", "--json")
        assert (ended.code, ended.error["code"]) == (5, "instance.not-running")
        assert ended.error["hint"] == f"Start one: vekha up --data {tmp_path / 'none'}"
    assert not (tmp_path / "none").exists()


def test_a_server_that_does_not_answer_is_unreachable(ask: Vekha) -> None:
    ended = ask("call", "instance.clock", "--server", "nats://127.0.0.1:1", "--command-id", "calling.8")
    assert (ended.code, ended.error["code"], ended.error["command_id"]) == (5, "instance.unreachable", "calling.8")
    assert "address" in ended.error["hint"]


def test_a_broker_that_is_away_while_its_instance_runs_asks_for_no_second_instance(vekha: Vekha, tmp_path: Path) -> None:
    with running(tmp_path / "data") as up:
        nats = {"nats": "nats://127.0.0.1:1", "pid": 1}
        (up.data / "run" / "endpoint.json").write_text(json.dumps(nats))
        ended = vekha("call", "instance.clock", "--data", up.data, "--json")
    assert (ended.code, ended.error["code"]) == (5, "instance.unreachable")
    assert "vekha up" not in ended.error["hint"]
    assert "An instance runs on" in ended.error["hint"]


def test_an_answer_of_a_service_that_has_not_read_everything_says_so(
    ask: Vekha, open_school: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    school = open_school("calling-9")

    async def ahead(_client: Client) -> dict[str, int]:
        return {"consent": 1_000_000}

    monkeypatch.setattr(Client, "_heads", ahead)
    ended = ask("call", "roster.school", json.dumps({"school": school}))
    assert ended.code == 0
    assert "roster has not taken in yet what was recorded last" in ended.err


def test_an_answer_that_does_not_come_leaves_the_command_id_to_repeat(instance: Up, monkeypatch: pytest.MonkeyPatch, ask: Vekha) -> None:
    monkeypatch.setattr("eventkit.calls.Client.request", _never_answered)
    monkeypatch.setattr("nats.aio.client.Client.request", _never_answered)
    body = '{"school": "calling-7", "name": "Школа", "municipality": "m-1"}'
    ended = ask("call", "roster.open-school", body)
    assert (ended.code, ended.error["code"]) == (5, "call.outcome-unknown")
    monkeypatch.undo()
    repeated = ask("call", "roster.open-school", body, "--command-id", ended.error["command_id"])
    assert repeated.json["command_id"] == ended.error["command_id"]


@pytest.mark.parametrize(
    ("name", "code", "asked"),
    [("roster.open-school", 0, 2), ("identity.issue-credentials", 5, 1), ("roster.school", 5, 1)],
    ids=["a command", "what is told once", "a question"],
)
def test_a_command_whose_answer_is_lost_is_sent_once_more_under_its_id(
    ask: Vekha, open_school: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, name: str, code: int, asked: int
) -> None:
    school = open_school("calling-10")
    bodies = {
        "roster.open-school": {"school": "calling-11", "name": "Школа", "municipality": "m-1"},
        "identity.issue-credentials": {"school": school, "people": ["p-1"]},
        "roster.school": {"school": school},
    }
    answering, sent = Nats.request, list[bytes]()

    async def losing_the_first(self: Nats, subject: str, payload: bytes, timeout: float) -> Msg:
        answer = await answering(self, subject, payload, timeout=timeout)
        if subject != f"call.{name}":
            return answer
        sent.append(payload)
        if len(sent) == 1:
            raise nats.errors.TimeoutError
        return answer

    monkeypatch.setattr(Nats, "request", losing_the_first)
    ended = ask("call", name, json.dumps(bodies[name]))
    assert (ended.code, len(sent)) == (code, asked)
    assert len({json.loads(payload).get("command_id") for payload in sent}) == 1
    if code == 0:
        assert len(ask("events", "--school", "calling-11").lines) == 1


async def _never_answered(*_arguments: object, **_options: object) -> None:
    raise TimeoutError


def test_the_list_names_every_call_with_its_schemas_and_who_may_make_it(vekha: Vekha) -> None:
    listed = {call["name"]: call for call in vekha("call", "--list", "--json").json["calls"]}
    assert set(listed) == set(CALLS)
    hire = listed["roster.hire-staff"]
    assert hire["allowed"] == ["administrator", "director", "operator"]
    assert "hired_on" in hire["request"]["required"]
    assert "person" in hire["reply"]["properties"]
    alone = vekha("call", "--list", "roster.hire-staff")
    assert alone.out.startswith("roster.hire-staff")
    assert "administrator, director, operator" in alone.out


def test_a_service_signs_with_a_new_key_and_goes_on_answering(ask: Vekha, vekha: Vekha, instance: Up) -> None:
    first, second = ask("keys", "rotate", "identity").json, ask("keys", "rotate", "identity").json
    assert second["before"] == first["key_id"] != second["key_id"]
    assert ask("call", "instance.clock", "--as", "ministry").code == 0
    published = ask("events", "--type", "key-published", "--service", "identity").out.splitlines()
    assert [json.loads(line)["data"]["key_id"] for line in published][-2:] == [first["key_id"], second["key_id"]]
    shown = vekha("keys", "rotate", "notifier", "--data", instance.data)
    assert shown.out.startswith("notifier signs with key ")
    assert ask("keys", "rotate", "nobody").code == 2
