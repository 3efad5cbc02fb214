"""`vekha audit verify` of a running instance, from its start to its last line, and the hashing in it alone.

Schools are handed in as their administrators would. The command opens the five logs, follows every chain, compares columns, decodes every
event, holds streams, seals, signatures and readers against them. Hashing alone follows the same chains over the same bytes, in memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.instance import Instance, hand_in, open_school, up
from bench.measuring import Figure, Scale, rate, side_by_side
from contracts.event import SERVICES
from eventkit import log
from eventkit.database import Database, sqlite_url
from eventkit.event import genesis, link

SCHOOLS = 12
ENGINE = "SQLite, nats-server, one process for the command"


def figures(scale: Scale) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="vekha-bench-") as scratch, up(Path(scratch) / "data") as instance:
        for number in range(scale.count(SCHOOLS)):
            school = f"school-{number + 1}"
            instance.talk(lambda line, school=school: open_school(line, school))
            instance.talk(lambda line, school=school: hand_in(line, school))
        chains = {service: _read(instance, service) for service in SERVICES}
        sides = {
            "vekha audit verify": lambda: rate(lambda: _verified(instance)),
            "its hashing alone": lambda: rate(lambda: _hashed(chains)),
        }
        runs = side_by_side(scale.rounds, sides)
        events = sum(len(events) for _, events in chains.values())
        return [Figure(f"a record of {events:,} events verified", ENGINE, "events/s", runs)]


_Chain = tuple[bytes, list[bytes]]
"""Where a log's chain begins, and its events."""


def _read(instance: Instance, service: str) -> _Chain:
    database = Database(sqlite_url(instance.folder.database(service)), service)
    with database.reading() as connection:
        rows = log.read(connection, 0, log.head(connection).position)
        begins = genesis(service, log.log_id(connection))
    database.close()
    return begins, [data for _, _, data in rows]


def _verified(instance: Instance) -> int:
    """How many events that were."""
    command = [sys.executable, "-m", "vekha.main", "audit", "verify", "--data", str(instance.folder.root), "--json"]
    done = subprocess.run(command, capture_output=True, check=True)
    return sum(json.loads(done.stdout)["heads"].values())


def _hashed(chains: Mapping[str, _Chain]) -> int:
    for begins, events in chains.values():
        chain = begins
        for data in events:
            chain = link(chain, data)
    return sum(len(events) for _, events in chains.values())
