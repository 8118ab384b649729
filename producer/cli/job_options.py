"""The options that say how jobs are made; `enqueue_request` makes a checked request of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.options import account_option, data_dir_option
from producer.cli.points_question import points_option
from workers.contract.errors import InvalidInput
from workers.contract.identity import IdentityRule
from workers.contract.job import STRICT_EVIDENCE, QueueName
from workers.contract.lane_choice import PriceWish
from workers.contract.model_profile import EFFORTS, VERBOSITIES
from workers.contract.twins import TwinRule

if TYPE_CHECKING:
    from collections.abc import Callable

queue_option = click.option(
    "--queue",
    type=click.Choice([str(queue) for queue in QueueName]),
    default=str(QueueName.BULK),
    show_default=True,
    help="Queue of the jobs: interactive when a person waits for them.",
)
offline_option = click.option(
    "--offline", is_flag=True, help="Grade with the stand-in provider; its grades are test data."
)


choice_options = (
    click.option(
        "--effort", type=click.Choice(EFFORTS), help="How long a reasoning model thinks [default: the model's]."
    ),
    click.option("--verbosity", type=click.Choice(VERBOSITIES), help="How much it writes [default: the model's]."),
)


by_option = click.option(
    "--by",
    metavar="TIME",
    help="Start no job after this moment, e.g. 2026-12-01T08:00, here or '... Europe/Berlin'; says what would be late.",
)


price_option = click.option(
    "--price",
    type=click.Choice([str(wish) for wish in PriceWish]),
    help="lowest and balanced let jobs wait for a cheaper lane as far as --by or --deadline allows [default: live].",
)


def _targets(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    from workers.contract.notification import targets_of

    try:
        return targets_of(given)
    except InvalidInput as problem:
        raise click.BadParameter(problem.message) from None


notify_option = click.option(
    "--notify",
    multiple=True,
    callback=_targets,
    metavar="URL|mailto:ADDRESS",
    help="Webhook or address to notify when the batch ends, stops at a cap or waits for its account; may be repeated.",
)


def spend_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a batch may cost, its share of the queue, its deadline and who is notified."""
    command = notify_option(by_option(command))
    command = price_option(command)
    command = click.option(
        "--weight",
        type=click.FloatRange(0.01, 100),
        metavar="N",
        help="Share of the queue against other batches [default: 1].",
    )(command)
    return click.option(
        "--max-cost",
        type=click.FloatRange(min=0, min_open=True),
        metavar="USD",
        help="Cap what the batch may cost; at the cap its jobs wait.",
    )(command)


kit_option = click.option(
    "--kit",
    type=click.Path(file_okay=False, path_type=Path),
    help="Course kit (see `gradequeue init`): a folder with assignment, rubric, notes, template, model and roster.",
)
one_model = click.option("--model", help="Model to ask [default: GRADEQUEUE_MODEL].")
models_side_by_side = click.option(
    "--model", "models", multiple=True, help="Model to ask; give several to compare [default: GRADEQUEUE_MODEL]."
)


def given_options() -> tuple[Callable[..., Any], ...]:
    """Texts for the whole batch, part of the instructions, not of any student's part."""
    file = click.Path(dir_okay=False, path_type=Path)
    return (
        click.option("--assignment", type=file, help="Text file with the assignment; {assignment} in a template."),
        click.option("--solution", type=file, help="Text file with a reference solution; {solution} in a template."),
        click.option("--notes", type=file, help="Text file with notes for the grader; {notes} in a template."),
    )


def job_options(command: Callable[..., Any], *, model: Callable[..., Any] = one_model) -> Callable[..., Any]:
    """Add the options to a command: `run`, `enqueue` and `estimate` make jobs in the same way."""
    options = (
        click.option("--schema", help="Schema of the answers: a built-in name, or your own as file.py:Model."),
        model,
        click.option(
            "--template",
            type=click.Path(path_type=Path),
            help="Template file; placeholders: {submission}, any column.",
        ),
        kit_option,
        *given_options(),
        click.option(
            "--rubric",
            metavar="FILE[#ID]",
            help="Grade by a rubric: the model chooses levels, code computes the points.",
        ),
        click.option(
            "--catalogue",
            metavar="FILE[#COURSE[/ASSIGNMENT]]",
            help="Grade by an error catalogue: the model reports errors, code computes the deduction.",
        ),
        points_option,
        click.option(
            "--evidence",
            type=click.Choice(["flag", STRICT_EVIDENCE]),
            default="flag",
            show_default=True,
            help="Quotations that are not in the work: flag the result, or ask once more and else fail it.",
        ),
        click.option(
            "--counterfactual",
            is_flag=True,
            help="Grade work with a passage that seems to address the grader once more without it.",
        ),
        click.option(
            "--identity",
            type=click.Choice([str(rule) for rule in IdentityRule]),
            default=str(IdentityRule.WARN),
            show_default=True,
            help="Prompts that name a student: flag them, send a pseudonym instead, or refuse the input.",
        ),
        click.option(
            "--twins",
            type=click.Choice([str(rule) for rule in TwinRule]),
            default=str(TwinRule.EXACT),
            show_default=True,
            help="Grade identical work once; near: Python programs alike but for comments and formatting, too.",
        ),
        click.option(
            "--no-twins", "twins", flag_value=str(TwinRule.OFF), help="Grade identical work as often as it comes."
        ),
        click.option(
            "--encoding",
            help="Encoding of files that are not UTF-8, e.g. cp1252 [default: detected; refused when ambiguous].",
        ),
        click.option(
            "--layout",
            metavar="SYSTEM",
            default="",
            help="Course system of the download INPUT: moodle, canvas, gradescope, blackboard, brightspace, github, "
            "nbgrader[:ASSIGNMENT], or plain [default: recognised].",
        ),
        click.option(
            "--roster",
            type=click.Path(dir_okay=False, path_type=Path),
            help="CSV of the class; joins e-mail, number and section to each student; --identity looks for them.",
        ),
        click.option(
            "--id-column",
            metavar="TITLE",
            default="",
            help="Column of a table that names the students [default: guessed].",
        ),
        click.option(
            "--strict",
            is_flag=True,
            help="Refuse INPUT when a file cannot be read, instead of naming the file and grading the rest.",
        ),
        click.option(
            "--update",
            is_flag=True,
            help="Grade again who handed in other work since; their earlier grades are kept as rounds.",
        ),
        click.option("--name", help="Batch name [default: derived from input, schema, model, template, provider]."),
        queue_option,
        account_option,
        offline_option,
        click.option("--temperature", type=float, help="Sampling temperature, 0 to 2 [default: 0.2]."),
        click.option(
            "--max-tokens",
            type=int,
            help="Maximum tokens of an answer, reasoning included [default: 4096, more where the model reasons].",
        ),
        *choice_options,
        click.option("--max-retries", type=int, help="Further attempts after the first [default: 3]."),
        click.option("--retry-delay", help="Delay before the second attempt; doubles each time [default: 1s]."),
        click.option(
            "--allow-repair", is_flag=True, default=None, help="Show an invalid answer to the model and ask once more."
        ),
        click.option("--fallback-model", help="Model to ask when the first one keeps failing."),
        click.option("--deadline", help="Give a job up after this long, e.g. 90s, 15m, 2h, 1d [default: never]."),
        data_dir_option,
    )
    for option in reversed(options):
        command = option(command)
    return command
