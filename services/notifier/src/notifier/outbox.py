"""The outbox: every message that was queued, and how far it has come. Ids alone; text and address are made when it is sent.

A row appears in the transaction of its MessageQueued. Only `queued` rows are ever sent. A row is called `ambiguous` before the text goes
out and stays so unless the mail server says what it did: whatever dies in between, no message goes out twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import Column, Connection, Date, Index, Integer, MetaData, Row, Table, Text, Update, select, update

State = Literal["queued", "accepted", "bounced", "ambiguous", "unaddressed"]
"""`unaddressed`: roster knows no address, or nobody, under the recipient's id."""

metadata = MetaData()

outbox_table = Table(
    "outbox",
    metadata,
    Column("number", Integer, primary_key=True),  # the order of queueing
    Column("message", Text, nullable=False, unique=True),
    Column("school", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("template", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("due", Date),  # the date that a notice is about
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
)
Index("outbox_school", outbox_table.c.school, outbox_table.c.number)
Index("outbox_state", outbox_table.c.state, outbox_table.c.attempts, outbox_table.c.number)


def waiting(connection: Connection, limit: int) -> Sequence[Row[Any]]:
    """What is to be sent: the least tried first, so that what keeps failing holds nobody back."""
    table = outbox_table
    return connection.execute(select(table).where(table.c.state == "queued").order_by(table.c.attempts, table.c.number).limit(limit)).all()


def set_state(tried: Row[Any], state: State) -> Update:
    """Says what became of a message as it was found waiting, after one more attempt."""
    return update(outbox_table).where(outbox_table.c.message == tried.message).values(state=state, attempts=tried.attempts + 1)
