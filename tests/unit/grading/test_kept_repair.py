"""An invalid answer is paid for: whatever keeps its repair waiting, the next claim shows it and buys no other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sqlalchemy import select

from tests.store.steps import publish
from tests.support.wait import until
from tests.unit.grading.test_grader import (  # noqa: F401 - grader and playing are fixtures
    Playing,
    grader,
    playing,
    published,
)
from workers.budget.records import NotGranted
from workers.completion.classify import Transient
from workers.contract.outcome import Failure, FailureKind
from workers.grading.records import Finished, Snoozed
from workers.store.releases import free_claims
from workers.store.results import read_results
from workers.store.steering import cancel_batch
from workers.store.tables import attempts, jobs

if TYPE_CHECKING:
    from workers.grading.grader import Grader
    from workers.store import Store

INVALID = Failure(kind=FailureKind.INVALID_OUTPUT, message="no", raw_output="{}")


def asked(store: Store) -> list[tuple[str, str]]:
    """Model and purpose of each request, in order."""
    with store.snapshot() as connection:
        rows = connection.execute(select(attempts.c.model, attempts.c.purpose).order_by(attempts.c.opened_at)).all()
    return [(row.model, row.purpose) for row in rows]


async def killed(grader: Grader, playing: Playing, store: Store, job_id: str, *, at_request: int) -> None:  # noqa: F811
    """Its worker is killed while this request is out; the job waits with its message again."""
    before = len(playing.requests)
    playing.gates = [asyncio.Event() for _ in range(at_request)]
    stays_open = playing.gates[-1]
    for gate in playing.gates[:-1]:
        gate.set()
    run = asyncio.create_task(grader.run(job_id))
    await until(lambda: len(playing.requests) == before + at_request)
    store.run(lambda connection: free_claims(connection, [job_id], worker_ids={"w1"}, have_died=True))
    publish(store)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    stays_open.set()
    playing.gates = []


async def test_a_worker_that_dies_at_the_repair_costs_no_paid_answer(
    grader: Grader,  # noqa: F811
    playing: Playing,  # noqa: F811
    store: Store,
):
    job_id = published(store, max_retries=0, allow_repair=True)
    playing.endings = [INVALID]
    await killed(grader, playing, store, job_id, at_request=2)

    playing.endings = [INVALID]
    assert await grader.run(job_id) == Finished(FailureKind.INVALID_OUTPUT), "one repair is all that is allowed"
    assert asked(store) == [("m", "grade"), ("m", "repair"), ("m", "repair")]
    assert playing.requests[2].repair == playing.requests[1].repair
    with store.snapshot() as connection:
        assert connection.execute(select(jobs.c.kept_answer)).scalar_one() is None


async def test_the_repair_of_the_fallbacks_answer_goes_on_with_the_fallback(
    grader: Grader,  # noqa: F811
    playing: Playing,  # noqa: F811
    store: Store,
):
    job_id = published(store, max_retries=0, allow_repair=True, fallback_model="f")
    playing.endings = [Transient("The provider failed", None, 500), INVALID]
    await killed(grader, playing, store, job_id, at_request=3)
    assert await grader.run(job_id) == Finished(None)
    assert asked(store) == [("m", "grade"), ("f", "fallback"), ("f", "repair"), ("f", "repair")]


async def test_an_answer_of_another_model_is_not_shown_to_the_fallback(
    grader: Grader,  # noqa: F811
    playing: Playing,  # noqa: F811
    store: Store,
):
    job_id = published(store, max_retries=0, allow_repair=True, fallback_model="f")
    playing.endings = [INVALID, Transient("The provider failed", None, 500)]
    await killed(grader, playing, store, job_id, at_request=3)
    assert await grader.run(job_id) == Finished(None)
    assert asked(store) == [("m", "grade"), ("m", "repair"), ("f", "fallback"), ("f", "fallback")]
    assert playing.requests[-1].repair is None


async def test_a_job_that_is_cancelled_before_its_repair_ends_cancelled(
    grader: Grader,  # noqa: F811
    playing: Playing,  # noqa: F811
    store: Store,
):
    job_id = published(store, max_retries=0, allow_repair=True)
    playing.endings = [INVALID]
    playing.on_complete = lambda: playing.answers.append(NotGranted.EVICTED)  # the repair's
    assert await grader.run(job_id) == Snoozed(0.0, message_follows=False)
    assert cancel_batch(store, "b") == (1, 0)
    with store.snapshot() as connection:
        assert [each.failure_kind for each in read_results(connection, "b")] == [FailureKind.CANCELLED]
