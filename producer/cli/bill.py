from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING

import click

from producer.cli.options import command_with, data_dir_option, json_option

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from rich.table import Table

    from producer.gradebook.bill import Bill


@command_with(
    "gradequeue bill",
    "gradequeue bill week3-1f2e3d4c",
    "gradequeue bill --since 2026-11-01 --csv > november.csv",
)
@click.argument("batch", required=False)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="From this day on (UTC).")
@click.option("--account", metavar="NAME", help="Of one account alone.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="CSV for a spreadsheet.")
@data_dir_option
def bill(
    batch: str | None,
    *,
    since: datetime | None,
    account: str | None,
    as_json: bool,
    as_csv: bool,
    data_dir: Path | None,
) -> None:
    """Show what is due to the provider by day, batch, model and purpose.

    A request whose end is unknown may have been billed; the cost is then an interval.
    """
    from producer.cli.session import opened_store
    from producer.cli.writing import write_csv
    from producer.gradebook.bill import read_bill_of
    from producer.local.accounts import account_meant
    from producer.terminal.console import out
    from producer.terminal.words import counted
    from workers.contract.errors import InvalidInput
    from workers.settings import load_settings

    if as_json and as_csv:
        raise InvalidInput("give --json or --csv, not both")
    with opened_store(data_dir) as store:
        if account is not None:
            with store.snapshot() as connection:
                account = account_meant(connection, load_settings(data_dir=data_dir), account)
        day = since.replace(tzinfo=UTC).date() if since else None
        found = read_bill_of(store, batch=batch, since=day, account=account)
    if as_json:
        click.echo(json.dumps([line.as_line() for line in found.lines]))
    elif as_csv:
        write_csv(lambda: found.lines, out_path=None)
    elif found.lines:
        out.print(_table(found))
        if found.open and found.high_usd is not None:
            out.print(
                f"Likely ${found.likely_usd:,.4f}: of the {counted(found.open, 'request')} without a known end, those "
                "whose connection the provider closed before it answered cost nothing, the others what answered ones "
                "of their job or kind did."
            )
    else:
        out.print("Nothing was billed.")


def _table(found: Bill) -> Table:
    from rich.table import Table

    from producer.terminal.words import cost_between
    from workers.contract.lane import Lane

    table = Table(title="USD; days in UTC", title_justify="left", show_footer=True)
    total, usage = cost_between(found.low_usd, found.high_usd), found.usage
    has_accounts = len({line.provider for line in found.lines}) > 1
    for name in ("day", "batch", *(["account"] if has_accounts else []), "model", "purpose"):
        table.add_column(name, overflow="fold", footer="total" if name == "day" else "")
    counts = (
        ("answered", sum(line.answered for line in found.lines)),
        ("open", found.open),
        ("input", usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens),
        ("cached", usage.cached_tokens),
        ("cache write", usage.cache_write_tokens),
        ("output", usage.completion_tokens),
        ("reasoning", usage.reasoning_tokens),
    )
    for name, count in counts:
        table.add_column(name, justify="right", footer=f"{count:,}")
    table.add_column("cost", justify="right", footer=total)
    for line in found.lines:
        fields = line.as_line()
        numbers = (f"{fields[name]:,}" for name in _COUNTED)
        high_usd = None if line.unpriced else line.high_usd
        due = cost_between(line.low_usd, high_usd, line.provider)
        account = [line.provider] if has_accounts else []
        purpose = line.purpose if line.lane is Lane.LIVE else f"{line.purpose}, {line.lane}"
        table.add_row(line.day, line.batch, *account, line.model, purpose, *numbers, due)
    return table


_COUNTED = (
    "answered", "open", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
)  # fmt: skip
