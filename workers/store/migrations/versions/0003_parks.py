"""Parked accounts are probed: which job tries, and when the last one did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_parks"
down_revision = "0002_lost_claims"


def upgrade() -> None:
    """Add what a probe needs; rows of an older release have neither."""
    op.add_column("parks", sa.Column("probed_at", sa.Double(), nullable=True))
    op.add_column("parks", sa.Column("probe_job_id", sa.String(length=32), nullable=True))
