"""Two hundred seeded mutations of an archive and of a live record, of every kind, anywhere: all are found, by both verifiers alike."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import shutil
import sqlite3
import subprocess
import venv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts import SERVICES
from eventkit import jetstream
from eventkit.broker import EmbeddedBroker
from eventkit.event import genesis, link
from eventkit.jetstream import JetStream
from tests.conftest import Lived
from vekha.archive import verify
from vekha.folder import DataFolder
from vekha.main import main
from vekha.testing import Vekha

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

OF_ARCHIVES, OF_LIVE_RECORDS = 140, 60
KINDS = {"changed", "removed", "inserted", "reordered", "truncated", "forged"}
Told = list[tuple[str, int, str]]
Files = dict[str, bytes]
Frames = list[tuple[int, bytes, bytes]]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, lived: Lived) -> Path:
    out = tmp_path_factory.mktemp("archive") / "record.zip"
    assert main(["audit", "export", "--data", str(lived.data), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Callable[[Path], tuple[int, Told]]:
    """Runs the archive's own verify.py in a virtual environment that holds Python and `cryptography`, and nothing else."""
    folder = tmp_path_factory.mktemp("alone")
    venv.create(folder / "venv", with_pip=False)
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    for name in ("cryptography", "cffi", "_cffi_backend"):
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        if found.submodule_search_locations:
            shutil.copytree(Path(found.origin).parent, packages / name)
        else:
            shutil.copy(found.origin, packages)
    with zipfile.ZipFile(archive) as packed:
        packed.extract("verify.py", folder)
    python = folder / "venv" / "bin" / "python"

    def run(path: Path) -> tuple[int, Told]:
        ended = subprocess.run(
            [python, "-I", folder / "verify.py", path, "--json"], capture_output=True, text=True, check=False, timeout=120
        )
        assert ended.returncode in (0, 4), ended.stderr
        return ended.returncode, told(json.loads(ended.stdout))

    known = subprocess.run([python, "-I", "-c", "import vekha"], capture_output=True, check=False, timeout=60)
    assert known.returncode != 0  # it is not there
    return run


def told(outcome: dict[str, Any]) -> Told:
    return [(one["service"], one["position"], one["kind"]) for one in outcome["damage"]]


def frames_of(data: bytes) -> Frames:
    return [(position, chain.encode(), event) for position, chain, event in verify.events_in(BytesIO(data))]


def framed(frames: Frames) -> bytes:
    return b"".join(b"%d %s %d\n%s\n" % (position, chain, len(event), event) for position, chain, event in frames)


def flipped(data: bytes, random: Random) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def rechained(frames: Frames, service: str, log_id: str) -> Frames:
    """The frames with their positions and hashes as if they had been recorded like this."""
    chain, result = genesis(service, log_id), list[tuple[int, bytes, bytes]]()
    for position, (_, _, event) in enumerate(frames, start=1):
        chain = link(chain, event)
        result.append((position, chain.hex().encode(), event))
    return result


# Each does one thing to the frames of a log, and says what has to be told of it: kind and position.


def change(frames: Frames, random: Random) -> tuple[Frames, str, int]:
    at = random.randrange(len(frames))
    position, chain, event = frames[at]
    return [*frames[:at], (position, chain, flipped(event, random)), *frames[at + 1 :]], "changed", position


def remove(frames: Frames, random: Random) -> tuple[Frames, str, int]:
    at = random.randrange(len(frames) - 1)
    return [*frames[:at], *frames[at + 1 :]], "removed", frames[at][0]


def remove_and_close_up(frames: Frames, random: Random) -> tuple[Frames, str, int]:
    at = random.randrange(len(frames) - 1)
    closed = [(position - 1, chain, event) for position, chain, event in frames[at + 1 :]]
    return [*frames[:at], *closed], "removed", frames[at][0]


def insert(frames: Frames, random: Random) -> tuple[Frames, str, int]:
    at = random.randrange(1, len(frames))
    pushed = [(position + 1, chain, event) for position, chain, event in frames[at:]]
    return [*frames[:at], (frames[at][0], frames[at][1], frames[at - 1][2]), *pushed], "inserted", frames[at][0]


def double(frames: Frames, random: Random) -> tuple[Frames, str, int]:
    at = random.randrange(len(frames))
    return [*frames[: at + 1], frames[at], *frames[at + 1 :]], "inserted", frames[at][0]


def reorder(frames: Frames, random: Random) -> tuple[Frames, str, int]:
    first, second = sorted(random.sample(range(len(frames)), 2))
    exchanged = list(frames)
    exchanged[first] = (frames[first][0], *frames[second][1:])
    exchanged[second] = (frames[second][0], *frames[first][1:])
    return exchanged, "reordered", frames[first][0]


def truncate(frames: Frames, random: Random) -> tuple[Frames, str, int]:
    at = random.randrange(len(frames))
    return frames[:at], "truncated", at + 1


OF_LOGS = (change, remove, remove_and_close_up, insert, double, reorder, truncate)


def of_logs(files: Files, random: Random) -> tuple[str, str, int]:
    service = random.choice(SERVICES)
    done = random.choice(OF_LOGS)
    name = f"logs/{service}.events"
    frames, kind, position = done(frames_of(files[name]), random)
    files[name] = framed(frames)
    if random.random() < 0.5:  # whoever did it has thought of the manifest
        manifest = json.loads(files["manifest.json"])
        manifest["files"][name] = {"sha256": hashlib.sha256(files[name]).hexdigest(), "bytes": len(files[name])}
        files["manifest.json"] = json.dumps(manifest).encode()
    return service, kind, position


def made_to_fit(files: Files, random: Random) -> str:
    """An event is changed so that it is still one, and the chain is computed anew from there on."""
    service = random.choice(SERVICES)
    name = f"logs/{service}.events"
    frames = frames_of(files[name])
    at = random.randrange(1, len(frames))
    position, chain, event = frames[at]
    frames[at] = (position, chain, event.replace(b'"id":"', b'"id":"f', 1))
    log_id = json.loads(files[f"seals/{service}.json"])[0]["log"]
    files[name] = framed(rechained(frames, service, log_id))
    return service


def forged_seal(files: Files, random: Random) -> str:
    service = random.choice(SERVICES)
    kept = json.loads(files[f"seals/{service}.json"])
    seal = random.choice(kept)
    seal["signature"] = Ed25519PrivateKey.generate().sign(verify.said_by(seal)).hex()
    files[f"seals/{service}.json"] = json.dumps(kept).encode()
    return service


def other_file(files: Files, random: Random) -> str:
    name = random.choice([name for name in files if not name.startswith("logs/")])
    match random.randrange(3):
        case 0:
            files[name] = flipped(files[name], random)
        case 1:
            del files[name]
        case _:
            files[f"{name}.bak"] = files[name]
    return "archive"


def repacked(files: Files, comment: bytes, out: Path) -> Path:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
        packed.comment = comment
    return out


def mutated(archive: Path, out: Path, random: Random) -> tuple[str, str | None, int | None]:
    """Makes one mutation of an archive; answers whose log has to be told of, and kind and position where they are certain."""
    what = random.choice(["log", "log", "log", "fit", "seal", "file", "bytes"])
    if what == "bytes":  # of the file itself, anywhere
        out.write_bytes(flipped(archive.read_bytes(), random))
        return "archive", None, None
    with zipfile.ZipFile(archive) as packed:
        files, comment = {name: packed.read(name) for name in packed.namelist()}, packed.comment
    certain: tuple[str, str | None, int | None]
    match what:
        case "log":
            certain = of_logs(files, random)
        case "fit":
            certain = made_to_fit(files, random), "forged", None
        case "seal":
            certain = forged_seal(files, random), "forged", None
        case _:
            certain = other_file(files, random), None, None
    repacked(files, comment, out)
    return certain


def test_no_mutation_of_an_archive_passes_and_both_verifiers_say_the_same(
    vekha: Vekha, archive: Path, lived: Lived, tmp_path: Path, alone: Callable[[Path], tuple[int, Told]]
) -> None:
    first = tmp_path / "first-day.zip"
    assert vekha("audit", "export", "--data", lived.first_day, "--out", first).code == 0
    seen = set[str]()
    for untouched in (archive, first):
        ours = vekha("audit", "verify", untouched, "--json")
        assert (ours.code, told(ours.json)) == alone(untouched) == (0, [])
    for seed in range(OF_ARCHIVES):
        out = tmp_path / f"{seed}.zip"
        whose, kind, position = mutated(archive, out, Random(seed))
        ours = vekha("audit", "verify", out, "--json")
        assert ours.code == 4, seed
        assert alone(out) == (4, told(ours.json)), seed
        mine = [one for one in told(ours.json) if one[0] == whose]
        assert mine, (seed, told(ours.json))
        seen.add(mine[0][2])
        if kind is not None:
            assert mine[0][2] == kind, (seed, mine)
        if position is not None:
            assert mine[0][1] == position, (seed, mine)
        out.unlink()
    assert seen == KINDS


# ---- a live record ------------------------------------------------------------------------------------------------------


OF_DATABASES = ("bytes", "hash", "column", "row", "row-inserted", "exchanged", "tail", "fit", "seal")
OF_STREAMS = ("flipped", "forged")


class Touched(NamedTuple):
    """Whose log it is that something was done to, what has to be told of it as far as that is certain, and whether an archive shows it."""

    service: str
    kind: str | None = None
    position: int | None = None
    is_archived: bool = True


def touched(data: Path, what: str, random: Random) -> Touched:
    """Does one thing to a database or to the bus."""
    service = random.choice(SERVICES)
    if what == "flipped":
        (block,) = (data / "bus" / "jetstream" / "$G" / "streams" / service.upper() / "msgs").glob("*.blk")
        block.write_bytes(flipped(block.read_bytes(), random))
        return Touched(service, is_archived=False)
    if what == "forged":
        return Touched(service, "forged", asyncio.run(forged(data, service, random)), is_archived=False)
    with closing(sqlite3.connect(data / "db" / f"{service}.db", isolation_level=None)) as database:
        return touched_database(database, service, what, random)


async def forged(data: Path, service: str, random: Random) -> int:
    """Somebody who may write to a bus stream appends to it one of its own events, as if it were the next; answers its position."""
    folder = DataFolder(data)
    async with EmbeddedBroker(folder.bus, folder.run, folder.secrets().broker_password_file) as broker:
        nc = await jetstream.connect(broker.url, broker.credential, name="somebody")
        stream = JetStream(nc)
        last = await stream.last_sequence(service.upper())
        at = random.randrange(1, last + 1)
        message = await stream.get_message(service.upper(), at)
        assert message is not None
        await nc.request(message[0], message[1].replace(b'"position":%d,' % at, b'"position":%d,' % (last + 1)), timeout=5)
        await jetstream.disconnect(nc)
    return last + 1


def touched_database(database: sqlite3.Connection, service: str, what: str, random: Random) -> Touched:
    rows = database.execute("SELECT position, hash, bytes FROM log ORDER BY position").fetchall()
    at = random.randrange(1, len(rows))
    position, _, stored = rows[at]
    match what:
        case "bytes":
            database.execute("UPDATE log SET bytes = ? WHERE position = ?", (flipped(bytes(stored), random), position))
            return Touched(service, "changed", position)
        case "hash":
            database.execute("UPDATE log SET hash = ? WHERE position = ?", (random.randbytes(32), position))
            return Touched(service, "changed", position)
        case "column":
            column = random.choice(["stream", "version", "type", "event_id", "command_id", "school", "happened_on", "recorded_at"])
            database.execute(f"UPDATE log SET {column} = ? WHERE position = ?", (99 if column == "version" else "other", position))
            return Touched(service, "changed", position, is_archived=False)
        case "row":
            database.execute("DELETE FROM log WHERE position = ?", (position,))
            return Touched(service, None if position == len(rows) else "removed", position)
        case "row-inserted":
            for later in range(len(rows), position - 1, -1):
                database.execute("UPDATE log SET position = position + 1 WHERE position = ?", (later,))
            own = ("position", "version", "event_id")
            names = [name for _, name, *_ in database.execute("PRAGMA table_info(log)") if name not in own]
            columns = ", ".join(names)
            database.execute(
                f"INSERT INTO log (position, version, event_id, {columns}) SELECT position + 1, version + 5000, 'e' || event_id, {columns} "
                "FROM log WHERE position = ?",
                (position - 1,),
            )
            database.execute(
                "UPDATE head SET (position, hash, recorded_at) = (SELECT position, hash, recorded_at FROM log ORDER BY 1 DESC)"
            )
            return Touched(service, "inserted", position)
        case "exchanged":
            other = rows[at - 1]
            database.execute("UPDATE log SET bytes = ? WHERE position = ?", (other[2], position))
            database.execute("UPDATE log SET bytes = ? WHERE position = ?", (stored, other[0]))
            return Touched(service, "reordered", other[0])
        case "tail":
            database.execute("DELETE FROM log WHERE position >= ?", (position,))
            database.execute(
                "UPDATE head SET (position, hash, recorded_at) = (SELECT position, hash, recorded_at FROM log WHERE position = ?)",
                (position - 1,),
            )
            return Touched(service, "truncated", position)
        case "fit":
            (log_id,) = database.execute("SELECT log_id FROM head").fetchone()
            frames = [(row[0], b"", bytes(row[2])) for row in rows]
            frames[at] = (position, b"", frames[at][2].replace(b'"recordedat":"2015', b'"recordedat":"2014'))
            chain = ""
            for where, hash_, event in rechained(frames, service, log_id):
                chain = hash_.decode()
                database.execute("UPDATE log SET hash = ?, bytes = ? WHERE position = ?", (bytes.fromhex(chain), event, where))
            database.execute("UPDATE log SET recorded_at = replace(recorded_at, '2015', '2014') WHERE position = ?", (position,))
            database.execute("UPDATE head SET hash = ?", (bytes.fromhex(chain),))
        case _:
            database.execute(
                "UPDATE seal SET signature = ? WHERE position = (SELECT position FROM seal ORDER BY random() LIMIT 1)",
                (random.randbytes(64).hex(),),
            )
            return Touched(service, "forged")
    return Touched(service)


@pytest.fixture
def copies(lived: Lived, tmp_path: Path) -> Iterator[Callable[[], Path]]:
    def make() -> Path:
        data = tmp_path / "data"
        shutil.rmtree(data, ignore_errors=True)
        return lived.copy(data)

    yield make
    shutil.rmtree(tmp_path / "data", ignore_errors=True)


def test_no_mutation_of_a_live_record_passes(
    vekha: Vekha, copies: Callable[[], Path], tmp_path: Path, alone: Callable[[Path], tuple[int, Told]]
) -> None:
    assert vekha("audit", "verify", "--data", copies(), "--json").code == 0
    seen, kinds = set[str](), OF_DATABASES + OF_STREAMS
    for seed in range(OF_LIVE_RECORDS):
        data, out = copies(), tmp_path / f"{seed}.zip"
        done = touched(data, kinds[seed % len(kinds)], Random(f"live {seed}"))
        found = vekha("audit", "verify", "--data", data, "--json")
        assert found.code == 4, (seed, done)
        ((service, position, kind),) = told(found.json)
        seen.add(kind)
        assert service == done.service, (seed, done)
        assert kind == (done.kind or kind), (seed, done, kind)
        assert position == (done.position or position), (seed, done, position)
        assert vekha("audit", "export", "--data", data, "--out", out).code == 0, seed
        archived = vekha("audit", "verify", out, "--json")
        assert alone(out) == (archived.code, told(archived.json)), seed
        assert (archived.code == 4) == done.is_archived, (seed, done)
        out.unlink()
    assert seen == KINDS
