"""Dead workers lose their claims; living ones keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.store.steps import claimed, endings, job_row, register, send, states
from workers.process.heartbeat import Heartbeat
from workers.store.liveness import beat, free_dead, mark_stopped, read_pulses
from workers.store.releases import free_claims
from workers.store.steering import cancel_batch

if TYPE_CHECKING:
    from workers.store import Store


def stale(store: Store) -> dict[str, float]:
    with store.snapshot() as connection:
        pulses = read_pulses(connection)
    return {worker: pulse.heartbeat_at for worker, pulse in pulses.items() if pulse.age_seconds > 30}


def test_the_pulse_of_every_worker_that_has_not_stopped_is_read(store: Store):
    register(store, "silent", silent_seconds=31)
    register(store, "idle", silent_seconds=31)
    register(store, "alive", silent_seconds=5)
    register(store, "gone", silent_seconds=31)
    store.run(lambda connection: mark_stopped(connection, worker_id="gone"))

    with store.snapshot() as connection:
        ages = {worker: round(pulse.age_seconds) // 5 * 5 for worker, pulse in read_pulses(connection).items()}
    assert ages == {"silent": 30, "idle": 30, "alive": 5}


def test_the_claims_of_a_dead_worker_are_freed_some_at_a_time(store: Store):
    register(store, "w1", silent_seconds=31)
    jobs = claimed(store, 5)
    send(store, jobs[0])
    dead = stale(store)

    assert len(store.run(lambda connection: free_dead(connection, dead, at_most=3))) == 3
    assert states(store) == {"ready": 3, "running": 2}
    assert len(store.run(lambda connection: free_dead(connection, dead, at_most=3))) == 2
    assert endings(store) == {"unknown": 1}


def test_a_worker_that_beats_again_keeps_its_claims(store: Store):
    register(store, "w1", silent_seconds=31)
    claimed(store)
    dead = stale(store)
    store.run(lambda connection: beat(connection, worker_id="w1"))

    assert store.run(lambda connection: free_dead(connection, dead, at_most=10)) == []
    assert states(store) == {"running": 1}


def heartbeat(store: Store, held: set[str], cancelled: list[str] | None = None) -> Heartbeat:
    return Heartbeat(
        store,
        worker_id="w1",
        period_seconds=60,
        held=lambda: held,
        cancel=(cancelled if cancelled is not None else []).append,
    )


def test_a_claim_missing_in_memory_for_two_beats_is_freed(store: Store):
    register(store, "w1")
    kept, stranded = claimed(store, 2)
    beats = heartbeat(store, {kept.id})

    beats.beat()
    assert states(store) == {"running": 2}, "once is not enough: the claim may be on its way to memory"
    beats.beat()
    assert job_row(store, stranded.id).state == "ready"
    assert job_row(store, kept.id).state == "running"


def test_a_claim_missing_in_one_beat_and_there_in_the_next_is_kept(store: Store):
    register(store, "w1")
    [job] = claimed(store)
    held: set[str] = set()
    beats = heartbeat(store, held)

    beats.beat()
    held.add(job.id)
    beats.beat()
    held.clear()
    beats.beat()
    assert states(store) == {"running": 1}


def test_a_stranded_claim_that_another_worker_took_is_left_to_it(store: Store):
    register(store, "w1")
    [job] = claimed(store)
    beats = heartbeat(store, set())
    beats.beat()
    store.run(lambda connection: free_claims(connection, [job.id], worker_ids={"w1"}))
    from tests.store.steps import claim, publish

    publish(store)
    claim(store, [job.id], "w2")
    beats.beat()

    assert job_row(store, job.id).worker_id == "w2"


def test_the_heartbeat_hears_which_jobs_are_to_be_cancelled(store: Store):
    register(store, "w1")
    [job] = claimed(store)
    asked: list[str] = []
    beats = heartbeat(store, {job.id}, asked)

    beats.beat()
    assert asked == []
    cancel_batch(store, "b")
    beats.beat()
    assert asked == [job.id]
