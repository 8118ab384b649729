"""A schema file of the user's own, from the command line to real workers, which hold it from the store alone."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.wait import DEADLINE_SECONDS, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command_line import Bench

pytestmark = pytest.mark.acceptance

SCHEMA = """
from levels import check
from pydantic import BaseModel, field_validator


class Grade(BaseModel):
    remark: str

    @field_validator("remark")
    @classmethod
    def _is_known(cls, value: str) -> str:
        import late  # found by the worker too

        return late.mark(check(value))
"""


@pytest.fixture
def course(bench: Bench) -> Path:
    folder = bench.folder / "course"
    folder.mkdir()
    (folder / "exam.py").write_text(SCHEMA)
    (folder / "levels.py").write_text("def check(value):\n    return value.strip()\n")
    (folder / "late.py").write_text("def mark(value):\n    return 'MARKED ' + value.removeprefix('MARKED ')\n")
    (bench.folder / "work.jsonl").write_text('{"id": "a", "prompt": "x"}\n{"id": "b", "prompt": "y"}\n')
    return folder


def test_a_run_grades_by_a_schema_file_and_the_files_beside_it(bench: Bench, course: Path):
    bench.run("run", "work.jsonl", "--schema", "course/exam.py:Grade", "--offline", "--name", "w", "--out", "out.jsonl")

    lines = [json.loads(line) for line in (bench.folder / "out.jsonl").read_text().splitlines()]
    assert [line["state"] for line in lines] == ["succeeded", "succeeded"]
    assert all(line["result"]["remark"].startswith("MARKED ") for line in lines)
    assert {line["schema"] for line in lines} == {"course/exam.py:Grade"}
    assert (course / "exam.py").exists()


def test_a_worker_that_nobody_told_runs_no_stored_code_and_says_what_to_set(bench: Bench, course: Path):
    bench.run("enqueue", "work.jsonl", "--schema", "course/exam.py:Grade", "--offline", "--name", "w")
    for file in course.iterdir():
        file.unlink()
    trusted = (bench.data_dir / "trusted-schemas").read_text().strip()
    (bench.data_dir / "trusted-schemas").unlink()
    worker = bench.start("worker", "--queues", "bulk", "--offline")
    wait_until(lambda: (progress := bench.progress("w")) and progress.is_finished, "the jobs have ended")
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=DEADLINE_SECONDS)

    said = bench.run("failures", "w", expect=1).stdout
    assert "unknown_schema" in said
    assert f"GRADEQUEUE_TRUSTED_SCHEMAS={trusted}" in said

    bench.environment["GRADEQUEUE_TRUSTED_SCHEMAS"] = trusted
    bench.run("retry", "w")
    worker = bench.start("worker", "--queues", "bulk", "--offline")
    wait_until(lambda: (progress := bench.progress("w")) and progress.succeeded == 2, "the kept source was run")
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=DEADLINE_SECONDS)


def test_code_is_named_by_a_person_never_by_a_row_or_from_among_the_submissions(bench: Bench, course: Path):
    marker = bench.folder / "executed"
    (course / "exam.py").write_text(f"open({str(marker)!r}, 'w').close()\n{SCHEMA}")
    row = {"id": "a", "prompt": "x", "schema": "course/exam.py:Grade"}
    (bench.folder / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (bench.folder / "prompt.md").write_text("{submission}")

    by_row = bench.run("run", "rows.jsonl", "--offline", expect=2)
    assert "a row cannot bring code" in by_row.stderr
    within = bench.run(
        "run", "course", "--template", "prompt.md", "--schema", "course/exam.py:Grade", "--offline", expect=2
    )
    assert "lies among the submissions" in within.stderr
    assert not marker.exists()
