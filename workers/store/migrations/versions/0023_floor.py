"""The oldest revision whose release may still start on this store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023_floor"
down_revision = "0022_worker_accounts"


def upgrade() -> None:
    """Releases before this one do not read it, and refuse a newer store as they always did."""
    op.add_column("store_identity", sa.Column("works_from", sa.String(length=32), nullable=True))
