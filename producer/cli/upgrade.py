from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from producer.cli.options import command_with, data_dir_option, json_option
from producer.local.exit_status import ExitStatus

if TYPE_CHECKING:
    from pathlib import Path


@command_with("gradequeue upgrade --check", "gradequeue upgrade")
@click.option("--check", is_flag=True, help="Only say what would be done, and who would wait meanwhile.")
@json_option
@data_dir_option
def upgrade(*, check: bool, as_json: bool, data_dir: Path | None) -> ExitStatus:
    """Bring the store to this version's tables; run once, before its workers start.

    Workers of the release before go on meanwhile and afterwards. One that was broken off is resumed by the next. With
    --check the exit status is 4 while something is to be done, and 0 when nothing is.
    """
    from producer.cli.session import existing_store_url
    from producer.terminal.console import err, out
    from workers.store import Store
    from workers.store.migrations import upgrade as upgrade_store
    from workers.store.migrations import waiting_steps
    from workers.store.migrations.backfills import waiting_backfills

    store = Store.open(existing_store_url(data_dir))
    try:
        steps = waiting_steps(store)
        if steps:
            fills = ["what the steps above leave to fill"] if store.revision else []
        else:
            with store.snapshot() as connection:
                fills = waiting_backfills(connection)
        if as_json:
            click.echo(json.dumps({"steps": [asdict(each) for each in steps], "fills": fills}))
        elif not steps and not fills:
            out.print("Nothing to do: the store has this version's tables.")
        else:
            for step in steps:
                out.print(f"{step.revision}: {step.says}", markup=False, soft_wrap=True)
                if step.works_from:
                    err.print(
                        f"  Workers and pages older than {step.works_from} must be stopped before.",
                        style="yellow", markup=False, soft_wrap=True,
                    )  # fmt: skip
                if step.locks:
                    err.print(f"  {step.locks}", style="yellow", markup=False, soft_wrap=True)
            for name in fills:
                out.print(f"then, in chunks beside running workers: {name}", markup=False, soft_wrap=True)
        if check:
            return ExitStatus.JOBS_WAIT if steps or fills else ExitStatus.SUCCEEDED
        upgrade_store(store)
        if (steps or fills) and not as_json:
            out.print("Done.")
    finally:
        store.close()
    return ExitStatus.SUCCEEDED
