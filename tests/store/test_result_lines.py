"""Lines of results are made from text, and have what the objects' own fields give."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import RootModel
from sqlalchemy import update

from tests.store.steps import answered, claim, claimed, enqueue, failure, persist, publish, send, success
from workers.contract.flag import Flag, FlagKind
from workers.contract.outcome import FailureKind, Success
from workers.store import history, result_pages
from workers.store.history import read_ledger, read_ledger_lines, read_outcome_lines, read_outcomes
from workers.store.json_text import MOST_REPEATED, Moments, Repeated, as_stored, quoted
from workers.store.result_lines import read_result_lines
from workers.store.result_pages import Wanted
from workers.store.results import read_results
from workers.store.retention import purge
from workers.store.steering import retry_failed
from workers.store.tables import attempts, batches, jobs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.store import Store
    from workers.store.history import Record
    from workers.store.results import ResultRow

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


class AnyAnswer(RootModel[Any]):
    """Any validated answer."""


@given(json_values, st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]), st.booleans())
def test_json_is_copied_as_its_own_line_and_letters_are_readable(
    value: object,
    separators: tuple[str, str],
    is_ascii: bool,  # noqa: FBT001 - hypothesis gives it
):
    stored = json.dumps(value, separators=separators, ensure_ascii=is_ascii)
    copied = as_stored(stored)
    assert json.loads(copied) == value
    assert not {"\n", "\r"} & set(copied)
    if "\\u" not in stored and "\n" not in stored:
        assert copied is stored


def test_what_a_column_holds_as_escapes_is_readable_in_a_line():
    assert as_stored(json.dumps({"name": "Zoë"})) == '{"name": "Zoë"}'


def test_many_different_texts_are_not_kept_for_ever():
    same = Repeated(quoted)
    for number in range(MOST_REPEATED + 10):
        assert same[f'"{number}'] == f'"\\"{number}"'
    assert len(same) < MOST_REPEATED


@given(
    st.floats(min_value=0, max_value=4e9)
    | st.builds(lambda whole, part: whole + part, st.integers(0, 4_000_000_000), st.sampled_from([0.9995, 0.9999996]))
)
@example(1_700_000_059.9999998)
def test_a_time_is_written_as_datetime_writes_it(seconds: float):
    written = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    assert Moments().text(seconds) == f'"{written}"'


def eventful_batch(store: Store) -> None:
    """Successes, failures, a second round, flags, several requests, unknown prices, a follower, what waits or ages."""
    first = claimed(store, 6)
    for number, job in enumerate(first):
        for cost in (0.1, 0.2, None)[: number % 4]:
            attempt = send(store, job)
            assert attempt is not None
            persist(store, closing=replace(answered(attempt, cost_usd=cost), request_id=f"é\u2028{number}"))
    flag = Flag(kind=FlagKind.OFF_TASK, path='items[0]."x"', message="ü")
    for number, job in enumerate(first[:5]):
        hard = AnyAnswer({"text": 'a "quoted"\n\\ line, with: é', "points": [1.5, 2, 1e-7, number], "of": {}})
        ended = replace(success(job, flags=(flag,) * number), provenance={"ü": [1, None]})
        ended = replace(ended, outcome=Success(hard)) if number % 2 else ended
        persist(store, ending=failure(job, FailureKind.TRUNCATED) if number == 4 else ended)
    retry_failed(store, "b")
    for job in claim(store, publish(store)).values():
        persist(store, ending=replace(success(job), is_standin=True))
    enqueue(store, 2)
    with store.transaction() as connection:
        of_first = jobs.c.id == first[0].id
        connection.execute(update(jobs).where(jobs.c.id == first[1].id).values(metadata={"Name": 'Zoë "Z" \\ \u2028'}))
        connection.execute(update(batches).values(created_at=1.0))
        connection.execute(update(jobs).where(of_first).values(finished_at=1.0))
        connection.execute(update(jobs).where(jobs.c.id == first[2].id).values(leader_id=first[1].id))
        connection.execute(update(attempts).where(attempts.c.job_id == first[2].id).values(parameters_sent={"a": "ü"}))


def fields(rows: Iterable[ResultRow | Record]) -> list[list[tuple[str, Any]]]:
    return [list(row.as_line().items()) for row in rows]


def read(lines: Iterable[str]) -> list[list[tuple[str, Any]]]:
    """Fields in their order; each line is one object and one line of a file."""
    lines = list(lines)
    assert all(line.endswith("}\n") and line.count("\n") == 1 for line in lines)
    return [list(json.loads(line).items()) for line in lines]


@pytest.mark.parametrize("page", [1, 3, 500])
def test_a_line_made_from_text_has_the_rows_own_fields(store: Store, monkeypatch: pytest.MonkeyPatch, page: int):
    eventful_batch(store)
    purge(store, older_than_seconds=1e6)
    monkeypatch.setattr(result_pages, "PAGE", page)
    monkeypatch.setattr(history, "PAGE", page)

    with store.snapshot() as connection:
        lines = list(read_result_lines(connection, "b", Wanted()))
        assert read(lines) == fields(read_results(connection, "b"))
        assert read(read_outcome_lines(connection, "b")) == fields(read_outcomes(connection, "b"))
        assert read(read_ledger_lines(connection, "b")) == fields(read_ledger(connection, "b"))
        flagged = read_result_lines(connection, "b", Wanted(flagged=[FlagKind.OFF_TASK]))
        assert read(flagged) == fields(read_results(connection, "b", flagged=[FlagKind.OFF_TASK]))
    found = [json.loads(line) for line in lines]
    assert {len(line["flags"]) for line in found} == {0, 1, 2, 3}
    assert {line["attempts"] for line in found} == {0, 1, 2, 3}
    assert [line["cost_usd"] for line in found][:4] == [0.0, 0.1, 0.1 + 0.2, None]
    assert [line["purged"] for line in found if "purged" in line] == [True]
    assert any(line["same_as"] for line in found)
    assert any(line["metadata"] for line in found)
    assert any(line["provenance"] for line in found)
