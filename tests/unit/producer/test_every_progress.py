"""The progress of every batch, as `gradequeue status` reads it without a name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import event, select, update

from producer import JobClient, progress
from producer.progress import progress_of_every
from tests.store.steps import enqueue
from workers.contract.registry import builtin_registry
from workers.store.gates import set_cap
from workers.store.pauses import PauseScope, Target, pause
from workers.store.tables import batches, jobs, now_seconds
from workers.store.weights import set_weight

if TYPE_CHECKING:
    import pytest

    from workers.store import Store


def test_the_progress_of_every_batch_is_read_in_pages_of_the_same_few_statements(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    client = JobClient(store=store, publisher=None, registry=builtin_registry(), provider="p")
    for number in range(7):
        enqueue(store, number + 1, name=f"b{number}")
    with store.transaction() as connection:
        ids = dict(connection.execute(select(batches.c.name, batches.c.id)).all())
        set_weight(connection, ids["b1"], 2.0)
        set_cap(connection, ids["b2"], 5.0)
        pause(connection, Target(PauseScope.BATCH, "b3"))
        of_last = jobs.c.batch_id == ids["b6"]
        connection.execute(update(jobs).where(of_last).values(not_before=now_seconds() + 100))
    statements: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *seen: statements.append(seen[2]))

    every = list(progress_of_every(store))
    in_one_page = len(statements)
    monkeypatch.setattr(progress, "LIST_LENGTH", 2)
    statements.clear()
    in_pages = list(progress_of_every(store))
    in_four_pages = len(statements)

    assert [(each.batch, each.total, each.gate.weight, each.gate.max_usd) for each in every] == [
        ("b0", 1, 1.0, None), ("b1", 2, 2.0, None), ("b2", 3, 1.0, 5.0), ("b3", 4, 1.0, None), ("b4", 5, 1.0, None),
        ("b5", 6, 1.0, None), ("b6", 7, 1.0, None),
    ]  # fmt: skip
    assert [each.deferred for each in every] == [0, 0, 0, 0, 0, 0, 7]
    assert [each.batch for each in every if each.closed] == ["b3"]
    # but for their own clock's few milliseconds
    now = [client.batch(each.batch).progress() for each in every]
    assert [replace(each, waiting_for=()) for each in every] == [replace(each, waiting_for=()) for each in now]
    assert [each.batch for each in in_pages] == [each.batch for each in every]
    assert in_one_page <= 22
    assert in_four_pages <= 4 * in_one_page + 1
