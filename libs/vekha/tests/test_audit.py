"""`vekha audit` and `vekha doctor` on records that are whole, and on records that somebody has touched."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import signal
import sqlite3
import textwrap
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from contracts.operations import CLOCK, SET_CLOCK, Nothing, SetClock
from contracts.roster import DECLARE_CLASS, OPEN_SCHOOL, DeclareClass, OpenSchool
from eventkit import jetstream, sealing, seals
from eventkit.broker import EmbeddedBroker
from eventkit.jetstream import JetStream
from vekha.client import Target, bus_connection, connected
from vekha.folder import DataFolder
from vekha.launcher import launched
from vekha.testing import Vekha, running

RECORDED = 8
START = "2015-08-17T09:00:00+03:00"


def record(data: Path, vekha: Vekha, letters: str) -> None:
    """Records an event of roster for each letter."""
    for letter in letters:
        body = {"school": "school-7", "grade": 1, "letter": letter, "academic_year": "2015/2016"}
        assert vekha("call", "roster.declare-class", json.dumps(body), "--data", data).code == 0


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Data folders of one instance, stopped: `early` after 5 events of roster, `late` after 8, `other` after 8 with other last ones."""
    folder = tmp_path_factory.mktemp("histories")
    early, late, other = (folder / name for name in ("early", "late", "other"))
    asyncio.run(_live(early, "АБВ", datetime.fromisoformat(START)))
    for data, letters in ((late, "ГДЕ"), (other, "ЖЗИ")):
        shutil.copytree(early, data)
        asyncio.run(_live(data, letters))
    return {"early": early, "late": late, "other": other}


async def _live(data: Path, letters: str, clock_at: datetime | None = None) -> None:
    folder = DataFolder(data)
    async with launched(folder, clock_at=clock_at), connected(Target(folder)) as client:
        await client.ask(OPEN_SCHOOL, OpenSchool(school="school-7", name="Школа", municipality="mytishchi"))
        for letter in letters:
            await client.ask(DECLARE_CLASS, DeclareClass(school="school-7", grade=1, letter=letter, academic_year="2015/2016"))
        now = (await client.ask(CLOCK, Nothing())).reply.now
        await client.ask(SET_CLOCK, SetClock(to=now))  # comes back when everything is on the bus


@pytest.fixture
def data(histories: dict[str, Path], copy_of: Callable[[Path], Path]) -> Path:
    return copy_of(histories["late"])


def findings(vekha: Vekha, data: Path, *, exit_code: int = 4) -> set[tuple[str, int, str]]:
    ended = vekha("audit", "verify", "--data", data, "--json")
    assert ended.code == exit_code
    assert list(ended.json) == ["ok", "heads", "findings", "damage", "sealed"]
    assert ended.json["ok"] == (exit_code == 0)
    return {(finding["service"], finding["position"], finding["kind"]) for finding in ended.json["findings"]}


def execute(data: Path, statement: str, *parameters: object, service: str = "roster") -> None:
    with sqlite3.connect(data / "db" / f"{service}.db") as database:
        assert database.execute(statement, parameters).rowcount == 1
    database.close()


def execute_all(data: Path, service: str, statement: str) -> None:
    with sqlite3.connect(data / "db" / f"{service}.db") as database:
        database.execute(statement)
    database.close()


def blocks(data: Path) -> list[Path]:
    return sorted(data.glob("bus/jetstream/*/streams/ROSTER/msgs/*.blk"))


def change_message(data: Path, position: int) -> None:
    """Flips a bit inside the stored message at this position."""
    with sqlite3.connect(data / "db" / "roster.db") as database:
        stored = bytes(database.execute("SELECT bytes FROM log WHERE position = ?", (position,)).fetchone()[0])
    database.close()
    for block in blocks(data):
        content = bytearray(block.read_bytes())
        at = content.find(stored)
        if at >= 0:
            content[at + len(stored) // 2] ^= 1
            block.write_bytes(content)
            return
    raise AssertionError(f"position {position} is in no block")


def test_a_record_that_nobody_touched_verifies_live_and_stopped(vekha: Vekha, data: Path) -> None:
    assert findings(vekha, data, exit_code=0) == set()
    with running(data):
        assert findings(vekha, data, exit_code=0) == set()
        ended = vekha("audit", "verify", "--data", data, "--json")
        assert ended.json["heads"]["roster"] == RECORDED
        assert set(ended.json["heads"]) == {"roster", "consent", "identity", "plan", "notifier"}
    assert "The record verifies." in vekha("audit", "verify", "--data", data).out


def test_a_changed_byte_of_the_log_is_found(vekha: Vekha, data: Path) -> None:
    with sqlite3.connect(data / "db" / "roster.db") as database:
        stored = bytearray(database.execute("SELECT bytes FROM log WHERE position = 3").fetchone()[0])
    database.close()
    stored[-3] ^= 1
    execute(data, "UPDATE log SET bytes = ? WHERE position = 3", bytes(stored))
    found = findings(vekha, data)
    assert ("roster", 3, "chain-broken") in found
    assert ("roster", 3, "stream-differs") in found
    assert {(service, position) for service, position, _ in found} == {("roster", 3)}
    told = vekha("audit", "verify", "--data", data)
    assert (told.code, "roster 3: chain-broken" in told.out) == (4, True)


@pytest.mark.parametrize(
    ("column", "value"), [("school", "school-8"), ("type", "roster.class-closed.v1"), ("happened_on", "2015-08-01"), ("version", 9)]
)
def test_a_changed_column_is_found(vekha: Vekha, data: Path, column: str, value: object) -> None:
    execute(data, f"UPDATE log SET {column} = ? WHERE position = 4", value)
    assert findings(vekha, data) == {("roster", 4, f"column-differs:{column}")}


def test_a_removed_event_is_found(vekha: Vekha, data: Path) -> None:
    execute(data, "DELETE FROM log WHERE position = 5")
    assert ("roster", 5, "missing") in findings(vekha, data)


@pytest.mark.parametrize("position", [1, 3, RECORDED])
@pytest.mark.parametrize("has_index", [True, False])
def test_a_changed_message_of_a_stream_is_found(vekha: Vekha, data: Path, position: int, has_index: bool) -> None:
    change_message(data, position)
    if not has_index:  # as after a kill: the broker reads its blocks through, and cuts the stream where one is damaged
        for index in data.glob("bus/jetstream/*/streams/ROSTER/msgs/index.db"):
            index.unlink()
    found = findings(vekha, data)
    assert {(service, found_at) for service, found_at, _ in found} == {("roster", position)}
    assert {kind for _, _, kind in found} <= {"stream-gap", "stream-damaged"}


def test_a_stream_that_is_behind_or_gone_is_lag_and_refilled_at_the_next_start(
    vekha: Vekha, data: Path, histories: dict[str, Path]
) -> None:
    shutil.rmtree(data / "bus")
    assert findings(vekha, data, exit_code=0) >= {("roster", 1, "lag")}
    shutil.copytree(histories["early"] / "bus", data / "bus")
    assert findings(vekha, data, exit_code=0) == {("roster", 6, "lag")}
    with running(data):
        assert vekha("clock", "set", START, "--data", data).code == 0
        assert findings(vekha, data, exit_code=0) == set()


def test_an_older_database_is_found_and_puts_its_service_into_quarantine(vekha: Vekha, data: Path, histories: dict[str, Path]) -> None:
    shutil.copy(histories["early"] / "db" / "roster.db", data / "db" / "roster.db")
    assert findings(vekha, data) == {("roster", 6, "stream-ahead"), ("roster", 6, "seal-ahead")}
    with running(data):
        assert findings(vekha, data) == {("roster", 6, "stream-ahead"), ("roster", 6, "seal-ahead")}
        examined = vekha("doctor", "--data", data, "--json")
        assert (examined.code, examined.json["ok"]) == (1, False)
        found = [check for check in examined.json["checks"] if check["state"] == "finding"]
        assert [check["check"] for check in found] == ["service roster"]
        assert "quarantine" in found[0]["text"]
        body = '{"school": "school-7", "grade": 2, "letter": "А", "academic_year": "2015/2016"}'
        refused = vekha("call", "roster.declare-class", body, "--data", data, "--json")
        assert (refused.code, refused.error["code"]) == (1, "service.quarantined")


def test_an_older_database_is_found_by_doctor_while_the_instance_is_stopped(vekha: Vekha, data: Path, histories: dict[str, Path]) -> None:
    shutil.copy(histories["early"] / "db" / "roster.db", data / "db" / "roster.db")
    examined = vekha("doctor", "--data", data, "--json")
    found = [check for check in examined.json["checks"] if check["state"] == "finding"]
    assert (examined.code, [check["check"] for check in found]) == (1, ["bus stream roster"])
    assert f"holds {RECORDED} messages, and the log ends at 5" in found[0]["text"]
    shutil.rmtree(data / "bus")
    shutil.copytree(histories["other"] / "bus", data / "bus")
    shutil.copy(histories["late"] / "db" / "roster.db", data / "db" / "roster.db")
    differing = vekha("doctor", "--data", data, "--json").json["checks"]
    assert [check["text"] for check in differing if check["state"] == "finding"] == ["It holds another event than the log at 8."]


@pytest.mark.parametrize(("history", "position", "kind"), [("early", 6, "reader-ahead"), ("other", RECORDED, "reader-differs")])
def test_a_log_that_does_not_hold_what_was_read_of_it_is_found_when_the_bus_is_lost_too(
    vekha: Vekha, data: Path, histories: dict[str, Path], history: str, position: int, kind: str
) -> None:
    shutil.copy(histories[history] / "db" / "roster.db", data / "db" / "roster.db")
    shutil.rmtree(data / "bus")
    assert ("roster", position, kind) in findings(vekha, data)
    examined = vekha("doctor", "--data", data, "--json")
    found = [check for check in examined.json["checks"] if check["state"] == "finding"]
    assert (examined.code, [check["check"] for check in found]) == (1, ["database roster"])
    assert "plan-board up to 8" in found[0]["text"]
    with running(data):
        assert ("roster", position, kind) in findings(vekha, data)
        body = '{"school": "school-7", "grade": 2, "letter": "А", "academic_year": "2015/2016"}'
        refused = vekha("call", "roster.declare-class", body, "--data", data, "--json")
        assert (refused.code, refused.error["code"]) == (1, "service.quarantined")
        live = vekha("doctor", "--data", data, "--json")
        wrong = [check["check"] for check in live.json["checks"] if check["state"] == "finding"]
        assert (live.code, wrong) == (1, ["service roster"])
        reader = vekha("call", "plan.health", "--data", data, "--json").json["reply"]["readers"][0]
        assert (reader["positions"]["roster"], reader["unrecognized"]) == (RECORDED, ["roster"])


def test_another_history_on_the_bus_is_found(vekha: Vekha, data: Path, histories: dict[str, Path]) -> None:
    shutil.rmtree(data / "bus")
    shutil.copytree(histories["other"] / "bus", data / "bus")
    differing = {("roster", position, "stream-differs") for position in (6, 7, 8)}
    assert findings(vekha, data) == differing | {("roster", 6, "seal-differs")}  # both histories were sealed


def test_a_damaged_or_missing_database_is_found_by_audit_and_doctor(vekha: Vekha, data: Path) -> None:
    (data / "db" / "roster.db").write_bytes(b"SQLite format 3\0" + b"\x7f" * 8000)
    (data / "db" / "consent.db").unlink()
    found = findings(vekha, data)
    assert {("roster", 0, "database-unreadable"), ("consent", 0, "database-missing")} <= found
    examined = vekha("doctor", "--data", data, "--json")
    assert examined.code == 1
    assert {check["check"] for check in examined.json["checks"] if check["state"] == "finding"} == {"database roster", "database consent"}


def test_after_a_kill_the_record_verifies_too(vekha: Vekha, data: Path) -> None:
    with running(data) as up:
        record(data, vekha, "КЛМ")
        up.end(signal.SIGKILL)
    assert {kind for _, _, kind in findings(vekha, data, exit_code=0)} <= {"lag"}


def test_doctor_finds_nothing_on_a_healthy_instance_and_says_what_to_type_for_a_stopped_one(vekha: Vekha, data: Path) -> None:
    stopped = vekha("doctor", "--data", data, "--json")
    assert (stopped.code, stopped.json["ok"]) == (0, True)
    assert "bus stream notifier" in {check["check"] for check in stopped.json["checks"]}
    assert stopped.json["checks"][-1]["hint"] == f"Start one: vekha up --data {data}"
    with running(data):
        running_well = vekha("doctor", "--data", data)
        assert running_well.code == 0
        assert "service notifier" in running_well.out
    (data / "secrets").chmod(0o755)
    (data / "secrets" / "master.key").unlink()
    assert vekha("doctor", "--data", data).code == 1


def test_doctor_sees_a_trigger_that_somebody_has_put_into_a_database(vekha: Vekha, data: Path) -> None:
    execute_all(data, "plan", "CREATE TRIGGER quiet AFTER INSERT ON log BEGIN DELETE FROM fact; END")
    told = vekha("doctor", "--data", data, "--json")
    found = next(check for check in told.json["checks"] if check["check"] == "database plan")
    assert (told.code, found["state"], "none is ours: quiet." in found["text"]) == (1, "finding", True)


@pytest.mark.parametrize(
    ("service", "done", "lacking"),
    [
        ("roster", "DROP TABLE command", "table command"),
        ("plan", "DROP TABLE fact", "table fact"),
        ("plan", "DROP TABLE checkpoint", "table checkpoint"),
        ("roster", "ALTER TABLE seal DROP COLUMN root", "column seal.root"),
        ("roster", "DROP INDEX class_by_name", "index class_by_name"),
    ],
)
def test_doctor_sees_what_somebody_has_taken_out_of_a_database(vekha: Vekha, data: Path, service: str, done: str, lacking: str) -> None:
    execute_all(data, service, done)
    told = vekha("doctor", "--data", data, "--json")
    found = next(check for check in told.json["checks"] if check["check"] == f"database {service}")
    assert (told.code, found["state"], found["text"]) == (1, "finding", f"It lacks its {lacking}.")
    assert [check["check"] for check in told.json["checks"] if check["state"] == "finding"] == [f"database {service}"]


def test_doctor_sees_a_clock_that_went_back(vekha: Vekha, data: Path) -> None:
    (data / "clock").write_text("2015-08-01T00:00:00.000000Z\n")
    examined = vekha("doctor", "--data", data, "--json")
    found = [check["check"] for check in examined.json["checks"] if check["state"] == "finding"]
    assert (examined.code, "database roster" in found) == (1, True)


def damage(vekha: Vekha, data: Path, *options: str | Path) -> list[tuple[str, int, str]]:
    ended = vekha("audit", "verify", "--data", data, "--json", *options)
    assert ended.code == (4 if ended.json["damage"] else 0)
    return [(one["service"], one["position"], one["kind"]) for one in ended.json["damage"]]


@pytest.mark.parametrize("positions", ["{}", '{"roster": 5}', '{"roster": -1}', "[]", "what?"])
def test_a_reader_whose_checkpoint_does_not_say_what_it_has_read_is_found_by_everybody(vekha: Vekha, data: Path, positions: str) -> None:
    execute_all(data, "plan", f"UPDATE checkpoint SET positions = '{positions}' WHERE name = 'board'")
    assert [one[0] for one in damage(vekha, data)] == ["plan"]
    told = vekha("doctor", "--data", data, "--json")
    found = next(check for check in told.json["checks"] if check["check"] == "database plan")
    assert (told.code, found["state"]) == (1, "finding")
    assert "its reader board" in found["text"]
    refused = vekha("up", "--data", data, "--json")
    assert (refused.code, refused.error["code"]) == (1, "checkpoint.damaged")
    assert refused.error["hint"].endswith("vekha doctor --repair")


def test_a_reader_whose_checkpoint_is_damaged_or_lost_derives_its_rows_anew_and_a_reaction_does_not_act_again(
    vekha: Vekha, data: Path
) -> None:
    execute_all(data, "plan", "UPDATE checkpoint SET positions = '{}' WHERE name = 'board'")
    mended = vekha("doctor", "--repair", "--data", data, "--json")
    assert (mended.code, mended.json["derived_anew"]) == (0, ["plan-board"])
    assert "There is nothing to repair." in vekha("doctor", "--repair", "--data", data).out
    for _ in ("as it was left by the repair", "as somebody has left it"):
        with running(data) as up:
            replayed = vekha("audit", "replay", "live", "--data", data, "--json")
            assert (replayed.code, up.end()) == (0, 0), replayed.out
        assert damage(vekha, data) == []
        execute_all(data, "plan", "DELETE FROM checkpoint WHERE name = 'board'")
    execute_all(data, "notifier", "UPDATE checkpoint SET positions = '{}' WHERE name <> 'schools'")
    refused = vekha("doctor", "--repair", "--data", data, "--json")
    assert (refused.code, refused.error["code"]) == (1, "repair.reaction-damaged")


def test_a_clean_stop_leaves_all_of_every_log_sealed(vekha: Vekha, data: Path) -> None:
    verified = vekha("audit", "verify", "--data", data, "--json").json
    assert verified["sealed"] == verified["heads"]


def test_events_that_were_made_to_fit_do_not_fit_the_seals(vekha: Vekha, data: Path) -> None:
    """The chain is computed anew from a changed event on, and the head moved with it; nobody has the key to seal it."""
    with sqlite3.connect(data / "db" / "roster.db") as database:
        rows = database.execute("SELECT position, hash, bytes FROM log WHERE position >= 5 ORDER BY position").fetchall()
        (chain,) = database.execute("SELECT hash FROM log WHERE position = 4").fetchone()
        for position, _, stored in rows:
            changed = bytes(stored).replace(b'"grade":1', b'"grade":2') if position == 6 else bytes(stored)
            chain = hashlib.sha256(chain + changed).digest()
            database.execute("UPDATE log SET bytes = ?, hash = ? WHERE position = ?", (changed, chain, position))
        database.execute("UPDATE head SET hash = ?", (chain,))
    database.close()
    shutil.rmtree(data / "bus")
    assert [(service, kind) for service, _, kind in damage(vekha, data)] == [("roster", "forged")]


def test_a_log_whose_tail_and_seals_were_cut_off_together_is_found_by_a_checkpoint_alone(vekha: Vekha, data: Path, tmp_path: Path) -> None:
    page = tmp_path / "checkpoint.txt"
    made = vekha("audit", "checkpoint", "--data", data, "--out", page, "--json").json
    assert made["sealed"]["roster"]["position"] == RECORDED
    assert made["text"] == page.read_text() == vekha("audit", "checkpoint", "--data", data).out
    assert damage(vekha, data, "--checkpoint", page) == []
    with sqlite3.connect(data / "db" / "roster.db") as database:
        database.execute("DELETE FROM seal WHERE position > 6")
        (last,) = database.execute("SELECT max(position) FROM seal").fetchone()
        database.execute("DELETE FROM log WHERE position > ?", (last,))
        database.execute(
            "UPDATE head SET (position, hash, recorded_at) = (SELECT position, hash, recorded_at FROM log WHERE position = ?)", (last,)
        )
    database.close()
    shutil.rmtree(data / "bus")
    for other in ("roster", "plan", "consent", "identity", "notifier"):
        execute_all(data, other, """UPDATE checkpoint SET positions = '{"roster": 0}', digests = '{}'""")
    assert damage(vekha, data) == []
    assert damage(vekha, data, "--checkpoint", page) == [("roster", last + 1, "truncated")]
    mailed = tmp_path / "mail.txt"
    mailed.write_text("Dear all,\n\n> " + "\n> ".join(textwrap.wrap(page.read_text(), 72)) + "\n\nYours, the keeper\n")
    assert damage(vekha, data, "--checkpoint", mailed) == [("roster", last + 1, "truncated")]
    forged = tmp_path / "forged.txt"
    forged.write_text(page.read_text().replace("made      2015-08-17", "made      2015-08-18"))
    assert damage(vekha, data, "--checkpoint", forged)[-1] == ("identity", 0, "forged")
    unreadable = vekha("audit", "verify", "--data", data, "--checkpoint", data / "instance.json", "--json")
    assert (unreadable.code, unreadable.error["code"]) == (3, "checkpoint.unreadable")


def test_seals_that_are_not_the_services_and_seals_that_are_gone_are_found(vekha: Vekha, data: Path) -> None:
    shutil.rmtree(data / "bus")
    with sqlite3.connect(data / "db" / "roster.db") as database:
        positions = [position for (position,) in database.execute("SELECT position FROM seal ORDER BY position")]
        database.execute("UPDATE seal SET signature = ? WHERE position = ?", ("00" * 64, positions[-1]))
    database.close()
    assert damage(vekha, data) == [("roster", positions[-1], "forged")]
    execute(data, "DELETE FROM seal WHERE position = ?", positions[-1])
    assert damage(vekha, data) == []  # as if the service had been killed before it sealed the rest
    execute_all(data, "plan", "UPDATE seal SET since = since - 1")
    assert damage(vekha, data) == [("plan", 1, "forged")]


def test_a_seal_that_is_gone_from_among_the_others_is_missed(vekha: Vekha, data: Path) -> None:
    execute_all(data, "roster", "DELETE FROM seal WHERE position = (SELECT min(position) FROM seal)")
    assert damage(vekha, data) == [("roster", 1, "removed")]


def test_seals_that_the_bus_has_and_the_database_no_more_are_missed(vekha: Vekha, data: Path) -> None:
    with sqlite3.connect(data / "db" / "roster.db") as database:
        *_, before, last = [position for (position,) in database.execute("SELECT position FROM seal ORDER BY position")]
        database.execute("DELETE FROM seal WHERE position = ?", (last,))
    database.close()
    assert damage(vekha, data) == [("roster", before + 1, "removed")]
    execute_all(data, "roster", "DELETE FROM seal")
    execute_all(data, "plan", "DROP TABLE seal")
    assert damage(vekha, data) == [("roster", 1, "removed"), ("plan", 1, "removed")]


def test_an_event_that_somebody_else_has_put_into_a_bus_stream_is_called_forged(vekha: Vekha, data: Path) -> None:
    async def forge() -> None:
        folder = DataFolder(data)
        async with EmbeddedBroker(folder.bus, folder.run, folder.secrets().broker_password_file) as broker:
            nc = await jetstream.connect(broker.url, broker.credential, name="test")
            await nc.request("evt.roster.school-7.class-declared.v1", b"{}", timeout=5)
            await jetstream.disconnect(nc)

    asyncio.run(forge())
    assert damage(vekha, data) == [("roster", RECORDED + 1, "forged")]


def test_a_forged_event_in_a_running_instance_s_stream_is_named_at_once_and_taken_in_by_nobody(vekha: Vekha, data: Path) -> None:
    async def forge() -> None:
        folder = DataFolder(data)
        nc = await bus_connection(Target(folder), str(up.ready["nats"]))
        written = await JetStream(nc).get_message("ROSTER", RECORDED)
        assert written is not None
        event = json.loads(written[1]) | {"id": "forged", "position": RECORDED + 1}
        await nc.request(written[0], json.dumps(event).encode(), timeout=5)
        (*_, seal) = await sealing.published(nc, "roster")  # and a seal of it, as anybody can write one
        await nc.request("seal.roster.kept", seals.encode(msgspec.structs.replace(seal, position=RECORDED + 1)), timeout=5)
        await jetstream.disconnect(nc)

    def streams() -> list[tuple[str, str]]:
        told = vekha("doctor", "--data", data, "--json").json["checks"]
        return [(one["check"], one["text"]) for one in told if one["state"] == "finding" and one["check"].startswith("bus stream")]

    with running(data) as up:
        assert streams() == []
        asyncio.run(forge())
        ((name, text),) = streams()
        assert name == "bus stream roster"
        assert f"what stands from {RECORDED + 1} on. It is forged, or" in text
        assert damage(vekha, data) == [("roster", RECORDED + 1, "forged")]
        reader = vekha("call", "plan.health", "--data", data, "--json").json["reply"]["readers"][0]
        assert reader["positions"]["roster"] == RECORDED
        assert vekha("plan", "status", "--school", "school-7", "--data", data, "--json").error["code"] == "plan.not-adopted"
    ((name, text),) = streams()  # while it is stopped, too
    assert (name, "It is forged" in text) == ("bus stream roster", True)
    with running(data):  # it has compared them by itself, and goes into quarantine
        ((name, text),) = streams()
        assert (name, "It is forged" in text) == ("bus stream roster", True)


def test_an_empty_folder_is_no_instance_to_audit(vekha: Vekha, tmp_path: Path) -> None:
    ended = vekha("audit", "verify", "--data", tmp_path, "--json")
    assert (ended.code, ended.error["code"]) == (1, "data.missing")
    assert vekha("doctor", "--data", tmp_path).code == 1
