"""What `doctor` says of a store's growth, and of counters that no longer equal their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from producer.local.store_growth import recount_line, size_line
from tests.store.steps import claimed, enqueue, new_job, persist, success
from workers.store.sizes import read_size

if TYPE_CHECKING:
    from workers.store import Store


def test_the_size_is_that_of_the_tables_and_grows_with_what_is_stored(expendable_store: Store):
    store = expendable_store  # in tables of others, what they have deleted is room
    with store.snapshot() as connection:
        before = read_size(connection)
    assert (before.jobs, before.bytes_per_job) == (0, None)
    assert "no jobs yet" in size_line(store)
    enqueue(store, [new_job(f"s{number}", prompt="x = 1\n" * 2000) for number in range(50)])

    with store.snapshot() as connection:
        after = read_size(connection)
    assert after.jobs == 50
    assert after.total_bytes > before.total_bytes
    assert after.bytes_per_job == after.total_bytes / 50
    assert f"50 jobs, {after.total_bytes / 50 / 1024:.1f} KiB each" in size_line(store)
    if not store.is_sqlite:
        assert sum(after.by_table.values()) == after.total_bytes
        assert after.by_table["jobs"] > before.by_table["jobs"]


def test_a_counter_that_differs_from_its_rows_is_named(store: Store):
    [job, _other] = claimed(store, 2)
    persist(store, ending=success(job))
    assert recount_line(store) == "every counter equals a recount, over 2 jobs"
    with store.transaction() as connection:
        connection.execute(text("UPDATE job_tallies SET jobs = jobs + 1 WHERE state = 'succeeded'"))
    with pytest.raises(ValueError, match=r"counters differ from the rows in job_tallies \(2 rows\)"):
        recount_line(store)
