"""Twins: identical work of a batch is graded once; followers take their leader's outcome."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_twins"
down_revision = "0006_decisions"
locks = "claims and outcomes wait while three indexes of jobs are built"

_LEADERS = sa.text("leader_id IS NULL AND twin_key IS NOT NULL")
_FOLLOWERS = sa.text("leader_id IS NOT NULL")
_FOLLOWING = sa.text("state = 'following'")


def upgrade() -> None:
    """Jobs of earlier releases have no key: each stays graded by itself."""
    op.add_column("jobs", sa.Column("twin_key", sa.String(length=32), nullable=True))
    op.add_column("jobs", sa.Column("leader_id", sa.String(length=32), nullable=True))
    op.add_column("outcomes", sa.Column("same_as", sa.String(length=32), nullable=True))
    for name, columns, condition in (
        ("ix_jobs_leaders", ["batch_id", "twin_key"], _LEADERS),
        ("ix_jobs_followers", ["batch_id"], _FOLLOWERS),
        ("ix_jobs_following", ["leader_id"], _FOLLOWING),
    ):
        op.create_index(name, "jobs", columns, sqlite_where=condition, postgresql_where=condition)
