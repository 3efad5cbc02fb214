"""Reads an archive, and verifies it as `vekha audit verify` verifies a live record. `verify.py` beside it does the same by itself."""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature

from contracts.event import SERVICES
from eventkit.log import Finding
from eventkit.seals import Keys, Log, Seal
from vekha import checkpoint
from vekha.archive import CHECKPOINT, MANIFEST, events_file, seals_file
from vekha.checkpoint import Checkpoint
from vekha.evidence import Damage, Examined, FrameBroken, Kind, Stored, Witness, followed
from vekha.failures import Failure

_LINE = re.compile(rb"([1-9][0-9]{0,17}) ([0-9a-f]{64}) ([0-9]{1,9})\n")
_COMMENT = re.compile(rb"vekha-archive/1 ([0-9TZ:.-]+) ([0-9a-f]{16}) ([0-9a-f]{128})")
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)
_seals = msgspec.json.Decoder(list[Seal]).decode


class _About(msgspec.Struct):
    sha256: str
    bytes: int


class _Manifest(msgspec.Struct):
    format: int
    made: str
    files: dict[str, _About]


@dataclass
class Archive:
    """An archive's files, and what is wrong with the archive itself."""

    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    comment: bytes = b""
    sha256: str = ""  # of every byte before the comment
    faults: set[Kind] = field(default_factory=set[Kind])

    def checkpoint(self) -> Checkpoint | None:
        try:
            return checkpoint.read(self.files[CHECKPOINT].decode())
        except (KeyError, UnicodeDecodeError, Failure):
            return None

    def rows(self, service: str) -> Iterator[Stored]:
        """A log's events, in the order in which they stand. Raises FrameBroken where that cannot be told."""
        return _rows(self.files[events_file(service)])

    def is_signed(self, keys: Keys) -> bool:
        """Whether the archive was written by who holds one of identity's keys."""
        found = _COMMENT.fullmatch(self.comment)
        if found is None:
            return False
        made, name, signature = (part.decode() for part in found.groups())
        key = keys.get(name)
        if key is None or (key.not_after is not None and made > key.not_after):
            return False
        try:
            key.public.verify(bytes.fromhex(signature), f"vekha-archive/1\n{made}\n{self.sha256}\n".encode())
        except InvalidSignature:
            return False
        return True


def opened(path: Path) -> Archive:
    """Raises Failure `archive.unreadable` where there is no such file."""
    archive = Archive()
    try:
        whole = path.read_bytes()
    except OSError as error:
        raise Failure("archive.unreadable", f"{path} cannot be read: {(error.strerror or type(error).__name__).lower()}.") from error
    try:
        with zipfile.ZipFile(path) as packed:
            archive.comment = packed.comment
            for name in packed.namelist():
                if name in archive.files:
                    archive.faults.add("inserted")
                archive.files[name] = packed.read(name)
        archive.faults |= _against_manifest(archive.files)
    except _UNREADABLE:
        return Archive(faults={"changed"})
    archive.sha256 = hashlib.sha256(whole[: len(whole) - len(archive.comment)]).hexdigest()
    return archive


def _against_manifest(files: Mapping[str, bytes]) -> set[Kind]:
    if MANIFEST not in files:
        return {"removed"}
    manifest = msgspec.json.decode(files[MANIFEST], type=_Manifest).files
    faults: set[Kind] = set()
    if manifest.keys() - files.keys():
        faults.add("removed")
    if files.keys() - manifest.keys() - {MANIFEST}:
        faults.add("inserted")
    if any(hashlib.sha256(files[name]).hexdigest() != about.sha256 for name, about in manifest.items() if name in files):
        faults.add("changed")
    return faults


def examine(path: Path, kept: Checkpoint | None) -> Examined:
    """Everything that does not fit in an archive, or not to a checkpoint that somebody has kept."""
    archive, examined = opened(path), Examined()
    own = archive.checkpoint()
    if own is None:
        archive.faults.add("changed")
    else:
        for service in SERVICES:
            if events_file(service) in archive.files:
                _examine_log(archive, service, own, kept, examined)
        examined.hold(own)
    if kept is not None:
        examined.hold(kept)
    if not archive.is_signed(examined.identity):
        archive.faults.add("forged")
    for kind in ("removed", "inserted", "changed", "forged"):
        if kind in archive.faults:
            examined.findings.append(Finding("archive", 0, f"archive-{kind}"))
            examined.damage.append(Damage("archive", 0, kind))
            break
    return examined


def _examine_log(archive: Archive, service: str, own: Checkpoint, kept: Checkpoint | None, examined: Examined) -> None:
    at = own.sealed[service]
    found: list[Seal] = []
    try:
        found = _seals(archive.files[seals_file(service)])
    except (KeyError, msgspec.MsgspecError, UnicodeDecodeError):
        archive.faults.add("changed")
    checkpoints = [at] if kept is None else [at, kept.sealed[service]]
    witness = Witness(Log(service, at.log), found, checkpoints=checkpoints)
    findings = [*followed(witness.whose, at.position, archive.rows(service), witness), *witness.findings()]
    examined.take(service, witness, findings, witness.last)


def _rows(data: bytes) -> Iterator[Stored]:
    at = 0
    while at < len(data):
        line = _LINE.match(data, at)
        if line is None:
            raise FrameBroken
        end = line.end() + int(line[3])
        if data[end : end + 1] != b"\n":
            raise FrameBroken
        yield Stored(int(line[1]), bytes.fromhex(line[2].decode()), data[line.end() : end])
        at = end + 1
