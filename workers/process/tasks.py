"""The Celery task: a synchronous shell around `Grader.run`. It translates endings, and decides nothing.

finished          the message is acked; a typed failure raises `JobFailed`, so that Flower shows it apart from success
snoozed           a Celery retry with countdown; should its publish fail, the message is put back instead
dropped           acked: the job is finished, claimed or parked, and the store knows when to send another
not stored        the worker had to stop while the store was away: the message is put back, unacked
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from celery.exceptions import Reject, SoftTimeLimitExceeded, Terminated
from celery.worker.request import Request

from workers.contract.outcome import FailureKind, JobState
from workers.contract.wire import TASK_NAME, WIRE_VERSION, JobMessage
from workers.grading.grader import Finished, Snoozed
from workers.log import bind_job, get_logger
from workers.process.celery_delivery import run_on_loop
from workers.store.writer import NotStored

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery, Task

    from workers.grading.account_graders import AccountGraders

logger = get_logger(__name__)

MARGIN_SECONDS = 0.1
"""The message comes after the row is due, never just before: an early one would be dropped."""
UNKNOWN_VERSION_SECONDS = 30.0
"""A message that nobody here can read must not go round in circles at full speed."""
MOST_UNKNOWN_VERSIONS = 20
"""Ten minutes, which is long for the other half of an upgrade; then the job ends with a sentence."""
NEWER = (
    "a newer gradequeue sent this job, and no worker that can read its message came; upgrade the workers, then run: "
    "gradequeue retry"
)

COUNTDOWN_HEADER = "gradequeue_countdown_seconds"
"""The countdown as a duration, beside Celery's point in time."""


class JobFailed(Exception):  # noqa: N818 - it is what happened to the job, not to the worker
    """The job's typed failure is stored; the name of its kind is all that travels."""

    def __init__(self, kind: FailureKind | str) -> None:
        super().__init__(str(kind))
        self.kind = str(kind)


class CountdownRequest(Request):  # type: ignore[misc]  # Celery has no types
    """A delivery whose countdown never lasts longer than it was meant to, whatever the two hosts' clocks say.

    Celery sends a countdown as a point in time by the sender's clock. A receiver whose clock is behind would wait for
    the difference too; one that is ahead starts too early, which the claim notices (see `Grader.run`).
    """

    _eta: datetime | None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        countdown_seconds = self._request_dict.get(COUNTDOWN_HEADER)
        if self._eta is not None and isinstance(countdown_seconds, int | float):
            self._eta = min(self._eta, datetime.now(UTC) + timedelta(seconds=countdown_seconds))


def register_task(app: Celery, grader: Callable[[], AccountGraders]) -> Task:
    """Add the grading task to a worker's application."""

    @app.task(  # type: ignore[untyped-decorator]  # Celery has no types
        bind=True,
        name=TASK_NAME,
        Request=f"{__name__}:{CountdownRequest.__name__}",
        max_retries=None,
        throws=(JobFailed, SoftTimeLimitExceeded, Terminated),
        ignore_result=True,
        typing=False,
        shared=False,  # with this application alone, not with every one that this process makes
    )
    def grade(self: Any, *args: object, **kwargs: object) -> str:
        message = None if kwargs else JobMessage.from_args(args)
        if message is None:
            logger.error("broker.broken_message_dropped", error="arguments")
            return "dropped"
        if message.version > WIRE_VERSION:
            if self.request.retries >= MOST_UNKNOWN_VERSIONS:
                run_on_loop(grader().refuse(message.job_id, NEWER))
                raise JobFailed(FailureKind.INTERNAL)
            # a newer producer's message: leave it for a worker that can read it, which may have to be started first
            logger.error("job.unknown_wire_version", version=message.version, known=WIRE_VERSION)
            raise _retry(self, UNKNOWN_VERSION_SECONDS)
        bind_job(message.job_id)
        try:
            ending = run_on_loop(grader().run(message.job_id))
        except NotStored as error:
            raise Reject(reason=str(error), requeue=True) from None
        match ending:
            case Finished(failure=None):
                return str(JobState.SUCCEEDED)
            case Finished(failure=kind):
                raise JobFailed(str(kind)) from None
            case Snoozed(after_seconds, message_follows=True):
                raise _retry(self, after_seconds) from None
            case Snoozed():
                return "deferred"
            case _:
                return "dropped"

    return grade


def _retry(task: Any, after_seconds: float) -> Exception:
    """A Celery retry whose message is already sent, or a rejection that puts this message back."""
    try:
        countdown = after_seconds + MARGIN_SECONDS
        retry: Exception = task.retry(countdown=countdown, throw=False, headers={COUNTDOWN_HEADER: countdown})
    except Exception as error:  # noqa: BLE001 - Celery makes of each a rejection that loses the message
        logger.warning("job.retry_not_sent", error=type(error).__name__)
        rejection: Exception = Reject(reason="the retry could not be sent", requeue=True)
        return rejection
    return retry
