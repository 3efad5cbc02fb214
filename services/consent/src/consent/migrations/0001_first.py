"""The tables as they stood when their history began. Where an earlier program has made them, they are taken as they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "checkpoint",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("positions", sa.Text(), nullable=False),
        sa.Column("digests", sa.Text(), nullable=False),
        sa.Column("unrecognized", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        if_not_exists=True,
    )
    op.create_table(
        "class",
        sa.Column("class_id", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("class_id"),
        if_not_exists=True,
    )
    op.create_table(
        "class_history",
        sa.Column("pupil", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("class_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("pupil", "position"),
        if_not_exists=True,
    )
    op.create_table(
        "command",
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("last_position", sa.BigInteger(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("command_id"),
        sqlite_with_rowid=False,
        if_not_exists=True,
    )
    op.create_table(
        "consent",
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("granted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("consent_id"),
        if_not_exists=True,
    )
    op.create_index("ix_consent_subject", "consent", ["subject"], unique=False, if_not_exists=True)
    op.create_table(
        "coordinator",
        sa.Column("person", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("person"),
        if_not_exists=True,
    )
    op.create_table(
        "coordinator_history",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=False),
        sa.Column("annulled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        if_not_exists=True,
    )
    op.create_index("coordinator_history_of_one", "coordinator_history", ["person"], unique=False, if_not_exists=True)
    op.create_table(
        "dismissed",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school", "person"),
        if_not_exists=True,
    )
    op.create_table(
        "end",
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("consent_id"),
        if_not_exists=True,
    )
    op.create_index("ix_end_valid_until", "end", ["valid_until"], unique=False, if_not_exists=True)
    op.create_table(
        "erasure",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("erasure", sa.Text(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("person"),
        if_not_exists=True,
    )
    op.create_index("ix_erasure_due_on", "erasure", ["due_on"], unique=False, if_not_exists=True)
    op.create_table(
        "guardian_history",
        sa.Column("pupil", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("guardian", sa.Text(), nullable=False),
        sa.Column("legal_representative", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("pupil", "position"),
        if_not_exists=True,
    )
    op.create_index("ix_guardian_history_guardian", "guardian_history", ["guardian"], unique=False, if_not_exists=True)
    op.create_table(
        "guardianship",
        sa.Column("guardian", sa.Text(), nullable=False),
        sa.Column("pupil", sa.Text(), nullable=False),
        sa.Column("legal_representative", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("guardian", "pupil"),
        if_not_exists=True,
    )
    op.create_table(
        "head",
        sa.Column("only", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("log_id", sa.Text(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("only"),
        if_not_exists=True,
    )
    op.create_table(
        "headcount",
        sa.Column("class_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("pupils", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("class_id", "position"),
        if_not_exists=True,
    )
    op.create_table(
        "inbox",
        sa.Column("reaction", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("reaction", "source", "position"),
        if_not_exists=True,
    )
    op.create_table(
        "log",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("happened_on", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("stream", "version"),
        if_not_exists=True,
    )
    op.create_table(
        "number",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school", "digest"),
        if_not_exists=True,
    )
    op.create_table(
        "parked",
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("waiting", sa.Boolean(), nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("reader", "source", "position"),
        if_not_exists=True,
    )
    op.create_table(
        "person",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school", "person", "kind"),
        if_not_exists=True,
    )
    op.create_table(
        "presence",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("legal_basis", sa.Boolean(), nullable=False),
        sa.Column("director", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("person"),
        if_not_exists=True,
    )
    op.create_table(
        "presence_history",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("legal_basis", sa.Boolean(), nullable=False),
        sa.Column("director", sa.Boolean(), nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=False),
        sa.Column("annulled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        if_not_exists=True,
    )
    op.create_index("presence_history_of_one", "presence_history", ["person"], unique=False, if_not_exists=True)
    op.create_table(
        "projection_version",
        sa.Column("projection", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("compared", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("projection", "version"),
        if_not_exists=True,
    )
    op.create_table(
        "pupil_class",
        sa.Column("pupil", sa.Text(), nullable=False),
        sa.Column("class_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pupil"),
        if_not_exists=True,
    )
    op.create_table(
        "school",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school"),
        if_not_exists=True,
    )
    op.create_table(
        "seal",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        if_not_exists=True,
    )
    op.create_table(
        "seat",
        sa.Column("class_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("class_id", "number", "holder"),
        if_not_exists=True,
    )
    op.create_index("ix_seat_subject", "seat", ["subject"], unique=False, if_not_exists=True)
    op.create_table(
        "standing",
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("consent_id"),
        if_not_exists=True,
    )
    op.create_index("ix_standing_subject", "standing", ["subject"], unique=False, if_not_exists=True)
    op.create_table(
        "teacher",
        sa.Column("class_id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("class_id"),
        if_not_exists=True,
    )
    op.create_table(
        "tie",
        sa.Column("guardian", sa.Text(), nullable=False),
        sa.Column("pupil", sa.Text(), nullable=False),
        sa.Column("legal_basis", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("guardian", "pupil"),
        if_not_exists=True,
    )
    op.create_index("ix_tie_pupil", "tie", ["pupil"], unique=False, if_not_exists=True)
    op.create_table(
        "tie_history",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("guardian", sa.Text(), nullable=False),
        sa.Column("pupil", sa.Text(), nullable=False),
        sa.Column("legal_basis", sa.Boolean(), nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=False),
        sa.Column("annulled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        if_not_exists=True,
    )
    op.create_index("tie_history_of_one", "tie_history", ["guardian", "pupil"], unique=False, if_not_exists=True)
