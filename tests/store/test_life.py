"""The life of one grade is told whole, in the order of time, without a word of work or answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.store.steps import answered, claim, enqueue, failure, new_job, persist, publish, send, success
from workers.contract.errors import InvalidInput
from workers.contract.flag import Flag, FlagKind
from workers.store.life import read_life
from workers.store.steering import retry_failed

if TYPE_CHECKING:
    from workers.store import Store


def test_two_rounds_are_told_with_their_requests_flags_and_cost(store: Store):
    enqueue(store, [new_job("ada", prompt="secret work")])
    [job_id] = publish(store)
    first = claim(store, [job_id])[job_id]
    persist(store, ending=failure(first))
    retry_failed(store, "b")
    second = claim(store, publish(store))[job_id]
    attempt = send(store, second)
    assert attempt is not None
    flag = Flag(kind=FlagKind.OFF_TASK, path="work", message="nothing there")
    ending = replace(success(second), flags=(flag,), provenance={"evidence": {"version": 1}})
    persist(store, closing=answered(attempt), ending=ending)
    with store.snapshot() as connection:
        life = read_life(connection, "b", "ada")
    told = [moment.what for moment in life.moments]
    assert told == ["enqueued", "failed: refused", "request to grade: answered", "succeeded", "flag: off_task"]
    assert life.moments[2].facts["cost_usd"] == 0.5
    assert life.moments[3].facts["evidence"] == {"version": 1}
    assert "secret" not in repr(life)


def test_of_a_counterfactual_numbers_are_told_and_no_text(store: Store):
    enqueue(store, [new_job("ada")])
    [job_id] = publish(store)
    fields = {"total": {"graded": 5, "without": 3}, "errors[0].evidence": {"graded": "print(k)", "without": None}}
    found = {"counterfactual": {"differences": 2, "fields": fields}}
    persist(store, ending=replace(success(claim(store, [job_id])[job_id]), provenance=found))
    with store.snapshot() as connection:
        life = read_life(connection, "b", "ada")
    assert life.moments[-1].facts["counterfactual"] == {"differences": 2, "fields": {"total": fields["total"]}}


def test_a_follower_names_the_item_that_was_graded_for_it(store: Store):
    enqueue(store, [new_job(item, twin_key="k") for item in ("ada", "ben")])
    [job_id] = publish(store)
    persist(store, ending=success(claim(store, [job_id])[job_id]))
    with store.snapshot() as connection:
        life = read_life(connection, "b", "ben")
        with pytest.raises(InvalidInput, match="no item"):
            read_life(connection, "b", "zoe")
    assert life.same_as == "ada"
    assert [moment.what for moment in life.moments] == ["enqueued", "graded with another item"]
