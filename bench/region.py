"""The region's board over 1,500 schools: its 21 rows now, on an earlier day, as it was known, and one school's board among them.

Each school is small, since a region's board costs what its schools' timelines cost and not what its people do: two classes, eight pupils
with a guardian each, six staff. Their events are folded into the tracker's tables and read as its answers read them, in this process.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random

from bench.measuring import Figure, Scale
from contracts import SERVICES
from contracts.call import Role
from contracts.consent import AgeBand, Capacity, ConsentGranted, SubjectKind, Terms
from contracts.event import Event
from contracts.identity import AccountActivated, Channel, CredentialsHandedOver, CredentialsIssued
from contracts.plan import ImplementationOrderRegistered
from contracts.roster import (
    ClassCreated,
    ClassDeclared,
    ClassHeadcountDeclared,
    CoordinatorAppointed,
    GuardianLinked,
    Position,
    PupilAssignedToClass,
    PupilEnrolled,
    Relation,
    SchoolOpened,
    Seat,
    SeatHolder,
    StaffHired,
)
from eventkit.database import Database, sqlite_url
from eventkit.event import encode
from eventkit.projection import Checkpointed, delivered
from eventkit.tokens import Actor
from plan_tracker.answers import region_board, school_board
from plan_tracker.boards import Boards, Look
from plan_tracker.projections import BoardProjection
from plan_tracker.testing import Logs

ENGINE = "SQLite, one process, no bus"
SCHOOLS, FEW_SCHOOLS = 1_500, 30
START = date(2015, 8, 17)
TODAY = date(2015, 9, 9)
WARM_MS, AS_OF_MS, SCHOOL_MS = 50.0, 2_000.0, 20.0
_ACTOR = Actor(Role.OPERATOR)
_BATCH = 1000


def figures(scale: Scale) -> list[Figure]:
    schools = FEW_SCHOOLS if scale.quick else SCHOOLS
    with tempfile.TemporaryDirectory(prefix="vekha-bench-") as scratch:
        database = Database(sqlite_url(Path(scratch) / "plan.db"), "plan")
        at = _fold(database, schools)
        measured: dict[str, list[float]] = {}
        for _ in range(scale.rounds):
            for name, took_ms in _round(database, at):
                measured.setdefault(name, []).append(took_ms)
        database.close()

    def figure(what: str, name: str, to_reach: float | None = None) -> Figure:
        return Figure(what, ENGINE, "ms", {"vekha": measured[name]}, to_reach, less_is_better=True)

    return [
        figure(f"the region's 21 rows over {schools:,} schools", "now", WARM_MS),
        figure("the same as of an earlier day", "as of", AS_OF_MS),
        figure("the same as it was known at earlier positions", "known"),
        figure("the first one after a start", "cold"),
        figure("one school's board among them, its events read", "school", SCHOOL_MS),
    ]


def _round(database: Database, at: dict[str, int]) -> Iterator[tuple[str, float]]:
    boards = Boards()

    def timed(answer: Callable[[Look], object]) -> float:
        with database.reading() as connection:
            before = time.perf_counter()
            with boards.look(connection) as look:
                answer(look)
            return (time.perf_counter() - before) * 1000

    half = {service: position // 2 for service, position in at.items()}
    yield "cold", timed(lambda look: region_board(look, TODAY, _ACTOR, None))
    yield "now", timed(lambda look: region_board(look, TODAY, _ACTOR, None))
    yield "as of", timed(lambda look: region_board(look, TODAY - timedelta(9), _ACTOR, None))
    yield "known", timed(lambda look: region_board(look, TODAY - timedelta(9), _ACTOR, half))
    yield "school", timed(lambda look: school_board(look, "school-1", TODAY, _ACTOR))


def _fold(database: Database, schools: int) -> dict[str, int]:
    """Writes the schools' events into the tracker's tables; the last position of each log."""
    database.create()
    checkpointed = Checkpointed(database, BoardProjection())
    checkpointed.create()
    logs, random = Logs(), Random(20150907)
    for n in range(1, schools + 1):
        _live(logs, f"school-{n}", random)
    for source in SERVICES:
        events = logs.events[source]
        for first in range(0, len(events), _BATCH):
            run = events[first : first + _BATCH]
            checkpointed.apply([delivered(source, (event.position, event.subject, encode(event))) for event in run])
    return {source: len(log) for source, log in logs.events.items()}


def _live(logs: Logs, school: str, random: Random) -> None:
    """Some weeks of one school, each step some days late at random."""
    day = START

    def happened(*events: Event) -> None:
        nonlocal day
        day += timedelta(random.randint(0, 2))
        logs.record(school, day, *events)

    staff = [f"{school}-s{n}" for n in range(6)]
    classes = [f"{school}-c{n}" for n in range(2)]
    pupils = [(f"{school}-p{n}", f"{school}-g{n}", classes[n // 4], n % 4 + 1) for n in range(8)]
    logs.record(school, START, SchoolOpened(school=school, municipality="mytishchi", timezone="Europe/Moscow"))
    logs.adopt(school, START)
    happened(*(StaffHired(person=person, position=Position.TEACHER, hired_on=START) for person in staff))
    happened(CoordinatorAppointed(person=staff[0]), ImplementationOrderRegistered(order=f"{school}-o", evidence_sha256=None))
    for grade, class_id in enumerate(classes, 1):
        happened(
            ClassDeclared(class_id=class_id, grade=grade, letter="А", academic_year="2015/2016"),
            ClassCreated(class_id=class_id, shift=1),
            ClassHeadcountDeclared(class_id=class_id, pupils=4),
        )
    happened(*(_granted(person, SubjectKind.STAFF, None) for person in staff))
    happened(
        *(_granted(pupil, SubjectKind.PUPIL, _seat(class_id, number)) for pupil, _, class_id, number in pupils),
        *(_granted(guardian, SubjectKind.GUARDIAN, None) for _, guardian, _, _ in pupils),
    )
    for pupil, guardian, class_id, number in pupils:
        seat = _seat(class_id, number)
        enrolled = PupilEnrolled(person=pupil, seat=seat, consent_id=f"c-{pupil}", legal_basis=None, enrolled_on=START)
        linked = GuardianLinked(
            pupil=pupil, guardian=guardian, relation=Relation.MOTHER, legal_representative=True, consent_id=None, legal_basis=None
        )
        logs.record(school, day, enrolled, linked, PupilAssignedToClass(pupil=pupil, class_id=class_id))
    everybody = [*staff, *(one for pupil in pupils for one in pupil[:2])]
    for person in everybody[: random.randint(10, len(everybody))]:
        happened(
            CredentialsIssued(credential=f"k-{person}", account=person, person=person, replaces=None, expires_on=date(2015, 12, 1)),
            CredentialsHandedOver(credential=f"k-{person}", person=person, channel=Channel.PAPER, receiver=person),
            AccountActivated(account=person, person=person, method="temporary-password"),
        )
        day = min(day, TODAY - timedelta(2))


def _seat(class_id: str, number: int) -> Seat:
    return Seat(class_id=class_id, number=number, holder=SeatHolder.PUPIL)


def _granted(person: str, kind: SubjectKind, seat: Seat | None) -> ConsentGranted:
    return ConsentGranted(
        consent_id=f"c-{person}",
        supersedes=None,
        subject=person,
        subject_kind=kind,
        seat=seat,
        age_band=AgeBand.ADULT,
        grantor=None,
        capacity=Capacity.SELF,
        terms=Terms(),
        form="paper",
        evidence_sha256=None,
        signed_on=START,
        valid_from=START,
        valid_until=None,
    )
