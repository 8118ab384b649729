"""A container's health follows the worker's own heartbeat setting."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from ops.deploy.healthcheck import worker_is_healthy
from workers.contract.wire import broker_queue
from workers.store import Store
from workers.store.liveness import register_worker
from workers.store.tables import now_seconds, workers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("heartbeat", "silent_seconds", "is_well"),
    [(None, 40.0, True), (None, 60.0, False), ("120", 300.0, True), ("120", 600.0, False), ("1", 40.0, False)],
)
def test_a_worker_is_well_for_as_many_beats_as_it_may_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, heartbeat: str | None, silent_seconds: float, is_well: bool
):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("GRADEQUEUE_OFFLINE", "1")
    if heartbeat is not None:
        monkeypatch.setenv("GRADEQUEUE_HEARTBEAT", heartbeat)
    store = Store.open(url)
    try:
        store.migrate()
        queue = broker_queue("bulk", "standin", store.id)
        with store.transaction() as connection:
            register_worker(connection, worker_id="w", hostname=socket.gethostname(), pid=1, queues=queue)
            connection.execute(update(workers).values(heartbeat_at=now_seconds() - silent_seconds))
    finally:
        store.close()
    assert worker_is_healthy("bulk") is is_well
