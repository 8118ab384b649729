"""Two batches side by side, a page at a time: who has a result in both, and identical work that was graded apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.steps import claim, enqueue, failure, new_job, persist, publish, success
from workers.store import side_by_side
from workers.store.side_by_side import count_results, read_pairs, read_twins_apart

if TYPE_CHECKING:
    from workers.store import Store


def graded(store: Store, name: str, grades: dict[str, int | None], *, prompts: dict[str, str] | None = None) -> None:
    """A finished batch; None fails."""
    enqueue(store, [new_job(each, prompt=(prompts or {}).get(each, f"grade {each}")) for each in grades], name=name)
    for job in claim(store, publish(store)).values():
        grade = grades[job.item_id]
        persist(store, ending=failure(job) if grade is None else success(job, grade))


@pytest.mark.parametrize("page", [2, 500])
def test_each_item_with_a_result_in_both_is_one_pair_in_the_old_order(
    store: Store, monkeypatch: pytest.MonkeyPatch, page: int
):
    monkeypatch.setattr(side_by_side, "LIST_LENGTH", page)
    graded(store, "old", {"a": 1, "b": 2, "c": None, "d": 4, "e": 5})
    graded(store, "new", {"e": 50, "d": 40, "c": 30, "b": None, "a": 10, "f": 60})

    with store.snapshot() as connection:
        pairs = list(read_pairs(connection, "old", "new"))
        counts = [count_results(connection, name) for name in ("old", "new", "nothing")]
    assert [(one.batch, other.batch) for one, other in pairs] == [("old", "new")] * 3
    assert [(one.id, one.result, other.result) for one, other in pairs] == [
        ("a", {"grade": 1}, {"grade": 10}),
        ("d", {"grade": 4}, {"grade": 40}),
        ("e", {"grade": 5}, {"grade": 50}),
    ]
    assert counts == [4, 5, 0]


def test_identical_work_that_was_graded_apart_is_paired_once(store: Store):
    prompts = {"a": "same", "b": "same", "c": "same", "d": "other", "e": "same", "f": "alone", "g": "other"}
    graded(store, "b", {"a": 1, "b": 2, "c": None, "d": 4, "e": 5, "f": 6, "g": 7}, prompts=prompts)

    with store.snapshot() as connection:
        pairs = [(one.id, other.id) for one, other in read_twins_apart(connection, "b")]
    assert sorted(pairs) == [("a", "b"), ("d", "g")], "the third of a kind has no partner"
