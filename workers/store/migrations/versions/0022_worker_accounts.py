"""Accounts that a worker serves beside its first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022_worker_accounts"
down_revision = "0021_lanes"


def upgrade() -> None:
    """Workers of an earlier release serve one account, and have no rows here."""
    op.create_table(
        "worker_accounts",
        sa.Column("worker_id", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("queue", sa.String(length=400), nullable=False),
        sa.Column("max_usd_per_day", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("worker_id", "account", name=op.f("pk_worker_accounts")),
        comment="accounts that a worker serves beside the one in `workers`, each through a broker queue of its own",
    )
