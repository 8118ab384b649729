from __future__ import annotations

import csv
import io
import stat
from typing import TYPE_CHECKING, Any

import pytest

from producer.gradebook.result_files import check_writable, csv_lines, write_atomically
from producer.terminal.console import SafeConsole
from producer.terminal.tables import results_table
from workers.contract.errors import InvalidInput
from workers.contract.flag import Flag, FlagKind
from workers.contract.outcome import FailureKind, Usage
from workers.store.results import ResultRow

if TYPE_CHECKING:
    from pathlib import Path


def row(**changes: Any) -> ResultRow:
    values: dict[str, Any] = {
        "id": "s1", "job_id": "j", "batch": "b", "round": 1, "state": "succeeded", "schema": "feedback",
        "schema_fingerprint": "f", "prompt_hash": "h", "provider": "standin", "model": "m", "model_answered": "m",
        "result": {"score": 7, "notes": ["a", "b"], "parts": {"x": {"points": 1.5}}, "rows": [{"k": 1}]},
        "failure_kind": None, "failure_message": None, "is_standin": True, "usage": Usage(), "cost_usd": None,
        "attempts": 1, "metadata": {"seat": 4},
    }  # fmt: skip
    return ResultRow(**(values | changes))


def table(*rows: ResultRow) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(csv_lines(lambda: rows)))))


def test_csv_has_a_column_for_every_field_of_every_result():
    failed = row(id="s2", result=None, state="failed", failure_kind=FailureKind.REFUSED, failure_message="no")
    first, second = table(row(), failed)
    assert first["result.score"] == "7"
    assert first["result.notes"] == "a; b"
    assert first["result.parts.x.points"] == "1.5"
    assert first["result.rows"] == '[{"k": 1}]'
    assert first["metadata.seat"] == "4"
    assert (second["failure.kind"], second["result.score"]) == ("refused", "")
    assert first["standin"] == "true"


def test_csv_names_the_flags_of_a_result_and_where_they_are():
    flags = (Flag(kind=FlagKind.EVIDENCE_NOT_FOUND, path="items[0].evidence"), Flag(kind=FlagKind.OFF_TASK))
    flagged, plain = table(row(flags=flags), row())
    assert (flagged["flags"], plain["flags"]) == ("evidence_not_found items[0].evidence; off_task", "")


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-x", "@x", "-2+3"])
def test_a_text_that_a_spreadsheet_would_compute_is_quoted(text: str):
    (only,) = table(row(result={"feedback": text, "score": -1}))
    assert only["result.feedback"] == f"'{text}"
    assert only["result.score"] == "-1"


def test_a_file_is_replaced_whole_or_left_as_it_was(tmp_path: Path):
    path = tmp_path / "grades.jsonl"
    path.write_text("old")

    def broken() -> Any:
        yield "new"
        raise RuntimeError("the store went away")

    with pytest.raises(RuntimeError):
        write_atomically(path, broken())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    write_atomically(path, ["new"])
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path):
    with pytest.raises(InvalidInput, match="--out"):
        check_writable(tmp_path)
    with pytest.raises(InvalidInput, match="--out"):
        check_writable(tmp_path / "missing" / "grades.jsonl")
    check_writable(tmp_path / "grades.jsonl")


def test_the_table_of_a_run_shows_name_points_and_band_and_of_how_many_rows_it_is():
    result = {"work": "assessable", "total_points": 8.5, "max_points": 10, "band": "Good"}
    console = SafeConsole(file=io.StringIO(), width=200)
    with console.capture() as shown:
        console.print(results_table([row(result=result, metadata={"name": "Ada L"})], total=30))
        console.print(results_table([row(result={"total_deduction": 3.0}, metadata={})]))
    first, second = shown.get().split("results", 2)[1:]
    assert first.startswith(" (the first 1 of 30)")
    for cell in ("name", "points", "band", "Ada L", "8.5 of 10", "Good", "work=assessable"):
        assert cell in first
    assert "total_points" not in first
    assert "total_deduction=3.0" in second
    assert "points" not in second
