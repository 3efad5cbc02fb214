"""A whole instance to measure: `vekha up` in a process of its own, and the sample school handed in through the client's own calls."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

from contracts.plan import ADOPT_PLAN, AdoptPlan
from contracts.roster import OPEN_SCHOOL, SCHOOL, OpenSchool, SchoolQuery
from eventkit.calls import Calls
from eventkit.child import tied_to_us
from vekha import importing
from vekha.client import Client, Target, connected
from vekha.folder import DataFolder

SAMPLE = "school-7"
FILES = ("school-classes.xlsx", "school-staff.xlsx", "school-pupils.xlsx", "school-pupils-late.xlsx")
NOW = "2015-09-10T09:00:00+03:00"  # on a manual clock, which stands: whoever signed in the sample files has signed by then

_SAMPLES = Path(__file__).parents[1] / "services" / "roster" / "samples"
_STOP_TIMEOUT_S = 30.0

T = TypeVar("T")


@dataclass(frozen=True)
class Line:
    """A connection to it: bare calls to be timed, and the command line's client, which adds to them."""

    client: Client
    calls: Calls


@dataclass(frozen=True)
class Instance:
    """A running one. `ready_after_s` is the time from its start to its ready line."""

    folder: DataFolder
    pid: int
    ready_after_s: float

    def talk(self, work: Callable[[Line], Awaitable[T]]) -> T:
        """Does some work as its operator."""
        token = self.folder.operator_token()

        async def connect_and_work() -> T:
            async with connected(Target(self.folder)) as client:
                return await work(Line(client, Calls(client.nc, token)))

        return asyncio.run(connect_and_work())

    def processor_s(self) -> float | None:
        """How much of a processor's time the process with the five services has taken so far; None where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float | None:
        """How much memory the process with the five services holds; None where the system does not tell."""
        return _resident_mb(self.pid)

    def broker_memory_mb(self) -> float | None:
        return _resident_mb(int((self.folder.run / "nats-server.pid").read_text()))


@contextmanager
def up(folder: Path) -> Generator[Instance]:
    """`vekha up` on a folder until the end of the block; a new folder is made with a manual clock."""
    data = DataFolder(folder)
    command = [sys.executable, "-m", "vekha.main", "up", "--data", str(folder)]
    if not data.is_made:
        command += ["--manual-clock", NOW]
    started = time.perf_counter()
    process = subprocess.Popen(tied_to_us(command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        line = process.stdout.readline() if process.stdout else b""
        ready_after_s = time.perf_counter() - started
        if not json.loads(line or b"{}").get("ready"):
            raise RuntimeError(f"vekha up did not start: {line.decode().strip() or 'it said nothing'}")
        yield Instance(data, process.pid, ready_after_s)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def open_school(line: Line, school: str = SAMPLE) -> None:
    """Opens the sample school, under this name, and starts its plan."""
    opened = OpenSchool(school=school, name="МБОУ СОШ № 7", municipality="mytishchi", happened_on=date(2015, 8, 17))
    at = (await line.calls.call(OPEN_SCHOOL, opened)).at
    await line.calls.call(ADOPT_PLAN, AdoptPlan(school=school, start=date(2015, 8, 17)), after=at)


@dataclass(frozen=True)
class Handed:
    """A file that was handed in: how many people are there since, and how long its administrator waited for that."""

    people: int
    took_s: float


async def hand_in(line: Line, school: str = SAMPLE) -> list[Handed]:
    """Imports the sample's classes and all its people, file after file, as `vekha import` does."""
    handed: list[Handed] = []
    there = 0
    for file in FILES:
        started = time.perf_counter()
        name, content = importing.read(_SAMPLES / file)
        done = await importing.hand_in(line.client, school, name, content, on_progress=lambda done, total: None)
        took_s = time.perf_counter() - started
        if done.rejected:
            raise RuntimeError(f"{file}, row {done.rejected[0].row}: {done.rejected[0].code}")
        card = (await line.calls.call(SCHOOL, SchoolQuery(school=school))).reply
        before, there = there, card.staff + card.pupils + card.guardians
        handed.append(Handed(there - before, took_s))
    return handed


def _resident_mb(pid: int) -> float | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return None
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return kilobytes * 1024 / 1e6
