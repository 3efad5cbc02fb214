"""`vekha backup`: copies an instance's databases while it runs, all as of one moment, and its keys apart.

No writer is under way in any of the databases at the moment at which all are looked at, so no reader in the copy knows an event that the
copy of its owner lacks, and no details are there without their key. It lasts milliseconds; the copying goes on beside the services.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import click
import msgspec

from contracts.event import SERVICES
from eventkit import log
from eventkit.event import moment, rfc3339
from vekha import backups, output
from vekha.backups import KEYS_KEPT_DAYS, KEYS_SUFFIX, End, Manifest
from vekha.failures import Failure
from vekha.files import check_new, unwritable
from vekha.folder import DataFolder, not_permitted
from vekha.options import data_option, json_option
from vekha.records import check_databases, reading

_ATTEMPTS = 20
_LOCK_TIMEOUT_S = 1.0  # longer, and calls of a service that is not busy would wait for one that is
_PAUSE_S = 0.5


@click.command()
@data_option
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The backup, a file that is not there yet.")
@json_option
def backup(data: Path, out: Path, as_json: bool) -> None:
    """Back up the databases into one file, and the keys of people's details into a second one beside it, FILE.keys.

    Works while the instance runs, and while it is stopped. Backups of the keys that are older than seven days are destroyed: they would
    bring back who was erased since. Secrets are in neither file: keep DATA/secrets where the organisation keeps its keys.
    """
    made, expired = back_up(DataFolder(data), out)
    if as_json:
        heads = {service: end.position for service, end in made.heads.items()}
        keys = f"{out}{KEYS_SUFFIX}"
        output.print_json({"file": str(out), "keys": keys, "made": made.made, "heads": heads, "expired": [str(path) for path in expired]})
        return
    click.echo(f"{out}: {sum(end.position for end in made.heads.values())} events, {out.stat().st_size} bytes. Keys: {out}{KEYS_SUFFIX}")
    for path in expired:
        click.echo(f"{path} was older than {KEYS_KEPT_DAYS} days, and is destroyed.")


def back_up(folder: DataFolder, out: Path) -> tuple[Manifest, list[Path]]:
    """Makes a backup; answers what is in it, and which older backups of the keys were destroyed.

    Raises Failure `file.exists`, `file.unwritable`, `backup.busy` and what `about` and `check_databases` raise.
    """
    about = folder.about()
    check_databases(folder)
    keys_out = out.with_name(f"{out.name}{KEYS_SUFFIX}")
    for path in (out, keys_out):
        check_new(path)
    try:
        scratch = tempfile.TemporaryDirectory(prefix=".vekha-backup-", dir=out.parent)
    except OSError as error:
        raise unwritable(out, error) from error
    with scratch as name:
        copy = DataFolder(Path(name))
        _copy(folder, copy)
        files = [f"db/{service}.db" for service in SERVICES] + ["instance.json"]
        (copy.root / "instance.json").write_bytes(msgspec.json.encode(about) + b"\n")
        if about.clock == "manual":
            (copy.root / "clock").write_text(rfc3339(folder.time()) + "\n")
            files.append("clock")
        made = rfc3339(datetime.now(UTC))
        heads, instance = ends(copy)
        of_databases = Manifest("databases", made, instance, heads, {file: backups.digest(copy.root / file) for file in files})
        of_keys = Manifest("keys", made, instance, heads, {"keys/roster.db": backups.digest(copy.keys)})
        backups.write(keys_out, of_keys, copy.root)  # first: a backup never lies there without its keys
        backups.write(out, of_databases, copy.root)
    folder.remember("backup", made)
    return of_databases, _expire(out, instance)


def ends(folder: DataFolder) -> tuple[dict[str, End], str]:
    """Where the logs end, and the id of roster's, which tells instances apart."""
    heads: dict[str, End] = {}
    instance = ""
    for service in SERVICES:
        with reading(folder, service) as connection:
            head = log.head(connection)
            heads[service] = End(head.position, head.hash.hex())
            if service == "roster":
                instance = log.log_id(connection)
    return heads, instance


def _expire(out: Path, instance: str) -> list[Path]:
    oldest = datetime.now(UTC) - timedelta(days=KEYS_KEPT_DAYS)
    expired = [path for manifest, path in backups.keys_beside(out, instance) if moment(manifest.made) < oldest]
    for path in expired:
        path.unlink()
    return expired


def _copy(folder: DataFolder, copy: DataFolder) -> None:
    # Roster makes and destroys keys inside its own transaction: in this order nobody waits for us while we wait for them.
    pairs = [(folder.database(service), copy.database(service)) for service in SERVICES] + [(folder.keys, copy.keys)]
    for _, to in pairs:
        to.parent.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as views:
        for view, (_, to) in zip(_views([path for path, _ in pairs], views), pairs, strict=True):
            with closing(sqlite3.connect(to)) as target:
                view.backup(target)
            to.chmod(0o600)


def _views(paths: Sequence[Path], open_until: ExitStack) -> list[sqlite3.Connection]:
    """One view of each database, all as of one moment at which nobody writes in any of them."""
    for _ in range(_ATTEMPTS):
        with ExitStack() as locks:
            try:
                for path in paths:
                    locks.enter_context(closing(_opened(path))).execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise not_permitted(paths[0].parent, OSError(0, str(error)), "written") from error
            else:
                views = [open_until.enter_context(closing(_opened(path))) for path in paths]
                for view in views:
                    view.execute("BEGIN")
                    view.execute("SELECT count(*) FROM sqlite_master").fetchone()  # only what is read fixes the moment
                return views
        time.sleep(_PAUSE_S)
    raise Failure("backup.busy", "The databases were being written all the time.", "Try again when no import is under way.")


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, timeout=_LOCK_TIMEOUT_S, isolation_level=None)
