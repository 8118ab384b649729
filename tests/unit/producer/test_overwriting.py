"""--out replaces no file that the command reads, and adds none to the submissions."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from producer.cli.options import command_with, out_option
from producer.cli.overwriting import refuse_overwriting
from workers.contract.errors import InvalidInput


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    for name in ("exam.csv", "prompt.md", "rubrics.json", "grade.py", "work/ann.py"):
        (tmp_path / name).write_text("written by hand")
    (tmp_path / "store.db").write_bytes(b"SQLite format 3\x00 and more")
    (tmp_path / "link.csv").symlink_to(tmp_path / "exam.csv")
    return tmp_path


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("exam.csv", "reads that file"),
        ("./work/../exam.csv", "reads that file"),
        ("link.csv", "reads that file"),
        ("prompt.md", "reads that file"),
        ("rubrics.json", "reads that file"),
        ("grade.py", "reads that file"),
        ("work/grades.jsonl", "one of the files in"),
        ("store.db", "a database"),
    ],
)
def test_a_file_that_the_command_reads_is_refused(course: Path, out: str, says: str):
    given = {
        "input_path": Path("exam.csv"),
        "template": Path("prompt.md"),
        "rubric": "rubrics.json#strict",
        "schema": "grade.py:Grade",
        "kit": course / "work",
        "name": "week\x00",
        "processes": 2,
    }
    with pytest.raises(InvalidInput, match=says) as caught:
        refuse_overwriting({**given, "out_path": Path(out)})
    assert str(caught.value).startswith("--out ")


@pytest.mark.parametrize("out", ["grades.jsonl", "worked.csv", "old.csv", "work/in_the_data_folder.jsonl"])
@pytest.mark.usefixtures("course")
def test_any_other_file_is_written(out: str):
    Path("old.csv").write_text("the results of yesterday")
    refuse_overwriting({"input_path": Path("exam.csv"), "data_dir": Path("work"), "out_path": Path(out)})


@pytest.mark.usefixtures("course")
def test_every_command_with_out_is_looked_at_before_it_begins():
    @command_with("gradequeue made-up")
    @click.argument("input_path", type=click.Path(path_type=Path))
    @out_option
    def made_up(input_path: Path, out_path: Path | None) -> None:
        raise AssertionError(f"{input_path} would be read, and {out_path} replaced")

    done = CliRunner().invoke(made_up, ["exam.csv", "--out", "exam.csv"])
    assert done.exit_code == 2
    assert Path("exam.csv").read_text() == "written by hand"
