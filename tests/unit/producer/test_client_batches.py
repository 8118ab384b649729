"""`JobClient` and `Batch`: what a program of somebody else's is built on."""

from __future__ import annotations

import datetime as dt
import threading
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel
from sqlalchemy import event, insert, select, update

from producer import Item, JobClient
from producer.inputs.lateness import UsualLimits
from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters
from workers.contract.outcome import AccountState, FailureKind
from workers.contract.registry import builtin_registry
from workers.contract.wire import broker_queue
from workers.store.liveness import register_worker
from workers.store.parks import park_account
from workers.store.tables import batches, jobs, now_seconds, outcomes

if TYPE_CHECKING:
    from workers.store import Store

RESULT = '{"summary": "fine", "score": 90, "suggestions": []}'


class Feedback(BaseModel):
    summary: str
    score: int


class Other(BaseModel):
    points: float


@pytest.fixture
def client(store: Store) -> JobClient:
    return JobClient(store=store, publisher=None, registry=builtin_registry(), provider="p")


def enqueue(client: JobClient, count: int, name: str = "b") -> None:
    items = [Item(f"s{number}", f"Grade {number}", {"row": number, "nested": {"a": [1]}}) for number in range(count)]
    client.enqueue(
        items, name=name, schema="feedback", model="m", queue="interactive", params=JobParameters(max_tokens=9)
    )


def end(client: JobClient, item_id: str, *, kind: FailureKind | None = None) -> None:
    """A worker's part: the job ends now."""
    with client.store.transaction() as connection:
        row = connection.execute(select(jobs).where(jobs.c.item_id == item_id)).one()
        connection.execute(
            insert(outcomes).values(
                job_id=row.id, round=row.round, batch_id=row.batch_id, claim=row.claim, finished_at=now_seconds(),
                result=None if kind else RESULT, failure_kind=kind, failure_message="so" if kind else None,
                is_standin=False,
            )
        )  # fmt: skip
        connection.execute(update(jobs).where(jobs.c.id == row.id).values(state="failed" if kind else "succeeded"))


def test_items_take_schema_model_and_parameters_from_the_call_and_metadata_comes_back_untouched(client: JobClient):
    enqueue(client, 2)
    end(client, "s1")

    first, second = client.batch("b").results()

    assert (first.id, first.state, first.schema, first.model) == ("s0", "ready", "feedback", "m")
    assert second.metadata == {"row": 1, "nested": {"a": [1]}}
    assert second.parse(Feedback) == Feedback(summary="fine", score=90)
    with client.store.snapshot() as connection:
        assert connection.execute(select(jobs.c.parameters)).scalars().first()["max_tokens"] == 9
        assert connection.execute(select(batches.c.queue)).scalar() == "interactive"


def test_an_item_without_schema_or_model_is_refused(client: JobClient):
    with pytest.raises(InvalidInput, match="'a' names neither schema nor model"):
        client.enqueue([Item("a", "x")], name="b", model="m")


def test_a_result_is_parsed_or_refused_by_name_never_invented(client: JobClient):
    enqueue(client, 2)
    end(client, "s0")
    end(client, "s1", kind=FailureKind.TRUNCATED)
    good, bad = client.batch("b").results()

    with pytest.raises(InvalidInput, match="'s1' has no result: truncated"):
        bad.parse(Feedback)
    with pytest.raises(InvalidInput, match="'s0' is no Other; its schema is feedback"):
        good.parse(Other)
    assert (good.advice, "more --max-tokens" in bad.advice) == ("", True)


def test_results_come_as_they_finish_each_once_and_the_iteration_ends_with_the_batch(client: JobClient):
    enqueue(client, 3)
    end(client, "s2")
    stream = client.batch("b").results_as_finished(poll_seconds=0.01)

    assert next(stream).id == "s2"
    end(client, "s0")
    assert next(stream).id == "s0"
    end(client, "s1")
    assert [row.id for row in stream] == ["s1"]


def test_results_as_finished_are_found_while_another_thread_waits(client: JobClient):
    enqueue(client, 2)
    seen: list[str] = []
    reader = threading.Thread(
        target=lambda: seen.extend(row.id for row in client.batch("b").results_as_finished(poll_seconds=0.01))
    )
    reader.start()
    end(client, "s1")
    end(client, "s0")
    reader.join(10)

    assert not reader.is_alive()
    assert sorted(seen) == ["s0", "s1"]


def test_what_came_with_an_earlier_time_than_others_is_found_before_the_iteration_ends(client: JobClient):
    enqueue(client, 3)
    end(client, "s1")
    stream = client.batch("b").results_as_finished(poll_seconds=0.01)
    assert next(stream).id == "s1"
    end(client, "s0")
    with client.store.transaction() as connection:  # as the twin of a job that ended before it was enqueued
        connection.execute(update(outcomes).values(finished_at=1.0))
    end(client, "s2")
    assert sorted(row.id for row in stream) == ["s0", "s2"]


def test_results_as_finished_are_read_in_pages_and_with_each_new_round(
    client: JobClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("producer.batch.ENDED_AT_ONCE", 2)
    enqueue(client, 5)
    stream = client.batch("b").results_as_finished(poll_seconds=0.01)
    for item in ("s0", "s3", "s4"):
        end(client, item)
    end(client, "s1", kind=FailureKind.TRUNCATED)
    first = next(stream).id
    end(client, "s2")  # while a page is read
    assert client.batch("b").retry_failed() == 1
    end(client, "s1")
    rest = [(row.id, row.state) for row in stream]
    assert first == "s0"
    assert sorted(rest) == [("s1", "failed"), *((each, "succeeded") for each in ("s1", "s2", "s3", "s4"))]


def test_failures_are_retried_by_kind_and_old_outcomes_stay(client: JobClient):
    enqueue(client, 3)
    end(client, "s0", kind=FailureKind.TRUNCATED)
    end(client, "s1", kind=FailureKind.REFUSED)
    end(client, "s2")
    batch = client.batch("b")

    assert [(row.id, row.failure_kind) for row in batch.failures()] == [("s0", "truncated"), ("s1", "refused")]
    assert batch.retry_failed(["truncated"]) == 1
    assert [(row.id, row.round) for row in batch.results()] == [("s0", 2), ("s1", 1), ("s2", 1)]
    with pytest.raises(InvalidInput, match="no failure kind 'tired'"):
        batch.retry_failed(["tired"])
    with client.store.snapshot() as connection:
        assert len(connection.execute(select(outcomes)).all()) == 3


def test_cancel_ends_what_waits(client: JobClient):
    enqueue(client, 3)
    end(client, "s0")

    assert client.batch("b").cancel() == 2
    assert client.batch("b").progress().failures == {FailureKind.CANCELLED: 2}


def test_progress_says_pace_time_left_and_what_is_waited_for(client: JobClient, store: Store):
    enqueue(client, 4)
    batch = client.batch("b")
    nobody = batch.progress()
    assert (nobody.jobs_per_second, nobody.seconds_left) == (None, None)
    assert "no worker serves the queue interactive for p; start one with: gradequeue worker" in nobody.waiting_for[0]

    with store.transaction() as connection:
        register_worker(
            connection, worker_id="w", hostname="h", pid=1, queues=broker_queue("interactive", "p", store.id)
        )
    assert batch.progress().waiting_for == ("4 wait for a free slot in a worker",)
    with store.transaction() as connection:
        connection.execute(update(jobs).where(jobs.c.item_id == "s3").values(not_before=now_seconds() + 40))
    deferred, place = batch.progress().waiting_for
    assert deferred.startswith(("1 rate-limited; next retry in 40 s", "1 rate-limited; next retry in 3")), deferred
    assert "3 wait" in place
    with store.transaction() as connection:
        park_account(connection, account="p", state=AccountState.QUOTA_EXHAUSTED, message="x")
    (parked,) = batch.progress().waiting_for
    assert "p is parked (quota_exhausted)" in parked

    for item in ("s0", "s1"):
        end(client, item)
    moving = batch.progress()
    assert moving.jobs_per_second is not None
    assert moving.jobs_per_second > 0
    assert moving.seconds_left == pytest.approx(2 / moving.jobs_per_second)
    for item in ("s2", "s3"):
        end(client, item)
    assert batch.progress().seconds_left == 0.0
    assert batch.progress().waiting_for == ()


def test_a_batch_that_is_not_there_is_said(client: JobClient):
    for ask in (
        client.batch("x").progress,
        client.batch("x").origin,
        client.batch("x").cancel,
        lambda: list(client.batch("x").results()),
    ):
        with pytest.raises(InvalidInput, match="there is no batch 'x'"):
            ask()


@pytest.mark.parametrize(
    "metadata",
    [
        {"day": dt.date(2026, 11, 23)}, {1: 2}, {"pair": (1, 2)}, {"x": float("nan")},
        {"x": "a\x00b"}, {"x": "\ud800"},
    ],
    ids=["a date", "a number as key", "a tuple", "NaN", "NUL", "half a character"],
)  # fmt: skip
def test_metadata_that_would_not_come_back_is_refused_and_leaves_nothing(
    client: JobClient, metadata: dict[str, object]
):
    items = [
        Item("fine", "x", {"text": "\\u0000 as text", "deep": [{"n": 1.5, "none": None}]}),
        Item("bad", "x", metadata),
    ]

    with pytest.raises(InvalidInput, match="metadata of 'bad'"):
        client.enqueue(items, name="b", schema="feedback", model="m")

    assert client.batches() == []
    client.enqueue(items[:1], name="b", schema="feedback", model="m")
    assert next(iter(client.batch("b").results())).metadata == items[0].metadata


@pytest.mark.parametrize("wrong", [{"schema": "feedbcak"}, {"queue": "fast"}])
def test_a_refused_enqueue_leaves_no_empty_batch(client: JobClient, wrong: dict[str, str]):
    with pytest.raises(InvalidInput):
        client.enqueue([Item("s0", "x")], name="b", **({"schema": "feedback", "model": "m"} | wrong))

    assert client.batches() == []


def test_no_kinds_to_retry_are_no_jobs(client: JobClient):
    enqueue(client, 2)
    end(client, "s0", kind=FailureKind.TRUNCATED)
    batch = client.batch("b")

    assert batch.retry_failed([]) == 0
    assert batch.retry_failed("truncated") == 1
    end(client, "s1", kind=FailureKind.REFUSED)
    assert batch.retry_failed() == 1


def test_progress_costs_the_same_few_statements_however_large_the_batch(client: JobClient):
    statements: list[str] = []
    event.listen(client.store.engine, "before_cursor_execute", lambda *seen: statements.append(seen[2]))
    enqueue(client, 2, name="small")
    enqueue(client, 1500, name="large")

    costs = []
    for name in ("small", "large"):
        statements.clear()
        assert client.batch(name).progress().total in {2, 1500}
        costs.append(len(statements))

    assert costs[0] == costs[1] <= 20


def test_a_list_of_batches_can_be_read_page_by_page_and_a_name_looked_up(client: JobClient):
    for name in ("b0", "b1", "b2"):
        enqueue(client, 1, name=name)

    first = client.page_of_batches(at_most=2)
    last = client.page_of_batches(at=first.next, at_most=2)
    assert [[each.name for each in page.rows] for page in (first, last)] == [["b2", "b1"], ["b0"]]
    assert (first.previous, last.next) == (None, None)
    assert client.page_of_batches(at=last.previous, at_most=2) == first
    assert [each.name for each in client.batches(at_most=2)] == ["b2", "b1"]
    found = client.find_batch("b1")
    assert found == client.batch("b1").overview()
    assert (found.name, found.total) == ("b1", 1)
    assert client.find_batch("other") is None


def test_jobs_come_back_as_they_were_enqueued_and_ended_ones_can_be_asked_for_alone(client: JobClient):
    enqueue(client, 3)
    end(client, "s1", kind=FailureKind.TRUNCATED)
    end(client, "s2")
    batch = client.batch("b")

    assert [(job.id, job.prompt, job.model) for job in batch.jobs()] == [(f"s{n}", f"Grade {n}", "m") for n in range(3)]
    assert [row.id for row in batch.ended_results()] == ["s1", "s2"]
    assert [row.id for row in batch.ended_results(at_most=1)] == ["s1"]
    assert [row.id for row in batch.ended_results(failures_only=True)] == ["s1"]


def test_progress_names_the_park_of_the_batchs_own_account(client: JobClient):
    enqueue(client, 1)
    with client.store.transaction() as connection:
        park_account(connection, account="other", state=AccountState.AUTH_FAILED, message="key refused")
    assert client.batch("b").progress().park is None

    with client.store.transaction() as connection:
        park_account(connection, account="p", state=AccountState.QUOTA_EXHAUSTED, message="no credit")
    park = client.batch("b").progress().park
    assert park is not None
    assert (park.account, park.message) == ("p", "no credit")


def test_a_moment_is_kept_with_each_job_and_what_will_be_late_is_in_the_report(client: JobClient):
    by = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    slow = JobClient(
        store=client.store, publisher=None, registry=client.registry, provider="p", limits=UsualLimits(requests=1)
    )  # fmt: skip
    items = [Item(f"s{number}", f"Grade {number}") for number in range(100)]
    [outlook] = slow.enqueue(items, name="b", schema="feedback", model="m", by=by).outlooks
    assert {job.parameters.deadline_at for job in slow.batch("b").jobs()} == {by.timestamp()}
    assert (outlook.jobs, outlook.late) == (100, pytest.approx(40, abs=5))
    assert client.enqueue([Item("x", "y")], name="c", schema="feedback", model="m").outlooks == ()


def test_a_moment_without_a_zone_or_beside_a_deadline_is_refused_and_nothing_enqueued(client: JobClient):
    item, naive = Item("a", "Grade"), dt.datetime(2999, 1, 1)  # noqa: DTZ001 - that is the point
    with pytest.raises(InvalidInput, match="needs a time zone"):
        client.enqueue([item], name="b", schema="feedback", model="m", by=naive)
    spans = JobParameters(deadline_seconds=60.0)
    with pytest.raises(InvalidInput, match="give one of them"):
        client.enqueue([item], name="b", schema="feedback", model="m", params=spans, by=naive.replace(tzinfo=dt.UTC))
    assert client.batches() == []


def test_a_retry_takes_a_moment_in_the_place_of_a_span(client: JobClient):
    client.enqueue([Item("a", "x")], name="b", schema="feedback", model="m", params=JobParameters(deadline_seconds=9.0))
    end(client, "a", kind=FailureKind.DEADLINE_EXCEEDED)
    by = dt.datetime(2999, 1, 1, tzinfo=dt.UTC)
    assert client.batch("b").retry_failed(by=by) == 1
    [job] = client.batch("b").jobs()
    assert (job.parameters.deadline_at, job.parameters.deadline_seconds) == (by.timestamp(), None)
