"""A process that holds secrets leaves nothing behind: neither files for others, nor a dump, nor the words of a crash."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NAME = "Иванов"

_BEGIN = """
import asyncio, ctypes, gc, logging, os, pathlib, resource, sys, threading, warnings
from eventkit import telemetry
from eventkit.process import leave_nothing_behind
telemetry.set_up()
leave_nothing_behind()
NAME = "Иванов"
"""

_CRASHES = {
    "process.crashed": "raise ValueError(NAME)",
    "thread.crashed": "def fail(): raise ValueError(NAME)\none = threading.Thread(target=fail); one.start(); one.join()",
    "error.unraisable": "class Odd:\n    def __del__(self): raise ValueError(NAME)\nOdd(); gc.collect()",
    "python.warned": "warnings.warn(NAME, UserWarning)",
    "library.spoke": """
async def fail(): raise ValueError(NAME)
async def main():
    task = asyncio.create_task(fail(), name=NAME)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
asyncio.run(main())
""",
}


def run(code: str, folder: Path) -> tuple[int, str, list[dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", _BEGIN + code], capture_output=True, text=True, timeout=60, cwd=folder, check=False
    )
    return done.returncode, done.stdout, [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize("event", _CRASHES)
def test_a_crash_is_told_by_type_and_place_alone(tmp_path: Path, event: str) -> None:
    code, out, lines = run(_CRASHES[event], tmp_path)
    assert code == (1 if event == "process.crashed" else 0)
    assert [line["event"] for line in lines] == [event]
    assert lines[0]["error"] == ("UserWarning" if event == "python.warned" else "ValueError")
    assert lines[0]["at"]
    assert NAME not in out + json.dumps(lines, ensure_ascii=False)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be asked whether a process may be dumped")
def test_memory_is_not_dumped_and_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    code, out, _ = run(
        "pathlib.Path('file').touch()\nmode = pathlib.Path('file').stat().st_mode & 0o777\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3), mode)",
        tmp_path,
    )
    assert code == 0
    assert out in {"(1, 1) 0 384\n", "(0, 0) 0 384\n"}  # the latter where whoever runs the tests has forbidden dumps


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands a dump to a program")
def test_where_dumps_are_forbidden_already_they_stay_forbidden(tmp_path: Path) -> None:
    forbidden = "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    # Whoever may raise every limit is held back by none: what a process without that right meets is played.
    refused = (
        "setting = resource.setrlimit\ndef refuse(which, limits):\n    if limits != (0, 0): raise ValueError\n    setting(which, limits)\n"
    )
    again = "resource.setrlimit = refuse\nleave_nothing_behind()\nprint(resource.getrlimit(resource.RLIMIT_CORE))"
    code, out, _ = run(forbidden + refused + again, tmp_path)
    assert (code, out) == (0, "(0, 0)\n")
