"""The options that our own workers are started with, read without Celery's command line.

That one loads click, every pool's name and a highlighter of code. Whoever starts a worker by hand has all its options.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_options(arguments: Sequence[str]) -> dict[str, Any] | None:
    """What `Celery.Worker` takes, as `celery worker` passes it; None when there is an option beyond ours.

    `--hostname` may hold `%h` and `%n`.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--queues", required=True)
    parser.add_argument("--hostname")
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--without-gossip", action="store_true")
    parser.add_argument("--without-mingle", action="store_true")
    parser.add_argument("--loglevel", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
    parser.add_argument("--logfile")
    try:
        found, others = parser.parse_known_args(arguments)
    except argparse.ArgumentError:
        return None
    return None if others else _as_celery_passes_them(found)


def _as_celery_passes_them(found: argparse.Namespace) -> dict[str, Any]:
    from celery.utils.nodenames import default_nodename, host_format  # noqa: PLC0415 - Celery is loaded by our caller

    return vars(found) | {
        "hostname": host_format(default_nodename(found.hostname)),
        "queues": found.queues.split(","),
    }
