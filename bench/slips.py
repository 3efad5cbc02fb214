"""A thousand credential slips as a school gets them: in `vekha up` with the sample school, a call for each class, two calls at a time.

Codes are made, digested and recorded, names are fetched from roster and journalled, and PDFs are rendered with their sheets to be signed,
and sent. Beside it the codes and the rendering alone, in this process, on one core.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from bench.instance import SAMPLE, Line, hand_in, open_school, up
from bench.measuring import Figure, Scale, side_by_side
from contracts.identity import (
    CONFIRM_REISSUE,
    PRINT_SLIPS,
    PROPOSE_REISSUE,
    SLIPS_A_CALL,
    ConfirmReissue,
    PrintedSlips,
    PrintSlips,
    ProposeReissue,
)
from contracts.roster import CLASSES, PEOPLE, ClassesQuery, PeopleQuery
from identity import codes
from identity.slips import Section, Slip, render

SLIPS = 1000
LEAST_SLIPS = 50
AT_A_TIME = 2
ENGINE = "SQLite, nats-server, typst, one process"

Lot = tuple[str, tuple[str, ...]]


def figures(scale: Scale) -> list[Figure]:
    wanted = max(LEAST_SLIPS, scale.count(SLIPS))
    with tempfile.TemporaryDirectory(prefix="vekha-bench-") as scratch, up(Path(scratch) / "data") as instance:
        instance.talk(open_school)
        instance.talk(hand_in)
        lots = instance.talk(lambda line: _lots(line, wanted))
        printed = side_by_side(scale.rounds, {"vekha": lambda: instance.talk(lambda line: _print(line, lots, wanted))})
    rendered = side_by_side(scale.rounds, {"vekha": lambda: _render(wanted)})
    return [
        Figure(f"{wanted:,} slips printed for whole classes, codes included", ENGINE, "s", printed, 5.0, less_is_better=True),
        Figure(f"{wanted:,} codes made and their slips rendered, nothing else", "typst, one core", "s", rendered, less_is_better=True),
    ]


async def _lots(line: Line, wanted: int) -> list[Lot]:
    """The pupils and guardians of as many classes as hold so many people, and nobody twice."""
    lots: list[Lot] = []
    seen: set[str] = set()
    for one in (await line.calls.call(CLASSES, ClassesQuery(school=SAMPLE))).reply.classes:
        found: list[str] = []
        for kind in ("pupil", "guardian"):
            found += (await line.calls.call(PEOPLE, PeopleQuery(school=SAMPLE, kind=kind, class_id=one.class_id))).reply.people
        new = [person for person in found if person not in seen][: wanted - len(seen)]
        seen |= {*new}
        lots += [(one.class_id, tuple(new[start : start + SLIPS_A_CALL])) for start in range(0, len(new), SLIPS_A_CALL)]
    if len(seen) < wanted:
        raise RuntimeError(f"the sample school has {len(seen)} people in its classes, not {wanted}")
    return lots


async def _print(line: Line, lots: Sequence[Lot], wanted: int) -> float:
    """How many seconds it takes. Codes that are out from the round before are issued anew, which two people have to want."""
    free = asyncio.Semaphore(AT_A_TIME)
    proposing = ProposeReissue(school=SAMPLE, people=tuple(person for _, people in lots for person in people))
    proposal = (await line.calls.call(PROPOSE_REISSUE, proposing)).reply.proposal
    await line.client.ask(CONFIRM_REISSUE, ConfirmReissue(school=SAMPLE, proposal=proposal), as_=f"director:{SAMPLE}")

    async def one(class_id: str, people: tuple[str, ...]) -> PrintedSlips:
        async with free:
            request = PrintSlips(school=SAMPLE, people=people, class_id=class_id, reissue=True, proposal=proposal)
            return (await line.calls.call(PRINT_SLIPS, request, timeout_s=60.0)).reply

    started = time.perf_counter()
    replies = await asyncio.gather(*(one(class_id, people) for class_id, people in lots))
    took_s = time.perf_counter() - started
    for reply in replies:
        if not b64decode(reply.pdf or "").startswith(b"%PDF"):
            raise RuntimeError(f"no slips were printed: {set(reply.refused.values())}")
    if (count := sum(len(reply.printed) for reply in replies)) != wanted:
        raise RuntimeError(f"{count} slips were printed and not {wanted}: {[reply.refused for reply in replies]}")
    return took_s


def _render(wanted: int) -> float:
    started = time.perf_counter()
    for start in range(0, wanted, SLIPS_A_CALL):
        slips = [
            Slip(f"Ёлкина Мария {number}", "Листок ученика, 5 «А» класс", "", codes.new_login(), codes.new_code())
            for number in range(start, min(start + SLIPS_A_CALL, wanted))
        ]
        section = Section("5 «А» класс, ученики", "у классного руководителя", slips)
        render("МБОУ СОШ № 7", "https://portal.example/activate", [section], expires_on=date(2015, 11, 15), now=datetime.now(UTC))
    return time.perf_counter() - started
