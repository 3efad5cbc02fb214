"""The tables as they stood when their history began. Where an earlier program has made them, they are taken as they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "person_key",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("person"),
        schema="keys",
        if_not_exists=True,
    )
