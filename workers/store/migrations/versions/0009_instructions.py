"""A prompt in parts: the instructor's part is kept once, and each job names it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_instructions"
down_revision = "0008_gates"


def upgrade() -> None:
    """Jobs of an earlier release have one text, their prompt."""
    op.add_column("jobs", sa.Column("instructions_hash", sa.String(length=64), nullable=True))
