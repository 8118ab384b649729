"""What may start of a batch, and what may be spent for it and in a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_gates"
down_revision = "0007_twins"


def upgrade() -> None:
    """Expand only: batches of an older release have no gate, and their requests hold nothing."""
    op.add_column("attempts", sa.Column("held_usd", sa.Double(), nullable=True))
    op.create_table(
        "batch_gates",
        sa.Column("batch_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("proven_at", sa.Double(), nullable=True),
        sa.Column("pilot_since", sa.Double(), nullable=True),
        sa.Column("max_usd", sa.Double(), nullable=True),
        sa.Column("held_usd", sa.Double(), nullable=False),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.Column("closed_by", sa.String(length=32), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_batch_gates_batch_id")),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_batch_gates")),
        comment="what may start of a batch; an older release's batch has no row: proven, without pilot, cap or closing",
    )
    op.create_table(
        "pilot_jobs",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_pilot_jobs_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_pilot_jobs")),
        comment="the jobs that may start while their batch is a pilot",
    )
    op.create_index("ix_pilot_jobs_batch", "pilot_jobs", ["batch_id"], unique=False)
    op.create_table(
        "day_gates",
        sa.Column("provider", sa.String(length=255), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("ends_at", sa.Double(), nullable=False),
        sa.Column("max_usd", sa.Double(), nullable=False),
        sa.Column("held_usd", sa.Double(), nullable=False),
        sa.Column("closed_at", sa.Double(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("provider", "day", name=op.f("pk_day_gates")),
        comment="spending of one provider on one day, UTC, by the day on which a request was opened",
    )
