from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from producer.cli.options import command_with, data_dir_option, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from producer.batch import Batch
    from producer.regrading.drift import Drift, FieldDrift
    from producer.regrading.drift_report import DriftReport
    from producer.regrading.field_pairs import DecimalsOf


@command_with(
    "gradequeue drift week3-1f2e3d4c week3-1f2e3d4c-gpt-6-luna",
    "gradequeue drift week3-1f2e3d4c week3-1f2e3d4c-gpt-6-luna --html drift.html",
)
@click.argument("batch_a")
@click.argument("batch_b")
@click.option("--out", "out_path", type=click.Path(dir_okay=False, path_type=Path), help="Write every change as CSV.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as one HTML file.")
@json_option
@data_dir_option
def drift(
    batch_a: str, batch_b: str, out_path: Path | None, html: Path | None, *, as_json: bool, data_dir: Path | None
) -> None:
    """Compare two batches: per field, what changed, and whether that is a shift or noise.

    Results are paired by id; BATCH_A is the old batch, BATCH_B the new one. Noise is measured by
    `gradequeue regrade BATCH --repeats 2`. Verdicts need: pip install 'gradequeue[statistics]'
    """
    import json

    from producer.batch import Batch
    from producer.cli.downloading import note_taken
    from producer.cli.session import opened_store
    from producer.gradebook.result_files import check_writable, write_atomically
    from producer.regrading.drift import compare
    from producer.regrading.drift_html import drift_html
    from producer.regrading.gradings import decimals_by, drift_of
    from producer.terminal.console import err, write_data
    from workers.contract.errors import ServiceUnavailable
    from workers.contract.registry import builtin_registry
    from workers.contract.schema_files.lookup import InstalledSchemas
    from workers.store.overviews import look_up_batch

    check_writable(out_path)
    check_writable(html)
    registry = builtin_registry(finder=InstalledSchemas())
    decimals_of = decimals_by(registry)
    with opened_store(data_dir) as store:
        old, new = Batch(store, batch_a), Batch(store, batch_b)

        def exists(name: str) -> bool:
            with store.snapshot() as connection:
                return look_up_batch(connection, name) is not None

        report = None
        try:
            report = drift_of(old, new, exists=exists, registry=registry)
            found = report.drift
        except ServiceUnavailable as problem:
            if problem.service != "disk" or as_json or html is not None:
                raise
            err.print(f"note: {problem}", soft_wrap=True)
            found = compare(
                old.beside(batch_b), old_results=old.count_results(), new_results=new.count_results(),
                decimals_of=decimals_of,
            )  # fmt: skip
        if as_json and report is not None:
            write_data(json.dumps(report.as_json(), ensure_ascii=False) + "\n")
        else:
            _print(found, batch_a, batch_b)
            if report is not None:
                _print_verdicts(report)
        wanted = [kind for kind, path in (("html", html), ("csv", out_path)) if path is not None]
        if wanted:
            note_taken(store, [batch_a, batch_b], f"drift from {batch_a} to {batch_b}, {' and '.join(wanted)}")
        if html is not None and report is not None:
            write_atomically(html, [drift_html(report)], encoding="utf-8")
            err.print(f"report: {html}")
        if out_path is not None:
            write_atomically(out_path, _change_lines(old, batch_b, decimals_of), encoding="utf-8-sig")
            err.print(f"changes: {out_path}")


def _print_verdicts(report: DriftReport) -> None:
    from producer.terminal.console import err, out

    for each in report.fields:
        if each.changed:
            out.print(f"  {each.field}: {each.sentence}", markup=False, soft_wrap=True)
    for old, new, count in report.bands:
        out.print(f"  band {old} -> {new}: {count}", markup=False, soft_wrap=True)
    out.print(f"noise measured by {report.noise_pairs} pairs" if report.noise_pairs else "noise not measured")
    for note in report.notes:
        err.print(f"note: {note}", soft_wrap=True)


def _print(found: Drift, old: str, new: str) -> None:
    from producer.terminal.console import out

    out.print(_table(found, old, new))
    out.print(f"{found.compared} compared, {found.unchanged} of them unchanged in every field")
    if found.only_old or found.only_new:
        out.print(f"without a partner: {found.only_old} results of {old}, {found.only_new} of {new}")
    if found.has_standin:
        out.print("STAND-IN PROVIDER: part of these grades are not real", style="bold magenta")


def _change_lines(old: Batch, new: str, decimals_of: DecimalsOf) -> Iterator[str]:
    """Every change, submission by submission, read anew."""
    from producer.gradebook.csv_cells import csv_line
    from producer.regrading.field_pairs import fields_of

    yield csv_line(["id", "field", "old", "new", "difference"])
    for pair in old.beside(new):
        for each in fields_of(*pair, decimals_of):
            if each.is_changed:
                difference = "" if each.difference is None else f"{each.difference:g}"
                yield csv_line([each.id, each.field, each.old, each.new, difference])


def _table(found: Drift, old: str, new: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"{old} -> {new}"), title_justify="left")
    for title in ("field", "changed", "mean change", "mean size", "largest", "moves"):
        table.add_column(title, overflow="fold")
    for each in found.fields:
        cells = (each.name, f"{each.changed} of {each.compared}", *_amounts(each))
        table.add_row(*map(Text, cells))  # a plain str would be read for Rich's own [marks]
    return table


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
