"""Structured logs, `logger.info("job.retry", model=..., after_seconds=...)`, written by handlers of `logging`.

A record's message is `event key=value ...`, so that every handler can write it. The ids of job and attempt are bound
once, as context variables, which coroutines inherit. `set_up_logs` decides how a process writes its lines and those
of libraries, Celery's too:

    console    the handler's own format, with ids at the end: job.retry model=m after_seconds=2 [job=... attempt=...]
    json       one object per line: timestamp, level, logger, event, the event's fields, job, attempt, worker

No field may hold a prompt, an answer or a key. Imports nothing of ours but `workers.contract`.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from typing import TYPE_CHECKING, Any, Literal, cast

import structlog
from structlog.contextvars import bind_contextvars, get_contextvars
from structlog.processors import TimeStamper, format_exc_info
from structlog.stdlib import BoundLogger, ProcessorFormatter, add_log_level, add_logger_name, filter_by_level

from workers.contract.printable import printable

if TYPE_CHECKING:
    from collections.abc import MutableMapping

LINE_FORMAT = "[%(asctime)s: %(levelname)s/%(threadName)s] %(message)s%(ids)s"
"""`ids` is set by `_ConsoleLines`, and begins with a space unless it is empty."""
_ID_NAMES = ("job", "attempt")
_OF_LOGGING = ("exc_info", "stack_info", "stacklevel")
_IN_QUOTES = re.compile(r'[\s="]')


def get_logger(name: str) -> BoundLogger:
    """A structured logger in front of the standard library's logger of this name."""
    logger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[filter_by_level, _as_record],
        wrapper_class=BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return cast("BoundLogger", logger)


def bind_job(job_id: str) -> None:
    """Every line of this context is about this job from here on."""
    bind_contextvars(job=job_id)


def bind_attempt(attempt_id: str) -> None:
    """The same, for an attempt."""
    bind_contextvars(attempt=attempt_id)


def bound_ids() -> dict[str, str]:
    """`job` and `attempt` of this context, as far as they are bound."""
    bound = get_contextvars()
    return {name: bound[name] for name in _ID_NAMES if name in bound}


def log_frames(logger: BoundLogger, event: str, error: BaseException, **fields: object) -> None:
    """Log an unexpected error's type and stack without its text, which may quote a row with student work."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.error(event, **fields, error=type(error).__name__, frames=frames)


def set_up_logs(
    logger: logging.Logger, *, log_format: Literal["console", "json"], worker_id: str | None = None
) -> None:
    """Make each handler that this logger has now write lines of this format, with control characters escaped."""
    for handler in logger.handlers:
        if log_format == "json":
            handler.setFormatter(_json_formatter(worker_id))
        elif not any(isinstance(each, _ConsoleLines) for each in handler.filters):
            handler.addFilter(_ConsoleLines())


def _as_record(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> tuple[tuple[str], dict[str, Any]]:
    """The arguments of the standard logger's method."""
    options = {name: event.pop(name) for name in _OF_LOGGING if name in event}
    name = event.pop("event")
    message = " ".join([name, *(f"{field}={_quoted(str(value))}" for field, value in event.items())])
    return (message,), {**options, "extra": {"event": name, "fields": event}}


def _quoted(text: str) -> str:
    """As logfmt has it. structlog's own renderer also checks the names, which costs more than all else here."""
    if not _IN_QUOTES.search(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class _ConsoleLines(logging.Filter):
    """Lets every record pass, as one printable line with `ids`; a traceback keeps its lines. Belongs to handlers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        message = record.getMessage()
        shown = printable(message, keep="\t")
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = printable(record.exc_text, keep="\n\t")
        if shown != message:
            record.msg, record.args = shown, None
        ids = " ".join(f"{name}={value}" for name, value in bound_ids().items())
        record.ids = f" [{ids}]" if ids else ""
        return True


def _json_formatter(worker_id: str | None) -> logging.Formatter:
    def add_fields(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        record: logging.LogRecord = line["_record"]
        line["event"] = getattr(record, "event", line["event"])
        line.update(getattr(record, "fields", {}))
        line.update(bound_ids())
        if worker_id is not None:
            line["worker"] = worker_id
        return line

    return ProcessorFormatter(
        foreign_pre_chain=[TimeStamper(fmt="iso"), add_log_level, add_logger_name, add_fields],
        processors=[ProcessorFormatter.remove_processors_meta, format_exc_info, _as_json],
    )


def _as_json(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> str:
    return json.dumps(line, default=str)  # ASCII: every control character is escaped
