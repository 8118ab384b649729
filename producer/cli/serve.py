from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.options import command_with, concurrency_option, data_dir_option

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from producer.local.embedded import Services
    from producer.local.processes import WorkerFleet

QUEUES = ("interactive", "bulk")


@command_with("gradequeue serve", "gradequeue serve --offline --port 8600 --no-browser")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Port of the page.")
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page when it is ready.")
@click.option(
    "--downloads",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="GRADEQUEUE_DOWNLOADS",
    help="The page offers the ZIP files in this folder, of any size, without an upload.",
)
@click.option("--offline", is_flag=True, help="Grade with the stand-in provider; its grades are test data.")
@concurrency_option
@data_dir_option
def serve(port: int, *, browser: bool, downloads: Path | None, **options: Any) -> int:
    """Start everything on this machine: store, broker, workers and the page, and open it.

    The page listens on this machine alone; `gradequeue dashboard` has options for a network. An upload may have 200
    MiB; larger ZIPs are chosen from the folder that --downloads names. Ctrl-C finishes what is in flight and stops;
    what waits stays in the store.
    """
    from producer.cli.dashboard import LOOPBACK, check_streamlit, page_command, page_environment, say_where, serve_page
    from producer.cli.session import joined_services, print_accounts, provided, settings_of
    from producer.cli.worker import worker_fleets

    check_streamlit()
    _refuse_used_port(LOOPBACK, port)
    settings = settings_of(options)
    if downloads is not None:
        settings = settings.model_copy(update={"downloads": downloads.resolve()})
    print_accounts(settings)
    with provided(settings, serves_all=True) as settings, joined_services(settings) as services:
        fleets = worker_fleets(QUEUES, settings, services)
        try:
            for fleet in fleets:
                fleet.start()
            say_where(LOOPBACK, port, has_tls=False)
            status = serve_page(
                page_command(LOOPBACK, port),
                page_environment(settings, services),
                services,
                each_poll=_Watch(fleets, services, _opener(LOOPBACK, port) if browser else None),
            )
            _finish(fleets)
        finally:
            for fleet in fleets:
                fleet.close()
    return status


class _Watch:
    """Keeps workers and broker alive, and opens the page once it answers."""

    def __init__(self, fleets: Sequence[WorkerFleet], services: Services, opens: Callable[[], bool] | None) -> None:
        self._fleets = fleets
        self._services = services
        self._opens = opens

    def __call__(self) -> None:
        from producer.cli.worker import keep_alive

        keep_alive(self._fleets, self._services)
        if self._opens is not None and self._opens():
            self._opens = None


def _opener(host: str, port: int) -> Callable[[], bool]:
    """Opens the page in the browser when the port answers; true once it did."""

    def opened() -> bool:
        import socket
        import webbrowser

        try:
            socket.create_connection((host, port), timeout=0.2).close()
        except OSError:
            return False
        webbrowser.open(f"http://{host}:{port}")
        return True

    return opened


def _refuse_used_port(host: str, port: int) -> None:
    import socket

    from workers.contract.errors import InvalidInput

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise InvalidInput(f"port {port} is in use; give another with --port") from None


def _finish(fleets: list[WorkerFleet]) -> None:
    from producer.cli.worker import drain
    from producer.local.interrupts import counted_interrupts
    from producer.local.run import UNSAVED_NOTICE
    from workers.contract.errors import ServiceUnavailable

    with counted_interrupts() as interrupts:
        drain(fleets, interrupts)
    if any(fleet.has_unsaved() for fleet in fleets):
        raise ServiceUnavailable("disk", UNSAVED_NOTICE)
