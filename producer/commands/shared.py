"""What commands share: errors as one line, settings, services, a client. Each is a context manager that cleans up."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import SecretStr
from rich.console import Console

from producer.client import JobClient
from producer.embedded import Services, join_services
from producer.processes import STANDIN_KEY, StandinProcess
from producer.run import ExitStatus, exit_status_of
from workers.contract.errors import GradequeueError, InvalidInput
from workers.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WIDTH_OF_A_FILE = 240


def _console(*, stderr: bool = False) -> Console:
    """A console as wide as its terminal; a pipe or a file has no width, and paths and cells stay whole there."""
    stream = sys.stderr if stderr else sys.stdout
    is_fitted = stream.isatty() or "COLUMNS" in os.environ
    return Console(stderr=stderr, width=None if is_fitted else WIDTH_OF_A_FILE)


out = _console()
err = _console(stderr=True)
STORE_FILE = "gradequeue.db"


def reports_errors(command: Callable[..., int | None]) -> Callable[..., None]:
    """One clear line and an exit status; never a traceback for what the caller or operator can mend."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            status = command(*args, **kwargs) or 0
            sys.stdout.flush()
        except (GradequeueError, SettingsError) as error:
            err.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
            status = exit_status_of(error)
        except KeyboardInterrupt:
            err.print("stopped; the same command goes on where it stopped")
            status = ExitStatus.INTERRUPTED
        except BrokenPipeError:  # `gradequeue results | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = ExitStatus.SUCCEEDED
        sys.exit(int(status))

    return wrapped


data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the embedded services [default: the user's data folder].",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON for scripts.")


def settings_of(options: dict[str, Any]) -> Settings:
    """The settings, with what the command line says on top."""
    return load_settings(
        data_dir=options.get("data_dir"),
        offline=options.get("offline") or None,
        concurrency=options.get("concurrency"),
    )


@contextmanager
def provided(settings: Settings) -> Iterator[Settings]:
    """Settings that point at a provider: the real one needs a key, the stand-in is started when none runs."""
    if not settings.offline:
        if settings.openai_api_key is None:
            raise InvalidInput(
                "OPENAI_API_KEY environment variable is not set; set it, or try --offline with the stand-in provider"
            )
        yield settings
        return
    started = None if settings.standin_url else StandinProcess.start()
    try:
        base_url = started.base_url if started else settings.standin_url
        yield settings.model_copy(
            update={
                "openai_base_url": base_url,
                "openai_api_key": SecretStr(STANDIN_KEY),  # a real key has no business there
                "standin_url": base_url,
            }
        )
    finally:
        if started is not None:
            started.stop()


@contextmanager
def joined_services(settings: Settings) -> Iterator[Services]:
    """Broker and store, embedded where no URL names them."""
    services = join_services(settings)
    try:
        yield services
    finally:
        services.leave()


@contextmanager
def connected_client(settings: Settings, services: Services) -> Iterator[JobClient]:
    """A client for these services."""
    client = JobClient.connect(
        settings.model_copy(update={"redis_url": services.redis_url, "database_url": services.database_url})
    )
    try:
        yield client
    finally:
        client.close()


@contextmanager
def store_only(data_dir: Path | None) -> Iterator[JobClient]:
    """A client for commands that need no broker: none is started for them."""
    settings = load_settings(data_dir=data_dir)
    if settings.database_url is None:
        file = settings.data_dir.expanduser().absolute() / STORE_FILE
        if not file.exists():
            raise InvalidInput(
                f"there is no store in {file.parent}; start with `gradequeue run`, or name another --data-dir"
            )
        settings = settings.model_copy(update={"database_url": f"sqlite:///{file}"})
    client = JobClient.connect(settings.model_copy(update={"redis_url": None}))
    try:
        yield client
    finally:
        client.close()


def log_dir(settings: Settings) -> Path:
    """Where worker processes write their logs."""
    return settings.data_dir.expanduser().absolute() / "logs"
