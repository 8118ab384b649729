"""Alembic's entry: runs on the connection that `upgrade` opened, in its transaction."""

from __future__ import annotations

from alembic import context

import workers.store.lane_tables
import workers.store.tallies  # noqa: F401 - its tables are part of the metadata
from workers.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
