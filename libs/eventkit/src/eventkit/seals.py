"""Seals: a service's signature under how far its log goes, and what it holds up to there (DESIGN 2.13).

A seal signs the hash chain at a position, and with it every event up to there. It is believed under a key that the service has published,
and of what was recorded while that key was good. Beside the chain it signs the Merkle tree (RFC 9162, 2.1) of the events since the seal
before it, so that a single event can be proved by a dozen hashes, without showing its neighbours.

`covered` says which positions verified seals speak for. Kept seals stand in a table beside the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, Text, insert, inspect, select

from eventkit import log, merkle
from eventkit.event import genesis, link
from eventkit.log import Head
from eventkit.secrets import key_id

LONGEST_RUN = 1000
"""Most events between two kept seals."""


metadata = MetaData()

seal_table = Table(
    "seal",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", Text, nullable=False),
    Column("recorded_at", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("root", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("signature", Text, nullable=False),
)


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """What a service says of its log at a position, and signs. Hashes and the signature are in hex, `recorded_at` is the last event's.

    `since` is the position of the seal before it, `root` the Merkle tree of the events in between. One that is told and not kept says
    nothing of a tree: it begins where it ends.
    """

    service: str
    log: str
    position: int
    hash: str
    recorded_at: str
    since: int
    root: str
    key: str
    signature: str

    def said(self) -> bytes:
        """The bytes that are signed."""
        lines = ("vekha-seal/1", self.service, self.log, self.position, self.hash, self.recorded_at, self.since, self.root, self.key)
        return "".join(f"{line}\n" for line in lines).encode()


encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Seal).decode


def decode(data: bytes) -> Seal:
    """A seal as it travels. Raises msgspec.DecodeError where it is none."""
    try:
        return _decode(data)
    except (UnicodeDecodeError, RecursionError) as error:  # msgspec lets these through as they are
        raise msgspec.DecodeError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Log:
    """Whose log it is, and which of all that were ever begun."""

    service: str
    log_id: str


def told(whose: Log, at: Head, key: Ed25519PrivateKey) -> Seal:
    """A seal that is not kept."""
    return _signed(whose, at, at.position, merkle.EMPTY.hex(), key)


def kept(whose: Log, before: Head, events: Sequence[bytes], recorded_at: str, key: Ed25519PrivateKey) -> Seal:
    """The seal after a run of events behind `before`."""
    chain = before.hash
    for data in events:
        chain = link(chain, data)
    at = Head(before.position + len(events), chain, recorded_at)
    return _signed(whose, at, before.position, merkle.tree(events).hex(), key)


def _signed(whose: Log, at: Head, since: int, root: str, key: Ed25519PrivateKey) -> Seal:
    seal = Seal(
        service=whose.service,
        log=whose.log_id,
        position=at.position,
        hash=at.hash.hex(),
        recorded_at=at.recorded_at,
        since=since,
        root=root,
        key=key_id(key.public_key()),
        signature="",
    )
    return msgspec.structs.replace(seal, signature=key.sign(seal.said()).hex())


@dataclass(frozen=True, slots=True)
class SealKey:
    """A key under which a service seals, and up to when what it recorded may stand under it; None: to this day."""

    public: Ed25519PublicKey
    not_after: str | None = None


Keys = Mapping[str, SealKey]
"""The keys of one service by their ids."""


def holds(seal: Seal, keys: Keys) -> bool:
    """Whether a seal was made by who holds one of these keys, while it was good."""
    key = keys.get(seal.key)
    if key is None or (key.not_after is not None and seal.recorded_at > key.not_after):
        return False
    try:
        key.public.verify(bytes.fromhex(seal.signature), seal.said())
    except (InvalidSignature, ValueError):
        return False
    return True


def covered(base: Head, events: Iterable[bytes], seals: Iterable[Seal], keys: Keys, whose: Log) -> int:
    """Up to which position the events behind `base`, in their order, are what the service has sealed; `base.position` if nowhere.

    Whatever any seal that holds says of one of their positions has to be true of it: where one says something else, the events from the
    last seal that agreed on are nobody's. What stands behind the last seal is not covered. One that says an earlier time than `base` is
    dated back: its key may have ended since.
    """
    said: dict[int, set[str]] = {}
    for seal in seals:
        is_behind = seal.position >= base.position and seal.recorded_at >= base.recorded_at
        if (seal.service, seal.log) == (whose.service, whose.log_id) and is_behind and holds(seal, keys):
            said.setdefault(seal.position, set()).add(seal.hash)
    last, chain = base.position, base.hash
    if not {chain.hex()} >= said.get(last, set()):
        return last
    for position, data in enumerate(events, start=base.position + 1):
        chain = link(chain, data)
        if (hashes := said.get(position)) is not None:
            if hashes != {chain.hex()}:
                return last
            last = position
    return last


# ---- those that are kept --------------------------------------------------------------------------------------------------


_LAST_KEPT = select(seal_table.c.position, seal_table.c.hash, seal_table.c.recorded_at).order_by(seal_table.c.position.desc()).limit(1)


def are_kept(connection: Connection) -> bool:
    """Whether a database has a table of seals."""
    return inspect(connection).has_table(seal_table.name)


def kept_after(connection: Connection, position: int, limit: int | None = None) -> list[Seal]:
    """A log's seals behind a position, in order. Raises msgspec.ValidationError for a row that holds values of other types."""
    about = log.about(connection)
    log_id = log.log_id(connection)
    found = connection.execute(select(seal_table).where(seal_table.c.position > position).order_by(seal_table.c.position).limit(limit))
    whose = {"service": about.service, "log": log_id}
    return [msgspec.convert(whose | {str(name): value for name, value in row.items()}, Seal) for row in found.mappings()]


def last_kept(connection: Connection) -> Head:
    """Where the last seal was set; the log's beginning where there is none."""
    found = connection.execute(_LAST_KEPT).first()
    if found is None:
        return Head(0, genesis(log.about(connection).service, log.log_id(connection)), "")
    return Head(found.position, bytes.fromhex(found.hash), found.recorded_at)


def keep(connection: Connection, seal: Seal) -> None:
    """Keeps a seal. Raises IntegrityError where one stands at its position."""
    connection.execute(insert(seal_table).values({column.name: getattr(seal, column.name) for column in seal_table.columns}))
