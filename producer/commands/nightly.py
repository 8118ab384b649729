"""`regrade`, `drift`, `beat`: the same submissions asked anew, by hand or at night, and what moved."""

from __future__ import annotations

import csv
import io
import logging
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from producer.commands.files import FORMULA_STARTS, check_writable, write_atomically
from producer.commands.shared import (
    connected_client,
    data_dir_option,
    err,
    joined_services,
    out,
    reports_errors,
    settings_of,
    store_only,
)
from producer.drift import Drift, FieldDrift, compare
from producer.regrade import Change, regrade_name
from producer.regrade import regrade as regrade_batch
from producer.run import ExitStatus
from producer.scheme import scheme_from_options
from producer.templates import Template
from workers.contract.errors import InvalidInput
from workers.contract.job import QueueName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.batches import Batch
    from producer.client import JobClient

ALIVE_FILE = "beat.alive"
"""Under the data folder; its age tells a health check whether beat still ticks."""


@click.command()
@click.argument("batch")
@click.option("--model", help="Ask this model instead.")
@click.option("--template", type=click.Path(path_type=Path), help="Put the submissions into this template instead.")
@click.option("--rubric", metavar="FILE[#ID]", help="Grade by this rubric instead.")
@click.option("--catalogue", metavar="FILE[#COURSE[/ASSIGNMENT]]", help="Grade by this error catalogue instead.")
@click.option(
    "--input", "input_path", type=click.Path(path_type=Path), help="The submissions, where prompts do not tell them."
)
@click.option("--name", help="Name of the new batch [default: from BATCH and what changes].")
@click.option(
    "--queue", type=click.Choice([str(each) for each in QueueName]), default=str(QueueName.BULK), show_default=True
)
@click.option("--offline", is_flag=True, help="Grade with the stand-in provider; its grades are not real.")
@data_dir_option
@reports_errors
def regrade(batch: str, input_path: Path | None, name: str | None, queue: str, **options: Any) -> int:
    """Grade the submissions of BATCH anew, as a new batch beside it; the old grades stay.

    \b
    gradequeue regrade week3-1f2e3d4c --model gpt-5.4-mini
    gradequeue regrade week3-1f2e3d4c --rubric rubrics.json#style
    """  # noqa: D301 - click's mark for lines to keep
    change = Change(
        model=options["model"],
        template=Template.load(options["template"]) if options["template"] else None,
        scheme=scheme_from_options(options["rubric"], options["catalogue"]),
        input_path=input_path,
    )
    settings = settings_of(options)
    with joined_services(settings) as services, connected_client(settings, services) as client:
        before = client.batch(batch).progress().provider
        if before != client.provider:
            err.print(f"note: the batch was graded by {before}; this asks {client.provider}", highlight=False)
        report = regrade_batch(client, batch, change, name=name, queue=QueueName(queue))
    new = name or regrade_name(batch, change)
    out.print(
        f"batch {new}: {report.new} new, {report.existing} there already; "
        f"watch with: gradequeue status {new} --watch; compare with: gradequeue drift {batch} {new}",
        highlight=False,
        soft_wrap=True,
    )
    return ExitStatus.SUCCEEDED


@click.command()
@click.argument("batch_a")
@click.argument("batch_b")
@click.option("--out", "out_path", type=click.Path(dir_okay=False, path_type=Path), help="Every change, as CSV.")
@data_dir_option
@reports_errors
def drift(batch_a: str, batch_b: str, out_path: Path | None, data_dir: Path | None) -> int:
    """Show what BATCH_B says differently from BATCH_A: per field how many changed, and by how much."""
    check_writable(out_path)
    with store_only(data_dir) as client:
        found = compare(_results(client, batch_a), _results(client, batch_b))
    _print_drift(found, batch_a, batch_b)
    if out_path is not None:
        write_atomically(out_path, _change_lines(found), encoding="utf-8-sig")
        err.print(f"changes: {out_path}", highlight=False, markup=False)
    return ExitStatus.SUCCEEDED


def _results(client: JobClient, name: str) -> Iterator[Any]:
    batch: Batch = client.batch(name)
    return batch.results()


def _print_drift(found: Drift, old: str, new: str) -> None:
    table = Table(title=Text(f"{old} -> {new}"), title_justify="left")
    for title in ("field", "changed", "mean change", "mean size", "largest", "moves"):
        table.add_column(title, overflow="fold")
    for each in found.fields:
        cells = (each.name, f"{each.changed} of {each.compared}", *_amounts(each))
        table.add_row(*map(Text, cells))  # a plain str would be read for Rich's own [marks]
    out.print(table)
    out.print(f"{found.compared} compared, {found.unchanged} of them the same in every field", highlight=False)
    if found.only_old or found.only_new:
        sentence = f"without a partner: {found.only_old} results of {old}, {found.only_new} of {new}"
        out.print(sentence, highlight=False, markup=False)
    if found.has_standin:
        out.print("STAND-IN PROVIDER: part of these grades are not real", style="bold magenta")


def _amounts(each: FieldDrift) -> tuple[str, str, str, str]:
    largest = each.largest
    return (
        _signed(each.mean_difference),
        "" if each.mean_size is None else f"{each.mean_size:.4g}",
        "" if largest is None else f"{largest.id}: {largest.old} -> {largest.new}",
        ", ".join(f"{old} -> {new} ({count})" for old, new, count in each.transitions),
    )


def _signed(number: float | None) -> str:
    return "" if number is None else f"{number:+.3g}"


def _change_lines(found: Drift) -> Iterator[str]:
    yield _csv_line(["id", "field", "old", "new", "difference"])
    for change in found.changes:
        difference = "" if change.difference is None else f"{change.difference:g}"
        yield _csv_line([_cell(change.id), change.field, _cell(change.old), _cell(change.new), difference])


def _cell(value: object) -> str:
    """Students and models wrote part of it: a spreadsheet must not compute it."""
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA_STARTS) else text


def _csv_line(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


@click.command()
@click.option(
    "--nightly",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file of what to regrade and when [default: GRADEQUEUE_NIGHTLY].",
)
@click.option("--check", is_flag=True, help="Only say whether a beat of this data folder ticks.")
@click.option("--offline", is_flag=True, help="Regrade stand-in batches; no grade is real.")
@data_dir_option
@reports_errors
def beat(nightly: Path | None, *, check: bool, **options: Any) -> int:
    """Regrade at night what the TOML file selects, until stopped. One is enough, and two do no harm.

    \b
    gradequeue beat --nightly nightly.toml
    """  # noqa: D301 - click's mark for lines to keep
    from producer import beat as beats  # noqa: PLC0415 - Celery's beat is for this command alone

    settings = settings_of(options)
    alive_file = settings.data_dir.expanduser().absolute() / ALIVE_FILE
    if check:
        return _say_whether_alive(alive_file, beats.LONGEST_SLEEP_SECONDS)
    path = nightly or settings.nightly
    if path is None:
        raise InvalidInput("say what to regrade: give --nightly FILE, or set GRADEQUEUE_NIGHTLY")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with joined_services(settings) as services:
        told = settings.model_copy(update={"redis_url": services.redis_url, "database_url": services.database_url})
        running = beats.Beat(told, path, alive_file=alive_file)
        before = {
            number: signal.signal(number, lambda *_: running.stop()) for number in (signal.SIGTERM, signal.SIGINT)
        }
        for entry in running.entries:
            err.print(f"{entry.name}: daily at {entry.at:%H:%M:%S} {entry.zone}", highlight=False)
        try:
            running.run()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return ExitStatus.SUCCEEDED


def _say_whether_alive(file: Path, period_seconds: float) -> int:
    try:
        age = time.time() - file.stat().st_mtime
    except FileNotFoundError:
        age = float("inf")
    if age < 6 * period_seconds:
        out.print("beat ticks", highlight=False)
        return ExitStatus.SUCCEEDED
    err.print("no beat ticks here", highlight=False)
    return ExitStatus.SERVICE_MISSING
