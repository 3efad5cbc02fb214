"""Services apart, audited by an operator without their keys: identity says where the logs are sealed, and names who signs the rest."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from contracts.event import SERVICES
from contracts.identity import CHECKPOINT
from contracts.operations import Nothing
from contracts.roster import OPEN_SCHOOL, OpenSchool
from eventkit import checkpoint, log, sealing, seals
from eventkit.checkpoint import Named
from eventkit.secrets import OPERATOR, Secrets, public_bytes
from eventkit.testing_servers import postgres_server
from tests import school
from tests.apart import Apart, running_apart
from tests.conftest import Lived, instance
from tests.load import settle
from tests.school import SCHOOL
from vekha.archive import verify, writing
from vekha.client import Target
from vekha.failures import Failure
from vekha.folder import DataFolder
from vekha.records import reading
from vekha.signing import Signing, signing
from vekha.testing import Outcome, Vekha

Type = Callable[..., Outcome]


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """Services apart in which a school's first day was lived through."""
    with postgres_server() as postgres, asyncio.Runner() as runner:
        running = running_apart(tmp_path_factory.mktemp("apart"), postgres)
        found = runner.run(running.__aenter__())
        try:
            runner.run(_live(found))
            yield found
        finally:
            runner.run(running.__aexit__(None, None, None))


async def _live(apart: Apart) -> None:
    async with apart.client() as client:
        await school.found(client.ask)
        await settle(client)


@pytest.fixture
def typed(apart: Apart, vekha: Vekha, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Types a command as an operator who audits."""
    monkeypatch.setenv("VEKHA_DATABASE", f"postgresql://127.0.0.1:{apart.postgres.port}/postgres")

    def run(*arguments: str | Path) -> Outcome:
        return vekha(*arguments, "--data", apart.secrets.operator.root, "--server", apart.url)

    return run


def _verified_alone(path: Path, *options: str | Path) -> tuple[int, list[tuple[str, int, str]]]:
    """What the archive's own program says, which shares no code with ours."""
    command = [sys.executable, "-I", verify.__file__, path, "--json", *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode in (0, 4), ended.stderr
    return ended.returncode, [(one["service"], one["position"], one["kind"]) for one in json.loads(ended.stdout)["damage"]]


def _verified(typed: Type, path: Path) -> list[tuple[str, int, str]]:
    """What both verifiers say, which has to be the same."""
    ours = typed("audit", "verify", path, "--json").json
    told = [(one["service"], one["position"], one["kind"]) for one in ours["damage"]]
    assert _verified_alone(path) == (4 if told else 0, told)
    return told


def _settled(apart: Apart, typed: Type) -> None:
    """Waits until everything is sealed, on the bus as well."""
    deadline = time.monotonic() + 30
    while True:
        sealed = typed("audit", "checkpoint", "--json").json["sealed"]
        if all(sealed[service]["position"] == _head(apart, service) for service in SERVICES):
            return
        assert time.monotonic() < deadline, sealed
        time.sleep(0.2)


def _head(apart: Apart, service: str) -> int:
    with apart.reading(service) as connection:
        return log.head(connection).position


def test_an_archive_of_services_apart_verifies_like_any_other_and_replays_to_what_they_answer(
    apart: Apart, typed: Type, tmp_path: Path
) -> None:
    _settled(apart, typed)
    out = tmp_path / "record.zip"
    made = typed("audit", "export", "--out", out, "--json")
    assert made.code == 0, made.err
    assert made.json["heads"] == {service: _head(apart, service) for service in SERVICES}
    assert _verified(typed, out) == []
    for service in SERVICES:
        with apart.reading(service) as connection, zipfile.ZipFile(out) as packed, packed.open(f"logs/{service}.events") as file:
            kept = [(position, data) for position, _, data in log.read(connection, 0, 1_000_000)]
            assert [(position, data) for position, _, data in verify.events_in(file)] == kept
    replayed = typed("audit", "replay", out, "--compare", "--school", SCHOOL, "--json")
    assert (replayed.code, replayed.json["differences"]) == (0, [])
    assert replayed.json["board"]["school"] == SCHOOL


def test_doctor_holds_the_streams_of_services_apart_against_what_they_say_of_their_logs(apart: Apart, typed: Type) -> None:
    _settled(apart, typed)
    told = {check["check"]: check for check in typed("doctor", "--json").json["checks"]}
    for service in SERVICES:
        of_stream = told[f"bus stream {service}"]
        assert (of_stream["state"], of_stream["text"]) == ("ok", f"{_head(apart, service)} messages.")


def test_a_page_and_proofs_of_services_apart_hold_without_them(apart: Apart, typed: Type, tmp_path: Path) -> None:
    page, of_event, proof = (tmp_path / name for name in ("page.txt", "event.json", "proof.json"))
    assert typed("audit", "checkpoint", "--out", page).code == 0
    assert typed("audit", "verify", "--checkpoint", page).code == 0
    with apart.reading("roster") as connection:
        ((_, _, event),) = log.read(connection, 1, 1)
    assert typed("audit", "prove", "--event", json.loads(event)["id"], "--out", of_event).code == 0
    assert _verified_alone(of_event) == (0, [])
    ended = typed("audit", "prove", "--school", SCHOOL, "--step", "12", "--out", proof)
    assert ended.code == 0, ended.err
    assert _verified_alone(proof) == (0, [])
    whole = json.loads(proof.read_text())
    shown = typed("call", "plan.explain", json.dumps({"school": SCHOOL, "step": 12}), "--json").json["reply"]
    assert json.loads(whole["answer"]) | {"at": shown["at"]} == shown
    another = Secrets.key_of(apart.secrets.service("notifier"), "notifier")
    signer = {"public_key": public_bytes(another.public_key()).hex(), "signature": whole["signer"]["signature"]}
    changes: list[dict[str, Any]] = [
        {"signature": another.sign(b"said").hex()},
        {"signer": signer},
        {"signer": {"public_key": "?", "signature": ""}},
        {"signer": []},
    ]
    for changed in changes:
        proof.write_text(json.dumps(whole | changed))
        assert _verified_alone(proof) == (4, [("answer", 0, "forged")])


def test_who_signs_an_archive_is_whom_identity_has_named_for_it_alone(apart: Apart, typed: Type, tmp_path: Path) -> None:
    """Neither the operator without identity's word, nor with its word for another page, nor anybody else who has it."""
    operator = Secrets.key_of(apart.secrets.operator.secrets_folder, OPERATOR)
    somebody = Secrets.key_of(apart.secrets.service("roster"), "roster")
    folder = replace(apart.secrets.operator, database_server=f"postgresql://127.0.0.1:{apart.postgres.port}/postgres")
    earlier = signing(Target(folder, apart.url))
    while (now := signing(Target(folder, apart.url))).checkpoint == earlier.checkpoint:
        asyncio.run(_advance(apart))
    assert earlier.named is not None
    assert now.named is not None
    theirs = Named(public_bytes(somebody.public_key()).hex(), now.named.signature)

    def told(number: int, signing: Signing) -> list[tuple[str, int, str]]:
        with (tmp_path / f"{number}.zip").open("x+b") as file:
            writing.write(folder, signing, file, lambda done, total: None)
        return _verified(typed, tmp_path / f"{number}.zip")

    assert told(1, now) == []
    forged = [("archive", 0, "forged")]
    assert told(2, Signing(now.checkpoint, operator)) == forged
    assert told(3, Signing(now.checkpoint, operator, earlier.named)) == forged
    assert told(4, Signing(now.checkpoint, somebody, now.named)) == forged
    assert told(5, Signing(now.checkpoint, somebody, theirs)) == forged
    assert told(6, Signing(now.checkpoint, operator, Named("no key", "nor signature"))) == forged


async def _advance(apart: Apart) -> None:
    async with apart.client() as client:
        await client.ask(OPEN_SCHOOL, OpenSchool(school=f"school-{time.monotonic_ns()}", name="Школа", municipality="mytishchi"))
    await asyncio.sleep(0.5)


def test_after_a_rotation_of_its_key_identity_signs_with_the_new_one(apart: Apart, typed: Type, tmp_path: Path) -> None:
    before = typed("audit", "checkpoint", "--json").json
    rotated = typed("call", "identity.rotate-key", "{}", "--json").json["reply"]
    after = typed("audit", "checkpoint", "--json").json
    assert (before["key"], after["key"]) == (rotated["before"], rotated["key_id"])
    _settled(apart, typed)
    assert typed("audit", "export", "--out", tmp_path / "record.zip").code == 0
    assert _verified(typed, tmp_path / "record.zip") == []


def test_nothing_is_signed_with_identity_s_word_that_the_database_does_not_hold(apart: Apart, typed: Type, tmp_path: Path) -> None:
    out = tmp_path / "record.zip"
    _settled(apart, typed)
    with psycopg.connect(apart.postgres.url, autocommit=True) as database:
        changed = "UPDATE consent.log SET hash = %s WHERE position = (SELECT max(position) FROM consent.log) RETURNING position"
        kept = "SELECT hash FROM consent.log ORDER BY position DESC LIMIT 1"
        whole = database.execute(kept).fetchone()
        assert whole is not None
        database.execute(changed, [b"\0" * 32])
        try:
            refused = typed("audit", "export", "--out", out, "--json")
            assert (refused.code, refused.error["code"]) == (4, "checkpoint.differs")
            assert not out.exists()
        finally:
            database.execute(changed, whole)
    assert typed("audit", "export", "--out", out, "--json").code == 0


async def test_identity_signs_what_it_has_heard_under_a_seal_that_holds_and_is_handed_nothing(lived: Lived, tmp_path: Path) -> None:
    data = lived.copy(tmp_path / "data")
    folder = DataFolder(data)
    key = folder.secrets().signing_key("plan")
    async with instance(data) as client:
        heard = checkpoint.read((await client.ask(CHECKPOINT, Nothing())).reply.page)
        at = heard.sealed["roster"]
        with reading(folder, "roster") as connection:
            kept = seals.last_kept(connection)
        assert (at.position, at.hash) == (kept.position, kept.hash.hex())
        run = [b"an event that roster has not recorded"]
        forged = seals.kept(seals.Log("roster", at.log), kept, run, at.recorded_at, key)
        acknowledged = await client.nc.request(sealing.subject("roster", "kept"), seals.encode(forged))
        assert b'"seq"' in acknowledged.data
        again = checkpoint.read((await client.ask(CHECKPOINT, Nothing())).reply.page)
        assert again.sealed["roster"] == at
        with pytest.raises(Failure, match=r"body\.invalid"):
            await client.ask_raw(CHECKPOINT, msgspec.json.encode({"page": heard.text()}))
