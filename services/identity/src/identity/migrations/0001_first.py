"""The tables as they stood when their history began. Where an earlier program has made them, they are taken as they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("received_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("school", "person"),
        if_not_exists=True,
    )
    op.create_table(
        "activity",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school", "day", "person"),
        if_not_exists=True,
    )
    op.create_index("ix_activity_day", "activity", ["day"], unique=False, if_not_exists=True)
    op.create_table(
        "attempt",
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("login"),
        if_not_exists=True,
    )
    op.create_index("ix_attempt_at", "attempt", ["at"], unique=False, if_not_exists=True)
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
        sa.Column("grade", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("class_id"),
        if_not_exists=True,
    )
    op.create_table(
        "class_history",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("pupil", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("class_id", sa.Text(), nullable=True),
        sa.Column("annulled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("school", "pupil", "position"),
        if_not_exists=True,
    )
    op.create_table(
        "class_teacher",
        sa.Column("class_id", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("class_id"),
        if_not_exists=True,
    )
    op.create_index("ix_class_teacher_person", "class_teacher", ["person"], unique=False, if_not_exists=True)
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
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("consent_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("school", "consent_id"),
        if_not_exists=True,
    )
    op.create_index("ix_consent_subject", "consent", ["subject"], unique=False, if_not_exists=True)
    op.create_table(
        "coordinator",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school", "person"),
        if_not_exists=True,
    )
    op.create_table(
        "credential",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("person"),
        sa.UniqueConstraint("login"),
        if_not_exists=True,
    )
    op.create_table(
        "esia_flow",
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("state"),
        if_not_exists=True,
    )
    op.create_table(
        "guardian_history",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("pupil", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("guardian", sa.Text(), nullable=False),
        sa.Column("legal_basis", sa.Boolean(), nullable=True),
        sa.Column("annulled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("school", "pupil", "position"),
        if_not_exists=True,
    )
    op.create_table(
        "guardianship",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("pupil", sa.Text(), nullable=False),
        sa.Column("guardian", sa.Text(), nullable=False),
        sa.Column("legal_basis", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("school", "pupil", "guardian"),
        if_not_exists=True,
    )
    op.create_index("ix_guardianship_guardian", "guardianship", ["guardian"], unique=False, if_not_exists=True)
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
        "link",
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("until_s", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("credential"),
        if_not_exists=True,
    )
    op.create_index("ix_link_until_s", "link", ["until_s"], unique=False, if_not_exists=True)
    op.create_table(
        "link_to_mail",
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("until_s", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("credential"),
        if_not_exists=True,
    )
    op.create_index("ix_link_to_mail_until_s", "link_to_mail", ["until_s"], unique=False, if_not_exists=True)
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
        "no_guardian",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("pupil", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school", "pupil"),
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
        "password",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("person"),
        if_not_exists=True,
    )
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
        "pupil",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("legal_basis", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("school", "person"),
        if_not_exists=True,
    )
    op.create_table(
        "pupil_class",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("pupil", sa.Text(), nullable=False),
        sa.Column("class_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school", "pupil"),
        if_not_exists=True,
    )
    op.create_table(
        "rated",
        sa.Column("only", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("through", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("only"),
        if_not_exists=True,
    )
    op.create_table(
        "school",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("municipality", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school"),
        if_not_exists=True,
    )
    op.create_index("ix_school_municipality", "school", ["municipality"], unique=False, if_not_exists=True)
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
        "staff",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school", "person"),
        if_not_exists=True,
    )
    op.create_table(
        "teacher_history",
        sa.Column("class_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("class_id", "position"),
        if_not_exists=True,
    )
