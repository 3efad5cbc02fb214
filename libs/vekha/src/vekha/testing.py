"""For tests: a `vekha up` as a process of its own, and commands typed beside it in a second shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

BINARY = Path(sys.executable).with_name("vekha")
OBEDIENT = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Runs a program as a root who obeys the modes of files, like everybody else."""
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The objects of NDJSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]


class Vekha(Protocol):
    """Runs one command."""

    def __call__(self, *arguments: str | Path) -> Outcome: ...


def run_binary(
    *arguments: str | Path,
    stdin: str = "",
    cwd: Path | None = None,
    through: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Runs the installed program, through another one if given, with more variables than our own if given."""
    command = [*through, str(BINARY), *(str(argument) for argument in arguments)]
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        cwd=cwd,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


class Up:
    """A `vekha up` of our own. `ready` is the line that it printed; its log lies beside the data folder."""

    def __init__(
        self, data: Path, *arguments: str, environment: Mapping[str, str] | None = None, program: Sequence[str] = (str(BINARY),)
    ) -> None:
        self.data = data
        self.log = data.with_name(f"{data.name}.log")
        command = [*program, "up", "--data", str(data), *arguments]
        with self.log.open("ab") as log:
            variables = {**os.environ, **(environment or {})}
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, start_new_session=True, env=variables)
        line = self.process.stdout.readline() if self.process.stdout else b""
        if not line:
            raise RuntimeError(f"vekha up did not start:\n{self.log.read_text()[-2000:]}")
        self.ready: dict[str, Any] = json.loads(line)

    @property
    def broker_pid(self) -> int:
        return int((self.data / "run" / "nats-server.pid").read_text())

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and waits for the end; answers the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(_TIMEOUT_S)

    def close(self) -> None:
        if self.process.stdout:
            self.process.stdout.close()


@contextmanager
def running(
    data: Path, *arguments: str, environment: Mapping[str, str] | None = None, program: Sequence[str] = (str(BINARY),)
) -> Generator[Up]:
    """`vekha up` on a data folder, ended at the end of the block if it still runs."""
    up = Up(data, *arguments, environment=environment, program=program)
    try:
        yield up
    finally:
        up.end()
        up.close()
