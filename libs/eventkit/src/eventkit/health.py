"""How a service apart says how it is, over HTTP: to the engine that restarts it, to who balances load, and to Prometheus.

`/livez`: the process works. `/readyz`: it can do its job, each thing that it needs tried just now. `/metrics`: `figures`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass

import uvicorn
from nats import errors
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from eventkit.database import SchemaUnfit
from eventkit.figures import Figures
from eventkit.jetstream import BusError, JetStream
from eventkit.service import Service

_TRY_TIMEOUT_S = 2.0
_LAG_LIMIT = 5_000
"""So many events a reader, or the relay, may be behind before the service counts as not ready."""

_SILENT_LIMIT_S = 20.0
"""For so long a reader may hear nothing of a source, which has something to say every few seconds."""

_FORBIDDEN_FOR_S = 300.0
"""For so long a service whose bus has forbidden it something counts as not ready: nobody else is told, and the call has only timed out."""

Trouble = str | None


@dataclass(frozen=True, slots=True)
class Lag:
    """How many events something has still to take in."""

    reader: str
    source: str
    events: int


class Health:
    """Looks at one running service."""

    def __init__(self, service: Service, *, silent_limit_s: float = _SILENT_LIMIT_S) -> None:
        self._service = service
        self._silent_limit_s = silent_limit_s

    async def troubles(self) -> dict[str, str]:
        """What keeps the service from its job, by what it needs; empty when it is ready."""
        if not self._service.has_started:
            return {"schema": self._service.unfit} if self._service.unfit else {"service": "starting"}
        checks: dict[str, Callable[[], Awaitable[Trouble]]] = {
            "record": self._appends,
            "database": self._database_answers,
            "schema": self._lives_with_its_tables,
            "jetstream": self._jetstream_answers,
            "permissions": self._may_do_its_job,
            "readers": self._reads,
            "lag": self._keeps_up,
        }
        found = await asyncio.gather(*(_tried(check) for check in checks.values()))
        return {name: trouble for name, trouble in zip(checks, found, strict=True) if trouble is not None}

    async def lags(self) -> list[Lag]:
        """How far the relay and each reader are behind, as the broker counts."""
        service = self._service
        lags = [Lag("relay", service.name, max(0, await service.store.head() - service.relay.position))]
        api = JetStream(service.nc, _TRY_TIMEOUT_S)
        for source in sorted({source for runner in service.runners for source in runner.projection.sources}):
            found = await api.ask(f"CONSUMER.INFO.{source.upper()}.{service.following.durable}")
            last = found["num_pending"] + found["delivered"]["stream_seq"]
            lags += [
                Lag(runner.projection.name, source, max(0, last - runner.positions.get(source, 0)))
                for runner in service.runners
                if source in runner.projection.sources
            ]
        return lags

    async def _appends(self) -> Trouble:
        return None if self._service.store.quarantine is None else "quarantined"

    async def _database_answers(self) -> Trouble:
        await self._service.read(lambda connection: connection.execute(text("SELECT 1")).one())
        return None

    async def _lives_with_its_tables(self) -> Trouble:
        if self._service.settings.migrates:
            return None
        try:
            await asyncio.to_thread(self._service.check_tables)
        except SchemaUnfit as unfit:
            return str(unfit)
        return None

    async def _jetstream_answers(self) -> Trouble:
        await JetStream(self._service.nc, _TRY_TIMEOUT_S).last_sequence(self._service.name.upper())
        return None

    async def _may_do_its_job(self) -> Trouble:
        at = self._service.forbidden_at
        if at is None or time.monotonic() - at > _FORBIDDEN_FOR_S:
            return None
        return "the bus forbids what this version does: type vekha deploy accounts, and have the bus read them"

    async def _reads(self) -> Trouble:
        silent = self.silent()
        return ", ".join(f"{reader} has heard nothing for {silent_s:.0f} s" for reader, silent_s in silent.items()) or None

    def silent(self) -> dict[str, float]:
        """The readers that have heard nothing for too long, and for how long, in seconds."""
        silences = {runner.projection.name: runner.silent_s() for runner in self._service.runners}
        return {reader: silent_s for reader, silent_s in silences.items() if silent_s > self._silent_limit_s}

    async def _keeps_up(self) -> Trouble:
        behind = [lag for lag in await self.lags() if lag.events > _LAG_LIMIT]
        return ", ".join(f"{lag.reader} is {lag.events} events behind {lag.source}" for lag in behind) or None


async def _tried(check: Callable[[], Awaitable[Trouble]]) -> Trouble:
    try:
        async with asyncio.timeout(_TRY_TIMEOUT_S):
            return await check()
    except (TimeoutError, BusError, errors.Error, SQLAlchemyError, OSError) as error:
        return error.code if isinstance(error, BusError) else type(error).__name__


def application(service: Service) -> Starlette:
    """The pages, for whatever serves them."""
    health = Health(service)
    figures = Figures(service, health)

    async def alive(request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def ready(request: Request) -> Response:
        troubles = await health.troubles()
        return JSONResponse({"ready": not troubles, "troubles": troubles}, status_code=503 if troubles else 200)

    async def metrics(request: Request) -> Response:
        return Response(await figures.text(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/livez", alive), Route("/readyz", ready), Route("/metrics", metrics)])


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield  # signals are the service's, which stops us last


def server(service: Service, host: str, port: int) -> uvicorn.Server:
    """Serves the pages until its `should_exit` is set."""
    return _Server(uvicorn.Config(application(service), host=host, port=port, log_config=None, access_log=False, lifespan="off"))
