"""What a backup file holds: one consistent copy of an instance's databases, or of its keys, and a manifest that says so.

    manifest.json   what it is, when it was made, of which instance; where the logs end; the SHA-256 of each file beside it
    db/*.db         the databases, each a whole SQLite file             } in FILE
    instance.json, clock                                                }
    keys/roster.db  the keys of people's details                        } in FILE.keys, which is kept for a short time alone

Secrets are in neither, nor are bus streams: those are refilled from the logs. Without secrets and keys a backup names nobody.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from eventkit.event import moment
from vekha.failures import Exit, Failure
from vekha.files import unwritable
from vekha.folder import not_permitted

KEYS_SUFFIX = ".keys"
KEYS_KEPT_DAYS = 7
"""How long backups of the keys are kept: well inside every term of an erasure."""

_MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 20
_FASTEST = 1  # what is sealed hardly shrinks, and a backup should not take the machine away


class End(msgspec.Struct, frozen=True):
    """Where a log ends."""

    position: int
    hash: str


class Manifest(msgspec.Struct, frozen=True):
    """What a backup says of itself. `instance` is the id of roster's log; `made` is by the machine's clock, whatever the instance's."""

    kind: Literal["databases", "keys"]
    made: str
    instance: str
    heads: Mapping[str, End]
    files: Mapping[str, str]

    @property
    def age_s(self) -> int:
        return int((datetime.now(UTC) - moment(self.made)).total_seconds())


def write(out: Path, manifest: Manifest, root: Path) -> None:
    """Writes the manifest's files, which stand under `root`, as one file for its owner alone: whole or not at all.

    Raises Failure `file.unwritable`.
    """
    new = out.with_name(f"{out.name}.new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_FASTEST) as archive:
                archive.writestr(_MANIFEST, msgspec.json.encode(manifest))
                for name in manifest.files:
                    archive.write(root / name, name)
            file.flush()
            os.fsync(file.fileno())
        new.rename(out)
        sync(out.parent)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise unwritable(out, error) from error


def read_manifest(path: Path) -> Manifest:
    """Raises Failure `backup.missing`, `backup.unreadable` or `data.not-readable`."""
    try:
        with zipfile.ZipFile(path) as archive:
            return msgspec.json.decode(archive.read(_MANIFEST), type=Manifest)
    except FileNotFoundError:
        raise Failure("backup.missing", f"{path} is not there.", "Name a file that `vekha backup` has written.") from None
    except (zipfile.BadZipFile, KeyError, msgspec.MsgspecError):
        raise _unreadable(path) from None
    except OSError as error:
        raise not_permitted(path, error, "read") from error


def unpack(path: Path, manifest: Manifest, names: Sequence[str], root: Path) -> None:
    """Writes these of the file's files under `root`, durably. Raises Failure `backup.unreadable` or `backup.damaged`."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in names:
                to = root / name
                to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                found = hashlib.sha256()
                with archive.open(name) as packed, os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    while chunk := packed.read(_CHUNK_BYTES):
                        found.update(chunk)
                        file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())
                sync(to.parent)
                if found.hexdigest() != manifest.files.get(name):
                    raise _damaged(path, name)
    except KeyError:
        raise _unreadable(path) from None
    except zipfile.BadZipFile:
        raise _damaged(path, "a file in it") from None
    except OSError as error:
        raise not_permitted(root, error, "written") from error


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def keys_beside(path: Path, instance: str) -> list[tuple[Manifest, Path]]:
    """The backups of an instance's keys in the folder of a backup, the newest first."""
    found = [(manifest, file) for manifest, file in _keys_in(path.parent) if manifest.instance == instance]
    return sorted(found, key=lambda one: one[0].made, reverse=True)


def sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keys_in(folder: Path) -> Iterator[tuple[Manifest, Path]]:
    for path in folder.glob(f"*{KEYS_SUFFIX}"):
        try:
            manifest = read_manifest(path)
        except Failure:
            continue  # somebody else's file
        if manifest.kind == "keys":
            yield manifest, path


def _unreadable(path: Path) -> Failure:
    return Failure(
        "backup.unreadable", f"{path} is no backup of ours.", "Name a file that `vekha backup` has written.", exit_code=Exit.INVALID
    )


def _damaged(path: Path, name: str) -> Failure:
    text = f"{path} is damaged: {name} is not what was written."
    return Failure("backup.damaged", text, "Take another copy of it, or an older backup.", exit_code=Exit.INVALID)
