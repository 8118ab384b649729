"""Which job and which attempt a log record belongs to: two context variables, and what writes them behind a record.

Whoever begins a job or an attempt sets them; coroutines inherit them. Imports nothing of ours.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar

job_id: ContextVar[str | None] = ContextVar("job_id", default=None)
attempt_id: ContextVar[str | None] = ContextVar("attempt_id", default=None)

LOG_FORMAT = "[%(asctime)s: %(levelname)s/%(threadName)s] %(message)s%(ids)s"
"""`ids` comes from the filter below, and begins with a space when there are any."""


class LogIds(logging.Filter):
    """Lets every record pass and gives it `job`, `attempt` and `ids`. Belongs to handlers, not to loggers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        record.job, record.attempt = job, attempt = job_id.get(), attempt_id.get()
        record.ids = "" if job is None else f" [job={job}]" if attempt is None else f" [job={job} attempt={attempt}]"
        return True


def add_log_ids(logger: logging.Logger) -> None:
    """Every handler that this logger has now."""
    for handler in logger.handlers:
        if not any(isinstance(each, LogIds) for each in handler.filters):
            handler.addFilter(LogIds())
