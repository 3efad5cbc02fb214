"""`vekha drill`: proves that a backup can be restored, by restoring it into a folder of its own.

The copy gets the instance's secrets, runs, and is looked through as any instance is: the record verifies, and every projection and board
that it answers is the one that the events alone give. It has no mail server, so it tells nobody anything; it is deleted at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from eventkit.event import rfc3339
from vekha import backups, output
from vekha.failures import Exit, Failure
from vekha.folder import DataFolder, not_permitted
from vekha.options import data_option, json_option
from vekha.restore import restored

_VEKHA = (sys.executable, "-m", "vekha.main")
_STOP_TIMEOUT_S = 60.0


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_option
@json_option
def drill(file: Path, data: Path, as_json: bool) -> None:
    """Restore FILE on trial, with the secrets of the instance in --data; nothing of that instance is touched.

    Ends with 4 where the copy does not verify, or where its boards are not those that its events give. When the last drill ended well is
    told by vekha doctor.
    """
    folder = DataFolder(data)
    folder.about()
    folder.secrets()
    begun = time.monotonic()
    age_s = backups.read_manifest(file).age_s
    try:
        scratch = tempfile.TemporaryDirectory(prefix=".vekha-drill-", dir=folder.root.absolute().parent)
    except OSError as error:
        raise not_permitted(folder.root.absolute().parent, error, "written") from error
    with scratch as name:
        copy = DataFolder(Path(name) / "data")
        done = restored(copy, file)
        shutil.copytree(folder.secrets_folder, copy.secrets_folder)
        with _running(copy):
            verified = _asked("drill.unverified", "audit", "verify", "--data", copy.root)
            replayed = _asked("drill.differs", "audit", "replay", "live", "--data", copy.root)
    folder.remember("drill", rfc3339(datetime.now(UTC)))
    took_s = round(time.monotonic() - begun, 1)
    if as_json:
        output.print_json(
            {
                "ok": True,
                "made": done.made,
                "age_s": age_s,
                "took_s": took_s,
                "heads": verified["heads"],
                "digests": replayed["digests"],
                "boards": replayed["boards"],
            }
        )
        return
    click.echo(
        f"{file} was restored and verified in {took_s} s: {sum(done.heads.values())} events, "
        f"{len(replayed['digests'])} projections and {len(replayed['boards'])} boards as the events give them."
    )


@contextmanager
def _running(folder: DataFolder) -> Generator[None]:
    """`vekha up` on a folder. Raises Failure `drill.not-started`."""
    command = [*_VEKHA, "up", "--data", str(folder.root)]
    log = folder.root.with_name("up.log")
    with log.open("wb") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=_environment()) as up:
        try:
            if not (up.stdout and up.stdout.readline()):
                said = log.read_text(errors="replace").strip().splitlines()
                raise Failure("drill.not-started", f"The restored copy did not start: {said[-1] if said else 'it said nothing'}")
            yield
        finally:
            up.send_signal(signal.SIGTERM)
            try:
                up.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                up.kill()


def _asked(code: str, *arguments: str | Path) -> dict[str, Any]:
    """What a command of ours says in JSON. Raises Failure with this code where it does not end well."""
    done = subprocess.run([*_VEKHA, *map(str, arguments), "--json"], capture_output=True, text=True, check=False, env=_environment())
    answer: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
    if done.returncode != 0:
        found = answer.get("damage") or answer.get("findings") or answer.get("differences") or answer.get("error") or done.stderr.strip()
        shown = json.dumps(found, ensure_ascii=False)
        raise Failure(
            code, f"The restored copy is not sound: {shown}", "Keep this backup, and try an older one.", exit_code=Exit.UNVERIFIED
        )
    return answer


def _environment() -> Mapping[str, str]:
    """Ours without the instance's settings: a copy on trial mails nobody."""
    return {name: value for name, value in os.environ.items() if not name.startswith("VEKHA_")}
