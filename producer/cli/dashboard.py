from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.options import command_with, data_dir_option
from workers.contract.errors import InvalidInput, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.local.embedded import Services
    from workers.settings import Settings

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - only with a password
POLL_SECONDS = 0.25
SHORT_PASSWORD = 12
"""Fewer characters can be guessed by who sends many guesses a second."""
_PAGE = Path(__file__).parents[1] / "page" / "served.py"
_NOWHERE = ("192.0.2.1", 9)
"""An address for documentation: asking for the way there sends nothing, and names the interface that others see."""


@command_with("gradequeue worker --queues interactive &", "gradequeue dashboard")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Port to listen on.")
@click.option("--offline", is_flag=True, help="Grade with the stand-in provider; its grades are test data.")
@click.option("--address", help="Listen on this address [default: loopback; with a password, every interface].")
@click.option("--ssl-cert", type=click.Path(path_type=Path), help="Certificate chain (PEM): serve HTTPS.")
@click.option("--ssl-key", type=click.Path(path_type=Path), help="Private key (PEM) of --ssl-cert.")
@data_dir_option
def dashboard(port: int, address: str | None, ssl_cert: Path | None, ssl_key: Path | None, **options: Any) -> int:
    """Serve the page: upload, grade, watch, download.

    It listens on this machine alone, unless GRADEQUEUE_DASHBOARD_PASSWORD is set. It needs a running worker.
    """
    from producer.cli.session import joined_services, settings_of
    from producer.terminal.console import err

    settings = settings_of(options)
    check_streamlit()
    _check_login(settings)
    has_login = bool(settings.dashboard_password or settings.oidc_secrets)
    listens_on = address or (EVERYWHERE if has_login else LOOPBACK)
    if not has_login and not _is_loopback(listens_on):
        raise InvalidInput("set GRADEQUEUE_DASHBOARD_PASSWORD before the page listens beyond this machine")
    certificate = _certificate(ssl_cert, ssl_key)
    if settings.dashboard_password and len(settings.dashboard_password.get_secret_value()) < SHORT_PASSWORD:
        err.print(f"note: the password has fewer than {SHORT_PASSWORD} characters; it can be guessed", style="yellow")
    with joined_services(settings) as services:
        say_where(listens_on, port, has_tls=certificate is not None)
        command = page_command(listens_on, port, certificate, settings.oidc_secrets)
        return serve_page(command, page_environment(settings, services), services)


def check_streamlit() -> None:
    """Raise `ServiceUnavailable` when the page's library is missing."""
    if importlib.util.find_spec("streamlit") is None:
        raise ServiceUnavailable(
            "page", "Streamlit is not installed; install it with: pip install 'gradequeue[dashboard]'"
        )


def _check_login(settings: Settings) -> None:
    """Raise `InvalidInput` for a login that would let in nobody, or would not be asked for."""
    from producer.page.roles import parse_roles

    is_known = parse_roles(settings.roles)
    if settings.oidc_secrets is None:
        if not settings.dashboard_password and (settings.grader_password or settings.viewer_password):
            raise InvalidInput("set GRADEQUEUE_DASHBOARD_PASSWORD, the owners' password, beside the others")
        return
    if not settings.oidc_secrets.is_file():
        raise InvalidInput("GRADEQUEUE_OIDC_SECRETS names no file", where=str(settings.oidc_secrets))
    if not is_known:
        raise InvalidInput("set GRADEQUEUE_ROLES, such as kim@uni.edu=owner: without it nobody has access")
    if importlib.util.find_spec("authlib") is None:
        raise ServiceUnavailable("page", "an OIDC login needs Authlib; install it with: pip install 'gradequeue[oidc]'")


def _is_loopback(address: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _certificate(cert: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """Both files, once they have been loaded; Streamlit would say what is wrong with them in a traceback."""
    import ssl

    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise InvalidInput("give --ssl-cert and --ssl-key together")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (ssl.SSLError, ValueError):
        raise InvalidInput("this is no PEM certificate with its key (without passphrase)", where=str(cert)) from None
    except OSError as error:
        raise InvalidInput(f"the certificate or its key cannot be read: {error.strerror}", where=str(cert)) from None
    return cert.absolute(), key.absolute()


def say_where(address: str, port: int, *, has_tls: bool) -> None:
    """The page's address, and a warning where its traffic can be read."""
    from producer.terminal.console import err

    is_everywhere = address in {EVERYWHERE, "::"}
    host = _own_address() if is_everywhere else address
    shown = f"[{host}]" if ":" in host else host
    where = " (on every interface)" if is_everywhere else ""
    err.print(f"the page is at {'https' if has_tls else 'http'}://{shown}:{port}{where}; Ctrl-C ends it")
    if not has_tls and not _is_loopback(address):
        err.print(
            "warning: without TLS, the password and all student work can be read on the network; give --ssl-cert and "
            "--ssl-key, or --address 127.0.0.1 behind a proxy with TLS",
            style="yellow",
        )


def _own_address() -> str:
    """This machine's address as others see it, or its loopback when there is no network."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_NOWHERE)
        except OSError:
            return LOOPBACK
        host: str = probe.getsockname()[0]
    return host


def page_command(
    address: str, port: int, certificate: tuple[Path, Path] | None = None, secrets: Path | None = None
) -> list[str]:
    """The Streamlit command of the page; `certificate` is a chain and its key, `secrets` the OIDC login's file."""
    from producer.local.inherited import python_module
    from producer.page.limits import MAX_UPLOAD_MIB

    options = {
        "server.address": address,
        "server.port": port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.maxUploadSize": MAX_UPLOAD_MIB,
        # one look everywhere: its contrast is tested
        "theme.base": "light",
        "theme.primaryColor": "#1a5fb4",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        # a traceback may quote student work
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        # the table's own download is cut to what fits a cell and guards no formula; the page's files are whole
        "client.disableDataExport": "true",
    }
    if secrets is not None:
        options["secrets.files"] = str(secrets)
    if certificate is not None:
        options |= {"server.sslCertFile": str(certificate[0]), "server.sslKeyFile": str(certificate[1])}
    flags = [f"--{name}={value}" for name, value in options.items()]
    return python_module("streamlit", "run", str(_PAGE), *flags)


def page_environment(settings: Settings, services: Services) -> dict[str, str]:
    """What the page's process gets of our settings: no key of the provider."""
    from producer.local.child_processes import Role, child_environment

    given = services.apply_to(settings).model_copy(update={"data_dir": settings.data_dir})  # so that it counts as set
    return child_environment(Role.PAGE, given)


def serve_page(
    command: list[str],
    environment: dict[str, str],
    services: Services,
    *,
    each_poll: Callable[[], None] = lambda: None,
) -> int:
    """Run the page until it ends or Ctrl-C; its exit status. `each_poll` is called a few times a second meanwhile."""
    import signal
    import subprocess

    from producer.local.inherited import NEUTRAL_FOLDER
    from producer.local.interrupts import counted_interrupts

    broker = services.broker
    with counted_interrupts() as interrupts:
        # in a neutral folder: Streamlit reads .streamlit/config.toml and secrets.toml where it is started
        child = subprocess.Popen(  # noqa: S603 - our own
            command, env=environment, cwd=NEUTRAL_FOLDER, pass_fds=[broker.lock_fd] if broker else []
        )
        try:
            while (code := child.poll()) is None:
                each_poll()
                if interrupts.wait(POLL_SECONDS):
                    child.terminate()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    return 0 if code in {0, -signal.SIGTERM, -signal.SIGINT} else code
