"""Projections: rows that follow the logs of several services, with one fenced checkpoint for all of them (DESIGN 2.4).

Rows and checkpoint change in one transaction. An event at or below the checkpoint is skipped; a gap is filled by asking
the log's owner. Nothing is ever negatively acknowledged: an event that a projection cannot take in is parked with its
reason in the same transaction, later events of the same source and school queue behind it, and all others flow. An
event of no school that fails halts its source.

The checkpoint also keeps the digest of the last event of each source. Reading begins with that event, and the owner of the
log is asked whether it knows it: where it does not, the log was replaced, and nothing more of it is read.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec
import structlog
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import OperationalError

from contracts.event import NO_SCHOOL
from eventkit.event import Recorded, decode
from eventkit.faults import reach
from eventkit.jetstream import BusMessage

metadata = MetaData()

checkpoint_table = Table(
    "checkpoint",
    metadata,
    Column("name", Text, primary_key=True),
    Column("positions", Text, nullable=False),
    Column("digests", Text, nullable=False),  # SHA-256 of the event at each position
    Column("unrecognized", Text, nullable=False),  # the sources whose logs do not hold that event
)

parked_table = Table(
    "parked",
    metadata,
    Column("reader", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("school", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("waiting", Boolean, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
)

# Made once: this is done for every few events.
_MOVE = (
    update(checkpoint_table)
    .where(checkpoint_table.c.name == bindparam("reader"), checkpoint_table.c.positions == bindparam("old"))
    .values(positions=bindparam("new"))
)
_MOVE_ON = _MOVE.values(digests=bindparam("read"))

_log = structlog.get_logger(__name__)


Wants = Callable[[str], bool]
"""Whether a projection wants events of a type."""


class Projection(Protocol):
    """Rows derived from events. `apply` gets a batch, each source in its order, and is a pure function of rows and events.

    What is of a type that it does not want is passed over, and not even decoded.
    """

    @property
    def name(self) -> str: ...

    @property
    def sources(self) -> tuple[str, ...]: ...

    @property
    def tables(self) -> MetaData: ...

    @property
    def wants(self) -> Wants: ...

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None: ...


class Transactions(Protocol):
    """What of a database a projection needs; each block is one transaction (`Database`)."""

    def reading(self) -> AbstractContextManager[Connection]: ...

    def writing(self) -> AbstractContextManager[Connection]: ...

    def deriving(self) -> AbstractContextManager[Connection]: ...


@runtime_checkable
class ActedUpon(Protocol):
    """A projection whose rows somebody has acted upon, so that they are never derived anew."""

    def forget_after(self, connection: Connection, source: str, last: int) -> None: ...


class Delivered(NamedTuple):
    """An event as it was delivered, decoded or not. Without one, `trouble` says why; where that is empty, nobody wanted it."""

    source: str
    position: int
    school: str
    type: str
    data: bytes
    event: Recorded | None
    trouble: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.source, self.school


class Place(NamedTuple):
    """What lies at a position of a log, named by its bytes as well."""

    source: str
    position: int
    sha256: str


Skipped = Callable[[Connection], Collection[Place]]
"""What a projection goes on without, read in the caller's transaction."""


def nothing_skipped(_: Connection) -> Collection[Place]:
    return ()


def wanting(names: Collection[str]) -> Wants:
    """Wants events of these names, `roster.pupil-enrolled`, in whatever version, and what names no version: that is no event."""
    wanted = frozenset((*names, ""))

    @cache
    def wants(type_name: str) -> bool:
        return type_name.rpartition(".v")[0] in wanted

    return wants


def delivered(source: str, message: BusMessage, wants: Wants | None = None, decode: Callable[[bytes], Recorded] = decode) -> Delivered:
    """A message of a bus stream, decoded unless nobody wants its type. School and type stand in the subject, so even one that cannot be
    decoded has a key."""
    position, subject, data = message
    school, name, type_name = _in_subject(subject)
    if wants is not None and not wants(type_name):
        return Delivered(source, position, school, name, data, None)
    event, trouble = None, "misplaced: position or subject is not what its bytes say"
    try:
        found = decode(data)
        if (found.position, found.school, found.type) == (position, school, type_name):
            event, trouble = found, ""
    except msgspec.MsgspecError as error:
        trouble = f"undecodable: {error}"
    return Delivered(source, position, school, name, data, event, trouble)


def type_in(subject: str) -> str:
    """The type that a subject names; "" where it is no event's."""
    return _in_subject(subject)[2]


@lru_cache(4096)
def _in_subject(subject: str) -> tuple[str, str, str]:
    """A subject's school, its type without the service and, where it is the subject of an event, with it."""
    beginning, service, school, *rest = subject.split(".", 3)
    name = "".join(rest)
    return school, name, f"{service}.{name}" if beginning == "evt" and name else ""


def is_created(connection: Connection) -> bool:
    """Whether a database has checkpoints as this program keeps them."""
    found = inspect(connection)
    return found.has_table(checkpoint_table.name) and {column["name"] for column in found.get_columns(checkpoint_table.name)} >= set(
        checkpoint_table.columns.keys()
    )


class Fenced(RuntimeError):
    """Somebody else moved this projection's checkpoint: what was read before has to be read again from there."""


def positions(connection: Connection, name: str) -> dict[str, int]:
    """A projection's positions by source, read in the caller's transaction; empty before its first event."""
    found = connection.execute(select(checkpoint_table.c.positions).where(checkpoint_table.c.name == name)).scalar()
    return {} if found is None else json.loads(found)


@dataclass(frozen=True, slots=True)
class LastRead:
    """The last event of a source that a reader has taken in: its position, and the SHA-256 of its bytes."""

    reader: str
    source: str
    position: int
    sha256: str


class CheckpointDamaged(Exception):
    """A checkpoint's row does not hold positions, and a digest for each that is behind an event."""


_decode_positions = msgspec.json.Decoder(dict[str, int]).decode
_decode_digests = msgspec.json.Decoder(dict[str, str]).decode


def last_read(connection: Connection) -> list[LastRead]:
    """What every reader of a database has read last of each source, as far as it has read anything. Raises CheckpointDamaged."""
    return [read for row in _checkpoints(connection) for read in _last_reads(row)]


def damaged(connection: Connection) -> list[str]:
    """The readers whose checkpoints do not say what they have read."""
    found: list[str] = []
    for row in _checkpoints(connection):
        try:
            _last_reads(row)
        except CheckpointDamaged:
            found.append(row.name)
    return found


def _checkpoints(connection: Connection) -> Sequence[Row[str, str, str]]:
    return connection.execute(select(checkpoint_table.c.name, checkpoint_table.c.positions, checkpoint_table.c.digests)).all()


def _last_reads(row: Row[str, str, str]) -> list[LastRead]:
    name, positions_text, digests_text = row
    try:
        by_source, digests = _decode_positions(positions_text), _decode_digests(digests_text)
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError) as error:
        raise CheckpointDamaged(name) from error
    if not by_source or {source for source, position in by_source.items() if position} != digests.keys():
        raise CheckpointDamaged(name)
    return [LastRead(name, source, by_source[source], digest) for source, digest in digests.items()]


def forget(connection: Connection, projection: Projection) -> None:
    """Leaves nothing of what was derived: it is derived anew, from the beginning of every log."""
    connection.execute(delete(parked_table).where(parked_table.c.reader == projection.name))
    connection.execute(delete(checkpoint_table).where(checkpoint_table.c.name == projection.name))
    for table in reversed(projection.tables.sorted_tables):
        connection.execute(delete(table))


def unread(connection: Connection, projection: Projection, source: str, last: int, data: bytes) -> None:
    """Has a reader that has read beyond a log's last event, these bytes, forget what it has read there.

    What is derived is derived anew, from the beginning of every log. A reaction has acted on what it has read, and does not begin anew: it
    goes on behind the last event, without what waited in its inbox behind that.
    """
    found = positions(connection, projection.name)
    if found.get(source, 0) <= last:
        return
    parked = (parked_table.c.reader == projection.name) & (parked_table.c.source == source) & (parked_table.c.position > last)
    if not isinstance(projection, ActedUpon):
        forget(connection, projection)
        return
    connection.execute(delete(parked_table).where(parked))
    projection.forget_after(connection, source, last)
    row = connection.execute(select(checkpoint_table).where(checkpoint_table.c.name == projection.name)).one()
    digests: dict[str, str] = json.loads(row.digests) | {source: sha256(data)}
    if not last:
        del digests[source]
    unrecognized = sorted(_unrecognized(connection, projection.name) - {source})
    values = {"positions": _text(found | {source: last}), "digests": _text(digests), "unrecognized": json.dumps(unrecognized)}
    connection.execute(update(checkpoint_table).where(checkpoint_table.c.name == projection.name).values(values))


def parked_schools(connection: Connection, name: str) -> dict[str, dict[str, list[int]]]:
    """The parked positions by school and source; the school `_` stands for all of them.

    Of a source whose log does not hold what was read of it, the position that was to be read next counts as parked.
    """
    found = connection.execute(
        select(parked_table.c.school, parked_table.c.source, parked_table.c.position)
        .where(parked_table.c.reader == name)
        .order_by(parked_table.c.position)
    )
    result: dict[str, dict[str, list[int]]] = {}
    for row in found:
        result.setdefault(row.school, {}).setdefault(row.source, []).append(row.position)
    reached = positions(connection, name)
    for source in _unrecognized(connection, name):
        result.setdefault(NO_SCHOOL, {}).setdefault(source, []).append(reached[source] + 1)
    return result


def parked_counts(connection: Connection) -> dict[str, int]:
    """How many events each reader has parked; those that have none are left out."""
    counted = select(parked_table.c.reader, func.count()).group_by(parked_table.c.reader)
    return {row.reader: row[1] for row in connection.execute(counted)}


def _unrecognized(connection: Connection, name: str) -> frozenset[str]:
    """The sources whose logs do not hold what a projection has read of them."""
    found = connection.execute(select(checkpoint_table.c.unrecognized).where(checkpoint_table.c.name == name)).scalar()
    return frozenset() if found is None else frozenset(json.loads(found))


class Checkpointed:
    """Applies deliveries to a projection's tables, exactly once each, parking what fails. It is used in one thread at a time."""

    def __init__(self, database: Transactions, projection: Projection, skipped: Skipped = nothing_skipped) -> None:
        self.projection = projection
        self.wants = projection.wants
        self.positions: dict[str, int] = {}
        self.last_read: Mapping[str, LastRead] = {}
        self.halted: frozenset[str] = frozenset()
        self.unrecognized: frozenset[str] = frozenset()
        self._parked: frozenset[tuple[str, str]] = frozenset()
        self._database = database
        self._skipped = skipped
        self._skips: Mapping[tuple[str, int], Collection[str]] = {}

    @property
    def has_parked(self) -> bool:
        return bool(self._parked)

    def create(self) -> None:
        """Makes the tables where they are missing, outside of a service, and takes up the positions."""
        with self._database.writing() as connection:
            metadata.create_all(connection)
            self.projection.tables.create_all(connection)
        self.take_up()

    def take_up(self) -> None:
        """Makes the checkpoint where it is missing, and takes up the positions. What was skipped is parked no more."""
        with self._database.writing() as connection:
            found = positions(connection, self.projection.name)
            start = dict.fromkeys(self.projection.sources, 0) | found
            if not found:
                if not isinstance(self.projection, ActedUpon):  # rows whose checkpoint is lost are not folded over a second time
                    forget(connection, self.projection)
                row = {"name": self.projection.name, "positions": _text(start), "digests": "{}", "unrecognized": "[]"}
                connection.execute(insert(checkpoint_table).values(row))
            elif start != found:  # it has come to listen to one more
                self._move(connection, found, start)
        self._reload()
        for source, school in self._parked_and_skipped():
            self.retry(source, school)

    def apply(self, deliveries: Sequence[Delivered]) -> None:
        """Takes in a batch. Raises Fenced where the checkpoint is not ours any more; then nothing of it is applied.

        Deliveries at or below the checkpoint are skipped; a jump is the reader's to explain, so it is an error here.
        """
        new = dict(self.positions)
        fresh: list[Delivered] = []
        last: dict[str, Delivered] = {}
        for one in deliveries:
            if one.source in self.halted or one.position <= new[one.source]:
                continue
            if one.position != new[one.source] + 1:
                raise ValueError(f"{one.source} jumped from {new[one.source]} to {one.position}")
            new[one.source], last[one.source] = one.position, one
            fresh.append(one)
        if not fresh:
            return
        reach("projection.before-apply")
        with self._database.deriving() as connection:
            # First, so that whoever else is at work on this checkpoint waits here, and does not fail on our rows.
            read = self._read_with(last)
            self._move(connection, self.positions, new, read)
            stuck: dict[tuple[str, str], _Stuck] = {}
            self._take_in(connection, [one for one in fresh if not self._skips_over(one)], stuck)
            halted = {source: at.position for (source, school), at in stuck.items() if school == NO_SCHOOL}
            if stuck or self._parked:
                self._park(connection, [one for one in fresh if one.position <= halted.get(one.source, one.position)], stuck)
            if halted:
                # Each of these sources stands still before the event of no school that failed, until somebody mends it.
                reached, new = new, new | {source: position - 1 for source, position in halted.items()}
                read = self._read_with(_ends(new, fresh))
                self._move(connection, reached, new, read)
            reach("projection.before-checkpoint")
        reach("projection.after-checkpoint")
        self.positions, self._parked, self.halted = new, self._parked.union(stuck), self.halted.union(halted)
        self.last_read = read

    def retry(self, source: str | None = None, school: str | None = None) -> tuple[int, int]:
        """Tries parked events again, each key in order up to its first failure. Answers how many were applied and how many are left."""
        self._reload()
        table = parked_table
        chosen = table.c.reader == self.projection.name
        if source is not None:
            chosen &= table.c.source == source
        if school is not None:
            chosen &= table.c.school == school
        applied, new = 0, dict(self.positions)
        fresh: list[Delivered] = []
        with self._database.writing() as connection:
            stuck: set[tuple[str, str]] = set()
            # Locked first: whoever skips one of these has committed that, or waits and finds it gone.
            rows = connection.execute(select(table).where(chosen).order_by(table.c.source, table.c.position).with_for_update()).all()
            self._skips = self._read_skips(connection)
            for row in rows:
                if (row.source, row.school) in stuck:
                    continue
                this = (table.c.reader == row.reader) & (table.c.source == row.source) & (table.c.position == row.position)
                one = delivered(row.source, (row.position, f"evt.{row.source}.{row.school}.{row.type}", bytes(row.bytes)), self.wants)
                is_skipped = self._skips_over(one)
                if not is_skipped and (reason := self._refuses(connection, [one])):
                    stuck.add(one.key)
                    connection.execute(update(table).where(this).values(reason=reason, waiting=False))
                    continue
                connection.execute(delete(table).where(this))
                applied += not is_skipped
                if row.school == NO_SCHOOL:
                    new[row.source] = row.position  # its source stood still before it, and goes on after it
                    fresh.append(one)
            self._move(connection, self.positions, new, self._read_with(_ends(new, fresh)))
            left = connection.execute(select(func.count()).select_from(table).where(chosen)).scalar_one()
        self._reload()
        return applied, left

    def recognize(self, source: str, *, known: bool) -> None:
        """Notes whether a source's log holds what was read of it: where it does not, the source is halted."""
        ours = checkpoint_table.c.name == self.projection.name
        with self._database.writing() as connection:
            before = _unrecognized(connection, self.projection.name)
            after = before - {source} if known else before | {source}
            connection.execute(update(checkpoint_table).where(ours).values(unrecognized=json.dumps(sorted(after))))
        self._reload()

    def _reload(self) -> None:
        with self._database.reading() as connection:
            self.positions = positions(connection, self.projection.name)
            self.last_read = {read.source: read for read in last_read(connection) if read.reader == self.projection.name}
            self.unrecognized = _unrecognized(connection, self.projection.name)
            parked = parked_schools(connection, self.projection.name)
            self._skips = self._read_skips(connection)
        self._parked = frozenset((source, school) for school, sources in parked.items() for source in sources)
        self.halted = frozenset(source for source, school in self._parked if school == NO_SCHOOL)

    def _read_skips(self, connection: Connection) -> Mapping[tuple[str, int], Collection[str]]:
        skips: dict[tuple[str, int], set[str]] = {}
        for place in self._skipped(connection):
            skips.setdefault((place.source, place.position), set()).add(place.sha256)
        return skips

    def _skips_over(self, one: Delivered) -> bool:
        skipped = self._skips.get((one.source, one.position)) if self._skips else None
        return skipped is not None and sha256(one.data) in skipped

    def _parked_and_skipped(self) -> set[tuple[str, str]]:
        """The keys, by source and school, of what is parked although it is skipped."""
        if not self._skips:
            return set()
        table = parked_table
        with self._database.reading() as connection:
            rows = connection.execute(
                select(table.c.source, table.c.school, table.c.position).where(table.c.reader == self.projection.name)
            )
            return {(source, school) for source, school, position in rows if (source, position) in self._skips}

    def _read_with(self, last: Mapping[str, Delivered]) -> Mapping[str, LastRead]:
        """What is read last of each source, after fresh events of which these are the last."""
        return {**self.last_read, **{source: _read(self.projection.name, one) for source, one in last.items()}}

    def _move(
        self, connection: Connection, old: Mapping[str, int], new: Mapping[str, int], read: Mapping[str, LastRead] | None = None
    ) -> None:
        """Moves the checkpoint from where it is expected. Raises Fenced where it is elsewhere."""
        values = {"reader": self.projection.name, "old": _text(old), "new": _text(new)}
        if read is not None:
            values["read"] = _text({source: last.sha256 for source, last in read.items()})
        if connection.execute(_MOVE if read is None else _MOVE_ON, values).rowcount != 1:
            raise Fenced(self.projection.name)

    def _take_in(self, connection: Connection, ones: Sequence[Delivered], stuck: dict[tuple[str, str], _Stuck]) -> None:
        """Applies what can be applied, and notes where each key got stuck. Halving finds what fails, so that the rest stays together."""
        free = ones
        if stuck or self._parked:
            free = [one for one in ones if stuck.keys().isdisjoint({one.key, (one.source, NO_SCHOOL)}) and one.key not in self._parked]
        if not free or (reason := self._refuses(connection, free)) is None:
            return
        if len(free) == 1:
            stuck[free[0].key] = _Stuck(free[0].position, reason)
            return
        middle = len(free) // 2
        self._take_in(connection, free[:middle], stuck)
        self._take_in(connection, free[middle:], stuck)

    def _park(self, connection: Connection, ones: Sequence[Delivered], stuck: Mapping[tuple[str, str], _Stuck]) -> None:
        """Parks those that failed, and those that queue behind a failure of their key."""
        before = _Stuck(0, "")
        rows: list[dict[str, object]] = []
        for one in ones:
            at = before if one.key in self._parked else stuck.get(one.key)
            if at is None or one.position < at.position:
                continue
            waiting = one.position > at.position
            if not waiting:
                _log.warning("event.parked", reader=self.projection.name, source=one.source, position=one.position)
            rows.append(
                {
                    "reader": self.projection.name,
                    "source": one.source,
                    "position": one.position,
                    "school": one.school,
                    "type": one.type,
                    "reason": "waits for an earlier event of its school" if waiting else at.reason,
                    "waiting": waiting,
                    "bytes": one.data,
                }
            )
        if rows:
            connection.execute(insert(parked_table), rows)

    def _refuses(self, connection: Connection, ones: Sequence[Delivered]) -> str | None:
        """Applies events in a savepoint; answers why that failed, None where it did not. Raises the trouble of the database itself."""
        undecoded = next((one.trouble for one in ones if one.trouble), None)
        if undecoded is not None:
            return undecoded
        events = [one.event for one in ones if one.event is not None]
        if not events:
            return None
        try:
            with connection.begin_nested():
                self.projection.apply(connection, events)
        except Exception as error:
            if _is_trouble_of_the_database(error):
                raise
            # Whatever it was, it is why the event is parked. The type alone: a message may quote what it choked on.
            return f"{type(error).__name__} in {self.projection.name}"
        return None


@dataclass(frozen=True, slots=True)
class _Stuck:
    """Where a key's events stopped being applied in this batch, and why."""

    position: int
    reason: str


def _ends(positions: Mapping[str, int], fresh: Sequence[Delivered]) -> Mapping[str, Delivered]:
    """The events at these positions, by source."""
    return {one.source: one for one in fresh if one.position == positions[one.source]}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(reader: str, one: Delivered) -> LastRead:
    return LastRead(reader, one.source, one.position, sha256(one.data))


def _text(by_source: Mapping[str, object]) -> str:
    return json.dumps(dict(by_source), sort_keys=True, separators=(",", ":"))


def _is_trouble_of_the_database(error: Exception) -> bool:
    """Whether it is no fault of the event: a lost connection, a full disk, a deadlock. Then the batch is tried again as it is."""
    # SQLite's driver calls a wrong statement operational, too; its code tells that apart.
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR
