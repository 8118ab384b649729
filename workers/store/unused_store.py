"""Whether a store was never used, asked of SQLite itself: to load SQLAlchemy takes longer than all the rest."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

_SQLITE = "sqlite:///"
_IS_USED = "SELECT EXISTS(SELECT 1 FROM batches) OR EXISTS(SELECT 1 FROM workers) OR EXISTS(SELECT 1 FROM parks)"
BUSY_SECONDS = 1.0


def is_untouched(url: str) -> bool:
    """True when this store's file holds no batch, worker or park; False whenever that cannot be found out this way."""
    file = Path(url.removeprefix(_SQLITE))
    if not url.startswith(_SQLITE) or not file.is_absolute() or {"%", "?"} & set(url):
        return False  # another database, or a URL that has to be parsed
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=BUSY_SECONDS)) as connection:
            return bool(connection.execute(_IS_USED).fetchone() == (0,))
    except sqlite3.Error:
        return False
