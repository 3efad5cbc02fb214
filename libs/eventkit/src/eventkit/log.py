"""The record: one service's append-only log in SQL, with gapless positions and a hash chain (DESIGN 2.2).

The log has one head row. Appending moves it from (n, hash n) to (n+k, hash n+k) by compare-and-set and writes the
events, the command ids and the service's own state in the same transaction; whoever finds the head elsewhere than
expected has lost the race and tries again. SQLite and PostgreSQL hold the same tables.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from secrets import token_hex
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
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
)
from sqlalchemy.dialects import postgresql

from eventkit.event import Draft, Recorded, decode, genesis, link, stamp
from eventkit.postgres import Statement
from eventkit.rows import ManyRows, placeholders, together

FIRST_REVISION = 1
"""With what a program lives that knows no history of its tables (`migrations`)."""

metadata = MetaData()

_Position = BigInteger().with_variant(Integer(), "sqlite")  # SQLite's INTEGER has 64 bits too, and as a key costs no index beside the table

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
    Column("position", _Position, primary_key=True, autoincrement=False),
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

command_table = Table(
    "command",
    metadata,
    Column("command_id", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("last_position", BigInteger, nullable=False),
    Column("reply", Text, nullable=False),
    sqlite_with_rowid=False,
)

ANSWER_LOST = ""
"""The digest of a command whose events were taken back from the bus: it was carried out, and neither body nor answer are known."""

_NAMES_A_QUERY = 500
_EPOCH = "1970-01-01T00:00:00.000000Z"


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log ends: the last position (0: empty), the chain's hash there and the last event's recorded_at."""

    position: int
    hash: bytes
    recorded_at: str


class CommandRow(NamedTuple):
    """A command that was carried out: the keyed digest of its body, its last position, and its answer without secrets."""

    command_id: str
    digest: str
    last_position: int
    reply: str


class Row(NamedTuple):
    """One log row as it stands in the table, in its order: the columns are copies of what `bytes` say."""

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


class About(NamedTuple):
    """Whose log a database holds, and the least revision of its tables that a program must know to live with it."""

    service: str
    schema_version: int


def about(connection: Connection) -> About:
    return About(*connection.execute(select(head_table.c.service, head_table.c.schema_version)).one())


def has_begun(connection: Connection) -> bool:
    """Whether there is a log in the tables."""
    return connection.execute(select(head_table.c.only)).first() is not None


def begin(connection: Connection, service: str) -> None:
    """Begins an empty log in tables that are there, unless one has begun."""
    if has_begun(connection):
        return
    log_id = token_hex(16)
    connection.execute(
        insert(head_table).values(
            only=1,
            service=service,
            log_id=log_id,
            schema_version=FIRST_REVISION,
            position=0,
            hash=genesis(service, log_id),
            recorded_at=_EPOCH,
        )
    )


def check(connection: Connection, service: str, known: int) -> None:
    """Raises NewerSchema where a log wants a program that knows more than the revision `known`, and ValueError where it is another's."""
    found = about(connection)
    if found.schema_version > known:
        raise NewerSchema(f"the database of {service} has schema {found.schema_version}; this program knows {known}")
    if found.service != service:
        raise ValueError(f"this database is the log of {found.service}, not of {service}")


def head(connection: Connection, *, lock: bool = False) -> Head:
    """Where the log ends. With `lock`, nobody else moves it until the transaction ends."""
    # SQLite needs no row lock: there a writing transaction is alone from its beginning.
    locking = " FOR UPDATE" if lock and _is_postgres(connection) else ""
    position, chain, recorded_at = _run(connection, _SELECT_HEAD + locking).fetchone()
    return Head(position, chain, recorded_at)


def log_id(connection: Connection) -> str:
    return connection.execute(_LOG_ID).scalar_one()


def stamped(drafts: Sequence[Draft], base: Head, *, service: str, now: str) -> tuple[list[Row], Head]:
    """The rows of a batch after `base`, and the head after them. recorded_at never runs backwards."""
    if not drafts:
        return [], base
    recorded_at = max(now, base.recorded_at)
    chain = base.hash
    ids = token_hex(16 * len(drafts))
    rows: list[Row] = []
    for number, draft in enumerate(drafts):
        position, event_id = base.position + number + 1, ids[32 * number : 32 * number + 32]
        data = stamp(draft, service=service, position=position, event_id=event_id, recorded_at=recorded_at)
        chain = link(chain, data)
        rows.append(
            Row(
                position,
                draft.stream,
                draft.version,
                draft.event.type,
                event_id,
                draft.origin.command_id,
                draft.school,
                draft.happened_on.isoformat(),
                recorded_at,
                chain,
                data,
            )
        )
    return rows, Head(base.position + len(rows), chain, recorded_at)


# What every command needs is asked of the driver itself: through SQLAlchemy it would cost more than the database's own work.
# `{0}` is the driver's mark for a parameter.

_LOG_ID = select(head_table.c.log_id)
_HASH_AT = select(log_table.c.hash).where(log_table.c.position == bindparam("at"))
_SELECT_HEAD = "SELECT position, hash, recorded_at FROM head"
_SELECT_HISTORY = "SELECT bytes FROM log WHERE stream = {0} AND version > {0} ORDER BY version"
_SELECT_RUN = "SELECT position, type, school, bytes FROM log WHERE position > {0} ORDER BY position LIMIT {0}"
_SELECT_COMMANDS = "SELECT command_id, digest, last_position, reply FROM command WHERE command_id "
_MOVE_HEAD = "UPDATE head SET position = {0}, hash = {0}, recorded_at = {0} WHERE position = {0} AND hash = {0}"


def _run(connection: Connection, statement: str, parameters: Sequence[Any] = ()) -> Any:
    if not _is_postgres(connection):
        return _driver(connection).execute(_marked(statement, "?"), parameters)
    # One cursor for each connection of the driver: to make it takes psycopg as long as to use it.
    cursor: Any = connection.info.get("cursor")
    if cursor is None:
        cursor = connection.info["cursor"] = _driver(connection).cursor(binary=True)
    return cursor.execute(_marked(statement, "%b"), parameters, prepare=True)


@cache
def _marked(statement: str, mark: str) -> str:
    return statement.format(mark)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _is_postgres(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _insert(table: Table, source: str) -> str:
    return f"INSERT INTO {table.name} ({', '.join(column.name for column in table.columns)}) {source}"


def _append(*, many: bool) -> Statement:
    """PostgreSQL takes an append as one statement, hence in one round trip: rows are written only if the head moved from where
    it was expected. The parameters are the five of the head, then each column of `log` and of `command`, as arrays if `many`.
    """

    def types_of(table: Table) -> list[str]:
        return [column.type.compile(postgresql.dialect()).lower() + "[]" * many for column in table.columns]

    def rows_of(table: Table) -> str:
        values = ", ".join(["{0}"] * len(table.columns))
        return f"SELECT row.* FROM moved, unnest({values}) AS row" if many else f"SELECT {values} FROM moved"  # noqa: S608 -- all of it is ours

    written = ", ".join(f"{table.name}_written AS ({_insert(table, rows_of(table))})" for table in (log_table, command_table))
    return Statement(
        "append-many" if many else "append-one",
        f"WITH moved AS ({_MOVE_HEAD} RETURNING 1), {written} SELECT 1 FROM moved",  # noqa: S608 -- all of it is ours
        ["bigint", "bytea", "text", "bigint", "bytea", *types_of(log_table), *types_of(command_table)],
    )


_APPEND_ONE = _append(many=False)
_APPEND_MANY = _append(many=True)
_INSERT_ROWS, _INSERT_COMMANDS = (
    ManyRows(_insert(table, "VALUES "), placeholders(len(table.columns))) for table in (log_table, command_table)
)


def write(connection: Connection, rows: Sequence[Row], commands: Sequence[CommandRow], base: Head, new: Head) -> None:
    """Moves the head from `base` to `new` and writes rows and commands. Raises HeadMoved where the head is elsewhere, and the
    driver's own IntegrityError where a version of a stream or a command id is taken.
    """
    move = (new.position, new.hash, new.recorded_at, base.position, base.hash)
    if not _is_postgres(connection):
        moved = _run(connection, _MOVE_HEAD, move).rowcount
    elif len(rows) == len(commands) == 1:
        moved = _APPEND_ONE.run(_driver(connection), (*move, *rows[0], *commands[0]))
    else:
        moved = _APPEND_MANY.run(_driver(connection), (*move, *_columns(log_table, rows), *_columns(command_table, commands)))
    if moved != 1:
        raise HeadMoved
    if not _is_postgres(connection):
        _insert_all(connection, _INSERT_ROWS, rows)
        _insert_all(connection, _INSERT_COMMANDS, commands)


def _insert_all(connection: Connection, statement: ManyRows, rows: Sequence[tuple[Any, ...]]) -> None:
    for some in together(rows):
        _driver(connection).execute(statement.of(len(some)), tuple(chain.from_iterable(some)))


def _columns(table: Table, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True)) or [()] * len(table.columns)


def commands(connection: Connection, command_ids: Sequence[str]) -> dict[str, CommandRow]:
    """Those of the given commands that were carried out already."""
    if not command_ids:
        return {}
    if _is_postgres(connection):
        found = _run(connection, _SELECT_COMMANDS + "= ANY({0})", [list(command_ids)])
    else:
        found = _run(connection, f"{_SELECT_COMMANDS}IN ({', '.join('?' * len(command_ids))})", command_ids)
    return {row[0]: CommandRow(*row) for row in found}


def history(connection: Connection, stream: str, after: int = 0) -> list[Recorded]:
    """The events of one stream after a version, in order."""
    return [decode(data) for (data,) in _run(connection, _SELECT_HISTORY, (stream, after))]


def of_streams(connection: Connection, prefix: str) -> Iterator[bytes]:
    """The events of all streams whose names begin with a prefix, in order."""
    streams = log_table.c.stream
    wanted = select(log_table.c.bytes).where(streams.startswith(prefix, autoescape=True))
    if connection.dialect.name == "sqlite":  # there the index of streams is in the order of their bytes
        wanted = wanted.where(streams >= prefix, streams < prefix[:-1] + chr(ord(prefix[-1]) + 1))
    for (data,) in connection.execute(wanted.order_by(log_table.c.position)):
        yield bytes(data)


def streams_among(connection: Connection, names: Sequence[str]) -> set[str]:
    """Those of the names that are streams in which something stands."""
    streams, found = log_table.c.stream, set[str]()
    for first in range(0, len(names), _NAMES_A_QUERY):
        found |= {*connection.execute(select(streams).where(streams.in_(names[first : first + _NAMES_A_QUERY])).distinct()).scalars()}
    return found


def read(connection: Connection, after: int, limit: int) -> list[tuple[int, str, bytes]]:
    """Position, bus subject and bytes of the events after a position, in order, at most `limit`."""
    split: dict[str, tuple[str, str, str]] = {}
    rows: list[tuple[int, str, bytes]] = []
    for position, type_name, school, data in _run(connection, _SELECT_RUN, (after, limit)).fetchall():
        parts = split.get(type_name)
        if parts is None:
            parts = split[type_name] = type_name.partition(".")  # a type that somebody has damaged may have none
        rows.append((position, f"evt.{parts[0]}.{school}.{parts[2]}", bytes(data)))
    return rows


def hash_at(connection: Connection, position: int) -> bytes:
    """The chain's hash at a position, as the log's column says."""
    if position == 0:
        begun = connection.execute(select(head_table.c.service, head_table.c.log_id)).one()
        return genesis(begun.service, begun.log_id)
    return bytes(connection.execute(_HASH_AT, {"at": position}).scalar_one())


def position_known_at(connection: Connection, recorded_at: str) -> int:
    """The last position whose recorded_at is not after the given moment (`rfc3339` text); 0 where there is none."""

    def recorded(position: int) -> str:
        return connection.execute(select(log_table.c.recorded_at).where(log_table.c.position == position)).scalar_one()

    # recorded_at never runs backwards, so the log is its own index: two dozen looks at most, and no append pays for another one.
    return bisect_right(range(1, head(connection).position + 1), recorded_at, key=recorded)


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a record does not verify: `kind` says how."""

    service: str
    position: int
    kind: str


MISSING_TOLD = 1000
"""Most events of one gap that are told of one by one: its end may be anything that somebody has written there."""


Seen = Callable[[int, bytes, bytes, Recorded | None], None]
"""Looks on while a log is followed: at a position, its event's bytes, the chain's hash there, and the envelope, where there is one."""


def verify(connection: Connection, service: str, *, up_to: int | None = None, seen: Seen | None = None) -> Iterator[Finding]:
    """Every departure of the log from its own rules, up to a position: gaps, a broken chain, columns that differ from the bytes."""
    begun = connection.execute(select(head_table)).one()
    end = begun.position if up_to is None else up_to
    chain = genesis(service, begun.log_id)
    expected = 0
    recorded_at = _EPOCH
    statement = select(log_table).where(log_table.c.position <= end).order_by(log_table.c.position)
    for row in connection.execute(statement.execution_options(yield_per=2000)).mappings():
        position = row["position"]
        for missing in range(expected + 1, min(position, expected + 1 + MISSING_TOLD)):
            yield Finding(service, missing, "missing")
        expected = position
        data = bytes(row["bytes"])
        chain = link(chain, data)
        if chain != bytes(row["hash"]):
            yield Finding(service, position, "chain-broken")
            chain = bytes(row["hash"])  # one damaged row is one finding, not one for every row after it
        try:
            envelope = decode(data)
        except msgspec.DecodeError:
            yield Finding(service, position, "bytes-undecodable")
            if seen is not None:
                seen(position, data, chain, None)
            continue
        if seen is not None:
            seen(position, data, chain, envelope)
        for column, value in _copies(envelope).items():
            if row[column] != value:
                yield Finding(service, position, f"column-differs:{column}")
        if envelope.recordedat < recorded_at:
            yield Finding(service, position, "time-runs-backwards")
        recorded_at = max(recorded_at, envelope.recordedat)
    for missing in range(expected + 1, min(end, expected + MISSING_TOLD) + 1):
        yield Finding(service, missing, "missing")
    if up_to is None:
        beyond = connection.execute(select(func.max(log_table.c.position))).scalar() or 0
        if beyond > end:
            yield Finding(service, beyond, "beyond-head")
        if chain != bytes(begun.hash) or begun.recorded_at != recorded_at:
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
