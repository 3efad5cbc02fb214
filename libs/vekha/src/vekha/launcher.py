"""Everything in one process: the broker, the five services on one clock, and one database file for each of them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import deque
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from nats import errors
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError

from contracts.call import Call
from contracts.operations import CLOCK, HEAD, Nothing
from eventkit import jetstream
from eventkit.broker import BrokerError, EmbeddedBroker, check_port
from eventkit.calls import CallFailed
from eventkit.database import sqlite_url
from eventkit.environment import chosen
from eventkit.instance import Instance
from eventkit.log import NewerSchema
from eventkit.provision import provision
from eventkit.tasks import ended
from vekha.builds import BUILDS
from vekha.failures import Failure
from vekha.folder import DataFolder
from vekha.records import check_databases

_THREADS = 32  # five services read and write their databases in threads, a write waiting for its turn among them
_DEATHS_LIMIT = 3
_DEATHS_WITHIN_S = 60.0
_START_AGAIN_S = 0.5
_LOOK_WHETHER_STUCK_S = 1.0
_STUCK_AFTER_S = 5.0
_ROOM_BYTES = 8 * 1024 * 1024  # as much as one block of a stream
_PROVISION_TIMEOUT_S = 10.0
_ANSWER_TIMEOUT_S = 60.0

_log = structlog.get_logger(__name__)


class Launched:
    """A running instance. `failed` ends, with the reason, when it cannot go on."""

    def __init__(self, url: str, failed: asyncio.Task[Failure]) -> None:
        self.url = url
        self.failed = failed


@asynccontextmanager
async def launched(folder: DataFolder, *, port: int | None = None, clock_at: datetime | None = None) -> AsyncGenerator[Launched]:
    """Runs the instance of a data folder; where there is none yet, makes one, with a manual clock if a time is given for it."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="work"))
    production = os.environ.get("VEKHA_PRODUCTION", "") == "1"
    folder.check()
    if port is not None and not folder.is_held:
        check_port(port)  # while there is nothing yet that a start which cannot be would leave behind
    with folder.hold():
        folder.check()
        _make_or_check(folder, clock_at, production=production)
        check_databases(folder)
        secrets = folder.secrets()
        if exposed := folder.exposed_secrets():
            text = f"Others than their owner may open {', '.join(str(path) for path in exposed)}."
            raise Failure("secret.exposed", text, f"Type: chmod -R go= {folder.secrets_folder}")
        async with EmbeddedBroker(folder.bus, folder.run, secrets.broker_password_file, port) as broker:
            instance = Instance(
                BUILDS,
                nats_url=broker.url,
                nats_credential=broker.credential,
                secrets=secrets,
                clock=folder.clock(),
                database_url=lambda service: _database(folder, service),
                smtp_password=folder.smtp_password(),
                **chosen(os.environ),
            )
            keeping = asyncio.create_task(_keep(broker, instance), name="broker")
            try:
                await _unless_failed(_start(instance), keeping)
                folder.publish_endpoint(broker.url)
                mending = asyncio.create_task(_end_where_stuck(broker, instance, folder.bus), name="broker-stuck")
                try:
                    yield Launched(broker.url, keeping)
                finally:
                    await ended([mending])
            finally:
                folder.forget_endpoint()
                await ended([keeping])
                await instance.stop()


async def _start(instance: Instance) -> None:
    try:
        await instance.start()
    except NewerSchema as error:
        text = f"{str(error).capitalize()}."
        raise Failure("database.newer", text, "Start the newer program that wrote it.") from error
    except DatabaseError as error:
        text = f"A database cannot be opened: {error.orig}."
        raise Failure("database.unreadable", text, "`vekha doctor` says which, and what to do.") from error
    await asyncio.gather(_answers(instance, CLOCK), *(_answers(instance, HEAD[service]) for service in BUILDS))


async def _unless_failed(starting: Coroutine[Any, Any, None], failed: asyncio.Task[Failure]) -> None:
    """Without a broker a start would wait for ever."""
    task = asyncio.create_task(starting)
    await asyncio.wait({task, failed}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        raise failed.result()
    await task


async def _answers(instance: Instance, call: Call[Nothing, Any]) -> None:
    """Waits until a call is answered: a subscription may still be on its way to the broker when its service says that it has started."""
    calls = instance.calls(instance.operator_token())
    async with asyncio.timeout(_ANSWER_TIMEOUT_S):
        while True:
            try:
                await calls.call(call, Nothing())
            except CallFailed as failed:
                if failed.kind not in ("unreachable", "unknown"):
                    raise
                await asyncio.sleep(0.01)
            else:
                return


def _make_or_check(folder: DataFolder, clock_at: datetime | None, *, production: bool) -> None:
    folder.check_writable()
    if not folder.is_made:
        if clock_at is not None and production:
            raise Failure("clock.manual-in-production", "A production instance runs on the real clock.", "Leave --manual-clock out.")
        folder.make(clock_at)
        return
    about = folder.about()
    if clock_at is not None:
        hint = "Move a manual clock with `vekha clock`." if about.clock == "manual" else "Choose another folder with --data."
        raise Failure("clock.fixed", f"{folder.root} was made with a {about.clock} clock, and that stays.", hint)
    if about.clock == "manual" and production:
        raise Failure("clock.manual-in-production", f"{folder.root} has a manual clock.", "Choose a folder that was made with a real one.")


def _database(folder: DataFolder, service: str) -> URL:
    return sqlite_url(folder.database(service))


async def _keep(broker: EmbeddedBroker, instance: Instance) -> Failure:
    """Starts the broker again whenever it dies. The services wait meanwhile; what they commit is published afterwards."""
    deaths: deque[float] = deque(maxlen=_DEATHS_LIMIT)
    reason = ""
    while True:
        if not reason:
            _log.error("broker.died", exit_code=await broker.exited())
        deaths.append(asyncio.get_running_loop().time())
        if len(deaths) == _DEATHS_LIMIT and deaths[-1] - deaths[0] < _DEATHS_WITHIN_S:
            return Failure("broker.dies", f"The broker keeps dying: {reason or broker.log_tail(1)}")
        try:
            await broker.start()
        except BrokerError as error:
            reason = str(error)
            await asyncio.sleep(_START_AGAIN_S)
            continue
        reason = ""
        try:
            await _provision(broker, instance)
        except (TimeoutError, jetstream.BusError, errors.Error, OSError) as error:
            # It has most likely died again, which the next round sees.
            _log.error("broker.not-provisioned", error=type(error).__name__)
        else:
            _log.warning("broker.started-again")


async def _end_where_stuck(broker: EmbeddedBroker, instance: Instance, bus: Path) -> None:
    """Ends a broker that takes nothing into a stream although there is room: a stream that met a full disk once refuses until a restart."""
    while True:
        await asyncio.sleep(_LOOK_WHETHER_STUCK_S)
        since = [service.relay.refused_since for service in instance.services.values()]
        stuck_s = max((asyncio.get_running_loop().time() - at for at in since if at is not None), default=0.0)
        if stuck_s > _STUCK_AFTER_S and shutil.disk_usage(bus).free > _ROOM_BYTES:
            _log.error("broker.stuck")
            await broker.stop()  # who keeps it starts it again
            await asyncio.sleep(_STUCK_AFTER_S)


async def _provision(broker: EmbeddedBroker, instance: Instance) -> None:
    """Makes the streams and durables that the broker has lost with its files, if it has."""
    async with asyncio.timeout(_PROVISION_TIMEOUT_S):
        nc = await jetstream.connect(broker.url, broker.credential, name="launcher")
        try:
            await provision(nc, durables=instance.durables)
        finally:
            await jetstream.disconnect(nc)
