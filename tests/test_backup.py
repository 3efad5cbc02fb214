"""A backup made while the instance runs, restored into an empty folder (DESIGN 2.1, 2.3, 2.7), seen from the outside."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import stat
import zipfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts import SERVICES, roster
from eventkit.event import rfc3339
from tests import record
from tests.conftest import Lived, boards, instance
from tests.load import check_running, check_stopped
from tests.school import SCHOOL
from tests.test_erasure import enter, order, reached, refusal, wrapped_key
from vekha import backups
from vekha.backup import back_up
from vekha.failures import Failure
from vekha.folder import DataFolder
from vekha.restore import restored
from vekha.testing import Vekha


def to_new_folder(lived: Lived, file: Path, to: Path, **options: Path) -> Path:
    """Restores a backup beside the secrets, which are kept elsewhere."""
    shutil.copytree(lived.data / "secrets", to / "secrets")
    done = restored(DataFolder(to), file, **options)
    assert done.behind == []
    return to


def written_anew(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def aged(path: Path, days: int) -> None:
    def older(files: dict[str, bytes]) -> None:
        manifest = json.loads(files["manifest.json"])
        files["manifest.json"] = json.dumps({**manifest, "made": rfc3339(datetime.now(UTC) - timedelta(days=days))}).encode()

    written_anew(path, older)


async def test_what_is_backed_up_while_people_are_entered_is_one_moment_and_goes_on_elsewhere(lived: Lived, tmp_path: Path) -> None:
    data, file = lived.copy(tmp_path / "data"), tmp_path / "one.zip"
    async with instance(data) as client:
        backing = asyncio.create_task(asyncio.to_thread(back_up, DataFolder(data), file))
        person, _ = await enter(client)
        manifest, expired = await backing
        assert expired == []
        assert await boards(client)
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE(Path(f"{file}.keys").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("one") or path.name.startswith(".")) == [
        "one.zip",
        "one.zip.keys",
    ]
    new = to_new_folder(lived, file, tmp_path / "new")
    for service, messages in record.logs(new).items():
        assert len(messages) == manifest.heads[service].position
        assert messages == record.logs(data)[service][: len(messages)]
    async with instance(new) as client:
        await check_running(client, new)
    check_stopped(new, tmp_path)
    assert person


async def test_who_was_erased_after_a_backup_is_not_brought_back_by_it(lived: Lived, tmp_path: Path) -> None:
    data, first, second = lived.copy(tmp_path / "data"), tmp_path / "first.zip", tmp_path / "second.zip"
    async with instance(data) as client:
        person, _ = await enter(client)
        before, _ = await asyncio.to_thread(back_up, DataFolder(data), first)
        await order(client, person)
        await reached(client, person, "completed")
        after, _ = await asyncio.to_thread(back_up, DataFolder(data), second)
    asked = roster.PersonQuery(school=SCHOOL, person=person)

    # The databases of before, with the keys of after, which lie beside them: the log does not know of the erasure yet.
    older = to_new_folder(lived, first, tmp_path / "older")
    assert wrapped_key(older, person) is None
    async with instance(older) as client:
        assert await refusal(client, roster.PERSON, asked) == "person.erased"

    # The keys of before, with databases that know of it: the start destroys again.
    newer = to_new_folder(lived, second, tmp_path / "newer", keys=Path(f"{first}.keys"))
    assert wrapped_key(newer, person) is not None
    async with instance(newer) as client:
        assert await refusal(client, roster.PERSON, asked) == "person.erased"
    assert wrapped_key(newer, person) is None
    assert before.heads["roster"].position < after.heads["roster"].position
    check_stopped(newer, tmp_path)


async def test_what_was_recorded_after_the_backup_comes_back_from_the_streams_that_are_left(
    lived: Lived, tmp_path: Path, vekha: Vekha
) -> None:
    data, file = lived.copy(tmp_path / "data"), tmp_path / "one.zip"
    async with instance(data) as client:
        await asyncio.to_thread(back_up, DataFolder(data), file)
        person, _ = await enter(client)
        await asyncio.sleep(1.5)  # by then it is sealed
    new = to_new_folder(lived, file, tmp_path / "new")
    shutil.copytree(data / "bus", new / "bus")
    repaired = await asyncio.to_thread(vekha, "doctor", "--repair", "--data", new, "--json")
    assert repaired.code == 0, repaired
    assert repaired.json["taken_back"]["roster"] > 0
    assert record.logs(new) == record.logs(data)
    found = await asyncio.to_thread(vekha, "doctor", "--data", new, "--json")
    [nameless] = [check for check in found.json["checks"] if check["state"] == "finding"]
    assert nameless["check"] == "database roster"
    assert person in nameless["text"]  # names were in the lost part of the database alone


def test_backups_of_keys_are_destroyed_after_a_week_and_those_of_databases_stay(lived: Lived, tmp_path: Path, vekha: Vekha) -> None:
    kept, data = tmp_path / "kept", lived.copy(tmp_path / "data")
    kept.mkdir()
    for name in ("old", "new"):
        assert vekha("backup", "--data", data, "--out", kept / name).code == 0
    aged(kept / "old.keys", 8)
    aged(kept / "new.keys", 6)
    (kept / "somebody.keys").write_text("else's")
    made = vekha("backup", "--data", data, "--out", kept / "third", "--json").json
    assert made["expired"] == [str(kept / "old.keys")]
    assert made["heads"] == {service: len(record.logs(lived.data)[service]) for service in SERVICES}
    assert {path.name for path in kept.iterdir()} == {"old", "new", "new.keys", "third", "third.keys", "somebody.keys"}
    assert vekha("backup", "--data", data, "--out", kept / "third", "--json").error["code"] == "file.exists"


def test_no_secret_and_no_key_is_in_the_backup_of_the_databases(lived: Lived, tmp_path: Path) -> None:
    file = tmp_path / "one.zip"
    back_up(DataFolder(lived.copy(tmp_path / "data")), file)
    with zipfile.ZipFile(file) as archive:
        assert set(archive.namelist()) == {"manifest.json", "instance.json", "clock", *(f"db/{service}.db" for service in SERVICES)}
        content = b"".join(archive.read(name) for name in archive.namelist())
    for secret in (lived.data / "secrets").iterdir():
        assert secret.read_bytes().strip() not in content, secret.name
    with closing(sqlite3.connect(lived.data / "keys" / "roster.db")) as keys:
        wrapped = [row[0] for row in keys.execute("SELECT key FROM person_key")]
    assert wrapped
    assert not [key for key in wrapped if key in content]


def test_a_backup_is_restored_as_a_whole_or_not_at_all(lived: Lived, tmp_path: Path, vekha: Vekha) -> None:
    file, new = tmp_path / "one.zip", tmp_path / "new"
    back_up(DataFolder(lived.copy(tmp_path / "data")), file)

    def code(*arguments: str | Path) -> str:
        return vekha("restore", *arguments, "--json").error["code"]

    assert code(file, "--data", lived.data) == "restore.not-empty"
    assert code(tmp_path / "none", "--data", new) == "backup.missing"
    assert code(lived.data / "instance.json", "--data", new) == "backup.unreadable"
    assert code(Path(f"{file}.keys"), "--data", new) == "restore.mixed-up"
    assert code(file, "--data", new, "--keys", file) == "restore.mixed-up"
    other = tmp_path / "other.zip"
    shutil.copy(file, other)

    def flip(files: dict[str, bytes]) -> None:
        content = bytearray(files["db/consent.db"])
        content[-1] ^= 1
        files["db/consent.db"] = bytes(content)

    written_anew(other, flip)
    assert code(other, "--data", new) == "backup.damaged"
    assert not [path for path in new.iterdir() if path.name != "run"]
    # One that was cut off is no instance, and is begun anew.
    (new / "restoring" / "db").mkdir(parents=True)
    shutil.copytree(lived.data / "db", new / "db")
    with pytest.raises(Failure, match="data"):
        DataFolder(new).check()
    done = vekha("restore", file, "--data", new, "--json")
    assert (done.code, done.json["secrets"], done.json["without_key"]) == (0, False, 0)
    assert {path.name for path in new.iterdir()} == {"run", "db", "keys", "clock", "instance.json"}
    assert record.logs(new) == record.logs(lived.data)
    Path(f"{file}.keys").unlink()
    assert code(file, "--data", tmp_path / "third") == "restore.keys-missing"


@pytest.mark.slow
def test_a_drill_restores_verifies_compares_and_is_told_by_doctor(lived: Lived, tmp_path: Path, vekha: Vekha) -> None:
    data, file = lived.copy(tmp_path / "data"), tmp_path / "one.zip"
    assert vekha("backup", "--data", data, "--out", file).code == 0
    assert DataFolder(data).remembered("drill") is None
    done = vekha("drill", file, "--data", data, "--json")
    assert done.code == 0, done
    assert done.json["boards"].keys() == {SCHOOL}
    assert done.json["heads"].keys() == set(SERVICES)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".vekha")]
    checks = {check["check"]: check for check in vekha("doctor", "--data", data, "--json").json["checks"]}
    assert (checks["backup"]["state"], checks["restore drill"]["state"]) == ("ok", "ok")

    def cut(files: dict[str, bytes]) -> None:
        """A record that was tampered with, in a backup that says so of itself."""
        (tmp_path / "cut.db").write_bytes(files["db/roster.db"])
        with closing(sqlite3.connect(tmp_path / "cut.db")) as database:
            database.execute("UPDATE log SET bytes = CAST(replace(bytes, 'mytishchi', 'mytishchy') AS BLOB)")
            database.commit()
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        files["db/roster.db"] = (tmp_path / "cut.db").read_bytes()
        manifest = json.loads(files["manifest.json"])
        manifest["files"]["db/roster.db"] = backups.digest(tmp_path / "cut.db")
        files["manifest.json"] = json.dumps(manifest).encode()

    written_anew(file, cut)
    assert vekha("drill", file, "--data", data, "--json").error["code"] == "drill.unverified"
