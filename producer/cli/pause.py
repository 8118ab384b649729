from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.options import command_with, data_dir_option, json_option, kind_option, steered_account_option

if TYPE_CHECKING:
    from pathlib import Path


@command_with("gradequeue pause week3-1f2e3d4c", "gradequeue pause gpt-6.1-terra", "gradequeue pause bulk --json")
@click.argument("name", required=False)
@kind_option
@steered_account_option
@json_option
@data_dir_option
def pause(name: str | None, *, kind: str | None, account: str | None, as_json: bool, data_dir: Path | None) -> None:
    """Let nothing more of NAME start: a batch, a model, an account or a queue.

    It holds in every worker at once; calls in flight finish, and paused time counts towards no deadline. It stays until
    `gradequeue resume NAME`. To pause twice changes nothing.
    """
    from producer.cli.session import opened_store
    from producer.cli.steering import meant, print_steered
    from producer.local.steering import pause_target
    from producer.terminal.words import command

    with opened_store(data_dir) as store:
        target, scope = meant(store, data_dir, name, kind, account)
        steered = pause_target(store, target, scope=scope)
    already = "" if steered.has_changed else " already"
    way_on = command("resume", steered.target.name)
    print_steered(steered, f"paused{already}: {steered.target}; resume with: {way_on}", is_paused=True, as_json=as_json)
