"""One build's figures on one database, as a JSON line.

Run by `ops.bench.million`, with this build's interpreter or an earlier one's: it uses nothing younger than that, and
finds what has moved since.
"""

# ruff: noqa: S608 - the statements are made of this file's own names and numbers

from __future__ import annotations

import json
import statistics
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from workers.contract.job import JobParameters, JobSpec
from workers.store import Store
from workers.store.feed import Feed, due_jobs, feeds_with_work

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection


def _any_of(*modules: str) -> Any:
    """The first of these that this build has."""
    for name in modules[:-1]:
        try:
            return import_module(f"workers.store.{name}")
        except ModuleNotFoundError:
            continue
    return import_module(f"workers.store.{modules[-1]}")


retention = _any_of("retention")
enqueue = _any_of("enqueue", "batches")
overviews = _any_of("overviews", "overview")
read_progress = _any_of("progress", "reading").read_progress
read_results = _any_of("results", "reading").read_results

TIMES = 21
ENQUEUED = 5000
FAILED_EVERY = 50
WAITING_EVERY = 100
"""Of the batches, one in so many waits; the others have ended."""
OLD = 1_700_000_000.0
RESULT = json.dumps(
    {"major_errors": [], "minor_errors": ["style"], "feedback": "a sentence. " * 40, "total_deduction": 5},
    separators=(",", ":"),
)
"""As workers write it."""


def main(url: str, jobs: int, batches: int, big: int) -> None:
    """Fill an empty store, measure, print."""
    store = Store.open(url)
    store.migrate()
    figures = {"enqueue_empty_per_s": _enqueue(store, "first")}
    began = time.monotonic()
    for number in range(batches):
        is_waiting = number % WAITING_EVERY == 0
        fill(store, f"b{number}", jobs // batches, is_waiting=is_waiting, is_old=number % 2 == 1)
    fill(store, "big", big, is_waiting=False)
    figures["fill_s"] = time.monotonic() - began
    _refresh_statistics(store)
    middle = f"b{batches // 2 + 1}"
    figures |= {
        **_medians_ms(
            store,
            progress_ms=lambda connection: read_progress(connection, middle),
            progress_big_ms=lambda connection: read_progress(connection, "big"),
            batches_20_ms=lambda connection: overviews.list_overviews(connection, at_most=20),
            batches_200_ms=lambda connection: overviews.list_overviews(connection, at_most=200),
            failures_ms=lambda connection: list(read_results(connection, "big", failed_only=True, at_most=50)),
            feeder_ms=_feed,
        ),
        "enqueue_full_per_s": _enqueue(store, "last"),
        "bytes_per_job": _bytes(store) / (jobs + big),
        **_purged(store, jobs // 2),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    store.close()


def _medians_ms(store: Store, **reads: Callable[[Connection], object]) -> dict[str, float]:
    """Of processor time, which other work on the machine does not change much: of the server, on SQLite of this thread.

    In turns, so that what is busy for a while is so for all. The server's process is a new one for each build; this
    one's part, on PostgreSQL, is not the database's.
    """
    taken: dict[str, list[float]] = {name: [] for name in reads}
    for _ in range(TIMES):
        for name, read in reads.items():
            with store.snapshot() as connection:
                spent = _clock(connection, store)
                began = spent()
                read(connection)
                taken[name].append(spent() - began)
    return {name: statistics.median(each) * 1000 for name, each in taken.items()}


def _clock(connection: Connection, store: Store) -> Callable[[], float]:
    if store.is_sqlite:
        connection.execute(text("SELECT 1"))
        return time.thread_time
    process = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    spent = Path(f"/proc/{process}/schedstat")
    return lambda: int(spent.read_text().split()[0]) / 1e9


def _bytes(store: Store) -> float:
    size = (
        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        if store.is_sqlite
        else "SELECT pg_database_size(current_database())"
    )
    with store.snapshot() as connection:
        return float(connection.execute(text(size)).scalar_one())


def _purged(store: Store, jobs: int) -> dict[str, float]:
    """Half of the store is purged; what that costs, and how large the store is before and behind it."""
    before, spent = _bytes(store), _spent(store)
    began = spent()
    retention.purge(store, older_than_seconds=365 * 86400)
    return {
        "purge_per_s": jobs / (spent() - began),
        "size_behind_purge": _bytes(store) / before,
    }


def _feed(connection: Connection) -> None:
    for feed in feeds_with_work(connection):
        due_jobs(connection, Feed(feed.queue, feed.provider), at_most=500)


def _enqueue(store: Store, name: str) -> float:
    """Rows a second of processor time, of this process and of the server; the median of three."""
    rates = []
    spent = _spent(store)
    for number in range(3):
        batch = enqueue.open_batch(store, name=f"{name}-{number}", provider="standin", queue="bulk")
        specs = (
            JobSpec(id=f"s{item}", prompt="x = 1\n" * 300, schema="error_report", model="m", parameters=JobParameters())
            for item in range(ENQUEUED)
        )
        began = spent()
        enqueue.add_jobs(store, batch, (enqueue.NewJob(spec=spec, schema_fingerprint="f") for spec in specs))
        rates.append(ENQUEUED / (spent() - began))
    return statistics.median(rates)


def _spent(store: Store) -> Callable[[], float]:
    """Seconds of processor time, of this process and of those of the server that serve the store."""
    if store.is_sqlite:
        return time.process_time
    serving = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")

    def spent() -> float:
        with store.snapshot() as connection:
            processes = connection.execute(serving).scalars().all()
        stats = [Path(f"/proc/{process}/schedstat") for process in processes]
        return time.process_time() + sum(int(each.read_text().split()[0]) / 1e9 for each in stats if each.exists())

    return spent


def _refresh_statistics(store: Store) -> None:
    connection: Any = store.engine.raw_connection()
    if not store.is_sqlite:
        connection.driver_connection.autocommit = True  # VACUUM wants no transaction around it
    connection.cursor().execute("ANALYZE" if store.is_sqlite else "VACUUM ANALYZE")
    connection.close()


def fill(
    store: Store, name: str, count: int, *, is_waiting: bool, is_old: bool = True, prompt: str = "a prompt"
) -> None:
    """A batch whose jobs have all ended, or all wait, written by the database itself."""
    numbers = (
        f"WITH RECURSIVE g(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM g WHERE n + 1 < {count})"
        if store.is_sqlite
        else f"WITH g(n) AS (SELECT * FROM generate_series(0, {count - 1}))"
    )
    failed = f"g.n % {FAILED_EVERY} = 1"
    state = "'ready'" if is_waiting else f"CASE WHEN {failed} THEN 'failed' ELSE 'succeeded' END"
    job_id = f"'{name}-' || g.n"
    created = OLD if is_old else time.time()
    finished = "NULL" if is_waiting else f"{created} + g.n"
    with store.transaction() as connection:
        batch_id = connection.execute(
            text(
                "INSERT INTO batches (name, provider, queue, created_at, opened, origin)"
                f" VALUES ('{name}', 'standin', 'bulk', {created}, {count}, '{{}}') RETURNING id"
            )
        ).scalar_one()
        connection.execute(
            text(
                "INSERT INTO jobs (id, batch_id, item_id, position, enqueued_at, schema_name, schema_fingerprint,"
                " prompt, prompt_hash, content_hash, model, parameters, metadata, state, round, claim, publish_number,"
                " snoozes, finished_at, cancel_requested)"
                f" {numbers} SELECT {job_id}, {batch_id}, 's' || g.n, g.n, 1700000000, 'error_report', 'f',"
                f" :prompt, 'h', 'c', 'm', '{{}}', '{{}}', {state}, 1, 1, 1, 0, {finished}, false FROM g"
            ),
            {"prompt": prompt},
        )
        if is_waiting:
            return
        connection.execute(
            text(
                "INSERT INTO attempts (id, job_id, batch_id, round, claim, worker_id, purpose, model, opened_at,"
                " closed_at, ending, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, cost_usd)"
                f" {numbers} SELECT {job_id}, {job_id}, {batch_id}, 1, 1, 'w', 'grade', 'm', 1700000000,"
                f" 1700000001, 'answered', 1000, 200, 0, 0, 0.001 FROM g"
            )
        )
        connection.execute(
            text(
                "INSERT INTO outcomes (job_id, round, batch_id, claim, finished_at, result, failure_kind,"
                " failure_message, is_standin)"
                f" {numbers} SELECT {job_id}, 1, {batch_id}, 1, {finished},"
                f" CASE WHEN {failed} THEN NULL ELSE :result END, CASE WHEN {failed} THEN 'refused' END,"
                f" CASE WHEN {failed} THEN 'no' END, false FROM g"
            ),
            {"result": RESULT},
        )


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
