"""The bus streams and durable consumers of an instance: made once, before the services start, and never altered afterwards.

A stream that exists with other settings is refused with a list of the differences. Changing one is an administrator's act: its settings
are what makes position n stay at sequence n for ever.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client

from contracts.event import SERVICES
from eventkit.jetstream import BusError, ConsumerMissing, JetStream, StreamMissing

MAX_MESSAGE_BYTES = 512 * 1024
_MIN_DUPLICATE_WINDOW_NS = 100_000_000  # the least that the server takes; the expected sequence is what prevents duplicates


@dataclass(frozen=True)
class BusStream:
    """The bus stream of one service: `ROSTER` takes `evt.roster.>`."""

    service: str

    @property
    def name(self) -> str:
        return self.service.upper()

    @property
    def subjects(self) -> str:
        return f"evt.{self.service}.>"


@dataclass(frozen=True)
class SealStream:
    """The bus stream of the seals that all services keep of their logs."""

    name: str = "SEALS"
    subjects: str = "seal.*.kept"


BUS_STREAMS = tuple(BusStream(service) for service in SERVICES)
SEALS = SealStream()


class ProvisionedDifferently(BusError):
    code = "provision.differs"


async def provision(
    nc: Client,
    streams: Iterable[BusStream | SealStream] = (*BUS_STREAMS, SEALS),
    durables: Iterable[tuple[str, str]] = (),
    *,
    replicas: int = 1,
) -> None:
    """Make what is missing of `streams` and of `durables` (pairs of stream and consumer name), and check what is there.

    May be repeated at every start. Raises ProvisionedDifferently without having changed anything that exists.
    """
    api = JetStream(nc)
    for stream in streams:
        wanted = _stream_configuration(stream, replicas)
        try:
            found = await api.ask(f"STREAM.INFO.{stream.name}")
        except StreamMissing:
            found = await api.ask(f"STREAM.CREATE.{stream.name}", wanted)
        _compare(f"Stream {stream.name}", wanted, found["config"])
    for stream_name, durable in durables:
        wanted = _consumer_configuration(durable)
        try:
            found = await api.ask(f"CONSUMER.INFO.{stream_name}.{durable}")
        except ConsumerMissing:
            request = {"stream_name": stream_name, "action": "create", "config": wanted}
            found = await api.ask(f"CONSUMER.CREATE.{stream_name}.{durable}", request)
        _compare(f"Consumer {durable} of stream {stream_name}", wanted, found["config"])


def _stream_configuration(stream: BusStream | SealStream, replicas: int) -> dict[str, Any]:
    return {
        "name": stream.name,
        "subjects": [stream.subjects],
        "storage": "file",
        "num_replicas": replicas,
        "retention": "limits",
        "discard": "old",
        "max_consumers": -1,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msg_size": MAX_MESSAGE_BYTES,
        "duplicate_window": _MIN_DUPLICATE_WINDOW_NS,
        "deny_delete": True,
        "deny_purge": True,
        "sealed": False,
        "allow_rollup_hdrs": False,
        "allow_direct": True,
    }


def _consumer_configuration(durable: str) -> dict[str, Any]:
    return {
        "durable_name": durable,
        "deliver_policy": "all",
        "ack_policy": "none",  # the reader's checkpoint stands beside its rows, in its own database
        "replay_policy": "instant",
        "deliver_subject": "",  # none: it is pulled
        "filter_subject": "",  # none: what a filter leaves out would look like a gap
        "headers_only": False,
    }


def _compare(what: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    differences: list[str] = []
    for key, value in wanted.items():
        actual = found.get(key, type(value)())  # the server leaves out what is false, zero or empty
        if actual != value:
            differences.append(f"{key} is {actual!r} instead of {value!r}")
    if differences:
        raise ProvisionedDifferently(f"{what} exists with other settings: {'; '.join(differences)}. An administrator has to decide.")
