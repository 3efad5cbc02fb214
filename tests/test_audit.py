"""One thing changed in the record of a school's weeks, anywhere: `vekha audit verify` ends with 4 and names service and position."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from contracts import SERVICES
from eventkit import jetstream
from eventkit.broker import EmbeddedBroker
from eventkit.jetstream import PipelinedPublisher
from eventkit.provision import provision
from eventkit.secrets import Secrets
from tests import record
from tests.conftest import Lived
from vekha.testing import Vekha


@dataclass(frozen=True)
class Copy:
    """The data folder of the stopped instance, and what its logs held before anything was changed."""

    data: Path
    logs: record.Messages
    vekha: Vekha

    def sql(self, service: str, statement: str, *parameters: object) -> list[Any]:
        with closing(sqlite3.connect(self.data / "db" / f"{service}.db", isolation_level=None)) as database:
            return database.execute(statement, parameters).fetchall()

    def stream(self, service: str) -> Path:
        return self.data / "bus" / "jetstream" / "$G" / "streams" / service.upper() / "msgs"

    def findings(self) -> list[dict[str, Any]]:
        outcome = self.vekha("audit", "verify", "--data", self.data, "--json")
        assert outcome.json["ok"] is (outcome.code == 0)
        assert outcome.code == (4 if outcome.json["findings"] else 0)
        return outcome.json["findings"]


@pytest.fixture
def copy(lived: Lived, tmp_path: Path, vekha: Vekha) -> Copy:
    return Copy(lived.copy(tmp_path / "data"), record.logs(lived.data), vekha)


def test_an_untouched_record_verifies(copy: Copy) -> None:
    assert copy.findings() == []


@pytest.mark.parametrize("service", SERVICES)
def test_one_changed_bit_of_any_event_is_found(copy: Copy, service: str) -> None:
    random = Random(service)
    position, _, data = random.choice(copy.logs[service])
    copy.sql(service, "UPDATE log SET bytes = ? WHERE position = ?", _flipped(data, random.randrange(len(data)), random), position)
    found = copy.findings()
    assert {(service, position, "chain-broken"), (service, position, "stream-differs")} <= {tuple(finding.values()) for finding in found}
    assert all(finding["service"] == service and finding["position"] >= position for finding in found)


@pytest.mark.parametrize(("service", "indexed"), list(zip(SERVICES, (True, False, True, False, True), strict=True)))
def test_one_changed_bit_anywhere_in_a_bus_stream_is_found(copy: Copy, service: str, *, indexed: bool) -> None:
    """In an event, its subject, its length or its checksum. Without its index the broker cuts the stream before the damage, in silence."""
    random = Random(service)
    (block,) = copy.stream(service).glob("*.blk")
    stored = block.read_bytes()
    at = random.randrange(len(stored))
    block.write_bytes(_flipped(stored, at, random))
    if not indexed:
        (copy.stream(service) / "index.db").unlink()
    kind = "stream-gap" if indexed else "stream-damaged"
    assert copy.findings() == [{"service": service, "position": _position_at(stored, copy.logs[service], at), "kind": kind}]


def test_changed_columns_of_several_services_are_all_named(copy: Copy) -> None:
    for service in SERVICES:
        copy.sql(service, "UPDATE log SET happened_on = '2015-08-01' WHERE position IN (2, 5)")
    expected = [(service, position, "column-differs:happened_on") for service in SERVICES for position in (2, 5)]
    assert [tuple(finding.values()) for finding in copy.findings()] == expected


def test_another_event_in_a_flawless_bus_stream_is_found(copy: Copy) -> None:
    messages = copy.logs["plan"]
    position, subject, data = messages[len(messages) // 2]
    forged = data.replace(f'"position":{position}'.encode(), f'"position" :{position}'.encode())
    assert forged != data
    stored = [*messages[: position - 1], (position, subject, forged), *messages[position:]]
    asyncio.run(_store_anew(copy.data, copy.logs | {"plan": stored}))
    assert copy.findings() == [{"service": "plan", "position": position, "kind": "stream-differs"}]


def _flipped(data: bytes, at: int, random: Random) -> bytes:
    """The same bytes with one bit changed."""
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _position_at(stored: bytes, messages: list[jetstream.BusMessage], at: int) -> int:
    """Whose stored message a byte belongs to: its header and subject come before the event, eight bytes of checksum after it."""
    end = 0
    for position, _, data in messages:
        end = stored.index(data, end) + len(data) + 8
        if at < end:
            return position
    raise AssertionError("the byte lies behind the last message")


async def _store_anew(data: Path, messages: record.Messages) -> None:
    """A bus that was fed these messages from the beginning, in the place of the one that is there."""
    shutil.rmtree(data / "bus")
    async with EmbeddedBroker(data / "bus", data / "run", Secrets(data / "secrets").broker_password_file) as broker:
        nc = await jetstream.connect(broker.url, broker.credential, name="test")
        await provision(nc)
        for service, run in messages.items():
            publisher = PipelinedPublisher(nc, service.upper())
            assert (await publisher.send(run)).failure is None
            await publisher.close()
        await jetstream.disconnect(nc)
