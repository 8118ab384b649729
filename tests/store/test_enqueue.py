"""Enqueue: each job exists once, whatever happens between the first chunk and the last."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from tests.store.steps import enqueue, job_row, move_clock, new_job, publish, states
from workers.contract.errors import ConflictingJob, InvalidInput, ServiceUnavailable
from workers.store import enqueue as module
from workers.store.leases import take_lease
from workers.store.process_mark import process_mark
from workers.store.tables import batches, jobs, leases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from workers.store import Store
    from workers.store.enqueue import NewJob


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 10)


def some(start: int, stop: int) -> list[NewJob]:
    return [new_job(f"i{number}") for number in range(start, stop)]


def broken_off(jobs_given: list[NewJob]) -> Iterator[NewJob]:
    """An input whose producer dies."""
    yield from jobs_given
    raise KeyboardInterrupt


def positions(store: Store) -> list[int]:
    with store.snapshot() as connection:
        return list(connection.execute(select(jobs.c.position).order_by(jobs.c.position)).scalars())


def opened(store: Store) -> int:
    with store.snapshot() as connection:
        return connection.execute(select(batches.c.opened)).scalar_one()


@pytest.mark.usefixtures("small_chunks")
def test_the_same_batch_twice_adds_nothing(store: Store):
    first = enqueue(store, some(0, 25))
    again = enqueue(store, some(0, 25))

    assert (first.new, first.existing) == (25, 0)
    assert (again.new, again.existing) == (0, 25)
    assert positions(store) == list(range(25))


@pytest.mark.usefixtures("small_chunks")
def test_more_items_in_a_known_batch_stand_behind_the_others(store: Store):
    enqueue(store, some(0, 25))
    report = enqueue(store, some(20, 40))

    assert (report.new, report.existing) == (15, 5)
    assert positions(store) == list(range(40))
    assert opened(store) == 40


def test_the_same_item_twice_in_one_input_is_one_job(store: Store):
    report = enqueue(store, [new_job("a"), new_job("b"), new_job("a")])

    assert (report.new, report.existing) == (2, 1)
    assert positions(store) == [0, 1]


def test_one_item_with_two_prompts_in_one_input_is_refused_by_name(store: Store):
    with pytest.raises(ConflictingJob, match="'a'"):
        enqueue(store, [new_job("a"), new_job("a", prompt="other")])

    assert states(store) == {}


@pytest.mark.usefixtures("small_chunks")
def test_another_prompt_under_a_known_id_is_refused_and_opens_nothing(store: Store):
    enqueue(store, some(0, 5))
    with pytest.raises(ConflictingJob, match="'i3'"):
        enqueue(store, [*some(100, 120), new_job("i3", prompt="other")])

    assert opened(store) == 5
    assert len(publish(store)) == 5


@pytest.mark.usefixtures("small_chunks")
def test_what_a_dead_enqueue_staged_is_never_published(store: Store):
    with pytest.raises(KeyboardInterrupt):
        enqueue(store, broken_off(some(0, 35)))

    assert 0 < sum(states(store).values()) < 35
    assert publish(store) == []


@pytest.mark.usefixtures("small_chunks")
def test_the_command_again_after_its_death_gives_each_job_once(store: Store):
    with pytest.raises(KeyboardInterrupt):
        enqueue(store, broken_off(some(0, 35)))
    enqueue(store, some(0, 35))

    assert len(publish(store)) == 35
    assert positions(store) == list(range(35))


@pytest.mark.usefixtures("small_chunks")
def test_a_corrected_command_does_not_leave_the_mistaken_jobs_behind(store: Store):
    with pytest.raises(KeyboardInterrupt):
        enqueue(store, broken_off(some(0, 35)))
    enqueue(store, some(5, 8))

    assert states(store) == {"ready": 3}


@pytest.mark.usefixtures("small_chunks")
def test_a_killed_enqueue_holds_up_the_next_one_only_until_its_lease_ends(store: Store):
    with pytest.raises(KeyboardInterrupt):
        enqueue(store, broken_off(some(0, 35)))
    with store.transaction() as connection:  # as a kill leaves it: nobody dropped the lease
        connection.execute(leases.insert().values(name="enqueue:1", holder="dead", expires_at=2e10))
        batch_id = connection.execute(select(batches.c.id)).scalar_one()
        connection.execute(leases.update().values(name=f"enqueue:{batch_id}"))
    move_clock(store, "leases", "expires_at", 2e10)

    assert enqueue(store, some(0, 3)).new == 3


def test_an_enqueue_waits_for_another_one_and_says_so_in_the_end(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 0.1)
    batch = enqueue(store, some(0, 1)).batch
    with store.transaction() as connection:
        take_lease(connection, f"enqueue:{batch.id}", holder="alive", seconds=60)

    with pytest.raises(ServiceUnavailable, match="still filling"):
        enqueue(store, some(1, 2))


@pytest.mark.usefixtures("small_chunks")
def test_many_clicks_into_one_batch_at_once_all_stay(store: Store):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: enqueue(store, some(number * 12, number * 12 + 12)), range(8)))

    assert positions(store) == list(range(96))
    assert len(publish(store)) == 96


def test_an_enqueue_that_waits_says_why(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(module, "SAY_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 0.2)
    batch = enqueue(store, some(0, 1)).batch
    with store.transaction() as connection:
        take_lease(connection, f"enqueue:{batch.id}", holder="alive", seconds=60)
    with pytest.raises(ServiceUnavailable):
        enqueue(store, some(1, 2))

    assert [record.getMessage().count("another command is filling this batch") for record in caplog.records] == [1]


@pytest.mark.usefixtures("small_chunks")
def test_an_enqueue_that_was_killed_on_this_machine_is_taken_over_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(KeyboardInterrupt):
        enqueue(store, broken_off(some(0, 35)))
    with store.transaction() as connection:
        batch_id = connection.execute(select(batches.c.id)).scalar_one()
        killed = process_mark().replace(f".{os.getpid()}.", f".{process.pid}.")
        take_lease(connection, f"enqueue:{batch_id}", holder=killed, seconds=60)
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 0.0)

    assert enqueue(store, some(0, 35)).new == 35
    assert len(publish(store)) == 35


def test_an_enqueue_of_a_process_that_lives_is_not_taken_over(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LONGEST_WAIT_SECONDS", 0.0)
    batch = enqueue(store, some(0, 1)).batch
    with store.transaction() as connection:
        take_lease(connection, f"enqueue:{batch.id}", holder=process_mark(), seconds=60)

    with pytest.raises(ServiceUnavailable, match="still filling"):
        enqueue(store, some(1, 2))


@pytest.mark.usefixtures("small_chunks")
def test_the_same_command_again_after_a_last_commit_whose_answer_was_lost_finds_every_job(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    enqueue(store, some(0, 3))
    cut_off_commits(store, monkeypatch, numbers={3})  # open the batch, discard what is staged, the only chunk
    with pytest.raises(ServiceUnavailable):
        enqueue(store, some(3, 6))
    monkeypatch.undo()

    report = enqueue(store, some(0, 9))
    assert (report.new, report.existing) == (3, 6)
    assert positions(store) == list(range(9))
    assert len(publish(store)) == 9


def cut_off_commits(store: Store, monkeypatch: pytest.MonkeyPatch, *, numbers: set[int]) -> None:
    """These of the following transactions are committed, and their caller learns only that the connection is gone."""
    original, count = store.transaction, itertools.count(1)

    @contextmanager
    def transaction() -> Iterator[Connection]:
        with original() as connection:
            yield connection
        if next(count) in numbers:
            raise ServiceUnavailable("store", "the connection was lost")

    monkeypatch.setattr(store, "transaction", transaction)


def test_a_batch_belongs_to_one_provider(store: Store):
    enqueue(store, 1)
    with pytest.raises(InvalidInput, match="provider 'p'"):
        enqueue(store, 1, provider="other")


@pytest.mark.parametrize("name", ["", "x" * 256, "a\x00b", "a\x1b[31m", "a\nb", "\udcff"])
def test_a_batch_name_that_nobody_could_show_is_refused(store: Store, name: str):
    with pytest.raises(InvalidInput, match="batch name"):
        enqueue(store, 1, name=name)


def test_a_deadline_runs_from_the_enqueue(store: Store):
    enqueue(store, [new_job("a", deadline_seconds=60.0), new_job("b")])
    first, second = (job_row(store, job_id) for job_id in publish(store))

    assert first.deadline_at - first.enqueued_at == pytest.approx(60, abs=0.01)
    assert second.deadline_at is None


def test_an_input_of_one_chunk_costs_two_write_transactions(store: Store, monkeypatch: pytest.MonkeyPatch):
    enqueue(store, some(0, 1))
    count = []
    run = type(store).run
    monkeypatch.setattr(type(store), "run", lambda self, work: (count.append(1), run(self, work))[1])

    enqueue(store, some(1, 2))

    assert len(count) == 2, "clearing what was staged, and the jobs with the opening"


@pytest.mark.usefixtures("small_chunks")
def test_a_staged_job_is_in_no_count_until_its_batch_opens(store: Store):
    with pytest.raises(KeyboardInterrupt):
        enqueue(store, broken_off(some(0, 35)))
    with store.snapshot() as connection:
        from workers.store.progress import read_progress

        progress = read_progress(connection, "b")
        stored = connection.execute(select(func.count()).select_from(jobs)).scalar_one()

    assert progress is not None
    assert (progress.total, stored) == (0, 20)
