"""`status`, `results`, `failures`, `schemas`: how far a batch is, and what came of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from producer.commands.files import check_writable, csv_lines, result_lines, write_atomically
from producer.commands.shared import data_dir_option, err, json_option, out, reports_errors, store_only
from producer.display import ProgressDisplay, budgets_table, failures_table, park_notice, summary_table
from producer.run import ExitStatus
from workers.contract.registry import builtin_registry
from workers.contract.strict_schema import strict_schema
from workers.store.liveness import latest_budgets
from workers.store.parks import parked_accounts
from workers.store.reading import list_batches

if TYPE_CHECKING:
    from producer.client import JobClient
    from workers.store.reading import Progress

WATCH_PERIOD_SECONDS = 0.5
RECENT_SECONDS = 60.0
"""Limits that no living worker has seen for so long say nothing about now."""


@click.command()
@click.argument("batch", required=False)
@click.option("--watch", is_flag=True, help="Stay and show progress until the batch is finished.")
@json_option
@data_dir_option
@reports_errors
def status(batch: str | None, *, watch: bool, as_json: bool, data_dir: Path | None) -> int:
    """Show where BATCH stands, or every batch.

    \b
    gradequeue status
    gradequeue status week3-1f2e3d4c --watch
    """  # noqa: D301 - click's mark for lines to keep
    with store_only(data_dir) as client:
        if watch and batch:
            _watch(client, batch)
        for name in [batch] if batch else _all_batches(client):
            _print_progress(client.batch(name).progress(), as_json=as_json)
        if not as_json:
            _print_limits(client)
            _print_parks(client)
    return ExitStatus.SUCCEEDED


def _print_limits(client: JobClient) -> None:
    with client.store.snapshot() as connection:
        budgets = latest_budgets(connection, within_seconds=RECENT_SECONDS)
    if budgets:
        out.print(budgets_table(budgets))


def _watch(client: JobClient, name: str) -> None:
    with ProgressDisplay(err) as display:
        while not (progress := client.batch(name).progress()).is_finished:
            display.show(progress)
            time.sleep(WATCH_PERIOD_SECONDS)


def _all_batches(client: JobClient) -> list[str]:
    with client.store.snapshot() as connection:
        names = list_batches(connection)
    if not names:
        err.print("no batches yet; start with: gradequeue run INPUT")
    return names


def _print_progress(progress: Progress, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_progress_object(progress)))
    else:
        out.print(summary_table(progress))


def _progress_object(progress: Progress) -> dict[str, object]:
    return {
        "batch": progress.batch,
        "provider": progress.provider,
        "queue": progress.queue,
        "total": progress.total,
        "waiting": progress.waiting,
        "deferred": progress.deferred,
        "running": progress.running,
        "succeeded": progress.succeeded,
        "failed": progress.failed,
        "failures": {str(kind): count for kind, count in progress.failures.items()},
        "attempts": dict(progress.attempts),
        "repeated": progress.repeats.repeated,
        "repeated_cost_usd": progress.repeats.repeated_cost_usd,
        "unknown": progress.repeats.unknown,
        "unknown_cost_usd": progress.repeats.unknown_cost_usd,
        "prompt_tokens": progress.usage.prompt_tokens,
        "completion_tokens": progress.usage.completion_tokens,
        "cost_usd": progress.cost_usd,
    }


def _print_parks(client: JobClient) -> None:
    with client.store.snapshot() as connection:
        for park in parked_accounts(connection):
            err.print(park_notice(park), style="yellow", markup=False, highlight=False)


@click.command()
@click.argument("batch")
@click.option("--out", "out_path", type=click.Path(dir_okay=False, path_type=Path), help="Write here, not to stdout.")
@click.option("--format", "file_format", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@data_dir_option
@reports_errors
def results(batch: str, out_path: Path | None, file_format: str, data_dir: Path | None) -> int:
    """Write the results of BATCH in input order: a JSON line each, or CSV with one column per field.

    \b
    gradequeue results week3-1f2e3d4c --out grades.jsonl
    gradequeue results week3-1f2e3d4c --format csv --out grades.csv
    """  # noqa: D301 - click's mark for lines to keep
    check_writable(out_path)
    with store_only(data_dir) as client:
        rows = client.batch(batch).results
        lines = csv_lines(rows) if file_format == "csv" else result_lines(rows())
        if out_path is not None:
            # spreadsheets take a file for the local encoding unless it begins with the mark
            write_atomically(out_path, lines, encoding="utf-8-sig" if file_format == "csv" else "utf-8")
            return ExitStatus.SUCCEEDED
        for line in lines:
            click.echo(line, nl=False)
    return ExitStatus.SUCCEEDED


@click.command()
@click.argument("batch")
@json_option
@data_dir_option
@reports_errors
def failures(batch: str, *, as_json: bool, data_dir: Path | None) -> int:
    """Show the failed jobs of BATCH, why they failed and what to do.

    \b
    gradequeue failures week3-1f2e3d4c
    gradequeue retry week3-1f2e3d4c --kind truncated
    """  # noqa: D301 - click's mark for lines to keep
    with store_only(data_dir) as client:
        view = client.batch(batch)
        if as_json:
            for line in result_lines(view.failures()):
                click.echo(line, nl=False)
            return ExitStatus.SUCCEEDED
        progress = view.progress()
        if not progress.failed:
            out.print(f"no job of {batch} has failed", highlight=False)
            return ExitStatus.SUCCEEDED
        out.print(failures_table(view.failures()))
        for kind, count in progress.failures.items():
            out.print(f"{kind} ({count}): {kind.advice}", highlight=False)
            out.print(f"    again: gradequeue retry {batch} --kind {kind}", highlight=False, soft_wrap=True)
    return ExitStatus.SOME_FAILED


@click.command()
@click.argument("name", required=False)
@json_option
@reports_errors
def schemas(name: str | None, *, as_json: bool) -> int:
    """List the built-in schemas, or show what the model is asked for by one of them, or by module:Model."""
    registry = builtin_registry()
    if name is None:
        described = {known: registry.describe(known) for known in registry.names()}
        if as_json:
            click.echo(json.dumps(described))
        else:
            for known, description in described.items():
                needs = " (needs --rubric or --catalogue)" if registry.needs_context(known) else ""
                out.print(f"{known:20} {description}{needs}", highlight=False)
        return ExitStatus.SUCCEEDED
    entry = registry.resolve(name)
    shown = {"name": entry.name, "fingerprint": entry.fingerprint, "schema": strict_schema(entry.model)}
    click.echo(json.dumps(shown, indent=None if as_json else 2))
    return ExitStatus.SUCCEEDED
