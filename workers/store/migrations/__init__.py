"""Schema migrations, run by Alembic from inside the package; `Store.migrate` is the only caller."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import text

from workers.contract.errors import ServiceUnavailable

if TYPE_CHECKING:
    from workers.store.engine import Store

_ADVISORY_LOCK = 0x67726164  # "grad": one migration at a time on PostgreSQL; SQLite's BEGIN IMMEDIATE does it there


def upgrade(store: Store) -> None:
    """Upgrade to the newest revision in one transaction. Raises `ServiceUnavailable` for a store from the future."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    with store.transaction() as connection:
        if not store.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError:
            raise ServiceUnavailable(
                "store", "the store was made by a newer version of gradequeue; upgrade this installation"
            ) from None
