"""Everything is checked before anything is enqueued, and both passes must see the same."""

from __future__ import annotations

import json
import os
import pickle
import tracemalloc
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from producer.inputs import CheckedInput, RejectedInput, check_items, read_items
from workers.contract.errors import InvalidInput
from workers.contract.job import JobParameters

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20


def _check(path: Path, *, max_problems: int = 20) -> CheckedInput:
    return check_items(
        path,
        template=None,
        schema="feedback",
        model="some-model",
        parameters=JobParameters(),
        max_problems=max_problems,
    )


def _problems(path: Path, *, max_problems: int = 20) -> tuple[str, ...]:
    with pytest.raises(RejectedInput) as caught:
        _check(path, max_problems=max_problems)
    return caught.value.problems


def _rows(folder: Path, *rows: object) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def test_a_good_input_is_counted_and_streamed_in_order(tmp_path: Path):
    checked = _check(_rows(tmp_path, {"id": 1, "prompt": "x"}, {"id": 2, "prompt": "y"}))
    assert checked.count == 2
    assert [(spec.id, spec.prompt) for spec in checked.specs()] == [("1", "x"), ("2", "y")]


def test_every_problem_is_reported_at_once(tmp_path: Path):
    path = _rows(tmp_path, {"id": 1, "prompt": "x"}, "{", {"prompt": "x"}, {"id": 4, "prompt": "x", "max_tokens": 0})
    lines = [problem.split(":")[0] for problem in _problems(path)]
    assert lines == ["rows.jsonl line 2", "rows.jsonl line 3", "rows.jsonl line 4"]


def test_a_duplicate_id_names_both_places(tmp_path: Path):
    path = _rows(tmp_path, {"id": 7, "prompt": "x"}, {"id": "8", "prompt": "x"}, {"id": "7", "prompt": "y"})
    (problem,) = _problems(path)
    assert problem == "rows.jsonl line 3: the id '7' is already used at rows.jsonl line 1; give each an id of its own"


def test_rows_with_the_same_problem_count_as_one(tmp_path: Path):
    path = _rows(tmp_path, *({"id": number} for number in range(1000)))
    (problem,) = _problems(path)
    assert problem.startswith("rows.jsonl line 1: there is no prompt")
    assert problem.endswith("(and 999 more like it)")


def test_reading_stops_when_there_are_enough_problems(tmp_path: Path):
    path = _rows(tmp_path, *({"id": f"a{number}", "prompt": ""} for number in range(100)))
    problems = _problems(path, max_problems=3)
    assert len(problems) == 4
    assert problems[-1] == "stopped after 3 problems; there may be more"


def test_an_input_without_rows_is_a_problem_too(tmp_path: Path):
    assert "the file is empty" in _problems(_rows(tmp_path))[0]


def test_a_missing_input_is_a_problem_too(tmp_path: Path):
    assert "No such file" in _problems(tmp_path / "absent.csv")[0]


def test_a_rejected_input_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(RejectedInput(("a: b", "c: d"))))  # noqa: S301 - our own bytes
    assert (str(error), error.problems) == ("a: b\nc: d", ("a: b", "c: d"))


def test_a_file_that_changed_after_the_check_gives_no_spec(tmp_path: Path):
    checked = _check(_rows(tmp_path, {"id": 1, "prompt": "x"}))
    _rows(tmp_path, {"id": 1, "prompt": "other"})
    with pytest.raises(InvalidInput, match="changed between checking and reading"):
        next(checked.specs())


def test_a_change_that_keeps_size_and_time_is_seen_before_the_end(tmp_path: Path):
    path = _rows(tmp_path, {"id": 1, "prompt": "x"}, {"id": 2, "prompt": "x"})
    checked, before = _check(path), path.stat()
    with path.open("r+") as file:
        file.write(json.dumps({"id": 1, "prompt": "y"}))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    specs = checked.specs()
    assert [next(specs).prompt, next(specs).prompt] == ["y", "x"]
    with pytest.raises(InvalidInput, match="changed between checking and reading"):
        next(specs)


@pytest.mark.parametrize("change", ["edit", "add", "remove"])
def test_a_folder_that_changed_after_the_check_is_refused(tmp_path: Path, change: str):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("x")
    checked = check_items(
        tmp_path,
        template=None,
        schema="s",
        model="m",
        parameters=JobParameters(),
        section="# Rubric",
    )
    {
        "edit": lambda: (tmp_path / "b.txt").write_text("y"),
        "add": lambda: (tmp_path / "c.txt").write_text("x"),
        "remove": (tmp_path / "b.txt").unlink,
    }[change]()
    with pytest.raises(InvalidInput, match="changed between checking and reading"):
        list(checked.specs())


def test_the_digest_depends_on_the_options_and_not_on_the_path(tmp_path: Path):
    (tmp_path / "again").mkdir()
    rows = {"id": 1, "prompt": "x"}
    first, second = _check(_rows(tmp_path, rows)), _check(_rows(tmp_path / "again", rows))
    third = check_items(second.path, template=None, schema="other", model="some-model", parameters=JobParameters())
    assert first.sha256 == second.sha256 != third.sha256


def test_a_hundred_thousand_rows_stream_in_bounded_memory(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    padding = "x" * 400
    with path.open("w") as file:
        file.writelines(f'{{"id": "student-{number}", "prompt": "{padding}"}}\n' for number in range(100_000))
    items = read_items(path)
    assert sum(1 for _ in islice(items, 80_000)) == 80_000
    tracemalloc.start()  # tracing costs five times the reading, so it sees the last 20,000 rows
    try:
        assert sum(1 for _ in items) == 20_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MIB < path.stat().st_size / 40


def test_checking_keeps_ids_and_no_prompt(tmp_path: Path):
    path = _rows(tmp_path, *({"id": number, "prompt": "x" * 1000} for number in range(5000)))
    tracemalloc.start()
    try:
        checked = _check(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert checked.count == 5000
    assert peak < 4 * MIB < path.stat().st_size
