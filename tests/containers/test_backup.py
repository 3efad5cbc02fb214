"""Backups of the stack: taken while it runs, restored on trial beside it, and into it after its database was lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.containers.stack import SERVICES, Stack
from tests.runbook import sections
from vekha import story

_EXAMPLE = "backups/vekha-20260901T030000Z.dump"
"""A backup's name as it stands in the runbook."""

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backups")


@pytest.fixture(scope="module")
def backup(school: Stack, folder: Path) -> Path:
    """A backup after identity's key was changed, and carried to the other secrets as it says."""
    school.typed(sections()["a-key-that-has-expired-or-was-stolen"])
    said = school.run("deploy/backup", folder).stderr
    (line,) = [line for line in said.splitlines() if line.startswith("docker compose exec")]
    school.run("sh", "-c", line)
    again = folder / "again"
    assert school.run("deploy/backup", again).stderr == ""
    (made,) = again.glob("*.dump")
    return made


def _clock(stack: Stack) -> str:
    """Where the stack's clock stands: one beside it that began anew would be behind what was recorded."""
    return stack.inside("roster", "print(open('/var/lib/vekha/clock').read(), end='')")


def test_a_backup_holds_neither_keys_nor_secrets_and_its_keys_stand_beside_it(school: Stack, backup: Path) -> None:
    listed = {
        name: school.run("sh", "-c", f"docker compose exec -T postgres pg_restore --list <{backup}{name}").stdout for name in ("", ".keys")
    }
    assert "TABLE DATA roster vault" in listed[""]
    assert "person_key" not in listed[""]
    assert "TABLE DATA keys person_key" in listed[".keys"]
    assert "TABLE DATA roster" not in listed[".keys"]
    assert not (backup.stat().st_mode & 0o077)


def test_keys_are_kept_for_a_week(school: Stack, backup: Path, tmp_path: Path) -> None:
    old = tmp_path / "vekha-20200101T000000Z.dump"
    for suffix in ("", ".keys", ".keys.sha256"):
        shutil.copy(backup, f"{old}{suffix}")
    done = school.run("deploy/backup", tmp_path)
    assert f"{old}.keys was older than 7 days" in done.stdout
    assert sorted(path.suffix for path in tmp_path.glob(f"{old.name}*")) == [".dump"]
    assert len(list(tmp_path.glob("*.dump.keys"))) == 1


def test_a_backup_is_taken_while_a_service_is_down_and_says_what_it_could_not_see(school: Stack, tmp_path: Path) -> None:
    """It must not say that a key lacks: to carry what a stopped container does not tell would empty the file that holds it."""
    school.compose("stop", "roster", "consent")
    try:
        done = school.run("deploy/backup", tmp_path)
    finally:
        school.up()
    assert len(list(tmp_path.glob("*.dump"))) == 1
    assert "consent does not run" in done.stderr
    assert "roster does not run, so the figures do not tell" in done.stderr
    assert "Type:" not in done.stderr


def test_a_backup_is_restored_beside_the_stack_and_has_the_same_record_and_boards(school: Stack, backup: Path) -> None:
    done = school.run("deploy/drill", backup, timeout_s=600, VEKHA_MANUAL_CLOCK=_clock(school))
    assert "The record verifies." in done.stdout
    assert "The running instance holds and answers the same." in done.stdout
    assert school.inside("roster", "print(open('/var/lib/vekha/last-drill').read(), end='')").startswith("20")
    assert school.run("docker", "compose", "--project-name", f"{school.name}-drill", "ps", "--all", "--quiet").stdout == ""


def test_a_backup_is_not_put_over_events(school: Stack, backup: Path) -> None:
    refused = school.run("deploy/restore", backup, check=False)
    assert refused.returncode == 1
    assert "holds events, and nothing is put over them" in refused.stderr
    school.wait_until_healthy(*SERVICES, within_s=5)  # it was refused before anything was stopped


def test_a_backup_that_was_changed_is_refused(school: Stack, backup: Path, tmp_path: Path) -> None:
    for path in backup.parent.glob(f"{backup.name}*"):
        shutil.copy(path, tmp_path)
    changed = tmp_path / backup.name
    changed.write_bytes(changed.read_bytes()[:-1])
    refused = school.run("deploy/restore", changed, check=False)
    assert refused.returncode == 1
    assert "is not what deploy/backup wrote" in refused.stderr


def test_a_lost_database_is_put_back_from_its_backup_with_the_newest_keys(school: Stack, backup: Path) -> None:
    before = school.vekha("plan", "status", "--school", story.SCHOOL, "--json").json
    school.run("deploy/backup", backup.parent)
    newest = max(backup.parent.glob("*.keys"))
    assert newest.name != f"{backup.name}.keys"
    school.compose("rm", "--stop", "--force", "postgres")
    school.run("docker", "volume", "rm", f"{school.name}_database")
    done = school.run("deploy/restore", backup)
    assert f"the keys those of {newest}" in done.stdout
    assert school.vekha("plan", "status", "--school", story.SCHOOL, "--json").json == before
    assert "The record verifies." in school.compose("run", "--rm", "vekha", "audit", "verify").stdout
    listed = school.compose("run", "--rm", "vekha", "events", "--service", "roster", "--offline", "--json").stdout.splitlines()
    assert len(listed) == school.vekha("events", "--service", "roster", "--json").out.count("\n")


def test_what_was_recorded_after_the_backup_comes_back_from_the_bus_as_the_runbook_has_it(school: Stack, folder: Path) -> None:
    school.run("deploy/backup", folder)
    newest = max(folder.glob("*.dump"))
    school.call("roster.open-school", {"school": "school-after", "name": "Школа № 9", "municipality": "mytishchi"})
    board = school.vekha("plan", "status", "--school", story.SCHOOL, "--json").json
    *lose, restore, verify = sections()["a-lost-database"]
    school.typed(lose)
    with pytest.raises(pytest.fail.Exception, match="see 'A restored database'"):
        school.typed([restore], {_EXAMPLE: str(newest)})
    steps = sections()["a-restored-database"]
    said = school.typed(steps[next(number for number, line in enumerate(steps) if line.startswith("docker compose stop")) :])
    assert "roster: 1 events were taken back from the bus." in said
    school.wait_until_healthy(*SERVICES)
    assert "The record verifies." in school.typed([verify])
    opened = [event["school"] for event in school.vekha("events", "--service", "roster", "--type", "school-opened", "--json").lines]
    assert opened.count("school-after") == 1
    after = school.vekha("plan", "status", "--school", story.SCHOOL, "--json").json
    assert after | {"at": board["at"]} == board
