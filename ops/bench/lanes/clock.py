"""A clock of the database that a test moves: SQLite alone, whose functions a connection may replace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event

if TYPE_CHECKING:
    from workers.store import Store

_JULIAN_EPOCH = 2440587.5
DAY_SECONDS = 86_400.0


class StoreClock:
    """Seconds since the epoch as `now_seconds()` reads them from here on."""

    def __init__(self, store: Store, *, now: float) -> None:
        self.now = now
        event.listen(store.engine, "connect", self._on_connect)
        store.engine.dispose()  # connections of before

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now

    def move(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.now += seconds

    def _on_connect(self, connection: Any, _record: object) -> None:
        connection.create_function("julianday", 1, lambda _now: self.now / DAY_SECONDS + _JULIAN_EPOCH)
