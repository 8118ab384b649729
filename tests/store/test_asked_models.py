"""Which models are about to be asked, by batch and by provider."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.store.steps import claimed, enqueue, new_job, persist, success
from workers.store.asked_models import models_awaited, models_of
from workers.store.overviews import find_batch

if TYPE_CHECKING:
    from workers.store import Store


def test_models_of_unfinished_jobs_are_named_with_those_they_fall_back_to(store: Store):
    [done] = claimed(store)
    persist(store, ending=success(done))
    late = [new_job("x", fallback_model="m"), new_job("y")]
    enqueue(store, [replace(each, spec=replace(each.spec, model="late")) for each in late], name="c")

    with store.snapshot() as connection:
        assert models_awaited(connection, "p") == {"late": ["c"], "m": ["c"]}
        assert models_awaited(connection, "elsewhere") == {}
        assert models_of(connection, find_batch(connection, "b").id) == ["m"]
        assert models_of(connection, find_batch(connection, "b").id, unfinished_only=True) == []
