"""Which provider a worker asks, and the spend cap of a day that it keeps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018_worker_caps"
down_revision = "0017_model_limits"


def upgrade() -> None:
    """Workers of an earlier release say neither, and are not counted among those whose caps differ."""
    op.add_column("workers", sa.Column("provider", sa.String(length=255), nullable=True))
    op.add_column("workers", sa.Column("max_usd_per_day", sa.Double(), nullable=True))
