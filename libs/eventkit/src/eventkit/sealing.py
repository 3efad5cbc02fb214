"""A service seals its log: beside the log where seals are kept, and on the bus.

Whenever the log has moved, its new head is told under a signature on `seal.<service>.told`, which nobody keeps: whoever follows the log
holds what arrives against it. At least every second, and every thousand events, a seal is kept: in the table `seal`, in a transaction of
its own, and on `seal.<service>.kept` in the bus stream SEALS. Appending waits for none of this.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nats.aio.client import Client
from sqlalchemy.exc import IntegrityError

from eventkit import log, seals
from eventkit.event import decode
from eventkit.jetstream import BusError, BusMessage, JetStream
from eventkit.relay import Quarantine
from eventkit.seals import Seal
from eventkit.store import Store
from eventkit.tasks import ended, set_within
from eventkit.telemetry import trouble

_KEEP_EVERY_S = 1.0
_TELL_EVERY_S = 0.005  # where commits come faster than they are told of, several are told of together
_TELL_AGAIN_EVERY_S = 0.9  # whoever has come meanwhile hears it, too
_LOOK_EVERY_S = 1.0  # a commit whose wake-up was lost, or made by another process, is found after this time
_PUBLISH_TIMEOUT_S = 5.0
_PUBLISHED_AT_A_TIME = 500
_ASK_EVERY_S = 30.0  # a broker may have lost its files
_PAUSE_S = 0.5
_LAST = 2**53

_log = structlog.get_logger(__name__)


class LogDiffers(RuntimeError):
    """The events behind the last seal are not those that were recorded: the log was changed underneath."""

    def __init__(self, position: int) -> None:
        super().__init__(f"the log's hash at {position} does not follow from its events since the last seal")
        self.position = position


async def published(nc: Client, service: str) -> list[Seal]:
    """The seals of a service that the bus holds, in the order in which they came; they may be anybody's until they are held against keys.

    Raises BusError where the bus does not answer.
    """
    found: list[Seal] = []
    async for batch in JetStream(nc).read_range("SEALS", 1, _LAST, subject=subject(service, "kept")):
        for _, _, data in batch:
            with suppress(msgspec.MsgspecError):
                found.append(seals.decode(data))
    return found


def subject(service: str, kind: str) -> str:
    return f"seal.{service}.{kind}"


class Sealer:
    """Seals one service's log as long as the service is not in quarantine. `run` it as a task; call `wake` right after each commit.

    `key` is what the service signs with at the moment. Who finds that the log was changed underneath tells `contradicted`.
    """

    def __init__(
        self, store: Store, nc: Client, key: Callable[[], Ed25519PrivateKey], contradicted: Callable[[Quarantine], Awaitable[None]]
    ) -> None:
        self._store = store
        self._service = store.database.service
        self._nc = nc
        self._bus = JetStream(nc)
        self._key = key
        self._contradicted = contradicted
        self._log: seals.Log | None = None
        self._committed = asyncio.Event()
        self._many = asyncio.Event()
        self._keeping = asyncio.Lock()
        self._told = self._kept = self._published = 0  # the last positions that were told, kept, and kept on the bus
        self.has_begun = False
        self._told_at = -math.inf
        self._asked_at = -math.inf  # when the bus was asked what it has, in seconds of the loop's clock

    def wake(self) -> None:
        """Something was committed."""
        self._committed.set()

    async def run(self) -> None:
        """Seals until cancelled. Whatever goes wrong is tried again."""
        self.has_begun = True
        tasks = [asyncio.create_task(self._again_and_again(step)) for step in (self._tell_next, self._keep_next)]
        try:
            await asyncio.wait(tasks)
        finally:
            await ended(tasks)

    async def seal_all(self) -> None:
        """Keeps a seal of all that is recorded, and does not wait for its time. Raises what the database or the bus says."""
        if self._store.quarantine is None:
            await self._keep_all()

    async def _again_and_again(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except Exception as error:  # noqa: BLE001 -- a log that is no longer sealed must not look like a quiet one
                _log.warning("seal.failed", service=self._service, **trouble(error))
                await asyncio.sleep(_PAUSE_S)

    async def _tell_next(self) -> None:
        head = self._store.remembered_head if await set_within(self._committed, _LOOK_EVERY_S) else None
        self._committed.clear()
        if self._store.quarantine is not None:
            return
        head = head or await asyncio.to_thread(self._store.read_head)
        now = asyncio.get_running_loop().time()
        if head.position > self._told or now - self._told_at > _TELL_AGAIN_EVERY_S:
            seal = seals.told(await self._whose(), head, self._key())
            await self._nc.publish(subject(self._service, "told"), seals.encode(seal))
            self._told, self._told_at = head.position, now
            if head.position - self._kept >= seals.LONGEST_RUN:
                self._many.set()
            if self._committed.is_set():
                await asyncio.sleep(_TELL_EVERY_S)

    async def _keep_next(self) -> None:
        # What comes on and on is sealed in whole runs; what is left behind the last of them a second later.
        least = seals.LONGEST_RUN if await set_within(self._many, _KEEP_EVERY_S) else 1
        self._many.clear()
        if self._store.quarantine is None and (self._told > self._kept or self._published < self._kept or self._has_to_ask()):
            await self._keep_all(least)

    async def _keep_all(self, least: int = 1) -> None:
        """Seals run after run as long as `least` events are left, as far as is known here."""
        async with self._keeping:
            try:
                while least == 1 or self._told - self._kept >= least:
                    kept = await asyncio.to_thread(self._keep_one)
                    if kept is None:
                        break
                    self._kept = kept.position
            except LogDiffers as differs:
                text = f"{differs} of {self._service}: was its database changed?"
                await self._contradicted(Quarantine("log-differs", differs.position, text))
                return
            await self._publish()

    def _keep_one(self) -> Seal | None:
        """Seals the next run of events, if there are any."""
        database = self._store.database
        with database.reading() as connection:
            before = seals.last_kept(connection)
            rows = log.read(connection, before.position, seals.LONGEST_RUN)
            if not rows:
                self._kept = before.position
                return None
            found = log.hash_at(connection, rows[-1][0])
            whose = seals.Log(self._service, log.log_id(connection))
        events = [data for _, _, data in rows]
        seal = seals.kept(whose, before, events, _recorded_at(rows[-1]), self._key())
        if rows[-1][0] != seal.position or found.hex() != seal.hash:
            raise LogDiffers(rows[-1][0])
        with suppress(IntegrityError), database.writing() as connection:  # another process of this service has sealed it, too
            seals.keep(connection, seal)
        return seal

    async def _publish(self) -> None:
        """Brings to the bus what it lacks of the kept seals; what does not get there now does the next time."""
        if self._has_to_ask():
            self._published = await self._last_on_bus()
            self._asked_at = asyncio.get_running_loop().time()
        while self._published < self._kept:
            for seal in await asyncio.to_thread(self._unpublished):
                acknowledged = await self._nc.request(subject(self._service, "kept"), seals.encode(seal), timeout=_PUBLISH_TIMEOUT_S)
                if b'"error"' in acknowledged.data:
                    raise BusError(f"The bus does not keep the seals of {self._service}. Run the provisioning, then try again.")
                self._published = seal.position

    def _has_to_ask(self) -> bool:
        return asyncio.get_running_loop().time() - self._asked_at > _ASK_EVERY_S

    def _unpublished(self) -> list[Seal]:
        with self._store.database.reading() as connection:
            return seals.kept_after(connection, self._published, _PUBLISHED_AT_A_TIME)

    async def _last_on_bus(self) -> int:
        """Up to which position the bus has the seals: that of the last one there, if that is one of ours."""
        message = await self._bus.last_message("SEALS", subject(self._service, "kept"))
        if message is None:
            return 0
        try:
            last = seals.decode(message[2])
        except msgspec.MsgspecError:
            return 0

        def is_ours() -> bool:
            with self._store.database.reading() as connection:
                return seals.kept_after(connection, last.position - 1, 1) == [last]

        return last.position if await asyncio.to_thread(is_ours) else 0

    async def _whose(self) -> seals.Log:
        if self._log is None:
            self._log = seals.Log(self._service, await asyncio.to_thread(self._read_log_id))
        return self._log

    def _read_log_id(self) -> str:
        with self._store.database.reading() as connection:
            return log.log_id(connection)


def _recorded_at(row: BusMessage) -> str:
    try:
        return decode(row[2]).recordedat
    except msgspec.MsgspecError as error:
        raise LogDiffers(row[0]) from error
