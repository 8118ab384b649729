"""A run that is cancelled at any of its suspension points: no row stays open, no grant is kept, no job is lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from tests.support.playing import Playing
from tests.support.wait import until
from tests.unit.grading.test_grader import all_published, ledger, row
from workers.completion.classify import Throttled, Transient
from workers.contract.outcome import Failure, FailureKind
from workers.store.tables import outcomes
from workers.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Generator

    from workers.budget.records import Grant, NotGranted
    from workers.completion.attempt import Attempt, CompletionRequest
    from workers.grading.grader import Grader
    from workers.store import Store

MOST_POINTS = 60
"""A run that has more is wrong."""
FEWEST_POINTS = 5
"""Claim, reservation, opening of the row, its confirmation, the call, the outcome."""
ENDS = {False: {"succeeded", "ready"}, True: {"succeeded", "failed"}}
"""By whether the owner cancels: what is done stays done."""
INVALID = Failure(kind=FailureKind.INVALID_OUTPUT, message="no", raw_output="{}")


@dataclass
class Suspending(Playing):
    """Each of its answers takes a moment, and what was granted is counted."""

    granted: int = 0

    async def reserve(
        self,
        model: str,
        tokens: int,
        *,
        within_seconds: float | None = None,
        stays: bool = False,
        group: int | None = None,
    ) -> Grant | NotGranted:
        await asyncio.sleep(0)
        self.granted += 1
        return await super().reserve(model, tokens, within_seconds=within_seconds, stays=stays, group=group)

    async def confirm(self, grant: Grant, **options: object) -> Grant | NotGranted:
        self.granted -= 1
        await asyncio.sleep(0)
        self.granted += 1
        return await super().confirm(grant, **options)

    async def complete(self, request: CompletionRequest) -> Attempt:
        await asyncio.sleep(0)
        return await super().complete(request)


@dataclass
class Interrupted:
    """Awaits a coroutine, and calls `interrupt` where it suspends for the given time."""

    running: Coroutine[object, object, object]
    at: int
    interrupt: Callable[[], None]
    points: int = 0

    def __await__(self) -> Generator[object, None, object]:
        step: Callable[[], object] = lambda: self.running.send(None)  # noqa: E731 - replaced by each answer
        while True:
            try:
                suspended_on = step()
            except StopIteration as end:
                return end.value
            if self.points == self.at:
                self.interrupt()
            self.points += 1
            try:
                yield suspended_on
            except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the coroutine
                step = _thrown_into(self.running, error)
            else:
                step = lambda: self.running.send(None)  # noqa: E731


def _thrown_into(running: Coroutine[object, object, object], error: BaseException) -> Callable[[], object]:
    return lambda: running.throw(error)


@pytest.fixture
async def writer(store: Store) -> AsyncIterator[Writer]:
    writer = Writer(store, worker_id="w1", loop=asyncio.get_running_loop())
    writer.start()
    yield writer
    await asyncio.to_thread(writer.stop, patience_seconds=5.0)


async def cancelled_at(point: int, grader: Grader, job_id: str, *, by_owner: bool) -> bool:
    """Whether the run had so many suspension points."""

    async def run() -> int:
        task = asyncio.current_task()
        assert task is not None
        interrupt = (lambda: grader.cancel(job_id)) if by_owner else task.cancel
        interrupted = Interrupted(grader.run(job_id), point, interrupt)
        try:
            await interrupted
        except asyncio.CancelledError:
            return interrupted.points
        return interrupted.points

    return await asyncio.create_task(run()) > point


@pytest.mark.parametrize(
    ("by_owner", "endings"),
    [
        (False, []),
        (False, [Transient("The connection failed", None, None, is_unreachable=True)]),
        (False, [Throttled("Rate limit exceeded", 5.0, 429)]),
        (False, [INVALID]),
        (True, []),
        (True, [Transient("The provider failed", None, 500)]),
    ],
    ids=["answered", "held", "snoozed", "repaired", "cancelled by its owner", "cancelled while it is retried"],
)
async def test_a_run_cancelled_at_any_suspension_point_leaves_balanced_books(
    store: Store, writer: Writer, endings: list[object], *, by_owner: bool
):
    seen: set[str] = set()
    for point in range(MOST_POINTS):
        options = {"max_retries": 1, "retry_delay_seconds": 0.0, "allow_repair": True}
        [job_id] = set(all_published(store, f"job {point}", **options)) - seen
        seen.add(job_id)
        playing = Suspending(endings=list(endings))
        grader = playing.grader(writer)
        was_cancelled = await cancelled_at(point, grader, job_id, by_owner=by_owner)
        await until(lambda: None not in ledger(store))
        assert playing.granted == playing.told.count("settle") + playing.told.count("give_back")
        assert grader.held == set()
        state, _is_published = row(store, job_id)
        assert state in ENDS[by_owner], f"at point {point}"
        if not was_cancelled:
            break
    with store.snapshot() as connection:
        kinds = set(connection.execute(select(outcomes.c.failure_kind)).scalars())
    assert kinds <= {None, "cancelled"}
    assert FEWEST_POINTS < point < MOST_POINTS - 1
