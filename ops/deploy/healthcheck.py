"""Health checks for containers: `python -m ops.deploy.healthcheck worker bulk`, `... http URL`.

Exit status 0 is healthy.

A worker is asked for where it matters: its heartbeat in the store, which it renews only while its loop lives.
"""

from __future__ import annotations

import socket
import sys
import urllib.error
import urllib.request
from http import HTTPStatus

from workers.confinement import confine
from workers.contract.errors import GradequeueError

TIMEOUT_SECONDS = 4.0
SILENT_BEATS = 4.5
"""A worker that beats seldom, by its setting, is not dead between two beats."""


def worker_is_healthy(queue: str) -> bool:
    """Whether a worker of this host serves the queue, by the store."""
    from workers.contract.wire import broker_queue
    from workers.settings import load_settings
    from workers.settings.serving import served_accounts
    from workers.store import Store
    from workers.store.worker_reports import is_worker_alive

    settings = load_settings()
    store = Store.open(settings.database_url or "")
    try:
        with store.snapshot() as connection:
            return is_worker_alive(
                connection,
                hostname=socket.gethostname(),
                queue=broker_queue(queue, served_accounts(settings)[0].provider, store.id),
                silent_seconds=max(settings.dead_after_seconds, SILENT_BEATS * settings.heartbeat_seconds),
            )
    finally:
        store.close()


def page_is_healthy(url: str) -> bool:
    """Whether the address answers 200."""
    if not url.startswith("http://127.0.0.1:"):
        return False
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - http on loopback, as checked
        return bool(answer.status == HTTPStatus.OK)


def main(arguments: list[str]) -> int:
    """Say on standard error what is wrong."""
    confine()
    checks = {"worker": worker_is_healthy, "http": page_is_healthy}
    if len(arguments) != 2 or arguments[0] not in checks:  # noqa: PLR2004 - the two that the usage names
        sys.stderr.write("usage: python -m ops.deploy.healthcheck worker QUEUE | http URL\n")
        return 2
    check, what = checks[arguments[0]], arguments[1]
    try:
        healthy = check(what)
    except (GradequeueError, urllib.error.URLError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not healthy:
        sys.stderr.write(f"{what} is not served\n")
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
