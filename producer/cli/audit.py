from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.options import command_with, data_dir_option, json_option

if TYPE_CHECKING:
    from pathlib import Path


@command_with("gradequeue audit", "gradequeue audit week3-1f2e3d4c --json")
@click.argument("batch", required=False)
@json_option
@data_dir_option
def audit(batch: str | None, *, as_json: bool, data_dir: Path | None) -> None:
    """Show who decided, released, downloaded and changed what, oldest first.

    Of one BATCH or of all. Decisions are never removed; a purge removes their reasons.
    """
    import json
    from dataclasses import asdict

    from producer.cli.session import opened_store
    from producer.terminal.console import out, write_data
    from producer.terminal.words import moment
    from workers.store.decisions import read_audit

    with opened_store(data_dir) as store, store.snapshot() as connection:
        entries = read_audit(connection, batch)
    if as_json:
        for entry in entries:
            write_data(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
        return
    if not entries:
        out.print("no decisions yet")
    for entry in entries:
        what = " ".join(filter(None, (entry.action, entry.batch, entry.item_id)))
        out.print(f"{moment(entry.at, with_seconds=True)}  {entry.by}  {what}  {entry.detail}", soft_wrap=True)
