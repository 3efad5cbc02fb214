"""From a call to its answer, as another process sees it: `vekha up` with the sample school, one client that waits for each answer.

Visible means: a decision is recorded on a seat, and `plan.status`, asked for with the answer's positions, counts one more of step 13.
"""

import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from bench.instance import SAMPLE, Line, hand_in, open_school, up
from bench.measuring import Figure, Scale
from contracts.consent import RECORD_DECISION, Decision, RecordDecision, SubjectKind
from contracts.operations import CLOCK, Nothing
from contracts.plan import STATUS, StatusRequest
from contracts.roster import CLASSES, DECLARE_HEADCOUNT, ClassesQuery, DeclareHeadcount, Seat, SeatHolder

ENGINE = "SQLite, nats-server, nats-py, one process"
LEAST_CALLS = 20
STEP = 13

Once = Callable[[], Awaitable[None]]


def figures(scale: Scale) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="vekha-bench-") as scratch, up(Path(scratch) / "data") as instance:
        instance.talk(open_school)
        people = sum(one.people for one in instance.talk(hand_in))
        return instance.talk(lambda line: _measured(line, people, scale))


async def _measured(line: Line, people: int, scale: Scale) -> list[Figure]:
    seats = await _free_seats(line)
    class_id, headcount = await _a_class(line)
    visible: list[float] = []

    async def becomes_visible() -> None:
        decision = Decision(granted=False, seat=next(seats), subject_kind=SubjectKind.PUPIL)
        recorded = await line.calls.call(RECORD_DECISION, RecordDecision(school=SAMPLE, decision=decision))
        board = (await line.calls.call(STATUS, StatusRequest(school=SAMPLE), after=recorded.at)).reply
        visible.append(next(row.done or 0 for row in board.steps if row.step == STEP))

    async def nothing() -> None:
        await line.calls.call(CLOCK, Nothing())

    async def nothing_decided() -> None:
        await line.calls.call(DECLARE_HEADCOUNT, DeclareHeadcount(school=SAMPLE, class_id=class_id, pupils=headcount))

    async def board() -> None:
        await line.calls.call(STATUS, StatusRequest(school=SAMPLE))

    # Each once a round, so that whatever else the machine does meets all of them alike.
    measures: dict[str, tuple[Once, int]] = {
        "visible": (becomes_visible, 300),
        "empty": (nothing, 1000),
        "decided": (nothing_decided, 1000),
        "board": (board, 300),
    }
    found: dict[str, list[list[float]]] = {name: [] for name in measures}
    for _ in range(scale.rounds):
        for name, (once, calls) in measures.items():
            found[name].append([await _ms(once) for _ in range(max(LEAST_CALLS, scale.count(calls)))])
    if visible != list(range(int(visible[0]), int(visible[0]) + len(visible))):
        raise RuntimeError("a decision was recorded and could not be seen in the status that was asked for after it")

    def figure(what: str, name: str, of: Callable[[list[float]], float], to_reach: float | None) -> Figure:
        return Figure(what, ENGINE, "ms", {"vekha": [of(times) for times in found[name]]}, to_reach, less_is_better=True)

    return [
        figure("a decision recorded and visible in plan status, p50", "visible", statistics.median, 10.0),
        figure("the same, p99", "visible", _p99, 50.0),
        figure("call without anything to do (instance.clock), p50", "empty", statistics.median, 2.0),
        figure("command that decides nothing (roster.declare-headcount), p50", "decided", statistics.median, 2.0),
        figure(f"board of a school of {people:,} people, p50", "board", statistics.median, 20.0),
    ]


async def _ms(once: Once) -> float:
    started = time.perf_counter()
    await once()
    return (time.perf_counter() - started) * 1000


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[-1]


async def _a_class(line: Line) -> tuple[str, int]:
    card = (await line.calls.call(CLASSES, ClassesQuery(school=SAMPLE))).reply.classes[0]
    return card.class_id, card.headcount


async def _free_seats(line: Line) -> Iterator[Seat]:
    """Seats above what the classes have declared: nobody sits there."""
    classes = (await line.calls.call(CLASSES, ClassesQuery(school=SAMPLE))).reply.classes
    return (Seat(class_id=card.class_id, number=number, holder=SeatHolder.PUPIL) for number in range(41, 100) for card in classes)
