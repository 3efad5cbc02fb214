"""The launcher: what it prints, what it refuses, and what is left when it ends, however it ends."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vekha.folder import FORMAT
from vekha.testing import OBEDIENT, Outcome, Up, Vekha, run_binary, running

OPEN = '{"school": "school-7", "name": "Школа", "municipality": "mytishchi"}'


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of an instance that ran, and stopped. Who damages it takes a copy."""
    data = tmp_path_factory.mktemp("stopped") / "data"
    with running(data) as up:
        assert up.ready == {"ready": True, "nats": up.ready["nats"], "data": str(data)}
        assert up.end() == 0
    return data


def test_up_prints_one_line_when_ready_and_answers_a_second_shell_in_another_folder(instance: Up, tmp_path: Path) -> None:
    assert instance.ready["ready"] is True
    assert instance.ready["nats"].startswith("nats://127.0.0.1:")
    there = run_binary("call", "instance.clock", "--data", instance.data, "--json", cwd=tmp_path)
    assert (there.code, there.json["reply"]["kind"]) == (0, "manual")
    server = run_binary("call", "instance.clock", "--data", instance.data, "--server", instance.ready["nats"], "--json")
    assert server.json == there.json


def test_what_a_clean_stop_leaves_is_private_and_names_no_endpoint(stopped: Path) -> None:
    assert stopped.stat().st_mode & 0o777 == 0o700
    assert (stopped / "secrets").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (stopped / "secrets").iterdir()} == {0o600}
    assert json.loads((stopped / "instance.json").read_text())["format"] == FORMAT
    assert not (stopped / "run" / "endpoint.json").exists()


def test_a_second_instance_on_one_folder_is_refused(instance: Up) -> None:
    second = run_binary("up", "--data", instance.data, "--json")
    assert (second.code, second.error["code"]) == (1, "data.in-use")


def test_a_port_in_use_is_refused_before_anything_is_made(instance: Up, vekha: Vekha, tmp_path: Path) -> None:
    port = instance.ready["nats"].rpartition(":")[2]
    refused = vekha("up", "--data", tmp_path / "data", "--port", port, "--json")
    assert (refused.code, refused.error["code"]) == (1, "port.in-use")
    assert list(tmp_path.iterdir()) == []
    taken = vekha("up", "--data", instance.data, "--port", port, "--json")
    assert taken.error["code"] == "data.in-use"


def test_without_the_right_to_write_the_start_is_refused(vekha: Vekha, tmp_path: Path) -> None:
    importlib.import_module("vekha.launcher")  # while we may still read the disk
    tmp_path.chmod(0o555)
    with _as_nobody():
        refused = vekha("up", "--data", tmp_path / "data", "--json")
    assert (refused.code, refused.error["code"]) == (1, "data.not-writable")
    assert list(tmp_path.iterdir()) == []


@contextmanager
def _as_nobody() -> Generator[None]:
    """Root may write everywhere, so it has to be somebody else for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(("version", "code"), [(FORMAT + 1, "data.newer"), (FORMAT - 1, "data.older")])
def test_a_folder_of_another_version_is_refused_by_everything_that_would_read_it(
    vekha: Vekha, tmp_path: Path, version: int, code: str
) -> None:
    (tmp_path / "instance.json").write_text(json.dumps({"format": version, "clock": "sundial"}))
    for command in (["up"], ["audit", "verify"], ["events", "--offline"]):
        refused = vekha(*command, "--data", tmp_path, "--json")
        assert (refused.code, refused.error["code"]) == (1, code)
    assert {path.name for path in tmp_path.iterdir()} == {"instance.json"}


def test_a_database_of_a_newer_version_is_refused_before_anything_starts_and_by_whoever_reads_it(
    vekha: Vekha, stopped: Path, copy_of: Callable[[Path], Path]
) -> None:
    data = copy_of(stopped)
    with sqlite3.connect(data / "db" / "consent.db") as database:
        database.execute("UPDATE head SET schema_version = schema_version + 1")
    database.close()
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file() and path.suffix in (".db", ".blk", ".inf")}
    refused = run_binary("up", "--data", data, "--json")
    assert (refused.code, refused.error["code"]) == (1, "database.newer")
    assert "service.started" not in refused.err
    assert before == {path: path.read_bytes() for path in before}
    for command in (["audit", "verify"], ["events", "--offline"]):
        read = vekha(*command, "--data", data, "--json")
        assert (read.code, read.error["code"]) == (1, "database.newer")
    examined = vekha("doctor", "--data", data, "--json")
    found = [check for check in examined.json["checks"] if check["state"] == "finding"]
    assert (examined.code, [check["check"] for check in found]) == (1, ["database consent"])


def test_an_instance_that_has_lost_a_database_does_not_start_with_an_empty_one(
    vekha: Vekha, stopped: Path, copy_of: Callable[[Path], Path]
) -> None:
    data = copy_of(stopped)
    (data / "db" / "plan.db").unlink()
    shutil.rmtree(data / "bus")
    refused = vekha("up", "--data", data, "--json")
    assert (refused.code, refused.error["code"]) == (1, "database.missing")
    assert "plan.db" in refused.error["text"]
    assert "backup" in refused.error["hint"]
    assert not (data / "db" / "plan.db").exists()
    assert not (data / "bus").exists()
    (data / "db" / "plan.db").touch()
    assert vekha("up", "--data", data, "--json").error["code"] == "database.unreadable"


def test_a_database_in_the_place_of_another_is_refused(vekha: Vekha, stopped: Path, copy_of: Callable[[Path], Path]) -> None:
    data = copy_of(stopped)
    shutil.copy(data / "db" / "roster.db", data / "db" / "consent.db")
    refused = vekha("up", "--data", data, "--json")
    assert (refused.code, refused.error["code"]) == (1, "database.mixed-up")
    assert vekha("doctor", "--data", data).code == 1


def test_a_damaged_database_stops_the_start(vekha: Vekha, stopped: Path, copy_of: Callable[[Path], Path]) -> None:
    data = copy_of(stopped)
    (data / "db" / "consent.db").write_bytes(b"SQLite format 3\0" + b"\x7f" * 8000)
    refused = vekha("up", "--data", data, "--json")
    assert (refused.code, refused.error["code"]) == (1, "database.unreadable")


def test_secrets_that_are_open_to_others_are_named_by_doctor_and_stop_the_start(
    vekha: Vekha, stopped: Path, copy_of: Callable[[Path], Path]
) -> None:
    data = copy_of(stopped)
    (data / "secrets" / "master.key").chmod(0o644)
    examined = vekha("doctor", "--data", data, "--json")
    found = [check for check in examined.json["checks"] if check["state"] == "finding"]
    assert (examined.code, [check["check"] for check in found]) == (1, ["secrets"])
    assert "master.key" in found[0]["text"]
    assert "signing" not in found[0]["text"]
    refused = vekha("up", "--data", data, "--json")
    assert (refused.code, refused.error["code"]) == (1, "secret.exposed")
    assert "master.key" in refused.error["text"]
    assert refused.error["hint"] == f"Type: chmod -R go= {data / 'secrets'}"


def test_what_this_user_may_not_read_is_neither_damaged_nor_wrong_usage(stopped: Path, copy_of: Callable[[Path], Path]) -> None:
    data = copy_of(stopped)
    (data / "db" / "consent.db").chmod(0)
    verified = _obedient("audit", "verify", "--data", data, "--json")
    assert (verified.code, verified.error["code"]) == (1, "data.not-readable")
    assert "consent.db cannot be read: permission denied" in verified.error["text"]
    examined = _obedient("doctor", "--data", data, "--json")
    found = [check for check in examined.json["checks"] if check["state"] == "finding"]
    assert (examined.code, [(check["check"], check["text"]) for check in found]) == (1, [("database consent", verified.error["text"])])
    data.chmod(0)
    for command in (["up"], ["audit", "verify"], ["call", "instance.clock"], ["events", "--offline"]):
        ended = _obedient(*command, "--data", data, "--json")
        assert (ended.code, ended.error["code"]) in {(1, "data.not-readable"), (1, "data.not-writable")}
    assert _obedient("doctor", "--data", data, "--json").code == 1
    data.chmod(0o700)


def test_an_auditor_who_may_only_read_can_audit_an_instance_that_is_stopped(stopped: Path, copy_of: Callable[[Path], Path]) -> None:
    data = copy_of(stopped)
    for folder in (data / "db", data):
        folder.chmod(0o500)
    verified = _obedient("audit", "verify", "--data", data, "--json")
    assert (verified.code, verified.json["ok"]) == (0, True)
    for folder in (data, data / "db"):
        folder.chmod(0o700)


def _obedient(*arguments: str | Path) -> Outcome:
    """Runs the program so that it obeys the modes of files: root otherwise may read everything."""
    return run_binary(*arguments, through=OBEDIENT if os.geteuid() == 0 else ())


@pytest.mark.parametrize("name", ["master.key", "operator.token", "broker.password", "signing-consent.key"])
def test_a_missing_secret_stops_the_start_and_is_not_made_anew(
    vekha: Vekha, stopped: Path, copy_of: Callable[[Path], Path], name: str
) -> None:
    data = copy_of(stopped)
    (data / "secrets" / name).unlink()
    refused = vekha("up", "--data", data, "--json")
    assert (refused.code, refused.error["code"]) == (1, "secret.missing")
    assert name in refused.error["text"]
    assert not (data / "secrets" / name).exists()


def test_a_folder_with_something_else_in_it_is_left_alone(vekha: Vekha, tmp_path: Path) -> None:
    (tmp_path / "diploma.txt").write_text("mine")
    refused = vekha("up", "--data", tmp_path, "--json")
    assert (refused.code, refused.error["code"]) == (1, "data.not-ours")
    assert {path.name for path in tmp_path.iterdir()} == {"diploma.txt"}


def test_a_folder_that_lost_its_description_keeps_its_secrets(vekha: Vekha, stopped: Path, copy_of: Callable[[Path], Path]) -> None:
    data = copy_of(stopped)
    key = (data / "secrets" / "master.key").read_text()
    (data / "instance.json").unlink()
    shutil.rmtree(data / "bus")
    refused = vekha("up", "--data", data, "--json")
    assert (refused.code, refused.error["code"]) == (1, "data.damaged")
    assert (data / "secrets" / "master.key").read_text() == key


def test_a_first_start_that_was_cut_off_is_taken_up_again(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "master.key").write_text("half of it")
    (tmp_path / "instance.json.new").write_text("{")
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "roster.db").touch()
    (tmp_path / "run").mkdir()
    with running(tmp_path) as up:
        assert up.ready["ready"] is True


def test_the_kind_of_clock_is_fixed_when_the_folder_is_made(vekha: Vekha, stopped: Path) -> None:
    refused = vekha("up", "--data", stopped, "--manual-clock", "2015-08-17", "--json")
    assert (refused.code, refused.error["code"]) == (1, "clock.fixed")


def test_a_production_instance_has_no_manual_clock(tmp_path: Path, vekha: Vekha, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEKHA_PRODUCTION", "1")
    refused = vekha("up", "--data", tmp_path / "data", "--manual-clock", "2015-08-17", "--json")
    assert (refused.code, refused.error["code"]) == (1, "clock.manual-in-production")


def test_a_manual_clock_stands_after_a_kill_where_it_was_moved_to_and_nobody_is_left_behind(vekha: Vekha, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, "--manual-clock", "2015-08-17") as up:
        assert (
            vekha("clock", "advance", "--days", "2", "--hours", "3", "--data", data, "--json").json["now"] == "2015-08-19T00:00:00.000000Z"
        )
        broker = up.broker_pid
        assert up.end(signal.SIGKILL) == -signal.SIGKILL
        gone = vekha("call", "instance.clock", "--data", data, "--json")
        assert (gone.code, gone.error["code"]) == (5, "instance.not-running")
        assert f"vekha up --data {data}" in gone.error["hint"]
        _until(lambda: not _is_alive(broker))
    with running(data):
        assert vekha("call", "instance.clock", "--data", data, "--json").json["reply"]["now"] == "2015-08-19T00:00:00.000000Z"
        backwards = vekha("clock", "set", "2015-08-18", "--data", data, "--json")
        assert (backwards.code, backwards.error["code"]) == (1, "clock.backwards")


def test_a_broker_that_dies_is_started_again_and_what_was_recorded_meanwhile_is_published(vekha: Vekha, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as up:
        os.kill(up.broker_pid, signal.SIGKILL)
        _until(lambda: vekha("call", "roster.open-school", OPEN, "--command-id", "c-1", "--data", data).code == 0)
        _until(lambda: vekha("call", "plan.status", "--data", data).code == 0)
        assert vekha("audit", "verify", "--data", data, "--json").json["heads"]["roster"] == 2
        assert up.end(signal.SIGINT) == 0
    assert vekha("audit", "verify", "--data", data).code == 0


def test_a_broker_that_keeps_dying_ends_the_instance_with_the_reason(tmp_path: Path) -> None:
    with running(tmp_path / "data") as up:
        while up.process.poll() is None:
            with contextlib.suppress(ProcessLookupError, ValueError):  # dead already, or its file is being written
                os.kill(up.broker_pid, signal.SIGKILL)
            time.sleep(0.2)
        assert up.process.returncode == 1
        assert "broker.dies" in up.log.read_text()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
