"""The commit before this one, for tests of an upgrade."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

_BEFORE = "HEAD~1"


def unpack_previous(folder: Path, *paths: str) -> None:
    """Unpacks the previous commit's files, all of them or those named, as another version for sure, whatever the commit has changed. Skips
    the test where there is none."""
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", _BEFORE, *paths], capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"THE UPGRADE WAS NOT TESTED: there is no previous commit here ({archive.stderr.decode().strip()})")
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    (folder / "libs/contracts/src/contracts/before.py").write_text('"""The version before."""\n')
