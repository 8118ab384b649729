from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producer.cli.job_options import job_options, spend_options
from producer.cli.options import command_with, input_argument

if TYPE_CHECKING:
    from pathlib import Path


@command_with(
    "gradequeue enqueue submissions.jsonl --template prompt.md --schema feedback --model gpt-6.1-terra --queue bulk",
    "gradequeue enqueue essays/ --template prompt.md --rubric rubrics.json --model gpt-6.1-terra --name week3",
)
@input_argument
@job_options
@spend_options
def enqueue(input_path: Path, **options: Any) -> None:
    """Put INPUT into the store and return; workers grade it.

    Workers that run now take the jobs at once; others take them when they start.
    """
    from producer.cli import session
    from producer.cli.serving_notice import say_when_nobody_works
    from producer.terminal.console import out
    from producer.terminal.words import command, enqueued

    by = session.moment_option(options["by"])
    settings, request = session.opened_request(input_path, options)
    with (
        session.joined_services(settings) as services,
        session.connected_client(settings, services, schemas=request.schemas) as client,
    ):
        request = session.joined_known_work(request, client)
        given = request.for_client(client)
        report = client.enqueue(
            given.specs(),
            name=request.name,
            queue=options["queue"],
            context=request.context,
            origin=given.origin,
            max_cost_usd=options["max_cost"],
            weight=options["weight"],
            by=by,
            price=request.price,
            notify=options["notify"],
            renews=options["update"],
            names_are_searched=True,
        )
        out.print(
            f"batch {request.name}: {enqueued(report.new, report.existing)}; "
            f"watch with: {command('status', request.name, options=['--watch'])}",
            soft_wrap=True,
        )
        session.print_notes(each.sentence for each in report.outlooks)
        say_when_nobody_works(client.batch(request.name), options["data_dir"])
