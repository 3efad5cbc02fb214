"""Archives: whole and verified by both verifiers, damaged and found by both, read by nothing but what is in them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import closing
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.event import EVENTS, SERVICES
from contracts.plan import PlanAdopted
from eventkit import checkpoint, log, seals
from eventkit.event import genesis, link
from eventkit.keys import KEYS
from eventkit.log import Head
from eventkit.secrets import key_id
from tests.conftest import Lived
from tests.school import SCHOOL
from vekha.archive import reading as archives
from vekha.archive import verify
from vekha.folder import DataFolder
from vekha.main import main
from vekha.records import reading
from vekha.testing import Vekha

Told = list[tuple[str, int, str]]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, lived: Lived) -> Path:
    """The archive of the stopped instance."""
    out = tmp_path_factory.mktemp("archive") / "record.zip"
    assert main(["audit", "export", "--data", str(lived.data), "--out", str(out)]) == 0
    return out


def damage(vekha: Vekha, path: Path, *options: str | Path) -> Told:
    """What both verifiers say, which has to be the same."""
    ours = vekha("audit", "verify", path, "--json", *options)
    assert ours.code == (4 if ours.json["damage"] else 0)
    told = [(one["service"], one["position"], one["kind"]) for one in ours.json["damage"]]
    theirs = subprocess.run(
        [sys.executable, "-I", verify.__file__, path, "--json", *options], capture_output=True, text=True, check=False, timeout=60
    )
    assert theirs.returncode == ours.code, theirs.stderr
    assert [(one["service"], one["position"], one["kind"]) for one in json.loads(theirs.stdout)["damage"]] == told
    return told


def repacked(archive: Path, to: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """The archive with some of its files changed, and with its old comment."""
    with zipfile.ZipFile(archive) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
        comment = packed.comment
    change(files)
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
        packed.comment = comment
    return to


def test_an_archive_verifies_and_holds_everything_verbatim(vekha: Vekha, archive: Path, lived: Lived) -> None:
    assert damage(vekha, archive) == []
    with zipfile.ZipFile(archive) as packed:
        names = set(packed.namelist())
        assert {f"schemas/{name}.json" for name in EVENTS} <= names
        assert {"README.txt", "plans/mo-2015-school-portal.yaml"} <= names
        assert any(name.startswith("calendars/") for name in names)
        assert packed.read("verify.py") == Path(verify.__file__).read_bytes()
        for service in SERVICES:
            with reading(DataFolder(lived.data), service) as connection:
                kept = log.read(connection, 0, 1_000_000)
            events = list(verify.events_in(BytesIO(packed.read(f"logs/{service}.events"))))
            assert [(position, data) for position, _, data in events] == [(position, data) for position, _, data in kept]


def test_an_archive_is_never_written_over_anything(vekha: Vekha, archive: Path, lived: Lived) -> None:
    again = vekha("audit", "export", "--data", lived.data, "--out", archive, "--json")
    assert (again.code, again.error["code"]) == (1, "file.exists")
    assert vekha("audit", "verify", lived.data / "instance.json", "--json").json["damage"] == [
        {"service": "archive", "position": 0, "kind": "changed"}
    ]


@pytest.mark.parametrize("command", [("export",), ("checkpoint",), ("prove", "--event", ""), ("prove", "--school", SCHOOL, "--step", "12")])
def test_what_an_auditor_has_written_is_new_and_whole_or_not_there(
    vekha: Vekha, lived: Lived, tmp_path: Path, command: tuple[str, ...]
) -> None:
    with reading(DataFolder(lived.data), "roster") as connection:
        event = json.loads(log.read(connection, 0, 1)[0][2])["id"]
    typed = ("audit", *(one or event for one in command), "--data", lived.data, "--json", "--out")
    out = tmp_path / "out"
    assert vekha(*typed, out).code == 0
    written = out.read_bytes()
    umask = os.umask(0o022)
    os.umask(umask)
    assert out.stat().st_mode & 0o777 == 0o666 & ~umask  # to be handed on: another user's container may have written it
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    again, nowhere = vekha(*typed, out), vekha(*typed, tmp_path / "nowhere" / "out")
    assert (again.code, again.error["code"], out.read_bytes()) == (1, "file.exists", written)
    assert (nowhere.code, nowhere.error["code"]) == (1, "file.unwritable")
    assert "--data" not in nowhere.error["hint"]


def test_a_proof_in_an_archive_s_place_is_told_from_one_and_so_is_the_other_way_round(
    vekha: Vekha, archive: Path, lived: Lived, tmp_path: Path
) -> None:
    proof, page = tmp_path / "proof", tmp_path / "page.txt"
    assert vekha("audit", "prove", "--school", SCHOOL, "--step", "12", "--data", lived.data, "--out", proof).code == 0
    assert vekha("audit", "checkpoint", "--data", lived.data, "--out", page).code == 0
    told = vekha("audit", "verify", proof, "--json")
    assert (told.code, told.error["code"]) == (3, "archive.is-proof")
    assert f"verify.py {proof} --keys" in told.error["hint"]
    assert ended(proof, "--keys", archive)[0] == 0  # whatever it is called
    for keys in (proof, page):
        code, text = ended(proof, "--keys", keys)
        assert (code, text.startswith(f"{keys}: it is no archive")) == (3, True), text
    changed = repacked(archive, tmp_path / "changed.zip", lambda files: files.pop("README.txt"))
    assert ended(proof, "--keys", changed) == (
        3,
        f"{changed}: it does not verify, so its keys prove nothing. To see what is wrong with it, verify it by itself.\n",
    )
    assert ended(proof, "--keys", tmp_path / "gone.zip")[0] == 1
    assert ended(proof, "--checkpoint", page)[0] == ended(archive, "--keys", archive)[0] == 2


def test_no_verifier_has_a_log_in_memory_as_a_whole(tmp_path: Path) -> None:
    path, event = tmp_path / "record.zip", b" " * 1_000_000
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed, packed.open("logs/roster.events", "w") as file:
        for position in range(1, 41):
            file.write(b"%d %064d %d\n%s\n" % (position, 0, len(event), event))
    tracemalloc.start()
    try:
        assert sum(1 for _ in archives.opened(path).rows("roster")) == 40
        followed = verify.Log("roster", "log", None, [])
        verify.Archive(path).follow(followed)
        assert followed.last == 40
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 10 * len(event)


def lines(data: bytes) -> list[bytes]:
    """The frames of a log's file, each with its line."""
    return [b"%d %s %d\n%s\n" % (position, chain.encode(), len(event), event) for position, chain, event in verify.events_in(BytesIO(data))]


Done = Callable[[list[bytes]], list[bytes]]
DONE: dict[str, tuple[str, Done]] = {
    "a word": ("changed", lambda frames: [*frames[:3], frames[3].replace(b'"school":', b'"schoul":', 1), *frames[4:]]),
    "no line": ("changed", lambda frames: [*frames[:3], b"what?\n", *frames[3:]]),
    "left out": ("removed", lambda frames: [*frames[:3], *frames[4:]]),
    "twice": ("inserted", lambda frames: [*frames[:4], frames[3], *frames[4:]]),
    "exchanged": ("reordered", lambda frames: [*frames[:3], exchanged(frames[4], 4), exchanged(frames[3], 5), *frames[5:]]),
    "cut off": ("truncated", lambda frames: frames[:3]),
}
"""What is done to the fourth event of a log, or from there on."""


def exchanged(frame: bytes, position: int) -> bytes:
    """A frame in another one's place."""
    return b"%d " % position + frame.split(b" ", 1)[1]


@pytest.mark.parametrize("what", DONE)
def test_what_was_done_to_a_log_is_told_with_the_position(vekha: Vekha, archive: Path, tmp_path: Path, what: str) -> None:
    kind, done = DONE[what]

    def change(files: dict[str, bytes]) -> None:
        files["logs/roster.events"] = b"".join(done(lines(files["logs/roster.events"])))

    told = damage(vekha, repacked(archive, tmp_path / "record.zip", change))
    assert told == [("roster", 4, kind), ("archive", 0, "changed")]


def test_an_archive_that_was_made_anew_by_somebody_else_is_forged(vekha: Vekha, archive: Path, tmp_path: Path) -> None:
    assert damage(vekha, repacked(archive, tmp_path / "record.zip", lambda files: None)) == [("archive", 0, "forged")]
    assert damage(vekha, repacked(archive, tmp_path / "less.zip", lambda files: files.pop("README.txt"))) == [("archive", 0, "removed")]
    assert damage(vekha, repacked(archive, tmp_path / "more.zip", lambda files: files.update({"more.txt": b""}))) == [
        ("archive", 0, "inserted")
    ]


def signed_anew(archive: Path, to: Path, lived: Lived, change: Callable[[dict[str, bytes]], object]) -> Path:
    """The archive with some of its files changed, by somebody who has identity's key and whose manifest fits: all is as it is written."""
    key = DataFolder(lived.data).secrets().signing_key("identity")
    with zipfile.ZipFile(archive) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
        made = packed.comment.split()[1].decode()
    change(files)
    del files["manifest.json"]
    about = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()}
    files["manifest.json"] = json.dumps({"format": 1, "made": made, "files": about}).encode()
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    begins = f"vekha-archive/1 {made} {key_id(key.public_key())} "
    bare = to.read_bytes()[:-2] + (len(begins) + 128).to_bytes(2, "little")
    signature = key.sign(f"vekha-archive/1\n{made}\n{hashlib.sha256(bare).hexdigest()}\n".encode())
    to.write_bytes(bare + begins.encode() + signature.hex().encode())
    return to


def test_an_archive_without_one_of_the_logs_or_of_the_seals_does_not_verify_whoever_has_signed_it(
    vekha: Vekha, archive: Path, lived: Lived, tmp_path: Path
) -> None:
    assert damage(vekha, signed_anew(archive, tmp_path / "same.zip", lived, lambda files: None)) == []
    without = signed_anew(
        archive, tmp_path / "log.zip", lived, lambda files: (files.pop("logs/roster.events"), files.pop("seals/roster.json"))
    )
    assert damage(vekha, without) == [("archive", 0, "removed")]

    def unsealed(files: dict[str, bytes]) -> None:
        files["seals/roster.json"] = msgspec.json.encode(msgspec.json.decode(files["seals/roster.json"])[:-1])

    last = seals.Seal(**json.loads(zipfile.ZipFile(archive).read("seals/roster.json"))[-1])
    assert damage(vekha, signed_anew(archive, tmp_path / "seal.zip", lived, unsealed)) == [("roster", last.since + 1, "removed")]


def rechained(frames: list[bytes], log_id: str) -> list[bytes]:
    """The frames of roster's log with the hashes that they would have if they had been recorded like this."""
    chain, result = genesis("roster", log_id), list[bytes]()
    for frame in frames:
        head, _, event = frame.partition(b"\n")
        chain = link(chain, event[:-1])
        result.append(b"%s %s %d\n%s" % (head.split()[0], chain.hex().encode(), len(event) - 1, event))
    return result


UNREADABLE: dict[str, Callable[[bytes], bytes]] = {
    "of no contract": lambda event: re.sub(rb'"type":"[^"]+"', b'"type":"roster.nothing-at-all.v1"', event),
    "a word for a number": lambda event: re.sub(rb'"version":[0-9]+', b'"version":"one"', event),
    "a truth for a number": lambda event: re.sub(rb'"position":[0-9]+', b'"position":true', event),
    "no number": lambda event: event[:-1] + b',"more":NaN}',
    "half a character": lambda event: re.sub(rb'"actor":"[^"]+"', rb'"actor":"\\ud800"', event),
    "in UTF-16": lambda event: event.decode().encode("utf-16"),
    "too deep": lambda event: event[:-1] + b',"more":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}
"""Events that say nothing, or not what they should."""


@pytest.mark.parametrize("what", UNREADABLE)
def test_an_event_that_says_nothing_does_not_hide_what_was_done_from_either_verifier(
    vekha: Vekha, archive: Path, lived: Lived, tmp_path: Path, what: str
) -> None:
    sealed = [seals.Seal(**seal) for seal in json.loads(zipfile.ZipFile(archive).read("seals/roster.json"))]
    before = max(seal.position for seal in sealed if seal.position < 40)

    def change(files: dict[str, bytes], *, fits: bool) -> None:
        frames = lines(files["logs/roster.events"])
        head, _, event = frames[39].partition(b"\n")
        said = UNREADABLE[what](event[:-1])
        frames[39] = b"%s %d\n%s\n" % (head.rpartition(b" ")[0], len(said), said)
        files["logs/roster.events"] = b"".join(rechained(frames, sealed[0].log) if fits else frames)

    raw = signed_anew(archive, tmp_path / "raw.zip", lived, lambda files: change(files, fits=False))
    assert damage(vekha, raw) == [("roster", 40, "changed")]
    fitting = signed_anew(archive, tmp_path / "fitting.zip", lived, lambda files: change(files, fits=True))
    assert damage(vekha, fitting) == [("roster", before + 1, "forged")]


NO_SEALS: dict[str, Callable[[bytes], bytes]] = {
    "no list": lambda data: b"{}",
    "with a mark in front": lambda data: b"\xef\xbb\xbf" + data,
    "in UTF-16": lambda data: data.decode().encode("utf-16"),
    "no number": lambda data: data[:-2] + b',"more":NaN}]',
    "a truth for a number": lambda data: re.sub(rb'"since":0,', b'"since":false,', data),
    "half a character": lambda data: re.sub(rb'"hash":"[^"]+"', rb'"hash":"\\ud800"', data),
    "not all in UTF-8": lambda data: data[:-2] + b',"more":"\xff"}]',
    "not signed": lambda data: re.sub(rb',"signature":"[^"]+"', b"", data),
    "too deep": lambda data: data[:-2] + b',"more":' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
}


@pytest.mark.parametrize("what", NO_SEALS)
def test_what_are_no_seals_to_one_verifier_are_none_to_the_other(
    vekha: Vekha, archive: Path, lived: Lived, tmp_path: Path, what: str
) -> None:
    def change(files: dict[str, bytes]) -> None:
        files["seals/roster.json"] = NO_SEALS[what](files["seals/roster.json"])

    assert damage(vekha, signed_anew(archive, tmp_path / "record.zip", lived, change)) == [
        ("roster", 1, "removed"),
        ("archive", 0, "changed"),
    ]


@pytest.mark.parametrize("how", ["another table", "left out", "one more", "no table"])
def test_the_calendars_of_an_archive_are_those_that_the_plan_s_log_has_pinned(
    vekha: Vekha, archive: Path, lived: Lived, tmp_path: Path, how: str
) -> None:
    def change(files: dict[str, bytes]) -> None:
        first, second, *_ = sorted(name for name in files if name.startswith("calendars/"))
        match how:
            case "another table":
                files[first] = files[second]
            case "left out":
                del files[first]
            case "one more":
                files[f"calendars/{'0' * 64}.json"] = files[first]
            case _:
                files[first] = b"["

    assert damage(vekha, signed_anew(archive, tmp_path / "record.zip", lived, change)) == [("archive", 0, "changed")]


def test_files_that_are_packed_as_none_is_ever_written_are_not_unpacked(vekha: Vekha, archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "record.zip"
    with zipfile.ZipFile(archive) as packed, zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as anew:
        for name in packed.namelist():
            anew.writestr(name, packed.read(name))
    path.write_bytes(path.read_bytes().replace(b"\x09\x04\x05\x00\x5d", b"\x09\x04\x05\x00\xff"))  # properties that LZMA has none of
    assert damage(vekha, path) == [("archive", 0, "changed")]


@pytest.mark.parametrize("dated_back", ["seal", "both"])
def test_a_key_that_was_stolen_when_its_end_had_come_adds_nothing_to_a_log(
    vekha: Vekha, archive: Path, lived: Lived, tmp_path: Path, dated_back: str
) -> None:
    """Whoever has it signs a time at which it was good."""
    stolen, stolen_at = DataFolder(lived.first_day).secrets().signing_key("roster"), "2015-08-17T12:00:00.000000Z"

    def add(files: dict[str, bytes]) -> None:
        kept = [seals.Seal(**seal) for seal in json.loads(files["seals/roster.json"])]
        frames, last = lines(files["logs/roster.events"]), kept[-1]
        event = frames[-1].partition(b"\n")[2][:-1].replace(b'"position":%d,' % last.position, b'"position":%d,' % (last.position + 1))
        if dated_back == "both":
            event = re.sub(rb'"recordedat":"[^"]+"', f'"recordedat":"{stolen_at}"'.encode(), event)
        before = Head(last.position, bytes.fromhex(last.hash), last.recorded_at)
        seal = seals.kept(seals.Log("roster", last.log), before, [event], stolen_at, stolen)
        files["logs/roster.events"] += b"%d %s %d\n%s\n" % (seal.position, seal.hash.encode(), len(event), event)
        files["seals/roster.json"] = msgspec.json.encode([*kept, seal])
        page = checkpoint.read(files["checkpoint.txt"].decode())
        ends = {**page.sealed, "roster": checkpoint.Sealed(last.log, seal.position, seal.hash, last.recorded_at)}
        files["checkpoint.txt"] = (
            checkpoint.signed(page.made, ends, DataFolder(lived.data).secrets().signing_key("identity")).text().encode()
        )

    position = json.loads(zipfile.ZipFile(archive).read("seals/roster.json"))[-1]["position"] + 1
    kind = "forged" if dated_back == "seal" else "changed"
    assert damage(vekha, signed_anew(archive, tmp_path / "more.zip", lived, add)) == [("roster", position, kind)]


@pytest.mark.parametrize(
    ("manifest", "kind"),
    [
        (None, "removed"),
        ("[]", "changed"),
        ("what?", "changed"),
        ('{"files": {}}', "changed"),
        ('{"format": 1, "made": "2015", "files": {}}', "inserted"),
        ('{"format": 1, "made": "2015", "files": {"README.txt": {}}}', "changed"),
        ('{"format": 1, "made": "2015", "files": {"more.txt": {"sha256": "", "bytes": 0}}}', "removed"),
    ],
)
def test_of_a_manifest_that_is_none_both_verifiers_say_the_same(
    vekha: Vekha, archive: Path, tmp_path: Path, manifest: str | None, kind: str
) -> None:
    def change(files: dict[str, bytes]) -> None:
        del files["manifest.json"]
        if manifest is not None:
            files["manifest.json"] = manifest.encode()

    changed = repacked(archive, tmp_path / "record.zip", change)
    assert damage(vekha, changed)[-1] == proven(changed)[1][-1] == ("archive", 0, kind)


def test_an_archive_that_ends_before_a_checkpoint_that_was_kept_is_truncated(
    vekha: Vekha, archive: Path, lived: Lived, tmp_path: Path
) -> None:
    page = tmp_path / "page.txt"
    assert vekha("audit", "checkpoint", "--data", lived.data, "--out", page).code == 0
    assert damage(vekha, archive, "--checkpoint", page) == []


def proven(path: Path, *options: str | Path) -> tuple[int, Told]:
    ended = subprocess.run(
        [sys.executable, "-I", verify.__file__, path, "--json", *options], capture_output=True, text=True, check=False, timeout=60
    )
    return ended.returncode, [(one["service"], one["position"], one["kind"]) for one in json.loads(ended.stdout)["damage"]]


@pytest.mark.parametrize("service", SERVICES)
def test_each_event_is_proved_by_a_dozen_hashes_to_whoever_has_the_keys(
    vekha: Vekha, archive: Path, lived: Lived, tmp_path: Path, service: str
) -> None:
    with reading(DataFolder(lived.data), service) as connection:
        kept = log.read(connection, 0, 1_000_000)
    for position, _, data in (kept[0], kept[len(kept) // 2], kept[-1]):
        out = tmp_path / f"{position}.json"
        ended = vekha("audit", "prove", "--event", json.loads(data)["id"], "--data", lived.data, "--out", out)
        assert ended.code == 0, ended.err
        proof = json.loads(out.read_text())
        assert base64.b64decode(proof["event"]) == data
        assert len(proof["path"]) <= 10
        assert proven(out) == proven(out, "--keys", archive) == (0, [])
        proof["event"] = base64.b64encode(data.replace(b'"school"', b'"schoul"')).decode()
        out.write_text(json.dumps(proof))
        assert proven(out) == (4, [(service, position, "changed")])
        proof |= {"event": base64.b64encode(data).decode(), "seal": proof["seal"] | {"recorded_at": "2015-01-01T00:00:00.000000Z"}}
        out.write_text(json.dumps(proof))
        assert proven(out) == (4, [(service, proof["seal"]["position"], "forged")])


@pytest.mark.parametrize("position", [40, 1_000])
def test_a_key_that_was_stolen_when_its_end_had_come_proves_nothing_to_whoever_has_an_archive(
    archive: Path, lived: Lived, tmp_path: Path, position: int
) -> None:
    """It is good for what is dated back, and the archive tells what was recorded by then."""
    stolen, stolen_at = DataFolder(lived.first_day).secrets().signing_key("roster"), "2015-08-17T12:00:00.000000Z"
    with reading(DataFolder(lived.data), "roster") as connection:
        whose, ((_, _, data),) = seals.Log("roster", log.log_id(connection)), log.read(connection, 39, 1)
        keys = [base64.b64encode(key).decode() for key in log.of_streams(connection, KEYS.stream("roster"))]
    event = re.sub(
        rb'"recordedat":"[^"]+"', f'"recordedat":"{stolen_at}"'.encode(), data.replace(b'"position":40,', b'"position":%d,' % position)
    )
    seal = seals.kept(whose, Head(position - 1, b"", ""), [event], stolen_at, stolen)
    proof = tmp_path / "proof.json"
    proof.write_text(json.dumps({"event": base64.b64encode(event).decode(), "path": [], "seal": msgspec.to_builtins(seal), "keys": keys}))
    assert proven(proof) == (0, [])  # nothing in it is wrong
    assert proven(proof, "--keys", archive) == (4, [("roster", position, "forged")])


def ended(*arguments: str | Path) -> tuple[int, str]:
    """How the archive's own verifier ends, and what it says on stderr."""
    done = subprocess.run([sys.executable, "-I", verify.__file__, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_the_archives_own_verifier_tells_what_it_cannot_read(archive: Path, tmp_path: Path) -> None:
    gone, page = tmp_path / "gone.zip", tmp_path / "page.txt"
    page.write_text("VEKHA CHECKPOINT 1")
    assert ended(gone) == (1, f"{gone} cannot be read: No such file or directory.\n")
    assert ended(archive, "--checkpoint", page) == (3, f"{page}: there is no checkpoint in it.\n")
    for number, text in enumerate(('{"answer": "{', "{}", "[]", '{"answer": "{}", "checkpoint": ""}')):
        proof = tmp_path / f"{number}.json"
        proof.write_text(text)
        assert proven(proof) == (4, [("proof", 0, "changed")])


def test_what_cannot_be_proved_is_refused_with_a_reason(vekha: Vekha, lived: Lived, tmp_path: Path) -> None:
    unknown = vekha("audit", "prove", "--event", "nobody", "--data", lived.data, "--json")
    assert (unknown.code, unknown.error["code"]) == (1, "event.unknown")
    data = lived.copy(tmp_path / "data")
    with closing(sqlite3.connect(data / "db" / "roster.db", isolation_level=None)) as database:
        (event,) = database.execute("SELECT event_id FROM log ORDER BY position LIMIT 1").fetchone()
        database.execute("UPDATE seal SET root = ?", ("00" * 32,))
        differs = vekha("audit", "prove", "--event", event, "--data", data, "--json")
        assert (differs.code, differs.error["code"]) == (4, "record.differs")
        database.execute("DELETE FROM seal")
        unsealed = vekha("audit", "prove", "--event", event, "--data", data, "--json")
        assert (unsealed.code, unsealed.error["code"]) == (1, "event.unsealed")


@pytest.mark.parametrize("step", [1, 5, 12, 13, 14, 18])
def test_an_answer_is_proved_with_every_event_that_it_rests_on(
    vekha: Vekha, archive: Path, lived: Lived, tmp_path: Path, step: int
) -> None:
    out = tmp_path / "answer.json"
    ended = vekha("audit", "prove", "--school", SCHOOL, "--step", str(step), "--data", lived.data, "--out", out)
    assert ended.code == 0, ended.err
    proof = json.loads(out.read_text())
    assert proof["answer"] == lived.explanations[step - 1]  # what the plan tracker answered, byte for byte
    answer = json.loads(proof["answer"])
    there = {(event["type"].split(".")[0], event["position"]) for event in events_of(proof)}
    assert {(event["service"], event["position"]) for event in answer["events"]} < there
    assert ("plan", PlanAdopted.type) in {(event["type"].split(".")[0], event["type"]) for event in events_of(proof)}
    assert proven(out) == proven(out, "--keys", archive) == (0, [])
    told = subprocess.run([sys.executable, "-I", verify.__file__, out], capture_output=True, text=True, check=True, timeout=60).stdout
    assert f"{SCHOOL}, step {step}, at the end of {answer['as_of']}: {answer['row']['state']}" in told


def test_an_answer_of_an_earlier_day_is_proved_from_what_is_known_now(vekha: Vekha, lived: Lived) -> None:
    ended = vekha("audit", "prove", "--school", SCHOOL, "--step", "12", "--as-of", "2015-08-24", "--data", lived.data)
    answer = json.loads(ended.json["answer"])
    row = next(row for row in json.loads(lived.boards[date(2015, 8, 24)])["steps"] if row["step"] == 12)
    assert (answer["as_of"], answer["row"]) == ("2015-08-24", row)


def test_whatever_is_changed_in_the_proof_of_an_answer_is_found(vekha: Vekha, lived: Lived, tmp_path: Path) -> None:
    out = tmp_path / "answer.json"
    assert vekha("audit", "prove", "--school", SCHOOL, "--step", "12", "--data", lived.data, "--out", out).code == 0
    whole = out.read_text()
    answer = json.loads(json.loads(whole)["answer"])
    counting = answer["events"][-1]

    def found(change: Callable[[dict[str, Any]], object]) -> Told:
        proof = json.loads(whole)
        change(proof)
        out.write_text(json.dumps(proof))
        code, told = proven(out)
        assert code == 4
        return told

    def another_state(proof: dict[str, Any]) -> None:
        proof["answer"] = proof["answer"].replace(f'"state":"{answer["row"]["state"]}"', '"state":"waived"')

    def another_event(proof: dict[str, Any]) -> None:
        one = proof["events"][place_of(proof, counting)]
        one["event"] = base64.b64encode(base64.b64decode(one["event"]).replace(b'"school"', b'"schoul"')).decode()

    def another_seal(proof: dict[str, Any]) -> None:
        proof["seals"][0]["recorded_at"] = "2015-01-01T00:00:00.000000Z"

    def another_checkpoint(proof: dict[str, Any]) -> None:
        proof["checkpoint"] = re.sub(r"roster +\d+", "roster    1", proof["checkpoint"])

    assert found(another_state) == [("answer", 0, "forged")]
    assert found(another_event) == [(counting["service"], counting["position"], "changed"), ("answer", 0, "forged")]
    assert found(lambda proof: proof["events"].pop(place_of(proof, counting))) == [
        ("answer", 0, "forged"),
        (counting["service"], counting["position"], "removed"),
    ]
    assert found(lambda proof: proof["events"].append(proof["events"][0])) == [("answer", 0, "forged")]
    seal = json.loads(whole)["seals"][0]
    assert found(another_seal) == [(seal["service"], seal["position"], "forged")]
    assert found(another_checkpoint) == [("identity", 0, "forged"), ("answer", 0, "forged"), ("answer", 0, "changed")]


def events_of(proof: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(base64.b64decode(one["event"])) for one in proof["events"]]


def place_of(proof: dict[str, Any], counting: dict[str, Any]) -> int:
    """Where the proof of one of an answer's events stands."""
    at = [(event["type"].split(".")[0], event["position"]) for event in events_of(proof)]
    return at.index((counting["service"], counting["position"]))


def test_an_answer_that_there_is_not_cannot_be_proved(vekha: Vekha, lived: Lived) -> None:
    def refused(*arguments: str) -> tuple[int, str]:
        ended = vekha("audit", "prove", *arguments, "--data", lived.data, "--json")
        return ended.code, ended.error["code"]

    assert refused("--school", "nowhere", "--step", "1") == (1, "school.unknown")
    assert refused("--school", SCHOOL, "--step", "40") == (1, "step.unknown")
    assert refused("--school", SCHOOL, "--step", "1", "--as-of", "2099-01-01") == (1, "as-of.in-future")
    assert refused("--school", SCHOOL, "--step", "1", "--as-of", "2015-01-01") == (1, "plan.not-adopted")
    assert refused("--school", SCHOOL) == refused() == refused("--step", "1") == (2, "usage.invalid")
