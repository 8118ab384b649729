from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.job_options import job_options, spend_options
from producer.cli.options import command_with, concurrency_option, input_argument
from producer.local.exit_status import ExitStatus
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from producer.client import JobClient
    from producer.local.run import RunReport
    from producer.local.standby import StandbyWorker
    from producer.progress import BatchProgress


@command_with(
    "gradequeue run exam.jsonl --template prompt.md --schema error_report --model gpt-6.1-terra --out grades.jsonl",
    "gradequeue run students.csv --template prompt.md --rubric rubrics.json#default_100pt_rubric --model gpt-6.1-terra",
    "gradequeue run essays/ --template prompt.md --schema feedback --offline",
    "gradequeue run exam.jsonl --template prompt.md --schema feedback --model gpt-6.1-terra --pilot 10 --max-cost 5",
)
@input_argument
@job_options
@spend_options
@click.option("--pilot", type=click.IntRange(min=1), metavar="N", help="Grade N jobs spread over INPUT, then stop.")
@click.option("--go", is_flag=True, help="Grade the rest of the pilot made before with the same command.")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    show_default="as many as the jobs keep busy, at most 2",
    help="Worker processes.",
)
@concurrency_option
@click.option("--out", "out_path", type=click.Path(dir_okay=False, path_type=Path), help="Write results here (JSONL).")
def run(input_path: Path, processes: int | None, out_path: Path | None, *, go: bool, **options: Any) -> int:
    """Grade INPUT (file, folder or ZIP) on this machine, from enqueue to results.

    INPUT is a JSONL or CSV file, a folder, or a ZIP; the ZIP that Moodle, Canvas or another course
    system gives you goes in as it is.

    Ctrl-C finishes what is in flight and stops. The same command resumes, and pays for nothing twice.

    With --pilot N only N jobs are graded; look at their results, then run the same command with --go for the rest.
    When the first jobs all fail alike, or the spend cap is reached, the others wait (exit status 4), and none fails.
    """
    if go and options["pilot"] is not None:
        raise InvalidInput("--pilot makes a pilot and --go ends it; give one of them")
    from producer.local.standby import StandbyWorker

    with StandbyWorker() as standby:  # before all else: it loads while we do
        return _grade(input_path, processes, out_path, standby, go=go, options=options)


def _grade(
    input_path: Path,
    processes: int | None,
    out_path: Path | None,
    standby: StandbyWorker,
    *,
    go: bool,
    options: dict[str, Any],
) -> int:
    from producer.cli import session
    from producer.gradebook.result_files import check_writable
    from producer.local.run import RunRequest, run_batch
    from producer.terminal.console import err

    by = session.moment_option(options["by"])
    settings, request = session.opened_request(input_path, options)
    check_writable(out_path)
    with (
        session.provided(settings) as settings,
        session.joined_services(settings) as services,
        session.connected_client(settings, services, schemas=request.schemas) as client,
    ):
        request = session.joined_known_work(request, client)
        given = request.for_client(client)
        batch = RunRequest(
            name=request.name,
            specs=given.specs,
            queue=options["queue"],
            processes=processes,
            context=request.context,
            origin=given.origin,
            pilot=options["pilot"],
            lets_rest_go=go,
            max_cost_usd=options["max_cost"],
            weight=options["weight"],
            by=by,
            price=request.price,
            notify=options["notify"],
            renews=options["update"],
            on_note=lambda note: session.print_notes([note]),
        )
        report = run_batch(batch, client=client, settings=settings, services=services, console=err, standby=standby)
        _print_report(report, client, out_path)
    return report.status


def _print_report(report: RunReport, client: JobClient, out_path: Path | None) -> None:
    from itertools import islice

    from producer.cli.downloading import note_taken
    from producer.gradebook.result_files import write_atomically
    from producer.terminal.console import err, out
    from producer.terminal.gate_notices import cap_line
    from producer.terminal.tables import FIRST_RESULT_ROWS, MOST_RESULT_ROWS, results_table, summary_table
    from producer.terminal.words import command

    batch = client.batch(report.progress.batch)
    is_finished = report.status in {ExitStatus.SUCCEEDED, ExitStatus.SOME_FAILED}
    if is_finished:
        if out_path is not None:
            note_taken(client.store, [batch.name], "results, jsonl")
            write_atomically(out_path, batch.lines())
        total = report.progress.total
        shown = total if total <= MOST_RESULT_ROWS else FIRST_RESULT_ROWS
        out.print(results_table(islice(batch.results(), shown), total=total))
    elif report.progress.gate.pilot is not None:
        _print_pilot(client, report.progress)
    cap = cap_line(report.progress.gate)
    out.print(summary_table(report.progress, elapsed_seconds=report.elapsed_seconds, cap=cap))
    if report.status is ExitStatus.SOME_FAILED:
        err.print(f"see them with: {command('failures', report.progress.batch)}", soft_wrap=True)
    if is_finished:
        read, table = (command(name, batch.name) for name in ("review", "results"))
        err.print(f"read and approve the grades: {read}; as a table: {table} --format csv", soft_wrap=True)
    if report.notice:
        err.print(report.notice, style="yellow")
    if out_path is not None and is_finished:
        err.print(f"results: {out_path}")


def _print_pilot(client: JobClient, progress: BatchProgress) -> None:
    """What the pilot showed: results, failures, and the price of the rest."""
    from itertools import islice

    from producer.terminal.console import out
    from producer.terminal.gate_notices import price_of_rest
    from producer.terminal.tables import MOST_RESULT_ROWS, failures_table, results_table

    batch = client.batch(progress.batch)
    out.print(results_table(islice(batch.ended(), MOST_RESULT_ROWS)))
    if progress.failed:
        out.print(failures_table(islice(batch.failures(), MOST_RESULT_ROWS)))
    out.print(price_of_rest(batch.costs(), progress.provider))
