"""Limits by model that a person sets while workers run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017_model_limits"
down_revision = "0016_weights"


def upgrade() -> None:
    """Workers of an earlier release do not know these limits, and keep the provider's."""
    op.create_table(
        "model_limits",
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("model", sa.String(length=255), nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("tokens_per_minute", sa.Integer(), nullable=True),
        sa.Column("calls_in_flight", sa.Integer(), nullable=True),
        sa.Column("set_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("account", "model", name=op.f("pk_model_limits")),
        comment="what a person allows a model, over all workers; "
        "the account '' is every account without a row of its own",
    )
