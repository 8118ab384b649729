"""What Celery hears of each ending of a run, through Celery's own tracer and the pool."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from celery.app.trace import build_tracer

from workers.contract.outcome import FailureKind
from workers.contract.wire import TASK_NAME, WIRE_VERSION
from workers.grading.grader import Dropped, Finished, Snoozed
from workers.log import bound_ids
from workers.process.celery_pool import TaskPool
from workers.process.tasks import MOST_UNKNOWN_VERSIONS, UNKNOWN_VERSION_SECONDS, register_task
from workers.store.writer import NotStored

if TYPE_CHECKING:
    from collections.abc import Iterator

from workers.grading.grader import RunEnding

JOB = "0123456789abcdef"


class FakeGrader:
    """Ends every run as it was told."""

    def __init__(self) -> None:
        self.ending: RunEnding | Exception = Finished(None)
        self.runs: list[tuple[str, str | None]] = []
        self.refused: list[tuple[str, str]] = []

    async def run(self, job_id: str) -> RunEnding:
        self.runs.append((job_id, bound_ids().get("job")))
        if isinstance(self.ending, Exception):
            raise self.ending
        return self.ending

    async def refuse(self, job_id: str, reason: str) -> None:
        self.refused.append((job_id, reason))


class Bench:
    """The task, traced by Celery in a tracer thread of the pool; retries go to a queue in memory, or nowhere."""

    def __init__(self) -> None:
        self.app = Celery("test", broker="memory://", set_as_current=False)
        self.app.conf.update(task_default_queue=uuid.uuid4().hex, task_ignore_result=True, task_publish_retry=False)
        self.grader = FakeGrader()
        self.task = register_task(self.app, lambda: self.grader)  # type: ignore[arg-type, return-value]
        self.app.finalize()
        conf = SimpleNamespace(worker_soft_shutdown_timeout=0)
        self.pool = TaskPool(1, app=SimpleNamespace(conf=conf))
        self.pool.start()

    def trace(self, version: int = WIRE_VERSION, *, retries: int = 0) -> tuple[Any, Any]:
        """The tracer's verdict: its value, and what kind of ending it is, None for success."""
        tracer = build_tracer(TASK_NAME, self.task, app=self.app)
        verdict: list[Any] = []
        request = {
            "id": f"{JOB}:1",
            "delivery_info": {"exchange": "", "routing_key": self.app.conf.task_default_queue},
            "retries": retries,
            "is_eager": False,
        }

        def target() -> tuple[int, object, float]:
            verdict.append(tracer(f"{JOB}:1", (JOB, version), {}, request))
            return (0, None, 0.0)

        self.pool.on_apply(target)
        self.pool._drain(seconds=20)
        assert verdict, "the tracer did not return"
        value, info, _runtime, _text = verdict[0]
        return value, info

    def retries(self) -> list[Any]:
        with self.app.connection_for_read() as connection:
            queue = connection.SimpleQueue(self.app.conf.task_default_queue)
            messages = []
            while queue.qsize():
                messages.append(queue.get_nowait())
            queue.close()
        return messages


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.pool.stop()
    bench.app.close()


def test_a_success_succeeds_and_the_run_logs_with_the_jobs_id(bench: Bench):
    value, info = bench.trace()

    assert (value, info) == ("succeeded", None)
    assert bench.grader.runs == [(JOB, JOB)]


def test_a_typed_failure_fails_with_the_name_of_its_kind_and_nothing_else(bench: Bench):
    bench.grader.ending = Finished(FailureKind.REFUSED)

    value, info = bench.trace()

    assert info.state == "FAILURE"
    assert str(value.exception) == "refused"
    assert "__cause__" not in value.traceback
    assert "During handling" not in value.traceback


def test_a_snooze_is_a_retry_whose_message_is_already_sent(bench: Bench):
    bench.grader.ending = Snoozed(30.0, message_follows=True)

    _value, info = bench.trace()

    assert info.state == "RETRY"
    [message] = bench.retries()
    assert message.headers["id"] == f"{JOB}:1"
    assert message.headers["eta"] is not None
    assert message.payload[0] == [JOB, WIRE_VERSION]


def test_a_long_snooze_needs_no_message(bench: Bench):
    bench.grader.ending = Snoozed(3600.0, message_follows=False)

    value, info = bench.trace()

    assert (value, info) == ("deferred", None)
    assert bench.retries() == []


def test_a_retry_that_cannot_be_sent_puts_the_message_back(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    def fail(*_args: object, **_options: object) -> None:
        raise OSError("the broker is away")

    monkeypatch.setattr(bench.task, "apply_async", fail)
    monkeypatch.setattr("celery.canvas.Signature.apply_async", fail)
    bench.grader.ending = Snoozed(30.0, message_follows=True)

    value, info = bench.trace()

    assert info.state == "REJECTED"
    assert value.exception.exc.requeue


def test_nothing_to_do_is_acked(bench: Bench):
    bench.grader.ending = Dropped()

    value, info = bench.trace()

    assert (value, info) == ("dropped", None)


def test_an_answer_that_could_not_be_stored_puts_the_message_back(bench: Bench):
    bench.grader.ending = NotStored()

    value, info = bench.trace()

    assert info.state == "REJECTED"
    assert value.exception.exc.requeue


def test_a_newer_producers_message_is_not_run_and_comes_again_later(bench: Bench):
    _value, info = bench.trace(version=WIRE_VERSION + 1)

    assert bench.grader.runs == []
    assert info.state == "RETRY"
    assert info.retval.when >= UNKNOWN_VERSION_SECONDS
    [message] = bench.retries()
    assert message.payload[0] == [JOB, WIRE_VERSION + 1]


def test_a_message_that_nobody_here_could_read_for_long_ends_its_job_with_what_to_upgrade(bench: Bench):
    value, info = bench.trace(WIRE_VERSION + 1, retries=MOST_UNKNOWN_VERSIONS)

    assert (info.state, str(value.exception)) == ("FAILURE", "internal")
    assert bench.grader.runs == []
    assert bench.retries() == []
    [(job_id, reason)] = bench.grader.refused
    assert job_id == JOB
    assert "upgrade the workers" in reason
