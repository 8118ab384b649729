from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.options import command_with, data_dir_option, json_option
from producer.local.exit_status import ExitStatus

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from producer.local.doctor import Finding


@command_with(
    "gradequeue doctor",
    "gradequeue doctor --kit week3-kit",
    "gradequeue doctor --offline --json",
    "gradequeue doctor --recount",
)
@click.option("--offline", is_flag=True, help="Test what the stand-in provider needs.")
@click.option(
    "--kit",
    type=click.Path(file_okay=False, path_type=Path),
    help="Look at the models of this course kit, too [default: the kits in GRADEQUEUE_KITS].",
)
@click.option("--recount", is_flag=True, help="Compare the store's counters with its rows: every row is read.")
@json_option
@data_dir_option
def doctor(*, as_json: bool, kit: Path | None, recount: bool, **options: Any) -> int:
    """Show each setting and its source, and test each service.

    Shows the size of the store and of a job in it. Names the models that end soon or have ended, of settings, kits,
    nightly entries and waiting jobs.
    Exit status 3 when a service is missing.
    """
    from producer.cli.session import joined_services, settings_of
    from producer.local.doctor import service_findings, setting_findings
    from producer.terminal.console import out

    settings = settings_of(options)
    findings = list(setting_findings(settings, {name for name, value in options.items() if value}))
    with joined_services(settings) as services:
        services_found = list(service_findings(settings, services, kit=kit, recounts=recount))
    if as_json:
        click.echo(json.dumps({"settings": [*map(asdict, findings)], "services": [*map(asdict, services_found)]}))
    else:
        out.print(_table("settings", findings))
        out.print(_table("services", services_found))
    is_well = all(finding.is_well is not False for finding in services_found)
    return ExitStatus.SUCCEEDED if is_well else ExitStatus.SERVICE_MISSING


def _table(title: str, findings: list[Finding]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    table.add_column()
    for finding in findings:
        table.add_row(finding.subject, Text(finding.value), _verdict(finding))
    return table


def _verdict(finding: Finding) -> Text:
    from rich.text import Text

    if finding.is_well is None:
        return Text(finding.source, style="dim")
    return Text("ok", style="green") if finding.is_well else Text("missing", style="red")
