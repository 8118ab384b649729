"""Pseudonyms of a job's prompt, and the answer that is kept while a counterfactual is asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014_pseudonyms"
down_revision = "0013_tallies"


def upgrade() -> None:
    """Jobs of earlier releases have neither."""
    op.add_column("jobs", sa.Column("pseudonyms", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("jobs", sa.Column("kept_answer", sa.JSON(none_as_null=True), nullable=True))
