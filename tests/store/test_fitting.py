"""Whatever a peer says about an answer, the grade is stored."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.store.steps import Answer, answered, claimed, failure, job_row, outcome_rows, persist, send, success
from workers.contract.outcome import Failure, FailureKind, Success, Usage
from workers.store.ending_json import StoredAnswer
from workers.store.fitting import LARGEST_INTEGER, fitted_columns, result_json
from workers.store.tables import attempts, outcomes

if TYPE_CHECKING:
    from workers.store import Store

HOSTILE = [
    {"request_id": "r" * 400},
    {"request_id": "a\x00b"},
    {"request_id": "\ud800"},
    {"system_fingerprint": "f" * 5000},
    {"model_answered": "m\x00" * 300},
    {"message": "no\x00\udfff"},
    {"status_code": 10**12},
    {"wait_seconds": math.inf},
    {"wait_seconds": math.nan},
    {"cost_usd": math.nan},
    {"usage": Usage(prompt_tokens=10**10, completion_tokens=-(10**10))},
    {"parameters_sent": {"a\x00": ["\ud800", math.nan, {"b": object()}]}},
]


@pytest.mark.parametrize("said", HOSTILE, ids=lambda said: next(iter(said)))
def test_a_grade_is_stored_whatever_was_said_about_it(store: Store, said: dict[str, Any]):
    [job] = claimed(store)
    closing = dataclasses.replace(answered(send(store, job) or ""), **said)
    ending = dataclasses.replace(success(job, 3), model_answered="m\x00" * 200)

    assert persist(store, closing=closing, ending=ending)
    assert job_row(store, job.id).state == "succeeded"
    [row] = outcome_rows(store)
    assert row.result == '{"grade":3}'
    assert row.model_answered == "m\ufffd" * 127 + "m"
    with store.snapshot() as connection:
        assert connection.execute(select(attempts.c.ending)).scalars().all() == ["answered"]


def test_what_fits_is_stored_as_it_came(store: Store):
    [job] = claimed(store)
    said = {"request_id": "req_é", "parameters_sent": {"max_tokens": 7, "stop": None}, "wait_seconds": 0.25}
    closing = dataclasses.replace(answered(send(store, job) or ""), **said)
    persist(store, closing=closing, ending=success(job))

    with store.snapshot() as connection:
        row = connection.execute(select(attempts)).one()
    assert {name: getattr(row, name) for name in said} == said
    assert row.prompt_tokens == 10


def test_a_nul_inside_a_result_is_kept_as_its_escape(store: Store):
    [job] = claimed(store)
    said = {"comment": "a\x00b", "half": "x\ud800"}
    ending = dataclasses.replace(success(job), outcome=Success(StoredAnswer(said)))

    assert persist(store, ending=ending)
    [row] = outcome_rows(store)
    assert json.loads(row.result) == {"comment": "a\x00b", "half": "x\ufffd"}
    assert "\x00" not in row.result


def test_a_failure_keeps_its_kind_whatever_text_it_brings(store: Store):
    [job] = claimed(store)
    outcome = Failure(
        kind=FailureKind.INVALID_OUTPUT,
        message="no",
        raw_output="a\x00\ud800",
        refusal="\x00",
        validation_errors=({"input": "\x00", "ctx": {"error": ValueError("x")}},),
    )
    assert persist(store, ending=dataclasses.replace(failure(job), outcome=outcome))

    [row] = outcome_rows(store)
    assert (row.failure_kind, row.raw_output, row.refusal) == ("invalid_output", "a\ufffd\ufffd", "\ufffd")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=5,
)


@settings(max_examples=40)  # each tries every column
@given(st.fixed_dictionaries(dict.fromkeys(set(attempts.c.keys()) - {"batch_id"}, ANYTHING)))
def test_every_value_of_a_fitted_row_is_one_that_its_column_holds(row: dict[str, Any]):
    for name, [value] in fitted_columns(attempts, {name: [value] for name, value in row.items()}).items():
        kind = attempts.c[name].type
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
        written.encode()
        assert "\x00" not in str(value)
        if kind.python_type is int and value is not None:
            assert abs(value) <= LARGEST_INTEGER
        if kind.python_type is str and value is not None:
            assert len(value) <= (getattr(kind, "length", None) or math.inf)
        assert value is not None or attempts.c[name].nullable or row[name] is None


def test_nesting_without_end_is_cut():
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    json.dumps(fitted_columns(outcomes, {"validation_errors": [deep]}))


@given(st.lists(st.sampled_from([None, 1, True, 0.0, "\x00", "a" * 300, float("nan"), 2**70]), min_size=1, max_size=4))
def test_a_column_is_fitted_value_by_value(values: list[Any]):
    for name in ("status_code", "message", "request_id", "cost_usd", "parameters_sent", "prompt_tokens"):
        one_by_one = [fitted_columns(attempts, {name: [value]})[name][0] for value in values]
        together = fitted_columns(attempts, {name: values})[name]
        assert [*map(str, together)] == [*map(str, one_by_one)] or together == one_by_one


def test_an_answer_of_numbers_is_written_without_spaces():
    assert result_json(Success(Answer({"grade": 3}))) == '{"grade":3}'
