"""The order of reading: which grades are far from those of nearly the same work, and which answers were repaired."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027_reading_order"
down_revision = "0026_heard"
locks = "outcomes wait while an index of the ledger, of the few repairs in it, is built"

_IS_REPAIR = sa.text("purpose = 'repair'")


def upgrade() -> None:
    """Nothing is compared yet. An earlier release reads the same list without what is found here."""
    op.create_index(
        "ix_attempts_repairs",
        "attempts",
        ["batch_id", "job_id", "round"],
        sqlite_where=_IS_REPAIR,
        postgresql_where=_IS_REPAIR,
    )
    op.create_table(
        "work_comparisons",
        sa.Column("batch_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("method", sa.Integer(), nullable=False),
        sa.Column("ended", sa.Integer(), nullable=False),
        sa.Column("newest_at", sa.Double(), nullable=True),
        sa.Column("compared_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_work_comparisons_batch_id")),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_work_comparisons")),
        comment="when a batch's works were compared with each other, and of which outcomes: how many, and the newest",
    )
    op.create_table(
        "outliers",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("expected", sa.Double(), nullable=False),
        sa.Column("neighbours", sa.Integer(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_outliers_job_id")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_outliers")),
        comment="grades that differ from those of nearly the same work; made again by the next comparison",
    )
    op.create_index("ix_outliers_batch", "outliers", ["batch_id"])
