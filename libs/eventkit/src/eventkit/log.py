"""The record: one service's append-only log in SQL, with gapless positions and a hash chain (DESIGN 2.2).

The log has one head row. Appending moves it from (n, hash n) to (n+k, hash n+k) by compare-and-set and writes the
events, the command ids and the service's own state in the same transaction; whoever finds the head elsewhere than
expected has lost the race and tries again. SQLite and PostgreSQL hold the same tables.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    func,
    insert,
    select,
    text,
    update,
)

from eventkit.event import Draft, Recorded, decode, genesis, link, stamp

SCHEMA_VERSION = 1
"""The version of these tables; a database of a newer one is refused."""

metadata = MetaData()

head_table = Table(
    "head",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("service", Text, nullable=False),
    Column("log_id", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("recorded_at", Text, nullable=False),
)

log_table = Table(
    "log",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("stream", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("command_id", Text, nullable=False),
    Column("school", Text, nullable=False),
    Column("happened_on", Text, nullable=False),
    Column("recorded_at", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
    UniqueConstraint("stream", "version"),
)
Index("log_recorded_at", log_table.c.recorded_at)

command_table = Table(
    "command",
    metadata,
    Column("command_id", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("last_position", BigInteger, nullable=False),
    Column("reply", Text, nullable=False),
)

_EPOCH = "1970-01-01T00:00:00.000000Z"


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log ends: the last position (0: empty), the chain's hash there and the last event's recorded_at."""

    position: int
    hash: bytes
    recorded_at: str


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A command that was carried out: the keyed digest of its body, its last position, and its answer without secrets."""

    command_id: str
    digest: str
    last_position: int
    reply: str


@dataclass(frozen=True, slots=True)
class Row:
    """One log row as it stands in the table: the columns are copies of what `bytes` say."""

    position: int
    stream: str
    version: int
    type: str
    event_id: str
    command_id: str
    school: str
    happened_on: str
    recorded_at: str
    hash: bytes
    bytes: bytes


class NewerSchema(RuntimeError):
    """The database was written by a newer program."""


class HeadMoved(RuntimeError):
    """Somebody else appended first: reload and try again."""


def create(connection: Connection, service: str) -> None:
    """Makes the log's tables and its head row where they are missing. Raises NewerSchema for a newer database."""
    metadata.create_all(connection)
    found = connection.execute(select(head_table.c.service, head_table.c.schema_version)).first()
    if found is None:
        log_id = uuid.uuid4().hex
        connection.execute(
            insert(head_table).values(
                only=1,
                service=service,
                log_id=log_id,
                schema_version=SCHEMA_VERSION,
                position=0,
                hash=genesis(service, log_id),
                recorded_at=_EPOCH,
            )
        )
    elif found.schema_version > SCHEMA_VERSION:
        raise NewerSchema(f"the database of {service} has schema {found.schema_version}; this program knows {SCHEMA_VERSION}")
    elif found.service != service:
        raise ValueError(f"this database is the log of {found.service}, not of {service}")


def head(connection: Connection) -> Head:
    row = connection.execute(select(head_table.c.position, head_table.c.hash, head_table.c.recorded_at)).one()
    return Head(row.position, bytes(row.hash), row.recorded_at)


def log_id(connection: Connection) -> str:
    return connection.execute(select(head_table.c.log_id)).scalar_one()


def stamped(drafts: Sequence[Draft], base: Head, *, service: str, now: str) -> tuple[list[Row], Head]:
    """The rows of a batch after `base`, and the head after them. recorded_at never runs backwards."""
    recorded_at = max(now, base.recorded_at)
    position, chain = base.position, base.hash
    rows: list[Row] = []
    for draft in drafts:
        position += 1
        event_id = uuid.uuid4().hex
        data = stamp(draft, service=service, position=position, event_id=event_id, recorded_at=recorded_at)
        chain = link(chain, data)
        rows.append(
            Row(
                position=position,
                stream=draft.stream,
                version=draft.version,
                type=draft.event.type,
                event_id=event_id,
                command_id=draft.origin.command_id,
                school=draft.school,
                happened_on=draft.happened_on.isoformat(),
                recorded_at=recorded_at,
                hash=chain,
                bytes=data,
            )
        )
    return rows, Head(position, chain, recorded_at)


_COLUMNS = tuple(column.name for column in log_table.columns)
_COMMAND_COLUMNS = tuple(column.name for column in command_table.columns)

# One statement, hence one round trip and one commit for a lone command: the head moves only from where it is expected,
# and rows are written only if it moved.
_APPEND_POSTGRES = text(
    """
    WITH moved AS (
        UPDATE head SET position = :new_position, hash = :new_hash, recorded_at = :recorded_at
        WHERE position = :old_position AND hash = :old_hash RETURNING position
    ), written AS (
        INSERT INTO log (position, stream, version, type, event_id, command_id, school, happened_on, recorded_at, hash, bytes)
        SELECT e.* FROM moved, unnest(
            CAST(:position AS bigint[]), CAST(:stream AS text[]), CAST(:version AS int[]), CAST(:type AS text[]),
            CAST(:event_id AS text[]), CAST(:command_id AS text[]), CAST(:school AS text[]), CAST(:happened_on AS text[]),
            CAST(:recorded AS text[]), CAST(:hash AS bytea[]), CAST(:bytes AS bytea[])) AS e
    ), commanded AS (
        INSERT INTO command (command_id, digest, last_position, reply)
        SELECT c.* FROM moved, unnest(
            CAST(:c_command_id AS text[]), CAST(:c_digest AS text[]), CAST(:c_last_position AS bigint[]), CAST(:c_reply AS text[])) AS c
    )
    SELECT position FROM moved
    """
)

_MOVE_HEAD = (
    update(head_table)
    .where(head_table.c.position == bindparam("old_position"), head_table.c.hash == bindparam("old_hash"))
    .values(position=bindparam("new_position"), hash=bindparam("new_hash"), recorded_at=bindparam("new_recorded_at"))
)


def write(connection: Connection, rows: Sequence[Row], commands: Sequence[CommandRow], base: Head, new: Head) -> None:
    """Moves the head from `base` to `new` and writes rows and commands. Raises HeadMoved where the head is elsewhere."""
    if connection.dialect.name == "postgresql":
        parameters: dict[str, Any] = {
            "old_position": base.position,
            "old_hash": base.hash,
            "new_position": new.position,
            "new_hash": new.hash,
            "recorded_at": new.recorded_at,
            **{name: [getattr(row, name) for row in rows] for name in _COLUMNS if name != "recorded_at"},
            "recorded": [row.recorded_at for row in rows],
            **{f"c_{name}": [getattr(command, name) for command in commands] for name in _COMMAND_COLUMNS},
        }
        if connection.execute(_APPEND_POSTGRES, parameters).first() is None:
            raise HeadMoved
        return
    moved = connection.execute(
        _MOVE_HEAD,
        {
            "old_position": base.position,
            "old_hash": base.hash,
            "new_position": new.position,
            "new_hash": new.hash,
            "new_recorded_at": new.recorded_at,
        },
    )
    if moved.rowcount != 1:
        raise HeadMoved
    if rows:
        connection.execute(insert(log_table), [{name: getattr(row, name) for name in _COLUMNS} for row in rows])
    if commands:
        connection.execute(insert(command_table), [{name: getattr(command, name) for name in _COMMAND_COLUMNS} for command in commands])


def commands(connection: Connection, command_ids: Sequence[str]) -> dict[str, CommandRow]:
    """Those of the given commands that were carried out already."""
    if not command_ids:
        return {}
    found = connection.execute(select(command_table).where(command_table.c.command_id.in_(command_ids)))
    return {row.command_id: CommandRow(row.command_id, row.digest, row.last_position, row.reply) for row in found}


def history(connection: Connection, stream: str, after: int = 0) -> list[Recorded]:
    """The events of one stream after a version, in order."""
    found = connection.execute(
        select(log_table.c.bytes).where(log_table.c.stream == stream, log_table.c.version > after).order_by(log_table.c.version)
    )
    return [decode(bytes(row.bytes)) for row in found]


def read(connection: Connection, after: int, limit: int) -> list[tuple[int, str, bytes]]:
    """Position, bus subject and bytes of the events after a position, in order, at most `limit`."""
    found = connection.execute(
        select(log_table.c.position, log_table.c.type, log_table.c.school, log_table.c.bytes)
        .where(log_table.c.position > after)
        .order_by(log_table.c.position)
        .limit(limit)
    )
    split: dict[str, list[str]] = {}
    rows: list[tuple[int, str, bytes]] = []
    for row in found:
        parts = split.get(row.type)
        if parts is None:
            parts = split[row.type] = row.type.split(".", 1)
        rows.append((row.position, f"evt.{parts[0]}.{row.school}.{parts[1]}", bytes(row.bytes)))
    return rows


def position_known_at(connection: Connection, recorded_at: str) -> int:
    """The last position whose recorded_at is not after the given moment (`rfc3339` text); 0 where there is none."""
    found = connection.execute(select(func.max(log_table.c.position)).where(log_table.c.recorded_at <= recorded_at)).scalar()
    return found or 0


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a record does not verify: `kind` says how."""

    service: str
    position: int
    kind: str


def verify(connection: Connection, service: str, *, up_to: int | None = None) -> Iterator[Finding]:
    """Every departure of the log from its own rules, up to a position: gaps, a broken chain, columns that differ from the bytes."""
    begun = connection.execute(select(head_table)).one()
    end = begun.position if up_to is None else up_to
    chain = genesis(service, begun.log_id)
    expected = 0
    recorded_at = _EPOCH
    statement = select(log_table).where(log_table.c.position <= end).order_by(log_table.c.position)
    for row in connection.execution_options(yield_per=2000).execute(statement):
        expected += 1
        while expected < row.position:
            yield Finding(service, expected, "missing")
            expected += 1
        data = bytes(row.bytes)
        chain = link(chain, data)
        if chain != bytes(row.hash):
            yield Finding(service, row.position, "chain-broken")
            chain = bytes(row.hash)  # one damaged row is one finding, not one for every row after it
        try:
            envelope = decode(data)
        except msgspec.MsgspecError:
            yield Finding(service, row.position, "bytes-undecodable")
            continue
        for column, value in _copies(envelope).items():
            if row._mapping[column] != value:
                yield Finding(service, row.position, f"column-differs:{column}")
        if envelope.recordedat < recorded_at:
            yield Finding(service, row.position, "time-runs-backwards")
        recorded_at = max(recorded_at, envelope.recordedat)
    while expected < end:
        expected += 1
        yield Finding(service, expected, "missing")
    if up_to is None:
        beyond = connection.execute(select(func.max(log_table.c.position))).scalar() or 0
        if beyond > end:
            yield Finding(service, beyond, "beyond-head")
        if end and (chain != bytes(begun.hash) or begun.recorded_at != recorded_at):
            yield Finding(service, end, "head-differs")


def _copies(envelope: Recorded) -> dict[str, Any]:
    return {
        "position": envelope.position,
        "stream": envelope.stream,
        "version": envelope.version,
        "type": envelope.type,
        "event_id": envelope.id,
        "command_id": envelope.commandid,
        "school": envelope.school,
        "happened_on": envelope.happenedon,
        "recorded_at": envelope.recordedat,
    }
