"""Pauses: batches, models, accounts and queues of which nothing starts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015_pauses"
down_revision = "0014_pseudonyms"


def upgrade() -> None:
    """Workers of an earlier release do not know pauses, and go on."""
    op.create_table(
        "pauses",
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("paused_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "name", name=op.f("pk_pauses")),
        comment="what a person paused: a batch, model, account or queue by its name; nothing of it starts",
    )
