"""Notifications: who is told of a batch, and the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019_notifications"
down_revision = "0018_worker_caps"


def upgrade() -> None:
    """Workers of an earlier release write and send nothing; batches that exist tell nobody."""
    op.create_table(
        "notify_targets",
        sa.Column("batch_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("target", sa.String(length=1000), nullable=False),
        sa.Column("told_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_notify_targets_batch_id")),
        sa.PrimaryKeyConstraint("batch_id", "target", name=op.f("pk_notify_targets")),
        comment="who is told of a batch; told_at: when its last outcome was made, of which its end was told",
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("happening", sa.String(length=32), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("target", sa.String(length=1000), nullable=False),
        sa.Column("happened_at", sa.Double(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=True),
        sa.Column("sent_at", sa.Double(), nullable=True),
        sa.Column("given_up_at", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        comment="the outbox: what is to be told, written with what happened; next_at is null once sent or given up",
    )
    op.create_index(op.f("ix_notifications_next"), "notifications", ["next_at"])
