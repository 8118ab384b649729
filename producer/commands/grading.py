"""`run` and `enqueue`: from an input to jobs, and on to the results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.commands.files import check_writable, result_lines, write_atomically
from producer.commands.job_options import checked_order, job_options
from producer.commands.shared import (
    connected_client,
    err,
    joined_services,
    out,
    provided,
    reports_errors,
    settings_of,
)
from producer.display import MOST_RESULT_ROWS, results_table, summary_table
from producer.run import ExitStatus, RunReport, RunRequest, run_batch

if TYPE_CHECKING:
    from producer.client import JobClient
    from producer.commands.job_options import Order


@click.command()
@click.argument("input_path", metavar="INPUT", type=click.Path(path_type=Path))
@job_options
@click.option("--processes", type=click.IntRange(1, 64), default=2, show_default=True, help="Worker processes.")
@click.option("--concurrency", type=click.IntRange(1, 5000), help="Jobs in flight per process [default: 400].")
@click.option("--out", "out_path", type=click.Path(dir_okay=False, path_type=Path), help="Write results here (JSONL).")
@reports_errors
def run(input_path: Path, processes: int, out_path: Path | None, **options: Any) -> int:
    r"""Grade INPUT (JSONL, CSV or a folder) on this machine, from enqueue to results.

    Stopped and started again, the same command goes on where it stopped and pays for nothing twice.

    \b
    gradequeue run submissions.jsonl --template prompt.md --schema error_report --model gpt-4.1 --out grades.jsonl
    gradequeue run students.csv --template prompt.md --rubric rubrics.json#default_100pt_rubric --model gpt-4.1
    gradequeue run essays/ --template prompt.md --schema feedback --offline
    """
    settings = settings_of(options)
    order = checked_order(input_path, settings, options)
    _print_warnings(order)
    check_writable(out_path)
    with (
        provided(settings) as settings,
        joined_services(settings) as services,
        connected_client(settings, services) as client,
    ):
        request = RunRequest(
            name=order.name,
            specs=order.checked.specs,
            queue=options["queue"],
            processes=processes,
            context=order.context,
            origin=order.origin,
        )
        report = run_batch(request, client=client, settings=settings, services=services, console=err)
        _close_run(report, client, out_path)
    return report.status


def _print_warnings(order: Order) -> None:
    for warning in order.warnings:
        err.print(f"note: {warning}", style="yellow", markup=False, highlight=False)


def _close_run(report: RunReport, client: JobClient, out_path: Path | None) -> None:
    batch = client.batch(report.progress.batch)
    if report.status in {ExitStatus.SUCCEEDED, ExitStatus.SOME_FAILED}:
        if out_path is not None:
            write_atomically(out_path, result_lines(batch.results()))
        if report.progress.total <= MOST_RESULT_ROWS:
            out.print(results_table(batch.results()))
    out.print(summary_table(report.progress, elapsed_seconds=report.elapsed_seconds))
    if report.status is ExitStatus.SOME_FAILED:
        err.print(f"see them with: gradequeue failures {report.progress.batch}", highlight=False)
    if report.notice:
        err.print(report.notice, style="yellow", highlight=False, markup=False)
    if out_path is not None and report.status in {ExitStatus.SUCCEEDED, ExitStatus.SOME_FAILED}:
        err.print(f"results: {out_path}", highlight=False, markup=False)


@click.command()
@click.argument("input_path", metavar="INPUT", type=click.Path(path_type=Path))
@job_options
@reports_errors
def enqueue(input_path: Path, **options: Any) -> int:
    r"""Put INPUT into the store and leave; workers that run, or run later, grade it.

    \b
    gradequeue enqueue submissions.jsonl --template prompt.md --schema feedback --model gpt-4.1 --queue bulk
    """
    settings = settings_of(options)
    order = checked_order(input_path, settings, options)
    _print_warnings(order)
    with joined_services(settings) as services, connected_client(settings, services) as client:
        report = client.enqueue(
            order.checked.specs(),
            name=order.name,
            queue=options["queue"],
            context=order.context,
            origin=order.origin,
        )
    out.print(
        f"batch {order.name}: {report.new} new, {report.existing} there already; "
        f"watch with: gradequeue status {order.name} --watch",
        highlight=False,
        soft_wrap=True,
    )
    return ExitStatus.SUCCEEDED
