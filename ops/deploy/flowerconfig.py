"""Flower's configuration. Flower shows arguments and results to all who may look; the claim check keeps prompts out.

GRADEQUEUE_FLOWER_AUTH is `user:password`; without it Flower does not start, because it would be open to everyone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_auth = os.environ.get("GRADEQUEUE_FLOWER_AUTH", "")
if not all(_auth.partition(":")):
    raise SystemExit("GRADEQUEUE_FLOWER_AUTH is not set; it should look like user:password")

basic_auth = [_auth]
read_only = True
"""Nobody revokes or shuts down from here: the store, not Celery, knows what a job is."""

persistent = True
_folder = Path(os.environ.get("GRADEQUEUE_DATA_DIR", "."))
_folder.mkdir(parents=True, exist_ok=True)
db = str(_folder / "flower")
state_save_interval = 60_000
max_tasks = 20_000
"""A few megabytes; history is in the store."""
purge_offline_workers = 3600

tasks_columns = "uuid,routing_key,state,runtime,received,worker"


def format_task(task: Any) -> Any:
    """Show the queue: workers are named after the one they serve, and events carry no other word of it."""
    if task.worker is not None:
        task.routing_key = task.worker.hostname.partition("@")[0].rpartition("-")[0]
    task.args = task.kwargs = None
    return task
