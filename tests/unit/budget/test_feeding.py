"""Which rows the feeder may publish when a model can start only so many: real rows, no broker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.store.steps import FEED, enqueue, new_job
from workers.store.feed import due_jobs, holding_up_others, mark_published
from workers.store.tables import jobs

if TYPE_CHECKING:
    from workers.store import Store
    from workers.store.enqueue import NewJob


def job(model: str, number: int) -> NewJob:
    new = new_job(f"{model}-{number}")
    return replace(new, spec=replace(new.spec, model=model))


def fill(store: Store, **counts: int) -> None:
    enqueue(store, [job(model, number) for model, count in counts.items() for number in range(count)])


def published(store: Store, startable: dict[str, int], *, at_most: int = 1000) -> dict[str, int]:
    """Publish what may be; how many of each model."""
    with store.transaction() as connection:
        chosen = due_jobs(connection, FEED, at_most=at_most, startable=startable)
        mark_published(connection, chosen)
        models = [connection.execute(jobs.select().where(jobs.c.id == job_id)).one().model for job_id in chosen]
    return {model: models.count(model) for model in set(models)}


def test_a_model_gets_no_more_messages_than_it_can_start(store: Store):
    fill(store, slow=50, quick=50)

    assert published(store, {"slow": 7}) == {"slow": 7, "quick": 50}


def test_what_waits_already_is_deducted(store: Store):
    fill(store, slow=50)
    published(store, {"slow": 7})

    assert published(store, {"slow": 10}) == {"slow": 3}
    assert published(store, {"slow": 10}) == {}


def test_a_model_without_budget_does_not_use_up_the_window(store: Store):
    fill(store, slow=50, quick=5)

    assert published(store, {"slow": 0}, at_most=5) == {"quick": 5}


def test_models_share_the_window_evenly(store: Store):
    fill(store, one=50, other=50)

    assert published(store, {}, at_most=20) == {"one": 10, "other": 10}


def test_who_has_more_waiting_than_it_can_start_holds_others_up(store: Store):
    fill(store, slow=50, quick=5)
    published(store, {}, at_most=20)

    with store.snapshot() as connection:
        assert holding_up_others(connection, FEED, {"slow": 3}) == ["slow"]
        assert holding_up_others(connection, FEED, {"slow": 100}) == []


def test_alone_nobody_is_in_the_way(store: Store):
    fill(store, slow=50)
    published(store, {}, at_most=20)

    with store.snapshot() as connection:
        assert holding_up_others(connection, FEED, {"slow": 3}) == []
