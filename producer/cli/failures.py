from __future__ import annotations

from typing import TYPE_CHECKING

from producer.cli.options import batch_argument, command_with, data_dir_option, json_option
from producer.local.exit_status import ExitStatus

if TYPE_CHECKING:
    from pathlib import Path


@command_with("gradequeue failures week3-1f2e3d4c", "gradequeue failures week3-1f2e3d4c --json")
@batch_argument
@json_option
@data_dir_option
def failures(batch: str, *, as_json: bool, data_dir: Path | None) -> int:
    """Show the failed jobs of BATCH, why they failed and what to do.

    Exit status 1 when there are any.
    """
    from producer.batch import Batch
    from producer.cli.session import opened_store
    from producer.cli.writing import write_lines
    from producer.terminal.advice import next_steps
    from producer.terminal.console import out
    from producer.terminal.tables import failures_table

    with opened_store(data_dir) as store:
        view = Batch(store, batch)
        if as_json:
            write_lines(view.lines(failed_only=True), out_path=None)
            return ExitStatus.SUCCEEDED
        progress = view.progress()
        if not progress.failed:
            out.print(f"no job of {batch} has failed")
            return ExitStatus.SUCCEEDED
        out.print(failures_table(view.failures()))
        for step in next_steps(batch, view.failures()):
            out.print(step, soft_wrap=True)
        out.print(
            "what `retry` puts back is graded by the same `gradequeue run` command, or by a worker", soft_wrap=True
        )
    return ExitStatus.SOME_FAILED
