"""`worker` and `standin`: processes that serve until stopped."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from producer.commands.shared import (
    data_dir_option,
    err,
    joined_services,
    log_dir,
    provided,
    reports_errors,
    settings_of,
)
from producer.processes import WorkerFleet
from producer.run import ExitStatus, counted_interrupts
from workers.contract.errors import InvalidInput
from workers.contract.job import QueueName

if TYPE_CHECKING:
    from producer.embedded import Services
    from producer.run import Interrupts

POLL_SECONDS = 0.25


@click.command()
@click.option(
    "--queues", default="interactive,bulk", show_default=True, help="Queues to serve, one process each, by comma."
)
@click.option("--concurrency", type=click.IntRange(1, 5000), help="Jobs in flight per process [default: 400].")
@click.option("--log-to-stderr", is_flag=True, help="Log there instead of into DATA_DIR/logs, as containers do.")
@click.option("--offline", is_flag=True, help="Serve stand-in batches; needs GRADEQUEUE_STANDIN_URL or starts one.")
@data_dir_option
@reports_errors
def worker(queues: str, *, log_to_stderr: bool, **options: Any) -> int:
    """Serve queues until stopped, one worker process per queue.

    \b
    gradequeue worker --queues bulk --concurrency 200
    """  # noqa: D301 - click's mark for lines to keep
    settings = settings_of(options)
    names = [_queue(name) for name in queues.split(",")]
    with provided(settings) as settings, joined_services(settings) as services:
        fleets = [
            WorkerFleet(
                queue=name,
                count=1,
                settings=settings,
                services=services,
                log_dir=log_dir(settings),
                logs_to_stderr=log_to_stderr,
            )
            for name in names
        ]
        _serve(fleets, services)
    return ExitStatus.SUCCEEDED


def _queue(name: str) -> str:
    try:
        return str(QueueName(name.strip()))
    except ValueError:
        raise InvalidInput(f"there is no queue {name.strip()!r}; choose from {', '.join(QueueName)}") from None


def _serve(fleets: list[WorkerFleet], services: Services) -> None:
    with counted_interrupts() as interrupts:
        try:
            for fleet in fleets:
                fleet.start()
            err.print(f"serving {', '.join(fleet.queue for fleet in fleets)}; Ctrl-C drains", highlight=False)
            while not interrupts.count:
                time.sleep(POLL_SECONDS)
                if services.broker is not None:
                    services.broker.restart_if_dead()
                for fleet in fleets:
                    fleet.restart_dead()
            _drain(fleets, interrupts)
        finally:
            for fleet in fleets:
                fleet.close()


def _drain(fleets: list[WorkerFleet], interrupts: Interrupts) -> None:
    """The first Ctrl-C lets what is in flight finish; another gives it back."""
    for fleet in fleets:
        fleet.drain()
    seen = interrupts.count
    while not all(fleet.wait(POLL_SECONDS) for fleet in fleets):
        if interrupts.count > seen:
            seen = interrupts.count
            for fleet in fleets:
                fleet.abandon()


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def standin(options: tuple[str, ...]) -> None:
    """Run the stand-in provider (--port, --latency-ms, --rpm, --tpm, --fault; --help for all)."""
    sys.exit(subprocess.call([sys.executable, "-m", "ops.standin", *options]))  # noqa: S603 - our own program
