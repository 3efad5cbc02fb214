"""`vekha restore`: makes a data folder from a backup, with the newest backup of the keys.

The newest keys, not those of the backup's own day: who was erased in between has none there, and so stays erased. A folder is restored as a
whole or not at all: what is not finished stands in `restoring`, and `instance.json` gets its name last.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from sqlalchemy import inspect, select

from contracts.event import SERVICES
from roster.keys import key_table
from roster.vault import vault_table
from vekha import backups, output
from vekha.backup import ends
from vekha.backups import Manifest
from vekha.failures import Exit, Failure
from vekha.folder import DataFolder, not_permitted
from vekha.options import data_option, json_option
from vekha.records import last_reads, reading, unrecognized

_UNFINISHED = "restoring"
_KEYS = "keys/roster.db"


@dataclass(frozen=True)
class Restored:
    """What was restored, and what is left to do. `behind` are services whose readers know more than their logs hold; `without_key` counts
    people who were erased after the backup, or entered after that of the keys."""

    made: str
    keys_made: str
    heads: dict[str, int]
    behind: list[str]
    without_key: int
    secrets: bool


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_option
@click.option("--keys", type=click.Path(path_type=Path, dir_okay=False), help="The backup of the keys; else the newest one beside FILE.")
@json_option
def restore(file: Path, data: Path, keys: Path | None, as_json: bool) -> None:
    """Restore FILE, which `vekha backup` has written, into a data folder that holds nothing but, perhaps, its secrets."""
    folder = DataFolder(data)
    done = restored(folder, file, keys)
    if as_json:
        output.print_json(asdict(done))
        return
    click.echo(f"{data} is as it was at {done.made}: {sum(done.heads.values())} events. The keys are from {done.keys_made}.")
    if done.keys_made <= done.made:
        output.remark(f"No newer keys were found: whoever was erased after {done.keys_made} is to be erased again (vekha erasure order).")
    if done.without_key:
        output.remark(
            f"The details of {done.without_key} people have no key any more: they were erased since, or entered after the keys' backup."
        )
    for service in done.behind:
        output.remark(f"Readers know more of {service} than its log holds.")
    if not done.secrets:
        output.remark(f"Put the instance's secrets back into {folder.secrets_folder}.")
    output.remark(
        f"If the streams of the lost instance are left (its folder bus), put them to {folder.bus} and take back what was recorded since: "
        f"vekha doctor --repair --data {data}. Then: vekha up --data {data}"
    )


def restored(folder: DataFolder, file: Path, keys: Path | None = None) -> Restored:
    """Restores a backup. Raises Failure `restore.not-empty`, `restore.keys-missing`, `restore.mixed-up`, `backup.*`, `data.*`."""
    manifest = _manifest(file, "databases")
    keys_manifest, keys_file = _keys(file, manifest, keys)
    _check_empty(folder)
    with folder.hold():
        _check_empty(folder)
        unfinished = DataFolder(folder.root / _UNFINISHED)
        try:
            for leftover in (unfinished.root, folder.database("").parent, folder.keys.parent):
                shutil.rmtree(leftover, ignore_errors=True)
            unfinished.root.mkdir(mode=0o700)
            backups.sync(folder.root)
        except OSError as error:
            raise not_permitted(folder.root, error, "written") from error
        try:
            names = [f"db/{service}.db" for service in SERVICES] + ["instance.json"] + [name for name in manifest.files if name == "clock"]
            backups.unpack(file, manifest, names, unfinished.root)
            backups.unpack(keys_file, keys_manifest, [_KEYS], unfinished.root)
            done = _looked_at(unfinished, manifest, keys_manifest, secrets=folder.secrets_folder.exists())
        except Failure:
            shutil.rmtree(unfinished.root, ignore_errors=True)
            raise
        for name in ("db", "keys", *(name for name in names if name == "clock")):
            (unfinished.root / name).rename(folder.root / name)
        backups.sync(folder.root)
        (unfinished.root / "instance.json").rename(folder.root / "instance.json")
        backups.sync(folder.root)
        shutil.rmtree(unfinished.root)
    return done


def _manifest(path: Path, kind: str) -> Manifest:
    manifest = backups.read_manifest(path)
    if manifest.kind != kind:
        raise Failure("restore.mixed-up", f"{path} holds {manifest.kind}.", f"Name the file with the {kind}.", exit_code=Exit.INVALID)
    return manifest


def _keys(file: Path, manifest: Manifest, named: Path | None) -> tuple[Manifest, Path]:
    if named is not None:
        keys = _manifest(named, "keys")
        if keys.instance != manifest.instance:
            raise Failure("restore.mixed-up", f"{named} holds the keys of another instance.", "Name this one's.", exit_code=Exit.INVALID)
        return keys, named
    found = backups.keys_beside(file, manifest.instance)
    if not found:
        text = f"No backup of the keys lies beside {file}: without them nobody's details can be read."
        raise Failure("restore.keys-missing", text, "Name one with --keys.")
    return found[0]


def _check_empty(folder: DataFolder) -> None:
    """What a restore that was cut off has left may be there: `restoring` tells it from what somebody needs."""
    try:
        entries = {entry.name for entry in folder.root.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise not_permitted(folder.root, error, "read") from error
    ours = {"secrets", "run"}
    if _UNFINISHED in entries:
        ours |= {_UNFINISHED, "db", "keys", "clock"}
    if entries - ours:
        raise Failure("restore.not-empty", f"{folder.root} is not empty.", "Choose a new folder with --data; it may hold secrets alone.")


def _looked_at(folder: DataFolder, manifest: Manifest, keys: Manifest, *, secrets: bool) -> Restored:
    """Raises Failure `backup.damaged` where the logs do not end where the manifest says."""
    folder.about()
    heads, _ = ends(folder)
    for service, end in heads.items():
        if end != manifest.heads.get(service):
            raise Failure("backup.damaged", f"The log of {service} ends elsewhere than the manifest says.", "Take an older backup.")
    reads = last_reads(folder)
    behind: list[str] = []
    for service in SERVICES:
        with reading(folder, service) as connection:
            if next(unrecognized(connection, service, reads), None) is not None:
                behind.append(service)
    positions = {service: end.position for service, end in heads.items()}
    return Restored(manifest.made, keys.made, positions, behind, _without_key(folder), secrets)


def _without_key(folder: DataFolder) -> int:
    with reading(folder, "roster") as connection, closing(sqlite3.connect(folder.keys)) as keys:
        if not inspect(connection).has_table(vault_table.name):
            return 0  # an instance that never started
        sealed = set(connection.execute(select(vault_table.c.person)).scalars())
        return len(sealed - {row[0] for row in keys.execute(f"SELECT person FROM {key_table.name}")})  # noqa: S608 -- our own table's name
