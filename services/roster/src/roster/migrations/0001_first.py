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
        sa.Column("grade", sa.Integer(), nullable=False),
        sa.Column("letter", sa.Text(), nullable=False),
        sa.Column("academic_year", sa.Text(), nullable=False),
        sa.Column("shift", sa.Integer(), nullable=True),
        sa.Column("headcount", sa.Integer(), nullable=True),
        sa.Column("teacher", sa.Text(), nullable=True),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("class_id"),
        if_not_exists=True,
    )
    op.create_index(
        "class_by_name",
        "class",
        ["school", "academic_year", "grade", "letter"],
        unique=True,
        sqlite_where=sa.text("closed = 0"),
        postgresql_where=sa.text("closed = false"),
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
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("class_id", sa.Text(), nullable=True),
        sa.Column("seat_number", sa.Integer(), nullable=True),
        sa.Column("seat_holder", sa.Text(), nullable=True),
        sa.Column("import_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("consent_id"),
        if_not_exists=True,
    )
    op.create_index("consent_seat", "consent", ["class_id", "seat_number"], unique=False, if_not_exists=True)
    op.create_index("ix_consent_import_id", "consent", ["import_id"], unique=False, if_not_exists=True)
    op.create_index("ix_consent_subject", "consent", ["subject"], unique=False, if_not_exists=True)
    op.create_table(
        "consent_number",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        if_not_exists=True,
    )
    op.create_table(
        "export_id",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("stands_for", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school", "digest"),
        if_not_exists=True,
    )
    op.create_table(
        "export_part",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("export", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school", "export", "part"),
        if_not_exists=True,
    )
    op.create_index("ix_export_part_expires_at", "export_part", ["expires_at"], unique=False, if_not_exists=True)
    op.create_table(
        "external_id",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        if_not_exists=True,
    )
    op.create_index("ix_external_id_person", "external_id", ["person"], unique=False, if_not_exists=True)
    op.create_table(
        "guardianship",
        sa.Column("pupil", sa.Text(), nullable=False),
        sa.Column("guardian", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("relation", sa.Text(), nullable=False),
        sa.Column("legal_representative", sa.Boolean(), nullable=False),
        sa.Column("linked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("pupil", "guardian"),
        if_not_exists=True,
    )
    op.create_index("ix_guardianship_guardian", "guardianship", ["guardian"], unique=False, if_not_exists=True)
    op.create_index("ix_guardianship_school", "guardianship", ["school"], unique=False, if_not_exists=True)
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
        "import_job",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("plan", sa.LargeBinary(), nullable=True),
        sa.Column("total_rows", sa.Integer(), nullable=False),
        sa.Column("done_rows", sa.Integer(), nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=True),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("job"),
        if_not_exists=True,
    )
    op.create_index("ix_import_job_expires_at", "import_job", ["expires_at"], unique=False, if_not_exists=True)
    op.create_index("ix_import_job_request_digest", "import_job", ["request_digest"], unique=False, if_not_exists=True)
    op.create_index("ix_import_job_state", "import_job", ["state"], unique=False, if_not_exists=True)
    op.create_table(
        "import_review",
        sa.Column("review", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("row", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("settled_as", sa.Text(), nullable=True),
        sa.Column("person", sa.Text(), nullable=True),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.Column("day", sa.Date(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.LargeBinary(), nullable=True),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("review"),
        if_not_exists=True,
    )
    op.create_index("import_review_about", "import_review", ["school", "about"], unique=False, if_not_exists=True)
    op.create_index("ix_import_review_expires_at", "import_review", ["expires_at"], unique=False, if_not_exists=True)
    op.create_index("ix_import_review_job", "import_review", ["job"], unique=False, if_not_exists=True)
    op.create_index("ix_import_review_state", "import_review", ["state"], unique=False, if_not_exists=True)
    op.create_table(
        "import_rollback",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("decisions", sa.Text(), nullable=True),
        sa.Column("relied_on", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_text", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job"),
        if_not_exists=True,
    )
    op.create_index("ix_import_rollback_expires_at", "import_rollback", ["expires_at"], unique=False, if_not_exists=True)
    op.create_index("ix_import_rollback_state", "import_rollback", ["state"], unique=False, if_not_exists=True)
    op.create_table(
        "import_trace",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("entered", sa.Boolean(), nullable=False),
        sa.Column("before", sa.LargeBinary(), nullable=True),
        sa.Column("numbers", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job", "subject"),
        if_not_exists=True,
    )
    op.create_index("import_trace_kind", "import_trace", ["job", "kind", "subject"], unique=False, if_not_exists=True)
    op.create_index("ix_import_trace_expires_at", "import_trace", ["expires_at"], unique=False, if_not_exists=True)
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
        "issue",
        sa.Column("issue", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("class_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("blocking", sa.Boolean(), nullable=False),
        sa.Column("opened_on", sa.Text(), nullable=False),
        sa.Column("resolved_on", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("issue"),
        if_not_exists=True,
    )
    op.create_index("ix_issue_school", "issue", ["school"], unique=False, if_not_exists=True)
    op.create_table(
        "journal",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=True),
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        if_not_exists=True,
    )
    op.create_index("ix_journal_person", "journal", ["person"], unique=False, if_not_exists=True)
    op.create_table(
        "likeness",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "person"),
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
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("listed_in", sa.Text(), nullable=True),
        sa.Column("seat_number", sa.Integer(), nullable=True),
        sa.Column("class_id", sa.Text(), nullable=True),
        sa.Column("since", sa.Text(), nullable=True),
        sa.Column("position", sa.Text(), nullable=True),
        sa.Column("erased", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("person"),
        if_not_exists=True,
    )
    op.create_index("person_of_school", "person", ["school", "kind"], unique=False, if_not_exists=True)
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
        "reference_list",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("list", sa.Text(), nullable=False),
        sa.Column("entries", sa.Text(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("school", "list"),
        if_not_exists=True,
    )
    op.create_table(
        "school",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("municipality", sa.Text(), nullable=False),
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
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("class_id", "number"),
        if_not_exists=True,
    )
    op.create_table(
        "timetable",
        sa.Column("class_id", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("lessons", sa.Text(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("class_id", "valid_from"),
        if_not_exists=True,
    )
    op.create_table(
        "upload",
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("upload", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("file_name", sa.LargeBinary(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("school", "upload", "part"),
        if_not_exists=True,
    )
    op.create_index("ix_upload_expires_at", "upload", ["expires_at"], unique=False, if_not_exists=True)
    op.create_table(
        "vault",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("school", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("person"),
        if_not_exists=True,
    )
