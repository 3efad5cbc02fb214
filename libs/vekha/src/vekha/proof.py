"""The proof of one event: its bytes, the hashes that lead from it to the seal behind it, that seal, and the keys of its log."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, select

from contracts.event import SERVICES
from eventkit import log, merkle, seals
from eventkit.keys import KEYS
from eventkit.log import log_table
from eventkit.seals import Seal
from vekha.failures import Exit, Failure
from vekha.folder import DataFolder
from vekha.records import reading


class Included(NamedTuple):
    """An event's bytes, and the hashes that lead from them to the root that a seal has signed."""

    data: bytes
    path: Sequence[bytes]
    seal: Seal

    def told(self) -> dict[str, Any]:
        return {"event": _text(self.data), "path": [hash_.hex() for hash_ in self.path]}


def prove(folder: DataFolder, event_id: str) -> dict[str, Any]:
    """Proves an event of any of the logs, as `verify.py` reads it.

    Raises Failure `event.unknown`, `event.unsealed` where no seal covers it yet, or `record.differs` where the seal says something else.
    """
    for service in SERVICES:
        with reading(folder, service) as connection:
            position = connection.execute(select(log_table.c.position).where(log_table.c.event_id == event_id)).scalar()
            if position is not None:
                (one,) = included(connection, service, [position])
                return {**one.told(), "seal": msgspec.to_builtins(one.seal), "keys": keys(connection, service)}
    raise Failure("event.unknown", f"No log holds an event {event_id}.", "`vekha events --json` shows the ids.")


def included(connection: Connection, service: str, positions: Sequence[int]) -> Iterator[Included]:
    """The events at some positions of a log, in order. Raises Failure `event.unsealed` and `record.differs`."""
    seal: Seal | None = None
    run: list[bytes] = []
    for position in positions:
        if seal is None or position > seal.position:
            seal, run = _run_of(connection, service, position)
        index = position - seal.since - 1
        yield Included(run[index], merkle.path(run, index), seal)


def keys(connection: Connection, service: str) -> list[str]:
    """The events that say with which keys a service signs."""
    return [_text(data) for data in log.of_streams(connection, KEYS.stream(service))]


def _run_of(connection: Connection, service: str, position: int) -> tuple[Seal, list[bytes]]:
    """The seal behind a position, and the events that it has signed the tree of."""
    sealed = seals.kept_after(connection, position - 1, 1) if seals.are_kept(connection) else []
    if not sealed:
        text = f"{service}'s event at {position} is not sealed yet."
        raise Failure("event.unsealed", text, "A running instance seals within a second: try again.")
    seal = sealed[0]
    run = [data for _, _, data in log.read(connection, seal.since, seal.position - seal.since)]
    if merkle.tree(run).hex() != seal.root:
        text = f"What {service} has sealed from {seal.since + 1} to {seal.position} is not what its log holds."
        raise Failure("record.differs", text, "See: vekha audit verify", exit_code=Exit.UNVERIFIED)
    return seal, run


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
