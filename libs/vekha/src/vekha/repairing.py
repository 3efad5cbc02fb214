"""What is mended while an instance is stopped: logs that lost their ends, and bus streams that differ from their logs.

`vekha doctor` does it to an instance in one process, `vekha deploy` to services apart (`deployment/halting.py`). The lost end of a log is
taken back from its bus stream where the service's own seals speak for it; what they do not speak for is listed, and an administrator says
of each event whether it happened. What did not happen leaves the bus and whatever was derived from it, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Protocol

from nats.aio.client import Client as Nats

from contracts.event import SERVICES
from eventkit import jetstream, log, sealing
from eventkit.broker import Credential, EmbeddedBroker
from eventkit.database import sqlite_url
from eventkit.event import Recorded
from eventkit.jetstream import BusMessage, JetStream, StreamMissing
from eventkit.projection import ActedUpon, Projection, damaged, forget, unread
from eventkit.provision import BUS_STREAMS, provision
from eventkit.relay import Quarantine, Relay
from eventkit.repair import Contradicted, Tail, tail, take_back
from eventkit.secrets import Secrets, key_id
from eventkit.service import Service, Settings
from eventkit.tasks import ended
from vekha.builds import BUILDS
from vekha.failures import Failure
from vekha.folder import DataFolder
from vekha.records import check_databases


@dataclass(frozen=True)
class Undecided:
    """An event behind the end of its log for which no seal speaks."""

    service: str
    position: int
    event: str
    type: str
    school: str
    recorded_at: str


@dataclass
class Repaired:
    """What was done, by service, and what is left to be decided."""

    taken_back: dict[str, int] = field(default_factory=dict[str, int])
    discarded: dict[str, int] = field(default_factory=dict[str, int])
    rebuilt: list[str] = field(default_factory=list[str])
    derived_anew: list[str] = field(default_factory=list[str])
    undecided: list[Undecided] = field(default_factory=list[Undecided])

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "ok": not self.undecided}


class Halted(Protocol):
    """An instance that nobody runs: its services only have their databases open, and its bus is there."""

    @property
    def services(self) -> Mapping[str, Service]: ...

    def bus(self, service: str) -> Nats:
        """A connection under which a service's stream is read and refilled."""
        ...

    async def make_stream_anew(self, service: str) -> None:
        """Deletes a service's stream with its durables, if it is there, and makes it again, empty. Who reads it has durables at the next
        start at the latest."""
        ...


async def repair(halting: AbstractAsyncContextManager[Halted], *, accepted: Collection[str], discarded: Collection[str]) -> Repaired:
    """Takes back what the logs have lost, as far as seals or an administrator speak for it, and has readers whose checkpoints are damaged
    begin anew.

    Raises Failure `repair.running`, `repair.contradicted`, `repair.event-unknown` or `repair.reaction-damaged`; then nothing is changed.
    """
    done = Repaired()
    async with halting as halted:
        services, tails = halted.services, dict[str, Tail]()
        astray = {name: await asyncio.to_thread(_astray, service) for name, service in services.items()}
        for name, service in services.items():
            messages, heard = await _behind_end(halted.bus(name), service), await sealing.published(halted.bus(name), name)
            roots = {key_id(key) for issuer, key in service.secrets.public_keys().items() if issuer == name}
            with service.database.reading() as connection:
                tails[name] = tail(connection, messages, heard, roots)
        _check_known({event.id for found in tails.values() for event in found.unsealed}, {*accepted, *discarded})
        try:
            through = {name: found.through(accepted, discarded) for name, found in tails.items()}
        except Contradicted as contradicted:
            hint = "Accept those before it as well, or discard it."
            raise Failure("repair.contradicted", str(contradicted), hint) from contradicted
        for name, readers in astray.items():
            await asyncio.to_thread(_begin_anew, services[name], readers)
            done.derived_anew += [services[name].reader_name(reader.name) for reader in readers]
        for name, found in tails.items():
            service, (upto, decided) = services[name], through[name]
            if upto > found.base.position:
                await asyncio.to_thread(_take_back, service, found, upto)
                done.taken_back[name] = upto - found.base.position
            done.undecided += [_shown(name, event) for event in found.unsealed if event.position > max(upto, decided)]
            if decided > upto:
                done.discarded[name] = decided - upto
                await _rebuild(halted, name)
                done.rebuilt.append(name)
                for reader in services.values():
                    await asyncio.to_thread(_unread, reader, name, services[name])
    return done


async def rebuild_stream(halting: AbstractAsyncContextManager[Halted], service: str) -> int:
    """Makes a bus stream anew from its log; answers how many messages it holds then.

    Raises Failure `repair.running`, and `repair.log-behind` where the stream holds events that the log lacks: they would be lost.
    """
    async with halting as halted:
        if behind := await _behind_end(halted.bus(service), halted.services[service]):
            text = f"The bus stream of {service} holds {len(behind)} events that its log does not."
            raise Failure("repair.log-behind", text, "Take them back first: vekha doctor --repair")
        findings = await asyncio.to_thread(_verified, halted.services[service])
        if findings:
            text = f"The log of {service} does not verify: a stream made from it would hold the damage."
            raise Failure("repair.log-damaged", text, "See: vekha audit verify")
        return await _rebuild(halted, service)


# ---- one service ------------------------------------------------------------------------------------------------------------


async def _behind_end(nc: Nats, service: Service) -> list[BusMessage]:
    """What a stream holds behind the end of its log."""
    api, stream, head = JetStream(nc), service.name.upper(), service.store.read_head().position
    try:
        last = await api.last_sequence(stream)
    except StreamMissing:
        return []
    return [message async for batch in api.read_range(stream, head + 1, last) for message in batch]


def _take_back(service: Service, found: Tail, upto: int) -> None:
    with service.database.writing_at_length() as connection:
        take_back(connection, found, upto, service.restorers)


def _astray(service: Service) -> list[Projection]:
    """The readers of a service that do not know what they have read, if all of them may be derived anew."""
    with service.database.reading() as connection:
        names = damaged(connection)
    derived = {reader.name: reader for reader in service.readers if not isinstance(reader, ActedUpon)}
    if others := sorted(set(names) - derived.keys()):
        text = f"{service.name} does not say what {', '.join(others)} has read, and has acted upon it: to begin anew would be to act again."
        raise Failure("repair.reaction-damaged", text, f"Put the database of {service.name} back from a backup, then repair.")
    return [derived[name] for name in names]


def _begin_anew(service: Service, readers: Sequence[Projection]) -> None:
    with service.database.writing() as connection:
        for reader in readers:
            forget(connection, reader)


def _verified(service: Service) -> list[log.Finding]:
    with service.database.reading() as connection:
        return list(log.verify(connection, service.name))


async def _rebuild(halted: Halted, name: str) -> int:
    """Makes a stream anew, and has a relay refill it."""
    await halted.make_stream_anew(name)
    store = halted.services[name].store

    async def contradicted(quarantine: Quarantine) -> None:
        raise RuntimeError(quarantine.text)

    head = await store.head()
    relay = Relay(name, name.upper(), store, halted.bus(name), contradicted)
    filling = asyncio.create_task(relay.run())
    try:
        await relay.published(head)
    finally:
        await ended([filling])
    return head


def _unread(reader: Service, source: str, owner: Service) -> None:
    """Whoever has read what did not happen forgets it: projections are derived anew, reactions go on behind what is left."""
    last = owner.store.read_head().position
    with owner.database.reading() as connection:
        rows = log.read(connection, last - 1, 1) if last else []
    data = rows[0][2] if rows else b""
    with reader.database.writing() as connection:
        for projection in reader.readers:
            unread(connection, projection, source, last, data)


def _shown(service: str, event: Recorded) -> Undecided:
    return Undecided(service, event.position, event.id, event.type, event.school, event.recordedat)


def _check_known(there: Collection[str], named: Collection[str]) -> None:
    if unknown := sorted(set(named) - set(there)):
        text = f"No log lacks an unsealed event {', '.join(unknown)}."
        raise Failure("repair.event-unknown", text, "`vekha doctor --repair` lists those that are to be decided.")


# ---- an instance in one process ----------------------------------------------------------------------------------------------


class _InOneProcess:
    def __init__(self, nc: Nats, services: Mapping[str, Service]) -> None:
        self.services = services
        self._nc = nc

    def bus(self, service: str) -> Nats:
        return self._nc

    async def make_stream_anew(self, service: str) -> None:
        with suppress(StreamMissing):
            await JetStream(self._nc).ask(f"STREAM.DELETE.{service.upper()}")
        streams = [stream for stream in BUS_STREAMS if stream.service == service]
        await provision(self._nc, streams)


@asynccontextmanager
async def halted(folder: DataFolder) -> AsyncGenerator[Halted]:
    """The instance of a data folder. Raises Failure `repair.running`."""
    folder.about()
    if folder.is_held:
        raise Failure("repair.running", f"An instance runs on {folder.root}.", "Stop it, then repair.")
    with folder.hold():
        check_databases(folder, of_readers=False)
        secrets = folder.secrets()
        services = dict(_services(folder, secrets))
        try:
            for service in services.values():
                await asyncio.to_thread(service.ensure_tables)
            async with EmbeddedBroker(folder.bus, folder.run, secrets.broker_password_file) as broker:
                nc = await jetstream.connect(broker.url, broker.credential, name="repair")
                try:
                    await provision(nc)
                    yield _InOneProcess(nc, services)
                finally:
                    await jetstream.disconnect(nc)
        finally:
            for service in services.values():
                await service.stop()


def _services(folder: DataFolder, secrets: Secrets) -> Iterator[tuple[str, Service]]:
    for name in SERVICES:
        settings = Settings(
            name=name,
            database_url=sqlite_url(folder.database(name)),
            nats_url="",
            nats_credential=Credential.read(secrets.broker_password_file),
            secrets=secrets,
            clock=folder.clock(),
        )
        yield name, BUILDS[name](settings)
