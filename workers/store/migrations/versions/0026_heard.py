"""When the provider had taken the first request of a batch, before it answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026_heard"
down_revision = "0025_lz4"


def upgrade() -> None:
    """An earlier release neither writes nor reads it, and waits for the first answer."""
    op.add_column("batch_gates", sa.Column("heard_at", sa.Double(), nullable=True))
