"""Standings and points: what lists and charts read instead of every result and decision."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012_standings"
down_revision = "0011_provenance"


def upgrade() -> None:
    """Points of stored results are filled in later (`backfills`); standings when a batch's page is first read."""
    op.add_column("outcomes", sa.Column("points", sa.Double(), nullable=True))
    op.create_table(
        "standings",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("last_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("decided_by", sa.String(length=255), nullable=True),
        sa.Column("round", sa.Integer(), nullable=True),
        sa.Column("points", sa.Double(), nullable=True),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("changed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_standings_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_standings")),
        comment="what follows from an item's decisions, written with them; can be made again from them",
    )
    op.create_index("ix_standings_batch", "standings", ["batch_id", "state"])
