"""What a page shows is asked for row by row: no more is read than it draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from tests.store.steps import claimed, enqueue, failure, persist, success
from workers.store import result_pages as module
from workers.store.overviews import list_overviews, page_of_overviews
from workers.store.results import read_results

if TYPE_CHECKING:
    from workers.store import Store


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the jobs that the store was asked for, as they come."""
    seen: list[str] = []
    original = module._result_page

    def watching(*args: Any, **options: Any) -> Any:
        page = original(*args, **options)
        seen.extend(row.item_id for row in page)
        return page

    monkeypatch.setattr(module, "_result_page", watching)
    return seen


def mixed_batch(store: Store) -> dict[str, str]:
    """Eight jobs: every second one has ended, every fourth failed; ids in input order with their state."""
    jobs = claimed(store, 8)
    for number, job in enumerate(jobs):
        if number % 4 == 1:
            persist(store, ending=failure(job))
        elif number % 4 == 3:
            persist(store, ending=success(job))
    states = ["running", "failed", "running", "succeeded"] * 2
    with store.snapshot() as connection:
        rows = list(read_results(connection, "b"))
    assert [row.state for row in rows] == states
    return {row.id: row.state for row in rows}


@pytest.mark.parametrize("page", [1, 3, 500])
def test_what_has_ended_and_what_failed_come_in_input_order_whatever_lies_between(
    store: Store, monkeypatch: pytest.MonkeyPatch, page: int
):
    states = mixed_batch(store)
    enqueue(store, 3, name="another")
    monkeypatch.setattr(module, "PAGE", page)

    with store.snapshot() as connection:
        ended = [row.id for row in read_results(connection, "b", ended_only=True)]
        failed = [row.id for row in read_results(connection, "b", failed_only=True)]
    assert ended == [item for item, state in states.items() if state != "running"]
    assert failed == [item for item, state in states.items() if state == "failed"]


@pytest.mark.parametrize("page", [2, 500])
def test_no_more_rows_are_read_than_are_asked_for(
    store: Store, monkeypatch: pytest.MonkeyPatch, fetched: list[str], page: int
):
    states = mixed_batch(store)
    monkeypatch.setattr(module, "PAGE", page)
    fetched.clear()

    with store.snapshot() as connection:
        rows = list(read_results(connection, "b", ended_only=True, at_most=3))
        assert list(read_results(connection, "b", ended_only=True, at_most=0)) == []
    assert [row.id for row in rows] == [item for item, state in states.items() if state != "running"][:3]
    assert fetched == [row.id for row in rows]


def test_chosen_jobs_are_found_behind_others_in_the_same_state(store: Store, monkeypatch: pytest.MonkeyPatch):
    states = mixed_batch(store)
    monkeypatch.setattr(module, "PAGE", 1)

    with store.snapshot() as connection:
        ids = {row.id: row.job_id for row in read_results(connection, "b")}
        last = [item for item, state in states.items() if state == "succeeded"][-1]
        found = [row.id for row in read_results(connection, "b", ended_only=True, job_ids=[ids[last]])]
    assert found == [last]


def test_ended_jobs_are_found_by_the_index_of_their_states_alone(sqlite_store: Store):
    statements: list[tuple[str, Any]] = []
    enqueue(sqlite_store, 1)

    @event.listens_for(sqlite_store.engine, "before_cursor_execute")
    def _remember(_connection: object, _cursor: object, statement: str, parameters: Any, *_rest: object) -> None:
        statements.append((statement, parameters))

    with sqlite_store.snapshot() as connection:
        list(read_results(connection, "b", ended_only=True))
        asked = next(each for each in statements if each[0].startswith("SELECT jobs.position"))
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked[0]}", asked[1]).all()
    assert [row.detail for row in plan if "ix_jobs_batch_state" in row.detail] == [
        "SEARCH jobs USING COVERING INDEX ix_jobs_batch_state (batch_id=? AND state=? AND position>?)"
    ] * 2


def test_every_batch_is_on_one_page_of_the_list_newest_first(store: Store):
    for number in range(5):
        enqueue(store, number + 1, name=f"b{number}")

    with store.snapshot() as connection:
        pages = [page_of_overviews(connection, at_most=2)]
        while pages[-1].next is not None:
            pages.append(page_of_overviews(connection, at=pages[-1].next, at_most=2))
        listed = [(each.name, each.total) for page in pages for each in page.rows]
        assert listed == [(f"b{number}", number + 1) for number in reversed(range(5))]
        assert listed == [(each.name, each.total) for each in list_overviews(connection, at_most=None)]
