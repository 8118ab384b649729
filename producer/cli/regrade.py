from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from producer.cli.job_options import by_option, kit_option, notify_option, offline_option, price_option, queue_option
from producer.cli.options import account_option, batch_argument, command_with, data_dir_option
from producer.cli.points_question import points_option
from workers.contract.job import QueueName
from workers.contract.model_profile import EFFORTS, VERBOSITIES


@command_with(
    "gradequeue regrade week3-1f2e3d4c --model gpt-6-luna",
    "gradequeue regrade week3-1f2e3d4c --rubric rubrics.json#style",
    "gradequeue regrade week3-1f2e3d4c --repeats 2 --sample 30",
)
@batch_argument
@click.option("--model", help="Ask this model instead.")
@click.option("--template", type=click.Path(path_type=Path), help="Use this template instead.")
@click.option("--rubric", metavar="FILE[#ID]", help="Grade by this rubric instead.")
@click.option("--catalogue", metavar="FILE[#COURSE[/ASSIGNMENT]]", help="Grade by this error catalogue instead.")
@kit_option
@points_option
@click.option("--effort", type=click.Choice(EFFORTS), help="How long a reasoning model thinks.")
@click.option("--verbosity", type=click.Choice(VERBOSITIES), help="How much it writes.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Maximum tokens of an answer, reasoning included.")
@click.option(
    "--input",
    "input_path",
    type=click.Path(path_type=Path),
    help="The submissions, where they cannot be recovered from the prompts.",
)
@click.option(
    "--roster",
    type=click.Path(dir_okay=False, path_type=Path),
    help="CSV of the class, whose names prompts are searched for [default: the one BATCH was made with].",
)
@click.option("--encoding", help="Encoding of input files that are not UTF-8 [default: detected].")
@click.option(
    "--repeats", type=click.IntRange(1, 20), metavar="K", help="Change nothing: grade a sample K more times (noise)."
)
@click.option("--sample", type=click.IntRange(1), default=30, show_default=True, help="Items that --repeats grades.")
@click.option("--name", help="Name of the new batch [default: derived from BATCH and what changes].")
@by_option
@price_option
@notify_option
@queue_option
@account_option
@offline_option
@data_dir_option
def regrade(
    batch: str, input_path: Path | None, name: str | None, queue: str, kit: Path | None, **options: Any
) -> None:
    """Grade the submissions of BATCH again, as a new batch; the old grades are kept.

    Give at least one of --kit, --model, --template, --rubric, --catalogue, --effort, --verbosity and --max-tokens; or
    --repeats, to measure how far the model scatters: `gradequeue drift` uses it.
    """
    if options["repeats"] is not None:
        _repeat(batch, queue, options)
        return
    from producer.cli import session
    from producer.cli.serving_notice import say_when_nobody_works
    from producer.inputs.apart import refuse_among_submissions
    from producer.inputs.kits.kit import NO_KIT, load_kit
    from producer.inputs.templates import Template
    from producer.regrading.change import change_with
    from producer.regrading.regrade import regrade as regrade_batch
    from producer.regrading.regrade import regrade_name
    from producer.terminal.console import err, out
    from producer.terminal.words import command, enqueued
    from workers.contract.errors import InvalidInput
    from workers.contract.schemes.scheme import scheme_from_options

    if options["encoding"] and input_path is None:
        raise InvalidInput(
            "--encoding is of the files of --input; give both, or leave it out: the batch keeps its texts"
        )
    if input_path is not None:
        given = {name: options[name] for name in ("template", "rubric", "catalogue", "roster")}
        refuse_among_submissions(input_path, {"kit": kit, **given})
    change = change_with(
        load_kit(kit) if kit else NO_KIT,
        model=options["model"],
        template=Template.load(options["template"]) if options["template"] else None,
        scheme=scheme_from_options(options["rubric"], options["catalogue"], options["points"]),
        input_path=input_path,
        roster=options["roster"],
        encoding=options["encoding"],
        effort=options["effort"],
        verbosity=options["verbosity"],
        max_tokens=options["max_tokens"],
        on_note=lambda note: session.print_notes([note]),
    )
    by = session.moment_option(options["by"])
    settings = session.settings_of(options | {"kit": kit}, input_path=input_path)
    with (
        session.joined_services(settings) as services,
        session.paid_like(batch, settings, services, chosen=options["account"]) as settings,
        session.connected_client(settings, services) as client,
    ):
        before = client.batch(batch).progress().provider
        if before != client.provider:
            err.print(f"note: the batch was graded by {before}; this asks {client.provider}")
        report = regrade_batch(
            client,
            batch,
            change,
            name=name,
            queue=QueueName(queue),
            by=by,
            price=options["price"],
            notify=options["notify"],
        )
        new = name or regrade_name(batch, change)
        session.print_ending_models(client.batch(new), settings)
        out.print(
            f"batch {new}: {enqueued(report.new, report.existing)}; "
            f"watch with: {command('status', new, options=['--watch'])}; compare with: {command('drift', batch, new)}",
            soft_wrap=True,
        )
        session.print_notes(each.sentence for each in report.outlooks)
        say_when_nobody_works(client.batch(new), options["data_dir"])


def _repeat(batch: str, queue: str, options: dict[str, Any]) -> None:
    from producer.cli import session
    from producer.cli.serving_notice import say_when_nobody_works
    from producer.regrading.repeats import repeat, repeat_name
    from producer.terminal.console import out
    from producer.terminal.words import command, enqueued
    from workers.contract.errors import InvalidInput

    if any(options[name] for name in ("model", "template", "rubric", "catalogue", "effort", "verbosity", "max_tokens")):
        raise InvalidInput("--repeats grades again without a change; leave the other options out")
    by = session.moment_option(options["by"])
    settings = session.settings_of(options, input_path=None)
    with (
        session.joined_services(settings) as services,
        session.paid_like(batch, settings, services, chosen=options["account"]) as settings,
        session.connected_client(settings, services) as client,
    ):
        repeats, sample = options["repeats"], options["sample"]
        reports = repeat(
            client,
            batch,
            repeats=repeats,
            sample=sample,
            queue=QueueName(queue),
            by=by,
            price=options["price"],
            notify=options["notify"],
        )
        last = repeat_name(batch, options["repeats"])
        session.print_ending_models(client.batch(last), settings)
        counts = enqueued(sum(each.new for each in reports), sum(each.existing for each in reports))
        watch = command("status", last, options=["--watch"])
        out.print(f"{options['repeats']} repeats of {batch}: {counts}; watch with: {watch}", soft_wrap=True)
        session.print_notes(each.sentence for report in reports for each in report.outlooks)
        say_when_nobody_works(client.batch(last), options["data_dir"])
