"""What an invoice holds: tokens written into the provider's cache, the tier that served, the long-prompt surcharge."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010_invoice"
down_revision = "0009_instructions"


def upgrade() -> None:
    """Expand only: workers of an older release write none of the three."""
    op.add_column("attempts", sa.Column("cache_write_tokens", sa.Integer(), server_default="0", nullable=False))
    op.add_column("attempts", sa.Column("service_tier", sa.String(length=32), nullable=True))
    op.add_column("attempts", sa.Column("surcharge_usd", sa.Double(), nullable=True))
