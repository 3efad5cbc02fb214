"""The proof of one event: its bytes, the hashes that lead from it to the seal behind it, that seal, and the keys of its log."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from contracts.event import SERVICES
from eventkit import log, merkle, seals
from eventkit.keys import KEYS
from eventkit.log import log_table
from vekha.failures import Exit, Failure
from vekha.folder import DataFolder
from vekha.records import reading


def prove(folder: DataFolder, event_id: str) -> dict[str, Any]:
    """Proves an event of any of the logs, as `verify.py` reads it.

    Raises Failure `event.unknown`, `event.unsealed` where no seal covers it yet, or `record.differs` where the seal says something else.
    """
    for service in SERVICES:
        with reading(folder, service) as connection:
            position = connection.execute(select(log_table.c.position).where(log_table.c.event_id == event_id)).scalar()
            if position is not None:
                return _proof(connection, service, position)
    raise Failure("event.unknown", f"No log holds an event {event_id}.", "`vekha events --json` shows the ids.")


def _proof(connection: Connection, service: str, position: int) -> dict[str, Any]:
    sealed = seals.kept_after(connection, position - 1, 1) if seals.are_kept(connection) else []
    if not sealed:
        text = f"{service}'s event at {position} is not sealed yet."
        raise Failure("event.unsealed", text, "A running instance seals within a second: try again.")
    seal = sealed[0]
    run = [data for _, _, data in log.read(connection, seal.since, seal.position - seal.since)]
    if merkle.tree(run).hex() != seal.root:
        text = f"What {service} has sealed from {seal.since + 1} to {seal.position} is not what its log holds."
        raise Failure("record.differs", text, "See: vekha audit verify", exit_code=Exit.UNVERIFIED)
    index = position - seal.since - 1
    return {
        "event": _text(run[index]),
        "path": [hash_.hex() for hash_ in merkle.path(run, index)],
        "seal": msgspec.to_builtins(seal),
        "keys": _texts(list(log.of_streams(connection, KEYS.stream(service)))),
    }


def _texts(events: Sequence[bytes]) -> list[str]:
    return [_text(data) for data in events]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
