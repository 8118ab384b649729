"""A course kit: one folder that the command line, the page and nightly regrades read alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from producer.cli.commands import cli
from producer.inputs.kits.kit import NO_KIT, list_kits, load_kit
from producer.inputs.kits.starter import STARTER, write_starter
from producer.inputs.nightly_file import NightlyEntry
from producer.regrading.nightly import change_of
from workers.contract.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

LOOSE = """\
rubric_id: loops
title: Loops
criteria:
  - {criterion_id: runs, name: Runs, max_points: 10, levels: [{label: Yes, score_min: 8, score_max: 10}]}
"""


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    folder = tmp_path / "kits" / "week3"
    write_starter(folder)
    (folder / "assignment.md").write_text("<!-- gradequeue: x -->\nWrite a loop.\n")
    (folder / "kit.toml").write_text('model = "gpt-6.1-terra"\npoints = "highest"\neffort = "low"\n')
    (folder / "rubric.yaml").write_text(LOOSE)
    (folder / "roster.csv").write_text("id,name,email\nada,Ada Lovelace,ada@example.org\n")
    return folder


def test_a_new_kit_says_in_each_file_what_goes_there_and_sends_none_of_it(tmp_path: Path):
    write_starter(tmp_path / "new")
    kit = load_kit(tmp_path / "new")
    assert kit.given == {}
    assert kit.template is not None
    assert "gradequeue" not in kit.template.text
    assert "{submission}" in kit.template.text
    assert set(kit.options) == {"rubric"}
    assert [warning.split(": ")[0] for warning in kit.warnings[:3]] == ["new/assignment", "new/solution", "new/notes"]
    assert "still the example" in kit.warnings[3]
    with pytest.raises(InvalidInput, match="is there already"):
        write_starter(tmp_path / "new")


def test_a_kit_fills_what_no_option_says(kit: Path):
    found = load_kit(kit)
    assert found.given == {"assignment": "Write a loop.\n"}
    options = {"model": None, "rubric": None, "catalogue": None, "schema": None, "points": None, "roster": None}
    completed = found.completed({**options, "model": "mine"})
    assert (completed["model"], completed["points"], completed["effort"]) == ("mine", "highest", "low")
    assert completed["roster"] == kit / "roster.csv"
    assert completed["rubric"] == str(kit / "rubric.yaml")
    assert found.completed({**options, "schema": "feedback"})["rubric"] is None
    assert NO_KIT.completed(options) == options
    assert list_kits(kit.parent) == ["week3"]
    assert list_kits(kit / "nothing") == []


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("kit.toml", "modle = 'x'\n", "modle: unknown key; known are model, rubric"),
        ("kit.toml", "points = 'best'\n", "points: must be 'lowest', 'middle' or 'highest'"),
        ("kit.toml", "catalogue = 'e.json'\n", "rubric.yaml is there and catalogue is set"),
        ("rubric.json", "{}", "holds rubric.yaml and rubric.json; keep one"),
    ],
)
def test_a_kit_that_cannot_be_meant_is_refused_by_file(kit: Path, file: str, text: str, sentence: str):
    (kit / file).write_text(text)
    with pytest.raises(InvalidInput, match=sentence):
        load_kit(kit)


def test_a_night_regrades_by_the_kit_as_it_is_then(kit: Path):
    entry = NightlyEntry.model_validate({
        "name": "term", "at": "02:30", "batches": ["w*"], "kit": "week3", "verbosity": "low",
    })  # fmt: skip
    change = change_of(entry, kit.parent)
    assert change.scheme is not None
    assert change.template is not None
    assert (change.model, change.effort, change.verbosity) == ("gpt-6.1-terra", "low", "low")
    assert change.given == {"assignment": "Write a loop.\n"}
    (kit / "assignment.md").write_text("Write two loops.\n")
    assert change_of(entry, kit.parent).digest != change.digest


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def estimated(folder: Path, *options: str) -> Result:
    (folder / "work").mkdir(exist_ok=True)
    (folder / "work" / "ada.py").write_text("print(1)")
    return invoke("estimate", str(folder / "work"), *options)


def test_the_command_line_takes_a_kit_and_says_what_an_instructor_should_know(
    kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GRADEQUEUE_DATA_DIR", str(tmp_path / "data"))
    (kit / "kit.toml").write_text('model = "gpt-6.1-terra"\n')
    done = estimated(tmp_path, "--kit", str(kit))
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "the best levels give 8 of 10 points" in said
    assert "the lowest are taken; say it with --points lowest|middle|highest" in said
    assert "gpt-6.1-terra" in said
    assert "best levels" not in estimated(tmp_path, "--kit", str(kit), "--points", "highest").output
    inside = invoke("estimate", str(tmp_path / "work"), "--kit", str(tmp_path / "work" / "kit"))
    assert "move it out of that folder" in " ".join(inside.output.split())


def test_the_first_prompt_is_shown_without_reading_the_rest(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADEQUEUE_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "aa.png").write_bytes(b"\x89PNG")
    (tmp_path / "work" / "zoe.py").write_bytes(b"\xff\xfe\x00")
    shown = estimated(tmp_path, "--kit", str(kit), "--first-prompt", "--model", "o3-mini")
    assert shown.exit_code == 0, shown.output
    assert "note: the prompt of ada" in shown.output
    assert "# Assignment\n\nWrite a loop." in shown.output
    assert "print(1)" in shown.output


def test_init_makes_the_folder_and_says_how_to_try_it(tmp_path: Path):
    done = invoke("init", str(tmp_path / "k"))
    assert done.exit_code == 0
    assert sorted(each.name for each in (tmp_path / "k").iterdir()) == sorted(STARTER)
    assert f"gradequeue run SUBMISSIONS --kit {tmp_path / 'k'} --offline" in " ".join(done.output.split())
