"""Starting `vekha up`, handing in a school of some 1,760 people, and the memory that it takes.

Each round has a data folder of its own: a first start that makes it, the import through the client's own calls, and a second start on
what is there. The school comes in four files, of which each waits for the one before; one of them brings nearly all its people, with
their consents, and tells how many are entered a second. Memory is what the system counts as resident, of the process with the five
services and of the broker beside it. What else runs on the machine lengthens a time and leaves the processor time as it is, so both are
told.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench.instance import SAMPLE, Line, hand_in, open_school, up
from bench.measuring import Figure, Scale
from contracts.plan import STATUS, StatusRequest

ENGINE = "SQLite, nats-server, one process"
READY_S, MEMORY_MB, PEOPLE_PER_S, SCHOOL_S = 3.0, 250.0, 1_500.0, 1.5


def figures(scale: Scale) -> list[Figure]:
    rounds = [_round() for _ in range(scale.rounds)]
    people, largest = (round(statistics.median(found[name] for found in rounds)) for name in ("people", "largest"))

    def figure(what: str, name: str, unit: str, to_reach: float | None = None) -> list[Figure]:
        runs = [found[name] for found in rounds if name in found]
        return [Figure(what, ENGINE, unit, {"vekha": runs}, to_reach, less_is_better=unit != "people/s")] if runs else []

    return [
        *figure("`vekha up` until ready, in a new folder", "first start", "s", READY_S),
        *figure("`vekha up` until ready, with one school", "second start", "s", READY_S),
        *figure("the same, processor time", "second start, processor", "s"),
        *figure(f"import of a file of {largest:,} people", "import", "people/s", PEOPLE_PER_S),
        *figure(f"import of a school, {people:,} people in four files", "school", "s", SCHOOL_S),
        *figure("the same, processor time of the five services", "school, processor", "s"),
        *figure("a school's board, the first one after a start", "first board", "ms"),
        *figure("memory of the five services, after the import", "memory after import", "MB", MEMORY_MB),
        *figure("memory of the five services, with one school", "memory", "MB", MEMORY_MB),
        *figure("memory of nats-server beside them", "broker memory", "MB"),
    ]


def _round() -> Mapping[str, float]:
    with tempfile.TemporaryDirectory(prefix="vekha-bench-") as scratch:
        found: dict[str, float | None] = {}
        with up(Path(scratch) / "data") as instance:
            found["first start"] = instance.ready_after_s
            instance.talk(open_school)
            before_s = instance.processor_s()
            handed = instance.talk(hand_in)
            after_s = instance.processor_s()
            largest = max(handed, key=lambda one: one.people)
            found["people"], found["largest"] = sum(one.people for one in handed), largest.people
            found["import"], found["school"] = largest.people / largest.took_s, sum(one.took_s for one in handed)
            found["school, processor"] = None if before_s is None or after_s is None else after_s - before_s
            found["memory after import"] = instance.memory_mb()
        with up(Path(scratch) / "data") as instance:
            found["second start"], found["second start, processor"] = instance.ready_after_s, instance.processor_s()
            found["first board"] = instance.talk(_timed_board) * 1000
            found["memory"], found["broker memory"] = instance.memory_mb(), instance.broker_memory_mb()
    return {name: value for name, value in found.items() if value is not None}


async def _timed_board(line: Line) -> float:
    started = time.perf_counter()
    await line.calls.call(STATUS, StatusRequest(school=SAMPLE))
    return time.perf_counter() - started
