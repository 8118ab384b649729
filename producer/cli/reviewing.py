"""What the commands of a review share: who decides, which items, and the sentence at the end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from producer.cli.options import batch_argument, data_dir_option
from producer.local.exit_status import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from producer.review.recording import Decided
    from producer.review.review import Review

MOST_LEFT_OUT = 10
"""Lines about items that were passed over; the rest is counted."""

by_option = click.option(
    "--by",
    envvar="GRADEQUEUE_REVIEWER",
    help="Who decides [default: GRADEQUEUE_REVIEWER, else the login name].",
)
reason_option = click.option("--reason", default="", help="Why; kept with the decision.")
items_argument = click.argument("item_ids", metavar="[ID]...", nargs=-1)


def about_items(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command BATCH, the items it is about, and who decides for which reason."""
    every = click.option("--all", "take_all", is_flag=True, help="Every item that has ended.")
    for declare in (data_dir_option, reason_option, by_option, every, items_argument, batch_argument):
        function = declare(function)
    return function


def reviewer(by: str | None) -> str:
    """The name under which a decision is recorded."""
    import getpass

    try:
        return by or getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return ""


@contextmanager
def opened_review(data_dir: Path | None, batch: str) -> Iterator[Review]:
    """The review of a batch that is in the store."""
    from producer.cli.session import opened_store
    from producer.review.review import Review
    from workers.contract.registry import builtin_registry
    from workers.contract.schema_files.lookup import InstalledSchemas
    from workers.contract.schema_files.trust import SchemaTrust
    from workers.settings import load_settings

    settings = load_settings(data_dir=data_dir)
    trust = SchemaTrust(settings.data_dir, settings.trusted_schemas)
    registry = builtin_registry(finder=InstalledSchemas(), trusts=trust.allows)
    with opened_store(data_dir) as store:
        yield Review(store, batch, registry=registry)


def chosen_items(review: Review, item_ids: tuple[str, ...], *, take_all: bool) -> tuple[str, ...] | None:
    """The named items, or None for all that have ended; raises `InvalidInput` when neither was asked for."""
    from producer.terminal.words import command
    from workers.contract.errors import InvalidInput

    if item_ids:
        suggest_ids(review, item_ids)
        return item_ids
    if not take_all:
        raise InvalidInput(f"name the items, or say --all; `{command('review', review.batch)}` lists them")
    return None


def suggest_ids(review: Review, item_ids: Collection[str]) -> None:
    """Raises `InvalidInput` with the ids of those whose names were given in place of ids."""
    from producer.inputs.courses.roster import display_name
    from producer.terminal.words import listed
    from workers.contract.errors import InvalidInput
    from workers.store.results import find_jobs
    from workers.store.stored_jobs import read_people

    given = set(item_ids)
    if len(review.read(lambda connection, batch: find_jobs(connection, batch, list(given)))) == len(given):
        return
    names = dict(
        review.read(
            lambda connection, batch: [
                (item_id, display_name(metadata)) for item_id, metadata in read_people(connection, batch)
            ]
        )
    )
    for each in item_ids:
        words = each.casefold().split()
        meant = [] if each in names else [(i, n) for i, n in names.items() if all(w in n.casefold() for w in words)]
        if words and meant:
            shown = listed([f"{item_id} ({name})" for item_id, name in meant[:MOST_LEFT_OUT]])
            raise InvalidInput(
                f"{review.batch} has no item {each!r}; by that name it has {shown}; give the id. Nothing was changed"
            )


def take_back(batch: str) -> str:
    """How what was just recorded for many items is undone."""
    from producer.terminal.words import command

    return f"take it back: {command('undo', batch, options=['--last'])}"


def after_approval(review: Review) -> str:
    """What comes after approved grades; nothing for a rehearsal's, which may not be used."""
    from producer.terminal.words import command

    if review.has_standin():
        return ""
    return f"next: {command('release', review.batch)}, and {to_gradebook(review.batch)}"


def to_gradebook(batch: str) -> str:
    """The command that takes official grades to a course system."""
    from producer.terminal.words import command

    return f"{command('gradebook', batch, options=['--for', 'csv'])} (or moodle, canvas, gradescope, blackboard, xlsx)"


def report(done: Decided, what: str, *, next_step: str = "") -> int:
    """Say what was recorded and what was left out; exit status 1 when anything was."""
    from producer.terminal.console import err, out

    out.print(f"{done.changed} {what}" + (f", {done.unchanged} were already" if done.unchanged else ""))
    for item_id, why in list(done.left_out.items())[:MOST_LEFT_OUT]:
        err.print(f"left out: {item_id}: {why}", soft_wrap=True)
    if len(done.left_out) > MOST_LEFT_OUT:
        err.print(f"left out: {len(done.left_out) - MOST_LEFT_OUT} more")
    if next_step:
        err.print(next_step, soft_wrap=True, markup=False)
    return ExitStatus.SOME_FAILED if done.left_out else ExitStatus.SUCCEEDED
