from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from producer.cli.options import account_option, command_with, data_dir_option, json_option

if TYPE_CHECKING:
    from rich.table import Table

    from workers.contract.model_profile import ModelProfile


@command_with("gradequeue models", "gradequeue models --live --json")
@click.option("--all", "show_all", is_flag=True, help="Also show models that are shut down.")
@click.option("--live", is_flag=True, help="Ask the provider for its shutdown dates (needs OPENAI_API_KEY; free).")
@account_option
@json_option
@data_dir_option
def models(*, show_all: bool, live: bool, as_json: bool, **options: Any) -> None:
    """List the known models: prices, limits, reasoning efforts, shutdown dates.

    Prices are per million tokens.
    """
    from producer.cli.session import print_notes, settings_of
    from producer.terminal.console import out
    from workers.contract.model_profile import load_profiles

    settings = settings_of(options)
    profiles = load_profiles(settings.model_profiles)
    found = {name: profiles.find(name) for name in profiles.named}
    if live:
        from producer.local.provider_models import shutdown_dates

        found = _with_dates(found, shutdown_dates(settings))
    today = datetime.now(UTC).date()
    if not show_all:
        found = {name: profile for name, profile in found.items() if (profile.days_to_shutdown(today) or 1) > 0}
    if as_json:
        click.echo(json.dumps({name: asdict(profile) for name, profile in found.items()}))
        return
    out.print(_table(found))
    notices = (profile.shutdown_notice(name, today=today) for name, profile in found.items())
    print_notes(filter(None, notices))


def _with_dates(found: dict[str, ModelProfile], dates: dict[str, str | None]) -> dict[str, ModelProfile]:
    """What the provider says now overrides the file."""
    return {
        name: replace(profile, shutdown_on=dates[name]) if name in dates else profile for name, profile in found.items()
    }


def _table(found: dict[str, ModelProfile]) -> Table:
    from rich.table import Table

    table = Table(title="USD per million tokens, standard tier; - is unknown", title_justify="left")
    table.add_column("model", no_wrap=True)
    for column in ("input", "cached", "cache write", "output", "context", "longest answer"):
        table.add_column(column, justify="right")
    table.add_column("efforts")
    table.add_column("shuts down")
    table.add_column("read on")
    for name, profile in found.items():
        table.add_row(name, *_row(profile))
    return table


def _row(profile: ModelProfile) -> tuple[str, ...]:
    return (
        _price(profile.price_input_usd_per_mtok),
        _price(profile.price_cached_input_usd_per_mtok),
        _price(profile.price_cache_write_usd_per_mtok),
        _price(profile.price_output_usd_per_mtok),
        _count(profile.context_tokens),
        _count(profile.max_output_tokens),
        " ".join(profile.efforts or ()),
        profile.shutdown_on or "",
        profile.read_on or "your own file",
    )


def _price(usd: float | None) -> str:
    return "-" if usd is None else f"{usd:g}"


def _count(tokens: int | None) -> str:
    return "-" if tokens is None else f"{tokens:,}"
