"""The board's rows: one document a subject and source, in which the facts of the five logs are collected.

Taking an event in means adding a line to a document, so a batch is one statement and reads nothing. A document's lines stand in the order
of its source's log whatever the other logs did meanwhile, so a rebuild and any interleaving end in the same rows.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Connection, MetaData, Row, Select, Table, Text, select, text
from sqlalchemy.dialects.postgresql import TEXT as PostgresText

from contracts import SERVICES
from eventkit.access import Rows
from eventkit.decider import Refused
from eventkit.event import Recorded
from eventkit.rows import ManyRows, placeholders
from plan_tracker.domain.facts import Fact, Key, fold, in_order, is_needed

metadata = MetaData()

# Keys are compared byte by byte on every engine: no language's order of letters has a say in a digest.
_KeyText = Text().with_variant(PostgresText(collation="C"), "postgresql")

fact_table = Table(
    "fact",
    metadata,
    Column("school", _KeyText, primary_key=True),
    Column("source", _KeyText, primary_key=True),
    Column("kind", _KeyText, primary_key=True),
    Column("subject", _KeyText, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("doc", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""`doc` is one JSON fact a line, in the order of positions; `position` is the last of them."""

reach_table = Table(
    "reach",
    metadata,
    Column("school", _KeyText, primary_key=True),
    Column("source", _KeyText, primary_key=True),
    Column("position", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""The position of each school's last fact in each source: whoever keeps boards sees at once which of them have moved."""

_encode = msgspec.json.Encoder().encode
_NO_ROW = (0, "")
_decode_lines = msgspec.json.Decoder(tuple[Any, ...]).decode_lines

# One JSON parameter: for PostgreSQL's driver it is a fraction of the work that six arrays are.
_ADD_POSTGRES = text(
    """
    INSERT INTO fact (school, source, kind, subject, position, doc)
    SELECT e->>0, e->>1, e->>2, e->>3, CAST(e->>4 AS bigint), e->>5 FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS e
    ON CONFLICT (school, source, kind, subject) DO UPDATE SET doc = fact.doc || excluded.doc, position = excluded.position
    """
)
_ADD_SQLITE = ManyRows(
    "INSERT INTO fact (school, source, kind, subject, position, doc) VALUES ",
    placeholders(6),
    " ON CONFLICT (school, source, kind, subject) DO UPDATE SET doc = fact.doc || excluded.doc, position = excluded.position",
)
_REACH_POSTGRES = text(
    """
    INSERT INTO reach (school, source, position)
    SELECT e->>0, e->>1, CAST(e->>2 AS bigint) FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS e
    ON CONFLICT (school, source) DO UPDATE SET position = excluded.position
    """
)
_REACH_SQLITE = ManyRows(
    "INSERT INTO reach (school, source, position) VALUES ",
    placeholders(3),
    " ON CONFLICT (school, source) DO UPDATE SET position = excluded.position",
)


class BoardProjection:
    """Collects the facts of all five logs."""

    name = "board"
    sources = SERVICES
    tables = metadata
    wants = staticmethod(is_needed)

    def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Adds a batch. Raises for an event that cannot be folded, and then has written nothing."""
        rows: dict[tuple[str, Key], tuple[int, str]] = {}
        reached: dict[tuple[str, str], int] = {}
        for event in events:
            folded = fold(event)
            if folded is None:
                continue
            key, fact = folded
            _, lines = rows.get((event.school, key), _NO_ROW)
            rows[event.school, key] = event.position, lines + _encode(fact).decode() + "\n"
            reached[event.school, key.source] = event.position
        if not rows:
            return
        facts = [(school, *key, *added) for (school, key), added in rows.items()]
        reach = [(*row, position) for row, position in reached.items()]
        if connection.dialect.name == "postgresql":
            connection.execute(_ADD_POSTGRES, {"rows": _encode(facts).decode()})
            connection.execute(_REACH_POSTGRES, {"rows": _encode(reach).decode()})
        else:
            _ADD_SQLITE.run(connection, facts)
            _REACH_SQLITE.run(connection, reach)


def digest(connection: Connection) -> str:
    """sha256 over all documents in the order of their keys, in hex: equal for a live projection and its rebuild."""
    result = sha256()
    table = fact_table
    rows = select(table).order_by(table.c.school, table.c.source, table.c.kind, table.c.subject)
    for row in connection.execution_options(yield_per=2000).execute(rows):
        result.update(_encode(tuple(row)) + b"\n")
    return result.hexdigest()


def documents(connection: Connection, school: str, source: str, after: int) -> dict[Key, Sequence[Fact]]:
    """A school's documents from one source that have facts after a position, whole and in order."""
    table = fact_table
    found = connection.execute(
        select(table.c.kind, table.c.subject, table.c.doc).where(
            table.c.school == school, table.c.source == source, table.c.position > after
        )
    )
    return {Key(source, kind, subject): in_order(_decode_lines(doc)) for kind, subject, doc in found}


def opening(school: str) -> Select[tuple[str]]:
    """The document that says where a school is; for `time_zone`."""
    table = fact_table
    return select(table.c.doc).where(table.c.school == school, table.c.source == "roster", table.c.kind == "school")


def time_zone(school: str, rows: Sequence[Row[tuple[str]]]) -> str:
    """The time zone of a school, from the rows of `opening`. Raises Refused `school.unknown`."""
    return _opened(school, rows)[4]


def municipality(rows: Rows, school: str) -> str:
    """In which municipality a school lies. Raises Refused `school.unknown`."""
    return _opened(school, rows(opening(school)))[3]


def _opened(school: str, rows: Sequence[Row[tuple[str]]]) -> Fact:
    if not rows:
        raise Refused("school.unknown", f"There is no school {school}.", "roster.open-school opens one.")
    return _decode_lines(rows[0].doc)[0]


def of_source(school: str, source: str, kind: str) -> Select[Any, Any]:
    """A school's documents of one kind from one source, e.g. `staff` from `roster`; for `facts_by_subject`."""
    table = fact_table
    return select(table.c.subject, table.c.doc).where(table.c.school == school, table.c.source == source, table.c.kind == kind)


def facts_by_subject(rows: Sequence[Row[Any]]) -> dict[str, Sequence[Fact]]:
    """The facts of each subject, from the rows of `of_source`."""
    return {row.subject: in_order(_decode_lines(row.doc)) for row in rows}
