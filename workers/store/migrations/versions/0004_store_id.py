"""A store has an id, by which its queues on a shared broker are told from those of others."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004_store_id"
down_revision = "0003_parks"


def upgrade() -> None:
    """Draw the id. Migrations run one at a time, so all who open the store first find the same one."""
    table = op.create_table(
        "store_identity",
        sa.Column("row", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("row", name=op.f("pk_store_identity")),
        comment="one row: what tells this store from others that use the same broker",
    )
    op.bulk_insert(table, [{"row": 1, "id": secrets.token_hex(6)}])
