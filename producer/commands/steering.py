"""`retry`, `cancel`, `resume`: another round, no more of it, or go on after the account was put right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.commands.shared import data_dir_option, out, reports_errors, store_only
from producer.run import ExitStatus
from workers.contract.outcome import FailureKind
from workers.store.batches import cancel_batch, retry_failed
from workers.store.parks import resume_account

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("batch")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([str(kind) for kind in FailureKind]),
    help="Only failures of this kind; repeatable.",
)
@data_dir_option
@reports_errors
def retry(batch: str, kinds: tuple[str, ...], data_dir: Path | None) -> int:
    """Open another round for the failed jobs of BATCH; earlier outcomes are kept.

    \b
    gradequeue retry week3-1f2e3d4c
    gradequeue retry week3-1f2e3d4c --kind truncated --kind provider_unavailable
    """  # noqa: D301 - click's mark for lines to keep
    with store_only(data_dir) as client:
        count = retry_failed(client.store, batch, kinds=[FailureKind(kind) for kind in kinds])
    if count:
        out.print(
            f"{count} jobs wait for another round; workers take them, or the `gradequeue run` command of the batch",
            highlight=False,
            soft_wrap=True,
        )
    else:
        out.print("no failed job matches; nothing was changed", highlight=False)
    return ExitStatus.SUCCEEDED


@click.command()
@click.argument("batch")
@data_dir_option
@reports_errors
def cancel(batch: str, data_dir: Path | None) -> int:
    """Cancel what has not finished in BATCH. Results that are there stay; `retry --kind cancelled` undoes it."""
    with store_only(data_dir) as client:
        waiting, running = cancel_batch(client.store, batch)
    out.print(f"{waiting} waiting jobs cancelled, {running} running jobs asked to stop", highlight=False)
    return ExitStatus.SUCCEEDED


@click.command()
@data_dir_option
@reports_errors
def resume(data_dir: Path | None) -> int:
    """Let jobs of parked accounts go on, after credit or key was put right."""
    with store_only(data_dir) as client, client.store.transaction() as connection:
        accounts = resume_account(connection)
    if accounts:
        out.print(f"resumed: {', '.join(accounts)}; workers go on, or the `gradequeue run` command of the batch")
    else:
        out.print("no account is parked")
    return ExitStatus.SUCCEEDED
