"""Texts of jobs and outcomes are compressed with lz4 from here on: PostgreSQL's own method takes several times the CPU.

What is stored stays as it is, and both are read. A server built without lz4 goes on as before.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025_lz4"
down_revision = "0024_linear_rounds"

_COLUMNS = {"jobs": ("prompt",), "outcomes": ("result", "raw_output")}


def upgrade() -> None:
    """A setting of the columns, which SQLite does not have."""
    if op.get_bind().dialect.name == "sqlite" or not _knows_lz4():
        return
    for table, columns in _COLUMNS.items():
        op.execute(f"ALTER TABLE {table} " + ", ".join(f"ALTER COLUMN {each} SET COMPRESSION lz4" for each in columns))


def _knows_lz4() -> bool:
    """PostgreSQL 14 and later name their methods as the values of this setting."""
    found = sa.text("SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'")
    return bool(op.get_bind().execute(found).scalar())
