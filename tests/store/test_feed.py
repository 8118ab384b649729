"""What should be in the broker: due rows, fairly over batches, each for one publisher, found by index."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, text

from tests.store.steps import FEED, claim, claimed, enqueue, job_row, persist, publish, success
from workers.store.feed import (
    Feed,
    Publication,
    due_jobs,
    feeds_with_work,
    known_epoch,
    mark_published,
    oldest_waiting,
    record_epoch,
    unmark_published,
    unpublish,
    unpublish_all,
    waiting_messages,
)
from workers.store.leases import drop_lease, take_lease
from workers.store.releases import Release
from workers.store.turns import Turns
from workers.store.weights import set_weight

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from workers.store import Store


def batch_of(store: Store, job_ids: list[str]) -> Counter[int]:
    return Counter(job_row(store, job_id).batch_id for job_id in job_ids)


def test_every_batch_gets_the_same_share_and_the_rest_goes_to_who_has_more(store: Store):
    for name, count in (("large", 50), ("small", 4), ("middle", 20)):
        enqueue(store, count, name=name)

    assert sorted(batch_of(store, publish(store, at_most=12)).values()) == [4, 4, 4]
    assert sorted(batch_of(store, publish(store, at_most=12)).values()) == [6, 6]
    assert sum(batch_of(store, publish(store)).values()) == 50


def test_batches_of_one_model_share_its_room_by_weight_and_a_small_one_is_not_held_up(store: Store):
    enqueue(store, 200, name="large")
    turns = Turns()

    def round_of(room: int) -> Counter[int]:
        with store.snapshot() as connection:
            chosen = due_jobs(connection, FEED, at_most=500, startable={"m": room}, turns=turns)
        store.run(lambda connection: mark_published(connection, chosen))
        claim(store, chosen)
        return batch_of(store, chosen)

    large = enqueue(store, 0, name="large").batch.id
    assert round_of(40) == {large: 40}
    small = enqueue(store, 20, name="small").batch.id
    assert round_of(10) == {large: 5, small: 5}

    store.run(lambda connection: set_weight(connection, small, 4.0))
    assert round_of(10) == {large: 2, small: 8}
    assert round_of(20) == {large: 13, small: 7}, "the rest goes to who has more"


def test_a_batch_is_published_in_input_order(store: Store):
    enqueue(store, 30)
    ids = publish(store, at_most=10) + publish(store, at_most=100)

    assert [job_row(store, job_id).position for job_id in ids] == list(range(30))


def test_a_feed_takes_only_its_queue_and_provider(store: Store):
    enqueue(store, 2)
    enqueue(store, 3, name="other", provider="q")

    assert len(publish(store, feed=Feed("bulk", "q"))) == 3
    assert publish(store, feed=Feed("interactive", "p")) == []


def test_feeds_with_work_names_where_jobs_wait(store: Store):
    [job] = claimed(store)
    persist(store, ending=success(job))
    enqueue(store, 1, name="other", provider="q")
    with store.snapshot() as connection:
        assert feeds_with_work(connection) == [Feed("bulk", "q")]


def test_a_deferred_job_is_passed_over_until_it_is_due(store: Store):
    [job] = claimed(store)
    persist(store, release=Release(job_id=job.id, claim=job.claim, after_seconds=600.0))
    assert publish(store) == []
    with store.transaction() as connection:
        connection.execute(text("UPDATE jobs SET not_before = not_before - 600"))
    assert publish(store) == [job.id]


def test_two_publishers_never_mark_the_same_row(store: Store):
    enqueue(store, 60)
    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(lambda _: publish(store, at_most=40), range(4)))

    assert Counter(job_id for some in taken for job_id in some) == Counter(set().union(*taken))
    assert len(set().union(*taken)) + len(publish(store)) == 60


def test_each_publish_of_a_job_has_a_number_of_its_own(store: Store):
    enqueue(store, 1)
    numbers = []
    for _ in range(3):
        with store.snapshot() as connection:
            chosen = due_jobs(connection, FEED, at_most=1)
        [publication] = store.run(lambda connection, chosen=chosen: mark_published(connection, chosen))
        numbers.append(publication.publish_number)
        store.run(unpublish_all)

    assert numbers == [1, 2, 3]


def test_what_could_not_be_sent_is_published_again_unless_somebody_else_did(store: Store):
    enqueue(store, 2)
    first, second = publish(store)
    stale = Publication(job_id=second, publish_number=0)
    store.run(lambda connection: unmark_published(connection, [Publication(job_id=first, publish_number=1), stale]))

    assert publish(store) == [first]


def test_a_count_of_messages_leaves_out_claimed_and_counting_down(store: Store):
    waiting, running, counting, overdue = claimed(store, 4)
    for job, after in ((waiting, None), (counting, 30.0), (overdue, -90.0)):
        persist(store, release=Release(job_id=job.id, claim=job.claim, after_seconds=after, message_follows=True))

    with store.snapshot() as connection:
        assert waiting_messages(connection, FEED, countdown_grace_seconds=60) == 2
        oldest = oldest_waiting(connection, FEED, countdown_grace_seconds=60, at_most=5)
    assert set(oldest) == {waiting.id, overdue.id}
    assert job_row(store, running.id).state == "running"


def test_after_a_loss_every_unclaimed_row_needs_a_message_and_no_claimed_one(store: Store):
    [running] = claimed(store)
    enqueue(store, 5)
    publish(store)

    assert store.run(unpublish_all) == 5
    assert len(publish(store)) == 5
    assert job_row(store, running.id).state == "running"


def test_unpublish_touches_only_rows_that_wait(store: Store):
    [running] = claimed(store)
    enqueue(store, 1)
    [waiting] = publish(store)

    assert store.run(lambda connection: unpublish(connection, [running.id, waiting, "nobody"])) == 1


def test_the_epoch_is_what_was_recorded_last(store: Store):
    with store.transaction() as connection:
        assert known_epoch(connection, "broker") is None
        record_epoch(connection, "broker", "a")
        record_epoch(connection, "broker", "b")
        assert known_epoch(connection, "broker") == "b"


def test_one_holder_has_a_lease_until_it_ends_or_is_dropped(store: Store):
    def take(holder: str, seconds: float = 60.0) -> bool:
        return store.run(lambda connection: take_lease(connection, "l", holder=holder, seconds=seconds))

    assert take("a")
    assert not take("b")
    assert take("a", seconds=-1), "renewed, and over at once"
    assert take("b")
    store.run(lambda connection: drop_lease(connection, "l", holder="a"))
    assert not take("a"), "only its holder drops it"
    store.run(lambda connection: drop_lease(connection, "l", holder="b"))
    assert take("a")


def test_of_many_that_want_a_lease_one_has_it(store: Store):
    with ThreadPoolExecutor(6) as threads:
        taken = list(
            threads.map(
                lambda holder: store.run(
                    lambda connection: take_lease(connection, "l", holder=str(holder), seconds=60)
                ),
                range(6),
            )
        )
    assert taken.count(True) == 1


MANY = 100_000


@pytest.fixture
def crowded(store: Store) -> Store:
    """A hundred thousand waiting jobs in one batch, beside finished ones; published: 2,000."""
    enqueue(store, 1)
    [template] = publish(store)
    values = "batch_id, schema_name, schema_fingerprint, prompt_hash, content_hash, model, parameters, metadata"
    with store.transaction() as connection:
        for state, start in (("ready", 1), ("succeeded", MANY)):
            connection.execute(
                text(
                    f"""
                    INSERT INTO jobs (id, item_id, position, enqueued_at, state, round, claim, publish_number, snoozes,
                                      cancel_requested, published_at, {values})
                    SELECT 'j' || n, 'i' || n, n, 0, '{state}', 1, 0, 0, 0, cancel_requested,
                           CASE WHEN n <= 2000 THEN 1.0 END, {values}
                    FROM jobs, {_numbers(store)} WHERE id = '{template}' AND n >= {start} AND n < {start} + {MANY - 1}
                    """
                )
            )
        connection.execute(text(f"UPDATE batches SET opened = {2 * MANY}"))
        connection.execute(text("ANALYZE"))
    return store


def _numbers(store: Store) -> str:
    if store.is_sqlite:
        return f"(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {2 * MANY}) SELECT n FROM c)"
    return f"generate_series(1, {2 * MANY}) AS n"


def plans(store: Store, ask: Callable[[Connection], Any]) -> list[str]:
    """How the database would run each statement that `ask` sends."""
    sent: list[tuple[str, Any]] = []
    explained: list[str] = []
    with store.snapshot() as connection:

        @event.listens_for(connection, "before_cursor_execute")
        def remember(_c: object, _cursor: object, statement: str, parameters: Any, *_rest: object) -> None:
            if not statement.startswith("BEGIN"):
                sent.append((statement, parameters))

        ask(connection)
        event.remove(connection, "before_cursor_execute", remember)
        for statement, parameters in sent:
            prefix = "EXPLAIN QUERY PLAN " if store.is_sqlite else "EXPLAIN "
            rows = connection.exec_driver_sql(prefix + statement, parameters)
            explained.append("\n".join(" ".join(map(str, row)) for row in rows))
    return explained


FEED_QUERIES: dict[str, Callable[[Connection], Any]] = {
    "feeds_with_work": feeds_with_work,
    "due_jobs": lambda connection: due_jobs(connection, FEED, at_most=500),
    "waiting_messages": lambda connection: waiting_messages(connection, FEED, countdown_grace_seconds=60),
    "oldest_waiting": lambda connection: oldest_waiting(connection, FEED, countdown_grace_seconds=60, at_most=100),
}


def test_no_feed_query_reads_the_whole_queue(crowded: Store):
    for name, ask in FEED_QUERIES.items():
        for plan in plans(crowded, ask):
            assert "SCAN jobs" not in plan.replace("SCAN jobs USING COVERING INDEX ix_jobs_waiting", ""), (name, plan)
            assert "Seq Scan on jobs" not in plan, (name, plan)
    assert len(claim(crowded, publish(crowded, at_most=500))) == 500
