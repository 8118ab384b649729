"""`estimate` and `doctor`: look before you spend."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from producer.commands.job_options import checked_order, job_options
from producer.commands.shared import (
    STORE_FILE,
    data_dir_option,
    joined_services,
    json_option,
    out,
    reports_errors,
    settings_of,
)
from producer.display import cost_text
from producer.doctor import Finding, service_findings, setting_findings
from producer.estimate import estimate_jobs
from producer.run import ExitStatus
from workers.contract.registry import SchemaEntry, builtin_registry
from workers.store import Store

if TYPE_CHECKING:
    from producer.commands.job_options import Order
    from producer.estimate import Estimate
    from workers.settings import Settings


@click.command()
@click.argument("input_path", metavar="INPUT", type=click.Path(path_type=Path))
@job_options
@json_option
@reports_errors
def estimate(input_path: Path, *, as_json: bool, **options: Any) -> int:
    """Say what grading INPUT would take: tokens and cost, from prices and earlier answers. Nothing is enqueued.

    \b
    gradequeue estimate submissions.jsonl --template prompt.md --schema feedback --model gpt-4.1
    """  # noqa: D301 - click's mark for lines to keep
    settings = settings_of(options)
    order = checked_order(input_path, settings, options)
    store = _existing_store(settings)
    try:
        estimates = estimate_jobs(order.checked.specs(), entries=_Entries(order), store=store, settings=settings)
    finally:
        if store is not None:
            store.close()
    if as_json:
        click.echo(json.dumps([asdict(each) for each in estimates]))
    else:
        for each in estimates:
            out.print(_estimate_table(each))
    return ExitStatus.SUCCEEDED


class _Entries(dict[str, SchemaEntry]):
    """Schema entries, resolved as they are asked for."""

    def __init__(self, order: Order) -> None:
        super().__init__()
        self._registry = builtin_registry()
        self._context = order.context

    def __missing__(self, name: str) -> SchemaEntry:
        context = self._context if self._registry.needs_context(name) else None
        self[name] = entry = self._registry.resolve(name, context)
        return entry


def _existing_store(settings: Settings) -> Store | None:
    """Earlier answers help; without a store there are none."""
    url = settings.database_url
    if url is None:
        file = settings.data_dir.expanduser().absolute() / STORE_FILE
        if not file.exists():
            return None
        url = f"sqlite:///{file}"
    store = Store.open(url)
    store.migrate()
    return store


def _estimate_table(each: Estimate) -> Table:
    table = Table(title=f"{each.jobs} jobs, {each.schema}, {each.model}", title_justify="left", show_header=False)
    table.add_row("tokens in", f"{each.prompt_tokens:,}")
    if each.likely_completion_tokens is not None:
        table.add_row("tokens out, likely", f"{each.likely_completion_tokens:,}")
    table.add_row("tokens out, at most", f"{each.most_completion_tokens:,}")
    if each.likely_completion_tokens is not None:
        table.add_row("cost, likely", cost_text(each.likely_cost_usd))
    table.add_row("cost, at most", cost_text(each.most_cost_usd))
    earlier = f"{each.earlier_answers} earlier answers of this schema and model"
    table.add_row("judged by", earlier if each.earlier_answers else "the prompts' length; no earlier answer is known")
    return table


@click.command()
@click.option("--offline", is_flag=True, help="Check for work with the stand-in provider.")
@json_option
@data_dir_option
@reports_errors
def doctor(*, as_json: bool, **options: Any) -> int:
    """Show each setting and where it came from, and try each service. Exit status 3 when one is missing."""
    settings = settings_of(options)
    findings = list(setting_findings(settings, {name for name, value in options.items() if value}))
    with joined_services(settings) as services:
        services_found = list(service_findings(settings, services))
    if as_json:
        click.echo(json.dumps({"settings": [*map(asdict, findings)], "services": [*map(asdict, services_found)]}))
    else:
        out.print(_findings_table("settings", findings))
        out.print(_findings_table("services", services_found))
    is_well = all(finding.is_well is not False for finding in services_found)
    return ExitStatus.SUCCEEDED if is_well else ExitStatus.SERVICE_MISSING


def _findings_table(title: str, findings: list[Finding]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    table.add_column()
    for finding in findings:
        table.add_row(finding.subject, Text(finding.value), _verdict(finding))
    return table


def _verdict(finding: Finding) -> Text:
    if finding.is_well is None:
        return Text(finding.source, style="dim")
    return Text("ok", style="green") if finding.is_well else Text("missing", style="red")
