from __future__ import annotations

import json
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from producer.cli.job_options import job_options, models_side_by_side
from producer.cli.options import command_with, input_argument, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer.inputs.estimate import Estimate
    from workers.settings import Settings
    from workers.store import Store


@command_with(
    "gradequeue estimate submissions.jsonl --template prompt.md --schema feedback --model gpt-6.1-terra",
    "gradequeue estimate week3.zip --kit week3-kit --first-prompt",
    "gradequeue estimate essays/ --template prompt.md --rubric rubrics.json --model gpt-6-luna --model gpt-6.1-terra",
)
@input_argument
@partial(job_options, model=models_side_by_side)
@json_option
@click.option("--first-prompt", is_flag=True, help="Show the first prompt as it would be sent, at once, and stop.")
def estimate(input_path: Path, *, as_json: bool, first_prompt: bool, models: tuple[str, ...], **options: Any) -> None:
    """Estimate tokens and cost of grading INPUT. Nothing is enqueued.

    For one model or several side by side: from the model's prices, its tokenizer, and earlier answers of the same
    schema by the same provider.
    """
    from producer.cli.session import settings_of
    from producer.terminal.console import out
    from producer.terminal.estimates import estimates_table

    settings = settings_of(options, input_path=input_path)
    if first_prompt:
        _show_first_prompt(input_path, settings, options | {"model": next(iter(models), None)})
        return
    with _existing_store(settings) as store:
        estimates = [
            each
            for name in models or (None,)
            for each in _estimates(input_path, settings, options | {"model": name}, store)
        ]
    if as_json:
        click.echo(json.dumps([each.as_json() for each in estimates]))
        return
    out.print(estimates_table(estimates))
    if any(each.is_first_run for each in estimates):
        out.print(
            "How long answers are is not known before the first: a pilot narrows it (gradequeue run ... --pilot 10).",
            soft_wrap=True,
        )


def _show_first_prompt(input_path: Path, settings: Settings, options: dict[str, Any]) -> None:
    from producer.cli.enqueue_request import checked_request
    from producer.cli.session import print_notes
    from producer.terminal.console import write_data
    from workers.contract.errors import InvalidInput
    from workers.contract.pictures import visible_text

    request = checked_request(input_path, settings, options, is_first_alone=True)
    print_notes(request.warnings)
    first = next((spec for spec in request.checked.specs() if not spec.left_out), None)
    if first is None:
        raise InvalidInput("nobody handed in anything that a model can read", where=input_path.name)
    print_notes([f"the prompt of {first.id}"])
    for text in filter(None, (first.instructions, visible_text(first.prompt, first.instructions))):
        write_data(text + "\n")


def _estimates(input_path: Path, settings: Settings, options: dict[str, Any], store: Store | None) -> list[Estimate]:
    from producer.cli.enqueue_request import checked_request
    from producer.cli.session import print_notes
    from producer.inputs.estimate import estimate_jobs
    from producer.inputs.token_counts import best_counter
    from workers.contract.model_profile import load_profiles

    profiles = load_profiles(settings.model_profiles)
    request = checked_request(input_path, settings, options)
    print_notes(request.warnings)
    return estimate_jobs(
        request.checked.specs(),
        entries=request.schema_entries(),
        store=store,
        provider=settings.provider,
        profile_of=lambda name: profiles.find(name, settings.provider_host),
        counter=best_counter(),
        has_twins=request.origin.twins != "off",
    )


@contextmanager
def _existing_store(settings: Settings) -> Iterator[Store | None]:
    """For earlier answers; None where there is no store yet, and none is made."""
    from producer.cli.session import prepared_store
    from producer.local.data_folder import DataFolder

    url = settings.database_url
    if url is None:
        folder = DataFolder.of(settings.data_dir)
        if not folder.store_file.exists():
            yield None
            return
        url = folder.store_url
    with prepared_store(url) as store:
        yield store
