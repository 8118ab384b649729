from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from producer.cli.options import command_with, concurrency_option, data_dir_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.local.embedded import Services
    from producer.local.interrupts import Interrupts
    from producer.local.processes import WorkerFleet
    from workers.settings import Settings

POLL_SECONDS = 0.25


@command_with("gradequeue worker --queues bulk --concurrency 200", "gradequeue worker --offline")
@click.option(
    "--queues",
    default="interactive,bulk",
    show_default=True,
    help="Comma-separated queues; one worker process per queue.",
)
@concurrency_option
@click.option("--log-to-stderr", is_flag=True, help="Log to stderr instead of DATA_DIR/logs, for containers.")
@click.option("--offline", is_flag=True, help="Serve stand-in batches; uses GRADEQUEUE_STANDIN_URL or starts one.")
@data_dir_option
def worker(queues: str, *, log_to_stderr: bool, **options: Any) -> None:
    """Serve queues until stopped, one worker process per queue.

    Ctrl-C finishes what is in flight and stops; a second one returns it to the queue.
    """
    from producer.cli.session import joined_services, print_accounts, provided, settings_of
    from producer.local.run import UNSAVED_NOTICE
    from workers.contract.errors import ServiceUnavailable

    settings = settings_of(options)
    print_accounts(settings)
    names = [_queue(name) for name in queues.split(",")]
    with provided(settings, serves_all=True) as settings, joined_services(settings) as services:
        fleets = worker_fleets(names, settings, services, logs_to_stderr=log_to_stderr)
        _serve(fleets, services)
        if any(fleet.has_unsaved() for fleet in fleets):
            raise ServiceUnavailable("disk", UNSAVED_NOTICE)


def worker_fleets(
    queues: Sequence[str], settings: Settings, services: Services, *, logs_to_stderr: bool = False
) -> list[WorkerFleet]:
    """One worker process per queue, not started yet."""
    from producer.local.data_folder import DataFolder
    from producer.local.processes import WorkerFleet

    return [
        WorkerFleet(
            queue=name,
            count=1,
            settings=settings,
            services=services,
            log_dir=DataFolder.of(settings.data_dir).logs,
            logs_to_stderr=logs_to_stderr,
        )
        for name in queues
    ]


def keep_alive(fleets: Sequence[WorkerFleet], services: Services) -> None:
    """Start again what died."""
    if services.broker is not None:
        services.broker.restart_if_dead()
    for fleet in fleets:
        fleet.restart_dead()


def _queue(name: str) -> str:
    from workers.contract.errors import InvalidInput
    from workers.contract.job import QueueName

    try:
        return str(QueueName(name.strip()))
    except ValueError:
        raise InvalidInput(f"there is no queue {name.strip()!r}; choose from {', '.join(QueueName)}") from None


def _serve(fleets: list[WorkerFleet], services: Services) -> None:
    from producer.local.interrupts import counted_interrupts
    from producer.terminal.console import err

    with counted_interrupts() as interrupts:
        try:
            for fleet in fleets:
                fleet.start()
            queues = ", ".join(fleet.queue for fleet in fleets)
            err.print(f"serving {queues}; Ctrl-C finishes what is in flight and stops")
            while not interrupts.count:
                interrupts.wait(POLL_SECONDS)
                keep_alive(fleets, services)
            drain(fleets, interrupts)
        finally:
            for fleet in fleets:
                fleet.close()


def drain(fleets: list[WorkerFleet], interrupts: Interrupts) -> None:
    """The first Ctrl-C lets what is in flight finish; another returns it to the queue."""
    for fleet in fleets:
        fleet.drain()
    seen = interrupts.count
    while not all(fleet.wait(POLL_SECONDS) for fleet in fleets):
        if interrupts.count > seen:
            seen = interrupts.count
            for fleet in fleets:
                fleet.abandon()
