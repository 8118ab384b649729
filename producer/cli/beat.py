from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.options import command_with, data_dir_option
from producer.local.exit_status import ExitStatus

if TYPE_CHECKING:
    from producer.regrading.beat import AliveFile
    from workers.settings import Settings


@command_with("gradequeue beat --nightly nightly.toml", "gradequeue beat --check")
@click.option(
    "--nightly",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file of what to regrade and when [default: GRADEQUEUE_NIGHTLY].",
)
@click.option("--check", is_flag=True, help="Only say whether a beat runs for this data folder.")
@click.option("--offline", is_flag=True, help="Regrade stand-in batches; their grades are test data.")
@data_dir_option
def beat(nightly: Path | None, *, check: bool, **options: Any) -> int:
    """Regrade at night what a TOML file selects, until stopped.

    Running two is harmless: nothing is enqueued twice.
    """
    from producer.cli.session import settings_of
    from producer.local.data_folder import DataFolder
    from producer.regrading.beat import AliveFile
    from workers.contract.errors import InvalidInput

    settings = settings_of(options)
    alive_file = DataFolder.of(settings.data_dir).beat_alive
    if check:
        return _check(AliveFile(alive_file))
    path = nightly or settings.nightly
    if path is None:
        raise InvalidInput("say what to regrade: give --nightly FILE, or set GRADEQUEUE_NIGHTLY")
    _run(settings, path, alive_file)
    return ExitStatus.SUCCEEDED


def _run(settings: Settings, path: Path, alive_file: Path) -> None:
    import logging

    from producer.cli.session import joined_services
    from producer.local.interrupts import counted_interrupts
    from producer.regrading.beat import Beat
    from producer.terminal.console import err
    from workers.log import set_up_logs

    logging.basicConfig(level=logging.INFO)
    set_up_logs(logging.getLogger(), log_format=settings.log_format)
    with joined_services(settings) as services, counted_interrupts() as interrupts:
        running = Beat.open(services.apply_to(settings), path)
        try:
            for entry in running.entries:
                err.print(f"{entry.name}: daily at {entry.at:%H:%M:%S} {entry.zone}")
            running.run(interrupts, alive_file=alive_file)
        finally:
            running.close()


def _check(alive: AliveFile) -> int:
    from producer.terminal.console import err, out

    if alive.is_recent():
        out.print("`gradequeue beat` is running")
        return ExitStatus.SUCCEEDED
    err.print("No running `gradequeue beat` for this data folder.")
    return ExitStatus.SERVICE_MISSING
