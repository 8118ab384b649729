"""Time limits and termination of a delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery.exceptions import SoftTimeLimitExceeded, Terminated

from tests.support.pool import say_done

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pool import Bench


def test_a_soft_limit_cancels_the_coroutine_and_the_body_hears_of_it(bench: Bench):
    delivery = bench.deliver(bench.wait_at_gate, soft_timeout=0.05)

    bench.hub.turn_until(lambda: delivery.results)

    assert isinstance(delivery.raised, SoftTimeLimitExceeded)
    assert delivery.timeouts == [(True, 0.05)]
    assert len(delivery.results) == 1


def test_a_hard_limit_frees_the_slot_of_a_coroutine_that_will_not_end_and_no_callback_follows(
    start: Callable[..., Bench],
):
    bench = start(limit=1)
    stuck = bench.deliver(bench.ignore_cancellation, soft_timeout=0.02, timeout=0.05)
    bench.hub.turn_until(lambda: len(stuck.timeouts) == 2)

    assert stuck.timeouts == [(True, 0.02), (False, 0.05)]
    assert bench.pool.info["in-flight"] == 0
    after = bench.deliver(say_done)
    bench.hub.turn_until(lambda: after.results)
    bench.open_gate()
    bench.pool.stop()
    assert stuck.results == []


def test_a_job_that_ends_in_time_hears_nothing_of_its_limits(bench: Bench):
    delivery = bench.deliver(say_done, soft_timeout=0.05, timeout=0.1)
    later = bench.deliver(bench.wait_at_gate, soft_timeout=0.2)

    bench.hub.turn_until(lambda: later.results)

    assert delivery.timeouts == []
    assert len(delivery.results) == 1


def test_terminate_cancels_the_coroutine_and_the_body_sees_why(bench: Bench):
    delivery = bench.deliver(bench.wait_at_gate)
    bench.hub.turn_until(lambda: bench.running == 1 and delivery.accepted)

    bench.pool.terminate_job(delivery.accepted[0], 15)
    delivery.job.terminate(15)  # Celery does both
    bench.hub.turn_until(lambda: delivery.results)

    assert isinstance(delivery.raised, Terminated)
    assert len(delivery.results) == 1
    bench.pool.terminate_job(delivery.accepted[0], 15)  # too late: nothing happens


def test_a_job_terminated_before_its_coroutine_began_never_begins(start: Callable[..., Bench]):
    bench = start(limit=1)
    first = bench.deliver(bench.wait_at_gate)
    second = bench.deliver(bench.wait_at_gate)
    bench.hub.turn_until(lambda: bench.running == 1)

    second.job.terminate(15)
    bench.open_gate()
    bench.hub.turn_until(lambda: first.results and second.results)

    assert bench.running == 1
    assert isinstance(second.raised, Terminated)
