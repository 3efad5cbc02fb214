"""What every fault is asked afterwards: is everything that was acknowledged there once, does every chain verify, is what lives what a
rebuild makes? And the means of faults that several suites share."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import time
from collections.abc import Callable, Collection, Generator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from contracts import roster
from tests.load import Load, check_running, check_stopped
from tests.record import Where
from tests.school import SCHOOL
from vekha import importing
from vekha.client import Client, Target, connected
from vekha.failures import Failure
from vekha.folder import DataFolder
from vekha.story import samples
from vekha.testing import Up, Vekha, running

_PATIENCE_S = 30.0
_IMPORT_PATIENCE_S = 180.0  # whoever takes an import up may have to wait for what a frozen process holds, a minute each time

Tell = Callable[[str, object], None]


@dataclass(frozen=True)
class Survival:
    """Asks it of a data folder. `tell` keeps what was counted, for the table of faults."""

    vekha: Vekha
    tell: Tell

    def count(self, load: Load, where: Where) -> None:
        """Counts what was lost and what is there twice, and lets neither pass."""
        for name, number in asdict(load.tally(where)).items():
            self.tell(name, number)
        load.check(where)

    async def check(self, data: Path, load: Load) -> None:
        """Of an instance that has ended, however it ended: the next start has everything, and so has what it leaves."""
        until(lambda: processes_of(data) == [])
        self.count(load, data)
        with running(data) as up:
            await self.check_live(data, load)
            assert up.end() == 0
        assert processes_of(data) == []
        stopped = await self.verified(data)
        assert stopped["findings"] == []
        self.check_stopped(data)

    async def check_live(self, data: Path, load: Load) -> None:
        """Of an instance that runs: what is pending is carried out now, all copies agree, and everything verifies."""
        async with client_of(data) as client:
            await load.repeat(client)
            await check_running(client, data)
        self.count(load, data)
        assert (await self.verified(data))["findings"] == []

    def check_stopped(self, where: Where) -> None:
        """Of an instance that has stopped: what is derived from the logs is what a rebuild makes of them."""
        with TemporaryDirectory() as scratch:
            check_stopped(where, Path(scratch))

    async def verified(self, data: Path) -> dict[str, object]:
        outcome = await asyncio.to_thread(self.vekha, "audit", "verify", "--data", data, "--json")
        assert outcome.code == 0, outcome.out
        return outcome.json


def client_of(data: Path) -> AbstractAsyncContextManager[Client]:
    return connected(Target(DataFolder(data)))


def processes_of(data: Path) -> list[str]:
    """The command lines of all processes that were started for a data folder."""
    return list(_started_for(data).values())


def _started_for(data: Path) -> dict[int, str]:
    """The same by process id. One that waits only for its parent to notice its end has no command line any more."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:  # it has ended meanwhile
                continue
            if str(data) in line:
                found[int(entry.name)] = line.replace("\0", " ")
    return found


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def answered(load: Load, more: int) -> None:
    """Waits until so many more commands were answered."""
    wanted = len(load.acknowledged) + more
    while len(load.acknowledged) < wanted:  # noqa: ASYNC110 -- a ledger is watched, and nothing else needs an event for it
        await asyncio.sleep(0.01)


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits only for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
    except OSError:
        return True


@contextmanager
def frozen(*pids: int) -> Generator[None]:
    """Processes that stand still within the block, with whatever they have in their hands."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def without_broker(up: Up, ended_by: signal.Signals = signal.SIGKILL) -> Generator[Path]:
    """The broker of a running instance ended, and the instance held still, so that nobody starts it again before the end of the block.

    Answers the broker's folder, to be damaged. After an earlier fault it may have been dead already, or be just starting.
    """
    with frozen(up.process.pid):
        for broker in (pid for pid, line in _started_for(up.data).items() if "nats-server" in line):
            with suppress(ProcessLookupError):
                os.kill(broker, ended_by)
            until(partial(has_ended, broker))
        yield up.data / "bus"


async def begin_import(client: Client, file: str) -> str:
    """Hands a sample file in, and answers the id of its import, which is under way then."""
    name, content = importing.read(samples() / file)
    part = roster.UploadPart(
        school=SCHOOL, upload=f"u-{len(content)}", part=1, parts=1, file_name=name, content=base64.b64encode(content).decode()
    )
    await client.ask(roster.UPLOAD, part)
    return (await client.ask(roster.IMPORT, roster.ImportRoster(school=SCHOOL, upload=part.upload))).reply.job


async def import_finished(client: Client, job: str, tolerated: Collection[str] = ()) -> roster.ImportStatus:
    """Asks until an import has ended; what it is told meanwhile may be one of the tolerated failures."""
    deadline, said = time.monotonic() + _IMPORT_PATIENCE_S, "nothing"
    while time.monotonic() < deadline:
        try:
            status = (await client.ask(roster.IMPORT_STATUS, roster.ImportJob(school=SCHOOL, job=job))).reply
        except Failure as failure:
            if failure.code not in tolerated:
                raise
            said = failure.code
        else:
            if status.state != "running":
                return status
            said = f"{status.done_rows} of {status.total_rows} rows are done"
        await asyncio.sleep(0.1)
    raise AssertionError(f"import {job} has not ended within {_IMPORT_PATIENCE_S:.0f} s; what was last said of it: {said}")
