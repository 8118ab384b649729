from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.options import batch_argument, command_with, data_dir_option, json_option

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from workers.store.life import Life


@command_with("gradequeue explain week3-1f2e3d4c ada", "gradequeue explain week3-1f2e3d4c ada --json")
@batch_argument
@click.argument("item", metavar="ID")
@json_option
@data_dir_option
def explain(batch: str, item: str, *, as_json: bool, data_dir: Path | None) -> None:
    """Show the life of one grade: requests, waits, flags, decisions and cost.

    Oldest first, with times in UTC. Neither work nor answer is shown. An item that was graded with another one's
    identical work is followed by that one.
    """
    import json
    from dataclasses import asdict

    from producer.cli.session import opened_store
    from producer.terminal.console import write_data
    from workers.store.life import read_life

    with opened_store(data_dir) as store, store.snapshot() as connection:
        lives = [read_life(connection, batch, item)]
        if lives[0].same_as is not None:
            lives.append(read_life(connection, batch, lives[0].same_as))
    for life in lives:
        if as_json:
            write_data(json.dumps(asdict(life), ensure_ascii=False, default=str) + "\n")
        else:
            _print(life)


def _print(life: Life) -> None:
    from producer.terminal.console import out
    from producer.terminal.words import moment

    out.print(f"{life.id} in {life.batch}: {life.state}", style="bold", soft_wrap=True)
    if life.same_as is not None:
        out.print(f"the same work as {life.same_as}, which was graded for both", soft_wrap=True)
    out.print(f"    {_listed(life.job)}", soft_wrap=True)
    for each in life.moments:
        out.print(f"{moment(each.at, with_seconds=True)}  {each.what}", soft_wrap=True)
        if facts := _listed(each.facts):
            out.print(f"    {facts}", soft_wrap=True)


def _listed(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items() if value not in (None, "", {}, 0))
