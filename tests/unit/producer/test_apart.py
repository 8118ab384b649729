"""A file of the instructor's among the submissions is refused before anything is read as a submission."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from producer.cli.commands import cli
from producer.inputs.apart import refuse_among_submissions
from producer.local.exit_status import ExitStatus
from workers.contract.errors import InvalidInput


@pytest.mark.parametrize("name", ["prompt.md", "week3/prompt.md"])
def test_a_file_among_the_submissions_is_named_with_its_option(tmp_path: Path, name: str):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("grade {code}")
    with pytest.raises(InvalidInput, match="move it out of that folder") as refused:
        refuse_among_submissions(tmp_path, {"roster": None, "template": file})
    assert refused.value.where == f"--template {file}"


def test_an_id_behind_the_file_does_not_hide_it(tmp_path: Path):
    with pytest.raises(InvalidInput, match="among the submissions"):
        refuse_among_submissions(tmp_path, {"rubric": f"{tmp_path / 'rubrics.json'}#style"})


def test_a_link_into_the_folder_is_the_file_there(tmp_path: Path):
    submissions = tmp_path / "submissions"
    submissions.mkdir()
    (submissions / "prompt.md").write_text("grade {code}")
    link = tmp_path / "template.md"
    link.symlink_to(submissions / "prompt.md")
    with pytest.raises(InvalidInput, match="among the submissions"):
        refuse_among_submissions(submissions, {"template": link})


def test_a_file_beside_the_folder_or_beside_a_table_is_fine(tmp_path: Path):
    submissions = tmp_path / "submissions"
    submissions.mkdir()
    (tmp_path / "class.csv").write_text("id,code")
    refuse_among_submissions(submissions, {"template": tmp_path / "prompt.md", "rubric": "r.json#a", "roster": None})
    refuse_among_submissions(tmp_path / "class.csv", {"template": tmp_path / "prompt.md"})


def test_a_file_one_level_up_is_fine_for_who_works_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    submissions = tmp_path / "submissions"
    submissions.mkdir()
    monkeypatch.chdir(submissions)
    refuse_among_submissions(Path(), {"template": "../prompt.md", "rubric": "../rubrics.json#style"})
    with pytest.raises(InvalidInput, match="among the submissions"):
        refuse_among_submissions(Path(), {"template": "../submissions/prompt.md"})


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["regrade", "week3", "--input", "{}", "--kit", "{}/kit"], "--kit"),
        (["run", "{}", "--template", "prompt.md", "--schema", "feedback", "--kit", "{}/kit"], "--kit"),
        *(
            ([command, "{}", "--template", "prompt.md", "--schema", "feedback", "--data-dir", "{}/data"], "--data-dir")
            for command in ("run", "enqueue", "estimate")
        ),
        (["regrade", "week3", "--input", "{}", "--model", "m", "--data-dir", "{}/data"], "--data-dir"),
    ],
)
def test_a_kit_and_a_data_folder_among_the_submissions_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], option: str
):
    submissions = tmp_path / "submissions"
    (submissions / "kit").mkdir(parents=True)
    (tmp_path / "prompt.md").write_text("grade {submission}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRADEQUEUE_DATA_DIR", str(tmp_path / "data"))

    done = CliRunner().invoke(cli, [each.format(submissions) for each in arguments])

    assert done.exit_code == ExitStatus.WRONG_USE
    said = " ".join(done.output.split())
    assert f"{option} {submissions}" in said
    assert "lies among the submissions" in said
    assert [path.name for path in submissions.rglob("*")] == ["kit"]
