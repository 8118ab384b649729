"""What existing rows must fill after a migration, and how far that is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020_backfills"
down_revision = "0019_notifications"


def upgrade() -> None:
    """Points of results that are there already are filled in by chunks, beside workers."""
    table = op.create_table(
        "backfills",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("done_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_backfills")),
        comment="what existing rows must fill after a migration: the place reached, and when all were filled",
    )
    op.bulk_insert(table, [{"name": "points", "place": "", "done_at": None}])
