"""Writes the archive of a record: what stands in the databases, verbatim, whether or not it verifies."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import IO, Any, cast

import msgspec
from sqlalchemy import Connection, select

from contracts.event import EVENTS, SERVICES
from contracts.plan import CalendarPinned
from eventkit import seals
from eventkit.event import decode
from eventkit.log import log_table
from eventkit.secrets import key_id
from vekha.archive import CHECKPOINT, MANIFEST, SIGNER, calendar_file, events_file, seals_file
from vekha.folder import DataFolder
from vekha.output import OnProgress
from vekha.records import reading
from vekha.signing import Signing

_README = """This is the record of an instance of Vekha, complete up to the positions that checkpoint.txt names.

    python3 verify.py ARCHIVE

verifies it; python3 verify.py --help says what else it can do, and its first lines say how. It needs Python 3.11 and the package
`cryptography`. Take verify.py from a source that you trust, or read it: it is short.

The archive proves what it says under the first key of each log, whose id verify.py prints. Hold those ids, or a checkpoint that you were
given earlier, against it.
"""


def write(folder: DataFolder, signing: Signing, file: IO[bytes], on_progress: OnProgress) -> None:
    """Writes the archive up to a checkpoint's positions into an empty file."""
    made = signing.checkpoint
    total, done = sum(at.position for at in made.sealed.values()), 0
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        writer = _Writer(packed)
        writer.add("README.txt", _README.encode())
        writer.add("verify.py", resources.files("vekha.archive").joinpath("verify.py").read_bytes())
        writer.add(CHECKPOINT, made.text().encode())
        if signing.named is not None:
            writer.add(SIGNER, msgspec.json.encode(signing.named))
        for service in SERVICES:
            with reading(folder, service) as connection:
                end = made.sealed[service].position
                with writer.file(events_file(service)) as target:
                    for position, chain, data in _rows(connection, end):
                        target.write(b"%d %s %d\n" % (position, chain.hex().encode(), len(data)) + data + b"\n")
                        done += 1
                        on_progress(done, total)
                kept = [seal for seal in seals.kept_after(connection, 0) if seal.position <= end]
                writer.add(seals_file(service), msgspec.json.encode(kept))
                if service == "plan":
                    for digest, table in _calendars(connection, end).items():
                        writer.add(calendar_file(digest), table)
        for name, event in sorted(EVENTS.items()):
            writer.add(f"schemas/{name}.json", json.dumps(event.model_json_schema(), ensure_ascii=False, indent=1).encode())
        for plan in sorted(resources.files("plan_tracker.plans").iterdir(), key=lambda plan: plan.name):
            if plan.name.endswith((".yaml", ".json")):
                writer.add(f"plans/{plan.name}", plan.read_bytes())
        packed.writestr(MANIFEST, json.dumps({"format": 1, "made": made.made, "files": writer.files}, indent=1))
    _sign(file, signing)


class _Writer:
    """Adds files to a zip and keeps what the manifest says of them."""

    def __init__(self, packed: zipfile.ZipFile) -> None:
        self.files: dict[str, Mapping[str, str | int]] = {}
        self._packed = packed

    def add(self, name: str, data: bytes) -> None:
        with self.file(name) as target:
            target.write(data)

    def file(self, name: str) -> _File:
        return _File(name, self._packed.open(name, "w", force_zip64=True), self.files)


class _File:
    """One file of the zip, digested as it is written."""

    def __init__(self, name: str, target: IO[bytes], files: dict[str, Mapping[str, str | int]]) -> None:
        self._name, self._target, self._files = name, target, files
        self._digest, self._size = hashlib.sha256(), 0

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self._size += len(data)
        self._target.write(data)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *error: object) -> None:
        self._target.close()
        self._files[self._name] = {"sha256": self._digest.hexdigest(), "bytes": self._size}


def _rows(connection: Connection, end: int) -> Iterator[tuple[int, bytes, bytes]]:
    statement = select(log_table.c.position, log_table.c.hash, log_table.c.bytes).where(log_table.c.position <= end)
    for row in connection.execute(statement.order_by(log_table.c.position).execution_options(yield_per=2000)):
        yield row.position, bytes(row.hash), bytes(row.bytes)


def _calendars(connection: Connection, end: int) -> Mapping[str, bytes]:
    """The tables that the plan's log has pinned, by digest."""
    pinned = select(log_table.c.bytes).where(log_table.c.type == CalendarPinned.type, log_table.c.position <= end)
    found: dict[str, bytes] = {}
    for (data,) in connection.execute(pinned.order_by(log_table.c.position)):
        try:
            event = decode(bytes(data)).event()
        except (msgspec.MsgspecError, ValueError, LookupError):
            continue  # damaged: verifying says so
        if isinstance(event, CalendarPinned):
            found[event.calendar.digest] = event.calendar.model_dump_json(indent=1).encode()
    return found


def _sign(file: IO[bytes], signing: Signing) -> None:
    """Puts a signature over every byte of the file into the zip's comment, which is its end."""
    made, key = signing.checkpoint.made, signing.key
    name = key_id(key.public_key())
    size = len(f"vekha-archive/1 {made} {name} ") + 128
    file.seek(-2, 2)
    file.write(size.to_bytes(2, "little"))
    file.seek(0)
    said = f"vekha-archive/1\n{made}\n{hashlib.file_digest(cast('Any', file), 'sha256').hexdigest()}\n".encode()
    file.seek(0, 2)
    file.write(f"vekha-archive/1 {made} {name} {key.sign(said).hex()}".encode())
