"""Structured log lines: as text and as JSON, ours and those of libraries, with the ids of what they are about."""

from __future__ import annotations

import contextvars
import io
import json
import logging
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import pytest

from workers.log import bind_attempt, bind_job, get_logger, log_frames, set_up_logs

if TYPE_CHECKING:
    from collections.abc import Callable


class Written:
    """A logger of its own, and what its handler wrote."""

    def __init__(self, log_format: Literal["console", "json"]) -> None:
        self.stream = io.StringIO()
        self.plain = logging.getLogger(f"{__name__}.{uuid4().hex}")
        self.plain.propagate = False
        self.plain.setLevel(logging.INFO)
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s%(ids)s"))
        self.plain.addHandler(handler)
        set_up_logs(self.plain, log_format=log_format, worker_id="w1")
        self.logger = get_logger(self.plain.name)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def in_a_job() -> Callable[[Callable[[], object]], object]:
    """Runs something with job and attempt bound."""

    def run(work: Callable[[], object]) -> object:
        bind_job("j1")
        bind_attempt("a1")
        return work()

    return lambda work: contextvars.copy_context().run(run, work)


def test_a_line_of_text_has_the_event_its_fields_and_the_ids(in_a_job: Callable[[Callable[[], object]], object]):
    written = Written("console")

    in_a_job(lambda: written.logger.info("job.retry", model="m", after_seconds=1.5))
    in_a_job(lambda: written.plain.warning("Task %s received", "t"))
    written.logger.info("feeder.messages_missing", queue="bulk", resent=3)

    assert written.lines == [
        "INFO job.retry model=m after_seconds=1.5 [job=j1 attempt=a1]",
        "WARNING Task t received [job=j1 attempt=a1]",
        "INFO feeder.messages_missing queue=bulk resent=3",
    ]


def test_a_line_of_json_has_the_same_for_our_lines_and_those_of_libraries(
    in_a_job: Callable[[Callable[[], object]], object],
):
    written = Written("json")

    in_a_job(lambda: written.logger.info("job.retry", model="m", after_seconds=1.5))
    in_a_job(lambda: written.plain.warning("Task %s received", "t"))

    ours, theirs = written.objects
    ids = {"job": "j1", "attempt": "a1", "worker": "w1", "logger": written.plain.name}
    assert ours.items() >= {"event": "job.retry", "model": "m", "after_seconds": 1.5, "level": "info", **ids}.items()
    assert theirs.items() >= {"event": "Task t received", "level": "warning", **ids}.items()


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_field_can_forge_a_line_or_move_the_cursor(log_format: Literal["console", "json"]):
    written = Written(log_format)

    written.logger.warning("store.away", reason="\x1b[2Jgone\nINFO job.finished\u202e")
    try:
        {}["\x1b[2J\nforged"]
    except LookupError:
        written.logger.exception("failed")

    assert not set("\x1b\u202e") & set(written.stream.getvalue())
    assert not [line for line in written.lines if line.startswith("INFO")]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_an_unexpected_error_is_logged_with_its_place_and_without_its_text(log_format: Literal["console", "json"]):
    written = Written(log_format)
    text = "an essay"
    try:
        int(text)
    except ValueError as error:
        log_frames(written.logger, "feeder.step_failed", error, step="epoch")

    assert len(written.lines) == 1
    assert "without_its_text" in written.lines[0]
    assert "essay" not in written.lines[0]


def test_what_is_below_the_level_is_not_rendered():
    written = Written("console")

    class Unprintable:
        def __str__(self) -> str:
            raise AssertionError("rendered")

    written.logger.debug("budget.not_settled", error=Unprintable())

    assert written.lines == []
