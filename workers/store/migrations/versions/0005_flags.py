"""Flags: what of an outcome a person should look at, written with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_flags"
down_revision = "0004_store_id"


def upgrade() -> None:
    """An empty table: outcomes of earlier releases have no flags."""
    op.create_table(
        "flags",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_flags_job_id")),
        sa.PrimaryKeyConstraint("job_id", "round", "number", name=op.f("pk_flags")),
        comment="what of an outcome a person should look at; written with it, numbered from 0",
    )
    op.create_index("ix_flags_batch", "flags", ["batch_id", "kind"])
