"""How many workers died while they held a job: what killed two of them runs alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_lost_claims"
down_revision = "0001"
locks = "claims and outcomes wait while an index of jobs is built"

_SUSPECT = (sa.column("state") == "ready") & (sa.column("lost_claims") > 1)


def upgrade() -> None:
    """Expand only: older workers go on beside newer ones."""
    op.add_column("jobs", sa.Column("lost_claims", sa.Integer(), server_default="0", nullable=False))
    op.create_index(
        "ix_jobs_suspect", "jobs", ["batch_id", "position"], sqlite_where=_SUSPECT, postgresql_where=_SUSPECT
    )
