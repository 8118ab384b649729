from __future__ import annotations

from typing import TYPE_CHECKING

from producer.cli.options import batch_argument, command_with, data_dir_option

if TYPE_CHECKING:
    from pathlib import Path


@command_with("gradequeue cancel week3-1f2e3d4c")
@batch_argument
@data_dir_option
def cancel(batch: str, data_dir: Path | None) -> None:
    """Cancel the unfinished jobs of BATCH; results are kept.

    `gradequeue retry BATCH --kind cancelled` undoes it.
    """
    from producer.cli.session import opened_store
    from producer.terminal.console import out
    from workers.store.steering import cancel_batch

    with opened_store(data_dir) as store:
        waiting, running = cancel_batch(store, batch)
    out.print(f"{waiting} waiting jobs cancelled, {running} running jobs asked to stop")
