from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.options import batch_argument, command_with, data_dir_option
from workers.contract.job import STRICT_EVIDENCE
from workers.contract.outcome import FailureKind

if TYPE_CHECKING:
    from pathlib import Path


@command_with(
    "gradequeue retry week3-1f2e3d4c",
    "gradequeue retry week3-1f2e3d4c --kind truncated --max-tokens 8192",
    "gradequeue retry week3-1f2e3d4c --kind invalid_output --allow-repair --model gpt-6.1-sol",
)
@batch_argument
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([str(kind) for kind in FailureKind]),
    help="Only failures of this kind; may be repeated.",
)
@click.option("--max-tokens", type=click.IntRange(1), help="Maximum tokens of an answer in the new round.")
@click.option("--model", help="Model to ask in the new round.")
@click.option("--allow-repair", is_flag=True, help="Show an invalid answer to the model and ask once more.")
@click.option(
    "--evidence",
    type=click.Choice(["flag", STRICT_EVIDENCE]),
    help="Quotations that are not in the work, in the new round: flag the result, or ask once more and else fail it.",
)
@click.option("--deadline", help="Give a job of the new round up after this long, e.g. 90s, 15m, 2h, 1d.")
@click.option("--by", metavar="TIME", help="Start no job of the new round after this moment, e.g. 2026-12-01T08:00.")
@data_dir_option
def retry(
    batch: str,
    kinds: tuple[str, ...],
    *,
    max_tokens: int | None,
    model: str | None,
    allow_repair: bool,
    evidence: str | None,
    deadline: str | None,
    by: str | None,
    data_dir: Path | None,
) -> None:
    """Start another round for the failed jobs of BATCH; earlier outcomes are kept.

    `gradequeue failures BATCH` shows them by kind.
    """
    from producer.batch import Batch
    from producer.cli.serving_notice import say_when_nobody_works
    from producer.cli.session import moment_option, opened_store, print_ending_models, settings_of
    from producer.inputs import duration_seconds
    from producer.terminal.console import out
    from producer.terminal.words import counted

    with opened_store(data_dir) as store:
        parameters: dict[str, object] = {} if max_tokens is None else {"max_tokens": max_tokens}
        if allow_repair:
            parameters["allow_repair"] = True
        if evidence is not None:
            parameters["evidence"] = STRICT_EVIDENCE if evidence == STRICT_EVIDENCE else None
        if deadline is not None:
            parameters["deadline_seconds"] = duration_seconds(deadline)
        found = Batch(store, batch)
        count = found.retry_failed(kinds or None, model=model, parameters=parameters, by=moment_option(by))
        if not count:
            out.print("no failed job matches; nothing was changed")
            return
        print_ending_models(found, settings_of({"data_dir": data_dir}))
        out.print(f"{counted(count, 'job')} will run again", soft_wrap=True)
        say_when_nobody_works(found, data_dir)
