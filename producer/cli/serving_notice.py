"""What `enqueue`, `regrade` and `retry` say when no worker takes their jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from producer.batch import Batch


def say_when_nobody_works(batch: Batch, data_dir: Path | None) -> None:
    """One line with the command that starts a worker for the queue, in the same data folder."""
    from producer.local.accounts import why_not_served
    from producer.terminal.console import err
    from producer.terminal.words import command
    from workers.settings import STANDIN_PROVIDER, load_settings

    progress = batch.progress()
    if not progress.waiting or progress.live_workers:
        return
    options = ["--queues", progress.queue]
    if progress.provider == STANDIN_PROVIDER:
        options.append("--offline")
    if data_dir is not None:
        options += ["--data-dir", str(data_dir)]
    settings = load_settings(data_dir=data_dir)
    if (why := why_not_served(settings, progress.provider)) is not None:
        err.print(
            f"no worker serves {progress.provider}, and none started here would: {why}", style="yellow", soft_wrap=True
        )
        return
    starts = command("worker", options=options)
    worker = f"{starts} (Ctrl-C stops it)"
    ways = (
        f"run the same `gradequeue run` command again, which ends with its jobs, or start a worker: {worker}"
        if settings.redis_url is None
        else f"start one with: {worker}"
    )
    err.print(f"no worker serves them; {ways}", style="yellow", soft_wrap=True)
