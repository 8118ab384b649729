"""People decide about grades: the record of their decisions, the rule for a release, and the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_decisions"
down_revision = "0005_flags"


def upgrade() -> None:
    """Add both tables and the rule; a batch of an older release has none, and the default holds."""
    op.add_column("batches", sa.Column("release_rule", sa.String(length=16), nullable=True))
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("decided_by", sa.String(length=255), nullable=False),
        sa.Column("decided_at", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("source", sa.String(length=255), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_decisions_batch_id")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_decisions_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
        comment="what people decided about grades: appended, never changed; a purge removes result and reason",
    )
    op.create_index("ix_decisions_job", "decisions", ["job_id", "id"])
    op.create_index("ix_decisions_batch", "decisions", ["batch_id", "id"])
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("by", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("batch", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
        comment="what people did with a batch beside deciding: downloads, rules",
    )
