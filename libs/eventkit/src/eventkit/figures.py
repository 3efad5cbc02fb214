"""What Prometheus scrapes of one service: how far it is behind, what it has put aside, how long calls and commits take.

Labels are names of services, readers, calls, outcomes, plans, steps and states: few, known beforehand, and nobody's. A figure that one
service alone can tell of is told by that service (`Service.figure`).
"""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from nats import errors
from prometheus_client import CollectorRegistry, Gauge, Histogram, disable_created_metrics, generate_latest
from sqlalchemy import Connection, func, select

from eventkit import log, seals
from eventkit.event import decode, moment
from eventkit.jetstream import BusError
from eventkit.projection import parked_table
from eventkit.telemetry import trouble

if TYPE_CHECKING:
    from eventkit.health import Health
    from eventkit.service import Service

LAST_BACKUP = "last-backup"
"""The file in a service's state folder in which a backup, once it is complete, says when it was taken (RFC 3339)."""

LAST_DRILL = "last-drill"
"""The file beside it that tells when a backup was last restored on trial and found sound."""

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

_log = structlog.get_logger(__name__)

Labelled = Mapping[tuple[str, ...], float]
"""Numbers by the values of their labels; one without labels stands under the empty tuple."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that one service can tell of. What takes long is read at most every `every_s` seconds, and no scrape waits for it."""

    name: str
    about: str
    labels: tuple[str, ...]
    read: Callable[[], Awaitable[Labelled]]
    every_s: float = 0.0


def of_folder(state: Path) -> tuple[Figure, ...]:
    """What a service apart tells of the folder that it may write."""

    async def free() -> Labelled:
        usage = await asyncio.to_thread(shutil.disk_usage, state)
        return {(): usage.free / usage.total}

    def told_in(name: str) -> Callable[[], Awaitable[Labelled]]:
        async def told() -> Labelled:
            try:
                return {(): datetime.fromisoformat((state / name).read_text().strip()).timestamp()}
            except (OSError, ValueError):
                return {}  # there was none, as far as this service was told

        return told

    return (
        Figure("vekha_disk_free_ratio", "How much of the disk under the service's volume is free, 0 to 1", (), free),
        Figure(
            "vekha_backup_taken_at_seconds",
            "When the last backup was taken, in seconds since 1970; 0: none is known of",
            (),
            told_in(LAST_BACKUP),
        ),
        Figure(
            "vekha_drill_passed_at_seconds",
            "When a backup was last restored on trial and found sound, in seconds since 1970; 0: never, as far as is known",
            (),
            told_in(LAST_DRILL),
        ),
    )


class Figures:
    """Takes the figures of one running service, and looks on from now on as it answers and appends."""

    def __init__(self, service: Service, health: Health) -> None:
        self._service = service
        self._health = health
        disable_created_metrics()  # a series more for each, that nobody asks for
        self._registry = CollectorRegistry()
        self._ready = self._gauge("vekha_ready", "Whether the service can do its job")
        self._quarantined = self._gauge("vekha_quarantined", "Whether the service refuses to append")
        self._head = self._gauge("vekha_log_position", "The position of the last event in the service's log")
        self._relay_lag = self._gauge("vekha_relay_lag_events", "Events in the log that the bus does not hold yet")
        self._reader_lag = self._gauge("vekha_reader_lag_events", "Events on the bus that a reader is behind", "reader", "source")
        self._parked = self._gauge("vekha_parked_events", "Events that a reader has put aside", "reader")
        self._seal_age = self._gauge("vekha_seal_age_seconds", "For how long the log's oldest unsealed event has stood there")
        self._seen_at = self._gauge("vekha_looked_at_seconds", "When these figures were last taken, in seconds since 1970")
        self._own = [(figure, self._gauge(figure.name, figure.about, *figure.labels)) for figure in service.figures]
        self._read_at: dict[str, float] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        calls = self._histogram("vekha_call_seconds", "How long a call took to be answered", "call", "outcome")
        appends = self._histogram("vekha_append_seconds", "How long a batch of commands took, from its start to its commit")
        service.answering.on_answer = lambda call, outcome, took_s: calls.labels(call, outcome).observe(took_s)
        service.store.on_append = appends.observe

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(name, about, labels, registry=self._registry)

    def _histogram(self, name: str, about: str, *labels: str) -> Histogram:
        return Histogram(name, about, labels, registry=self._registry, buckets=_BUCKETS_S)

    async def text(self) -> bytes:
        service = self._service
        self._ready.set(0 if await self._health.troubles() else 1)
        self._quarantined.set(0 if service.store.quarantine is None else 1)
        try:
            await self._look()
        except Exception as error:  # noqa: BLE001 -- a database or bus that is away is told by vekha_ready; the other figures are told on
            _log.warning("metrics.unknown", service=service.name, **trouble(error))
        for figure, gauge in self._own:
            await self._take(figure, gauge)
        self._seen_at.set(time.time())
        return generate_latest(self._registry)

    async def _look(self) -> None:
        service = self._service
        self._head.set(await service.store.head())
        self._seal_age.set(await service.read(self._unsealed_s))
        parked = await service.read(_parked)
        for reader in service.readers:
            self._parked.labels(reader.name).set(parked.get(reader.name, 0))
        try:
            lags = await self._health.lags()
        except (BusError, errors.Error) as error:
            _log.warning("metrics.lag-unknown", error=type(error).__name__)
            return
        for lag in lags:
            if lag.reader == "relay":
                self._relay_lag.set(lag.events)
            else:
                self._reader_lag.labels(lag.reader, lag.source).set(lag.events)

    def _unsealed_s(self, connection: Connection) -> float:
        rows = log.read(connection, seals.last_kept(connection).position, 1)
        if not rows:
            return 0.0
        return max(0.0, (self._service.clock.now() - moment(decode(rows[0][2]).recordedat)).total_seconds())

    async def _take(self, figure: Figure, gauge: Gauge) -> None:
        if not figure.every_s:
            await self._read(figure, gauge)
            return
        now = time.monotonic()
        if figure.name not in self._reading and now - self._read_at.get(figure.name, -math.inf) >= figure.every_s:
            self._read_at[figure.name] = now
            task = self._reading[figure.name] = asyncio.create_task(self._read(figure, gauge))
            task.add_done_callback(lambda _: self._reading.pop(figure.name, None))

    async def _read(self, figure: Figure, gauge: Gauge) -> None:
        try:
            found = await figure.read()
        except Exception as error:  # noqa: BLE001 -- what cannot be read now is told as it was
            _log.warning("metrics.unknown", service=self._service.name, **trouble(error))
            return
        if figure.labels:
            gauge.clear()
        for values, number in found.items():
            (gauge.labels(*values) if values else gauge).set(number)


def _parked(connection: Connection) -> dict[str, int]:
    rows = connection.execute(select(parked_table.c.reader, func.count().label("parked")).group_by(parked_table.c.reader))
    return {row.reader: row.parked for row in rows}
