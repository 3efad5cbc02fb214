"""The proof of an answer: why a step of a school stands where it stands, and every event that this rests on, each with its inclusion proof.

The answer is made of the events alone, up to where the five logs are sealed, in a database that is gone afterwards. It is what
`vekha plan explain` answers for the same day and the same positions, byte for byte. Identity signs it together with the events' digests and
the checkpoint: so nobody can leave one out, or put another answer above them.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from contracts.call import Role
from contracts.event import NO_SCHOOL, SERVICES
from contracts.plan import Explanation
from eventkit import parking, projection
from eventkit.checkpoint import Checkpoint
from eventkit.clock import local_day
from eventkit.database import Database, sqlite_url
from eventkit.decider import Refused
from eventkit.event import Recorded, decode, moment
from eventkit.log import log_table
from eventkit.projection import Place
from eventkit.tokens import Actor
from plan_tracker.answers import explanation, resting_on
from plan_tracker.boards import Boards
from plan_tracker.domain.facts import fold
from plan_tracker.projections import BoardProjection, opening, time_zone
from vekha.failures import Exit, Failure
from vekha.folder import DataFolder
from vekha.proof import Included, included, keys
from vekha.records import reading
from vekha.signing import Signing

_BATCH = 1000
_Places = Sequence[tuple[str, int]]


def prove_step(folder: DataFolder, signing: Signing, school: str, step: int, as_of: date | None) -> dict[str, Any]:
    """Proves what a checkpoint's events say of a step at the end of a day, by default today, as `verify.py` reads it.

    Raises Failure `answer.unreadable` where an event of the school cannot be taken in, `record.differs` where one is not what was sealed,
    and Refused as `plan.explain` does.
    """
    made = signing.checkpoint
    answer, places = _answered(folder, made, school, step, as_of)
    events: list[dict[str, Any]] = []
    seals: list[dict[str, Any]] = []
    told: list[bytes] = []
    published: dict[str, list[str]] = {}
    for service in SERVICES:
        with reading(folder, service) as connection:
            published[service] = keys(connection, service)
            for one in included(connection, service, [position for source, position in places if source == service]):
                told.append(one.data)
                events.append({**one.told(), "seal": _place_of(one, seals)})
    text = answer.model_dump_json()
    return {
        "answer": text,
        "events": events,
        "seals": seals,
        "keys": published,
        "checkpoint": made.text(),
        "signature": signing.key.sign(said(text, told, made)).hex(),
    } | ({} if signing.named is None else {"signer": msgspec.to_builtins(signing.named)})


def said(answer: str, events: Sequence[bytes], made: Checkpoint) -> bytes:
    """The bytes that are signed: the digests of the answer, of the checkpoint, and of each event."""
    parts = (answer.encode(), made.said(), *events)
    return "".join(f"{line}\n" for line in ("vekha-answer/1", *(hashlib.sha256(part).hexdigest() for part in parts))).encode()


def _place_of(one: Included, seals: list[dict[str, Any]]) -> int:
    """Where an event's seal stands in the list of seals, each of which covers many events."""
    seal = msgspec.to_builtins(one.seal)
    if not seals or seals[-1] != seal:
        seals.append(seal)
    return len(seals) - 1


def _answered(folder: DataFolder, made: Checkpoint, school: str, step: int, as_of: date | None) -> tuple[Explanation, _Places]:
    at = {service: sealed.position for service, sealed in made.sealed.items()}
    with (
        tempfile.TemporaryDirectory(prefix="vekha-proof-") as scratch,
        closing(_board(folder, at, school, Path(scratch))) as board,
        board.reading() as connection,
        Boards().look(connection) as look,
    ):
        today = local_day(moment(made.made), time_zone(school, connection.execute(opening(school)).all()))
        day = as_of or today
        if day > today:
            raise Refused("as-of.in-future", f"{day} has not come yet: the board is known up to {today}.")
        return explanation(look, school, step, day, Actor(Role.OPERATOR), at), resting_on(look, school, step, day, at)


def _board(folder: DataFolder, at: Mapping[str, int], school: str, scratch: Path) -> Database:
    """The rows of one school, made of its events and of those of no school."""
    board, rows = Database(sqlite_url(scratch / "board.db"), "plan", projection.metadata, BoardProjection.tables), BoardProjection()
    board.create()
    with reading(folder, "plan") as connection:
        skipped = parking.skipped(connection, BoardProjection.name)
    for service in SERVICES:
        with reading(folder, service) as connection, board.writing() as writing:
            for batch in _of_school(connection, service, at[service], school, skipped):
                rows.apply(writing, batch)
    return board


def _of_school(connection: Connection, service: str, end: int, school: str, skipped: parking.Skips) -> Iterator[list[Recorded]]:
    """The events that the board takes in, in batches of one transaction."""
    table = log_table
    wanted = select(table.c.position, table.c.bytes).where(table.c.school.in_((school, NO_SCHOOL)), table.c.position <= end)
    found = connection.execute(wanted.order_by(table.c.position).execution_options(yield_per=_BATCH))
    for partition in found.partitions(_BATCH):
        batch: list[Recorded] = []
        for position, data in partition:
            if Place(service, position, projection.sha256(bytes(data))) in skipped:
                continue
            try:
                recorded = decode(bytes(data))
                if BoardProjection.wants(recorded.type):
                    fold(recorded)
                    batch.append(recorded)
            except (msgspec.MsgspecError, ValueError, LookupError, TypeError) as error:
                text = f"{service}'s event at {position} cannot be taken in, so there is no whole answer: {type(error).__name__}."
                raise Failure("answer.unreadable", text, "See: vekha audit verify", exit_code=Exit.UNVERIFIED) from error
        yield batch
