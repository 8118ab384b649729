"""Provenance: how each outcome came about."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011_provenance"
down_revision = "0010_invoice"


def upgrade() -> None:
    """Outcomes of earlier releases have none."""
    op.add_column("outcomes", sa.Column("provenance", sa.JSON(), nullable=True))
