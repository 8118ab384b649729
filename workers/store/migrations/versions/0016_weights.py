"""Weights: how batches share their queue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016_weights"
down_revision = "0015_pauses"


def upgrade() -> None:
    """Batches without a row have the weight 1; feeders of an earlier release share by turns."""
    op.create_table(
        "batch_weights",
        sa.Column("batch_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_batch_weights_batch_id")),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_batch_weights")),
        comment="share of a batch in its queue, against 1 of a batch without a row",
    )
