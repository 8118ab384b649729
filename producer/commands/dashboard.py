"""`dashboard`: the page in the browser."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.commands.shared import data_dir_option, err, joined_services, reports_errors, settings_of
from producer.dashboard.limits import MAX_UPLOAD_MIB
from workers.contract.errors import ServiceUnavailable

if TYPE_CHECKING:
    from producer.embedded import Services
    from workers.settings import Settings

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - only with a password
STOP_SECONDS = 10.0
_PAGE = Path(__file__).parents[1] / "streamlit_app.py"
_NOT_FOR_THE_PAGE = ("OPENAI_API_KEY",)


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Port to listen on.")
@click.option("--offline", is_flag=True, help="Make stand-in batches; no grade is real.")
@data_dir_option
@reports_errors
def dashboard(port: int, **options: Any) -> int:
    """Serve the page: upload, grade, watch, download.

    It listens on this machine alone, unless GRADEQUEUE_DASHBOARD_PASSWORD is set. Workers run beside it:

    \b
    gradequeue worker --queues interactive &
    gradequeue dashboard
    """  # noqa: D301 - click's mark for lines to keep
    if importlib.util.find_spec("streamlit") is None:
        raise ServiceUnavailable(
            "page", "Streamlit is not installed; install it with: pip install 'gradequeue[dashboard]'"
        )
    settings = settings_of(options)
    with joined_services(settings) as services:
        address = EVERYWHERE if settings.dashboard_password else LOOPBACK
        err.print(f"the page is at http://{LOOPBACK}:{port}; Ctrl-C ends it", highlight=False)
        return _serve(page_command(address, port), _environment(settings, services), services)


def page_command(address: str, port: int) -> list[str]:
    """The Streamlit command of the page."""
    options = {
        "server.address": address,
        "server.port": port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.maxUploadSize": MAX_UPLOAD_MIB,
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        # a traceback may quote student work
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        # the table's own download is cut to what fits a cell and guards no formula; the page's files are whole
        "client.disableDataExport": "true",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", str(_PAGE), *flags]


def _environment(settings: Settings, services: Services) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_THE_PAGE}
    told = {
        "REDIS_URL": services.redis_url,
        "DATABASE_URL": services.database_url,
        "GRADEQUEUE_DATA_DIR": str(settings.data_dir),
        **({"GRADEQUEUE_OFFLINE": "1"} if settings.offline else {}),
    }
    return {**kept, **told}


def _serve(command: list[str], environment: dict[str, str], services: Services) -> int:
    broker = services.broker
    child = subprocess.Popen(command, env=environment, pass_fds=[broker.lock_fd] if broker else [])  # noqa: S603 - our own
    before = {number: signal.signal(number, lambda *_: child.terminate()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if child.poll() is None:
            child.kill()
            child.wait()
    return 0 if code in {0, -signal.SIGTERM, -signal.SIGINT} else code
