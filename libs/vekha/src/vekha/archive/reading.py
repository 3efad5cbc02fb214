"""Reads an archive, and verifies it as `vekha audit verify` verifies a live record. `verify.py` beside it does the same by itself.

It is read twice from end to end: once for what the manifest and the signature say of it, once event by event. No log is ever in memory as a
whole, however long it is.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import msgspec
from cryptography.exceptions import InvalidSignature

from contracts.event import SERVICES
from contracts.plan import CalendarTable
from eventkit import checkpoint
from eventkit.checkpoint import Checkpoint, Named
from eventkit.log import Finding
from eventkit.seals import Keys, Log, Seal
from vekha.archive import CALENDARS, CHECKPOINT, MANIFEST, SIGNER, calendar_file, events_file, seals_file
from vekha.evidence import Damage, Examined, FrameBroken, Kind, Stored, Witness, followed
from vekha.failures import Exit, Failure

_LINE = re.compile(rb"([1-9][0-9]{0,17}) ([0-9a-f]{64}) ([0-9]{1,9})\n")
_LONGEST_LINE = 18 + 1 + 64 + 1 + 9 + 1
_LONGEST_EVENT_BYTES = 1 << 20  # a bus takes no more
_AT_A_TIME_BYTES = 1 << 20
_PROOF = re.compile(rb'\s*\{\s*"(?:event|answer)"\s*:')
_PROOF_BEGINS_BYTES = 64
_COMMENT = re.compile(rb"vekha-archive/1 ([0-9TZ:.-]+) ([0-9a-f]{16}) ([0-9a-f]{128})")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others are never written, and have errors of their own
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
    """An archive's files by their digests, and what is wrong with the archive itself."""

    path: Path
    digests: dict[str, str] = field(default_factory=dict[str, str])
    comment: bytes = b""
    faults: set[Kind] = field(default_factory=set[Kind])

    def __contains__(self, name: str) -> bool:
        return name in self.digests

    def read(self, name: str) -> bytes:
        """A small file. Raises KeyError where it is not there."""
        if name not in self.digests:
            raise KeyError(name)
        with zipfile.ZipFile(self.path) as packed:
            return packed.read(name)

    def checkpoint(self) -> Checkpoint | None:
        try:
            return checkpoint.read(self.read(CHECKPOINT).decode())
        except (KeyError, ValueError):
            return None

    def rows(self, service: str) -> Iterator[Stored]:
        """A log's events, in the order in which they stand. Raises FrameBroken where that cannot be told."""
        with zipfile.ZipFile(self.path) as packed, packed.open(events_file(service)) as file:
            yield from _rows(io.BufferedReader(cast("Any", file), _AT_A_TIME_BYTES))

    def is_signed(self, own: Checkpoint | None, keys: Keys) -> bool:
        """Whether the archive was written by who holds one of identity's keys, or whom identity has named beside the checkpoint in it."""
        found = _COMMENT.fullmatch(self.comment)
        if found is None:
            return False
        made, name, signature = (part.decode() for part in found.groups())
        said = f"vekha-archive/1\n{made}\n{self._sha256_before_comment()}\n".encode()
        if SIGNER in self:
            return own is not None and made == own.made and self._is_signed_by_named(name, signature, said, own, keys)
        key = keys.get(name)
        if key is None or (key.not_after is not None and made > key.not_after):
            return False
        try:
            key.public.verify(bytes.fromhex(signature), said)
        except InvalidSignature:
            return False
        return True

    def _is_signed_by_named(self, name: str, signature: str, said: bytes, own: Checkpoint, keys: Keys) -> bool:
        try:
            named = msgspec.json.decode(self.read(SIGNER).decode(), type=Named)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        return named.signed(signature, said, own, keys) and named.key == name

    def _sha256_before_comment(self) -> str:
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            left = file.seek(0, io.SEEK_END) - len(self.comment)
            file.seek(0)
            while part := file.read(min(left, _AT_A_TIME_BYTES)):
                digest.update(part)
                left -= len(part)
        return digest.hexdigest()


def opened(path: Path) -> Archive:
    """Raises Failure `archive.unreadable` where there is no such file, and `archive.is-proof` where it is something else of ours."""
    archive = Archive(path)
    try:
        with path.open("rb") as file:
            begins = file.read(_PROOF_BEGINS_BYTES)
    except OSError as error:
        text = f"{path} cannot be read: {(error.strerror or type(error).__name__).lower()}."
        raise Failure("archive.unreadable", text, "Name a file that `vekha audit export` has written.") from error
    if _PROOF.match(begins):
        hint = f"The verify.py of any archive verifies it: python3 verify.py {path} --keys ARCHIVE.zip"
        raise Failure("archive.is-proof", f"{path} is no archive, but the proof of an event or of an answer.", hint, exit_code=Exit.INVALID)
    try:
        with zipfile.ZipFile(path) as packed:
            archive.comment = packed.comment
            for name in packed.namelist():
                if name in archive:
                    archive.faults.add("inserted")
                if packed.getinfo(name).compress_type not in _METHODS:
                    raise zipfile.BadZipFile(name)
                with packed.open(name) as file:
                    archive.digests[name] = hashlib.file_digest(cast("Any", file), "sha256").hexdigest()
        archive.faults |= _against_manifest(archive)
    except _UNREADABLE:
        return Archive(path, faults={"changed"})
    return archive


def _against_manifest(archive: Archive) -> set[Kind]:
    if MANIFEST not in archive:
        return {"removed"}
    manifest, digests = msgspec.json.decode(archive.read(MANIFEST).decode(), type=_Manifest).files, archive.digests
    faults: set[Kind] = set()
    if manifest.keys() - digests.keys():
        faults.add("removed")
    if digests.keys() - manifest.keys() - {MANIFEST}:
        faults.add("inserted")
    if any(digests[name] != about.sha256 for name, about in manifest.items() if name in digests):
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
            if events_file(service) in archive:
                _examine_log(archive, service, own, kept, examined)
            else:  # whatever its manifest says
                archive.faults.add("removed")
        examined.hold(own)
    if kept is not None:
        examined.hold(kept)
    if not archive.is_signed(own, examined.identity):
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
        found = _seals(archive.read(seals_file(service)).decode())
    except (KeyError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        archive.faults.add("changed")
    checkpoints = [at] if kept is None else [at, kept.sealed[service]]
    witness = Witness(Log(service, at.log), found, checkpoints=checkpoints, sealed_to=at.position)
    findings = [*followed(witness.whose, at.position, archive.rows(service), witness), *witness.findings()]
    examined.take(service, witness, findings, witness.last)
    if service == "plan" and not _are_calendars(archive, witness.calendars):
        archive.faults.add("changed")


def _are_calendars(archive: Archive, pinned: Mapping[str, CalendarTable]) -> bool:
    """Whether the tables of working days are those that the plan's log has pinned."""
    files = [name for name in archive.digests if name.startswith(CALENDARS)]
    try:
        found = {name: msgspec.json.decode(archive.read(name).decode()) for name in files}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return found == {calendar_file(digest): table.model_dump(mode="json") for digest, table in pinned.items()}


def _rows(file: IO[bytes]) -> Iterator[Stored]:
    while head := file.readline(_LONGEST_LINE):
        line = _LINE.fullmatch(head)
        if line is None or (size := int(line[3])) > _LONGEST_EVENT_BYTES:
            raise FrameBroken
        data = file.read(size + 1)
        if len(data) <= size or not data.endswith(b"\n"):
            raise FrameBroken
        yield Stored(int(line[1]), bytes.fromhex(line[2].decode()), data[:-1])
